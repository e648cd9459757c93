"""lawful predict and lawful holdout: the loss of a run that was not made, and of runs that were."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lawful.checks import PositiveInt
from lawful.cli import metrics, options
from lawful.cli.asked import Fitted, with_options
from lawful.cli.metrics import ManyMetrics
from lawful.cli.results import (
    amount,
    expect_alone,
    in_unit,
    named_inputs,
    print_cautions,
    print_headline,
    print_plain,
    rounded_to,
)
from lawful.errors import DeclarationError

if TYPE_CHECKING:
    from lawful.fitting.holdout import Holdout
    from lawful.fitting.records import Interval as Kind
    from lawful.fitting.result import Fit


FORECASTS_MISSED = 4  # the exit status of `holdout` where more runs lie outside their intervals than chance explains
Count = Annotated[str | None, typer.Option(help="A count: 1e9, 70M, 1_000_000.", callback=options.counted)]


def register(app: typer.Typer) -> None:
    app.command("predict")(with_options(predict_command))
    app.command("holdout")(with_options(holdout_command))


def predict_command(
    asked: Fitted,
    params: Count = None,
    tokens: Count = None,
    flops: Count = None,
    at: Annotated[
        list[str] | None,
        typer.Option("--at", help="NAME=NUMBER or NAME=LEVEL, another input of a formula; may be repeated."),
    ] = None,
    interval: Annotated[
        str,
        typer.Option(
            help="mean: of the curve; new_run: of one more run.", callback=options.of(Literal["mean", "new_run"])
        ),
    ] = "new_run",
    metric: ManyMetrics = None,
) -> None:
    """Predict the loss of a run that was not made. From a folder: every answered question that reads these axes."""
    from lawful.fitting.predictions import predict_point
    from lawful.fitting.quantiles import LEVEL
    from lawful.fitting.summary import held_out_lines
    from lawful.study import count

    given = {"params": params, "tokens": tokens, "flops": flops}
    point: dict[str, float | str] = {axis: float(count(value)) for axis, value in given.items() if value is not None}
    point |= named_inputs(at or [])
    if metric is not None:
        expect_alone("--metric", {"--interval": interval == "mean"})
        metrics.show(asked, metric, point)
        return
    if asked.is_as_declared:
        fits = _folder_fits(asked.source, set(point), asked.draws, asked.seed)
    else:
        table, law, columns = asked.ask(lambda law: set(law.inputs) == set(point))
        found = asked.fit(table, law, columns)
        fits = {found.law: found}
    kind: Kind = "mean" if interval == "mean" else "new_run"
    out = {name: predict_point(found, point, kind, LEVEL) for name, found in fits.items()}
    if asked.as_json:
        print_plain(
            [
                {
                    "name": name,
                    **dataclasses.asdict(p),
                    "loss_unit": fits[name].data.loss_unit,
                    "response": dataclasses.asdict(fits[name].data.response),
                    "held_out": [dataclasses.asdict(row) for row in fits[name].held_out],
                }
                for name, p in out.items()
            ]
        )
        return
    for name, p in out.items():
        where_at = ", ".join(f"{axis} {amount(value)}" for axis, value in p.at.items())
        typer.echo(
            f"{name} at {where_at}: {rounded_to(p.value, p.low, p.high)} "
            f"{'' if fits[name].data.response.is_share else in_unit(fits[name].data.loss_unit)}"
            f"(95 % interval of {'one more run' if interval == 'new_run' else 'the curve'})"
            + ("; not of this law alone, see below" if p.laws else "")
        )
        print_cautions(p.warnings)
        if fits[name].held_out:
            typer.echo("\n".join(held_out_lines(fits[name])))


def _folder_fits(source: str, axes: set[str], draws: int, seed: int) -> dict[str, Fit]:
    from lawful.fitting.answer import answer_study
    from lawful.fitting.answers import read_answers
    from lawful.storage.atomic import read_only

    with read_only():
        answers = read_answers(source) or answer_study(source, draws=draws, seed=seed)
    fits = {a.question.name: a.fit for a in answers if a.fit is not None and set(a.fit.model.inputs) == axes}
    if not fits:
        laws = ", ".join(
            f"{a.question.name} ({'refused' if a.fit is None else ' and '.join(a.fit.model.inputs)})" for a in answers
        )
        raise DeclarationError(
            f"{source}: no answered question reads {' and '.join(sorted(axes)) or 'nothing'}; it has {laws}."
        )
    return fits


def holdout_command(
    asked: Fitted,
    top: Annotated[
        int, typer.Option(help="How many of the largest amounts to drop.", callback=options.of(PositiveInt))
    ] = 1,
    largest: Annotated[
        str | None,
        typer.Option(
            help="compute, params or tokens: what is largest (default: compute for a law of size and data).",
            callback=options.of(Literal["compute", "params", "tokens"]),
        ),
    ] = None,
) -> None:
    """Drop the largest runs, refit, predict them, and say whether the forecasts held. Exits 4 when they did not."""
    from lawful.checks import argument
    from lawful.fitting.holdout import Largest

    found = asked.fit(*asked.ask()).holdout(top=top, largest=argument("largest", largest, Largest | None))
    if asked.as_json:
        print_plain(found)
    else:
        _print_holdout(found)
    if found.verdict == "missed":
        raise typer.Exit(FORECASTS_MISSED)


def _print_holdout(found: Holdout[Fit]) -> None:
    from lawful.fitting.headline import of_holdout

    print_headline(of_holdout(found))
    typer.echo(found.sentence)
    for row in found.rows:
        p = row.prediction
        typer.echo(
            f"  run {row.run}: predicted {p.value:.4f} {_determined(p.low, p.high, '.4f')}, observed {row.observed:.4f}"
            f"{'' if row.is_inside else '  outside'}; straight line {row.straight_line:.4f}, nearest fitted run "
            f"{row.last_value:.4f}"
        )
    print_cautions(found.warnings)


def _determined(low: float, high: float, digits: str) -> str:
    from lawful.fitting.number_text import interval
    from lawful.fitting.uncertainty import determined

    return interval(*determined(low, high), digits)
