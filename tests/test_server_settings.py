"""Model servers on other machines, as the settings name them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings import LlamaCppSettings, ModelServerSettings, OpenAISettings, load_settings
from support.live import Setup, local_target, server_target
from support.settings_files import line_of, problems

ONE, TWO = "http://gpu-1.internal:8000/v1", "http://gpu-2.internal:8000/v1"


def backend(folder: Path, *urls: str, **settings: str) -> OpenAISettings:
    setup = Setup(folder, [server_target("a", *urls, **settings)], {"auto": "{targets: [a]}"})
    (target,) = load_settings(setup.write(), environ={}).targets
    assert isinstance(target.backend, OpenAISettings)
    return target.backend


def test_several_servers(tmp_path: Path) -> None:
    """Kind, addresses and how often they are looked at; what is not said has defaults."""
    found = backend(tmp_path, ONE, TWO + "/", server="vllm", poll="5s", parallel="64", queue="100")
    assert found.base_url == ONE
    assert found.servers == ModelServerSettings("vllm", (ONE, TWO), 5.0, 64, 100)
    assert backend(tmp_path, ONE).servers == ModelServerSettings("generic", (ONE,), 2.0, None, 32)


def test_one_server(tmp_path: Path) -> None:
    """A single one may stand in `base_url`, where its kind is said; without a kind it is a plain target."""
    lines = server_target("a", server="ollama", base_url=ONE).splitlines()
    text = "\n".join(line for line in lines if "base_urls" not in line)
    (target,) = load_settings(Setup(tmp_path, [text], {"auto": "{targets: [a]}"}).write(), environ={}).targets
    assert isinstance(target.backend, OpenAISettings)
    assert target.backend.servers == ModelServerSettings("ollama", (ONE,))
    text = "\n".join(line for line in lines if "base_urls" not in line and "server:" not in line)
    (target,) = load_settings(Setup(tmp_path, [text], {"auto": "{targets: [a]}"}).write(), environ={}).targets
    assert isinstance(target.backend, OpenAISettings)
    assert target.backend.servers is None


@pytest.mark.parametrize(
    ("urls", "settings", "place", "message"),
    [
        ((ONE,), {"server": "tgi"}, "    server:", "'tgi' is not one of llama_server, vllm, ollama, generic"),
        ((ONE,), {"zone": "cloud", "price": "{input: 1 USD, output: 1 USD}"}, "    server:", "for the zone local"),
        ((ONE,), {"base_url": ONE}, "- id", "either one server with 'base_url' or several with 'base_urls'"),
        ((ONE, f"{ONE}/"), {}, "base_urls:", "this server is there twice"),
        ((ONE, "gpu-2:8000"), {}, "base_urls:", "not a URL such as http://gpu-1.internal:8000/v1"),
        ((ONE, "ftp://gpu-2/v1"), {}, "base_urls:", "not a URL"),
        ((ONE, "http://gpu-2:99999/v1"), {}, "base_urls:", "not a URL"),
        ((ONE,), {"poll": "10ms"}, "poll:", "every 100ms to 1h"),
        ((ONE,), {"parallel": "0"}, "parallel:", "1"),
        (tuple(f"http://gpu-{n}/v1" for n in range(65)), {}, "base_urls:", "64 servers at most"),
        ((ONE,), {"file": "x.gguf"}, "file:", "not a setting of the adapter openai"),
    ],
)
def test_faults(tmp_path: Path, urls: tuple[str, ...], settings: dict[str, str], place: str, message: str) -> None:
    """Each is told in its place, with what is meant."""
    setup = Setup(tmp_path, [server_target("a", *urls, **settings)], {"auto": "{targets: [a]}"})
    text = setup.write().read_text()
    ((line, said),) = problems(tmp_path, text)
    assert message in said
    assert line == line_of(text, place)


def test_room_needs_a_kind(tmp_path: Path) -> None:
    """How many a server takes says nothing where nobody looks at it; for a local engine it is another setting."""
    lines = server_target("a", base_url=ONE, parallel="4", poll="1s").splitlines()
    text = "\n".join(line for line in lines if "base_urls" not in line and "server:" not in line)
    found = problems(tmp_path, Setup(tmp_path, [text], {"auto": "{targets: [a]}"}).write().read_text())
    assert len(found) == 2
    assert all("needs 'server'" in message for _, message in found)
    setup = Setup(tmp_path, [local_target("a", parallel="4", queue="8")], {"auto": "{targets: [a]}"})
    (target,) = load_settings(setup.write(), environ={}).targets
    assert isinstance(target.backend, LlamaCppSettings)
    assert (target.backend.parallel, target.backend.queue) == (4, 8)
    setup = Setup(tmp_path, [local_target("a", server="vllm")], {"auto": "{targets: [a]}"})
    ((_, message),) = problems(tmp_path, setup.write().read_text())
    assert "'server' is not a setting of the adapter llama_cpp" in message
