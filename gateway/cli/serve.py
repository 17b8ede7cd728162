"""``bailiwick serve`` and ``bailiwick demo``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import click
import uvloop

from gateway.cli.common import CliContext
from gateway.settings import Settings

_PROMPTS = (
    "My card 4242 4242 4242 4242 was charged twice for order 1234. Please help.",
    "Write a short reply to Anna Kowalski (anna.kowalski@example.com) about her refund.",
    "How do I reset my password?",
)


@click.command()
@click.option("--host", help="Listen here instead of where the settings say.")
@click.option("--port", type=click.IntRange(0, 65535), help="Listen on this port instead; 0 takes a free one.")
@click.pass_obj
def serve(context: CliContext, host: str | None, port: int | None) -> None:
    """Serve what the settings say, until SIGTERM; then finish what is in flight."""
    settings = context.settings().listening(host, port)
    _run(settings, lambda url, _: click.echo(f"Bailiwick listens on {url}"))


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Listen on this port instead; 0 takes a free one.")
@click.pass_obj
def demo(context: CliContext, port: int | None) -> None:
    """Serve, with a key made for you and lines to try."""
    settings = context.settings().listening(None, port)
    key = _demo_key(settings)
    click.echo("Starting: the detectors, the local model, the stores …")
    _run(settings, lambda url, scripted: click.echo(_welcome(url, key, scripted)), wait_for_models=True)


def _run(settings: Settings, announce: Callable[[str, str | None], None], *, wait_for_models: bool = False) -> None:
    from gateway.compose import run_gateway

    uvloop.run(run_gateway(settings, announce, wait_for_models=wait_for_models))


def _demo_key(settings: Settings) -> str:
    """The demo's API key: made at the first run and kept in clear beside the state, readable by its owner only, so
    that the lines printed earlier go on working. Real keys are shown once and kept as hashes."""
    from gateway.compose import open_key_store

    path = settings.storage.folder / "demo-key"
    with open_key_store(settings) as keys:
        if path.exists():
            kept = path.read_text("ascii").strip()
            if kept.split("_")[1:2] in [[known.id] for known in keys.list() if known.revoked_at is None]:
                return kept
        _, key = keys.create(tenant="demo", app="support-bot", group="helpdesk", role="user", note="made by the demo")
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(key + "\n", "ascii")
    return key


def _welcome(url: str, key: str, scripted: str | None) -> str:
    """What a newcomer reads: lines that can be pasted as they are."""
    card, names, plain = _PROMPTS
    program = os.path.relpath(sys.argv[0])
    lines = [
        "",
        click.style(f"Bailiwick listens on {url}", bold=True),
        "",
        click.style("1. A card number is answered by the local model and never leaves this machine:", bold=True),
        "",
        f"curl -si {url}/v1/chat/completions -H 'authorization: Bearer {key}' \\",
        "  -H 'content-type: application/json' \\",
        f"""  -d '{{"model": "auto", "messages": [{{"role": "user", "content": "{card}"}}]}}'""",
        "",
        click.style("2. Names leave as pseudonyms and come back restored. With OpenAI's SDK, unchanged", bold=True)
        + f" (in {os.path.relpath(sys.executable)}):",
        "",
        "from openai import OpenAI",
        f'client = OpenAI(base_url="{url}/v1", api_key="{key}")',
        'answer = client.chat.completions.create(model="auto", messages=[{',
        f'    "role": "user", "content": "{names}"}}])',
        "print(answer.choices[0].message.content)",
        "",
        click.style("3. What nothing protects goes to the cheapest target: try", bold=True),
        f'   "{plain}"',
        "",
    ]
    if scripted is not None:
        lines += [
            "No OPENAI_API_KEY is set, so a scripted cloud plays its part. What reached it, byte for byte:",
            f"  curl -s '{scripted.removesuffix('/v1')}/received?format=text'",
            "",
        ]
    lines += [f"What was decided and why:  {program} audit tail · {program} trace list · {program} audit verify", ""]
    return "\n".join(lines)
