"""Readers of the openly licensed labelled text (README.md says where to get it), and of code as a counter-example."""

from __future__ import annotations

import random
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from tools.name_tagger.synthesis import Document, Span

_LABELS = {
    **dict.fromkeys(("person", "per", "politician", "scientist", "writer", "musicalartist", "researcher"), "PERSON"),
    **dict.fromkeys(("location", "loc", "country", "place", "geo-loc"), "LOCATION"),
    **dict.fromkeys(("organisation", "organization", "org", "corporation", "group"), "ORGANIZATION"),
    **dict.fromkeys(("politicalparty", "university", "band"), "ORGANIZATION"),
}
_NO_SPACE_BEFORE = frozenset(
    (".", ",", ";", ":", "!", "?", ")", "]", "}", "%", "'s", "n't", "'re", "'ve", "'ll", "'m", "'d", "\u2019s", "...")
)
DOMAINS = ("politics", "science", "literature", "music", "ai")


def _sentences(path: Path) -> Iterator[list[tuple[str, str]]]:
    sentence: list[tuple[str, str]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.strip():
            if sentence:
                yield sentence
            sentence = []
            continue
        fields = line.split("\t") if "\t" in line else line.split()
        if not fields[0].startswith("-DOCSTART-"):
            sentence.append((fields[0] or "_", fields[-1].strip()))
    if sentence:
        yield sentence


def _merged(sentence: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Broad Twitter marks every word of a name as B-: neighbours of one type are one name."""
    merged, before = [], "O"
    for word, tag in sentence:
        merged.append((word, f"I-{tag[2:]}" if tag.startswith("B-") and before[2:] == tag[2:] else tag))
        before = tag
    return merged


def _document(sentence: list[tuple[str, str]]) -> Document:
    """The words joined as one would write them."""
    text, spans, open_span = "", [], None
    glued, quoted = True, False
    for raw, tag in sentence:
        word = '"' if raw in ('"', "``", "''") else raw
        space = not (glued or word in _NO_SPACE_BEFORE or (word == '"' and quoted))
        glued = word in "([{$@#" and len(word) == 1
        if word == '"':
            quoted = not quoted
            glued = quoted
        text += " " if space else ""
        start = len(text)
        text += word
        kind = tag.partition("-")[2]
        if open_span and tag.startswith("I") and open_span[3] == kind:
            open_span = (open_span[0], len(text), open_span[2], kind)
            continue
        if open_span:
            spans.append(open_span)
        open_span = (start, len(text), _LABELS.get(kind.lower(), ""), kind) if kind else None
    if open_span:
        spans.append(open_span)
    return text, [(start, end, label) for start, end, label, _ in spans if label]


def read(path: Path, *, merge: bool = False) -> list[Document]:
    """The documents of one file: a token a line, the label last, an empty line between sentences."""
    return [_document(_merged(sentence) if merge else sentence) for sentence in _sentences(path)]


def training(data: Path) -> list[Document]:
    """What is trained on while the held-out parts are measured."""
    documents = read(data / "wnut17.train.conll") * 2
    for section in "abeg":
        documents += read(data / "broad_twitter" / f"{section}.conll", merge=True)
    for domain in DOMAINS:
        for part in ("train", "dev"):
            documents += read(data / "crossner" / f"{domain}.{part}.txt")
    wikigold = read(data / "wikigold.txt")
    return documents + wikigold[: len(wikigold) * 4 // 5]


def held_out(data: Path) -> dict[str, list[Document]]:
    """What is measured, and trained on only for the model that ships."""
    wikigold = read(data / "wikigold.txt")
    return {
        "wnut17 dev": read(data / "wnut17.dev.conll"),
        "crossner test": [d for name in DOMAINS for d in read(data / "crossner" / f"{name}.test.txt")],
        "wikigold, last fifth": wikigold[len(wikigold) * 4 // 5 :],
    }


_CREDITS = re.compile(
    r"author|copyright|written|contribut|thanks|maintain|invented|\bby [A-Z]|@|<[^>]*>|license", re.IGNORECASE
)


def _sources() -> list[Path]:
    """Python's standard library, and the code of what training needs (torch, numpy); without tests and name lists."""
    paths = sysconfig.get_paths()
    roots = [Path(paths["stdlib"]), Path(torch.__file__).parent, Path(np.__file__).parent, Path(paths["include"])]
    left_out = {"test", "tests", "site-packages", "encodings", "testing", "pydoc_data"}
    found: list[Path] = []
    for root in roots:
        inside = [p for kind in ("*.py", "*.h", "*.yaml", "*.cpp") for p in root.rglob(kind)]
        inside = sorted(p for p in inside if not left_out & set(p.relative_to(root).parts))
        found += inside[:: max(1, len(inside) // 1500)]
    return found


def code(*, held_out: bool, count: int, seed: int) -> list[Document]:
    """Pieces of source code, without lines that credit somebody, as text with no entity in it."""
    choose = random.Random(seed)
    part = [path for number, path in enumerate(_sources()) if (number % 3 == 0) == held_out]
    documents: list[Document] = []
    while len(documents) < count:
        lines = choose.choice(part).read_text(encoding="utf-8", errors="replace").splitlines()
        start = choose.randrange(max(1, len(lines) - 10))
        kept = [line[:200] for line in lines[start : start + choose.choice((3, 8, 20))] if not _CREDITS.search(line)]
        no_spans: list[Span] = []
        if kept:
            documents.append(("\n".join(kept), no_spans))
    return documents
