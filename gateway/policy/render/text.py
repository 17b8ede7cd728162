"""A page as plain text, in lines of at most `WIDTH` characters where words permit it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from gateway.policy.render.page import Block, Page, Points, Sentences, Table

WIDTH = 100
_LEAST = 8
_GAP = "  "


def as_text(page: Page) -> str:
    return "\n".join(line.rstrip() for line in _page(page)) + "\n"


def _page(page: Page) -> Iterator[str]:
    yield page.title
    yield "=" * min(len(page.title), WIDTH)
    yield ""
    width = max(len(name) for name, _ in page.facts) + 1
    for name, value in page.facts:
        yield from _wrapped(value, f"{name + ':':<{width}} ")
    for section in page.sections:
        yield ""
        yield ""
        yield section.heading
        yield "-" * len(section.heading)
        for block in section.blocks:
            yield ""
            yield from _block(block)
    yield ""
    yield ""
    yield "Signatures"
    yield "-" * len("Signatures")
    yield ""
    yield from _wrapped(page.signed)
    for role in page.roles:
        yield ""
        yield f"{role}:"
        yield ""
        yield f"Name: {'_' * 30}   Date: {'_' * 12}   Signature: {'_' * 26}"


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Sentences):
        yield from _wrapped(block.text, "! " if block.warning else "")
    elif isinstance(block, Points):
        if block.heading:
            yield f"{block.heading}:"
            yield ""
        for point in block.points:
            yield from _wrapped(point.text, "* ")
            for below in point.below:
                yield from _wrapped(below, "    ")
    else:
        yield from _table(block)


def _table(table: Table) -> Iterator[str]:
    yield f"{table.caption}:"
    yield ""
    widths = _widths(table)
    for number, row in enumerate((table.head, *table.rows)):
        cells = [_lines(cell, width) or [""] for cell, width in zip(row, widths, strict=True)]
        for place in range(max(map(len, cells))):
            parts = [cell[place] if place < len(cell) else "" for cell in cells]
            yield _GAP.join(f"{part:<{width}}" for part, width in zip(parts, widths, strict=True))
        if number == 0:
            yield _GAP.join("-" * width for width in widths)


def _widths(table: Table) -> list[int]:
    """The widest column gives way until the table fits; no column becomes narrower than its longest word."""
    columns = list(zip(table.head, *table.rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    least = [max(_LEAST, *(len(word) for cell in column for word in cell.split())) for column in columns]
    room = WIDTH - len(_GAP) * (len(widths) - 1)
    while sum(widths) > room:
        slack, widest = max(
            (width - narrow, place) for place, (width, narrow) in enumerate(zip(widths, least, strict=True))
        )
        if slack <= 0:
            break
        widths[widest] -= min(slack, sum(widths) - room, max(1, slack // 2))
    return widths


def _wrapped(text: str, first: str = "") -> Iterator[str]:
    """The text after `first`, further lines below where it began."""
    indent = " " * len(first)
    for number, line in enumerate(_lines(text, WIDTH - len(first)) or [""]):
        yield f"{indent if number else first}{line}"


def _lines(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
