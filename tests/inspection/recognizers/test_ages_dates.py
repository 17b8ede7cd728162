"""Ages, dates of birth and dates in sentences."""

from __future__ import annotations

import pytest

from gateway.inspection.recognizers.ages import AgeRecognizer
from gateway.inspection.recognizers.dates import DateRecognizer

AGES = AgeRecognizer()
DATES = DateRecognizer()


def dates(text: str) -> dict[str, tuple[str, float]]:
    return {entity: (text[start:end], score) for entity, start, end, score in DATES.found(text)}


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("She is forty-three years old.", "forty-three"),
        ("a Nineteen-year-old student", "Nineteen"),
        ("my seven year old son", "seven"),
        ("eighty years of age", "eighty"),
    ],
)
def test_ages_in_words(text: str, age: str) -> None:
    """An age that is written out in English is found."""
    assert [text[start:end] for start, end, _ in AGES.hits(text)] == [age]


@pytest.mark.parametrize("text", ["after twenty years of service", "a two-year plan", "someone years older", "3 years"])
def test_years_alone_are_no_age(text: str) -> None:
    """A number of years that is nobody's age is left alone."""
    assert list(AGES.hits(text)) == []


@pytest.mark.parametrize(
    "text",
    [
        *(
            "She is 34 years old",
            "a 34-year-old man",
            "aged 34,",
            "Age: 34",
            '"age": 34,',
            "34 yo male",
            "34 y/o",
            "turned 34 in",
        ),
        *("Er ist 34 Jahre alt", "eine 34-jährige Frau", "im Alter von 34 Jahren", "âgé de 34 ans", "âgée de 34 ans"),
        *(
            "j'ai 34 ans",
            "tiene 34 años",
            "edad: 34",
            "34 años de edad",
            "ha 34 anni",
            "di 34 anni di età",
            "34 jaar oud",
        ),
        *("leeftijd: 34", "tem 34 anos", "34 anos de idade", "mam 34 lata", "w wieku 34 lat", "34-letni mężczyzna"),
    ],
)
def test_ages(text: str) -> None:
    """A number that the words around make an age is found, in eight languages."""
    assert [(text[start:end], score >= 0.6) for start, end, score in AGES.hits(text)] == [("34", True)]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "max-age=34",
            "page 34 of 60",
            "age: 30 days",
            "34 years of experience",
            "returned 1 row",
            "image 34, average 34",
        ),
        *("aged 340", "age 34%", "message 34", "34 ans d'expérience", "storage: 34 GB", "age: 5 min"),
    ],
)
def test_no_ages(text: str) -> None:
    """Other numbers near such words are no ages."""
    assert list(AGES.hits(text)) == []


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("born 12 March 1984", "12 March 1984"),
        ("DOB: 03/12/1984", "03/12/1984"),
        ("date of birth is 1984-03-12", "1984-03-12"),
        ('{"birth_date": "1984-03-12"}', "1984-03-12"),
        ('"dateOfBirth":"12.03.1984"', "12.03.1984"),
        ("geboren am 12.03.1984", "12.03.1984"),
        ("geb. 12. März 1984 in", "12. März 1984"),
        ("née le 3 mai 1990", "3 mai 1990"),
        ("fecha de nacimiento: 12 de marzo de 1984", "12 de marzo de 1984"),
        ("nato il 12 marzo 1984", "12 marzo 1984"),
        ("geboren op 12 maart 1984", "12 maart 1984"),
        ("nascido em 12 de março de 1984", "12 de março de 1984"),
        ("urodzony 12 marca 1984", "12 marca 1984"),
        ("born in 1984", "1984"),
        ("Anna Schmidt, * 12.03.1984", "12.03.1984"),
        ("born on Monday 12 March 1984", "12 March 1984"),
    ],
)
def test_birth(text: str, date: str) -> None:
    """A date behind words for birth is a date of birth, and a date for policies that know only that."""
    assert dates(text) == {"DATE_OF_BIRTH": (date, 0.85), "DATE_TIME": (date, 0.85)}


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("on March 12th, 1984 we", "March 12th, 1984"),
        ("since (March 12, 1984)", "March 12, 1984"),
        ("see 12-Jan-1984.", "12-Jan-1984"),
        ("seit 15.01.2024", "15.01.2024"),
        ("on 12/03/2024.", "12/03/2024"),
        ("le 1er mai 2020", "1er mai 2020"),
    ],
)
def test_dates_in_sentences(text: str, date: str) -> None:
    """A date with a month's name, or behind a word such as "on", counts; it is nobody's birthday."""
    assert {entity: value for entity, (value, score) in dates(text).items() if score >= 0.5} == {"DATE_TIME": date}


@pytest.mark.parametrize(
    "text",
    [
        *(
            "2024-01-15 10:30:15 INFO",
            "2024-01-15T10:30:15Z",
            "Tue, 05 Sep 2017 10:22:00",
            "Jan 12 10:22:33 host",
            "10.20.30.40",
        ),
        *(
            "[15/Jan/2024:13:55:36 +0000]",
            "version 1.2.2024",
            "Copyright 2001-2024",
            "You may 12 times",
            "2**2000",
            "***1984",
        ),
        *("1,234.56 12/13", "## 1.2.0 - 2024-01-15", "99/99/2024", "12-34-5678"),
    ],
)
def test_timestamps_and_versions(text: str) -> None:
    """Timestamps, versions and sums score below one half, if anything."""
    assert all(score < 0.5 for _, score in dates(text).values())
