"""Files fetched over HTTP: broken downloads go on where they stopped, and never with the rest of another file.

Beside the part that is there, its entity tag is noted. The rest is asked for with ``If-Range``, so that a server whose
file has changed meanwhile sends the whole of it (RFC 9110, section 13.1.5). A redirect to any storage host is followed,
because the hash is what makes a file trusted; the token goes to the hub's own host only.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from gateway.domain.errors import ConfigurationError

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes in all (None when unknown)."""

_ATTEMPTS = 5
_PAUSE_SECONDS = 0.5
_SILENCE_SECONDS = 30.0
_CONNECT_SECONDS = 15.0
_SPARE_BYTES = 64 * 1024 * 1024
_STRONG_TAG = re.compile(r'"[\x21\x23-\x7e]{1,200}"')
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class WrongFile(ConfigurationError):
    """A download does not have the hash that it must have."""


def fetch(url: str, part: Path, wanted: str | None, progress: Progress | None = None) -> str:
    """Fetch `url` into `part` and return its SHA-256, which must be `wanted` unless that is None.

    Raises `ConfigurationError` with what to do. A part that is not whole is kept for the next try; a file with another
    hash is deleted. The caller holds a lock, such as `locked`.
    """
    _download(url, part, progress or (lambda _have, _all: None), pinned=wanted is not None)
    found = hash_file(part)
    if wanted is not None and found != wanted:
        discard(part)
        raise WrongFile(f"{url} is another file: its SHA-256 is {found}, not {wanted}; the download was deleted")
    return found


def hash_file(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal. Raises `OSError`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def discard(part: Path) -> None:
    """Delete what is there of a download."""
    part.unlink(missing_ok=True)
    _tag_file(part).unlink(missing_ok=True)


def settle(part: Path, place: Path) -> None:
    """Give a whole download its final name. Raises `OSError`."""
    part.replace(place)
    _tag_file(part).unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time; the lock goes with the process that holds it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def private_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, for this user only. Raises `OSError`."""
    if not path.exists():
        private_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


def _tag_file(part: Path) -> Path:
    return part.with_name(part.name + ".etag")


def _known_tag(part: Path) -> str:
    try:
        return _tag_file(part).read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return ""


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _download(url: str, part: Path, progress: Progress, *, pinned: bool) -> None:
    token = os.environ.get("HF_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = httpx.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS)
    failures = 0
    with httpx.Client(follow_redirects=True, timeout=timeout, headers=headers) as client:
        while True:
            # Nothing would notice that the rest is of another file where neither a hash nor a tag is known.
            have = _size(part) if pinned or _known_tag(part) else 0
            try:
                _download_rest(client, url, part, have, progress)
                return
            except httpx.TransportError as error:
                now = _size(part)
                failures = 1 if now > have else failures + 1
                if failures >= _ATTEMPTS:
                    raise ConfigurationError(
                        f"{url} cannot be fetched ({_reason(error)}); the {now} bytes that are there are kept, the "
                        f"next try goes on from them"
                    ) from error
                time.sleep(_PAUSE_SECONDS * failures)
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise ConfigurationError(f"{part} cannot be written: {error.strerror}") from error
                raise ConfigurationError(
                    f"{part.parent} is full; the {_size(part)} bytes that are there are kept: make room and try again"
                ) from error
            except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
                raise ConfigurationError(f"{url} cannot be fetched: {type(error).__name__}") from error


def _reason(error: httpx.TransportError) -> str:
    return str(error) if isinstance(error, _Trouble) else type(error).__name__


class _Trouble(httpx.TransportError):
    """An answer that is worth another try."""


def _download_rest(client: httpx.Client, url: str, part: Path, have: int, progress: Progress) -> None:
    # "identity": a compressed answer would have other lengths than the file
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if tag := _known_tag(part):
            headers["If-Range"] = tag
    with client.stream("GET", url, headers=headers) as answer:
        if answer.status_code == 416:  # nothing after `have`: the part is whole, or longer than the file
            return
        _check_status(answer, url)
        start = have if answer.status_code == 206 else 0
        said = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
        if start and said is not None and int(said[1]) != start:
            raise _Trouble("the server sent another range than the one asked for")
        length = answer.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else None
        if total is not None:
            _check_space(part, total - start)
        if not start:
            _note_tag(part, answer.headers.get("ETag", ""))
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            for block in answer.iter_raw():  # as it comes: what is buffered when the connection breaks is lost
                file.write(block)
                progress(file.tell(), total)
            file.flush()
            os.fsync(file.fileno())


def _note_tag(part: Path, tag: str) -> None:
    """Only a strong tag promises the same bytes."""
    if _STRONG_TAG.fullmatch(tag):
        _tag_file(part).write_text(tag, "ascii")
    else:
        _tag_file(part).unlink(missing_ok=True)


def _check_status(answer: httpx.Response, url: str) -> None:
    status = answer.status_code
    if status in (200, 206):
        return
    if status in (401, 403):
        raise ConfigurationError(
            f"{url} needs permission (HTTP {status}): accept the model's terms on its page and put a token of your "
            f"account into HF_TOKEN"
        )
    if status == 404:
        raise ConfigurationError(f"{url} does not exist (HTTP 404): check the repository, the file and the revision")
    if status in (408, 429) or status >= 500:
        raise _Trouble(f"HTTP {status}")
    raise ConfigurationError(f"{url} cannot be fetched: HTTP {status}")


def _check_space(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if free < needed + _SPARE_BYTES:
        raise ConfigurationError(f"{part.parent} has {free} bytes free, {needed} more are needed for the model")
