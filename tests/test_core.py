"""The core stands alone: it names no domain, and is imported where none is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lawful

SOURCE = Path(lawful.__file__).parent
ROOT = SOURCE.parents[1]
# names of the domains, and what only they speak of
WORDS = re.compile(
    r"(?<![a-z])(emg|emg2qwerty|keystrokes?|wrists?|ctc|cer|spectrograms?|music|musical|midi|melod\w+|piano|remi"
    r"|equilibrium|eqprop|nudg\w+|settling|unrolled)(?![a-z])",
    re.IGNORECASE,
)
PATH = re.compile(r"`?(?:lawful/|src/lawful/)?domains/[\w./]+`?|lawful\.domains\.[\w.]+")
CORE = [
    path
    for path in SOURCE.rglob("*")
    if path.suffix in (".py", ".js", ".css")
    and "domains" not in path.parts
    # the names that columns of other people's tables have
    and path != SOURCE / "tables" / "vocabulary.py"
]
DOCUMENTS = [ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]
OF_STUDIES = {
    "studies",
    "gallery.md",
    "claims.md",
    "reliability.md",
}  # what shows the domains' studies, or tests of them


def test_the_core_names_no_domain() -> None:
    wrong = [
        f"{path.relative_to(SOURCE)}, line {number}: {found.group()}"
        for path in CORE
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if (found := WORDS.search(line))
    ]
    assert not wrong, "\n".join(wrong)


def test_the_documents_of_the_core_name_no_domain_but_by_the_path_of_a_file() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}, line {number}: {found.group()}"
        for path in DOCUMENTS
        if not OF_STUDIES & set(path.parts)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if (found := WORDS.search(PATH.sub("", line)))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("line", ["a MIDI file", "cer_users", "EqProp(beta=1)", "the nudged phase", "emg.py"])
def test_a_planted_word_is_found(line: str) -> None:
    assert WORDS.search(line)


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source without the domains."""
    folder = tmp_path_factory.mktemp("core")
    shutil.copytree(SOURCE, folder / "lawful", ignore=shutil.ignore_patterns("domains", "__pycache__"))
    return folder


def test_every_module_of_the_core_is_imported_without_the_domains(core: Path) -> None:
    code = """
import importlib, pkgutil, lawful
assert lawful.__file__.startswith(CORE), lawful.__file__
for module in pkgutil.walk_packages(lawful.__path__, "lawful."):
    if module.name != "lawful.__main__" and "regressor" not in module.name:
        importlib.import_module(module.name)
"""
    run(core, "-c", code.replace("CORE", repr(str(core))))


def test_the_core_finds_its_studies_and_commands_without_the_domains(core: Path) -> None:
    code = """
from typer.testing import CliRunner
from lawful import registry, studies
from lawful.cli import app
from lawful.run import from_json
assert '"quickstart"' in CliRunner().invoke(app, ["studies", "--json"]).stdout
helped = CliRunner().invoke(app, ["data", "--help"]).stdout
assert "prepare" in helped and "extract" not in helped
assert registry.domains() == () and registry.find("laws", "chinchilla")
try:
    from_json({"is": "lawful.families.absent:Absent"})
except ValueError as error:
    assert "which this version of lawful does not have" in str(error)
"""
    run(core, "-c", code)


def run(core: Path, *words: str) -> str:
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env={"PYTHONPATH": str(core)})
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
