"""The settings file: every fault at once and in its place, what holds when nothing is said, and the environment."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from gateway.compose import targets_of
from gateway.domain.errors import ConfigurationError
from gateway.domain.money import Price
from gateway.domain.target import Route, Zone
from gateway.settings import (
    ChannelSettings,
    ConversationSettings,
    InspectionSettings,
    KnownNames,
    LabelTerms,
    LlamaCppSettings,
    OpenAISettings,
    ServerSettings,
    TelemetrySettings,
    TimeoutSettings,
    load_settings,
)
from support.settings_files import CLOUD, LEAST, LOCAL, line_of, problems, settings

REPOSITORY = Path(__file__).resolve().parents[1]


def test_the_least_that_works(tmp_path: Path) -> None:
    """A policy, a target and a model name are enough; the rest has defaults, and paths are relative to the file."""
    found = settings(tmp_path, LEAST)
    assert found.server == ServerSettings("127.0.0.1", 8484, 30.0, 10 * 1024 * 1024, 30.0, 60.0, 512)
    assert found.storage.folder == tmp_path / ".state"
    assert found.storage.url("audit") == f"sqlite:///{tmp_path}/.state/audit.db"
    assert found.storage.redis_url is None
    assert found.policy == tmp_path / "policies/p.yaml"
    assert found.inspection == InspectionSettings(timeout=5.0, processes=1)
    assert found.telemetry == TelemetrySettings(otlp_endpoint=None, span_days=7, logs="plain")
    assert found.scripted_cloud is False
    assert found.routes == (Route("auto", ("local",), "cost"),)
    (target,) = found.targets
    assert (target.id, target.zone, target.region, target.model) == ("local", Zone.LOCAL, "here", "tiny")
    assert (target.labels, target.provider, target.price, target.first_token) == (frozenset(), "llama_cpp", None, None)
    assert target.timeouts == TimeoutSettings(5.0, 120.0, 60.0)
    assert target.backend == LlamaCppSettings(path=tmp_path / "models/tiny.gguf")
    assert found.model_cache == tmp_path / ".state" / "models"


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    """Each setting is read into its place, with its unit."""
    cloud = CLOUD + (
        "    labels: [baa, eu]\n    provider: azure\n"
        "    price: {input: 1.25 USD, output: 10 USD, cached_input: 0.1 USD}\n"
        "    first_token: 800ms\n    timeouts: {connect: 1s, first_event: 2m, idle: 30s}\n    api_key_env: A_KEY\n"
        "    organisation: org\n    project: prj\n    headers: {X-Team: a}\n    ca_file: ca.pem\n"
        "    proxy: http://proxy:3128\n    output_limit_field: max_tokens\n    max_connections: 9\n"
    )
    hub = LOCAL.replace(
        "file: models/tiny.gguf", "hub: {repo: a/b, file: c.gguf, sha256: abc, revision: v1, base_url: https://hub}"
    )
    hub += "    threads: 4\n    gpu_layers: -1\n    queue: 5\n"
    found = settings(
        tmp_path,
        "schema: 1\nserver: {host: '::', port: 0, drain: 5s, max_body_bytes: 2048, body_timeout: 1m, "
        "write_timeout: 500ms, max_in_flight: 7}\nstorage: {folder: /var/b, url_env: DB, redis_env: RED}\n"
        "policy: /etc/p.yaml\n"
        "inspection: {timeout: 2s, processes: 3}\nscripted_cloud: when_no_key\n"
        f"telemetry: {{otlp_endpoint: http://c:4318, span_days: 30, logs: json}}\ntargets:\n{cloud}{hub}"
        "models:\n  auto: {targets: [cloud, local], rank: listed}\n  other: {targets: local}\n",
        DB="postgresql://db/x",
        RED="redis://r",
    )
    assert found.server == ServerSettings("::", 0, 5.0, 2048, 60.0, 0.5, 7)
    assert found.storage.folder == Path("/var/b")
    assert found.storage.url("audit") == "postgresql://db/x"
    assert found.storage.url("spans") == "sqlite:////var/b/spans.db"  # spans are for looking at one gateway
    assert found.storage.redis_url == "redis://r"
    assert found.inspection == InspectionSettings(2.0, 3)
    assert found.telemetry == TelemetrySettings("http://c:4318", 30, "json")
    assert found.scripted_cloud is True
    assert found.routes == (Route("auto", ("cloud", "local"), "listed"), Route("other", ("local",), "cost"))
    cloud_target, local_target = found.targets
    assert cloud_target.labels == {"baa", "eu"}
    assert cloud_target.price == Price.per_million("1.25", "10", "0.1")
    assert cloud_target.first_token == 0.8
    assert cloud_target.timeouts == TimeoutSettings(1.0, 120.0, 30.0)
    assert cloud_target.backend == OpenAISettings(
        base_url="https://api.example/v1",
        api_key_env="A_KEY",
        organisation="org",
        project="prj",
        headers={"X-Team": "a"},
        ca_file=str(tmp_path / "ca.pem"),
        proxy="http://proxy:3128",
        output_limit_field="max_tokens",
        max_connections=9,
    )
    assert local_target.backend == LlamaCppSettings(
        None, "a/b", "c.gguf", "v1", "abc", "https://hub", threads=4, gpu_layers=-1, queue=5
    )
    for secret in ("postgresql://db/x", "redis://r", "X-Team", "http://proxy"):
        assert secret not in repr(found)


def test_the_shipped_file_is_good() -> None:
    """`bailiwick.yaml` in the repository, with no variable set."""
    found = load_settings(REPOSITORY / "bailiwick.yaml", environ={})
    assert found.policy.exists()
    assert all(
        target.model_file.path.exists() for target in found.targets if target.model_file and target.model_file.path
    )


def test_all_faults_at_once(tmp_path: Path) -> None:
    """A file with many faults is told all of them in one go, each in its line, with what was probably meant."""
    text = (
        "schema: 2\n"
        "sever: {port: 1}\n"
        "server: {host: '', port: 70000, drain: soon, max_body_bytes: 1, max_in_flight: many}\n"
        "storage: {folder: .state, url_env: NOT_SET}\n"
        "policy: p.yaml\n"
        "inspection: {timeout: 0s, processes: 0}\n"
        "telemetry: {span_days: 0, logs: xml}\n"
        "scripted_cloud: always\n"
        "targets:\n"
        "  - {id: 'a b', adapter: openai, zone: moon, region: EU, model: m, context_tokens: 1, max_output_tokens: 0}\n"
        "  - {id: c, adapter: llama_cpp, zone: cloud, region: EU, model: m, context_tokens: 99, max_output_tokens: 9}\n"
        "  - {id: d, adapter: openai, zone: cloud, region: EU, model: m, context_tokens: 99, max_output_tokens: 9,\n"
        "     base_url: x, file: y, price: {input: 1, output: 1 USD}, headers: {'a b': c}, output_limit_field: x}\n"
        "  - {id: d, adapter: openai, zone: cloud, region: EU, model: m, base_url: x}\n"
        "models:\n"
        "  auto: {targets: [d, e], rank: best}\n"
        "  Müller: {targets: [d]}\n"
    )
    found = problems(tmp_path, text)
    told = {line: " / ".join(message for at, message in found if at == line) for line, _ in found}
    expected = {
        1: ["schema 1"],
        2: ["unknown key 'sever'"],
        3: ["expected text", "70000 is more than 65535", "'soon'", "1 is less than 1024", "'many'"],
        4: ["the environment variable NOT_SET is not set"],
        6: ["duration", "0 is less than 1"],
        7: ["0 is less than 1", "'xml'"],
        8: ["'always'"],
        10: ["'a b' is not a name", "'moon'", "1 is less than 16", "0 is less than 1", "needs 'base_url'"],
        11: ["is in the zone local", "needs either 'file'"],
        13: ["'file' is not a setting of the adapter openai", "amount in dollars", "not a header's name", "'x'"],
        14: ["missing key 'context_tokens'", "missing key 'max_output_tokens'", "the target 'd' is there twice"],
        16: ["there is no target 'e'", "'best'"],
        17: ["'Müller'"],
    }
    assert told.keys() == expected.keys()
    missing = {line: [part for part in parts if part not in told[line]] for line, parts in expected.items()}
    assert {line: (parts, told[line]) for line, parts in missing.items() if parts} == {}


@pytest.mark.parametrize(
    ("part", "instead", "message"),
    [
        ("schema: 1\n", "", "missing key 'schema'"),
        ("policy: policies/p.yaml\n", "", "missing key 'policy'"),
        ("models:\n  auto: {targets: [local]}\n", "", "missing key 'models'"),
        ("targets: [local]", "targets: []", "at least one"),
        ("targets: [local]", "targets: [local, local]", "listed twice"),
        ("    zone: local\n", "", "missing key 'zone'"),
        (
            "    adapter: llama_cpp\n",
            "    adapter: llama_cpp\n    base_url: x\n",
            "not a setting of the adapter llama_cpp",
        ),
        ("file: models/tiny.gguf", "file: 7", "expected text"),
        ("file: models/tiny.gguf", "hub: {repo: a/b, file: c}", "missing key 'sha256'"),
        ("  auto: {targets", "  auto: {targets: [local]}\n  auto: {targets", "duplicate key 'auto'"),
        ("schema: 1\n", "schema: 1\nstorage: {redis_env: NOT_SET}\n", "variable NOT_SET is not set"),
    ],
)
def test_one_fault(tmp_path: Path, part: str, instead: str, message: str) -> None:
    """What is missing, doubled or out of place is told as that, and nothing else is."""
    assert part in LEAST
    found = problems(tmp_path, LEAST.replace(part, instead))
    assert len(found) == 1
    assert message in found[0][1]


@pytest.mark.parametrize("name", ["Größe", "a\nb", "x" * 97, "a,b", "'", "<b>"])
def test_model_names_are_labels(tmp_path: Path, name: str) -> None:
    """A model is recorded by its name, so that its name must be one that a record can hold as it stands."""
    key = '"' + name.replace("\n", "\\n") + '"'
    found = problems(tmp_path, LEAST.replace("auto:", f"{key}:"))
    assert len(found) == 1
    assert "cannot name a model" in found[0][1]


@pytest.mark.parametrize("name", ["gpt-5", "meta-llama/Llama-3.1-8B", "org:model@v2+x", "a b_c"])
def test_usual_model_names_are_fine(tmp_path: Path, name: str) -> None:
    """Names as providers give them."""
    assert settings(tmp_path, LEAST.replace("auto:", f'"{name}":')).routes[0].name == name


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """No file, a folder and what is not YAML are told by name and place."""
    with pytest.raises(ConfigurationError, match=r"none\.yaml: cannot be read: No such file"):
        load_settings(tmp_path / "none.yaml", environ={})
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load_settings(tmp_path, environ={})
    assert problems(tmp_path, "schema: 1\npolicy: [") != []
    assert problems(tmp_path, "") != []
    aliased = problems(tmp_path, LEAST.replace("region: here", "region: &r here"))
    assert re.search("anchors are not allowed", aliased[0][1])
    assert aliased[0][0] == line_of(LEAST, "region: here")


def test_variables_come_from_the_environment(tmp_path: Path) -> None:
    """A setting that ends in _env names a variable. One that is not set, or empty, is an error where state is shared,
    except for tools that only look at targets."""
    text = LEAST + "storage: {url_env: B_DB, redis_env: B_REDIS}\ntelemetry: {otlp_env: B_OTLP}\n"
    found = settings(tmp_path, text, B_DB="postgresql://x", B_REDIS="redis://x", B_OTLP="http://otlp:4318")
    assert found.storage.url("identity") == "postgresql://x"
    assert found.storage.redis_url == "redis://x"
    assert found.telemetry.otlp_endpoint == "http://otlp:4318"
    messages = [message for _, message in problems(tmp_path, text, B_REDIS="")]
    assert messages == [f"the environment variable {name} is not set" for name in ("B_DB", "B_REDIS")]
    tool = load_settings(tmp_path / "bailiwick.yaml", environ={}, needs_environment=False)
    assert tool.storage.redis_url is None
    assert tool.telemetry.otlp_endpoint is None


def test_the_usual_variable_names_a_collector(tmp_path: Path) -> None:
    """OTEL_EXPORTER_OTLP_ENDPOINT counts where the file names neither an address nor another variable."""
    usual = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://usual:4318"}
    assert settings(tmp_path, LEAST, **usual).telemetry.otlp_endpoint == "http://usual:4318"
    named = LEAST + "telemetry: {otlp_endpoint: http://named:4318}\n"
    assert settings(tmp_path, named, **usual).telemetry.otlp_endpoint == "http://named:4318"
    other = LEAST + "telemetry: {otlp_env: OTHER}\n"
    assert settings(tmp_path, other, **usual).telemetry.otlp_endpoint is None


def test_the_process_environment_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without being given one, the environment of the process counts."""
    monkeypatch.setenv("B_DB", "postgresql://process")
    path = tmp_path / "bailiwick.yaml"
    path.write_text(LEAST + "storage: {url_env: B_DB}\n")
    assert load_settings(path).storage.url("audit") == "postgresql://process"


def test_the_command_line_overrides(tmp_path: Path) -> None:
    """Another folder for the state, another host and port, and nothing else changes."""
    path = tmp_path / "bailiwick.yaml"
    path.write_text(LEAST)
    plain = load_settings(path, environ={})
    moved = load_settings(path, environ={}, data_override=tmp_path / "else")
    assert moved.storage.folder == tmp_path / "else"
    assert moved.model_cache == tmp_path / "else" / "models"
    assert plain.listening(None, None) == plain
    listening = plain.listening("0.0.0.0", 0)
    assert (listening.server.host, listening.server.port, listening.server.drain) == ("0.0.0.0", 0, 30.0)
    assert listening.targets == plain.targets


def test_labels_with_evidence_and_a_last_day(tmp_path: Path) -> None:
    """A label is a word, or says where its evidence is and until when it holds; the targets for the policy follow."""
    terms = "{name: baa, evidence: 'contract 2026-14, signed 2026-02-01', expires: 2027-01-31}"
    labels = f"[zero-retention, {terms}, {{name: eu, evidence: annex B}}]"
    more = f"    labels: {labels}\n    price: {{input: 1 USD, output: 1 USD}}\n"
    text = LEAST.replace("models:", f"{CLOUD}{more}models:")
    target = settings(tmp_path, text).targets[1]
    assert target.labels == {"zero-retention", "eu"}
    assert target.label_terms == (
        LabelTerms("baa", "contract 2026-14, signed 2026-02-01", date(2027, 1, 31)),
        LabelTerms("eu", "annex B", None),
    )
    assert target.expiring == (("baa", date(2027, 1, 31)),)
    declared = targets_of(tmp_path / "bailiwick.yaml")[1]
    assert declared.labels_on(date(2027, 1, 31)) == {"zero-retention", "eu", "baa"}
    assert declared.labels_on(date(2027, 2, 1)) == {"zero-retention", "eu"}
    for alone in ("baa", "[baa]"):
        text = LEAST.replace("models:", CLOUD + f"    labels: {alone}\nmodels:")
        assert settings(tmp_path, text).targets[1].labels == {"baa"}
    assert settings(tmp_path, LEAST.replace("models:", CLOUD + "    labels: []\nmodels:")).targets[1].labels == set()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("[{name: baa}]", "missing key 'evidence'"),
        ("[{evidence: contract}]", "missing key 'name'"),
        ("[{name: baa, evidence: ''}]", "got nothing"),
        ("[{name: baa, evidence: c, expires: soon}]", "a day such as"),
        ("[{name: baa, evidence: c, expiry: 2027-01-31}]", "unknown key 'expiry'"),
        ("[baa, {name: baa, evidence: c}]", "'baa' is listed twice"),
        ("[{name: baa, evidence: c, expires: 2027-01-31}, baa]", "'baa' is listed twice"),
        ("[baa, baa]", "'baa' is listed twice"),
    ],
)
def test_faults_in_labels(tmp_path: Path, labels: str, message: str) -> None:
    """A label without the evidence for it, or twice, is an error in its line."""
    text = LEAST.replace("models:", CLOUD + f"    labels: {labels}\nmodels:")
    ((line, told),) = problems(tmp_path, text)
    assert (line, message in told) == (line_of(text, "labels:"), True), told


def test_channels(tmp_path: Path) -> None:
    """A webhook with its time limit and a secret from the environment, which no repr shows; http:// inside only."""
    text = (
        LEAST
        + "notify:\n"
        + "  privacy-team: {url: 'https://hooks.example.com/p?q=1', timeout: 2s, secret_env: HOOK}\n"
        + "  chat: {url_env: CHAT_URL, secret_env: HOOK, secret_header: X-Token}\n"
        + "  here: {url: http://127.0.0.1:9000/x}\n"
        + "  here-too: {url: 'http://[::1]:9000/x'}\n"
        + "  here-by-name: {url: http://localhost:9000/x}\n"
        + "  inside: {url: http://10.1.2.3/x, allow_http: true}\n"
        + "  cluster: {url: http://notices.privacy.svc:8080/x, allow_http: true}\n"
        + "  compose: {url: http://notices:8080/x, allow_http: true}\n"
    )
    found = settings(tmp_path, text, HOOK="Bearer s3cret", CHAT_URL="https://chat.example/T0/secret")
    channels = {channel.name: channel for channel in found.channels}
    assert [*channels] == ["privacy-team", "chat", "here", "here-too", "here-by-name", "inside", "cluster", "compose"]
    assert channels["privacy-team"] == ChannelSettings(
        "privacy-team", "https://hooks.example.com/p?q=1", 2.0, {"authorization": "Bearer s3cret"}
    )
    assert channels["chat"] == ChannelSettings(
        "chat", "https://chat.example/T0/secret", 5.0, {"x-token": "Bearer s3cret"}
    )
    assert channels["here"].headers == {}
    assert not re.search("s3cret|secret|q=1", repr(found))
    tool = load_settings(tmp_path / "bailiwick.yaml", environ={}, needs_environment=False)
    assert len(tool.channels) == 8


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        ("{timeout: 1s}", "needs either 'url' or 'url_env'"),
        ("{url: https://a.example, url_env: HOOK}", "needs either 'url' or 'url_env'"),
        ("{url: ftp://a.example}", "not a URL"),
        ("{url: hooks.example.com}", "not a URL"),
        ("{url: 'https://'}", "not a URL"),
        ("{url: 'https://a.example:port/'}", "not a URL"),
        ("{url: 'https://a example/'}", "not a URL"),
        ("{url: https://user:word@a.example}", "no user and no fragment"),
        ("{url: http://a.example/x}", "needs https://"),
        ("{url: http://a.example/x, allow_http: true}", "needs https://"),
        ("{url: http://8.8.8.8/x, allow_http: true}", "needs https://"),
        ("{url: http://10.1.2.3/x}", "allow_http: true"),
        ("{url: http://notices/x, allow_http: false}", "allow_http: true"),
        ("{url: https://a.example, secret_env: NOT_SET}", "NOT_SET is not set"),
        ("{url: https://a.example, secret_env: BAD}", "printable ASCII"),
        ("{url: https://a.example, secret_header: x-a}", "needs 'secret_env'"),
        ("{url: https://a.example, secret_env: HOOK, secret_header: 'a b'}", "not a header's name"),
        ("{url: https://a.example, timeout: 5}", "a duration such as"),
        ("{uri: https://a.example}", "unknown key 'uri'"),
    ],
)
def test_faults_in_channels(tmp_path: Path, channel: str, message: str) -> None:
    """What cannot be sent to, or would go over the open network unencrypted, is an error that quotes no secret."""
    text = LEAST + f"notify:\n  privacy-team: {channel}\n"
    found = problems(tmp_path, text, HOOK="s3cret", BAD="a\nb")
    assert message in found[0][1]
    assert all(line == line_of(text, "privacy-team") for line, _ in found)
    assert "s3cret" not in str(found)
    assert "word" not in str(found)


def test_names_of_channels_are_names(tmp_path: Path) -> None:
    """A policy names them, and so do records."""
    ((_, message),) = problems(tmp_path, LEAST + "notify: {'privacy team': {url: https://a.example}}\n")
    assert "'privacy team' is not a name" in message


def test_names_that_exist(tmp_path: Path) -> None:
    """What is said of tenants, apps and groups is handed on; of what is not said, nothing is known."""
    assert settings(tmp_path, LEAST).known == KnownNames()
    found = settings(tmp_path, LEAST + "known: {tenants: [acme, globex], apps: [], groups: hr-leads}\n").known
    assert found.by_condition() == {
        "tenant": {"acme", "globex"},
        "app": frozenset(),
        "group": {"hr-leads"},
    }
    assert settings(tmp_path, LEAST + "known: {apps: [a]}\n").known.by_condition() == {"app": {"a"}}
    assert problems(tmp_path, LEAST + "known: {app: [a]}\n")[0][1].startswith("unknown key 'app'")
    assert problems(tmp_path, LEAST + "known: {apps: [a, a]}\n")[0][1] == "'a' is listed twice"


def test_how_long_conversations_are_kept(tmp_path: Path) -> None:
    """Thirty days, or as many as are said."""
    assert settings(tmp_path, LEAST).conversations == ConversationSettings(30)
    found = settings(tmp_path, LEAST + "conversations: {keep_days: 7}\n")
    assert found.conversations.keep_seconds == 7 * 86_400
    assert found.storage.url("conversations").endswith("/conversations.db")
    assert problems(tmp_path, LEAST + "conversations: {keep_days: 0}\n")[0][1].startswith("0 is less than 1")
