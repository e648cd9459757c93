"""What the terminal says by itself: help, version, completion, explain, the list of studies, Ctrl+C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
import typer.main
from rich.text import Text
from typer.testing import CliRunner

import lawful
from lawful.cli import PANELS, app, explain, terminal
from lawful.cli.glossary import WORDS
from lawful.codes import CODES
from lawful.errors import DeclarationError
from lawful.fitting.published import PUBLISHED
from lawful.tables import COLUMNS


def commands() -> Iterator[tuple[str, click.Command]]:
    group = typer.main.get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        yield name, command
        yield from ((f"{name} {part}", child) for part, child in getattr(command, "commands", {}).items())


def test_the_version_is_told() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.output) == (0, f"lawful {lawful.__version__}\n")


def test_every_command_stands_once_in_the_order_in_which_people_work() -> None:
    own = [name for name, command in commands() if " " not in name and not hasattr(command, "commands")]
    assert own == [name for names in PANELS.values() for name in names]
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80"}).output
    assert [shown.index(panel) for panel in PANELS] == sorted(shown.index(panel) for panel in PANELS)
    assert len(shown.splitlines()) <= 2 * len(own) + 40, "a line or two for each command"


def test_no_help_holds_what_becomes_an_emoji() -> None:
    for name, command in commands():
        texts = [command.help or "", *(getattr(one, "help", None) or "" for one in command.params)]
        for text in texts:
            assert Text.from_markup(text).plain == Text.from_markup(text, emoji=False).plain, (name, text)


def test_a_table_of_data_shows_colons_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.console().print("lr=1:M:2")
    assert capsys.readouterr().out == "lr=1:M:2\n"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("not_certified", "What to do:"),
        ("chinchilla", "arXiv:2203.15556"),
        ("alpha", "in coupled: exponent where size alone binds"),
        ("E", "The floor"),
        ("loss_unit", "a column (text)"),
        ("not decided", "neither show it nor exclude it"),
        ("aicc", "A criterion of fit"),
        ("NEW-RUN", "one more run"),
    ],
)
def test_a_word_of_an_answer_is_explained_in_eighty_columns(asked: str, says: str) -> None:
    done = CliRunner().invoke(app, ["explain", *asked.split()])
    assert done.exit_code == 0, done.output
    assert says in " ".join(done.output.split())
    assert asked in CODES or max(map(len, done.output.splitlines())) <= 80


def test_without_a_word_everything_that_is_explained_is_listed_on_less_than_two_screens() -> None:
    done = CliRunner().invoke(app, ["explain"])
    names = [*WORDS, *CODES, *COLUMNS, *PUBLISHED, "chinchilla"]
    flat = " ".join(done.output.split())
    assert done.exit_code == 0 and [name for name in names if name not in flat] == []
    assert max(map(len, done.output.splitlines())) <= 80 and len(done.output.splitlines()) < 100


def test_an_unknown_word_is_asked_back() -> None:
    with pytest.raises(DeclarationError, match="did you mean 'not_certified'"):
        explain.explain(["not_certifed"])
    with pytest.raises(DeclarationError, match="lists the words"):
        explain.explain(["qqqqqqq"])


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("hofman", "hoffmann"),  # a published fit
        ("Chinchila", "chinchilla"),  # a law
        ("extrapolating", "far_extrapolation"),  # a code
        ("isoflops", "isoFLOP"),  # a word
        ("confidence interval", "interval"),
        ("params_totl", "params_total"),  # a column
    ],
)
def test_an_unknown_word_is_answered_with_names_of_every_kind(asked: str, meant: str) -> None:
    with pytest.raises(DeclarationError, match=f"did you mean .*'{meant}'"):
        explain.explain(asked.split())


def test_every_word_that_a_fit_prints_beside_its_numbers_is_explained() -> None:
    for word in ("fitted", "derived", "fixed", "cluster", "interval", "doubt", "note", "severe", "pivot", "objective"):
        assert explain._meanings(word), word


def test_a_shell_completes_laws_studies_and_words() -> None:
    found = CliRunner().invoke(
        app,
        [],
        prog_name="lawful",
        env={"_LAWFUL_COMPLETE": "complete_bash", "COMP_WORDS": "lawful explain not_c", "COMP_CWORD": "2"},
    )
    assert "not_certified" in found.output.split()


def test_studies_are_readable_in_eighty_columns_with_scales_and_settings() -> None:
    done = CliRunner().invoke(app, ["studies"], env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    assert max(map(len, done.output.splitlines())) <= 80
    own = done.output[done.output.index("\nshakespeare\n") :]
    assert "scales    smoke, quick, full, published" in own
    assert "settings  seeds: a whole number from 1 to 1,000" in own


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_is_answered_at_once_and_without_a_traceback() -> None:
    code = (
        "import sys, time\n"
        "from lawful.cli import main, explain\n"
        "explain._meanings = lambda word: print('begun', flush=True) or time.sleep(60)\n"
        "sys.argv = ['lawful', 'explain', 'alpha']\n"
        "main()\n"
    )
    asked = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert asked.stdout is not None and asked.stdout.readline() == "begun\n"
    asked.send_signal(signal.SIGINT)
    _, errors = asked.communicate(timeout=60)
    assert (asked.returncode, errors.strip()) == (130, "lawful: stopping.")
