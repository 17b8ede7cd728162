"""Evidence of exposure: personal data to plant in a request, and a search for it in what reached a cloud.

The search shares no code with the gateway: it undoes every encoding that it knows, again and again, and then looks for
each value without regard to case, white space and separators.
"""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote, unquote_plus

NAME = "Anna Kowalski"
EMAIL = "anna.kowalski@example.com"
PHONE = "+44 20 7946 0958"
CARD = "4242 4242 4242 4242"
IBAN = "DE89 3704 0044 0532 0130 00"
SSN = "536-90-4399"
EVERYTHING = f"{NAME}, {EMAIL}, {PHONE}, card {CARD}, IBAN {IBAN}, SSN {SSN}."
"""All of them, reserved or invented, in one line of text."""

TRACES = ("kowalski", EMAIL, PHONE[1:], CARD, IBAN, SSN)
"""What must not be found: the surname stands for the name and, once more, for the address."""

REDACT_EVERYTHING = """\
schema: 1
policy: redact-everything
version: 1
owner: privacy@example.com
mode: enforce
data_types:
  personal:
    detect: [PERSON, EMAIL_ADDRESS, PHONE_NUMBER, LOCATION, CREDIT_CARD, IBAN_CODE, US_SSN, SECRET, PRIVATE_KEY]
    confidence: 0.40
levels:
  internal:
    - any_of: [personal]
handling:
  public: {action: redact}
  internal: {action: redact}
  confidential: {action: redact}
  restricted: {action: redact}
limits:
  cost: {per_request: 5 USD, per_app_per_day: 1000 USD, when_spent: local_only}
if_unsure:
  detector_fails: local_only
  unreadable_content: local_only
  redaction_incomplete: local_only
  no_target_left: block
"""
"""A policy that sends everything to a cloud with stand-ins, also what the default policy keeps inside."""

_SEPARATORS = re.compile(r"[\s\-.()/_]+")
_ESCAPE = re.compile(r"\\+u([0-9a-fA-F]{4})|\\+x([0-9a-fA-F]{2})")
_ROUNDS = 4


def exposed(arrived: str | Iterable[str], values: Iterable[str] = TRACES) -> list[str]:
    """Those of `values` that are in what arrived, in any spelling."""
    texts = [arrived] if isinstance(arrived, str) else list(arrived)
    readings = [_compact(reading) for text in texts for reading in _readings(text)]
    return [value for value in values if any(_compact(value) in reading for reading in readings)]


def _compact(text: str) -> str:
    return _SEPARATORS.sub("", text.casefold())


def _readings(text: str) -> set[str]:
    """The text and everything that it decodes to."""
    known: set[str] = set()
    new = {text}
    for _ in range(_ROUNDS):
        known |= new
        new = {decoded for reading in new for decoded in _decoded(reading)} - known
    return known | new


def _decoded(text: str) -> Iterator[str]:
    yield unquote(text, errors="replace")
    yield unquote_plus(text, errors="replace")
    yield html.unescape(text)
    yield _ESCAPE.sub(lambda match: chr(int(match[1] or match[2], 16)), text)
    yield "".join(map(_plain, unicodedata.normalize("NFKC", text)))
    try:
        yield "\n".join(_leaves(json.loads(text, object_pairs_hook=list)))
    except (ValueError, RecursionError):
        return


def _plain(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    return {"Cf": "", "Mn": "", "Pd": "-", "Zs": " "}.get(category, character)


def _leaves(tree: Any) -> Iterator[str]:
    """Every string, name and number, and what is in strings that are JSON."""
    if isinstance(tree, str):
        yield tree
        if tree.strip()[:1] in ("{", "["):
            try:
                yield from _leaves(json.loads(tree, object_pairs_hook=list))
            except ValueError:
                return
    elif isinstance(tree, list | tuple):
        for item in tree:
            yield from _leaves(item)
    elif isinstance(tree, int | float) and not isinstance(tree, bool):
        yield str(int(tree)) if tree == int(tree) else repr(tree)
