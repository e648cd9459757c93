"""lawful status: what is done, running and waiting."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lawful.cli.study_options import AsJson
from lawful.cli.terminal import console


def register(app: typer.Typer) -> None:
    app.command()(status)


def status(folder: Annotated[Path, typer.Argument(help="A study's folder.")], as_json: AsJson = False) -> None:
    """Say what is done, running and waiting, from the folder alone; on any machine that sees it."""
    from lawful.report import progress, status_shown
    from lawful.storage.json_files import as_text

    state = progress.study_status(folder)
    if as_json:
        print(as_text(status_shown.status_json(state)))
    else:
        console().print(status_shown.status_table(state))
