"""Reading what people write down about a request: facts given, targets, and what they expect (`policy_test.yaml`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from gateway.documents import Node, parse, read
from gateway.domain.decision import Action, BudgetState, Facts, Level
from gateway.domain.finding import DetectorState, Found
from gateway.domain.money import FREE
from gateway.domain.target import Target, Zone

TargetsOf = Callable[[Path], tuple[Target, ...]]
"""The targets that a settings file declares. Raises `ConfigurationError`."""

SENT_TO = ("local", "cloud", "nobody")
_LEVELS = {level.word: level for level in Level}
_WHO = ("tenant", "app", "group", "role", "user", "dialect", "model")
_SITUATION = ("found", "detector", "unreadable", "prompt_tokens", "budget", "redaction_incomplete")
_GIVEN = (*_WHO, *_SITUATION, "min_level", "max_cost", "max_first_token")
_EXPECT = ("level", "action", "sent_to", "targets", "because", "redacted")


@dataclass(frozen=True, slots=True)
class Expected:
    """None is not looked at. `targets` are all permitted ones, `because` some of the reasons (in any order)."""

    level: Level | None = None
    action: Action | None = None
    sent_to: str | None = None
    targets: frozenset[str] | None = None
    because: frozenset[str] | None = None
    redacted: bool | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One test. `text`, where there is one, is scanned by the real detector and adds to what is given."""

    name: str
    line: int
    given: Facts
    text: str | None
    expect: Expected


@dataclass(frozen=True, slots=True)
class TestFile:
    """`policy` is the path of the policy that the tests are about."""

    __test__ = False  # pytest would take the name for a test class

    policy: Path
    targets: tuple[Target, ...]
    as_of: date
    cases: tuple[Case, ...]


def read_tests(path: Path, targets_of: TargetsOf) -> TestFile:
    """The test file at `path`; paths in it are relative to it. Raises `DocumentError` or `ConfigurationError`."""
    root = read(path)
    keys = ("policy", "targets", "as_of", "tests")
    fields = root.mapping(keys, keys)
    as_of = fields["as_of"].date()
    policy = path.parent / fields["policy"].text()
    settings = None
    targets: tuple[Target, ...] = ()
    if fields["targets"].kind == "list":
        targets = _inline_targets(fields["targets"])
    elif name := fields["targets"].text():
        settings = path.parent / name
    cases = [_case(item, as_of) for item in fields["tests"].sequence()]
    names: set[str] = set()
    for case, item in zip(cases, fields["tests"].sequence(), strict=True):
        if case.name in names:
            item.fail(f"two tests have the name '{case.name}'")
        names.add(case.name)
    root.problems.check()
    return TestFile(policy, targets_of(settings) if settings else targets, as_of, tuple(cases))


def read_facts(text: str, as_of: date, name: str = "facts") -> Facts:
    """Facts from YAML or JSON with the keys of ``given``. Raises `DocumentError`."""
    root = parse(text, name)
    facts = given(root.mapping(_GIVEN, allow_empty=True), as_of)
    root.problems.check()
    return facts


def read_targets(path: Path) -> tuple[Target, ...] | None:
    """The targets of a file that is a list of them; None for a file that is something else."""
    root = read(path)
    if root.kind != "list":
        return None
    targets = _inline_targets(root)
    root.problems.check()
    return targets


def given(fields: Mapping[str, Node], as_of: date) -> Facts:
    """Facts from the members of ``given``; what is not given is an ordinary request by nobody in particular."""
    who = {key: fields[key].text() if key in fields else "" for key in _WHO}
    state = {word.value: word for word in DetectorState}
    budget = {word.value: word for word in BudgetState}
    return Facts(
        tenant=who["tenant"],
        app=who["app"],
        group=who["group"],
        role=who["role"],
        user=who["user"],
        dialect=who["dialect"],
        model=who["model"],
        found=_found(fields["found"]) if "found" in fields else (),
        detector=state[fields["detector"].one_of(state)] if "detector" in fields else DetectorState.OK,
        unreadable=fields["unreadable"].boolean() if "unreadable" in fields else False,
        prompt_tokens=fields["prompt_tokens"].integer(0) if "prompt_tokens" in fields else 0,
        as_of=as_of,
        budget=budget[fields["budget"].one_of(budget)] if "budget" in fields else BudgetState.OK,
        redaction_incomplete=fields["redaction_incomplete"].boolean() if "redaction_incomplete" in fields else False,
        min_level=_LEVELS[fields["min_level"].one_of(_LEVELS)] if "min_level" in fields else None,
        max_cost=fields["max_cost"].money() if "max_cost" in fields else None,
        max_first_token=fields["max_first_token"].seconds() if "max_first_token" in fields else None,
    )


def _case(node: Node, as_of: date) -> Case:
    fields = node.mapping(("name", "given", "text", "expect"), ("name", "expect"))
    facts = fields["given"].mapping(_GIVEN, allow_empty=True) if "given" in fields else {}
    text = fields["text"].text() if "text" in fields else None
    return Case(fields["name"].text(), node.line, given(facts, as_of), text, _expected(fields["expect"]))


def _expected(node: Node) -> Expected:
    fields = node.mapping(_EXPECT)
    actions = [action.value for action in Action]
    return Expected(
        level=_LEVELS[fields["level"].one_of(_LEVELS)] if "level" in fields else None,
        action=Action(fields["action"].one_of(actions)) if "action" in fields else None,
        sent_to=fields["sent_to"].one_of(SENT_TO) if "sent_to" in fields else None,
        targets=frozenset(fields["targets"].texts(allow_empty=True)) if "targets" in fields else None,
        because=frozenset(fields["because"].text_or_list()) if "because" in fields else None,
        redacted=fields["redacted"].boolean() if "redacted" in fields else None,
    )


def _found(node: Node) -> tuple[Found, ...]:
    """``{CREDIT_CARD: 1}`` (a number of distinct values, found for certain) or with ``{count: 1, percent: 60}``."""
    found = []
    for key, value in node.items(allow_empty=True):
        count, percent = 0, 100
        if value.kind == "mapping":
            fields = value.mapping(("count", "percent"), ("count", "percent"))
            count, percent = fields["count"].integer(0), fields["percent"].integer(0, 100)
        else:
            count = value.integer(0)
        found.append(Found(key.identifier(), percent, count))
    return tuple(sorted(found))


def _inline_targets(node: Node) -> tuple[Target, ...]:
    """Only what a policy looks at is given; the rest is filled in, because a test sends nothing anywhere."""
    targets: dict[str, Target] = {}
    for item in node.sequence():
        fields = item.mapping(("id", "zone", "region", "labels"), ("id", "zone", "region"))
        name = fields["id"].identifier()
        if name and name in targets:
            fields["id"].fail(f"two targets have the id '{name}'")
        targets[name] = simple_target(
            name,
            Zone(fields["zone"].one_of([zone.value for zone in Zone])),
            fields["region"].text(),
            frozenset(fields["labels"].texts(allow_empty=True)) if "labels" in fields else frozenset(),
        )
    return tuple(targets.values())


def simple_target(name: str, zone: Zone, region: str, labels: frozenset[str] = frozenset()) -> Target:
    """A target with just what a policy looks at."""
    return Target(
        id=name,
        zone=zone,
        region=region,
        labels=labels,
        provider="",
        model=name,
        dialect="",
        price=FREE,
        max_output_tokens=0,
        context_tokens=0,
    )
