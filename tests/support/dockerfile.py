"""Enough of Dockerfile and .dockerignore syntax to check ours without a container engine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction of a stage (counted from 0), without comments, its lines joined."""

    stage: int
    word: str
    flags: dict[str, str]
    value: str


@dataclass(frozen=True)
class Copied:
    """A COPY instruction: `origin` is another stage's name, or None for the build context."""

    stage: int
    origin: str | None
    sources: tuple[str, ...]
    target: str


def read_dockerfile(path: Path) -> list[Instruction]:
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    instructions: list[Instruction] = []
    stage = -1
    for line in joined.splitlines():
        word, _, rest = line.strip().partition(" ")
        flags: dict[str, str] = {}
        while match := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
            flags[match[1]] = match[2]
            rest = rest[match.end() :]
        stage += word.upper() == "FROM"
        instructions.append(Instruction(stage, word.upper(), flags, rest.strip()))
    return instructions


def copies(instructions: list[Instruction]) -> list[Copied]:
    found = []
    for one in instructions:
        if one.word in ("COPY", "ADD"):
            *sources, target = one.value.split()
            found.append(Copied(one.stage, one.flags.get("from"), tuple(sources), target))
    return found


def ignored(dockerignore: Path, path: str) -> bool:
    """Is `path` (relative to the build context) left out of it? The last pattern that matches it or a folder above
    it decides, as the engine does."""
    result = False
    for line in dockerignore.read_text().splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        keep = pattern.startswith("!")
        expression = _expression(pattern.removeprefix("!").strip("/"))
        parts = path.strip("/").split("/")
        if any(expression.fullmatch("/".join(parts[:count])) for count in range(1, len(parts) + 1)):
            result = not keep
    return result


def _expression(pattern: str) -> re.Pattern[str]:
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile(re.sub(r"\*\*/|\*\*|\*|\?|[^*?]+", lambda m: parts.get(m[0]) or re.escape(m[0]), pattern))
