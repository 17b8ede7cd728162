"""What inspection must know of a wire format: which fields steer the protocol, and what it can read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Allowed: TypeAlias = "frozenset[str] | re.Pattern[str]"
"""The values that a control field may have without being text: literals, or a pattern for the whole value."""


class ControlNode:
    """One step of the control paths, as a tree: what may come next, and what is allowed here."""

    __slots__ = ("allowed", "item", "members")

    def __init__(self) -> None:
        self.members: dict[str, ControlNode] = {}
        self.item: ControlNode | None = None
        self.allowed: Allowed | None = None

    def permits(self, value: str) -> bool:
        """Is this string a control value here, and so not text?"""
        if self.allowed is None:
            return False
        if isinstance(self.allowed, frozenset):
            return value in self.allowed
        return self.allowed.fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class Grammar:
    """One dialect's control fields, its known member names, and the content parts that can be read as text.

    A key of `controls` is a path of member names in which ``*`` stands for any list position, such as
    ``("messages", "*", "role")``. A control field is left uninspected only while its value is allowed; any other
    value there is text like all text. A member name in `names` is never inspected as text; any other is.
    `readable_parts` are the ``type`` values of content parts whose content is in their strings.
    """

    controls: Mapping[tuple[str, ...], Allowed]
    names: frozenset[str]
    readable_parts: frozenset[str]
    root: ControlNode = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        root = ControlNode()
        for path, allowed in self.controls.items():
            node = root
            for step in path:
                if step == "*":
                    node.item = node.item or ControlNode()
                    node = node.item
                else:
                    node = node.members.setdefault(step, ControlNode())
            node.allowed = allowed
        object.__setattr__(self, "root", root)
