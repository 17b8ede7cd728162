"""Trains the tagger and writes its model file.

    python -m tools.name_tagger.train --data DIR --out gateway/inspection/tagger/model.npz

`--final` trains on the held-out public text too: that is the model that ships; the figures come from a run without.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gateway.inspection.tagger.decoding import WORD
from gateway.inspection.tagger.features import LONGEST, TOKEN, VERSION, rows
from gateway.inspection.tagger.lexicon import UNKNOWN, Lexicon
from tools.name_tagger import corpora, lists
from tools.name_tagger.network import Tagger
from tools.name_tagger.synthesis import Document, noisy, synthesise
from tools.name_tagger.values import Values

KINDS = ("PERSON", "LOCATION", "ORGANIZATION", "ADDRESS", "NRP", "DATE_TIME", "AGE", "TITLE")
LABELS = ("O", *(f"{part}-{kind}" for kind in KINDS for part in "BI"))
UNLABELLED = ("NRP", "DATE_TIME", "AGE", "TITLE")
"""Kinds that the public corpora do not mark: there, a word without a label may still be one of them."""

SHAPE = (96, 96)
WINDOWS = ((7, 1), (3, 2), (3, 5))
THRESHOLD = 0.4
"""Chosen on WNUT 2017 dev and held-out templates, for recall."""

SLOPE, INTERCEPT = 0.77, 0.0
"""The slope is measured (`calibration` in evaluate.py). The intercept measured with it, -1.29, would make the score the
chance exactly, and leave out too much at 0.5: where in doubt, data are protected."""

CODE_WEIGHT = 3.0
"""A false alarm in code is learnt from as much as this many misses."""

SLOTS = {"PERSON": ("FIRST", "PERSON"), "LOCATION": ("CITY", "PLACE"), "ORGANIZATION": ("ORG", "ORG")}


def replaced(document: Document, values: Values) -> Document:
    """The document with other names in place of its own, so that sentences are learnt and not names."""
    text, spans = document
    out, moved, done = "", [], 0
    for start, end, kind in spans:
        out += text[done:start]
        value = text[start:end]
        if values.random.random() < 0.7:
            value = values.value(SLOTS[kind][" " in value])
        moved.append((len(out), len(out) + len(value), kind))
        out, done = out + value, end
    return out + text[done:], moved


def tokens(document: Document) -> tuple[list[str], list[int]]:
    """The tokens of a document and the number of the label of each."""
    text, spans = document
    pieces, labels, at = TOKEN.findall(text), [], 0
    waiting = sorted(spans)
    started = False
    for piece in pieces:
        start, at = at + len(piece) - len(piece.lstrip()), at + len(piece)
        while waiting and start >= waiting[0][1]:
            waiting.pop(0)
            started = False
        if waiting and at > waiting[0][0] and (start >= waiting[0][0] or piece.strip()):
            labels.append(1 + 2 * KINDS.index(waiting[0][2]) + started)
            started = True
        else:
            labels.append(0)
    return [piece[:LONGEST] for piece in pieces], labels


def gather(data: Path, count: int, seed: int, final: bool) -> list[tuple[Document, float]]:
    """Documents, and how much they count; 0 for those in which not every kind of entity is marked (they count 1)."""
    values = Values(seed + 1)
    public = corpora.training(data)
    if final:
        public += [d for part in corpora.held_out(data).values() for d in part]
    public = [d for d in public if d[0].strip()]
    changed = [replaced(document, values) for document in public if document[1]]
    documents = [(noisy(d, values.random), 0.0) for d in (*public, *changed)]
    documents += [(d, 1.0) for d in synthesise(count, seed, held_out=False)]
    documents += [(d, CODE_WEIGHT) for d in corpora.code(held_out=False, count=count // 5, seed=seed)]
    return documents


def outside_and_entities(
    texts: Iterable[tuple[list[str], list[int]]],
) -> tuple[Counter[str], Counter[tuple[str, ...]]]:
    """The words in no entity, and the entities as their words."""
    outside: Counter[str] = Counter()
    entities: Counter[tuple[str, ...]] = Counter()
    for pieces, marks in texts:
        entity: list[str] = []
        for piece, mark in zip((*pieces, ""), (*marks, 0), strict=True):
            if entity and (mark == 0 or mark % 2 == 1):
                entities[tuple(entity)] += 1
                entity = []
            found = WORD.findall(piece)
            if mark:
                entity += found
            else:
                outside.update(found)
    return outside, entities


class Batches:
    """Texts as numbers of unique words, in batches of texts of like length."""

    def __init__(self, documents: list[tuple[Document, float]], size: int, seed: int) -> None:
        self._random = random.Random(seed)
        self._size = size
        labelled = [(*tokens(document), weight) for document, weight in documents]
        self._texts = sorted((t for t in labelled if t[0]), key=lambda text: len(text[0]))
        self.words = Counter(piece.strip().lower() for pieces, _, _ in self._texts for piece in pieces)
        names = sorted({piece for pieces, _, _ in self._texts for piece in pieces})
        self.outside, self.entities = outside_and_entities((pieces, marks) for pieces, marks, _ in self._texts)
        self.numbers = {piece: number for number, piece in enumerate(names)}
        self.names = names

    def __iter__(self) -> Any:
        batch: list[Any] = []
        batches = []
        for text in self._texts:
            if batch and (len(batch) + 1) * len(text[0]) > self._size:
                batches.append(batch)
                batch = []
            batch.append(text)
        batches.append(batch)
        self._random.shuffle(batches)
        for batch in batches:
            yield self._tensors(batch)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _tensors(self, batch: list[Any]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        longest = max(len(text[0]) for text in batch)
        words = np.zeros((len(batch), longest), np.int64)
        weights = np.zeros((len(batch), longest), np.float32)
        labels = np.zeros((len(batch), longest), np.int64)
        complete = np.zeros((len(batch), longest), bool)
        for i, (pieces, marks, weight) in enumerate(batch):
            words[i, : len(pieces)] = [self.numbers[piece] for piece in pieces]
            labels[i, : len(pieces)] = marks
            weights[i, : len(pieces)] = weight or 1
            complete[i] = weight > 0
        return tuple(map(torch.from_numpy, (words, weights, labels, complete)))  # type: ignore[return-value]


def loss_of(scores: Tensor, labels: Tensor, weight: Tensor, complete: Tensor) -> Tensor:
    """Cross entropy; where not every kind is marked, no label leaves room for the kinds that are not."""
    logs = torch.log_softmax(scores, -1)
    right = logs.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    open_kinds = [0, *(i for i, label in enumerate(LABELS) if label[2:] in UNLABELLED)]
    room = torch.logsumexp(logs[..., open_kinds], -1)
    right = torch.where((labels == 0) & ~complete, room, right)
    return -(right * weight).sum() / (weight > 0).sum()


def train(batches: Batches, lexicon: Lexicon, args: argparse.Namespace) -> Tagger:
    """Adam with a rate that rises and falls once."""
    described = np.array([rows(name, lexicon.word(name.strip())) for name in batches.names], np.int64)
    unknown = np.array([rows(name, UNKNOWN) for name in batches.names], np.int64)
    tables = torch.from_numpy(described), torch.from_numpy(unknown)
    model = Tagger(len(LABELS), (args.width, args.hidden), WINDOWS, dropout=args.dropout)
    steps = len(batches) * args.epochs
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.rate, total_steps=steps + 1, pct_start=0.15)
    model.train()
    began = time.process_time()
    for epoch in range(args.epochs):
        total = count = 0.0
        for words, weight, labels, complete in batches:
            unique, inverse = torch.unique(words, return_inverse=True)
            row = tables[0][unique]
            blank = torch.rand(len(unique))
            row = torch.where((blank < 0.06).unsqueeze(1), tables[1][unique], row)
            row[:, 0] = torch.where(blank < 0.2, torch.zeros_like(row[:, 0]), row[:, 0])  # the word itself forgotten
            loss = loss_of(model(row, inverse, (weight > 0).float()), labels, weight, complete)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total, count = total + float(loss.detach()), count + 1
        print(f"epoch {epoch + 1} loss {total / count:.4f} cpu {time.process_time() - began:.0f} s", flush=True)
    return model.eval()


def save(path: Path, model: Tagger, words: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
    """The arrays that gateway/inspection/tagger/model.py reads."""
    state = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    first, *others = (state[f"layers.{i}.weight"] for i in range(len(WINDOWS)))  # (out, in, window)
    steps = np.maximum(np.abs(state["embedding"]).max(axis=1, keepdims=True), 1e-6) / 127  # of eight bits, by row
    arrays = {
        "embedding": np.rint(state["embedding"] / steps).astype(np.int8),
        "embedding_steps": steps.astype(np.float32),
        "embedding_bias": state["bias"],
        "first": first.transpose(2, 1, 0).astype(np.float16),
        "first_bias": state["layers.0.bias"],
        "output": state["output.weight"].T.copy(),
        "output_bias": state["output.bias"],
    }
    for i, weight in enumerate(others):
        arrays[f"layer{i}"] = weight.transpose(2, 1, 0).reshape(-1, weight.shape[0]).astype(np.float16)
        arrays[f"layer{i}_bias"] = state[f"layers.{i + 1}.bias"]
    with path.open("wb") as file:
        np.savez(file, facts=np.array(json.dumps(facts)), **arrays, **words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory of the labelled text, see README.md")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--documents", type=int, default=40_000, help="how many to make from templates")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--width", type=int, default=SHAPE[0])
    parser.add_argument("--hidden", type=int, default=SHAPE[1])
    parser.add_argument("--dropout", type=float, default=0.25)
    parser.add_argument("--final", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    documents = gather(args.data, args.documents, args.seed, args.final)
    digest = hashlib.sha256()
    for (text, spans), _ in documents:
        digest.update(repr((text, spans)).encode())
    batches = Batches(documents, 6000, args.seed)
    print(
        f"{len(documents)} documents, {sum(batches.words.values())} tokens, {len(batches.names)} different", flush=True
    )
    arrays = lists.build(batches.words)
    fields = tuple(arrays[name] for name in ("vocabulary", "lower_cluster", "title_cluster", "use", "lists"))
    words = Lexicon(arrays["hashes"], fields)
    ordinary = "\n".join(lists.ordinary(batches.outside, batches.entities, words))
    arrays["ordinary"] = np.frombuffer(ordinary.encode(), np.uint8)
    model = train(batches, words, args)
    facts = {
        "features": VERSION,
        "labels": LABELS,
        "distances": [distance for _, distance in WINDOWS[1:]],
        "threshold": THRESHOLD,
        "slope": SLOPE,
        "intercept": INTERCEPT,
        "data": digest.hexdigest(),
        "seed": args.seed,
    }
    save(args.out, model, arrays, facts)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
