"""Routes: what there is answers as OpenAI's API does, what there is not is refused and never passed through."""

from __future__ import annotations

import re
import time
from contextlib import closing
from pathlib import Path

import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.domain.record import RecordKind
from support.evidence import eventually, records
from support.live import Cloud
from support.nursery import ForkedGateway, client_of, make_key
from support.wire import openai_error

CHAT = "/v1/chat/completions"
HELLO = {"model": "auto", "messages": [{"role": "user", "content": "Hello there"}]}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/completions",
        "/v1/audio/speech",
        "/v1/responses",
        "/v1/chat/completions/",
        "/v1/chat/completions/chatcmpl-1",
        "/v1/chat",
        "//v1/chat/completions",
        "/v1/../v1/files",
        "/V1/chat/completions",
        "/",
    ],
)
def test_an_unknown_path_is_refused_in_openais_shape(gateway: ForkedGateway, cloud: Cloud, path: str) -> None:
    """What the gateway does not know cannot be inspected, so it answers 404 and sends nothing."""
    answer = gateway.client.post(path, json=HELLO)
    if answer.status_code == 200:  # the slash at the end, or two at the beginning: the same resource, treated the same
        assert answer.headers["x-bailiwick-decision"]
        return
    error = openai_error(answer, 404, "unknown_path")
    assert "nothing was sent" in error["message"]
    assert cloud.bodies() == []


@pytest.mark.parametrize(("method", "path"), [("GET", CHAT), ("DELETE", CHAT), ("PUT", CHAT), ("POST", "/v1/models")])
def test_a_wrong_method_is_refused(gateway: ForkedGateway, method: str, path: str) -> None:
    """405 in OpenAI's shape."""
    openai_error(gateway.client.request(method, path), 405, "method_not_allowed")


def test_models_are_listed_and_described(gateway: ForkedGateway) -> None:
    """The names that callers can ask for, as the SDK reads them, also one with a slash in it."""
    client = openai.OpenAI(base_url=gateway.base_url, api_key=gateway.key)
    assert [model.id for model in client.models.list()] == ["auto", "org/model-1"]
    assert client.models.retrieve("auto").owned_by == "openai"
    assert client.models.retrieve("org/model-1").id == "org/model-1"
    openai_error(gateway.client.get("/v1/models/none"), 404, "model_not_found")
    openai_error(gateway.client.get("/v1/models/org/none"), 404, "model_not_found")


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/auto", "/bailiwick/v1/decisions/d1"])
def test_everything_that_tells_something_needs_a_key(gateway: ForkedGateway, path: str) -> None:
    """Without a key there is nothing to read."""
    openai_error(gateway.client.get(path, headers={"authorization": ""}), 401, "invalid_api_key")


def test_health_and_readiness(gateway: ForkedGateway) -> None:
    """Alive and ready, for probes, which have no key."""
    assert gateway.client.get("/healthz", headers={"authorization": ""}).json() == {"status": "ok"}
    ready = gateway.client.get("/readyz", headers={"authorization": ""}).json()
    assert (ready["status"], ready["problems"]) == ("ready", {})


def test_readiness_tells_which_policies_are_in_force(gateway: ForkedGateway) -> None:
    """The hashes of all policies in force, for whoever asks whether replicas agree; the answers carry the same."""
    policy = gateway.client.get("/readyz", headers={"authorization": ""}).json()["policy"]
    answer = gateway.client.post(CHAT, json=HELLO)
    assert any(known.startswith(answer.headers["x-bailiwick-policy"].split("@")[-1]) for known in policy["policies"])
    assert policy["refused"] is False


def test_metrics_are_prometheus_text_and_count(gateway: ForkedGateway) -> None:
    """`/metrics` parses, and a request more is one more."""

    def requests() -> float:
        text = gateway.client.get("/metrics").text
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        assert samples
        return sum(sample.value for sample in samples if sample.name == "bailiwick_requests_total")

    before = requests()
    assert gateway.client.post(CHAT, json=HELLO).status_code == 200
    eventually(lambda: requests() == before + 1)


def test_answers_tell_their_decision(gateway: ForkedGateway) -> None:
    """Each answer names decision, level, action, rules, policy, target and cost."""
    headers = gateway.client.post(CHAT, json=HELLO).headers
    assert re.fullmatch(r"d[0-9a-f]{25}", headers["x-bailiwick-decision"])
    assert headers["x-bailiwick-level"] == "public"
    assert headers["x-bailiwick-action"] == "allow"
    assert headers["x-bailiwick-because"] == "handling.public"
    assert re.fullmatch(r"[0-9a-f]{12}", headers["x-bailiwick-policy"])
    assert headers["x-bailiwick-target"] == "eu"
    assert float(headers["x-bailiwick-cost"]) > 0
    assert headers["x-bailiwick-cost-basis"] == "usage"


def test_a_decision_can_be_read_by_its_own_app_and_by_auditors_of_its_tenant(gateway: ForkedGateway) -> None:
    """Its app sees it, so does an auditor of the tenant; another app, another tenant and its auditor get 404."""
    decision = gateway.client.post(CHAT, json=HELLO).headers["x-bailiwick-decision"]
    path = f"/bailiwick/v1/decisions/{decision}"
    own = gateway.client.get(path).json()
    assert own["decision"] == decision
    assert [record["kind"] for record in own["records"]] == ["intent", "outcome"]
    for tenant, app, role, status in (
        ("acme", "other", "auditor", 200),
        ("acme", "other", "admin", 200),
        ("acme", "other", "user", 404),
        ("globex", "support-bot", "user", 404),
        ("globex", "support-bot", "auditor", 404),
        ("globex", "support-bot", "admin", 404),
    ):
        with closing(client_of(gateway, make_key(gateway, tenant, app, role))) as client:
            answer = client.get(path)
            assert answer.status_code == status, (tenant, app, role)
            if status == 404:
                openai_error(answer, 404, "decision_not_found")
    openai_error(gateway.client.get("/bailiwick/v1/decisions/d0"), 404, "decision_not_found")


def test_explain_says_what_would_happen_and_sends_nothing(gateway: ForkedGateway, cloud: Cloud) -> None:
    """The decision, what was found by name and count, and each target's chances; no bytes leave, none are reserved,
    nothing is recorded, and the text is not repeated."""
    before = len(records(gateway.state))
    said = {"model": "org/model-1", "messages": [{"role": "user", "content": "Mail to anna.kowalski@example.com"}]}
    answer = gateway.client.post("/bailiwick/v1/explain", json=said, headers={"x-bailiwick-min-level": "confidential"})
    assert answer.status_code == 200
    tree = answer.json()
    assert "EMAIL_ADDRESS" in [found["entity"] for found in tree["found"]]
    assert [candidate["target"] for candidate in tree["candidates"]] == ["eu"]
    assert [verdict["target"] for verdict in tree["rejected"]] == ["us"]
    assert "kowalski" not in answer.text
    time.sleep(0.1)
    assert len(records(gateway.state)) == before
    assert cloud.bodies() == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [(b"{", 400, "invalid_json"), (b"[]", 400, "invalid_request"), (b'{"model": "x"}', 400, "invalid_request")],
)
def test_explain_refuses_what_chat_would(gateway: ForkedGateway, body: bytes, status: int, code: str) -> None:
    """The same errors in the same shape."""
    answer = gateway.client.post("/bailiwick/v1/explain", content=body, headers={"content-type": "application/json"})
    openai_error(answer, status, code)


def test_refusals_are_on_record(gateway: ForkedGateway) -> None:
    """A request that went nowhere leaves a record with its error, without its model's name, which can be anything."""
    answer = gateway.client.post(CHAT, json={**HELLO, "model": "my-secret-model"})
    error = openai_error(answer, 404, "model_not_found")
    eventually(lambda: len(records(gateway.state, error["decision"])) == 1)
    (refusal,) = records(gateway.state, error["decision"])
    assert (refusal.kind, refusal.error, refusal.model) == (RecordKind.REFUSAL, "model_not_found", "unknown")
    assert b"my-secret-model" not in Path(gateway.state / "audit.db").read_bytes()
