"""Model files: found by path, or fetched from a hub by name and SHA-256. Blocking; run it in a thread or a command.

A fetched file is only ever seen under its final name when its hash is right; `adapters.llama_cpp.download` fetches it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import orjson

from adapters.llama_cpp.download import Progress, fetch, hash_file, locked, private_folder, settle
from adapters.llama_cpp.gguf import is_gguf
from gateway.domain.errors import ConfigurationError

_HEX = re.compile(r"[0-9a-f]{64}")
_HUB = re.compile(r"[\w.\-]+/[\w.\-]+", re.ASCII)
_FILE = re.compile(r"(?!.*\.\.)[\w.\-]+(/[\w.\-]+)*\.gguf", re.ASCII)
_REVISION = re.compile(r"(?!.*\.\.)[\w.\-]+(/[\w.\-]+)*", re.ASCII)
DEFAULT_HUB = "https://huggingface.co"


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a hub's repository `repo` (``owner/name``), whatever hub it is: a mirror has the same under another
    `base_url`. Raises `ConfigurationError`."""

    repo: str
    file: str
    revision: str = "main"
    base_url: str = DEFAULT_HUB

    def __post_init__(self) -> None:
        if not _HUB.fullmatch(self.repo):
            raise ConfigurationError(f"a hub's repository must look like owner/name, not {self.repo!r}")
        if not _FILE.fullmatch(self.file):
            raise ConfigurationError(f"what is fetched must be a .gguf file in {self.repo}, not {self.file!r}")
        if not _REVISION.fullmatch(self.revision):
            raise ConfigurationError(
                f"the revision must be a branch, tag or commit of {self.repo}, not {self.revision!r}"
            )

    @classmethod
    def parse(cls, text: str, revision: str, base_url: str) -> HubFile:
        """``owner/name/file.gguf``. Raises `ConfigurationError`."""
        owner, _, rest = text.partition("/")
        name, _, file = rest.partition("/")
        if not (owner and name and file):
            raise ConfigurationError(f"a hub's file must look like owner/name/file.gguf, not {text!r}")
        return cls(f"{owner}/{name}", file, revision, base_url)

    @property
    def url(self) -> str:
        return f"{self.base_url.rstrip('/')}/{self.repo}/resolve/{self.revision}/{self.file}"

    @property
    def source(self) -> str:
        """Its name on every hub."""
        return f"{self.repo}/{self.file}@{self.revision}"


def check_digest(text: str) -> str:
    """A SHA-256 in small letters. Raises `ConfigurationError`."""
    if not _HEX.fullmatch(text.lower()):
        raise ConfigurationError("'sha256' must be 64 hexadecimal digits")
    return text.lower()


class ModelSource(Protocol):
    """What the settings say of a model; the fields are those of `ModelFile`."""

    @property
    def path(self) -> Path | None: ...
    @property
    def hub(self) -> str | None: ...
    @property
    def file(self) -> str | None: ...
    @property
    def revision(self) -> str: ...
    @property
    def sha256(self) -> str | None: ...
    @property
    def base_url(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """Where a model comes from: `path`, or `hub` (``owner/name``) with `file` in it and its `sha256`."""

    path: Path | None = None
    hub: str | None = None
    file: str | None = None
    revision: str = "main"
    sha256: str | None = None
    base_url: str = DEFAULT_HUB

    def __post_init__(self) -> None:
        if (self.path is None) == (self.hub is None):
            raise ConfigurationError("a model is named either by 'path' or by 'hub' and 'file'")
        if self.sha256 is not None:
            check_digest(self.sha256)
        if self.hub is None:
            return
        if not _REVISION.fullmatch(self.revision):
            raise ConfigurationError(f"'revision' must be a branch, tag or commit of {self.hub}, not {self.revision!r}")
        if not _HUB.fullmatch(self.hub):
            raise ConfigurationError(f"'hub' must look like owner/name, not {self.hub!r}")
        if self.file is None or not _FILE.fullmatch(self.file):
            raise ConfigurationError(f"'file' must name a .gguf file in {self.hub}, not {self.file!r}")
        if self.sha256 is None:
            raise ConfigurationError(
                f"a model from a hub needs 'sha256'. The hub shows it on the page of the file "
                f"({self.base_url}/{self.hub}/blob/{self.revision}/{self.file}); it is also what `sha256sum` prints "
                f"for a copy that you trust"
            )

    @classmethod
    def of(cls, source: ModelSource) -> ModelFile:
        """The model file that the settings name. Raises `ConfigurationError`."""
        return cls(
            path=source.path,
            hub=source.hub,
            file=source.file,
            revision=source.revision,
            sha256=source.sha256,
            base_url=source.base_url,
        )

    @property
    def url(self) -> str:
        return f"{self.base_url.rstrip('/')}/{self.hub}/resolve/{self.revision}/{self.file}"

    def place(self, cache: Path) -> Path:
        """Where the file is, or will be."""
        if self.path is not None:
            return self.path
        assert self.hub is not None
        assert self.file is not None
        assert self.sha256 is not None
        return cache / self.hub.replace("/", "--") / f"{self.sha256[:12].lower()}-{Path(self.file).name}"


def check_model_file(path: Path) -> None:
    """Raises `ConfigurationError` when `path` is no GGUF file that can be read."""
    try:
        good = path.is_file() and is_gguf(path)
    except OSError as error:
        raise ConfigurationError(f"the model file {path} cannot be read: {error.strerror}") from error
    if not path.is_file():
        raise ConfigurationError(f"the model file {path} does not exist")
    if not good:
        raise ConfigurationError(f"{path} is not a GGUF model file: it does not begin with the letters GGUF")


def resolve(model: ModelFile, cache: Path, *, download: bool = True, progress: Progress | None = None) -> Path:
    """The file of `model`, checked; fetched into `cache` when it comes from a hub and `download` allows it.

    Raises `ConfigurationError` with what to do about it.
    """
    place = model.place(cache)
    if model.path is not None:
        check_model_file(place)
        if model.sha256 is not None:
            verify(place, model.sha256.lower(), cache)
        return place
    assert model.sha256 is not None
    if not place.exists():
        if not download:
            raise ConfigurationError(f"{model.hub}/{model.file} has not been fetched: run `bailiwick models pull`")
        _fetch(model, place, cache, progress)
    check_model_file(place)
    verify(place, model.sha256.lower(), cache)
    return place


# ---- hashes


def verify(path: Path, wanted: str, cache: Path, *, again: bool = False) -> None:
    """Compare the hash, reading the file only when its size or time have changed since it was last right, or when
    asked to read it `again`. Raises `ConfigurationError` with both hashes, and `OSError`."""
    notes = cache / "verified.json"
    stat = path.stat()
    mark = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "inode": stat.st_ino, "sha256": wanted}
    key = str(path.resolve())
    known = _read_notes(notes)
    if not again and known.get(key) == mark:
        return
    found = hash_file(path)
    if found != wanted:
        raise ConfigurationError(f"{path} is not the file that was configured: its SHA-256 is {found}, not {wanted}")
    private_folder(cache)
    temporary = notes.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_bytes(orjson.dumps({**known, key: mark}))
    temporary.replace(notes)


def _read_notes(notes: Path) -> dict[str, object]:
    try:
        value = orjson.loads(notes.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}  # the notes only save time: without them the file is hashed again
    return value if isinstance(value, dict) else {}


# ---- fetching


def _fetch(model: ModelFile, place: Path, cache: Path, progress: Progress | None) -> None:
    private_folder(place.parent)
    part = place.with_name(place.name + ".part")
    wanted = (model.sha256 or "").lower()
    with locked(place.with_name(place.name + ".lock")):
        if place.exists():  # another process fetched it while this one waited
            return
        fetch(model.url, part, wanted, progress)
        settle(part, place)
        verify(place, wanted, cache)
