"""``bailiwick trace`` in front of a real store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli.common import CliContext
from gateway.cli.trace import trace
from gateway.telemetry import names
from gateway.telemetry.export import Exporter
from gateway.telemetry.spans import SpanStore
from gateway.telemetry.trace import OtelTracer


@pytest.fixture
async def context(tmp_path: Path, anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> CliContext:
    monkeypatch.chdir(tmp_path)
    context = CliContext(data_override=tmp_path / "state")
    tracer = OtelTracer(Exporter([SpanStore(context.spans_url)]), models=frozenset({"gpt-4o-mini"}), strict=True)
    for number in range(3):
        request = tracer.start(f"dec-{number}", None)
        with request.step(names.DECIDE):
            pass
        with request.step(names.DISPATCH) as step:
            step.fail("target_timeout")
        request.end(
            {names.OPERATION: "chat", names.REQUEST_MODEL: "gpt-4o-mini", names.TARGET: "cloud-mini"},
            error="target_timeout" if number == 2 else "",
        )
    await tracer.aclose()
    return context


@pytest.mark.anyio
async def test_show_draws_the_steps_of_a_request(context: CliContext) -> None:
    """Piped output has one line per span with start, duration and result, then the root's attributes."""
    result = CliRunner().invoke(trace, ["show", "dec-1"], obj=context)
    assert result.exit_code == 0
    first, *rows = result.output.splitlines()
    assert first.endswith("decision dec-1")
    assert [row.split()[0] for row in rows[:3]] == ["chat", "decide", "dispatch"]
    assert rows[1].split()[-1] == "ok"
    assert rows[2].split()[-1] == "target_timeout"
    assert "  bailiwick.target = cloud-mini" in rows


@pytest.mark.anyio
async def test_show_draws_bars_on_a_terminal(context: CliContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a terminal each span is a bar on the root's time line, as long as the root at most."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    result = CliRunner().invoke(trace, ["show", "dec-1"], obj=context, color=True)
    bars = [line.count("█") for line in result.output.splitlines() if "█" in line]
    assert len(bars) == 3
    assert bars[0] == 40
    assert all(1 <= bar <= 40 for bar in bars)


@pytest.mark.anyio
async def test_show_gives_json_for_programs(context: CliContext) -> None:
    """One JSON object per trace, found by its trace id too."""
    by_decision = CliRunner().invoke(trace, ["show", "dec-0", "--json"], obj=context).output
    found = json.loads(by_decision)
    assert [span["name"] for span in found["spans"]] == ["chat gpt-4o-mini", "decide", "dispatch"]
    assert found["spans"][2]["error"] == "target_timeout"
    assert CliRunner().invoke(trace, ["show", found["trace_id"], "--json"], obj=context).output == by_decision


@pytest.mark.anyio
async def test_list_shows_the_latest_requests_first(context: CliContext) -> None:
    """Each line has time, decision, model, target, duration and status, separated by tabs when piped."""
    result = CliRunner().invoke(trace, ["list", "-n", "2"], obj=context)
    head, *rows = (line.split("\t") for line in result.output.splitlines())
    assert head == ["time", "decision", "model", "target", "ms", "status"]
    assert [(row[1], row[2], row[3], row[5]) for row in rows] == [
        ("dec-2", "gpt-4o-mini", "cloud-mini", "target_timeout"),
        ("dec-1", "gpt-4o-mini", "cloud-mini", "ok"),
    ]


@pytest.mark.anyio
async def test_an_unknown_id_is_an_error(context: CliContext) -> None:
    """A trace that is not there is said so, with a failing exit code."""
    result = CliRunner().invoke(trace, ["show", "dec-99"], obj=context)
    assert result.exit_code == 1
    assert "no trace of 'dec-99'" in result.output


def test_before_the_first_run_there_is_nothing_to_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a store the command says so instead of making one."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(trace, ["list"], obj=CliContext(data_override=tmp_path / "state"))
    assert result.exit_code == 1
    assert "no span store yet" in result.output
    assert not (tmp_path / "state").exists()
