"""What runs beside the requests keeps running, whatever happens to it."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway.domain.errors import Code, GatewayError
from gateway.pipeline.recorder import Recorder
from support.evidence import records
from support.here import GatewayHere, gateway_here
from support.live import DEFAULT_POLICY, Setup, cloud_target

TEXT = DEFAULT_POLICY.read_text()


def _version(number: int) -> str:
    return re.sub(r"(?m)^version: \d+", f"version: {number}", TEXT)


async def _until_version(here: GatewayHere, number: int) -> None:
    with anyio.fail_after(5):
        while f'version="{number}"' not in (await here.client.get("/metrics")).text:  # noqa: ASYNC110
            await anyio.sleep(0.02)


@pytest.mark.anyio
async def test_a_failing_log_does_not_end_the_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When the audit log takes no event, the watch says so, begins anew, and the next policy takes over."""
    monkeypatch.setattr("gateway.policy.watch.LOOK_EVERY", 0.02)
    monkeypatch.setattr("gateway.policy.watch.SETTLED_AFTER", 0.02)
    monkeypatch.setattr("gateway.compose.upkeep._AGAIN_AFTER", 0.02)
    real, broken = Recorder.event, [False]

    def event(self: Recorder, *said: Any) -> None:
        if broken[0]:
            raise GatewayError(Code.AUDIT_UNAVAILABLE, "not now", detail="a secret place")
        real(self, *said)

    monkeypatch.setattr(Recorder, "event", event)
    policy = tmp_path / "policy.yaml"
    policy.write_text(_version(1))
    async with gateway_here(
        Setup(tmp_path, [cloud_target("cloud", "http://127.0.0.1:9/v1")], {"auto": "{targets: [cloud]}"}, policy),
        monkeypatch,
    ) as here:
        broken[0] = True
        policy.write_text(_version(2))
        await _until_version(here, 2)
        with anyio.fail_after(5):
            while "upkeep failed and begins anew" not in caplog.text:  # noqa: ASYNC110
                await anyio.sleep(0.02)
        broken[0] = False
        policy.write_text(_version(3))
        await _until_version(here, 3)
    (line,) = [record for record in caplog.records if record.getMessage() == "upkeep failed and begins anew"]
    assert line.levelno == logging.CRITICAL
    loaded = [record.policy for record in records(tmp_path / "state") if record.event == "policy loaded"]
    assert len(loaded) == 2  # the first and the third


@pytest.mark.anyio
async def test_the_policy_in_force_is_in_the_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One series names the policy that decides now, and no other one is left over."""
    monkeypatch.setattr("gateway.policy.watch.LOOK_EVERY", 0.02)
    monkeypatch.setattr("gateway.policy.watch.SETTLED_AFTER", 0.02)
    policy = tmp_path / "policy.yaml"
    policy.write_text(_version(1))
    async with gateway_here(
        Setup(tmp_path, [cloud_target("cloud", "http://127.0.0.1:9/v1")], {"auto": "{targets: [cloud]}"}, policy),
        monkeypatch,
    ) as here:
        await _until_version(here, 1)
        policy.write_text(_version(2))
        await _until_version(here, 2)
        metrics = (await here.client.get("/metrics")).text
    assert metrics.count("\nbailiwick_policy_info{") == 1
