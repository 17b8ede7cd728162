"""Policies with slips in them: 10,000 if BAILIWICK_FUZZ=10000 is set, a few hundred otherwise, the same ones each time.

Three promises, from the weakest to the strongest:

* **Any change at all** (bytes cut off, lines moved, characters put in) gives a policy or an error with a line, soon.
  Where it gives a policy that is looser than before, its rendering says something else than before: nothing loosens
  that a reader of the text could not see.
* **A misspelt word of the language** (a key, an action, a level) is an error or at least as strict.
* **A line lost** from what must be there, or from the conditions of a rule, is an error or at least as strict.
  (Of a level this holds where a higher one is handled no more loosely; where not, `check` warns.)

What is left out, because it is what people mean when they edit: a whole rule taken away, a bound of an outcome taken
away (`regions: [EU]`), a data type taken out of a level, an exception made wider, other names. Those are changes of
the text's own meaning; `bailiwick policy diff` shows them.
"""

from __future__ import annotations

import copy
import json
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gateway.documents import DocumentError, Node, parse
from gateway.domain.decision import BudgetState, Decision, Facts, Gate, Level
from gateway.domain.finding import DetectorState
from gateway.domain.target import Target, Zone
from gateway.policy import compile_policy, evaluate, load
from gateway.policy.cases import simple_target
from gateway.policy.hash import policy_hash
from gateway.policy.render import as_text, page_of
from gateway.policy.schema import Policy
from support.policies import facts, found

POLICIES = Path(__file__).resolve().parents[2] / "policies"
SEEDS = [
    *sorted(path for path in POLICIES.rglob("*.yaml") if not path.stem.endswith("_test")),
    Path(__file__).parent / "render" / "whole.yaml",
]
COUNT = int(os.environ.get("BAILIWICK_FUZZ", "400"))
SHARE = max(10, COUNT // len(SEEDS))
"""Mutants of one file."""
AS_OF = date(2026, 11, 21)
SLOWEST = 1.0
"""Seconds for one file."""

TARGETS: tuple[Target, ...] = (
    simple_target("local", Zone.LOCAL, "on-premises"),
    simple_target("eu", Zone.CLOUD, "EU", frozenset({"baa", "zero-retention", "iso27001"})),
    simple_target("us", Zone.CLOUD, "US", frozenset({"baa"})),
    simple_target("ch", Zone.CLOUD, "CH", frozenset({"zero-retention"})),
    simple_target("plain", Zone.CLOUD, "EU"),
)
NASTY = (
    *("\x00", "\x07", "\x1b[31m", "\x7f", "\u0085", "\u2028", "\u202e", "\u200b", "\u200d", "\ufeff", "\u00a0"),
    *("\u0430", "\u0131", "\u017f", "e\u0301", "\U0001f600", "\U000e0041", '"\\U00110000"', '"\\ud800"', '"\\e"'),
    *("\t", "\r", "'", '"', "{", "}", "[", "]", ":", ": ", "- ", "#", "&a ", "*a", "!!str ", "|", ">", "%", "@", "`"),
    *(",", "<<: ", "---\n", "...\n", "? ", "\\", "%YAML 1.1\n---\n"),
)
VALUES = (
    *("", "~", "null", "true", "no", "NO", "0", "-1", "1e999", ".inf", ".nan", "9" * 400, "0x7fffffffffffff", "1e-99"),
    *("-5 USD", "999999999999 USD", "0s", "9999999999h", "over 99999999999", "9999-12-31", "0000-00-00", "2026-02-30"),
    *("[]", "{}", "[[]]", "[{}]", "{a: }", "{{a: b}: c}", "[" * 60, "{a: " * 60, "x" * 5000, "allow", "block"),
)


def requests() -> Iterator[Facts]:
    """Requests that, between them, make every rule of the shipped policies and of the whole example match."""
    findings = (
        (),
        found(PERSON=1),
        found(PERSON=9, EMAIL_ADDRESS=20),
        found(UK_NHS=1),
        found(MEDICATION=3),
        found(MEDICATION=1, PERSON=1),
        found(CREDIT_CARD=1),
        found(API_KEY=1),
        found(CREDIT_CARD=20, PERSON=20),
    )
    night_nurse = facts(
        tenant="clinic-south",
        app="ward-notes",
        group="nurses",
        role="writer",
        user="anna@harbour.example",
        model="house-model",
        prompt_tokens=9000,
        labels=("patient",),
        as_of=AS_OF,
        minute=21 * 60,
    )
    who = (
        facts(as_of=AS_OF, minute=600),
        night_nurse,
        facts(app="hr-assistant", as_of=AS_OF),
        facts(app="team-chat", as_of=AS_OF),
        facts(app="nightly-batch", tenant="clinic-north", as_of=AS_OF),
        facts(app="dictation", as_of=AS_OF),
        facts(group="research", as_of=AS_OF, prompt_tokens=5000),
    )
    for one, what in product(who, findings):
        yield replace(one, found=what)
    for level in Level:
        yield replace(who[0], min_level=level)
        yield replace(who[0], min_level=level, approved=True)
    yield replace(who[0], detector=DetectorState.FAILED)
    yield replace(who[0], unreadable=True)
    yield replace(who[0], redaction_incomplete=True)
    yield replace(who[0], budget=BudgetState.SPENT)


REQUESTS = tuple(requests())


def _name(path: Path) -> str:
    return path.parent.name if path.stem == "policy" else path.stem


def _bound(tight: float | None, loose: float | None) -> bool:
    return loose is None or (tight is not None and tight <= loose)


def _approved_by_fewer(new: Decision, old: Decision) -> bool:
    """Does everybody who had to approve still have to, with nobody else in their place, and for no longer?"""
    return all(
        any(set(mine.approvers) <= set(theirs.approvers) and mine.seconds <= theirs.seconds for mine in new.approvals)
        for theirs in old.approvals
    )


def no_looser(new: Decision, old: Decision) -> bool:
    """Does `new` permit nothing that `old` forbids, hide all that it hides, and keep all that it promises?"""
    if not new.permitted <= old.permitted or new.gate < old.gate:
        return False
    clouds = new.permitted & {target.id for target in TARGETS if target.zone is Zone.CLOUD}
    return (
        (not clouds or all(new.hides(hidden.entity, hidden.percent) for hidden in old.redact))
        and (not new.permitted or all(new.hides_in_answer(each.entity, each.percent) for each in old.hide_in_answers))
        and _bound(new.cost_cap, old.cost_cap)
        and _bound(new.day_limit, old.day_limit)
        and _bound(new.first_token, old.first_token)
        and _bound(new.retain_days, old.retain_days)
        and new.log_content >= old.log_content
        and set(new.notify) >= set(old.notify)
        and (new.gate is not Gate.REQUIRE_APPROVAL or _approved_by_fewer(new, old))
    )


def looser(new: Policy, path: Path) -> Facts | None:
    """A request that `new` handles more loosely than the policy in that file."""
    if new == original(path)[0]:
        return None
    compiled = compile_policy(new)
    for request, old in zip(REQUESTS, original(path)[1], strict=True):
        if not no_looser(evaluate(compiled, request, TARGETS), old):
            return request
    return None


@cache
def original(path: Path) -> tuple[Policy, tuple[Decision, ...]]:
    """The policy in a file, and what it decides."""
    policy = load(path)[0]
    compiled = compile_policy(policy)
    return policy, tuple(evaluate(compiled, request, TARGETS) for request in REQUESTS)


def said(policy: Policy) -> str:
    """What the rendering says of a policy, without the fingerprint that any change changes."""
    return as_text(page_of(policy, AS_OF)).replace(policy_hash(policy), "")


def read(data: bytes) -> Policy | None:
    """The policy, or None where it is refused as it should be: each problem with a place, in time."""
    begun = time.process_time()
    refused: DocumentError | None = None
    try:
        return load(data, "mutant.yaml", today=AS_OF)[0]
    except DocumentError as problem:
        refused = problem
    finally:
        assert time.process_time() - begun < SLOWEST
    lines = len(re.split(rb"\r\n|\r|\n", data))
    assert refused.problems
    for each in refused.problems:
        assert 1 <= each.line <= lines
        assert each.column >= 1
        assert each.message
    assert all(line.isprintable() for line in str(refused).split("\n"))
    return None


def check_openly(data: bytes, path: Path) -> bool:
    """The first promise, for one file. True if it was accepted."""
    policy = read(data)
    if policy is None:
        return False
    if (request := looser(policy, path)) is not None:
        assert said(policy) != said(original(path)[0]), f"silently looser for {request}"
    return True


def any_change(text: str, random: random.Random) -> bytes:
    """The text with one or a few things done to it."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        text = random.choice(CHANGES)(text, random)
    data = text.encode("utf-8", "surrogatepass")
    if random.random() < 0.05:
        place = random.randrange(len(data) + 1)
        data = data[:place] + bytes([random.randrange(256)]) + data[place + 1 :]
    return data


def _line(text: str, random: random.Random) -> tuple[list[str], int]:
    lines = text.split("\n")
    return lines, random.randrange(len(lines))


def delete_line(text: str, random: random.Random) -> str:
    lines, place = _line(text, random)
    del lines[place : place + random.choice((1, 1, 1, 2, 5))]
    return "\n".join(lines)


def repeat_line(text: str, random: random.Random) -> str:
    lines, place = _line(text, random)
    size = random.choice((1, 1, 2, 5))
    return "\n".join([*lines[: place + size], *lines[place : place + size], *lines[place + size :]])


def swap_lines(text: str, random: random.Random) -> str:
    lines, one = _line(text, random)
    other = random.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return "\n".join(lines)


def indent(text: str, random: random.Random) -> str:
    lines, place = _line(text, random)
    lines[place] = " " * random.choice((1, 2, 4)) + lines[place] if random.random() < 0.5 else lines[place].lstrip()
    return "\n".join(lines)


def comment_out(text: str, random: random.Random) -> str:
    lines, place = _line(text, random)
    lines[place] = f"# {lines[place]}"
    return "\n".join(lines)


def truncate(text: str, random: random.Random) -> str:
    return text[: random.randrange(len(text) + 1)]


def delete_part(text: str, random: random.Random) -> str:
    place = random.randrange(len(text) + 1)
    return text[:place] + text[place + random.choice((1, 1, 2, 10, 100)) :]


def put_in(text: str, random: random.Random) -> str:
    place = random.randrange(len(text) + 1)
    return text[:place] + random.choice(NASTY) + text[place:]


def _replace_one(pattern: str, text: str, new: str, random: random.Random) -> str:
    matches = list(re.finditer(pattern, text))
    if not matches:
        return text
    match = random.choice(matches)
    return text[: match.start()] + new + text[match.end() :]


def other_value(text: str, random: random.Random) -> str:
    return _replace_one(r"(?<=[:,\[] )[^,\]}\n:]+|(?<=\[)[^,\]\n]+", text, random.choice(VALUES), random)


def other_number(text: str, random: random.Random) -> str:
    number = random.choice(("0", "-1", "1", "2", "0.0", "1.01", "99999999999999999999", "1_000", "0o7", "٣", "1e5"))
    return _replace_one(r"[0-9]+(\.[0-9]+)?", text, number, random)


def other_word(text: str, random: random.Random) -> str:
    words = re.findall(r"[A-Za-z_]+", text)
    return _replace_one(r"[A-Za-z_]+", text, misspelt(random.choice(words), random), random) if words else text


def word_for_word(text: str, random: random.Random) -> str:
    words = re.findall(r"[A-Za-z_\-]+", text)
    return _replace_one(r"[A-Za-z_\-]+", text, random.choice(words), random) if words else text


CHANGES = (
    *(delete_line, repeat_line, swap_lines, indent, comment_out, truncate, delete_part, put_in),
    *(other_value, other_number, other_word, word_for_word),
)


def misspelt(word: str, random: random.Random) -> str:
    """The word with one slip of the kind that fingers, keyboards and copying make."""
    place = random.randrange(len(word))
    slips = [
        word[:place] + word[place + 1 :],
        word[:place] + word[place] + word[place:],
        word[:place] + random.choice("abcdefgilnorstu_") + word[place + 1 :],
        word[:place] + word[place : place + 2][::-1] + word[place + 2 :],
        word[:place] + word[place].swapcase() + word[place + 1 :],
        word.replace("_", "-") if "_" in word else word.replace("-", "_"),
        word.replace("a", "\u0430").replace("e", "\u0435").replace("o", "\u043e"),
        f"{word[:place]}\u200b{word[place:]}",
        f"{word}s",
        word.upper(),
    ]
    return random.choice([slip for slip in slips if slip != word] or [f"{word}x"])


@pytest.mark.parametrize("path", SEEDS, ids=_name)
def test_any_change_is_a_policy_or_an_error_with_a_line(path: Path) -> None:
    """Never another exception, never without a line, never slow, and never looser without saying so."""
    text = path.read_text("utf-8")
    generator = random.Random(20261121)
    accepted = 0
    for _ in range(SHARE * 7 // 10):
        data = any_change(text, generator)
        try:
            accepted += check_openly(data, path)
        except Exception as problem:  # whatever it is, it is shown with the file that did it
            pytest.fail(f"{type(problem).__name__}: {problem}\n{data!r}")
    assert accepted < SHARE * 7 // 10  # a mutation that is never refused would prove nothing


Tree = Any
Mutant = TypeVar("Mutant")
Steps = tuple[str | int, ...]


def tree(node: Node) -> Tree:
    """A file as mappings, lists and values."""
    if node.kind == "mapping":
        return {str(key._value): tree(value) for key, value in node.items()}
    if node.kind == "list":
        return [tree(item) for item in node.sequence(allow_empty=True)]
    return float(node._value) if isinstance(node._value, Decimal) else node._value


def places(value: Tree, *steps: str | int) -> Iterator[tuple[str, Steps]]:
    """Each place in a file, as a pattern such as ``rules.when.app`` and as the way there."""
    pattern = ".".join(step for step in steps if isinstance(step, str))
    if steps:
        yield pattern, steps
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, *steps, key)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from places(item, *steps, number)


def changed(whole: Tree, steps: Steps, change: Callable[[Any, Any], None]) -> bytes:
    """The file with something done at a place: `change` gets what holds the last step, and that step."""
    copied = copy.deepcopy(whole)
    holder = copied
    for step in steps[:-1]:
        holder = holder[step]
    change(holder, steps[-1])
    return json.dumps(copied, ensure_ascii=False).encode("utf-8", "surrogatepass")


FREE = re.compile(r"(data_types|region_sets)\.[^.]+")
"""Keys that are somebody's own words."""
CLOSED = re.compile(
    r"(rules\.)?mode|.*\.(action|when_spent|log_content|level|prompt_tokens|zone|days|any_of|all_of|contains|redact|hide)"
    r"|if_unsure\..*|.*\.(hide_in_answers|lifts|hours|until|expires|first_token|approval_lasts)|.*\.per_\w+"
)
"""Values that only certain words, or words of a certain form, can be."""


def slips(path: Path, generator: random.Random) -> Iterator[tuple[str, bytes]]:
    """The file with one word of the language misspelt, each of them twice."""
    whole = tree(parse(path.read_bytes(), path.name))
    for pattern, steps in places(whole):
        for _ in range(2):
            if isinstance(steps[-1], str) and not FREE.fullmatch(pattern):
                slip = misspelt(steps[-1], generator)

                def rename(holder: Any, key: Any, slip: str = slip) -> None:
                    members = {slip if name == key else name: value for name, value in holder.items()}
                    holder.clear()
                    holder.update(members)

                yield f"{pattern} → {slip!r}", changed(whole, steps, rename)
            value = whole
            for step in steps:
                value = value[step]
            if isinstance(value, str) and CLOSED.fullmatch(pattern):
                word = misspelt(value, generator)

                def put(holder: Any, key: Any, word: str = word) -> None:
                    holder[key] = word

                yield f"{pattern}: {value!r} → {word!r}", changed(whole, steps, put)


def _some(listed: list[Mutant], generator: random.Random) -> list[Mutant]:
    """A part of them, as many as there is time for."""
    return generator.sample(listed, min(len(listed), max(4, SHARE // 10)))


# Some words of a certain form have another meaning with a slip in it, which is then written there for all to see:
# another number, another day.
VISIBLE = re.compile(r"[0-9]|(mon|tue|wed|thu|fri|sat|sun)")


@pytest.mark.parametrize("path", SEEDS, ids=_name)
def test_a_misspelt_word_of_the_language_never_loosens(path: Path) -> None:
    """Keys, actions, levels, names of data types: each with slips in it is an error, or the policy is at least as
    strict; unless the slip made another number or another day."""
    generator = random.Random(881)
    tried = list(slips(path, generator))
    assert len(tried) > 100
    for what, data in _some(tried, generator):
        policy = read(data)
        if policy is not None and not VISIBLE.search(what):
            assert looser(policy, path) is None, what


MUST = re.compile(
    r"schema|policy|version|owner|data_types|levels|handling|if_unsure"
    r"|data_types\.[^.]+\.(detect|confidence)|levels\.\w+\.(any_of|all_of|at_least)|answers\.hide"
    r"|handling\.\w+|handling\.\w+\.(action|approvers)|if_unsure\.\w+|limits\.cost\.when_spent"
    r"|rules\.(id|why|when|then|mode|until)|rules\.when\..+|rules\.then\.approvers"
    r"|exceptions\.(id|lifts|for|approved_by|ticket|expires)"
)
"""What must be there, and what a rule asks a request to be like."""


@pytest.mark.parametrize("path", SEEDS, ids=_name)
def test_a_lost_key_that_must_be_there_never_loosens(path: Path) -> None:
    """The head, handling, what is unsure, the conditions of rules, the sign-off of exceptions: without one of them
    there is an error, or more is covered than before."""
    whole = tree(parse(path.read_bytes(), path.name))
    lost = [each for each in places(whole) if MUST.fullmatch(each[0]) and isinstance(each[1][-1], str)]
    assert len(lost) > 30
    for pattern, steps in _some(lost, random.Random(41)):
        policy = read(changed(whole, steps, lambda holder, key: holder.pop(key)))
        if policy is not None:
            assert looser(policy, path) is None, pattern


@pytest.mark.parametrize("path", SEEDS, ids=_name)
def test_nothing_in_place_of_what_is_asked_for_never_loosens(path: Path) -> None:
    """A key of a rule, a level or an unsure case whose value is left empty, or is an empty list, mapping or text, is
    an error or at least as strict: it never means *everybody* or *whatever*."""
    whole = tree(parse(path.read_bytes(), path.name))
    sections = ("handling", "if_unsure", "rules", "exceptions", "limits", "levels", "answers")
    emptied = [each for each in places(whole) if each[0].startswith(sections)]
    mutants = [(*each, nothing) for each in emptied for nothing in ("", None, [], {}, [""], [None])]
    for pattern, steps, nothing in _some(mutants, random.Random(77)):

        def put(holder: Any, key: Any, nothing: Any = nothing) -> None:
            holder[key] = nothing

        policy = read(changed(whole, steps, put))
        if policy is not None and pattern not in ("rules", "exceptions"):  # an empty list of these is a clear word
            assert looser(policy, path) is None, (pattern, nothing)


@pytest.mark.parametrize("path", SEEDS, ids=_name)
def test_every_beginning_of_a_file_is_a_policy_or_an_error(path: Path) -> None:
    """A file that was cut off at any byte is refused with a line, or says openly what is left of it."""
    data = path.read_bytes()
    step = max(1, len(data) * 10 // SHARE)
    for end in range(0, len(data), step):
        check_openly(data[:end], path)
