"""A request that is over is freed at once, however it ended.

The collector of cycles comes after a hundred thousand objects or so. What only it can free (a request with its body, if
an error and a frame that it came through hold each other) would be in memory for minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from gateway.domain.call import Whole
from gateway.domain.errors import Code, GatewayError, ProviderError
from gateway.domain.target import Zone
from gateway.pipeline.exchange import Exchange
from gateway.pipeline.shapes import Redacted
from support.assembly import Assembly, OpenPurse, RecordingProvider, a_target
from support.exposure import NAME
from support.garbage import cyclic_garbage
from support.playing import BLOCKING, FRUGAL, Playing

pytestmark = pytest.mark.anyio

CLOUD, SECOND, HERE = a_target("cloud"), a_target("second"), a_target("here", Zone.LOCAL, "on-premises")


class Broken:
    """A redactor with a defect."""

    def redact(self, *texts: object) -> Redacted:
        raise KeyError


def down() -> ProviderError:
    return ProviderError(Code.TARGET_UNAVAILABLE, "The target is down.")


def refused() -> ProviderError:
    return ProviderError(Code.TARGET_REFUSED, "The target refuses this.", status=400, retryable=False)


ASSEMBLIES: Mapping[str, Callable[[], Assembly]] = {
    "answered": lambda: Assembly(BLOCKING, {CLOUD: RecordingProvider()}),
    "refused": lambda: Assembly(BLOCKING, {CLOUD: RecordingProvider(refused())}),
    "down": lambda: Assembly(BLOCKING, {CLOUD: RecordingProvider(down(), down(), down())}),
    "elsewhere": lambda: Assembly(BLOCKING, {CLOUD: RecordingProvider(down(), down()), SECOND: RecordingProvider()}),
    "spent": lambda: Assembly(BLOCKING, {CLOUD: RecordingProvider()}, ledger=OpenPurse(spent_out=True)),
    "spent, so kept inside": lambda: Assembly(
        FRUGAL, {CLOUD: RecordingProvider(), HERE: RecordingProvider()}, ledger=OpenPurse(spent_out=True)
    ),
    "garbled": lambda: Assembly(BLOCKING, {CLOUD: Playing(Whole(b"no JSON"))}),
    "defect": lambda: Assembly(BLOCKING, {CLOUD: RecordingProvider()}, redactor=Broken()),
}
"""By how a request to them ends."""


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("ending", ASSEMBLIES)
async def test_a_request_that_is_over_is_freed_without_the_collector(ending: str, stream: bool) -> None:
    """Answered, refused, failed, tried elsewhere, out of money or broken by a defect: nothing of it stays."""
    parts = ASSEMBLIES[ending]()
    with cyclic_garbage() as found:
        try:
            await parts.ask(f"Write to {NAME}", stream=stream)
        except GatewayError:
            assert ending not in ("answered", "elsewhere", "spent, so kept inside")
        parts.exchange = None
    assert [one for one in found if isinstance(one, Exchange)] == []
