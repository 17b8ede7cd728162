"""Findings with the name of the recogniser that made them, for people who want to know why."""

from __future__ import annotations

from dataclasses import dataclass

from presidio_analyzer import EntityRecognizer

from gateway.domain.finding import Span
from gateway.inspection.engine import Engine
from gateway.inspection.presidio import registry
from gateway.inspection.readings import Readings
from gateway.inspection.views import views
from gateway.settings import RegistrySettings


@dataclass(frozen=True, slots=True)
class Explained:
    """A finding and its recogniser; the name is empty where two together made it."""

    span: Span
    recognizer: str


class Explainer:
    """The engine of the gateway in this process, with all readings of a text as the gateway makes them.

    Loads the recognisers that `settings` ask for, by default the usual ones, which takes seconds.
    """

    def __init__(self, settings: RegistrySettings | None = None) -> None:
        self.name_engine = (settings or RegistrySettings()).ner.name
        self._recognizers = list(registry(settings).recognizers)
        self._engine = Engine(self._recognizers)

    @property
    def entities(self) -> frozenset[str]:
        return self._engine.entities

    @property
    def recognizers(self) -> tuple[str, ...]:
        """The names of the recognisers, each once."""
        return tuple(dict.fromkeys(_name(recognizer) for recognizer in self._recognizers))

    def scan(self, text: str) -> list[Span]:
        """The spans of one text, by place."""
        readings = Readings([text])
        return readings.spans([self._engine.scan(reading) for reading in readings.texts])[text]

    def explain(self, text: str) -> list[Explained]:
        """The same, with names. Runs the recognisers a second time: the engine does not keep who found what."""
        spans = self.scan(text)
        names: dict[tuple[int, int, str], str] = {}
        wanted = {span.entity for span in spans}
        for recognizer in self._recognizers:
            if wanted.isdisjoint(recognizer.supported_entities):
                continue
            for reading, view in [(text, None), *((view.text, view) for view in views(text))]:
                results = recognizer.analyze(reading, recognizer.supported_entities, None)  # type: ignore[arg-type]
                for result in results or ():
                    place = (result.start, result.end) if view is None else view.back(result.start, result.end)
                    names.setdefault((*place, result.entity_type), _name(recognizer))
        return [Explained(span, names.get((span.start, span.end, span.entity), "")) for span in spans]


def _name(recognizer: EntityRecognizer) -> str:
    return str(recognizer.name)  # type: ignore[has-type]
