from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.documents import DocumentError
from gateway.domain.decision import Action, Level
from gateway.domain.errors import ConfigurationError
from gateway.domain.money import usd
from gateway.policy import load
from gateway.policy.schema import UNSURE
from support.policies import BASE, document, rule

GOLDEN = Path(__file__).parent / "golden"


def warnings(source: dict[str, Any], **options: Any) -> list[str]:
    return [warning.message for warning in load(json.dumps(source), **options)[1]]


def problems(source: dict[str, Any]) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        load(json.dumps(source))
    return [problem.message for problem in caught.value.problems]


@pytest.mark.parametrize("name", ["many", "levels", "rules"])
def test_bad_files_are_told_all_that_is_wrong(name: str) -> None:
    """Every problem of a bad file comes at once, word for word as in the golden file, with line, caret and hint."""
    with pytest.raises(DocumentError) as caught:
        load(GOLDEN / f"{name}.yaml", f"{name}.yaml")
    assert str(caught.value) + "\n" == (GOLDEN / f"{name}.txt").read_text("utf-8")


def test_a_policy_is_read_whole() -> None:
    """What is written arrives: names, amounts, days, levels and conditions."""
    source = document(
        rules=[
            rule("a", {"level": "confidential or higher", "contains": "health data"}, {"provider_must_have": "baa"}),
            rule("b", {"app": ["y", "x"], "prompt_tokens": "over 4000"}, {"cost_per_request": "0.01 USD"}),
            rule("c", {"level": ["public", "internal"]}, {"redact": ["payment data"], "first_token": "1s"}),
            rule("d", {"user": "jo@x.example"}, {"action": "redact"}, mode="audit", until="2027-01-31"),
        ],
        exceptions=[
            {
                "id": "EX-1",
                "lifts": "b",
                "for": {"app": "x", "group": "leads"},
                "approved_by": "dpo",
                "ticket": "R-1",
                "expires": "2026-12-31",
            }
        ],
    )
    policy, found = load(json.dumps(source))
    assert found == ()
    a, b, c, d = policy.rules
    assert a.when.levels == (Level.CONFIDENTIAL, Level.RESTRICTED)
    assert a.when.contains == ("health data",)
    assert a.then.provider_must_have == ("baa",)
    assert b.when.names == (("app", ("x", "y")),)
    assert b.when.over_tokens == 4000
    assert b.then.cost_per_request == usd("0.01")
    assert c.then.redact == ("payment data",)
    assert c.then.first_token == 1.0
    assert d.then.redact is None
    assert (d.audit, d.until) == (True, date(2027, 1, 31))
    assert policy.waivers[0].expires == date(2026, 12, 31)
    assert policy.limits.per_app_per_day == usd(20)
    assert policy.limits.first_token == 2.0
    assert [level for level, _ in policy.levels] == [Level.RESTRICTED, Level.CONFIDENTIAL, Level.INTERNAL]


def test_norway_is_a_region() -> None:
    """``regions: [NO]`` is the text NO."""
    text = Path(GOLDEN / "norway.yaml").read_text("utf-8")
    assert load(text)[0].handling[Level.INTERNAL].regions == ("NO",)


def test_what_is_missing_is_taken_as_strictest() -> None:
    """A policy that says nothing about an unsure case, or about a spent budget, blocks."""
    policy, found = load(json.dumps(document(if_unsure=None, limits=None)))
    assert policy.unsure == tuple((key, Action.BLOCK) for key in UNSURE)
    assert policy.limits.when_spent is Action.BLOCK
    assert [warning.message for warning in found] == [
        f"if_unsure is missing, so each of these means block: {', '.join(UNSURE)}"
    ]
    policy, _ = load(json.dumps(document(if_unsure={"detector_fails": "local_only"})))
    assert dict(policy.unsure)["detector_fails"] is Action.LOCAL_ONLY
    assert dict(policy.unsure)["unreadable_content"] is Action.BLOCK


@pytest.mark.parametrize("key", UNSURE)
@pytest.mark.parametrize("word", ["allow", "redact", "require_approval"])
def test_unsure_can_never_be_loose(key: str, word: str) -> None:
    """Anything looser than local_only for an unsure case is an error."""
    wrong = problems(document(if_unsure={**BASE["if_unsure"], key: word}))
    assert wrong == [f"'{word}' would let unsure data out: only local_only or block are possible here"]


@pytest.mark.parametrize("key", ["schema", "policy", "version", "owner", "data_types", "levels", "handling"])
def test_required_keys(key: str) -> None:
    """Each required section is asked for by name."""
    assert f"missing key '{key}'" in problems(document(**{key: None}))


@pytest.mark.parametrize("level", ["public", "internal", "confidential", "restricted"])
def test_every_level_needs_handling(level: str) -> None:
    """A level without handling is an error, never a gap."""
    handling = {word: outcome for word, outcome in BASE["handling"].items() if word != level}
    assert problems(document(handling=handling)) == [f"missing key '{level}'"]


def test_an_entity_without_detector_is_a_warning() -> None:
    """An entity that nothing can find is pointed out, with the one that was probably meant."""
    source = document(
        data_types={
            "contact details": {"detect": ["PERSON", "EMAIL_ADRESS"], "confidence": 0.5},
            "payment data": {"detect": ["CREDIT_CARD"], "confidence": 0.5},
            "health data": {"detect": ["MEDICATION"], "confidence": 0.6},
        }
    )
    detectable = frozenset({"PERSON", "EMAIL_ADDRESS", "CREDIT_CARD", "MEDICATION"})
    (warning,) = load(json.dumps(source), detectable=detectable)[1]
    assert warning.message == "no detector finds 'EMAIL_ADRESS', so it will never count"
    assert warning.suggestion == "EMAIL_ADDRESS"
    assert warnings(document(), detectable=detectable) == []


def test_audit_mode_is_a_warning() -> None:
    """A policy that enforces nothing is never checked without a loud word."""
    assert warnings(document(mode="audit")) == [
        "the whole policy is in audit mode: rules and handling are recorded but NOT enforced"
    ]


def test_lapsed_rules_and_exceptions_are_warnings() -> None:
    """What has ended is pointed out from the day after its last day."""
    source = document(
        rules=[rule("trial", {"app": "x"}, {"action": "block"}, mode="audit", until="2026-08-31")],
        exceptions=[
            {
                "id": "EX-1",
                "lifts": "trial",
                "for": {"app": "x"},
                "approved_by": "dpo",
                "ticket": "R-1",
                "expires": "2026-08-31",
            }
        ],
    )
    assert warnings(source, today=date(2026, 8, 31)) == []
    assert warnings(source, today=date(2026, 9, 1)) == [
        "the trial of rule 'trial' ended on 2026-08-31",
        "exception 'EX-1' expired on 2026-08-31",
    ]


@pytest.mark.parametrize(
    ("confidential", "words"),
    [
        ({"action": "allow", "regions": ["EU"]}, "action allow instead of redact"),
        ({"action": "redact"}, "regions any instead of EU"),
        ({"action": "redact", "regions": ["EU", "US"]}, "regions EU, US instead of EU"),
        ({"action": "redact", "regions": ["EU"]}, "provider_must_have lacks baa"),
        ({"action": "local_only"}, None),
        ({"action": "redact", "regions": ["EU"], "provider_must_have": ["baa"]}, None),
    ],
)
def test_looser_handling_of_a_higher_level_is_a_warning(confidential: dict[str, Any], words: str | None) -> None:
    """Handling that gets looser as the level rises is pointed out."""
    internal = {"action": "redact", "regions": ["EU"], "provider_must_have": ["baa"]}
    source = document(handling={**BASE["handling"], "internal": internal, "confidential": confidential})
    expected = [f"confidential data is handled less strictly than internal data: {words}"] if words else []
    assert warnings(source) == expected


def test_an_unused_data_type_is_a_warning() -> None:
    """A data type that no level and no rule looks at is pointed out."""
    extra = {**BASE["data_types"], "places": {"detect": ["LOCATION"], "confidence": 0.5}}
    assert warnings(document(data_types=extra)) == [
        "no level and no rule uses 'places': finding it makes no difference to the level"
    ]


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    """A policy that is not there is told by its path."""
    with pytest.raises(ConfigurationError, match=r"gone\.yaml: cannot be read"):
        load(tmp_path / "gone.yaml")
