"""A report for people: plain text or Markdown, from the same sections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.domain.decision import PolicyId
from gateway.domain.money import NanoUsd
from gateway.policy.replay.reasons import NOTES, REASONS
from gateway.policy.replay.report import Exposure, Group, Latency, Report, iso
from gateway.policy.replay.verdict import Direction

_MOST_ROWS = 15
_ESTIMATES = (
    "Before is what was recorded. After is what the new policy decides with the recorded facts; where a recorded "
    "target stays permitted, the request stays there, with its recorded cost and time. What moves goes to the target "
    "that the model's route ranks first: an estimate, by price and recorded tokens; speed is not considered."
)
_COMPARED = (
    "Before and after are what the two policies decide with the same recorded facts. What moves from its recorded "
    "target goes to the one that the model's route ranks first: an estimate, by price and recorded tokens."
)


@dataclass(frozen=True, slots=True)
class Section:
    """`lines` are sentences, `rows` a table under `columns`. Columns of numbers are set to the right."""

    title: str
    lines: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def as_lines(report: Report) -> Iterator[str]:
    """Plain text without colour. Titles are the lines that end in a colon and are not set in."""
    for section in _sections(report):
        yield f"{section.title}:"
        yield from (f"  {line}" for line in section.lines)
        if section.rows:
            yield from (f"  {line}" for line in _aligned(section))
        yield ""


def as_markdown(report: Report) -> Iterator[str]:
    """For a pull request or a ticket."""
    for number, section in enumerate(_sections(report)):
        yield f"{'##' if number == 0 else '###'} {section.title}"
        yield ""
        yield from (f"{line}  " for line in section.lines)
        if section.rows:
            if section.lines:
                yield ""
            yield f"| {' | '.join(section.columns)} |"
            yield f"|{'|'.join('---:' if right else '---' for right in _right(section))}|"
            yield from (f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in section.rows)
        yield ""


def _sections(report: Report) -> Iterator[Section]:
    yield _head(report)
    yield _changes(report)
    if report.changed:
        yield from _by_rule(report)
        yield _groups("By app", "app", report.apps)
        yield _groups("By data type", "data type", report.types)
    if report.exposure or any(report.nowhere):
        yield _exposure(report)
    yield _cost(report)
    yield _latency(report)
    unknown = [*_not_evaluated(report), *_notes(report)]
    if unknown:
        yield Section("What this report does not know", tuple(unknown))


def _head(report: Report) -> Section:
    against = _named(report.against) if report.against else "what was recorded"
    until = f" until {iso(report.until)}" if report.until is not None else ""
    lines = [
        f"Compared with {against}.",
        f"Requests since {iso(report.since)}{until}: {_number(report.evaluated)} decided again, "
        f"{_number(report.not_evaluated)} not evaluated; {_number(report.records)} records read.",
    ]
    if report.first is not None and report.last is not None:
        lines.append(f"The first came at {iso(report.first)}, the last at {iso(report.last)}.")
    if report.audit:
        lines.append("The new policy is in audit mode: its rules and handling are NOT enforced.")
    lines.append(_COMPARED if report.against else _ESTIMATES)
    return Section(f"Replay of {_named(report.policies)}", tuple(lines))


def _named(policies: Sequence[PolicyId]) -> str:
    return "; ".join(f"policy {policy.name}, version {policy.version}, hash {policy.short}" for policy in policies)


def _changes(report: Report) -> Section:
    share = f" ({_share(report.changed, report.evaluated)})" if report.evaluated else ""
    parts = [f"{_number(report.directions.get(way, 0))} {way.value}" for way in Direction]
    lines = [f"{_number(report.changed)} of {_number(report.evaluated)}{share}: {', '.join(parts)}."]
    if report.bounds:
        lines.append(f"{_number(report.bounds)} get other limits or duties (whom to tell, how long to keep).")
    rows = [
        (kind.before, kind.after, kind.direction.value, _number(kind.count), kind.example)
        for kind in report.kinds[:_MOST_ROWS]
    ]
    columns = ("before", "after", "direction", "decisions", "for example")
    return Section("Decisions that change", tuple(lines), columns, tuple(rows))


def _by_rule(report: Report) -> Iterator[Section]:
    if report.levels:
        rows = [(was.word, now.word, _number(count)) for was, now, count in report.levels]
        yield Section("Levels that change", (), ("before", "after", "decisions"), tuple(rows))
    rows = [(name, "has a say now", _number(count)) for name, count in report.added[:_MOST_ROWS]]
    rows += [(name, "has none any more", _number(count)) for name, count in report.dropped[:_MOST_ROWS]]
    if rows:
        yield Section("Rules behind the changes", (), ("rule", "what changes", "decisions"), tuple(rows))


def _groups(title: str, what: str, groups: Sequence[Group]) -> Section:
    rows = [
        (
            "/".join(filter(None, (group.tenant, group.name))) or "(nothing found)",
            *map(_number, (group.decisions, group.changed, group.looser, group.stricter)),
        )
        for group in groups[:_MOST_ROWS]
    ]
    lines = (f"{_number(len(groups) - _MOST_ROWS)} more are in the JSON.",) if len(groups) > _MOST_ROWS else ()
    return Section(title, lines, (what, "decisions", "changed", "looser", "stricter"), tuple(rows))


def _exposure(report: Report) -> Section:
    rows = [_reach(row) for row in report.exposure]
    if any(report.nowhere):
        was, now = report.nowhere
        rows.append(("(nowhere)", "", "", "", _number(was), _number(now), "", ""))
    columns = ("zone", "region", "provider", "level", "requests before", "after", "bytes before", "after")
    line = "The level is the higher one of before and after, so that both columns are about the same data."
    return Section("What reaches whom", (line,), columns, tuple(rows))


def _reach(row: Exposure) -> tuple[str, ...]:
    before, after = row.before, row.after
    sizes = (_number(before[0]), _number(after[0]), _bytes(before[1]), _bytes(after[1]))
    return (row.zone, row.region, row.provider, row.level.word, *sizes)


def _cost(report: Report) -> Section:
    before, after = report.cost
    rows = (
        ("paid to clouds", _usd(before.paid), _usd(after.paid), _usd(NanoUsd(after.paid - before.paid))),
        ("set down for local targets", _usd(before.own), _usd(after.own), _usd(NanoUsd(after.own - before.own))),
    )
    lines = []
    if report.moved:
        lines.append(f"{_number(report.moved)} requests move to another target; their cost is an estimate.")
    if report.unpriced:
        lines.append(f"{_number(report.unpriced)} of them have no recorded tokens and are not in the sums.")
    return Section("Cost", tuple(lines), ("", "before USD", "after USD", "difference"), rows)


def _latency(report: Report) -> Section:
    columns = ("", "requests", "mean", "median", "95 %", "with a limit", "late", "late of those")
    rows = tuple(_times(word, speed) for word, speed in zip(("before", "after"), report.latency, strict=True))
    lines = ["What moves is expected to be as fast as its new target was in this period."]
    if report.unmeasured:
        lines.append(f"{_number(report.unmeasured)} would move to a target without any figure and are left out.")
    return Section("Time to the first token (milliseconds)", tuple(lines), columns, rows)


def _times(word: str, speed: Latency) -> tuple[str, ...]:
    figures = ["-" if figure is None else f"{figure:,.0f}" for figure in (speed.mean, speed.median, speed.p95)]
    share = _share(speed.missed, speed.limited) if speed.limited else "-"
    return (word, _number(speed.requests), *figures, _number(speed.limited), _number(speed.missed), share)


def _not_evaluated(report: Report) -> Iterator[str]:
    for item in report.refused:
        yield f"{_number(item.count)} not evaluated: {REASONS[item.reason]} (such as {item.example})."
    if report.unreadable:
        yield f"{_number(report.unreadable)} records cannot be read at all; run: bailiwick audit verify."


def _notes(report: Report) -> Iterator[str]:
    for name in NOTES:
        if name in report.notes:
            yield f"{_number(report.notes[name])} {NOTES[name]}."
    if report.unsent:
        why = ", ".join(f"{name}: {_number(count)}" for name, count in report.unsent[:_MOST_ROWS])
        yield f"Permitted but not sent for another reason than the policy, and taken as not sent after either: {why}."
    if report.undetectable:
        yield f"No detector that is switched on finds {', '.join(report.undetectable)}, which the policy counts."
    unseen = [name for name in report.unseen_entities if name not in report.undetectable]
    if unseen:
        yield (
            f"No record of the period holds {', '.join(unseen)}, which the policy counts. Either nothing of it was "
            "sent, or the detector did not look for it then: records do not say which."
        )
    if report.unseen_targets:
        yield (
            f"No record of the period names {', '.join(report.unseen_targets)} as permitted. If such a target is new, "
            "what the new policy permits it is not a change of the policy."
        )


def _aligned(section: Section) -> Iterator[str]:
    table = (section.columns, *section.rows)
    widths = [max(len(row[place]) for row in table) for place in range(len(section.columns))]
    right = _right(section)
    for row in table:
        cells = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ]
        yield "  ".join(cells).rstrip()


def _right(section: Section) -> list[bool]:
    """Which columns hold numbers only."""
    return [
        bool(section.rows) and all(row[place][:1] in set("0123456789-") or not row[place] for row in section.rows)
        for place in range(len(section.columns))
    ]


def _number(number: float) -> str:
    return f"{number:,.0f}"


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.2f} %"


def _usd(amount: NanoUsd) -> str:
    if abs(amount) >= 10**9:
        return f"{amount / 1e9:,.2f}"
    # A few requests cost far less than a cent; zero is then zero, and has no sign.
    return f"{amount / 1e9:.4f}" if abs(amount) >= 10**6 or not amount else f"{amount / 1e9:.6f}"


def _bytes(size: int) -> str:
    if size < 10_000:
        return f"{size:,} B"
    for unit in ("kB", "MB"):
        size_in = size / (1000 if unit == "kB" else 1_000_000)
        if size_in < 1000:
            return f"{size_in:,.1f} {unit}"
    return f"{size / 1e9:,.1f} GB"
