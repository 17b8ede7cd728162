"""What a test expects of a decision: each key of ``expect`` with how it is read, what came instead, and how the two
are compared. One table, so that a key cannot be read and then forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.documents import Node
from gateway.domain.decision import Action, Decision, Hidden, Level, LogContent
from gateway.domain.money import NanoUsd, in_usd
from gateway.domain.target import Target, Zone
from gateway.policy.compile import CompiledPolicy
from gateway.policy.testing.facts import read_level

SENT_TO = ("local", "cloud", "nobody")
NONE = "none"
NOTHING = "nothing"
_LOG_CONTENT = {level.name.lower(): level for level in LogContent}


@dataclass(frozen=True, slots=True)
class Expected:
    """Pairs of a key and what is wanted; what a test says nothing about is not looked at. The keys of ``would`` stand
    here as ``would.action`` and so on. `Expectations.mismatches` compares."""

    wanted: tuple[tuple[str, Any], ...]

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(key for key, _ in self.wanted)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """`what` was expected to be `expected` and is `got`."""

    what: str
    expected: str
    got: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A decision, and what it was made from, to be compared with what a test expects."""

    policy: CompiledPolicy
    decision: Decision
    targets: Sequence[Target]


@dataclass(frozen=True, slots=True)
class Key:
    """A key of ``expect``. With `among`, what is wanted has to be among what came, and an empty list means that
    nothing may have come; without, the two have to be equal. `words` shows a value to people."""

    read: Callable[[Node], Any]
    got: Callable[[Seen], Any]
    among: bool = False
    words: Callable[[Any], str] = str

    def holds(self, wanted: Any, got: Any) -> bool:
        if not self.among:
            return bool(wanted == got)
        return bool(wanted <= got) if wanted else not got


def read_expected(node: Node, on_name: Callable[[str, Node, str], None] = lambda key, node, name: None) -> Expected:
    """The value of ``expect``. `on_name` is called with each name in a list, for checks against the policy."""
    fields = node.mapping((*EXPECT, "would"))
    wanted: list[tuple[str, Any]] = []
    for key, value in fields.items():
        if key == "would":
            wanted += _read_would(value, on_name)
        else:
            wanted.append((key, EXPECT[key].read(value)))
            _tell_names(key, value, on_name)
    return Expected(tuple(wanted))


def mismatches(expected: Expected, seen: Seen) -> Iterator[Mismatch]:
    """What of this was not met."""
    for name, wanted in expected.wanted:
        key = _KEYS[name]
        got = key.got(seen)
        if not key.holds(wanted, got):
            yield Mismatch(name, key.words(wanted), key.words(got))


def met(expected: Expected, seen: Seen) -> bool:
    """Was all of it met? As `mismatches`, without words."""
    for name, wanted in expected.wanted:
        key = _KEYS[name]
        if not key.holds(wanted, key.got(seen)):
            return False
    return True


def observed(seen: Seen) -> dict[str, Any]:
    """Everything that a test could look at in a decision, by key."""
    return {name: key.got(seen) for name, key in _KEYS.items()}


def in_words(name: str, value: Any) -> str:
    """The value of a key as people read it."""
    return _KEYS[name].words(value)


def is_among(name: str) -> bool:
    """Is what is wanted compared as a part of what came?"""
    return _KEYS[name].among


def sent_to(decision: Decision, targets: Sequence[Target]) -> str:
    """``nobody``; ``local`` if local targets alone may receive the request; ``cloud`` if some cloud may as well."""
    return _sent_to(decision.permitted, targets)


def _sent_to(permitted: frozenset[str], targets: Sequence[Target]) -> str:
    zones = {target.zone for target in targets if target.id in permitted}
    if Zone.CLOUD in zones:
        return "cloud"
    return "local" if zones else "nobody"


def _tell_names(key: str, node: Node, on_name: Callable[[str, Node, str], None]) -> None:
    if key in ("because", "targets", "hidden", "hidden_in_answers", "approvers", "notify"):
        for item in node.sequence(allow_empty=True) if node.kind == "list" else [node]:
            if item.kind == "text":
                on_name(key, item, item.text())


def _read_would(node: Node, on_name: Callable[[str, Node, str], None]) -> list[tuple[str, Any]]:
    if node.kind == "text":
        return [("would", node.one_of((NOTHING,)))]
    fields = node.mapping(WOULD)
    for key, value in fields.items():
        _tell_names(key, value, on_name)
    return [(f"would.{key}", WOULD[key].read(value)) for key, value in fields.items()]


def _names(node: Node) -> frozenset[str]:
    return frozenset(text for _, text in node.located_texts(allow_empty=True))


def _sentences(node: Node) -> frozenset[str]:
    items = node.sequence(allow_empty=True) if node.kind == "list" else [node]
    return frozenset(text for item in items if (text := item.text()))


def _or(word: str, read: Callable[[Node], Any]) -> Callable[[Node], Any]:
    """`word`, where the file has it, for what is not limited; otherwise what `read` gives."""
    return lambda node: word if node.kind == "text" and node.text() == word else read(node)


def _action(node: Node) -> Action:
    return Action(node.one_of([action.value for action in Action]))


def _place(node: Node) -> str:
    return node.one_of(SENT_TO)


def _hidden(seen: Seen, hidden: Iterable[Hidden]) -> frozenset[str]:
    """The entities that are hidden, and the data types of which everything that counts is."""
    least = {item.entity: item.percent for item in hidden}
    names = set(least)
    for name, parts in seen.policy.hidden.items():
        if parts and all(least.get(part.entity, 101) <= part.percent for part in parts):
            names.add(name)
    return frozenset(names)


def _approvers(seen: Seen) -> frozenset[str]:
    return frozenset(group for approval in seen.decision.approvals for group in approval.approvers)


def _if_said(value: Any) -> Any:
    return NONE if value is None else value


def _trial_action(seen: Seen) -> Action:
    trial = seen.decision.trial
    return trial.action if trial else seen.decision.action


def _trial_permitted(seen: Seen) -> frozenset[str]:
    trial = seen.decision.trial
    return trial.permitted if trial else seen.decision.permitted


def _listed(names: frozenset[str] | str) -> str:
    return names if isinstance(names, str) else ", ".join(sorted(names)) or NONE


def _level_word(level: Level) -> str:
    return level.word


def _yes_no(flag: bool) -> str:
    return "true" if flag else "false"


def _dollars(amount: NanoUsd | str) -> str:
    return amount if isinstance(amount, str) else f"{in_usd(amount)} USD"


def _seconds(seconds: float | str) -> str:
    return seconds if isinstance(seconds, str) else f"{seconds:g}s"


def _days(node: Node) -> int:
    return node.integer(0)


def _log_content(node: Node) -> str:
    return node.one_of(_LOG_CONTENT)


EXPECT: dict[str, Key] = {
    "level": Key(read_level, lambda seen: seen.decision.level, words=_level_word),
    "action": Key(_action, lambda seen: seen.decision.action),
    "sent_to": Key(_place, lambda seen: sent_to(seen.decision, seen.targets)),
    "targets": Key(_names, lambda seen: seen.decision.permitted, words=_listed),
    "because": Key(_names, lambda seen: frozenset([r.rule for r in seen.decision.reasons]), among=True, words=_listed),
    "redacted": Key(Node.boolean, lambda seen: bool(seen.decision.redact), words=_yes_no),
    "hidden": Key(_names, lambda seen: _hidden(seen, seen.decision.redact), among=True, words=_listed),
    "hidden_in_answers": Key(
        _names, lambda seen: _hidden(seen, seen.decision.hide_in_answers), among=True, words=_listed
    ),
    "regions": Key(
        _or("any", _names),
        lambda seen: "any" if seen.decision.regions is None else seen.decision.regions,
        words=_listed,
    ),
    "cost_per_request": Key(_or(NONE, Node.money), lambda seen: _if_said(seen.decision.cost_cap), words=_dollars),
    "cost_per_app_per_day": Key(_or(NONE, Node.money), lambda seen: _if_said(seen.decision.day_limit), words=_dollars),
    "first_token": Key(_or(NONE, Node.seconds), lambda seen: _if_said(seen.decision.first_token), words=_seconds),
    "tell_user": Key(_sentences, lambda seen: frozenset(seen.decision.tell_user), among=True, words=_listed),
    "notify": Key(_names, lambda seen: frozenset(seen.decision.notify), words=_listed),
    "retain_days": Key(_or(NONE, _days), lambda seen: _if_said(seen.decision.retain_days)),
    "log_content": Key(_log_content, lambda seen: seen.decision.log_content.name.lower()),
    "approvers": Key(_names, _approvers, words=_listed),
}
"""The keys of ``expect``, but for ``would``."""

WOULD: dict[str, Key] = {
    "action": Key(_action, _trial_action),
    "sent_to": Key(_place, lambda seen: _sent_to(_trial_permitted(seen), seen.targets)),
    "targets": Key(_names, _trial_permitted, words=_listed),
    "because": Key(_names, lambda seen: frozenset([r.rule for r in seen.decision.would]), among=True, words=_listed),
}
"""The keys of ``would`` below ``expect``: what would have been decided if everything in audit mode were enforced."""

_KEYS = EXPECT | {f"would.{name}": key for name, key in WOULD.items()}
_KEYS["would"] = Key(
    Node.text, lambda seen: NOTHING if seen.decision.trial is None and not seen.decision.would else "something"
)
