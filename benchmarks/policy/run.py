"""The rows, their table, and their JSON."""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.policy.peers import attributes, cedar, cel, fetch
from benchmarks.policy.workload import TARGETS, policy, requests, rules
from gateway.domain.decision import Facts
from gateway.policy import CompiledPolicy, evaluate

_PEER_REQUESTS = 200
"""The peers need up to milliseconds for one."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policy", description=__doc__)
    parser.add_argument("--rules", default="10,200,1000", help="numbers of rules, with commas between")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--alone", action="store_true", help="without Cedar and CEL")
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    options = parser.parse_args(arguments)
    if not options.alone:
        fetch()
    rows = [row for count in map(int, options.rules.split(",")) for row in _rows(count, options)]
    print(json.dumps(rows, indent=2) if options.json else _table(rows))
    return 0


def _rows(count: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    listed, asked = rules(count), requests(options.requests)
    compiled = policy(listed)
    decisions = [evaluate(compiled, facts, TARGETS) for facts in asked]
    matching = statistics.mean(len(decision.reasons) - 1 for decision in decisions)
    compiled.memo.clear()

    def first(facts: Facts) -> object:
        compiled.memo.clear()
        return evaluate(compiled, facts, TARGETS)

    rows = [
        _row("bailiwick, first", count, matching, _times(first, asked)),
        _row("bailiwick, again", count, matching, _times(lambda facts: evaluate(compiled, facts, TARGETS), asked, 5)),
    ]
    if not options.alone:
        rows += _peers(count, matching, listed, compiled, asked[:_PEER_REQUESTS])
    return rows


def _peers(
    count: int, matching: float, listed: list[dict[str, Any]], compiled: CompiledPolicy, asked: list[Facts]
) -> list[dict[str, Any]]:
    """Raises `AssertionError` where a peer decides otherwise: then the comparison would say nothing."""
    seen = [attributes(compiled, facts) for facts in asked]
    by_cedar, by_cel = cedar(listed), cel(listed)
    for facts, request in zip(asked, seen, strict=True):
        decision = evaluate(compiled, facts, TARGETS)
        assert by_cedar(request) == decision.permitted
        matched = {reason.rule for reason in decision.reasons} - {f"handling.{decision.level.word}"}
        assert by_cel(request) == matched - {"if_unsure.no_target_left"}
    return [
        _row("cedarpy, 3 targets", count, matching, _times(by_cedar, seen)),
        _row("CEL, matching only", count, matching, _times(by_cel, seen)),
    ]


def _times(decide: Callable[[Any], object], asked: Sequence[Any], rounds: int = 2) -> list[float]:
    """Microseconds of each decision; the first round warms up."""
    taken: list[float] = []
    for number in range(rounds):
        for item in asked:
            began = time.perf_counter_ns()
            decide(item)
            if number:
                taken.append((time.perf_counter_ns() - began) / 1e3)
    return sorted(taken)


def _row(who: str, count: int, matching: float, taken: list[float]) -> dict[str, Any]:
    return {
        "rules": count,
        "engine": who,
        "matching": round(matching, 1),
        "median_us": round(statistics.median(taken), 1),
        "p99_us": round(taken[int(len(taken) * 0.99)], 1),
    }


def _table(rows: list[dict[str, Any]]) -> str:
    headings = list(rows[0])
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    lines += [f"| {' | '.join(str(row[heading]) for heading in headings)} |" for row in rows]
    return "\n".join(lines)
