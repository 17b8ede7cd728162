"""The policies of the settings, opened: with the names and channels that exist, the archive, and the signatures; and
what the audit log is told about them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from gateway.domain.tree import JsonObject
from gateway.policy.files import PolicyFiles
from gateway.policy.names import Surroundings
from gateway.policy.schema import Waiver
from gateway.policy.sources import PolicySet
from gateway.policy.store import InForce, PolicyStore, Verify
from gateway.settings import PolicySignatures, Settings


def open_policies(settings: Settings, detectable: frozenset[str] | None = None, *, keep: bool = True) -> PolicyStore:
    """The policies at the settings' path. Raises `ConfigurationError`: without them nothing starts. With `keep` they
    are archived before they decide anything."""
    return PolicyStore(
        settings.policy,
        surroundings=surroundings(settings, detectable),
        archive=settings.storage.folder / "policies" if keep else None,
        verify=None if settings.policy_signatures is None else _verifier(settings.policy_signatures),
    )


def surroundings(settings: Settings, detectable: frozenset[str] | None = None) -> Surroundings:
    """What policies may name: entities, tenants, apps, groups and channels."""
    return Surroundings(
        detectable=detectable,
        known=settings.known.by_condition(),
        channels=frozenset(channel.name for channel in settings.channels),
    )


def _verifier(signatures: PolicySignatures) -> Verify:
    from gateway.policy.signing import require  # cryptography loads native code, which few installations need

    def verify(files: PolicyFiles, found: PolicySet) -> tuple[str, ...]:
        return require(files, found, signatures.trusted, signatures.needed)

    return verify


def state(policies: PolicyStore) -> JsonObject:
    """What is in force, for whoever asks whether replicas agree; names no tenant. `refused` is true while newer files
    are there that cannot be used."""
    force = policies.in_force
    return {
        "hash": force.hash,
        "policies": [*sorted(policy.id.hash for policy in force.policies)],
        "loaded_at": policies.loaded_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "refused": bool(policies.last_error),
    }


class PolicyJournal:
    """Tells the audit log which policies and which exceptions come into force and leave it. `event` writes a record of
    its name, with the hash of the policy and the id of the exception, or the name of the signer."""

    def __init__(self, event: Callable[[str, str, str], None]) -> None:
        self._event = event
        self._policies: frozenset[str] | None = None
        self._exceptions: dict[str, tuple[Waiver, str]] = {}

    def note(self, force: InForce, today: date) -> None:
        """Record what is different from the last time. The first time, everything that is in force is recorded."""
        first = self._policies is None
        hashes = {policy.id.hash for policy in force.policies}
        for policy in sorted(hashes - (self._policies or frozenset())):
            self._event("policy loaded", policy, "")
            for signer in force.signers:
                self._event("policy signed", policy, signer)
        exceptions = {
            waiver.id: (waiver, policy.id.hash)
            for policy in force.policies
            for waiver in policy.source.waivers
            if today <= waiver.expires
        }
        before = self._exceptions
        for name, (waiver, policy) in sorted(exceptions.items()):
            if name not in before:
                self._event("exception in force" if first else "exception added", policy, name)
            elif before[name][0] != waiver:
                self._event("exception changed", policy, name)
        for name, (waiver, policy) in sorted(before.items()):
            if name not in exceptions:
                self._event("exception removed" if today <= waiver.expires else "exception expired", policy, name)
        # Only now: what could not be recorded is tried again, and is rather there twice than not at all.
        self._exceptions, self._policies = exceptions, frozenset(hashes)
