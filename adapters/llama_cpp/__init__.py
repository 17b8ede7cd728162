"""The local engine: llama.cpp in a process of its own, its supervisor, and the provider that speaks to it.

The gateway's process imports `supervisor`, `provider`, `files`, `gguf`; only the engine's process imports `model`,
and with it the native library, so that a native abort costs one restart of the engine and nothing else.
"""
