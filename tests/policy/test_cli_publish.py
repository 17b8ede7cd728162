"""Signing and publishing policies from the command line."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from gateway.audit import table
from gateway.audit.codec import decode
from gateway.audit.store import open_log
from gateway.cli.common import CliContext
from gateway.cli.policy import policy as commands
from gateway.cli.policy.common import PolicyTools
from gateway.domain.errors import ConfigurationError
from gateway.domain.finding import Found
from gateway.domain.target import Target
from gateway.policy.files import SIGNATURES
from gateway.policy.publishing import publish as put
from gateway.policy.store import PolicyStore
from support.policies import TARGETS, document

NOW = datetime(2026, 9, 1, tzinfo=UTC)

SETTINGS = """schema: 1
policy: live
policy_signatures:
  needed: %d
  trusted: {alice: "%s", bob: "%s"}
targets:
  - {id: house, adapter: openai, zone: local, region: on-premises, model: m, base_url: "http://127.0.0.1:9/v1",
     context_tokens: 512, max_output_tokens: 8, price: {input: 0 USD, output: 0 USD}}
models:
  auto: {targets: [house]}
"""


def scan(texts: Sequence[str]) -> tuple[Found, ...]:
    return ()


def targets_of(path: Path) -> tuple[Target, ...]:
    return TARGETS


def run(*arguments: str, stdin: str | None = None, **environment: str) -> Result:
    settings = Path("bailiwick.yaml")
    outer = click.Context(commands, obj=CliContext(config=settings if settings.exists() else None))
    borrowed = PolicyTools(scan, targets_of)
    return CliRunner(env=environment).invoke(commands, list(arguments), input=stdin, obj=borrowed, parent=outer)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with policies to publish, their tests, and the keys of two people."""
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "policies"
    made.mkdir()
    write(made / "all.yaml", document(policy="all"))
    write(made / "lab.yaml", {**document(policy="lab"), "for": {"tenant": ["lab"]}})
    write(made / "all_test.yaml", expecting("all.yaml", "local_only"))
    for name in ("alice", "bob", "eve"):
        assert run("keygen", name, "--out", f"{name}.key").exit_code == 0
    return made


def write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1))


def expecting(policy: str, action: str) -> dict[str, Any]:
    return {
        "policy": policy,
        "as_of": "2026-09-01",
        "targets": [{"id": "in", "zone": "local", "region": "here"}, {"id": "out", "zone": "cloud", "region": "EU"}],
        "tests": [{"name": "cards", "given": {"found": {"CREDIT_CARD": 1}}, "expect": {"action": action}}],
    }


def configure(needed: int = 1) -> None:
    """Settings that trust alice and bob, with keys that were made for it."""
    for name in ("alice", "bob"):
        Path(f"{name}.key").unlink()
    lines = [run("keygen", name, "--out", f"{name}.key").stdout.partition(": ")[2].strip() for name in ("alice", "bob")]
    Path("bailiwick.yaml").write_text(SETTINGS % (needed, *lines))


def events() -> Iterator[tuple[str, str, str]]:
    engine = open_log("sqlite:///" + str(Path(".state/audit.db").resolve()), create=False)
    try:
        for row in table.latest(engine, 100):
            record = decode(row.body)
            yield record.event, record.tenant, record.error
    finally:
        engine.dispose()


# ---- keygen


def test_keygen_makes_a_key_that_only_its_owner_can_read() -> None:
    """The public line goes to standard output, alone, so that it can be piped into the settings."""
    result = run("keygen", "carol", "--out", "carol.key")
    assert result.exit_code == 0
    assert result.stdout.startswith("carol: ed25519:")
    assert result.stdout.count("\n") == 1
    assert Path("carol.key").stat().st_mode & 0o777 == 0o600
    assert "PRIVATE KEY" in Path("carol.key").read_text()
    assert "PRIVATE KEY" not in result.output


def test_keygen_never_overwrites_a_key() -> None:
    """A key that is lost cannot be had back."""
    before = Path("alice.key").read_text()
    result = run("keygen", "alice", "--out", "alice.key")
    assert result.exit_code == 1
    assert "is there already" in result.stderr
    assert Path("alice.key").read_text() == before


def test_a_key_with_a_passphrase(folder: Path) -> None:
    """Is encrypted, asked for when it is used, and refused when the passphrase is wrong."""
    assert run("keygen", "dan", "--out", "dan.key", "--passphrase", stdin="pass\npass\n").exit_code == 0
    assert "ENCRYPTED" in Path("dan.key").read_text()
    assert run("sign", str(folder), "--key", "dan.key", stdin="pass\n").exit_code == 0
    assert run("sign", str(folder), "--key", "dan.key", BAILIWICK_SIGNING_PASSPHRASE="pass").exit_code == 0
    wrong = run("sign", str(folder), "--key", "dan.key", stdin="hunter2\n")
    assert wrong.exit_code == 3
    assert "the passphrase is wrong" in wrong.stderr
    assert "hunter2" not in wrong.output


# ---- sign and verify


def test_sign_and_verify(folder: Path) -> None:
    """Two people sign one after the other; verify counts those whom the settings trust."""
    configure(needed=2)
    assert run("sign", str(folder), "--key", "alice.key").exit_code == 0
    missing = run("verify", str(folder))
    assert missing.exit_code == 3
    assert "2 trusted signers are needed, and only alice signed these very files" in missing.stderr
    signed = run("sign", str(folder), "--key", "bob.key")
    assert signed.stdout == f"{folder / SIGNATURES}: 2 files, signed by alice, bob\n"
    assert run("verify", str(folder)).stdout == "ok: 2 files, signed by alice, bob; needed: 2\n"
    (folder / "lab.yaml").write_text((folder / "lab.yaml").read_text() + "\n")
    changed = run("verify", str(folder))
    assert changed.exit_code == 3
    assert "lab.yaml was changed after alice signed" in changed.stderr


def test_what_is_invalid_cannot_be_signed(folder: Path) -> None:
    """Nobody signs what a gateway would refuse."""
    (folder / "lab.yaml").write_text("schema: 1\n")
    result = run("sign", str(folder), "--key", "alice.key")
    assert result.exit_code == 3
    assert "missing keys" in result.stderr
    assert not (folder / SIGNATURES).exists()


def test_verify_without_anybody_to_trust_is_no_success(folder: Path) -> None:
    """Without policy_signatures nothing is verified, and it says so."""
    result = run("verify", str(folder))
    assert result.exit_code == 3
    assert "the settings trust nobody" in result.stderr


# ---- publish


def test_publish_puts_signed_files_where_the_gateway_reads(folder: Path) -> None:
    """Policies and signatures arrive; tests and drafts do not; the audit log has who published what for whom."""
    configure()
    result = run("publish", str(folder), "--to", "live", "--key", "alice.key", "--yes")
    assert result.exit_code == 0, result.output
    live = Path("live")
    assert live.is_symlink()
    assert sorted(path.name for path in live.iterdir()) == [SIGNATURES, "all.yaml", "lab.yaml"]
    assert run("verify", "live").exit_code == 0
    assert "everybody else: new, all, version 7, hash " in result.stdout
    assert "tenant lab: new, all+lab, version 14, hash " in result.stdout
    assert list(events()) == [("policy published", "", "alice"), ("policy published", "lab", "alice")]
    assert "lab.yaml: has no tests (lab_test.yaml)" in result.stderr


def test_publish_says_what_changes(folder: Path) -> None:
    """Against what is published, with the command diff for each file that means something else."""
    assert run("publish", str(folder), "--to", "live", "--key", "alice.key", "--yes").exit_code == 0
    looser = {**document(policy="lab", version=8), "for": {"tenant": ["lab"]}}
    looser["handling"]["confidential"] = {"action": "redact", "regions": ["EU", "US"]}
    write(folder / "lab.yaml", looser)
    result = run("publish", str(folder), "--to", "live", "--key", "alice.key", stdin="n\n")
    assert result.exit_code == 1
    assert "everybody else: unchanged, all" in result.stdout
    assert "tenant lab: all+lab, version 14, hash " in result.stdout
    assert "looser" in result.stdout
    assert json.loads(Path("live/lab.yaml").read_text())["version"] == 7


def test_a_policy_that_fails_its_tests_is_not_published(folder: Path) -> None:
    """Exit code 4, as `test` gives it, and nothing is where the gateway reads."""
    write(folder / "all_test.yaml", expecting("all.yaml", "block"))
    result = run("publish", str(folder), "--to", "live", "--key", "alice.key", "--yes")
    assert result.exit_code == 4
    assert not Path("live").exists()


def test_a_policy_that_breaks_a_guarantee_is_not_published(folder: Path) -> None:
    """Exit code 5, as `check` gives it."""
    promise = [{"say": "Nothing leaves", "when": {"level": "internal"}, "never": {"sent_to": "cloud"}}]
    write(folder / "all.yaml", {**document(policy="all"), "guarantees": promise})
    result = run("publish", str(folder), "--to", "live", "--key", "alice.key", "--yes")
    assert result.exit_code == 5, result.output
    assert not Path("live").exists()


def test_an_invalid_policy_is_not_published(folder: Path) -> None:
    """Exit code 3, with every problem."""
    write(folder / "lab.yaml", {**document(policy="all"), "for": {"tenant": ["lab"]}})
    result = run("publish", str(folder), "--to", "live", "--key", "alice.key", "--yes")
    assert result.exit_code == 3
    assert "is called 'all' too" in result.stderr
    assert not Path("live").exists()


def test_the_two_person_rule(folder: Path) -> None:
    """With two needed, one alone publishes nothing; a colleague's signature lying beside the files lets it through."""
    configure(needed=2)
    alone = run("publish", str(folder), "--to", "live", "--key", "alice.key", "--yes")
    assert alone.exit_code == 3
    assert "2 trusted signers are needed, and only alice signed these files" in alone.stderr
    assert not Path("live").exists()
    stranger = run("publish", str(folder), "--to", "live", "--key", "eve.key", "--yes")
    assert "not trusted: eve" in stranger.stderr
    assert run("sign", str(folder), "--key", "bob.key").exit_code == 0
    together = run("publish", str(folder), "--to", "live", "--key", "alice.key", "--yes")
    assert together.exit_code == 0, together.output
    assert run("verify", "live").stdout == "ok: 2 files, signed by alice, bob; needed: 2\n"


def test_a_name_that_anybody_wrote_there_is_not_told_as_a_signer(folder: Path) -> None:
    """Who publishes is told and recorded, and who is known by a key; a forged signature of a colleague is not."""
    configure()
    assert run("sign", str(folder), "--key", "bob.key").exit_code == 0
    document = json.loads((folder / SIGNATURES).read_text())
    document["signatures"][0]["signature"] = "A" * 86 + "=="
    (folder / SIGNATURES).write_text(json.dumps(document))
    result = run("publish", str(folder), "--to", "live", "--key", "alice.key", "--yes")
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith("signed by alice\n")
    assert {signer for _, _, signer in events()} == {"alice"}


def test_what_cannot_be_recorded_is_not_published(folder: Path) -> None:
    """Without a record of it there is no publishing."""
    configure()
    Path(".state").write_text("in the way")
    result = run("publish", str(folder), "--to", "live", "--key", "alice.key", "--yes")
    assert result.exit_code == 3
    assert not Path("live").exists()


# ---- the swap


def test_publishing_never_touches_an_ordinary_folder(tmp_path: Path) -> None:
    """Files that somebody put there by hand are not replaced by a link; an empty folder may be."""
    live = tmp_path / "live"
    live.mkdir()
    (live / "mine.yaml").write_text("x")
    with pytest.raises(ConfigurationError, match="is not a folder that was published to"):
        put({"a.yaml": b"1"}, live, "h" * 64, NOW)
    assert (live / "mine.yaml").read_text() == "x"
    (live / "mine.yaml").unlink()
    put({"a.yaml": b"1"}, live, "h" * 64, NOW)
    assert (live / "a.yaml").read_bytes() == b"1"


def test_a_watcher_sees_all_of_the_old_or_all_of_the_new(tmp_path: Path) -> None:
    """While releases follow one another, whoever loads the folder gets one release, never parts of two."""
    live = tmp_path / "live"

    def release(version: int) -> dict[str, bytes]:
        documents = {name: document(policy=name, version=version) for name in ("a", "b", "c")}
        return {f"{name}.yaml": json.dumps(content).encode() for name, content in documents.items()}

    put(release(1), live, f"{1:064}", NOW)
    stop = threading.Event()

    def publishing() -> None:
        version = 2
        while not stop.is_set():
            put(release(version), live, f"{version:064}", NOW + timedelta(seconds=version))
            version += 1

    thread = threading.Thread(target=publishing)
    thread.start()
    try:
        seen = set()
        for _ in range(25):
            store = PolicyStore(live)
            assert store.current.id.version % 3 == 0  # the sum of three equal ones
            seen.add(store.current.id.version)
    finally:
        stop.set()
        thread.join()
    assert len(seen) > 1


def test_earlier_releases_stay(tmp_path: Path) -> None:
    """Going back is pointing the link back; nothing that was published is lost."""
    live = tmp_path / "live"
    first = put({"a.yaml": b"1"}, live, "1" * 64, NOW)
    second = put({"a.yaml": b"2"}, live, "2" * 64, NOW)
    assert (live / "a.yaml").read_bytes() == b"2"
    assert (first / "a.yaml").read_bytes() == b"1"
    assert first.parent == second.parent
    assert not os.path.isabs(os.readlink(live))
