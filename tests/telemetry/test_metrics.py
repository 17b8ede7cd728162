"""Metrics: one observation moves every figure it should, and callers cannot make series."""

from __future__ import annotations

import time

from prometheus_client.parser import text_string_to_metric_families

from gateway.domain.decision import PolicyId
from gateway.domain.errors import Code
from gateway.domain.finding import DetectorState, Found
from gateway.domain.money import Usage, usd
from gateway.telemetry import metrics
from gateway.telemetry.metrics import Metrics, RequestObservation


def samples(figures: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    body, _ = figures.render()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def value(figures: Metrics, name: str, **labels: str) -> float | None:
    return samples(figures).get((f"bailiwick_{name}", frozenset(labels.items())))


FULL = RequestObservation(
    dialect="openai_chat",
    status=200,
    seconds=0.4,
    target="cloud-mini",
    action="redact",
    level="confidential",
    app="support-bot",
    inspect_seconds=0.002,
    first_token_seconds=0.2,
    usage=Usage(100, 20, 40),
    cost=usd("0.25"),
    found=(Found("PERSON", 85, 2), Found("CREDIT_CARD", 100, 1)),
    reasons=("handling.confidential",),
    would=("cheaper-batch",),
    retries=(("cloud-big", "target_timeout"),),
    fallback=True,
    guard_stops=1,
)


def test_one_observation_moves_every_figure() -> None:
    """A request is counted with its route, time, tokens, cost, findings, rules, retries and fallback."""
    figures = Metrics()
    figures.observe(FULL)
    figures.observe(FULL)
    route = {"dialect": "openai_chat", "target": "cloud-mini", "action": "redact", "level": "confidential"}
    assert value(figures, "requests_total", **route, status="200") == 2
    assert value(figures, "request_seconds_sum", target="cloud-mini") == 0.8
    assert value(figures, "first_token_seconds_count", target="cloud-mini") == 2
    assert value(figures, "inspect_seconds_count") == 2
    kinds = ("input", "output", "cached_input")
    assert [value(figures, "tokens_total", target="cloud-mini", kind=kind) for kind in kinds] == [200, 40, 80]
    assert value(figures, "cost_usd_total", target="cloud-mini", app="support-bot") == 0.5
    assert value(figures, "findings_total", entity="PERSON") == 4
    assert value(figures, "decision_reasons_total", rule="handling.confidential", mode="enforce") == 2
    assert value(figures, "decision_reasons_total", rule="cheaper-batch", mode="audit") == 2
    assert value(figures, "retries_total", target="cloud-big", code="target_timeout") == 2
    assert value(figures, "fallbacks_total", target="cloud-mini") == 2
    assert value(figures, "guard_refusals_total", target="cloud-mini") == 2


def test_refusals_and_doubts_are_counted_by_reason() -> None:
    """What stopped or tightened a request can be alerted on."""
    figures = Metrics()
    for error in (Code.EGRESS_REFUSED, Code.BUDGET_SPENT, Code.COST_CAP):
        figures.observe(RequestObservation(dialect="openai_chat", status=403, seconds=0.1, error=error))
    figures.observe(
        RequestObservation(
            dialect="openai_chat",
            status=200,
            seconds=0.1,
            detector=DetectorState.TIMED_OUT,
            unreadable=True,
            redaction_incomplete=True,
        )
    )
    assert value(figures, "guard_refusals_total", target="none") == 1
    assert value(figures, "budget_refusals_total", reason="budget_spent") == 1
    assert value(figures, "budget_refusals_total", reason="cost_cap_exceeded") == 1
    assert value(figures, "detector_failures_total", reason="timed_out") == 1
    for reason in ("detector_fails", "unreadable_content", "redaction_incomplete"):
        assert value(figures, "unsure_total", reason=reason) == 1


def test_the_states_of_the_gateway_are_shown() -> None:
    """Gauges follow what they are told; the policy before is no longer shown."""
    figures = Metrics()
    figures.watch_in_flight(lambda: 1)
    figures.watch_audit_queue(lambda: 7)
    figures.audit_committed(0.003)
    figures.watch_cache(lambda: {"refused": 2})
    figures.watch_inspection(lambda: {"memory": 3, "scanned": 4})
    figures.selfprobe(True)
    figures.policy_loaded(PolicyId("acme", 6, "a" * 64))
    figures.policy_loaded(PolicyId("acme", 7, "b" * 64))
    figures.policy_reload_failed()
    live = {"waiting": 3, "running": 2, "prompt_speed": 90.0, "total_speed": 40.0, "prefix_hit_rate": 0.5}
    live["parked_bytes"] = 4096.0
    figures.engine("local-small", up=True, loaded=True, figures=live)
    figures.engine_events("local-small", 1, 2, 3, load_seconds=1.5)
    figures.spans_dropped("otlp", 12)
    assert value(figures, "in_flight") == 1
    assert value(figures, "audit_queue") == 7
    assert value(figures, "audit_commit_seconds_count") == 1
    assert value(figures, "inspected_texts_total", source="memory") == 3
    assert value(figures, "cache_troubles_total", kind="refused") == 2
    assert value(figures, "selfprobe_ok") == 1
    assert value(figures, "policy_info", hash="b" * 12, version="7") == 1
    assert value(figures, "policy_info", hash="a" * 12, version="6") is None
    assert value(figures, "policy_reload_failures_total") == 1
    assert value(figures, "engine_up", target="local-small") == 1
    names = ("queue", "running", "prompt_speed", "decode_speed", "prefix_hit_ratio", "parked_bytes")
    assert [value(figures, f"engine_{name}", target="local-small") for name in names] == list(live.values())
    counted = [
        value(figures, f"engine_{name}_total", target="local-small") for name in ("restarts", "loads", "unloads")
    ]
    assert counted == [1, 2, 3]
    assert value(figures, "engine_loaded", target="local-small") == 1
    assert value(figures, "engine_load_seconds", target="local-small") == 1.5
    assert value(figures, "spans_dropped_total", sink="otlp") == 12


def test_a_caller_cannot_fill_the_memory_with_series() -> None:
    """Beyond a thousand label sets a family counts under ``other``, and none is lost."""
    figures = Metrics()
    for number in range(metrics.MOST_LABEL_SETS + 50):
        figures.observe(RequestObservation(dialect="openai_chat", status=200, seconds=0.1, target=f"t{number}"))
    mine = {key: count for key, count in samples(figures).items() if key[0] == "bailiwick_requests_total"}
    assert len(mine) == metrics.MOST_LABEL_SETS + 1
    assert sum(mine.values()) == metrics.MOST_LABEL_SETS + 50


def test_a_label_cannot_hold_content() -> None:
    """A text that is no label is counted under ``other``."""
    figures = Metrics()
    figures.observe(RequestObservation(dialect="Zoë\n", status=200, seconds=0.1, found=(Found("x=1", 50, 1),)))
    assert value(figures, "findings_total", entity="other") == 1
    assert "Zo" not in figures.render()[0].decode()


def test_two_gateways_in_one_process_do_not_share_figures() -> None:
    """Each has its own registry."""
    first, second = Metrics(), Metrics()
    first.observe(FULL)
    assert value(second, "findings_total", entity="PERSON") is None


def test_every_metric_has_our_prefix_or_is_the_processs_own() -> None:
    """A dashboard finds ours by prefix."""
    figures = Metrics()
    figures.observe(FULL)
    assert all(name.startswith(("bailiwick_", "process_", "python_")) for name, _ in samples(figures))


def test_an_observation_costs_microseconds() -> None:
    """A request's figures take under 60 microseconds of CPU time (best of several; usual is 15)."""
    figures = Metrics()
    best = 1.0
    for _ in range(5):
        began = time.process_time()
        for _ in range(300):
            figures.observe(FULL)
        best = min(best, (time.process_time() - began) / 300)
    assert best < 60e-6
