"""Each text is scanned once, and its other readings with it."""

from __future__ import annotations

from gateway.domain.finding import Span
from gateway.inspection.readings import Readings


def test_texts_and_spans() -> None:
    """Duplicates are scanned once; what is found in another reading is reported at its place in the text."""
    readings = Readings(["plain", "a%40b.org", "plain"])
    assert readings.texts == ["plain", "a%40b.org", "a@b.org"]
    spans = readings.spans([[Span(0, 1, "X", 50)], [Span(0, 9, "E", 40)], [Span(0, 7, "E", 90), Span(2, 7, "H", 30)]])
    assert spans == {
        "plain": [Span(0, 1, "X", 50)],
        "a%40b.org": [Span(0, 9, "E", 90), Span(4, 9, "H", 30)],
    }
