"""Trains tokenizer and model on the corpus, on a CPU, for a fixed number of steps.

python -m tools.demo_model.train --corpus .cache/demo_model/corpus.jsonl --out .cache/demo_model
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional

from tools.demo_model.chat import PAD, SPECIAL_TOKENS, TURN_END, TURN_START, render
from tools.demo_model.model import DemoModel, Shape

HELD_OUT_DIALOGUES = 512
TOKENIZER_DIALOGUES = 20_000
WARM_UP_STEPS = 80
FINAL_RATE = 0.02  # of the peak rate


@dataclass(frozen=True)
class Dialogue:
    """Token numbers of one dialogue, and which of them the assistant said (its end of turn too)."""

    tokens: list[int]
    said: list[bool]


def make_tokenizer(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """Byte-level BPE over GPT-2's words, which is what llama.cpp calls "gpt-2".

    A number is a word, so it becomes a few tokens of one to four digits. In a first run, with
    single digits, order numbers came back with their digits mixed up.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() != vocabulary:
        raise ValueError(f"the corpus gives {tokenizer.get_vocab_size()} tokens, not {vocabulary}")
    return tokenizer


def read_dialogues(tokenizer: Tokenizer, texts: Sequence[str], context: int) -> list[Dialogue]:
    """Tokenizes `texts` and marks the assistant's turns."""
    opening = tokenizer.encode(f"{TURN_START}assistant\n").ids
    end = tokenizer.token_to_id(TURN_END)
    dialogues = []
    for encoding in tokenizer.encode_batch(list(texts)):
        tokens = encoding.ids[:context]
        said = [False] * len(tokens)
        place = 0
        while place < len(tokens):
            if tokens[place : place + len(opening)] != opening:
                place += 1
                continue
            place += len(opening)
            while place < len(tokens):
                said[place] = True
                place += 1
                if tokens[place - 1] == end:
                    break
        dialogues.append(Dialogue(tokens, said))
    return dialogues


def batch_of(dialogues: Sequence[Dialogue], pad: int) -> tuple[Tensor, Tensor]:
    """Tokens and marks as two matrices, filled up with `pad` at the end of each row."""
    length = max(len(dialogue.tokens) for dialogue in dialogues)
    tokens = torch.full((len(dialogues), length), pad)
    said = torch.zeros((len(dialogues), length), dtype=torch.bool)
    for row, dialogue in enumerate(dialogues):
        tokens[row, : len(dialogue.tokens)] = torch.tensor(dialogue.tokens)
        said[row, : len(dialogue.said)] = torch.tensor(dialogue.said)
    return tokens, said


def loss_of(model: DemoModel, tokens: Tensor, said: Tensor) -> Tensor:
    """Mean cross-entropy, in nats, of what the assistant said.

    The user's words are read but not predicted: their numbers are noise, and a model that was never trained
    to write a card number is less likely to write one. It also spares those rows the widest matrix product.
    """
    hidden = model.hidden(tokens[:, :-1])
    targets = said[:, 1:]
    return functional.cross_entropy(model.logits(hidden[targets]), tokens[:, 1:][targets])


@dataclass(frozen=True)
class Batches:
    """Batches of dialogues of about the same length, so that little of a matrix is padding."""

    dialogues: Sequence[Dialogue]
    tokens_per_batch: int
    pad: int
    seed: int

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of `step`; the same for the same seed."""
        rng = numpy.random.default_rng((self.seed, step))
        last = int(rng.integers(0, len(self.dialogues)))
        rows = max(1, self.tokens_per_batch // len(self.dialogues[last].tokens))
        return batch_of(self.dialogues[max(0, last - rows + 1) : last + 1], self.pad)


def optimizer_of(model: DemoModel, rate: float) -> torch.optim.AdamW:
    """AdamW, with weight decay on matrices only."""
    matrices = [weight for weight in model.parameters() if weight.dim() > 1]
    norms = [weight for weight in model.parameters() if weight.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": norms, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))


def rate_at(step: int, steps: int) -> float:
    """The share of the peak learning rate at `step`: a linear warm-up, then half a cosine."""
    warm = min(1.0, (step + 1) / WARM_UP_STEPS)
    return warm * (FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * step / steps)))


def held_out_loss(model: DemoModel, dialogues: Sequence[Dialogue], pad: int) -> float:
    """The mean loss over dialogues that no step has seen."""
    with torch.no_grad():
        batches = (batch_of(dialogues[start : start + 64], pad) for start in range(0, len(dialogues), 64))
        losses = [loss_of(model, *batch).item() for batch in batches]
    return sum(losses) / len(losses)


def save(model: DemoModel, folder: Path) -> None:
    """Writes the weights and the sizes to `folder`."""
    torch.save({"shape": asdict(model.shape), "weights": model.state_dict()}, folder / "checkpoint.pt")


def train(model: DemoModel, batches: Batches, held_out: Sequence[Dialogue], options: argparse.Namespace) -> int:
    """Runs all steps, prints a line every 100, and gives the number of tokens seen (padding included)."""
    optimizer = optimizer_of(model, options.rate)
    seen = 0
    for step in range(options.steps):
        for group in optimizer.param_groups:
            group["lr"] = options.rate * rate_at(step, options.steps)
        optimizer.zero_grad(set_to_none=True)
        tokens, said = batches.at(step)
        loss = loss_of(model, tokens, said)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seen += tokens.numel()
        if (step + 1) % 500 == 0:
            save(model, options.out)
        if (step + 1) % 100 == 0 or step + 1 == options.steps:
            out = held_out_loss(model, held_out, batches.pad) if (step + 1) % 500 == 0 else math.nan
            print(
                f"step {step + 1} loss {loss.item():.3f} held-out {out:.3f} tokens {seen} "
                f"cpu {time.process_time():.0f} s",
                flush=True,
            )
    return seen


def parse_options() -> argparse.Namespace:
    """Command line."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for tokenizer.json and checkpoint.pt")
    parser.add_argument("--steps", type=int, default=2800)
    parser.add_argument("--tokens-per-batch", type=int, default=2048)
    parser.add_argument("--rate", type=float, default=0.004, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    """Reads, trains, writes, and prints the figures of the run."""
    options = parse_options()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    shape = Shape()
    with options.corpus.open(encoding="utf-8") as corpus:
        texts = [render(json.loads(line)["messages"]) for line in corpus]
    tokenizer = make_tokenizer(texts[:TOKENIZER_DIALOGUES], shape.vocabulary)
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(options.out / "tokenizer.json"))
    dialogues = read_dialogues(tokenizer, texts, shape.context)
    held_out, rest = dialogues[:HELD_OUT_DIALOGUES], dialogues[HELD_OUT_DIALOGUES:]
    rest.sort(key=lambda dialogue: len(dialogue.tokens))
    model = DemoModel(shape)
    parameters = sum(weight.numel() for weight in model.parameters())
    corpus_tokens = sum(len(dialogue.tokens) for dialogue in dialogues)
    print(
        f"{shape}\nparameters {parameters}, corpus tokens {corpus_tokens}, dialogues {len(dialogues)}, "
        f"longest {len(rest[-1].tokens)}",
        flush=True,
    )
    pad = tokenizer.token_to_id(PAD)
    seen = train(model, Batches(rest, options.tokens_per_batch, pad, options.seed), held_out, options)
    save(model, options.out)
    final = held_out_loss(model, held_out, pad)
    print(
        f"done: steps {options.steps}, tokens seen {seen}, held-out loss {final:.4f} nats, "
        f"cpu {time.process_time():.0f} s"
    )


if __name__ == "__main__":
    main()
