"""What a caller may ask of the gateway beyond OpenAI's fields."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final, Literal, TypeAlias, get_args

Level: TypeAlias = Literal["public", "internal", "confidential", "restricted"]

_LABEL: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.ASCII)
_MOST_LABELS: Final = 16
_LONGEST_CONVERSATION: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """Each hint can only make the outcome stricter than the gateway's policy does; none can loosen it.

    `user` is the end user the call is made for (recorded as a keyed hash only). `app` asserts which app the API key
    belongs to: a call with another app's key is refused. `max_latency` is seconds to the first token. `max_cost` is
    the most the call may cost, in US dollars; write it as text or `Decimal`, such as ``"0.01"``. `min_level` is how
    sensitive the content is at least, whatever the detector finds. `labels` say what is in the request in words of
    your own, such as ``["patient", "contract-draft"]``, which the policy's rules may look at. `conversation` names the
    conversation that the call belongs to: its highest level so far holds for the call.

    Raises `ValueError` for a hint that the gateway would refuse.
    """

    user: str | None = None
    app: str | None = None
    max_latency: float | None = None
    max_cost: Decimal | str | float | None = None
    min_level: Level | None = None
    labels: Sequence[str] | None = None
    conversation: str | None = None

    def __post_init__(self) -> None:
        for name, text in (("user", self.user), ("app", self.app), ("conversation", self.conversation)):
            if text is not None and not (text and text.isascii() and text.isprintable()):
                raise ValueError(
                    f"{name}: must be printable ASCII, because it is sent as a header"
                    + ("; OpenAI's own field 'user' takes any text" if name == "user" else "")
                )
        if self.max_latency is not None and not 0 < self.max_latency < 86_400:
            raise ValueError("max_latency: must be a number of seconds above 0 and below a day")
        if self.max_cost is not None:
            _amount(self.max_cost)
        if self.min_level is not None and self.min_level not in get_args(Level):
            raise ValueError(f"min_level: must be one of {', '.join(get_args(Level))}")
        if self.labels is not None:
            _label_list(self.labels)
        if self.conversation is not None and not 0 < len(self.conversation.strip()) <= _LONGEST_CONVERSATION:
            raise ValueError(f"conversation: must be a name of at most {_LONGEST_CONVERSATION} characters")

    def headers(self) -> Mapping[str, str]:
        """The request headers that carry these hints."""
        values = {
            "x-bailiwick-user": self.user,
            "x-bailiwick-app": self.app,
            "x-bailiwick-max-latency": None if self.max_latency is None else _plain(Decimal(str(self.max_latency))),
            "x-bailiwick-max-cost": None if self.max_cost is None else _plain(_amount(self.max_cost)),
            "x-bailiwick-min-level": self.min_level,
            "x-bailiwick-labels": None if self.labels is None else _label_list(self.labels),
            "x-bailiwick-conversation": self.conversation,
        }
        return {name: value for name, value in values.items() if value is not None}


def _label_list(labels: Sequence[str]) -> str:
    """As the header has them. One text is one label, not a list of letters."""
    words = sorted({label.lower() for label in ([labels] if isinstance(labels, str) else labels)})
    if not 0 < len(words) <= _MOST_LABELS or not all(_LABEL.fullmatch(word) for word in words):
        raise ValueError(
            f"labels: must be one to {_MOST_LABELS} words of letters, digits, '_', '-' and '.' (at most 64 each, a "
            "letter or digit first)"
        )
    return ", ".join(words)


def _amount(given: Decimal | str | float) -> Decimal:
    try:
        amount = Decimal(str(given))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 <= amount <= 1_000_000:
        raise ValueError('max_cost: must be an amount in US dollars such as "0.01"')
    return amount


def _plain(number: Decimal) -> str:
    return format(number, "f")
