"""The compose file and the collector's configuration, checked without a container engine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from sqlalchemy import make_url

from gateway.identity.secrets import VARIABLE
from gateway.settings import load_settings

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
SECRETS = {"POSTGRES_PASSWORD", "OPENAI_API_KEY", VARIABLE}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(DEPLOY / "compose.yaml")
    return found


@pytest.fixture(scope="module")
def collector() -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(DEPLOY / "otel-collector.yaml")
    return found


def test_it_follows_the_compose_specification() -> None:
    """The file is valid by the JSON schema of the Compose specification."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, str(DEPLOY / "compose.yaml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_images_are_named_by_version(compose: dict[str, Any]) -> None:
    """Every service has an image with a version, and the one that is built here has its Dockerfile."""
    for name, service in compose["services"].items():
        assert re.search(r":v?\d[\w.-]*$", service["image"]), name
    build = compose["services"]["gateway"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).samefile(DEPLOY / "Dockerfile")


def test_what_is_named_is_defined(compose: dict[str, Any]) -> None:
    """Services that others wait for exist (and have a health check where it is waited for); volumes and networks are
    declared; mounted files are in the repository."""
    services = compose["services"]
    for service in services.values():
        waits = service.get("depends_on", {})
        for other, how in (waits if isinstance(waits, dict) else {other: {} for other in waits}).items():
            assert other in services
            if how.get("condition") == "service_healthy":
                assert "healthcheck" in services[other]
        assert set(service["networks"]) <= compose["networks"].keys()
        for volume in service.get("volumes", ()):
            source, target, *mode = volume.split(":")
            assert target.startswith("/")
            if source.startswith("."):
                assert (DEPLOY / source).is_file()
                assert mode == ["ro"]
            else:
                assert source in compose["volumes"]


def test_ports_are_published_on_this_machine_only(compose: dict[str, Any]) -> None:
    """Nothing listens on the network unless somebody decides so; the stores are not published at all."""
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert published.keys() == {"gateway", "jaeger"}
    for ports in published.values():
        assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_stores_can_reach_nobody(compose: dict[str, Any]) -> None:
    """PostgreSQL, Redis and the collector are on an internal network only."""
    assert compose["networks"]["inside"] == {"internal": True}
    for name in ("postgres", "redis", "collector"):
        assert compose["services"][name]["networks"] == ["inside"]


def test_no_secret_stands_in_the_file(compose: dict[str, Any]) -> None:
    """Secrets come from the environment, and starting without one is an error that says so."""
    text = (DEPLOY / "compose.yaml").read_text()
    body = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    asked = dict(re.findall(r"\$\{(\w+)(:\?[^}]+)?\}", body))
    assert asked.keys() == SECRETS
    assert all(message.startswith(":?") for message in asked.values())
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search(r"KEY|PASSWORD|SECRET|TOKEN", name):
                assert value.startswith("${"), name


def test_the_gateway_is_locked_in(compose: dict[str, Any]) -> None:
    """It has no capabilities, cannot gain privileges, and writes to its volume and to a temporary folder only."""
    gateway = compose["services"]["gateway"]
    assert gateway["read_only"] is True
    assert gateway["cap_drop"] == ["ALL"]
    assert gateway["security_opt"] == ["no-new-privileges:true"]
    assert gateway["tmpfs"] == ["/tmp"]
    assert [volume.split(":")[1] for volume in gateway["volumes"]] == ["/var/lib/bailiwick"]


def test_the_gateway_is_given_what_its_settings_name(compose: dict[str, Any]) -> None:
    """Every variable that the image's settings name is in its environment, the database URL is one that can be opened,
    and there is more time to stop than to drain."""
    gateway = compose["services"]["gateway"]
    named = set(re.findall(r"_env: (\w+)", (DEPLOY / "bailiwick.yaml").read_text()))
    assert named == gateway["environment"].keys() - {VARIABLE}
    url = make_url(re.sub(r"\$\{[^}]*\}", "secret", gateway["environment"]["BAILIWICK_DATABASE_URL"]))
    assert url.drivername == "postgresql"
    assert url.host in compose["services"]
    assert url.username == compose["services"]["postgres"]["environment"]["POSTGRES_USER"]
    assert url.database == compose["services"]["postgres"]["environment"]["POSTGRES_DB"]
    settings = load_settings(DEPLOY / "bailiwick.yaml", environ={}, needs_environment=False)
    assert int(gateway["stop_grace_period"].removesuffix("s")) > settings.server.drain


def test_budgets_survive_a_crash(compose: dict[str, Any]) -> None:
    """Redis has each reservation on the disk before it says so, and evicts none."""
    command = " ".join(compose["services"]["redis"]["command"])
    for option in ("--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction"):
        assert option in command


def test_the_collector_uses_what_it_defines(collector: dict[str, Any]) -> None:
    """Each component of a pipeline is defined, each that is defined is used, and memory is limited first."""
    used: dict[str, set[str]] = {"receivers": set(), "processors": set(), "exporters": set()}
    for pipeline in collector["service"]["pipelines"].values():
        assert pipeline["processors"][0] == "memory_limiter"
        for kind, names in pipeline.items():
            used[kind] |= set(names)
    assert used == {kind: set(collector[kind]) for kind in used}


def test_traces_find_their_way(compose: dict[str, Any], collector: dict[str, Any]) -> None:
    """The gateway sends to the port on which the collector receives, and the collector to a service of this file."""
    services = compose["services"]
    received = collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
    assert received == "0.0.0.0:4318"
    assert services["gateway"]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector:4318"
    assert collector["exporters"]["otlp"]["endpoint"].split(":")[0] in services
    mounted = services["collector"]["volumes"][0].split(":")[1]
    assert services["collector"]["command"] == [f"--config={mounted}"]
