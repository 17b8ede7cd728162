"""OpenAI's SDK with a gateway behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from openai import OpenAI

from support.live import Cloud, Setup, cloud_target, local_target, scripted_cloud
from support.nursery import ForkedGateway, forked_gateway
from support.servers import RudeProvider, running

OPEN = """\
schema: 1
policy: open
version: 1
owner: privacy@example.com
mode: enforce
data_types:
  cards: {detect: [CREDIT_CARD], confidence: 0.40}
levels:
  restricted:
    - any_of: [cards]
handling:
  public: {action: allow}
  internal: {action: allow}
  confidential: {action: allow}
  restricted: {action: local_only}
"""
"""Only card numbers stay inside. Rules can follow."""

POLICY = f"""{OPEN}\
rules:
  - {{id: no-games, why: A test, when: {{app: games}}, then: {{action: block, tell_user: Not for games.}}}}
"""


@dataclass
class Sdk:
    """The SDK, the gateway behind it, and the JSON bodies that the SDK has sent."""

    gateway: ForkedGateway
    cloud: Cloud
    rude: RudeProvider
    sent: list[bytes] = field(default_factory=list)

    def client(self, key: str = "", **more: Any) -> OpenAI:
        def keep(request: httpx.Request) -> None:
            self.sent.append(request.read())

        http_client = httpx.Client(event_hooks={"request": [keep]}, trust_env=False)
        options = {"max_retries": 0, "http_client": http_client, **more}
        return OpenAI(base_url=self.gateway.base_url, api_key=key or self.gateway.key, **options)

    def exchanged(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the SDK sent last, and what arrived at the cloud."""
        (arrived,) = self.cloud.bodies()
        return json.loads(self.sent[-1]), json.loads(arrived)


@contextmanager
def open_sdk(folder: Path, local_model: Path, policy: str = POLICY) -> Iterator[Sdk]:
    """With the models gpt-x (in the cloud), local, auto (either) and rude (which says what the test wants)."""
    rude = RudeProvider()
    with ExitStack() as stack:
        cloud = stack.enter_context(scripted_cloud())
        stack.enter_context(running(rude))
        targets = [
            cloud_target("cloud", cloud.base_url),
            cloud_target("rude", rude.base_url, model="rude-model"),
            local_target(file=str(local_model), context_tokens="512", max_output_tokens="48"),
        ]
        models = {
            "gpt-x": "{targets: [cloud]}",
            "rude": "{targets: [rude]}",
            "local": "{targets: [local]}",
            "auto": "{targets: [cloud, local], rank: listed}",
        }
        setup = Setup(folder, targets, models, policy)
        yield Sdk(stack.enter_context(forked_gateway(setup)), cloud, rude)


def said(text: str = "Hello there") -> list[Any]:
    return [{"role": "user", "content": text}]
