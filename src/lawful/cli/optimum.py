"""lawful optimum: the best settings of sweeps, and how they grow with size and data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lawful.cli.asked import Source, names_of, numbers, with_options
from lawful.cli.results import print_cautions, print_json, print_read

if TYPE_CHECKING:
    from lawful.fitting.allocate import Interval
    from lawful.fitting.optima import OptimumCell, OptimumOver
    from lawful.fitting.optima_law import OptimumLaw


def register(app: typer.Typer) -> None:
    app.command("optimum")(with_options(optimum_command))


def optimum_command(
    asked: Source,
    over: Annotated[str, typer.Option(help="Columns of the settings that were swept: learning_rate,batch_size.")],
    by: Annotated[
        str,
        typer.Option(
            "--by", help="Columns whose values mark one sweep; or N, D, C, U (size, tokens, FLOPs, unique tokens)."
        ),
    ] = "N,D",
    at: Annotated[
        list[str] | None, typer.Option("--at", help="Also the optimum there: NAME=NUMBER for each of --by.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """The best learning rate or batch size of sweeps, and its law."""
    import dataclasses

    from lawful.fitting.optima import optimum

    told = {role: asked.columns[role] for role in ("params", "tokens", "flops", "loss")}
    table = asked.table()
    found = optimum(table, over=names_of(over), by=names_of(by), **told)
    point = numbers(at or [], "--at")
    there = {name: law.predict(is_of_cell=False, **point) for name, law in found.laws.items()} if point else {}
    if as_json:
        out = {**dataclasses.asdict(found), "at": {name: dataclasses.asdict(one) for name, one in there.items()}}
        print_json(out)
        return
    print_read(table)
    typer.echo("\n".join([*_laws(found), "", *_cells(found.read)]))
    if there:
        typer.echo(f"\nat {', '.join(f'{name} {value:.4g}' for name, value in point.items())}:")
        for name, one in there.items():
            typer.echo(f"  {name} {_interval(one)}")
    print_cautions(found.warnings)


def _laws(found: OptimumOver) -> list[str]:
    lines = []
    for name, law in found.laws.items():
        middle = ", ".join(f"{axis} {value:.3g}" for axis, value in law.centre.items())
        lines.append(f"{name}* = {_interval(law.value)} at {middle}; it grows as {_powers(law)}")
        lines.append(f"  {law.cells} cells scatter by {100 * law.scatter:.2g} % about it, beside the errors of reading")
        lines += [
            f"  in {axis} alone: {_powers(one)}, scatter {100 * one.scatter:.2g} %"
            for one in found.alone[name]
            for axis in one.inputs
        ]
    return lines


def _powers(law: OptimumLaw) -> str:
    return " ".join(f"{axis}^{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]" for axis, one in law.exponents.items())


def _cells(cells: tuple[OptimumCell, ...]) -> list[str]:
    """A line for each optimum."""
    return [
        f"{', '.join(f'{axis} {value:.3g}' for axis, value in cell.at.items())} ({cell.window} of {cell.runs} runs): "
        + "; ".join(
            f"{name} {_interval(one)}, half or twice it costs {100 * cell.miss_of_two[name]:.2g} % of the loss"
            for name, one in cell.settings.items()
        )
        for cell in cells
    ]


def _interval(one: Interval) -> str:
    return f"{one.value:.3g} [{one.low:.3g}, {one.high:.3g}]"
