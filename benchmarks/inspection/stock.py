"""Presidio as a user without a model runs it: its own analyzer, its default English recognisers, a blank pipeline."""

import logging
import warnings
from collections.abc import Callable

import spacy
import tldextract
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import SpacyNlpEngine


class _BlankEngine(SpacyNlpEngine):
    """spaCy's pipeline for English without a trained part."""

    def __init__(self) -> None:
        super().__init__(models=[{"lang_code": "en", "model_name": "blank"}])
        self.nlp = {"en": spacy.blank("en")}
        self.nlp["en"].max_length = 10_000_000


def stock() -> Callable[[str], object]:
    """Return the scan of a text. Presidio's suffix list is read from the package, not from the network: a favour."""
    warnings.simplefilter("ignore")
    logging.getLogger("presidio-analyzer").setLevel(logging.CRITICAL)
    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)  # type: ignore[assignment]
    registry = RecognizerRegistry(supported_languages=["en"])
    registry.load_predefined_recognizers(languages=["en"])
    engine = AnalyzerEngine(registry=registry, nlp_engine=_BlankEngine(), supported_languages=["en"])
    return lambda text: engine.analyze(text, "en")
