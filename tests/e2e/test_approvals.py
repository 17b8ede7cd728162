"""Approvals with OpenAI's own SDK, unmodified: refused, approved by somebody else, and sent once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from support.approvals import POLICY, console
from support.evidence import eventually, intents, records
from support.exposure import CARD
from support.live import Cloud, Setup, cloud_target, scripted_cloud
from support.nursery import ForkedGateway, ForkedProcess, forked_gateway

PATH = "/admin/v1/approvals"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with scripted_cloud() as running:
        yield running


@pytest.fixture(scope="module")
def guarded(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedGateway]:
    targets = [cloud_target("eu", cloud.base_url), cloud_target("us", cloud.base_url, region="US")]
    setup = Setup(tmp_path_factory.mktemp("approvals"), targets, {"auto": "{targets: [us, eu], rank: listed}"}, POLICY)
    with forked_gateway(setup) as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_sent_yet(cloud: Cloud) -> None:
    cloud.forget()


@pytest.fixture(scope="module")
def officer(guarded: ForkedGateway) -> Iterator[httpx.Client]:
    with console(guarded) as client:
        yield client


def sdk(gateway: ForkedGateway, key: str = "", url: str = "") -> OpenAI:
    http_client = httpx.Client(trust_env=False)
    return OpenAI(base_url=url or gateway.base_url, api_key=key or gateway.key, max_retries=0, http_client=http_client)


def ask(client: OpenAI, text: str, **more: Any) -> str | None:
    """The SDK's call. Raises the SDK's own exceptions."""
    answer = client.chat.completions.create(
        model="auto", messages=[{"role": "user", "content": f"{text}: {CARD}"}], **more
    )
    content: str | None = answer.choices[0].message.content
    return content


def waits(client: OpenAI, text: str, **more: Any) -> str:
    """The id of the approval that the call now waits for, as a program reads it."""
    with pytest.raises(openai.PermissionDeniedError) as caught:
        ask(client, text, **more)
    assert caught.value.code == "approval_required"
    body: Any = caught.value.body
    assert body["approval"]["id"] in caught.value.message
    return str(body["approval"]["id"])


def approve(officer: httpx.Client, name: str) -> None:
    assert officer.post(f"{PATH}/{name}/approve").raise_for_status().json()["status"] == "approved"


def test_refused_approved_passed_once(guarded: ForkedGateway, officer: httpx.Client, cloud: Cloud) -> None:
    """The same call of the SDK: refused with an id, after the approval answered, the third time refused again."""
    with sdk(guarded) as client:
        name = waits(client, "Charge")
        assert waits(client, "Charge") == name
        assert cloud.bodies() == []
        approve(officer, name)
        assert CARD in str(ask(client, "Charge"))
        assert len(cloud.bodies()) == 1
        assert waits(client, "Charge") != name
        assert len(cloud.bodies()) == 1
    assert [(record.target, record.approval) for record in intents(guarded.state)] == [("eu", name)]


def test_a_stream_passes_once_too(guarded: ForkedGateway, officer: httpx.Client) -> None:
    """The refusal of a stream comes before it begins, and the approval is used by beginning it."""
    with sdk(guarded) as client:
        name = waits(client, "Stream", stream=True)
        approve(officer, name)
        chunks = client.chat.completions.create(
            model="auto", messages=[{"role": "user", "content": f"Stream: {CARD}"}], stream=True
        )
        assert CARD in "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert waits(client, "Stream", stream=True) != name


def test_a_changed_body_is_not_approved(guarded: ForkedGateway, officer: httpx.Client, cloud: Cloud) -> None:
    """Neither another text nor another setting goes by it; the request that was approved still does."""
    with sdk(guarded) as client:
        name = waits(client, "Body")
        approve(officer, name)
        assert waits(client, "Body and more") != name
        assert waits(client, "Body", temperature=0.1) != name
        assert cloud.bodies() == []
        ask(client, "Body")


def test_the_wrong_people_cannot_approve(guarded: ForkedGateway, cloud: Cloud) -> None:
    """Not another group, and not who asked, though it is an admin of the right group."""
    with (
        console(guarded, group="sales") as sales,
        console(guarded, app="support-bot") as asker,
        sdk(guarded, asker.headers["authorization"].removeprefix("Bearer ")) as client,
    ):
        name = waits(client, "Own")
        assert sales.post(f"{PATH}/{name}/approve").status_code == 403
        own = asker.post(f"{PATH}/{name}/approve")
        assert own.status_code == 403
        assert "asked for" in own.json()["error"]["message"]
        assert waits(client, "Own") == name
    assert cloud.bodies() == []


def test_an_expired_approval_is_none(guarded: ForkedGateway, officer: httpx.Client, cloud: Cloud) -> None:
    """An hour after it was given (the hour is put into the database) the call is refused and asks anew."""
    with sdk(guarded) as client:
        name = waits(client, "Late")
        approve(officer, name)
        with closing(sqlite3.connect(guarded.state / "approvals.db")) as database, database:
            database.execute("UPDATE approvals SET expires_at = expires_at - 3600 * 1000000 WHERE id = ?", (name,))
        assert officer.get(f"{PATH}/{name}").json()["status"] == "expired"
        assert waits(client, "Late") != name
    assert cloud.bodies() == []


def test_of_concurrent_calls_one_passes(guarded: ForkedGateway, officer: httpx.Client, cloud: Cloud) -> None:
    """Eight at the same time, through two gateways with the same state: one passes, the others wait for one new one."""
    second = ForkedProcess(guarded.config, guarded.setup.folder / "second", guarded.environ)
    try:
        with sdk(guarded) as here, sdk(guarded, url=f"{second.matched[1]}/v1") as there, ThreadPoolExecutor(8) as pool:
            name = waits(here, "Twice")
            assert waits(there, "Twice") == name
            approve(officer, name)

            def attempt(number: int) -> str:
                try:
                    ask(here if number % 2 else there, "Twice")
                except openai.PermissionDeniedError as refused:
                    body: Any = refused.body
                    return str(body["approval"]["id"])
                return "passed"

            outcomes = list(pool.map(attempt, range(8)))
        assert outcomes.count("passed") == 1
        (waiting,) = set(outcomes) - {"passed"}
        assert waiting != name
        assert len(cloud.bodies()) == 1
    finally:
        second.stop()


def test_the_command_line_does_it_too(guarded: ForkedGateway, cloud: Cloud) -> None:
    """`bailiwick approvals list`, `show`, `approve` and `deny`, beside the running gateway, with the approver's key."""
    with console(guarded) as officer, sdk(guarded) as client:
        name, other = waits(client, "Console"), waits(client, "Console no")
        assert name in guarded.cli("approvals", "list")
        shown = guarded.cli("approvals", "show", name)
        assert "CREDIT_CARD 1" in shown
        assert CARD not in shown
        key = officer.headers["authorization"].removeprefix("Bearer ")
        guarded.environ["BAILIWICK_API_KEY"] = key
        try:
            assert "approved" in guarded.cli("approvals", "approve", name)
            assert "denied" in guarded.cli("approvals", "deny", other)
        finally:
            del guarded.environ["BAILIWICK_API_KEY"]
        ask(client, "Console")
        with pytest.raises(openai.PermissionDeniedError) as caught:
            ask(client, "Console no")
        assert caught.value.code == "approval_denied"
    story = guarded.cli("audit", "show", f"approval:{name}")
    assert story.index("approval asked for") < story.index("approval given") < story.index("approval used")
    assert len(cloud.bodies()) == 1


@pytest.fixture
def fresh(cloud: Cloud, tmp_path: Path) -> Iterator[ForkedGateway]:
    """A gateway of the test's own."""
    setup = Setup(tmp_path, [cloud_target("eu", cloud.base_url)], {"auto": "{targets: [eu]}"}, POLICY)
    with forked_gateway(setup) as gateway:
        yield gateway


def test_another_policy_makes_approvals_useless(fresh: ForkedGateway, cloud: Cloud) -> None:
    """What was approved under the policy of yesterday is asked again under that of today, which may want more."""
    file = fresh.setup.folder / "policy.yaml"
    with console(fresh) as officer, sdk(fresh) as client:
        name = waits(client, "Policy")
        approve(officer, name)
        before = len(records(fresh.state))

        def loads() -> int:
            return [record.event for record in records(fresh.state)[before:]].count("policy loaded")

        file.write_text(POLICY.replace("version: 1", "version: 2"))
        eventually(lambda: loads() == 1, 10)
        assert waits(client, "Policy") != name
        assert cloud.bodies() == []
        file.write_text(POLICY)
        eventually(lambda: loads() == 2, 10)
        ask(client, "Policy")  # the policy that it was approved under is in force again


def test_a_restart_keeps_what_was_approved(fresh: ForkedGateway, cloud: Cloud) -> None:
    """The gateway ends and begins again between the approval and the call."""
    with sdk(fresh) as client:
        name = waits(client, "Restart")
    with console(fresh) as officer:
        approve(officer, name)
    fresh.process.stop()
    fresh.restart()
    fresh.wait_ready()
    with sdk(fresh) as client:
        ask(client, "Restart")
    assert len(cloud.bodies()) == 1
