"""The bytes of the files that a policy is made of, each read once, and a digest by which a change is noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath

from gateway.documents import contents
from gateway.domain.errors import ConfigurationError

SIGNATURES = "SIGNATURES.json"
"""The file with the signatures, beside the policy's file or in its folder."""

_YAML = (".yaml", ".yml")


class PolicyFiles:
    """A policy file, or the policy files in a folder, as they are at one moment.

    Names are relative to `base`, with ``/``. In a folder every YAML file counts that is not a test file
    (``*_test.yaml``) and not hidden; folders in it do not, but an ``extends`` may name a file there.
    """

    def __init__(self, path: Path, also: Iterable[str] = (), *, root: Path | None = None) -> None:
        """`also` are names to read ahead; `root` is where `base` really is, found out where it is not given. Raises
        `ConfigurationError` for a folder that cannot be listed."""
        self.path = path
        self.is_folder = path.is_dir()
        self.base = path if self.is_folder else path.parent
        # Looked up once: while these files are read, a link on the way may be pointed to other ones.
        self._root = root or self.base.resolve()
        self.names = _listed(self._root, path) if self.is_folder else (path.name,)
        self._read: dict[str, bytes | ConfigurationError] = {}
        for name in (*self.names, *also):
            self._contents(name)

    @property
    def asked(self) -> frozenset[str]:
        """Every file that was read, or that would have been."""
        return frozenset(self._read)

    @property
    def contents(self) -> Mapping[str, bytes]:
        """What was read so far, by name."""
        return {name: data for name, data in self._read.items() if isinstance(data, bytes)}

    def data(self, name: str) -> bytes:
        """The bytes of a file, always the same ones. Raises `ConfigurationError`."""
        found = self._contents(name)
        if isinstance(found, ConfigurationError):
            raise found
        return found

    def shown(self, name: str) -> str:
        """The file as messages name it."""
        return str(self.base / name)

    def digest(self) -> bytes:
        """Another one whenever a file that counts, or one that was read, has changed, come or gone."""
        digest = hashlib.sha256()
        for name in sorted({*self.names, *self._read}):
            found = self._contents(name)
            data = str(found).encode() if isinstance(found, ConfigurationError) else found
            kind = b"x" if isinstance(found, ConfigurationError) else b"="
            digest.update(b"%b%b%b" % (hashlib.sha256(name.encode()).digest(), kind, hashlib.sha256(data).digest()))
        return digest.digest()

    def settled(self) -> bool:
        """Are all files still as they were when they were read?"""
        return PolicyFiles(self.path, self._read, root=self._root).digest() == self.digest()

    def _contents(self, name: str) -> bytes | ConfigurationError:
        if name not in self._read:
            try:
                self._read[name] = contents(self._root / name, self.shown(name))
            except ConfigurationError as problem:
                self._read[name] = problem
        return self._read[name]


def sha256s(data: Mapping[str, bytes], names: Collection[str]) -> dict[str, str]:
    return {name: hashlib.sha256(data[name]).hexdigest() for name in sorted(names)}


def beside(name: str, other: str) -> str | None:
    """The name that `other`, written in the file `name`, means; None where it leads out of the folder."""
    if PurePosixPath(other).is_absolute() or "\\" in other or "\0" in other:
        return None
    parts: list[str] = list(PurePosixPath(name).parent.parts)
    for part in PurePosixPath(other).parts:
        if part == "..":
            if not parts:
                return None
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts) or None


def is_policy_file(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in _YAML and not path.stem.lower().endswith("_test") and not name.startswith(".")


def _listed(folder: Path, path: Path) -> tuple[str, ...]:
    try:
        return tuple(sorted(item.name for item in folder.iterdir() if is_policy_file(item.name)))
    except OSError as problem:
        raise ConfigurationError(f"{path}: cannot be read: {problem.strerror}") from problem
