"""Dates of birth, and dates in sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from gateway.inspection.recognizers.base import EntityHit, TextRecognizer

_MONTH_NAMES = (
    "jan january januar janvier januari janeiro enero gennaio stycznia styczeń jänner feb february februar"
    " februari febrero febbraio février fevereiro luty lutego mar march mars marzo março märz maart marca marzec"
    " apr april avril abril aprile kwiecień kwietnia may mai mayo maggio mei maio maj maja jun june juni junho junio"
    " juin giugno czerwiec czerwca jul july juli julho julio juillet luglio lipiec lipca aug august augustus août"
    " agosto sierpień sierpnia sep sept september septembre septiembre settembre setembro wrzesień września oct okt"
    " october oktober octobre octubre ottobre outubro październik października nov november novembre noviembre"
    " novembro listopad listopada dec dez december dezember décembre diciembre dicembre dezembro grudzień grudnia"
)
_MONTHS = frozenset(_MONTH_NAMES.split())
_SHORT = 3  # letters of an abbreviation
_NUMBER = re.compile(r"[0-9](?<![\w.,/:=#$€£+-][0-9])(?:[0-9]{3}|[0-9])?(?![0-9])")
_MONTH_BEHIND = re.compile(
    r"(?:st|nd|rd|th|er|º|ª|\.º|\.)?(?: of| de)?([ \u00a0-])([^\W\d_]{3,12})\.?(?:(?:,| de"
    r"| del)?[ \u00a0-]([12][0-9]{3}|(?<=-)[0-9]{2}))?(?![\w:])"
)
_AFTER_DAY = frozenset(" .-\u00a0snrteºª")  # the first character of what may stand between a day and its month
_AROUND = "([{\"'\u201c\u2018*_>"
_YEAR_BEHIND = re.compile(
    r"(?:st|nd|rd|th)?(?:,? ([12][0-9]{3}))?(?![\w:.-])|(?:st|nd|rd|th)?(?:,? ([12][0-9]{3}))?(?=\.(?:\s|\Z))"
)
_REST = re.compile(r"(?P<by>[./-])(?P<second>[0-9]{1,2})(?P=by) ?(?P<third>[0-9]{4}|[0-9]{2})(?![\w/-]|[.:][0-9])")
_TIME = re.compile(r"[,T ]{0,2}[0-9]{1,2}:[0-9]{2}")
_WEEKDAY = re.compile(r"\b(?:mon|tue|wed|thu|fri|sat|sun),? \Z", re.IGNORECASE)
_BORN = re.compile(
    r"(?:\bborn(?: on| in)?|\bd\.?o\.?b\.?|(?:\b|_|(?<=Of)|(?<=of))birth(?:[ _-]?da(?:te|y))?|(?<![\w*])\*"
    r"|\bgeb(?:oren|\.)?(?: am)?|\bgeburts(?:datum|tag)|\bnée?s?(?:\(e\))?(?: le)?|\bnaissance|\bnacid[oa](?: el)?"
    r"|\bnaci[óo](?: el)?|\bnacimiento|\bnat[oa](?: il)?|\bnascita|\bgeboren(?: op)?|\bgeboortedatum"
    r"|\bnascid[oa](?: em| a)?|\bnasceu(?: em| a)?|\bnasc(?:imento|\.)|\burodz(?:ony|ona|enia|iła?"
    r"|ił)(?: się)?(?: dnia)?|\bur\.)"
    r"(?: (?:is|was|ist|est|es|è|é|war|jest))?[\"']?\s{0,2}[:=(]?\s{0,2}[\"']?(?:(?:the|le|el|il|den|dnia"
    r"|on) )?(?:[^\W\d_]{3,12}\.? )?\Z",
    re.IGNORECASE,
)
_BORN_REACH = 44
_BORN_CUES = (
    "born",
    "birth",
    "dob",
    "d.o.b",
    "geb",
    "née",
    "né ",
    "né(",
    "naiss",
    "nacid",
    "naci",
    "nato",
    "nata",
    "nasc",
    *("urodz", "ur.", "*"),
)
_ON = re.compile(
    r"\b(?:on|am|le|el|il|op|em|dnia|by|until|since|from|till|vom|bis|seit|ab|du|au|del|al|dal|van|tot|de|do|od|the"
    r"|den)\s\Z",
    re.IGNORECASE,
)


class _Date(NamedTuple):
    start: int
    end: int
    score: float


class DateRecognizer(TextRecognizer):
    """Dates of birth, where the words before say so, and dates in sentences, in eight languages.

    A date of birth is reported as DATE_TIME too, for policies that know only that. Timestamps are nobody's data and
    everywhere: a date with a time behind it, as in the header of a mail or a line of a log, and a version number are
    left alone. A date in digits without a preposition before it scores below one half.
    """

    ENTITIES = ("DATE_OF_BIRTH", "DATE_TIME")
    MIN_DIGITS = 2

    def found(self, text: str) -> Iterator[EntityHit]:
        done = 0
        for match in _NUMBER.finditer(text):
            if match.start() < done:
                continue
            date = _in_words(text, match) or _in_digits(text, match)
            if date is None or _TIME.match(text, date.end):
                continue
            done = date.end
            if _is_birth(text, date):
                yield "DATE_OF_BIRTH", date.start, date.end, 0.85
                yield "DATE_TIME", date.start, date.end, 0.85
            elif date.score:
                yield "DATE_TIME", date.start, date.end, date.score


def _is_birth(text: str, date: _Date) -> bool:
    """Do the words before say that this is a date of birth?"""
    nearby = text[max(0, date.start - _BORN_REACH) : date.start]
    lower = nearby.lower()
    places = [at for cue in _BORN_CUES if (at := lower.find(cue)) >= 0]
    born = _BORN.search(nearby, min(places)) if places else None
    # A year alone needs a word: an asterisk before it is a sign of a sum, or of something hidden.
    return born is not None and (date.score > 0 or "*" not in born.group())


def _in_words(text: str, number: re.Match[str]) -> _Date | None:
    """A date with the month as a word, around a number that may be its day."""
    start, end = number.span()
    if end - start == 4:
        return _year_alone(text, start, end)
    if not 1 <= int(number.group()) <= 31:
        return None
    behind = _MONTH_BEHIND.match(text, end) if text[end : end + 1] in _AFTER_DAY else None
    if behind is not None and behind[2].lower() in _MONTHS:
        full = len(behind[2]) > _SHORT
        if behind[3]:
            return None if _WEEKDAY.search(text, max(0, start - 5), start) else _Date(start, behind.end(3), 0.6)
        return _Date(start, behind.end(2), 0.5 if full else 0.4) if behind[1] != "-" else None
    month = _month_before(text, start)
    year = _YEAR_BEHIND.match(text, end) if month else None
    if year is None:
        return None
    first = start - 1 - len(month)
    group = year.lastindex
    if group:
        return _Date(first, year.end(group), 0.6)
    return _Date(first, year.end(), 0.5 if len(month) > _SHORT + 1 and month != "March" else 0.4)


def _month_before(text: str, start: int) -> str:
    """The name of a month, with its full stop, that ends before the space at `start - 1`; or nothing."""
    if text[start - 1 : start] != " " or start < 4:
        return ""
    words = text[max(0, start - 15) : start - 1].split()
    word = words[-1].lstrip(_AROUND) if words else ""
    return word if word[:1].isupper() and word.rstrip(".").lower() in _MONTHS and text[start - 2] != " " else ""


def _year_alone(text: str, start: int, end: int) -> _Date | None:
    """A month and a year: no day. Alone it says little; it counts as a date of birth."""
    if not 1880 <= int(text[start:end]) <= 2100:
        return None
    if text[end : end + 1] in ("-", "/", ".") and text[end + 1 : end + 2].isdigit():
        return None
    month = _month_before(text, start)
    if month:
        return _Date(start - 1 - len(month), end, 0.45)
    return _Date(start, end, 0.0)


def _in_digits(text: str, number: re.Match[str]) -> _Date | None:
    """A date in digits only, day or month or year first."""
    start, end = number.span()
    rest = _REST.match(text, end)
    if rest is None:
        return None
    first, second, third = number.group(), int(rest["second"]), int(rest["third"])
    if len(first) == 4:
        year, month, day = int(first), second, third
    elif len(rest["third"]) == 4 or rest["by"] != "-":
        year, day, month = third, int(first), second
    else:
        return None
    if month > 12 and len(first) < 4:
        day, month = month, day
    if not (1 <= month <= 12 and 1 <= day <= 31 and (year < 100 or 1880 <= year <= 2100)):
        return None
    if len(first) == 4 and len(rest["third"]) == 4:
        return None
    said = _ON.search(text, max(0, start - 6), start) is not None
    short = year < 100
    return _Date(start, rest.end(), (0.5 if short else 0.55) if said else 0.3 if short else 0.45)
