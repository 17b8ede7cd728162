"""Prompts whose user text never repeats.

A gateway may remember what it found in a text it has already inspected. A benchmark that sends one
prompt over and over then measures the cache and calls it inspection. So every sentence made here is
new: a sentence is a number written in words, each request takes the next numbers, and a run starts at
a random one. Two sentences are equal only after 10^10 of them.
"""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

import orjson

MODEL = "bench"
REPEAT_REQUEST = "Please repeat this message unchanged."
MAIL_DOMAIN = "example.com"
LARGE_BYTES = 20_000
CONVERSATIONS = 32

_OPENERS = (
    "please explain why", "tell me in one line how", "describe when", "show with an example how",
    "list the reasons why", "say in plain words how", "work out whether", "compare the ways in which",
    "check again whether", "summarise how", "outline the steps by which", "give the usual cause when",
    "sketch how", "decide whether", "argue briefly why", "find out how often",
    "estimate how quickly", "clarify whether", "restate why", "note the conditions under which",
)  # fmt: skip
_SUBJECTS = (
    "a queue", "the scheduler", "our cache", "a background job", "the index", "a retry loop", "the parser",
    "a slow query", "the build", "a test suite", "the load balancer", "a worker pool", "the migration",
    "a feature flag", "the deployment", "a timeout", "the message broker", "a connection pool",
    "the log pipeline", "a batch import", "the search service", "a rate limiter", "the compiler",
    "a memory leak", "the storage layer",
)  # fmt: skip
_ADJECTIVES = (
    "stale", "large", "small", "nested", "sorted", "shared", "partial", "duplicate", "compressed", "cold",
    "warm", "ordered", "random", "empty", "broken", "early", "late", "idle", "busy", "plain",
    "signed", "versioned", "temporary", "remote", "local", "hidden", "frozen", "mutable", "lazy", "eager",
)  # fmt: skip
_VERBS = (
    "drops", "delays", "repeats", "reorders", "rejects", "merges", "splits", "copies", "forgets", "blocks",
    "batches", "rewrites", "skips", "duplicates", "truncates", "flushes", "locks", "reads",
    "expires", "counts",
)  # fmt: skip
_OBJECTS = (
    "records", "messages", "writes", "pages", "events", "replies", "columns", "requests", "updates",
    "segments", "buffers", "tokens", "snapshots", "batches", "entries", "packets", "results", "tables",
    "files", "chunks",
)  # fmt: skip
_CONDITIONS = (
    "under heavy load", "after a restart", "during a rollback", "while traffic is low", "when disks are full",
    "before the first read", "once the limit is reached", "if a node is lost", "after a long pause",
    "when clocks disagree", "while an upgrade runs", "as the table grows", "when two writers race",
    "after the third retry", "if the network is slow",
)  # fmt: skip
_ENDINGS = (
    "and what one would change first", "and how to measure it", "and which log line proves it",
    "and how to test for it", "and what it costs", "and who should be told", "and how long it may last",
    "and what a good default is", "and whether it matters", "and how others solve it",
)  # fmt: skip

_SLOTS = (_OPENERS, _SUBJECTS, _ADJECTIVES, _VERBS, _ADJECTIVES, _OBJECTS, _CONDITIONS, _ENDINGS)
SENTENCES = 20 * 25 * 30 * 20 * 30 * 20 * 15 * 10  # 27,000,000,000
_STRIDE = 7_368_787_031  # prime, and no factor of SENTENCES: neighbours differ in every slot

_FIRST_NAMES = (
    "Anna", "Brian", "Carla", "David", "Emma", "Frank", "Grace", "Henry", "Irene", "James", "Karen", "Laura",
    "Maria", "Nathan", "Olivia", "Peter", "Rachel", "Simon", "Teresa", "Victor", "Wendy", "Julia", "Martin",
    "Susan", "Thomas",
)  # fmt: skip
_LAST_NAMES = (
    "Anderson", "Bennett", "Carter", "Davies", "Edwards", "Fischer", "Garcia", "Hughes", "Jackson", "Keller",
    "Lambert", "Morgan", "Nelson", "Parker", "Roberts", "Schmidt", "Turner", "Walker", "Wright", "Young",
)  # fmt: skip


class PromptKind(StrEnum):
    """SMALL is one turn of 100 to 200 characters, PERSONAL the same with a name and an e-mail address.

    LARGE_TURN is a 20 kB conversation seen before, with a new last turn. LARGE_FRESH is 20 kB, all new.
    """

    SMALL = "small"
    PERSONAL = "personal"
    LARGE_TURN = "large-turn"
    LARGE_FRESH = "large-fresh"


def sentence(number: int) -> str:
    """Return the sentence of that number; numbers that are equal modulo SENTENCES give the same one."""
    rest = number * _STRIDE % SENTENCES
    words = []
    for slot in _SLOTS:
        rest, index = divmod(rest, len(slot))
        words.append(slot[index])
    opener, subject, first, verb, second, noun, condition, ending = words
    return f"{opener} {subject} with {first} input {verb} {second} {noun} {condition}, {ending}?"


@dataclass
class PromptSource:
    """Makes request bodies of one kind. Not thread-safe."""

    kind: PromptKind
    stream: bool = False
    start: int = field(default_factory=lambda: random.randrange(SENTENCES))

    def __post_init__(self) -> None:
        """Build what may repeat: the histories of the LARGE_TURN conversations."""
        self._numbers: Iterator[int] = itertools.count(self.start)
        self._histories: Iterator[list[dict[str, str]]] = iter(())
        if self.kind is PromptKind.LARGE_TURN:
            self._histories = itertools.cycle([self._history() for _ in range(CONVERSATIONS)])

    def body(self) -> bytes:
        """Return the next request body, as JSON."""
        request: dict[str, object] = {
            "model": MODEL,
            "messages": self._messages(),
            "max_tokens": 128,
            "temperature": 0.2,
        }
        if self.stream:
            request["stream"] = True
        return orjson.dumps(request)

    def _messages(self) -> list[dict[str, str]]:
        last = {"role": "user", "content": self._sentence()}
        match self.kind:
            case PromptKind.SMALL:
                return [last]
            case PromptKind.PERSONAL:
                return [{"role": "user", "content": self._personal()}]
            case PromptKind.LARGE_TURN:
                return [*next(self._histories), last]
            case PromptKind.LARGE_FRESH:
                return [*self._history(), last]

    def _sentence(self) -> str:
        return sentence(next(self._numbers))

    def _personal(self) -> str:
        number = next(self._numbers)
        first = _FIRST_NAMES[number % len(_FIRST_NAMES)]
        last = _LAST_NAMES[number // len(_FIRST_NAMES) % len(_LAST_NAMES)]
        mail = f"{first}.{last}{number % 100_000}@{MAIL_DOMAIN}".lower()
        return f"{REPEAT_REQUEST} My name is {first} {last}, my address is {mail} and {sentence(number)}"

    def _history(self) -> list[dict[str, str]]:
        messages = [{"role": "system", "content": "You are a careful assistant for a software team."}]
        size = 0
        for turn in itertools.count():
            content = " ".join(self._sentence().capitalize() for _ in range(4))
            messages.append({"role": "assistant" if turn % 2 else "user", "content": content})
            size += len(content) + 40
            if size >= LARGE_BYTES:
                return messages
        raise AssertionError("unreachable")
