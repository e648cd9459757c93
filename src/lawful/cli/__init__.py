"""The commands; thin. Each module of this folder registers its own, and imports what it needs when it runs."""

from __future__ import annotations

import os
import re
import signal
import sys
import sysconfig
import traceback
from pathlib import Path
from typing import Annotated

import typer
from typer.models import CommandInfo

from lawful import __version__
from lawful.cli import (
    adopt,
    allocate,
    compare,
    data,
    design,
    discover,
    doctor,
    explain,
    extend,
    fit,
    gate,
    new,
    new_plugin,
    next_runs,
    optimum,
    plan,
    predict,
    publish,
    report,
    run,
    sample,
    status,
    studies,
    tables,
    transfer,
    watch,
)
from lawful.cli.terminal import Printable, answer_interrupts, guarded
from lawful.errors import LawfulError, Refusal, in_words
from lawful.report.tables import printable

app = typer.Typer(
    name="lawful",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
# the help lists commands in the order in which people need them
PANELS = {
    "Runs that you have": ("check", "fit", "predict", "report", "convert", "merge"),
    "Questions to a law": (
        *("compare", "crossover", "allocate", "isoflop", "holdout", "design", "next", "power", "replay"),
        *("optimum", "discover", "transfer", "gate", "checklist"),
    ),
    "Train a ladder of runs": (
        "studies",
        "new",
        "plan",
        "run",
        "watch",
        "status",
        "resume",
        "extend",
        "adopt",
        "sample",
        "publish",
    ),
    "Look up": ("explain", "laws", "doctor"),
    "Extend lawful": ("new-plugin",),
}


def _told_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"lawful {__version__}")
        raise typer.Exit


@app.callback()
def lawful(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_told_version, is_eager=True)
    ] = False,
) -> None:
    """Fit scaling laws to finished runs, or train a ladder of small models first; intervals, doubts, one page."""


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=\.) ", " ".join(text.split()), maxsplit=1)[0]


def _name_of(command: CommandInfo) -> str:
    return command.name or str(getattr(command.callback, "__name__", ""))


PARTS = (
    *(tables, fit, predict, report, compare, allocate, design, next_runs, optimum, discover, transfer, gate),
    *(studies, new, plan, run, watch, status, extend, adopt, sample, publish),
    *(explain, doctor, data, new_plugin),
)
for part in PARTS:
    part.register(app)
PANEL_OF = {name: panel for panel, names in PANELS.items() for name in names}
app.registered_commands.sort(key=lambda command: list(PANEL_OF).index(_name_of(command)))
for command in app.registered_commands:
    command.rich_help_panel = PANEL_OF[_name_of(command)]
    command.short_help = _first_sentence(command.callback.__doc__ or "")
for found in app.registered_groups:
    found.rich_help_panel = "Look up"
for group in (app, *(found.typer_instance for found in app.registered_groups)):
    for command in group.registered_commands if group else ():
        command.callback = command.callback and guarded(command.callback)

REFUSED = 2  # exit status: an error that the user can mend
BUG = 70  # exit status: an error that they cannot (EX_SOFTWARE)


def main() -> None:
    """Errors a user can mend end with their sentence and status 2; anything else is a bug and shows its traceback."""
    # before numpy is imported: its matrices are small here, and threads slow them down
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if sys.stdout is not None:
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # names of files may be no text
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # of a job in a shell's background
        answer_interrupts()
    status = _run()
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python tries again as it ends
        if isinstance(error, BrokenPipeError):  # `lawful studies | head -1` has read what it wanted
            status = status or 1
        else:
            error.filename = "standard output"
            status = status or _failed(in_words(error))
    sys.exit(status)


def _run() -> str | int | None:
    """Run the command; its exit status."""
    try:
        app()
    except SystemExit as end:
        return end.code
    except LawfulError as error:
        return _failed(f"{error} (`lawful explain {error.code}`)" if isinstance(error, Refusal) else str(error))
    except OSError as error:
        return _failed(in_words(error))
    except Exception as error:
        print(printable(traceback.format_exc()), file=sys.stderr, end="")
        return _failed(_whose_bug(error), BUG)
    return 0


def _failed(message: str, status: int = REFUSED) -> int:
    if sys.stderr is not None:
        print(f"lawful: {message}", file=Printable(sys.stderr))
    return status


def _whose_bug(error: Exception) -> str:
    """In which code the error arose, lawful's or the user's own; libraries and Python itself are passed over."""
    ours, standard = Path(__file__).parents[1], Path(sysconfig.get_path("stdlib"))
    places = [(Path(frame.f_code.co_filename), line) for frame, line in traceback.walk_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((Path(error.filename), error.lineno or 0))
    for path, line in reversed(places):
        if ours in path.parents:
            break
        is_library = standard in path.parents or {"site-packages", "dist-packages"} & set(path.parts)
        if path.is_file() and not is_library:
            return f"this is an error in your own file {path}, line {line}; the traceback above says more."
    return (
        "this is a bug in lawful: please report it to lawful's maintainers, with the command and the traceback above."
    )
