"""Promise 5 with several policy files: no tenant is ever without its policy, and nothing unsigned takes over."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from gateway.domain.errors import ConfigurationError
from gateway.domain.record import RecordKind
from gateway.identity.keys import KeyTable
from gateway.policy.archive import load_archived
from gateway.policy.files import SIGNATURES, PolicyFiles
from gateway.policy.signing import Signer, dumped, new_signer
from gateway.policy.sources import read_policies
from support.evidence import records
from support.here import GatewayHere, gateway_here
from support.live import DEFAULT_POLICY, Setup, cloud_target

HEAD = "schema: 1\npolicy: %s\nversion: 1\nowner: dpo@acme.example\n"
SCHOOL = HEAD % "school" + (
    "extends: all.yaml\nfor: {tenant: [school]}\n"
    "rules:\n  - {id: no-pupils, why: Contract, when: {app: tutor}, then: {action: block, tell_user: Not here.}}\n"
)


def _policies(folder: Path, **more: str) -> Path:
    policies = folder / "policies"
    policies.mkdir(exist_ok=True)
    (policies / "all.yaml").write_text(DEFAULT_POLICY.read_text())
    for name, text in more.items():
        (policies / f"{name}.yaml").write_text(text)
    return policies


def _setup(folder: Path, policies: Path, extra: str = "") -> Setup:
    targets = [cloud_target("cloud", "http://127.0.0.1:9/v1")]
    return Setup(folder, targets, {"auto": "{targets: [cloud]}"}, policies, extra=extra)


async def _ask(here: GatewayHere, key: str = "") -> httpx.Response:
    """What would be decided about a harmless request."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    body = {"model": "auto", "messages": [{"role": "user", "content": "How tall is the Eiffel tower?"}]}
    return await here.client.post("/bailiwick/v1/explain", json=body, headers=headers)


async def _until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110 (no event there)
            await anyio.sleep(0.02)


async def _until_asked(condition: Callable[[], Awaitable[bool]]) -> None:
    with anyio.fail_after(10):
        while not await condition():  # noqa: ASYNC110 (no event there)
            await anyio.sleep(0.02)


def _events(folder: Path) -> list[tuple[str, str]]:
    found = [record for record in records(folder / "state") if record.kind is RecordKind.EVENT]
    return [(str(record.event), str(record.error)) for record in found]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.policy.watch.LOOK_EVERY", 0.02)
    monkeypatch.setattr("gateway.policy.watch.SETTLED_AFTER", 0.05)


@pytest.mark.anyio
async def test_each_tenant_is_decided_by_its_own_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller's tenant chooses the policy; a change for one tenant concerns that one only."""
    policies = _policies(tmp_path, school=SCHOOL)
    async with gateway_here(_setup(tmp_path, policies), monkeypatch) as here:
        table = KeyTable.open(f"sqlite:///{tmp_path}/state/identity.db")
        _, pupil = table.create(tenant="school", app="tutor")
        _, other = table.create(tenant="acme", app="tutor")
        table.close()

        async def known() -> bool:
            return (await _ask(here, pupil)).status_code == 200

        await _until_asked(known)
        school = (await _ask(here, pupil)).json()
        assert (school["action"], school["policy"]["name"]) == ("block", "school")
        everybody = (await _ask(here, other)).json()
        assert (everybody["action"], everybody["policy"]["name"]) == ("allow", "default")
        (policies / "school.yaml").write_text(SCHOOL.replace("version: 1", "version: 2"))

        async def changed() -> bool:
            return bool((await _ask(here, pupil)).json()["policy"]["version"] == 2)

        await _until_asked(changed)
        assert (await _ask(here, other)).json()["policy"] == everybody["policy"]
    archive = tmp_path / "state" / "policies"
    assert load_archived(archive, school["policy"]["hash"]).id.name == "school"
    assert load_archived(archive, everybody["policy"]["hash"]).id.name == "default"
    assert [name for name, _ in _events(tmp_path)].count("policy loaded") == 3


BROKEN: dict[str, Callable[[Path], Any]] = {
    "one file is broken": lambda policies: (policies / "school.yaml").write_text("schema: 1\n"),
    "a file is added that is no policy": lambda policies: (policies / "new.yaml").write_text("x: ["),
    "a file cannot be read": lambda policies: (policies / "new.yaml").symlink_to("nowhere.yaml"),
    "two files define one rule": lambda policies: (policies / "new.yaml").write_text(
        SCHOOL.replace("policy: school", "policy: new")
    ),
    "a child loosens its parent": lambda policies: (policies / "school.yaml").write_text(
        SCHOOL.partition("rules:")[0] + "handling: {restricted: {action: allow}}\n"
    ),
    "the parent is gone": lambda policies: (policies / "all.yaml").unlink(),
    "all files are gone": lambda policies: [path.unlink() for path in policies.iterdir()],
}


@pytest.mark.anyio
@pytest.mark.parametrize("fault", BROKEN)
async def test_one_bad_file_keeps_all_good_policies(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong with any file, every tenant keeps its last good policy, it is in the audit log, and no start
    is possible with it; when it is mended, the policies take over."""
    policies = _policies(tmp_path, school=SCHOOL)
    setup = _setup(tmp_path, policies)
    async with gateway_here(setup, monkeypatch) as here:
        before = (await _ask(here)).json()["policy"]
        BROKEN[fault](policies)
        await _until(lambda: ("policy refused", "") in _events(tmp_path))
        assert (await _ask(here)).json()["policy"] == before
    with pytest.raises(ConfigurationError, match=str(policies)):
        async with gateway_here(setup, monkeypatch):
            raise AssertionError("it opened")


@pytest.mark.anyio
async def test_exceptions_are_in_the_audit_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that comes into force or is taken away while the gateway runs is an event of its own."""
    exception = (
        "exceptions:\n  - {id: EX-1, lifts: no-pupils, for: {app: tutor}, approved_by: dpo, ticket: T-1, "
        "expires: 2199-12-31}\n"
    )
    policies = _policies(tmp_path, school=SCHOOL)
    async with gateway_here(_setup(tmp_path, policies), monkeypatch):
        (policies / "school.yaml").write_text(SCHOOL + exception)
        await _until(lambda: ("exception added", "EX-1") in _events(tmp_path))
        (policies / "school.yaml").write_text(SCHOOL)
        await _until(lambda: ("exception removed", "EX-1") in _events(tmp_path))


@pytest.mark.anyio
async def test_nothing_unsigned_takes_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two signatures are asked for, the start is refused without them, a change without them is refused while
    the signed policy goes on, and with them it takes over; the audit log has who signed."""
    alice, bob = new_signer("alice"), new_signer("bob")
    trusted = json.dumps({"alice": alice.public, "bob": bob.public})
    policies = _policies(tmp_path, school=SCHOOL)
    setup = _setup(tmp_path, policies, f"policy_signatures: {{needed: 2, trusted: {trusted}}}")

    def sign(*signers: Signer) -> None:
        files = PolicyFiles(policies)
        found = read_policies(files)
        signatures = [signer.sign(files, found, datetime.now(UTC)) for signer in signers]
        (policies / SIGNATURES).write_bytes(dumped(signatures))

    for signers in ((), (alice,), (alice, alice)):
        sign(*signers)
        with pytest.raises(ConfigurationError, match="2 trusted signers are needed"):
            async with gateway_here(setup, monkeypatch):
                raise AssertionError("it opened")
    sign(alice, bob)
    async with gateway_here(setup, monkeypatch) as here:
        before = (await _ask(here)).json()["policy"]["hash"]
        changed = DEFAULT_POLICY.read_text().replace("\nversion: 2 ", "\nversion: 3 ")
        (policies / "all.yaml").write_text(changed)
        await _until(lambda: ("policy refused", "") in _events(tmp_path))
        assert (await _ask(here)).json()["policy"]["hash"] == before
        sign(bob)
        await _until(lambda: _events(tmp_path).count(("policy refused", "")) == 2)
        assert (await _ask(here)).json()["policy"]["hash"] == before
        sign(alice, bob)

        async def taken_over() -> bool:
            return bool((await _ask(here)).json()["policy"]["hash"] != before)

        await _until_asked(taken_over)
    signed = [detail for name, detail in _events(tmp_path) if name == "policy signed"]
    assert set(signed) == {"alice", "bob"}
