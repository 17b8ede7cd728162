"""The engine that finds names: the built-in one, none, or a model that is on this machine already (docs/inspection.md).

Nothing is loaded and nothing is fetched here: what a model can find is read from the files beside its weights, so that
a policy can be checked at once, and what is missing is said before anything starts.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gateway.documents import Node, nearest

BUILTIN, NONE = "builtin", "none"


@dataclass(frozen=True, slots=True)
class NerSettings:
    """`engine` is builtin, none, spacy, transformers or gliner; the last three have the `folder` of their model, what
    its labels are called here, and the `identity` of its files (`model_identity`)."""

    engine: str = BUILTIN
    folder: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    identity: str = ""

    @property
    def is_model(self) -> bool:
        """Is it a model of a person's own? It costs too much for an event loop, whatever the text."""
        return self.engine not in (BUILTIN, NONE)

    @property
    def entities(self) -> frozenset[str]:
        """What the model reports; nothing for the built-in engine, which is among the recognisers of the catalogue."""
        return frozenset(entity for _, entity in self.labels)

    @property
    def name(self) -> str:
        """As in the settings file, without the way to the folder."""
        return f"{self.engine}:{Path(self.folder).name}" if self.folder else self.engine

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> NerSettings:
        """The inverse of `dataclasses.asdict`."""
        labels = tuple((label, entity) for label, entity in value["labels"])
        return cls(value["engine"], value["folder"], labels, value["identity"])


@dataclass(frozen=True, slots=True)
class _Kind:
    """`packages` it needs, those of the optional extra of the same name; `marker` is the file that every model has and
    `labels` reads from it what the model knows; `fetch` is how a person gets one."""

    packages: tuple[str, ...]
    marker: str
    labels: Callable[[Mapping[str, Any]], frozenset[str]]
    fetch: str
    defaults: tuple[tuple[str, str], ...] = field(default=())


class _NoModel(Exception):
    """Its text says what is wrong with the model's folder."""


def _spacy_labels(meta: Mapping[str, Any]) -> frozenset[str]:
    """Of all components: those of taggers and parsers have other names than those of entities."""
    return frozenset(str(label) for labels in meta.get("labels", {}).values() for label in labels)


def _transformers_labels(config: Mapping[str, Any]) -> frozenset[str]:
    architectures = [str(name) for name in config.get("architectures") or ()]
    if architectures and not any(name.endswith("ForTokenClassification") for name in architectures):
        raise _NoModel(f"is a {', '.join(architectures)}, and not for token classification")
    return frozenset(re.sub("^[BIESLU]-", "", str(label)) for label in config.get("id2label", {}).values()) - {"O"}


def _gliner_labels(config: Mapping[str, Any]) -> frozenset[str]:
    return frozenset()  # it looks for whatever is asked for


_HUB = (
    "where there is a network, do: hf download {name} --local-dir models/{last}, bring the folder here, and name it: "
    "{engine}:models/{last}"
)
_KINDS = {
    "spacy": _Kind(
        ("spacy",),
        "meta.json",
        _spacy_labels,
        "do: python -m spacy download {last} (or pip install its wheel), or name the folder of a pipeline",
    ),
    "transformers": _Kind(("transformers", "torch"), "config.json", _transformers_labels, _HUB),
    "gliner": _Kind(
        ("gliner", "torch"),
        "gliner_config.json",
        _gliner_labels,
        _HUB,
        (
            ("person", "PERSON"),
            ("location", "LOCATION"),
            ("address", "LOCATION"),
            ("organization", "ORGANIZATION"),
            ("nationality or religious group", "NRP"),
            ("age", "AGE"),
        ),
    ),
}
_EXAMPLES = "builtin, none, spacy:en_core_web_md, transformers:models/ner or gliner:models/gliner"

_ENTITY = re.compile(r"[A-Z][A-Z0-9_]{1,62}")
_KNOWN_LABELS = {
    "PERSON": "PER PERSON PERSNAME PATIENT STAFF HCW DOCTOR NAME FIRSTNAME MIDDLENAME LASTNAME GIVENNAME SURNAME PRS",
    "LOCATION": "LOC LOCATION GPE FAC PLACENAME GEOGNAME ADDRESS STREET STREETADDRESS CITY STATE COUNTRY ZIPCODE",
    "ORGANIZATION": "ORG ORGANIZATION ORGANISATION ORGNAME HOSP HOSPITAL PATORG COMPANY COMPANYNAME",
    "NRP": "NORP NRP",
    "AGE": "AGE",
    "DATE_TIME": "DATE TIME DATETIME",
    "DATE_OF_BIRTH": "DOB DATEOFBIRTH",
    "EMAIL_ADDRESS": "EMAIL EMAILADDRESS",
    "PHONE_NUMBER": "PHONE PHONENUMBER TELEPHONENUM",
}
_ENTITY_OF = {label: entity for entity, labels in _KNOWN_LABELS.items() for label in labels.split()}


def chosen_engine(engine: Node, labels: Node | None, base: Path) -> NerSettings:
    """What stands in a settings file; paths are relative to `base`. Everything that is missing is a problem there."""
    value = engine.text()
    if value in (BUILTIN, NONE):
        if labels is not None:
            labels.fail(f"the engine {value} has no labels")
        return NerSettings(value)
    name, colon, source = value.partition(":")
    kind = _KINDS.get(name)
    if kind is None or not (colon and source):
        if value:  # else that is a problem already
            engine.fail(f"expected one of {_EXAMPLES}", nearest(name, [BUILTIN, NONE, *_KINDS]))
        return NerSettings()
    missing = [package for package in kind.packages if find_spec(package) is None]
    if missing:
        needs = " and ".join(missing)
        engine.fail(f"the engine {name} needs the package {needs}; do: pip install 'bailiwick[{name}]'")
        return NerSettings()
    try:
        folder, known = _model(kind, _folder(base, source))
    except _NoModel as problem:
        how = kind.fetch.format(name=source, last=source.rpartition("/")[2], engine=name)
        engine.fail(f"{source} {problem}; models are never fetched by themselves: {how}")
        return NerSettings()
    return NerSettings(name, str(folder), _named(engine, labels, kind, known), model_identity(folder))


def model_identity(folder: Path) -> str:
    """A hash over the names, sizes and times of change of a model's files; it costs no reading of gigabytes."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in place.parts):
            status = path.stat()
            digest.update(f"{place}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _folder(base: Path, source: str) -> Path:
    """The folder that is meant: a path, or the name of an installed package."""
    folder = base / Path(source).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if source.isidentifier() and (spec := find_spec(source)) is not None and spec.submodule_search_locations:
        return Path(spec.submodule_search_locations[0])
    raise _NoModel("is neither a folder here nor an installed package")


def _model(kind: _Kind, folder: Path) -> tuple[Path, frozenset[str]]:
    """The folder to load from, and the model's labels."""
    marker = folder / kind.marker
    try:
        found = json.loads(marker.read_text("utf-8"))
    except OSError:
        raise _NoModel(f"has no {kind.marker}, which such a model has") from None
    except ValueError:
        raise _NoModel(f"has a {kind.marker} that is no JSON") from None
    if not isinstance(found, dict):
        raise _NoModel(f"has a {kind.marker} that is no JSON object")
    # spaCy's packages have their pipeline in a folder with the version in its name.
    inner = folder / "{lang}_{name}-{version}".format_map({"lang": "", "name": "", "version": "", **found})
    return (inner if (inner / kind.marker).is_file() else folder), kind.labels(found)


def _named(engine: Node, labels: Node | None, kind: _Kind, known: frozenset[str]) -> tuple[tuple[str, str], ...]:
    """Each label of the model that counts, and the entity that it is reported as."""
    chosen = {label: entity for label in known if (entity := _ENTITY_OF.get(re.sub(r"[\W_]", "", label).upper()))}
    if labels is None:
        chosen.update(kind.defaults)
    for key, value in labels.items() if labels is not None else []:
        label, entity = key.text(), value.text()
        if known and label not in known:
            key.fail(f"the model has no label '{label}'", nearest(label, known))
        elif entity == NONE:
            chosen.pop(label, None)
        elif _ENTITY.fullmatch(entity):
            chosen[label] = entity
        else:
            value.fail("expected an entity in capitals, such as PERSON, or none")
    if not chosen:
        has = ", ".join(sorted(known)) or "none"
        engine.fail(f"no label of this model is known (it has: {has}); say with 'labels' what they mean")
    return tuple(sorted(chosen.items()))
