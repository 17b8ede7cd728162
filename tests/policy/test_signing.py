"""Signatures: who stands behind the files, and that not one of them is another one now."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.errors import ConfigurationError
from gateway.policy.files import SIGNATURES, PolicyFiles
from gateway.policy.signing import (
    Signer,
    added,
    dumped,
    dumped_key,
    new_signer,
    parsed,
    parsed_key,
    public_key,
    require,
)
from gateway.policy.sources import read_policies
from gateway.policy.store import PolicyStore
from support.policies import document

AT = datetime(2026, 9, 1, 12, tzinfo=UTC)
ALICE, BOB, EVE = new_signer("alice"), new_signer("bob"), new_signer("eve")
TRUSTED = {"alice": ALICE.public, "bob": BOB.public}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "policies"
    (made / "parents").mkdir(parents=True)
    write(made / "parents" / "base.yaml", document(policy="base"))
    write(made / "all.yaml", {"schema": 1, "policy": "all", "version": 1, "owner": "o", "extends": "parents/base.yaml"})
    write(made / "lab.yaml", {**document(policy="lab"), "for": {"tenant": ["lab"]}})
    return made


def write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1))


def sign(folder: Path, *signers: Signer) -> None:
    for signer in signers:
        files = PolicyFiles(folder)
        signature = signer.sign(files, read_policies(files), AT)
        lying = folder / SIGNATURES
        lying.write_bytes(dumped(added(parsed(lying.read_bytes()) if lying.exists() else (), signature)))


def check(folder: Path, needed: int = 1, trusted: dict[str, str] = TRUSTED) -> tuple[str, ...]:
    files = PolicyFiles(folder, [SIGNATURES])
    return require(files, read_policies(files), trusted, needed)


def test_signed_files_are_accepted(folder: Path) -> None:
    """The signers are told; every policy file is covered, and what it extends."""
    sign(folder, ALICE, BOB)
    assert check(folder, needed=2) == ("alice", "bob")
    (first, _) = parsed((folder / SIGNATURES).read_bytes())
    assert sorted(first.statement.files) == ["all.yaml", "lab.yaml", "parents/base.yaml"]
    assert sorted(first.statement.policies) == ["*", "lab"]
    assert first.statement.at == "2026-09-01T12:00:00Z"


def test_two_people_are_needed_where_two_are_asked_for(folder: Path) -> None:
    """One signer is not two, however often: not by signing twice, nor with one key under two names."""
    sign(folder, ALICE, ALICE)
    assert check(folder) == ("alice",)
    with pytest.raises(ConfigurationError, match="2 trusted signers are needed, and only alice signed"):
        check(folder, needed=2)
    same = Signer("bob", ALICE.key)
    sign(folder, same)
    with pytest.raises(ConfigurationError, match="2 trusted signers are needed"):
        check(folder, needed=2, trusted={"alice": ALICE.public, "bob": ALICE.public})


def test_strangers_do_not_count(folder: Path) -> None:
    """Neither somebody who is not trusted, nor somebody who takes a trusted name."""
    sign(folder, EVE, Signer("bob", EVE.key))
    with pytest.raises(ConfigurationError, match="nobody trusted signed these very files") as refused:
        check(folder)
    assert "the signature of bob is not valid or not trusted" in str(refused.value)
    assert "the signature of eve is not valid or not trusted" in str(refused.value)


def _changed(folder: Path) -> None:
    write(folder / "lab.yaml", {**document(policy="lab", version=8), "for": {"tenant": ["lab"]}})


def _comment(folder: Path) -> None:
    (folder / "lab.yaml").write_text((folder / "lab.yaml").read_text() + "\n# harmless\n")


def _parent(folder: Path) -> None:
    write(folder / "parents" / "base.yaml", document(policy="base", version=9))


def _added(folder: Path) -> None:
    write(folder / "more.yaml", {**document(policy="more"), "for": {"tenant": ["more"]}})


def _removed(folder: Path) -> None:
    (folder / "lab.yaml").unlink()


def _swapped(folder: Path) -> None:
    (folder / "lab.yaml").rename(folder / "lab2.yaml")


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (_changed, "lab.yaml was changed after alice signed"),
        (_comment, "lab.yaml was changed after alice signed"),
        (_parent, "parents/base.yaml was changed after alice signed"),
        (_added, "more.yaml was not there when alice signed"),
        (_removed, "lab.yaml was signed by alice and is not here any more"),
        (_swapped, "lab2.yaml was not there when alice signed"),
    ],
)
def test_a_file_that_is_not_the_signed_one_is_refused(folder: Path, tamper: Any, words: str) -> None:
    """Changing, adding, removing or renaming a file, or a parent, makes the signature worthless, and it says which."""
    sign(folder, ALICE)
    tamper(folder)
    with pytest.raises(ConfigurationError, match="nobody trusted signed these very files") as refused:
        check(folder)
    assert words in str(refused.value)


@pytest.mark.parametrize("field", ["files", "policies", "signer", "at"])
def test_a_statement_cannot_be_altered(folder: Path, field: str) -> None:
    """Every field of what was signed is covered by the signature."""
    sign(folder, ALICE)
    lying = json.loads((folder / SIGNATURES).read_text())
    said = lying["signatures"][0]["statement"]
    said[field] = {"files": {"x": "0"}, "policies": {"*": "0"}, "signer": "bob", "at": "2027-01-01T00:00:00Z"}[field]
    (folder / SIGNATURES).write_text(json.dumps(lying))
    with pytest.raises(ConfigurationError):
        check(folder)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"schema": 2, "signatures": []}',
        '{"schema": 1, "signatures": [], "signatures": []}',
        '{"schema": 1, "signatures": [{}]}',
        '{"schema": 1, "signatures": [[]]}',
        '{"schema": 1, "signatures": "x"}',
        '{"schema": 1, "signatures": [{"signature": "", "statement": {"schema": 1, "files": {}, "policies": {}, '
        '"signer": "eve\\u001b[2K\\rok: signed by alice", "at": ""}}]}',
        "[" * 100_000,
    ],
)
def test_a_file_that_holds_no_signatures_is_an_error(folder: Path, text: str) -> None:
    """Whatever lies there: an error that says so, never a traceback, never a pass."""
    (folder / SIGNATURES).write_text(text)
    with pytest.raises(ConfigurationError, match=r"is not a file of signatures"):
        check(folder)


def test_unsigned_files_are_refused(folder: Path) -> None:
    """Where signatures are asked for and there are none, the error names who can sign."""
    with pytest.raises(ConfigurationError, match="is missing: policies here must be signed by 1 of alice, bob"):
        check(folder)
    (folder / SIGNATURES).write_text('{"schema": 1, "signatures": []}')
    with pytest.raises(ConfigurationError, match="nobody trusted signed these very files"):
        check(folder)


def test_signatures_on_what_is_no_more_are_dropped(folder: Path) -> None:
    """Signing a changed file keeps no signature of the old one, so that nobody seems to have agreed to the new."""
    sign(folder, ALICE)
    _changed(folder)
    sign(folder, BOB)
    assert [each.statement.signer for each in parsed((folder / SIGNATURES).read_bytes())] == ["bob"]
    sign(folder, ALICE)
    assert check(folder, needed=2) == ("alice", "bob")


# ---- keys


def test_a_key_survives_its_file(tmp_path: Path) -> None:
    """Name and key come back, with a passphrase or without."""
    for secret in ("", "correct horse"):
        data = dumped_key(ALICE, secret)
        again = parsed_key(data, lambda: "correct horse", "key")
        assert (again.name, again.public) == ("alice", ALICE.public)
        assert (b"ENCRYPTED" in data) is bool(secret)


@pytest.mark.parametrize("data", [b"", b"Signer: a\n", b"Signer: a\nnonsense", b"-----BEGIN PRIVATE KEY-----\n"])
def test_what_is_no_key_is_refused(data: bytes) -> None:
    """With a message that names the file and never its contents."""
    with pytest.raises(ConfigurationError, match=r"^my\.key: "):
        parsed_key(data, lambda: "", "my.key")


def test_a_wrong_passphrase_is_refused() -> None:
    """And is not repeated in the message."""
    with pytest.raises(ConfigurationError, match="the passphrase is wrong") as refused:
        parsed_key(dumped_key(ALICE, "right"), lambda: "hunter2", "my.key")
    assert "hunter2" not in str(refused.value)


def test_a_key_is_not_shown_by_accident() -> None:
    """Neither in a log nor in a traceback."""
    assert "key" not in repr(ALICE).replace("Signer", "")
    assert repr(ALICE) == "Signer(name='alice')"


@pytest.mark.parametrize("text", ["", "ed25519:", "ed25519:AAAA", "rsa:AAAA", ALICE.public[:-2], "ed25519:" + "!" * 44])
def test_what_is_no_public_key_is_refused(text: str) -> None:
    """A key of the settings is one of 32 bytes."""
    with pytest.raises(ValueError, match="public key"):
        public_key(text)


# ---- in the store


def store(folder: Path, needed: int = 1) -> PolicyStore:
    return PolicyStore(folder, verify=lambda files, found: require(files, found, TRUSTED, needed))


def test_without_signatures_nothing_starts(folder: Path) -> None:
    """A store that asks for signatures does not open without them."""
    with pytest.raises(ConfigurationError, match="is missing"):
        store(folder)
    sign(folder, ALICE)
    assert store(folder).in_force.signers == ("alice",)
    with pytest.raises(ConfigurationError, match="2 trusted signers are needed"):
        store(folder, needed=2)


def test_an_unsigned_change_never_replaces_a_signed_policy(folder: Path) -> None:
    """It is refused, the signed one serves on, and a signature that comes later lets it in."""
    sign(folder, ALICE)
    opened = store(folder)
    good = opened.hash
    _changed(folder)
    assert opened.look() != opened.seen
    with pytest.raises(ConfigurationError, match="changed after alice signed"):
        opened.reload()
    assert (opened.hash, opened.in_force.signers) == (good, ("alice",))
    assert opened.look() == opened.seen
    sign(folder, BOB)
    assert opened.look() != opened.seen
    opened.reload()
    assert opened.hash != good
    assert opened.in_force.signers == ("bob",)
