"""Two gateways of one host with one engine, as real processes: what happens to one when the other is killed."""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from support.exposure import CARD
from support.live import Gateway, Setup, live_gateway, local_target
from support.tiny_gguf import write_tiny_gguf


@pytest.fixture
def gateways(tmp_path: Path) -> Iterator[tuple[Gateway, Gateway]]:
    """Two, each with a state of its own, and the same runtime folder. The first owns the engine."""
    folder = Path(tempfile.mkdtemp(prefix="bwrun-", dir="/tmp"))
    model = write_tiny_gguf(tmp_path / "tiny.gguf", context_tokens=16384)
    target = local_target(file=str(model), context_tokens="16384", max_output_tokens="15000", threads="1")
    with contextlib.ExitStack() as stack:
        made = [
            stack.enter_context(
                live_gateway(
                    Setup(
                        tmp_path / name,
                        [target],
                        {"auto": "{targets: [local]}"},
                        extra=f"local_models: {{runtime_folder: {folder}}}",
                    )
                )
            )
            for name in ("one", "two")
        ]
        yield made[0], made[1]
    shutil.rmtree(folder, ignore_errors=True)


def _engines(gateway: Gateway) -> list[psutil.Process]:
    children = psutil.Process(gateway.process.process.pid).children(recursive=True)
    return [child for child in children if "adapters.llama_cpp" in child.cmdline()]


def _running(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _until_answered(gateway: Gateway, seconds: float) -> httpx.Response:
    deadline = time.monotonic() + seconds
    while True:
        answer = gateway.chat(f"Card {CARD}", max_tokens=2)
        if answer.status_code == 200 or time.monotonic() > deadline:
            return answer
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "target_unavailable"
        time.sleep(0.1)


def test_answers_go_on_when_the_owner_is_killed(gateways: tuple[Gateway, Gateway]) -> None:
    """Both answer from one engine. When its owner is killed, the engine ends; an answer that the other was handing on
    ends with a clear error, and seconds later the other has an engine of its own and answers, and says that it is
    ready."""
    owner, other = gateways
    (engine,) = _engines(owner)
    assert not _engines(other)
    for gateway in gateways:
        assert gateway.chat(f"Card {CARD}", max_tokens=2).headers["x-bailiwick-target"] == "local"
    body = {"model": "auto", "stream": True, "max_tokens": 15000, "messages": [{"role": "user", "content": CARD}]}
    with other.client.stream("POST", "/v1/chat/completions", json=body) as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("data: ")
        owner.process.stop(signal.SIGKILL)
        rest = list(lines)
    assert "target_unavailable" in "".join(rest[-6:])
    answer = _until_answered(other, 60)
    assert (answer.status_code, answer.headers["x-bailiwick-target"]) == (200, "local")
    assert not _running(engine)
    assert len(_engines(other)) == 1
    other.wait_ready(30)


def test_answers_go_on_when_the_owner_ends(gateways: tuple[Gateway, Gateway]) -> None:
    """So it is with an owner that is told to end, as in a rolling restart; the new one finds the other's engine."""
    owner, other = gateways
    owner.close()
    answer = _until_answered(other, 60)
    assert (answer.status_code, answer.headers["x-bailiwick-target"]) == (200, "local")
    with live_gateway(owner.setup) as again:
        assert again.chat(f"Card {CARD}", max_tokens=2).status_code == 200
        assert (len(_engines(other)), len(_engines(again))) == (1, 0)
