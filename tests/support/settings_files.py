"""Settings files for tests: the least that works, what it is read as, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.documents import DocumentError
from gateway.settings import Settings, load_settings

LOCAL = """\
  - id: local
    adapter: llama_cpp
    zone: local
    region: here
    model: tiny
    file: models/tiny.gguf
    context_tokens: 512
    max_output_tokens: 64
"""
CLOUD = """\
  - id: cloud
    adapter: openai
    zone: cloud
    region: EU
    model: gpt-x
    base_url: https://api.example/v1
    context_tokens: 1000
    max_output_tokens: 100
"""
LEAST = f"schema: 1\npolicy: policies/p.yaml\ntargets:\n{LOCAL}models:\n  auto: {{targets: [local]}}\n"


def settings(folder: Path, text: str, **environ: str) -> Settings:
    path = folder / "bailiwick.yaml"
    path.write_text(text)
    return load_settings(path, environ=environ)


def problems(folder: Path, text: str, **environ: str) -> list[tuple[int, str]]:
    """Line and message of everything that is wrong."""
    with pytest.raises(DocumentError) as refused:
        settings(folder, text, **environ)
    assert all(problem.file == str(folder / "bailiwick.yaml") for problem in refused.value.problems)
    return [(problem.line, problem.message) for problem in refused.value.problems]


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1
