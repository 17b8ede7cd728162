"""The gateway's own secret: 32 random bytes from which the keys of pseudonyms and of keyed hashes are derived.

Who has it can tell whose value a pseudonym is by trying values, so it is as sensitive as the prompts themselves.
It is needed to keep pseudonyms and keyed hashes the same over restarts; losing it breaks nothing else.
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gateway.domain.errors import ConfigurationError

VARIABLE: Final = "BAILIWICK_SECRET_KEY"
"""Environment variable with the secret as 64 hexadecimal digits; replicas that share pseudonyms share it."""

LENGTH: Final = 32
_FILE: Final = "secret.key"


def load_secret(data: Path, environ: Mapping[str, str] | None = None) -> bytes:
    """The secret from the environment or from the file `secret.key` in the folder `data`, which is made if missing.

    Raises `ConfigurationError` when the file can be read by others than its owner, or either is not 32 bytes long.
    """
    given = (os.environ if environ is None else environ).get(VARIABLE)
    if given is not None:
        return _from_hex(given)
    path = data / _FILE
    try:
        if not path.exists():
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
            _create(path)
        return _read(path)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error


def derive(secret: bytes, label: str) -> bytes:
    """A key of 32 bytes for one purpose, such as ``pseudonyms``. Keys of different labels tell nothing of each other
    or of the secret: one block of HKDF-Expand (RFC 5869) with SHA-256; the secret is uniform, so needs no Extract."""
    return hmac.digest(secret, b"bailiwick " + label.encode() + b"\x01", "sha256")


def _from_hex(given: str) -> bytes:
    try:
        secret = bytes.fromhex(given.strip())
    except ValueError:
        secret = b""
    if len(secret) != LENGTH:
        raise ConfigurationError(f"{VARIABLE}: needs exactly {2 * LENGTH} hexadecimal digits")  # not what it holds
    return secret


def _create(path: Path) -> None:
    """Whole or not at all, also when several processes start at once: the first link wins, the others read it."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.write(descriptor, secrets.token_bytes(LENGTH))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
    finally:
        temporary.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise ConfigurationError(f"{path}: others than its owner may read or write it; do: chmod 600 {path}")
        if status.st_uid not in (os.geteuid(), 0):
            raise ConfigurationError(f"{path}: belongs to another user")
        secret = file.read(LENGTH + 1)
    if len(secret) != LENGTH:
        raise ConfigurationError(f"{path}: is not {LENGTH} bytes long, so it is not the gateway's secret; restore it")
    return secret
