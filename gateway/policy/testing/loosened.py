"""The small ways in which an outcome, a condition or an amount can be loosened, one at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeAlias

from gateway.domain.decision import Action, Level
from gateway.domain.money import NanoUsd, in_usd
from gateway.policy.schema import Amounts, Approval, Line, Outcome, Times, When

LOOSER = {
    Action.BLOCK: Action.LOCAL_ONLY,
    Action.REQUIRE_APPROVAL: Action.ALLOW,
    Action.LOCAL_ONLY: Action.REDACT,
    Action.REDACT: Action.ALLOW,
}
ANYBODY = "anybody"
"""A group of approvers that no policy names."""

Change: TypeAlias = "tuple[str, str]"
"""The key that is changed, and the change in words."""

_WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOUR = 60
_DAY = 24 * 60


def outcomes(outcome: Outcome) -> Iterator[tuple[Change, Outcome]]:
    """Each thing that an outcome asks for, dropped or made one step looser."""
    if outcome.action in LOOSER:
        yield _action(outcome)
    if outcome.regions is not None:
        yield ("regions", "any region"), replace(outcome, regions=None)
    for name in outcome.provider_must_have:
        kept = _without(outcome.provider_must_have, name)
        yield ("provider_must_have", f"without the label {name}"), replace(outcome, provider_must_have=kept)
    if outcome.approval is not None:
        approvers = (*outcome.approval.approvers, ANYBODY)
        widened = replace(outcome, approval=Approval(approvers, outcome.approval.seconds))
        yield ("approvers", "anybody may approve"), widened
    for name in outcome.redact or ():
        yield ("redact", f"{name} not hidden"), replace(outcome, redact=_without(outcome.redact or (), name))
    for name in outcome.hide_in_answers:
        kept = _without(outcome.hide_in_answers, name)
        yield ("hide_in_answers", f"{name} not hidden in answers"), replace(outcome, hide_in_answers=kept)
    yield from _bounds(outcome)
    yield from _obligations(outcome)


def _action(outcome: Outcome) -> tuple[Change, Outcome]:
    looser = LOOSER[outcome.action]
    words = f"{looser.value} instead of {outcome.action.value}"
    redact = None if looser is Action.REDACT else () if outcome.action is Action.REDACT else outcome.redact
    return ("action", words), replace(outcome, action=looser, redact=redact, approval=None)


def _bounds(outcome: Outcome) -> Iterator[tuple[Change, Outcome]]:
    if outcome.cost_per_request is not None:
        yield ("cost_per_request", "no cost_per_request"), replace(outcome, cost_per_request=None)
        double = NanoUsd(2 * outcome.cost_per_request)
        words = f"{in_usd(double)} USD instead of {in_usd(outcome.cost_per_request)} USD"
        yield ("cost_per_request", words), replace(outcome, cost_per_request=double)
    if outcome.first_token is not None:
        yield ("first_token", "no first_token"), replace(outcome, first_token=None)
        words = f"{2 * outcome.first_token:g} s instead of {outcome.first_token:g} s"
        yield ("first_token", words), replace(outcome, first_token=2 * outcome.first_token)


def _obligations(outcome: Outcome) -> Iterator[tuple[Change, Outcome]]:
    if outcome.tell_user:
        yield ("tell_user", "nothing is told"), replace(outcome, tell_user="")
    for name in outcome.notify:
        yield ("notify", f"{name} is not notified"), replace(outcome, notify=_without(outcome.notify, name))
    if outcome.retain_days is not None:
        yield ("retain_days", "kept without a limit"), replace(outcome, retain_days=None)
        words = f"{2 * outcome.retain_days} days instead of {outcome.retain_days}"
        yield ("retain_days", words), replace(outcome, retain_days=2 * outcome.retain_days)
    if outcome.log_content:
        looser = "encrypted" if outcome.log_content == "never" else ""
        words = f"{looser or 'nothing said'} instead of {outcome.log_content}"
        yield ("log_content", words), replace(outcome, log_content=looser)


def asks(outcome: Outcome) -> int:
    """How many things an outcome asks for. One that asks for one thing is as good as dropped without it."""
    fields = (outcome.regions is not None, outcome.cost_per_request is not None, outcome.first_token is not None)
    rest = (outcome.tell_user, outcome.log_content, outcome.retain_days is not None)
    lists = (outcome.provider_must_have, outcome.redact or (), outcome.hide_in_answers, outcome.notify)
    return sum(map(bool, (*fields, *rest, outcome.action is not Action.ALLOW))) + sum(map(len, lists))


def conditions(when: When) -> Iterator[tuple[str, When]]:
    """A condition narrowed, so that it holds less often: one name, one level, one data type less, a bound moved."""
    for place, (condition, accepted) in enumerate(when.names):
        for name in accepted if len(accepted) > 1 else ():
            pairs = (*when.names[:place], (condition, _without(accepted, name)), *when.names[place + 1 :])
            yield f"not for {condition} {name}", replace(when, names=pairs)
    if len(when.levels) > 1:
        for level in when.levels if len(when.levels) < len(Level) else when.levels[:1]:
            kept = tuple(other for other in when.levels if other is not level)
            yield f"not for level {level.word}", replace(when, levels=kept)
    for name in when.contains if len(when.contains) > 1 else ():
        yield f"not for {name}", replace(when, contains=_without(when.contains, name))
    if when.line is not None:
        for words, line in lines(when.line):
            yield words, replace(when, line=line)
    if when.over_tokens is not None:
        words = f"over {2 * when.over_tokens} instead of {when.over_tokens}"
        yield words, replace(when, over_tokens=2 * when.over_tokens)
    for name in when.declared if len(when.declared) > 1 else ():
        yield f"not for the label {name}", replace(when, declared=_without(when.declared, name))
    if when.times is not None:
        for words, times in _times(when.times):
            yield words, replace(when, times=times)


def widened(who: When) -> Iterator[tuple[str, When]]:
    """For more people: one condition dropped."""
    for condition, accepted in who.names:
        names = tuple(pair for pair in who.names if pair[0] != condition)
        yield f"not only for {condition} {', '.join(accepted)}", replace(who, names=names)


def lines(line: Line) -> Iterator[tuple[str, Line]]:
    """A line that is true less often: one data type of ``any_of`` less, one value more needed."""
    for name in line.any_of if len(line.any_of) > 1 else ():
        yield f"not for {name}", replace(line, any_of=_without(line.any_of, name))
    if line.at_least > 1:
        yield f"at_least {line.at_least + 1} instead of {line.at_least}", replace(line, at_least=line.at_least + 1)


def amounts(said: Amounts) -> Iterator[tuple[Change, Amounts]]:
    """Each amount removed, and doubled."""
    if said.first_token is not None:
        yield ("first_token", "first_token removed"), replace(said, first_token=None)
        yield ("first_token", "first_token doubled"), replace(said, first_token=2 * said.first_token)
    if said.per_request is not None:
        yield ("per_request", "per_request removed"), replace(said, per_request=None)
        yield ("per_request", "per_request doubled"), replace(said, per_request=NanoUsd(2 * said.per_request))
    if said.per_app_per_day is not None:
        yield ("per_app_per_day", "per_app_per_day removed"), replace(said, per_app_per_day=None)
        yield (
            ("per_app_per_day", "per_app_per_day doubled"),
            replace(said, per_app_per_day=NanoUsd(2 * said.per_app_per_day)),
        )


def _times(times: Times) -> Iterator[tuple[str, Times]]:
    if len(times.days) > 1:
        for day in (times.days[0], times.days[-1]):
            yield f"not on {_WEEK[day]}", replace(times, days=tuple(other for other in times.days if other != day))
    length = times.end - times.start if times.start < times.end else times.end - times.start + _DAY
    if _HOUR < length < _DAY:
        later, earlier = (times.start + _HOUR) % _DAY, (times.end - _HOUR) % _DAY
        yield f"from {_clock(later)} instead of {_clock(times.start)}", replace(times, start=later)
        yield f"until {_clock(earlier)} instead of {_clock(times.end)}", replace(times, end=earlier)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _without(names: Iterable[str], name: str) -> tuple[str, ...]:
    return tuple(other for other in names if other != name)
