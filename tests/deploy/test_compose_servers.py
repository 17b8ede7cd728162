"""The compose file with model servers, checked without a container engine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gateway.domain.target import Zone
from gateway.identity.secrets import VARIABLE
from gateway.settings import OpenAISettings, load_settings

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
COMPOSE = DEPLOY / "compose.servers.yaml"
SETTINGS = DEPLOY / "bailiwick.servers.yaml"
SERVERS = ("model-1", "model-2")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(COMPOSE)["services"]
    return found


@pytest.fixture(scope="module")
def cluster() -> tuple[str, OpenAISettings]:
    """The model and the backend of the target over the servers."""
    settings = load_settings(SETTINGS, environ={}, needs_environment=False)
    (target,) = [target for target in settings.targets if target.zone is Zone.LOCAL]
    assert isinstance(target.backend, OpenAISettings)
    return target.model, target.backend


def value(command: list[str], option: str) -> str:
    """llama-server takes the value of an option as a word of its own only."""
    assert not any("=" in word for word in command)
    return command[command.index(option) + 1]


def test_it_follows_the_compose_specification() -> None:
    """The file is valid by the JSON schema of the Compose specification."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_gateway_reaches_the_servers(services: dict[str, Any]) -> None:
    """They are on a network without a way out, publish no port, and have no rights; the gateway's port is for this
    machine."""
    assert services.keys() == {"gateway", *SERVERS}
    assert YAML(typ="safe").load(COMPOSE)["networks"] == {"models": {"internal": True}, "outside": None}
    for name in SERVERS:
        server = services[name]
        assert server["networks"] == ["models"]
        assert "ports" not in server
        assert server["read_only"] is True
        assert server["cap_drop"] == ["ALL"]
        assert server["security_opt"] == ["no-new-privileges:true"]
        assert not server["user"].startswith("0")
        assert re.search(r":server-b\d+$", server["image"])
    assert all(port.startswith("127.0.0.1:") for port in services["gateway"]["ports"])


def test_the_gateway_is_locked_in_as_it_is_elsewhere(services: dict[str, Any]) -> None:
    """Image, rights and writable places are those of the other compose file."""
    other = YAML(typ="safe").load(DEPLOY / "compose.yaml")["services"]["gateway"]
    for key in ("build", "image", "read_only", "tmpfs", "cap_drop", "security_opt", "ports", "stop_grace_period"):
        assert services["gateway"][key] == other[key], key


def test_the_settings_name_the_servers_that_there_are(
    services: dict[str, Any], cluster: tuple[str, OpenAISettings]
) -> None:
    """Every address of the target is a service of this file, on the port that its health check asks, under the name
    that it serves the model by, and with metrics."""
    model, backend = cluster
    assert backend.servers is not None
    assert backend.servers.kind == "llama_server"
    assert backend.servers.base_urls == tuple(f"http://{name}:8080/v1" for name in SERVERS)
    for name in SERVERS:
        command = services[name]["command"]
        assert value(command, "--alias") == model
        assert "--metrics" in command
        assert services[name]["healthcheck"]["test"][-1] == "http://127.0.0.1:8080/health"
        (mount,) = services[name]["volumes"]
        source, inside, mode = mount.split(":")
        assert (DEPLOY / source / Path(value(command, "--model")).relative_to(inside)).is_file()
        assert mode == "ro"


def test_settings_and_servers_agree_on_the_context(services: dict[str, Any]) -> None:
    """A request may be as long as a place of the servers is."""
    (target, _) = load_settings(SETTINGS, environ={}, needs_environment=False).targets
    command = services["model-1"]["command"]
    assert target.context_tokens == int(value(command, "--ctx-size")) // int(value(command, "--parallel"))


def test_the_policy_is_the_one_of_one_machine() -> None:
    """Where the model runs changes nothing of what may go where."""
    one, servers = (
        load_settings(DEPLOY / name, environ={}, needs_environment=False).policy
        for name in ("bailiwick.yaml", "bailiwick.servers.yaml")
    )
    assert one == servers


def test_secrets_come_from_the_environment(services: dict[str, Any]) -> None:
    """Every variable that the settings name is given, the servers' key is the gateway's, and a missing one is an error
    that says so."""
    named = set(re.findall(r"_env: (\w+)", SETTINGS.read_text()))
    environment = services["gateway"]["environment"]
    assert environment.keys() == named | {VARIABLE}
    for name in SERVERS:
        assert services[name]["environment"] == {"LLAMA_API_KEY": environment["MODEL_SERVER_KEY"]}
    for value in environment.values():
        assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value)
    assert "./bailiwick.servers.yaml:/etc/bailiwick/bailiwick.yaml:ro" in services["gateway"]["volumes"]
