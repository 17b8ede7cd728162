"""Texts to inspect: dense with data, ordinary prose, source code. No value belongs to anybody."""

import random

_FIRST = ("Anna", "Brian", "Carla", "David", "Emma", "Jürgen", "Grace", "Henry", "Irene", "James", "María", "Paweł")
_LAST = ("Kowalski", "Miller", "Garcia", "Schmidt", "Okafor", "Nguyen", "Rossi", "Dubois", "Lindqvist", "O'Brien")
_STREETS = ("High Street", "Maple Avenue", "Church Road", "King's Lane")
_CITIES = ("Springfield", "Leeds", "Boston", "Austin")
_TOPICS = (
    "the quarterly report is late because two suppliers changed their terms",
    "please explain how the cache decides what to keep when memory is short",
    "we should agree on a plan before the meeting and write down who does what",
    "the second paragraph repeats the first and could be cut without harm",
    "a reader who skips the introduction will not understand the example",
)
_CODE = (
    "def total(items: list[int], start: int = 0) -> int:\n    return start + sum(item * 3 for item in items)\n",
    "for (let i = 0; i < rows.length; i++) { out.push(`${rows[i].id}-${i}`); }\n",
    "SELECT id, created_at FROM orders WHERE status = 'open' AND total > 100.50 ORDER BY id LIMIT 50;\n",
    "2026-03-01T10:15:30Z INFO worker-7 request took 132 ms status=200 bytes=48213 trace=4bf92f3577b34da6\n",
    "if err := client.Do(ctx, req); err != nil { return fmt.Errorf(\"do: %w\", err) }\n",
)  # fmt: skip


def dense(size: int, seed: int = 1) -> str:
    """Text of `size` characters in which nearly every sentence carries personal or secret data, all different."""
    rng = random.Random(seed)
    parts: list[str] = []
    length = 0
    while length < size:
        part = _sentence(rng)
        parts.append(part)
        length += len(part) + 1
    return " ".join(parts)[:size]


def prose(size: int, seed: int = 1) -> str:
    """Text without data."""
    rng = random.Random(seed)
    parts: list[str] = []
    while sum(map(len, parts)) < size:
        parts.append(rng.choice(_TOPICS).capitalize() + ". ")
    return "".join(parts)[:size]


def code(size: int, seed: int = 1) -> str:
    """Source code and log lines, without data."""
    rng = random.Random(seed)
    parts: list[str] = []
    while sum(map(len, parts)) < size:
        parts.append(rng.choice(_CODE))
    return "".join(parts)[:size]


def _sentence(rng: random.Random) -> str:
    first, last = rng.choice(_FIRST), rng.choice(_LAST)

    def number(digits: int) -> str:
        return "".join(rng.choices("0123456789", k=digits))

    return rng.choice(
        (
            f"My name is {first} {last} and my e-mail is {first}.{last}{number(3)}@example.com.".lower().capitalize(),
            f"Please call {first} {last} on +1 212-555-{number(4)} or 020 7946 0{number(3)}.",
            f"SSN {rng.randint(100, 599)}-{rng.randint(10, 99)}-{rng.randint(1000, 9999)}, passport {number(9)}.",
            f"Card {_card(rng)} belongs to {first} {last}.",
            f"Transfer it to IBAN {_iban(rng)} before Friday.",
            f"{first} lives at {rng.randint(1, 250)} {rng.choice(_STREETS)}, {rng.choice(_CITIES)}.",
            f"Host {rng.randint(11, 99)}.{rng.randint(0, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)} answers.",
            f"password: {rng.choice('kqxz')}{number(2)}-{rng.randbytes(4).hex()} for user {last.lower()}",
            f"api_key = sk-proj-{rng.randbytes(20).hex()}",
            f"NHS number {number(3)} {number(3)} {number(4)}, bank account {number(10)}.",
        )
    )


def _card(rng: random.Random) -> str:
    digits = [4, *(rng.randint(0, 9) for _ in range(14))]
    total = sum(d if i % 2 else (2 * d - 9 if d > 4 else 2 * d) for i, d in enumerate(digits))
    text = "".join(map(str, digits)) + str(-total % 10)
    return " ".join(text[i : i + 4] for i in range(0, 16, 4))


def _iban(rng: random.Random) -> str:
    account = "".join(rng.choices("0123456789", k=18))
    check = 98 - int(account + "131400") % 97
    text = f"DE{check:02d}{account}"
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))
