"""What `make` says to a newcomer whose Python cannot be used, before anything is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def make(tmp_path: Path):
    """make(PYTHON) -> what `make test PYTHON=...` ends with and prints, in a folder with the Makefile alone."""
    if shutil.which("make") is None:
        pytest.skip("there is no make on this machine")
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)

    def run(python: str) -> subprocess.CompletedProcess[str]:
        outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        return subprocess.run(
            ["make", "test", f"PYTHON={python}"], cwd=tmp_path, env=outside, capture_output=True, text=True, timeout=60
        )

    return run


def python_of(version: tuple[int, int], folder: Path) -> str:
    """A program that answers as a Python of this version would."""
    program = folder / f"python{version[0]}.{version[1]}"
    program.write_text(f'#!/bin/sh\nshift\nexec "{sys.executable}" -c "import sys; sys.version_info = {version}; $1"\n')
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ((3, 10), "it is Python 3.10, which is too old"),
        ((3, 14), "it is Python 3.14, which lawful has not been tested"),
    ],
)
def test_an_unsupported_python_is_refused_with_what_to_install(version, why, make, tmp_path) -> None:
    ended = make(python_of(version, tmp_path))
    assert ended.returncode != 0 and not (tmp_path / ".venv").exists()
    assert why in ended.stderr
    assert "lawful needs Python 3.11, 3.12 or 3.13" in ended.stderr
    assert "make test PYTHON=/path/to/python3.12" in ended.stderr


def test_a_python_that_is_not_there_is_said_to_be_missing(make, tmp_path) -> None:
    ended = make(str(tmp_path / "nowhere"))
    assert ended.returncode != 0
    assert f"{tmp_path / 'nowhere'} cannot be used: there is no such program" in ended.stderr


@pytest.mark.parametrize("answers", ["exit 0", "exit 3", "echo hello"])
def test_a_program_that_is_no_python_is_refused(answers: str, make, tmp_path) -> None:
    program = tmp_path / "something"
    program.write_text(f"#!/bin/sh\n{answers}\n")
    program.chmod(0o755)
    ended = make(str(program))
    assert ended.returncode != 0 and not (tmp_path / ".venv").exists()
    assert f"{program} cannot be used: " in ended.stderr and "cannot be used: \n" not in ended.stderr


def test_the_makefile_accepts_the_pythons_that_the_package_declares(tmp_path) -> None:
    declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'requires-python = ">=3.11"' in declared
    program = next(part for part in (ROOT / "Makefile").read_text(encoding="utf-8").split("SUPPORTED := ")[1:])
    check = program.split("\n\n")[0].replace("\\\n", "")
    for version in ((3, 11), (3, 12), (3, 13)):
        subprocess.run([python_of(version, tmp_path), "-c", check], check=True)
