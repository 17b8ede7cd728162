"""What is found does not depend on where a long text is cut, and long texts leave nothing behind in memory."""

from __future__ import annotations

import base64
import random

import psutil
import pytest

from gateway.domain.finding import Span
from gateway.inspection import batches
from gateway.inspection.detector import PresidioDetector
from gateway.inspection.engine import Engine

ENGINE = Engine()

VALUES = (
    "536-90-4399", "SSN 536904399", "4242 4242 4242 4242", "DE89 3704 0044 0532 0130 00", "anna@example.com",
    "+1 212-555-5555", "10.20.30.40", "2001:db8::ff00:42:8329", "12 High Street, Leeds", "00:1A:2B:3C:4D:5E",
    "password: tr0ub4dor-7", "sk-proj-" + "a1B2c3" * 8, "AB 12 34 56 C", "passport number 912345678",
)  # fmt: skip
FILLER = "the report is late because two suppliers changed their terms and nobody told us so before the day was over. "


def long_values(rng: random.Random) -> list[str]:
    """A private key of 3,200 characters, a token of 1,500, a long address."""
    key = base64.encodebytes(rng.randbytes(2300)).decode()
    token = "eyJhbGciOiJIUzI1NiJ9." + base64.urlsafe_b64encode(b'{"a":"' + b"x" * 1000 + b'"}').decode() + ".c2lnbmF0dX"
    return [f"-----BEGIN PRIVATE KEY-----\n{key}-----END PRIVATE KEY-----", token, f"{'n' * 60}@{'d' * 60}.example.com"]


def text_of(rng: random.Random, size: int) -> str:
    parts: list[str] = []
    length = 0
    while length < size:
        kind = rng.random()
        part = rng.choice(long_values(rng)) if kind < 0.08 else rng.choice(VALUES) if kind < 0.6 else FILLER
        part += rng.choice((" ", "\n", ". ", ", "))
        parts.append(part)
        length += len(part)
    return "".join(parts)


@pytest.mark.parametrize("seed", range(6))
def test_findings_do_not_depend_on_the_cuts(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut in pieces of any size, at any place, also through findings of thousands of characters: nothing is lost,
    doubled, moved or scored otherwise."""
    rng = random.Random(seed)
    text = text_of(rng, 45_000)
    monkeypatch.setattr(batches, "PIECE", 2 * batches.REACH + rng.randint(1, 9_000))
    found: list[Span] = []
    for batch in batches.batches([text], rng.randint(1, 4)):
        for piece in batch:
            assert len(piece.text) <= batches.PIECE
            found.extend(piece.owned(ENGINE.scan(piece.text)))
    whole = ENGINE.scan(text)
    assert sorted(found, key=str) == sorted(whole, key=str)
    assert len(whole) > 50
    assert max(span.end - span.start for span in whole) > 3_000


@pytest.mark.anyio
async def test_memory_stays_flat(detector: PresidioDetector) -> None:
    """A process that has scanned many large requests, all different, is as large as after the first few."""
    rng = random.Random(5)

    async def scan(times: int) -> int:
        """The most that it took after one of them: what is known of words grows up to its bound and begins anew."""
        most = 0
        for _ in range(times):
            values = " ".join(f"{rng.randbytes(8).hex()} {rng.randint(10**8, 10**9)}" for _ in range(400))
            assert len(await detector.scan([FILLER * 900 + values], 60.0)) == 1
            (pid,) = detector.pids
            most = max(most, int(psutil.Process(pid).memory_info().rss))
        return most

    after_few = await scan(48)
    assert await scan(40) < after_few + 12_000_000
