"""The settings file: models of the registry, mirrors of the hub, and the shares of a route."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.domain.money import Price
from gateway.domain.target import Route
from gateway.settings import LlamaCppSettings, LocalModelSettings, LoraSettings
from support.settings_files import LEAST, LOCAL, line_of, problems, settings

FILE = "    file: models/tiny.gguf\n"


@pytest.mark.parametrize("model", ["private@stable", "qwen3-4b.v2@12"])
def test_a_model_of_the_registry(tmp_path: Path, model: str) -> None:
    """Its name stands in place of a file; beside a file, a name is only a name."""
    text = LEAST.replace("model: tiny\n", f"model: {model}\n")
    (target,) = settings(tmp_path, text.replace(FILE, "")).targets
    assert target.model == model
    assert target.backend == LlamaCppSettings(None, registered=model)
    (target,) = settings(tmp_path, text).targets
    assert isinstance(target.backend, LlamaCppSettings)
    assert target.backend.registered is None


@pytest.mark.parametrize("model", ["private", "private@", "Private@stable", "a/b@stable", "private@sta ble"])
def test_a_model_without_a_file_is_of_the_registry(tmp_path: Path, model: str) -> None:
    """What is not name@alias or name@number cannot be found there; a hash belongs to the registry."""
    text = LEAST.replace("model: tiny\n", f"model: {model}\n").replace(FILE, "")
    ((_, message),) = problems(tmp_path, text)
    assert "a 'model' of the registry" in message
    text = text.replace(f"model: {model}", f"model: private@stable\n    sha256: {'a' * 64}")
    ((_, message),) = problems(tmp_path, text)
    assert "the registry of models has the hash" in message


def test_a_mirror_of_the_hub(tmp_path: Path) -> None:
    """The usual variable names it for all targets that name none themselves."""
    hub = f"hub: {{repo: a/b, file: c.gguf, sha256: {'a' * 64}}}"
    text = LEAST.replace("file: models/tiny.gguf", hub)
    for environ, expected in (({}, "https://huggingface.co"), ({"HF_ENDPOINT": "https://m"}, "https://m")):
        (target,) = settings(tmp_path, text, **environ).targets
        assert isinstance(target.backend, LlamaCppSettings)
        assert target.backend.base_url == expected


def test_adapters_and_the_form_of_keys_and_values(tmp_path: Path) -> None:
    """Adapters have files, perhaps hashes, and a scale that is 1 when nothing is said."""
    lora = f"lora: [{{file: a.gguf}}, {{file: b.gguf, sha256: {'A' * 64}, scale: -0.5}}]"
    (target,) = settings(tmp_path, LEAST.replace(FILE, f"{FILE}    kv_type: q8_0\n    {lora}\n")).targets
    assert isinstance(target.backend, LlamaCppSettings)
    assert target.backend.kv_type == "q8_0"
    assert target.backend.lora == (
        LoraSettings(tmp_path / "a.gguf"),
        LoraSettings(tmp_path / "b.gguf", "A" * 64, -0.5),
    )


@pytest.mark.parametrize(
    ("lines", "expected"), [("", None), ("prefix_memory: 0", 0), ("prefix_memory: 1.5 GiB", 3 << 29)]
)
def test_memory_for_parked_prefixes(tmp_path: Path, lines: str, expected: int | None) -> None:
    """Nothing said is as much as the cache has; 0 turns parking off. A model that makes embeddings has none."""
    (target,) = settings(tmp_path, LEAST.replace(FILE, f"{FILE}    {lines}\n")).targets
    assert isinstance(target.backend, LlamaCppSettings)
    assert target.backend.prefix_memory == expected
    (target,) = settings(tmp_path, EMBEDDER).targets
    assert isinstance(target.backend, LlamaCppSettings)
    assert target.backend.prefix_memory == 0


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("prefix_memory: 4096", "expected an amount of memory such as '512 MiB' or '8 GiB', got"),
        ("prefix_memory: -1 MiB", "expected an amount of memory"),
        ("kv_type: q8_0\n    flash_attention: off", "q8_0 needs flash attention, which is off here"),
        ("kv_type: q6_k", "'q6_k' is not one of f16, bf16"),
        ("lora: [{sha256: aa}]", "missing key 'file'"),
        ("lora: [{file: a.gguf, sha256: aa}]", "'sha256' must be 64 hexadecimal digits"),
        ("lora: [{file: a.gguf, scale: strong}]", "expected a number"),
        ("lora: []", "expected a list of at least one"),
    ],
)
def test_wrong_adapters_and_forms(tmp_path: Path, lines: str, message: str) -> None:
    """What cannot be is told with its place; quantised keys and values without flash attention are such a thing."""
    text = LEAST.replace(FILE, f"{FILE}    {lines}\n")
    found = problems(tmp_path, text)
    assert message in found[0][1]
    assert found[0][0] == line_of(text, lines.partition(":")[0])


def test_a_budget_of_memory(tmp_path: Path) -> None:
    """Memory is written with its unit; without the section there is no budget."""
    assert settings(tmp_path, LEAST).local_models == LocalModelSettings(None)
    text = f"{LEAST}local_models: {{memory: 1.5 GiB, patience: 500ms}}\n"
    assert settings(tmp_path, text).local_models == LocalModelSettings(3 << 29, 0.5)
    text = f"{LEAST}local_models: {{memory: 640 MiB}}\n"
    assert settings(tmp_path, text).local_models == LocalModelSettings(640 << 20, 30.0)


@pytest.mark.parametrize("memory", ["8GB", "8000000000", "0 GiB", "much", "-1 GiB"])
def test_a_budget_without_its_unit(tmp_path: Path, memory: str) -> None:
    """Nobody has to guess what a number means."""
    ((_, message),) = problems(tmp_path, f"{LEAST}local_models: {{memory: {memory}}}\n")
    assert "expected an amount of memory such as '512 MiB' or '8 GiB'" in message


def test_a_folder_that_gateways_share(tmp_path: Path) -> None:
    """It is relative to the file; a budget beside it is refused, and so is a patience without a budget."""
    text = f"{LEAST}local_models: {{runtime_folder: run}}\n"
    assert settings(tmp_path, text).local_models == LocalModelSettings(runtime_folder=tmp_path / "run")
    ((_, message),) = problems(tmp_path, f"{LEAST}local_models: {{runtime_folder: run, memory: 1 GiB}}\n")
    assert "choose one" in message
    ((_, message),) = problems(tmp_path, f"{LEAST}local_models: {{runtime_folder: run, patience: 1s}}\n")
    assert "'memory' is missing" in message


TWO = LEAST.replace(LOCAL, LOCAL + LOCAL.replace("id: local", "id: next"))


def test_shares_of_a_route(tmp_path: Path) -> None:
    """Percentages, down to a hundredth, are kept exactly."""
    text = TWO.replace("{targets: [local]}", "{targets: [local, next], share: {local: 99.75 %, next: 0.25%}}")
    assert settings(tmp_path, text).routes == (
        Route("auto", ("local", "next"), "cost", (("local", 9975), ("next", 25))),
    )


@pytest.mark.parametrize(
    ("share", "message"),
    [
        ("{local: 95 %, next: 4 %}", "the shares are 99 % together; they must be 100 %"),
        ("{local: 0.95, next: 5 %}", "a share is a percentage"),
        ("{local: 95, next: 5 %}", "a share is a percentage"),
        ("{local: 99.999 %, next: 0.001 %}", "a share is a percentage"),
        ("{local: all, next: 0 %}", "a share is a percentage"),
        ("{local: 95 %, other: 5 %}", "'other' is not one of these targets"),
    ],
)
def test_wrong_shares(tmp_path: Path, share: str, message: str) -> None:
    """What is not 100 % together, or of a target that the route does not have, is told with its place."""
    found = problems(tmp_path, TWO.replace("{targets: [local]}", f"{{targets: [local, next], share: {share}}}"))
    assert message in found[0][1]
    assert found[0][0] == line_of(TWO, "auto:")


EMBEDDER = LEAST.replace("    max_output_tokens: 64\n", "    embeddings: true\n")


def test_a_target_for_embeddings(tmp_path: Path) -> None:
    """It has no output, its price needs none, and pooling is the model's own word unless another is given."""
    (target,) = settings(tmp_path, EMBEDDER).targets
    assert (target.embeddings, target.max_output_tokens) == (True, 0)
    more = "    embeddings: true\n    pooling: mean\n    least_dimensions: 64\n    price: {input: 0.02 USD}\n"
    (target,) = settings(tmp_path, EMBEDDER.replace("    embeddings: true\n", more)).targets
    assert isinstance(target.backend, LlamaCppSettings)
    assert (target.backend.pooling, target.backend.least_dimensions) == ("mean", 64)
    assert target.price == Price.per_million("0.02", "0")
    (plain,) = settings(tmp_path, LEAST).targets
    assert (plain.embeddings, plain.max_output_tokens > 0) == (False, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (EMBEDDER.replace("embeddings: true", "embeddings: true\n    max_output_tokens: 5"), "has no output tokens"),
        (LEAST.replace("    max_output_tokens: 64\n", ""), "missing key 'max_output_tokens'"),
        (LEAST.replace("    max_output_tokens", "    pooling: mean\n    max_output_tokens"), "with 'embeddings: true'"),
        (EMBEDDER.replace("embeddings: true", "embeddings: true\n    pooling: rank"), "'rank' is not one of"),
        (EMBEDDER.replace("embeddings: true", "embeddings: sometimes"), "expected true or false"),
        (EMBEDDER.replace("true", "true\n    prefix_memory: 1 GiB", 1), "'prefix_memory' is for models that chat"),
    ],
)
def test_what_an_embedding_target_has_and_another_has_not(tmp_path: Path, text: str, message: str) -> None:
    """Each is told in words."""
    assert any(message in told for _, told in problems(tmp_path, text))


def test_a_name_is_for_chat_or_for_embeddings(tmp_path: Path) -> None:
    """A name for both could send a text to a model that cannot take it."""
    embedder = EMBEDDER[EMBEDDER.index("  - id:") : EMBEDDER.index("models:")].replace("id: local", "id: embed")
    text = LEAST.replace(LOCAL, LOCAL + embedder).replace("{targets: [local]}", "{targets: [local, embed]}")
    ((line, message),) = problems(tmp_path, text)
    assert line == line_of(text, "targets: [local, embed]")
    assert "either for chat or for embeddings" in message
