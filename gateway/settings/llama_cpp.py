"""The settings of ``adapter: llama_cpp``, a model file that the gateway runs itself, and of all such models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from gateway.documents import Node
from gateway.settings.embeddings import POOLINGS
from gateway.settings.values import LlamaCppSettings, LocalModelSettings, LoraSettings

LLAMA_CPP = (
    *("file", "sha256", "hub", "threads", "gpu_layers"),
    *("batch_tokens", "flash_attention", "kv_type", "lora", "share_prefixes", "prefix_memory"),
    *("pooling", "least_dimensions"),
)
"""The settings of a target that only this adapter has; it has those of `gateway.settings.servers.ROOM_KEYS` as well."""

PLAIN_KV_TYPES = ("f16", "bf16", "f32")
KV_TYPES = (*PLAIN_KV_TYPES, "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
"""What keys and values may be kept in. Those that are not plain are read by flash attention only."""

_REGISTERED = re.compile(r"[a-z0-9][a-z0-9._\-]{0,47}@([a-z][a-z0-9_\-]{0,23}|[0-9]{1,9})")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def read_llama_cpp(
    node: Node, found: Mapping[str, Node], base: Path, default_hub: str, *, embeddings: bool
) -> LlamaCppSettings:
    """The settings of the target `node`, whose members are `found`. Paths are relative to `base`."""
    model = found["model"].text()
    places = {"file", "hub"} & found.keys()
    registered = not places and _REGISTERED.fullmatch(model) is not None
    if len(places) > 1 or not (places or registered):
        node.fail(
            "the adapter llama_cpp needs either 'file' (a GGUF on this machine) or 'hub', or a 'model' of the "
            "registry, such as private@stable"
        )
    elif registered and "sha256" in found:
        found["sha256"].fail("the registry of models has the hash of each version")
    hub = (
        found["hub"].mapping(("repo", "file", "sha256", "revision", "base_url"), ("repo", "file", "sha256"))
        if "hub" in found
        else {}
    )
    sha256 = hub.get("sha256") or found.get("sha256")
    flash_attention = found["flash_attention"].one_of(("auto", "on", "off")) if "flash_attention" in found else "auto"
    return LlamaCppSettings(
        path=_path(found["file"], base) if "file" in found else None,
        hub=hub["repo"].text() if hub else None,
        file=hub["file"].text() if hub else None,
        revision=hub["revision"].text() if "revision" in hub else "main",
        sha256=sha256.text() if sha256 is not None else None,
        base_url=hub["base_url"].text() if "base_url" in hub else default_hub,
        threads=_integer(found, "threads", 0, 0, 1024),
        gpu_layers=_integer(found, "gpu_layers", 0, -1, 10_000),
        parallel=_integer(found, "parallel", 16, 1, 128),
        queue=_integer(found, "queue", 32, 1, 10_000),
        batch_tokens=_integer(found, "batch_tokens", 128, 16, 4096),
        flash_attention=flash_attention,
        kv_type=_kv_type(found["kv_type"], flash_attention) if "kv_type" in found else "f16",
        lora=tuple(_lora(item, base) for item in found["lora"].sequence()) if "lora" in found else (),
        share_prefixes=found["share_prefixes"].boolean() if "share_prefixes" in found else False,
        prefix_memory=0 if embeddings else _prefix_memory(found.get("prefix_memory")),
        registered=model if registered else None,
        pooling=found["pooling"].one_of(POOLINGS) if "pooling" in found else "model",
        least_dimensions=_integer(found, "least_dimensions", 0, 1, 1 << 20),
    )


def read_local_models(node: Node, base: Path) -> LocalModelSettings:
    """What the local models have together. Paths are relative to `base`."""
    found = node.mapping(("memory", "patience", "runtime_folder"))
    default = LocalModelSettings()
    if "memory" in found and "runtime_folder" in found:
        found["memory"].fail(
            "a budget unloads the models of one gateway, and with a 'runtime_folder' they belong to several: choose one"
        )
    if "patience" in found and "memory" not in found:
        found["patience"].fail("'patience' is for models that share a budget: 'memory' is missing")
    return LocalModelSettings(
        memory=found["memory"].size() if "memory" in found else None,
        patience=found["patience"].seconds() if "patience" in found else default.patience,
        runtime_folder=_path(found["runtime_folder"], base) if "runtime_folder" in found else None,
    )


def _kv_type(node: Node, flash_attention: str) -> str:
    kind = node.one_of(KV_TYPES)
    if flash_attention == "off" and kind not in PLAIN_KV_TYPES:
        node.fail(f"{kind} needs flash attention, which is off here; without it there are {', '.join(PLAIN_KV_TYPES)}")
    return kind


def _prefix_memory(node: Node | None) -> int | None:
    if node is None:
        return None
    return 0 if node.kind == "integer" and node.integer(0, 1 << 62) == 0 else node.size()


def _lora(node: Node, base: Path) -> LoraSettings:
    found = node.mapping(("file", "sha256", "scale"), ("file",))
    sha256 = found["sha256"].text() if "sha256" in found else None
    if sha256 and not _SHA256.fullmatch(sha256):
        found["sha256"].fail("'sha256' must be 64 hexadecimal digits")
    return LoraSettings(
        path=_path(found["file"], base),
        sha256=sha256,
        scale=found["scale"].number(-100, 100) if "scale" in found else 1.0,
    )


def _path(node: Node, base: Path) -> Path:
    return base / node.text() if node.present else base


def _integer(found: Mapping[str, Node], key: str, default: int, least: int, most: int) -> int:
    return found[key].integer(least, most) if key in found else default
