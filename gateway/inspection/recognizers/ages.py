"""Ages of persons."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.inspection.recognizers.base import Hit, TextRecognizer

_NUMBER = re.compile(r"[0-9](?<![\w.,$€£/:#+-][0-9])[0-9]{0,2}(?![0-9.,:%/€$£][0-9]|[0-9_%€$£])")
_BEHIND = re.compile(
    r"(?:[ -](?:and a half )?(?:years?|yrs?|months?)[ -](?:old\b|of age\b)|[ -]?(?:yo\b|y/o\b|y\.o\.|yr[ -]?olds?\b)"
    r"|[ -]years? young\b|[ -]?jährige?[rnms]?\b|[ ]?-?[ ]?(?:Jahre?n?|Monate) (?:alt|jung)\b|[ ]ans? (?:révolus"
    r"|d['\u2019]âge)\b"
    r"|[ ](?:años|meses) de edad\b|[ ]anni di età\b|[ -](?:jaar oud|jarige?\b)|[ ]anos de idade\b"
    r"|[ -](?:letni[aeą]?|letniego|letniej)\b|[ ]lat życia\b)",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    r"(?:(?<![\w.-])age[ds]?|at the age of|(?<!\w)turn(?:s|ed|ing)|(?<![\w-])alter|im alter von|mit|[âa]g[ée]e?s? de"
    r"|(?<![\w.-])[âa]ge"
    r"|edad(?: de)?|(?<!\w)età(?: di)?|all['\u2019]età di|leeftijd(?: van)?|idade(?: de)?|wiek|w wieku)"
    r"(?: (?:is|of|von|es|ist|est|è|jest|was))?[\"']?\s{0,2}[:=]?\s{0,2}[\"']?\Z",
    re.IGNORECASE,
)
# "has 34 years" in languages that say it so: a verb before and the years behind.
_HAS = re.compile(
    r"(?<!\w)(?:j['\u2019]ai|il a|elle a|a|ont|tiene|tengo|tenía|ha|ho|aveva|tem|tenho|tinha|ma|mam|miała?)\s\Z",
    re.IGNORECASE,
)
_YEARS = re.compile(
    r"[ ](?:ans|años|anni|anos|lat|lata)\b(?! (?:d['\u2019]exp|de exp|di esp|doświad|de carr|de mari|d['\u2019]anc))",
    re.IGNORECASE,
)
_MORE = re.compile(r"\s{0,2}(?:years?|yrs|jahre?n?|ans|años|anni|jaar|anos|lat|lata)\b", re.IGNORECASE)
_UNIT = re.compile(
    r"\s?(?:days?|d\b|h\b|hours?|min|m\b|s\b|sec|ms|weeks?|months?|%|px|mb|kb|[-\u2013]\s?[0-9]|\*|tage|stunden)",
    re.IGNORECASE,
)
_BEHIND_CUES = (
    "old",
    "oud",
    "yo",
    "y/o",
    "y.o",
    "young",
    "of age",
    "jähr",
    "alt",
    "jung",
    "d'âge",
    "d\u2019âge",
    "révol",
    "edad",
    "di età",
    "jarig",
    "idade",
    "letni",
    "życia",
)
_HAS_CUES = (" ans", "años", "anni", "anos", " lat")
_BEFORE_CUES = ("age", "turn", "alter", "gé", "gee", "edad", "età", "leeftijd", "idade", "wiek")
_OLDEST = 120


_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ONES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = (
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
    *("a hundred", "one hundred"),
)
_IN_WORDS = re.compile(
    rf"(?<![\w-])(?:(?:{'|'.join(_TENS)})(?:[ -](?:{'|'.join(_ONES)}))?|{'|'.join(_TEENS)}|{'|'.join(_ONES)})"
    r"(?=[ -]years?[ -](?:old|of age)\b|[ -]months?[ -]old\b)",
    re.IGNORECASE,
)


class AgeRecognizer(TextRecognizer):
    """Ages in years, in eight languages: the number alone, where the words around say that it is an age. In English
    also ages that are written out."""

    ENTITY = "AGE"

    def hits(self, text: str) -> Iterator[Hit]:
        if "year" in text or "month" in text or "YEAR" in text:
            for match in _IN_WORDS.finditer(text):
                yield match.start(), match.end(), 0.8
        if _NUMBER.search(text):
            yield from self._numbers(text)

    def _numbers(self, text: str) -> Iterator[Hit]:
        lower = text.lower()
        # Which of the three ways of saying it can be in this text at all?
        behind = any(cue in lower for cue in _BEHIND_CUES)
        has = any(cue in lower for cue in _HAS_CUES)
        said = any(cue in lower for cue in _BEFORE_CUES)
        if not (behind or has or said):
            return
        for match in _NUMBER.finditer(text):
            start, end = match.span()
            if int(match.group()) > _OLDEST:
                continue
            if behind and _BEHIND.match(text, end):
                yield start, end, 0.8
            elif has and _HAS.search(text, max(0, start - 10), start) and _YEARS.match(text, end):
                yield start, end, 0.6
            elif said:
                nearby = text[max(0, start - 24) : start].lower()
                before = _BEFORE.search(nearby) if any(cue in nearby for cue in _BEFORE_CUES) else None
                if before is not None and self._said(text, before.group(), end):
                    yield start, end, 0.7

    def _said(self, text: str, cue: str, end: int) -> bool:
        """Does the cue before a number say that it is an age, or may it be another number?"""
        years = _MORE.match(text, end) is not None
        if cue.startswith(("mit", "turn")):
            return (
                cue.startswith("turn")
                and not _MORE.match(text, end)
                and text[end : end + 1] in ("", " ", ",", ".", "!")
            )
        if years:
            return True
        return _UNIT.match(text, end) is None
