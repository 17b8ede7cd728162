"""Ollama (its docs/api.md): ``/api/version``, ``/api/tags``, ``/api/ps``. It does not tell how many requests run or
wait, nor how fast it is."""

from __future__ import annotations

from adapters.model_servers.ask import Asker, NoAnswer
from adapters.model_servers.sight import CATALOGUE_EVERY, Sight, ids


class Ollama:
    def __init__(self) -> None:
        self._looks = 0
        self._models: frozenset[str] | None = None

    async def look(self, ask: Asker, model: str) -> Sight:
        """A model that was not pulled is refused by Ollama, so that the server then counts as not up."""
        version = await ask.get("/api/version")
        if version.status != 200 or not isinstance(version.json().get("version"), str):
            raise NoAnswer(f"/api/version has status {version.status} and is not that of Ollama")
        if self._looks % CATALOGUE_EVERY == 0:
            self._models = ids((await ask.get("/api/tags")).json(), "models", "name")
        self._looks += 1
        if self._models is not None and not holds(self._models, model):
            self._looks = 0
            return Sight(False, "the model is not there: ollama pull fetches it", models=self._models)
        try:
            loaded = ids((await ask.get("/api/ps")).json(), "models", "name")
        except NoAnswer as problem:
            return Sight(True, str(problem), models=self._models)
        if loaded is not None and not holds(loaded, model):
            # Not a fault: the first request loads it, and waits so long (OLLAMA_KEEP_ALIVE says when it is unloaded).
            return Sight(True, "the model is not in memory: the next request waits for it", models=self._models)
        return Sight(True, models=self._models)


def holds(names: frozenset[str], model: str) -> bool:
    """Is the model among them? A name without a tag means ``:latest``, and case does not count."""
    return _full(model) in {_full(name) for name in names}


def _full(name: str) -> str:
    folded = name.casefold()
    return folded if ":" in folded.rsplit("/", 1)[-1] else f"{folded}:latest"
