"""Request headers with which a caller may tighten the outcome of one call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from gateway.domain.decision import Level
from gateway.domain.errors import Code, GatewayError
from gateway.domain.money import NanoUsd, usd
from gateway.domain.request import Caller, Hints

USER = b"x-bailiwick-user"
APP = b"x-bailiwick-app"
MIN_LEVEL = b"x-bailiwick-min-level"
MAX_COST = b"x-bailiwick-max-cost"
MAX_LATENCY = b"x-bailiwick-max-latency"
LABELS = b"x-bailiwick-labels"
CONVERSATION = b"x-bailiwick-conversation"
MOST_LABELS = 16
LONGEST_CONVERSATION = 256
"""Bytes."""

_ALL = (USER, MIN_LEVEL, MAX_COST, MAX_LATENCY, LABELS, CONVERSATION)
_LABEL = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.ASCII)

_LEVELS = {level.word: level for level in Level}
_NO_HINTS = Hints()


def read_hints(headers: Mapping[bytes, bytes], caller: Caller) -> Hints:
    """The hints in a request's headers. Raises `GatewayError` naming the header at fault.

    `x-bailiwick-app` does not choose an app (the key does); it asserts one, so that a call made with the wrong key is
    refused instead of being decided under another app's rules.
    """
    app = headers.get(APP)
    if app is not None and app.decode("latin-1") != caller.app:
        raise GatewayError(
            Code.FORBIDDEN, f"This API key belongs to the app {caller.app!r}, not to the app named in x-bailiwick-app."
        )
    if headers.keys().isdisjoint(_ALL):
        return _NO_HINTS
    return Hints(
        user=headers.get(USER, b"").decode("utf-8", "replace")[:256],
        min_level=_level(headers.get(MIN_LEVEL)),
        max_cost=_cost(headers.get(MAX_COST)),
        max_first_token=_seconds(headers.get(MAX_LATENCY)),
        labels=_labels(headers.get(LABELS)),
        conversation=_conversation(headers.get(CONVERSATION)),
    )


def _level(value: bytes | None) -> Level | None:
    if value is None:
        return None
    level = _LEVELS.get(value.decode("latin-1").strip().lower())
    if level is None:
        raise _wrong(MIN_LEVEL, f"one of {', '.join(_LEVELS)}")
    return level


def _cost(value: bytes | None) -> NanoUsd | None:
    if value is None:
        return None
    amount = _number(value)
    if amount is None or amount > 1_000_000:
        raise _wrong(MAX_COST, "an amount in US dollars such as 0.01")
    return usd(amount)


def _seconds(value: bytes | None) -> float | None:
    if value is None:
        return None
    seconds = _number(value)
    if seconds is None or not 0 < seconds < 86_400:
        raise _wrong(MAX_LATENCY, "a number of seconds such as 1.5")
    return round(float(seconds), 3)  # whole milliseconds, as the audit record keeps it


def _labels(value: bytes | None) -> tuple[str, ...]:
    """Words of the caller's own for what is in the request, in one order and each once."""
    if value is None:
        return ()
    words = {word.strip() for word in value.decode("latin-1").lower().split(",")}
    if len(words) > MOST_LABELS or not all(map(_LABEL.fullmatch, words)):
        raise _wrong(
            LABELS,
            f"at most {MOST_LABELS} words such as 'patient, contract-draft', each of letters, digits, '_', '-' and '.' "
            "(at most 64, a letter or digit first)",
        )
    return tuple(sorted(words))


def _conversation(value: bytes | None) -> str:
    if value is None:
        return ""
    name = value.decode("utf-8", "replace").strip()
    if not name or len(value) > LONGEST_CONVERSATION:
        raise _wrong(CONVERSATION, f"the name of a conversation, at most {LONGEST_CONVERSATION} bytes")
    return name


def _number(value: bytes) -> Decimal | None:
    try:
        number = Decimal(value.decode("latin-1").strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() and number >= 0 else None


def _wrong(header: bytes, expected: str) -> GatewayError:
    name = header.decode()
    return GatewayError(Code.INVALID_REQUEST, f"The header {name} must be {expected}.", param=name)
