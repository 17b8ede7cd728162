"""The policy language: load, compile, evaluate, explain, test. Strictest wins, and order never matters."""

from __future__ import annotations

from gateway.policy.compile import CompiledPolicy, compile_policy
from gateway.policy.evaluate import evaluate
from gateway.policy.explain import Explanation, explain
from gateway.policy.load import load
from gateway.policy.recompute import CannotRecompute, facts_of, recompute
from gateway.policy.store import PolicyStore

__all__ = [
    "CannotRecompute",
    "CompiledPolicy",
    "Explanation",
    "PolicyStore",
    "compile_policy",
    "evaluate",
    "explain",
    "facts_of",
    "load",
    "recompute",
]
