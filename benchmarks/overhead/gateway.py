"""Configuring and starting the gateway for its own benchmark: inspection, policy, audit and tracing on.

This is the one place that knows the gateway's settings and commands. Nothing is switched off to look
faster: what is measured is what `bailiwick serve` does with `bailiwick.yaml` and `bailiwick_policy.yaml`.
"""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

from benchmarks.overhead.peers import Unavailable

HERE = Path(__file__).parent
COMMAND = Path(sys.executable).with_name("bailiwick")
READY_PATH = "/readyz"


def write_config(folder: Path, port: int, upstream: str) -> Path:
    """Write the gateway's settings and policy into the folder; return the path of the settings.

    State is SQLite in the same folder; the only target is a cloud one, OpenAI-compatible, at `upstream`
    (a base URL that ends in /v1). Raises Unavailable when the gateway is not installed.
    """
    if not COMMAND.exists():
        raise Unavailable(f"the gateway is not installed in this environment ({COMMAND} is absent)")
    settings = (HERE / "bailiwick.yaml").read_text()
    config = folder / "bailiwick.yaml"
    config.write_text(settings.replace("@PORT@", str(port)).replace("@UPSTREAM@", upstream))
    (folder / "policy.yaml").write_text((HERE / "bailiwick_policy.yaml").read_text())
    return config


def create_key(config: Path) -> str:
    """Create an API key with those settings and return it."""
    command = [str(COMMAND), "--config", str(config), "keys", "create", "--tenant", "bench", "--app", "bench"]
    done = subprocess.run(command, cwd=config.parent, capture_output=True, text=True, check=False)
    key = done.stdout.strip()
    if done.returncode != 0 or not key:
        raise Unavailable(f"no API key for the gateway: {(done.stderr or done.stdout)[-400:]}")
    return key


def serve_command(config: Path) -> list[str]:
    """Return the command that serves with those settings."""
    return [str(COMMAND), "--config", str(config), "serve"]


def version() -> str:
    """Return the version of the gateway."""
    return metadata.version("bailiwick")
