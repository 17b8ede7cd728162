"""The registry of models: names with numbered versions, each pinned by its SHA-256, and aliases that point to them.

It is one JSON file, ``registry.json`` beside the model files, because both belong to one host, a person should be able
to read it and keep it under version control, and it changes a few times a month: a database would hide it and gain
nothing. A change is made under a lock, written beside and renamed, so that a reader sees the file before or after it,
and a crash loses nothing.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from adapters.llama_cpp.download import locked, private_folder
from gateway.domain.errors import ConfigurationError
from gateway.domain.files import write_whole

_SCHEMA = 1
_NAME = re.compile(r"[a-z0-9][a-z0-9._\-]{0,47}", re.ASCII)
_ALIAS = re.compile(r"[a-z][a-z0-9_\-]{0,23}", re.ASCII)
_SEE = "see `bailiwick models list`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a model. `file` is a name in the registry's folder, `size` in bytes, `context_tokens` what it was
    trained with; `source` says where it comes from, `added_at` when (UTC, ISO 8601) and `added_by` by whom."""

    number: int
    sha256: str
    file: str
    size: int
    architecture: str
    quantisation: str
    context_tokens: int
    source: str
    added_at: str
    added_by: str


@dataclass(slots=True)
class Model:
    """A name: its versions by number, what each alias points to, and what each pointed to before, newest last.
    `last` is the highest number that was ever given; numbers are not given twice."""

    versions: dict[int, Version] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)
    before: dict[str, list[int]] = field(default_factory=dict)
    last: int = 0

    def add(self, version: Version) -> None:
        self.versions[version.number] = version
        self.last = version.number

    def point(self, alias: str, number: int) -> None:
        """Let `alias` be `number`, and remember what it was."""
        old = self.aliases.get(alias)
        if old is not None and old != number:
            self.before.setdefault(alias, []).append(old)
        self.aliases[alias] = number

    def back(self, alias: str) -> int | None:
        """Let `alias` be what it was before, and return that; None when there is nothing before."""
        if not self.before.get(alias):
            return None
        self.aliases[alias] = self.before[alias].pop()
        return self.aliases[alias]

    def remove(self, number: int) -> None:
        del self.versions[number]
        for alias, numbers in self.before.items():
            self.before[alias] = [each for each in numbers if each != number]


Models = dict[str, Model]


@dataclass(frozen=True, slots=True)
class Reference:
    """``name@alias`` or ``name@number``. Raises `ConfigurationError`."""

    name: str
    version: str

    def __post_init__(self) -> None:
        check_name(self.name)
        if not self.version.isascii() or not (self.version.isdigit() or _ALIAS.fullmatch(self.version)):
            raise ConfigurationError(f"{self}: after the @ comes a version's number, or an alias in small letters")

    @classmethod
    def parse(cls, text: str) -> Reference:
        name, at, version = text.partition("@")
        if not at:
            raise ConfigurationError(f"{text!r} names no version: say {text}@ALIAS or {text}@NUMBER")
        return cls(name, version)

    @property
    def is_alias(self) -> bool:
        return not self.version.isdigit()

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


def check_name(name: str) -> None:
    """Raises `ConfigurationError`."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r} cannot name a model: use small letters, digits and . _ - (at most 48)")


def find(models: Mapping[str, Model], reference: Reference) -> Version:
    """The version that a reference means. Raises `ConfigurationError`."""
    model = models.get(reference.name)
    if model is None:
        raise ConfigurationError(f"there is no model {reference.name!r} in the registry: {_SEE}")
    number = model.aliases.get(reference.version) if reference.is_alias else int(reference.version)
    if number is None:
        known = ", ".join(sorted(model.aliases)) or "none"
        raise ConfigurationError(f"{reference.name} has no alias {reference.version!r} (there are: {known})")
    if number not in model.versions:
        known = ", ".join(map(str, sorted(model.versions))) or "none"
        raise ConfigurationError(f"{reference.name} has no version {number} (there are: {known})")
    return model.versions[number]


class Registry:
    """The registry in `folder`, which also holds its model files. Methods raise `ConfigurationError`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def path(self) -> Path:
        return self.folder / "registry.json"

    def read(self) -> Models:
        """All models; none where there is no registry yet."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ConfigurationError(f"{self.path} cannot be read: {error.strerror}") from error
        try:
            return _models(orjson.loads(data))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigurationError(f"{self.path} is damaged: it is no registry of models") from error

    @contextlib.contextmanager
    def change(self) -> Iterator[Models]:
        """The models to be changed in place; written when the block ends well. One process at a time."""
        try:
            private_folder(self.folder)
            lock = locked(self.folder / "registry.lock")
            with lock:
                models = self.read()
                yield models
                self._write(models)
        except OSError as error:
            raise ConfigurationError(f"{self.path} cannot be changed: {error.strerror}") from error

    def place(self, version: Version) -> Path:
        return self.folder / version.file

    def _write(self, models: Models) -> None:
        document = {
            "schema": _SCHEMA,
            "models": {
                name: {
                    "versions": [asdict(each) for _, each in sorted(model.versions.items())],
                    "aliases": model.aliases,
                    "before": {alias: numbers for alias, numbers in model.before.items() if numbers},
                    "last": model.last,
                }
                for name, model in sorted(models.items())
            },
        }
        write_whole(self.path, orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def _models(document: Any) -> Models:
    if document["schema"] != _SCHEMA:
        raise ConfigurationError(f"the registry of models has schema {document['schema']!r}; this version reads 1")
    models: Models = {}
    for name, said in document["models"].items():
        check_name(name)
        versions = {each["number"]: Version(**each) for each in said["versions"]}
        if any(Path(each.file).name != each.file for each in versions.values()):
            raise ValueError("a file outside the folder")
        models[name] = Model(versions, dict(said["aliases"]), dict(said["before"]), int(said["last"]))
    return models
