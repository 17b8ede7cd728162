"""From a finished exchange to metrics and trace: the status that the client saw, counted once."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.domain.call import Whole
from gateway.domain.errors import Code, GatewayError, ProviderError
from gateway.http.observe import CLIENT_LEFT, observer
from gateway.pipeline.exchange import Exchange
from gateway.policy import evaluate
from gateway.telemetry.metrics import Metrics
from support.assembly import Assembly, RecordingProvider, a_target
from support.clock import FakeClock
from support.playing import BLOCKING, END, Playing, chunk, whole
from support.policies import TARGETS, compiled, rule

pytestmark = pytest.mark.anyio


class Ended:
    """A trace that keeps what it was ended with."""

    id = "trace"

    def end(self, attributes: Mapping[str, object], error: str = "") -> None:
        self.attributes = attributes


class Seen:
    """The metrics of exchanges, by status."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.observe = observer(self.metrics, FakeClock())

    def statuses(self) -> dict[str, float]:
        return self.counted("bailiwick_requests_total", "status")

    def counted(self, metric: str, label: str) -> dict[str, float]:
        families = text_string_to_metric_families(self.metrics.render()[0].decode())
        samples = [sample for family in families for sample in family.samples if sample.name == metric]
        return {sample.labels[label]: sample.value for sample in samples}


async def exchanged(provider: RecordingProvider, **fields: object) -> Exchange:
    parts = Assembly(BLOCKING, {a_target("cloud"): provider})
    with suppress(GatewayError):
        await parts.ask("Hello", **fields)
    assert parts.exchange is not None
    return parts.exchange


async def test_each_end_has_its_status() -> None:
    """200 for an answer and for a stream that broke after it began, 499 for a client that left, the error's own
    status else, and the provider's where its words were handed on."""
    seen = Seen()
    answered = await exchanged(Playing(whole()))
    refused = ProviderError(Code.TARGET_REFUSED, "No.", status=422, answer=b"{}")
    bad = ProviderError(Code.TARGET_BAD_ANSWER, "Bad.")
    for outcome, error in (
        ("completed", None),
        ("broken", bad),
        ("failed", bad),
        ("cancelled", None),
        ("refused", GatewayError(Code.BLOCKED, "No.")),
        ("refused", refused),
    ):
        seen.observe(answered, outcome, error)
    expected = {"200": 2.0, "502": 1.0, str(CLIENT_LEFT): 1.0, "403": 1.0, "422": 1.0}
    assert seen.statuses() == expected


async def test_a_client_that_left_is_no_error_of_ours() -> None:
    """Its end is counted as 499 and as nothing else: an alarm on errors must not ring for it."""
    seen = Seen()
    seen.observe(await exchanged(Playing(whole())), "cancelled", None)
    assert seen.statuses() == {str(CLIENT_LEFT): 1.0}


@pytest.mark.parametrize(
    "provider", [Playing(Whole(b"nonsense")), Playing(chunk("Hello"), END)], ids=["unreadable", "not a stream"]
)
async def test_whatever_came_of_it_can_be_observed(provider: RecordingProvider) -> None:
    """From any state of an exchange, also one that ended before it was parsed."""
    seen = Seen()
    seen.observe(await exchanged(provider), "failed", GatewayError(Code.TARGET_BAD_ANSWER, "Bad."))
    seen.observe(await exchanged(provider, messages=1), "refused", GatewayError(Code.INVALID_REQUEST, "Bad."))
    assert seen.statuses() == {"502": 1.0, "400": 1.0}


async def test_a_trace_tells_what_the_policy_permits_and_what_a_trial_would_do() -> None:
    """Targets that are permitted, and what is in audit mode with what would come of it, as ids."""
    trial = [rule("later", {"app": "chat"}, {"action": "block"}, mode="audit", until="2030-01-01")]
    exchange = await exchanged(Playing(whole()))
    assert exchange.facts is not None
    facts = replace(exchange.facts, app="chat")
    exchange.decision = evaluate(compiled(rules=trial), facts, TARGETS)
    exchange.trace = Ended()
    Seen().observe(exchange, "completed", None)
    told = exchange.trace.attributes
    assert told["bailiwick.permitted"] == "local cloud-eu cloud-us"
    assert (told["bailiwick.would"], told["bailiwick.would_action"]) == ("later", "block")
    exchange.decision = evaluate(compiled(), facts, TARGETS)
    Seen().observe(exchange, "completed", None)
    assert "bailiwick.would" not in exchange.trace.attributes
