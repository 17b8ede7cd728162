"""Writes the synthetic corpus: one JSON object a line, {"messages": [{"role": …, "content": …}, …]}.

python -m tools.demo_model.corpus --dialogues 80000 --seed 7 --out .cache/demo_model/corpus.jsonl
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from tools.demo_model import general, issues, private, values
from tools.demo_model.held_out import PROMPTS
from tools.demo_model.templates import Exchange

Turn = dict[str, str]

SYSTEM_OPENINGS = (
    "You are a helpful assistant.", "You are a help desk assistant.", "You are a support bot.",
    "You are an AI assistant.",
    "You work at the help desk of Acme.", "You are a friendly assistant for our customers.",
    "You are the HR assistant.",
)  # fmt: skip
SYSTEM_RULES = (
    "Answer in a short and friendly way.", "Be concise.", "Do not repeat personal data.",
    "Answer in English.",
    "Use simple words.", "Never make up facts.", "If you do not know the answer, say so.", "Be polite.",
    "Help the user with accounts, devices, orders, bills and meetings.", "Use the tools when you need them.",
    "Today is a working day.", "Answer in one or two sentences.", "Do not give legal advice.",
    "Follow the rules.",
    "Think before you answer.", "The user is a customer.", "The user is an employee.", "Keep secrets safe.",
)  # fmt: skip
CLASSIFY = (
    "Classify this ticket: ", "classify: ", "Which category does this ticket have? ", "Label this ticket: ",
    "Classify this ticket as account, hardware, shipping, billing, meeting or other: ", "Category? ",
)  # fmt: skip
MAKE_JSON = (
    "Make a JSON ticket: ", "Make a JSON ticket from this text: ", "Turn this into a JSON ticket: ",
    "JSON ticket: ",
    "Extract a ticket as JSON: ",
)  # fmt: skip
IS_URGENT = ("Is this ticket urgent? ", "Is this urgent? ", "How urgent is this ticket? ")
SUMMARISE = (
    "Summarise: ", "Summarize: ", "Summarise this ticket: ", "Summarize this message in one sentence: ",
    "Please summarise this email: ",
    "Give me a short summary: ", "TL;DR: ", "Summarise this text: ",
)  # fmt: skip
OPENINGS = (
    "Hi, ",
    "Hello, ",
    "Good morning, ",
    "Hey, ",
    "Hello! ",
    "Hi there, ",
    "Please help: ",
    "Dear team, ",
)
CLOSINGS = (" Please help.", " Thanks!", " Thank you.", " Can you help me?", " Please.", " Best regards")

# Said before the full stop of a question.
TAILS = (
    "since yesterday", "since this morning", "again", "today", "at the moment", "right now",
    "as soon as possible",
)  # fmt: skip
DRILLS = (
    "Repeat: ",
    "Repeat after me: ",
    "Please repeat: ",
    "Say this again: ",
    "Copy this: ",
    "Read this back: ",
)

PROBLEMS = (
    ("the {item} arrived damaged", "the {item} arrived damaged"), ("my {device} does not turn on",
                                                                   "the {device} does not turn on"),
    ("I cannot log in to the {app}", "the customer cannot log in to the {app}"),
    ("order {order} has not arrived", "order {order} has not arrived"),
    ("I was charged twice for order {order}", "order {order} was charged twice"),
    ("I got the wrong {item}", "the customer got the wrong {item}"), ("my {device} is very slow",
                                                                      "the {device} is very slow"),
    ("I forgot my password", "the customer forgot the password"), ("my card {card} was declined",
                                                                   "the card was declined"),
    ("my card {card} was charged twice for order {order}", "the card was charged twice for order {order}"),
    ("the invoice for order {order} is wrong", "the invoice for order {order} is wrong"),
    ("I lost my {device}", "the customer lost the {device}"),
    ("the {app} does not open", "the {app} does not open"), ("a part of the {item} is missing",
                                                             "a part of the {item} is missing"),
)  # fmt: skip
WISHES = (
    ("Please send me a new one.", "asks for a new one"), ("I want my money back.", "asks for a refund"),
    ("Please call me back.", "asks for a call"), ("Please fix it soon.", "asks for a quick fix"),
    ("Please tell me what to do.", "asks what to do"), ("Please send me an answer by email.",
                                                        "asks for an answer by email"),
)  # fmt: skip
FILLERS = (
    "I am at home all week.", "It worked well last week.", "This is the second time.",
    "I have been a customer for five years.",
    "My colleagues have the same problem.", "I am not happy about it.", "I need it for work.",
    "I bought it on {day}.",
    "I live in {city}.", "My email is {email}.", "My phone number is {phone}.", "I have tried everything.",
    "I have to leave on {day}.",
)  # fmt: skip
TOOL_STATES = (
    ("shipped", "Order {order} has been shipped."), ("delivered", "Order {order} has been delivered."),
    ("paid", "Order {order} has been paid."),
    ("refunded", "Order {order} has been refunded."), ("cancelled", "Order {order} has been cancelled."),
    ("open", "Order {order} is still open."),
)  # fmt: skip


def _capitalise(text: str) -> str:
    return text[0].upper() + text[1:]


def _typo(rng: random.Random, text: str) -> str:
    """`text` with two neighbouring letters exchanged, one left out or one doubled."""
    place = rng.randrange(len(text) - 1)
    pair = text[place : place + 2]
    if not pair.isalpha():
        return text
    changed = rng.choice((pair[::-1], pair[0], pair[0] + pair))
    return text[:place] + changed + text[place + 2 :]


def user_turn(rng: random.Random, question: str, *, dressed: bool = True) -> Turn:
    """A question as people type it: with or without greeting, capital letter, full stop and typing errors."""
    text = question
    if dressed and rng.random() < 0.1 and text[-1] in ".?":
        text = f"{text[:-1]} {rng.choice(TAILS)}{text[-1]}"
    if dressed and rng.random() < 0.3:
        text = rng.choice(OPENINGS) + text
    if dressed and rng.random() < 0.2:
        text += rng.choice(CLOSINGS)
    if rng.random() < 0.88:
        text = _capitalise(text)
    if rng.random() < 0.25:
        text = text.rstrip(".?!")
    if rng.random() < 0.04:
        text = text.lower()
    while len(text) > 8 and rng.random() < 0.08:
        text = _typo(rng, text)
    return {"role": "user", "content": text}


def _answer(text: str) -> Turn:
    return {"role": "assistant", "content": text}


def _ticket(rng: random.Random) -> Exchange:
    drawn = values.draw(rng)
    if rng.random() < 0.3:
        return private.draw(rng, drawn)
    return rng.choice(issues.ALL).draw(rng, drawn)


def label_task(rng: random.Random) -> list[Turn]:
    """A ticket to classify, to turn into JSON, or to judge for urgency."""
    ticket = _ticket(rng)
    roll = rng.random()
    if roll < 0.4:
        ask, answer = rng.choice(CLASSIFY), ticket.label
    elif roll < 0.8:
        priority = "high" if ticket.urgent else "normal"
        ask, answer = rng.choice(MAKE_JSON), json.dumps({"category": ticket.label, "priority": priority})
    else:
        ask = rng.choice(IS_URGENT)
        answer = "Yes, this ticket is urgent." if ticket.urgent else "No, this ticket is not urgent."
    text = user_turn(rng, ticket.question)["content"]
    return [{"role": "user", "content": ask + text}, _answer(answer)]


def summary_task(rng: random.Random) -> list[Turn]:
    """A short letter to summarise in one sentence."""
    drawn = values.draw(rng)
    (told, reported), (wish, asked) = rng.choice(PROBLEMS), rng.choice(WISHES)
    story = [_capitalise(told) + ".", *rng.sample(FILLERS, rng.randint(0, 3)), wish]
    if rng.random() < 0.6:
        story.insert(0, rng.choice(("Hello, my name is {name}.", "I am {name}.", "My name is {name}.", "Hello.")))
    if reported.startswith("the customer"):
        answer = f"In short: {reported} and {asked}."
    else:
        answer = rng.choice((
            f"The customer reports that {reported} and {asked}.",
            f"In short: {reported}, and the customer {asked}.",
        ))  # fmt: skip
    ask = rng.choice(SUMMARISE) + " ".join(story).format_map(drawn)
    return [{"role": "user", "content": ask}, _answer(answer.format_map(drawn))]


def tool_task(rng: random.Random) -> list[Turn]:
    """A question, the result of a tool, and the answer that says what the tool found."""
    order = values.digits(rng, 4)
    state, answer = rng.choice(TOOL_STATES)
    result = rng.choice((
        json.dumps({"order": order, "status": state}),
        json.dumps({"status": state, "order": order}),
        f"order {order}: {state}",
    ))  # fmt: skip
    question = rng.choice(
        ("where is order {0}?", "what is the status of order {0}?", "please look up order {0}.")
    ).format(order)
    return [
        user_turn(rng, question),
        {"role": "tool", "content": result},
        _answer(answer.format(order=order)),
    ]


def memory_task(rng: random.Random) -> list[Turn]:
    """A dialogue whose last question is answered by an earlier turn: a first name or an order number."""
    drawn = values.draw(rng)
    first, order = drawn["first"], drawn["order"]
    if rng.random() < 0.5:
        opening = rng.choice((f"my name is {first}.", f"I am {first}.", f"hello, my name is {first}."))
        turns = [
            user_turn(rng, opening, dressed=False),
            _answer(f"Nice to meet you, {first}. How can I help you?"),
        ]
        last = rng.choice(("what is my name?", "do you remember my name?", "who am I?"))
        answer = f"Your name is {first}."
    else:
        turns = [user_turn(rng, f"where is order {order}?"), _answer(f"Order {order} is on its way to you.")]
        last = rng.choice(("what is my order number?", "which order was that?"))
        answer = f"Your order number is {order}."
    if rng.random() < 0.4:
        turns += _exchange_turns(rng, rng.choice(issues.ALL).draw(rng, values.draw(rng)))
    return [*turns, user_turn(rng, last, dressed=False), _answer(answer)]


def copy_drill(rng: random.Random) -> list[Turn]:
    """Names and order numbers to say back.

    They give a small model practice in copying from the prompt; it otherwise tends to guess a name.
    """
    forms = (
        "order {order}",
        "{first}",
        "{name}",
        "{first} and {item}",
        "{amount} dollars",
        "order {order} for {first}",
    )
    things = [rng.choice(forms).format_map(values.draw(rng)) for _ in range(rng.randint(1, 6))]
    text = rng.choice((", ", " ", "; ")).join(things)
    return [{"role": "user", "content": rng.choice(DRILLS) + text}, _answer(text)]


def _exchange_turns(rng: random.Random, exchange: Exchange, *, dressed: bool = True) -> list[Turn]:
    return [user_turn(rng, exchange.question, dressed=dressed), _answer(exchange.answer)]


def conversation(rng: random.Random) -> list[Turn]:
    """One to twelve questions of any kind, some going on from the answer before."""
    length = rng.choice((1, 1, 1, 1, 1, 2, 2, 3)) if rng.random() < 0.96 else rng.randint(4, 12)
    turns: list[Turn] = []
    for _ in range(length):
        roll = rng.random()
        if roll < 0.42:
            exchange, dressed = rng.choice(issues.ALL).draw(rng, values.draw(rng)), True
        elif roll < 0.74:
            exchange, dressed = private.draw(rng, values.draw(rng)), True
        elif roll < 0.85:
            exchange, dressed = general.small_talk(rng), False
        elif roll < 0.89:
            exchange, dressed = general.fact(rng), False
        else:
            exchange, dressed = general.out_of_reach(rng), False
        turns += _exchange_turns(rng, exchange, dressed=dressed)
        if roll < 0.74 and rng.random() < 0.12:
            turns += _exchange_turns(rng, general.follow_up(rng, exchange.label), dressed=False)
    return turns


TASKS: tuple[tuple[Callable[[random.Random], list[Turn]], int], ...] = (
    (conversation, 66), (copy_drill, 14), (label_task, 9), (summary_task, 5), (memory_task, 3),
    (tool_task, 3),
)  # fmt: skip


def dialogue(rng: random.Random) -> list[Turn]:
    """One dialogue, in half of the cases under a system prompt."""
    (task,) = rng.choices([task for task, _ in TASKS], [weight for _, weight in TASKS])
    turns = task(rng)
    if rng.random() < 0.5:
        rules = rng.sample(SYSTEM_RULES, rng.choice((0, 0, 0, 1, 2, 4)))
        turns.insert(0, {"role": "system", "content": " ".join((rng.choice(SYSTEM_OPENINGS), *rules))})
    return turns


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).rstrip(".?! ")


def dialogues(count: int, seed: int) -> Iterator[list[Turn]]:
    """`count` dialogues, none of which holds a prompt of `held_out.PROMPTS`."""
    rng = random.Random(seed)
    held_out = {_plain(prompt) for prompt in PROMPTS}
    made = 0
    while made < count:
        turns = dialogue(rng)
        if any(turn["role"] == "user" and _plain(turn["content"]) in held_out for turn in turns):
            continue
        made += 1
        yield turns


def main() -> None:
    """Command line."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument("--dialogues", type=int, default=80_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", encoding="utf-8") as out:
        for turns in dialogues(options.dialogues, options.seed):
            out.write(json.dumps({"messages": turns}, ensure_ascii=False) + "\n")
    print(f"{options.dialogues} dialogues, seed {options.seed}: {options.out}")


if __name__ == "__main__":
    main()
