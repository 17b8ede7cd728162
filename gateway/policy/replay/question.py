"""What a replay is asked: the new policy, and what it needs to know of the gateway whose log it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.domain.record import AuditRecord
from gateway.domain.target import Route, Target
from gateway.policy.compile import CompiledPolicy


def _none_kept(digest: str) -> CompiledPolicy | None:
    return None


@dataclass(frozen=True, slots=True)
class Question:
    """`since` and `until` are microseconds since the epoch (UTC); `until` is not included, None is no end. What counts
    is when a request came.

    `new` and `against` hold policies by tenant; under the empty name stands that of all other tenants. Without
    `against`, *before* is what was recorded; with it, what that policy decides with the same facts. `decode` makes a
    record of its bytes and raises `ValueError` when they are none. `policy_of` gives the policy of a hash, where it was
    kept: records hold the decision, but not its limits. `mac` is the log's keyed hash, None where its key is not at
    hand: users are recorded by it. `detectable` is every entity that the detector of today finds, None if unknown.
    """

    new: Mapping[str, CompiledPolicy]
    targets: tuple[Target, ...]
    routes: Mapping[str, Route]
    decode: Callable[[bytes], AuditRecord]
    since: int
    until: int | None = None
    against: Mapping[str, CompiledPolicy] | None = None
    policy_of: Callable[[str], CompiledPolicy | None] = _none_kept
    mac: Callable[[bytes], str] | None = None
    detectable: frozenset[str] | None = None


def of_tenant(policies: Mapping[str, CompiledPolicy], tenant: str) -> CompiledPolicy | None:
    """The policy that decides about a tenant (as records name it), None where none of them is for it."""
    return policies.get(tenant) or policies.get("")
