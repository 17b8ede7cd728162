"""Which share of the requests for a model name goes to which of its targets."""

from __future__ import annotations

import re
from collections.abc import Collection
from fractions import Fraction

from gateway.documents import Node, nearest

_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,2})?) ?%", re.ASCII)
_WHOLE = 10_000  # a hundredth of a percent is the least share


def read_shares(node: Node, targets: Collection[str]) -> tuple[tuple[str, int], ...]:
    """Targets with their shares in ten-thousandths, which are ten thousand together."""
    shares: list[tuple[str, int]] = []
    for key, value in node.items():
        name = key.text()
        if name not in targets:
            key.fail(f"'{name}' is not one of these targets", nearest(name, targets))
        written = _PERCENT.fullmatch(value.text()) if value.kind == "text" else None
        if written is None:
            value.fail("a share is a percentage, such as 5 % or 0.25 %")
            return ()
        shares.append((name, int(Fraction(written[1]) * 100)))
    if (total := sum(share for _, share in shares)) != _WHOLE:
        node.fail(f"the shares are {total / 100:g} % together; they must be 100 %")
    return tuple(shares)
