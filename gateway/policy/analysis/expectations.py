"""What a guarantee promises: under ``never`` no listed thing may come true, under ``always`` all of them must hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.documents import Node
from gateway.domain.decision import Action, Decision, Gate, Hidden, Level, LogContent
from gateway.domain.target import Target, Zone
from gateway.policy.compile import CompiledPolicy
from gateway.policy.load_when import LEVELS
from gateway.policy.names import Names

_SENT_TO = ("local", "cloud", "nobody")
_LOGGED = {"encrypted": LogContent.ENCRYPTED, "never": LogContent.NEVER}


@dataclass(frozen=True, slots=True)
class Seen:
    """A decision, with what it was made from. `targets` are as on the day of the decision, `found` the data types that
    were found."""

    policy: CompiledPolicy
    decision: Decision
    targets: Sequence[Target]
    found: frozenset[str]

    @property
    def clouds(self) -> list[Target]:
        """The clouds that may receive the request."""
        permitted = self.decision.permitted
        return [target for target in self.targets if target.zone is Zone.CLOUD and target.id in permitted]

    @property
    def sent_to(self) -> str:
        return "cloud" if self.clouds else "local" if self.decision.permitted else "nobody"


@dataclass(frozen=True, slots=True)
class Key:
    """`read` takes the value from a file; `names` is for what refers to the policy. `never` says whether the value came
    true, `always` whether it holds; None where the key makes no sense there. With `types`, values are data types.
    `marks` are the kinds of `Marks` that the two depend on, beside the gate and the level."""

    read: Callable[[Node, Names], Any]
    never: Callable[[Any, Seen], bool] | None = None
    always: Callable[[Any, Seen], bool] | None = None
    types: bool = False
    marks: tuple[str, ...] = ("not to",)


@dataclass(frozen=True, slots=True)
class Expectation:
    """Pairs of a key of `KEYS` and its value. `never` tells the two kinds apart."""

    never: bool
    wanted: tuple[tuple[str, Any], ...]

    def broken_by(self, seen: Seen) -> tuple[str, ...]:
        """The keys that are not as promised."""
        return tuple(key for key, value in self.wanted if self._broken(KEYS[key], value, seen))

    @property
    def data_types(self) -> frozenset[str]:
        """Every data type that it speaks of."""
        return frozenset(name for key, value in self.wanted if KEYS[key].types for name in value)

    @property
    def marks(self) -> frozenset[str]:
        """What it depends on, see `Key`."""
        return frozenset(mark for key, _ in self.wanted for mark in KEYS[key].marks)

    def _broken(self, key: Key, value: Any, seen: Seen) -> bool:
        if self.never:
            assert key.never is not None
            return key.never(value, seen)
        assert key.always is not None
        return not key.always(value, seen)


def read_expectation(node: Node, names: Names, never: bool) -> Expectation:
    """The value of ``never`` or ``always``."""
    wanted = []
    other = "always" if never else "never"
    for name, value in node.mapping(tuple(KEYS)).items():
        key = KEYS[name]
        if (key.never if never else key.always) is None:
            value.fail(f"'{name}' can only stand under {other}")
        else:
            wanted.append((name, key.read(value, names)))
    return Expectation(never, tuple(wanted))


def _words(known: Iterable[str]) -> Callable[[Node, Names], frozenset[str]]:
    """One or several of these words."""
    listed = tuple(known)

    def read(node: Node, names: Names) -> frozenset[str]:
        return frozenset(place.one_of(listed) for place, _ in node.located_texts())

    return read


def _levels(node: Node, names: Names) -> frozenset[Level]:
    return frozenset(LEVELS[place.one_of(LEVELS)] for place, _ in node.located_texts())


def _actions(node: Node, names: Names) -> frozenset[Action]:
    known = [action.value for action in Action]
    return frozenset(Action(place.one_of(known)) for place, _ in node.located_texts())


def _texts(node: Node, names: Names) -> frozenset[str]:
    return frozenset(node.text_or_list())


def _types(node: Node, names: Names) -> frozenset[str]:
    return frozenset(names.data_types(node))


def _regions(node: Node, names: Names) -> frozenset[str]:
    return frozenset(names.regions(node))


def _flag(node: Node, names: Names) -> bool:
    return node.boolean()


def _hides(policy: CompiledPolicy, name: str, hidden: Sequence[Hidden]) -> bool:
    """Is every value of this data type hidden that counts as one?"""
    least = {item.entity: item.percent for item in hidden}
    return all(least.get(part.entity, 101) <= part.percent for part in policy.hidden[name])


def _in_clear(types: frozenset[str], seen: Seen) -> bool:
    hidden = seen.decision.redact
    return bool(seen.clouds) and any(not _hides(seen.policy, name, hidden) for name in types & seen.found)


def _untold(types: frozenset[str], seen: Seen) -> bool:
    hidden = seen.decision.hide_in_answers
    return not seen.decision.permitted or all(_hides(seen.policy, name, hidden) for name in types)


def _approvers(groups: frozenset[str], seen: Seen) -> bool:
    """May nobody else approve?"""
    return seen.decision.gate is Gate.BLOCK or all(
        set(needed.approvers) <= groups for needed in seen.decision.approvals
    )


def _keep(days: int, seen: Seen) -> bool:
    return seen.decision.retain_days is not None and seen.decision.retain_days <= days


def _cost(most: int, seen: Seen) -> bool:
    return not seen.decision.permitted or (seen.decision.cost_cap is not None and seen.decision.cost_cap <= most)


def _first_token(most: float, seen: Seen) -> bool:
    return not seen.decision.permitted or (seen.decision.first_token is not None and seen.decision.first_token <= most)


def _same(what: Callable[[Seen], Any]) -> tuple[Callable[[Any, Seen], bool], Callable[[Any, Seen], bool]]:
    """A value, or one of several."""

    def one_of(wanted: Any, seen: Seen) -> bool:
        got = what(seen)
        return bool(got in wanted if isinstance(wanted, frozenset) else got == wanted)

    return one_of, one_of


_HIDE = ("not to", "local only", "hide")
KEYS: dict[str, Key] = {
    "sent_to": Key(_words(_SENT_TO), *_same(lambda seen: seen.sent_to)),
    "has_target": Key(_flag, *_same(lambda seen: bool(seen.decision.permitted))),
    "action": Key(_actions, *_same(lambda seen: seen.decision.action), marks=_HIDE),
    "level": Key(_levels, *_same(lambda seen: seen.decision.level), marks=()),
    "targets": Key(
        _texts,
        never=lambda wanted, seen: not wanted.isdisjoint(seen.decision.permitted),
        always=lambda wanted, seen: wanted <= seen.decision.permitted,
    ),
    "regions": Key(
        _regions,
        never=lambda wanted, seen: any(target.region in wanted for target in seen.clouds),
        always=lambda wanted, seen: all(target.region in wanted for target in seen.clouds),
    ),
    "provider_without": Key(
        _texts, never=lambda wanted, seen: any(not wanted <= target.labels for target in seen.clouds)
    ),
    "provider_must_have": Key(
        _texts, always=lambda wanted, seen: all(wanted <= target.labels for target in seen.clouds)
    ),
    "redacted": Key(_flag, *_same(lambda seen: bool(seen.decision.redact)), marks=_HIDE),
    "in_clear": Key(_types, never=_in_clear, types=True, marks=_HIDE),
    "hide_in_answers": Key(_types, always=_untold, types=True, marks=("not to", "hide in answers")),
    "tell_user": Key(_flag, *_same(lambda seen: bool(seen.decision.tell_user)), marks=("tell",)),
    "notify": Key(
        _texts,
        never=lambda wanted, seen: not wanted.isdisjoint(seen.decision.notify),
        always=lambda wanted, seen: wanted <= set(seen.decision.notify),
        marks=("notify",),
    ),
    "approvers": Key(_texts, always=_approvers, marks=("approval",)),
    "retain_days": Key(lambda node, names: node.integer(0), always=_keep, marks=("keep",)),
    "log_content": Key(
        lambda node, names: _LOGGED[node.one_of(_LOGGED)],
        always=lambda wanted, seen: seen.decision.log_content >= wanted,
        marks=("log",),
    ),
    "cost_per_request": Key(lambda node, names: node.money(), always=_cost, marks=("not to", "cost")),
    "first_token": Key(lambda node, names: node.seconds(), always=_first_token, marks=("not to", "first token")),
}
"""Each key of ``never`` and ``always``. Where several words may be given, any of them will do.

``regions`` under never: some permitted cloud is there; under always: clouds only there. ``provider_without``: some
permitted cloud lacks one of these labels. ``in_clear``: values of one of these data types were found, and some cloud
may see them. Under always, ``retain_days``, ``cost_per_request`` and ``first_token`` are the most, ``log_content`` is
the least strict, and ``approvers`` are all who may approve.
"""
