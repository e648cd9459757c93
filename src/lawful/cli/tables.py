"""The commands that look at tables and write them: check, convert, merge. Thin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lawful.cli.asked import Source, Table, names_of, with_options
from lawful.errors import DeclarationError

MOST_LISTED = 8  # rows that were left out
Out = Annotated[Path, typer.Argument(help="The file to write: a new .csv.")]


def register(app: typer.Typer) -> None:
    app.command("check")(with_options(check_command))
    app.command("convert")(with_options(convert_command))
    app.command("merge")(merge_command)


def check_command(asked: Table) -> None:
    """Look at a table: its columns, what is pooled, which laws it can carry. Exits 1 when it cannot be used."""
    import dataclasses
    import json

    from lawful.fitting.table_check import check
    from lawful.storage.json_files import plain

    how: Any = {
        **asked.columns,
        "response": asked.response,
        "chance": asked.chance,
        "where": asked.where or (),
        "as_noise": asked.as_noise or (),
        "units": asked.units,
        "reduce": asked.reduce,
        "best": names_of(asked.best_over),
        "skip_bad_rows": asked.skip_bad_rows,
    }
    found = check(asked.source, **how)
    typer.echo(json.dumps(plain(dataclasses.asdict(found)), indent=2) if asked.as_json else found.summary())
    if found.problem:
        raise typer.Exit(1)


def convert_command(asked: Source, out: Out) -> None:
    """Write any record of runs as a tidy table: params, tokens, loss, ... and where each row came from."""
    from lawful.tables.convert import tidy

    _write(tidy(asked.table()), out)


def merge_command(
    first: Annotated[str, typer.Argument(help="A table or a study folder.")],
    second: Annotated[str, typer.Argument(help="A second table or study folder.")],
    out: Out,
) -> None:
    """Write two tables, or two studies, as one tidy table. What stands in both counts once."""
    from lawful.tables import read_runs
    from lawful.tables.convert import merged

    _write(merged([read_runs(first), read_runs(second)]), out)


def _write(table: Any, out: Path) -> None:
    from lawful.tables import write_csv

    if out.exists():
        raise DeclarationError(f"{out}: expected the name of a new file, got one that exists.")
    if out.suffix.lower() != ".csv":
        raise DeclarationError(f"{out}: expected a name that ends with .csv.")
    write_csv(out, table.rows, columns=table.columns)
    for line in table.said:
        typer.echo(f"read: {line}", err=True)
    for gone in table.dropped[:MOST_LISTED]:
        typer.echo(f"left out: row {gone['row']}: {gone['reason']}", err=True)
    if len(table.dropped) > MOST_LISTED:
        typer.echo(f"left out: {len(table.dropped) - MOST_LISTED} more", err=True)
    typer.echo(f"{out}: {len(table)} runs; go on with `lawful check {out}`")
