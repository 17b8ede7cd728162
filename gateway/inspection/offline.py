"""Scanning without a server, for the command line: loads the recognisers into this process (seconds)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from gateway.domain.finding import Found
from gateway.inspection.engine import Engine
from gateway.inspection.presidio import registry
from gateway.inspection.readings import Readings
from gateway.inspection.tally import tally
from gateway.settings.recognizers import RegistrySettings


def scan_found(texts: Iterable[str], settings: RegistrySettings | None = None) -> tuple[Found, ...]:
    """What an inspection with these settings (by default those of no settings file) would count in these texts."""
    engine = _engine(settings or RegistrySettings())
    readings = Readings(texts)
    spans_of = readings.spans([engine.scan(text) for text in readings.texts])
    return tally(
        (span.entity, text[span.start : span.end], span.percent) for text, spans in spans_of.items() for span in spans
    )


@lru_cache(2)
def _engine(settings: RegistrySettings) -> Engine:
    return Engine(list(registry(settings).recognizers))
