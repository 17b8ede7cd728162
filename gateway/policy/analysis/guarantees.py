"""Guarantees: promises about every situation, proved by looking at each, or broken by the smallest counter-example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from gateway.documents import DocumentError, Node, nearest
from gateway.domain.decision import BudgetState, Decision, Facts
from gateway.domain.finding import DetectorState
from gateway.domain.target import Target
from gateway.policy.analysis.clauses import Condition
from gateway.policy.analysis.expectations import Expectation, Seen, read_expectation
from gateway.policy.analysis.situations import MOST, Decider, Lens, Problem, View
from gateway.policy.analysis.subjects import Responsible, responsible
from gateway.policy.analysis.words import decided, situation
from gateway.policy.compile import CompiledPolicy
from gateway.policy.load_when import LEVELS, WHEN, when_of
from gateway.policy.names import Names, Surroundings
from gateway.policy.schema import NAMED, Policy, When

GUARANTEE = ("say", "when", "never", "always")
SITUATION = ("detector", "unreadable", "budget", "redaction_incomplete", "min_level", "approved")
"""What ``when`` of a guarantee may say beside the conditions of a rule."""


@dataclass(frozen=True, slots=True)
class Guarantee:
    """`say` is the promise in words; it is about the situations in which `when` holds. At least one of `never` and
    `always` is there. `place` is where it stands in its file."""

    say: str
    when: Condition = field(default_factory=Condition)
    never: Expectation | None = None
    always: Expectation | None = None
    place: Node | None = field(default=None, compare=False, repr=False)

    def broken_by(self, seen: Seen) -> tuple[str, ...]:
        """What of it a decision breaks: keys such as ``never.sent_to``."""
        broken = [f"never.{key}" for key in (self.never.broken_by(seen) if self.never else ())]
        return (*broken, *(f"always.{key}" for key in (self.always.broken_by(seen) if self.always else ())))

    @property
    def data_types(self) -> frozenset[str]:
        """Every data type that it speaks of."""
        when = self.when.when
        found = {*when.contains, *(when.line.any_of if when.line else ()), *(when.line.all_of if when.line else ())}
        for expectation in (self.never, self.always):
            found |= expectation.data_types if expectation else set()
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class CounterExample:
    """A situation in which a guarantee does not hold, with the fewest facts that are not as in an ordinary, empty
    request. `situation` and `decided` are sentences; `broken` are the keys that are not as promised."""

    facts: Facts
    decision: Decision
    situation: str
    decided: str
    broken: tuple[str, ...]
    responsible: tuple[Responsible, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of one guarantee. `situations` is how many it is about, each of which was looked at, and `broken` in
    how many of these it does not hold. None at all means that its `when` never holds."""

    guarantee: Guarantee
    situations: int
    broken: int
    counter_example: CounterExample | None

    @property
    def holds(self) -> bool:
        return self.counter_example is None


def read_guarantees(node: Node, names: Names | None = None) -> tuple[Guarantee, ...]:
    """The list under ``guarantees``; problems are reported at their places. `names` is what the policy defines
    (`names_of`); without it, data types are checked when the guarantees are proved."""
    known = names or _AnyNames()
    return tuple(_guarantee(item, known) for item in node.sequence())


def names_of(policy: Policy) -> Names:
    """What guarantees about this policy may refer to."""
    names = Names(Surroundings())
    names.types = dict.fromkeys(kind.name for kind in policy.data_types)
    names.region_sets = dict(policy.region_sets)
    return names


def prove(
    policy: CompiledPolicy,
    guarantees: Sequence[Guarantee],
    targets: Sequence[Target],
    as_of: date,
    *,
    models: Mapping[str, Sequence[Target]] | None = None,
    entities: frozenset[str] | None = None,
    most: int = MOST,
) -> tuple[Proof, ...]:
    """Each guarantee, proved or broken, over all situations there are on the day `as_of` with these targets.

    `models` are the targets that may answer by the name of the model that is asked for, where those differ: then no
    other model is asked for. Only `entities` are ever found; None means all.

    Raises `DocumentError` for a guarantee about a data type that the policy does not have, or about regions where a
    set is called like the region of a target, and `TooManySituations` where there would be more than `most` to look at.
    """
    _check_types(policy.source, guarantees)
    _check_regions(policy.source, guarantees, targets)
    kinds = _by_targets(models or {})
    if len(kinds) < 2:
        only = next((answering for answering, _ in kinds), targets)
        return tuple(_prove(policy, guarantee, only, as_of, entities, most) for guarantee in guarantees)
    return tuple(
        _together(
            guarantee,
            [
                _prove(policy, asked, answering, as_of, entities, most)
                for answering, names in kinds
                if (asked := _asked_for(guarantee, names)) is not None
            ],
        )
        for guarantee in guarantees
    )


def _by_targets(models: Mapping[str, Sequence[Target]]) -> list[tuple[Sequence[Target], frozenset[str]]]:
    """The different sets of targets, each with the models that it is of."""
    found: dict[frozenset[str], tuple[Sequence[Target], frozenset[str]]] = {}
    for name, answering in models.items():
        key = frozenset(target.id for target in answering)
        _, names = found.get(key, (answering, frozenset[str]()))
        found[key] = answering, names | {name}
    return list(found.values())


def _asked_for(guarantee: Guarantee, models: frozenset[str]) -> Guarantee | None:
    """What a guarantee says of requests for these models; None where it is about others."""
    when = guarantee.when.when
    names = dict(when.names)
    wanted = models & set(names.get("model", models))
    if not wanted:
        return None
    names["model"] = tuple(sorted(wanted))
    ordered = tuple((condition, names[condition]) for condition in NAMED if condition in names)
    return replace(guarantee, when=replace(guarantee.when, when=replace(when, names=ordered)))


def _together(guarantee: Guarantee, proofs: Sequence[Proof]) -> Proof:
    """What came of one guarantee, for all models; the example is the first one's."""
    return Proof(
        guarantee,
        sum(proof.situations for proof in proofs),
        sum(proof.broken for proof in proofs),
        next((proof.counter_example for proof in proofs if proof.counter_example is not None), None),
    )


def _prove(
    policy: CompiledPolicy,
    guarantee: Guarantee,
    targets: Sequence[Target],
    as_of: date,
    entities: frozenset[str] | None,
    most: int,
) -> Proof:
    # What was found matters to a few promises only; then each of their data types is a condition to tell apart.
    types = tuple(sorted(guarantee.never.data_types if guarantee.never else ()))
    found = [Condition(When(contains=(name,))) for name in types]
    conditions = tuple((0, condition) for condition in (guarantee.when, *found))
    decide = Decider(policy, targets, as_of)
    marks = [kinds.marks for kinds in (guarantee.never, guarantee.always) if kinds is not None]
    lens = Lens(decide.settled, frozenset({"gate"}.union(*marks)))
    problem = Problem((policy,), conditions, lambda place, name: False, reasons=False, lens=lens, entities=entities)
    verdicts: dict[tuple[int, tuple[bool, ...]], tuple[Seen, bool]] = {}
    situations = broken = 0
    smallest: tuple[int, Facts, Seen] | None = None
    for one in View(problem, as_of, most=most, only=0):
        decision = decide(one.facts)
        key = id(decision), one.holds
        if key not in verdicts:  # the decision is kept as well, so that no other can have its id
            there = frozenset(name for name, holds in zip(types, one.holds[1:], strict=True) if holds)
            seen = Seen(policy, decision, decide.settled, there)
            verdicts[key] = seen, bool(guarantee.broken_by(seen))
        seen, breaks = verdicts[key]
        situations += one.stands_for
        broken += one.stands_for if breaks else 0
        if breaks and (smallest is None or (one.cost, repr(one.facts)) < (smallest[0], repr(smallest[1]))):
            smallest = one.cost, one.facts, seen
    example = None if smallest is None else _example(policy, guarantee, smallest[1], smallest[2], as_of)
    return Proof(guarantee, situations, broken, example)


def _example(policy: CompiledPolicy, guarantee: Guarantee, facts: Facts, seen: Seen, as_of: date) -> CounterExample:
    decision = seen.decision
    return CounterExample(
        facts=facts,
        decision=decision,
        situation=situation(facts, as_of),
        decided=decided(decision),
        broken=guarantee.broken_by(seen),
        responsible=responsible(policy, decision),
    )


class _AnyNames(Names):
    """Takes every data type, for reading a file before the policy that it is about."""

    def __init__(self) -> None:
        super().__init__(Surroundings())

    def data_types(self, node: Node) -> tuple[str, ...]:
        return tuple(sorted(name for _, name in node.located_texts()))


def _guarantee(node: Node, names: Names) -> Guarantee:
    fields = node.mapping(GUARANTEE, ("say",))
    if fields and "never" not in fields and "always" not in fields:
        node.fail("a guarantee needs never or always: what may not be, or what must be")
    return Guarantee(
        say=fields["say"].text(),
        when=_condition(fields["when"], names) if "when" in fields else Condition(),
        never=read_expectation(fields["never"], names, True) if "never" in fields else None,
        always=read_expectation(fields["always"], names, False) if "always" in fields else None,
        place=node,
    )


def _condition(node: Node, names: Names) -> Condition:
    fields = node.mapping((*WHEN, *SITUATION), allow_empty=True)
    failed = [state.value for state in DetectorState]
    spent = [state.value for state in BudgetState]
    return Condition(
        when=when_of(fields, names),
        detector=fields["detector"].one_of(failed) != DetectorState.OK if "detector" in fields else None,
        unreadable=fields["unreadable"].boolean() if "unreadable" in fields else None,
        budget=fields["budget"].one_of(spent) == BudgetState.SPENT if "budget" in fields else None,
        redaction_incomplete=fields["redaction_incomplete"].boolean() if "redaction_incomplete" in fields else None,
        approved=fields["approved"].boolean() if "approved" in fields else None,
        min_level=LEVELS[fields["min_level"].one_of(LEVELS)] if "min_level" in fields else None,
    )


def _check_types(policy: Policy, guarantees: Sequence[Guarantee]) -> None:
    known = {kind.name for kind in policy.data_types}
    wrong = []
    for guarantee in guarantees:
        for name in sorted(guarantee.data_types - known):
            place = guarantee.place
            if place is None:
                raise ValueError(f"the policy has no data type '{name}'")
            message = f"unknown data type '{name}' in the guarantee '{guarantee.say}'"
            wrong.append(place.problems.at(place.line, place.column, message, nearest(name, known)))
    if wrong:
        raise DocumentError(wrong)


def _check_regions(policy: Policy, guarantees: Sequence[Guarantee], targets: Sequence[Target]) -> None:
    """A set of the policy's own, called like a region that there is, could empty what somebody else promises of it."""
    taken = sorted({target.region for target in targets} & dict(policy.region_sets).keys())
    wrong = []
    for guarantee in guarantees if taken else ():
        kinds = (kind for kind in (guarantee.never, guarantee.always) if kind is not None)
        if any(key == "regions" for kind in kinds for key, _ in kind.wanted):
            message = (
                f"the policy has a set of regions called '{taken[0]}', and a target is in a region of that name: which "
                f"of them is meant by the guarantee '{guarantee.say}'? Give the set another name"
            )
            place = guarantee.place
            if place is None:
                raise ValueError(message)
            wrong.append(place.problems.at(place.line, place.column, message))
    if wrong:
        raise DocumentError(wrong)
