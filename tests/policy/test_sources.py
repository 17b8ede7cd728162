"""Reading policy files: one, a folder of them, and those that they extend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.documents import DocumentError
from gateway.domain.errors import ConfigurationError
from gateway.policy.files import PolicyFiles
from gateway.policy.join import EVERYBODY
from gateway.policy.names import Surroundings
from gateway.policy.sources import read_policies, read_policy
from support.policies import document, rule


def write(path: Path, content: dict[str, Any] | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
    return path


def child(name: str, extends: str, **more: Any) -> dict[str, Any]:
    return {"schema": 1, "policy": name, "version": 1, "owner": "a@b.c", "extends": extends, **more}


def messages(path: Path) -> list[str]:
    with pytest.raises(DocumentError) as refused:
        read_policies(path)
    return [
        f"{Path(problem.file).relative_to(path if path.is_dir() else path.parent)}:{problem.line}: {problem.message}"
        for problem in refused.value.problems
    ]


def test_a_file_is_the_policy_of_everybody(tmp_path: Path) -> None:
    """A path of one file gives one policy, and names the file that had a say."""
    found = read_policies(write(tmp_path / "policy.yaml", document()))
    assert list(found.policies) == [EVERYBODY]
    assert found.used == {"policy.yaml"}


def test_what_lies_in_a_folder_beside_policies_is_ignored(tmp_path: Path) -> None:
    """Test files, hidden files, signatures and other kinds of files are no policies."""
    write(tmp_path / "policy.yaml", document())
    for name in ("policy_test.yaml", "README.md", "SIGNATURES.json", ".draft.yaml", "policy.yaml~", "policy.txt"):
        write(tmp_path / name, "not a policy: [")
    write(tmp_path / "parents" / "unused.yaml", "not a policy: [")
    assert read_policies(tmp_path).used == {"policy.yaml"}


def test_a_file_that_cannot_be_read_is_never_silently_absent(tmp_path: Path) -> None:
    """Each file with a fault stops all of them, and every fault of every file is told at once."""
    write(tmp_path / "good.yaml", document())
    write(tmp_path / "broken.yml", "a: [")
    write(tmp_path / "empty.yaml", "")
    write(tmp_path / "odd.yaml", document(policy="odd", rules=[rule("r", {"ap": "x"}, {"action": "blok"})]))
    (tmp_path / "gone.yaml").symlink_to("nowhere.yaml")
    (tmp_path / "folder.yaml").mkdir()
    said = messages(tmp_path)
    assert {message.split(":")[0] for message in said} == {
        *("broken.yml", "empty.yaml", "odd.yaml", "gone.yaml", "folder.yaml")
    }
    assert any(message.startswith("gone.yaml:1: cannot be read: No such file") for message in said)
    assert sum(message.startswith("odd.yaml") for message in said) == 2


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    """A folder without a policy is not a policy that permits everything."""
    write(tmp_path / "policy_test.yaml", "x: 1")
    with pytest.raises(ConfigurationError, match=r"the folder holds no policy"):
        read_policies(tmp_path)


def test_one_file_for_a_tenant_only_is_an_error(tmp_path: Path) -> None:
    """Its path is the whole policy, so the other callers would have none."""
    path = write(tmp_path / "policy.yaml", {**document(), "for": {"tenant": ["a"]}})
    (said,) = messages(path)
    assert "all other callers would have no policy" in said
    assert read_policy(path).policy.tenants == ("a",)


def test_a_parent_applies_through_its_children(tmp_path: Path) -> None:
    """In a folder, a file that a tenant's file extends is not joined a second time: its rules stand once."""
    write(tmp_path / "base.yaml", document(rules=[rule("common", {"app": "x"}, {"action": "block"})]))
    for name in ("a", "b"):
        more = {"for": {"tenant": [name, "both"]}, "rules": [rule(f"of-{name}", {"app": "y"}, {"action": "block"})]}
        write(tmp_path / f"{name}.yaml", child(name, "base.yaml", **more))
    policies = read_policies(tmp_path).policies
    assert {tenant: [each.id for each in found.policy.rules] for tenant, found in policies.items()} == {
        EVERYBODY: ["common"],
        "a": ["common", "of-a"],
        "b": ["common", "of-b"],
        "both": ["common", "of-a", "of-b"],
    }


def test_parents_may_lie_in_folders_below(tmp_path: Path) -> None:
    """A folder below holds what is only extended; paths are relative to the file that names them."""
    write(tmp_path / "parents" / "base.yaml", document())
    write(tmp_path / "parents" / "eu.yaml", child("eu", "base.yaml"))
    write(tmp_path / "policy.yaml", child("mine", "parents/eu.yaml"))
    found = read_policies(tmp_path)
    assert found.used == {"policy.yaml", "parents/eu.yaml", "parents/base.yaml"}
    assert found.everybody.policy.name == "mine"
    assert [place.problems.file for place in found.everybody.places.values() if "base.yaml" in place.problems.file]


@pytest.mark.parametrize(
    ("extends", "words"),
    [
        ("nowhere.yaml", "'nowhere.yaml' cannot be read: No such file or directory"),
        ("../base.yaml", "'../base.yaml' leads out of the policy's folder"),
        ("parents/../../base.yaml", "leads out of the policy's folder"),
        ("/etc/policy.yaml", "'/etc/policy.yaml' leads out of the policy's folder"),
        ("policy.yaml", "in a circle"),
        (".", "leads out of the policy's folder"),
    ],
)
def test_a_parent_that_cannot_be_read(tmp_path: Path, extends: str, words: str) -> None:
    """The error stands at the child's `extends` and says what is wrong with it, and nothing else is reported."""
    write(tmp_path / "base.yaml", document())
    folder = tmp_path / "policies"
    path = write(
        folder / "policy.yaml", child("mine", extends, rules=[rule("r", {"contains": "pay"}, {"regions": ["EU"]})])
    )
    (said,) = messages(path)
    assert said.startswith("policy.yaml:6: ")
    assert words in said


def test_files_that_extend_one_another_in_a_circle(tmp_path: Path) -> None:
    """A circle of files is found and shown, in whatever order they are read."""
    write(tmp_path / "a.yaml", child("a", "b.yaml"))
    write(tmp_path / "b.yaml", child("b", "c.yaml"))
    write(tmp_path / "c.yaml", child("c", "a.yaml"))
    said = messages(tmp_path)
    assert any("c.yaml:6: files extend one another in a circle" in message for message in said)
    assert any("a.yaml extends b.yaml extends c.yaml extends a.yaml" in message for message in said)


def test_a_chain_of_files_has_an_end(tmp_path: Path) -> None:
    """Reading a very long chain is refused, not a stack that overflows."""
    write(tmp_path / "p0.yaml", document())
    for number in range(1, 40):
        write(tmp_path / f"p{number}.yaml", child(f"p{number}", f"p{number - 1}.yaml"))
    with pytest.raises(DocumentError, match="more than 16 files extend one another"):
        read_policy(tmp_path / "p39.yaml")


def test_the_faults_of_a_parent_are_told_once_at_their_place(tmp_path: Path) -> None:
    """A parent with a fault is reported where the fault is; its children only say that they wait for it."""
    write(tmp_path / "base.yaml", document(rules=[rule("r", {"ap": "x"}, {"action": "block"})]))
    write(
        tmp_path / "a.yaml",
        child("a", "base.yaml", rules=[rule("s", {"contains": "payment data"}, {"regions": ["EU"]})]),
    )
    write(tmp_path / "b.yaml", child("b", "base.yaml"))
    said = messages(tmp_path)
    assert len(said) == 3
    assert sum("unknown key 'ap'" in message for message in said) == 1
    assert sum("'base.yaml' is not valid" in message for message in said) == 2


def test_an_unknown_tenant_is_an_error_where_tenants_are_known(tmp_path: Path) -> None:
    """A file for a tenant that does not exist would silently apply to nobody."""
    write(tmp_path / "all.yaml", document())
    write(tmp_path / "school.yaml", {**document(policy="school"), "for": {"tenant": ["school-ue"]}})
    around = Surroundings(known={"tenant": frozenset({"school-eu"})})
    with pytest.raises(DocumentError, match="there is no tenant 'school-ue'; did you mean 'school-eu'"):
        read_policies(tmp_path, around)


def test_guarantees_of_all_files_are_kept(tmp_path: Path) -> None:
    """What a parent promises is promised by its children as well."""
    promise = [{"say": "inside", "when": {"level": "restricted"}, "never": {"sent_to": "cloud"}}]
    write(tmp_path / "base.yaml", {**document(), "guarantees": promise})
    write(tmp_path / "a.yaml", {**child("a", "base.yaml"), "guarantees": promise})
    assert len(read_policy(tmp_path / "a.yaml").guarantees) == 2


# ---- the digest


def test_a_change_of_any_file_that_counts_is_noticed(tmp_path: Path) -> None:
    """Contents, new files, removed files and parents change the digest; what is ignored does not."""
    folder = tmp_path / "policies"
    write(folder / "a.yaml", document())
    parent = write(folder / "parents" / "base.yaml", document())
    asked = ["parents/base.yaml"]
    digests = [PolicyFiles(folder, asked).digest()]

    def changed() -> bool:
        digests.append(PolicyFiles(folder, asked).digest())
        return digests[-1] != digests[-2]

    assert not changed()
    write(folder / "a.yaml", document(version=8))
    assert changed()
    write(folder / "b.yaml", document(policy="b"))
    assert changed()
    write(folder / "b_test.yaml", "tests: []")
    assert not changed()
    write(parent, document(version=9))
    assert changed()
    parent.unlink()
    assert changed()
    (folder / "b.yaml").rename(folder / "c.yaml")
    assert changed()
    (folder / "c.yaml").unlink()
    assert changed()
