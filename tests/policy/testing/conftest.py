from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.finding import Found
from gateway.domain.target import Target
from gateway.policy.testing import Subject, Suite, prepare, read_subject, read_tests
from support.policies import document

INSIDE = {"id": "local", "zone": "local", "region": "on-premises"}
EU = {"id": "cloud-eu", "zone": "cloud", "region": "EU", "labels": ["baa"]}
US = {"id": "cloud-us", "zone": "cloud", "region": "US"}

Try = Callable[..., tuple[Subject, Suite]]


def no_settings(path: Path) -> tuple[Target, ...]:
    raise AssertionError(f"asked for {path}")


def no_detector(texts: Sequence[str]) -> tuple[Found, ...]:
    raise AssertionError("no test has a text")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Try:
    """A policy (the base policy with changes) and a test file for it, both written and read as anybody would."""

    def write(tests: list[dict[str, Any]], head: dict[str, Any] | None = None, **changes: Any) -> tuple[Subject, Suite]:
        folder = tmp_path_factory.mktemp("acme")
        (folder / "acme.yaml").write_text(json.dumps(document(**changes), indent=1))
        file = {"policy": "acme.yaml", "as_of": "2026-09-01", "targets": [INSIDE, EU, US], **(head or {})}
        numbered = [{"name": f"test {number}", **test} for number, test in enumerate(tests)]
        path = folder / "acme_test.yaml"
        path.write_text(json.dumps({**file, "tests": numbered}, indent=1))
        subject = read_subject(folder / "acme.yaml")
        read = read_tests(path, no_settings, lambda _: subject)
        return subject, Suite(read, prepare(read, no_detector))

    return write
