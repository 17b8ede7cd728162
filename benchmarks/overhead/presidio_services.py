"""Presidio's analyzer and anonymizer over HTTP, with the routes of Presidio's own Flask applications.

The spaCy pipeline is a blank one, because no trained model is on PyPI: every pattern recogniser runs, but
names are not found. That makes it faster than a full Presidio, and LiteLLM's figure better than in life.
Set BENCH_SPACY_MODEL to a model that is installed in the environment to have a full one.
"""

import json
import os

import spacy
from flask import Flask, Response, request
from presidio_analyzer import AnalyzerEngine, AnalyzerRequest, RecognizerRegistry
from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine
from presidio_anonymizer import AnonymizerEngine
from presidio_anonymizer.services.app_entities_convertor import AppEntitiesConvertor


class LoadedSpacy(SpacyNlpEngine):
    """A spaCy engine whose pipeline is there already."""

    def __init__(self) -> None:
        """Take the pipeline that BENCH_SPACY_MODEL names, or a blank one."""
        super().__init__(
            models=[{"lang_code": "en", "model_name": "blank"}],
            ner_model_configuration=NerModelConfiguration(),
        )
        model = os.environ.get("BENCH_SPACY_MODEL")
        self.nlp = {"en": spacy.load(model) if model else spacy.blank("en")}

    def load(self) -> None:
        """Do nothing: it is loaded."""

    def is_loaded(self) -> bool:
        """Say so."""
        return True


def _make_analyzer() -> AnalyzerEngine:
    registry = RecognizerRegistry(supported_languages=["en"])
    registry.load_predefined_recognizers(languages=["en"])
    return AnalyzerEngine(nlp_engine=LoadedSpacy(), registry=registry, supported_languages=["en"])


analyzer_app, anonymizer_app = Flask("analyzer"), Flask("anonymizer")
_analyzer, _anonymizer = _make_analyzer(), AnonymizerEngine()


@analyzer_app.get("/health")
@anonymizer_app.get("/health")
def health() -> str:
    """Say that the service is up."""
    return "ok"


@analyzer_app.post("/analyze")
def analyze() -> Response:
    """Find personal data."""
    wanted = AnalyzerRequest(request.get_json())
    found = _analyzer.analyze(
        text=wanted.text,
        language=wanted.language,
        score_threshold=wanted.score_threshold,
        entities=wanted.entities,
        return_decision_process=wanted.return_decision_process,
        ad_hoc_recognizers=wanted.ad_hoc_recognizers,
        context=wanted.context,
    )
    return Response(json.dumps([item.to_dict() for item in found]), content_type="application/json")


@anonymizer_app.post("/anonymize")
def anonymize() -> Response:
    """Replace what was found."""
    wanted = request.get_json()
    operators = wanted.get("anonymizers") or wanted.get("operators")
    result = _anonymizer.anonymize(
        text=wanted.get("text", ""),
        analyzer_results=AppEntitiesConvertor.analyzer_results_from_json(wanted.get("analyzer_results")),
        operators=AppEntitiesConvertor.operators_config_from_json(operators),
    )
    return Response(result.to_json(), mimetype="application/json")
