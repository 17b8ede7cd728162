"""What the gateway's event loop feels while the engine is saturated: a real gateway, and 16 clients that stream."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.local_engine.requests import CONTEXT, ENDLESS, Text
from benchmarks.overhead import gateway
from benchmarks.overhead.processes import Child, free_port

_CLIENTS = 16
_HISTOGRAM = "bailiwick_event_loop_lag_seconds"
_SETTINGS = """\
schema: 1
server: {{host: 127.0.0.1, port: {port}, drain: 5s}}
storage: {{folder: state}}
policy: policy.yaml
targets:
  - id: house
    adapter: llama_cpp
    zone: local
    region: on-premises
    model: random
    file: {model}
    threads: {threads}
    price: {{input: 0.10 USD, output: 0.60 USD}}
    context_tokens: {context}
    max_output_tokens: 512
models:
  house: {{targets: [house]}}
"""


@dataclass(frozen=True)
class Lag:
    """`within` is by bucket (seconds) the share of the ticks that came no later; `ticks` is how many there were."""

    ticks: int
    tokens_per_s: float
    within: dict[float, float]

    def line(self, name: str) -> str:
        shares = ", ".join(f"{share:.2%} within {1000 * bound:g} ms" for bound, share in self.within.items())
        speed = f"{self.tokens_per_s:.0f} tokens/s"
        return f"{name}: event loop while 16 streams run at {speed}: {shares} ({self.ticks} ticks)"


def lag(model: Path, threads: int, seconds: float, folder: Path) -> Lag:
    """Serve with that model for so many seconds under full load. Raises `Unavailable`."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = folder / "bailiwick.yaml"
    config.write_text(_SETTINGS.format(port=port, model=model.resolve(), threads=threads, context=CONTEXT))
    (folder / "policy.yaml").write_text((gateway.HERE / "bailiwick_policy.yaml").read_text())
    key = gateway.create_key(config)
    child = Child.start("bailiwick", gateway.serve_command(config), folder, None)
    url = f"http://127.0.0.1:{port}"
    child.wait_until_answers(url + gateway.READY_PATH, 120)
    try:
        return asyncio.run(_measured(url, key, seconds))
    finally:
        child.stop()


async def _measured(url: str, key: str, seconds: float) -> Lag:
    async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=600) as client:
        await _streams(client, 3.0)
        before = await _histogram(client)
        tokens = await _streams(client, seconds)
        after = await _histogram(client)
    counts = {bound: after[bound] - before[bound] for bound in after}
    ticks = counts[float("inf")]
    shares = {bound: count / ticks for bound, count in counts.items() if 0.001 <= bound <= 0.05}
    return Lag(int(ticks), tokens / seconds, shares)


async def _streams(client: httpx.AsyncClient, seconds: float) -> int:
    """The chunks that all clients got; answers under way at the end are broken off."""
    text, chunks = Text(), 0
    until = time.perf_counter() + seconds

    async def one() -> None:
        nonlocal chunks
        while True:
            body = {
                "model": "house", "stream": True, "max_tokens": 256, "logit_bias": ENDLESS,
                "messages": [{"role": "user", "content": text.take(64)}],
            }  # fmt: skip
            async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
                answer.raise_for_status()
                async for line in answer.aiter_lines():
                    chunks += line.startswith("data: {")
                    if time.perf_counter() > until:
                        return

    await asyncio.gather(*(one() for _ in range(_CLIENTS)))
    return chunks


async def _histogram(client: httpx.AsyncClient) -> dict[float, float]:
    """The cumulative counts of the histogram by bucket."""
    text = (await client.get("/metrics")).text
    return {
        float(sample.labels["le"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == f"{_HISTOGRAM}_bucket"
    }
