"""The dimensions of a problem, in the order in which the fold goes through them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from itertools import product
from typing import Any

from gateway.domain.decision import BudgetState, Facts, Level
from gateway.domain.finding import DetectorState, Found
from gateway.policy.analysis.build import HIGHER, Build
from gateway.policy.analysis.clauses import Clause, Names, names_of
from gateway.policy.analysis.counts import combinations
from gateway.policy.analysis.fold import GROUP_BITS, Fold, Kept, Option, Outcome
from gateway.policy.analysis.moments import moments
from gateway.policy.compile import CompiledPolicy
from gateway.policy.schema import FACT_OF, NAMED, Times

FIELDS = tuple(FACT_OF[name] for name in NAMED)
UNUSUAL = 10
"""The cost of one fact that is not as in an ordinary, empty request."""

_FLAG_FACTS: dict[str, tuple[str, object]] = {
    "detector": ("detector", DetectorState.FAILED),
    "unreadable": ("unreadable", True),
    "redaction_incomplete": ("redaction_incomplete", True),
    "budget": ("budget", BudgetState.SPENT),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One dimension: `relevant` are the clauses that it looks at; `go` takes the fold through it, given those that are
    met when they survive."""

    relevant: int
    go: Callable[[Fold, int], None]


def enumerate_states(
    build: Build, as_of: date, most: int, must: int = 0, unless: int = 0
) -> Iterator[tuple[int, Kept, Facts]]:
    """What was gained in each state that can be told apart, how it is kept, and the facts of its simplest situation."""
    clauses = tuple(build.clauses)
    steps = _Steps(build, clauses, as_of).all()
    last = [0] * len(steps)
    never = 0
    for place in range(len(clauses)):
        bit = 1 << place
        looking = [number for number, step in enumerate(steps) if step.relevant & bit]
        if looking:
            last[looking[-1]] |= bit
        else:
            never |= bit
    lifting = {who for clause in clauses for who in clause.lifted}
    asked = sum(1 << place for place, clause in enumerate(clauses) if clause in build.scopes or clause.names in lifting)
    gains, drops = tuple(build.clauses.values()), build.drops()
    fold = Fold(gains, build.start, most, must=must, unless=unless, asked=asked, drops=drops)
    fold.through([Option(0)], never, never)
    for step, done in zip(steps, last, strict=True):
        step.go(fold, done)
    for (_, gained, _), kept in fold.states.items():
        yield gained, kept, facts_of(kept, build, as_of)


def facts_of(kept: Kept, build: Build, as_of: date) -> Facts:
    """The facts that were written down on the way."""
    values: dict[str, Any] = {}
    found: dict[int, Found] = {}
    labels: list[str] = []
    more: tuple[int, ...] = ()
    chain = kept[2]
    while chain is not None:
        (name, value), chain = chain
        if name == "kind":
            found[value] = build.evidence.samples[value]
        elif name == "label":
            labels.append(value)
        elif name == "sums":
            more = value
        else:
            values |= value if name == "several" else {name: value}
    for group, total in zip(build.evidence.groups, more, strict=False):
        present = sorted(set(found) & group)
        if present:
            first = found[present[0]]
            found[present[0]] = replace(first, distinct=1 + total - len(present))
    return replace(
        ordinary(as_of),
        found=tuple(sorted(found.values())),
        labels=tuple(sorted(labels)),
        **values,
    )


def ordinary(as_of: date) -> Facts:
    """A request by nobody in particular, in which nothing was found."""
    return Facts("", "", "", "", "", "", "", (), DetectorState.OK, False, 0, as_of)


class _Steps:
    """Makes the dimensions of one problem."""

    def __init__(self, build: Build, clauses: tuple[Clause, ...], as_of: date) -> None:
        self._build = build
        self._clauses = clauses
        self._as_of = as_of
        self._every = (1 << len(clauses)) - 1

    def all(self) -> list[Step]:
        flags = [self._flag(name, gain) for name, gain in self._build.flags().items()]
        return [
            *(self._names(name) for name in FIELDS),
            self._lift(),
            *self._limits(),
            *(self._label(name) for name in sorted({clause.label for clause in self._clauses if clause.label})),
            self._tokens(),
            self._times(),
            *(self._kind(place) for place in range(len(self._build.evidence.samples))),
            self._counts(),
            self._level(),
            *flags,
            self._approved(),
        ]

    def _where(self, holds: Callable[[Clause], object]) -> int:
        return sum(1 << place for place, clause in enumerate(self._clauses) if holds(clause))

    @staticmethod
    def _step(options: Iterable[Option], relevant: int) -> Step:
        listed = tuple(options)
        return Step(relevant, lambda fold, done: fold.through(listed, relevant, done))

    def _names(self, name: str) -> Step:
        accepted = [dict(clause.names).get(name) for clause in self._clauses]
        relevant = self._where(lambda clause: name in dict(clause.names))
        known = sorted(frozenset().union(*(names for names in accepted if names)))
        tenants = [policy.source.tenants for policy in self._build.problem.policies]
        only = frozenset().union(*tenants) if name == "tenant" and all(tenants) else frozenset()
        named = sorted(only) or known
        masks = dict.fromkeys(named, 0)
        for place, names in enumerate(accepted):
            for who in named:
                masks[who] |= 1 << place if names is not None and who not in names else 0
        options = [] if only else [Option(relevant)]
        options += [Option(out, cost=UNUSUAL, fact=(name, who)) for who, out in masks.items()]
        return self._step(options, relevant)

    def _lift(self) -> Step:
        """Puts out what is lifted for whoever asks."""
        lifted = {who for clause in self._clauses for who in clause.lifted}
        places = {clause: place for place, clause in enumerate(self._clauses)}
        puts_out = {1 << places[Clause(names=who)]: self._lifted_for(who) for who in lifted}
        relevant = 0
        for who, out in puts_out.items():
            relevant |= who | out

        def go(fold: Fold, done: int) -> None:
            def outcomes(seen: int) -> list[Outcome]:
                out = 0
                for who, mask in puts_out.items():
                    out |= mask if seen & who else 0
                return fold.outcomes(seen, [Option(out)], done)

            fold.each(lambda alive, gained, found: alive & relevant, outcomes)

        return Step(relevant, go)

    def _lifted_for(self, who: Names) -> int:
        return self._where(lambda clause: who in clause.lifted)

    def _limits(self) -> Iterator[Step]:
        """What limits are left for whoever passes certain scopes."""
        places = {clause: 1 << place for place, clause in enumerate(self._clauses)}
        for number, policy in enumerate(self._build.problem.policies):
            scopes = [places[Clause(names=names_of(scope.who))] for scope in policy.source.limits.scopes]
            yield Step(sum(set(scopes)), partial(self._limit, number, scopes))

    def _limit(self, number: int, scopes: list[int], fold: Fold, done: int) -> None:
        relevant = sum(set(scopes))

        def outcomes(seen: int) -> list[Outcome]:
            fitting = sum(1 << place for place, bit in enumerate(scopes) if seen & bit)
            return fold.outcomes(seen, [Option(0, self._build.limits(number, fitting))], done)

        fold.each(lambda alive, gained, found: alive & relevant, outcomes)

    def _label(self, name: str) -> Step:
        relevant = self._where(lambda clause: clause.label == name)
        return self._step([Option(relevant), Option(0, cost=UNUSUAL, fact=("label", name))], relevant)

    def _tokens(self) -> Step:
        over = sorted({clause.over_tokens for clause in self._clauses if clause.over_tokens is not None})
        relevant = self._where(lambda clause: clause.over_tokens is not None)
        larger = [Option(self._needs_more(tokens), cost=UNUSUAL, fact=("prompt_tokens", tokens + 1)) for tokens in over]
        return self._step([Option(relevant), *larger], relevant)

    def _needs_more(self, tokens: int) -> int:
        return self._where(lambda clause: (clause.over_tokens or 0) > tokens)

    def _times(self) -> Step:
        spans = tuple(sorted({clause.times for clause in self._clauses if clause.times is not None}))
        relevant = self._where(lambda clause: clause.times is not None)
        options: list[Option] = []
        for held, day, minute in moments(spans, self._as_of):
            fact = ("several", {"as_of": day, "minute": minute}) if options else None
            others = frozenset(span for span, holds in zip(spans, held, strict=True) if not holds)
            options.append(Option(self._at_one_of(others), cost=UNUSUAL if fact else 0, fact=fact))
        return self._step(options, relevant)

    def _at_one_of(self, times: frozenset[Times]) -> int:
        return self._where(lambda clause: clause.times in times)

    def _kind(self, place: int) -> Step:
        relevant = self._where(lambda clause: place in clause.need.kinds)
        step = 0
        for number, group in enumerate(self._build.evidence.groups):
            step += (place in group) << (number * GROUP_BITS)
        return self._step([Option(relevant), Option(0, cost=UNUSUAL, step=step, fact=("kind", place))], relevant)

    def _counts(self) -> Step:
        counts = self._build.evidence.counts
        groups = len(self._build.evidence.groups)
        relevant = self._where(lambda clause: clause.need.counts)
        needing = [self._counting(number) for number in range(len(counts))]

        def options(found: int) -> Iterator[Option]:
            present = [found >> (group * GROUP_BITS) & ((1 << GROUP_BITS) - 1) for group in range(groups)]
            for held, sums in combinations(counts, present):
                out = 0
                for holds, mask in zip(held, needing, strict=True):
                    out |= 0 if holds else mask
                more = sum(sums) - sum(present)
                yield Option(out, cost=min(more, UNUSUAL - 1), fact=("sums", sums) if more else None)

        def go(fold: Fold, done: int) -> None:
            def outcomes(seen: tuple[int, int]) -> list[Outcome]:
                return [outcome._replace(step=-seen[1]) for outcome in fold.outcomes(seen[0], options(seen[1]), done)]

            fold.each(lambda alive, gained, found: (alive & relevant, found), outcomes)

        return Step(relevant, go)

    def _counting(self, number: int) -> int:
        return self._where(lambda clause: number in clause.need.counts)

    def _level(self) -> Step:
        """Settles the level of each machine: by what was found, or raised by the caller or the conversation."""
        build = self._build
        relevant = self._where(lambda clause: clause.levels or clause.min_level is not None)
        machines = sorted(set(build.machines))
        reached = 0
        for machine in machines:
            reached |= build.reached(machine, Level.RESTRICTED)
        nobody_asks: tuple[Level | None, ...] = (None, *HIGHER)
        # To ask for the lowest level raises nothing, but a condition may be about whoever asks.
        heard = any(clause.min_level is Level.PUBLIC for clause in self._clauses)
        asks = (*nobody_asks, Level.PUBLIC) if heard else nobody_asks
        hints = list(product(asks, nobody_asks if build.problem.reasons else (None,)))
        handled = {
            (place, level): build.handling(place, level) for place in range(len(build.machines)) for level in Level
        }

        def options(gained: int) -> Iterator[Option]:
            for asked, before in hints:
                levels, gain = {}, 0
                for machine in machines:
                    found = max(level for level in Level if not build.reached(machine, level) & ~gained)
                    level = levels[machine] = max(found, asked or found, before or found)
                    gain |= build.bits.bit(("level", machine, level))
                    if build.problem.reasons and level > found:
                        gain |= build.bits.bit(("asked", machine)) if asked is level else 0
                        gain |= build.bits.bit(("before", machine)) if before is level else 0
                for place, machine in enumerate(build.machines):
                    gain |= handled[place, levels[machine]]
                out = self._not_at(levels, asked)
                said = {"min_level": asked, "history_level": before}
                fact = {name: value for name, value in said.items() if value is not None}
                yield Option(out, gain, UNUSUAL * len(fact), fact=("several", fact) if fact else None)

        def go(fold: Fold, done: int) -> None:
            known: dict[int, list[Option]] = {}

            def outcomes(seen: tuple[int, int]) -> list[Outcome]:
                if seen[1] not in known:
                    known[seen[1]] = list(options(seen[1]))
                return [outcome._replace(lost=reached) for outcome in fold.outcomes(seen[0], known[seen[1]], done)]

            fold.each(lambda alive, gained, found: (alive & relevant, gained & reached), outcomes)

        return Step(relevant, go)

    def _not_at(self, levels: Mapping[int, Level], asked: Level | None) -> int:
        return self._where(lambda clause: _rules_out(clause, levels, asked))

    def _flag(self, name: str, gain: int) -> Step:
        relevant = self._where(lambda clause: name in dict(clause.flags))
        off = self._where(lambda clause: dict(clause.flags).get(name) is True)
        on = self._where(lambda clause: dict(clause.flags).get(name) is False)
        options = [Option(off)]
        if name != "budget" or any(_day_limited(policy) for policy in self._build.problem.policies):
            options.append(Option(on, gain, UNUSUAL, fact=_FLAG_FACTS[name]))
        return self._step(options, relevant)

    def _approved(self) -> Step:
        build = self._build
        relevant = self._where(lambda clause: "approved" in dict(clause.flags))
        off = self._where(lambda clause: dict(clause.flags).get("approved") is True)
        on = self._where(lambda clause: dict(clause.flags).get("approved") is False)
        approvals = build.approvals
        approved = build.bits.bit(("approved",))

        def go(fold: Fold, done: int) -> None:
            def outcomes(seen: tuple[int, int]) -> list[Outcome]:
                gain = approved if seen[1] else 0
                options = [Option(off), Option(on, gain, UNUSUAL, fact=("approved", True))]
                return fold.outcomes(seen[0], options, done)

            fold.each(lambda alive, gained, found: (alive & relevant, gained & approvals), outcomes)

        return Step(relevant, go)


def _rules_out(clause: Clause, levels: Mapping[int, Level], asked: Level | None) -> bool:
    if clause.min_level is not None and (asked is None or asked < clause.min_level):
        return True
    return any(levels[machine] not in accepted for machine, accepted in clause.levels)


def _day_limited(policy: CompiledPolicy) -> bool:
    """Can anybody's budget of the day ever be spent?"""
    limits = policy.source.limits
    said = [limits.per_app_per_day, *(scope.amounts.per_app_per_day for scope in limits.scopes)]
    if limits.ceiling is not None:
        said.append(limits.ceiling.per_app_per_day)
    return any(amount is not None for amount in said)
