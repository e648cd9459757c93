"""The command `transfer`: do hyperparameters of small models serve larger ones? Thin."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from lawful.cli.asked import Source, names_of, with_options
from lawful.cli.results import print_json, print_read

if TYPE_CHECKING:
    from lawful.fitting.transfer import ArmTransfer, Transfer

Along = Annotated[str, typer.Option("--along", help="Columns of sizes, A,B; those that the table lacks are skipped.")]
By = Annotated[str | None, typer.Option("--by", help="Column of the parametrisations (default: parametrisation).")]
Rate = Annotated[str, typer.Option("--rate", help="Column of the learning rate.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    app.command("transfer")(with_options(transfer_command))


def transfer_command(
    asked: Source,
    along: Along = "width,depth",
    by: By = None,
    rate: Rate = "learning_rate",
    as_json: AsJson = False,
) -> None:
    """Whether a small model's learning rate serves larger ones. Also: whether activations change alike."""
    from lawful.fitting.transfer import transfer

    table = asked.table()
    found = transfer(table, along=names_of(along), by=by, rate=rate, loss=asked.loss_column)
    if as_json:
        print_json(_as_json(found))
        return
    print_read(table)
    for arm in found.arms:
        _print_arm(arm)


def _as_json(found: Transfer) -> dict[str, object]:
    """All fields, and the verdicts, which are properties."""
    arms = [
        {
            **dataclasses.asdict(arm),
            "verdict": arm.verdict,
            "slopes": [{**dataclasses.asdict(slope), "verdict": slope.verdict} for slope in arm.slopes],
        }
        for arm in found.arms
    ]
    return {**dataclasses.asdict(found), "arms": arms}


def _print_arm(arm: ArmTransfer) -> None:
    typer.echo(arm.sentence)
    for slope in arm.slopes:
        low, high = slope.limits
        interval = f"{slope.value:6.2f}  [{slope.low:5.2f}, {slope.high:5.2f}]  within {low:.2f} to {high:.2f}"
        typer.echo(f"  {slope.what:18} along {slope.along:6} {interval}  {slope.verdict}")
    for why in arm.left_out:
        typer.echo(f"  left out: {why}")
