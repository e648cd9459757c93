"""`lawful data extract`: the sessions of some splits, from the archive of all."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lawful.cli.data import show_progress

Archive = Annotated[Path, typer.Argument(help="The one archive that holds all sessions (.tar or .tar.gz).")]
Splits = Annotated[
    list[Path], typer.Option("--split", help="A split file: generic.yaml, or user0.yaml to user7.yaml. Repeatable.")
]
Into = Annotated[Path, typer.Option("--into", help="Folder for the sessions that are kept.")]


def command(archive: Archive, split: Splits, into: Into) -> None:
    """Keep from the archive of emg2qwerty only the sessions of some splits; reads it once."""
    from lawful.domains.emg import sessions

    kept = sessions.extract(archive, split, into, progress=show_progress())
    typer.echo(f"{len(kept)} files in {into}; use them as --data {into} with --set split={split[0]}")
