"""Promise 2: only the egress guard lets anything out: permits are its own, and nothing else opens connections."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import httpx
import pytest

from adapters.llama_cpp.provider import LlamaCppProvider
from adapters.llama_cpp.supervisor import EngineConfig, EngineSupervisor
from adapters.openai_compatible import OpenAICompatible, OpenAICompatibleConfig
from gateway.domain.call import EgressPermit, ProviderCall
from gateway.domain.errors import Code, ProviderError
from gateway.domain.ports import Provider
from support.checkpoint import CLOUD, OTHER, Checkpoint, allowing, said
from support.exposure import NAME
from support.live import REPOSITORY

# ---- the permit


class Network(httpx.AsyncBaseTransport):
    """Counts what would have been sent."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(await request.aread())
        return httpx.Response(200, json={"choices": []})


async def permitted_call() -> ProviderCall:
    """A call with a permit that the real guard has made."""
    gate = Checkpoint()
    await gate.send(CLOUD, allowing(CLOUD), said("Hello"))
    return gate.providers["cloud"].calls[0]


def forged(call: ProviderCall) -> Iterator[ProviderCall]:
    """Calls that the guard has not passed."""
    yield replace(call, body=said(f"I am {NAME}"))
    yield replace(call, body=call.body + b" ")
    yield replace(call, target=OTHER)
    yield replace(call, permit=EgressPermit("d1", "cloud", b""))
    yield replace(call, permit=EgressPermit("d1", "other", hashlib.sha256(call.body).digest()))


async def refusal(provider: Provider, call: ProviderCall) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        async for _ in provider.stream(call):
            pass
    return caught.value


@pytest.mark.anyio
async def test_a_permit_is_for_these_bytes_and_this_target() -> None:
    """The cloud adapter sends what the guard has passed, and nothing that was changed after."""
    network = Network()
    adapter = OpenAICompatible(OpenAICompatibleConfig("https://cloud.example/v1"), transport=network)
    call = await permitted_call()
    for other in forged(call):
        error = await refusal(adapter, other)
        assert error.code is Code.EGRESS_REFUSED
        assert not error.retryable
    assert network.requests == []
    async for _ in adapter.stream(call):
        pass
    assert network.requests == [call.body]


@pytest.mark.anyio
async def test_the_local_adapter_wants_a_permit_too(tmp_path: Path) -> None:
    """Nothing reaches a model by another way than the guard's, the local one included."""
    adapter = LlamaCppProvider(EngineSupervisor(EngineConfig(name="tiny", model=tmp_path / "no.gguf")))
    for other in forged(await permitted_call()):
        assert (await refusal(adapter, other)).code is Code.EGRESS_REFUSED


# ---- the sources


@cache
def sources(*folders: str) -> dict[str, ast.Module]:
    """The syntax tree of each module of these packages, by path."""
    return {
        str(path.relative_to(REPOSITORY)): ast.parse(path.read_text())
        for folder in folders
        for path in (REPOSITORY / folder).rglob("*.py")
    }


def calls_in(tree: ast.Module) -> Iterator[str]:
    """The last name of everything that is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield node.func.id
            elif isinstance(node.func, ast.Attribute):
                yield node.func.attr


def imports_in(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)


def places_that_call(*names: str) -> set[str]:
    return {path for path, tree in sources("gateway", "adapters").items() if set(names) & set(calls_in(tree))}


def test_only_the_guard_makes_permits() -> None:
    """No other code makes an egress permit or a provider call, or asks a provider for a stream."""
    assert places_that_call("EgressPermit") == {"gateway/pipeline/guard.py"}
    assert places_that_call("ProviderCall") == {"gateway/pipeline/guard.py"}
    gateway = {path for path in places_that_call("stream") if path.startswith("gateway/")}
    assert gateway == {"gateway/pipeline/guard.py"}


def test_each_provider_asks_for_its_permit() -> None:
    """Every class with a `stream` that takes a call checks the permit in it."""
    providers = [
        (path, node)
        for path, tree in sources("gateway", "adapters").items()
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncFunctionDef)
        and node.name == "stream"
        and any(argument.arg == "call" for argument in node.args.args)
    ]
    assert {path for path, _ in providers} >= {"adapters/openai_compatible.py", "adapters/llama_cpp/provider.py"}
    for path, function in providers:
        first = next(node for node in function.body if not isinstance(node, ast.Expr))
        assert isinstance(first, ast.If), path
        assert "call.permit.covers(" in ast.unparse(first.test), path


CONNECTING = (
    *("aiohttp", "httpx", "httpx_aiohttp", "httpcore", "requests", "urllib3", "urllib.request", "http.client"),
    *("socket", "ssl", "redis", "grpc", "websockets", "smtplib", "ftplib", "opentelemetry.exporter", "psycopg"),
)
"""Modules that can open a connection."""

MAY_CONNECT = {
    "gateway/http/server.py": "listens",
    "gateway/budgets/redis_ledger.py": "counts money in Redis",
    "gateway/inspection/cache_redis.py": "keeps findings in Redis, sealed and without a text",
    "gateway/budgets/ledger.py": "asks for the name of this host",
    "gateway/conversations/redis_store.py": "keeps the level of conversations in Redis, under keyed hashes",
    "gateway/pipeline/notice.py": "tells channels of decisions, in notices that have no field for content",
    "gateway/cli/doctor_outside.py": "looks whether channels can be reached; is not part of the server",
    "gateway/telemetry/otlp.py": "exports spans, which have no field for content",
    "gateway/cli/doctor.py": "looks whether targets can be reached; is not part of the server",
}
"""Modules outside the adapters that may, and what for."""

OPENING = ("open_connection", "create_connection", "create_unix_connection", "open_unix_connection", "connect_ex")


def test_only_adapters_open_connections() -> None:
    """Outside the adapters nothing that could open a connection is imported, but in the few places named here."""
    found: dict[str, set[str]] = {}
    for path, tree in sources("gateway").items():
        names = {name for name in imports_in(tree) if any(f"{name}.".startswith(f"{m}.") for m in CONNECTING)}
        if names or set(OPENING) & set(calls_in(tree)):
            found[path] = names
    assert found.keys() - MAY_CONNECT.keys() == set(), found


def test_a_connection_of_an_adapter_is_in_a_provider_or_named() -> None:
    """In the adapters too, only the providers' own transports and the download of models open connections."""
    opening = {
        path
        for path, tree in sources("adapters").items()
        if {"ClientSession", "AsyncClient", "Client", "AiohttpTransport", *OPENING} & set(calls_in(tree))
    }
    assert opening == {"adapters/http_transport.py", "adapters/llama_cpp/client.py", "adapters/llama_cpp/download.py"}


def test_looks_at_model_servers_carry_no_content() -> None:
    """Beside the calls, which have a permit, the adapters send only looks: GETs of pages that are written in the
    source, made where no request's bytes are at hand."""
    adapters = sources("adapters")
    sending = {path for path, tree in adapters.items() if "handle_async_request" in set(calls_in(tree))}
    assert sending == {"adapters/openai_compatible.py", "adapters/model_servers/ask.py"}
    ask = adapters["adapters/model_servers/ask.py"]
    (request,) = [
        node for node in ast.walk(ask) if isinstance(node, ast.Call) and ast.unparse(node.func) == "httpx.Request"
    ]
    assert [ast.unparse(argument) for argument in request.args] == ["'GET'", "url"]
    assert {keyword.arg for keyword in request.keywords} == {"headers", "extensions"}
    assert not any("ProviderCall" in name for name in imports_in(ask))
    looks = [
        node
        for path, tree in adapters.items()
        if path.startswith("adapters/model_servers/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("ask.get", "ask.api")
    ]
    assert len(looks) >= 8
    assert all(isinstance(node.args[0], ast.Constant) for node in looks)
