"""The same policy for Cedar and for CEL."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.policy.workload import ENTITIES, LEVELS, TARGETS
from gateway.domain.decision import Facts
from gateway.domain.target import Zone
from gateway.policy import CompiledPolicy
from gateway.policy.evaluate import level_of, present_types

_FOLDER = Path(".cache/bench/policy")
_PACKAGES = ("cedarpy", "common-expression-language")


def fetch() -> None:
    """Both packages from PyPI, into a folder of their own, once. Raises `CalledProcessError`."""
    if not _FOLDER.exists():
        print(f"fetching {' and '.join(_PACKAGES)} into {_FOLDER} …", file=sys.stderr)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(_FOLDER), *_PACKAGES]
        subprocess.run(pip, check=True)
    sys.path.append(str(_FOLDER))  # behind our own packages


def attributes(compiled: CompiledPolicy, facts: Facts) -> dict[str, Any]:
    """A request as the peers see it. The level is found by our own code, and its time is not theirs."""
    present = present_types(compiled, facts.found)
    entities = {item.entity for item in facts.found}
    return {
        "tenant": facts.tenant,
        "app": facts.app,
        "group": facts.group,
        "level": int(level_of(compiled, facts.found, present)),
        "contains": [name for name, entity in ENTITIES.items() if entity in entities],
    }


def cedar(rules: Sequence[dict[str, Any]]) -> Callable[[dict[str, Any]], frozenset[str]]:
    """Given a request's attributes: the targets that may receive it."""
    import cedarpy

    text = ["permit(principal, action, resource);"]
    text += [f"forbid(principal, action, resource) when {{ {_cedar_condition(rule)} }};" for rule in rules]
    policies = cedarpy.PolicySet.from_str("\n".join(text))
    entities = cedarpy.Entities.from_json_str(json.dumps([_cedar_target(target) for target in TARGETS]))

    def decide(request: dict[str, Any]) -> frozenset[str]:
        permitted = set()
        for target in TARGETS:
            asked = {
                "principal": 'App::"x"',
                "action": 'Action::"send"',
                "resource": f'Target::"{target.id}"',
                "context": request,
            }
            if cedarpy.is_authorized(asked, policies, entities).allowed:
                permitted.add(target.id)
        return frozenset(permitted)

    return decide


def _cedar_target(target: Any) -> dict[str, Any]:
    attrs = {"cloud": target.zone is Zone.CLOUD, "region": target.region, "labels": sorted(target.labels)}
    return {"uid": {"type": "Target", "id": target.id}, "attrs": attrs, "parents": []}


def _cedar_condition(rule: dict[str, Any]) -> str:
    parts = []
    when, then = rule["when"], rule["then"]
    for name in ("tenant", "app", "group"):
        if name in when:
            parts.append(f"{json.dumps(when[name])}.contains(context.{name})")
    parts += [f"context.level >= {_least(when)}"] if "level" in when else []
    parts += [f"context.contains.contains({json.dumps(when['contains'])})"] if "contains" in when else []
    if then.get("action") == "local_only":
        parts.append("resource.cloud")
    elif "regions" in then:
        parts.append(f"resource.cloud && !{json.dumps(then['regions'])}.contains(resource.region)")
    elif "provider_must_have" in then:
        parts.append(f"resource.cloud && !resource.labels.containsAll({json.dumps(then['provider_must_have'])})")
    return " && ".join(parts)


def cel(rules: Sequence[dict[str, Any]]) -> Callable[[dict[str, Any]], frozenset[str]]:
    """Given a request's attributes: the ids of the rules that match it."""
    from cel import compile as compile_cel

    programs = [(rule["id"], compile_cel(_cel_condition(rule))) for rule in rules]

    def decide(request: dict[str, Any]) -> frozenset[str]:
        return frozenset(name for name, program in programs if program.execute({"request": request}))

    return decide


def _cel_condition(rule: dict[str, Any]) -> str:
    when = rule["when"]
    parts = [f"request.{name} in {json.dumps(when[name])}" for name in ("tenant", "app", "group") if name in when]
    parts += [f"request.level >= {_least(when)}"] if "level" in when else []
    parts += [f"{json.dumps(when['contains'])} in request.contains"] if "contains" in when else []
    return " && ".join(parts)


def _least(when: dict[str, Any]) -> int:
    return LEVELS.index(when["level"].split()[0])
