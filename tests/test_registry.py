"""Everything is found by its name: lawful's own files, those of its domains, and a domain of a package outside."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lawful import registry
from lawful.errors import LawfulError
from lawful.laws.chinchilla import Chinchilla
from lawful.run import from_json

TOY = Path(__file__).parent / "toy_study.py"

LAWS = '''
from dataclasses import dataclass
from lawful.laws.power import Power

@dataclass(frozen=True)
class Dimming(Power):
    """L = c N^-alpha, by another name."""
    name = "dimming"
'''
FAMILIES = """
from dataclasses import dataclass
from lawful.families.mlp import WindowMLP

@dataclass(frozen=True, kw_only=True)
class Nebula(WindowMLP):
    pass
"""
COLUMNS = """
from lawful.plugins import Column

COLUMNS = {"redshift": Column(unit="ratio", about="of the light's wavelength", title="Red shift")}
"""
REPORT = """
from pathlib import Path
from lawful.plugins import Analysis
from lawful.report.markup import tag
from lawful.report.section import Content, Section
from lawful.storage.atomic import write_json
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store

class Count(Analysis):
    def after_fit(self, folder):
        if "stars" in Store(folder).read_study().corpora:
            write_json(folder / "fits" / "stars.json", {"stars": 7})

class Stars(Section):
    after = "doubts"

    def content(self, evidence):
        path = evidence.folder / "fits" / "stars.json"
        if not path.exists():
            return None
        number = read_json(path)["stars"]
        return Content(
            html=tag("section", tag("h2", "The stars"), tag("p", f"There are {number}."), id="stars"),
            markdown=("## The stars", f"There are {number}."),
        )

    def example(self, folder):
        write_json(folder / "fits" / "stars.json", {"stars": 7})
"""
READERS = """
from lawful.errors import TableError
from lawful.plugins import Reader

class Semicolons(Reader):
    suffixes = (".scsv",)
    about = "a table of semicolons"

    def rows(self, path):
        if not path.is_file():
            raise TableError(f"{path}: expected a file, got none.")
        try:
            header, *lines = path.read_text(encoding="utf-8").splitlines()
            for line in lines:
                yield dict(zip(header.split(";"), map(float, line.split(";"))))
        except ValueError:
            raise TableError(f"{path}: expected numbers between semicolons.") from None
"""
EXECUTORS = """
from dataclasses import dataclass
from lawful.executors.local import Local

@dataclass(frozen=True, kw_only=True)
class Telescope(Local):
    pass
"""
COMMANDS = '''
def command() -> None:
    """Point the telescope."""
    print("pointed")
'''
RULES = """
from dataclasses import dataclass
from lawful.rules.backprop import Backprop

@dataclass(frozen=True, kw_only=True)
class Gravity(Backprop):
    pass
"""
TOKENIZERS = """
from dataclasses import dataclass
from lawful.tokenizers.bytes import Bytes

@dataclass(frozen=True, kw_only=True)
class Signals(Bytes):
    pass
"""
TASKS = """
from dataclasses import dataclass
from lawful.tasks.next_token import NextToken

@dataclass(frozen=True, kw_only=True)
class NextStar(NextToken):
    pass
"""
ENTRY_POINTS = """
[lawful.laws]
dimming = cosmos.laws:Dimming
[lawful.families]
nebula = cosmos.families:Nebula
[lawful.corpora]
stars = cosmos.stars:Stars
[lawful.tokenizers]
signals = cosmos.tokenizers:Signals
[lawful.tasks]
next_star = cosmos.tasks:NextStar
[lawful.rules]
gravity = cosmos.rules:Gravity
[lawful.executors]
telescope = cosmos.executors:Telescope
[lawful.readers]
semicolons = cosmos.readers:Semicolons
[lawful.studies]
cosmos = cosmos.stars
[lawful.columns]
cosmos = cosmos.columns
[lawful.analyses]
count = cosmos.report:Count
[lawful.sections]
stars = cosmos.report:Stars
[lawful.data_commands]
point = cosmos.commands
"""


@pytest.fixture(scope="session")
def cosmos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an installed package, cosmos, that brings one of everything; its corpus and study are the toy's."""
    site = tmp_path_factory.mktemp("site")
    package, record = site / "cosmos", site / "cosmos-1.0.dist-info"
    package.mkdir()
    record.mkdir()
    toy = TOY.read_text(encoding="utf-8")
    for old, new in (
        ("InventedWords", "Stars"),
        ("invented_words", "stars"),
        ('name="toy"', 'name="cosmos"'),
        (" A user's own study file, with a corpus of its own, for tests.", ""),
        ("Backprop", "Gravity"),
        ("lawful.rules.backprop", "cosmos.rules"),
        ("NextToken", "NextStar"),
        ("lawful.tasks.next_token", "cosmos.tasks"),
        ("lawful.families.decoder import Decoder", "cosmos.families import Nebula"),
        ("Decoder(vocab_size=CORPUS.vocab_size, width=width, depth=1, heads=2, context=16, dropout=dropout)",
         "Nebula(vocab_size=CORPUS.vocab_size, window=4, embedding_width=8, width=width, depth=1)"),
    ):  # fmt: skip
        assert old in toy
        toy = toy.replace(old, new)
    files = {"stars": toy, "laws": LAWS, "families": FAMILIES, "columns": COLUMNS, "report": REPORT, "rules": RULES}
    files |= {
        "readers": READERS,
        "executors": EXECUTORS,
        "commands": COMMANDS,
        "tasks": TASKS,
        "tokenizers": TOKENIZERS,
        "__init__": "",
    }
    files["unnamed"] = "raise SystemExit('this module was imported')"
    for name, text in files.items():
        (package / f"{name}.py").write_text(text)
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: cosmos\nVersion: 1.0\n")
    (record / "entry_points.txt").write_text(ENTRY_POINTS)
    return site


def python(cosmos: Path, *words: str, cwd: Path | None = None, expect: int = 0) -> str:
    """Run Python where cosmos is installed; what it printed."""
    source = str(Path(registry.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([source, str(cosmos)])}
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment, cwd=cwd)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "kind", ["laws", "families", "corpora", "tokenizers", "tasks", "rules", "executors", "studies"]
)
def test_the_files_of_a_folder_are_the_list(kind: str) -> None:
    folder = registry.ROOT / kind
    files = {file.stem for file in folder.glob("*.py") if file.stem != "__init__"}
    assert files <= registry.built_in(kind).keys()
    assert all(entry.load() for entry in registry.built_in(kind).values())


def test_a_thing_is_found_by_its_name_and_knows_it() -> None:
    entry = registry.find("laws", "chinchilla")
    assert entry is not None and entry.load() is Chinchilla
    assert registry.name_of("laws", Chinchilla) == "chinchilla"
    assert registry.find("laws", "chinchila") is None


def test_a_class_beside_the_registered_one_has_no_name() -> None:
    class Helper(Chinchilla):
        pass

    Helper.__module__ = Chinchilla.__module__
    assert registry.name_of("laws", Helper) == ""


def test_finding_names_imports_nothing_of_what_is_found() -> None:
    code = """
import sys
from lawful import registry
assert sum(len(registry.found(kind)) for kind in registry.KINDS) > 20
print(*sorted(name for name in sys.modules if name.startswith("lawful.")))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["lawful.errors", "lawful.registry"]


def test_a_module_of_a_domain_is_recorded_without_the_domain() -> None:
    """So that the ids of runs stay where a file moves into a domain."""
    assert registry.recorded("lawful.domains.cosmos.families.nebula") == "lawful.families.nebula"
    assert registry.recorded("lawful.domains.cosmos.light") == "lawful.cosmos.light"
    assert registry.recorded("lawful.families.decoder") == registry.module_of("lawful.families.decoder")
    assert registry.recorded("cosmos.families") == "cosmos.families"


def test_two_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    twin = registry.Entry(kind="laws", name="power", module="other", member="Power", package="other")
    monkeypatch.setattr(registry, "_of_packages", lambda: {"laws": (twin,)})
    with pytest.raises(LawfulError, match="two are called 'power': one of lawful, one of other"):
        registry.found("laws")


@pytest.mark.parametrize(
    ("place", "expected"),
    [(("absent_module", "Law"), "cannot be imported"), (("pathlib", "Path"), "expected a subclass of lawful.laws.Law")],
)
def test_a_wrong_entry_point_is_refused_with_the_name_of_its_package(place: tuple[str, str], expected: str) -> None:
    entry = registry.Entry(kind="laws", name="x", module=place[0], member=place[1], package="other")
    with pytest.raises(LawfulError, match=f"the package other has the entry point lawful.laws: x = .*{expected}"):
        entry.load()


def test_a_folder_of_runs_cannot_name_a_module_that_no_entry_point_names() -> None:
    for name in ("antigravity", "pytest", "toy_study", "lawfulness.evil"):
        with pytest.raises(LawfulError, match="expected a type defined in lawful"):
            from_json({"is": f"{name}:Evil"})
    assert "antigravity" not in sys.modules


def test_a_folder_of_runs_may_name_a_module_of_an_entry_point_and_no_other_of_its_package(cosmos: Path) -> None:
    code = """
from lawful.run import from_json, to_json
from cosmos.families import Nebula
family = Nebula(vocab_size=5, window=1, embedding_width=2, width=2, depth=1)
assert to_json(family)["is"] == "cosmos.families:Nebula" and from_json(to_json(family)) == family
try:
    from_json({"is": "cosmos.unnamed:Evil"})
except ValueError as error:
    print(error)
"""
    assert "expected a type defined in lawful, in an installed package's entry point" in python(cosmos, "-c", code)


def test_a_fourth_domain_from_a_package_outside_is_run_to_its_section_of_the_report(
    cosmos: Path, tmp_path: Path
) -> None:
    words = ["run", "cosmos", "--set", "steps=10", "--set", "widths=8,16", "--executor", "telescope", "--out", "study"]
    python(cosmos, "-m", "lawful", *words, cwd=tmp_path)
    assert "There are 7." in (tmp_path / "study" / "report.html").read_text(encoding="utf-8")
    assert "## The stars\n\nThere are 7." in (tmp_path / "study" / "report.md").read_text(encoding="utf-8")


def test_a_law_a_reader_and_a_command_of_a_package_are_used_by_name(cosmos: Path, tmp_path: Path) -> None:
    rows = "\n".join(f"{n};{3 * n**-0.3}" for n in (1e6, 2e6, 4e6, 8e6, 16e6, 32e6))
    (tmp_path / "runs.scsv").write_text(f"params;loss\n{rows}\n")
    out = python(cosmos, "-m", "lawful", "fit", "runs.scsv", "--law", "dimming", "--json", cwd=tmp_path)
    assert '"class": "dimming"' in out
    assert python(cosmos, "-m", "lawful", "data", "point") == "pointed\n"


CONTRACTS = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--pyargs", "lawful.testing", "-k"]


def test_the_contracts_find_everything_that_a_package_brings(cosmos: Path, tmp_path: Path) -> None:
    found = python(cosmos, *CONTRACTS, "cosmos or not cosmos", "--collect-only", cwd=tmp_path)
    for test in (
        "test_laws.py::test_planted_parameters_are_found[dimming]",
        "test_families.py::test_flops_agree_with_torchs_own_counter[Nebula(",
        "test_corpora.py::test_preparing_again_changes_nothing[stars]",
        "test_tokenizers.py::test_a_text_comes_back_and_its_tokens_are_of_the_vocabulary[signals]",
        "test_tasks.py::test_the_loss_is_a_sum_over_targets_however_the_batch_is_cut[next_star-",
        "test_rules.py::test_the_gradient_is_in_proportion_to_the_scale_and_the_loss_is_not[gravity-",
        "test_executors.py::test_its_runs_come_to_their_end[telescope]",
        "test_studies.py::test_each_scale_declares_runs_that_survive_json_with_their_ids[cosmos]",
        "test_report.py::test_a_section_says_the_same_in_html_and_in_markdown[stars]",
        "test_report.py::test_an_analysis_leaves_a_study_alone_that_is_not_its_own[count]",
        "test_report.py::test_a_column_says_what_it_is_and_takes_no_name_of_the_table[redshift]",
        "test_report.py::test_a_reader_refuses_a_damaged_file_by_its_name[semicolons]",
        "test_report.py::test_a_command_says_what_it_does[point]",
    ):
        assert test in found, test


@pytest.mark.slow
def test_a_package_that_keeps_the_contracts_passes_them(cosmos: Path, tmp_path: Path) -> None:
    names = "cosmos] or dimming or Nebula or stars] or next_star or gravity or semicolons or redshift"
    assert " failed" not in python(cosmos, *CONTRACTS, names, cwd=tmp_path)


@pytest.mark.slow
def test_a_package_that_breaks_a_contract_is_told_which(cosmos: Path, tmp_path: Path) -> None:
    """The toy study's first line is no question."""
    for folder in ("cosmos", "cosmos-1.0.dist-info"):
        shutil.copytree(cosmos / folder, tmp_path / "site" / folder)
    stars = tmp_path / "site" / "cosmos" / "stars.py"
    stars.write_text(stars.read_text().replace("invented words?", "invented words."))
    out = python(tmp_path / "site", *CONTRACTS, "cosmos]", cwd=tmp_path, expect=1)
    assert "FAILED" in out and "test_a_study_opens_with_its_question_and_declares_itself[cosmos]" in out
