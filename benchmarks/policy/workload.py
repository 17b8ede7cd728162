"""The policy and the requests: random from a fixed seed."""

import json
import random
from datetime import date
from typing import Any

from gateway.domain.decision import Facts
from gateway.domain.finding import DetectorState, Found
from gateway.domain.target import Target, Zone
from gateway.policy import CompiledPolicy, compile_policy, load
from gateway.policy.cases import simple_target

TENANTS, APPS, GROUPS = 100, 50, 20
ENTITIES = {"contact details": "PERSON", "payment data": "CREDIT_CARD", "health data": "MEDICATION"}
LEVELS = ("public", "internal", "confidential", "restricted")
TARGETS: tuple[Target, ...] = (
    simple_target("local", Zone.LOCAL, "on-premises"),
    simple_target("cloud-eu", Zone.CLOUD, "EU", frozenset({"baa"})),
    simple_target("cloud-us", Zone.CLOUD, "US"),
)

_BASE: dict[str, Any] = {
    "schema": 1,
    "policy": "benchmark",
    "version": 1,
    "owner": "nobody@example.com",
    "data_types": {name: {"detect": [entity], "confidence": 0.5} for name, entity in ENTITIES.items()},
    "levels": {
        "restricted": [{"any_of": ["payment data"]}, {"all_of": ["health data", "contact details"]}],
        "confidential": [{"any_of": ["health data"]}],
        "internal": [{"any_of": ["contact details"]}],
    },
    "handling": {level: {"action": "allow"} for level in LEVELS},
}


def rules(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """`count` rules as they stand in a file."""
    dice = random.Random(seed)
    found = []
    for number in range(count):
        when: dict[str, Any] = {}
        if dice.random() < 0.5:
            when["tenant"] = sorted({f"t{dice.randrange(TENANTS)}" for _ in range(dice.randint(1, 3))})
        if dice.random() < 0.5:
            when["app"] = sorted({f"a{dice.randrange(APPS)}" for _ in range(dice.randint(1, 3))})
        if dice.random() < 0.3:
            when["group"] = sorted({f"g{dice.randrange(GROUPS)}" for _ in range(dice.randint(1, 3))})
        if not when:
            when["app"] = [f"a{number % APPS}"]
        if dice.random() < 0.4:
            when["level"] = dice.choice(["internal or higher", "confidential or higher", "restricted"])
        if dice.random() < 0.2:
            when["contains"] = dice.choice(list(ENTITIES))
        then = dice.choice(
            [{"action": "local_only"}, {"action": "block"}, {"regions": ["EU"]}, {"provider_must_have": ["baa"]}]
        )
        found.append({"id": f"r{number}", "why": "because", "when": when, "then": then})
    return found


def policy(listed: list[dict[str, Any]]) -> CompiledPolicy:
    """The compiled policy with these rules."""
    return compile_policy(load(json.dumps({**_BASE, "rules": listed}))[0])


def requests(count: int, seed: int = 2) -> list[Facts]:
    """`count` requests of all tenants, apps and groups."""
    dice = random.Random(seed)
    return [
        Facts(
            tenant=f"t{dice.randrange(TENANTS)}",
            app=f"a{dice.randrange(APPS)}",
            group=f"g{dice.randrange(GROUPS)}",
            role="user",
            user="",
            dialect="openai_chat",
            model="auto",
            found=tuple(
                sorted(Found(entity, 90, dice.randint(1, 6)) for entity in ENTITIES.values() if dice.random() < 0.25)
            ),
            detector=DetectorState.OK,
            unreadable=False,
            prompt_tokens=dice.randrange(4000),
            as_of=date(2026, 9, 1),
        )
        for _ in range(count)
    ]
