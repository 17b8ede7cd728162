"""Asks the gateway's own engine for the sample answers of docs/demo-model.md, and writes them there.

    python -m tools.demo_model.answers --write

At temperature 0 the most likely token is taken each time. Where two are almost equally likely, another processor may
take the other one. So an answer is shown only if the second token was never closer than `CLEAR` in log-probability.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from adapters.llama_cpp.client import Exchange
from adapters.llama_cpp.frames import Kind
from adapters.llama_cpp.supervisor import EngineConfig, EngineSupervisor

PAGE = Path("docs/demo-model.md")
BEGIN, END = "<!-- answers: begin -->\n", "<!-- answers: end -->\n"
CLEAR = 0.25  # nats; an engine that sums in another order moves a token by some thousandths
SECONDS = 60.0
REQUEST = {"temperature": 0, "seed": 1, "max_tokens": 96}

# Of the held-out prompts and of the demo; good and bad answers alike.
PROMPTS = (
    "My card number 4242 4242 4242 4242 was charged twice for order 1234, please help",
    "Please refund card 5555 5555 5555 4444, I never got the kettle.",
    "My SSN is 536-90-4399, draft a letter to the tax office",
    "Write a short reply to Anna Kowalski about her order",
    "Somebody stole my card 4000 0566 5566 5556 and used it yesterday",
    "I forgot the password of my email",
    "The monitor has a red light and stays black",
    "Please cancel order 1357, I do not need it any more",
    "Classify this ticket: the router in the kitchen has no power",
    "Make a JSON ticket: I am locked out of the payroll portal since this morning",
    "Could you tell me what the capital of France is?",
    "Who will win the next world cup?",
    "Order 5821 has not come yet. When will it be here?",
    "Please send my refund for order 4410 to IBAN DE89 3704 0044 0532 0130 00, thank you",
    "Invite Elena Rossi to a meeting on Thursday at 14",
    "What is 3 + 4, please?",
    "Write a Python script that sorts a list of numbers",
)


@dataclass(frozen=True)
class Sample:
    """An answer; `margin` is how far, in nats, the second token was behind where it was closest."""

    prompt: str
    answer: str
    margin: float


async def sample(engine: EngineSupervisor, prompt: str) -> Sample:
    """Raises `ValueError` for an answer that the model did not end itself."""
    body = {**REQUEST, "messages": [{"role": "user", "content": prompt}], "logprobs": True, "top_logprobs": 2}
    exchange = await Exchange.open(engine.socket)
    try:
        exchange.send(Kind.CHAT, orjson.dumps(body))
        frame = await exchange.next(SECONDS)
    finally:
        exchange.close()
    if frame.kind is not Kind.WHOLE:
        raise ValueError(f"{prompt!r}: {frame.payload.decode()}")
    choice = orjson.loads(frame.payload)["choices"][0]
    if choice["finish_reason"] != "stop":
        raise ValueError(f"{prompt!r}: the answer does not end")
    likely = [[each["logprob"] for each in token["top_logprobs"]] for token in choice["logprobs"]["content"]]
    return Sample(prompt, choice["message"]["content"], min(first - second for first, second in likely))


async def samples(model: Path) -> list[Sample]:
    """One after the other, on one thread: so they are the same each time, to the last bit."""
    config = EngineConfig("demo", model, context_tokens=1024, threads=1, parallel=1, flash_attention="off")
    engine = EngineSupervisor(config)
    await engine.start()
    try:
        return [await sample(engine, prompt) for prompt in PROMPTS]
    finally:
        await engine.aclose()


def table(found: Sequence[Sample]) -> str:
    """The clear ones as Markdown."""
    rows = [(each.prompt, each.answer) for each in found if each.margin >= CLEAR]
    cells = (tuple(text.replace("|", "\\|").replace("\n", " ") for text in row) for row in rows)
    return "| asked | answered |\n|---|---|\n" + "".join(f"| {asked} | {answered} |\n" for asked, answered in cells)


def main() -> None:
    """Command line."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument("--model", type=Path, default=Path("models/demo-helpdesk.gguf"))
    parser.add_argument("--write", action="store_true", help=f"put them into {PAGE}")
    options = parser.parse_args()
    found = asyncio.run(samples(options.model))
    for each in found:
        if each.margin < CLEAR:
            print(f"left out, because its closest token is only {each.margin:.3f} nats behind: {each.prompt}")
    if not options.write:
        print(table(found), end="")
        return
    head, begin, rest = PAGE.read_text().partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE} has no place for the answers ({BEGIN.strip()} … {END.strip()})")
    PAGE.write_text(head + BEGIN + table(found) + END + tail)
    print(f"{PAGE}: {sum(each.margin >= CLEAR for each in found)} answers")


if __name__ == "__main__":
    main()
