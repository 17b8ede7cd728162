"""Model files: found by path, or fetched from a hub by name and SHA-256. Blocking; run it in a thread or a command.

A fetched file is only ever seen under its final name when its hash is right. A broken download goes on where it
stopped. The hash is what makes the file trusted, so a redirect to any storage host is followed; a token is sent to
the hub's own host only.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx
import orjson

from adapters.llama_cpp.gguf import is_gguf
from gateway.domain.errors import ConfigurationError

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes in all (None when unknown)."""

_ATTEMPTS = 5
_PAUSE_SECONDS = 0.5
_SPARE_BYTES = 64 * 1024 * 1024
_HEX = re.compile(r"[0-9a-f]{64}")
_HUB = re.compile(r"[\w.\-]+/[\w.\-]+", re.ASCII)
_FILE = re.compile(r"(?!.*\.\.)[\w.\-]+(/[\w.\-]+)*\.gguf", re.ASCII)


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
    base_url: str = "https://huggingface.co"

    def __post_init__(self) -> None:
        if (self.path is None) == (self.hub is None):
            raise ConfigurationError("a model is named either by 'path' or by 'hub' and 'file'")
        if self.sha256 is not None and not _HEX.fullmatch(self.sha256.lower()):
            raise ConfigurationError("'sha256' must be 64 hexadecimal digits")
        if self.hub is None:
            return
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
            _verify(place, model.sha256.lower(), cache)
        return place
    assert model.sha256 is not None
    if not place.exists():
        if not download:
            raise ConfigurationError(f"{model.hub}/{model.file} has not been fetched: run `bailiwick models pull`")
        _fetch(model, place, cache, progress or (lambda _have, _all: None))
    check_model_file(place)
    _verify(place, model.sha256.lower(), cache)
    return place


# ---- hashes


def _verify(path: Path, wanted: str, cache: Path) -> None:
    """Compare the hash, reading the file only when its size or time have changed since it was last right."""
    notes = cache / "verified.json"
    stat = path.stat()
    mark = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "inode": stat.st_ino, "sha256": wanted}
    key = str(path.resolve())
    known = _read_notes(notes)
    if known.get(key) == mark:
        return
    found = hash_file(path)
    if found != wanted:
        raise ConfigurationError(f"{path} is not the model that was configured: its SHA-256 is {found}, not {wanted}")
    cache.mkdir(parents=True, exist_ok=True)
    temporary = notes.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_bytes(orjson.dumps({**known, key: mark}))
    temporary.replace(notes)


def _read_notes(notes: Path) -> dict[str, object]:
    try:
        value = orjson.loads(notes.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}  # the notes only save time: without them the file is hashed again
    return value if isinstance(value, dict) else {}


def hash_file(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal. Raises `OSError`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ---- fetching


def _fetch(model: ModelFile, place: Path, cache: Path, progress: Progress) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(place.name + ".part")
    with _locked(place.with_name(place.name + ".lock")):
        if place.exists():  # another process fetched it while this one waited
            return
        _download(model, part, progress)
        found, wanted = hash_file(part), (model.sha256 or "").lower()
        if found != wanted:
            part.unlink()
            raise ConfigurationError(
                f"{model.url} is not the model that was configured: its SHA-256 is {found}, not {wanted}; the download "
                f"was deleted"
            )
        part.replace(place)
        _verify(place, wanted, cache)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time; the lock goes with the process that holds it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _download(model: ModelFile, part: Path, progress: Progress) -> None:
    token = os.environ.get("HF_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = httpx.Timeout(30.0, connect=15.0)
    failures = 0
    with httpx.Client(follow_redirects=True, timeout=timeout, headers=headers) as client:
        while True:
            have = part.stat().st_size if part.exists() else 0
            try:
                _download_rest(client, model, part, have, progress)
                return
            except httpx.TransportError as error:
                now = part.stat().st_size if part.exists() else 0
                failures = 1 if now > have else failures + 1
                if failures >= _ATTEMPTS:
                    raise ConfigurationError(
                        f"{model.url} cannot be fetched ({type(error).__name__}); the {now} bytes that are there are "
                        f"kept, the next try goes on from them"
                    ) from error
                time.sleep(_PAUSE_SECONDS * failures)


def _download_rest(client: httpx.Client, model: ModelFile, part: Path, have: int, progress: Progress) -> None:
    # "identity": a compressed answer would have other lengths than the file
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    with client.stream("GET", model.url, headers=headers) as answer:
        if answer.status_code == 416:  # nothing after `have`: the part is whole, or longer than the file
            return
        _check_status(answer, model)
        start = have if answer.status_code == 206 else 0
        length = answer.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else None
        if total is not None:
            _check_space(part, total - start)
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            for block in answer.iter_raw():  # as it comes: what is buffered when the connection breaks is lost
                file.write(block)
                progress(file.tell(), total)
            file.flush()
            os.fsync(file.fileno())


def _check_status(answer: httpx.Response, model: ModelFile) -> None:
    status = answer.status_code
    if status in (200, 206):
        return
    if status in (401, 403):
        raise ConfigurationError(
            f"{model.url} needs permission (HTTP {status}): accept the model's terms on its page and put a token of "
            f"your account into HF_TOKEN"
        )
    if status == 404:
        raise ConfigurationError(f"{model.url} does not exist (HTTP 404): check 'hub', 'file' and 'revision'")
    if status in (408, 429) or status >= 500:
        raise httpx.RemoteProtocolError(f"HTTP {status}")  # worth another try
    raise ConfigurationError(f"{model.url} cannot be fetched: HTTP {status}")


def _check_space(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if free < needed + _SPARE_BYTES:
        raise ConfigurationError(f"{part.parent} has {free} bytes free, {needed} more are needed for the model")
