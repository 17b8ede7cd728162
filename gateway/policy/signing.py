"""Signed policies: who published them, and that nobody has changed, added or removed a file since.

A signature is over a statement: every file with its SHA-256, the hash of every tenant's policy, who signs and when.
``SIGNATURES.json`` beside the files holds one statement for each signer. It proves who agreed to these very files; it
does not say that they are the newest ones: who can write to the folder can put an older signed set back.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from gateway.domain.errors import ConfigurationError
from gateway.policy.files import SIGNATURES, PolicyFiles, sha256s
from gateway.policy.hash import policy_hash
from gateway.policy.sources import PolicySet

SCHEMA = 1
EVERYBODY = "*"
"""Stands for all tenants that no file names."""

_PURPOSE = b"bailiwick policy signature 1\n"
"""Goes before what is signed, so that a signature made for something else can never be one of a policy."""

_KEY = "ed25519:"
_SIGNER = b"Signer: "
_MOST_SIGNATURES = 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
"""A signer's name: it is printed before anything is verified, so nothing in it may steer a terminal."""


@dataclass(frozen=True, slots=True)
class Statement:
    """`files` are the SHA-256 of each policy file, `policies` the hash of each tenant's policy; `at` is UTC."""

    files: Mapping[str, str]
    policies: Mapping[str, str]
    signer: str
    at: str

    def signed(self) -> bytes:
        """The bytes that are signed."""
        return _PURPOSE + json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "files": dict(self.files),
            "policies": dict(self.policies),
            "signer": self.signer,
            "at": self.at,
        }


@dataclass(frozen=True, slots=True)
class Signature:
    statement: Statement
    signature: bytes


@dataclass(frozen=True, slots=True)
class Signer:
    """Somebody who can sign, by the name under which settings trust the key."""

    name: str
    key: Ed25519PrivateKey = field(repr=False)

    @property
    def public(self) -> str:
        """The public key as settings hold it."""
        return shown_key(self.key.public_key())

    def sign(self, files: PolicyFiles, found: PolicySet, at: datetime) -> Signature:
        statement = statement_of(files, found, self.name, at)
        return Signature(statement, self.key.sign(statement.signed()))


def new_signer(name: str) -> Signer:
    return Signer(name, Ed25519PrivateKey.generate())


def dumped_key(signer: Signer, passphrase: str = "") -> bytes:
    """The signer's name and private key, as a PEM file; encrypted if there is a passphrase."""
    protection = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    return (
        _SIGNER + signer.name.encode() + b"\n" + signer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
    )


def parsed_key(data: bytes, passphrase: Callable[[], str], file: str) -> Signer:
    """From such a file; `passphrase` is asked for only where it is encrypted. Raises `ConfigurationError`."""
    first, _, pem = data.partition(b"\n")
    if not first.startswith(_SIGNER):
        raise ConfigurationError(f"{file}: is not a key of a signer; make one with: bailiwick policy keygen")
    encrypted = b"ENCRYPTED" in pem
    try:
        key = load_pem_private_key(pem, passphrase().encode() if encrypted else None)
        name = first.removeprefix(_SIGNER).decode("ascii").strip()
    except (ValueError, TypeError, UnsupportedAlgorithm) as problem:
        reason = "the passphrase is wrong" if encrypted else "the file is damaged"
        raise ConfigurationError(f"{file}: cannot be used: {reason}") from problem
    if not isinstance(key, Ed25519PrivateKey) or not _NAME.fullmatch(name):
        raise ConfigurationError(f"{file}: is not an Ed25519 key; make one with: bailiwick policy keygen")
    return Signer(name, key)


def shown_key(key: Ed25519PublicKey) -> str:
    return _KEY + base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def public_key(text: str) -> Ed25519PublicKey:
    """From ``ed25519:…``, as settings hold it. Raises `ValueError` with what is wrong."""
    if not text.startswith(_KEY):
        raise ValueError(f"a public key begins with '{_KEY}'; 'bailiwick policy keygen' prints it")
    try:
        raw = base64.b64decode(text.removeprefix(_KEY), validate=True)
        return Ed25519PublicKey.from_public_bytes(raw)
    except (binascii.Error, ValueError) as problem:
        raise ValueError("a public key has 32 bytes in base64") from problem


def statement_of(files: PolicyFiles, found: PolicySet, signer: str, at: datetime) -> Statement:
    """What a signer says about these files."""
    return Statement(
        files=sha256s(files.contents, found.used),
        policies={tenant or EVERYBODY: policy_hash(each.policy) for tenant, each in sorted(found.policies.items())},
        signer=signer,
        at=at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def added(existing: Iterable[Signature], new: Signature) -> tuple[Signature, ...]:
    """The signatures with a new one in place of the signer's older one; those of other files have no use any more."""
    kept = [
        each
        for each in existing
        if each.statement.signer != new.statement.signer and _same_subject(each.statement, new.statement)
    ]
    return tuple(sorted([*kept, new], key=lambda each: each.statement.signer))


def dumped(signatures: Iterable[Signature]) -> bytes:
    """The file `SIGNATURES`."""
    entries = [
        {"statement": each.statement.as_json(), "signature": base64.b64encode(each.signature).decode()}
        for each in signatures
    ]
    return (json.dumps({"schema": SCHEMA, "signatures": entries}, indent=2, sort_keys=True) + "\n").encode()


def parsed(data: bytes, name: str = SIGNATURES) -> tuple[Signature, ...]:
    """From the file `SIGNATURES`; nothing in it has been verified. Raises `ConfigurationError`."""
    try:
        document = json.loads(data, object_pairs_hook=_unique)
        if set(document) != {"schema", "signatures"} or document["schema"] != SCHEMA:
            raise ValueError
        if len(document["signatures"]) > _MOST_SIGNATURES:
            raise ValueError
        return tuple(_signature(entry) for entry in document["signatures"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise ConfigurationError(f"{name}: is not a file of signatures as 'bailiwick policy sign' writes") from problem


def verified(signatures: Iterable[Signature], trusted: Mapping[str, str]) -> Iterator[Signature]:
    """Those that were made with the key of a trusted signer of their name."""
    for each in signatures:
        if (text := trusted.get(each.statement.signer)) is not None:
            try:
                public_key(text).verify(each.signature, each.statement.signed())
            except InvalidSignature:
                continue
            yield each


def require(files: PolicyFiles, found: PolicySet, trusted: Mapping[str, str], needed: int) -> tuple[str, ...]:
    """The trusted signers of exactly these files. Raises `ConfigurationError` where they are fewer than `needed`.

    Signers count once, by name and by key: two names with one key are one person.
    """
    name = files.shown(SIGNATURES)
    if SIGNATURES not in files.contents:
        raise ConfigurationError(
            f"{name}: is missing: policies here must be signed by {needed} of {', '.join(sorted(trusted))}"
        )
    signatures = parsed(files.data(SIGNATURES), name)
    now = statement_of(files, found, "", datetime.now(UTC))
    good = list(verified(signatures, trusted))
    signers = {each.statement.signer for each in good if _same_subject(each.statement, now)}
    if len({shown_key(public_key(trusted[signer])) for signer in signers}) >= needed:
        return tuple(sorted(signers))
    reasons = sorted({reason for each in good for reason in _differences(each.statement, now)})
    known = {each.statement.signer for each in good}
    reasons += [
        f"the signature of {each.statement.signer} is not valid or not trusted"
        for each in signatures
        if each.statement.signer not in known
    ]
    have = f"only {', '.join(sorted(signers))}" if signers else "nobody trusted"
    why = "".join(f"\n    {reason}" for reason in dict.fromkeys(reasons))
    raise ConfigurationError(f"{name}: {needed} trusted signers are needed, and {have} signed these very files{why}")


def _same_subject(one: Statement, other: Statement) -> bool:
    return one.files == other.files and one.policies == other.policies


def _differences(signed: Statement, now: Statement) -> Iterator[str]:
    for name in sorted(signed.files.keys() | now.files.keys()):
        if name not in now.files:
            yield f"{name} was signed by {signed.signer} and is not here any more"
        elif name not in signed.files:
            yield f"{name} was not there when {signed.signer} signed"
        elif signed.files[name] != now.files[name]:
            yield f"{name} was changed after {signed.signer} signed"
    if signed.files == now.files and signed.policies != now.policies:
        yield "this version of the program reads the files otherwise than the one with which they were signed"


def _signature(entry: Any) -> Signature:
    said = entry["statement"]
    if set(entry) != {"statement", "signature"} or set(said) != {"schema", "files", "policies", "signer", "at"}:
        raise ValueError
    texts = [said["signer"], said["at"], *said["files"].values(), *said["policies"].values()]
    if said["schema"] != SCHEMA or not all(isinstance(text, str) for text in texts):
        raise ValueError
    if not _NAME.fullmatch(said["signer"]):
        raise ValueError
    statement = Statement(said["files"], said["policies"], said["signer"], said["at"])
    return Signature(statement, base64.b64decode(entry["signature"], validate=True))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two readers could take different ones of two members with the same name."""
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError
    return dict(pairs)
