from __future__ import annotations

import json

import pytest

from gateway.policy.hash import canonical, policy_hash
from support.policies import compiled, document, rule

_RULES = [
    rule("a", {"app": ["x", "y"]}, {"action": "block"}),
    rule("b", {"level": "public"}, {"regions": ["EU", "US"]}),
]


def test_comments_layout_and_order_do_not_change_the_hash() -> None:
    """Two files that mean the same have the same hash."""
    plain = json.dumps(document(rules=_RULES))
    swapped = document(rules=[{**_RULES[1], "then": {"regions": ["US", "EU"]}}, _RULES[0]])
    pretty = "# a comment\n" + json.dumps(swapped, indent=3)
    assert compiled(plain).id == compiled(pretty).id


@pytest.mark.parametrize(
    "change",
    [
        {"version": 8},
        {"mode": "audit"},
        {"owner": "other@acme.example"},
        {"rules": _RULES[:1]},
        {"rules": [{**_RULES[0], "why": "another reason"}, _RULES[1]]},
        {"rules": [{**_RULES[0], "when": {"app": "x"}}, _RULES[1]]},
        {"limits": {"cost": {"per_request": "0.04 USD"}}},
    ],
)
def test_every_change_of_meaning_changes_the_hash(change: dict[str, object]) -> None:
    """Whatever a decision or its explanation depends on is in the hash."""
    before = document(rules=_RULES)
    assert compiled({**before, **change}).id.hash != compiled(before).id.hash


def test_the_hash_is_that_of_the_canonical_json() -> None:
    """SHA-256 over sorted, compact ASCII JSON, which anybody can check without this program."""
    policy = compiled().source
    data = canonical(policy)
    assert json.dumps(json.loads(data), sort_keys=True, separators=(",", ":")).encode() == data
    assert policy_hash(policy) == compiled().id.hash
    assert len(compiled().id.hash) == 64


def test_the_hash_of_a_known_policy_does_not_drift() -> None:
    """Old audit records name policies by this hash, so it may change only together with the schema's number."""
    assert (
        compiled(document(rules=_RULES)).id.hash == "213682f5dfebdf3c43beb684bfe7c2f7de104e7d842a254302c7e7b020712dbd"
    )
