"""What is probably not meant in a policy, found by looking at every situation: rules that never match or change
nothing, requests that nobody can answer, levels that never occur, exceptions that lift nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from functools import cached_property

from gateway.domain.decision import Decision, Level
from gateway.domain.target import Target
from gateway.policy.analysis.checks import ERROR, NOTE, WARNING, Finding, checks
from gateway.policy.analysis.differences import TRIAL, difference
from gateway.policy.analysis.enumerate import ordinary
from gateway.policy.analysis.imagined import any_targets
from gateway.policy.analysis.situations import MOST, Decider, Lens, Problem, Situation, View, frozen
from gateway.policy.analysis.subjects import Subject, subject_of
from gateway.policy.analysis.words import listed, situation
from gateway.policy.compile import CompiledPolicy, compile_policy
from gateway.policy.effects import Effect
from gateway.policy.schema import Policy, Rule, Waiver

__all__ = ["ERROR", "NOTE", "WARNING", "Finding", "analyse"]

_WHERE = frozenset({"gate", "not to"})
_NO_TARGET = "if_unsure.no_target_left"
_MOST_SHOWN = 8
"""Sets of causes for which no target is left; more would say the same again."""


def analyse(
    policy: CompiledPolicy,
    targets: Sequence[Target],
    as_of: date,
    *,
    entities: frozenset[str] | None = None,
    irreversible: frozenset[str] = frozenset(),
    most: int = MOST,
) -> tuple[Finding, ...]:
    """Everything that is probably not meant, as of this day and with these targets.

    A policy in audit mode is looked at as if it were enforced. Only `entities` are ever found; None means all. Values
    of `irreversible` entities cannot be put back once they are hidden; the pseudonymiser of this gateway puts all back.
    Raises `TooManySituations` where there would be more than `most` to look at.
    """
    analysis = _Analysis(policy, targets, as_of, entities, most)
    found = [
        *analysis.rules(),
        *analysis.waivers(),
        *analysis.no_target_left(),
        *analysis.levels(),
        *analysis.looser_when_higher(),
        *checks(policy, targets, as_of, irreversible),
    ]
    return tuple(dict.fromkeys(found))


class _Analysis:
    """What needs decisions. `policy` is enforced and as on the day."""

    def __init__(
        self,
        policy: CompiledPolicy,
        targets: Sequence[Target],
        as_of: date,
        entities: frozenset[str] | None,
        most: int,
    ) -> None:
        self._policy = replace(frozen(policy, as_of), source=replace(policy.source, audit=False), memo={})
        self._targets = Decider(policy, targets, as_of).settled
        self._any_targets = any_targets(policy)
        self._as_of = as_of
        self._entities = entities
        self._most = most
        self._examples: list[Situation] = []
        """Of each rule that can match, the simplest situations in which it does."""

    def rules(self) -> Iterator[Finding]:
        for place, (rule, made) in enumerate(zip(self._policy.source.rules, self._policy.rules, strict=True)):
            subject = "rule", rule.id
            if made.until is not None:
                message = f"the trial of rule '{rule.id}' ended on {rule.until}: the rule does nothing any more"
                yield Finding("trial-ended", WARNING, message, subject)
                continue
            simplest = sorted(self._view((self._alone(rule),), rule.id), key=lambda one: one.cost)
            if not simplest:
                yield self._unreachable(rule)
            else:
                self._examples += simplest
                yield from self._effect(place, rule, simplest)
                yield from self._level_gap(rule, simplest)

    def waivers(self) -> Iterator[Finding]:
        rules = {rule.id: rule for rule in self._policy.source.rules}
        for place, (waiver, made) in enumerate(zip(self._policy.source.waivers, self._policy.waivers, strict=True)):
            subject = "exception", waiver.id
            if made.expires == date.min:
                message = f"exception '{waiver.id}' expired on {waiver.expires}: it lifts nothing any more"
                yield Finding("exception-expired", WARNING, message, subject)
                continue
            rule = rules[waiver.lifts]
            simplest = list(self._view((self._alone(rule, waiver),), waiver.id))
            if not simplest:
                message = f"exception '{waiver.id}' lifts nothing: '{rule.id}' never matches for those it is made for"
                yield Finding("exception-without-effect", WARNING, message, subject)
                continue
            listed_waivers = list(self._policy.waivers)
            listed_waivers[place] = replace(made, expires=date.min)
            without = replace(self._policy, waivers=tuple(listed_waivers), memo={})
            if not self._lifts(waiver, without, simplest):
                others = f"all that '{rule.id}' asks for is asked for by others as well"
                message = f"exception '{waiver.id}' lifts nothing: {others}"
                yield Finding("exception-without-effect", WARNING, message, subject)

    def no_target_left(self) -> Iterator[Finding]:
        """One finding for each smallest set of causes. The simplest situations of each rule come as well, so that two
        rules that ask for the same are both named."""
        decide = self._decider(self._policy, self._targets)
        found: dict[frozenset[str], Situation] = {}
        seen: dict[int, tuple[Decision, frozenset[str] | None]] = {}
        for one in (*self._view((self._policy,), lens=Lens(self._targets, _WHERE)), *self._examples):
            decision = decide(one.facts)
            if id(decision) not in seen:
                seen[id(decision)] = decision, _causes(self._policy, decision)
            causes = seen[id(decision)][1]
            if causes is not None and (causes not in found or _simpler(one, found[causes])):
                found[causes] = one
        smallest = [causes for causes in found if not any(other < causes for other in found)]
        for causes in sorted(smallest, key=lambda names: (len(names), sorted(names)))[:_MOST_SHOWN]:
            example = found[causes]
            names = listed(sorted(causes)) if causes else "nothing in the policy: there are no targets"
            message = f"no target may receive this: {situation(example.facts, self._as_of)} Because of {names}."
            yield Finding("no-target-left", WARNING, message, self._subject(causes), example.facts)

    def levels(self) -> Iterator[Finding]:
        written = {level for level, lines in self._policy.source.levels if lines}
        bare = compile_policy(self._bare)
        decide = self._decider(bare, self._targets)
        reached = set()
        for one in self._view((bare,), reasons=True):
            if one.facts.min_level is None and one.facts.history_level is None:
                reached.add(decide(one.facts).level)
        for level in Level:
            if level in reached:
                continue
            if level in written:
                message = (
                    f"nothing is ever {level.word}: whatever makes one of its lines true makes a higher level true"
                )
                if self._entities is not None:
                    message += ", or is never found"
                yield Finding("level-never-produced", WARNING, message, ("level", level.word))
            else:
                message = f"no line makes a request {level.word}: only callers and a conversation's history can"
                yield Finding("level-never-produced", NOTE, message, ("section", "levels"))

    def looser_when_higher(self) -> Iterator[Finding]:
        """Handling alone, without rules."""
        decide = self._decider(compile_policy(self._bare), self._targets)
        for level in Level:
            if level is Level.PUBLIC:
                continue
            facts = [replace(ordinary(self._as_of), min_level=one) for one in (Level(level - 1), level)]
            what = difference(decide(facts[0]), decide(facts[1]), self._targets)
            if looser := [words for one in what.values() for words in one.looser]:
                message = (
                    f"{level.word} data is handled more loosely than {Level(level - 1).word} data: {listed(looser)}"
                )
                yield Finding("looser-when-higher", WARNING, message, ("handling", level.word))

    @cached_property
    def _bare(self) -> Policy:
        """The policy without rules."""
        return replace(self._policy.source, rules=(), waivers=())

    def _level_gap(self, rule: Rule, simplest: Sequence[Situation]) -> Iterator[Finding]:
        """A rule for a level that does not hold for the next higher one, so that more data means less care."""
        top = max(rule.when.levels, default=Level.RESTRICTED)
        if top is Level.RESTRICTED:
            return
        decide = self._decider(self._policy, self._targets)
        for one in sorted(simplest, key=lambda one: one.cost):
            lower, higher = (decide(replace(one.facts, min_level=level)) for level in (top, Level(top + 1)))
            if lower.level is not top:
                continue
            what = difference(lower, higher, self._targets, in_words=False)
            if looser := [words for part in what.values() for words in part.looser]:
                message = (
                    f"rule '{rule.id}' holds for {top.word} data and not for {higher.level.word} data, "
                    f"which is then handled more loosely: {listed(looser)}"
                )
                yield Finding("looser-when-higher", WARNING, message, ("rule", rule.id), one.facts)
                return

    def _unreachable(self, rule: Rule) -> Finding:
        bare = replace(self._bare, rules=(rule,))
        if any(True for _ in self._view((compile_policy(bare),), rule.id)):
            message = f"rule '{rule.id}' never matches: exceptions lift it for everybody it is about"
        else:
            message = f"rule '{rule.id}' never matches: {self._never(rule)}"
        return Finding("unreachable-rule", WARNING, message, ("rule", rule.id))

    def _never(self, rule: Rule) -> str:
        when, source = rule.when, self._policy.source
        tenants = dict(when.names).get("tenant")
        if tenants and source.tenants and not set(tenants) & set(source.tenants):
            return f"the policy is for {listed(source.tenants)} only"
        if when.levels and (when.contains or when.line):
            levels = listed([level.word for level in when.levels], "or")
            return f"what it has to contain always gives another level than {levels}"
        return "its conditions cannot hold together"

    def _effect(self, place: int, rule: Rule, simplest: Sequence[Situation]) -> Iterator[Finding]:
        """Does the rule change anything? The simplest situations in which it matches come first, because nearly always
        they tell; only then all in which others do not ask for as much."""
        with_rule, without = self._with_rule(place, audit=False), self._with_rule(place, audit=True, until=date.min)
        effect = with_rule.rules[place].effect

        def matters(targets: tuple[Target, ...], lens: Lens) -> bool:
            first, second = self._decider(with_rule, targets), self._decider(without, targets)
            others = self._view((without,), rule.id, lens=lens, beyond=effect)
            return any(
                _differ(first(one.facts), second(one.facts), targets, in_words=lens.targets is None)
                for situations in (simplest, others)
                for one in situations
            )

        if matters(self._targets, Lens(self._targets)):
            return
        subject = "rule", rule.id
        if matters(self._any_targets, Lens()):
            message = f"rule '{rule.id}' changes nothing with these targets, but could with others"
            yield Finding("rule-without-effect-here", NOTE, message, subject)
        else:
            message = f"rule '{rule.id}' changes nothing: whenever it matches, others ask for at least as much"
            yield Finding("rule-without-effect", WARNING, message, subject)

    def _lifts(self, waiver: Waiver, without: CompiledPolicy, simplest: Sequence[Situation]) -> bool:
        """Does the exception change anything, with any targets?"""
        targets = self._any_targets
        first, second = self._decider(self._policy, targets), self._decider(without, targets)
        return any(
            _differ(first(one.facts), second(one.facts), targets, in_words=True)
            for situations in (simplest, self._view((self._policy, without), waiver.id))
            for one in situations
        )

    def _with_rule(self, place: int, audit: bool, until: date | None = None) -> CompiledPolicy:
        """The policy with this rule enforced, or (in audit mode, and ended) without effect."""
        rules = list(self._policy.rules)
        rules[place] = replace(rules[place], audit=audit, until=until)
        return replace(self._policy, rules=tuple(rules), memo={})

    def _alone(self, rule: Rule, waiver: Waiver | None = None) -> CompiledPolicy:
        """The policy with this rule only, and with the exceptions from it or this one alone."""
        waivers = [waiver] if waiver else [one for one in self._policy.source.waivers if one.lifts == rule.id]
        alone = replace(self._bare, rules=(replace(rule, audit=False, until=None),), waivers=tuple(waivers))
        return compile_policy(alone)

    def _view(
        self,
        policies: tuple[CompiledPolicy, ...],
        name: str | None = None,
        *,
        reasons: bool = False,
        lens: Lens | None = None,
        beyond: Effect | None = None,
    ) -> View:
        """All situations that these policies tell apart; with `name` those in which it has a say in the first."""

        def shown(place: int, one: str) -> bool:
            return one == name

        problem = Problem(policies, (), shown, reasons=reasons, lens=lens or Lens(), entities=self._entities)
        return View(problem, self._as_of, most=self._most, only=name, beyond=beyond)

    def _decider(self, policy: CompiledPolicy, targets: Sequence[Target]) -> Decider:
        return Decider(policy, targets, self._as_of)

    def _subject(self, causes: frozenset[str]) -> Subject:
        subjects = [subject for name in sorted(causes) if (subject := subject_of(self._policy, name))]
        rules = [subject for subject in subjects if subject[0] == "rule"]
        return (rules or subjects or [("file", "")])[0]


def _differ(old: Decision, new: Decision, targets: Sequence[Target], *, in_words: bool) -> bool:
    """Is there a difference that is more than one of trials?"""
    return bool(difference(old, new, targets, in_words=in_words).keys() - {TRIAL})


def _simpler(one: Situation, other: Situation) -> bool:
    return (one.cost, repr(one.facts)) < (other.cost, repr(other.facts))


def _causes(policy: CompiledPolicy, decision: Decision) -> frozenset[str] | None:
    """Why no target is left, by id; None where one is, or where the request was refused anyway."""
    told = {reason.rule for reason in decision.reasons}
    if _NO_TARGET not in told:
        return None
    listed_effects = [*policy.handling, *policy.unsure.values(), policy.spent, *(rule.effect for rule in policy.rules)]
    return frozenset(
        effect.reason.rule
        for effect in listed_effects
        if effect.reason.rule in told - {_NO_TARGET}
        and (not effect.cloud or effect.regions is not None or effect.provider_must_have)
    )
