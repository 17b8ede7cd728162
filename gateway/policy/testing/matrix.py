"""``matrix``: one written test, many cases, one for each combination of the values listed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod

from gateway.documents import Node

MOST = 10_000
"""Combinations of one test; more are a slip, such as a whole list pasted twice."""


@dataclass(frozen=True, slots=True)
class Combination:
    """Members for ``given`` (or ``text``), and the words that tell this combination from the others."""

    fields: Mapping[str, Node]
    words: str


def combinations(node: Node | None, keys: tuple[str, ...], taken: Mapping[str, Node]) -> Iterator[Combination]:
    """All combinations of a ``matrix``; one empty one where there is none. `taken` are the members given already."""
    if node is None:
        yield Combination({}, "")
        return
    axes: list[list[tuple[str, Node, str]]] = []
    for key, values in node.mapping(keys).items():
        if key in taken:
            values.fail(f"'{key}' is given already: a matrix lists only what differs")
        listed = enumerate(values.sequence(), 1)
        # A text is content, which no report holds, so it goes by its number.
        axes.append([(key, value, f"#{n}" if key == "text" else _words(value)) for n, value in listed])
    if prod(len(axis) for axis in axes) > MOST:
        node.fail(f"more than {MOST} combinations")
        axes = [axis[:1] for axis in axes]
    seen: set[str] = set()
    for chosen in product(*axes):
        words = ", ".join(f"{key}={text}" for key, _, text in chosen)
        if words in seen:
            node.fail(f"the combination [{words}] is listed twice")
        seen.add(words)
        yield Combination({key: value for key, value, _ in chosen}, f"[{words}]")


def _words(node: Node) -> str:
    """A value in short, such as ``CREDIT_CARD`` for ``{CREDIT_CARD: 1}``."""
    if node.kind == "mapping":
        return " + ".join(_member(name, value) for name, value in node.items(allow_empty=True)) or "nothing"
    if node.kind == "list":
        return " + ".join(_words(item) for item in node.sequence(allow_empty=True)) or "nothing"
    text = _scalar(node)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _member(key: Node, value: Node) -> str:
    if value.kind == "mapping":
        fields = {_scalar(name): _scalar(item) for name, item in value.items()}
        return f"{_scalar(key)}: {fields.get('count', '?')} at {fields.get('percent', '?')} %"
    number = _scalar(value)
    return _scalar(key) if number == "1" else f"{_scalar(key)}: {number}"


def _scalar(node: Node) -> str:
    """The value in words. Whatever is wrong with it is said where it is read, so only its kind matters here."""
    match node.kind:
        case "text":
            return node.text()
        case "integer":
            return str(node.integer())
        case "number":
            return str(node.decimal())
        case "boolean":
            return "true" if node.boolean() else "false"
        case _:
            return "nothing"
