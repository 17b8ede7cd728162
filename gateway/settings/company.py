"""A file of recognisers of one's own (docs/recognizers.md), in the keys of Presidio's recogniser files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import regex  # type: ignore[import-untyped]

from gateway.documents import Node, read
from gateway.settings.backtracking import FLAGS, runs_away
from gateway.settings.recognizers import CustomPattern, CustomRecognizer, Terms, catalogue

_KEYS = (
    "name",
    "type",
    "enabled",
    "supported_entity",
    "supported_entities",
    "supported_language",
    "supported_languages",
    *("patterns", "deny_list", "deny_list_score", "context"),
)
_ENTITY = re.compile(r"[A-Z][A-Z0-9_]{1,62}")
_NAME = re.compile(r"\S(?:.{0,62}\S)?")
MAX_TERMS_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CompanyFile:
    """What a file adds. `allow` is in lower case."""

    custom: tuple[CustomRecognizer, ...]
    allow: tuple[str, ...]
    terms: tuple[Terms, ...]


def read_company_file(path: Path) -> CompanyFile:
    """Read and check a file. Raises `ConfigurationError` with everything that is wrong at once."""
    root = read(path)
    fields = root.mapping(("recognizers", "allow_list", "vocabularies"))
    if fields == {} and root.present:
        root.fail("expected 'recognizers', 'allow_list' or 'vocabularies'")
    taken = {entry.name: "is one of the recognisers that are shipped" for entry in catalogue()}
    custom = tuple(
        item
        for node in (fields["recognizers"].sequence() if "recognizers" in fields else [])
        if (item := _recognizer(node, taken)) is not None
    )
    allow = fields["allow_list"].texts() if "allow_list" in fields else ()
    terms = tuple(
        Terms(entity, lines)
        for key, value in (fields["vocabularies"].items() if "vocabularies" in fields else [])
        if (entity := _entity(key))
        for place, name in value.located_texts()
        if (lines := _lines(place, path.parent / name))
    )
    root.problems.check()
    return CompanyFile(custom, tuple(word.lower() for word in allow), terms)


def _recognizer(node: Node, taken: dict[str, str]) -> CustomRecognizer | None:
    found = node.mapping(_KEYS, ("name",))
    name = found["name"].text()
    if name and not _NAME.fullmatch(name):
        found["name"].fail("a recogniser's name has at most 64 characters, on one line")
    if name in taken:
        found["name"].fail(f"'{name}' {taken[name]}")
    taken[name] = "is there twice"
    if "type" in found:
        found["type"].one_of(("custom",))
    entity = _entity_of(node, found)
    if "patterns" not in found and "deny_list" not in found:
        node.fail("a recogniser needs 'patterns' or a 'deny_list'")
    patterns = tuple(map(_pattern, found["patterns"].sequence())) if "patterns" in found else ()
    deny_list = found["deny_list"].texts() if "deny_list" in found else ()
    if "enabled" in found and not found["enabled"].boolean():
        return None
    return CustomRecognizer(
        name=name,
        entity=entity,
        patterns=patterns,
        deny_list=deny_list,
        deny_list_score=found["deny_list_score"].number(0, 1) if "deny_list_score" in found else 1.0,
        context=tuple(word.lower() for word in found["context"].texts()) if "context" in found else (),
    )


def _entity_of(node: Node, found: Mapping[str, Node]) -> str:
    if ("supported_entity" in found) == ("supported_entities" in found):
        node.fail("a recogniser needs either 'supported_entity' or 'supported_entities'")
        return ""
    if "supported_entity" in found:
        return _entity(found["supported_entity"])
    places = found["supported_entities"].located_texts()
    if len(places) > 1:
        places[1][0].fail("a recogniser of patterns reports one entity; write a second recogniser")
    return _entity(places[0][0]) if places else ""


def _entity(node: Node) -> str:
    entity = node.text()
    if entity and not _ENTITY.fullmatch(entity):
        node.fail(f"'{entity}' is not an entity: use capitals, digits and '_', such as ACME_STAFF_ID")
        return ""
    return entity


def _pattern(node: Node) -> CustomPattern:
    found = node.mapping(("name", "regex", "score"), ("name", "regex", "score"))
    pattern = CustomPattern(found["name"].text(), found["regex"].text(), found["score"].number(0, 1))
    problem = _problem_of(pattern.regex) if pattern.regex else ""
    if problem:
        found["regex"].fail(problem)
    return pattern


def _problem_of(pattern: str) -> str:
    try:
        compiled = regex.compile(pattern, FLAGS)
    except regex.error as error:
        return f"the regular expression does not compile: {error}"
    if compiled.search(""):
        return "the regular expression matches nothing at all, and so everywhere"
    if runs_away(pattern):
        return (
            "the regular expression can backtrack for ever: it needs more than 0.1 s for 1,000 characters; "
            "avoid a repetition within a repetition, or make it possessive (a++)"
        )
    return ""


def _lines(place: Node, path: Path) -> tuple[str, ...]:
    """The terms of a vocabulary file, without comments."""
    try:
        if path.stat().st_size > MAX_TERMS_BYTES:
            place.fail(f"'{path.name}' is larger than {MAX_TERMS_BYTES // 1024 // 1024} MiB")
            return ()
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        place.fail(f"'{path.name}' cannot be read: {error.strerror or type(error).__name__}")
        return ()
    except UnicodeDecodeError:
        place.fail(f"'{path.name}' is not UTF-8 text")
        return ()
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    terms = tuple(dict.fromkeys(line for line in lines if line.strip("~ ")))
    if not terms:
        place.fail(f"'{path.name}' has no terms")
    return terms
