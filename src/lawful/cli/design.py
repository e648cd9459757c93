"""lawful design, power and checklist: what to train next, how many seeds, and what a paper should say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lawful.checks import PositiveFloat
from lawful.cli import options
from lawful.cli.asked import Fitted, LawName, numbers, with_options
from lawful.cli.results import amount, print_cautions, print_plain
from lawful.errors import DeclarationError

Values = Annotated[list[str] | None, typer.Option("--value", help="NAME=NUMBER, a parameter of the law.")]


def register(app: typer.Typer) -> None:
    app.command("design")(with_options(design_command))
    app.command("power")(with_options(power_command))
    app.command("checklist")(with_options(checklist_command))


def design_command(
    asked: Fitted,
    target: Annotated[str | None, typer.Option(help="A parameter, or params=7e9,tokens=1e12.")] = None,
    budget: Annotated[
        str | None, typer.Option(help="FLOPs one run may cost (under a law that says them).", callback=options.counted)
    ] = None,
) -> None:
    """Which run to do next to shrink a target's error most per FLOP."""
    from lawful.fitting.design import design
    from lawful.study import count

    found = design(
        asked.fit(*asked.ask()),
        budget=None if budget is None else float(count(budget)),
        target=numbers(target.split(","), "--target") if target and "=" in target else target,
    )
    if asked.as_json:
        print_plain(found)
        return
    typer.echo(f"standard error of {found.target} now: {found.stderr_now:.3g}")
    unit = {"FLOPs": "FLOP", "params": "parameter", "tokens": "token"}.get(found.unit, found.unit)
    shown = [(f"most per {unit}", found.best)]
    if found.best_within_budget is not None:
        shown.append(("most" if budget is None else "most within the budget", found.best_within_budget))
    for label, run in shown:
        at = ", ".join(f"{axis} {amount(value, '.3g')}" for axis, value in run.at.items())
        typer.echo(f"{label}: {at} ({run.cost:.3g} {found.unit}): {run.stderr_after:.3g}")
    print_cautions(found.warnings)


def power_command(
    shift: Annotated[
        float, typer.Option(help="The difference of the exponents to be seen.", callback=options.of(float))
    ],
    sigma: Annotated[float, typer.Option(help="Spread of log loss between seeds.", callback=options.of(PositiveFloat))],
    params: Annotated[str | None, typer.Option(help="Sizes: 1e6,1e7,1e8,...", callback=options.counted_each)] = None,
    tokens: Annotated[str | None, typer.Option(help="Tokens of the same runs.", callback=options.counted_each)] = None,
    law: LawName = None,
    value: Values = None,
    floor: Annotated[str, typer.Option(help="own or shared.", callback=options.of(Literal["own", "shared"]))] = "own",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """How many seeds per arm it takes to see a shift of the exponent."""
    from lawful.fitting.design import power
    from lawful.study import count

    given = {"params": params, "tokens": tokens}
    at = {axis: [float(count(part)) for part in text.split(",")] for axis, text in given.items() if text is not None}
    if not at:
        raise DeclarationError("power: expected the points of the ladder, as --params 1e6,1e7,... or --tokens ...")
    law = law or ("chinchilla" if len(at) == 2 else f"power_floor:{next(iter(at))}")
    found = power(law, numbers(value or [], "--value"), at=at, shift=shift, sigma=sigma, floor=floor)  # type: ignore[arg-type]
    if as_json:
        print_plain(found)
        return
    seeds = "1 seed" if found.seeds == 1 else f"{found.seeds} seeds"
    typer.echo(
        f"{seeds} per arm to see {found.parameter} shift by {shift:g} with power {found.power:g} at level "
        f"{found.level:g} (a floor {'per arm' if floor == 'own' else 'shared by the arms'}; with one seed the "
        f"difference has a standard error of {found.stderr_one_seed:.3g})"
    )


def checklist_command(asked: Fitted) -> None:
    """The reproducibility checklist of arXiv:2502.18969, answered as far as is recorded."""
    from lawful.fitting.checklist import as_text
    from lawful.storage.layout import Store

    study = Store(Path(asked.source)).read_study() if asked.is_study else None
    items = asked.fit(*asked.ask()).checklist(study)
    if asked.as_json:
        print_plain(items)
    else:
        typer.echo(as_text(items))
