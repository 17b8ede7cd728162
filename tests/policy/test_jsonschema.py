from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from gateway.cli.policy.schema import schema as command
from gateway.documents import DocumentError, Node, read
from gateway.policy import load
from gateway.policy.analysis.expectations import KEYS
from gateway.policy.analysis.guarantees import GUARANTEE, SITUATION
from gateway.policy.load import HEAD, REQUIRED, ROOT, RULE, WAIVER
from gateway.policy.load_limits import AMOUNTS, CEILING, LATENCY, LIMITS, SCOPE, WHOM
from gateway.policy.load_outcome import HANDLING, THEN
from gateway.policy.load_when import LINE, TIME, WHEN
from gateway.policy.reference import schema_of_policies, schema_of_tests
from gateway.policy.schema import UNSURE, WHO
from gateway.policy.testing.expected import EXPECT, WOULD
from gateway.policy.testing.facts import GIVEN
from gateway.policy.testing.files import FILE, TEST
from gateway.policy.testing.targets import EXPIRING, TARGET
from support.policies import BASE, document, rule

ROOT_FOLDER = Path(__file__).resolve().parents[2]
POLICIES = ROOT_FOLDER / "policies"
SHIPPED = sorted(path for path in POLICIES.rglob("*.yaml"))
WHOLE = Path(__file__).parent / "render" / "whole.yaml"
LEVELS = ("public", "internal", "confidential", "restricted")

Schema = dict[str, Any]


def plain(node: Node) -> Any:
    """A file as an editor sees it: mappings, lists, texts, numbers."""
    if node.kind == "mapping":
        return {str(key._value): plain(value) for key, value in node.items()}
    if node.kind == "list":
        return [plain(item) for item in node.sequence(allow_empty=True)]
    return float(node._value) if isinstance(node._value, Decimal) else node._value


def faults(schema: Schema, value: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(value)]


def keys(schema: Any, *path: str) -> tuple[str, ...]:
    """The keys of the mapping at a path of keys; a list or a choice on the way is gone through."""
    for key in path:
        schema = mapping_in(schema)["properties"][key]
    return tuple(mapping_in(schema)["properties"])


def mapping_in(schema: Any) -> Schema:
    if "properties" in schema:
        return dict(schema)
    if schema.get("type") == "array":
        return mapping_in(schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        return mapping_in(schema["additionalProperties"])
    return next(mapping_in(each) for each in schema["anyOf"] if "object" in json.dumps(each))


NEVER = tuple(key for key in KEYS if KEYS[key].never is not None)
ALWAYS = tuple(key for key in KEYS if KEYS[key].always is not None)
WHEN_GUARANTEED = (*WHEN, *SITUATION)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", ROOT),
        ("for", ("tenant",)),
        ("data_types", ("detect", "confidence")),
        ("levels", ("restricted", "confidential", "internal")),
        *((f"levels {level}", LINE) for level in LEVELS[1:]),
        ("handling", LEVELS),
        *((f"handling {level}", HANDLING) for level in LEVELS),
        ("answers", ("hide",)),
        ("limits", LIMITS),
        ("limits latency", LATENCY),
        ("limits cost", (*AMOUNTS, "when_spent")),
        ("limits scopes", SCOPE),
        ("limits scopes for", WHOM),
        ("limits scopes latency", LATENCY),
        ("limits scopes cost", AMOUNTS),
        ("limits ceiling", CEILING),
        ("limits ceiling latency", LATENCY),
        ("limits ceiling cost", AMOUNTS),
        ("if_unsure", UNSURE),
        ("rules", RULE),
        ("rules when", WHEN),
        ("rules when contains", LINE),
        ("rules when time", TIME),
        ("rules then", THEN),
        ("exceptions", WAIVER),
        ("exceptions for", WHO),
        ("guarantees", GUARANTEE),
        ("guarantees when", WHEN_GUARANTEED),
        ("guarantees never", NEVER),
        ("guarantees always", ALWAYS),
    ],
)
def test_the_schema_of_policies_has_exactly_the_keys_that_are_read(path: str, expected: tuple[str, ...]) -> None:
    """No key that the loader knows is missing in the schema, and none is made up."""
    assert set(keys(schema_of_policies(), *path.split())) == set(expected)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", FILE),
        ("targets", TARGET),
        ("targets labels", EXPIRING),
        ("tests", TEST),
        ("tests given", GIVEN),
        ("tests matrix", (*GIVEN, "text")),
        ("tests expect", (*EXPECT, "would")),
        ("tests expect would", tuple(WOULD)),
        ("guarantees when", WHEN_GUARANTEED),
    ],
)
def test_the_schema_of_tests_has_exactly_the_keys_that_are_read(path: str, expected: tuple[str, ...]) -> None:
    """The same for test files."""
    assert set(keys(schema_of_tests(), *path.split())) == set(expected)


def test_what_is_required_is_required() -> None:
    """The schema asks for the keys that the loader asks for; a file that extends another needs its head only."""
    schema = schema_of_policies()
    for key in REQUIRED:
        assert faults(schema, document(**{key: None})), key
    child = {key: value for key, value in document(extends="base.yaml").items() if key in (*HEAD, "extends")}
    assert faults(schema, child) == []
    assert faults(schema, {key: value for key, value in child.items() if key != "owner"})
    handling = {key: value for key, value in BASE["handling"].items() if key != "restricted"}
    assert faults(schema, document(handling=handling))
    assert faults(schema, {**child, "handling": handling}) == []


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(POLICIES)))
def test_every_shipped_file_passes(path: Path) -> None:
    """Nobody who opens a shipped file in an editor sees it marked as wrong."""
    schema = schema_of_tests() if path.stem.endswith("_test") else schema_of_policies()
    assert faults(schema, plain(read(path))) == []


def test_a_label_with_a_last_day_passes() -> None:
    """A target of a test file may have a label as docs/policy-tests.md writes it, with a last day or without one."""
    labels = ["zero-retention", {"name": "baa", "expires": "2027-03-31", "evidence": "contract 14"}, {"name": "eu"}]
    target = {"id": "cloud-eu", "zone": "cloud", "region": "EU", "labels": labels}
    test = {"name": "a", "expect": {"level": "public"}}
    file = {"policy": "acme.yaml", "as_of": "2026-09-01", "targets": [target], "tests": [test]}
    assert faults(schema_of_tests(), file) == []


def test_the_whole_language_passes() -> None:
    """A policy with every key of the language is right by the schema, too."""
    assert faults(schema_of_policies(), plain(read(WHOLE))) == []


def test_the_shipped_schemas_are_what_the_command_prints() -> None:
    """policies/schema/ holds what `bailiwick policy schema` prints."""
    for kind, name in (("policy", "policy.schema.json"), ("test", "policy_test.schema.json")):
        result = CliRunner().invoke(command, ["--for", kind])
        assert result.exit_code == 0
        assert (POLICIES / "schema" / name).read_text("utf-8") == result.stdout
    assert CliRunner().invoke(command, []).stdout == (POLICIES / "schema" / "policy.schema.json").read_text("utf-8")


def parts(schema: Any) -> Iterator[Schema]:
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from parts(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from parts(value)


NEWER = {"$defs", "dependentRequired", "dependentSchemas", "unevaluatedProperties", "unevaluatedItems", "prefixItems"}
"""What draft 7, which is all that some editors know, does not have."""


@pytest.mark.parametrize("schema", [schema_of_policies(), schema_of_tests()], ids=["policy", "test"])
def test_every_key_is_described(schema: Schema) -> None:
    """The schemas are valid, every key has a sentence for the editor to show, and no mapping takes unknown keys."""
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    described = 0
    for part in parts(schema):
        assert not NEWER & part.keys()
        if part.get("type") == "object":
            assert part["additionalProperties"] is not True
            for name, key in part.get("properties", {}).items():
                assert key["description"].endswith("."), name
                described += 1
    assert described > 100


HANDLED = {**BASE["handling"]}
ORDINARY = rule("a", {"app": "x"}, {"action": "block"})
WRONG: list[dict[str, Any]] = [
    {"version": 0},
    {"version": "7"},
    {"policy": "two words"},
    {"owner": " "},
    {"mode": "on"},
    {"for": {}},
    {"for": {"tenant": []}},
    {"for": {"app": "x"}},
    {"region_sets": {"EEA": []}},
    {"data_types": {}},
    {"data_types": {"a": {"detect": ["X"]}}},
    {"data_types": {"a": {"detect": ["X"], "confidence": 50}}},
    {"data_types": {" a": {"detect": ["X"], "confidence": 0.5}}},
    {"levels": {"public": [{"any_of": ["payment data"]}]}},
    {"levels": {"internal": []}},
    {"levels": {"internal": [{"any_of": ["payment data"], "all_of": ["payment data"]}]}},
    {"levels": {"internal": [{"at_least": 5}]}},
    {"levels": {"internal": [{"any_of": ["payment data"], "at_least": 0}]}},
    {"handling": {**HANDLED, "public": {"action": "alow"}}},
    {"handling": {**HANDLED, "public": {}}},
    {"handling": {**HANDLED, "public": {"action": "allow", "region": ["EU"]}}},
    {"handling": {**HANDLED, "public": {"action": "block", "approvers": ["x"]}}},
    {"answers": {}},
    {"limits": {"cost": {"per_request": "5 EUR"}}},
    {"limits": {"cost": {"per_request": 5}}},
    {"limits": {"latency": {"first_token": "0s"}}},
    {"limits": {"latency": {"first_token": 2}}},
    {"limits": {"scopes": [{"for": {"app": "x"}}]}},
    {"limits": {"scopes": [{"for": {}, "cost": {"per_request": "1 USD"}}]}},
    {"limits": {"scopes": []}},
    {"limits": {"ceiling": {}}},
    {"if_unsure": {"detector_fails": "allow"}},
    {"if_unsure": {"detector_fails": "redact"}},
    {"rules": [{**ORDINARY, "id": "a.b"}]},
    {"rules": [{**ORDINARY, "why": ""}]},
    {"rules": [{**ORDINARY, "when": {}}]},
    {"rules": [{**ORDINARY, "then": {}}]},
    {"rules": [{**ORDINARY, "when": {"app": []}}]},
    {"rules": [{**ORDINARY, "when": {"app": ""}}]},
    {"rules": [{**ORDINARY, "when": {"app": ["x", "x"]}}]},
    {"rules": [{**ORDINARY, "when": {"level": "secret"}}]},
    {"rules": [{**ORDINARY, "when": {"prompt_tokens": 4000}}]},
    {"rules": [{**ORDINARY, "when": {"declared": "Patient"}}]},
    {"rules": [{**ORDINARY, "when": {"time": {"days": "sat"}}}]},
    {"rules": [{**ORDINARY, "when": {"time": {"zone": "UTC"}}}]},
    {"rules": [{**ORDINARY, "when": {"time": {"days": "someday", "zone": "UTC"}}}]},
    {"rules": [{**ORDINARY, "when": {"time": {"hours": "8-18", "zone": "UTC"}}}]},
    {"rules": [{**ORDINARY, "then": {"action": "allow"}}]},
    {"rules": [{**ORDINARY, "then": {"retain_days": 0}}]},
    {"rules": [{**ORDINARY, "then": {"log_content": "always"}}]},
    {"rules": [{**ORDINARY, "mode": "audit"}]},
    {"rules": [{**ORDINARY, "until": "2027-01-31"}]},
    {"rules": [{**ORDINARY, "mode": "audit", "until": "31.1.2027"}]},
    {"exceptions": [{"id": "E", "lifts": "a"}]},
    {"guarantees": [{"say": "x"}]},
    {"guarantees": [{"say": "x", "never": {"sent_to": "moon"}}]},
    {"guarantees": [{"say": "x", "never": {"hidden": "payment data"}}]},
]


@pytest.mark.parametrize("changes", WRONG, ids=lambda changes: json.dumps(changes)[:80])
def test_what_is_wrong_is_marked_while_typing(changes: dict[str, Any]) -> None:
    """Slips are wrong by the schema; and by the loader, or the schema would mark what is right."""
    wrong = document(**changes)
    assert faults(schema_of_policies(), wrong)
    if "guarantees" not in changes:
        with pytest.raises(DocumentError):
            load(json.dumps(wrong))


TYPES = {"Größe & co": {"detect": "PERSON", "confidence": 1}, "日本": {"detect": ["PERSON"], "confidence": 0}}
RIGHT: list[dict[str, Any]] = [
    {"data_types": {**BASE["data_types"], **TYPES}},
    {"rules": []},
    {"rules": [{**ORDINARY, "when": {"time": {"days": ["Sat", "mon - fri"], "zone": "America/Port-au-Prince"}}}]},
    {"rules": [{**ORDINARY, "when": {"contains": {"all_of": ["payment data"]}}}]},
    {"rules": [{**ORDINARY, "when": {"level": "internal or higher", "user": "Anna Müller"}}]},
    {"rules": [{**ORDINARY, "then": {"action": "require_approval", "approvers": "dpo", "approval_lasts": "1.5h"}}]},
    {"limits": {"cost": {"per_request": "0.000001USD"}}},
    {"version": 10**15},
]


@pytest.mark.parametrize("changes", RIGHT, ids=lambda changes: json.dumps(changes)[:80])
def test_what_is_right_is_not_marked(changes: dict[str, Any]) -> None:
    """What the loader takes, the schema takes."""
    right = document(**changes)
    load(json.dumps(right))
    assert faults(schema_of_policies(), right) == []
