"""gateway.identity.secrets: the gateway's own secret and what is derived from it."""

from __future__ import annotations

import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.domain.errors import ConfigurationError
from gateway.identity.secrets import VARIABLE, derive, load_secret


def test_the_secret_is_made_once(tmp_path: Path) -> None:
    """The first start makes 32 random bytes in a private file in a private folder; later ones read the same."""
    data = tmp_path / "state"
    secret = load_secret(data, {})
    assert len(secret) == 32
    assert load_secret(data, {}) == secret
    assert load_secret(tmp_path / "other", {}) != secret
    assert stat.S_IMODE((data / "secret.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert [path.name for path in data.iterdir()] == ["secret.key"]  # no temporary file is left


def test_those_that_start_at_once_agree(tmp_path: Path) -> None:
    """Several that start without a secret at the same time end up with the same one, whole."""
    together = threading.Barrier(8)

    def start() -> bytes:
        together.wait()
        return load_secret(tmp_path, {})

    for _ in range(5):
        with ThreadPoolExecutor(8) as pool:
            assert len({future.result() for future in [pool.submit(start) for _ in range(8)]}) == 1
        (tmp_path / "secret.key").unlink()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_readable_secret_stops_the_start(tmp_path: Path, mode: int) -> None:
    """A secret that others may read is not used; the message says what to do."""
    load_secret(tmp_path, {})
    (tmp_path / "secret.key").chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_secret(tmp_path, {})


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33])
def test_a_damaged_secret_stops_the_start(tmp_path: Path, content: bytes) -> None:
    """A file of another length is not the secret: a new one would silently change every pseudonym."""
    load_secret(tmp_path, {})
    (tmp_path / "secret.key").write_bytes(content)
    with pytest.raises(ConfigurationError, match="32 bytes"):
        load_secret(tmp_path, {})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_secret_of_another_user_stops_the_start(tmp_path: Path) -> None:
    """A secret that somebody else put there is not used."""
    load_secret(tmp_path, {})
    os.chown(tmp_path / "secret.key", 65534, -1)
    with pytest.raises(ConfigurationError, match="another user"):
        load_secret(tmp_path, {})


def test_the_environment_wins(tmp_path: Path) -> None:
    """With the variable set, no file is read or made."""
    assert load_secret(tmp_path, {VARIABLE: "0a" * 32 + "\n"}) == b"\x0a" * 32
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", ["", "0a" * 31, "0a" * 33, "wordsecret" * 6])
def test_a_wrong_variable_stops_the_start(tmp_path: Path, given: str) -> None:
    """A variable of another form is an error, which does not repeat what it holds."""
    with pytest.raises(ConfigurationError, match="64 hexadecimal digits") as caught:
        load_secret(tmp_path, {VARIABLE: given})
    assert "wordsecret" not in str(caught.value)


def test_an_unusable_folder_stops_the_start() -> None:
    """Where the file cannot be made, the message names it."""
    with pytest.raises(ConfigurationError, match=r"/proc/none/secret\.key"):
        load_secret(Path("/proc/none"), {})


def test_derived_keys() -> None:
    """Each label and each secret gives a key of its own, the same at each start: HKDF-Expand by RFC 5869, one block."""
    secret = b"\x0b" * 32
    keys = {derive(secret, "pseudonyms"), derive(secret, "audit-mac"), derive(b"\x0c" * 32, "pseudonyms"), secret}
    assert len(keys) == 4
    assert {len(key) for key in keys} == {32}
    assert derive(secret, "pseudonyms") == derive(secret, "pseudonyms")
