"""Scanning without a server, for the command line: loads the recognisers into this process (seconds)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from gateway.domain.finding import Found
from gateway.inspection.engine import Engine
from gateway.inspection.readings import Readings
from gateway.inspection.tally import tally


def scan_found(texts: Iterable[str]) -> tuple[Found, ...]:
    """What an inspection would count in these texts."""
    readings = Readings(texts)
    spans_of = readings.spans([_engine().scan(text) for text in readings.texts])
    return tally(
        (span.entity, text[span.start : span.end], span.percent) for text, spans in spans_of.items() for span in spans
    )


@cache
def _engine() -> Engine:
    return Engine()
