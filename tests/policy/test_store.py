from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.documents import DocumentError
from gateway.domain.errors import ConfigurationError
from gateway.policy import PolicyStore
from support.policies import document

START = datetime(2026, 9, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 9, 1, 13, tzinfo=UTC)


class Times:
    """A clock that tells what it is set to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


def write(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(document(**changes)))


def test_without_a_good_policy_nothing_starts(tmp_path: Path) -> None:
    """A missing file and a bad file both stop the start."""
    path = tmp_path / "policy.yaml"
    with pytest.raises(ConfigurationError, match="cannot be read"):
        PolicyStore(path)
    path.write_text("schema: 1\n")
    with pytest.raises(DocumentError, match="missing keys"):
        PolicyStore(path)


def test_a_better_policy_takes_over(tmp_path: Path) -> None:
    """reload puts the changed file in force and tells its id and time."""
    path = tmp_path / "policy.yaml"
    write(path)
    clock = Times()
    store = PolicyStore(path, now=clock)
    before = store.current
    assert (before.id.version, store.loaded_at, store.last_error) == (7, START, "")
    write(path, version=8)
    clock.now = LATER
    assert store.reload().version == 8
    assert store.current.id.version == 8
    assert store.loaded_at == LATER
    assert before.id.version == 7


@pytest.mark.parametrize("text", ["schema: 1\n", "a: [", "", None])
def test_a_bad_policy_never_replaces_a_good_one(tmp_path: Path, text: str | None) -> None:
    """After a failed reload the last good policy serves on, and the store says why."""
    path = tmp_path / "policy.yaml"
    write(path)
    clock = Times()
    store = PolicyStore(path, now=clock)
    good = store.current
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    clock.now = LATER
    with pytest.raises(ConfigurationError) as caught:
        store.reload()
    assert store.current is good
    assert store.last_error == str(caught.value) != ""
    assert store.loaded_at == START
    write(path, version=8)
    store.reload()
    assert (store.current.id.version, store.last_error) == (8, "")


def test_warnings_are_those_of_the_policy_in_force(tmp_path: Path) -> None:
    """The store keeps what its policy was warned about, judged by what the detector can find."""
    path = tmp_path / "policy.yaml"
    write(path)
    every = frozenset({"PERSON", "EMAIL_ADDRESS", "CREDIT_CARD", "MEDICATION"})
    assert PolicyStore(path, detectable=every).warnings == ()
    (warning,) = PolicyStore(path, detectable=every - {"MEDICATION"}).warnings
    assert "no detector finds 'MEDICATION'" in warning.message
