"""Putting values back where a model's answer has their tokens: in whole answers and in streams."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

from gateway.domain.tree import Embedded, Json, JsonObject, Path
from gateway.inspection import embedded
from gateway.inspection.nesting import Nesting, escaped
from gateway.inspection.rewrite import rewrite


class RestoreMap:
    """Which token stands for which value, for one request. Nothing of it is ever printed.

    Tokens are recognised in any case, and with a backslash before the underscore, because models write both.
    Raises ValueError where one token contains another, which no reader of a stream could tell apart.
    """

    def __init__(self, value_of: Mapping[str, str], hidden: tuple[str, ...] | None = None) -> None:
        self._by_token = {token.lower(): value for token, value in value_of.items()}
        self._values = tuple(value_of.values()) if hidden is None else hidden
        together = "\n".join(self._by_token)
        if any(together.count(token) > 1 for token in self._by_token):
            raise ValueError("one token contains another")

    @property
    def tokens(self) -> frozenset[str]:
        """All tokens, in lower case."""
        return frozenset(self._by_token)

    def values(self) -> tuple[str, ...]:
        """Every value that must not be in the bytes that leave, for the egress guard."""
        return self._values

    def __len__(self) -> int:
        return len(self._by_token)

    def __repr__(self) -> str:
        return f"RestoreMap({len(self)} tokens)"

    def restore_text(self, text: str) -> str:
        """`text` with each token replaced by its value."""
        return self.restored(text, json_text=False)[0]

    def restored(self, text: str, *, json_text: bool, nesting: Nesting | None = None) -> tuple[str, int]:
        """`text` with tokens replaced, and how many were. `nesting` knows what came before this piece of a text, and
        where values have to be escaped; without it they are escaped once if the text is JSON."""
        pieces: list[str] = []
        last = 0
        places = self.places(text)
        for start, end, value in places:
            pieces.append(text[last:start])
            times = int(json_text)
            if nesting is not None:
                nesting.feed(pieces[-1])
                times = max(times, nesting.levels)
                nesting.feed(text[start:end])
            pieces.append(escaped(value, times))
            last = end
        if nesting is not None:
            nesting.feed(text[last:])
        if not places:
            return text, 0
        pieces.append(text[last:])
        return "".join(pieces), len(places)

    def nesting(self, json_text: bool) -> Nesting | None:
        """For one text: where it needs escapes; None where no value does."""
        return Nesting(json_text) if self._needs_escapes else None

    @cached_property
    def _needs_escapes(self) -> bool:
        return any(escaped(value, 1) != value for value in self._by_token.values())

    def places(self, text: str) -> list[tuple[int, int, str]]:
        """Where tokens are, from left to right, with their values. Takes no longer for many tokens than for one."""
        lowered = text.lower()
        if len(lowered) != len(text):  # of all letters only the dotted capital I becomes two
            lowered = text.replace("\u0130", "-").lower()
        found: list[tuple[int, int, str]] = []
        for stem, sizes in self._stems.items():
            start = lowered.find(stem)
            while start >= 0:
                token = self._token_at(lowered, start, sizes)
                # Letters outside ASCII may become ASCII in lower case (the Kelvin sign); no model writes a token so.
                if token is not None and text[start : token[0]].isascii():
                    found.append((start, *token))
                start = lowered.find(stem, start + 1)
        found.sort()
        kept: list[tuple[int, int, str]] = []
        for place in found:
            if not kept or place[0] >= kept[-1][1]:
                kept.append(place)
        return kept

    def _token_at(self, lowered: str, start: int, sizes: frozenset[int]) -> tuple[int, str] | None:
        """Where the token ends that begins here, and its value."""
        for size in sizes:
            value = self._by_token.get(lowered[start : start + size])
            if value is not None:
                return start + size, value
        window = lowered[start : start + self.longest]
        if "\\_" in window:
            unescaped = window.replace("\\_", "_")
            for size in sizes:
                value = self._by_token.get(unescaped[:size])
                if value is not None:
                    return start + size + unescaped[:size].count("_"), value
        return None

    @cached_property
    def _stems(self) -> dict[str, frozenset[int]]:
        """What tokens begin with, up to the underscore if they have one, and how long such tokens are."""
        sizes: dict[str, set[int]] = {}
        for token in self._by_token:
            stem = token.partition("_")[0] if "_" in token else token[:4]
            sizes.setdefault(stem, set()).add(len(token))
        return {stem: frozenset(found) for stem, found in sizes.items()}

    @cached_property
    def starts(self) -> frozenset[str]:
        """Every proper beginning of a token, in lower case."""
        return frozenset(token[:size] for token in self._by_token for size in range(1, len(token)))

    @cached_property
    def initials(self) -> frozenset[str]:
        """First characters of tokens, in both cases."""
        return frozenset(initial for token in self._by_token for initial in (token[0], token[0].upper()))

    @cached_property
    def longest(self) -> int:
        """Characters of the longest token, with a backslash before each underscore."""
        return max((len(token) + token.count("_") for token in self._by_token), default=0)

    def stream_restorer(self, json_text: bool) -> StreamRestorer:
        """For one text of a streamed answer; with `json_text` it is JSON, else it may be."""
        return StreamRestorer(self, json_text)

    def restore_tree(
        self, tree: JsonObject, is_json_text: Callable[[Path], bool] | None = None
    ) -> tuple[JsonObject, int]:
        """A whole answer with every token replaced, and how many were; only changed branches are copied.

        A string that is JSON is restored inside and written anew. `is_json_text` names, by path, strings that are
        JSON even if they cannot be parsed (the arguments of a tool call that was cut short).
        """
        if not self._by_token:
            return tree, 0
        edit = _Restoring(self, is_json_text)
        changed = rewrite(tree, edit)
        return (changed if isinstance(changed, dict) else tree), edit.count


class _Restoring:
    def __init__(self, mapping: RestoreMap, is_json_text: Callable[[Path], bool] | None) -> None:
        self.count = 0
        self._mapping = mapping
        self._is_json_text = is_json_text

    def text(self, path: Path, text: str) -> str:
        # Within JSON a string is told by what it begins with, whatever the name of its member.
        json_text = self._is_json_text is not None and Embedded.JSON not in path and self._is_json_text(path)
        new, count = self._mapping.restored(text, json_text=json_text, nesting=self._mapping.nesting(json_text))
        self.count += count
        return new if count else text

    def number(self, path: Path, number: int | float) -> Json:
        return number

    def name(self, path: Path, name: str) -> str:
        new, count = self._mapping.restored(name, json_text=False)
        self.count += count
        return new if count else name

    def embedded(self, text: str, changed: Json) -> str:
        # Putting values into the text as it stands keeps its layout.
        kept, _ = self._mapping.restored(text, json_text=True, nesting=self._mapping.nesting(json_text=True))
        return kept if embedded.parse(kept) == changed else embedded.serialise(changed)


class StreamRestorer:
    """Restores one text that arrives in pieces; the pieces joined give what the whole text would.

    Holds back only a suffix that may be the start of a token. With `json_text` the text is JSON (tool-call
    arguments) and values are escaped for it; so they are where a text turns out to be JSON.
    """

    __slots__ = ("_held", "_json_text", "_mapping", "_nesting", "count")

    def __init__(self, mapping: RestoreMap, json_text: bool) -> None:
        self._mapping = mapping
        self._json_text = json_text
        self._nesting = mapping.nesting(json_text)
        self._held = ""
        self.count = 0

    def feed(self, piece: str) -> str:
        """The next piece; returns what can be passed on now."""
        mapping = self._mapping
        if not mapping.longest or not piece:
            return piece
        text = self._held + piece
        places = mapping.places(text)
        complete = places[-1][1] if places else 0
        cut = self._possible_start(text, complete)
        self._held = text[cut:]
        restored, count = mapping.restored(text[:cut], json_text=self._json_text, nesting=self._nesting)
        self.count += count
        return restored

    def flush(self) -> str:
        """What was held back, when the text is complete."""
        held, self._held = self._held, ""
        return held

    def _possible_start(self, text: str, complete: int) -> int:
        """Where the longest suffix begins that may be the start of a token, looking after offset `complete`."""
        starts, initials = self._mapping.starts, self._mapping.initials
        for cut in range(max(complete, len(text) - self._mapping.longest), len(text)):
            if text[cut] in initials and text[cut:].isascii():
                plain = text[cut:].lower().replace("\\_", "_")
                if plain in starts or (plain[-1] == "\\" and plain[:-1] in starts):
                    return cut
        return len(text)
