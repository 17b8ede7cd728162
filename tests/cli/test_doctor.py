"""gateway.cli.doctor: what is wrong is said, what is well is said, and the exit code tells which."""

from __future__ import annotations

import json
import re
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
import spacy
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.identity.keys import KeyTable
from gateway.identity.secrets import VARIABLE, load_secret
from support.live import DEMO_MODEL, Setup, cloud_target, local_target, registered_target
from support.postgres import postgres_server
from support.redis import redis_server
from support.tiny_gguf import write_tiny_gguf, write_tiny_lora

URL = "https://api.example.com/v1"
DEAD_PORT = 1  # nothing listens on it: tcpmux is no more


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setup:
    """Settings in which all is well: a local target, a cloud target whose key is set, SQLite, no collector."""
    monkeypatch.setenv("A_PROVIDERS_KEY", "sk-secret")
    for name in (VARIABLE, "OTEL_EXPORTER_OTLP_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    targets = [local_target(), cloud_target("cloud", URL, api_key_env="A_PROVIDERS_KEY")]
    return Setup(folder=tmp_path, targets=targets, models={"auto": "{targets: [local, cloud]}"})


def run(setup: Setup, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--config", str(setup.write()), "doctor", *arguments], catch_exceptions=False)


def checks(setup: Setup) -> dict[str, tuple[str, str]]:
    """State and detail of each check; the exit code agrees with them."""
    result = run(setup, "--json")
    found: dict[str, Any] = json.loads(result.stdout)
    states = {check["name"]: (check["state"], check["detail"]) for check in found["checks"]}
    failed = any(state == "failed" for state, _ in states.values())
    assert (result.exit_code, found["ok"]) == (int(failed), not failed)
    return states


def test_all_is_well(setup: Setup, tmp_path: Path) -> None:
    """A good installation passes every check, and looking at it leaves nothing behind."""
    result = run(setup)
    assert result.exit_code == 0, result.output
    assert result.output.endswith("All is well (0 warnings).\n")
    lines = result.output.splitlines()[:-2]
    assert all(line.startswith("✓ ") for line in lines), result.output
    assert not (tmp_path / "state").exists()
    assert "sk-secret" not in result.output


def test_it_names_what_it_found(setup: Setup) -> None:
    """The checks tell versions, the policy's hash, the detector's entities, the model and the prices."""
    found = checks(setup)
    assert "presidio-analyzer " in found["python"][1]
    assert re.match(r"default, version \d+, hash ", found["policy"][1])
    assert "CREDIT_CARD" in found["detector"][1]
    assert found["names"][1].startswith("builtin (")
    assert "PERSON" in found["names"][1]
    assert "German, French" in found["languages"][1]
    assert "uk, us" in found["languages"][1]
    assert found["company files"][1].startswith("none")
    assert re.match(r"\d+\.\d ms of processor time for 1,000 characters", found["cost"][1])
    assert str(DEMO_MODEL) in found["target local"][1]
    assert "1 USD in, 4 USD out" in found["target cloud"][1]
    assert {
        "store audit",
        "store identity",
        "store budgets",
        "store approvals",
        "store spans",
        "secret key",
        "state folder",
    } < found.keys()


def test_another_engine_for_names(setup: Setup, tmp_path: Path) -> None:
    """A model of one's own is named with what it finds; none at all is a warning, and a missing model says how to get
    one."""
    pipeline = spacy.blank("en")
    ruler: Any = pipeline.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PERSON", "pattern": "Anna Kowalski"}])
    pipeline.to_disk(tmp_path / "tiny")
    setup.extra = "inspection: {ner: {engine: 'spacy:tiny'}}"
    assert checks(setup)["names"] == ("ok", f"spacy ({tmp_path / 'tiny'}): PERSON")
    ruler.clear()
    ruler.add_patterns([{"label": "PERSON", "pattern": "Nobody At All"}])
    pipeline.to_disk(tmp_path / "tiny")
    state, detail = checks(setup)["names"]
    assert (state, "finds no name in an English sentence" in detail) == ("warning", True)
    setup.extra = "inspection: {ner: {engine: none}}"
    assert checks(setup)["names"][0] == "warning"
    setup.extra = "inspection: {ner: {engine: 'spacy:en_core_web_nowhere'}}"
    result = run(setup)
    assert result.exit_code == 1
    assert "python -m spacy download en_core_web_nowhere" in result.output


def test_a_broken_model(setup: Setup, tmp_path: Path) -> None:
    """A model that cannot be loaded is a failure with what the library says."""
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "meta.json").write_text('{"labels": {"ner": ["PER"]}}')
    setup.extra = "inspection: {ner: {engine: 'spacy:tiny'}}"
    state, detail = checks(setup)["detector"]
    assert (state, "cannot be loaded by spacy" in detail) == ("failed", True)


def test_what_the_settings_add(setup: Setup, tmp_path: Path) -> None:
    """Company files are named and counted, and the policy is checked against what they find; a detector that was
    switched off is told with the way back."""
    (tmp_path / "terms.txt").write_text("red kite\n~robin\n")
    (tmp_path / "company.yaml").write_text(
        "recognizers: [{name: Staff, supported_entity: ACME_STAFF_ID, deny_list: [A1]}]\n"
        "vocabularies: {ACME_PRODUCT: terms.txt}\nallow_list: [a@b.example]\n"
    )
    setup.extra = "inspection: {recognizers: company.yaml, countries: [de], switch_off: [CardRecognizer]}"
    found = checks(setup)
    assert found["company files"] == (
        "ok",
        f"{tmp_path / 'company.yaml'}: 1 recognisers, 2 terms, 1 values that are allowed",
    )
    assert "ACME_STAFF_ID" in found["detector"][1]
    assert found["detector"][0] == "failed"
    assert "switch_off" in found["detector"][1]
    assert found["languages"][1].endswith("identity numbers of: de")


def test_a_detector_that_is_too_slow(setup: Setup) -> None:
    """A cost that makes large requests miss the deadline is a warning, which says what to change."""
    setup.extra = "inspection: {timeout: 1ms}"
    state, detail = checks(setup)["cost"]
    assert (state, "raise it or inspection.processes" in detail) == ("warning", True)


def test_stores_in_use(setup: Setup, tmp_path: Path) -> None:
    """Stores that exist are opened, and their records and valid keys counted; a state folder open to others and a
    missing key are warnings."""
    state = tmp_path / "state"
    made = CliRunner().invoke(
        main, ["--config", str(setup.write()), "keys", "create", "--tenant", "acme", "--app", "a", "--json"]
    )
    found = checks(setup)
    assert found["store audit"][0] == "ok"
    assert ", 1 records" in found["store audit"][1]
    assert "1 valid API key" in found["store identity"][1]
    assert found["state folder"][0] == "ok"
    CliRunner().invoke(main, ["--config", str(setup.write()), "keys", "revoke", json.loads(made.stdout)["id"]])
    state.chmod(0o755)
    found = checks(setup)
    assert found["store identity"][0] == "warning"
    assert found["state folder"][0] == "warning"
    assert "chmod 700" in found["state folder"][1]


def test_a_database_of_a_newer_version(setup: Setup, tmp_path: Path) -> None:
    """A database that a newer version has changed is a failure, which says so."""
    path = tmp_path / "state" / "audit.db"
    CliRunner().invoke(main, ["--config", str(setup.write()), "keys", "create", "--tenant", "acme", "--app", "a"])
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version_audit SET version_num = '9999'")
    state, detail = checks(setup)["store audit"]
    assert state == "failed"
    assert "newer" in detail


def test_wrong_settings_end_it(setup: Setup) -> None:
    """Wrong settings are told with all their problems, and nothing that stands on them is checked."""
    setup.extra = "telemetry: {span_dayz: 3}\nscripted_cloud: sometimes"
    found = checks(setup)
    assert found.keys() == {"python", "settings"}
    assert found["settings"][0] == "failed"
    assert "span_days" in found["settings"][1]
    assert "when_no_key" in found["settings"][1]


def test_a_bad_policy(setup: Setup) -> None:
    """A policy that cannot be loaded is a failure with its place, and the other checks are made all the same."""
    setup.policy = "schema: 1\npolicy: p\nlevls: {}\n"
    found = checks(setup)
    assert found["policy"][0] == "failed"
    assert "policy.yaml" in found["policy"][1]
    assert found["target local"][0] == "ok"


def test_a_policy_that_enforces_nothing(setup: Setup) -> None:
    """A policy in audit mode is a warning: it protects nobody."""
    setup.policy = Path(setup.policy).read_text().replace("mode: enforce", "mode: audit")
    state, detail = checks(setup)["policy"]
    assert state == "warning"
    assert "NOT enforced" in detail


@pytest.mark.parametrize(("content", "said"), [(None, "does not exist"), (b"not a model", "GGUF")])
def test_a_model_file_that_is_no_model(setup: Setup, tmp_path: Path, content: bytes | None, said: str) -> None:
    """A local model's file that is missing or is no GGUF is a failure."""
    if content is not None:
        (tmp_path / "m.gguf").write_bytes(content)
    setup.targets[0] = local_target(file=str(tmp_path / "m.gguf"))
    state, detail = checks(setup)["target local"]
    assert state == "failed"
    assert said in detail


def test_more_context_than_the_model_has(setup: Setup) -> None:
    """A context longer than the model was trained for is a warning."""
    setup.targets[0] = local_target(context_tokens="32768")
    state, detail = checks(setup)["target local"]
    assert state == "warning"
    assert "32768" in detail


def test_models_of_the_registry(setup: Setup, tmp_path: Path) -> None:
    """A target that names a version is told with its number; one that names what is not there is a failure that says
    what there is. What several models need together is one more line."""
    setup.targets.append(registered_target("private@stable"))
    state, detail = checks(setup)["target house"]
    assert (state, "no model 'private'" in detail) == ("failed", True)
    tiny = write_tiny_gguf(tmp_path / "tiny.gguf")
    arguments = ["models", "add", str(tiny), "--name", "private", "--alias", "stable"]
    assert CliRunner().invoke(main, ["--config", str(setup.write()), *arguments]).exit_code == 0
    found = checks(setup)
    state, detail = found["target house"]
    assert (state, detail.startswith("private@1, ")) == ("ok", True)
    assert re.search(r"needs about \d+ MiB of memory", detail)
    assert re.match(r"2 local models need about \d+ MiB, [\d,]+ MiB are granted", found["local models"][1])


def test_a_model_that_does_not_fit(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that needs more memory than is granted is a failure that says what to change; with layers on a GPU, where
    a part of it lies elsewhere, a warning. Two that fit one by one only are a warning as well."""
    monkeypatch.setattr("gateway.cli.doctor_models.granted_bytes", lambda: 64 << 20)
    state, detail = checks(setup)["target local"]
    assert (state, "64 MiB are granted: take fewer context_tokens" in detail) == ("failed", True)
    setup.targets[0] = local_target(gpu_layers="-1")
    assert checks(setup)["target local"][0] == "warning"
    monkeypatch.setattr("gateway.cli.doctor_models.granted_bytes", lambda: 200 << 20)
    setup.targets.append(local_target("second"))
    found = checks(setup)
    assert (found["target local"][0], found["target second"][0], found["local models"][0]) == ("ok", "ok", "warning")


def test_a_budget_of_memory(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models that are loaded in turn are well; one that never fits is a failure, and a budget above what is granted a
    warning."""
    setup.targets.append(local_target("second"))
    for memory, granted, target, together, words in (
        ("200 MiB", 4 << 30, "ok", "ok", "they are not all loaded at a time"),
        ("1 GiB", 4 << 30, "ok", "ok", "local_models.memory is 1,024 MiB"),
        ("64 MiB", 4 << 30, "failed", "ok", "not all loaded"),
        ("8 GiB", 4 << 30, "ok", "warning", "the budget is more than there is"),
    ):
        setup.extra = f"local_models: {{memory: {memory}}}"
        monkeypatch.setattr("gateway.cli.doctor_models.granted_bytes", lambda granted=granted: granted)
        found = checks(setup)
        assert (found["target local"][0], found["local models"][0]) == (target, together), memory
        assert words in found["local models"][1]
    setup.extra = "local_models: {memory: 64 MiB}"
    assert "it can never be loaded" in checks(setup)["target second"][1]


def test_a_runtime_folder_that_others_can_enter(setup: Setup) -> None:
    """It is a failure that says what to do; one that is not there yet is in order."""
    with tempfile.TemporaryDirectory(prefix="bwrun-", dir="/tmp") as short:  # a socket's path must be
        folder = Path(short) / "run"
        setup.extra = f"local_models: {{runtime_folder: {folder}}}"
        setup.targets.append(local_target("second"))
        assert checks(setup)["local models"][0] == "ok"
        folder.mkdir()
        folder.chmod(0o755)
        state, detail = checks(setup)["local models"]
        assert (state, f"chmod 700 {folder}" in detail) == ("failed", True)


def test_adapters_and_the_form_of_keys_and_values(setup: Setup, tmp_path: Path) -> None:
    """The estimate knows both; an adapter that is not there, or for another architecture, is a failure."""
    plain = checks(setup)["target local"][1]
    lora = write_tiny_lora(tmp_path / "lora.gguf", width=160, layers=4)
    setup.targets[0] = local_target(context_tokens="200000", kv_type="f32", lora=f"[{{file: {lora}}}]")
    state, detail = checks(setup)["target local"]
    assert (state, " with 1 LoRA adapter, " in detail) == ("warning", True)  # trained for less context
    needed = [int(re.search(r"needs about ([\d,]+) MiB", text)[1].replace(",", "")) for text in (plain, detail)]  # type: ignore[index]
    assert needed[1] - needed[0] > 900  # 2 * 2,560 bytes for each of 200,000 tokens
    setup.targets[0] = local_target(
        context_tokens="200000", kv_type="f32", lora=f"[{{file: {lora}}}]", prefix_memory="0"
    )
    bare = re.search(r"needs about ([\d,]+) MiB", checks(setup)["target local"][1])
    assert bare is not None
    assert needed[1] - int(bare[1].replace(",", "")) > 900  # as many again, parked
    lora.unlink()
    assert checks(setup)["target local"] == ("failed", f"the LoRA adapter {lora} does not exist")
    write_tiny_lora(lora, architecture="qwen2")
    state, detail = checks(setup)["target local"]
    assert (state, "for models of the architecture 'qwen2'" in detail) == ("failed", True)


def test_a_provider_without_its_key(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing API key is a failure, and a warning where a scripted cloud stands in."""
    monkeypatch.delenv("A_PROVIDERS_KEY")
    state, detail = checks(setup)["target cloud"]
    assert (state, detail.endswith("A_PROVIDERS_KEY is not set")) == ("failed", True)
    setup.extra = "scripted_cloud: when_no_key"
    state, detail = checks(setup)["target cloud"]
    assert (state, detail.endswith("a scripted cloud stands in")) == ("warning", True)


def test_a_price_that_nobody_knows(setup: Setup) -> None:
    """A cloud model that is in no price table needs a price."""
    unpriced = cloud_target("cloud", URL, provider="openai", model="gpt-of-the-day")
    setup.targets[1] = "\n".join(line for line in unpriced.splitlines() if "price:" not in line)
    result = run(setup)
    assert result.exit_code == 1
    assert "needs a 'price'" in result.output


def test_an_unencrypted_cloud(setup: Setup) -> None:
    """Sending to a cloud without encryption is a warning."""
    setup.targets[1] = cloud_target("cloud", "http://api.example.com/v1")
    state, detail = checks(setup)["target cloud"]
    assert (state, "unencrypted" in detail) == ("warning", True)


def test_redis_and_postgresql_that_answer(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shared stores that answer are well, budgets are in Redis only, and replicas are told to share the secret."""
    monkeypatch.setenv("THE_DATABASE", postgres_server().new_database())
    monkeypatch.setenv("THE_REDIS", redis_server().new_database())
    write_shared(setup)
    found = checks_of(setup.folder / "shared.yaml")
    assert found["budgets (Redis)"][0] == "ok"
    assert found["store audit"][0] == "ok"
    assert "PostgreSQL at " in found["store audit"][1]
    assert "store budgets" not in found
    assert found["secret key"][0] == "warning"
    monkeypatch.setenv(VARIABLE, "ab" * 32)
    assert checks_of(setup.folder / "shared.yaml")["secret key"][0] == "ok"


def test_redis_and_postgresql_that_do_not(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shared stores that do not answer are failures, whose messages hold no password."""
    monkeypatch.setenv("THE_DATABASE", f"postgresql://me:hunter2@127.0.0.1:{DEAD_PORT}/x")
    monkeypatch.setenv("THE_REDIS", f"redis://:hunter2@127.0.0.1:{DEAD_PORT}/0")
    write_shared(setup)
    found = checks_of(setup.folder / "shared.yaml")
    for name in ("budgets (Redis)", "store audit", "store identity"):
        assert found[name][0] == "failed", name
    assert "hunter2" not in str(found)


def write_shared(setup: Setup) -> None:
    text = setup.write().read_text()
    folder = f"{{folder: {setup.folder / 'state'}}}"
    assert folder in text
    shared = f"{{folder: {setup.folder / 'state'}, url_env: THE_DATABASE, redis_env: THE_REDIS}}"
    (setup.folder / "shared.yaml").write_text(text.replace(folder, shared))


def checks_of(config: Path) -> dict[str, tuple[str, str]]:
    result = CliRunner().invoke(main, ["--config", str(config), "doctor", "--json"], catch_exceptions=False)
    return {check["name"]: (check["state"], check["detail"]) for check in json.loads(result.stdout)["checks"]}


def test_a_collector_that_does_not_answer(setup: Setup) -> None:
    """A collector that is away is a warning: requests do not wait for it."""
    setup.extra = f"telemetry: {{otlp_endpoint: 'http://user:hunter2@127.0.0.1:{DEAD_PORT}'}}"
    state, detail = checks(setup)["traces"]
    assert state == "warning"
    assert "hunter2" not in detail


def test_the_secret_key(setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret in its file is checked, and so is one in the environment; neither is shown."""
    load_secret(tmp_path / "state")
    assert checks(setup)["secret key"] == ("ok", str(tmp_path / "state" / "secret.key"))
    (tmp_path / "state" / "secret.key").chmod(0o644)
    assert checks(setup)["secret key"][0] == "failed"
    monkeypatch.setenv(VARIABLE, "c0ffee")
    state, detail = checks(setup)["secret key"]
    assert (state, "c0ffee" in detail) == ("failed", False)


def test_a_state_folder_that_cannot_be_made(setup: Setup, tmp_path: Path) -> None:
    """A state folder whose place is taken by a file is a failure."""
    (tmp_path / "state").write_text("")
    assert checks(setup)["state folder"][0] == "failed"


def test_a_key_store_without_keys(setup: Setup, tmp_path: Path) -> None:
    """A key store that holds no key is a warning: nobody could call."""
    KeyTable.open(f"sqlite:///{tmp_path / 'state' / 'identity.db'}").close()
    assert checks(setup)["store identity"][0] == "warning"
