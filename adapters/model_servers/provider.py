"""The provider port over the servers of one target: the one with the least to do gets the next call."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from adapters.model_servers.ask import Asker
from adapters.model_servers.generic import Generic
from adapters.model_servers.llama_server import LlamaServer
from adapters.model_servers.ollama import Ollama
from adapters.model_servers.server import ModelServer, Room
from adapters.model_servers.sight import Look
from adapters.model_servers.vllm import Vllm
from adapters.openai_compatible import OpenAICompatible, OpenAICompatibleConfig, request_headers
from gateway.domain.call import ProviderCall, ProviderEvent, Whole
from gateway.domain.errors import Code, ProviderError
from gateway.domain.estimate import CHARACTERS_PER_TOKEN
from gateway.domain.standing import ServerState, Standing

KINDS: Final[Mapping[str, Callable[[], Look]]] = MappingProxyType(
    {"llama_server": LlamaServer, "vllm": Vllm, "ollama": Ollama, "generic": Generic}
)
"""What a server can be, by the word of the settings."""


@dataclass(frozen=True, slots=True)
class ModelServersConfig:
    """`model` is the servers' name of the model and `kind` one of `KINDS`. The servers at `base_urls` all have the
    same model, and all else in `common` (whose own `base_url` does not count) in common. `poll` is the seconds between
    two looks at a server."""

    model: str
    kind: str
    base_urls: tuple[str, ...]
    common: OpenAICompatibleConfig
    room: Room = field(default_factory=Room)
    poll: float = 2.0


class ModelServers:
    """Implements `gateway.domain.ports.Provider` and `gateway.domain.standing.Live`. `await watch()` keeps looking at
    the servers; without it nothing is known of them, and each is thought to be well. Raises `ConfigurationError`."""

    def __init__(self, config: ModelServersConfig) -> None:
        self._config = config
        self._servers = tuple(_server(config, url) for url in config.base_urls)

    async def stream(self, call: ProviderCall) -> AsyncGenerator[ProviderEvent, None]:
        """See `Provider`. Where a server cannot be reached, breaks off or says that it cannot (503) before the answer
        begins, the next one gets the call: the bytes and the target are the same, and so is the permit."""
        if not call.permit.covers(call.target, hashlib.sha256(call.body).digest()):
            raise ProviderError(Code.EGRESS_REFUSED, "The request was not cleared for this target.", retryable=False)
        left = list(self._servers)
        problem: ProviderError | None = None
        try:
            while (server := self._choose(left) or self._last_resort(left)) is not None:
                expected = server.first_token(len(call.body) // CHARACTERS_PER_TOKEN)
                if expected is not None and call.first_token is not None and server.latest(expected) > call.first_token:
                    raise problem or _late(server, call, expected)
                left.remove(server)
                began = server.began()
                complete = first = False
                try:
                    async with aclosing(server.calls.stream(call)) as events:
                        async for event in events:
                            if not first:
                                server.answered(began, expected, whole=isinstance(event, Whole))
                                first = True
                            yield event
                    complete = True
                    return
                except ProviderError as error:
                    server.failed(error)
                    if first or not _elsewhere(error):
                        raise
                    problem = error
                    problem.retry_after = problem.retry_after or max(self._config.poll, 1.0)
                finally:
                    server.ended(began, complete=complete)
            raise problem or self._nobody()
        finally:
            problem = None  # an error holds this frame: named here, it would keep the call until the collector comes

    async def ready(self) -> bool:
        """Is there a server that is not known to be down?"""
        return any(server.up is not False for server in self._servers)

    async def aclose(self) -> None:
        for server in self._servers:
            await server.aclose()

    async def look(self) -> None:
        """Look at every server once, at the same time."""
        await asyncio.gather(*(server.look(self._config.model) for server in self._servers))

    async def watch(self, changed: Callable[[ServerState], None] = lambda _: None) -> None:
        """Keep looking; never returns. `changed` is told whenever a server comes up or goes down, and of the first."""
        await asyncio.gather(*(self._watch(server, changed) for server in self._servers))

    def standing(self, prompt_tokens: int) -> Standing:
        """See `Live`: that of the server which would get the next call."""
        server = self._choose(self._servers)
        if server is not None:
            expected = server.first_token(prompt_tokens)
            return Standing(server.up, False, expected, None if expected is None else server.latest(expected))
        up = [one for one in self._servers if one.up is not False]
        return Standing(up=None if up else False, full=bool(up))

    def states(self) -> Sequence[ServerState]:
        return [server.state() for server in self._servers]

    @property
    def servers(self) -> Sequence[ModelServer]:
        return self._servers

    async def _watch(self, server: ModelServer, changed: Callable[[ServerState], None]) -> None:
        before: tuple[bool | None, str] | None = None
        while True:
            server.look_now.clear()
            await server.look(self._config.model)
            state = server.state()
            if (state.up, state.reason) != before:
                before = (state.up, state.reason)
                changed(state)
            try:
                async with asyncio.timeout(self._config.poll):
                    await server.look_now.wait()
                await asyncio.sleep(min(self._config.poll, 0.25))  # failures of many calls are one reason to look
            except TimeoutError:
                continue

    @staticmethod
    def _choose(servers: Sequence[ModelServer]) -> ModelServer | None:
        """The one with the least to do that may have room; of equals, the one that was not used for the longest."""
        able = [server for server in servers if server.up is not False and not server.full]
        return min(able, key=lambda server: (server.load / (server.places or 1), server.used), default=None)

    @staticmethod
    def _last_resort(servers: Sequence[ModelServer]) -> ModelServer | None:
        """One that failed but looks well, tried longest ago: as a target is still tried whose breaker is open."""
        able = [server for server in servers if server.paused and not server.full]
        return min(able, key=lambda server: server.used, default=None)

    def _nobody(self) -> ProviderError:
        up = [server for server in self._servers if server.up is not False]
        if up:
            wait = min(server.retry_after for server in up)
            public = "The queue of the model server is full."
            return ProviderError(Code.TARGET_BUSY, public, detail="every server is full", retry_after=wait, sent=False)
        states = "; ".join(f"{state.server}: {state.reason}" for state in self.states())
        return ProviderError(
            Code.TARGET_UNAVAILABLE,
            "The model server is not available at the moment.",
            detail=states,
            retry_after=max(self._config.poll, 1.0),
            sent=False,
        )


def _server(config: ModelServersConfig, url: str) -> ModelServer:
    one = replace(config.common, base_url=url, reuse=config.kind != "llama_server")
    asker = Asker(url, request_headers(one), ca_file=one.ca_file, proxy=one.proxy)
    return ModelServer(url, OpenAICompatible(one), asker, KINDS[config.kind](), config.room)


def _late(server: ModelServer, call: ProviderCall, expected: float) -> ProviderError:
    """The refusal of a call that would be late, where another target can take it. The least loaded server is also the
    one that answers first, as far as anybody can tell."""
    return ProviderError(
        Code.TARGET_BUSY,
        "The model server cannot answer in time.",
        detail=f"target {call.target.id}: the first token may take {server.latest(expected):.2f} s",
        retry_after=server.retry_after,
        sent=False,
    )


def _elsewhere(error: ProviderError) -> bool:
    """May another server of the target be asked? Yes, where this one has not answered at all or is not able to. Not
    after a time-out: the caller has waited long enough."""
    return error.retryable and error.code is Code.TARGET_UNAVAILABLE and error.status in (None, 502, 503)
