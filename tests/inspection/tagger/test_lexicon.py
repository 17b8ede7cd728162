"""The table of words."""

from __future__ import annotations

from gateway.inspection.tagger import lexicon
from gateway.inspection.tagger.lexicon import UNKNOWN, Word
from gateway.inspection.tagger.model import load

WORDS = load().network.lexicon


def test_a_word_is_found_in_any_case() -> None:
    """Case does not matter, and a word that is in no source is unknown."""
    assert WORDS.word("London") == WORDS.word("LONDON") == WORDS.word("london") != UNKNOWN
    assert WORDS.word("qxzvbrtkw") == UNKNOWN


def test_lists() -> None:
    """First names, family names, cities, regions and groups are marked."""
    for text, bit in (
        ("anna", lexicon.FIRST_NAME),
        ("smith", lexicon.LAST_NAME),
        ("hamburg", lexicon.CITY),
        ("bavaria", lexicon.REGION),
        ("portuguese", lexicon.GROUP),
        ("gmbh", lexicon.ORGANISATION),
        ("siemens", lexicon.FAMOUS),
    ):
        assert WORDS.word(text).lists & bit, text


def test_an_ordinary_word_is_in_no_list() -> None:
    """A frequent word that is no name has a cluster and no list."""
    word: Word = WORDS.word("because")
    assert word.lists == 0
    assert word.lower_cluster
