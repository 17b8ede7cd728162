"""Promise 5: a bad policy never replaces a good one, a missing one stops the start, and a self-probe keeps watch."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.domain.errors import ConfigurationError
from gateway.domain.record import RecordKind
from gateway.policy import compile_policy, load
from gateway.policy.archive import load_archived
from support.evidence import eventually, records
from support.here import gateway_here
from support.live import DEFAULT_POLICY, REPOSITORY, Cloud, Gateway, Setup, cloud_target, local_target
from support.nursery import forked_gateway

BASE = DEFAULT_POLICY.read_text().partition("\nrules:")[0] + "\n"
_RULE = "\nrules:\n  - id: switch\n    why: A test\n    when: {app: support-bot}\n    then: {action: %s}\n"

POLICIES = {"allow": BASE, "local_only": BASE + _RULE % "local_only", "block": BASE + _RULE % "block"}
"""The action that an ordinary request gets, and the policy that says so."""

TAKES_OVER_WITHIN = 5.0
"""Seconds. On a quiet machine it is about one."""


def short(text: str) -> str:
    """The hash of a policy as answers carry it, from the text alone."""
    return compile_policy(load(text)[0]).id.short


ACTIONS = {short(text): action for action, text in POLICIES.items()}


# ---- without a good policy nothing starts


def _no_policy(path: Path) -> None:
    """The file is not there."""


UNUSABLE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (_no_policy, ": cannot be read: No such file"),
    "empty": (lambda path: path.write_text(""), ":1:1: expected"),
    "cut": (lambda path: path.write_text(BASE[:1800]), ":"),
    "misspelt": (lambda path: path.write_text(BASE.replace("handling:", "handlings:", 1)), "did you mean 'handling'?"),
    "folder": (lambda path: path.mkdir(), ": the folder holds no policy"),
    "not UTF-8": (lambda path: path.write_bytes(b"# \xff\xfe\n" + BASE.encode()), ":1:1: the file is not UTF-8"),
}


def _setup(folder: Path, policy: Path) -> Setup:
    return Setup(folder, [cloud_target("cloud", "http://127.0.0.1:9/v1")], {"auto": "{targets: [cloud]}"}, policy)


@pytest.mark.parametrize("fault", ["missing", "misspelt"])
def test_no_start_without_a_good_policy(fault: str, tmp_path: Path) -> None:
    """The command does not begin to listen; its exit code and a message with file and line say why."""
    policy = tmp_path / "policy.yaml"
    make, message = UNUSABLE[fault]
    make(policy)
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "--config", str(_setup(tmp_path, policy).write()), "serve"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {policy}:")
    assert message in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


@pytest.mark.anyio
@pytest.mark.parametrize("fault", UNUSABLE)
async def test_nothing_opens_without_a_good_policy(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way of having no good policy ends the start, with a message that names the file and the place in it."""
    policy = tmp_path / "policy.yaml"
    make, message = UNUSABLE[fault]
    make(policy)
    with pytest.raises(ConfigurationError) as refused:
        async with gateway_here(_setup(tmp_path, policy), monkeypatch):
            raise AssertionError("it opened")
    assert str(refused.value).startswith(f"{policy}:")
    assert message in str(refused.value)


# ---- while it serves


class Watched:
    """A gateway whose policy file is tampered with."""

    def __init__(self, gateway: Gateway, policy: Path) -> None:
        self.gateway = gateway
        self.policy = policy

    def ask(self) -> httpx.Response:
        return self.gateway.chat("Where is my parcel?", max_tokens=2)

    def figure(self, name: str) -> float:
        """A metric without labels."""
        lines = self.gateway.client.get("/metrics").text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"bailiwick_{name} "))

    def replace(self, text: str) -> None:
        """As editors and deployment tools do: a new file takes the old one's name."""
        draft = self.policy.with_name("policy.yaml.tmp")
        draft.write_text(text)
        draft.replace(self.policy)

    def wait_for(self, text: str) -> float:
        """Return when this policy decides; how many seconds that took."""
        began = time.monotonic()
        wanted = short(text)
        eventually(lambda: self.ask().headers["x-bailiwick-policy"] == wanted, TAKES_OVER_WITHIN, "it never took over")
        return time.monotonic() - began

    def wait_for_failures(self, count: float) -> None:
        eventually(lambda: self.figure("policy_reload_failures_total") >= count, TAKES_OVER_WITHIN, "nobody noticed it")

    def events(self, name: str) -> list[Any]:
        return [r for r in records(self.gateway.state) if r.kind is RecordKind.EVENT and r.event == name]

    @contextmanager
    def load(self, callers: int = 2) -> Iterator[list[httpx.Response]]:
        """Requests without a pause while the block runs; their answers are in the list."""
        stop = threading.Event()
        answers: list[httpx.Response] = []

        def call() -> None:
            while not stop.is_set():
                answers.append(self.ask())

        with ThreadPoolExecutor(callers) as pool:
            running = [pool.submit(call) for _ in range(callers)]
            try:
                yield answers
            finally:
                stop.set()
        for caller in running:
            caller.result()


@pytest.fixture(scope="module")
def module_watched(cloud: Cloud, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("promise5")
    policy = folder / "policies" / "policy.yaml"
    policy.parent.mkdir()
    policy.write_text(POLICIES["allow"])
    targets = [
        cloud_target("cloud", cloud.base_url),
        local_target(file=str(tiny_model), context_tokens="512", max_output_tokens="8"),
    ]
    setup = Setup(folder, targets, {"auto": "{targets: [cloud, local], rank: listed}"}, policy)
    with forked_gateway(setup) as gateway:
        yield Watched(gateway, policy)


@pytest.fixture
def watched(module_watched: Watched) -> Iterator[Watched]:
    """With the policy that allows, before and after."""
    yield module_watched
    if module_watched.policy.is_dir() and not module_watched.policy.is_symlink():
        module_watched.policy.rmdir()
    module_watched.replace(POLICIES["allow"])
    module_watched.wait_for(POLICIES["allow"])


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


BROKEN: dict[str, Callable[[Path], Any]] = {
    "broken": lambda path: path.write_text(BASE + "rules: ["),
    "empty": lambda path: path.write_text(""),
    "looser than the language permits": lambda path: path.write_text(
        BASE.replace("detector_fails: local_only", "detector_fails: allow")
    ),
    "not UTF-8": lambda path: path.write_bytes(BASE.encode("utf-16")),
    "deleted": lambda path: path.unlink(),
    "folder": _directory,
    "too large": lambda path: path.write_text(BASE + "#" * (1 << 20)),
    "link to nothing": lambda path: (path.unlink(), path.symlink_to("nowhere.yaml")),
}


def test_the_last_good_policy_goes_on(watched: Watched) -> None:
    """Whatever happens to the file under load, every answer is decided by the last good policy; each fault is counted,
    and is in the audit log with the hash that goes on serving."""
    good = short(POLICIES["allow"])
    counted = watched.figure("policy_reload_failures_total")
    recorded = len(watched.events("policy refused"))
    with watched.load() as answers:
        for number, (fault, tamper) in enumerate(BROKEN.items(), 1):
            tamper(watched.policy)
            watched.wait_for_failures(counted + number)
            assert watched.ask().headers["x-bailiwick-policy"] == good, fault
            if watched.policy.is_dir():
                watched.policy.rmdir()
            watched.replace(POLICIES["allow"])  # not noticed before the next fault, or it is; both must do
    assert len(answers) > len(BROKEN)
    assert {(answer.status_code, answer.headers["x-bailiwick-policy"]) for answer in answers} == {(200, good)}
    assert watched.figure("policy_reload_failures_total") == counted + len(BROKEN)
    eventually(lambda: len(watched.events("policy refused")) == recorded + len(BROKEN))
    assert {event.policy[:12] for event in watched.events("policy refused")} == {good}
    assert "the changed policy is refused" in watched.gateway.process.output
    assert watched.gateway.client.get("/readyz").status_code == 200


def test_a_broken_one_does_not_stop_a_better_one(watched: Watched) -> None:
    """After a refusal the next good policy takes over, by whatever way it comes."""
    failures = watched.figure("policy_reload_failures_total")
    watched.replace("schema: 1\n")
    watched.wait_for_failures(failures + 1)
    watched.replace(POLICIES["block"])
    assert watched.wait_for(POLICIES["block"]) < TAKES_OVER_WITHIN
    watched.policy.write_text(POLICIES["local_only"])  # in place
    assert watched.wait_for(POLICIES["local_only"]) < TAKES_OVER_WITHIN
    watched.policy.unlink()
    time.sleep(1.0)
    assert watched.ask().headers["x-bailiwick-policy"] == short(POLICIES["local_only"])
    watched.policy.write_text(POLICIES["block"])  # made anew
    assert watched.wait_for(POLICIES["block"]) < TAKES_OVER_WITHIN
    assert watched.ask().status_code == 403


def test_links_are_followed(watched: Watched) -> None:
    """A file that is a link takes effect when what it points to changes: as Kubernetes updates configuration maps (the
    link of a folder is swapped), and where the real file lies elsewhere."""
    folder = watched.policy.parent
    for version, action in (("..v1", "local_only"), ("..v2", "block")):
        (folder / version).mkdir()
        (folder / version / "policy.yaml").write_text(POLICIES[action])
    (folder / "..data").symlink_to("..v1")
    (folder / "link").symlink_to("..data/policy.yaml")
    (folder / "link").replace(watched.policy)
    watched.wait_for(POLICIES["local_only"])
    (folder / "..data_tmp").symlink_to("..v2")
    (folder / "..data_tmp").replace(folder / "..data")
    watched.wait_for(POLICIES["block"])
    # Half a swap: the new folder's file is broken.
    failures = watched.figure("policy_reload_failures_total")
    (folder / "..v3").mkdir()
    (folder / "..v3" / "policy.yaml").write_text("schema: 1\npolicy: half")
    (folder / "..data_tmp").symlink_to("..v3")
    (folder / "..data_tmp").replace(folder / "..data")
    watched.wait_for_failures(failures + 1)
    assert watched.ask().headers["x-bailiwick-policy"] == short(POLICIES["block"])

    elsewhere = folder.parent / "elsewhere.yaml"
    elsewhere.write_text(POLICIES["allow"])
    (folder / "link").symlink_to(elsewhere)
    (folder / "link").replace(watched.policy)
    watched.wait_for(POLICIES["allow"])
    elsewhere.write_text(POLICIES["block"])
    watched.wait_for(POLICIES["block"])


def test_half_a_policy_never_decides(watched: Watched) -> None:
    """A file that is written in pieces is not loaded before it is complete, although its beginning is a valid policy
    that permits more."""
    half = BASE.replace("version: 2 ", "version: 3 ")
    whole = half + "# more to come\n" * 30 + POLICIES["block"].removeprefix(BASE)
    assert short(half) != short(BASE)
    with watched.load(callers=1) as answers, watched.policy.open("w") as file:
        for piece in (half, *["# more to come\n"] * 30):
            file.write(piece)
            file.flush()
            time.sleep(0.04)
        file.write(whole.removeprefix(half + "# more to come\n" * 30))
    watched.wait_for(whole)
    assert {answer.headers["x-bailiwick-policy"] for answer in answers} == {short(BASE)}


def test_each_answer_tells_the_policy_that_decided_it(watched: Watched) -> None:
    """While policies take turns under load, the action of each answer is what the policy of its hash says, and its
    audit records name the same."""
    with watched.load(callers=6) as answers:
        for action in ("block", "local_only", "allow", "block"):
            watched.replace(POLICIES[action])
            watched.wait_for(POLICIES[action])
    seen = [(ACTIONS[answer.headers["x-bailiwick-policy"]], answer.headers["x-bailiwick-action"]) for answer in answers]
    assert {decided for decided, _ in seen} == set(POLICIES)
    assert [pair for pair in seen if pair[0] != pair[1]] == []
    for answer in answers:
        target = {"allow": "cloud", "local_only": "local"}.get(answer.headers["x-bailiwick-action"])
        assert answer.headers.get("x-bailiwick-target") == target
        assert answer.status_code == (403 if target is None else 200)
    told = {answer.headers["x-bailiwick-decision"]: answer.headers["x-bailiwick-policy"] for answer in answers}
    kinds = (RecordKind.INTENT, RecordKind.REFUSAL)
    eventually(lambda: told.keys() <= {r.decision for r in records(watched.gateway.state) if r.kind in kinds})
    noted = {r.decision: r.policy[:12] for r in records(watched.gateway.state) if r.kind in kinds}
    assert {decision: noted[decision] for decision in told} == told


def test_every_policy_that_was_in_force_is_kept(watched: Watched) -> None:
    """A policy is in the archive under its hash, as the canonical text that has this hash, before it decides."""
    for action in ("block", "local_only"):
        watched.replace(POLICIES[action])
        watched.wait_for(POLICIES[action])
    archive = watched.gateway.state / "policies"
    loaded = {event.policy for event in watched.events("policy loaded")}
    kept = {path.stem for path in archive.glob("*.json")}
    assert kept == loaded
    for policy in kept:
        assert hashlib.sha256((archive / f"{policy}.json").read_bytes()).hexdigest() == policy
        assert load_archived(archive, policy).id.hash == policy
        assert compile_policy(load(archive / "sources" / policy / "policy.yaml")[0]).id.hash == policy
    assert archive.stat().st_mode & 0o077 == 0


def test_the_probe_is_content(watched: Watched) -> None:
    """With the real detector, and after all that, the self-probe is kept inside and says so."""
    assert watched.figure("selfprobe_ok") == 1
    assert watched.events("self-probe failed") == []
