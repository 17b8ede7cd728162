"""A changed copy that shares what has not changed."""

from __future__ import annotations

import json

from gateway.domain.tree import Embedded, Json, Path
from gateway.inspection import embedded
from gateway.inspection.rewrite import rewrite


class Shout:
    """Changes texts with an x, numbers above 5 and names with an x; notes the paths."""

    def __init__(self) -> None:
        self.paths: list[Path] = []

    def text(self, path: Path, text: str) -> str:
        self.paths.append(path)
        return text.upper() if "x" in text else text

    def number(self, path: Path, number: int | float) -> Json:
        return str(number) if number > 5 else number

    def name(self, path: Path, name: str) -> str:
        return name.upper() if "x" in name else name

    def embedded(self, text: str, changed: Json) -> str:
        return embedded.serialise(changed)


def test_changes_and_sharing() -> None:
    """Texts, numbers, names and JSON in strings change; branches without a change are the same objects."""
    same: Json = {"a": ["b", 1, None, True], "j": '{"k":  1}'}
    tree: Json = {"s": same, "x": 6, "l": ["x", "y"], "j": json.dumps({"k": ["ax"]})}
    edit = Shout()
    changed = rewrite(tree, edit)
    assert changed == {"s": same, "X": "6", "l": ["X", "y"], "j": '{"k": ["AX"]}'}
    assert isinstance(changed, dict)
    assert changed["s"] is same
    assert ("j", Embedded.JSON, "k", 0) in edit.paths


def test_depth_is_bounded() -> None:
    """A tree of thousands of levels neither changes nor crashes."""
    tree: Json = "x"
    for _ in range(5000):
        tree = [tree]
    assert rewrite(tree, Shout()) is tree
