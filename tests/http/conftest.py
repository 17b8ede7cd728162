"""One gateway with tight limits for all tests of the HTTP layer, and the clouds behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.live import Cloud, Setup, cloud_target, scripted_cloud
from support.nursery import ForkedGateway, forked_gateway

BODY_BYTES = 1_000_000
BODY_SECONDS = 0.6
WRITE_SECONDS = 0.7
IN_FLIGHT = 4


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    with scripted_cloud() as running:
        yield running


@pytest.fixture(scope="session")
def gateway(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedGateway]:
    server = (
        f"{{host: 127.0.0.1, port: 0, drain: 3s, max_body_bytes: {BODY_BYTES}, body_timeout: {BODY_SECONDS}s, "
        f"write_timeout: {WRITE_SECONDS}s, max_in_flight: {IN_FLIGHT}}}"
    )
    targets = [
        cloud_target("eu", cloud.base_url, price="{input: 1 USD, output: 1 USD}"),
        cloud_target("us", cloud.base_url, region="US"),
    ]
    routes = {"auto": "{targets: [eu]}", "org/model-1": "{targets: [eu, us]}"}
    with forked_gateway(Setup(tmp_path_factory.mktemp("http"), targets, routes, server=server)) as running:
        yield running


@pytest.fixture(autouse=True)
def _empty(request: pytest.FixtureRequest) -> None:
    if "cloud" in request.fixturenames:
        request.getfixturevalue("cloud").forget()
