"""Promises 1 and 2 for embeddings: every text to embed has been inspected, and nothing protected leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.exposure import CARD, EMAIL, EVERYTHING, NAME, REDACT_EVERYTHING, exposed
from support.live import DEFAULT_POLICY, Cloud, Setup, cloud_target, local_target, without_output
from support.nursery import ForkedGateway, forked_gateway

PLACES: dict[str, Any] = {
    "one text": lambda text: {"input": text},
    "the first of many": lambda text: {"input": [text, *"abcdefgh"]},
    "the last of many": lambda text: {"input": [*"abcdefgh", text]},
    "JSON in a text": lambda text: {"input": json.dumps({"note": [text]})},
    "the user": lambda text: {"input": "a", "user": text},
    "a field of tomorrow": lambda text: {"input": "a", "context": {"before": [text]}},
    "a name of tomorrow": lambda text: {"input": "a", "extra": {text: 1}},
}


@dataclass(frozen=True)
class Gateways:
    """The same targets under two policies: one that hides everything and sends it, and the default one."""

    redacting: ForkedGateway
    default: ForkedGateway


@pytest.fixture(scope="module")
def gateways(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    folder = tmp_path_factory.mktemp("embeddings")
    targets = [
        without_output(cloud_target("cloud", cloud.base_url, embeddings="true")),
        without_output(local_target(embeddings="true", pooling="mean")),
    ]
    routes = {"cloud": "{targets: [cloud]}", "auto": "{targets: [cloud, local], rank: listed}"}
    with ExitStack() as stack:
        yield Gateways(
            stack.enter_context(forked_gateway(Setup(folder / "redacting", targets, routes, REDACT_EVERYTHING))),
            stack.enter_context(forked_gateway(Setup(folder / "default", targets, routes, DEFAULT_POLICY))),
        )


@pytest.fixture(autouse=True)
def _empty(cloud: Cloud) -> None:
    cloud.forget()


def embed(gateway: ForkedGateway, model: str = "cloud", **body: Any) -> httpx.Response:
    return gateway.client.post("/v1/embeddings", json={"model": model, **body})


@pytest.mark.parametrize("place", PLACES)
def test_nothing_found_leaves_in_clear(gateways: Gateways, cloud: Cloud, place: str) -> None:
    """Name, address, phone, card, IBAN and SSN are hidden at each place of a request, and the request still goes."""
    answer = embed(gateways.redacting, **PLACES[place](EVERYTHING))
    assert answer.status_code == 200, answer.text
    (arrived,) = cloud.bodies()
    assert exposed([arrived]) == []
    assert "CARD_" in arrived


@pytest.mark.parametrize("place", PLACES)
def test_restricted_data_stays(gateways: Gateways, cloud: Cloud, place: str) -> None:
    """Under the default policy a card number anywhere in a request keeps all of it from the cloud."""
    refused = embed(gateways.default, **PLACES[place](f"Card {CARD}"))
    assert refused.status_code == 403
    here = embed(gateways.default, model="auto", **PLACES[place](f"Card {CARD}"))
    assert (here.status_code, here.headers["x-bailiwick-target"]) == (200, "local")
    assert cloud.bodies() == []


def test_a_list_that_grows_is_inspected_to_its_end(gateways: Gateways, cloud: Cloud) -> None:
    """What was seen before is remembered, what is new is found; neither leaves in clear, in whatever order."""
    texts = ["a", "b", "c", "d", f"Write to {NAME}"]
    for text in (f"and to {EMAIL}", "e", f"Card {CARD}"):
        texts.append(text)
        assert embed(gateways.redacting, input=texts).status_code == 200
        assert embed(gateways.redacting, input=texts[::-1]).status_code == 200
    assert len(cloud.bodies()) == 6
    assert exposed(cloud.bodies()) == []


@pytest.mark.parametrize(
    "body",
    [
        {"input": [1212, 318]},
        {"input": [[1212, 318]]},
        {"input": [{"type": "text", "text": NAME}]},
        {"input": "a", "encoding_format": f"Card {CARD}"},
        {"input": "a", "dimensions": f"Card {CARD}"},
        {"input": "a", "model": f"Card {CARD}"},
    ],
)
def test_what_cannot_be_inspected_goes_nowhere(gateways: Gateways, cloud: Cloud, body: dict[str, Any]) -> None:
    """Numbers of tokens, parts that are no text, and other values than the protocol's."""
    answer = embed(gateways.redacting, **body)
    assert answer.status_code in (400, 404)
    assert CARD not in answer.text
    assert cloud.bodies() == []


def test_encoded_bytes_are_unsure(gateways: Gateways, cloud: Cloud) -> None:
    """What nobody can read stays, as in a chat."""
    blob = "QUJD" * 400
    assert embed(gateways.default, model="auto", input=blob).headers["x-bailiwick-target"] == "local"
    assert cloud.bodies() == []


def test_nothing_of_a_text_is_kept(gateways: Gateways) -> None:
    """Neither the state of the gateway nor its log holds a word of it, or a number of its vector."""
    word = "zymurgical"
    answer = embed(gateways.redacting, input=f"The {word} matter")
    assert answer.status_code == 200
    number = str(answer.json()["data"][0]["embedding"][0]).encode()
    gateways.redacting.client.get("/readyz")
    for path in _files(gateways.redacting.setup.folder):
        data = path.read_bytes()
        assert word.encode() not in data, path
        assert number not in data, path


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
