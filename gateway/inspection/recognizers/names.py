"""People's names without a model: name lists, capital letters, and the words around a name.

The lists come from tools/make_name_lists.py. A name that is in no list is found only where its surroundings say
that it is one ("my name is", "Dear", a title). Scores: 0.85 first and last name known, or a title; 0.6 a known
first name alone; 0.5 and more is what policies usually count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

from gateway.inspection.recognizers.base import Hit, TextRecognizer
from gateway.inspection.recognizers.name_words import (
    BEFORE_OTHER,
    NOT_NAMES,
    ORGANISATION,
    STRONG_ENDINGS,
    TITLES,
    WEAK_CUES,
    WEAK_PAIRS,
)

_UPPER = "A-Z" + "".join(chr(c) for c in (*range(0xC0, 0x250), *range(0x1E00, 0x1F00)) if chr(c).isupper())
_LETTER = r"[^\W\d_]"
_WORD = rf"[{_UPPER}]{_LETTER}*(?:['\u2019-]{_LETTER}+)*"
_TITLE = r"(?:Mr|Mrs|Ms|Mx|Dr|Prof|Hr|Fr|Sr|Sra|Srta|Dra|Mme|Mlle|Capt|Sgt|Lt|Rev|Hon)\."
_PARTICLE = (
    r"(?:van der|van den|van de|von der|von und zu|von|van|de la|de los|de|del|della|der|den|di|da|dos|do|das|du|le"
    r"|la|el|al|bin|bint|ibn|ben|ten|ter|zu|zum|y|e)"
)
_PART = rf"(?:{_TITLE}|[{_UPPER}]\.(?![{_UPPER}]{_LETTER})|{_WORD})"
_SEQUENCE = re.compile(rf"(?<![\w@#/\\$%&=.<>_-]){_PART}(?:[ \u00a0]{{1,2}}(?:{_PARTICLE}[ ])?{_PART})*")
_PIECE = re.compile(rf"{_TITLE}|[{_UPPER}]\.(?![{_UPPER}]{_LETTER})|{_WORD}")

_STRONG_CUE = re.compile(
    r"(?:\bname(?:[ ]is|['\u2019]s|[ ]was)|\bich hei(?:ß|ss)e|\bname ist|\bm['\u2019]appelle|\bme llamo"
    r"|\bnombre es|\bmi chiamo|\bnaam is|\bnazywam się|\bnome é|\bcall me"
    r"|\b(?:dear|liebe[rs]?|hi|hello|hey|hallo|bonjour|cher|chère|hola|estimad[oa]|querid[oa]|ciao"
    r"|car[oa]|beste|cześć|olá)"
    r"|(?:regards|wishes|sincerely|thanks|thank you|cheers|yours|best|love|gr(?:ü|ue)(?:ß|ss)en?|gruß|cordialement"
    r"|saludos|saluti|groeten|truly|faithfully),?\s*\n"
    r"|\b(?:name|patient|patientin|customer|client|employee|contact|attn|attention|signed|recipient|sender"
    r"|applicant|tenant|candidate|kunde|kundin|nom|nombre|nome|naam|from|to|cc|author|beneficiary|insured"
    r"|witness)[\"']?[ ]?[:=][ ]?[\"']?"
    r")[ \t,]*\Z",
    re.IGNORECASE,
)
_LOWER_CUE = re.compile(
    rf"\b(?:name is|call me|name ist|ich hei(?:ß|ss)e|m['\u2019]appelle|me llamo|mi chiamo|naam is)[ ]+"
    rf"({_LETTER}{{2,20}}(?:[ ]{_LETTER}{{2,20}})?)",
    re.IGNORECASE,
)
_LOWER_HINTS = ("name i", "call me", "naam is", "eiß", "eiss", "appelle", "llamo", "chiamo")
_LIST_LINK = re.compile(r",?[ ](?:and|und|et|y|e|en|i|or|&)[ ]|,[ ]", re.IGNORECASE)
_SURNAME_FIRST = re.compile(rf",[ ]({_WORD})(?:[ ][{_UPPER}]\.)?")


@dataclass(frozen=True, slots=True)
class _Lists:
    first: frozenset[str]
    last: frozenset[str]
    ambiguous: frozenset[str]
    plain_first: frozenset[str]
    plain_last: frozenset[str]


@cache
def _lists() -> _Lists:
    folder = resources.files("gateway.inspection") / "data"
    first, last, ambiguous = (
        frozenset((folder / f"{name}.txt").read_text(encoding="utf-8").split())
        for name in ("first_names", "last_names", "ambiguous")
    )
    return _Lists(first, last, ambiguous, first - ambiguous, last - ambiguous)


@dataclass(frozen=True, slots=True)
class _Part:
    start: int
    end: int
    word: str  # lower case, without a possessive ending
    shouted: bool  # all capitals, more than one letter

    @property
    def is_initial(self) -> bool:
        return self.end - self.start <= 2 and len(self.word) == 1


class PersonRecognizer(TextRecognizer):
    """Names of persons in Latin script."""

    ENTITY = "PERSON"

    def __init__(self) -> None:
        super().__init__()
        self._lists = _lists()

    def hits(self, text: str) -> Iterator[Hit]:
        sure: list[Hit] = []
        doubtful: list[Hit] = []  # counted only beside a sure name or one with the same surname
        for match in _SEQUENCE.finditer(text):
            if " " not in match.group() and not self._may_matter(text, match):
                continue
            for hit in self._in_sequence(text, _parts(match)):
                (sure if hit[2] >= 0.5 else doubtful).append(hit)
        if doubtful and sure:
            self._promote(text, sure, doubtful)
        yield from sure
        yield from doubtful
        yield from self._lower_case(text)

    def _may_matter(self, text: str, match: re.Match[str]) -> bool:
        """A quick answer for single capitalised words, which are mostly the first of a sentence."""
        word = match.group().lower()
        if word in self._lists.first or word in self._lists.last or "'" in word or "\u2019" in word or "-" in word:
            return True
        return word not in NOT_NAMES and _strong_cue(text[max(0, match.start() - 40) : match.start()])

    def _in_sequence(self, text: str, parts: list[_Part]) -> Iterator[Hit]:
        i = 0
        while i < len(parts):
            hit, i = self._at(text, parts, i)
            if hit is not None:
                yield hit

    def _at(self, text: str, parts: list[_Part], i: int) -> tuple[Hit | None, int]:
        """The name that begins at part `i`, if one does, and the part to go on with."""
        lists, part = self._lists, parts[i]
        if part.word in TITLES and i + 1 < len(parts) and not part.shouted:
            end = self._extent(parts, i + 1, limit=3)
            if parts[i + 1].word not in NOT_NAMES and parts[end - 1].word not in ORGANISATION:
                return (parts[i + 1].start, parts[end - 1].end, 0.85), end
            return None, i + 1
        known = self._is_first(part.word)
        before = text[max(0, part.start - 40) : part.start]
        strong = i == 0 and part.word not in NOT_NAMES and _strong_cue(before)
        if strong:
            end = self._extent(parts, i, limit=3)
            if parts[end - 1].word not in ORGANISATION and (known or part.word not in lists.ambiguous):
                return (part.start, parts[end - 1].end, 0.8), end
        if known or (part.is_initial and self._follows_surname(parts, i)):
            return self._full_name(text, parts, i, before)
        if part.word in lists.last and i + 1 < len(parts) and parts[i + 1].word in lists.plain_first:
            if part.word in lists.plain_last and (i + 2 == len(parts) or parts[i + 2].word not in ORGANISATION):
                return (part.start, parts[i + 1].end, 0.6), i + 2
        elif part.word in lists.plain_last and len(parts) == 1:
            return self._surname(text, part), i + 1
        return None, i + 1

    def _full_name(self, text: str, parts: list[_Part], i: int, before: str) -> tuple[Hit | None, int]:
        lists, part = self._lists, parts[i]
        end = self._extent(parts, i, limit=4)
        following = parts[end].word if end < len(parts) else ""
        if parts[end - 1].word in ORGANISATION or following in ORGANISATION or _last_word(before) in BEFORE_OTHER:
            return None, max(end, i + 1)
        if end - i == 1:
            return self._single(text, part, before, alone=len(parts) == 1), end
        tail = parts[end - 1].word
        plain = part.word in lists.plain_first or part.is_initial
        known_tail = tail in lists.last or tail.rpartition("-")[2] in lists.last
        if plain:
            score = 0.85 if known_tail else 0.75
        else:
            score = 0.75 if tail in lists.plain_last else 0.5 if known_tail and not _opens_sentence(before) else 0.0
        if part.shouted and score < 0.85:
            score = 0.0
        return ((part.start, parts[end - 1].end, score) if score else None), end

    def _single(self, text: str, part: _Part, before: str, *, alone: bool) -> Hit | None:
        if part.shouted or text[part.end : part.end + 1] in tuple("_(/@\\=") or part.is_initial:
            return None
        if re.match(r"[.](?=\w)|[ ]?[0-9]", text[part.end : part.end + 3]):
            return None
        plain = part.word in self._lists.plain_first
        weak_cue = _weak_cue(before)
        if plain:
            return part.start, part.end, 0.6 if alone or weak_cue else 0.5
        return (part.start, part.end, 0.4) if weak_cue or not _opens_sentence(before) else None

    def _surname(self, text: str, part: _Part) -> Hit | None:
        given = _SURNAME_FIRST.match(text, part.end)
        if given and given.group(1).lower() in self._lists.plain_first:
            return part.start, given.end(), 0.7
        return None if part.shouted else (part.start, part.end, 0.3)

    def _extent(self, parts: list[_Part], i: int, limit: int) -> int:
        """Where the name that begins at `i` ends: known names and initials, and at most one unknown word, the last."""
        lists = self._lists
        end = i + 1
        while end < len(parts) and end - i < limit:
            word = parts[end].word
            if parts[end].is_initial or self._is_first(word):
                end += 1
            elif word in lists.last:
                second = end + 1 < len(parts) and parts[end + 1].word in lists.plain_last  # as in Spanish names
                return end + 2 if second else end + 1
            elif word in NOT_NAMES or word in TITLES:
                return end
            elif word in ORGANISATION or (word not in lists.ambiguous and not (parts[end].shouted and len(word) < 5)):
                return end + 1
            else:
                return end
        return end

    def _follows_surname(self, parts: list[_Part], i: int) -> bool:
        """Is there, after the initials from `i`, a surname?"""
        rest = next((part for part in parts[i:] if not part.is_initial), None)
        return rest is not None and rest.word in self._lists.plain_last

    def _is_first(self, word: str) -> bool:
        first = self._lists.first
        return word in first or ("-" in word and word.partition("-")[0] in first)

    def _promote(self, text: str, sure: list[Hit], doubtful: list[Hit]) -> None:
        """A doubtful name in a row with a sure one, or the surname of one, is sure as well."""
        surnames = {text[start:end].split()[-1].lower() for start, end, _ in sure if " " in text[start:end]}
        for forward in (True, False):
            for hit in sorted(doubtful, reverse=not forward):
                start, end, _ = hit
                beside = any(
                    _LIST_LINK.fullmatch(text, other_end, start) or _LIST_LINK.fullmatch(text, end, other_start)
                    for other_start, other_end, _ in sure
                    if abs(other_end - start) < 8 or abs(other_start - end) < 8
                )
                if beside or _bare(text[start:end].lower()) in surnames:
                    doubtful.remove(hit)
                    sure.append((start, end, 0.6))

    def _lower_case(self, text: str) -> Iterator[Hit]:
        """Names typed without capitals: first and last name known, or after words that announce a name."""
        lists = self._lists
        words = text.split()
        for i, word in enumerate(words[:-1]):
            if word in lists.plain_first:
                surname = words[i + 1].rstrip(".,;:!?)\"'")
                if surname in lists.plain_last and surname.islower():
                    for match in re.finditer(rf"(?<!\w){re.escape(word)}\s+{re.escape(surname)}(?!\w)", text):
                        yield match.start(), match.end(), 0.5
        if any(hint in text for hint in _LOWER_HINTS):
            for match in _LOWER_CUE.finditer(text):
                name, _, surname = match.group(1).partition(" ")
                if name in lists.first and name.islower():
                    end = match.end(1) if surname in lists.last else match.start(1) + len(name)
                    yield match.start(1), end, 0.6


def _parts(match: re.Match[str]) -> list[_Part]:
    offset, sequence = match.start(), match.group()
    found = []
    for piece in _PIECE.finditer(sequence):
        raw = piece.group()
        bare = _bare(raw.rstrip("."))
        start = offset + piece.start()
        end = start + (len(bare) if len(bare) > 1 else len(raw))  # the point belongs to an initial, not to a title
        found.append(_Part(start, end, bare.lower(), len(bare) > 2 and bare.isupper()))
    return found


def _strong_cue(before: str) -> bool:
    """Does the text before a word announce a name?"""
    # The regular expression is costly, so it is asked only where the text ends like one of its cues.
    ending = before.rstrip(" \t,\"'")
    if not ending:
        return False
    if ending[-1] not in ":=\n":
        words = ending.lower().split()  # none, where all before is white space of other kinds
        if not words or words[-1].lstrip("(\"'*") not in STRONG_ENDINGS:
            return False
    return _STRONG_CUE.search(before) is not None


def _weak_cue(before: str) -> bool:
    """Does the word before make it likely that a first name follows?"""
    if before[-1:] != " ":
        return False
    words = before.lower().split()
    return bool(words) and (words[-1] in WEAK_CUES or " ".join(words[-2:]) in WEAK_PAIRS)


def _bare(word: str) -> str:
    """Without a possessive ending."""
    return word[:-2] if word[-2:] in ("'s", "\u2019s") else word


def _last_word(before: str) -> str:
    words = before.split()
    return words[-1].lower().rstrip(".") if words and before[-1:] == " " else ""


def _opens_sentence(before: str) -> bool:
    stripped = before.rstrip(" \t\"'“\u2018(*#>-")
    return not stripped or stripped[-1] in ".!?:;\n•|"
