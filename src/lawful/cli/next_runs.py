"""lawful next: which runs to do next, so that a stated answer narrows most for each FLOP."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from lawful.checks import PositiveInt
from lawful.cli import options
from lawful.cli.asked import Fitted, with_options
from lawful.cli.results import amount, print_cautions, print_plain
from lawful.errors import DeclarationError


def register(app: typer.Typer) -> None:
    app.command("next")(with_options(next_command))


def next_command(
    asked: Fitted,
    goal: Annotated[
        str,
        typer.Option(
            help="What to know and how well: 'N_exponent within .02', 'L at 1e20 within 1 %', "
            "'L at params=7e9,tokens=1.4e11 within 1 %'."
        ),
    ],
    budget: Annotated[str, typer.Option(help="FLOPs (or the unit of --cost) for the batch.", callback=options.counted)],
    batch: Annotated[int, typer.Option(help="The largest number of runs.", callback=options.of(PositiveInt))] = 8,
    ranges: Annotated[
        str | None,
        typer.Option(help="Where runs can be done: params=1e5..1e8,tokens=1e6..1e9 (default: where the runs are)."),
    ] = None,
    cost: Annotated[
        str,
        typer.Option(help="What a run costs: 6nd, or a formula of N and D, '6*N*D + 2e9*D'.", callback=options.cost),
    ] = "6nd",
) -> None:
    """Which runs to do next, so that a stated answer narrows most for each FLOP."""
    from lawful.fitting.goal import read_goal, said_width
    from lawful.fitting.next_runs import next_runs
    from lawful.fitting.stopping import WIDENED
    from lawful.study import count

    stated = read_goal(goal)  # before the table is read: a slip is told at once
    within = parsed_ranges(ranges)
    found = next_runs(
        asked.fit(*asked.ask(lambda law: {"params", "tokens"} <= set(law.inputs))),
        goal=goal,
        budget=float(count(budget)),
        batch=batch,
        ranges=within,
        cost=cost,
        seed=asked.seed,
    )
    if asked.as_json:
        print_plain(found)
        return
    now = f"half-width now {said_width(stated, found.now)}" if found.now < math.inf else "no interval today"
    typer.echo(
        f"goal: {found.goal}; {now}, enough is {said_width(stated, found.half_width)} once widened {WIDENED:g} times: "
        "who stops at a narrow look stops where the interval happens to be too narrow"
    )
    if not found.runs:
        typer.echo("The goal is met: no run is needed for it.")
    for number, run in enumerate(found.runs, start=1):
        at = ", ".join(f"{axis} {amount(value, '.4g')}" for axis, value in run.at.items())
        typer.echo(f"  {number}. {at} ({run.cost:.3g} FLOPs): {said_width(stated, run.expected)} after it; {run.why}")
    if found.runs:
        verdict = "the goal is then met" if found.is_met else "the goal is not met yet"
        typer.echo(
            f"{len(found.runs)} runs of {found.cost:.3g} FLOPs ({found.priced_by}): half-width "
            f"{said_width(stated, found.expected)} expected, {verdict}"
        )
    if len(found.laws) > 1:
        shares = sorted(found.laws.items(), key=lambda pair: -pair[1])
        typer.echo("averaged over " + ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares))
    print_cautions(found.warnings)


def parsed_ranges(text: str | None) -> dict[str, tuple[float, float]] | None:
    """AXIS=LOW..HIGH, with commas between."""
    from lawful.study import count

    if text is None:
        return None
    out: dict[str, tuple[float, float]] = {}
    for part in text.split(","):
        axis, sign, span = part.partition("=")
        low, dots, high = span.partition("..")
        axis = axis.strip()
        if not (sign and dots) or axis in out:
            raise DeclarationError(f"--ranges: expected AXIS=LOW..HIGH, such as params=1e5..1e8; got {part!r}.")
        try:
            out[axis] = (float(count(low)), float(count(high)))
        except DeclarationError as error:
            raise DeclarationError(f"--ranges: {axis}: {error}") from None
    return out
