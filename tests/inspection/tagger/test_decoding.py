"""From scores to spans."""

from __future__ import annotations

import pytest

from gateway.inspection.tagger.decoding import spans
from gateway.inspection.tagger.model import load

MODEL = load()


def test_only_an_address_goes_on_in_the_next_line() -> None:
    """A name ends with its line; an address may have several."""
    text = "Anna Kowalski\nTobias Meier\n12 High Street\nLeeds LS1 4DY\n"
    found = [(kind, text[start:end]) for kind, start, end, _ in spans(MODEL, text)]
    assert found == [
        ("PERSON", "Anna Kowalski"),
        ("PERSON", "Tobias Meier"),
        ("ADDRESS", "12 High Street\nLeeds LS1 4DY"),
    ]


@pytest.mark.parametrize("text", ["(Anna Kowalski)", '"Anna Kowalski",', "- Anna Kowalski:", "**Anna Kowalski**"])
def test_punctuation_around_is_not_part(text: str) -> None:
    """Brackets, quotes and marks of Markdown are left outside."""
    assert [text[start:end] for _, start, end, _ in spans(MODEL, text)] == ["Anna Kowalski"]


def test_source_code_asks_for_more() -> None:
    """The same name has a lower score between lines of code than in a sentence, and a clear one is still found."""
    prose = "Please ask Anna Kowalski before the change."
    code = f"def load_all(self):\n    self.reset()\n    # {prose}\n    return self.items_by_key();\n"
    in_prose, in_code = spans(MODEL, prose), spans(MODEL, code)
    assert [prose[start:end] for _, start, end, _ in in_prose] == ["Anna Kowalski"]
    assert [code[start:end] for _, start, end, score in in_code if score >= 0.5] == ["Anna Kowalski"]
    assert in_code[0][3] < in_prose[0][3]


def test_json_is_not_source_code() -> None:
    """Names in data keep their score."""
    text = '{"first_name": "Anna", "last_name": "Kowalski", "city": "Leeds"}'
    assert [text[start:end] for _, start, end, score in spans(MODEL, text) if score >= 0.5] == [
        "Anna",
        "Kowalski",
        "Leeds",
    ]


def test_nothing_in_nothing() -> None:
    """An empty text and one of white space hold no entity."""
    assert spans(MODEL, "") == spans(MODEL, " \n ") == []
