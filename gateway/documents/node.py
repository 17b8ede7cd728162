"""A value in a file, with its place and accessors that check its type."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import date
from decimal import Decimal
from typing import Any, TypeAlias

from gateway.documents.characters import hidden_in_name
from gateway.documents.problems import Problems, nearest
from gateway.domain.money import NanoUsd, usd

Scalar: TypeAlias = "str | bool | int | Decimal | None"

_KINDS = {"mapping": "a mapping (key: value)", "list": "a list", "text": "text", "integer": "a whole number"}
_KINDS |= {"number": "a number", "boolean": "true or false", "nothing": "nothing"}
_MONEY = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?USD")
_SECONDS = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?(ms|s|m|h)")
_UNITS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}
_SIZE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?(KiB|MiB|GiB|TiB)")
_SIZES = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}")


class Node:
    """A value in a file. `kind` is one of mapping, list, text, integer, number, boolean, nothing."""

    __slots__ = ("_entries", "_folded", "_items", "_present", "_value", "column", "kind", "line", "problems")

    def __init__(self, problems: Problems, kind: str, line: int, column: int, value: Scalar = None) -> None:
        self.problems = problems
        self.kind = kind
        self.line = line
        self.column = column
        self._value = value
        self._items: list[Node] = []
        self._entries: list[tuple[Node, Node]] = []
        self._present = True
        self._folded = False  # a text without quotes that goes on in the next line

    def fail(self, message: str, suggestion: str = "") -> None:
        """Report a problem at this place. Says nothing for a value that is missing: that was reported already."""
        if self._present:
            self.problems.add(self, message, suggestion)

    @property
    def present(self) -> bool:
        """False for the stand-in of a required value that the file does not have."""
        return self._present

    def mapping(
        self, allowed: Collection[str], required: Collection[str] = (), allow_empty: bool = False
    ) -> dict[str, Node]:
        """The members by name. An unknown key and a missing required key are problems.

        Every required key is in the answer: where the file lacks it, as a stand-in that reports nothing more.
        """
        known: dict[str, Node] = {}
        if self._is("mapping", allow_empty):
            meant: set[str] = set()
            for key, value in self._entries:
                name = str(key._value)
                if name in allowed:
                    known[name] = value
                else:
                    close = nearest(name, allowed)
                    if value.kind == "nothing" and " " in name:
                        key.fail(f"'{name}' has no ':' and value: a text with a comma in it goes in quotes")
                        continue
                    key.fail(f"unknown key '{name}'" + ("" if close else f" (known: {', '.join(allowed)})"), close)
                    meant.add(close)
            # A required key that is there with a slip in it is one problem, not two.
            missing = [name for name in required if name not in known and name not in meant]
            if missing and self._entries:
                self.fail(f"missing {'keys' if len(missing) > 1 else 'key'} {', '.join(map(repr, missing))}")
        for name in required:
            known.setdefault(name, self._absent())
        return known

    def items(self, allow_empty: bool = False) -> list[tuple[Node, Node]]:
        """Key and value of each member of a mapping whose keys are free, in the order of the file."""
        return list(self._entries) if self._is("mapping", allow_empty) else []

    def sequence(self, allow_empty: bool = False) -> list[Node]:
        return list(self._items) if self._is("list", allow_empty) else []

    def text(self) -> str:
        """Text on one or more lines; never empty."""
        if self.kind in ("integer", "number", "boolean"):
            self.fail(f"expected text, got {_KINDS[self.kind]}; put it in quotes if it is meant as text")
            return ""
        if not self._is("text"):
            return ""
        text = str(self._value).strip()
        if not text:
            self.fail("expected text, got nothing")
        return text

    def identifier(self) -> str:
        """A name for machines: letters, digits, ``_``, ``-`` and ``.``, at most 64 characters."""
        text = self.text()
        if text and not _IDENTIFIER.fullmatch(text):
            self.fail(f"'{text}' is not a name: use letters, digits, '_', '-' and '.' (at most 64, no spaces)")
            return ""
        return text

    def integer(self, minimum: int | None = None, maximum: int | None = None) -> int:
        if not self._is("integer"):
            return minimum or 0
        assert isinstance(self._value, int)
        return int(self._within(self._value, minimum, maximum))

    def number(self, minimum: float | None = None, maximum: float | None = None) -> float:
        return float(self.decimal(minimum, maximum))

    def decimal(self, minimum: float | None = None, maximum: float | None = None) -> Decimal:
        """A number, exactly as written."""
        if self.kind != "integer" and not self._is("number"):
            return Decimal(0)
        assert isinstance(self._value, int | Decimal)
        return Decimal(self._within(self._value, minimum, maximum))

    def boolean(self) -> bool:
        if self.kind == "text" and str(self._value).lower() in ("yes", "no", "on", "off"):
            self.fail(f"expected true or false, got the text '{self._value}'", _boolean_of(str(self._value)))
            return False
        return self._value is True if self._is("boolean") else False

    def one_of(self, words: Collection[str]) -> str:
        """One of these words; the first of them where it is not."""
        first = next(iter(words))
        text = self.text()
        if not text or text in words:
            return text or first
        close = nearest(text, words)
        self.fail(f"'{text}' is not one of {', '.join(words)}", close)
        return first

    def texts(self, allow_empty: bool = False) -> tuple[str, ...]:
        """A list of texts, none twice."""
        return tuple(text for _, text in self.located_texts(allow_empty))

    def text_or_list(self) -> tuple[str, ...]:
        """One text, or a list of them."""
        return tuple(text for _, text in self.located_texts())

    def located_texts(self, allow_empty: bool = False) -> list[tuple[Node, str]]:
        """As `text_or_list`, each text with its place, for checks that follow."""
        if self.kind != "list":
            text = self._name()
            return [(self, text)] if text else []
        seen: dict[str, Node] = {}
        for item in self.sequence(allow_empty):
            text = item._name()
            if text in seen:
                item.fail(f"'{text}' is listed twice")
            elif text:
                seen[text] = item
        return [(node, text) for text, node in seen.items()]

    def _name(self) -> str:
        """A text that stands for something by being the same, letter by letter."""
        text = self.text()
        if text and (message := hidden_in_name(text)):
            self.fail(message)
        elif text and self._folded:
            self.fail(f"'{text}' goes over several lines: write it in one, or put a '-' before each item of a list")
        return text

    def money(self) -> NanoUsd:
        """An amount such as ``0.05 USD``, in nano-dollars."""
        match = _MONEY.fullmatch(str(self._value)) if self.kind == "text" else None
        if match:
            return usd(match[1])
        self.fail(f"expected an amount in dollars such as '0.05 USD', got {self._shown()}")
        return NanoUsd(0)

    def seconds(self) -> float:
        """A duration such as ``500ms``, ``2s``, ``5m`` or ``1h``, in seconds; never zero."""
        match = _SECONDS.fullmatch(str(self._value)) if self.kind == "text" else None
        if match and (amount := Decimal(match[1]) * _UNITS[match[2]]):
            return float(amount)
        self.fail(f"expected a duration such as '500ms', '2s' or '5m', got {self._shown()}")
        return 1.0

    def size(self) -> int:
        """An amount of memory such as ``512 MiB`` or ``1.5 GiB``, in bytes; never zero."""
        match = _SIZE.fullmatch(str(self._value)) if self.kind == "text" else None
        if match and (amount := int(Decimal(match[1]) * _SIZES[match[2]])):
            return amount
        self.fail(f"expected an amount of memory such as '512 MiB' or '8 GiB', got {self._shown()}")
        return 1

    def date(self) -> date:
        """A day such as ``2026-12-31``."""
        text = str(self._value)
        if self.kind == "text" and _DATE.fullmatch(text):
            try:
                return date.fromisoformat(text)
            except ValueError:
                self.fail(f"there is no day {text}")
                return date.max
        self.fail(f"expected a day such as 2026-12-31, got {self._shown()}")
        return date.max

    def _is(self, kind: str, allow_empty: bool = False) -> bool:
        if not self._present:
            return False
        if kind == "mapping" and self.kind in ("mapping", "nothing") and not self._entries:
            if not allow_empty:
                self.fail("expected at least one 'key: value', got nothing")
            return self.kind == "mapping" or allow_empty
        if kind == "list" and self.kind in ("list", "nothing") and not self._items:
            if not allow_empty:
                self.fail("expected a list of at least one, got nothing")
            return allow_empty
        if self.kind != kind:
            self.fail(f"expected {_KINDS[kind]}, got {self._shown()}")
            return False
        return True

    def _within(self, value: Any, minimum: float | None, maximum: float | None) -> Any:
        if minimum is not None and value < minimum:
            self.fail(f"{value} is less than {minimum}, the least that is possible here")
            return minimum
        if maximum is not None and value > maximum:
            self.fail(f"{value} is more than {maximum}, the most that is possible here")
            return maximum
        return value

    def _shown(self) -> str:
        if self.kind == "text":
            return f"the text '{self._value}'"
        return _KINDS[self.kind] if self._value is None else f"{str(self._value).lower()}"

    def _absent(self) -> Node:
        node = Node(self.problems, "nothing", self.line, self.column)
        node._present = False
        return node


def _boolean_of(word: str) -> str:
    return "true" if word.lower() in ("yes", "on") else "false"
