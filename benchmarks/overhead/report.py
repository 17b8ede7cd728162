"""From the rows of a run to Markdown tables of medians."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.overhead.prompts import PromptKind
from benchmarks.overhead.targets import DIRECT, LITELLM, PASSTHROUGH


@dataclass(frozen=True)
class Phase:
    """One kind of load. With one request in flight the latencies count, with more the throughput."""

    name: str
    prompt: PromptKind
    stream: bool
    in_flight: int


@dataclass(frozen=True)
class Row:
    """One target in one phase of one round. `figures` is what the load generator printed."""

    phase: Phase
    target: str
    round: int
    figures: dict[str, float | None]
    errors: dict[str, int] = field(default_factory=dict)
    resident_mb: float | None = None
    requests_seen_upstream: int = 0
    mails_seen_upstream: int = 0

    def to_json(self) -> str:
        """Return the row as one line of JSON."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Figure:
    """A column of a table: its heading, how to get it from a row, and whether more is better."""

    heading: str
    of: Callable[[Row], float | None]
    digits: int


def markdown(rows: Sequence[Row], heading: str) -> str:
    """Return the whole report."""
    parts = [heading]
    for phase in dict.fromkeys(row.phase for row in rows):
        parts.append(_phase_section(phase, [row for row in rows if row.phase == phase]))
    parts.append(_memory_section(rows))
    parts.append(_redaction_section(rows))
    return "\n\n".join(part for part in parts if part) + "\n"


def write(rows: Sequence[Row], heading: str, path: Path) -> str:
    """Write the report to the path and return it."""
    text = markdown(rows, heading)
    path.write_text(text)
    return text


def _phase_section(phase: Phase, rows: list[Row]) -> str:
    figures = _throughput_figures(phase) if phase.in_flight > 1 else _latency_figures(phase, rows)
    headings = [figure.heading for figure in figures]
    fixed = ["range", "vs LiteLLM", "vs pass-through", "errors", "generator CPU"]
    lines = [_table_line(["target", *headings, *fixed])]
    lines.append("|---" + "|---:" * (len(figures) + 5) + "|")
    main = figures[0]
    medians = {target: _median(map(main.of, of_target)) for target, of_target in _by_target(rows).items()}
    for target, of_target in _by_target(rows).items():
        values = [value for row in of_target if (value := main.of(row)) is not None]
        cells = [target]
        cells += [_number(_median(map(figure.of, of_target)), figure.digits) for figure in figures]
        cells.append(f"{_number(min(values), main.digits)} to {_number(max(values), main.digits)}" if values else "-")
        cells += [
            _ratio(medians[target], medians.get(LITELLM)),
            _ratio(medians[target], medians.get(PASSTHROUGH)),
        ]
        cells.append(_errors(of_target))
        cells.append(_number(_median(row.figures.get("generator_cpu_share") for row in of_target), 2))
        lines.append(_table_line(cells))
    return f"### {_title(phase)}\n\n" + "\n".join(lines)


def _title(phase: Phase) -> str:
    what = "streamed answers" if phase.stream else "plain answers"
    load = "one at a time" if phase.in_flight == 1 else f"{phase.in_flight} in flight"
    return f"{phase.name}: {phase.prompt} prompt, {what}, {load}"


def _throughput_figures(phase: Phase) -> list[Figure]:
    requests = Figure("requests/s", lambda row: row.figures.get("requests_per_s"), 1)
    if phase.stream:
        return [Figure("chunks/s", lambda row: row.figures.get("chunks_per_s"), 0), requests]
    return [requests]


def _latency_figures(phase: Phase, rows: list[Row]) -> list[Figure]:
    """Return the latency of each row less that of the direct target in the same round."""
    direct = {row.round: row.figures for row in rows if row.target == DIRECT}
    what, name = ("time to first token", "first_token") if phase.stream else ("latency", "latency")

    def added(key: str) -> Callable[[Row], float | None]:
        def of(row: Row) -> float | None:
            here, there = row.figures.get(key), direct.get(row.round, {}).get(key)
            return None if here is None or there is None or row.target == DIRECT else here - there

        return of

    return [
        Figure("added p50, ms", added(f"{name}_p50_ms"), 2),
        Figure("added p99, ms", added(f"{name}_p99_ms"), 2),
        Figure(f"{what} p50, ms", lambda row: row.figures.get(f"{name}_p50_ms"), 2),
    ]


def _memory_section(rows: Sequence[Row]) -> str:
    lines = [
        _table_line(["target", "most memory, MB", "vs LiteLLM", "vs pass-through"]),
        "|---|---:|---:|---:|",
    ]
    most = {
        target: max((row.resident_mb for row in of_target if row.resident_mb is not None), default=None)
        for target, of_target in _by_target(rows).items()
    }
    for target, size in most.items():
        if size is not None:
            ratios = [_ratio(size, most.get(LITELLM)), _ratio(size, most.get(PASSTHROUGH))]
            lines.append(_table_line([target, _number(size, 0), *ratios]))
    return "### memory: all processes of a target, after its load\n\n" + "\n".join(lines)


def _redaction_section(rows: Sequence[Row]) -> str:
    personal = [row for row in rows if row.phase.prompt is PromptKind.PERSONAL and not row.phase.stream]
    if not personal:
        return ""
    headings = [
        "target",
        "requests",
        "address reached the provider",
        "address came back",
        "text came back unchanged",
    ]
    lines = [_table_line(headings), "|---|---:|---:|---:|---:|"]
    for target, of_target in _by_target(personal).items():
        seen = sum(row.requests_seen_upstream for row in of_target)
        leaked = sum(row.mails_seen_upstream for row in of_target)
        answered = sum(row.figures.get("requests") or 0 for row in of_target)
        back = [sum(row.figures.get(key) or 0 for row in of_target) for key in ("restored", "unchanged")]
        shares = [_share(leaked, seen), *(_share(part, answered) for part in back)]
        lines.append(_table_line([target, str(seen), *shares]))
    title = "### redaction: what the provider and the client saw of the personal prompts"
    return title + "\n\n" + "\n".join(lines)


def _by_target(rows: Sequence[Row]) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row.target, []).append(row)
    return grouped


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _ratio(value: float | None, base: float | None) -> str:
    return f"{value / base:.2f}" if value is not None and base is not None and base > 0 else "-"


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _errors(rows: Sequence[Row]) -> str:
    total: dict[str, int] = {}
    for row in rows:
        for error, count in row.errors.items():
            total[error] = total.get(error, 0) + count
    return ", ".join(f"{count} {error}" for error, count in total.items()) or "0"


def _table_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
