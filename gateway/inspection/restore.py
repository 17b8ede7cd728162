"""Putting values back where a model's answer has their tokens: in whole answers and in streams."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cached_property

from gateway.domain.tree import Json, JsonObject, Path
from gateway.inspection import embedded
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

    def restore_json_text(self, text: str) -> str:
        """The same for JSON text, whole or cut: values are escaped as the inside of a JSON string."""
        return self.restored(text, json_text=True)[0]

    def restored(self, text: str, *, json_text: bool) -> tuple[str, int]:
        """`text` with tokens replaced, and how many were."""
        places = self.places(text)
        if not places:
            return text, 0
        pieces: list[str] = []
        last = 0
        for start, end, value in places:
            pieces += (text[last:start], json.dumps(value, ensure_ascii=False)[1:-1] if json_text else value)
            last = end
        pieces.append(text[last:])
        return "".join(pieces), len(places)

    def places(self, text: str) -> list[tuple[int, int, str]]:
        """Where tokens are, from left to right, with their values."""
        lowered = text.lower()
        if "\\" in text or not text.isascii():
            return [
                (m.start(), m.end(), self._by_token[m.group().lower().replace("\\_", "_")])
                for m in self._pattern.finditer(text)
            ]
        found = []
        for token, value in self._by_token.items():
            start = lowered.find(token)
            while start >= 0:
                found.append((start, start + len(token), value))
                start = lowered.find(token, start + len(token))
        found.sort()
        kept: list[tuple[int, int, str]] = []
        for place in found:
            if not kept or place[0] >= kept[-1][1]:
                kept.append(place)
        return kept

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        # Compiling takes longer than a request may, so this is made only for texts that need it.
        # ASCII: otherwise the Kelvin sign would count as a k here and not in `starts`.
        alternatives = "|".join(re.escape(token).replace("_", r"\\?_") for token in self._by_token)
        return re.compile(alternatives or r"(?!)", re.IGNORECASE | re.ASCII)

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
        """For one text of a streamed answer; with `json_text` values are escaped as the inside of a JSON string."""
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
        json_text = self._is_json_text is not None and self._is_json_text(path)
        new, count = self._mapping.restored(text, json_text=json_text)
        self.count += count
        return new if count else text

    def number(self, path: Path, number: int | float) -> Json:
        return number

    def name(self, path: Path, name: str) -> str:
        new, count = self._mapping.restored(name, json_text=False)
        self.count += count
        return new if count else name

    def embedded(self, text: str, changed: Json) -> str:
        # Putting values into the text as it stands keeps its layout. That is right unless JSON is nested twice.
        kept = self._mapping.restore_json_text(text)
        return kept if embedded.parse(kept) == changed else embedded.serialise(changed)


class StreamRestorer:
    """Restores one text that arrives in pieces; the pieces joined give what the whole text would.

    Holds back only a suffix that may be the start of a token. With `json_text` the text is JSON (tool-call
    arguments) and values are escaped for it.
    """

    __slots__ = ("_held", "_json_text", "_mapping", "count")

    def __init__(self, mapping: RestoreMap, json_text: bool) -> None:
        self._mapping = mapping
        self._json_text = json_text
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
        restored, count = mapping.restored(text[:cut], json_text=self._json_text)
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
