"""Evaluating as a whole: what counts, what does not, and the figures that come out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from gateway.domain.finding import Span
from gateway.inspection.evaluation import Label, Names, Options, Sample, evaluate

TEXT = "Ada Byron lives in London near Hyde Park and old oak trees grow"


def figures(
    labels: list[tuple[str, str]], found: list[tuple[str, str, int]], options: Options | None = None, text: str = TEXT
) -> dict[str, Any]:
    """Labels and findings are given as (what, entity) and (what, entity, percent)."""
    sample = Sample(text, tuple(Label(text.index(v), text.index(v) + len(v), e) for v, e in labels), 1)
    spans = [Span(text.index(v), text.index(v) + len(v), e, percent) for v, e, percent in found]
    return evaluate([sample], lambda _: spans, options or Options()).as_json()


def part(of: Mapping[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(of[name] for name in names)


LABELS = [("Ada Byron", "PERSON"), ("London", "GPE"), ("Hyde Park", "LOC")]


def test_all_is_found() -> None:
    """Everything labelled is found and nothing else."""
    found = [("Ada Byron", "PERSON", 85), ("London", "LOCATION", 60), ("Hyde Park", "LOCATION", 60)]
    result = figures(LABELS, found)
    assert part(result["pii"], "precision", "recall", "f1", "f2") == (1, 1, 1, 1)
    assert set(result["types"]) == {"PERSON", "LOCATION"}
    assert part(result["types"]["LOCATION"], "precision", "recall", "labelled") == (1, 1, 2)
    assert part(result["exact"], "precision", "recall", "labelled") == (1, 1, 3)
    assert result["units"] == {"labelled": 3, "hidden": 3, "share": 1}
    assert part(result["characters"], "labelled", "covered", "wrong", "recall") == (22, 22, 0, 1)


def test_some_is_found() -> None:
    """One is right, one is taken for another, one is found in part, and one is none: worked out by hand."""
    found = [("Ada Byron", "PERSON", 85), ("London", "PERSON", 60), ("Park", "LOCATION", 60), ("trees", "PERSON", 60)]
    result = figures(LABELS, found)
    # As PII "Ada Byron" and "London" are right, "Park" is too little of its label, "trees" is none.
    assert part(result["pii"], "precision", "recall", "labelled", "predicted") == (2 / 4, 2 / 3, 3, 4)
    assert result["pii"]["f2"] == pytest.approx(0.625)
    assert part(result["types"]["PERSON"], "precision", "recall") == (1 / 3, 1)
    assert part(result["types"]["LOCATION"], "precision", "recall", "f2") == (0, 0, 0)
    assert part(result["types"]["PERSON"]["exact"], "precision", "recall") == (1 / 3, 1)
    assert part(result["types"]["LOCATION"]["exact"], "precision", "recall") == (0, 0)
    assert part(result["types"]["LOCATION"]["overlap"], "precision", "recall") == (1, 0.5)
    assert part(result["exact"], "precision", "recall", "f1") == (1 / 4, 1 / 3, pytest.approx(2 / 7))
    assert part(result["overlap"], "precision", "recall") == (3 / 4, 1)
    assert result["units"] == {"labelled": 3, "hidden": 2, "share": 2 / 3}
    characters = result["characters"]
    assert part(characters, "labelled", "covered", "flagged", "wrong") == (22, 18, 23, 5)
    assert characters["recall"] == 18 / 22
    assert characters["wrong_of_flagged"] == 5 / 23
    assert characters["wrong_of_other"] == 5 / (51 - 22)


def test_what_was_found_in_a_row_is_one() -> None:
    """A wrong finding beside right ones spoils them: as one of 25 characters, it is too much for each of two labels."""
    found = [("Ada Byron", "PERSON", 85), ("lives", "PERSON", 60), ("London", "LOCATION", 60)]
    result = figures(LABELS[:2], found)
    assert part(result["pii"], "precision", "recall", "labelled", "predicted") == (0, 0, 2, 2)
    assert part(result["types"]["LOCATION"], "precision", "recall") == (1, 1)


def test_white_space_does_not_count() -> None:
    """A name of which both words are found by themselves is hidden; without one letter it is not."""
    hidden = figures([("Ada Byron", "PERSON")], [("Ada", "PERSON", 60), ("Byron", "PERSON", 60)])
    assert hidden["units"]["hidden"] == 1
    assert part(hidden["pii"], "precision", "recall") == (1, 1)
    assert figures([("Ada Byron", "PERSON")], [("Ada Byro", "PERSON", 60)])["units"]["hidden"] == 0


def test_the_threshold() -> None:
    """Findings that are less sure do not count; 0.40 means 40 percent."""
    found = [("Ada Byron", "PERSON", 40), ("London", "LOCATION", 39)]
    assert figures(LABELS, found)["pii"]["predicted"] == 1
    assert figures(LABELS, found, Options(threshold=0.39))["pii"]["predicted"] == 2
    assert figures(LABELS, found, Options(threshold=0.41))["pii"]["predicted"] == 0


def test_names() -> None:
    """Names are mapped on both sides, in any case; what is dropped counts neither as found nor as missed."""
    labels = [("Ada Byron", "B"), ("London", "misc"), ("Hyde Park", "corporation")]
    found = [("Ada Byron", "A", 60), ("London", "MISC", 60)]
    result = figures(labels, found, Options(names=Names({"a": "Who", "B": "WHO"})))
    assert set(result["types"]) == {"WHO", "ORGANIZATION"}
    assert result["pii"]["labelled"] == 2
    assert result["characters"]["flagged"] == 8


def test_only_some_entities() -> None:
    """With entities, labels and findings of all others are left out."""
    found = [("Ada Byron", "PERSON", 60), ("London", "LOCATION", 60)]
    result = figures(LABELS, found, Options(entities=frozenset({"PERSON"})))
    assert set(result["types"]) == {"PERSON"}
    assert part(result["pii"], "precision", "recall", "predicted", "labelled") == (1, 1, 1, 1)
    assert result["units"]["labelled"] == 1


def test_nothing_at_all() -> None:
    """Without labels and findings there is nothing to divide by."""
    result = figures([], [])
    assert part(result["pii"], "precision", "recall", "f1", "f2") == (None, None, None, None)
    assert result["units"]["share"] is None
    assert result["characters"]["recall"] is None
    assert result["samples"] == 1


def test_precision_without_a_right_one() -> None:
    """With labels and findings but nothing right, F is nothing, not undefined."""
    result = figures([("Ada Byron", "PERSON")], [("London", "PERSON", 60)])
    assert part(result["pii"], "precision", "recall", "f2") == (0, 0, 0)
