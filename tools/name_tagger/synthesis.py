"""Labelled text from the templates: each slot becomes a value, and what is an entity is remembered."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

from tools.name_tagger.values import LABELS, Values

Span = tuple[int, int, str]
Document = tuple[str, list[Span]]

TEMPLATES = Path(__file__).parent / "templates"
HELD_OUT = 8
"""Of so many templates, one is kept from training and only measured. A language with a file in `held_out/` has its own
ones there instead."""

_SLOT = re.compile(r"\{([A-Z_0-9]+)\}")
_CHOICE = re.compile(r"\[\[((?:(?!\[\[|\]\]).)*)\]\]")


@dataclass(frozen=True, slots=True)
class Template:
    """One line of a file. `language` is the file's name."""

    text: str
    language: str
    locales: tuple[str, ...]
    held_out: bool


def templates() -> list[Template]:
    """All templates of all files."""
    found = []
    apart = {path.stem for path in TEMPLATES.glob("held_out/*.txt")}
    for path in sorted(TEMPLATES.rglob("*.txt")):
        locales: tuple[str, ...] = ()
        kept = path.parent != TEMPLATES
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("# locales:"):
                locales = tuple(line.partition(":")[2].split())
            elif line and (not line.startswith("# ") or path.stem.startswith("negatives") or "{" in line[:12]):
                held_out = kept or (
                    path.stem.removeprefix("negatives_") not in apart and crc32(line.encode()) % HELD_OUT == 0
                )
                found.append(Template(line, path.stem, locales, held_out))
    return found


def fill(template: Template, values: Values) -> Document:
    """A document of one template."""
    values.use_locales(template.locales)
    text = template.text.replace("\\n", "\n").replace("\\t", "\t")
    while True:
        chosen = _CHOICE.sub(lambda match: values.random.choice(match.group(1).split("|")), text)
        if chosen == text:
            break
        text = chosen
    parts: list[str] = []
    spans: list[Span] = []
    at = done = 0
    for match in _SLOT.finditer(text):
        slot = match.group(1)
        if not values.has(slot):
            continue
        before = text[done : match.start()]
        value = values.value(slot)
        at += len(before)
        if slot == "PLACE" and ", " in value:
            first = value.index(", ")
            spans += [(at, at + first, LABELS[slot]), (at + first + 2, at + len(value), LABELS[slot])]
        elif slot in LABELS:
            spans.append((at, at + len(value), LABELS[slot]))
        parts += before, value
        at += len(value)
        done = match.end()
    parts.append(text[done:])
    whole = "".join(parts)
    return whole, _addresses(whole, spans)


def _addresses(text: str, spans: list[Span]) -> list[Span]:
    """Street, postal code and the city beside them are one address."""
    joined: list[Span] = []
    for start, end, label in spans:
        if joined:
            before, stop, kind = joined[-1]
            places = {kind, label} <= {"ADDRESS", "LOCATION"} and "ADDRESS" in (kind, label)
            if places and text[stop:start] in (", ", " ", "\n", ",\n"):
                joined[-1] = (before, end, "ADDRESS")
                continue
        joined.append((start, end, label))
    return joined


def noisy(document: Document, choose: random.Random, lower: float = 0.14) -> Document:
    """The document as people also write it: all lower case (in this share), all upper case, a slip of the finger."""
    text, spans = document
    pick = choose.random()
    if pick < lower and len(text.lower()) == len(text):
        return text.lower(), spans
    if 0.14 < pick < 0.17 and len(text.upper()) == len(text):
        return text.upper(), spans
    if 0.17 < pick < 0.22:
        letters = list(text)
        for i in range(len(letters) - 1):
            inside = letters[i].isalpha() and letters[i + 1].isalpha()
            if inside and choose.random() < 0.02:
                letters[i], letters[i + 1] = letters[i + 1], letters[i]
        return "".join(letters), spans
    return document


LANGUAGES = ("german", "french", "spanish", "italian", "dutch", "portuguese", "polish")
"""Other than English, in which the templates are."""

_FIELDS = (
    *("Name={PERSON}", "Full name={PERSON}", "Customer={PERSON}", "First name={FIRST}", "Last name={LAST}"),
    *("Surname={LAST}", "Contact={PERSON}", "Manager={PERSON}", "Reports to={PERSON}", "Owner={PERSON}", "By={PERSON}"),
    *("Patient={PERSON}", "Doctor={TITLE} {LAST}", "Author={PERSON}", "Attn={PERSON}", "Spouse={PERSON}"),
    *("Address={ADDRESS1}", "Street={STREET}", "City={CITY}", "State={STATE}", "Zip={ZIP}", "Postcode={ZIP}"),
    *("Country={COUNTRY}", "Location={PLACE}", "Birthplace={CITY}", "Destination={CITY}", "Branch={CITY}"),
    *("Company={ORG}", "Employer={ORG}", "School={ORG}", "Bank={ORG}", "Insurer={ORG}", "Organisation={ORG}"),
    *("DOB={DATE}", "Date of birth={DATE}", "Born={DATE}", "Start date={DATE}", "Date={DATE}", "Valid until={DATE}"),
    *("Age={AGE}", "Age={AGE}", "Nationality={NRP}", "Religion={NRP}", "Title={TITLE}", "Salutation={TITLE}"),
    *("Phone={PHONE}", "Email={EMAIL}", "Card={CARD}", "SSN={SSN}", "IBAN={IBAN}", "Website={URL}", "IP={IP}"),
    *(
        "ID={ID}",
        "Order no.={ID}",
        "Amount={MONEY}",
        "Quantity={NUM2}",
        "Status=Open",
        "Status=Closed",
        "Gender=female",
    ),
    *("Department=Finance", "Department=Sales", "Priority=High", "Type=Refund", "Subject={SENTTITLE}", "Notes={SENT}"),
    *(
        "Job title={JOBTITLE}",
        "Position={JOBTITLE}",
        "Product={PROD}",
        "Language=English",
        "Plan=Premium",
        "Time={TIME}",
    ),
    *(
        "Gender=M",
        "Marital status=single",
        "Blood type=A+",
        "Height=180 cm",
        "Issue={SENT}",
        "Currency=EUR",
        "Floor={NUM2}",
    ),
    *(
        "Nom={LAST}",
        "Prénom={FIRST}",
        "Ville={CITY}",
        "Vorname={FIRST}",
        "Nachname={LAST}",
        "Ort={CITY}",
        "Nombre={FIRST}",
    ),
    *(
        "Apellido={LAST}",
        "Ciudad={CITY}",
        "Nome={PERSON}",
        "Città={CITY}",
        "Naam={PERSON}",
        "Imię={FIRST}",
        "Firma={ORG}",
    ),
)
"""Name of a field and its value, for forms."""


_STYLES = (*("{0}: {1}",) * 3, "{0} - {1}", "{0}={1}", "{0}:{1}", "{0} {1}", "**{0}**: {1}", "- {0}: {1}")


def form(values: Values) -> Template:
    """A form: some fields, in any order, written in one of the ways in which people and programs write them."""
    choose = values.random
    fields = [field.split("=") for field in choose.sample(_FIELDS, choose.randint(2, 7))]
    style = choose.choice(_STYLES)
    separator = choose.choice(("\n", "\n", "\n", "\n", ", ", "; ", " | ", "  ", "\t"))
    case = choose.choice((str, str, str.lower, str.upper, str.title))
    if choose.random() < 0.15:
        header = separator if separator in ("; ", " | ", "\t") else ","
        rows = [header.join(case(name) for name, _ in fields)]
        rows += [header.join(value for _, value in fields)] * choose.randint(1, 4)
        return Template("\n".join(rows), "form", (), False)
    if choose.random() < 0.15:
        body = ", ".join(f'"{name.lower().replace(" ", "_")}": "{value}"' for name, value in fields)
        return Template(f"{{{body}}}", "form", (), False)
    return Template(separator.join(style.format(case(name), value) for name, value in fields), "form", (), False)


def synthesise(count: int, seed: int, *, held_out: bool, languages: frozenset[str] | None = None) -> Iterator[Document]:
    """`count` documents of one to three templates each, from the training or from the held-out templates."""
    values = Values(seed)
    choose = values.random
    every = [t for t in templates() if t.held_out == held_out and (languages is None or t.language in languages)]
    weights = {
        "negatives": 1.6,
        "negatives_other": 1.6,
        "negatives_languages": 2.0,
        **{f"negatives_{language}": 3.0 for language in LANGUAGES},
        **dict.fromkeys(LANGUAGES, 1.3),
        "long_prompts": 2.5,
        "structured": 0.8,
    }
    shares = [weights.get(t.language, 1.0) for t in every]
    for _ in range(count):
        text, spans, foreign = "", [], False
        for _ in range(choose.choice((1, 1, 1, 1, 2, 3)) if not held_out else 1):
            is_form = not held_out and choose.random() < 0.08
            template = form(values) if is_form else choose.choices(every, shares)[0]
            if template.language in LANGUAGES and not held_out and choose.random() < 0.3:
                template = replace(template, text=choose.choice(("{WORDS} %s", "%s {WORDS}")) % template.text)
            more, more_spans = fill(template, values)
            if text:
                text += choose.choice((" ", "\n", "\n\n"))
            foreign |= bool(template.locales)
            spans += [(start + len(text), end + len(text), label) for start, end, label in more_spans]
            text += more
        # Of other languages few words are known; most of the unknown ones in lower case are no names.
        yield noisy((text, spans), choose, 0.03 if foreign and not held_out else 0.14)
