"""The self-probe raises the alarm when a restricted request would leave, and only then."""

from __future__ import annotations

import pytest

from gateway.domain.ports import DetectorFailed
from gateway.domain.target import Route, Zone
from gateway.pipeline.dialects import DIALECTS
from gateway.pipeline.handle import Directory
from gateway.pipeline.probe import PROBED, SelfProbe
from support.assembly import Assembly, RecordingProvider, a_target
from support.detectors import ListedDetector
from support.playing import BLOCKING

pytestmark = pytest.mark.anyio

CLOUD, HERE = a_target("cloud"), a_target("here", Zone.LOCAL, "on-premises")
PROBE_VALUES = {"CREDIT_CARD": "4242 4242 4242 4242", "US_SSN": "536-90-4399"}
KEEPS = BLOCKING.replace("contact: {detect: [PERSON", "contact: {detect: [CREDIT_CARD, US_SSN, PERSON").replace(
    "  internal:\n    - any_of", "  restricted:\n    - any_of"
)


async def probed(policy: str, *, may_leave: bool = False, detector: ListedDetector | None = None) -> str:
    provider = RecordingProvider()
    parts = Assembly(policy, {CLOUD: provider, HERE: RecordingProvider()}, detector=detector or _finding())
    directory = Directory({"cloud": CLOUD, "here": HERE}, {"auto": Route("auto", ("cloud", "here"))})
    result = await SelfProbe(parts.pipeline, directory, DIALECTS).run(lambda found: may_leave)
    assert (provider.calls, parts.log.records) == ([], []), "a probe sends and records nothing"
    assert result.ok == (not result.problem)
    return result.problem


def _finding() -> ListedDetector:
    return ListedDetector(PROBE_VALUES)


async def test_a_policy_that_keeps_it_is_quiet() -> None:
    """Card and social security number are found and stay: no alarm."""
    assert tuple(PROBE_VALUES) == PROBED
    assert await probed(KEEPS) == ""


async def test_a_probe_that_would_leave_is_an_alarm() -> None:
    """Unless the policy, as it is written, says that it may."""
    assert "would leave" in await probed(BLOCKING)
    assert await probed(BLOCKING, may_leave=True) == ""


async def test_a_detector_that_does_not_see_is_an_alarm() -> None:
    """Blind, half blind or broken: the probe says so, whatever the policy would do."""
    blind, half, broken = _finding(), ListedDetector({"US_SSN": PROBE_VALUES["US_SSN"]}), _finding()
    blind.blind = True
    broken.error = DetectorFailed("x")
    for detector in (blind, half, broken):
        assert await probed(KEEPS, detector=detector) != ""
