"""What sections, analyses, columns, readers and commands promise: they leave a study alone that is not theirs."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from lawful import registry, tables
from lawful.errors import LawfulError
from lawful.plugins import columns
from lawful.report.evidence import read_evidence
from lawful.report.section import Content
from lawful.schema import StudyPlan
from lawful.storage.codec import write_study
from lawful.testing import loaded

VOID = {"br", "hr", "img", "input", "line", "rect", "path", "circle"}


@pytest.fixture
def no_runs(tmp_path: Path) -> Path:
    """A study's folder in which nothing has run."""
    write_study(tmp_path / "study.json", StudyPlan.example())
    return tmp_path


class Balanced(HTMLParser):
    """Notes each tag that is closed where another one is open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open += [tag] if tag not in VOID else []

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and (not self.open or self.open.pop() != tag):
            self.wrong.append(tag)


def assert_is_whole(content: Content) -> None:
    """One <section> with an id, a heading in both forms, and files with plain names."""
    html = Balanced()
    html.feed(str(content.html))
    assert not html.wrong and not html.open
    assert str(content.html).startswith("<section") and " id=" in str(content.html).partition(">")[0]
    assert content.markdown[0].startswith("## ") and content.markdown[0].removeprefix("## ") in str(content.html)
    assert all(Path(name).name == name for name in content.figures)


@pytest.mark.parametrize("name", loaded("sections"))
def test_a_section_says_nothing_of_a_study_without_runs(name: str, no_runs: Path) -> None:
    section = loaded("sections")[name]()
    assert section.after in ("doubts", "baselines")
    assert section.content(read_evidence(no_runs)) is None


@pytest.mark.parametrize("name", loaded("sections"))
def test_a_section_says_the_same_in_html_and_in_markdown(name: str, no_runs: Path) -> None:
    section = loaded("sections")[name]()
    section.example(no_runs)
    content = section.content(read_evidence(no_runs))
    assert content is not None, "example() must fill the folder with what the section is about"
    assert_is_whole(content)


@pytest.mark.parametrize("name", loaded("analyses"))
def test_an_analysis_leaves_a_study_alone_that_is_not_its_own(name: str, no_runs: Path) -> None:
    before = sorted(no_runs.rglob("*"))
    analysis = loaded("analyses")[name]()
    analysis.before_fit(no_runs, lambda what: pytest.fail(f"it says {what!r}"), lambda: None)
    analysis.after_fit(no_runs)
    assert sorted(no_runs.rglob("*")) == before


@pytest.mark.parametrize("kind", ["analyses", "columns", "data_commands", "laws", "readers", "sections"])
def test_what_a_report_loads_never_imports_torch(kind: str) -> None:
    code = f"import sys; from lawful import registry; registry.every({kind!r}); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", columns())
def test_a_column_says_what_it_is_and_takes_no_name_of_the_table(name: str) -> None:
    column = columns()[name]
    assert column.unit and column.about and name not in tables.COLUMNS and name.isidentifier()


@pytest.mark.parametrize("name", loaded("readers"))
def test_a_reader_refuses_a_damaged_file_by_its_name(name: str, tmp_path: Path) -> None:
    reader = loaded("readers")[name]()
    for suffix in reader.suffixes:
        path = tmp_path / f"runs{suffix}"
        path.write_bytes(b"\x00\xff damaged")
        with pytest.raises(LawfulError, match="runs"):
            list(reader.rows(path))


@pytest.mark.parametrize("name", registry.found("data_commands"))
def test_a_command_says_what_it_does(name: str) -> None:
    words = [sys.executable, "-m", "lawful", "data", name, "--help"]
    assert (loaded("data_commands")[name].command.__doc__ or "").split("\n")[0].split()[0] in subprocess.run(
        words, check=True, capture_output=True, text=True
    ).stdout
