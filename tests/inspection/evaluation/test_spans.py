"""Counting as presidio-evaluator's `SpanEvaluator` does: each rule of it, with figures worked out by hand."""

from __future__ import annotations

import pytest

from gateway.inspection.evaluation.spans import (
    Run,
    Scored,
    SpanCounts,
    Token,
    entity_of_tokens,
    overlap,
    runs,
    tokenise,
)


def tokens(text: str) -> list[Token]:
    """Words parted by single spaces."""
    found, start = [], 0
    for word in text.split(" "):
        found.append(Token(word, start))
        start += len(word) + 1
    return found


def laid(text: str, tags: str) -> list[Run]:
    """`tags` has a letter per token; a dot is none."""
    return runs(tokens(text), [tag.replace(".", "") for tag in tags])


def places(found: list[Run]) -> list[tuple[str, int, int, int, int]]:
    return [(run.entity, run.start, run.end, run.core_start, run.core_end) for run in found]


def counted(text: str, labels: str, findings: str, iou: float = 0.9) -> dict[str, tuple[int, int, int]]:
    counts = SpanCounts(iou)
    counts.add(tokens(text), [t.replace(".", "") for t in labels], [t.replace(".", "") for t in findings])
    return {entity: (c.right, c.predicted, c.labelled) for entity, c in counts.by_entity.items()}


def test_tokens_are_those_of_spacy() -> None:
    """Punctuation and clitics are tokens of their own, white space but single spaces too."""
    assert [token.text for token in tokenise("It's Ann's, in  St. Ives (UK).")] == [
        *("It", "'s", "Ann", "'s", ",", "in", " ", "St.", "Ives", "(", "UK", ")", ".")
    ]
    assert tokenise("a b")[1] == Token("b", 2)


def test_neighbouring_tokens_are_one_run() -> None:
    """Tokens of one entity in a row are a run, also where two labels meet."""
    assert places(laid("Ada Byron went", "PP.")) == [("P", 0, 9, 0, 9)]
    assert places(laid("Ada Berlin went", "PL.")) == [("P", 0, 3, 0, 3), ("L", 4, 10, 4, 10)]


def test_skip_words_at_the_ends_do_not_count() -> None:
    """Words that make no difference, in any case, and punctuation are left out of the measure, not those inside."""
    assert places(laid("THE Bank of England .", "OOOOO")) == [("O", 0, 21, 4, 19)]
    assert laid("the of .", "OOO") == []


def test_runs_are_merged_over_skip_words() -> None:
    """Runs of one entity with only skip words between them are one; another entity or word between parts them."""
    assert places(laid("Bath , the York", "L..L")) == [("L", 0, 15, 0, 15)]
    assert len(laid("Bath or nice York", "L..L")) == 2
    assert [run.entity for run in laid("Bath , Ada , York", "L.P.L")] == ["L", "P", "L"]
    assert places(laid("Bath , York , Hull", "L.L.L")) == [("L", 0, 18, 0, 18)]
    assert len(laid("Bath , the , York", "L.O.L")) == 1  # a run of skip words only is none, and parts nothing


def test_overlap() -> None:
    """Intersection over union in characters, from the first to the last word that counts."""
    one, other, apart = (Run("A", 0, 1, 0, 0, start, end) for start, end in [(0, 10), (1, 11), (11, 12)])
    assert overlap(one, other) == pytest.approx(9 / 11)
    assert overlap(one, one) == 1
    assert overlap(one, apart) == 0
    assert overlap(other, apart) == 0


def test_right_and_wrong() -> None:
    """The same stretch is right with the same entity and wrong with another; what touches no label is wrong."""
    assert counted("Ada went", "P.", "P.") == {"P": (1, 1, 1)}
    assert counted("Ada went", "P.", "L.") == {"P": (0, 0, 1), "L": (0, 1, 0)}
    assert counted("Ada rode", "P.", ".L") == {"P": (0, 0, 1), "L": (0, 1, 0)}
    assert counted("Ada rode", "P.", "..") == {"P": (0, 0, 1)}
    assert counted("Ada rode", "..", "..") == {}


def test_too_little_overlap_is_wrong() -> None:
    """A label that is found in part is not found, and the finding is wrong; words left out make no difference."""
    text = "Augusta Ada Byron"  # 17 characters, of which "Augusta Ada" are 11
    assert counted(text, "PPP", "PP.") == {"P": (0, 1, 1)}
    assert counted(text, "PPP", "PP.", iou=0.6) == {"P": (1, 1, 1)}
    assert counted("the Ada Byron", "PPP", ".PP") == {"P": (1, 1, 1)}


def test_several_findings_at_one_label_are_one() -> None:
    """Findings of one entity that touch a label are measured together and count once."""
    text = "Augusta x Byron"  # 16 places with the one behind the end; both words with the space between are 8 and 6
    assert counted(text, "PPP", "P.P") == {"P": (0, 1, 1)}
    assert counted(text, "PPP", "P.P", iou=14 / 16) == {"P": (1, 1, 1)}
    assert counted(text, "PPP", "P.P", iou=14 / 16 + 0.01) == {"P": (0, 1, 1)}


def test_findings_of_several_entities_at_one_label() -> None:
    """Each entity counts once; the label is found by the one that is enough and right."""
    assert counted("Augusta Byron", "PP", "PL") == {"P": (0, 1, 1), "L": (0, 1, 0)}
    assert counted("Augusta Byron", "PP", "PL", iou=0.5) == {"P": (1, 1, 1), "L": (0, 1, 0)}


def test_a_finding_over_two_labels_counts_twice() -> None:
    """Among the predicted, as there."""
    assert counted("Ada met Bob", "P.P", "PPP") == {"P": (0, 2, 2)}


def entities(text: str, *stretches: tuple[int, int, str, float]) -> str:
    found = entity_of_tokens(tokens(text), [Scored(*stretch) for stretch in stretches])
    return "".join(entity or "." for entity in found)


def test_a_token_belongs_to_where_it_starts() -> None:
    """A token has the entity of the stretch in which its first character is, or that is inside it."""
    assert entities("aaa bbb ccc", (0, 7, "P", 0.5)) == "PP."
    assert entities("aaa bbb ccc", (0, 5, "P", 0.5)) == "PP."
    assert entities("aaa bbb ccc", (1, 5, "P", 0.5)) == ".P."
    assert entities("aaa bbb ccc", (5, 6, "P", 0.5)) == ".P."
    assert entities("aaa bbb ccc") == "..."


def test_where_stretches_overlap_the_surer_one_has_the_token() -> None:
    """The surer is whole and the other cut or gone; of two that are equally sure the later one wins."""
    assert entities("aaa bbb ccc ddd", (0, 11, "P", 0.9), (4, 15, "L", 0.5)) == "PPPL"
    assert entities("aaa bbb ccc ddd", (0, 11, "P", 0.5), (4, 15, "L", 0.9)) == "PLLL"
    assert entities("aaa bbb ccc ddd", (0, 15, "P", 0.9), (4, 7, "L", 0.5)) == "PPPP"
    assert entities("aaa bbb ccc ddd", (0, 15, "P", 0.5), (4, 7, "L", 0.9)) == "PLPP"
    assert entities("aaa bbb ccc", (0, 7, "P", 0.5), (4, 11, "L", 0.5)) == "PLL"
