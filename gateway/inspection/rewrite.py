"""A changed copy of a JSON tree: only the branches that change are copied, and JSON in strings is changed inside."""

from __future__ import annotations

from operator import is_not
from typing import Protocol

from gateway.domain.tree import Embedded, Json, Path
from gateway.inspection import embedded


class Edit(Protocol):
    """What to make of each text. Each method returns its argument, the very object, to leave it as it is."""

    def text(self, path: Path, text: str) -> str:
        """A string that is not JSON itself."""
        ...

    def number(self, path: Path, number: int | float) -> Json: ...

    def name(self, path: Path, name: str) -> str:
        """The name of a member of the object at `path`."""
        ...

    def embedded(self, text: str, changed: Json) -> str:
        """The new JSON text for a string that was JSON and whose inside has `changed`."""
        ...


def rewrite(value: Json, edit: Edit, path: Path = (), depth: int = 0, nesting: int = 0) -> Json:
    """`value` with every text edited. Below `embedded.MAX_DEPTH` levels nothing is changed."""
    if isinstance(value, str):
        inner = embedded.parse(value) if nesting < embedded.MAX_NESTING else None
        if inner is None:
            return edit.text(path, value)
        changed = rewrite(inner, edit, (*path, Embedded.JSON), 0, nesting + 1)
        return value if changed is inner else edit.embedded(value, changed)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return edit.number(path, value)
    if depth >= embedded.MAX_DEPTH:
        return value
    if isinstance(value, dict):
        return _members(value, edit, path, depth + 1, nesting)
    if isinstance(value, list):
        items = [rewrite(item, edit, (*path, i), depth + 1, nesting) for i, item in enumerate(value)]
        return items if any(map(is_not, items, value)) else value
    return value


def _members(value: dict[str, Json], edit: Edit, path: Path, depth: int, nesting: int) -> dict[str, Json]:
    changed = False
    members: dict[str, Json] = {}
    for name, item in value.items():
        new_name = edit.name(path, name)
        new_item = rewrite(item, edit, (*path, name), depth, nesting)
        changed = changed or new_name is not name or new_item is not item
        members[new_name] = new_item
    return members if changed else value
