"""gateway.cli.doctor_servers: model servers are asked how they are, and the answer says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli.checks import Check, State
from gateway.cli.doctor_servers import server_checks
from gateway.settings import load_settings
from support.live import Setup, server_target
from support.model_servers import LOADING, FakeLlamaServer, FakeOllama, FakeServer, FakeVllm, VllmFigures, running


def checked(folder: Path, *servers: FakeServer, **settings: str) -> list[Check]:
    """The checks of one target over these servers."""
    text = server_target("cluster", *(server.base_url for server in servers), **settings)
    setup = Setup(folder, [text], {"auto": "{targets: [cluster]}"})
    with running(*servers):
        return list(server_checks(load_settings(setup.write(), environ={}).targets[0]))


def test_servers_that_are_well(tmp_path: Path) -> None:
    """One line for each, with its figures; nothing but health, models and figures is asked for."""
    one, two = FakeVllm(), FakeVllm()
    one.figures = VllmFigures(running=3, waiting=1)
    first, second = checked(tmp_path, one, two, server="vllm")
    assert first.name == f"server {one.root.removeprefix('http://')}"
    assert (first.state, first.detail) == (State.OK, "vllm of cluster: up, 3 running, 1 waiting")
    assert second.state is State.OK
    assert one.calls == two.calls == 0


def test_metrics_that_are_off(tmp_path: Path) -> None:
    """A warning that says how to turn them on."""
    server = FakeLlamaServer()
    server.without_metrics(busy=1, places=4)
    (check,) = checked(tmp_path, server, server="llama_server")
    assert check.state is State.WARNING
    assert check.detail == (
        "llama_server of cluster: up, 1 running, 4 places; metrics are off: start llama-server with --metrics"
    )


def test_one_of_two_is_down(tmp_path: Path) -> None:
    """A warning while another one serves, and a failure when none does."""
    loading, well = FakeLlamaServer(), FakeLlamaServer()
    loading.set("/health", LOADING, 503)
    first, second = checked(tmp_path, loading, well, server="llama_server")
    assert (first.state, "it is loading its model" in first.detail) == (State.WARNING, True)
    assert second.state is State.OK
    gone = FakeVllm()
    gone.close()
    (check,) = checked(tmp_path, gone, server="vllm")
    assert (check.state, "no connection" in check.detail) == (State.FAILED, True)


@pytest.mark.parametrize(
    ("server", "kind", "state", "said"),
    [
        (FakeVllm, "vllm", State.FAILED, "does not serve the model"),
        (FakeOllama, "ollama", State.FAILED, "ollama pull"),
        (FakeVllm, "generic", State.WARNING, "it lists m, not another"),
        (FakeLlamaServer, "llama_server", State.OK, "up"),
    ],
)
def test_the_model_is_not_there(tmp_path: Path, server: type[FakeServer], kind: str, state: State, said: str) -> None:
    """A failure where requests would be refused, a warning where it is only not in the list."""
    (check,) = checked(tmp_path, server(), server=kind, model="another")
    assert (check.state, said in check.detail) == (state, True), check


def test_a_target_without_servers_or_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked where nothing was said of servers, nor without the key that would be needed."""
    monkeypatch.delenv("A_KEY_FOR_TESTS", raising=False)
    server = FakeVllm()
    assert checked(tmp_path, server, server="vllm", api_key_env="A_KEY_FOR_TESTS") == []
    assert server.received == []
    monkeypatch.setenv("A_KEY_FOR_TESTS", "sk-1")
    again = FakeVllm()
    (check,) = checked(tmp_path, again, server="vllm", api_key_env="A_KEY_FOR_TESTS")
    assert check.state is State.OK
    assert {one.headers["authorization"] for one in again.received} == {"Bearer sk-1"}
