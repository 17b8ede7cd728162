"""Accidents that happened elsewhere, each of which opened what was meant to be closed. None can happen here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.documents import DocumentError
from gateway.domain.errors import ConfigurationError
from gateway.policy import load
from gateway.policy.load import load_file
from gateway.policy.names import Surroundings
from gateway.policy.sources import read_policies
from support.policies import BASE, document, rule

KNOWN = Surroundings(known={"tenant": frozenset({"school"}), "app": frozenset({"chat", "batch"})})
LIMIT = {"cost": {"per_app_per_day": "5 USD"}}
EXCEPTION = {"id": "E", "lifts": "r", "approved_by": "dpo", "ticket": "T-1", "expires": "2030-01-31"}


def refused(**changes: Any) -> list[tuple[int, str]]:
    with pytest.raises(DocumentError) as caught:
        load_file(json.dumps(document(**changes), indent=1), "acme.yaml", KNOWN)
    return [(problem.line, problem.message) for problem in caught.value.problems]


EMPTY: list[dict[str, Any]] = [
    {},
    {"app": []},
    {"app": ""},
    {"app": None},
    {"app": [""]},
    {"app": [None]},
    {"app": {}},
    {"user": " "},
    {"level": []},
    {"contains": []},
    {"contains": {}},
    {"contains": {"any_of": []}},
    {"declared": []},
    {"time": {}},
    {"time": {"zone": "UTC"}},
    {"time": {"zone": "UTC", "days": []}},
    {"prompt_tokens": ""},
]


@pytest.mark.parametrize("when", EMPTY, ids=json.dumps)
def test_an_empty_condition_is_an_error_and_not_everyone(when: dict[str, Any]) -> None:
    """A rule for nobody in particular comes to mean neither everybody nor nobody: it is an error with a line."""
    found = refused(rules=[rule("r", when, {"action": "block"})])
    assert all(line >= 1 for line, _ in found)
    if when == {"user": " "} or "app" in when:
        assert any("nothing" in message or "expected" in message for _, message in found)


WHO: list[dict[str, Any]] = [{}, {"app": []}, {"app": ""}, {"tenant": [None]}, {"user": {}}]


@pytest.mark.parametrize("who", WHO, ids=json.dumps)
def test_an_exception_or_a_limit_for_nobody_is_an_error(who: dict[str, Any]) -> None:
    """An empty ``for`` lifts no rule for everyone, limits not everyone, and makes no file one for every tenant."""
    one = rule("r", {"app": "chat"}, {"action": "block"})
    assert refused(rules=[one], exceptions=[{**EXCEPTION, "for": who}])
    assert refused(limits={"scopes": [{"for": who, **LIMIT}]})
    assert refused(**{"for": {key: value for key, value in who.items() if key == "tenant"}})


def test_a_limit_for_somebody_unknown_is_an_error() -> None:
    """A quota that matches nobody is not quietly without effect."""
    found = refused(limits={"scopes": [{"for": {"app": "bach"}, **LIMIT}]})
    assert [message for _, message in found] == ["there is no app 'bach'"]
    assert refused(**{"for": {"tenant": "skool"}})
    good = document(limits={"scopes": [{"for": {"app": "batch", "tenant": "school"}, **LIMIT}]})
    assert load_file(json.dumps(good), "acme.yaml", KNOWN).policy.limits.scopes


def test_a_rule_for_somebody_unknown_is_pointed_out() -> None:
    """A rule may be written ahead of its app, so that is a warning, with the name that was probably meant."""
    source = document(rules=[rule("r", {"app": "caht"}, {"action": "block"})])
    (warning,) = load_file(json.dumps(source), "acme.yaml", KNOWN).warnings
    assert (warning.message, warning.suggestion) == ("there is no app 'caht', so this never holds", "chat")


def test_two_rules_with_one_id_are_an_error() -> None:
    """The later of two rules does not replace the earlier one; nor does an exception with its id."""
    one = rule("r", {"app": "chat"}, {"action": "block"})
    other = rule("r", {"app": "batch"}, {"action": "redact"})
    assert "the id 'r' is taken already" in refused(rules=[one, other])[0][1]
    assert (
        "is taken already" in refused(rules=[one], exceptions=[{**EXCEPTION, "id": "r", "for": {"app": "chat"}}])[0][1]
    )


def test_two_files_with_one_rule_id_are_an_error(tmp_path: Path) -> None:
    """Two files of a folder do not share an id: one of the rules would be taken for the other."""
    one = rule("r", {"app": "chat"}, {"action": "block"})
    (tmp_path / "a.yaml").write_text(json.dumps(document(rules=[one])))
    (tmp_path / "b.yaml").write_text(json.dumps(document(policy="other", rules=[{**one, "why": "Another"}])))
    with pytest.raises(DocumentError, match="the id 'r' is taken already"):
        read_policies(tmp_path)


@pytest.mark.parametrize("broken", ["", "schema: 1\n", "\x00", "a: [", "- x\n", "~\n", "{}\n"])
def test_a_file_that_cannot_be_loaded_is_never_just_left_out(tmp_path: Path, broken: str) -> None:
    """One bad file among good ones stops the whole folder: it is not skipped, and the rest is not used without it."""
    (tmp_path / "good.yaml").write_text(json.dumps(document()))
    (tmp_path / "bad.yaml").write_text(broken)
    with pytest.raises(ConfigurationError, match=r"bad\.yaml"):
        read_policies(tmp_path)


def test_a_folder_without_policies_is_an_error(tmp_path: Path) -> None:
    """No file is not the same as a policy that permits everything."""
    with pytest.raises(ConfigurationError):
        read_policies(tmp_path)
    with pytest.raises(ConfigurationError):
        load(tmp_path / "gone.yaml")


def test_what_is_for_a_user_alone_is_pointed_out() -> None:
    """Any caller can name any user; an app or a group belongs to the key."""
    lifting = {"id": "EX", "lifts": "r", "approved_by": "dpo", "ticket": "T-1", "expires": "2099-01-01"}
    blocked = rule("r", {"app": "hr"}, {"action": "block"})
    alone = document(rules=[blocked], exceptions=[{**lifting, "for": {"user": "ann"}}])
    together = document(rules=[blocked], exceptions=[{**lifting, "for": {"user": "ann", "app": "hr"}}])
    scope = {"for": {"user": "ann"}, "cost": {"per_request": "1 USD"}}
    limited = document(limits={**BASE["limits"], "scopes": [scope]})
    said = [[each.message for each in load(json.dumps(one))[1]] for one in (alone, together, limited)]
    assert [any("for whoever names this user" in message for message in each) for each in said] == [True, False, True]


def test_a_rule_that_was_pasted_under_the_guarantees_is_not_silently_none() -> None:
    """What stands under `guarantees` has to be a guarantee, also where nobody asks to have it proved."""
    pasted = {"id": "told", "why": "A slip", "when": {"app": "x"}, "then": {"action": "block"}}
    with pytest.raises(DocumentError, match="a guarantee needs never or always"):
        load(json.dumps(document(guarantees=[pasted])))
