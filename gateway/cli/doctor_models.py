"""What ``bailiwick doctor`` says of local models: are they there, can they serve, and does their memory suffice?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adapters.llama_cpp.files import resolve
from adapters.llama_cpp.memory import granted_bytes
from adapters.llama_cpp.needs import Needs, needs
from adapters.llama_cpp.offline import inspect_model
from adapters.llama_cpp.shared import check_runtime_folder
from adapters.llama_cpp.shelf import locate
from gateway.cli.checks import Check, failed, ok, warning
from gateway.domain.errors import ConfigurationError
from gateway.settings import LlamaCppSettings, Settings, TargetSettings


def model_checks(
    name: str, settings: Settings, target: TargetSettings, backend: LlamaCppSettings, price: str
) -> Iterator[Check]:
    """The check of a local target. Raises `ConfigurationError` where its model is not there or cannot be loaded."""
    located = locate(backend, settings.model_registry)
    path = resolve(located.file, settings.model_cache, download=False)
    info = inspect_model(path)
    kind = " ".join(filter(None, (info.architecture, info.quantisation)))
    which = f"{located.version}, {path}" if located.version else str(path)
    needed = _needs(path, settings, target, backend).memory
    granted = granted_bytes()
    adapters = f" with {len(backend.lora)} LoRA adapter{'s' * (len(backend.lora) > 1)}" if backend.lora else ""
    detail = f"{which} ({kind}, {_mib(info.file_bytes)}){adapters}, {price}; needs about {_mib(needed)} of memory"
    budget = settings.local_models.memory
    if budget is not None and needed > budget:
        yield failed(name, f"{detail}, local_models.memory is {_mib(budget)}: it can never be loaded")
    elif needed > granted:
        # With layers on a GPU, part of it is elsewhere: llama.cpp alone knows how much.
        found = warning if backend.gpu_layers else failed
        yield found(name, f"{detail}, {_mib(granted)} are granted: take fewer context_tokens or a smaller quantisation")
    elif not info.has_chat_template:
        yield warning(name, f"{detail}; the file has no chat template")
    elif 0 < info.context_tokens < target.context_tokens:
        trained = f"the model was trained for {info.context_tokens} tokens of context, {target.context_tokens} are set"
        yield warning(name, f"{detail}; {trained}")
    else:
        yield ok(name, detail)


def memory_checks(settings: Settings) -> Iterator[Check]:
    """Do all local models together fit into the memory that this process is granted? Raises `ConfigurationError` where
    they are to be shared with other gateways, and cannot be."""
    if (folder := settings.local_models.runtime_folder) is not None:
        check_runtime_folder(folder)
    needed: list[int] = []
    for target in settings.targets:
        if (backend := target.model_file) is not None:
            try:
                located = locate(backend, settings.model_registry)
                path = located.file.place(settings.model_cache)
                found = _needs(path, settings, target, backend)
            except (ConfigurationError, OSError):
                continue  # the check of the target says so
            needed.append(found.memory)
    granted, budget = granted_bytes(), settings.local_models.memory
    several = f"{len(needed)} local models need about {_mib(sum(needed))}"
    if budget is not None:
        detail = f"{several}, local_models.memory is {_mib(budget)}, {_mib(granted)} are granted"
        if budget > granted:
            yield warning("local models", f"{detail}: the budget is more than there is")
        elif sum(needed) > budget:
            yield ok("local models", f"{detail}: they are not all loaded at a time")
        else:
            yield ok("local models", detail)
    elif len(needed) > 1:  # of one model, the check of its target has said it
        detail = f"{several}, {_mib(granted)} are granted"
        if sum(needed) <= granted:
            yield ok("local models", detail)
        else:
            yield warning("local models", f"{detail}: local_models.memory would load them in turn")


def _needs(path: Path, settings: Settings, target: TargetSettings, backend: LlamaCppSettings) -> Needs:
    return needs(
        path, target.context_tokens, backend.kv_type, backend.lora, settings.model_cache, backend.prefix_memory
    )


def _mib(number: int) -> str:
    return f"{number / (1 << 20):,.0f} MiB"
