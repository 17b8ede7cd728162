"""A page as one HTML file: nothing is loaded, nothing runs, and every text of the policy is escaped.

Written for people who print and sign it, and for those who have it read to them: one language, headings in order,
tables with captions and named rows, dark text on white, and nothing that is said by colour alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from gateway.policy.render.page import Block, Page, Point, Points, Sentences, Table

_STYLE = """
:root { color-scheme: light; }
body { margin: 2rem auto; max-width: 46rem; padding: 0 1rem; color: #1a1a1a; background: #fff;
  font: 1rem/1.5 Georgia, "Times New Roman", serif; overflow-wrap: anywhere; }
h1, h2, h3, th, caption, dt { font-family: "Helvetica Neue", Arial, sans-serif; line-height: 1.25; }
h1 { font-size: 1.6rem; }
h2 { font-size: 1.2rem; margin-top: 2rem; border-bottom: 1px solid #767676; }
h3 { font-size: 1rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; }
dt { font-weight: bold; }
dd { margin: 0; }
li { margin-bottom: .6rem; }
li p { margin: 0; color: #404040; font-size: .9rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
caption { text-align: left; font-weight: bold; padding-bottom: .4rem; }
th, td { border: 1px solid #767676; padding: .35rem .5rem; text-align: left; vertical-align: top; }
thead th { background: #eee; }
.warning { border: 2px solid #8a1c00; padding: .5rem .75rem; font-weight: bold; }
.signature td { height: 3rem; }
@page { margin: 2cm; }
@media print {
  body { margin: 0; max-width: none; padding: 0; font-size: 11pt; }
  h2, h3, caption { break-after: avoid; }
  li, tr, .warning, .signature { break-inside: avoid; }
  thead { display: table-header-group; }
}
"""


def as_html(page: Page) -> str:
    return "\n".join(_page(page)) + "\n"


def _page(page: Page) -> Iterator[str]:
    yield "<!DOCTYPE html>"
    yield '<html lang="en">'
    yield "<head>"
    yield '<meta charset="utf-8">'
    yield """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">"""
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(page.title)}</title>"
    yield f"<style>{_STYLE}</style>"
    yield "</head>"
    yield "<body>"
    yield "<main>"
    yield f"<h1>{escape(page.title)}</h1>"
    yield "<dl>"
    for name, value in page.facts:
        yield f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
    yield "</dl>"
    for section in page.sections:
        yield "<section>"
        yield f"<h2>{escape(section.heading)}</h2>"
        for block in section.blocks:
            yield from _block(block)
        yield "</section>"
    yield from _signatures(page)
    yield "</main>"
    yield "</body>"
    yield "</html>"


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Sentences):
        yield f'<p class="warning">{escape(block.text)}</p>' if block.warning else f"<p>{escape(block.text)}</p>"
    elif isinstance(block, Points):
        if block.heading:
            yield f"<h3>{escape(block.heading)}</h3>"
        yield "<ul>"
        for point in block.points:
            yield f"<li>{_point(point)}</li>"
        yield "</ul>"
    else:
        yield from _table(block)


def _point(point: Point) -> str:
    return escape(point.text) + "".join(f"<p>{escape(below)}</p>" for below in point.below)


def _table(table: Table) -> Iterator[str]:
    yield "<table>"
    yield f"<caption>{escape(table.caption)}</caption>"
    yield f"<thead><tr>{''.join(_column(name) for name in table.head)}</tr></thead>"
    yield "<tbody>"
    for first, *others in table.rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in others)
        yield f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>'
    yield "</tbody>"
    yield "</table>"


def _column(name: str) -> str:
    return f'<th scope="col">{escape(name)}</th>'


def _signatures(page: Page) -> Iterator[str]:
    yield "<section>"
    yield "<h2>Signatures</h2>"
    yield f"<p>{escape(page.signed)}</p>"
    yield '<table class="signature">'
    yield "<caption>Signed by</caption>"
    yield f"<thead><tr>{''.join(map(_column, ('Role', 'Name', 'Date', 'Signature')))}</tr></thead>"
    yield "<tbody>"
    for role in page.roles:
        yield f'<tr><th scope="row">{escape(role)}</th><td></td><td></td><td></td></tr>'
    yield "</tbody>"
    yield "</table>"
    yield "</section>"
