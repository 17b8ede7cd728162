"""Characters with which a file would not say what a reader sees."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# Line breaks that editors do not show as such, characters that reorder what is shown (CVE-2021-42574), and those that
# are not seen at all and yet make a different word. The two joiners are left out: some scripts cannot do without.
DECEPTIVE = re.compile(
    "[\u0085\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u2060-\u2065\u206a-\u206f\u3164\uffa0\ufff9-\ufffb"
    "\U000e0000-\U000e0fff\ufeff]"
)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_JOINERS = re.compile("[\u200c\u200d]")


def invisible(text: str) -> Iterator[tuple[int, str]]:
    """Where something that changes how the file looks stands in a file's text, and what to say of it."""
    for match in DECEPTIVE.finditer(text):
        yield match.start(), _words(match[0])


def hidden_in(value: str) -> str:
    """What to say of a value that has, written as an escape, what may not stand in a file; empty for any other."""
    if match := _CONTROL.search(value):
        return f"the control character U+{ord(match[0]):04X} is not allowed, not even written as an escape"
    return _words(match[0]) if (match := DECEPTIVE.search(value)) else ""


def hidden_in_name(name: str) -> str:
    """As `hidden_in`, for a name: in one, nothing may be that is not seen."""
    return _words(match[0]) if (match := _JOINERS.search(name)) else ""


def odd(word: str) -> str:
    """The first character of a word that looks like another, such as a Cyrillic а, with its name; otherwise empty."""
    for character in word:
        if not character.isascii():
            name = unicodedata.name(character, "").lower()
            return f"'{character}' is U+{ord(character):04X}{f', {name}' if name else ''}"
    return ""


def _words(character: str) -> str:
    return f"the invisible character U+{ord(character):04X} is not allowed: it changes how the file looks"
