"""Values that are no entity of the tagger: other detectors' (numbers, addresses of machines) or nobody's."""

from __future__ import annotations

import random
import string
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from faker import Faker

HERE = Path(__file__).parent
_IDS = ("??######", "#########", "??-####-##", "INV-#####", "#####", "A########", "ORD-######")
_SHORT_MONTHS = ("Jan", "Feb", "Mar", "May", "Jun", "Sep", "Oct", "Dec")
LOCALES = (
    *("en_US",) * 7,
    *("en_GB",) * 3,
    *("en_CA", "en_AU", "en_IN", "en_IN", "en_IE", "en_NZ", "en_PH", "en_NG", "en_KE", "en_PK", "de_DE", "de_AT"),
    *("de_CH", "fr_FR", "fr_CA", "fr_BE", "es_ES", "es_MX", "es_AR", "es_CO", "it_IT", "pt_BR", "pt_PT", "nl_NL"),
    *("nl_BE", "sv_SE", "da_DK", "no_NO", "fi_FI", "pl_PL", "cs_CZ", "sk_SK", "hu_HU", "ro_RO", "hr_HR", "sl_SI"),
    *("tr_TR", "id_ID", "vi_VN", "et_EE", "lv_LV", "lt_LT", "zu_ZA", "yo_NG", "tw_GH", "fil_PH", "az_AZ", "ga_IE"),
)
LOREM = {locale[:2]: locale for locale in ("nl_NL", "it_IT", "pl_PL", "fr_FR", "es_ES", "de_DE", "en_US")}
"""Lists of frequent words that Faker has."""

OTHER_SCRIPTS = ("ru_RU", "uk_UA", "el_GR", "ar_AA", "he_IL", "ja_JP", "zh_CN", "ko_KR", "hi_IN", "bg_BG")


def read_words() -> dict[str, list[str]]:
    """The sections of words.txt."""
    return _sections("words.txt", ",")


def _sections(file: str, separator: str | None) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    name = ""
    for line in (HERE / file).read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            name = line.strip("[]")
        elif line.strip() and not line.startswith("#"):
            sections.setdefault(name, []).extend(word.strip() for word in line.split(separator) if word.strip())
    return sections


@cache
def ordinary_words(language: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Function words (spaCy's stop words) and frequent words (Faker's), as they are written within a sentence."""
    often = sorted(import_module(f"spacy.lang.{language}.stop_words").STOP_WORDS)
    locale = LOREM.get(language)
    others = import_module(f"faker.providers.lorem.{locale}").Provider.word_list if locale else often
    more = _sections("vocabulary.txt", None).get(language, [])
    return tuple(often), tuple(word for word in (*others, *more) if word.islower() or language == "de")


class Fillers:
    """The same seed makes the same row of values."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._fakers: dict[str, Faker] = {}
        self._seed = seed
        self._locales: tuple[str, ...] = ()
        self.words = read_words()

    def use_locales(self, locales: tuple[str, ...]) -> None:
        """Take values of these locales only; of all, if there are none."""
        self._locales = locales

    def _faker(self) -> Faker:
        locale = self.random.choice(self._locales or LOCALES)
        if not self._locales and self.random.random() < 0.015:
            locale = self.random.choice(OTHER_SCRIPTS)
        return self._of(locale)

    def _of(self, locale: str) -> Faker:
        if locale not in self._fakers:
            self._fakers[locale] = Faker(locale)
            self._fakers[locale].seed_instance(self._seed)
        return self._fakers[locale]

    def _call(self, faker: Any, *names: str) -> str:
        for name in names:
            made = getattr(faker, name, None)
            if made is not None and (value := str(made())):
                return value
        if "en_US" not in self._fakers:
            self._fakers["en_US"] = Faker("en_US")
            self._fakers["en_US"].seed_instance(self._seed)
        return str(getattr(self._fakers["en_US"], names[0])())

    def _us(self, name: str) -> str:
        return self._call(None, name)

    def _chance(self, share: float) -> bool:
        return self.random.random() < share

    def EMAIL(self) -> str:
        return self._call(self._faker(), "email")

    def PHONE(self) -> str:
        return self._call(self._faker(), "phone_number")

    def CARD(self) -> str:
        card = self._us("credit_card_number")
        return card if self._chance(0.6) else " ".join(card[i : i + 4] for i in range(0, len(card), 4))

    def SSN(self) -> str:
        return self._us("ssn")

    def IBAN(self) -> str:
        return self._us("iban")

    def URL(self) -> str:
        return self._us("url") if self._chance(0.5) else self._us("domain_name")

    def IP(self) -> str:
        return self._us("ipv4")

    def USER(self) -> str:
        return self._us("user_name")

    def ID(self) -> str:
        pattern = self.random.choice(
            ["??######", "#########", "??-####-##", "INV-#####", "#####", "A########", "ORD-######"]
        )
        return "".join(
            self.random.choice(string.digits)
            if c == "#"
            else self.random.choice(string.ascii_uppercase)
            if c == "?"
            else c
            for c in pattern
        )

    def JOB(self) -> str:
        return self._us("job").lower().split(",")[0]

    def JOBTITLE(self) -> str:
        return self._us("job").split(",")[0].title()

    def PROD(self) -> str:
        return self.random.choice(self.words["products"])

    def NUM(self) -> str:
        return str(self.random.randint(0, 10 ** self.random.randint(2, 6)))

    def NUM2(self) -> str:
        return str(self.random.randint(1, 60))

    def YEAR(self) -> str:
        return str(self.random.randint(1900, 2035))

    def MONEY(self) -> str:
        amount = self.random.choice(
            [f"{self.random.randint(5, 900)}", f"{self.random.randint(1, 90)},{self.random.randint(100, 999)}"]
        )
        return self.random.choice(["${}", "{} euros", "€{}", "{} EUR", "£{}", "{} USD", "{} dollars"]).format(amount)

    def TIME(self) -> str:
        hour, minute = self.random.randint(0, 23), self.random.randint(0, 59)
        return self.random.choice([f"{hour}:{minute:02}", f"{hour % 12 + 1} pm", f"{hour % 12 + 1}:{minute:02} AM"])

    def WEEKDAY(self) -> str:
        return self._us("day_of_week")

    def RELDATE(self) -> str:
        return self.random.choice(
            ["yesterday", "tomorrow", "last week", "next month", "two days ago", "last summer", "soon"]
        )

    def SENT(self) -> str:
        pick, words = self.random.random(), self.words
        clause = self._clause()
        if pick < 0.45:
            clause += f" {self.random.choice(words['links'])} {self._clause()}"
        if self._chance(0.3):
            clause = f"{self.random.choice(words['openers'])} {clause}"
        return clause[0].upper() + clause[1:] + "."

    def _clause(self) -> str:
        return f"{self.random.choice(self.words['subjects'])} {self.random.choice(self.words['verbs'])}"

    def WORDS(self) -> str:
        """A row of ordinary words of the language, written as a sentence: what must not be taken for a name."""
        often, others = ordinary_words(self._locales[0][:2] if self._locales else "en")
        words = [self.random.choice(often if self._chance(0.45) else others) for _ in range(self.random.randint(3, 14))]
        if len(words) > 6 and self._chance(0.4):
            words[self.random.randint(2, len(words) - 3)] += ","
        text = " ".join(words)
        return text[0].upper() + text[1:] + self.random.choice(".....?!:")

    def SENTTITLE(self) -> str:
        return self.SENT().rstrip(".").title()

    def SENTUPPER(self) -> str:
        return self.SENT().upper()

    def SNAKE(self) -> str:
        return "_".join(self.random.choices(self.words["code words"], k=self.random.choice([1, 1, 2, 3])))

    def UPSNAKE(self) -> str:
        return self.SNAKE().upper()

    def CAMEL(self) -> str:
        return "".join(
            w.title() for w in self.random.choices(self.words["code words"], k=self.random.choice([1, 2, 2, 3]))
        )

    def ISOSTAMP(self) -> str:
        stamp = self._us("iso8601")
        plain = stamp.replace("T", " ")
        return self.random.choice([stamp, f"{stamp}Z", plain, plain[:19], f"{stamp}.123Z"])

    def CLFSTAMP(self) -> str:
        day, month, year = self.random.randint(1, 28), self.random.choice(_SHORT_MONTHS), self.random.randint(10, 30)
        return f"{day:02}/{month}/20{year}:10:{self.random.randint(10, 59)}:07 +0000"

    def SYSLOGSTAMP(self) -> str:
        day, hour = self.random.randint(1, 28), self.random.randint(0, 23)
        clock = f"{hour:02}:{self.random.randint(10, 59)}:{self.random.randint(10, 59)}"
        return f"{self.random.choice(_SHORT_MONTHS)} {day:>2} {clock}"
