"""``python -m adapters.llama_cpp.offline_main``: llama.cpp reads or writes a model file. Started by
`adapters.llama_cpp.offline`; not meant for people.

A process of its own, because a bad file may make native code end the process. The last line of standard output is
empty when all is well, else it says why not, in llama.cpp's words.
"""

from __future__ import annotations

import ctypes
import re
import sys

import llama_cpp as native

_LOG_LEVEL_ERROR = 4  # ggml.h
_complaints: list[str] = []


@native.llama_log_callback  # type: ignore[untyped-decorator]
def _listen(level: int, text: bytes, _user_data: ctypes.c_void_p) -> None:
    if level == _LOG_LEVEL_ERROR:
        _complaints.append(text.decode("utf-8", "replace").strip())


def _try(file: str) -> bool:
    """Read everything but the weights, which finds what is cut, and architectures that llama.cpp does not know."""
    options = native.llama_model_default_params()
    options.vocab_only = True
    return bool(native.llama_model_load_from_file(file.encode(), options))


def _quantize(source: str, place: str, kind: str, threads: str) -> bool:
    options = native.llama_model_quantize_default_params()
    name = f"LLAMA_FTYPE_MOSTLY_{kind}"
    if not hasattr(native, name):
        _complaints.append(f"this version of llama.cpp does not know the type {kind}")
        return False
    options.ftype = getattr(native, name)
    options.nthread = int(threads)
    return int(native.llama_model_quantize(source.encode(), place.encode(), options)) == 0


def _main(command: str, *arguments: str) -> None:
    native.llama_log_set(_listen, ctypes.c_void_p(0))
    native.llama_backend_init()
    good = _try(*arguments) if command == "try" else _quantize(*arguments)
    reason = _complaints[0] if _complaints else "llama.cpp gave no reason"  # the later ones only say that it failed
    sys.stdout.write(("" if good else re.sub(r"[^\x20-\x7e]", "?", reason)) + "\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
