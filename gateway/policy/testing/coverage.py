"""Which parts of a policy had a say in some test. What no test touches is promised by nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gateway.domain.decision import Action, Decision, Level
from gateway.policy.compile import CompiledPolicy, compile_policy
from gateway.policy.evaluate import evaluate, holds, present_types
from gateway.policy.schema import Outcome, Policy
from gateway.policy.testing.expected import Seen, observed
from gateway.policy.testing.loosened import asks
from gateway.policy.testing.mutants import NAMED_BY_KIND, has_budget, limit_removals, line_words, with_handling
from gateway.policy.testing.running import Prepared
from gateway.policy.testing.subject import Keys, Place, Subject
from gateway.policy.written import line_key

_NOTHING_ASKED = Outcome()
_INSIDE = Outcome(Action.LOCAL_ONLY)
_UNSURE = {
    "detector_fails": "detector: failed",
    "unreadable_content": "unreadable: true",
    "redaction_incomplete": "redaction_incomplete: true",
    "no_target_left": "targets that all may not receive the request",
}
"""What a test says to bring each case about."""


@dataclass(frozen=True, slots=True)
class Item:
    """A part of a policy. `missing` says what a test would have to do, where no test covers it."""

    kind: str
    name: str
    place: Place
    covered: bool
    missing: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" if self.kind in NAMED_BY_KIND else self.name


@dataclass(frozen=True, slots=True)
class Coverage:
    items: tuple[Item, ...]

    @property
    def percent(self) -> float:
        """Of all parts, those that are covered; 100 where there are none."""
        return 100 * sum(item.covered for item in self.items) / len(self.items) if self.items else 100.0

    @property
    def uncovered(self) -> tuple[Item, ...]:
        return tuple(item for item in self.items if not item.covered)

    def by_kind(self) -> dict[str, tuple[int, int]]:
        """Covered and all parts, by kind."""
        counts: dict[str, tuple[int, int]] = {}
        for item in self.items:
            covered, total = counts.get(item.kind, (0, 0))
            counts[item.kind] = covered + item.covered, total + 1
        return counts


def coverage(subject: Subject, prepared: Sequence[Prepared]) -> Coverage:
    """What these cases cover, whether they pass or not."""
    policy = subject.policy
    decisions = [evaluate(policy, item.facts, item.targets) for item in prepared]
    source = policy.source
    items = []
    for keys, kind, name, covered, missing in (
        *_lines(policy, prepared),
        *_handling(policy, prepared, decisions),
        *_limits(policy, prepared, decisions),
        *_reasons(source, decisions),
    ):
        items.append(Item(kind, name, subject.place(keys), covered, "" if covered else missing))
    return Coverage(tuple(items))


_Row = tuple[Keys, str, str, bool, str]


def _lines(policy: CompiledPolicy, prepared: Sequence[Prepared]) -> Iterator[_Row]:
    founds = [(item.facts.found, present_types(policy, item.facts.found)) for item in prepared]
    for place, (level, lines) in enumerate(policy.levels):
        higher = [line for _, above in policy.levels[:place] for line in above]
        reached = [pair for pair in founds if not any(holds(line, *pair) for line in higher)]
        for line in lines:
            said = line.source
            keys = (line_key(level, said), ("level", level.word))
            covered = any(holds(line, *pair) for pair in reached)
            missing = f"no test in which this makes the level {level.word}"
            yield keys, "level", f"levels.{level.word}, {line_words(said)}", covered, missing


def _handling(policy: CompiledPolicy, prepared: Sequence[Prepared], decisions: Sequence[Decision]) -> Iterator[_Row]:
    for level in Level:
        other = _NOTHING_ASKED if asks(policy.source.handling[level]) else _INSIDE
        without = compile_policy(replace(policy.source, handling=with_handling(policy.source, level, other)))
        there = [(item, made) for item, made in zip(prepared, decisions, strict=True) if made.level is level]
        covered = any(_differs(policy, without, item, made) for item, made in there)
        missing = (
            "something else was as strict in every test of this level" if there else f"no test of level {level.word}"
        )
        yield (("handling", level.word),), "handling", f"handling.{level.word}", covered, missing


def _limits(policy: CompiledPolicy, prepared: Sequence[Prepared], decisions: Sequence[Decision]) -> Iterator[_Row]:
    for keys, name, limits in limit_removals(policy.source.limits):
        without = compile_policy(replace(policy.source, limits=limits))
        covered = any(_differs(policy, without, item, made) for item, made in zip(prepared, decisions, strict=True))
        yield keys, "limit", name, covered, "no test in which this is the limit"
    if has_budget(policy.source.limits):
        covered = _had_a_say("limits.when_spent", decisions)
        missing = "no test with budget: spent"
        yield (("limit", "when_spent"), ("section", "limits")), "limit", "limits.when_spent", covered, missing


def _reasons(source: Policy, decisions: Sequence[Decision]) -> Iterator[_Row]:
    """What says so itself, when it had a say."""
    for key, _ in source.unsure:
        covered = _had_a_say(f"if_unsure.{key}", decisions)
        yield (
            (("unsure", key), ("section", "if_unsure")),
            "if_unsure",
            f"if_unsure.{key}",
            covered,
            f"no test with {_UNSURE[key]}",
        )
    for rule in source.rules:
        yield (("rule", rule.id),), "rule", rule.id, _had_a_say(rule.id, decisions), "no test in which it matches"
    if not source.audit:  # a policy in audit mode enforces no rule, so there is nothing to lift
        for waiver in source.waivers:
            covered = _had_a_say(waiver.id, decisions)
            missing = f"no test in which it lifts {waiver.lifts}"
            yield (("exception", waiver.id),), "exception", waiver.id, covered, missing


def _had_a_say(reason: str, decisions: Sequence[Decision]) -> bool:
    return any(said.rule == reason for made in decisions for said in (*made.reasons, *made.would))


def _differs(policy: CompiledPolicy, other: CompiledPolicy, item: Prepared, made: Decision) -> bool:
    changed = evaluate(other, item.facts, item.targets)
    return observed(Seen(policy, made, item.targets)) != observed(Seen(other, changed, item.targets))
