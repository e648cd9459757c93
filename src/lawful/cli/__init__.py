"""The commands; thin. Each module of this folder registers its own, and imports what it needs when it runs."""

from __future__ import annotations

import os
import sys

import typer

from lawful.cli import data, doctor, explain, fitting, studies, watch
from lawful.cli.terminal import guarded
from lawful.errors import LawfulError, Refusal
from lawful.report.tables import printable
from lawful.store import is_disk_full

app = typer.Typer(
    name="lawful",
    help="Declare a question, train a ladder of small models, fit the law with honest uncertainty, read one page.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for part in (studies, doctor, watch, fitting, data, explain):
    part.register(app)
for group in (app, *(found.typer_instance for found in app.registered_groups)):
    for command in group.registered_commands if group else ():
        command.callback = command.callback and guarded(command.callback)


def main() -> None:
    """Errors a user can mend end with their sentence and status 2; anything else is a bug and shows its traceback."""
    os.environ.setdefault(
        "OMP_NUM_THREADS", "1"
    )  # before numpy: its matrices here are small, threads only get in the way
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        app()
    except LawfulError as error:
        _fail(f"{error} (`lawful explain {error.code}`)" if isinstance(error, Refusal) else str(error))
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "safetensors"):
            raise
        _fail(f"training needs {error.name}, which is not installed: pip install 'lawful[train]'.")
    except OSError as error:
        if is_disk_full(error):
            _fail(f"disk full: {error}. Nothing that was finished is lost; make room and `lawful resume` the folder.")
        _fail(f"{error.filename or 'the system'}: {error.strerror or error}.")


def _fail(message: str) -> None:
    print(printable(f"lawful: {message}"), file=sys.stderr)
    sys.exit(2)
