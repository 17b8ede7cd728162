"""The container image, checked without building it: its Dockerfile, and the files that it will hold."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click.testing
import pytest
from ruamel.yaml import YAML

from adapters.llama_cpp.gguf import read_gguf
from gateway.cli import main
from gateway.compose.declared import declared
from gateway.settings import Settings, load_settings
from support.dockerfile import Instruction, copies, ignored, read_dockerfile

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
DOCKERIGNORE = ROOT / ".dockerignore"


@pytest.fixture(scope="module")
def instructions() -> list[Instruction]:
    return read_dockerfile(DOCKERFILE)


@pytest.fixture(scope="module")
def last(instructions: list[Instruction]) -> list[Instruction]:
    """The stage that becomes the image."""
    final = max(one.stage for one in instructions)
    return [one for one in instructions if one.stage == final]


@pytest.fixture(scope="module")
def image(instructions: list[Instruction], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the last stage takes from the build context, where it puts them."""
    root = tmp_path_factory.mktemp("image")
    final = max(one.stage for one in instructions)
    for copied in copies(instructions):
        if copied.stage != final or copied.origin is not None:
            continue
        for source in copied.sources:
            place = root / copied.target.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place)
            else:
                shutil.copy(ROOT / source, place)
    return root


def settings_in(image: Path, environ: dict[str, str]) -> Settings:
    return load_settings(image / "etc/bailiwick/bailiwick.yaml", environ=environ)


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    """What the compose file gives the gateway, with every secret set to something."""
    compose = YAML(typ="safe").load(ROOT / "deploy" / "compose.yaml")
    given = compose["services"]["gateway"]["environment"]
    return {name: re.sub(r"\$\{[^}]*\}", "secret", str(value)) for name, value in given.items()}


def test_hadolint_finds_nothing() -> None:
    """The linter of Dockerfiles has nothing to say."""
    done = subprocess.run([_tool("hadolint"), str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_two_stages_on_one_pinned_base(instructions: list[Instruction]) -> None:
    """What compiles is left behind, and both stages stand on the same Python, named by its version."""
    bases = [one.value.split()[0] for one in instructions if one.word == "FROM"]
    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+(\.\d+)?-slim-[a-z]+", bases[0])


def test_it_does_not_run_as_root(last: list[Instruction]) -> None:
    """The image runs as a user that is not root, given by number, to whom the state's folder belongs."""
    words = [one.word for one in last]
    users = [one.value for one in last if one.word == "USER"]
    assert len(users) == 1
    number, _, group = users[0].partition(":")
    assert int(number) > 999
    assert int(group) > 999
    assert f"--uid {number}" in next(one.value for one in last if one.word == "RUN")
    assert words.index("USER") < words.index("ENTRYPOINT")
    assert "RUN" not in words[words.index("USER") :]


def test_it_tells_its_health_and_its_port(last: list[Instruction], image: Path, environ: dict[str, str]) -> None:
    """The health check asks the port that the settings listen on, and that port is exposed."""
    port = str(settings_in(image, environ).server.port)
    assert [one.value for one in last if one.word == "EXPOSE"] == [port]
    check = next(one for one in last if one.word == "HEALTHCHECK")
    assert f"127.0.0.1:{port}/healthz" in check.value
    assert {"interval", "timeout", "start-period"} <= check.flags.keys()
    assert settings_in(image, environ).server.host == "0.0.0.0"


def test_llama_cpp_is_compiled_for_other_machines(instructions: list[Instruction]) -> None:
    """The image's llama.cpp is not tuned for the machine that built it."""
    run = next(one.value for one in instructions if one.word == "RUN" and "run.lock" in one.value)
    assert "flags.sh portable" in run
    script = f"cd {ROOT} && . tools/llama_build/flags.sh portable && echo $CMAKE_ARGS"
    flags = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True).stdout
    assert "-DGGML_NATIVE=OFF" in flags
    assert "native" not in flags.replace("-DGGML_NATIVE=OFF", "")


def test_dependencies_are_installed_by_hash(instructions: list[Instruction]) -> None:
    """Every package in the image is one that the lock file names with its hash, the PostgreSQL driver among them."""
    installs = [one.value for one in instructions if one.word == "RUN" and "pip install" in one.value]
    assert "--require-hashes -r requirements/run.lock" in installs[0]
    assert all("--no-deps --no-build-isolation" in value for value in installs[1:])
    lock = (ROOT / "requirements" / "run.lock").read_text()
    for package in ("psycopg", "psycopg-binary", "hatchling", "llama-cpp-python"):
        assert re.search(rf"^{package}==", lock, re.MULTILINE), package


def test_everything_copied_exists_and_is_sent_to_the_engine(instructions: list[Instruction]) -> None:
    """Each COPY names something that is in the repository and that .dockerignore lets through, or an earlier stage."""
    stages = [one.value.split(" AS ")[-1] for one in instructions if one.word == "FROM"]
    copied = copies(instructions)
    assert any(one.origin for one in copied)
    for one in copied:
        if one.origin is not None:
            assert one.origin in stages[: one.stage]
            continue
        for source in one.sources:
            assert (ROOT / source).exists(), source
            assert not ignored(DOCKERIGNORE, source), source


@pytest.mark.parametrize("name", ["models/demo-helpdesk.gguf", "gateway/sql/engine.py", "deploy/bailiwick.yaml"])
def test_the_build_context_holds_what_is_needed(name: str) -> None:
    """Files below a folder that is copied are in the build context."""
    assert not ignored(DOCKERIGNORE, name)


@pytest.mark.parametrize(
    "name",
    [".git/config", ".venv/bin/python", ".state/secret.key", "deploy/.env", "tests/conftest.py", "sdk/README.md"],
)
def test_the_build_context_holds_no_secrets(name: str) -> None:
    """State, secrets and what the image has no use for stay out of the build context."""
    assert ignored(DOCKERIGNORE, name)


def test_the_images_settings_load(image: Path, environ: dict[str, str]) -> None:
    """The image's settings are right for the environment of the compose file: stores, state, model file, prices."""
    settings = settings_in(image, environ)
    assert settings.policy.is_file()
    assert settings.policy.resolve().is_relative_to(image.resolve())
    assert settings.storage.folder == Path("/var/lib/bailiwick")
    assert settings.storage.url("audit").startswith("postgresql://")
    assert settings.storage.redis_url == environ["BAILIWICK_REDIS_URL"]
    assert settings.telemetry.otlp_endpoint == environ["OTEL_EXPORTER_OTLP_ENDPOINT"]
    assert not settings.scripted_cloud
    files = [target.model_file.path for target in settings.targets if target.model_file is not None]
    assert files
    for file in files:
        assert read_gguf(image / str(file).lstrip("/")).has_chat_template
    assert all(target.price.input > 0 for target in declared(settings))


def test_the_state_is_on_a_volume(last: list[Instruction], image: Path, environ: dict[str, str]) -> None:
    """The folder of the state is the image's volume, and the command finds its settings without arguments."""
    folder = str(settings_in(image, environ).storage.folder)
    assert [one.value for one in last if one.word == "VOLUME"] == [folder]
    variables = next(one.value for one in last if one.word == "ENV")
    assert "BAILIWICK_CONFIG=/etc/bailiwick/bailiwick.yaml" in variables
    assert [one.value for one in last if one.word in ("ENTRYPOINT", "CMD")] == ['["bailiwick"]', '["serve"]']


def test_the_images_policy_is_good(image: Path, environ: dict[str, str]) -> None:
    """The policy in the image passes its check there."""
    settings = settings_in(image, environ)
    result = click.testing.CliRunner().invoke(main, ["policy", "check", str(settings.policy)])
    assert result.exit_code == 0, result.output


def test_the_ignore_rules_are_read_as_the_engine_reads_them(tmp_path: Path) -> None:
    """The reader of .dockerignore that these tests stand on: the last match decides, folders count for what is in
    them, ``*`` stays within a folder and ``**`` does not."""
    rules = tmp_path / ".dockerignore"
    rules.write_text("*\n!a\n!b/c\n**/cache\na/x*.log\n")
    left_out = {name for name in _names() if ignored(rules, name)}
    assert left_out == {"other", "b/d", "a/cache", "a/deep/cache/file", "a/x1.log"}


def _names() -> Iterator[str]:
    yield from ("other", "a", "a/file", "b/c", "b/c/file", "b/d", "a/cache", "a/deep/cache/file", "a/x1.log")
    yield "a/deep/x1.log"


def _tool(name: str) -> str:
    """A program of this environment or of the machine."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    assert found, f"{name} is missing; it is in requirements/test.in"
    return found
