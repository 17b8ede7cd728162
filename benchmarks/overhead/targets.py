"""What is measured: each target as a function that starts it and says how to reach it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.overhead import gateway, peers
from benchmarks.overhead.processes import Child, free_port

HERE = Path(__file__).parent
UPSTREAM_PATH = "/v1"
PEER_KEY = "sk-bench"
DIRECT, PASSTHROUGH, LITELLM, GATEWAY = "direct", "passthrough", "litellm", "bailiwick"
LITELLM_PRESIDIO, PORTKEY = "litellm-presidio", "portkey"
LITELLM_PRESIDIO_PLAIN = "litellm-presidio-plain"


@dataclass(frozen=True)
class Place:
    """Where a target runs: a folder of its own, its core (None: any) and the provider's port."""

    folder: Path
    cpu: int | None
    upstream_port: int

    def write(self, template: str, name: str, **values: object) -> Path:
        """Write a file of ours into the folder with its `@NAMES@` filled in."""
        text = (HERE / template).read_text()
        for key, value in {"UPSTREAM_PORT": self.upstream_port, **values}.items():
            text = text.replace(f"@{key}@", str(value))
        path = self.folder / name
        path.write_text(text)
        return path


@dataclass
class Target:
    """A running target. `version` is for the report."""

    name: str
    url: str
    headers: list[str] = field(default_factory=list)
    children: list[Child] = field(default_factory=list)
    version: str = ""

    def resident_mb(self) -> float | None:
        """Return the memory of all its processes; None for a target without any."""
        return sum(child.resident_mb() for child in self.children) if self.children else None

    def stop(self) -> None:
        """End its processes, the last started first."""
        for child in reversed(self.children):
            child.stop()


def start_direct(place: Place) -> Target:
    """No gateway: the load generator talks to the provider."""
    return Target(DIRECT, f"http://127.0.0.1:{place.upstream_port}")


def start_nginx(place: Place) -> Target:
    """Start nginx as a plain reverse proxy."""
    nginx, port = peers.nginx(), free_port()
    config = place.write("nginx.conf", "nginx.conf", PORT=port)
    command = [str(nginx), "-c", str(config), "-p", str(place.folder)]
    return _start("nginx", command, place, port, "/healthz", boot_s=10)


def start_passthrough(place: Place) -> Target:
    """Start the bare Litestar application on uvicorn."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(HERE), "passthrough_app:app"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--loop", "uvloop", "--http", "httptools"]
    command += ["--no-access-log", "--log-level", "warning"]
    env = {"BENCH_UPSTREAM": f"http://127.0.0.1:{place.upstream_port}"}
    return _start(PASSTHROUGH, command, place, port, "/healthz", boot_s=30, env=env)


def start_litellm(place: Place) -> Target:
    """Start LiteLLM's proxy, without guardrails."""
    return _start_litellm(LITELLM, place, place.write("litellm.yaml", "litellm.yaml"))


def start_litellm_presidio(place: Place) -> Target:
    """Start LiteLLM's proxy with its Presidio guardrail, which puts values back as we do and leaves answers alone."""
    return _start_litellm_presidio(LITELLM_PRESIDIO, place, "litellm_presidio.yaml")


def start_litellm_presidio_plain(place: Place) -> Target:
    """Start the same with the guardrail's own defaults: nothing is put back, and answers are masked as well."""
    return _start_litellm_presidio(LITELLM_PRESIDIO_PLAIN, place, "litellm_presidio_plain.yaml")


def _start_litellm_presidio(name: str, place: Place, guardrail: str) -> Target:
    """Presidio's two services run on the same core."""
    services: list[Child] = []
    ports = {}
    place.write("presidio_services.py", "presidio_services.py")
    try:
        for service in ("analyzer", "anonymizer"):
            port = ports[f"{service.upper()}_PORT"] = free_port()
            services.append(_start_presidio(service, place, port))
        config = place.write("litellm.yaml", "litellm.yaml")
        guardrails = place.write(guardrail, "guardrails.yaml", **ports)
        config.write_text(config.read_text() + guardrails.read_text())
        target = _start_litellm(name, place, config)
    except BaseException:
        for child in services:
            child.stop()
        raise
    target.children = services + target.children
    return target


def start_portkey(place: Place) -> Target:
    """Start Portkey's gateway."""
    script, port = peers.portkey(), free_port()
    env = {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}
    command = ["node", str(script), f"--port={port}", "--headless"]
    target = _start(PORTKEY, command, place, port, "/", boot_s=30, env=env)
    upstream = f"http://127.0.0.1:{place.upstream_port}{UPSTREAM_PATH}"
    target.headers = [*_bearer(PEER_KEY), "x-portkey-provider: openai", f"x-portkey-custom-host: {upstream}"]
    target.version = peers.PORTKEY_VERSION
    return target


def start_bailiwick(place: Place) -> Target:
    """Start the gateway itself, with everything on."""
    port = free_port()
    config = gateway.write_config(place.folder, port, f"http://127.0.0.1:{place.upstream_port}{UPSTREAM_PATH}")
    key = gateway.create_key(config)
    target = _start(GATEWAY, gateway.serve_command(config), place, port, gateway.READY_PATH, boot_s=120)
    target.headers, target.version = _bearer(key), gateway.version()
    return target


STARTERS: dict[str, Callable[[Place], Target]] = {
    DIRECT: start_direct,
    "nginx": start_nginx,
    PASSTHROUGH: start_passthrough,
    LITELLM: start_litellm,
    LITELLM_PRESIDIO: start_litellm_presidio,
    LITELLM_PRESIDIO_PLAIN: start_litellm_presidio_plain,
    PORTKEY: start_portkey,
    GATEWAY: start_bailiwick,
}


def _start_presidio(service: str, place: Place, port: int) -> Child:
    command = [str(peers.presidio()), "-m", "gunicorn", "-w", "1", "--keep-alive", "60"]
    command += ["-b", f"127.0.0.1:{port}", f"presidio_services:{service}_app"]
    child = Child.start(service, command, place.folder, place.cpu)
    child.wait_until_answers(f"http://127.0.0.1:{port}/health", 120)
    return child


def _start_litellm(name: str, place: Place, config: Path) -> Target:
    python, port = peers.litellm(), free_port()
    env = {
        "LITELLM_LOG": "ERROR",
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_TELEMETRY": "False",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
        "NO_PROXY": "*",
    }
    command = [str(python), str(python.with_name("litellm")), "--config", str(config)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    target = _start(name, command, place, port, "/health/liveliness", boot_s=180, env=env)
    target.headers, target.version = _bearer(PEER_KEY), peers.version(python, "litellm")
    return target


def _start(
    name: str,
    command: list[str],
    place: Place,
    port: int,
    ready_path: str,
    *,
    boot_s: float,
    env: dict[str, str] | None = None,
) -> Target:
    url = f"http://127.0.0.1:{port}"
    child = Child.start(name, command, place.folder, place.cpu, env)
    child.wait_until_answers(url + ready_path, boot_s)
    return Target(name, url, children=[child])


def _bearer(key: str) -> list[str]:
    return [f"Authorization: Bearer {key}"]
