"""Medical terms and lists of one's own."""

from __future__ import annotations

import pytest

from gateway.inspection.recognizers.medical import MedicalRecognizer
from gateway.inspection.recognizers.vocabulary import Vocabulary, VocabularyRecognizer, words_of

RECOGNIZER = MedicalRecognizer(conditions=["Zorblax syndrome  # of our own", "~grip"], medicines=["Curitol"])


def found(text: str) -> set[tuple[str, str]]:
    return {(entity, text[start:end]) for entity, start, end, score in RECOGNIZER.found(text) if score >= 0.5}


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("She was diagnosed with type 2 diabetes.", "type 2 diabetes"),
        ("he suffered a stroke in 2019", "stroke"),
        ("an HIV-positive patient", "HIV-positive"),
        ("Alzheimer\u2019s disease", "Alzheimer\u2019s disease"),
        ("Multiple\n  Sclerosis", "Multiple\n  Sclerosis"),
        ("recurring migraines", "migraines"),
        ("Er leidet an Depressionen", "Depressionen"),
        ("Diagnose: Bluthochdruck", "Bluthochdruck"),
        ("sclérose en plaques", "sclérose en plaques"),
        ("cáncer de mama", "cáncer de mama"),
        ("the ZORBLAX SYNDROME", "ZORBLAX SYNDROME"),
    ],
)
def test_conditions(text: str, term: str) -> None:
    """Conditions of several words, in several languages, in any case; those of one's own too."""
    assert ("MEDICAL_CONDITION", term) in found(text)


@pytest.mark.parametrize(
    "text", ["takes lisinopril", "Xylozumab 50 mg", "Ibuprofen", "prescribed curitol", "Metformina 850 mg"]
)
def test_medicines(text: str) -> None:
    """Names that are listed, of one's own, and new ones by the stem of their class beside a dose."""
    assert [entity for entity, _ in found(text)] == ["MEDICATION"]


@pytest.mark.parametrize(
    "text",
    [
        "the stroke width of the path, a depression of prices and a fracture of the plate",
        "In April the concept was accepted; intercept the request, masculine and feline.",
        "get a grip, the flu_cache and cancer_id columns",
    ],
)
def test_ordinary_words(text: str) -> None:
    """Words that are ordinary too say nothing without a patient."""
    assert found(text) == set()


def test_own_lists() -> None:
    """A list for any entity: whole terms only, ordinary words below one half; comments and empty lines are nothing."""
    recognizer = VocabularyRecognizer(
        "ACME_PRODUCT", ["Blue Bird", "~swift", "# note", "", "one two three four five six seven"], "Products"
    )
    text = "the blue-bird and Blue Birds, not Bluebird, swift"
    assert [(text[s:e], score) for _, s, e, score in recognizer.found(text)] == [
        ("blue-bird", 0.75),
        ("Blue Birds", 0.75),
        ("swift", 0.35),
    ]
    assert recognizer.name == "Products"
    assert len(Vocabulary(["a b", "c # d", "#", "~"])) == 2


def test_words() -> None:
    """Words are found between any punctuation, in ASCII texts and others."""
    assert list(words_of("a-b (c), d's")) == ["a", "b", "c", "d", "s"]
    assert list(words_of("é«b»c\u2019s")) == ["é", "b", "c", "s"]
