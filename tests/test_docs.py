"""What the documents name exists: links and their anchors, paths, make targets, commands and their options."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import lawful
from lawful import studies
from lawful.study import import_file

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md"), *ROOT.glob("examples/**/*.md")]
)
PATH = re.compile(r"^(?:[\w.-]+/)*[\w.-]+\.(?:py|md|toml|txt)$|^(?:src|tests|docs|benchmarks|\.ci)/[\w./-]*$")
NOT_HERE = re.compile(
    r"(?:^|/)my_\w+\.py$|^[A-Z]+/|(?:^|/)report\.md$"
)  # the reader's own files, and what studies write
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")


@dataclass(frozen=True)
class Code:
    """A code span (one line) or one line of a code block."""

    line: int
    text: str


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
class TestEveryDocument:
    def test_its_links_lead_somewhere(self, document: Path) -> None:
        wrong = [f"line {line}: {problem}" for line, link in _links(document) if (problem := _fault(document, link))]
        assert not wrong, "\n".join(wrong)

    def test_the_paths_it_names_exist(self, document: Path) -> None:
        places = (ROOT, ROOT / "src" / "lawful", document.parent)
        wrong = [
            f"line {code.line}: no file or folder {code.text}"
            for code in _spans(document)
            if PATH.match(code.text)
            and not NOT_HERE.search(code.text)
            and not any((place / code.text).exists() for place in places)
        ]
        assert not wrong, "\n".join(wrong)

    def test_the_tests_it_names_exist(self, document: Path) -> None:
        wrong = [
            f"line {code.line}: no {code.text}"
            for code in _spans(document)
            if "::" in code.text
            and code.text.startswith("tests/")
            and f"def {code.text.split('::')[1]}(" not in _text_of(ROOT / code.text.split("::")[0])
        ]
        assert not wrong, "\n".join(wrong)

    def test_the_make_targets_it_names_exist(self, document: Path) -> None:
        wrong = [
            f"line {code.line}: no target {target} in the Makefile; there are {', '.join(sorted(_targets()))}"
            for code in _code(document)
            for target in re.findall(r"(?:^|&& *|[A-Z_]+=\S+ )make ([a-z][\w-]*)", code.text)
            if target not in _targets()
        ]
        assert not wrong, "\n".join(wrong)

    def test_the_commands_it_names_exist_with_their_options(self, document: Path) -> None:
        wrong = [
            f"line {code.line}: {problem}"
            for code in _code(document)
            for command in re.findall(r"(?:^|&& *|[A-Z_]+=\S+ |-m |\.venv/bin/)lawful (.*)", code.text)
            if (problem := _command_fault(command.split("#")[0].split("&&")[0].split()))
        ]
        assert not wrong, "\n".join(wrong)

    def test_the_public_names_it_uses_exist(self, document: Path) -> None:
        wrong = [
            f"line {code.line}: no public name lawful.{name}; there are {', '.join(lawful.__all__)}"
            for code in _code(document)
            for name in re.findall(r"(?<![\w.])lawful\.(\w+)\(", code.text)
            if name not in lawful.__all__
        ]
        assert not wrong, "\n".join(wrong)


def _text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def test_a_planted_fault_of_each_kind_is_found(tmp_path: Path) -> None:
    document = tmp_path / "PLANTED.md"
    document.write_text("# One heading\n[a](nowhere.md) [b](#two-headings) [c](https://nodots) [d](#one-heading)\n")
    faults = [_fault(document, link) for _, link in _links(document)]
    assert [bool(fault) for fault in faults] == [True, True, True, False]
    assert _command_fault(["fitt", "runs.csv"])
    assert _command_fault(["fit", "runs.csv", "--lawe", "power"])
    assert _command_fault(["run", "shakespear"])
    assert not _command_fault(["fit", "runs.csv", "--law", "power"])


def _fault(document: Path, link: str) -> str | None:
    parts = urlsplit(link)
    if parts.scheme in ("http", "https"):  # only the form: tests do not depend on other people's servers
        return None if "." in (parts.hostname or "") else f"{link} is not an address"
    if parts.scheme:
        return f"{link}: expected a relative path or an http(s) address"
    target = document.parent / parts.path if parts.path else document
    if not target.exists():
        return f"{link} does not exist"
    if parts.fragment and parts.fragment not in _anchors(target):
        return f"{link}: no such heading; there are {', '.join(sorted(_anchors(target)))}"
    return None


def _command_fault(words: list[str]) -> str | None:
    """Walks the command line's own tree as far as the words name commands, then looks up each option."""
    command, names = _command_line(), ["lawful"]
    while words and hasattr(command, "list_commands"):
        known_commands = command.list_commands(None)
        if words[0].startswith(("-", "[")):
            break
        choices = [word for word in words.pop(0).split("|") if word.islower()]  # `lawful data list|verify NAME`
        for choice in choices:
            if choice not in known_commands:
                return f"{' '.join(names)} has no command {choice}; it has {', '.join(sorted(known_commands))}"
        if not choices:
            return None  # a placeholder
        command, names = command.get_command(None, choices[0]), [*names, choices[0]]
    is_name = bool(words) and words[0].islower() and words[0][0] != "-" and not words[0].endswith(".py")
    if names[-1] in ("plan", "run") and is_name:
        if words[0] not in studies.names():
            return f"there is no built-in study {words[0]}; there are {', '.join(studies.names())}"
    known = {option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]}
    for option in re.findall(r"(?<!\S)\[?(--[a-z][a-z-]*)", " ".join(words)):
        if option not in known | {"--help"}:
            return f"{' '.join(names)} has no option {option}; it has {', '.join(sorted(known))}"
    return None


@functools.cache
def _command_line():  # type: ignore[no-untyped-def]
    import typer.main

    from lawful.cli import app

    return typer.main.get_command(app)


@functools.cache
def _targets() -> frozenset[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return frozenset(re.findall(r"^([a-z][\w-]*):", text, flags=re.MULTILINE))


@functools.cache
def _anchors(document: Path) -> frozenset[str]:
    """Heading anchors as GitHub makes them: lower case, punctuation dropped, spaces to hyphens, repeats numbered."""
    seen: dict[str, int] = {}
    anchors = set()
    for _, line, is_code in _lines(document):
        if not is_code and (heading := re.match(r"#{1,6}\s+(.*?)\s*#*$", line)):
            slug = re.sub(r"[^\w\- ]", "", re.sub(r"`|\*", "", heading[1]).lower()).replace(" ", "-")
            anchors.add(slug if slug not in seen else f"{slug}-{seen[slug]}")
            seen[slug] = seen.get(slug, 0) + 1
    return frozenset(anchors)


def _links(document: Path) -> Iterator[tuple[int, str]]:
    for number, line, is_code in _lines(document):
        if not is_code:
            for link in LINK.findall(re.sub(r"`[^`]*`", "", line)):
                yield number, link


def _code(document: Path) -> Iterator[Code]:
    yield from _spans(document)
    for number, line, is_code in _lines(document):
        if is_code:
            yield Code(number, line.strip().removeprefix("$ "))


def _spans(document: Path) -> Iterator[Code]:
    for number, line, is_code in _lines(document):
        if not is_code:
            for text in re.findall(r"`([^`]+)`", line):
                yield Code(number, text)


def _lines(document: Path) -> Iterator[tuple[int, str, bool]]:
    """Number, text, and whether it stands in a block of code: fenced, or indented by four after a blank line."""
    is_fenced, is_indented, previous = False, False, ""
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), start=1):
        if line.lstrip().startswith("```"):
            is_fenced = not is_fenced
        elif not is_fenced:
            is_indented = line.startswith("    ") and (is_indented or not previous.strip())
            yield number, line, is_indented
        else:
            yield number, line, True
        previous = line


def test_lines_of_names_in_a_docstring_are_a_table_on_the_site() -> None:
    pytest.importorskip("griffe", reason="needs the packages of the site: pip install 'lawful[docs]'")
    aligned = import_file(ROOT / "docs" / "make" / "aligned.py")
    said = "What it is.\n\nrun, rung   the run\n            and its label\na|b         other\n\nA last line,\nin two."
    assert aligned.with_tables(said) == (
        "What it is.\n\n| name | what it is |\n|---|---|\n| `run, rung` | the run and its label |\n| `a\\|b` | other |"
        "\n\nA last line,\nin two."
    )
