"""What the shipped model finds: examples of each entity, casing, languages, and what it must leave alone."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry

from gateway.inspection.tagger.recognizer import TaggerRecognizer
from gateway.inspection.words import WordEngine

RECOGNIZER = TaggerRecognizer()


def found(text: str, entity: str | None = None) -> list[str]:
    hits = RECOGNIZER.found(text)
    return [text[a:b] for kind, a, b, score in hits if score >= 0.5 and entity in (None, kind)]


@pytest.mark.parametrize(
    ("text", "entity", "values"),
    [
        ("I met Anna Kowalski yesterday.", "PERSON", ["Anna Kowalski"]),
        ("My name is Kenji Watanabe and I need help.", "PERSON", ["Kenji Watanabe"]),
        ("Dear Priya,\nthanks.\n\nBest regards,\nTobias", "PERSON", ["Priya", "Tobias"]),
        ("Invite Anna, Ben and Carla to the call.", "PERSON", ["Anna", "Ben", "Carla"]),
        ("We fly from Hamburg to Lisbon.", "LOCATION", ["Hamburg", "Lisbon"]),
        ("I live at 12 High Street, Leeds LS1 4DY.", "LOCATION", ["12 High Street, Leeds LS1 4DY"]),
        ("Send it to 742 Oak Lane, Dayton, OH 45402", "LOCATION", ["742 Oak Lane, Dayton, OH 45402"]),
        ("She works for Siemens in Munich.", "ORGANIZATION", ["Siemens"]),
        ("Contract with Brightwater Holdings Ltd was signed.", "ORGANIZATION", ["Brightwater Holdings Ltd"]),
        ("My neighbour is Portuguese.", "NRP", ["Portuguese"]),
        ("I am 43 years old.", "AGE", ["43"]),
        ("She was born on 14 March 1987.", "DATE_TIME", ["14 March 1987"]),
        ("Date of birth: 03/11/1962", "DATE_TIME", ["03/11/1962"]),
        ("I spoke to Dr. Novak.", "TITLE", ["Dr."]),
        ("Patient: Kowalski, Anna", "PERSON", ["Kowalski, Anna"]),
        ("P.S. Anna says hello.", "PERSON", ["Anna"]),
        ("Anna's birthday is tomorrow.", "PERSON", ["Anna"]),
        ("Ship to: PO Box 4858, Dayton, OH 45402", "LOCATION", ["PO Box 4858, Dayton, OH 45402"]),
        (
            "Ship to:\nOmar Haddad\n742 Oak Lane\nSuite 12\nDayton, OH 45402",
            "LOCATION",
            ["742 Oak Lane\nSuite 12\nDayton, OH 45402"],
        ),
        ("She is a 43 year old nurse from Leeds.", "AGE", ["43"]),
    ],
)
def test_each_entity(text: str, entity: str, values: list[str]) -> None:
    """Plain examples of every entity, with exact borders."""
    assert found(text, entity) == values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("my name is anna kowalski", ["anna kowalski"]),
        ("i live in hamburg", ["hamburg"]),
        ("MY NAME IS ANNA KOWALSKI", ["ANNA KOWALSKI"]),
    ],
)
def test_casing(text: str, values: list[str]) -> None:
    """Names are found in lower case and in capitals too."""
    assert found(text) == values


@pytest.mark.parametrize(
    ("text", "name", "place"),
    [
        ("Mein Name ist Jürgen Schröder und ich wohne in Köln.", "Jürgen Schröder", "Köln"),
        ("Je m'appelle François Dupont et j'habite à Lyon.", "François Dupont", "Lyon"),
        ("Me llamo José García López y vivo en Sevilla.", "José García López", "Sevilla"),
        ("Mi chiamo Giulia Rossi e abito a Torino.", "Giulia Rossi", "Torino"),
        ("Mijn naam is Pieter de Vries en ik woon in Utrecht.", "Pieter de Vries", "Utrecht"),
        ("Meu nome é João Oliveira e moro em Lisboa.", "João Oliveira", "Lisboa"),
        ("Nazywam się Katarzyna Nowak i mieszkam w mieście Kraków.", "Katarzyna Nowak", "Kraków"),
    ],
)
def test_languages(text: str, name: str, place: str) -> None:
    """The other languages that templates exist for."""
    assert found(text, "PERSON") == [name]
    assert found(text, "LOCATION") == [place]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("We rijden van Utrecht naar Groningen.", ["Utrecht", "Groningen"]),
        ("Andiamo da Torino a Bologna con Giulia.", ["Torino", "Bologna", "Giulia"]),
        ("Jedziemy z Krakowa do Gdańska, bo Marek tam pracuje.", ["Krakowa", "Gdańska", "Marek"]),
        ("Nous allons de Lyon à Bordeaux avec François.", ["Lyon", "Bordeaux", "François"]),
        ("Quero ir de Braga para Coimbra com João.", ["Braga", "Coimbra", "João"]),
        ("Wir fahren von Köln nach Leipzig.", ["Köln", "Leipzig"]),
    ],
)
def test_several_places_in_a_sentence(text: str, values: list[str]) -> None:
    """Two places joined by a preposition are two findings, in every language."""
    assert found(text) == values


@pytest.mark.parametrize(
    "text",
    [
        "Write a Python function that sorts a list of tuples by the second element.",
        "def parse_name(self, text: str) -> Name:\n    return self._parse(text.strip())\n",
        "2031-05-01 10:22:31,123 INFO [main] Server started on port 8080",
        "The Quick Start Guide explains how to configure the Server.",
        '{"model": "base", "temperature": 0.2, "stream": true}',
        "SELECT id, total FROM orders WHERE created_at > now() ORDER BY id;",
        "",
        " \n\t ",
        "....,,,;;;",
    ],
)
def test_what_is_left_alone(text: str) -> None:
    """Code, logs and plain instructions hold no personal data."""
    assert found(text) == []


def test_spans_are_inside_the_text_and_do_not_overlap() -> None:
    """Every span lies in the text, begins and ends with a character that is not white space, and scores are chances."""
    text = "  Dr. Anna Kowalski \n 12 High Street\nLeeds , born 1 May 1980 (Siemens AG)  "
    hits = sorted(RECOGNIZER.found(text), key=lambda hit: hit[1])
    assert hits
    assert all(first[2] <= second[1] for first, second in pairwise(hits))
    for entity, start, end, score in hits:
        assert entity in TaggerRecognizer.ENTITIES
        assert text[start:end].strip() == text[start:end] != ""
        assert 0 < score < 1


def test_independent_of_chunks() -> None:
    """Cut at white space with an overlap of 1,000 characters, a long text has the findings of the whole."""
    piece = "Dear {0}, the parcel for {0} Kowalski goes to {1} High Street, Leeds. It was sent on 3 May 2024.\n"
    names = ["Anna", "Omar", "Chen", "Lucía", "Bjørn", "Fatima"]
    text = "".join(piece.format(names[i % 6], i) for i in range(200))
    whole = set(RECOGNIZER.found(text))
    at, parts = 0, set()
    while at < len(text):
        cut = text.rfind(" ", at, at + 5000)
        end = len(text) if at + 5000 >= len(text) else cut
        keep_from = 0 if at == 0 else 500
        keep_to = end - at if end == len(text) else end - at - 500
        for entity, start, stop, score in RECOGNIZER.found(text[at:end]):
            if keep_from <= start < keep_to:
                parts.add((entity, at + start, at + stop, score))
        at = end if end == len(text) else text.rfind(" ", 0, end - 1000)
    assert {hit[:3] for hit in parts} == {hit[:3] for hit in whole}
    scores = {hit[:3]: hit[3] for hit in whole}
    assert all(abs(scores[hit[:3]] - hit[3]) <= 0.01 for hit in parts)


def test_growth_is_linear() -> None:
    """Ten times the text takes about ten times as long, also where nothing is found in one long line."""
    for piece in ("Anna Kowalski from Leeds wrote to Omar Haddad on 3 May 2024. ", "a1b2_", "\n"):
        times = []
        for size in (20_000, 200_000):
            text = (piece * (size // len(piece) + 1))[:size]
            RECOGNIZER.found(text)
            began = time.process_time()
            RECOGNIZER.found(text)
            times.append(time.process_time() - began)
        assert times[1] < 25 * max(times[0], 0.002)


def test_presidio_can_run_it() -> None:
    """Presidio's own analyzer takes it from a registry."""
    registry = RecognizerRegistry(recognizers=[RECOGNIZER], supported_languages=["en"])
    analyzer = AnalyzerEngine(registry=registry, nlp_engine=WordEngine(), supported_languages=["en"])
    results = analyzer.analyze("My name is Anna Kowalski.", language="en")
    assert [(r.entity_type, r.start, r.end) for r in results] == [("PERSON", 11, 24)]
