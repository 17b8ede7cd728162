"""``bailiwick doctor``: is everything there that the gateway needs, and does it fit together?"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import socket
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click
import orjson
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from gateway import __version__
from gateway.cli.checks import Check, State, failed, ok, warning
from gateway.cli.common import CliContext
from gateway.cli.doctor_detector import detector_checks
from gateway.cli.doctor_models import memory_checks, model_checks
from gateway.cli.doctor_outside import channel_check, label_checks
from gateway.domain.errors import ConfigurationError
from gateway.domain.money import Price
from gateway.domain.target import Zone
from gateway.settings import LlamaCppSettings, OpenAISettings, Settings, TargetSettings
from gateway.sql import migrate, open_engine, reason

_PACKAGES: Final = ("presidio-analyzer", "llama-cpp-python", "litestar", "uvicorn", "sqlalchemy", "opentelemetry-sdk")
_STORES: Final = {
    "audit": "audit",
    "identity": "identity",
    "budgets": "budgets",
    "approvals": "approvals",
    "conversations": "conversations",
    "spans": "telemetry",
}
"""Stores and the branches of their migrations."""

_LITTLE_SPACE: Final = 1 << 30
_NO_SPACE: Final = 100 << 20
_CONNECT_SECONDS: Final = 2.0


_WIDTH: Final = 22
_MARKS: Final = {State.OK: ("✓", "green"), State.WARNING: ("!", "yellow"), State.FAILED: ("✗", "red")}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check the installation, the settings, the policy, the stores and every target.

    Nothing is sent to any cloud. Databases that exist are opened as the gateway opens them, which brings their tables
    up to date. Exit code 0: all is well, perhaps with warnings; 1: something fails.
    """
    done: list[Check] = []
    for check in _checks(ctx.obj):
        done.append(check)
        if not as_json:
            _print(check)
    failures, warned = (sum(check.state is state for check in done) for state in (State.FAILED, State.WARNING))
    if as_json:
        found = [{"name": check.name, "state": check.state, "detail": check.detail} for check in done]
        click.echo(orjson.dumps({"ok": not failures, "checks": found}))
    else:
        warnings = f"{warned} warning{'' if warned == 1 else 's'}"
        click.echo(f"\n{failures} failed, {warnings}." if failures else f"\nAll is well ({warnings}).")
    ctx.exit(1 if failures else 0)


def _print(check: Check) -> None:
    mark, colour = _MARKS[check.state]
    detail = check.detail.replace("\n", "\n" + " " * (_WIDTH + 3))
    click.echo(f"{click.style(mark, fg=colour)} {check.name:<{_WIDTH}} {detail}")


def _checks(context: CliContext) -> Iterator[Check]:
    yield from _guarded("python", _python)
    settings: list[Settings] = []

    def load() -> Iterable[Check]:
        settings.append(context.settings())
        loaded = settings[0]
        yield ok("settings", f"{loaded.file}: {len(loaded.targets)} targets, {len(loaded.routes)} model names")

    yield from _guarded("settings", load)
    for loaded in settings:
        yield from _of_settings(loaded)


def _of_settings(settings: Settings) -> Iterator[Check]:
    yield from _guarded("policy", partial(_policy, settings))
    yield from _guarded("detector", partial(detector_checks, settings.inspection))
    yield from _guarded("state folder", partial(_folder, settings.storage.folder))
    yield from _guarded("secret key", partial(_secret, settings))
    stores = dict(_STORES)
    if settings.storage.redis_url is not None:
        del stores["budgets"], stores["conversations"]
        yield from _guarded("budgets (Redis)", partial(_redis, settings.storage.redis_url))
    for store, branch in stores.items():
        yield from _guarded(f"store {store}", partial(_store, settings, store, branch))
    yield from _guarded("traces", partial(_traces, settings))
    for channel in settings.channels:
        yield from _guarded(f"channel {channel.name}", partial(channel_check, channel))
    today = datetime.now(UTC).date()
    for target in settings.targets:
        yield from _guarded(f"target {target.id}", partial(_target, settings, target))
        yield from _guarded(f"labels {target.id}", partial(label_checks, target, today))
    yield from _guarded("local models", partial(memory_checks, settings))


def _guarded(name: str, check: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    """A check that cannot be made is one that failed; the others are made all the same."""
    try:
        yield from check()
    except ConfigurationError as error:
        yield failed(name, str(error))
    except SQLAlchemyError as error:
        yield failed(name, reason(error))
    except Exception as error:  # the border to whatever is wrong with this installation: that is what we are asked
        yield failed(name, f"{type(error).__name__}: {error}".splitlines()[0])


def _python() -> Iterator[Check]:
    versions = [f"{package} {metadata.version(package)}" for package in _PACKAGES]  # raises by the missing one's name
    python = platform.python_version()
    state = State.OK if sys.version_info >= (3, 11) else State.FAILED
    yield Check("python", state, f"bailiwick {__version__}, Python {python}, {', '.join(versions)}")


def _policy(settings: Settings) -> Iterator[Check]:
    from gateway.compose.policies import open_policies

    store = open_policies(settings, settings.inspection.registry.entities(), keep=False)
    policy = store.current
    detail = f"{policy.id.name}, version {policy.id.version}, hash {policy.id.short}, {len(policy.rules)} rules"
    if policy.source.audit:
        yield warning("policy", f"{detail}; in audit mode: it is recorded, NOT enforced")
    elif store.warnings:
        yield warning("policy", f"{detail}; warnings: {len(store.warnings)} (bailiwick policy check {settings.policy})")
    else:
        yield ok("policy", f"{detail}, no warnings")


def _folder(folder: Path) -> Iterator[Check]:
    name = "state folder"
    existing = folder
    while not existing.exists():
        existing = existing.parent
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        yield failed(name, f"{existing} cannot be written to")
        return
    free = shutil.disk_usage(existing).free
    detail = f"{folder}, {free / (1 << 30):.1f} GiB free"
    others = stat.S_IMODE(folder.stat().st_mode) & 0o077 if folder == existing else 0
    if free < _NO_SPACE:
        yield failed(name, f"{detail}: without a record of it nothing is sent")
    elif others:
        yield warning(name, f"{detail}; others on this machine can look into it, do: chmod 700 {folder}")
    elif free < _LITTLE_SPACE:
        yield warning(name, f"{detail}, which is little")
    else:
        yield ok(name, detail if folder == existing else f"{detail}; it is made when the gateway first runs")


def _secret(settings: Settings) -> Iterator[Check]:
    from gateway.identity.secrets import VARIABLE, load_secret

    folder = settings.storage.folder
    path = folder / "secret.key"
    shared = settings.storage.database_url is not None or settings.storage.redis_url is not None
    if VARIABLE in os.environ:
        load_secret(folder)
        yield ok("secret key", f"from {VARIABLE}")
    elif shared:
        yield warning("secret key", f"replicas must share it, or pseudonyms differ among them; set {VARIABLE}")
    elif path.exists():
        load_secret(folder)
        yield ok("secret key", str(path))
    else:
        yield ok("secret key", f"{path} is made when the gateway first runs")


def _store(settings: Settings, store: str, branch: str) -> Iterator[Check]:
    url = settings.storage.url(store)
    path = Path(url.removeprefix("sqlite:///"))
    if url.startswith("sqlite:///") and not path.exists():
        yield ok(f"store {store}", f"{path} is made when the gateway first runs")
        return
    engine = open_engine(url, durable=True, create=False)
    try:
        migrate(engine, branch)
        place = path if url.startswith("sqlite:///") else f"PostgreSQL at {engine.url.host}:{engine.url.port or 5432}"
        yield from _contents(store, engine, f"{place}, tables up to date")
    finally:
        engine.dispose()


def _contents(store: str, engine: Engine, detail: str) -> Iterator[Check]:
    if store == "audit":
        from gateway.audit.table import head

        end = head(engine)
        yield ok("store audit", f"{detail}, {end.seq:,} records (bailiwick audit verify proves their chain)")
    elif store == "identity":
        from gateway.identity.keys import KeyTable

        valid = sum(key.revoked_at is None for key in KeyTable(engine).list())
        if valid:
            yield ok("store identity", f"{detail}, {valid} valid API key{'' if valid == 1 else 's'}")
        else:
            yield warning("store identity", f"{detail}, no valid API key: bailiwick keys create makes one")
    else:
        yield ok(f"store {store}", detail)


def _redis(url: str) -> Iterator[Check]:
    from gateway.budgets.redis_ledger import RedisLedger

    async def open_and_close() -> None:
        await (await RedisLedger.open(url)).aclose()

    asyncio.run(open_and_close())
    yield ok("budgets (Redis)", f"Redis at {_address(url, 6379)} answers and evicts nothing")


def _traces(settings: Settings) -> Iterator[Check]:
    endpoint, days = settings.telemetry.otlp_endpoint, settings.telemetry.span_days
    if endpoint is None:
        yield ok("traces", f"kept here for {days} days; no OTLP endpoint is configured")
        return
    split = urlsplit(endpoint)
    port = split.port or (443 if split.scheme == "https" else 80)
    try:
        socket.create_connection((split.hostname or "", port), timeout=_CONNECT_SECONDS).close()
    except OSError as error:  # requests do not depend on it, so it is no failure
        yield warning("traces", f"kept here for {days} days; the collector at {_address(endpoint, port)}: {error}")
    else:
        yield ok("traces", f"kept here for {days} days, and sent to {_address(endpoint, port)}")


def _target(settings: Settings, target: TargetSettings) -> Iterator[Check]:
    name = f"target {target.id}"
    price, known = _price(target)
    if not known:
        yield failed(name, f"nobody knows the price of {target.model!r} of {target.provider!r}: it needs a 'price'")
    if isinstance(target.backend, LlamaCppSettings):
        yield from model_checks(name, settings, target, target.backend, price)
    else:
        yield from _remote(name, settings, target, target.backend, price)


def _remote(
    name: str, settings: Settings, target: TargetSettings, backend: OpenAISettings, price: str
) -> Iterator[Check]:
    split = urlsplit(backend.base_url)
    detail = f"{target.model} at {split.hostname}, {target.zone.value}, {price}"
    variable = backend.api_key_env
    if variable and not os.environ.get(variable):
        if settings.scripted_cloud:
            yield warning(name, f"{detail}; {variable} is not set: a scripted cloud stands in")
        else:
            yield failed(name, f"{detail}; {variable} is not set")
    elif target.zone is Zone.CLOUD and split.scheme != "https":
        yield warning(name, f"{detail}; requests go over {split.scheme}, unencrypted")
    else:
        yield ok(name, f"{detail}, {f'{variable} is set' if variable else 'without an API key'}")


def _price(target: TargetSettings) -> tuple[str, bool]:
    """In words, and whether it is known."""
    if target.price is not None:
        return _per_million(target.price), True
    from gateway.budgets.prices import price_of

    listed = price_of(target.provider, target.model, datetime.now(UTC).date(), output=not target.embeddings)
    if listed is not None:
        return f"{_per_million(listed)} by the price table", True
    return ("free", True) if target.zone is Zone.LOCAL else ("price unknown", False)


def _per_million(price: Price) -> str:
    """Pico-dollars a token are micro-dollars a million tokens."""
    return f"{price.input / 1e6:g} USD in, {price.output / 1e6:g} USD out a million tokens"


def _address(url: str, port: int) -> str:
    """Without the user name and password that a URL may hold."""
    split = urlsplit(url)
    return f"{split.hostname}:{split.port or port}"
