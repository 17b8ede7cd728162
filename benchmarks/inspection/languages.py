"""What is found in each of eight languages: `python -m benchmarks.inspection.languages`.

The sentences are in languages.txt. Names and values for patterns are counted apart. Nothing is random: the same code
prints the same figures.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway.domain.finding import Span
from gateway.inspection.explained import Explainer
from gateway.inspection.language import LANGUAGES, guess_language
from gateway.settings import RegistrySettings, load_settings

FILE = Path(__file__).with_name("languages.txt")
COUNTRIES = ("us", "uk", "ca", "de", "es", "it", "pl")
NAMES = frozenset({"PERSON", "LOCATION", "ORGANIZATION"})
SURE = 50
"""Percent from which a finding counts."""

_MARKED = re.compile(r"\[([^|\]]+)\|([A-Z_]+)\]")


@dataclass(frozen=True, slots=True)
class Label:
    kind: str
    start: int
    end: int


@dataclass(slots=True)
class Figures:
    """Of one language: what is found of what there is, by kind, and how many name findings are none."""

    there: dict[str, int] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)
    wrong_names: int = 0
    right_names: int = 0
    sentences: int = 0
    told: int = 0

    def share(self, kinds: frozenset[str]) -> str:
        there = sum(count for kind, count in self.there.items() if kind in kinds)
        return f"{sum(self.found.get(kind, 0) for kind in kinds) / there:.2f}" if there else "-"


def sentences() -> Iterator[tuple[str, str, list[Label]]]:
    """Language, text and labels. A place name beside a number is a postal code, for patterns."""
    language = ""
    for line in FILE.read_text("utf-8").splitlines():
        if line.startswith("== "):
            language = line[3:]
        elif line and not line.startswith("#"):
            labels: list[Label] = []
            text, at = "", 0
            for match in _MARKED.finditer(line):
                text += line[at : match.start()]
                kind = "POSTCODE" if match[2] == "LOCATION" and any(map(str.isdigit, match[1])) else match[2]
                labels.append(Label(kind, len(text), len(text) + len(match[1])))
                text += match[1]
                at = match.end()
            yield language, text + line[at:], labels


def count(figures: Figures, text: str, labels: list[Label], spans: list[Span]) -> None:
    """A label counts as found when a finding of its kind touches it; a name when one of any kind of name does."""
    sure = [span for span in spans if span.percent >= SURE]
    for label in labels:
        kinds = NAMES if label.kind in NAMES else {"LOCATION"} if label.kind == "POSTCODE" else {label.kind}
        hit = any(s.entity in kinds and s.start < label.end and label.start < s.end for s in sure)
        figures.there[label.kind] = figures.there.get(label.kind, 0) + 1
        figures.found[label.kind] = figures.found.get(label.kind, 0) + hit
    for span in sure:
        if span.entity in NAMES:
            right = any(span.start < label.end and label.start < span.end for label in labels)
            figures.right_names += right
            figures.wrong_names += not right


def main() -> int:
    registry = RegistrySettings(COUNTRIES)
    if len(sys.argv) > 1:
        registry = load_settings(Path(sys.argv[1])).inspection.registry
    explainer = Explainer(registry)
    by_language: dict[str, Figures] = {code: Figures() for code in LANGUAGES}
    missed: list[str] = []
    for language, text, labels in sentences():
        figures = by_language[language]
        figures.sentences += 1
        figures.told += guess_language(text) == language
        spans = explainer.scan(text)
        before = dict(figures.found)
        count(figures, text, labels, spans)
        missed += [
            f"{language} {kind}: {text}"
            for kind in {label.kind for label in labels}
            if figures.found[kind] - before.get(kind, 0) < sum(label.kind == kind for label in labels)
        ]
    print(f"names: {explainer.name_engine}; found with {SURE} or more\n")
    print("| language | persons | places | organisations | wrong names of all | values for patterns | told right |")
    print("|---|---|---|---|---|---|---|")
    for code, figures in by_language.items():
        values = frozenset(figures.there) - NAMES
        names = figures.right_names + figures.wrong_names
        cells = [figures.share(frozenset({kind})) for kind in ("PERSON", "LOCATION", "ORGANIZATION")]
        cells.append(f"{figures.wrong_names / names:.2f}" if names else "-")
        cells += [figures.share(values), f"{figures.told}/{figures.sentences}"]
        print(f"| {LANGUAGES[code]} | {' | '.join(cells)} |")
    print("\nNot found:", *missed, sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
