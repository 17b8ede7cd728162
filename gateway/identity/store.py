"""Who a presented key stands for: answered from memory, which a thread keeps in step with the database."""

from __future__ import annotations

import asyncio
import hmac
import logging
import threading
import time
from types import MappingProxyType
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from gateway.domain.errors import Code, GatewayError
from gateway.domain.request import Caller
from gateway.identity.keys import Credential, hash_secret, open_identity, parse, read_valid, read_version
from gateway.sql import reading, reason

log = logging.getLogger(__name__)

CHECK_EVERY: Final = 0.3
"""Seconds between two looks at the database: a revoked key stops working within a second."""

TRUST_FOR: Final = 10.0
"""Seconds for which the keys in memory are trusted while the database cannot be read."""

_NOBODY: Final = Credential(bytes(32), Caller("", "", "", "", ""))


class SqlKeyStore:
    """`gateway.domain.ports.KeyStore` over `KeyTable`. Keys made or revoked by any process count within a second.

    When the database cannot be read for `trust_for` seconds, every key is refused, for one of them may have
    been revoked meanwhile. Owns the engine it is given and a thread.
    """

    def __init__(self, engine: Engine, *, check_every: float = CHECK_EVERY, trust_for: float = TRUST_FOR) -> None:
        """Raises `sqlalchemy.exc.SQLAlchemyError` when the keys cannot be read now."""
        self._engine = engine
        self._check_every = check_every
        self._trust_for = trust_for
        self._valid = MappingProxyType[str, Credential]({})
        self._version = -1
        self._read_at = 0.0
        self._refreshing = threading.Lock()
        self._closing = threading.Event()
        self.refresh()
        self._thread = threading.Thread(target=self._watch, name="identity-watch", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, url: str) -> SqlKeyStore:
        """The store at this database URL; its tables are made or brought up to date first. Raises
        `ConfigurationError` when the database cannot be opened."""
        return cls(open_identity(url))

    def caller(self, presented: str) -> Caller | None:
        """The owner of the key, or None when it is not a valid one. Never blocks.

        Raises `GatewayError(KEYS_UNAVAILABLE)` when the keys in memory are too old to be trusted.
        """
        if time.monotonic() - self._read_at > self._trust_for:
            raise GatewayError(
                Code.KEYS_UNAVAILABLE,
                "The gateway cannot check API keys at the moment.",
                detail=f"the identity database could not be read for more than {self._trust_for:g} s",
                retry_after=5.0,
            )
        parts = parse(presented)
        if parts is None:
            return None
        credential = self._valid.get(parts[0], _NOBODY)  # an unknown id takes as long as a wrong secret
        return credential.caller if hmac.compare_digest(credential.secret_hash, hash_secret(parts[1])) else None

    def refresh(self) -> None:
        """Look at the database now; blocking. Raises `sqlalchemy.exc.SQLAlchemyError`."""
        with self._refreshing:
            began = time.monotonic()  # before reading: what changes from here on is seen next time
            with reading(self._engine) as connection:
                version = read_version(connection)
                if version != self._version:
                    # Read after the version: if a change comes between, the next look finds a newer version.
                    self._valid = MappingProxyType(read_valid(connection))
                    self._version = version
            self._read_at = began

    async def aclose(self) -> None:
        self._closing.set()
        await asyncio.to_thread(self._thread.join)
        self._engine.dispose()

    def _watch(self) -> None:
        failing = False
        while not self._closing.wait(self._check_every):
            try:
                self.refresh()
            except SQLAlchemyError as error:
                if not failing:
                    log.error("identity: the keys cannot be read: %s", reason(error))
                failing = True
            else:
                if failing:
                    log.info("identity: the keys can be read again")
                failing = False
