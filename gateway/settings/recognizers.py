"""Which recognisers there are (``recognizers.yaml`` beside this file) and which of them run.

Known here without loading any of them, so that settings and policies can be checked at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from gateway.documents import Node, nearest, read
from gateway.settings.ner import BUILTIN, NerSettings

CATALOGUE = Path(__file__).with_name("recognizers.yaml")
DEFAULT_COUNTRIES = ("us", "uk")
_KEYS = ("name", "class", "from", "entities", "languages", "country", "on", "why", "ner", "context", "score", "proof")

_LANGUAGES = {"any": ("any",), "eight": ("en", "de", "fr", "es", "it", "nl", "pt", "pl")}


@dataclass(frozen=True, slots=True)
class Entry:
    """A recogniser of the catalogue. `module` is ``presidio`` or one of ours; `score` is 0 to 1, None for the
    class's own; with `weak_checksum` a right checksum is no proof; `ner` belongs to the built-in engine for names."""

    name: str
    class_name: str
    module: str
    entities: tuple[str, ...]
    languages: tuple[str, ...]
    country: str | None
    on: bool
    why: str
    context: tuple[str, ...]
    score: float | None
    weak_checksum: bool
    ner: bool


@dataclass(frozen=True, slots=True)
class CustomPattern:
    """A regular expression of one's own (the ``regex`` package's syntax); `score` is 0 to 1."""

    name: str
    regex: str
    score: float


@dataclass(frozen=True, slots=True)
class CustomRecognizer:
    """A recogniser of one's own: patterns, words that are always reported, or both."""

    name: str
    entity: str
    patterns: tuple[CustomPattern, ...] = ()
    deny_list: tuple[str, ...] = ()
    deny_list_score: float = 1.0
    context: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """A list of terms of one's own, all of one entity (docs/recognizers.md)."""

    entity: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """What the registry of recognisers is made from, with the content of every file that was named: a process that is
    started later finds the same. `to_json` and `from_json` carry it there.

    `allow` is values that nobody reports, in lower case.
    """

    countries: tuple[str, ...] = DEFAULT_COUNTRIES
    switch_on: tuple[str, ...] = ()
    switch_off: tuple[str, ...] = ()
    custom: tuple[CustomRecognizer, ...] = ()
    allow: tuple[str, ...] = ()
    terms: tuple[Terms, ...] = ()
    ner: NerSettings = field(default_factory=NerSettings)

    def to_json(self) -> dict[str, Any]:
        """As a JSON value: lists, mappings, texts and numbers."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RegistrySettings:
        """The inverse of `to_json`."""
        return cls(
            countries=tuple(value["countries"]),
            switch_on=tuple(value["switch_on"]),
            switch_off=tuple(value["switch_off"]),
            custom=tuple(
                CustomRecognizer(
                    item["name"],
                    item["entity"],
                    tuple(CustomPattern(**pattern) for pattern in item["patterns"]),
                    tuple(item["deny_list"]),
                    item["deny_list_score"],
                    tuple(item["context"]),
                )
                for item in value["custom"]
            ),
            allow=tuple(value["allow"]),
            terms=tuple(Terms(item["entity"], tuple(item["lines"])) for item in value["terms"]),
            ner=NerSettings.from_json(value["ner"]),
        )

    def entries(self) -> tuple[Entry, ...]:
        """The recognisers of the catalogue that run, in its order."""
        return tuple(entry for entry in catalogue() if self._runs(entry))

    def entities(self) -> frozenset[str]:
        """Everything that can be found with these settings."""
        found = {entity for entry in self.entries() for entity in entry.entities}
        found.update(item.entity for item in self.custom)
        found.update(item.entity for item in self.terms)
        return self.ner.entities.union(found)

    def _runs(self, entry: Entry) -> bool:
        if entry.name in self.switch_off:
            return False
        if entry.name in self.switch_on:
            return True
        if entry.ner and self.ner.engine != BUILTIN:
            return False
        return entry.on and (entry.country is None or entry.country in self.countries)


@cache
def catalogue() -> tuple[Entry, ...]:
    """The recognisers that are shipped. Raises `ConfigurationError` should the file be broken."""
    root = read(CATALOGUE, CATALOGUE.name)
    fields = root.mapping(("schema", "recognizers"), ("schema", "recognizers"))
    entries = tuple(map(_entry, fields["recognizers"].sequence()))
    root.problems.check()
    return entries


@cache
def countries() -> frozenset[str]:
    """The countries that have recognisers of their own."""
    return frozenset(entry.country for entry in catalogue() if entry.country)


def _entry(node: Node) -> Entry:
    found = node.mapping(_KEYS, ("name", "from", "entities", "languages"))
    name = found["name"].identifier()
    on = found["on"].boolean() if "on" in found else True
    if not on and "why" not in found:
        node.fail("a recogniser that is off by itself needs a reason: why")
    return Entry(
        name=name,
        class_name=found["class"].identifier() if "class" in found else name,
        module=found["from"].text(),
        entities=_listed(found["entities"]),
        languages=_LANGUAGES.get(found["languages"].text()) or _listed(found["languages"]),
        country=found["country"].identifier() if "country" in found else None,
        on=on,
        why=found["why"].text() if "why" in found else "",
        context=_listed(found["context"]) if "context" in found else (),
        score=found["score"].number(0, 1) if "score" in found else None,
        weak_checksum="proof" in found and found["proof"].one_of(("context", "checksum")) == "context",
        ner="ner" in found and found["ner"].boolean(),
    )


def _listed(node: Node) -> tuple[str, ...]:
    """Words with commas between: a quarter of the time to read of a list."""
    return tuple(node.text().split(", "))


def chosen_countries(node: Node) -> tuple[str, ...]:
    """Country codes from a settings file; one without recognisers is a problem."""
    return tuple(
        word
        for place, word in node.located_texts(allow_empty=True)
        if _known(place, word, countries(), "recognisers are there for no country")
    )


def chosen_names(node: Node, custom: Iterable[CustomRecognizer]) -> tuple[str, ...]:
    """Names of recognisers from a settings file; an unknown one is a problem."""
    names = {entry.name for entry in catalogue()} | {item.name for item in custom}
    return tuple(
        word
        for place, word in node.located_texts(allow_empty=True)
        if _known(place, word, names, "there is no recogniser")
    )


def _known(place: Node, word: str, known: Iterable[str], problem: str) -> bool:
    if word in known:
        return True
    close = nearest(word, known)
    place.fail(
        f"{problem} '{word}'" + ("" if close or len(word) > 2 else f" (known: {', '.join(sorted(known))})"), close
    )
    return False
