"""What a caller may ask of the gateway beyond OpenAI's fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal, TypeAlias, get_args

Level: TypeAlias = Literal["public", "internal", "confidential", "restricted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """Each hint can only make the outcome stricter than the gateway's policy does; none can loosen it.

    `user` is the end user the call is made for (recorded as a keyed hash only). `app` asserts which app the API key
    belongs to: a call with another app's key is refused. `max_latency` is seconds to the first token. `max_cost` is
    the most the call may cost, in US dollars; write it as text or `Decimal`, such as ``"0.01"``. `min_level` is how
    sensitive the content is at least, whatever the detector finds.

    Raises `ValueError` for a hint that the gateway would refuse.
    """

    user: str | None = None
    app: str | None = None
    max_latency: float | None = None
    max_cost: Decimal | str | float | None = None
    min_level: Level | None = None

    def __post_init__(self) -> None:
        for name, text in (("user", self.user), ("app", self.app)):
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

    def headers(self) -> Mapping[str, str]:
        """The request headers that carry these hints."""
        values = {
            "x-bailiwick-user": self.user,
            "x-bailiwick-app": self.app,
            "x-bailiwick-max-latency": None if self.max_latency is None else _plain(Decimal(str(self.max_latency))),
            "x-bailiwick-max-cost": None if self.max_cost is None else _plain(_amount(self.max_cost)),
            "x-bailiwick-min-level": self.min_level,
        }
        return {name: value for name, value in values.items() if value is not None}


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
