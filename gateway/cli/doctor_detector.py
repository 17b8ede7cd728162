"""The checks of ``bailiwick doctor`` that are about the detector: what it can find, in what, and what that costs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median
from typing import TYPE_CHECKING, Final

from gateway.cli.checks import Check, failed, ok, warning
from gateway.settings import InspectionSettings, RegistrySettings
from gateway.settings.ner import BUILTIN, NONE

if TYPE_CHECKING:
    from gateway.inspection.explained import Explainer

_PROBE: Final = "My card number is 4242 4242 4242 4242."
_PROBE_ENTITY: Final = "CREDIT_CARD"
_NAMES: Final = "Dear Anna Kowalski, yesterday I met John Smith of Microsoft in London."
"""What every engine for names finds something in, if it has learned English or any names at all."""

_SAMPLE_CHARACTERS: Final = 1_000
_LETTER: Final = (
    "Dear Anna Kowalski, thank you for your letter of 3 March about the invoice of last month. Our bank in Leeds says "
    "that it was paid from DE89 3704 0044 0532 0130 00, and the receipt went to anna@example.com. If anything is still "
    "open, please ring +44 20 7946 0958 between nine and five, or write to John Smith, 12 High Street, Leeds. The next "
    "delivery leaves on Monday, as agreed with the two suppliers, unless the weather changes the plan once more. "
)
_RUNS: Final = 15
_LARGE: Final = 100_000
"""Characters of a large request."""


def detector_checks(inspection: InspectionSettings) -> Iterator[Check]:
    """Loads the recognisers, which takes seconds. Raises `ConfigurationError` when a model cannot be loaded."""
    from gateway.inspection.explained import Explainer

    registry = inspection.registry
    explainer = Explainer(registry)
    yield _detector(explainer)
    yield _names(explainer, registry)
    yield _reach(registry)
    yield _own(inspection)
    yield _cost(explainer, inspection)


def _detector(explainer: Explainer) -> Check:
    entities = sorted(explainer.entities)
    detail = f"Presidio, {len(explainer.recognizers)} recognisers, {len(entities)} entities: {', '.join(entities)}"
    if any(span.entity == _PROBE_ENTITY for span in explainer.scan(_PROBE)):
        return ok("detector", detail)
    return failed(
        "detector", f"{detail}; but it does not find a card number: take CardRecognizer out of inspection.switch_off"
    )


def _names(explainer: Explainer, registry: RegistrySettings) -> Check:
    engine = registry.ner
    if engine.engine == NONE:
        return warning("names", "nobody looks for names of persons; inspection.ner.engine: builtin does")
    own = [entry for entry in registry.entries() if entry.ner]
    reported = engine.entities.union(*(entry.entities for entry in own))
    if not reported:
        return warning("names", "their recogniser is in inspection.switch_off: nobody looks for names of persons")
    by = ", ".join(entry.name for entry in own) if engine.engine == BUILTIN else engine.folder
    detail = f"{engine.engine} ({by}): {', '.join(sorted(reported))}"
    if any(span.entity in reported for span in explainer.scan(_NAMES)):
        return ok("names", detail)
    return warning(
        "names",
        f"{detail}; it finds no name in an English sentence: try it with bailiwick inspect, or change the engine",
    )


def _reach(registry: RegistrySettings) -> Check:
    from gateway.inspection.language import LANGUAGES

    known = {code for entry in registry.entries() for code in entry.languages}
    languages = [name for code, name in LANGUAGES.items() if code in known]
    countries = ", ".join(sorted(registry.countries)) or "none"
    return ok("languages", f"words of {', '.join(languages)}; identity numbers of: {countries}")


def _own(inspection: InspectionSettings) -> Check:
    registry = inspection.registry
    if not inspection.company_files:
        return ok("company files", "none (docs/recognizers.md: a recogniser of your own in five lines)")
    files = ", ".join(map(str, inspection.company_files))
    terms = sum(len(item.lines) for item in registry.terms)
    counts = f"{len(registry.custom)} recognisers, {terms:,} terms, {len(registry.allow)} values that are allowed"
    return ok("company files", f"{files}: {counts}")


def _cost(explainer: Explainer, inspection: InspectionSettings) -> Check:
    letter = (_LETTER * (_SAMPLE_CHARACTERS // len(_LETTER) + 1))[:_SAMPLE_CHARACTERS]
    seconds: list[float] = []
    for _ in range(_RUNS + 1):
        start = time.process_time()
        explainer.scan(letter)
        seconds.append(time.process_time() - start)
    middle = median(seconds[1:])  # the first one makes what libraries make at first use
    detail = f"{middle * 1000:.1f} ms of processor time for {_SAMPLE_CHARACTERS:,} characters of a letter"
    large = middle * _LARGE / _SAMPLE_CHARACTERS / inspection.processes
    if large < inspection.timeout:
        return ok("cost", detail)
    return warning(
        "cost",
        f"{detail}: a request of {_LARGE:,} would take {large:.0f} s and miss inspection.timeout "
        f"({inspection.timeout:g} s); raise it or inspection.processes, or use a smaller model",
    )
