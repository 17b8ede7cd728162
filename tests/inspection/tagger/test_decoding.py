"""From scores to spans."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from gateway.inspection.tagger.decoding import WORD, spans
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


PLAIN = "Write a short text about the weather in the morning and explain why the clouds move so fast. I want to know."


def test_ordinary_words_need_no_network() -> None:
    """A text of ordinary words has no entity and costs a fraction of one with a name."""
    assert spans(MODEL, PLAIN) == []
    named = PLAIN.replace("weather", "Kowalski")
    costs = []
    for text in (PLAIN, named):
        times = []
        for _ in range(50):
            began = time.perf_counter()
            spans(MODEL, text)
            times.append(time.perf_counter() - began)
        costs.append(min(times))
    assert costs[0] < costs[1] / 3


@pytest.mark.parametrize("case", [str, str.lower, str.upper])
def test_names_are_not_ordinary(case: Callable[[str], str]) -> None:
    """Names of persons, places and organisations, nationalities and titles are no ordinary words."""
    people, others = ("Anna", "Tobias", "Giulia", "Kowalski", "Smith", "Nowak"), ("Portuguese", "Dr")
    words = (*people, "Leeds", "Hamburg", "Lisbon", "Siemens", "Google", *others)
    assert MODEL.ordinary.isdisjoint(map(case, words))


def test_no_span_of_ordinary_words_alone() -> None:
    """What is found has at least one word that is not ordinary, also in a text that has others."""
    text = "The Morning Weather, by Anna Kowalski, is about the Clouds and the Way to Work in August 2024."
    found = [text[start:end] for _, start, end, _ in spans(MODEL, text)]
    assert "Anna Kowalski" in found
    assert not any(MODEL.ordinary.issuperset(WORD.findall(value)) for value in found)
