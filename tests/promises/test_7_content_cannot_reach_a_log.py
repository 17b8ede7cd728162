"""Promise 7: content cannot reach a log. A word is put into every place of many requests, and is then looked for in
everything that the gateway has written or tells."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.domain.record import RecordKind
from support.evidence import records
from support.exposure import CARD, EMAIL, NAME
from support.live import DEFAULT_POLICY, Cloud, Gateway, Setup, cloud_target, live_gateway, local_target
from support.needles import ROOT, Canaries, files, finds, spellings
from support.servers import Collector, RudeProvider, running

Body = dict[str, Any]

_TOLD = "  - {id: told, why: A test, when: {app: blocked}, then: {action: block, tell_user: Ask somebody else.}}\n"
POLICY = DEFAULT_POLICY.read_text().replace("\nrules:\n", f"\nrules:\n{_TOLD}")


FAULTS = ("400", "401", "404", "500", "reset", "reset-early", "malformed", "html", "empty", "truncated", "stall",
          "redirect", "badchunk", "error-event", "hang", "slow")  # fmt: skip


@dataclass(frozen=True)
class World:
    """A gateway, what is around it, and the words planted so far."""

    gateway: Gateway
    cloud: Cloud
    rude: RudeProvider
    collector: Collector
    canaries: Canaries
    blocked_key: str
    temporary: Path

    def text(self, place: str) -> str:
        """A text with a word of its own, with what has to be escaped beside it."""
        return f'{self.canaries.at(place)} "é\\n☃" {self.canaries.at(place)}'

    def post(self, body: Body | bytes, **options: Any) -> httpx.Response:
        data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        headers = {"content-type": "application/json", **options.pop("headers", {})}
        return self.gateway.client.post("/v1/chat/completions", content=data, headers=headers, **options)

    def chat(self, place: str, model: str = "cloud", **more: Any) -> httpx.Response:
        return self.post({"model": model, "messages": [{"role": "user", "content": self.text(place)}], **more})


@pytest.fixture(scope="module")
def world(cloud: Cloud, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("promise7")
    temporary = folder / "tmp"
    temporary.mkdir()
    rude, collector = RudeProvider(), Collector()
    targets = [
        cloud_target("cloud", cloud.base_url, timeouts="{first_event: 1s, idle: 1s}"),
        cloud_target("rude", rude.base_url, timeouts="{first_event: 2s, idle: 1s}"),
        local_target(file=str(tiny_model), context_tokens="512", max_output_tokens="8"),
    ]
    models = {"cloud": "{targets: [cloud]}", "rude": "{targets: [rude]}", "local": "{targets: [local]}"}
    models["auto"] = "{targets: [cloud, local], rank: listed}"
    for fault in FAULTS:
        quick = "{first_event: 500ms, idle: 500ms}"
        targets.append(cloud_target(f"cloud-{fault}", cloud.base_url, model=f"scripted-{fault}", timeouts=quick))
        models[f'"{fault}"'] = f"{{targets: [cloud-{fault}]}}"
    extra = f"inspection: {{timeout: 1s}}\ntelemetry: {{otlp_endpoint: '{collector.endpoint}', logs: json}}"
    server = "{host: 127.0.0.1, port: 0, drain: 2s, max_body_bytes: 1000000, body_timeout: 1s}"
    environ = {"TMPDIR": str(temporary), "PYTHONASYNCIODEBUG": "1", "PYTHONWARNINGS": "always"}
    setup = Setup(folder, targets, models, POLICY, server=server, extra=extra, environ=environ)
    with ExitStack() as stack:
        for part in (rude, collector):
            stack.enter_context(running(part))
        gateway = stack.enter_context(live_gateway(setup))
        blocked = gateway.cli("keys", "create", "--tenant", "acme", "--app", "blocked", "--json")
        time.sleep(0.5)
        yield World(gateway, cloud, rude, collector, Canaries(), blocked, temporary)


# ---- planting


def plant_places(world: World) -> None:
    """Every place of a body, plain and streamed, to the cloud and to the local engine."""
    text = world.text
    call = {"id": text("call id"), "type": "function", "function": {"name": text("name"), "arguments": text("args")}}
    tool = {"name": world.canaries.at("tool"), "description": text("about"), "parameters": {"title": text("schema")}}
    full: Body = {
        "messages": [
            {"role": "system", "content": text("system"), "name": text("speaker")},
            {"role": "user", "content": [{"type": "text", "text": text("part")}]},
            {"role": "assistant", "content": None, "tool_calls": [call], "refusal": text("refusal")},
            {"role": "tool", "tool_call_id": text("call id"), "content": json.dumps({"rows": [text("result")]})},
            {"role": "user", "content": f"{text('user')} for {NAME} <{EMAIL}>"},
        ],
        "tools": [{"type": "function", "function": tool}],
        "user": text("user field"),
        "metadata": {"note": text("metadata"), world.canaries.at("metadata name"): "x"},
        "stop": [text("stop")],
        text("member name"): {"deep": [{"deeper": text("unknown member")}]},
    }
    for model in ("cloud", "local"):
        for stream in (False, True):
            assert world.post({"model": model, "stream": stream, **full}).status_code in (200, 400)
    wanted = {"type": "json_schema", "json_schema": {"name": world.canaries.at("schema"), "schema": {"type": "object"}}}
    assert world.chat("answer by schema", response_format=wanted).status_code == 200
    forced = {"type": "function", "function": {"name": tool["name"]}}
    for stream in (False, True):
        assert world.chat("forced", tools=full["tools"], tool_choice=forced, stream=stream).status_code == 200


def plant_in_headers(world: World) -> None:
    """Headers, keys, paths and queries."""
    word = world.canaries.at
    good: Body = {"model": "cloud", "messages": [{"role": "user", "content": "Hello"}]}
    trace = f"-{'cd' * 8}-01"
    for headers in (
        {"x-bailiwick-user": word("user hint")},
        {"x-bailiwick-app": word("app hint")},
        {"x-bailiwick-min-level": word("level hint")},
        {"x-bailiwick-max-cost": word("cost hint")},
        {"x-bailiwick-max-latency": word("latency hint")},
        {"authorization": f"Bearer {word('key')}"},
        {"authorization": f"Bearer bk_{word('key id')[-12:]}_{'a' * 43}"},
        {"authorization": word("scheme")},
        {"authorization": "", "x-api-key": word("other key")},
        {"content-type": f"application/{word('media type')}"},
        {"content-type": f"application/json; charset={word('charset')}"},
        {"traceparent": word("traceparent")},
        {"traceparent": f"00-{'ab' * 16}{trace}-{word('traceparent tail')}"},
        {"traceparent": f"01-{'ab' * 16}{trace}-{word('traceparent of tomorrow')}", "tracestate": word("tracestate")},
        {"cookie": word("cookie"), "user-agent": word("agent"), "x-request-id": word("request id")},
        {"x-bailiwick-user": base64.b64encode(word("encoded user hint").encode()).decode()},
        {"baggage": f"a={word('baggage')}", "forwarded": f"for={word('forwarded')}", "referer": word("referer")},
    ):
        world.post(good, headers=headers)
    client = world.gateway.client
    for path in (
        f"/v1/{word('path')}",
        f"/v1/models/{word('model path')}",
        f"/bailiwick/v1/decisions/{word('decision path')}",
        f"/v1/chat/completions/{word('longer path')}",
        f"/{word('root path')}?{word('query name')}={word('query')}",
    ):
        for method in ("GET", "POST", "DELETE"):
            client.request(method, path, json=good if method == "POST" else None)
    world.post(good, params={"q": word("query of a good request")})
    client.request(word("method").upper(), "/v1/chat/completions")
    client.post("/bailiwick/v1/explain", json={**good, "messages": [{"role": "user", "content": word("explained")}]})
    client.post("/bailiwick/v1/explain", content=f'{{"model": {word("not explained")}')


def plant_in_errors(world: World) -> None:
    """What is refused before it is sent."""
    text, word = world.text, world.canaries.at
    message = {"role": "user", "content": "Hello"}
    deep: Any = text("deep")
    for _ in range(200):
        deep = [deep]
    for body in (
        f'{{"model": "cloud", "messages": [{{"role": "user", "content": "{word("cut JSON")}'.encode(),
        f'{{"model": "cloud", {word("not JSON")}}}'.encode(),
        json.dumps(text("a string")).encode(),
        b'{"model": "' + word("not UTF-8").encode() + b'\xff"}',
        json.dumps({"model": "cloud", "messages": [message]}).encode("utf-16"),
        f'{{"x": NaN, "y": "{word("NaN")}"}}'.encode(),
        b'"' + b"x" * 1_100_000 + word("too large").encode() + b'"',
    ):
        assert world.post(body).status_code >= 400
    for wrong in (
        {"model": word("model"), "messages": [message]},
        {"model": text("odd model"), "messages": [message]},
        {"model": [text("model in a list")], "messages": [message]},
        {"model": "cloud", "messages": text("messages")},
        {"model": "cloud", "messages": [text("message")]},
        {"model": "cloud", "messages": [message], "n": text("n")},
        {"model": "cloud", "messages": [message], "stream": text("stream")},
        {"model": "cloud", "messages": [message], "stream_options": text("stream options")},
        {"model": "cloud", "messages": [message], "max_tokens": text("max tokens")},
        {"model": "cloud", "messages": [message], "user": [text("user")]},
        {"model": "cloud", "messages": [message], "x": deep},
    ):
        assert world.post(wrong).status_code >= 400
    image = {"type": "image_url", "image_url": {"url": f"https://img.example/{word('image')}.png"}}
    assert world.post({"model": "cloud", "messages": [{"role": "user", "content": [image]}]}).status_code == 403
    blocked = {"authorization": f"Bearer {world.blocked_key}"}
    told = world.post({"model": "cloud", "messages": [{"role": "user", "content": word("blocked")}]}, headers=blocked)
    assert told.status_code == 403
    assert "Ask somebody else" in told.text
    assert world.post({"model": "cloud", "messages": [{"role": "user", "content": f"{CARD} {word('kept')}"}]}).is_error
    cheap = {"x-bailiwick-max-cost": "0.000000001"}
    assert world.post(
        {"model": "cloud", "messages": [{"role": "user", "content": word("dear")}]}, headers=cheap
    ).is_error


def plant_at_the_engine(world: World) -> None:
    """What the local engine refuses, and prompts that it answers."""
    word = world.canaries.at
    schema: Body
    for schema in (
        {"type": "object", "properties": {word("property"): {"not": {"const": word("constant")}}}},
        {"type": word("type")},
        {"$ref": f"#/$defs/{word('reference')}"},
        {"type": "string", "pattern": f"({word('pattern')}", "enum": [f'{word("enum")}\x00"\\']},
        {"type": "array", "minItems": 10**9, "items": {"const": word("items")}},
    ):
        wanted = {"type": "json_schema", "json_schema": {"name": word("schema name"), "schema": schema}}
        for stream in (False, True):
            world.chat("prompt with a schema", "local", response_format=wanted, stream=stream)
    assert world.chat("too long", "local", x=word("x") * 100).status_code in (200, 400)
    long = {"model": "local", "messages": [{"role": "user", "content": f"{word('long')} " * 400}]}
    assert world.post(long).status_code >= 400
    for more in ({"stop": [7, word("stop")]}, {"logit_bias": {word("token"): 1}}, {"tools": [{"x": word("tool")}]}):
        world.chat("refused here", "local", **more)
    assert world.chat("answered here", "auto", metadata={"card": CARD}).headers["x-bailiwick-target"] == "local"


def plant_at_providers(world: World) -> None:
    """Prompts that a provider answers with every kind of failure, and failures that quote the prompt."""
    for fault in FAULTS:
        for stream in (False, True):
            world.chat(f"cloud fails by {fault}", fault, stream=stream)
    world.cloud.script("429", count=3, retry_after=0)
    assert world.chat("cloud is busy").status_code == 429
    rude, word = world.rude, world.canaries.at
    error = json.dumps(
        {"error": {"message": "{quote}", "type": "{quote}", "param": word("param"), "code": word("code")}}
    )
    answers: list[Callable[[], Any]] = [
        lambda: rude.json(400, error),
        lambda: rude.json(400, error, f"x-{word('header name')}: {word('header')}", f"set-cookie: {word('cookie')}"),
        lambda: rude.json(401, error),
        lambda: rude.json(422, "not JSON: {quote}"),
        lambda: rude.json(429, error, f"retry-after: {word('wait')}"),
        lambda: rude.json(200, error),
        lambda: rude.json(200, "{quote}"),
        lambda: rude.json(200, json.dumps([word("list")])),
        lambda: rude.json(307, "", f"location: http://127.0.0.1:9/{word('location')}"),
        lambda: rude.json(200, f'{{"choices": [{{"message": {{"content": "{word("cut")}'),
        lambda: rude.json(200, odd_answer(world)),
        lambda: rude.events(odd_answer(world), "[DONE]"),
        lambda: rude.events('{"choices": []}', error, "[DONE]"),
        lambda: rude.events('{"choices": []}', "not JSON {quote}"),
        lambda: rude.events(json.dumps(word("string"))),
        lambda: setattr(rude, "answer", b"HTTP/1.1 200 OK\r\ncontent-type: text/{quote}\r\n\r\n{quote}"),
        lambda: setattr(rude, "answer", f"HTTP/1.1 200 OK\r\ncontent-type: text/{word('type')}\r\n\r\nx".encode()),
        lambda: setattr(rude, "answer", b"HTTP/9 {quote}\r\n\r\n"),
        lambda: setattr(rude, "answer", b"{quote}"),
        lambda: setattr(rude, "answer", b"HTTP/1.1 200 {quote}\r\nx {quote}\r\n\r\n"),
        lambda: setattr(rude, "answer", b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n{quote}"),
        lambda: setattr(rude, "answer", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{quote}"),
    ]
    for number, answer in enumerate(answers):
        for stream in (False, True):
            answer()
            world.chat(f"rude answer {number}", "rude", stream=stream, user=world.text("user"))


def odd_answer(world: World) -> str:
    """An answer with words in the fields that a gateway might record."""
    word = world.canaries.at
    choice = {"index": 0, "finish_reason": word("finish"), "message": {"content": "x"}, "delta": {"content": "x"}}
    usage = {"prompt_tokens": word("count"), "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": "x"}}
    frame = {name: word(name) for name in ("id", "object", "model", "system_fingerprint", "service_tier")}
    return json.dumps({**frame, "choices": [choice], "usage": usage})


def plant_at_a_broken_detector(world: World) -> None:
    """A text whose detector process is killed while it has it, and one that takes too long."""
    long = world.canaries.at("slow")
    slow = " ".join(f"{long} {number:016d} a@b." for number in range(25_000))
    body: Body = {"model": "auto", "max_tokens": 2}

    def send(characters: int) -> httpx.Response:
        return world.post({**body, "messages": [{"role": "user", "content": slow[:characters]}]})

    (worker,) = [
        child
        for child in psutil.Process(world.gateway.process.process.pid).children()
        if "gateway.inspection.worker" in " ".join(child.cmdline())
    ]
    worker.suspend()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(send, 20_000)
        time.sleep(0.3)
        worker.kill()
        assert "if_unsure.detector_fails" in answer.result().headers["x-bailiwick-because"]
    assert "if_unsure.detector_fails" in send(900_000).headers["x-bailiwick-because"]


def plant_by_leaving(world: World) -> None:
    """Clients that leave at every moment, and bytes that are no HTTP."""
    word = world.canaries.at
    body: Body = {"model": "cloud", "messages": [{"role": "user", "content": word("left")}]}
    with pytest.raises(httpx.ReadTimeout):
        world.post({**body, "model": "hang"}, timeout=0.3)
    slow = {**body, "model": "slow", "stream": True}
    with world.gateway.client.stream("POST", "/v1/chat/completions", json=slow) as answer:
        next(answer.iter_bytes())
    url = urlsplit(world.gateway.url)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {world.gateway.key}\r\n"
    for data in (
        f'{head}content-length: 500\r\n\r\n{{"model": "{word("cut body")}',
        f"{head}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{word('bad chunk')}\r\n",
        f"{word('garbage')}\r\n\r\n",
        f"GET /{word('path')} HTTP/{word('version')}\r\n\r\n",
        f"GET / HTTP/1.1\r\nhost: x\r\n{word('no colon')}\r\n\r\n",
        f"GET / HTTP/1.1\r\nhost: x\r\nx-long: {word('long header') * 4000}\r\n\r\n",
        f"{head}expect: {word('expect')}\r\ncontent-length: 3\r\n\r\nabc",
        f"{head}content-length: {word('length')}\r\n\r\nabc",
        f"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{word('HTTP/2')}",
    ):
        with socket.create_connection((url.hostname or "", url.port or 0), timeout=5) as connection:
            connection.sendall(data.encode())
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass


PLANTS = (plant_places, plant_in_headers, plant_in_errors, plant_at_the_engine, plant_at_providers,
          plant_at_a_broken_detector, plant_by_leaving)  # fmt: skip


# ---- looking


def looked_through(folder: Path) -> list[str]:
    return [line for path in files(folder) for line in finds(path.read_bytes(), path.name)]


def commands(gateway: Gateway, *arguments: str) -> str:
    """What a command prints, run in this process."""
    done = CliRunner().invoke(main, ["--config", str(gateway.config), *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_content_is_nowhere(world: World) -> None:
    """No word of any request, header, path or answer is in the databases (their journals included), in the output, in
    the metrics, in what the commands show or in the traces that a collector gets, in any encoding."""
    gateway, state = world.gateway, world.gateway.state
    for plant in PLANTS:
        plant(world)
    assert any(ROOT in body for body in world.cloud.bodies())  # the words did travel
    assert any(ROOT.encode() in body for body in world.rude.received)

    metrics = gateway.client.get("/metrics").text
    found = [*finds(metrics.encode(), "/metrics"), *looked_through(state), *looked_through(world.temporary)]
    assert (state / "audit.db-wal").stat().st_size > 0
    noted = records(state)
    decided = [record.decision for record in noted if record.kind is RecordKind.INTENT]
    shown = {
        "audit tail": commands(gateway, "audit", "tail", "-n", "100000"),
        "audit tail --json": commands(gateway, "audit", "tail", "-n", "100000", "--json"),
        "trace list": commands(gateway, "trace", "list", "-n", "10000"),
        "audit show": "".join(commands(gateway, "audit", "show", one) for one in decided[::10]),
        "trace show": "".join(commands(gateway, "trace", "show", one) for one in decided[:-5:10]),
        "trace show --json": "".join(commands(gateway, "trace", "show", one, "--json") for one in decided[:-5:10]),
        "keys list": commands(gateway, "keys", "list", "--all"),
    }
    decision = f"/bailiwick/v1/decisions/{decided[0]}"
    shown[decision] = gateway.client.get(decision).text
    assert gateway.close() == 0
    found += [line for where, text in shown.items() for line in finds(text.encode(), where)]
    found += [*finds(gateway.process.output.encode(), "output"), *looked_through(state)]
    found += [line for body in world.collector.bodies for line in finds(body, "collector")]
    assert found == [], world.canaries.named(" ".join(found))

    # The search had something to search.
    assert len(world.canaries.places) > 200
    assert len(noted) > 200
    assert {record.kind for record in noted} == set(RecordKind)
    assert shown["trace list"].count("\n") > 100
    assert sum(map(len, world.collector.bodies)) > 50_000
    assert "engine demo-helpdesk is ready" in gateway.process.output.replace("adapters", "")
    assert b"bailiwick.decision" in world.collector.bodies[0]


def test_the_search_finds() -> None:
    """Each spelling of the word is found in bytes, so that finding none means something."""
    for name, needle in spellings().items():
        assert [line.split(": ")[1] for line in finds(b"..." + needle + b"...", "x")] == [name]
    for before in range(3):
        encoded = base64.b64encode(b"a" * before + ROOT.encode() + b"tail")
        assert list(finds(b"..." + encoded, "x")) != []
    assert list(finds(b"Kumquat Zq", "x")) == []
