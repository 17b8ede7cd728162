"""What the gateway's event loop feels while the engine is saturated: a real gateway, and 16 clients that stream.

The engine has the threads and the priority that the gateway gives it by itself.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.local_engine.requests import CONTEXT, ENDLESS, Text
from benchmarks.overhead import gateway
from benchmarks.overhead.processes import Child, free_port

_CLIENTS = 16
_RUN_UP = 5.0  # seconds
_HISTOGRAM = "bailiwick_event_loop_lag_seconds_bucket"
_SPEED = "bailiwick_engine_decode_speed"
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
    price: {{input: 0.10 USD, output: 0.60 USD}}
    context_tokens: {context}
    max_output_tokens: 512
models:
  house: {{targets: [house]}}
"""


@dataclass(frozen=True)
class Lag:
    """`within` is by bucket (seconds) the share of the ticks that came no later; `ticks` is how many there were.
    `tokens_per_s` is what the engine says of all answers together."""

    ticks: int
    tokens_per_s: float
    within: dict[float, float]

    def line(self, name: str) -> str:
        shares = ", ".join(f"{share:.2%} within {1000 * bound:g} ms" for bound, share in self.within.items())
        speed = f"{self.tokens_per_s:.0f} tokens/s"
        return f"{name}: event loop while 16 streams run at {speed}: {shares} ({self.ticks} ticks)"


def lag(model: Path, seconds: float, folder: Path) -> Lag:
    """Serve with that model for so many seconds under full load. Raises `Unavailable`."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = folder / "bailiwick.yaml"
    config.write_text(_SETTINGS.format(port=port, model=model.resolve(), context=CONTEXT))
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
        text = Text()
        streams = [asyncio.create_task(_stream(client, text)) for _ in range(_CLIENTS)]
        await asyncio.sleep(_RUN_UP)
        before = await _samples(client)
        await asyncio.sleep(seconds)
        after = await _samples(client)
        for stream in streams:
            if stream.done():
                stream.result()  # it never ends by itself: this raises
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
    counts = {
        bound: after[_HISTOGRAM, bound] - before[_HISTOGRAM, bound] for name, bound in after if name == _HISTOGRAM
    }
    ticks = counts["+Inf"]
    shares = {float(bound): count / ticks for bound, count in counts.items() if 0.001 <= float(bound) <= 0.05}
    return Lag(int(ticks), after[_SPEED, ""], shares)


async def _stream(client: httpx.AsyncClient, text: Text) -> None:
    while True:
        body = {
            "model": "house", "stream": True, "max_tokens": 256, "logit_bias": ENDLESS,
            "messages": [{"role": "user", "content": text.take(64)}],
        }  # fmt: skip
        async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            answer.raise_for_status()
            async for _ in answer.aiter_lines():
                pass


async def _samples(client: httpx.AsyncClient) -> dict[tuple[str, str], float]:
    """The gateway's metrics by name and bucket, if any."""
    text = (await client.get("/metrics")).text
    return {
        (sample.name, sample.labels.get("le", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
