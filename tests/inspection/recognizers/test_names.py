"""Names of persons by lists, capitals and cues."""

from __future__ import annotations

import pytest

from gateway.inspection.recognizers.names import PersonRecognizer

RECOGNIZER = PersonRecognizer()


def found(text: str, least: float = 0.5) -> list[str]:
    hits = [(start, end) for start, end, score in RECOGNIZER.hits(text) if score >= least]
    return sorted({text[a:b] for a, b in hits if not any(c <= a and b <= d and (a, b) != (c, d) for c, d in hits)})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("I met Anna Kowalski yesterday.", ["Anna Kowalski"]),
        ("My name is Xqzt Bronk and I need help.", ["Xqzt Bronk"]),
        ("my name is anna kowalski", ["anna kowalski"]),
        ("please call anna kowalski back", ["anna kowalski"]),
        ("Dear Ms. Holloway-Pratt,", ["Holloway-Pratt"]),
        ("Dear Priya,\nthanks.\n\nBest regards,\nTobias", ["Priya", "Tobias"]),
        ("Dr Ferreira will see Mr. O'Brien at noon.", ["Ferreira", "O'Brien"]),
        ("Invite Anna, Ben and Carla to the call.", ["Anna", "Ben", "Carla"]),
        ("Ludwig van Beethoven and Maria de la Cruz", ["Ludwig van Beethoven", "Maria de la Cruz"]),
        ("J. R. Hartley wrote to John F. Kennedy.", ["J. R. Hartley", "John F. Kennedy"]),
        ("Kowalski, Anna is on the list", ["Kowalski, Anna"]),
        ("Anna Kowalski came late. Kowalski said sorry.", ["Anna Kowalski", "Kowalski"]),
        ("Anna-Lena Müller's contract", ["Anna-Lena Müller"]),
        ("Guten Tag, ich heiße Jürgen Schröder.", ["Jürgen Schröder"]),
        ("Frau Schneider hat angerufen.", ["Schneider"]),
        ("Bonjour, je m'appelle François Dupont.", ["François Dupont"]),
        ("Hola, me llamo José García López.", ["José García López"]),
        ("Patient: Quillon Varga, admitted today", ["Quillon Varga"]),
        ("ask Chen Wei or Rajesh Patel", ["Chen Wei", "Rajesh Patel"]),
        ("from Anna to Thomas", ["Anna", "Thomas"]),
    ],
)
def test_finds(text: str, names: list[str]) -> None:
    """Names in the forms that people write in requests, letters and lists, in several languages."""
    assert found(text) == names


@pytest.mark.parametrize(
    "text",
    [
        "Please summarise the meeting notes. The launch is in May and Will be discussed on Monday.",
        "Dear Customer, Hello World, Hi Team, Dear Sir or Madam",
        "We use Docker, Jenkins, Python and Claude on Amazon Web Services in Paris, London and Berlin.",
        "class UserManager(Base):\n    name: str = Field(default=None)\n    def get_name(self): return self.Name",
        "The Martin Luther King Boulevard and Johns Hopkins University are closed.",
        "import React from 'react'; const App = () => <Header.Title/>;",
        "Can I cancel? I am sorry. This is urgent. Mark all as read, Grant access, Bill the client.",
        "Der Bericht ist fertig. Bitte prüfen Sie die Tabelle und das Diagramm.",
        "Error: Cannot read property 'Name' of undefined at Object.Parse (App.js:10)",
        "",
    ],
)
def test_leaves_alone(text: str) -> None:
    """Ordinary prose, greetings to nobody, products, places and code are not persons."""
    assert found(text) == []


@pytest.mark.parametrize("space", ["\u00a0", "\u2003", "\x0b", "\x1c", "\u3000"])
def test_a_word_behind_nothing_but_space(space: str) -> None:
    """A text that begins with white space of any kind is searched like any other."""
    for word in ("AB", "Zweig", "Parcel"):
        assert list(PersonRecognizer().hits(f"{space}{word} 12")) == []
    assert [hit[2] for hit in PersonRecognizer().hits(f"{space}Anna Kowalski")] == [0.85]


def test_ambiguous_words_score_low() -> None:
    """A first name that is also a word counts only in company."""
    assert found("I hope that Grace prevails.") == []
    assert found("I hope that Grace prevails.", 0.3) == ["Grace"]
    assert found("Anna and Grace went home.") == ["Anna", "Grace"]
