"""Promise 1: every string that leaves has been inspected, wherever it stands and however it is spelt."""

from __future__ import annotations

import base64
import itertools
import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psutil
import pytest

from support.exposure import CARD, EMAIL, EVERYTHING, IBAN, NAME, PHONE, REDACT_EVERYTHING, SSN, TRACES, exposed
from support.live import DEFAULT_POLICY, Cloud, Gateway, Setup, cloud_target, live_gateway, local_target
from support.places import PLACES, TOO_DEEP, Body, called, said

ROUTES = {"cloud": "{targets: [cloud]}", "auto": "{targets: [cloud, local], rank: listed}"}
SCAN_SECONDS = 2.0


@dataclass(frozen=True)
class Gateways:
    """The same targets under two policies: one that hides everything and sends it, and the default one."""

    redacting: Gateway
    default: Gateway


@pytest.fixture(scope="module")
def gateways(cloud: Cloud, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    """Both, started side by side. The default one gives its detector little time."""
    folder = tmp_path_factory.mktemp("promise1")
    targets = [
        cloud_target("cloud", cloud.base_url, max_output_tokens="100000"),
        local_target(file=str(tiny_model), context_tokens="512", max_output_tokens="8"),
    ]
    redacting = Setup(folder / "redacting", targets, ROUTES, REDACT_EVERYTHING, extra="inspection: {timeout: 30s}")
    default = Setup(
        folder / "default", targets, ROUTES, DEFAULT_POLICY, extra=f"inspection: {{timeout: {SCAN_SECONDS}s}}"
    )
    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        opened = pool.map(lambda setup: stack.enter_context(live_gateway(setup)), (redacting, default))
        yield Gateways(*opened)


@pytest.fixture(autouse=True)
def _empty(cloud: Cloud) -> None:
    cloud.forget()


def post(gateway: Gateway, body: Body | bytes, **fields: Any) -> httpx.Response:
    data = body if isinstance(body, bytes) else json.dumps({**body, **fields}, ensure_ascii=False).encode()
    return gateway.client.post(
        "/v1/chat/completions", content=data, headers={"content-type": "application/json; charset=utf-8"}
    )


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("place", PLACES)
def test_nothing_found_leaves_in_clear(gateways: Gateways, cloud: Cloud, place: str, stream: bool) -> None:
    """Name, address, phone, card, IBAN and SSN are hidden at each place of a request, and the request still goes."""
    answer = post(gateways.redacting, PLACES[place](EVERYTHING), stream=stream)
    arrived = cloud.bodies()
    assert exposed(arrived) == []
    if place == TOO_DEEP:
        assert arrived == []
        assert answer.status_code >= 400
    else:
        assert len(arrived) == 1, answer.text
        assert "CARD_" in arrived[0]
        assert "PERSON_" in arrived[0]


@pytest.mark.parametrize("place", PLACES)
def test_restricted_data_stays(gateways: Gateways, cloud: Cloud, place: str) -> None:
    """Under the default policy a card number anywhere in a request keeps all of it from the cloud."""
    for stream in (False, True):
        answer = post(gateways.default, PLACES[place](f"Card {CARD}"), stream=stream)
        assert answer.status_code >= 400
        assert answer.headers["x-bailiwick-level"] == "restricted"
    assert cloud.bodies() == []


def test_restricted_data_is_answered_here(gateways: Gateways, cloud: Cloud) -> None:
    """Where a local model may answer, it does, plain and streamed, and the cloud hears nothing."""
    for stream in (False, True):
        answer = gateways.default.chat(f"Card {CARD}", stream=stream, max_tokens=4)
        assert answer.status_code == 200
        assert answer.headers["x-bailiwick-target"] == "local"
    assert cloud.bodies() == []


def _escaped(text: str) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in text)


SPELLINGS: dict[str, tuple[str, ...]] = {
    "percent-encoded address": (f"https://crm.example/find?mail={quote(EMAIL)}&page=2", EMAIL),
    "percent-encoded all over": (f"https://crm.example/{''.join(f'%{ord(c):02X}' for c in EMAIL)}", EMAIL),
    "percent-encoded twice": (
        f"https://sso.example/?next={quote('https://crm.example/?m=' + quote(EMAIL), '')}",
        EMAIL,
    ),
    "name in a query": ("https://crm.example/find?name=Anna+Kowalski&page=2", "kowalski"),
    "phone link": ("<a href='tel:+442079460958'>call</a>", PHONE[1:]),
    "phone in a query": ("https://crm.example/?phone=%2B442079460958", PHONE[1:]),
    "zero-width characters": ("\u200b".join(CARD), CARD),
    "soft hyphens": (CARD.replace(" ", "\u00ad"), CARD),
    "fullwidth digits": ("".join(chr(ord(c) + 0xFEE0) if c.isdigit() else c for c in CARD), CARD),
    "Arabic digits": ("".join(chr(ord(c) - 48 + 0x0660) if c.isdigit() else c for c in SSN), SSN),
    "no-break spaces": (IBAN.replace(" ", "\u00a0"), IBAN),
    "other hyphens": (SSN.replace("-", "\u2011"), SSN),
    "HTML character references": (EMAIL.replace("@", "&#64;").replace(".", "&period;"), EMAIL),
    "zero-width references": (CARD.replace(" ", "&#8203;"), CARD),
    "escapes in text": (f'the log says {{"mail": "{_escaped(EMAIL)}"}}', EMAIL),
    "escapes in escaped JSON": ('log: "{\\"mail\\": \\"' + EMAIL.replace("@", "\\\\u0040") + '\\"}"', EMAIL),
    "hexadecimal escapes": ("b'" + EMAIL.replace("@", "\\x40") + "'", EMAIL),
    "after escaped line breaks": (
        f'The log: {{"msg": "New customer:\\n{NAME}\\n{CARD.replace(" ", "")}\\t{SSN}\\r\\n{PHONE}\\n"}}',
        *("kowalski", CARD, SSN, PHONE[1:]),
    ),
    "identifier": ("function charge_4242424242424242 failed", CARD),
    "name in a file name": ("see CV_Anna_Kowalski_2026.pdf", "kowalski"),
    "emphasis": (f"_{NAME}_ and *{EMAIL}* and __{SSN}__", "kowalski", EMAIL, SSN),
    "numbers in a file name": ("see scan_536-90-4399.pdf and 4242424242424242_front.png", SSN, CARD),
    "CSV": (f"name,mail,phone,card\n{NAME},{EMAIL},{PHONE},{CARD}\nx,y,+442079460958,4242424242424242", *TRACES[:4]),
    "capitals": (f"{NAME.upper()} <{EMAIL.upper()}>", "kowalski", EMAIL),
    "markdown": (f"**{NAME}** _{EMAIL}_ `{CARD}` [call](tel:{PHONE})", *TRACES[:4]),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spelling_hides_nothing(gateways: Gateways, cloud: Cloud, spelling: str) -> None:
    """A value that is encoded, escaped or broken up by invisible characters is still found, and is restored as it
    was written."""
    text, *values = SPELLINGS[spelling]
    assert exposed(text, values) == values  # else there would be nothing to find in what arrives
    answer = gateways.redacting.chat(text, model="cloud")
    (arrived,) = cloud.bodies()
    assert exposed(arrived, {*values, *TRACES}) == []
    assert answer.json()["choices"][0]["message"]["content"] == f"You wrote: «{text}»"


RAW: dict[str, str] = {
    "escaped letters": '{"model":"cloud","messages":[{"role":"user","content":"' + _escaped(EVERYTHING) + '"}]}',
    "escaped member name": '{"model":"cloud","messages":[{"role":"user","content":"x"}],"' + _escaped(EMAIL) + '":1}',
    "member twice": json.dumps(said({"role": "user", "content": EVERYTHING}))[:-1]
    + ',"messages":[{"role":"user","content":"Hello"}]}',
    "member twice, the second dirty": '{"model":"cloud","messages":[{"role":"user","content":"Hello"}],'
    + json.dumps(said({"role": "user", "content": EVERYTHING}))[1:],
    "white space": json.dumps(said({"role": "user", "content": EVERYTHING}), indent=7).replace("\n", "\r\n\t"),
    "card as a number": '{"model":"cloud","messages":[{"role":"user","content":"x"}],"seed":4242424242424242}',
    "card as a fraction": '{"model":"cloud","messages":[{"role":"user","content":"x"}],"seed":4242424242424242.0}',
    "card with an exponent": '{"model":"cloud","messages":[{"role":"user","content":"x"}],"v":4.242424242424242e15}',
    "card as a negative number": '{"model":"cloud","messages":[{"role":"user","content":"x"}],"v":[-4242424242424242]}',
    "card as a number in arguments": json.dumps(called('{"card": 4242424242424242, "again": 4242424242424242.0}')),
}


@pytest.mark.parametrize("raw", RAW)
def test_raw_json_hides_nothing(gateways: Gateways, cloud: Cloud, raw: str) -> None:
    """What JSON allows (escapes, a member twice, numbers for strings) is no way past inspection."""
    post(gateways.redacting, RAW[raw].encode())
    assert exposed(cloud.bodies()) == []
    assert len(cloud.bodies()) == 1


@pytest.mark.parametrize("data", [b"\xef\xbb\xbf", b"\xff\xfe", b"{"], ids=["mark", "UTF-16 mark", "twice begun"])
def test_what_is_not_json_goes_nowhere(gateways: Gateways, cloud: Cloud, data: bytes) -> None:
    """A body that one parser may read and another may not is refused."""
    answer = post(gateways.redacting, data + json.dumps(said({"role": "user", "content": EVERYTHING})).encode())
    assert answer.status_code == 400
    assert cloud.bodies() == []


def test_long_texts_are_whole(gateways: Gateways, cloud: Cloud) -> None:
    """In a text of 100 kB that is nothing but values, each is found: those too at which detector jobs are divided."""
    values = [f"customer{place:05}@example.com" for place in range(3_300)]
    text = " and ".join(values)
    answer = gateways.redacting.chat(text, model="cloud")
    (arrived,) = cloud.bodies()
    assert exposed(arrived, ["customer", "example.com"]) == []
    assert arrived.count("EMAIL_") == len(values)
    assert answer.json()["choices"][0]["message"]["content"] == f"You wrote: «{text}»"


def test_headers_and_queries_do_not_travel(gateways: Gateways, cloud: Cloud) -> None:
    """What a client puts into headers and the URL is not handed on."""
    headers = {"x-note": EMAIL, "x-bailiwick-user": EMAIL, "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
    body = {**said(), "model": "cloud"}
    answer = gateways.redacting.client.post(f"/v1/chat/completions?mail={EMAIL}", json=body, headers=headers)
    assert answer.status_code == 200
    (request,) = cloud.received()
    assert exposed(json.dumps(request)) == []
    assert "traceparent" not in request["headers"]
    assert "ab" * 16 not in json.dumps(request)


@pytest.mark.parametrize("path", ["responses", "completions", "moderations", "messages", "files", "audio/speech"])
def test_other_paths_lead_nowhere(gateways: Gateways, cloud: Cloud, path: str) -> None:
    """A path whose format the gateway does not read is refused, not passed through."""
    answer = gateways.redacting.client.post(f"/v1/{path}", json={"model": "cloud", "input": EVERYTHING})
    assert answer.status_code in (404, 405)
    assert cloud.received() == []


_PICTURE = base64.b64encode(bytes(range(256)) * 4).decode()
_LINES = base64.encodebytes(bytes(range(256)) * 4).decode()
_UNREADABLE: dict[str, Any] = {
    "image by link": [{"type": "image_url", "image_url": {"url": "https://img.example/1.png"}}],
    "image in place": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PICTURE}"}}],
    "small image in a text": [{"type": "text", "text": "data:image/png;base64,iVBORw0KGgo="}],
    "sound": [{"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}],
    "file": [{"type": "file", "file": {"file_id": "file-1"}}],
    "part of tomorrow": [{"type": "hologram", "text": "x"}],
    "part without a type": [{"text": "x"}],
    "part with a type that is no string": [{"type": ["text"], "text": "x"}],
    "part in a list": [[{"type": "image_url", "image_url": {"url": "https://img.example/1.png"}}]],
    "number for a part": [{"type": "text", "text": "x"}, 7],
    "part in place of the list": {"type": "image_url", "image_url": {"url": "https://img.example/1.png"}},
    "encoded bytes": f"decode this: {_PICTURE}",
    "encoded bytes in lines": f"decode this:\n{_LINES}",
    "encoded bytes in CRLF lines": _LINES.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("content", _UNREADABLE)
def test_what_nobody_can_read_stays(gateways: Gateways, cloud: Cloud, content: str) -> None:
    """Images, sounds, files, unknown parts and encoded bytes never go to a cloud, from users or from tools."""
    for message in (
        {"role": "user", "content": _UNREADABLE[content]},
        {"role": "tool", "tool_call_id": "call_1", "content": _UNREADABLE[content]},
    ):
        for gateway in (gateways.redacting, gateways.default):
            answer = post(gateway, said(message))
            assert answer.status_code >= 400
            assert "if_unsure.unreadable_content" in answer.headers["x-bailiwick-because"]
    assert cloud.bodies() == []


_NUMBERS = itertools.count(1)
LONG = f"{NAME} wrote to us. " + "Nothing in this sentence is about anybody at all. " * 80
"""Too long to be scanned beside other work, so a detector process gets it."""


def a_long_text() -> str:
    """A new one each time: what was found in a text that was seen before is known without a worker."""
    return f"{next(_NUMBERS)}. {LONG}"


def _worker(gateway: Gateway, cloud: Cloud) -> psutil.Process:
    """The gateway's detector process, once a long text goes to the cloud again; without what is in it."""
    deadline = time.monotonic() + 30
    while _is_kept(gateway.chat(a_long_text(), max_tokens=4)):
        assert time.monotonic() < deadline, "the detector does not recover"
    assert len(cloud.bodies()) == 1
    assert exposed(cloud.bodies()) == []
    cloud.forget()
    (worker,) = (
        child
        for child in psutil.Process(gateway.process.process.pid).children(recursive=True)
        if "gateway.inspection.worker" in " ".join(child.cmdline())
    )
    return worker


def _is_kept(answer: httpx.Response) -> bool:
    kept: bool = answer.headers.get("x-bailiwick-target", "local") == "local"
    return kept and "if_unsure.detector_fails" in answer.headers["x-bailiwick-because"]


def test_a_detector_that_fails_lets_nothing_out(gateways: Gateways, cloud: Cloud) -> None:
    """A detector that hangs or is killed in the middle of a request keeps that request inside; then it recovers."""
    gateway = gateways.default
    os.kill(_worker(gateway, cloud).pid, signal.SIGSTOP)
    assert _is_kept(gateway.chat(a_long_text(), max_tokens=4))
    assert cloud.bodies() == []

    worker = _worker(gateway, cloud)
    os.kill(worker.pid, signal.SIGSTOP)  # so that the request is surely in its hands when it dies
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(gateway.chat, a_long_text(), max_tokens=4)
        time.sleep(0.2)
        os.kill(worker.pid, signal.SIGKILL)
        assert _is_kept(answer.result())
    assert cloud.bodies() == []
    _worker(gateway, cloud)
