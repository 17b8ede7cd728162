"""Start every target, drive them in turn, round after round, and print the medians."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.overhead import report
from benchmarks.overhead.peers import ROOT, Unavailable
from benchmarks.overhead.processes import Child, StartError, free_port, pin, say
from benchmarks.overhead.prompts import PromptKind
from benchmarks.overhead.report import Phase, Row
from benchmarks.overhead.targets import (
    DIRECT,
    GATEWAY,
    LITELLM,
    LITELLM_PRESIDIO,
    LITELLM_PRESIDIO_PLAIN,
    PASSTHROUGH,
    PORTKEY,
    STARTERS,
    Place,
    Target,
)

RESULTS = ROOT / "benchmarks" / "results"
IN_FLIGHT = 32
DEFAULT_TARGETS = (DIRECT, "nginx", PASSTHROUGH, LITELLM, GATEWAY)
PHASES = {
    phase.name: phase
    for phase in (
        Phase("small", PromptKind.SMALL, stream=False, in_flight=IN_FLIGHT),
        Phase("stream", PromptKind.SMALL, stream=True, in_flight=IN_FLIGHT),
        Phase("personal", PromptKind.PERSONAL, stream=False, in_flight=IN_FLIGHT),
        Phase("large-turn", PromptKind.LARGE_TURN, stream=False, in_flight=IN_FLIGHT),
        Phase("large-fresh", PromptKind.LARGE_FRESH, stream=False, in_flight=IN_FLIGHT),
        Phase("small-one", PromptKind.SMALL, stream=False, in_flight=1),
        Phase("stream-one", PromptKind.SMALL, stream=True, in_flight=1),
        Phase("personal-one", PromptKind.PERSONAL, stream=False, in_flight=1),
        Phase("large-turn-one", PromptKind.LARGE_TURN, stream=False, in_flight=1),
        Phase("large-fresh-one", PromptKind.LARGE_FRESH, stream=False, in_flight=1),
    )
}
QUICK_PHASES = ("small", "stream", "personal", "small-one", "stream-one")


@dataclass
class Bench:
    """A benchmark with its provider running. Cores are None when nothing is pinned."""

    folder: Path
    gateway_cpu: int | None
    load_cpu: int | None
    upstream: Child | None = None
    upstream_port: int = 0

    def start_upstream(self) -> Child:
        """Start the model provider beside the load generator."""
        self.upstream_port = free_port()
        command = [sys.executable, "-m", "benchmarks.overhead.upstream", "--port", str(self.upstream_port)]
        child = Child.start("upstream", command, self.folder, self.load_cpu, {"PYTHONPATH": str(ROOT)})
        child.wait_until_answers(f"http://127.0.0.1:{self.upstream_port}/healthz", 20)
        return child

    def start_target(self, name: str) -> Target | None:
        """Start a target; say loudly why not when it cannot be had."""
        folder = self.folder / name
        folder.mkdir()
        started = time.monotonic()
        try:
            target = STARTERS[name](Place(folder, self.gateway_cpu, self.upstream_port))
        except (Unavailable, StartError) as problem:
            say(f"!!! SKIPPED {name}: {problem}")
            return None
        memory = target.resident_mb()
        size = f", {memory:.0f} MB" if memory else ""
        say(f"{name} {target.version}: up in {time.monotonic() - started:.1f} s{size}")
        return target

    def drive(self, target: Target, phase: Phase, warm_up_s: float, seconds: float) -> dict[str, object]:
        """Run the load generator against a target and return its figures."""
        output = self.folder / "load.json"
        output.unlink(missing_ok=True)
        command = [
            sys.executable,
            "-m",
            "benchmarks.overhead.load",
            "--url",
            target.url,
            "--output",
            str(output),
        ]
        command += ["--prompt", phase.prompt, "--in-flight", str(phase.in_flight)]
        command += ["--warm-up", str(warm_up_s), "--seconds", str(seconds)]
        command += ["--stream"] if phase.stream else []
        for header in target.headers:
            command += ["--header", header]
        subprocess.run(pin(self.load_cpu, command), cwd=ROOT, check=True)
        figures: dict[str, object] = json.loads(output.read_text())
        return figures

    def measure(self, target: Target, phase: Phase, round_: int, warm_up_s: float, seconds: float) -> Row:
        """Measure a target in a phase."""
        before = self._counters()
        figures = self.drive(target, phase, warm_up_s, seconds)
        after = self._counters()
        errors = figures.pop("errors")
        sample = figures.pop("error_sample")
        if errors:
            say(f"!!! {target.name} in {phase.name}: {errors} {sample!r}")
        return Row(
            phase=phase,
            target=target.name,
            round=round_,
            figures=figures,  # type: ignore[arg-type]
            errors=errors,  # type: ignore[arg-type]
            resident_mb=target.resident_mb(),
            requests_seen_upstream=after["chat"] - before["chat"],
            mails_seen_upstream=after["with_mail"] - before["with_mail"],
        )

    def _counters(self) -> dict[str, int]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.upstream_port}/counters", timeout=10) as answer:
            counters: dict[str, int] = json.loads(answer.read())
        return counters


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; return 1 when no target but the direct one could be started."""
    options = _options(arguments)
    RESULTS.mkdir(parents=True, exist_ok=True)
    stem = RESULTS / f"overhead-{time.strftime('%Y%m%d-%H%M%S')}"
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="bailiwick-bench-")))
        bench = Bench(folder, options.gateway_cpu, options.load_cpu)
        cleanup.callback(bench.start_upstream().stop)
        targets = []
        for name in options.targets:
            target = bench.start_target(name)
            if target is not None:
                cleanup.callback(target.stop)
                targets.append(target)
        rows = _rounds(bench, targets, options, stem.with_suffix(".jsonl"))
    say("\n" + report.write(rows, _heading(options, targets), stem.with_suffix(".md")))
    say(f"rows: {stem}.jsonl; report: {stem}.md")
    return 0 if any(target.name != DIRECT for target in targets) else 1


def _rounds(bench: Bench, targets: list[Target], options: argparse.Namespace, log: Path) -> list[Row]:
    """Measure A B C A B C ..., each round and phase beginning with another target."""
    rows: list[Row] = []
    for target in targets:
        for name in ("small", "stream"):
            bench.drive(target, PHASES[name], options.warm_up, options.warm_up)
    with log.open("a") as output:
        for round_ in range(options.rounds):
            for number, name in enumerate(options.phases):
                first = (round_ + number) % len(targets)
                for target in targets[first:] + targets[:first]:
                    row = bench.measure(target, PHASES[name], round_, options.warm_up, options.seconds)
                    rows.append(row)
                    output.write(row.to_json() + "\n")
                    output.flush()
                    say(_progress(row))
    order = {target.name: position for position, target in enumerate(targets)}
    return sorted(rows, key=lambda row: (options.phases.index(row.phase.name), order[row.target], row.round))


def _progress(row: Row) -> str:
    figures = row.figures
    return (
        f"round {row.round} {row.phase.name:16} {row.target:17} {figures['requests_per_s']:>9} requests/s  "
        f"p50 {figures['latency_p50_ms']} ms  p99 {figures['latency_p99_ms']} ms"
    )


def _heading(options: argparse.Namespace, targets: list[Target]) -> str:
    versions = ", ".join(f"{target.name} {target.version}" for target in targets if target.version)
    pinned = "nothing pinned"
    if options.gateway_cpu is not None:
        pinned = f"gateways on core {options.gateway_cpu}, load generator and provider on core {options.load_cpu}"
    return (
        f"## Overhead, {time.strftime('%Y-%m-%d')}\n\n"
        f"Medians of {options.rounds} rounds of {options.seconds:g} s, targets interleaved; {pinned}; "
        f"Python {platform.python_version()}, {os.cpu_count()} cores. {versions}"
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="of measuring, for each target in each phase")
    parser.add_argument("--warm-up", type=float, default=1.5, help="seconds before each measurement")
    parser.add_argument("--targets", default=",".join(DEFAULT_TARGETS), help=f"of {', '.join(STARTERS)}")
    parser.add_argument("--phases", default=",".join(PHASES), help=f"of {', '.join(PHASES)}")
    parser.add_argument("--with-presidio", action="store_true", help="add LiteLLM with its Presidio guardrail")
    parser.add_argument("--with-portkey", action="store_true", help="add Portkey's gateway (needs npm)")
    parser.add_argument("--quick", action="store_true", help="one round of 2 s, small prompts only: a smoke test")
    parser.add_argument("--no-pin", action="store_true", help="leave the placing of processes to the kernel")
    parser.add_argument("--gateway-cpu", type=int, default=0)
    parser.add_argument("--load-cpu", type=int, default=1)
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds, options.warm_up = 1, 2.0, 0.5
        options.phases = ",".join(QUICK_PHASES)
    if options.no_pin or (os.cpu_count() or 1) < 2:
        options.gateway_cpu = options.load_cpu = None
    options.targets = [name for name in options.targets.split(",") if name]
    options.targets += [LITELLM_PRESIDIO, LITELLM_PRESIDIO_PLAIN] if options.with_presidio else []
    options.targets += [PORTKEY] if options.with_portkey else []
    options.phases = [name for name in options.phases.split(",") if name]
    for given, known in ((options.targets, STARTERS), (options.phases, PHASES)):
        if unknown := [name for name in given if name not in known]:
            parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    return options
