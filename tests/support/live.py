"""A real gateway and a real scripted cloud, each a process of its own, as a user would run them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

REPOSITORY = Path(__file__).resolve().parents[2]
DEMO_MODEL = REPOSITORY / "models" / "demo-helpdesk.gguf"
DEFAULT_POLICY = REPOSITORY / "policies" / "default.yaml"
_LISTENS = re.compile(r"listens on (http://\S+)")


class Process:
    """A child process whose output is kept, and which is waited for until a line matches."""

    def __init__(self, arguments: list[str], ready: re.Pattern[str], environ: Mapping[str, str], wait: float) -> None:
        self.lines: list[str] = []
        self.matched: re.Match[str] | None = None
        self._ready = threading.Event()
        self.process = subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(environ), cwd=REPOSITORY
        )
        self._reader = threading.Thread(target=self._read, args=(ready,), daemon=True)
        self._reader.start()
        if not self._ready.wait(wait) or self.matched is None:
            self.stop(signal.SIGKILL)
            raise RuntimeError(f"{arguments} did not start:\n" + "".join(self.lines[-60:]))

    def _read(self, ready: re.Pattern[str]) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if self.matched is None and (match := ready.search(line)):
                self.matched = match
                self._ready.set()
        self._ready.set()

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def stop(self, number: int = signal.SIGTERM, wait: float = 30.0) -> int:
        """End the process and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(wait)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait(10)
        self._reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


class Cloud:
    """The scripted cloud over HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.base_url = f"{url}/v1"
        self._client = httpx.Client(base_url=url, trust_env=False)

    def received(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._client.get("/received").raise_for_status().json()
        return found

    def bodies(self) -> list[str]:
        """The bodies that arrived, as text, oldest first."""
        return [request["body"] for request in self.received()]

    def forget(self) -> None:
        self._client.delete("/received").raise_for_status()

    def script(self, fault: str, count: int = 1, **more: Any) -> None:
        """Fail the next `count` requests in this way."""
        self._client.post("/script", json={"fault": fault, "count": count, **more}).raise_for_status()

    def counters(self) -> dict[str, int]:
        found: dict[str, int] = self._client.get("/counters").raise_for_status().json()
        return found

    def close(self) -> None:
        self._client.close()


@contextmanager
def scripted_cloud(*arguments: str) -> Iterator[Cloud]:
    """A scripted cloud on a free port."""
    process = Process(
        [sys.executable, "-m", "adapters.scripted_cloud", "--port", "0", *arguments],
        re.compile(r"(http://[0-9.:]+)"),
        os.environ,
        30,
    )
    assert process.matched is not None
    cloud = Cloud(process.matched[1].removesuffix("/v1"))
    try:
        yield cloud
    finally:
        cloud.close()
        process.stop()


@dataclass
class Setup:
    """What a test's gateway is made of. `targets` and `models` are YAML text; see `cloud_target`, `local_target`."""

    folder: Path
    targets: list[str]
    models: dict[str, str]
    policy: str | Path = DEFAULT_POLICY
    server: str = "{host: 127.0.0.1, port: 0, drain: 5s}"
    extra: str = ""
    environ: dict[str, str] = field(default_factory=dict)

    def write(self) -> Path:
        """Write the settings file and, where the policy is given as text, the policy."""
        self.folder.mkdir(parents=True, exist_ok=True)
        policy = self.policy
        if isinstance(policy, str):
            (self.folder / "policy.yaml").write_text(policy)
            policy = self.folder / "policy.yaml"
        models = "\n".join(f"  {name}: {route}" for name, route in self.models.items())
        path = self.folder / "bailiwick.yaml"
        path.write_text(
            f"schema: 1\nserver: {self.server}\nstorage: {{folder: {self.folder / 'state'}}}\npolicy: {policy}\n"
            f"{self.extra}\ntargets:\n" + "\n".join(self.targets) + f"\nmodels:\n{models}\n"
        )
        return path


def cloud_target(name: str, base_url: str, **settings: str) -> str:
    """A cloud target as YAML. Settings override the defaults: region, labels, model, price, …"""
    values = {
        "id": name,
        "adapter": "openai",
        "zone": "cloud",
        "region": "EU",
        "model": "scripted-echo",
        "base_url": base_url,
        "price": "{input: 1.00 USD, output: 4.00 USD}",
        "context_tokens": "200000",
        "max_output_tokens": "1000",
        **settings,
    }
    return "\n".join(
        ("  - " if place == 0 else "    ") + f"{key}: {value}" for place, (key, value) in enumerate(values.items())
    )


def server_target(name: str, *base_urls: str, **settings: str) -> str:
    """Model servers on other machines as YAML; `server` is their kind."""
    values = {
        "id": name,
        "adapter": "openai",
        "server": "generic",
        "zone": "local",
        "region": "on-premises",
        "model": "m",
        "base_urls": f"[{', '.join(base_urls)}]",
        "context_tokens": "8192",
        "max_output_tokens": "64",
        **settings,
    }
    return "\n".join(
        ("  - " if place == 0 else "    ") + f"{key}: {value}" for place, (key, value) in enumerate(values.items())
    )


def local_target(name: str = "local", **settings: str) -> str:
    """The demo model on llama.cpp as YAML."""
    values = {
        "id": name,
        "adapter": "llama_cpp",
        "zone": "local",
        "region": "on-premises",
        "model": "demo-helpdesk",
        "file": str(DEMO_MODEL),
        "price": "{input: 10.00 USD, output: 40.00 USD}",
        "context_tokens": "1024",
        "max_output_tokens": "64",
        **settings,
    }
    return "\n".join(
        ("  - " if place == 0 else "    ") + f"{key}: {value}" for place, (key, value) in enumerate(values.items())
    )


def without_output(target: str) -> str:
    """The target as YAML, without the bound of its output: one that makes embeddings has none."""
    return "\n".join(line for line in target.splitlines() if "max_output_tokens" not in line)


def registered_target(model: str, name: str = "house") -> str:
    """A model of the registry as YAML."""
    text = local_target(name, model=model, context_tokens="512")
    return "\n".join(line for line in text.splitlines() if "file:" not in line)


class Gateway:
    """A gateway process, an API key for it, and a client."""

    def __init__(self, setup: Setup, *, wait: float = 60.0) -> None:
        self.setup = setup
        self.config = setup.write()
        self.environ = {**os.environ, **setup.environ}
        self.key = self.cli("keys", "create", "--tenant", "acme", "--app", "support-bot", "--json")
        self.process = Process(
            [sys.executable, "-m", "gateway", "--config", str(self.config), "serve"], _LISTENS, self.environ, wait
        )
        assert self.process.matched is not None
        self.url = self.process.matched[1]
        self.client = httpx.Client(
            base_url=self.url, headers={"authorization": f"Bearer {self.key}"}, timeout=60, trust_env=False
        )

    @property
    def state(self) -> Path:
        return self.setup.folder / "state"

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def cli(self, *arguments: str, check: bool = True) -> str:
        """The output of a `bailiwick` command on this gateway's settings; for `keys create`, the key."""
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "--config", str(self.config), *arguments],
            capture_output=True,
            text=True,
            env=self.environ,
            cwd=REPOSITORY,
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(f"bailiwick {arguments}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        if arguments[:2] == ("keys", "create"):
            import json

            key: str = json.loads(done.stdout)["key"]
            return key
        return done.stdout

    def chat(self, text: str, model: str = "auto", **fields: Any) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
        return self.client.post("/v1/chat/completions", json=body)

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Return when /readyz says so: the local model is loaded."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answer = self.client.get("/readyz")
            if answer.status_code == 200:
                return
            time.sleep(0.05)
        raise RuntimeError(f"not ready: {answer.text}\n{self.process.output}")

    def close(self, number: int = signal.SIGTERM) -> int:
        self.client.close()
        return self.process.stop(number)


@contextmanager
def live_gateway(setup: Setup, *, ready: bool = True) -> Iterator[Gateway]:
    gateway = Gateway(setup)
    try:
        if ready:
            gateway.wait_ready()
        yield gateway
    finally:
        gateway.close()
