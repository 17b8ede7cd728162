"""What every match of a pattern has is read off the pattern, and where it cannot be, nothing is claimed."""

from __future__ import annotations

import re

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.inspection.digits import count_digits
from gateway.inspection.needs import NOTHING, Needs, needs

FLAGS = int(re.IGNORECASE | re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"EMP-\d{6}", Needs(6, ("emp-",), 10, 11, True, 1)),
        (r"\b(?:foo|bar)\s[0-9]{2,}", Needs(2, ("foo", "bar"), 6, None, False, 1)),
        (r"(?<=case )\d{4}", Needs(4, (), 4, 10, True, 6)),
        (r"(?:a|bb)?c+", Needs(0, ("c",), 1, None, True, 1)),
        (r"[^x]{3}", Needs(0, (), 3, 4, False, 1)),
        (r"(?=.*end)x", Needs(0, ("x",), 1, None, True, None)),
        (r"([:-])\d\1", Needs(1, (":", "-"), 3, 4, True, 1)),
    ],
)
def test_needs(pattern: str, expected: Needs) -> None:
    """Digits, literals, lengths, white space, and how far a match looks."""
    assert needs(pattern, FLAGS) == expected


@pytest.mark.parametrize(
    "pattern", [r"\p{L}+9", r"(?:x){e<=1}9", r"[[:alpha:]]9", r"a(?i)9", r"(?V1)[a--b]9", r"(9", r"(?<n>9)"]
)
def test_what_only_regex_understands(pattern: str) -> None:
    """A pattern that the standard library does not read, or reads in another way, is searched everywhere."""
    assert needs(pattern, FLAGS) == NOTHING


def test_unusual_flags() -> None:
    """So is one with flags that change what a match is."""
    assert needs("abc9", FLAGS | int(regex.BESTMATCH)) == NOTHING


ATOMS = st.sampled_from(
    ["a", "k", "@", r"\d", "[0-9]", "[0-9a]", r"\s", r"\w", ".", "7", "[^7]", "ss", r"\b", "(?=7)", "(?<!a)"]
)
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        st.tuples(inner, st.sampled_from(["?", "*", "+", "{2}", "{1,3}"])).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
        inner.map(lambda part: f"({part})"),
    ),
    max_leaves=7,
)


@settings(max_examples=500, deadline=None)
@given(PATTERNS, st.text(alphabet="aks7@ \n\u017f\u212a\u0663b", max_size=12))
def test_every_match_has_what_is_needed(pattern: str, text: str) -> None:
    """Whatever a pattern matches has the digits, one of the literals, the length, and no space where that is said."""
    need = needs(pattern, FLAGS)
    for match in regex.compile(pattern, FLAGS).finditer(text):
        value = match.group()
        plain = value.translate(str.maketrans("\u017f\u212a", "sk")).lower()
        assert count_digits(value) >= need.digits
        assert not need.literals or any(literal in plain for literal in need.literals)
        assert len(value) >= need.least
        assert need.reach is None or len(value) <= need.reach
        assert not need.spaceless or not regex.search(r"\s", value)
