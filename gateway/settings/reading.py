"""From a settings file to `Settings`, with everything that is wrong reported at once."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from gateway.documents import DocumentError, Node, nearest, read
from gateway.domain.errors import ConfigurationError
from gateway.domain.record import label
from gateway.domain.target import Route, Zone
from gateway.settings.channels import read_channels
from gateway.settings.company import CompanyFile, read_company_file
from gateway.settings.embeddings import makes_embeddings
from gateway.settings.labels import read_labels
from gateway.settings.llama_cpp import LLAMA_CPP, read_llama_cpp, read_local_models
from gateway.settings.ner import NerSettings, chosen_engine
from gateway.settings.prices import read_price
from gateway.settings.recognizers import DEFAULT_COUNTRIES, RegistrySettings, chosen_countries, chosen_names
from gateway.settings.servers import ROOM_KEYS, SERVER_KEYS, read_servers
from gateway.settings.shares import read_shares
from gateway.settings.signatures import read_signatures
from gateway.settings.values import (
    DEFAULT_HUB,
    ConversationSettings,
    InspectionSettings,
    KnownNames,
    LocalModelSettings,
    OpenAISettings,
    ServerSettings,
    Settings,
    StorageSettings,
    TargetSettings,
    TelemetrySettings,
    TimeoutSettings,
)

_ROOT = (
    "schema",
    "server",
    "storage",
    "policy",
    "policy_signatures",
    "inspection",
    "telemetry",
    "conversations",
    "notify",
    "known",
    "local_models",
    "scripted_cloud",
    "targets",
    "models",
)
_TARGET = (
    "id",
    "adapter",
    "zone",
    "region",
    "labels",
    "provider",
    "model",
    "price",
    "context_tokens",
    "max_output_tokens",
    "first_token",
    "timeouts",
    "embeddings",
)
_OPENAI = (
    "base_url",
    "api_key_env",
    "organisation",
    "project",
    "headers",
    "ca_file",
    "proxy",
    "output_limit_field",
    "max_connections",
)
_INSPECTION = (
    *("timeout", "processes", "cache_bytes", "cache_in_redis"),
    *("countries", "recognizers", "switch_on", "switch_off", "ner"),
)
_LIMIT_FIELDS = ("max_completion_tokens", "max_tokens")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")


def load_settings(
    path: Path,
    *,
    data_override: Path | None = None,
    environ: Mapping[str, str] | None = None,
    needs_environment: bool = True,
) -> Settings:
    """Read and check a settings file. Raises `ConfigurationError` with everything that is wrong at once.

    Without `needs_environment` a variable that is not set is no error: for tools that only look at targets.
    """
    root = read(path)
    environment = os.environ if environ is None else environ
    reader = _Reader(root, path.resolve().parent, environment, needs_environment)
    settings = reader.settings(path, data_override)
    root.problems.check()
    return settings


class _Reader:
    def __init__(self, root: Node, base: Path, environ: Mapping[str, str], needs_environment: bool) -> None:
        self._root = root
        self._base = base
        self._environ = environ
        self._needs_environment = needs_environment

    def settings(self, path: Path, data_override: Path | None) -> Settings:
        fields = self._root.mapping(_ROOT, ("schema", "policy", "targets", "models"))
        if fields["schema"].present and fields["schema"].integer() != 1:
            fields["schema"].fail("this version reads schema 1")
        targets = self._targets(fields["targets"])
        return Settings(
            file=path,
            server=self._server(fields.get("server")),
            storage=self._storage(fields.get("storage"), data_override),
            policy=self._path(fields["policy"]),
            inspection=self._inspection(fields.get("inspection")),
            telemetry=self._telemetry(fields.get("telemetry")),
            scripted_cloud=(
                fields["scripted_cloud"].one_of(("never", "when_no_key")) == "when_no_key"
                if "scripted_cloud" in fields
                else False
            ),
            targets=targets,
            routes=self._routes(fields["models"], {target.id: target for target in targets}),
            conversations=_conversations(fields.get("conversations")),
            channels=read_channels(fields["notify"], self._required_variable) if "notify" in fields else (),
            known=_known(fields.get("known")),
            policy_signatures=read_signatures(fields["policy_signatures"]) if "policy_signatures" in fields else None,
            local_models=(
                read_local_models(fields["local_models"], self._base)
                if "local_models" in fields
                else LocalModelSettings()
            ),
        )

    def _server(self, node: Node | None) -> ServerSettings:
        default = ServerSettings()
        if node is None:
            return default
        keys = ("host", "port", "drain", "max_body_bytes", "body_timeout", "write_timeout", "max_in_flight")
        found = node.mapping(keys, allow_empty=True)
        return ServerSettings(
            host=found["host"].text() if "host" in found else default.host,
            port=found["port"].integer(0, 65535) if "port" in found else default.port,
            drain=found["drain"].seconds() if "drain" in found else default.drain,
            max_body_bytes=_integer(found, "max_body_bytes", default.max_body_bytes, 1024, 1 << 30),
            body_timeout=found["body_timeout"].seconds() if "body_timeout" in found else default.body_timeout,
            write_timeout=found["write_timeout"].seconds() if "write_timeout" in found else default.write_timeout,
            max_in_flight=_integer(found, "max_in_flight", default.max_in_flight, 1, 100_000),
        )

    def _storage(self, node: Node | None, override: Path | None) -> StorageSettings:
        found = node.mapping(("folder", "url_env", "redis_env"), allow_empty=True) if node else {}
        folder = self._path(found["folder"]) if "folder" in found else self._base / ".state"
        return StorageSettings(
            folder=(override or folder).resolve(),
            database_url=self._required_variable(found.get("url_env")),
            redis_url=self._required_variable(found.get("redis_env")),
        )

    def _inspection(self, node: Node | None) -> InspectionSettings:
        default = InspectionSettings()
        found = node.mapping(_INSPECTION, allow_empty=True) if node else {}
        files = self._company_files(found.get("recognizers"))
        return InspectionSettings(
            timeout=found["timeout"].seconds() if "timeout" in found else default.timeout,
            processes=_integer(found, "processes", default.processes, 1, 256),
            cache_bytes=_integer(found, "cache_bytes", default.cache_bytes, 0, 1 << 40),
            cache_in_redis=found["cache_in_redis"].boolean() if "cache_in_redis" in found else default.cache_in_redis,
            registry=self._registry(found, files.values()),
            company_files=tuple(files),
        )

    def _company_files(self, node: Node | None) -> dict[Path, CompanyFile]:
        """Files of one's own. What is wrong with one is reported at its own place."""
        files: dict[Path, CompanyFile] = {}
        for place, name in node.located_texts() if node is not None else []:
            try:
                files[self._base / name] = read_company_file(self._base / name)
            except DocumentError as error:
                place.problems.found.extend(error.problems)
            except ConfigurationError as error:
                place.fail(str(error))
        return files

    def _registry(self, found: Mapping[str, Node], files: Collection[CompanyFile]) -> RegistrySettings:
        """Which recognisers run."""
        custom = tuple(item for file in files for item in file.custom)
        for name in _repeated(item.name for item in custom):
            found["recognizers"].fail(f"two of these files have a recogniser '{name}'")
        switch_on = chosen_names(found["switch_on"], custom) if "switch_on" in found else ()
        switch_off = chosen_names(found["switch_off"], custom) if "switch_off" in found else ()
        for name in sorted(set(switch_on) & set(switch_off)):
            found["switch_off"].fail(f"'{name}' is switched on and off")
        return RegistrySettings(
            countries=chosen_countries(found["countries"]) if "countries" in found else DEFAULT_COUNTRIES,
            switch_on=switch_on,
            switch_off=switch_off,
            custom=tuple(item for item in custom if item.name not in switch_off),
            allow=tuple(dict.fromkeys(value for file in files for value in file.allow)),
            terms=tuple(terms for file in files for terms in file.terms),
            ner=self._ner(found["ner"]) if "ner" in found else NerSettings(),
        )

    def _ner(self, node: Node) -> NerSettings:
        found = node.mapping(("engine", "labels"), ("engine",))
        return chosen_engine(found["engine"], found.get("labels"), self._base)

    def _telemetry(self, node: Node | None) -> TelemetrySettings:
        found = node.mapping(("otlp_endpoint", "otlp_env", "span_days", "logs"), allow_empty=True) if node else {}
        endpoint = found["otlp_endpoint"].text() if "otlp_endpoint" in found else None
        variable = found["otlp_env"].text() if "otlp_env" in found else "OTEL_EXPORTER_OTLP_ENDPOINT"
        return TelemetrySettings(
            otlp_endpoint=endpoint or self._environ.get(variable) or None,
            span_days=_integer(found, "span_days", 7, 1, 3650),
            logs=found["logs"].one_of(("plain", "json")) if "logs" in found else "plain",
        )

    def _targets(self, node: Node) -> tuple[TargetSettings, ...]:
        targets: dict[str, TargetSettings] = {}
        for item in node.sequence():
            target = self._target(item)
            if target.id in targets:
                item.fail(f"the target '{target.id}' is there twice")
            targets[target.id] = target
        return tuple(targets.values())

    def _target(self, node: Node) -> TargetSettings:
        required = ("id", "adapter", "zone", "region", "model", "context_tokens")
        found = node.mapping((*_TARGET, *_OPENAI, *SERVER_KEYS, *LLAMA_CPP, *ROOM_KEYS), required)
        embeddings = makes_embeddings(node, found)
        adapter = found["adapter"].one_of(("openai", "llama_cpp"))
        foreign = (*_OPENAI, *SERVER_KEYS) if adapter == "llama_cpp" else LLAMA_CPP
        for key in foreign:
            if key in found:
                found[key].fail(f"'{key}' is not a setting of the adapter {adapter}")
        zone = Zone(found["zone"].one_of(("local", "cloud")))
        if adapter == "llama_cpp" and zone is Zone.CLOUD:
            found["zone"].fail("an engine on this machine is in the zone local")
        price, own_price = read_price(
            found.get("price"),
            local=zone is Zone.LOCAL,
            measurable=adapter == "llama_cpp" and not embeddings,
            output=not embeddings,
        )
        labels, label_terms = read_labels(found["labels"]) if "labels" in found else (frozenset[str](), ())
        return TargetSettings(
            id=found["id"].identifier(),
            zone=zone,
            region=found["region"].identifier(),
            labels=labels,
            label_terms=label_terms,
            provider=found["provider"].identifier() if "provider" in found else adapter,
            model=found["model"].text(),
            price=price,
            own_price=own_price,
            context_tokens=found["context_tokens"].integer(16, 1 << 30),
            max_output_tokens=_integer(found, "max_output_tokens", 0, 1, 1 << 30),
            first_token=found["first_token"].seconds() if "first_token" in found else None,
            timeouts=_timeouts(found.get("timeouts")),
            backend=(
                read_llama_cpp(
                    node,
                    found,
                    self._base,
                    self._environ.get("HF_ENDPOINT") or DEFAULT_HUB,
                    embeddings=embeddings,
                )
                if adapter == "llama_cpp"
                else self._openai(node, found, zone)
            ),
            embeddings=embeddings,
        )

    def _openai(self, node: Node, found: Mapping[str, Node], zone: Zone) -> OpenAISettings:
        servers = read_servers(node, found, zone)
        if servers is None and "base_url" not in found:
            if "base_urls" not in found:
                node.fail("the adapter openai needs 'base_url', such as https://api.openai.com/v1")
            return OpenAISettings("", None)
        headers: dict[str, str] = {}
        for key, value in found["headers"].items(allow_empty=True) if "headers" in found else []:
            if not _HEADER.fullmatch(key.text()):
                key.fail("this is not a header's name")
            headers[key.text()] = value.text()
        return OpenAISettings(
            base_url=servers.base_urls[0] if servers is not None else found["base_url"].text(),
            servers=servers,
            api_key_env=found["api_key_env"].text() if "api_key_env" in found else None,
            organisation=found["organisation"].text() if "organisation" in found else None,
            project=found["project"].text() if "project" in found else None,
            headers=headers,
            ca_file=str(self._path(found["ca_file"])) if "ca_file" in found else None,
            proxy=found["proxy"].text() if "proxy" in found else None,
            output_limit_field=found["output_limit_field"].one_of(_LIMIT_FIELDS)
            if "output_limit_field" in found
            else None,
            max_connections=_integer(found, "max_connections", 256, 1, 100_000),
        )

    def _routes(self, node: Node, targets: Mapping[str, TargetSettings]) -> tuple[Route, ...]:
        routes: list[Route] = []
        for key, value in node.items():
            found = value.mapping(("targets", "rank", "share"), ("targets",))
            names: list[str] = []
            for place, name in found["targets"].located_texts():
                if name in targets:
                    names.append(name)
                else:
                    place.fail(f"there is no target '{name}'", nearest(name, targets))
            rank = found["rank"].one_of(("cost", "listed")) if "rank" in found else "cost"
            if label(key.text()) != key.text():
                # Records hold the name as a label; another one could not be compared with a policy's again later.
                key.fail(f"'{key.text()}' cannot name a model: use letters, digits and _ . : / @ + - (at most 96)")
            if len({targets[name].embeddings for name in names}) > 1:
                found["targets"].fail("a model name is either for chat or for embeddings; these targets are for both")
            shares = read_shares(found["share"], names) if "share" in found else ()
            routes.append(Route(key.text(), tuple(names), rank, shares))
        return tuple(routes)

    def _path(self, node: Node) -> Path:
        return self._base / node.text() if node.present else self._base

    def _required_variable(self, node: Node | None) -> str | None:
        """The value of the environment variable that the setting names. Named but not set is an error: falling back
        to a file of its own would split the state of replicas that are meant to share it."""
        if node is None:
            return None
        name = node.text()
        value = self._environ.get(name)
        if not value and self._needs_environment:
            node.fail(f"the environment variable {name} is not set")
        return value


def _integer(found: Mapping[str, Node], key: str, default: int, least: int, most: int) -> int:
    return found[key].integer(least, most) if key in found else default


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _conversations(node: Node | None) -> ConversationSettings:
    found = node.mapping(("keep_days",), allow_empty=True) if node else {}
    return ConversationSettings(keep_days=_integer(found, "keep_days", ConversationSettings().keep_days, 1, 3650))


def _known(node: Node | None) -> KnownNames:
    found = node.mapping(("tenants", "apps", "groups")) if node else {}
    return KnownNames(**{key: frozenset(names.texts(allow_empty=True)) for key, names in found.items()})


def _timeouts(node: Node | None) -> TimeoutSettings:
    default = TimeoutSettings()
    found = node.mapping(("connect", "first_event", "idle")) if node else {}
    return TimeoutSettings(
        connect=found["connect"].seconds() if "connect" in found else default.connect,
        first_event=found["first_event"].seconds() if "first_event" in found else default.first_event,
        idle=found["idle"].seconds() if "idle" in found else default.idle,
    )
