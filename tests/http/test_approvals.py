"""The admin API of approvals: who may look, who may speak, and the shape of what they get."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from gateway.domain.record import RecordKind
from support.approvals import POLICY, console
from support.evidence import eventually, records
from support.exposure import CARD
from support.live import Cloud, Setup, cloud_target
from support.nursery import ForkedGateway, forked_gateway
from support.wire import openai_error

PATH = "/admin/v1/approvals"


@pytest.fixture(scope="module")
def guarded(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedGateway]:
    """A gateway whose policy wants an approval for card numbers."""
    targets = [cloud_target("eu", cloud.base_url), cloud_target("us", cloud.base_url, region="US")]
    setup = Setup(tmp_path_factory.mktemp("approvals"), targets, {"auto": "{targets: [eu, us]}"}, POLICY)
    with forked_gateway(setup) as running:
        yield running


@pytest.fixture(scope="module")
def officer(guarded: ForkedGateway) -> Iterator[httpx.Client]:
    with console(guarded) as client:
        yield client


def asked(gateway: ForkedGateway, text: str) -> str:
    """The id of the approval that this text now waits for."""
    answer = gateway.chat(f"{text}: {CARD}")
    error = openai_error(answer, 403, "approval_required")
    assert error["approval"]["id"] == answer.headers["x-bailiwick-approval"]
    return str(error["approval"]["id"])


def test_an_approver_sees_facts_and_no_text(guarded: ForkedGateway, officer: httpx.Client) -> None:
    """Who asks, what was found, where it may go, in the list and alone; neither the text nor the value."""
    name = asked(guarded, "A secret sentence")
    shown = officer.get(f"{PATH}/{name}")
    assert shown.status_code == 200
    body = shown.json()
    assert (body["status"], body["level"], body["targets"]) == ("pending", "restricted", ["eu"])
    assert body["asked_by"]["app"] == "support-bot"
    assert [found["entity"] for found in body["found"]] == ["CREDIT_CARD"]
    assert body["needed"][0]["approvers"] == ["dpo"]
    assert 0 <= body["age_seconds"] < 60
    listed = officer.get(PATH, params={"status": "pending"}).json()
    assert name in [item["id"] for item in listed["data"]]
    for text in (shown.text, officer.get(PATH).text):
        assert CARD not in text
        assert CARD[-4:] not in text
        assert "sentence" not in text


def test_approving_and_denying(guarded: ForkedGateway, officer: httpx.Client, cloud: Cloud) -> None:
    """Each answers with the approval as it is then; the request passes after the one and not after the other."""
    yes, no = asked(guarded, "Yes"), asked(guarded, "No")
    given = officer.post(f"{PATH}/{yes}/approve").json()
    assert given["status"] == "approved"
    assert given["needed"][0]["given"]["key"]
    denied = officer.post(f"{PATH}/{no}/deny").json()
    assert (denied["status"], denied["denied"]["key"]) == ("denied", given["needed"][0]["given"]["key"])
    passed = guarded.chat(f"Yes: {CARD}")
    assert (passed.status_code, passed.headers["x-bailiwick-approval"]) == (200, yes)
    assert openai_error(guarded.chat(f"No: {CARD}"), 403, "approval_denied")["approval"]["id"] == no
    assert len(cloud.bodies()) == 1
    used = officer.get(f"{PATH}/{yes}").json()
    assert (used["status"], used["used"]["decision"]) == ("used", passed.headers["x-bailiwick-decision"])
    over = officer.post(f"{PATH}/{yes}/approve")
    openai_error(over, 409, "approval_closed")
    assert over.headers["x-should-retry"] == "false"


def test_who_may_not(guarded: ForkedGateway) -> None:
    """Without a key nothing; a user nothing; an auditor only looks; another group cannot speak; another tenant sees
    nothing at all."""
    name = asked(guarded, "Who")
    approve, deny = f"{PATH}/{name}/approve", f"{PATH}/{name}/deny"
    nobody = {"authorization": ""}
    for path in (PATH, f"{PATH}/{name}"):
        openai_error(guarded.client.get(path, headers=nobody), 401, "invalid_api_key")
        openai_error(guarded.client.get(path), 403, "forbidden")
    for path in (approve, deny):
        openai_error(guarded.client.post(path, headers=nobody), 401, "invalid_api_key")
        openai_error(guarded.client.post(path), 403, "forbidden")
    with console(guarded, role="auditor") as auditor, console(guarded, group="sales") as sales:
        assert auditor.get(f"{PATH}/{name}").status_code == 200
        for client in (auditor, sales):
            openai_error(client.post(approve), 403, "forbidden")
            openai_error(client.post(deny), 403, "forbidden")
        assert "sales" in sales.post(approve).json()["error"]["message"]
    with console(guarded, tenant="other") as stranger:
        assert stranger.get(PATH).json() == {"object": "list", "data": []}
        for answer in (stranger.get(f"{PATH}/{name}"), stranger.post(approve), stranger.post(deny)):
            openai_error(answer, 404, "approval_not_found")


def test_wrong_questions_are_errors(officer: httpx.Client) -> None:
    """An unknown id, status or number, and a method that is not offered, in OpenAI's shape."""
    openai_error(officer.get(f"{PATH}/a0"), 404, "approval_not_found")
    openai_error(officer.post(f"{PATH}/a0/approve"), 404, "approval_not_found")
    assert openai_error(officer.get(PATH, params={"status": "open"}), 400, "invalid_request")["param"] == "status"
    for limit in ("0", "-1", "1001", "many", "²", "99999999999"):
        assert openai_error(officer.get(PATH, params={"limit": limit}), 400, "invalid_request")["param"] == "limit"
    openai_error(officer.get(f"{PATH}/a0/approve"), 405, "method_not_allowed")
    assert len(officer.get(PATH, params={"limit": "1"}).json()["data"]) == 1


def test_the_audit_log_tells_the_story(guarded: ForkedGateway, officer: httpx.Client) -> None:
    """Asked for, given, used: each an event with the approval's id and the key of who did it."""
    name = asked(guarded, "Story")
    given = officer.post(f"{PATH}/{name}/approve").json()["needed"][0]["given"]["key"]
    assert guarded.chat(f"Story: {CARD}").status_code == 200
    own = guarded.key.split("_")[1]

    def story() -> list[tuple[str, str]]:
        return [(record.event, record.key) for record in records(guarded.state, f"approval:{name}")]

    expected = [("approval asked for", own), ("approval given", given), ("approval used", own)]
    eventually(lambda: story() == expected)
    assert {record.kind for record in records(guarded.state, f"approval:{name}")} == {RecordKind.EVENT}
