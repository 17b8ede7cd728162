"""gateway.identity.keys: making, listing and revoking API keys, on every database."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text

from gateway.domain.errors import ConfigurationError
from gateway.identity.keys import KeyTable, UnknownKey, open_identity, parse


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_identity(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def table(engine: Engine) -> KeyTable:
    return KeyTable(engine)


def test_a_key_has_its_form(table: KeyTable) -> None:
    """A key is bk_, 12 characters of id, and a secret of more than 256 bits; two are never the same."""
    made = [table.create(tenant="acme", app="bot") for _ in range(20)]
    for key_id, key in made:
        assert re.fullmatch(r"bk_[a-z0-9]{12}_[A-Za-z0-9]{43}", key)
        assert key.split("_")[1] == key_id
    assert len({key for _, key in made}) == 20


def test_keys_are_listed_oldest_first(table: KeyTable) -> None:
    """The list has everything about a key but its secret."""
    first, _ = table.create(tenant="acme", app="bot", group="hr", role="auditor", note="for the audit, in June")
    second, _ = table.create(tenant="acme", app="bot")
    listed = table.list()
    assert [key.id for key in listed] == [first, second]
    assert (listed[0].tenant, listed[0].app, listed[0].group, listed[0].role) == ("acme", "bot", "hr", "auditor")
    assert listed[0].note == "for the audit, in June"
    assert listed[0].revoked_at is None
    assert listed[0].created_at <= listed[1].created_at


def test_the_secret_is_not_stored(table: KeyTable, engine: Engine) -> None:
    """Nothing in the database contains the secret of a key."""
    _, key = table.create(tenant="acme", app="bot")
    with engine.connect() as connection:
        stored = repr([list(map(bytes_or_text, row)) for row in connection.execute(text("SELECT * FROM api_keys"))])
    assert key.split("_")[2] not in stored


def bytes_or_text(value: Any) -> str:
    return bytes(value).decode("latin-1") if isinstance(value, (bytes, memoryview)) else str(value)


def test_revoking(table: KeyTable) -> None:
    """A revoked key stays in the list with the time of its first revocation."""
    key_id, _ = table.create(tenant="acme", app="bot")
    revoked = table.revoke(key_id)
    assert revoked.revoked_at is not None
    assert table.revoke(key_id) == revoked
    assert table.list() == [revoked]


def test_revoking_an_unknown_key(table: KeyTable) -> None:
    """Revoking what is not there is an error; it does not repeat what was given, which may be a whole key."""
    with pytest.raises(UnknownKey) as caught:
        table.revoke("bk_abc_secret")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tenant": "Acme"}, "tenant 'Acme'"),
        ({"tenant": ""}, "tenant ''"),
        ({"app": "a b"}, "app 'a b'"),
        ({"app": "-bot"}, "app '-bot'"),
        ({"group": "x" * 65}, "group"),
        ({"group": "h\n"}, "group"),
        ({"role": "root"}, "role 'root': use one of user, admin, auditor"),
        ({"note": "x" * 201}, "note"),
        ({"note": "two\nlines"}, "note"),
    ],
)
def test_names_are_checked(table: KeyTable, changes: dict[str, str], words: str) -> None:
    """A name that could not be used in a policy, a record or a header is refused, and the message names the field."""
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        table.create(**{"tenant": "acme", "app": "bot", **changes})
    assert table.list() == []


@pytest.mark.parametrize(
    "presented",
    ["", "bk_", "sk-abc", "bk_short_" + "a" * 43, "bk_" + "a" * 12 + "_" + "a" * 42, "bk_" + "a" * 12 + "_" + "é" * 43],
)
def test_what_does_not_look_like_a_key(presented: str) -> None:
    """Anything that is not exactly of a key's form is told apart without asking the table."""
    assert parse(presented) is None
