"""No text of a folder, table or model gives the terminal an order: control characters are shown as such."""

from __future__ import annotations

import ast
import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import lawful
from lawful import cli
from lawful.cli import terminal
from lawful.report.tables import markdown_text, printable
from lawful.schema import CorpusRecord, Question, Warning
from lawful.storage.atomic import write_json
from lawful.storage.layout import Store
from records import planned_run, write_plan

# the clipboard, the title, a colour, a line that is written over, text that runs backwards, C1, half a letter; and what
# rich and matplotlib take for markup
EVIL = (
    "\x1b]52;c;cm0gLXJmIH4=\x07\x1b]0;title\x07\x1b[31mred\rgone\b\x9b2J\u202egnp.exe\u2066\x85\x00\x7f\ud800"
    "[bold]b[/]$\\frac{$<img src=x onerror=a()>[a](javascript:a())"
)
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object) -> str:
    """What a command printed, on both streams."""
    monkeypatch.setattr(sys, "argv", ["lawful", *map(str, words)])
    try:
        cli.main()
    except SystemExit:
        pass
    found = capsys.readouterr()
    return found.out + found.err


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A study of which every text that is shown holds EVIL."""
    folder, rungs = tmp_path / "hostile", []
    for number in range(1, 13):
        run_id, arm = f"{number:012x}", f"{EVIL}{number % 2}"
        counts = {"params_non_embedding": 10**number, "tokens": 1000, "params_total": 10**number}
        at = {EVIL: number}
        rungs.append(planned_run(run_id, rung=f"{EVIL}={number}", at=at, corpus=EVIL, arm=arm, **counts))
        result = {"status": "finished", "loss": 2 + 5 * (10**number) ** -0.2 * (1 + 0.01 * (number % 2))}
        if number > 10:
            result = {"status": "failed", "reason": EVIL}
        write_json(Store(folder).result(run_id), result)
        Store(folder).weights(run_id).write_bytes(b"")
    write_plan(
        folder,
        *rungs,
        name=EVIL,
        question=EVIL,
        scale=EVIL,
        questions=(Question(name="size", asks=EVIL, law="power_floor:params"),),
        corpora={
            EVIL: CorpusRecord(
                fingerprint=EVIL, tokenizer=EVIL, vocabulary=4, licence=EVIL, source=EVIL, value={"is": EVIL}
            )
        },
        warnings=(Warning(EVIL, "warning", EVIL),),
        faults=(EVIL,),
        arm=EVIL,
        command=EVIL,
        settings={EVIL: EVIL},
    )
    return folder


@pytest.mark.filterwarnings("default")  # fonts lack what a label may hold
def test_a_hostile_folder_prints_nothing_that_a_terminal_obeys(
    hostile: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in (
        ("report", hostile),
        ("status", hostile),
        ("fit", hostile),
        ("predict", hostile, "--params", "1e6"),
        ("compare", hostile, "--by", "arm", "--law", "power_floor:params"),
        ("fit", hostile / "observations.csv", "--by", "arm", "--law", "power_floor:params"),
        ("resume", hostile, "--only", "nothing"),
        ("sample", hostile, "nothing"),
    ):
        said = say(capsys, monkeypatch, *words)
        assert "\\x1b" in said or words[0] == "predict", words
        assert not OBEYED.search(said), (words, OBEYED.findall(said))
    document = (hostile / "report.md").read_text()
    assert not OBEYED.search(document)
    without_code = re.sub(r"(?s)```.*?```|`[^`\n]*`", "", document)
    assert "<img" not in without_code and not re.search(r"(?<!\\)\]\(javascript", without_code)
    assert "<img src=x" not in (hostile / "report.html").read_text()


def test_json_stays_json(hostile: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    said = say(capsys, monkeypatch, "status", hostile, "--json")
    assert json.loads(said)["name"] == EVIL and not OBEYED.search(said)


def test_an_error_that_quotes_a_cell_shows_its_control_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "runs.csv"
    table.write_text("params,loss\n1,2\n\x1b]52;c;x\x07,3\n", encoding="utf-8")
    said = say(capsys, monkeypatch, "fit", table)
    assert "x1b]52" in said and not OBEYED.search(said)


def test_colours_of_our_own_reach_a_terminal_and_those_of_a_label_do_not(
    hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lawful.report.progress import study_status
    from lawful.report.status_shown import status_table

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "500")
    monkeypatch.setattr(sys, "stdout", screen := Screen())
    terminal.guarded(lambda: terminal.console().print(status_table(study_status(hostile))))()
    shown = screen.getvalue()
    assert "\x1b[" in shown, "no colours at all"
    without = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert not OBEYED.search(without)
    assert "\\x1b[31mred" in without and "[bold]b[/]" in without


def test_everything_that_a_command_prints_passes_the_guard() -> None:
    for group in (cli.app, *(found.typer_instance for found in cli.app.registered_groups)):
        assert group is not None
        for command in group.registered_commands:
            assert command.callback is not None and command.callback.__code__ is terminal.guarded(print).__code__
    source = Path(lawful.__file__).parent / "cli"
    for path in source.glob("*.py"):
        names = [node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)]
        assert path.name == "terminal.py" or not {"Console", "buffer", "__stdout__", "__stderr__"} & set(names), path


def test_the_guard_has_no_way_around_it(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        import typer

        print("\x1b[2J")
        typer.echo("\x9b2J")
        sys.stdout.writelines(iter(["\x07"]))
        assert not hasattr(sys.stdout, "buffer") and sys.stdout.encoding

    terminal.guarded(command)()
    assert capsys.readouterr().out == "\\x1b[2J\n\\x9b2J\n\\x07"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain: ä, 日本, 👍🏽, a\tb\n", "plain: ä, 日本, 👍🏽, a\tb\n"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\rb\bc", "a\\rb\\x08c"),
        ("\u202eabc\u2069", "\\u202eabc\\u2069"),
        ("\x85\x9b", "\\x85\\x9b"),
        ("\x7f", "\\u007f"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_printable_by_hand(text: str, shown: str) -> None:
    assert printable(text) == shown
    printable(text).encode()  # and every terminal can have it


def test_markdown_from_data_opens_nothing() -> None:
    assert markdown_text("# a") == "\\# a" and markdown_text("~~~") == "\\~~~"
    assert markdown_text("<img src=x onerror=y> [a](b) `c` |d|") == (
        "&lt;img src=x onerror=y&gt; \\[a\\](b) \\`c\\` \\|d\\|"
    )


def test_progress_of_data_keeps_its_own_line_and_shows_a_hostile_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lawful.cli import data

    monkeypatch.setattr(data, "QUIET_SECONDS", -1.0)
    monkeypatch.setattr(data.time, "monotonic", iter([0.0, 99.0]).__next__)
    shown: list[Callable[[str, float], None]] = []
    terminal.guarded(lambda: shown.append(data.show_progress()) or shown[0]("\x1b]0;x\x07", 0.5))()  # type: ignore[func-returns-value]
    assert capsys.readouterr().err == "\\x1b]0;x\\x07: 50%, 99 s\n"


def test_a_long_line_is_broken_between_words_and_a_command_is_never_broken() -> None:
    quoted = "there is no curve of loss against size at a budget; `lawful allocate runs.csv` reads it off a law"
    lines = terminal.wrapped(quoted, 52).split("\n")
    assert max(map(len, lines)) <= 52
    assert " ".join(line.strip() for line in lines) == quoted
    assert any("`lawful allocate runs.csv`" in line for line in lines)
    command = "next: lawful compare a_table_with_a_long_name.csv --law power_floor:flops --by arm"
    assert terminal.wrapped(command, 40) == command
    assert terminal.wrapped('{"a": "one two three four"}', 10) == '{"a": "one two three four"}'


def test_what_any_command_prints_on_a_terminal_is_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen, pipe = Screen(), io.StringIO()
    for stream in (screen, pipe):
        print("one two three four five six seven", file=terminal.Printable(stream))  # type: ignore[arg-type]
    assert max(map(len, screen.getvalue().split("\n"))) <= 20
    assert pipe.getvalue() == "one two three four five six seven\n"
