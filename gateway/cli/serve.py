"""``bailiwick serve`` and ``bailiwick demo``."""

from __future__ import annotations

from collections.abc import Callable

import click
import uvloop

from gateway.cli.common import CliContext
from gateway.settings import Settings

_DEMO_PROMPTS = (
    ("stays local", "My card 4242 4242 4242 4242 was charged twice for order 1234. Please help."),
    ("pseudonymised", "Write a short reply to Anna Kowalski (anna.kowalski@example.com) about her refund."),
    ("goes to the cheapest", "Give me three names for a blue sofa."),
)


@click.command()
@click.option("--host", help="Listen here instead of where the settings say.")
@click.option("--port", type=click.IntRange(0, 65535), help="Listen on this port instead; 0 takes a free one.")
@click.pass_obj
def serve(context: CliContext, host: str | None, port: int | None) -> None:
    """Serve what the settings say, until SIGTERM; then finish what is in flight."""
    settings = context.settings().listening(host, port)
    _run(settings, lambda url: click.echo(f"Bailiwick listens on {url}"))


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Listen on this port instead; 0 takes a free one.")
@click.pass_obj
def demo(context: CliContext, port: int | None) -> None:
    """Serve, with a key made for you and lines to try."""
    settings = context.settings().listening(None, port)
    key = _demo_key(settings)
    _run(settings, lambda url: click.echo(_welcome(settings, url, key)))


def _run(settings: Settings, announce: Callable[[str], None]) -> None:
    from gateway.compose import run_gateway

    uvloop.run(run_gateway(settings, announce))


def _demo_key(settings: Settings) -> str:
    """The demo's API key: made at the first run and kept in clear beside the state, readable by its owner only, so
    that the lines printed earlier go on working. Real keys are shown once and kept as hashes."""
    from gateway.compose import open_key_store

    path = settings.storage.folder / "demo-key"
    with open_key_store(settings) as keys:
        if path.exists():
            kept = path.read_text("ascii").strip()
            if keys.caller(kept) is not None:
                return kept
        _, key = keys.create(tenant="demo", app="support-bot", group="helpdesk", role="user", note="made by the demo")
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(key + "\n", "ascii")
    return key


def _welcome(settings: Settings, url: str, key: str) -> str:
    lines = [
        "",
        click.style(f"Bailiwick listens on {url}", bold=True),
        "",
        "Try it: a card number is answered by the local model and never leaves this machine.",
        "",
        f"  curl -si {url}/v1/chat/completions -H 'authorization: Bearer {key}' \\",
        "    -H 'content-type: application/json' \\",
        f"""    -d '{{"model": "auto", "messages": [{{"role": "user", "content": "{_DEMO_PROMPTS[0][1]}"}}]}}'""",
        "",
        "The same in Python, with OpenAI's SDK unchanged: names leave as pseudonyms and come back restored.",
        "",
        "  from openai import OpenAI",
        f'  client = OpenAI(base_url="{url}/v1", api_key="{key}")',
        "  answer = client.chat.completions.create(",
        '      model="auto", messages=[{"role": "user", "content": "' + _DEMO_PROMPTS[1][1] + '"}])',
        "  print(answer.choices[0].message.content)",
        "",
    ]
    return "\n".join(lines)
