"""What can be done with the registered models: fetch, add, verify, make smaller, remove. Blocking.

Nothing is registered that llama.cpp cannot load. Each operation that changes the registry takes `announce`, which is
called with what is about to change before it does, and stops it by raising.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from adapters.llama_cpp.download import Progress, WrongFile, discard, fetch, hash_file, locked, private_folder, settle
from adapters.llama_cpp.files import HubFile, ModelFile, ModelSource, check_digest, verify
from adapters.llama_cpp.gguf import GgufInfo
from adapters.llama_cpp.offline import inspect_model, quantize
from adapters.llama_cpp.registry import Model, Models, Reference, Registry, Version, check_name, find
from gateway.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Change:
    """What is about to change: `event` in words, `model` as ``name@version``, and the file's hash."""

    event: str
    model: str
    sha256: str
    alias: str = ""


Announce = Callable[[Change], None]


class RegisteredSource(ModelSource, Protocol):
    """A `ModelSource` that may be a reference to the registry instead."""

    @property
    def registered(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Located:
    """The file of a target, and the version (``name@number``) that it is, empty where it is not from the registry."""

    file: ModelFile
    version: str = ""


def locate(source: RegisteredSource, folder: Path) -> Located:
    """Where the model of a target is: by its path or hub, or what the registry in `folder` says at this moment.
    Raises `ConfigurationError`."""
    if source.registered is None:
        return Located(ModelFile.of(source))
    registry, reference = Registry(folder), Reference.parse(source.registered)
    version = find(registry.read(), reference)
    file = ModelFile(path=registry.place(version), sha256=version.sha256)
    return Located(file, f"{reference.name}@{version.number}")


class Shelf:
    """Operations on the registry in `folder`. They raise `ConfigurationError` with what to do."""

    def __init__(self, folder: Path, announce: Announce) -> None:
        self.registry = Registry(folder)
        self._folder = folder
        self._announce = announce
        self._announced: list[Change] = []

    def pull(self, name: str, hub: HubFile, wanted: str | None, alias: str, progress: Progress | None) -> Version:
        """Fetch a file of a hub. Without `wanted`, it must have the hash that the same file had before, if it was
        fetched before; else its hash is pinned from now on."""
        check_name(name)
        models = self.registry.read()
        pinned = check_digest(wanted) if wanted else known_digest(models, hub)
        there = _with_digest(models.get(name), pinned) if pinned is not None else None
        if there is not None and self._intact(there.file, there.sha256):
            return self._point(name, there, alias)
        folder = self._folder / "pulls"
        private_folder(folder)
        part = folder / f"{hashlib.sha256(hub.source.encode()).hexdigest()[:16]}.part"
        with locked(part.with_suffix(".lock")):
            try:
                digest = fetch(hub.url, part, pinned, progress)
            except WrongFile as error:
                if wanted:
                    raise
                raise ConfigurationError(
                    f"{error}. It was pinned when it was fetched before; if it is a new version, say --sha256"
                ) from error
            try:
                info = inspect_model(part)
            except ConfigurationError as error:
                discard(part)
                raise ConfigurationError(f"{hub.url} is not usable, and was deleted: {error}") from error
            file = _file_name(digest, Path(hub.file).name)
            settle(part, self._folder / file)
        return self._register(name, file, digest, info, hub.source, alias)

    def add(self, name: str, path: Path, wanted: str | None, alias: str, *, link: bool) -> Version:
        """Register a file of this host: a copy of it, or with `link` the file where it is."""
        check_name(name)
        path = Path(os.path.abspath(path))  # not resolved: a link stays the link that was named
        info = inspect_model(path)
        digest = hash_file(path)
        if wanted and digest != check_digest(wanted):
            raise ConfigurationError(f"{path} has the SHA-256 {digest}, not {wanted}")
        private_folder(self._folder)
        place = self._folder / _file_name(digest, path.name)
        if not self._intact(place.name, digest):
            self._take(path, place, digest, link=link)
        return self._register(name, place.name, digest, info, f"file:{path}", alias)

    def quantize(self, reference: Reference, kind: str, alias: str, threads: int) -> Version:
        """Make a smaller version of a version, as a new version of the same name."""
        origin = find(self.registry.read(), reference)
        source = self.registry.place(origin)
        verify(source, origin.sha256, self._folder)
        _need_room(self._folder, origin.size)
        temporary = self._folder / f"quantize-{os.getpid()}.tmp"
        quantize(source, temporary, kind, threads)
        try:
            info, digest = inspect_model(temporary), hash_file(temporary)
            place = self._folder / _file_name(digest, f"{reference.name}-{kind.lower()}.gguf")
            temporary.replace(place)
        finally:
            temporary.unlink(missing_ok=True)
        made_of = f"{kind} of {reference.name}@{origin.number}"
        return self._register(reference.name, place.name, digest, info, made_of, alias)

    def point(self, reference: Reference, number: int) -> Version:
        """Let an alias be a version."""
        if not reference.is_alias:
            raise ConfigurationError(f"{reference} is a version, not an alias")
        with self._changing() as models:
            version = find(models, Reference(reference.name, str(number)))
            if models[reference.name].aliases.get(reference.version) == number:
                return version
            self._say("model alias set", reference.name, version, reference.version)
            models[reference.name].point(reference.version, number)
        return version

    def rollback(self, name: str, alias: str) -> tuple[Version, Version]:
        """Let an alias be what it was before. Returns the version from before the command, and the one now."""
        with self._changing() as models:
            old = find(models, Reference(name, alias))
            if models[name].back(alias) is None:
                raise ConfigurationError(
                    f"there is nothing to go back to: {name}@{alias} was no other version before {old.number}"
                )
            new = find(models, Reference(name, alias))
            self._say("model rolled back", name, new, alias)
        return old, new

    def remove(self, reference: Reference, used: Mapping[str, str]) -> Version:
        """Forget a version and delete its file (of a linked one, the link). `used` says which references (as
        ``name@version``) who uses."""
        with self._changing() as models:
            version, model = find(models, reference), models[reference.name]
            exact = f"{reference.name}@{version.number}"
            if aliases := sorted(alias for alias, number in model.aliases.items() if number == version.number):
                raise ConfigurationError(
                    f"{exact} is {' and '.join(f'{reference.name}@{alias}' for alias in aliases)}; point the alias to "
                    f"another version first (bailiwick models alias)"
                )
            if exact in used:
                raise ConfigurationError(f"{exact} is used by {used[exact]}")
            self._say("model removed", reference.name, version)
            model.remove(version.number)
        with self.registry.change() as models:  # again, because the file must not go before the registry says so
            if version.file not in {each.file for model in models.values() for each in model.versions.values()}:
                self.registry.place(version).unlink(missing_ok=True)
        return version

    # ---- what they have in common

    @contextmanager
    def _changing(self) -> Iterator[Models]:
        """The registry, to be changed. What was announced and then cannot be written is taken back in words."""
        self._announced.clear()
        try:
            with self.registry.change() as models:
                yield models
        except ConfigurationError:
            for change in self._announced:
                self._announce(replace(change, event="model change not made"))
            raise

    def _intact(self, file: str, digest: str) -> bool:
        place = self._folder / file
        return place.exists() and hash_file(place) == digest

    def _take(self, path: Path, place: Path, digest: str, *, link: bool) -> None:
        temporary = self._folder / f"add-{os.getpid()}.tmp"
        try:
            if link:
                temporary.symlink_to(path)
                temporary.replace(place)
                return
            _need_room(self._folder, path.stat().st_size)
            shutil.copyfile(path, temporary)
            if hash_file(temporary) != digest:
                raise ConfigurationError(f"{path} was changed while it was copied; add it again")
            temporary.replace(place)
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be copied to {self._folder}: {error.strerror}") from error
        finally:
            temporary.unlink(missing_ok=True)

    def _register(self, name: str, file: str, digest: str, info: GgufInfo, source: str, alias: str) -> Version:
        if alias:
            Reference(name, alias)
        with self._changing() as models:
            if not (self._folder / file).exists():
                raise ConfigurationError(f"{self._folder / file} was removed meanwhile; try again")
            model = models.get(name) or Model()
            if (there := _with_digest(model, digest)) is None:
                version = Version(
                    number=model.last + 1,
                    sha256=digest,
                    file=file,
                    size=info.file_bytes,
                    architecture=info.architecture,
                    quantisation=info.quantisation,
                    context_tokens=info.context_tokens,
                    source=source,
                    added_at=datetime.now(UTC).isoformat(timespec="seconds"),
                    added_by=_user(),
                )
                self._say("model added", name, version)
                model.add(version)
                models[name] = model
        return self._point(name, there or version, alias)

    def _point(self, name: str, version: Version, alias: str) -> Version:
        return self.point(Reference(name, alias), version.number) if alias else version

    def _say(self, event: str, name: str, version: Version, alias: str = "") -> None:
        change = Change(event, f"{name}@{version.number}", version.sha256, f"{name}@{alias}" if alias else "")
        self._announce(change)
        self._announced.append(change)


def known_digest(models: Models, hub: HubFile) -> str | None:
    """What the same file of a hub was when it was last fetched, from whatever mirror."""
    found = [each for model in models.values() for each in model.versions.values() if each.source == hub.source]
    return max(found, key=lambda version: version.added_at).sha256 if found else None


def _with_digest(model: Model | None, digest: str) -> Version | None:
    versions = model.versions.values() if model is not None else ()
    return next((each for each in versions if each.sha256 == digest), None)


def _file_name(digest: str, name: str) -> str:
    safe = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in name)
    return f"{digest[:12]}-{safe[-100:]}"


def _need_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size:
        raise ConfigurationError(f"{folder} has {free} bytes free, {size} are needed")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        return str(os.getuid())
