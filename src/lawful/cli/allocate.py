"""lawful allocate and lawful isoflop: the best size and data for a budget."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from lawful.checks import PositiveFloat
from lawful.cli import options
from lawful.cli.asked import Fitted, Table, with_options
from lawful.cli.results import (
    By,
    amount,
    estimate,
    in_unit,
    named_inputs,
    parts_by,
    print_cautions,
    print_headline,
    print_plain,
)

Cost = Annotated[
    str,
    typer.Option(
        help="What is paid for: 6nd; exact (FLOPs per token as the table counts them); or a formula of N, D, T and "
        "names of --at, '6*N*D + 2*N*T'.",
        callback=options.cost,
    ),
]


def register(app: typer.Typer) -> None:
    app.command("allocate")(with_options(allocate_command))
    app.command("isoflop")(with_options(isoflop_command))


def allocate_command(
    asked: Fitted,
    flops: Annotated[
        str | None, typer.Option(help="The budget in FLOPs, or the unit of --cost: 1e21.", callback=options.counted)
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(help="Instead: a sum in the currency of --price.", callback=options.of(PositiveFloat)),
    ] = None,
    price: Annotated[
        str | None, typer.Option(help="'2e-18 per FLOP', or '2.5 per GPU-hour at 4e14 FLOP/s' (as reached).")
    ] = None,
    serve_tokens: Annotated[
        str | None,
        typer.Option(help="T: tokens of inference, 2 N FLOPs each, within the budget.", callback=options.counted),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option("--at", help="NAME=NUMBER or NAME=LEVEL: a fixed value of another input; may be repeated."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Also: where a doubling buys less than this loss.", callback=options.of(PositiveFloat)),
    ] = None,
    cost: Cost = "6nd",
) -> None:
    """The best size and data for a budget, with the band of sizes that waste at most 5 % of it."""
    from lawful.fitting.allocate import HOW
    from lawful.fitting.cost import exact_cost
    from lawful.fitting.headline import of_allocation
    from lawful.study import count

    table, law, columns = asked.ask(lambda law: {"params", "tokens"} <= set(law.inputs))
    found = asked.fit(table, law, columns)
    held = named_inputs(at or [])
    best = found.allocate(
        flops=None if flops is None else float(count(flops)),
        budget=budget,
        price=price,
        cost=exact_cost(table) if cost == "exact" else cost,
        serve_tokens=0.0 if serve_tokens is None else float(count(serve_tokens)),
        at=held,
    )
    of_law = {axis: value for axis, value in held.items() if axis in found.model.inputs}
    stops = found.diminishing_returns(threshold=threshold, at=of_law)
    if asked.as_json:
        print_plain({"allocation": best, "diminishing_returns": stops, "loss_unit": found.data.loss_unit})
        return
    print_headline(of_allocation(best))
    sums = "" if best.money is None else f", {best.money:.4g} at {best.price}"
    typer.echo(f"for {best.flops:.4g} FLOPs ({best.cost}){sums}:")
    if best.held:
        typer.echo("  held: " + ", ".join(f"{axis} {amount(value)}" for axis, value in best.held.items()))
    if best.serving is not None:
        typer.echo(f"  {'for inference':17}{estimate(best.serving)} FLOPs")
    for name in ("params", "tokens", "loss", "tokens_per_param", "N_exponent", "D_exponent"):
        unit = in_unit(found.data.loss_unit) if name == "loss" else ""
        typer.echo(f"  {name:17}{estimate(getattr(best, name))} {unit}".rstrip())
    first, last = map(estimate, best.band)
    typer.echo(f"  sizes from {first} to {last} waste at most 5 % of the compute")
    typer.echo(
        f"a doubling of {stops.axis} buys less than {stops.threshold:.3g} ({stops.threshold_is}) beyond "
        f"{estimate(stops.at)}"
    )
    for one in best.readings:
        typer.echo(
            f"without the law, {HOW[one.how]}: params {one.params:.4g} [{one.low:.4g}, {one.high:.4g}]"
            + (
                ""
                if any(c.code == "allocation_disagrees" for c in best.warnings)
                else "; they agree within their errors"
            )
        )
    said = {c.code for c in best.warnings if c.severity == "severe"}  # also those of other laws
    print_cautions((*best.warnings, *(c for c in stops.warnings if c not in best.warnings and c.code not in said)))


def isoflop_command(
    asked: Table,
    method: Annotated[
        str,
        typer.Option(
            help="interpolate, local, parabola or cubic; given: each row is the best of its budget already.",
            callback=options.of(Literal["interpolate", "local", "parabola", "cubic", "given"]),
        ),
    ] = "interpolate",
    by: By = None,
) -> None:
    """The best size at each budget, read off its curve, and how it grows with compute."""
    from lawful.fitting.headline import of_isoflop
    from lawful.fitting.isoflop import isoflop

    table, *_ = asked.read(suits=lambda law: {"params", "tokens"} <= set(law.inputs))
    out = {name: isoflop(part, method=method) for name, part in parts_by(table, by)}  # type: ignore[arg-type]
    if asked.as_json:
        print_plain([{"by": name, "isoflop": found} for name, found in out.items()] if by else next(iter(out.values())))
        return
    for name, found in out.items():
        print_headline(of_isoflop(found))
        low, high = found.N_exponent_ci95
        least, most = found.D_exponent_ci95
        typer.echo(
            f"{f'{by} = {name}: ' if by else ''}N* grows as C^{found.N_exponent:.3f} [{low:.3f}, {high:.3f}] and D* as "
            f"C^{found.D_exponent:.3f} [{least:.3f}, {most:.3f}] over "
            f"{sum(c.params is not None for c in found.curves)} budgets ({found.method})"
        )
        if found.by_method:
            typer.echo(
                "  by method: "
                + ", ".join(f"{key} {value:.3f}" for key, value in found.by_method.items())
                + (f"; Chinchilla surface {found.surface_exponent:.3f}" if found.surface_exponent else "")
            )
        for c in found.curves:
            if c.is_bracketed:
                at_best = "" if c.loss is None else f", loss {c.loss:.4f} {in_unit(found.loss_unit)}".rstrip()
                typer.echo(f"  at {c.flops:.4g} FLOPs: N* {c.params:.4g}, D* {c.tokens:.4g}{at_best}")
        print_cautions(found.warnings)
