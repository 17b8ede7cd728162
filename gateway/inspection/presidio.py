"""The registry of recognisers, ours and Presidio's, made quiet, offline and fit for the purpose.

Which recognisers there are stands in gateway/settings/recognizers.yaml. Three of Presidio's cannot be switched on,
because ours take their place without what is wrong with them: the one for mail addresses downloads a list from the
network, the one for IBANs logs candidates, the one for phone numbers needs milliseconds for each region.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

from presidio_analyzer import (
    AnalyzerEngine,
    EntityRecognizer,
    Pattern,
    PatternRecognizer,
    RecognizerRegistry,
    predefined_recognizers,
)

from gateway.domain.tree import Json
from gateway.inspection.ner import NerRecognizer
from gateway.inspection.recognizers.base import EntityHit, TextRecognizer
from gateway.inspection.recognizers.medical import CONDITION, MEDICATION, MedicalRecognizer
from gateway.inspection.recognizers.vocabulary import VocabularyRecognizer
from gateway.inspection.words import WordEngine, stems
from gateway.settings.recognizers import CustomRecognizer, Entry, RegistrySettings

FLOOR = 0.30
"""Findings below this score are dropped: at Presidio's 0.05 every nine-digit number is a passport."""

_LANGUAGE = "en"  # Every recogniser runs on every text, whatever its language; Presidio wants one name for that.


class _WeakChecksum(PatternRecognizer):
    """Put before a recogniser of Presidio's: a wrong checksum still excludes, a right one proves nothing."""

    def validate_result(self, pattern_text: str) -> bool | None:
        return False if super().validate_result(pattern_text) is False else None


class _NoContent(logging.Filter):
    """Presidio writes the text of a candidate that it cannot validate. No record of its logger passes."""

    def filter(self, record: logging.LogRecord) -> bool:
        return False


def silence() -> None:
    """Keep Presidio's loggers from writing anything, at any level, to any handler."""
    for name in ("presidio-analyzer", "presidio_analyzer", "decision_process"):
        logger = logging.getLogger(name)
        if not any(isinstance(item, _NoContent) for item in logger.filters):
            logger.addFilter(_NoContent())
        logger.setLevel(logging.CRITICAL)


def registry(settings: RegistrySettings | Json = None) -> RecognizerRegistry:
    """The recognisers that run, in a registry that Presidio's own analyzer could use as well.

    `settings` may be the value of `RegistrySettings.to_json`; None stands for the default. Raises `ConfigurationError`
    when the model that they name cannot be loaded.
    """
    silence()
    if settings is None:
        settings = RegistrySettings()
    elif not isinstance(settings, RegistrySettings):
        if not isinstance(settings, Mapping):
            raise TypeError("the registry is made from RegistrySettings or their JSON")
        settings = RegistrySettings.from_json(settings)
    terms: dict[str, list[str]] = {}
    for item in settings.terms:
        terms.setdefault(item.entity, []).extend(item.lines)
    recognizers = [_shipped(entry, terms) for entry in settings.entries()]
    recognizers += [_custom(item) for item in settings.custom]
    recognizers += [VocabularyRecognizer(entity, lines, f"{entity} vocabulary") for entity, lines in terms.items()]
    if settings.ner.is_model:
        recognizers.append(NerRecognizer(settings.ner))
    if settings.allow:
        for recognizer in recognizers:
            _allow(recognizer, frozenset(settings.allow))
    return RecognizerRegistry(recognizers=recognizers, supported_languages=[_LANGUAGE])


def analyzer(recognizers: RecognizerRegistry) -> AnalyzerEngine:
    """Presidio's own engine over the same recognisers: the reference that our faster one must equal."""
    return AnalyzerEngine(
        registry=recognizers,
        nlp_engine=WordEngine(),
        supported_languages=[_LANGUAGE],
        default_score_threshold=FLOOR,
    )


def _shipped(entry: Entry, terms: dict[str, list[str]]) -> EntityRecognizer:
    """A recogniser of the catalogue. Takes the terms that it adds to its own out of `terms`."""
    recognizer: EntityRecognizer
    if entry.module == "presidio":
        recognizer = _presidios(entry)
    elif entry.class_name == MedicalRecognizer.__name__:
        recognizer = MedicalRecognizer(terms.pop(CONDITION, ()), terms.pop(MEDICATION, ()))
    else:
        recognizer = getattr(import_module(entry.module), entry.class_name)()
    recognizer.name = entry.name  # type: ignore[has-type]
    recognizer.context = stems(entry.context or recognizer.context)
    return recognizer


def _presidios(entry: Entry) -> EntityRecognizer:
    kind: type[Any] = getattr(predefined_recognizers, entry.class_name)
    if entry.weak_checksum:
        kind = type(entry.class_name, (_WeakChecksum, kind), {})
    recognizer: EntityRecognizer = kind(supported_language=_LANGUAGE)
    if entry.score is not None:
        assert isinstance(recognizer, PatternRecognizer)
        recognizer.patterns = [Pattern(p.name, p.regex, entry.score) for p in recognizer.patterns]  # type: ignore[has-type]
    return recognizer


def _custom(item: CustomRecognizer) -> PatternRecognizer:
    return PatternRecognizer(
        supported_entity=item.entity,
        name=item.name,
        supported_language=_LANGUAGE,
        patterns=[Pattern(pattern.name, pattern.regex, pattern.score) for pattern in item.patterns],
        deny_list=list(item.deny_list),
        deny_list_score=item.deny_list_score,
        context=stems(item.context),
    )


def _allow(recognizer: EntityRecognizer, allowed: frozenset[str]) -> None:
    """Keep a recogniser from reporting these values (in lower case), in our engine and in Presidio's."""
    if isinstance(recognizer, TextRecognizer):
        found = recognizer.found

        def unless_allowed(text: str) -> Iterable[EntityHit]:
            return [hit for hit in found(text) if text[hit[1] : hit[2]].lower() not in allowed]

        recognizer.found = unless_allowed  # type: ignore[method-assign]
    elif isinstance(recognizer, PatternRecognizer):
        invalid = recognizer.invalidate_result

        def is_allowed(value: str) -> bool | None:
            return value.lower() in allowed or invalid(value)

        recognizer.invalidate_result = is_allowed  # type: ignore[assignment]
