"""``python -m adapters.llama_cpp``: the engine process. Started by `EngineSupervisor`; not meant for people.

Standard output carries one frame, READY or FAILED. The process ends when its standard input closes or its parent
changes, so it never outlives the gateway, even one that was killed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import resource
import select
import sys
import threading
import time
from pathlib import Path
from typing import Any

import orjson

from adapters.llama_cpp.embedder import Embedder
from adapters.llama_cpp.engine import Identity, Service, bind, serve
from adapters.llama_cpp.failures import LoadFailed
from adapters.llama_cpp.frames import Kind, encode
from adapters.llama_cpp.gguf import read_gguf
from adapters.llama_cpp.lora import Lora
from adapters.llama_cpp.memory import cache_bytes
from adapters.llama_cpp.scheduler import Scheduler

_PARENT_CHECK_SECONDS = 1.0
_A_THREAD_ENDED = 70  # EX_SOFTWARE of sysexits.h


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m adapters.llama_cpp", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="the GGUF file")
    parser.add_argument("--socket", type=Path, required=True, help="where to listen")
    parser.add_argument("--name", required=True, help="the model name in answers")
    parser.add_argument("--context", type=int, default=0, help="tokens; 0: as the model was trained")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=128, help="prompt tokens per step")
    parser.add_argument("--gpu-layers", type=int, default=0, help="-1: all")
    parser.add_argument("--parallel", type=int, default=16, help="answers at a time")
    parser.add_argument("--flash-attention", choices=("auto", "on", "off"), default="auto")
    parser.add_argument("--kv-type", default="f16", help="the form of keys and values")
    parser.add_argument("--lora", type=_lora, action="append", default=[], help="SCALE:FILE of an adapter")
    parser.add_argument("--share-prefixes", type=int, choices=(0, 1), default=0, help="1: between tenants, too")
    parser.add_argument("--prefix-memory", type=int, default=-1, help="bytes of parked prefixes; -1: as the KV cache")
    parser.add_argument("--embeddings", type=int, choices=(0, 1), default=0, help="1: make embeddings, not answers")
    parser.add_argument("--pooling", choices=("model", "mean", "cls", "last"), default="model")
    parser.add_argument("--least-dimensions", type=int, default=0, help="of an embedding; 0: it is not shortened")
    parser.add_argument("--queue", type=int, default=32, help="waiting requests at most")
    parser.add_argument("--nice", type=int, default=0)
    return parser.parse_args()


def _lora(text: str) -> Lora:
    scale, _, path = text.partition(":")
    return Lora(Path(path), float(scale))


def _end_with_parent(socket_path: Path) -> None:
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            readable, _, _ = select.select([sys.stdin.fileno()], [], [], _PARENT_CHECK_SECONDS)
            if readable and not os.read(sys.stdin.fileno(), 1024):
                break
        with contextlib.suppress(OSError):
            socket_path.unlink(missing_ok=True)
            socket_path.parent.rmdir()  # the supervisor's private folder, which nobody else can remove now
        os._exit(0)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def _end_with_threads() -> None:
    """End the process when one of its threads does by an exception: pings would still be answered, but no request."""

    def ended(_: threading.ExceptHookArgs) -> None:  # says nothing: what was raised may quote a request
        os._exit(_A_THREAD_ENDED)

    threading.excepthook = ended


def _report(kind: Kind, payload: dict[str, object]) -> None:
    sys.stdout.buffer.write(encode(kind, orjson.dumps(payload)))
    sys.stdout.buffer.flush()


def _load_options(options: argparse.Namespace) -> dict[str, Any]:
    """The members of a `loading.LoadConfig`."""
    return {
        "path": options.model, "context_tokens": options.context, "threads": options.threads,
        "batch_tokens": options.batch, "gpu_layers": options.gpu_layers, "parallel": options.parallel,
        "flash_attention": options.flash_attention,
    }  # fmt: skip


def _scheduler(options: argparse.Namespace) -> tuple[Scheduler, int]:
    """What answers, and its context in tokens."""
    # Here, so that a missing library is reported, not raised.
    from adapters.llama_cpp.model import LoadedModel, ModelConfig

    config = ModelConfig(**_load_options(options), kv_type=options.kv_type, loras=tuple(options.lora))
    model = LoadedModel(config)
    memory = options.prefix_memory
    if memory < 0:
        memory = cache_bytes(read_gguf(options.model), model.context_tokens, options.kv_type)
    shared = bool(options.share_prefixes)
    scheduler = Scheduler(model, options.name, options.queue, share_prefixes=shared, prefix_memory=memory)
    return scheduler, model.context_tokens


def _embedder(options: argparse.Namespace) -> tuple[Embedder, int]:
    """What makes embeddings, and how many tokens a text may have."""
    from adapters.llama_cpp.embedding_model import EmbeddingConfig, EmbeddingModel

    model = EmbeddingModel(EmbeddingConfig(**_load_options(options), pooling=options.pooling))
    embedder = Embedder(model, options.name, options.queue, least_dimensions=options.least_dimensions)
    return embedder, model.context_tokens


def _run(options: argparse.Namespace) -> None:
    def load() -> tuple[Service[Any], Identity]:
        started = time.monotonic()
        service, context_tokens = _embedder(options) if options.embeddings else _scheduler(options)
        return service, Identity(options.name, context_tokens, round(time.monotonic() - started, 3))

    def announce(identity: Identity, seconds: float) -> None:
        _report(Kind.READY, {"context_tokens": identity.context_tokens, "seconds": round(seconds, 3)})

    asyncio.run(serve(bind(options.socket), load, announce))


def main() -> int:
    options = _arguments()
    _end_with_parent(options.socket)
    _end_with_threads()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the image of a crash would hold prompts
    os.nice(options.nice)
    sys.setswitchinterval(0.0005)  # the socket thread should not wait 5 ms for the GIL while tokens are sampled
    try:
        _run(options)
    except ImportError as error:
        _report(Kind.FAILED, {"message": f"the llama-cpp-python library does not load: {error}"})
        return 1
    except LoadFailed as error:
        _report(Kind.FAILED, {"message": f"llama.cpp cannot load it: {error}"})
        return 1
    except Exception as error:  # the border of the process: the supervisor tells the operator
        _report(Kind.FAILED, {"message": f"{type(error).__name__}: {error}"})
        return 1
    finally:
        options.socket.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
