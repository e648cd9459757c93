"""`lawful new-plugin` writes a package that keeps the contracts and is used by its names."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import in_process
import lawful

CONTRACTS = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--pyargs", "lawful.testing")


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The new package's folder; beside its sources, the record that an installer would write."""
    folder = tmp_path_factory.mktemp("new") / "star-light"
    in_process.lawful("new-plugin", folder)
    record = folder / "src" / "star_light-0.1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: star_light\nVersion: 0.1.0\n")
    groups = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["entry-points"]
    lines = [f"[{group}]\n" + "\n".join(f"{k} = {v}" for k, v in named.items()) for group, named in groups.items()]
    (record / "entry_points.txt").write_text("\n".join(lines))
    return folder


def python(plugin: Path, *words: str, cwd: Path | None = None) -> str:
    source = str(Path(lawful.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([source, str(plugin / "src")])}
    ended = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment, cwd=cwd or plugin)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_nothing_of_the_template_keeps_its_own_name(plugin: Path) -> None:
    texts = [
        path.read_text() for path in plugin.rglob("*") if path.is_file() and path.suffix in (".py", ".md", ".toml")
    ]
    assert len(texts) == 8 and not any("my_plugin" in text for text in texts)


def test_its_law_and_its_reader_are_used_by_name_and_its_study_is_planned(plugin: Path, tmp_path: Path) -> None:
    rows = "\n".join(f"{n};{1.5 + 60 * (n + 2e5) ** -0.3}" for n in (1e5, 3e5, 1e6, 3e6, 1e7, 3e7, 1e8))
    (tmp_path / "runs.scsv").write_text(f"params;loss\n{rows}\n")
    code = (
        "from lawful.cli import app\n"
        "for words in (['fit', 'runs.scsv', '--law', 'dimming'], ['plan', 'dice', '--set', 'widths=8,12']):\n"
        "    app(words, standalone_mode=False)\n"
    )
    told = python(plugin, "-c", code, cwd=tmp_path)
    assert "dimming" in told and "8 runs" in told


@pytest.mark.slow
def test_it_passes_the_contracts_and_its_own_tests(plugin: Path) -> None:
    python(plugin, *CONTRACTS, "-k", "dimming or semicolons or dice")
    python(plugin, "-m", "pytest", "-q", "-p", "no:cacheprovider")


@pytest.mark.parametrize(("name", "says"), [("1st", "a package's"), ("Über", "a package's"), ("class", "a package's")])
def test_a_name_that_no_package_can_have_is_refused(name: str, says: str, tmp_path: Path) -> None:
    said = in_process.lawful("new-plugin", tmp_path / name, expect=2)
    assert says in said.stderr and not (tmp_path / name).exists()


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    in_process.lawful("new-plugin", tmp_path, expect=2)
    assert not list(tmp_path.iterdir())
