"""``python -m benchmarks.local_engine.soak``: a day's requests, faster than in a day, through the real gateway and the
demo model. Does memory stay flat? See docs/performance.md."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path

import httpx

from benchmarks.local_engine.traffic import CLOUD_KINDS, KINDS, TENANTS, Traffic
from benchmarks.overhead.processes import Child, free_port
from gateway.identity.keys import KeyTable

ROOT = Path(__file__).resolve().parents[2]
DEMO_MODEL = ROOT / "models" / "demo-helpdesk.gguf"
DAY = 86_400
"""Requests of a day: one a second."""

FLAT = 0.05
"""Flat is what would grow by less than this part of its size in a day's requests."""

_BLOCKS = 10
_T_95 = 2.306
"""Student's t for 95 % and eight degrees of freedom: ten means, less the two that a line takes."""

# The cache of findings is small, so that it is full soon: what still grows then is something else.
_SETTINGS = """\
schema: 1
server: {{host: 127.0.0.1, port: {port}}}
storage: {{folder: {folder}/state}}
policy: {policy}
inspection: {{cache_bytes: 1500000}}
targets:
{house}  - id: cloud
    adapter: openai
    zone: cloud
    region: EU
    model: scripted-echo
    base_url: http://127.0.0.1:{cloud}/v1
    price: {{input: 1.00 USD, output: 4.00 USD}}
    context_tokens: 200000
    max_output_tokens: 100
models:
  local: {{targets: [{local}]}}
  cloud: {{targets: [cloud]}}
  auto: {{targets: [{auto}]}}
"""
_HOUSE = """\
  - id: house
    adapter: llama_cpp
    zone: local
    region: on-premises
    model: demo
    file: {model}
    price: {{input: 0.10 USD, output: 0.40 USD}}
    context_tokens: 2048
    max_output_tokens: 64
"""


@dataclass(frozen=True)
class Plan:
    """So many requests, or as many as the minutes allow, by so many clients at a time; samples are taken `every` so
    many seconds. Without a model the scripted cloud answers what that would have answered, and much faster."""

    model: Path | None = DEMO_MODEL
    requests: int = DAY
    minutes: float = 1e9
    clients: int = 12
    every: float = 5.0


@dataclass(frozen=True)
class Sample:
    """A process after so many requests. Memory in bytes: `private` is what it has written to and shares with nobody;
    `rss` has the pages of files that it maps, too, which come and go as the machine likes."""

    seconds: float
    requests: int
    rss: int
    private: int
    descriptors: int
    threads: int


@dataclass(frozen=True)
class Growth:
    """Bytes of private memory per 1,000 requests, and half the width of the interval in which the true figure lies in
    95 of 100 cases."""

    bytes: float
    error: float

    def in_a_day(self) -> tuple[float, float]:
        """The least and the most bytes of a day's requests."""
        return (self.bytes - self.error) * DAY / 1000, (self.bytes + self.error) * DAY / 1000


@dataclass
class Result:
    """Samples by process: gateway, engine, detectors (all together)."""

    seconds: float
    requests: int
    samples: dict[str, list[Sample]]
    outcomes: dict[str, int]
    surprises: dict[str, int] = field(default_factory=dict)


def growth(samples: Sequence[Sample]) -> Growth:
    """Least squares over the means of `_BLOCKS` stretches of the later half: neighbours among the samples say nearly
    the same, so that an error reckoned from each of them would be far too small."""
    blocks = _blocks(_late(samples))
    if len(blocks) < _BLOCKS:
        return Growth(0.0, math.inf)
    middle = sum(at for at, _ in blocks) / _BLOCKS
    mean = sum(size for _, size in blocks) / _BLOCKS
    spread = sum((at - middle) ** 2 for at, _ in blocks)
    each = sum((at - middle) * (size - mean) for at, size in blocks) / spread
    rest = sum((size - mean - each * (at - middle)) ** 2 for at, size in blocks)
    return Growth(1000 * each, 1000 * _T_95 * math.sqrt(rest / (_BLOCKS - 2) / spread))


def _blocks(samples: Sequence[Sample]) -> list[tuple[float, float]]:
    """Mean number of requests and mean private memory of each stretch."""
    cuts = [len(samples) * number // _BLOCKS for number in range(_BLOCKS + 1)]
    parts = [samples[start:end] for start, end in pairwise(cuts) if end > start]
    return [
        (sum(one.requests for one in part) / len(part), sum(one.private for one in part) / len(part)) for part in parts
    ]


def is_steady(samples: Sequence[Sample]) -> bool:
    """No more descriptors or threads at the end than in the first half, but for a few that come and go."""
    first = samples[: -len(_late(samples))] or samples[:1]
    most = (max(one.descriptors for one in first) + 8, max(one.threads for one in first) + 2)
    return samples[-1].descriptors <= most[0] and samples[-1].threads <= most[1]


def verdict(samples: Sequence[Sample]) -> str:
    """``flat`` or ``NOT FLAT`` where the whole interval of its growth is on one side of `FLAT`, otherwise that there
    were too few requests to say. Descriptors or threads that pile up are not flat either."""
    least, most = growth(samples).in_a_day()
    bound = FLAT * samples[-1].private
    if not is_steady(samples) or least >= bound:
        return "NOT FLAT"
    return "flat" if most < bound else "too few requests to say"


def _late(samples: Sequence[Sample]) -> list[Sample]:
    return [sample for sample in samples if sample.requests > samples[-1].requests / 2]


def report(result: Result) -> list[str]:
    """The figures as lines."""
    speed = result.requests / result.seconds
    lines = [f"{result.requests:,} requests in {result.seconds / 60:.1f} minutes: {speed:.0f} times one a second"]
    for name, samples in result.samples.items():
        last, early, grown = samples[-1], next(iter(_late(samples)), samples[-1]), growth(samples)
        lines.append(
            f"{name}: {last.private / 1e6:.1f} MB private ({early.private / 1e6:.1f} after the first half), "
            f"{grown.bytes:+,.0f} ± {grown.error:,.0f} bytes per 1,000 requests; "
            f"descriptors {early.descriptors} to {last.descriptors}, threads {early.threads} to {last.threads}: "
            f"{verdict(samples)}"
        )
    if result.surprises:
        lines.append(f"not as expected: {result.surprises}")
    return lines


def sample_of(pids: Sequence[int], seconds: float, requests: int) -> Sample:
    """These processes now, added up. One that has ended counts as nothing."""
    total = [0, 0, 0, 0]
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            status = {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            private = 1024 * int(rollup.partition("Private_Dirty:")[2].split()[0])
            now = [
                1024 * int(status["VmRSS"][0]),
                private,
                len(os.listdir(f"/proc/{pid}/fd")),
                int(status["Threads"][0]),
            ]
        except (OSError, KeyError, IndexError):
            continue
        total = [old + new for old, new in zip(total, now, strict=True)]
    return Sample(seconds, requests, *total)


def processes(gateway: int) -> dict[str, list[int]]:
    """The gateway's own process, its engine, and its other children."""
    found: dict[str, list[int]] = {"gateway": [gateway], "engine": [], "detectors": []}
    children = Path(f"/proc/{gateway}/task/{gateway}/children").read_text().split()
    for child in map(int, children):
        command = Path(f"/proc/{child}/cmdline").read_bytes()
        found["engine" if b"adapters.llama_cpp" in command else "detectors"].append(child)
    return {name: pids for name, pids in found.items() if pids}


async def soak(folder: Path, plan: Plan) -> Result:
    """Serve with the plan's model and send its requests. All state is in `folder`."""
    port, cloud_port = free_port(), free_port()
    (folder / "bailiwick.yaml").write_text(
        _SETTINGS.format(
            port=port,
            cloud=cloud_port,
            folder=folder,
            policy=ROOT / "policies" / "default.yaml",
            house=_HOUSE.format(model=plan.model) if plan.model else "",
            local="house" if plan.model else "cloud",
            auto="house, cloud" if plan.model else "cloud",
        )
    )
    serve = [sys.executable, "-m", "gateway", "--config", str(folder / "bailiwick.yaml"), "serve"]
    environ = {"PYTHONPATH": str(ROOT)}
    keys = _keys(folder)
    cloud_command = [sys.executable, "-m", "adapters.scripted_cloud", "--port", str(cloud_port)]
    cloud = Child.start("cloud", cloud_command, folder, None, environ)
    try:
        gateway = Child.start("gateway", serve, folder, None, environ)
        try:
            await asyncio.to_thread(gateway.wait_until_answers, f"http://127.0.0.1:{port}/readyz", 120)
            return await _watch(gateway.process.pid, port, cloud_port, keys, plan)
        finally:
            gateway.stop()
    finally:
        cloud.stop()


def _keys(folder: Path) -> list[str]:
    table = KeyTable.open(f"sqlite:///{folder}/state/identity.db")
    try:
        return [table.create(tenant=f"tenant-{number}", app="desk")[1] for number in range(TENANTS)]
    finally:
        table.close()


async def _watch(pid: int, port: int, cloud_port: int, keys: list[str], plan: Plan) -> Result:
    started = time.monotonic()
    limits = httpx.Limits(max_connections=plan.clients + 1)
    base = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=base, timeout=60, trust_env=False, limits=limits) as client:
        traffic = Traffic(client, keys, seed=5, kinds=KINDS if plan.model else CLOUD_KINDS)
        samples: dict[str, list[Sample]] = defaultdict(list)
        begun = 0

        async def ask() -> None:
            nonlocal begun
            while begun < plan.requests and time.monotonic() - started < plan.minutes * 60:
                begun += 1
                await traffic.one()

        async def look() -> None:
            while True:
                for name, pids in processes(pid).items():
                    samples[name].append(sample_of(pids, round(time.monotonic() - started, 1), traffic.done))
                now = {name: asdict(taken[-1]) for name, taken in samples.items()}
                print(json.dumps(now), file=sys.stderr, flush=True)
                await client.delete(f"http://127.0.0.1:{cloud_port}/received")  # the cloud's memory is not the question
                await asyncio.sleep(plan.every)

        looking = asyncio.create_task(look())
        await asyncio.gather(*(ask() for _ in range(plan.clients)))
        await asyncio.sleep(plan.every)  # once more, at rest
        looking.cancel()
    return Result(
        seconds=time.monotonic() - started,
        requests=traffic.done,
        samples=dict(samples),
        outcomes={" ".join(key): count for key, count in traffic.outcomes.items()},
        surprises={" ".join(key): count for key, count in traffic.surprises.items()},
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.local_engine.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=DAY)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so many, whatever is done by then")
    parser.add_argument("--clients", type=int, default=12, help="requests in flight")
    parser.add_argument("--cloud", action="store_true", help="no local model: the scripted cloud answers everything")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bw-soak-") as folder:
        model = None if options.cloud else DEMO_MODEL
        plan = Plan(model, requests=options.requests, minutes=options.minutes, clients=options.clients)
        result = asyncio.run(soak(Path(folder), plan))
    print("\n".join(report(result)))
    return 0 if not result.surprises and all(verdict(one) == "flat" for one in result.samples.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
