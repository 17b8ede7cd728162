"""Which differences between facts can matter. Requests that no policy tells apart are decided once."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from gateway.domain.target import Target
from gateway.policy.clock import within
from gateway.policy.compile import CompiledPolicy

_NAMES = ("policy", "tenant", "app", "group", "role", "dialect", "model", "detector", "unreadable", "budget",
          "redaction_incomplete", "min_level", "max_cost", "max_first_token_ms", "history_level", "level",
          "action")  # fmt: skip
_MOMENTS = 8192


class Grain:
    """Makes a key of a record's facts and decision. Two records with the same key get the same decision from each of
    these policies.

    Sizes, dates, times and counts are kept only as far as a policy asks for them: whether a prompt is *over 4000*, not
    how long it is. `users` maps the keyed hash of every user that a policy names to that name.
    """

    def __init__(
        self, policies: Sequence[CompiledPolicy], targets: Iterable[Target], users: Mapping[str, str] | None
    ) -> None:
        self.users = users
        self._names_users = any(policy.users for policy in policies)
        self._most = max([1, *(least for policy in policies for least in _least_counts(policy))])
        self._tokens = sorted({tokens for policy in policies for tokens, _ in policy.index.over_tokens})
        days = {day for policy in policies for day in _days(policy)}
        days |= {day for target in targets for _, day in target.expiring}
        self._days = sorted(day.isoformat() for day in days)
        self._labels = frozenset().union(*(policy.index.by_label for policy in policies))
        times = dict.fromkeys(span for policy in policies for span, _ in policy.index.times)
        self._times = tuple(times)
        self._moments: dict[tuple[str, int], tuple[bool, ...]] = {}

    def key(self, tree: Mapping[str, Any]) -> tuple[object, ...]:
        """Raises `TypeError` or `ValueError` for members of another type than a record's."""
        get = tree.get
        most = self._most
        as_of = get("as_of", "")
        user = get("user", "")
        if user and self.users is not None:
            user = self.users.get(user, "")
        found = get("found")
        return (
            *map(get, _NAMES),
            user if self._names_users else "",
            tuple([(entity, percent, min(number, most)) for entity, percent, number in found]) if found else (),
            "approval" in tree,
            bisect_left(self._tokens, get("prompt_tokens", 0)),
            bisect_left(self._days, as_of),
            self._times and self._moment(as_of, get("minute", 0)),
            tuple([name for name in get("labels", ()) if name in self._labels]),
            tuple(get("permitted", ())),
            tuple(get("because", ())),
        )

    def _moment(self, as_of: str, minute: int) -> tuple[bool, ...]:
        known = self._moments.get((as_of, minute))
        if known is None:
            if len(self._moments) >= _MOMENTS:
                self._moments.clear()
            day = date.fromisoformat(as_of) if as_of else date.min
            known = tuple([within(span, day, minute) for span in self._times])
            self._moments[as_of, minute] = known
        return known


def users_of(policies: Iterable[CompiledPolicy], mac: Callable[[bytes], str] | None) -> Mapping[str, str] | None:
    """The names of all users whom these policies name, by their keyed hash; None without the key."""
    if mac is None:
        return None
    return {mac(name.encode()): name for policy in policies for name in policy.users}


def _least_counts(policy: CompiledPolicy) -> Iterable[int]:
    yield from (line.at_least for _, lines in policy.levels for line in lines)
    yield from (line.at_least for line, _ in policy.index.lines)


def _days(policy: CompiledPolicy) -> Iterable[date]:
    yield from (waiver.expires for waiver in policy.waivers)
    yield from (rule.until for rule in policy.rules if rule.until is not None)
