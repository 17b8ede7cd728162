"""The rows, their table, and their JSON."""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

import orjson

from benchmarks.inspection.stall import stall
from benchmarks.inspection.stock import stock
from benchmarks.inspection.texts import code, dense, prose
from benchmarks.overhead.prompts import PromptKind, PromptSource
from gateway.dialects.openai_chat import GRAMMAR
from gateway.inspection.detector import PresidioDetector
from gateway.inspection.inspector import Inspector

Row = dict[str, float | str | None]

SECTIONS = ("dense", "plain", "prompt", "stall")
_PROMPTS = 300


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inspection", description=__doc__)
    parser.add_argument("--only", choices=SECTIONS, action="append", help="one section; may be repeated")
    parser.add_argument("--json", action="store_true", help="print JSON in place of tables")
    parser.add_argument("--processes", type=int, default=1, help="detector processes in the stall section")
    parser.add_argument("--seconds", type=float, default=6.0, help="seconds of load in the stall section")
    options = parser.parse_args(arguments)
    chosen = options.only or SECTIONS
    report: dict[str, list[Row]] = {}
    if "dense" in chosen or "plain" in chosen:
        # In this order: Presidio finds its recognisers by class name, and some of ours have the same names.
        theirs = stock()
        from gateway.inspection.engine import load

        ours = load().scan
        if "dense" in chosen:
            report["dense"] = _lengths(ours, theirs, dense, (1_000, 10_000, 100_000))
        if "plain" in chosen:
            report["plain"] = [
                *_lengths(ours, theirs, prose, (200, 20_000)),
                *_lengths(ours, theirs, code, (200, 20_000)),
            ]
    if "prompt" in chosen:
        report["prompt"] = _prompts()
    if "stall" in chosen:
        report["stall"] = [
            {"where": "in processes", **asdict(asyncio.run(stall(options.processes, options.seconds, inline=False)))},
            {"where": "in the loop", **asdict(asyncio.run(stall(options.processes, options.seconds / 2, inline=True)))},
        ]
    print(json.dumps(report, indent=2) if options.json else _tables(report))
    return 0


def _lengths(
    ours: Callable[[str], object], theirs: Callable[[str], object], text_of: Callable[[int], str], sizes: Sequence[int]
) -> list[Row]:
    """CPU time of this process by length, one beside the other; `growth` is the time over that of the row before."""
    rows: list[Row] = []
    for size in sizes:
        text = text_of(size)
        repeats = max(1, min(40, 20_000 // size))
        times: tuple[list[float], list[float]] = ([], [])
        for scan in (ours, theirs):
            scan(text_of(min(size, 1_000)))
        for _ in range(repeats if size <= 20_000 else 1):
            times[1].append(_cpu_ms(theirs, text))
            times[0].extend(_cpu_ms(ours, text) for _ in range(3))
        here, there = statistics.median(times[0]), statistics.median(times[1])
        before = rows[-1] if rows else None
        rows.append(
            {
                "text": text_of.__name__,
                "characters": size,
                "ms": here,
                "stock_ms": there,
                "times_faster": there / here,
                "growth": here / float(before["ms"] or 1) if before else None,
                "stock_growth": there / float(before["stock_ms"] or 1) if before else None,
            }
        )
    return rows


def _prompts() -> list[Row]:
    """CPU time of `Inspector.inspect` for one chat request, as the gateway calls it."""
    return asyncio.run(_inspect_prompts())


async def _inspect_prompts() -> list[Row]:
    detector = PresidioDetector(processes=1)
    await detector.start()
    inspector = Inspector(detector)
    rows: list[Row] = []
    try:
        for kind in (PromptKind.SMALL, PromptKind.PERSONAL):
            source = PromptSource(kind)
            bodies = [orjson.loads(source.body()) for _ in range(_PROMPTS)]
            times = []
            for _ in range(7):
                started = time.process_time()
                for body in bodies:
                    await inspector.inspect(body, GRAMMAR)
                times.append((time.process_time() - started) / _PROMPTS * 1e6)
            characters = statistics.mean(len(body["messages"][0]["content"]) for body in bodies)
            rows.append({"prompt": kind.value, "characters": round(characters), "us": statistics.median(times)})
    finally:
        await detector.aclose()
    return rows


def _cpu_ms(scan: Callable[[str], object], text: str) -> float:
    started = time.process_time()
    scan(text)
    return (time.process_time() - started) * 1e3


def _tables(report: dict[str, list[Row]]) -> str:
    parts = []
    for section, rows in report.items():
        headings = list(rows[0])
        lines = [f"### {section}", "", f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
        lines += [f"| {' | '.join(_cell(row[heading]) for heading in headings)} |" for row in rows]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _cell(value: float | str | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
