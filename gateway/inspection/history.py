"""The turns of a conversation that were inspected before, taken over as one, so that a request costs its new turns.

A chat sends its whole history with each turn. To look up each of its texts (see `cache`) is still to walk, read and
hash all of them. Here the beginning of each list of a request is recognised by one keyed hash, and what was found in
it is taken over whole. Like the span cache this saves the scan, never the decision: the result is the same as if
everything had been inspected now. It holds no text and no member name that a caller chose.
"""

from __future__ import annotations

import hmac
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, TypeAlias

import orjson

from gateway.domain.finding import DetectorState, Finding, Found, Inspection, Span
from gateway.domain.grammar import Grammar
from gateway.domain.ports import Detector
from gateway.domain.tree import Embedded, Json, JsonObject, Leaf
from gateway.inspection.cache import subkey
from gateway.inspection.inspector import Inspector
from gateway.inspection.readings import Readings
from gateway.inspection.walk import Walk, leaves

MEMORY: Final = 16 << 20
"""Bytes of memory that beginnings may take, by default."""

SHORTEST: Final = 4
"""A list of fewer elements is inspected as it comes."""

LOOK_BACK: Final = 8
"""How many elements may have come since the beginning was remembered."""

_MOST_GRAMMARS: Final = 64
_BEGINNING_BYTES: Final = 600
_FINDING_BYTES: Final = 300  # with its path, its span and the digest of its value, as measured; see the test

_Values: TypeAlias = "dict[tuple[str, bytes], int]"
"""The best confidence by entity and keyed digest of the value."""

_Counts: TypeAlias = "Counter[tuple[str, int]]"
"""Distinct values by entity and confidence."""


@dataclass(frozen=True, slots=True)
class _Totals:
    unreadable: int = 0
    leaves: int = 0
    characters: int = 0

    @classmethod
    def of(cls, walk: Walk) -> _Totals:
        return cls(walk.unreadable, len(walk.leaves), sum(len(leaf.text) for leaf in walk.leaves))

    def plus(self, other: _Totals, sign: int = 1) -> _Totals:
        return _Totals(
            self.unreadable + sign * other.unreadable,
            self.leaves + sign * other.leaves,
            self.characters + sign * other.characters,
        )


@dataclass(frozen=True, slots=True)
class _Beginning:
    """What is in the first `length` elements of a list, without those at `again`: in them something was found at a
    place that a caller named, so they are inspected anew each time. `before` is the key of what it was grown from."""

    length: int = 0
    findings: tuple[Finding, ...] = ()
    values: Mapping[tuple[str, bytes], int] = field(default_factory=dict)
    counts: _Counts = field(default_factory=Counter)
    totals: _Totals = _Totals()
    again: tuple[int, ...] = ()
    before: bytes = b""

    @property
    def size(self) -> int:
        return _BEGINNING_BYTES + _FINDING_BYTES * len(self.findings)


class _Part:
    """One list of the request: its known beginning, and the walks of what has to be inspected."""

    def __init__(self, name: str, elements: list[Json], keys: Mapping[int, bytes], known: _Beginning) -> None:
        self.name = name
        self.elements = elements
        self.keys = keys
        self.known = known

    def walk(self, positions: Sequence[int], grammar: Grammar) -> Walk:
        """The leaves of these elements, at their places in the request."""
        if not positions:
            return Walk((), 0)
        walk = leaves({self.name: [self.elements[position] for position in positions]}, grammar)
        moved = tuple(
            Leaf((self.name, positions[leaf.path[1]], *leaf.path[2:]), leaf.text)  # type: ignore[index]
            for leaf in walk.leaves
        )
        return Walk(moved, walk.unreadable)


class HistoryInspector(Inspector):
    """An `Inspector` that remembers beginnings in at most `limit` bytes. `key` is a secret of 32 bytes.

    `taken_over` counts the elements (messages) that needed no inspection. Belongs to one detector: with another, or
    one configured otherwise, make another.
    """

    def __init__(self, detector: Detector, timeout: float = 2.0, *, key: bytes, limit: int = MEMORY) -> None:
        super().__init__(detector, timeout)
        self._key = subkey(key, "history")
        self._limit = limit
        self._beginnings: OrderedDict[bytes, _Beginning] = OrderedDict()
        self._grammars: dict[int, Grammar] = {}  # held, so that no other can get the same id
        self.size = 0
        self.taken_over = 0

    async def inspect(self, tree: JsonObject, grammar: Grammar) -> Inspection:
        """As `Inspector.inspect`; the findings may come in another order."""
        parts = list(self._parts(tree, grammar))
        if not parts:
            return await super().inspect(tree, grammar)
        names = {part.name for part in parts}
        walks = [leaves({name: value for name, value in tree.items() if name not in names}, grammar)]
        for part in parts:
            walks.append(part.walk(part.known.again, grammar))
            walks.append(part.walk(range(part.known.length, len(part.elements)), grammar))
        readings = Readings(leaf.text for walk in walks for leaf in walk.leaves)
        state, scanned = await self._scan(readings.texts)
        spans_of = readings.spans(scanned)
        values_of = {text: self._values(text, spans) for text, spans in spans_of.items() if spans}
        if state is DetectorState.OK:
            for part, walk in zip(parts, walks[2::2], strict=True):
                self._remember(part, walk, spans_of, values_of, grammar)
        totals = _Totals()
        for part_totals in chain((_Totals.of(walk) for walk in walks), (part.known.totals for part in parts)):
            totals = totals.plus(part_totals)
        new = (finding for walk in walks for finding in _findings(walk.leaves, spans_of))
        return Inspection(
            findings=tuple(chain(new, *(part.known.findings for part in parts))),
            found=_tallied(parts, values_of.values()),
            detector=state,
            unreadable=totals.unreadable,
            leaves=totals.leaves,
            characters=totals.characters,
        )

    def _parts(self, tree: JsonObject, grammar: Grammar) -> Iterator[_Part]:
        if id(grammar) not in self._grammars and len(self._grammars) >= _MOST_GRAMMARS:
            return
        self._grammars[id(grammar)] = grammar
        for name, elements in tree.items():
            if isinstance(elements, list) and len(elements) >= SHORTEST and name in grammar.names:
                keys = self._keys(name, elements, grammar)
                if keys:
                    key, known = next(
                        ((key, found) for key in reversed(keys.values()) if (found := self._beginnings.get(key))),
                        (b"", _Beginning()),
                    )
                    if key:
                        self._beginnings.move_to_end(key)
                    self.taken_over += known.length - len(known.again)
                    yield _Part(name, elements, keys, known)

    def _keys(self, name: str, elements: list[Json], grammar: Grammar) -> dict[int, bytes]:
        """The keys of the longest beginnings by their lengths; none for a list that is no JSON."""
        digest = hmac.new(self._key, digestmod="sha256")
        first = max(0, len(elements) - LOOK_BACK)
        keys: dict[int, bytes] = {}
        try:
            digest.update(orjson.dumps([id(grammar), name]))
            if first:
                digest.update(b"," + orjson.dumps(elements[:first])[1:-1])
                keys[first] = digest.copy().digest()
            for length, element in enumerate(elements[first:], first + 1):
                digest.update(b"," + orjson.dumps(element))  # the same bytes as those of all elements in one list
                keys[length] = digest.copy().digest()
        except TypeError:  # a lone surrogate, an integer of more than 64 bits, or nested too deep
            return {}
        return keys

    def _values(self, text: str, spans: Iterable[Span]) -> _Values:
        """The values that were found, as `gateway.inspection.tally` tells them apart, without saying them."""
        values: _Values = {}
        for span in spans:
            value = text[span.start : span.end].strip().casefold()
            digest = hmac.digest(self._key, b"value" + value.encode("utf-8", "surrogatepass"), "sha256")[:16]
            values[span.entity, digest] = max(span.percent, values.get((span.entity, digest), 0))
        return values

    def _remember(
        self,
        part: _Part,
        walk: Walk,
        spans_of: Mapping[str, Sequence[Span]],
        values_of: Mapping[str, _Values],
        grammar: Grammar,
    ) -> None:
        """Remember the whole list, of which `walk` are the new elements."""
        length = len(part.elements)
        if length == part.known.length:
            return
        foreign = {
            int(leaf.path[1])  # type: ignore[arg-type]
            for leaf in walk.leaves
            if spans_of.get(leaf.text) and not _is_ours(leaf, grammar)
        }
        kept = [leaf for leaf in walk.leaves if leaf.path[1] not in foreign]
        totals = _Totals.of(walk).plus(part.known.totals)
        if foreign:
            totals = totals.plus(_Totals.of(part.walk(sorted(foreign), grammar)), -1)
        added, counts = _added(part.known, (values_of[leaf.text] for leaf in kept if leaf.text in values_of))
        self._put(
            part.keys[length],
            _Beginning(
                length=length,
                findings=part.known.findings + tuple(_findings(kept, spans_of)),
                values={**part.known.values, **added},
                counts=counts,
                totals=totals,
                again=(*part.known.again, *sorted(foreign)),
                before=part.keys.get(part.known.length, b""),
            ),
        )

    def _put(self, key: bytes, beginning: _Beginning) -> None:
        """Remember, and forget what this was grown from in two steps: one step back stays, for a turn said anew."""
        parent = self._beginnings.get(beginning.before)
        for old in (key, parent.before if parent else b""):
            gone = self._beginnings.pop(old, None)
            self.size -= gone.size if gone else 0
        if beginning.size > self._limit:
            return
        self._beginnings[key] = beginning
        self.size += beginning.size
        while self.size > self._limit:
            self.size -= self._beginnings.popitem(last=False)[1].size


def _added(known: _Beginning, more: Iterable[Mapping[tuple[str, bytes], int]]) -> tuple[_Values, _Counts]:
    """The values that are not known, or not as surely, and the counts with them. Nothing else is looked at."""
    counts = Counter(known.counts)
    added: _Values = {}
    for part in more:
        for value, percent in part.items():
            before = added.get(value) or known.values.get(value, 0)
            if percent > before:
                if before:
                    counts[value[0], before] -= 1
                counts[value[0], percent] += 1
                added[value] = percent
    return added, counts


def _tallied(parts: Sequence[_Part], found: Iterable[_Values]) -> tuple[Found, ...]:
    """As `gateway.inspection.tally` counts."""
    first, *rest = sorted((part.known for part in parts), key=lambda known: -len(known.values))
    _, counts = _added(first, chain((known.values for known in rest), found))
    return tuple(sorted(Found(entity, percent, count) for (entity, percent), count in counts.items() if count))


def _findings(found: Iterable[Leaf], spans_of: Mapping[str, Sequence[Span]]) -> Iterator[Finding]:
    return (Finding(leaf.path, span) for leaf in found for span in spans_of.get(leaf.text, ()))


def _is_ours(leaf: Leaf, grammar: Grammar) -> bool:
    """Has the leaf's place only names that the wire format defines?"""
    return all(isinstance(step, (int, Embedded)) or step in grammar.names for step in leaf.path)
