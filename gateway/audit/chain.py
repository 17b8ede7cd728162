"""The hash chain: each record's hash covers the one before, so that none can be changed, taken out or put in
without changing every hash after it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

_DOMAIN: Final = b"bailiwick-audit-chain-1\n"  # no other use of SHA-256 in the world hashes the same bytes

GENESIS: Final = bytes(32)
"""Stands for the hash before the first record."""


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: position and hash of its last record; `seq` 0 is an empty chain."""

    seq: int = 0
    hash: bytes = GENESIS


@dataclass(frozen=True, slots=True)
class Row:
    """A record as it is stored. The columns after `seq` repeat what `body` says, for searching."""

    seq: int
    decision: str
    kind: str
    at: int
    tenant: str
    app: str
    previous: bytes
    hash: bytes
    body: bytes


def link(previous: bytes, body: bytes) -> bytes:
    """The hash of a record that follows the one with the hash `previous`."""
    return sha256(b"%b%b%b" % (_DOMAIN, previous, body)).digest()
