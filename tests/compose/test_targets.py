"""From settings to targets and providers: prices that are known, keys that are there."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from adapters.openai_compatible import OpenAICompatible
from gateway.compose import models_of, targets_of
from gateway.compose.declared import declared
from gateway.compose.targets import Backends, output_limit_fields
from gateway.domain.errors import ConfigurationError
from gateway.domain.money import FREE, Price
from gateway.domain.target import Zone
from gateway.settings import Settings, load_settings
from support.live import REPOSITORY, Setup, cloud_target, local_target

ELSEWHERE = "http://127.0.0.1:9/v1"


def _settings(folder: Path, *targets: str, extra: str = "") -> Settings:
    setup = Setup(folder, list(targets), {"auto": "{targets: [a]}"}, extra=extra)
    return load_settings(setup.write(), environ={})


def _unpriced(name: str, **more: str) -> str:
    text = cloud_target(name, ELSEWHERE, **more)
    return "\n".join(line for line in text.splitlines() if "price:" not in line)


def test_models_have_the_targets_that_may_answer_for_them() -> None:
    """By the name of each model of `bailiwick.yaml`, the targets of its route, as the pipeline hands them on."""
    settings = load_settings(REPOSITORY / "bailiwick.yaml", needs_environment=False)
    found = {name: tuple(target.id for target in targets) for name, targets in models_of(settings.file).items()}
    assert found == {route.name: route.targets for route in settings.routes}
    assert found["demo-helpdesk"] == ("local-demo",)


def test_the_shipped_targets_have_prices() -> None:
    """Every target of `bailiwick.yaml` has a price: its own, or that of the table for its provider's model."""
    local, nano, mini = targets_of(REPOSITORY / "bailiwick.yaml")
    assert local.zone is Zone.LOCAL
    assert local.price == Price.per_million("0.10", "0.60")
    assert nano.price.output > nano.price.input > nano.price.cached_input > 0
    assert mini.price.input > nano.price.input
    assert nano.ceiling is not None
    assert nano.worst_price.input >= nano.price.input


def test_a_cloud_without_a_price_is_refused(tmp_path: Path) -> None:
    """What nobody knows the price of could cost anything, so it is an error that names the target; a local model
    without one is free."""
    with pytest.raises(ConfigurationError, match=r"the target 'a' needs a 'price'.*'no-such-model'"):
        declared(_settings(tmp_path, _unpriced("a", provider="openai", model="no-such-model")))
    (known,) = declared(_settings(tmp_path, _unpriced("a", provider="openai", model="gpt-5-nano")))
    assert known.price.input > 0
    own = "\n".join(line for line in local_target("a").splitlines() if "price:" not in line)
    assert [target.price for target in declared(_settings(tmp_path, own))] == [FREE]


def test_a_price_in_the_settings_is_meant_as_it_stands(tmp_path: Path) -> None:
    """It is neither looked up nor raised by what callers may ask for."""
    target = cloud_target("a", ELSEWHERE, provider="openai", model="gpt-5-nano", price="{input: 1 USD, output: 2 USD}")
    (found,) = declared(_settings(tmp_path, target))
    assert found.price == Price.per_million(1, 2)
    assert found.ceiling is None
    assert found.worst_price == found.price


def test_limit_fields_are_by_target(tmp_path: Path) -> None:
    """Only a server that knows one of the two names is in the table."""
    settings = _settings(
        tmp_path, cloud_target("a", ELSEWHERE, output_limit_field="max_tokens"), cloud_target("b", ELSEWHERE)
    )
    assert output_limit_fields(settings) == {"a": "max_tokens"}


@pytest.mark.anyio
async def test_a_missing_key_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the target and the variable; with the key there, the provider opens."""
    settings = _settings(tmp_path, cloud_target("a", ELSEWHERE, api_key_env="A_KEY_FOR_TESTS"))
    monkeypatch.delenv("A_KEY_FOR_TESTS", raising=False)
    async with AsyncExitStack() as stack:
        with pytest.raises(ConfigurationError, match=r"the target 'a' takes its API key from .* A_KEY_FOR_TESTS"):
            await Backends().open(settings, stack)
        monkeypatch.setenv("A_KEY_FOR_TESTS", "a-secret-key")
        backends = Backends()
        await backends.open(settings, stack)
        assert isinstance(backends.providers["a"], OpenAICompatible)
        assert backends.scripted is None


@pytest.mark.anyio
async def test_one_scripted_cloud_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the settings allow it, one scripted cloud plays every target without a key, and ends with the gateway."""
    monkeypatch.delenv("A_KEY_FOR_TESTS", raising=False)
    settings = _settings(
        tmp_path,
        cloud_target("a", ELSEWHERE, api_key_env="A_KEY_FOR_TESTS"),
        cloud_target("b", ELSEWHERE, api_key_env="A_KEY_FOR_TESTS"),
        extra="scripted_cloud: when_no_key",
    )
    backends = Backends()
    async with AsyncExitStack() as stack, httpx.AsyncClient(trust_env=False) as client:
        await backends.open(settings, stack)
        assert backends.scripted is not None
        url = f"{backends.scripted.base_url}/models"
        assert (await client.get(url)).status_code == 200
        await stack.aclose()
        with pytest.raises(httpx.TransportError):
            await client.get(url)


@pytest.mark.anyio
async def test_a_missing_model_file_stops_the_start(tmp_path: Path) -> None:
    """The message names the file."""
    settings = _settings(tmp_path, local_target("a", file=str(tmp_path / "none.gguf")))
    async with AsyncExitStack() as stack:
        with pytest.raises(ConfigurationError, match=r"none\.gguf"):
            await Backends().open(settings, stack)
