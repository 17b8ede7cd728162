"""API keys: how they look, and the table of them.

A key is ``bk_<id>_<secret>``. The id is public: it names the key in the audit log and on the command line. The secret
has 256 random bits and is stored as its SHA-256 only. A plain, fast hash is right here: slow, salted hashes protect
secrets that people choose, of which the likely ones can be tried; nobody can try 2^256, and a slow hash on
each request would be a way to overload the gateway.
"""

from __future__ import annotations

import re
import secrets
import string
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    insert,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from gateway.domain.errors import ConfigurationError
from gateway.domain.request import Caller
from gateway.sql import migrate, open_engine, reading, reason

ROLES: Final = ("user", "admin", "auditor")
NOTE_LIMIT: Final = 200

_PREFIX: Final = "bk"
_ID_ALPHABET: Final = string.ascii_lowercase + string.digits
_ID_LENGTH: Final = 12
_SECRET_ALPHABET: Final = string.ascii_letters + string.digits  # no "_" or "-": a double click selects all of it
_SECRET_LENGTH: Final = 43  # log2(62) * 43 > 256 bits
_KEY: Final = re.compile(rf"{_PREFIX}_([a-z0-9]{{{_ID_LENGTH}}})_([A-Za-z0-9]{{{_SECRET_LENGTH}}})", re.ASCII)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.ASCII)

_METADATA: Final = MetaData()
_KEYS: Final = Table(
    "api_keys",
    _METADATA,
    Column("id", String(_ID_LENGTH), primary_key=True),
    Column("secret_hash", LargeBinary(32), nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("app", String(64), nullable=False),
    Column("group_name", String(64), nullable=False),
    Column("role", String(16), nullable=False),
    Column("note", String(NOTE_LIMIT), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger, nullable=True),
)
_VERSION: Final = Table(
    "api_keys_version",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("version", BigInteger, nullable=False),
)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is listed; the secret is not known to anybody but its owner. Times are microseconds since the epoch
    (UTC)."""

    id: str
    tenant: str
    app: str
    group: str
    role: str
    note: str
    created_at: int
    revoked_at: int | None


@dataclass(frozen=True, slots=True, repr=False)
class Credential:
    """What is needed to check a presented key."""

    secret_hash: bytes
    caller: Caller


class UnknownKey(Exception):
    """There is no key with this id."""


class KeyTable:
    """Making, listing and revoking keys; blocking, for the command line and worker threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str, *, create: bool = True) -> KeyTable:
        """The table at this database URL, made or brought up to date first. Raises `ConfigurationError` when that
        cannot be done or, without `create`, there is no database yet."""
        return cls(open_identity(url, create=create))

    def create(
        self, *, tenant: str, app: str, group: str = "default", role: str = "user", note: str = ""
    ) -> tuple[str, str]:
        """A new key: its id, and the whole key, which is not stored and cannot be shown again.

        Raises `ConfigurationError` for a name that is not of the form ``[a-z0-9][a-z0-9_.-]*`` (64 characters at
        most), an unknown role or a note that is too long.
        """
        for field, name in (("tenant", tenant), ("app", app), ("group", group)):
            check_name(field, name)
        if role not in ROLES:
            raise ConfigurationError(f"role {role!r}: use one of {', '.join(ROLES)}")
        if len(note) > NOTE_LIMIT or not note.isprintable():
            raise ConfigurationError(f"note: one line of at most {NOTE_LIMIT} characters, please")
        key_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))
        secret = "".join(secrets.choice(_SECRET_ALPHABET) for _ in range(_SECRET_LENGTH))
        with self._engine.begin() as connection:
            connection.execute(
                insert(_KEYS).values(
                    id=key_id,
                    secret_hash=hash_secret(secret),
                    tenant=tenant,
                    app=app,
                    group_name=group,
                    role=role,
                    note=note,
                    created_at=_now(),
                )
            )
        return key_id, f"{_PREFIX}_{key_id}_{secret}"

    def list(self) -> list[ApiKey]:
        """All keys, also revoked ones, oldest first."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(_KEYS).order_by(_KEYS.c.created_at, _KEYS.c.id)).all()
        return [_listed(row) for row in rows]

    def revoke(self, key_id: str) -> ApiKey:
        """Make the key invalid, in every running gateway within a second. Revoking twice keeps the first time.
        Raises `UnknownKey`."""
        with self._engine.begin() as connection:
            connection.execute(
                update(_KEYS).where(_KEYS.c.id == key_id, _KEYS.c.revoked_at.is_(None)).values(revoked_at=_now())
            )
            row = connection.execute(select(_KEYS).where(_KEYS.c.id == key_id)).first()
        if row is None:
            raise UnknownKey("there is no key with this id")  # not repeated: it may be a whole key, pasted here
        return _listed(row)

    def close(self) -> None:
        self._engine.dispose()


def open_identity(url: str, *, create: bool = True) -> Engine:
    """The engine of an identity database that is up to date. Raises as `KeyTable.open`."""
    engine = open_engine(url, durable=True, create=create)
    try:
        migrate(engine, "identity")
    except SQLAlchemyError as error:
        raise ConfigurationError(f"identity database {engine.url.render_as_string()}: {reason(error)}") from error
    return engine


def read_version(connection: Connection) -> int:
    """A number that is another one after each change to the keys."""
    return int(connection.execute(select(_VERSION.c.version)).scalar_one())


def read_valid(connection: Connection) -> dict[str, Credential]:
    """The keys that are valid, by id."""
    return {
        row.id: Credential(bytes(row.secret_hash), Caller(row.id, row.tenant, row.app, row.group_name, row.role))
        for row in connection.execute(select(_KEYS).where(_KEYS.c.revoked_at.is_(None)))
    }


def parse(presented: str) -> tuple[str, str] | None:
    """Id and secret of a presented key, or None when it does not look like one."""
    found = _KEY.fullmatch(presented)
    return None if found is None else (found[1], found[2])


def hash_secret(secret: str) -> bytes:
    return sha256(secret.encode()).digest()


def check_name(field: str, name: str) -> None:
    """Raises `ConfigurationError` when `name` cannot be the name of a tenant, app or group."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{field} {name!r}: use 1 to 64 small letters, digits, '_', '.' and '-', beginning with a letter or digit"
        )


def _listed(row: Row[tuple[object, ...]]) -> ApiKey:
    return ApiKey(
        id=row.id,
        tenant=row.tenant,
        app=row.app,
        group=row.group_name,
        role=row.role,
        note=row.note,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )


def _now() -> int:
    return time.time_ns() // 1000
