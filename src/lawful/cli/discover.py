"""The command `discover`: search for the formula of a table. Thin."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from lawful.cli.asked import ClusterColumn, Seed, Table, names_of, with_options
from lawful.cli.results import print_json

if TYPE_CHECKING:
    from lawful.fitting.discover import Discovery, TriedForm

SAID_EACH = 5.0  # seconds between two lines of progress
MOST_SHOWN = 6  # forms
Inputs = Annotated[str, typer.Option("--inputs", help="What the loss may depend on, up to four: N,D,E; or columns.")]


def register(app: typer.Typer) -> None:
    app.command("discover")(with_options(discover_command))


def discover_command(asked: Table, inputs: Inputs, cluster: ClusterColumn = None, seed: Seed = 0) -> None:
    """Search for the formula of a table. Rank forms by their errors on rungs left out; say how sure the choice is."""
    import dataclasses

    from lawful.fitting.discover import discover

    table, _, columns = asked.read()
    roles = {role: columns[role] for role in ("params", "tokens", "loss", "flops")}
    found = discover(table, names_of(inputs), **roles, cluster=cluster, seed=seed, progress=_Said())
    if asked.as_json:
        print_json(dataclasses.asdict(found))
        return
    typer.echo(found.sentence)
    values = ", ".join(f"{name} {value:.4g}" for name, value in found.forms[0].values.items())
    typer.echo(f"parameters of its best fit: {values}")
    typer.echo(f"\n{'chosen':>6}  {'left out':>8}  {'largest':>8}  {'params':>6}  form")
    for form in found.forms[:MOST_SHOWN]:
        beyond = "" if form.beyond is None else f"{100 * form.beyond:.2g} %"
        left = f"{100 * form.held_out:.2g} %"
        typer.echo(f"{100 * form.chosen:4.0f} %  {left:>8}  {beyond:>8}  {form.parameters:6}  {form.formula}")
    typer.echo("\nnext, for intervals, which do not include the choice between forms:")
    typer.echo(f"  {_command(asked, found, found.forms[0])}")


def _command(asked: Table, found: Discovery, form: TriedForm) -> str:
    from lawful.tables.roles import shell_word

    bounds = "".join(f" --bounds {name}={low:g}:{high:g}" for name, (low, high) in form.bounds.items())
    options = " ..." if asked.has_options else ""
    return f"lawful fit {shell_word(asked.source)} --law '{form.formula}'{bounds}{options}"


class _Said:
    """A line on standard error every few seconds."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def __call__(self, tried: int, formula: str) -> None:
        if time.monotonic() - self.last >= SAID_EACH:
            self.last = time.monotonic()
            print(f"tried {tried} forms; leading: {formula}", file=sys.stderr, flush=True)
