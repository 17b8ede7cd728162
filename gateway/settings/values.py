"""The settings as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from gateway.domain.money import Price
from gateway.domain.target import Route, Zone
from gateway.settings.prices import OwnPrice
from gateway.settings.recognizers import RegistrySettings

DEFAULT_HUB = "https://huggingface.co"


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Bytes and seconds. `drain` is how long requests in flight may go on after SIGTERM."""

    host: str = "127.0.0.1"
    port: int = 8484
    drain: float = 30.0
    max_body_bytes: int = 10 * 1024 * 1024
    body_timeout: float = 30.0
    write_timeout: float = 60.0
    max_in_flight: int = 512


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Where the state is: SQLite files in `folder`, or the database and Redis that many replicas share."""

    folder: Path
    database_url: str | None = field(default=None, repr=False)
    redis_url: str | None = field(default=None, repr=False)

    def url(self, store: str) -> str:
        """The database URL of a store (``audit``, ``identity``, ``budgets``, ``conversations``, …). ``spans`` stay on
        this host: they are for looking at one gateway; many gateways export to a collector."""
        if self.database_url is not None and store != "spans":
            return self.database_url
        return f"sqlite:///{self.folder}/{store}.db"


@dataclass(frozen=True, slots=True)
class InspectionSettings:
    """`timeout` in seconds for one request's texts; `processes` scan what is too long to scan beside other work;
    `registry` says which recognisers run; `cache_bytes` of memory hold what was found in texts seen before, 0 none, and
    with `cache_in_redis` so does Redis. `company_files` are those that the registry was read from."""

    timeout: float = 5.0
    processes: int = 1
    cache_bytes: int = 48 << 20
    cache_in_redis: bool = False
    registry: RegistrySettings = field(default_factory=RegistrySettings)
    company_files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """`otlp_endpoint` None exports nowhere; spans are always kept locally for `span_days` days."""

    otlp_endpoint: str | None = None
    span_days: int = 7
    logs: str = "plain"


@dataclass(frozen=True, slots=True)
class ConversationSettings:
    """`keep_days` is how long the level of a conversation is kept after its last turn."""

    keep_days: int = 30

    @property
    def keep_seconds(self) -> int:
        return self.keep_days * 24 * 3600


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """A webhook that a policy's ``notify`` may name. `timeout` is seconds for one try; `url` and `headers` may be
    secrets."""

    name: str
    url: str = field(repr=False)
    timeout: float = 5.0
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class KnownNames:
    """The names that exist, for the policy tools to find misspelt ones; None where nothing is said."""

    tenants: frozenset[str] | None = None
    apps: frozenset[str] | None = None
    groups: frozenset[str] | None = None

    def by_condition(self) -> Mapping[str, frozenset[str]]:
        """By the word that a policy's conditions use: ``tenant``, ``app``, ``group``; only those of which something is
        said."""
        said = {"tenant": self.tenants, "app": self.apps, "group": self.groups}
        return {condition: names for condition, names in said.items() if names is not None}


@dataclass(frozen=True, slots=True)
class PolicySignatures:
    """A policy counts only when `needed` of the `trusted` signers (name to public key) have signed its files."""

    trusted: Mapping[str, str]
    needed: int = 1


@dataclass(frozen=True, slots=True)
class ModelServerSettings:
    """The servers behind one target of the zone local: what `kind` of server they are, and where each is. They are
    looked at every `poll` seconds. `parallel` is how many requests one answers at a time where it does not tell (None:
    nobody knows), and with `queue` requests waiting one counts as full."""

    kind: str
    base_urls: tuple[str, ...]
    poll: float = 2.0
    parallel: int | None = None
    queue: int = 32


@dataclass(frozen=True, slots=True)
class OpenAISettings:
    """`base_url` is the first of several where `servers` has them."""

    base_url: str
    api_key_env: str | None
    organisation: str | None = None
    project: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_file: str | None = None
    proxy: str | None = field(default=None, repr=False)
    output_limit_field: str | None = None
    max_connections: int = 256
    servers: ModelServerSettings | None = None


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """A LoRA adapter: its file, the hash that the file must have, and how strongly it counts (1: as it was trained)."""

    path: Path
    sha256: str | None = None
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class LlamaCppSettings:
    """The model is at `path`, or is the `file` of the hub's repository `hub`, whose `sha256` is what makes it trusted,
    or is `registered` (``name@alias``, ``name@number``) in the registry of models.
    `threads` 0 chooses by the cores there are; `gpu_layers` -1 means all; `parallel` answers are made at a time, and
    `queue` bounds the waiting requests. `batch_tokens` of prompts are read per step. `kv_type` is the form of the
    keys and values in the cache. `lora` are the adapters that all requests of the target use. `share_prefixes`: what
    was read for one tenant serves another. Prefixes that leave the cache are parked in `prefix_memory` bytes, None for
    as many as the cache has, 0 for not at all. For a model that makes embeddings, `pooling` is how one comes of all
    tokens, and `least_dimensions` the fewest numbers to which one may be shortened, 0 where it may not."""

    path: Path | None
    hub: str | None = None
    file: str | None = None
    revision: str = "main"
    sha256: str | None = None
    base_url: str = DEFAULT_HUB
    threads: int = 0
    gpu_layers: int = 0
    parallel: int = 16
    queue: int = 32
    batch_tokens: int = 128
    flash_attention: str = "auto"
    kv_type: str = "f16"
    lora: tuple[LoraSettings, ...] = ()
    share_prefixes: bool = False
    prefix_memory: int | None = None
    registered: str | None = None
    pooling: str = "model"
    least_dimensions: int = 0


@dataclass(frozen=True, slots=True)
class LocalModelSettings:
    """What the local models have together. `memory` is their budget in bytes, None for none; a request waits `patience`
    seconds for others before busy models have to make room for its own. Gateways with the same `runtime_folder` share
    one engine for each model; None shares nothing."""

    memory: int | None = None
    patience: float = 30.0
    runtime_folder: Path | None = None


@dataclass(frozen=True, slots=True)
class TimeoutSettings:
    """Seconds, as in `gateway.domain.call.Timeouts`."""

    connect: float = 5.0
    first_event: float = 120.0
    idle: float = 60.0


@dataclass(frozen=True, slots=True)
class LabelTerms:
    """What is written down of a label: where its `evidence` is (a contract, say), and the last day (UTC) on which it
    holds; None for ever."""

    name: str
    evidence: str = ""
    expires: date | None = None


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """A target and how to reach it. `price` is what is asked for it, `own_price` what running it costs; with neither it
    is looked up in the price table by `provider` and `model`. `labels` are those that hold for ever; `label_terms` are
    all of which something is written down, those that expire too. With `embeddings` the model makes embeddings, and
    nothing else; its `max_output_tokens` is 0."""

    id: str
    zone: Zone
    region: str
    labels: frozenset[str]
    provider: str
    model: str
    price: Price | None
    context_tokens: int
    max_output_tokens: int
    first_token: float | None
    timeouts: TimeoutSettings
    backend: OpenAISettings | LlamaCppSettings
    label_terms: tuple[LabelTerms, ...] = ()
    own_price: OwnPrice | None = None
    embeddings: bool = False

    @property
    def expiring(self) -> tuple[tuple[str, date], ...]:
        """The labels that end, each with its last day."""
        return tuple((terms.name, terms.expires) for terms in self.label_terms if terms.expires is not None)

    @property
    def adapter(self) -> str:
        return "llama_cpp" if isinstance(self.backend, LlamaCppSettings) else "openai"

    @property
    def model_file(self) -> LlamaCppSettings | None:
        """Where a local model's file comes from."""
        return self.backend if isinstance(self.backend, LlamaCppSettings) else None


@dataclass(frozen=True, slots=True)
class Settings:
    file: Path
    server: ServerSettings
    storage: StorageSettings
    policy: Path
    inspection: InspectionSettings
    telemetry: TelemetrySettings
    scripted_cloud: bool
    targets: tuple[TargetSettings, ...]
    routes: tuple[Route, ...]
    conversations: ConversationSettings = field(default_factory=ConversationSettings)
    channels: tuple[ChannelSettings, ...] = ()
    known: KnownNames = field(default_factory=KnownNames)
    policy_signatures: PolicySignatures | None = None
    local_models: LocalModelSettings = field(default_factory=LocalModelSettings)

    @property
    def model_cache(self) -> Path:
        """The folder for models fetched from a hub."""
        return self.storage.folder / "models"

    @property
    def model_registry(self) -> Path:
        """The folder of the registry of models, with its files."""
        return self.model_cache / "registry"

    def listening(self, host: str | None, port: int | None) -> Settings:
        """The same settings with another address to listen on, where one is given."""
        server = self.server
        return replace(
            self,
            server=replace(
                server, host=server.host if host is None else host, port=server.port if port is None else port
            ),
        )
