"""What a rendering consists of, before it is text or HTML: headings, sentences, points and tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Sentences:
    """A paragraph. `warning` is for what nobody may overlook."""

    text: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """One thing in a list: what it says, and what belongs below it in smaller words (a reason, a name)."""

    text: str
    below: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Points:
    """A list without order. `heading` stands above it where a section has several."""

    points: tuple[Point, ...]
    heading: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """`rows` have as many cells as `head`; the first cell of a row names it."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


Block: TypeAlias = "Sentences | Points | Table"


@dataclass(frozen=True, slots=True)
class Section:
    heading: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """`signed` is the sentence that the signatures stand below, `roles` are those who sign."""

    title: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    signed: str
    roles: tuple[str, ...] = field(default=("Owner of the policy", "Second person"))
