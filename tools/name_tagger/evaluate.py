"""Measures a model file on what it was not trained on.

python -m tools.name_tagger.evaluate --data DIR [--model FILE]
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from gateway.inspection.tagger.decoding import WORD, spans
from gateway.inspection.tagger.model import DEFAULT, Model, load
from tools.name_tagger import corpora, measure
from tools.name_tagger.synthesis import LANGUAGES, Document, Span, synthesise

ENGLISH = frozenset({"english_people", "english_places", "english_work", "english_more"})
KINDS = ("PERSON", "LOCATION", "ORGANIZATION", "ADDRESS", "NRP", "DATE_TIME", "AGE", "TITLE")

_PLAIN = (
    "Write a short poem about the sea and the wind in the morning. Explain why the waves are so loud, and how one can "
    "find the way home without a map when the night is cold and the sky is full of clouds."
)


def finder(model: Model) -> measure.Find:
    """The spans of a text that are counted."""

    def find(text: str) -> list[Span]:
        return [(start, end, kind) for kind, start, end, score in spans(model, text) if score >= 0.5]

    return find


def templates(find: measure.Find, seed: int) -> None:
    """Templates that training never saw, by language and kind."""
    for name, files in (
        ("English", ENGLISH),
        ("pasted", frozenset({"english_pasted"})),
        ("long prompts", frozenset({"long_prompts"})),
        ("structured", frozenset({"structured"})),
        *((language.title(), frozenset({language})) for language in LANGUAGES),
    ):
        documents = list(synthesise(2500 if name == "English" else 500, seed, held_out=True, languages=files))
        covered, wrong = measure.characters(documents, find)
        print(f"{name:14} {measure.whole(documents, find)}  characters {covered:.3f} wrong {wrong:.3f}")
        if name == "English":
            for kind in KINDS:
                print(f"    {kind:12} {measure.exact(documents, find, (kind,))}")


def ordinary_words(model: Model, documents: list[Document]) -> None:
    """What the rule loses that nothing is found where all words are ordinary, and how often that needs no network."""
    with_rule, without = finder(model), finder(replace(model, ordinary=frozenset()))
    true = lost = gate = alarms = 0
    for text, wanted in documents:
        kept, all_found = with_rule(text), without(text)
        through = model.ordinary.issuperset(WORD.findall(text))
        true += len(wanted)
        for span in wanted:
            was = any(measure.overlap(span[:2], found[:2]) >= 0.5 for found in all_found)
            if was and not any(measure.overlap(span[:2], found[:2]) >= 0.5 for found in kept):
                lost += 1
                gate += through
        alarms += len(all_found) - len(kept)
    print(f"ordinary words: of {true} true spans {lost} lost, {gate} of them by the gate; {alarms} findings fewer")


def false_alarms(find: measure.Find, folders: list[Path]) -> None:
    """Findings in 20,000 characters of code that training never saw."""
    texts = {"held out": ["\n".join(d[0] for d in corpora.code(held_out=True, count=2500, seed=7))]}
    for folder in folders:
        files = sorted(p for kind in ("js", "c", "h", "yaml", "yml", "py", "log") for p in folder.rglob(f"*.{kind}"))
        texts[str(folder)] = [p.read_text("utf-8", "replace")[:60_000] for p in files[:: max(1, len(files) // 60)]]
    for name, parts in texts.items():
        size = sum(map(len, parts))
        found = [f"{text[start:end]} {kind}" for text in parts for start, end, kind in find(text)]
        sample = found[:: max(1, len(found) // 14)]
        print(f"{name}: {len(found) / max(1, size) * 20_000:.2f} in 20,000 of {size} characters; {sample!r}")


def calibration(model: Model, documents: list[Document]) -> None:
    """Prints the slope and intercept with which the score is the chance that a span overlaps a true one by half."""
    raw = replace(model, slope=1.0, intercept=0.0)
    odds, right = [], []
    for text, wanted in documents:
        for kind, start, end, score in spans(raw, text):
            if kind in KINDS[:4]:
                odds.append(math.log(score / (1 - score)))
                right.append(any(measure.overlap((start, end), (a, b)) >= 0.5 for a, b, _ in wanted))
    x, y = np.array(odds), np.array(right, float)
    design = np.stack([x, np.ones_like(x)], axis=1)
    weights = np.array([0.1, 0.0])
    for _ in range(50):  # Newton's method for the logistic regression, with a little ridge
        chance = 1 / (1 + np.exp(-design @ weights))
        hessian = (design * (chance * (1 - chance))[:, None]).T @ design + np.eye(2)
        weights += np.clip(np.linalg.solve(hessian, design.T @ (y - chance)), -0.3, 0.3)
    print(f"calibration: slope {weights[0]:.2f} intercept {weights[1]:.2f}, {len(x)} spans, {y.mean():.3f} right")
    for low in np.arange(0.3, 1.0, 0.1):
        there = (chance >= low) & (chance < low + 0.1)
        if there.any():
            print(f"    score {low:.1f}: {y[there].mean():.2f} right of {there.sum()}")


def speed(model: Model) -> None:
    """Milliseconds of processor time, everything seen once before; the first text is of ordinary words only."""
    dense = " ".join(d[0] for d in synthesise(900, 3, held_out=True))
    for text in (_PLAIN, *(dense[:size] for size in (200, 1000, 10_000, 100_000))):
        spans(model, text)
        times = []
        for _ in range(5 if len(text) > 50_000 else 40):
            began = time.process_time()
            spans(model, text)
            times.append(time.process_time() - began)
        print(f"{len(text):7} characters: {sorted(times)[len(times) // 2] * 1000:.3f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=DEFAULT)
    parser.add_argument(
        "--code", type=Path, nargs="*", default=[], help="folders of source code, to count false alarms"
    )
    args = parser.parse_args()
    began = time.process_time()
    model = load(args.model)
    print(f"loaded in {(time.process_time() - began) * 1000:.0f} ms, {args.model.stat().st_size / 1e6:.1f} MB")
    find = finder(model)
    for name, documents in corpora.held_out(args.data).items():
        print(f"{name:22} {measure.exact(documents, find)}")
        for kind in KINDS[:3]:
            print(f"    {kind:12} {measure.exact(documents, find, (kind,))}")
    templates(find, seed=99)
    public = [d for documents in corpora.held_out(args.data).values() for d in documents]
    calibration(model, public + list(synthesise(2000, 98, held_out=True)))
    ordinary_words(model, public + list(synthesise(3000, 98, held_out=True)))
    false_alarms(find, args.code)
    speed(model)


if __name__ == "__main__":
    main()
