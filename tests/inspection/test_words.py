"""Words for Presidio's context boost."""

from __future__ import annotations

from gateway.inspection.words import WordEngine, is_keyword, stems


def test_artifacts() -> None:
    """Tokens, their places and lower-case lemmas; stop words and punctuation are no keywords."""
    engine = WordEngine()
    artifacts = engine.process_text("My SSN, is 536-90", "en")
    assert list(artifacts.tokens) == ["My", "SSN", ",", "is", "536", "-", "90"]
    assert artifacts.tokens_indices == [0, 3, 6, 8, 11, 14, 15]
    assert artifacts.keywords == ["ssn", "536", "90"]
    assert [text for text, _ in engine.process_batch(["a", "b"], "en")] == ["a", "b"]


def test_keywords() -> None:
    """The engine and its artifacts agree on what a keyword is."""
    engine = WordEngine()
    for word in ("the", ",", "ssn", "_x", "7"):
        assert is_keyword(word) == (not engine.is_stopword(word, "en") and not engine.is_punct(word, "en"))
    assert engine.is_loaded()
    assert engine.get_supported_entities() == []
    assert engine.get_supported_languages() == ["en"]


def test_stems() -> None:
    """Context words are single words without endings, so that they are in their other forms; accents are optional."""
    assert stems(["Passports", "identity", "Karte", "number"]) == ["passport", "identit", "karte", "number"]
    assert stems(["tax file number", "national insurance"]) == ["file", "insuranc"]
    assert stems(["teléfono", "운전면허", "ssn", "address"]) == ["teléfon", "telefon", "운전면허", "ssn", "address"]
    for context, form in (
        ("identity", "identities"),
        ("passport", "passports"),
        ("cuenta", "cuentas"),
        ("konto", "kontos"),
    ):
        assert stems([context])[0] in form
