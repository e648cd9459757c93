"""The commands; thin. Each module of this folder registers its own, and imports what it needs when it runs."""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from pathlib import Path

import typer

from lawful.cli import adopt, data, doctor, explain, fitting, new, studies, tables, watch
from lawful.cli.terminal import guarded
from lawful.errors import LawfulError, Refusal, in_words
from lawful.report.tables import printable

app = typer.Typer(
    name="lawful",
    help="Declare a question, train a ladder of small models, fit the law with honest uncertainty, read one page.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for part in (studies, new, adopt, doctor, watch, tables, fitting, data, explain):
    part.register(app)
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
        print(printable(f"lawful: {message}"), file=sys.stderr)
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
