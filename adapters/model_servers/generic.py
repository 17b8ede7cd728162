"""Any other server or cluster with OpenAI's API: ``/models`` is all that can be asked for."""

from __future__ import annotations

from adapters.model_servers.ask import Asker, NoAnswer
from adapters.model_servers.sight import Sight, ids


class Generic:
    """Up where its list of models can be read, down where it fails or cannot be reached. A server that has no such
    list, or does not show it, may well answer requests: then nothing is known."""

    async def look(self, ask: Asker, model: str) -> Sight:
        page = await ask.api("/models")
        if page.status >= 500 and page.status != 501:
            return Sight(False, f"/models has status {page.status}")
        if page.status != 200:
            return Sight(None, f"/models has status {page.status}: its health is not known")
        try:
            models = ids(page.json(), "data", "id")
        except NoAnswer:
            models = None
        if models is None:
            return Sight(None, "/models is no list of models: its health is not known")
        return Sight(True, models=models)
