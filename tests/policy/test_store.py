from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.documents import DocumentError, contents
from gateway.domain.errors import ConfigurationError
from gateway.policy import PolicyStore
from gateway.policy.names import Surroundings
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


# ---- a folder of policies


def folder_of(tmp_path: Path, **files: dict[str, object]) -> Path:
    folder = tmp_path / "policies"
    folder.mkdir(exist_ok=True)
    for name, changes in files.items():
        write(folder / f"{name}.yaml", policy=name, **changes)
    return folder


LAB: dict[str, object] = {"for": {"tenant": ["lab"]}}


def test_each_tenant_has_its_policy(tmp_path: Path) -> None:
    """A tenant that a file names gets its own policy, everybody else the one for everybody; one hash names both."""
    store = PolicyStore(folder_of(tmp_path, all={}, lab=LAB))
    assert store.for_tenant("lab").id.name == "all+lab"
    assert store.for_tenant("other") is store.for_tenant("") is store.current
    assert store.current.id.name == "all"
    assert {policy.id.name for policy in store.in_force.policies} == {"all", "all+lab"}
    assert store.hash not in {policy.id.hash for policy in store.in_force.policies}


def test_a_file_alone_has_the_hash_of_its_policy(tmp_path: Path) -> None:
    """With one policy in force, its hash is the hash of all that is in force."""
    write(tmp_path / "policy.yaml")
    store = PolicyStore(tmp_path / "policy.yaml")
    assert store.hash == store.current.id.hash
    assert store.in_force.policies == (store.current,)


def test_the_hash_of_all_changes_with_any_of_them(tmp_path: Path) -> None:
    """A change for one tenant only shows in the hash of all, and in no other tenant's policy."""
    folder = folder_of(tmp_path, all={}, lab=LAB)
    store = PolicyStore(folder)
    everybody, lab, together = store.current.id, store.for_tenant("lab").id, store.hash
    folder_of(tmp_path, lab={**LAB, "version": 8})
    store.reload()
    assert store.current.id == everybody
    assert store.for_tenant("lab").id != lab
    assert store.hash != together


def test_one_bad_file_of_many_changes_nothing(tmp_path: Path) -> None:
    """No tenant gets a new policy while any file is bad, not even from the files that are good."""
    folder = folder_of(tmp_path, all={}, lab=LAB)
    store = PolicyStore(folder)
    before = store.in_force
    folder_of(tmp_path, all={"version": 8})
    (folder / "lab.yaml").write_text("schema: 1\n")
    with pytest.raises(DocumentError, match=r"lab\.yaml"):
        store.reload()
    assert store.in_force is before
    folder_of(tmp_path, lab=LAB)
    store.reload()
    assert store.current.id.version == 8


@pytest.mark.parametrize("way", ["files", "folder"])
def test_a_folder_that_is_emptied_keeps_the_last_good_and_says_so(tmp_path: Path, way: str) -> None:
    """Taking the files or the folder away is not a policy that permits everything."""
    folder = folder_of(tmp_path, all={}, lab=LAB)
    store = PolicyStore(folder)
    before = store.in_force
    for file in folder.iterdir():
        file.unlink()
    if way == "folder":
        folder.rmdir()
    assert store.look() != store.seen
    with pytest.raises(ConfigurationError):
        store.reload()
    assert store.in_force is before
    assert ("holds no policy" if way == "files" else "No such file") in store.last_error
    assert store.look() == store.seen


def test_a_tenants_file_that_goes_takes_its_policy_along(tmp_path: Path) -> None:
    """Removing a file on purpose is a change like any other: the tenant falls back to the policy of everybody."""
    folder = folder_of(tmp_path, all={}, lab=LAB)
    store = PolicyStore(folder)
    (folder / "lab.yaml").unlink()
    assert store.look() != store.seen
    store.reload()
    assert store.for_tenant("lab") is store.current


def test_a_parent_is_looked_at_too(tmp_path: Path) -> None:
    """What a file extends counts as its own: a change of it is noticed and takes effect, also where it was missing."""
    folder = folder_of(tmp_path)
    (folder / "parents").mkdir()
    write(folder / "parents" / "base.yaml", policy="base")
    head = {"schema": 1, "policy": "mine", "version": 1, "owner": "o", "extends": "parents/base.yaml"}
    (folder / "mine.yaml").write_text(json.dumps(head))
    store = PolicyStore(folder / "mine.yaml")
    before = store.hash
    write(folder / "parents" / "base.yaml", policy="base", answers={"hide": ["payment data"]})
    assert store.look() != store.seen
    store.reload()
    assert store.hash != before
    (folder / "parents" / "base.yaml").unlink()
    with pytest.raises(DocumentError, match="cannot be read"):
        store.reload()
    assert store.look() == store.seen
    write(folder / "parents" / "base.yaml", policy="base")
    assert store.look() != store.seen


def test_files_that_change_while_they_are_read_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No mixture of old and new files is put in force: whoever reads sees one state of all of them."""
    folder = folder_of(tmp_path, all={}, lab=LAB)
    readings = []

    def read_slowly(path: Path, name: str) -> bytes:
        data = contents(path, name)
        readings.append(path.name)
        if readings == ["all.yaml", "lab.yaml"]:
            folder_of(tmp_path, all={"version": 8})
        return data

    monkeypatch.setattr("gateway.policy.files.contents", read_slowly)
    store = PolicyStore(folder)
    assert store.current.id.version == 8
    assert store.look() == store.seen


def test_files_that_never_settle_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather no new policy than one that was never there."""
    folder = folder_of(tmp_path, all={}, lab=LAB)
    versions = itertools.count(8)

    def restless(path: Path, name: str) -> bytes:
        folder_of(tmp_path, all={"version": next(versions)})
        return contents(path, name)

    monkeypatch.setattr("gateway.policy.files.contents", restless)
    with pytest.raises(ConfigurationError, match="was changed again and again while it was read"):
        PolicyStore(folder)


def test_what_may_be_named_is_checked(tmp_path: Path) -> None:
    """The names and channels that exist are part of what a policy is judged by."""
    around = Surroundings(known={"tenant": frozenset({"lab"})}, channels=frozenset({"privacy"}))
    told = {"rules": [{"id": "r", "why": "w", "when": {"app": "x"}, "then": {"notify": ["nobody"]}}]}
    with pytest.raises(DocumentError, match="no channel 'nobody' is configured"):
        PolicyStore(folder_of(tmp_path, all=told), surroundings=around)
    assert PolicyStore(folder_of(tmp_path, all={}, lab=LAB), surroundings=around).for_tenant("lab").id.name == "all+lab"
