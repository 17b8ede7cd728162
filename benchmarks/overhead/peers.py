"""Getting what others wrote: each peer in an environment of its own below .cache/bench/, on demand."""

import json
import os
import shutil
import sys
from pathlib import Path

from benchmarks.overhead.processes import run_logged, say

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "bench"
PORTKEY_VERSION = "1.15.2"
# A plain install of Portkey answers every stream with "TypeError: immutable" (its issue 1389).
_PORTKEY_OVERRIDES = {"@hono/node-server": "1.13.5", "hono": "4.9.7"}


class Unavailable(Exception):
    """Something the benchmark wanted cannot be had here; the message says what and why."""


def nginx() -> Path:
    """Return nginx, installing Debian's nginx-light when we are root and it is absent."""
    found = _find_nginx()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        say("nginx is absent: apt-get install nginx-light")
        env = {"DEBIAN_FRONTEND": "noninteractive"}
        log = _log("apt")
        run_logged(["apt-get", "update", "-q"], ROOT, log, env)
        run_logged(["apt-get", "install", "-q", "-y", "--no-install-recommends", "nginx-light"], ROOT, log, env)
        found = _find_nginx()
    if found is None:
        raise Unavailable("nginx is not installed and could not be (needs root and apt)")
    return found


def litellm() -> Path:
    """Return the Python of an environment with LiteLLM's proxy, the newest from PyPI when first made."""
    return _environment("litellm", ["litellm[proxy]"])


def presidio() -> Path:
    """Return the Python of an environment with Presidio's two services."""
    return _environment("presidio", ["presidio-analyzer", "presidio-anonymizer", "flask", "gunicorn"])


def portkey() -> Path:
    """Return Portkey's start script, installed from npm."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise Unavailable("Portkey needs node and npm")
    folder = CACHE / "portkey"
    script = folder / "node_modules/@portkey-ai/gateway/build/start-server.js"
    if not script.exists():
        say(f"installing Portkey {PORTKEY_VERSION} from npm")
        folder.mkdir(parents=True, exist_ok=True)
        package = {"name": "bench-portkey", "private": True, "overrides": _PORTKEY_OVERRIDES}
        (folder / "package.json").write_text(json.dumps(package))
        install = ["npm", "install", "--no-audit", "--no-fund", f"@portkey-ai/gateway@{PORTKEY_VERSION}"]
        if not run_logged(install, folder, _log("portkey")) or not script.exists():
            raise Unavailable(f"npm could not install Portkey: see {_log('portkey')}")
    return script


def version(python: Path, distribution: str) -> str:
    """Return the version of a distribution in that environment, or "?"."""
    for metadata in python.parents[1].glob(f"lib/python*/site-packages/{distribution}-*.dist-info"):
        return metadata.name.removeprefix(f"{distribution}-").removesuffix(".dist-info")
    return "?"


def _environment(name: str, requirements: list[str]) -> Path:
    folder = CACHE / name
    python, done = folder / "bin/python", folder / ".installed"
    if done.exists():
        return python
    say(f"installing {', '.join(requirements)} into {folder} (once)")
    CACHE.mkdir(parents=True, exist_ok=True)
    log = _log(name)
    if not run_logged([sys.executable, "-m", "venv", str(folder)], CACHE, log):
        raise Unavailable(f"no virtual environment for {name}: see {log}")
    if not run_logged([str(python), "-m", "pip", "install", "--quiet", "--upgrade", *requirements], CACHE, log):
        raise Unavailable(f"pip could not install {name}: see {log}")
    done.touch()
    return python


def _find_nginx() -> Path | None:
    found = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    return Path(found) if found else None


def _log(name: str) -> Path:
    CACHE.mkdir(parents=True, exist_ok=True)
    return CACHE / f"{name}-install.log"
