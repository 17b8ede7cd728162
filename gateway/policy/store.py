"""The policies in force: loaded at start or not at all, replaced by better ones or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from gateway.documents import Problem
from gateway.domain.decision import PolicyId
from gateway.domain.errors import ConfigurationError
from gateway.policy.archive import keep
from gateway.policy.compile import CompiledPolicy, compile_policy
from gateway.policy.files import SIGNATURES, PolicyFiles
from gateway.policy.join import EVERYBODY
from gateway.policy.names import Surroundings
from gateway.policy.sources import PolicySet, read_policies
from gateway.policy.written import Written

Verify: TypeAlias = Callable[[PolicyFiles, PolicySet], tuple[str, ...]]
"""Who signed. Raises `ConfigurationError` where these files do not carry the signatures that they need."""

_MOST_READINGS = 5


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class InForce:
    """What decides at one moment, never changed but replaced as a whole. `tenants` holds the policy of each tenant that
    a file names; `everybody` is that of all others. `hash` names them all together: where there is one policy only, it
    is that policy's hash. `signers` are those who signed the files, where signatures are asked for."""

    everybody: CompiledPolicy
    tenants: Mapping[str, CompiledPolicy]
    hash: str
    signers: tuple[str, ...] = ()

    @property
    def policies(self) -> tuple[CompiledPolicy, ...]:
        """Each policy once."""
        return tuple({policy.id.hash: policy for policy in (self.everybody, *self.tenants.values())}.values())


class PolicyStore:
    """Holds the policies of a file, or of a folder of files.

    In the folder `archive` each policy is kept under its hash before it decides anything: a decision can only be
    recomputed with the policy that made it. Reading `in_force` is one attribute read, so a decision that has begun
    keeps its policy while others are swapped in, and all policies change at the same moment.
    """

    def __init__(
        self,
        path: Path,
        *,
        detectable: frozenset[str] | None = None,
        surroundings: Surroundings | None = None,
        archive: Path | None = None,
        verify: Verify | None = None,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        """`surroundings` are what policies may name, `detectable` is every entity that the detector can find; both only
        serve the problems and warnings. Raises `DocumentError` (a bad file) or `ConfigurationError` (no file, no
        signature, or it cannot be archived): without a policy nothing starts."""
        self._path = path
        around = surroundings or Surroundings()
        self._surroundings = around if detectable is None else replace(around, detectable=detectable)
        self._archive = archive
        self._verify = verify
        self._now = now
        self._asked: frozenset[str] = frozenset()
        self._seen = b""
        self._in_force, self._warnings = self._load(None)
        self._loaded_at = now()
        self._last_error = ""

    @property
    def in_force(self) -> InForce:
        return self._in_force

    @property
    def current(self) -> CompiledPolicy:
        """The policy of everybody whose tenant no file names."""
        return self._in_force.everybody

    @property
    def hash(self) -> str:
        """Changes with every policy that is in force."""
        return self._in_force.hash

    def for_tenant(self, tenant: str) -> CompiledPolicy:
        """The policy that decides for this tenant."""
        force = self._in_force
        return force.tenants.get(tenant, force.everybody)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What the policies in force were warned about when they were loaded."""
        return self._warnings

    @property
    def loaded_at(self) -> datetime:
        """When the policies in force were loaded (UTC)."""
        return self._loaded_at

    @property
    def last_error(self) -> str:
        """Why the latest `reload` failed; empty if it did not. What is in force is then older than the files."""
        return self._last_error

    @property
    def seen(self) -> bytes:
        """What `look` gave when the files were last loaded, with success or without."""
        return self._seen

    def look(self) -> bytes:
        """A digest of what the files hold now, with those that they extend, or of why they cannot be read. Blocks on
        reading."""
        try:
            return PolicyFiles(self._path, self._asked).digest()
        except ConfigurationError as problem:
            return str(problem).encode()

    def reload(self) -> PolicyId:
        """Read the files again and put their policies in force. If that raises (`ConfigurationError`), the last good
        ones go on serving, all of them. Blocks on reading and compiling; call it off the event loop."""
        try:
            force, warnings = self._load(self._in_force)
        except ConfigurationError as problem:
            self._last_error = str(problem)
            raise
        self._in_force, self._warnings = force, warnings
        self._loaded_at = self._now()
        self._last_error = ""
        return force.everybody.id

    def _load(self, before: InForce | None) -> tuple[InForce, tuple[Problem, ...]]:
        try:
            files, found = self._settled()
        except ConfigurationError as problem:
            if not self._seen:
                self._seen = str(problem).encode()
            raise
        signers = self._verify(files, found) if self._verify is not None else ()
        compiled: dict[int, CompiledPolicy] = {}
        for tenant, each in found.policies.items():
            if id(each) not in compiled:
                last = before.tenants.get(tenant, before.everybody) if before is not None else None
                compiled[id(each)] = self._compiled(each, last, files)
        by_tenant = {tenant: compiled[id(each)] for tenant, each in found.policies.items()}
        everybody = by_tenant.pop(EVERYBODY)
        return InForce(everybody, by_tenant, set_hash(everybody, by_tenant), signers), found.warnings

    def _settled(self) -> tuple[PolicyFiles, PolicySet]:
        """The policies, from files of which none was changed while the others were read."""
        for _ in range(_MOST_READINGS):
            self._seen = b""
            files = PolicyFiles(self._path, [SIGNATURES] if self._verify is not None else [])
            try:
                found = read_policies(files, replace(self._surroundings, today=self._now().date()))
            finally:
                self._asked = files.asked
                self._seen = files.digest()
            if files.settled():
                return files, found
        raise ConfigurationError(f"{self._path}: was changed again and again while it was read")

    def _compiled(self, found: Written, last: CompiledPolicy | None, files: PolicyFiles) -> CompiledPolicy:
        """The policy, compiled; the `last` one, where it means the same."""
        compiled = last if last is not None and last.source == found.policy else compile_policy(found.policy)
        if self._archive is not None:
            names = [name for name in files.contents if name == SIGNATURES or files.shown(name) in found.files]
            keep(self._archive, compiled, {name: files.contents[name] for name in names})
        return compiled


def set_hash(everybody: CompiledPolicy, tenants: Mapping[str, CompiledPolicy]) -> str:
    """One hash for all the policies in force."""
    if not tenants:
        return everybody.id.hash
    lines = [f"{tenant}\n{policy.id.hash}\n" for tenant, policy in sorted({EVERYBODY: everybody, **tenants}.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
