from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from gateway.documents import DocumentError
from gateway.domain.errors import ConfigurationError
from gateway.domain.finding import Found
from gateway.domain.target import Target
from gateway.policy.testing import Subject, Suite, TestFile, read_subject, read_tests, run, run_tests
from support.policies import document, rule

Try: TypeAlias = Callable[..., tuple[Subject, Suite]]

HEAD = "policy: acme.yaml\nas_of: 2026-09-01\ntargets:\n  - {id: local, zone: local, region: on-premises}\n"
RULES = [rule("inside", {"app": "hr"}, {"action": "local_only", "notify": ["privacy"]})]


def no_settings(path: Path) -> tuple[Target, ...]:
    raise ConfigurationError(f"{path}: cannot be read: No such file or directory")


def parsed(folder: Path, text: str, *, head: str = HEAD, detectable: frozenset[str] | None = None) -> TestFile:
    (folder / "acme.yaml").write_text(json.dumps(document(rules=RULES)))
    path = folder / "acme_test.yaml"
    path.write_text(f"{head}{text}")
    return read_tests(path, no_settings, read_subject, detectable)


def problems(folder: Path, text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(DocumentError) as caught:
        parsed(folder, text)
    return [(problem.line, problem.message, problem.suggestion) for problem in caught.value.problems]


def test_names_that_nothing_has_are_told_at_once(tmp_path: Path) -> None:
    """A slip in a target, a rule, a data type or a channel is an error at its place, with what was probably meant."""
    text = (
        "tests:\n"
        "  - {name: a, expect: {targets: [locl]}}\n"
        "  - {name: b, expect: {because: [insde, handling.pubic]}}\n"
        "  - {name: c, expect: {hidden: [payment dat], hidden_in_answers: [PERSN]}}\n"
        "  - {name: d, expect: {notify: [privac], approvers: [dpo]}}\n"
        "  - {name: e, expect: {would: {because: [insid]}}}\n"
        "  - {name: f, targets: [loca], expect: {level: public}}\n"
    )
    assert problems(tmp_path, text) == [
        (6, "unknown target 'locl'", "local"),
        (7, "unknown rule 'insde'", "inside"),
        (7, "unknown rule 'handling.pubic'", "handling.public"),
        (8, "unknown data type or entity 'payment dat'", "payment data"),
        (8, "unknown data type or entity 'PERSN'", "PERSON"),
        (9, "unknown channel 'privac'", "privacy"),
        (9, "unknown group of approvers 'dpo'", ""),
        (10, "unknown rule 'insid'", "inside"),
        (11, "unknown target 'loca'", "local"),
    ]


@pytest.mark.parametrize(
    "reason",
    [
        "approval",
        "conversation.level",
        "answers.hide",
        "limits.when_spent",
        "caller.max_cost",
        "handling.public",
    ],
)
def test_reasons_that_are_no_rules_are_known(tmp_path: Path, reason: str) -> None:
    """Every place in the file and every wish of the caller that can be a reason may be expected."""
    assert parsed(tmp_path, f"tests:\n  - {{name: a, expect: {{because: [{reason}]}}}}\n").cases


def test_an_entity_that_nothing_finds_is_a_warning(tmp_path: Path) -> None:
    """A test about what cannot happen is pointed out, but is no error: the detector may be another one tomorrow."""
    text = "tests:\n  - {name: a, given: {found: {CREDIT_CRD: 1, PERSON: 1}}, expect: {level: internal}}\n"
    read = parsed(tmp_path, text, detectable=frozenset({"CREDIT_CARD", "PERSON"}))
    (warning,) = read.warnings
    assert (warning.line, warning.suggestion) == (6, "CREDIT_CARD")
    assert warning.message == "no detector finds 'CREDIT_CRD', so this never happens"
    assert parsed(tmp_path, text).warnings == ()


def test_problems_of_the_policy_and_of_the_tests_come_together(tmp_path: Path) -> None:
    """Whoever made two mistakes in two files is told both."""
    path = tmp_path / "acme_test.yaml"
    path.write_text(HEAD + "tests:\n  - {name: a, expect: {level: secret}}\n")
    (tmp_path / "acme.yaml").write_text(json.dumps(document(owner=None)))
    with pytest.raises(DocumentError) as caught:
        read_tests(path, no_settings, read_subject)
    assert {Path(problem.file).name for problem in caught.value.problems} == {"acme.yaml", "acme_test.yaml"}


def test_a_settings_file_that_is_not_there_is_told_beside_the_rest(tmp_path: Path) -> None:
    """A wrong path for the targets does not hide what else is wrong."""
    head = "policy: acme.yaml\nas_of: 2026-09-01\ntargets: gone.yaml\n"
    with pytest.raises(ConfigurationError, match=r"(?s)gone\.yaml: cannot be read.*'secret' is not one of"):
        parsed(tmp_path, "tests:\n  - {name: a, expect: {level: secret}}\n", head=head)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "missing key 'tests'"),
        ("tests: []\n", "expected a list of at least one, got nothing"),
        ("tests:\n", "expected a list of at least one, got nothing"),
        ("guarantees: []\n", "expected a list of at least one, got nothing"),
        ("tests:\n  - {name: a, expect: {}}\n", "expected at least one 'key: value', got nothing"),
        ("tests:\n  - {name: a, expect: {would: {}}}\n", "expected at least one 'key: value', got nothing"),
    ],
)
def test_a_file_that_tests_nothing_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    """A test that expects nothing would pass for ever."""
    assert [found for _, found, _ in problems(tmp_path, text)] == [message]


def test_guarantees_alone_are_enough(tmp_path: Path) -> None:
    """A file may hold promises about every situation and no example."""
    read = parsed(tmp_path, "guarantees:\n  - {say: Stays, when: {level: restricted}, never: {sent_to: cloud}}\n")
    assert ([guarantee.say for guarantee in read.guarantees], read.cases) == (["Stays"], ())


def test_a_guarantee_about_an_unknown_data_type_is_an_error(tmp_path: Path) -> None:
    """What guarantees speak of is checked against the policy when the file is read."""
    text = "guarantees:\n  - {say: Stays, when: {contains: payment dat}, never: {sent_to: cloud}}\n"
    assert problems(tmp_path, text) == [(6, "unknown data type 'payment dat'", "payment data")]


def test_a_test_may_name_the_targets_that_could_answer(given: Try) -> None:
    """A model that is served by some targets only: no other gets a verdict, so it may be that none is left."""
    found = {"found": {"CREDIT_CARD": 1}}
    nowhere = {"given": found, "targets": ["cloud-eu", "cloud-us"], "expect": {"because": ["if_unsure.no_target_left"]}}
    subject, suite = given([nowhere, {"given": found, "expect": {"targets": ["local"]}}])
    assert [result.mismatches for result in run(subject.policy, suite.prepared)] == [(), ()]
    assert [len(case.targets) for case in suite.tests.cases] == [2, 3]


def test_a_matrix_is_one_case_for_each_combination(given: Try) -> None:
    """The names show the combination, so that a failure says which one failed."""
    found = [{"CREDIT_CARD": 1}, {"PERSON": 2, "EMAIL_ADDRESS": {"count": 1, "percent": 60}}, {}]
    test = {"matrix": {"app": ["a", "b"], "found": found}, "given": {"tenant": "t"}, "expect": {"sent_to": "local"}}
    _, suite = given([test])
    cases = suite.tests.cases
    assert [case.name for case in cases] == [
        "test 0 [app=a, found=CREDIT_CARD]",
        "test 0 [app=a, found=PERSON: 2 + EMAIL_ADDRESS: 1 at 60 %]",
        "test 0 [app=a, found=nothing]",
        "test 0 [app=b, found=CREDIT_CARD]",
        "test 0 [app=b, found=PERSON: 2 + EMAIL_ADDRESS: 1 at 60 %]",
        "test 0 [app=b, found=nothing]",
    ]
    assert {(case.given.tenant, case.given.app) for case in cases} == {("t", "a"), ("t", "b")}
    assert cases[1].given.found == (Found("EMAIL_ADDRESS", 60, 1), Found("PERSON", 100, 2))


def test_a_matrix_takes_anything_that_can_be_given(tmp_path: Path) -> None:
    """Numbers, words, lists, true and false; the texts of a matrix go by number, because a report holds no content."""
    matrix = "{prompt_tokens: [1, 2], unreadable: [true], declared: [[x, y], []], text: [my card, my name]}"
    text = f"tests:\n  - {{name: n, matrix: {matrix}, expect: {{level: public}}}}\n"
    read = parsed(tmp_path, text)
    assert len(read.cases) == 8
    assert read.cases[0].name == "n [prompt_tokens=1, unreadable=true, declared=x + y, text=#1]"
    assert read.cases[7].name == "n [prompt_tokens=2, unreadable=true, declared=nothing, text=#2]"
    asked: list[str] = []

    def scan(texts: object) -> tuple[Found, ...]:
        asked.extend(texts)  # type: ignore[arg-type]  # a list of texts
        return ()

    assert all(result.passed for result in run_tests(read_subject(tmp_path / "acme.yaml").policy, read, scan))
    assert sorted(asked) == ["my card", "my name"]


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ("given: {app: x}, matrix: {app: [y]}", "'app' is given already: a matrix lists only what differs"),
        ("text: x, matrix: {text: [y]}", "'text' is given already: a matrix lists only what differs"),
        ("matrix: {app: [x, x]}", "the combination [app=x] is listed twice"),
        ("matrix: {app: []}", "expected a list of at least one, got nothing"),
        ("matrix: {}", "expected at least one 'key: value', got nothing"),
        ("matrix: {level: [public]}", "unknown key 'level'"),
        ("matrix: {found: [CREDIT_CARD]}", "expected a mapping (key: value), got the text 'CREDIT_CARD'"),
        (
            f"matrix: {{prompt_tokens: {list(range(101))}, app: {[f'a{n}' for n in range(100)]}}}",
            "more than 10000 combinations",
        ),
    ],
)
def test_a_matrix_that_cannot_be_meant_is_an_error(tmp_path: Path, test: str, message: str) -> None:
    """Contradictions, repetitions, nothing at all and far too much."""
    found = problems(tmp_path, f"tests:\n  - {{name: n, {test}, expect: {{level: public}}}}\n")
    assert [said.split(" (known")[0] for _, said, _ in found] == [message]
