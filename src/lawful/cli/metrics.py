"""fit and predict with --metric: one answer for each of several metrics of the same runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from lawful.cli.asked import Fitted, names_of
from lawful.cli.results import caution_lines, expect_alone, print_cautions, print_json
from lawful.errors import DeclarationError, Refusal

if TYPE_CHECKING:
    from lawful.fitting.metrics import MetricAnswer, MetricPrediction
    from lawful.tables import Observations
    from lawful.tables.responses import Asked

ManyMetrics = Annotated[
    str | None,
    typer.Option(
        "--metric",
        help="Fit several metrics: COLUMN:KIND@CHANCE#ITEMS, joined by commas: val_loss,hellaswag:accuracy@.25#10042.",
    ),
]


def show(asked: Fitted, text: str, at: Mapping[str, float | str]) -> None:
    """Fit each metric; predict it where a point is given. Exits 1 where none can be answered."""
    from lawful.fitting.metrics import answer_metrics
    from lawful.tables.find import factors
    from lawful.tables.read import in_roles, selected
    from lawful.tables.source import read_columns

    of_one: dict[str, object] = {"--x": asked.x, "--cluster": asked.cluster, "--question": asked.question}
    of_one |= {"--bounds": asked.bounds, "--fixed": asked.fixed, "--prior": asked.prior}
    of_one |= {"--loss-column": asked.loss_column, "--response": asked.response, "--chance": asked.chance}
    of_one |= {"--trials-column": asked.trials_column, "--objective": asked.objective != "robust"}
    expect_alone("--metric", of_one)
    point = {name: float(value) for name, value in at.items() if not isinstance(value, str)}
    if len(point) < len(at):
        raise DeclarationError("--metric: expected numbers in --at.")
    if asked.stderr_column not in (None, "none"):
        raise DeclarationError(
            f"--metric: expected --stderr-column none or nothing beside it, got {asked.stderr_column!r}: name the "
            "standard errors of a metric after it (val_loss_stderr)."
        )
    columns = {role: asked.columns[role] for role in ("params", "tokens", "flops", "stderr")}
    named = [*names_of(text), *filter(None, columns.values()), *asked.units, *names_of(asked.best_over)]
    rows = selected(read_columns(asked.source, [*named, *(asked.where or ())]), asked.where or (), asked.as_noise or ())
    factors(rows, asked.units)  # each is of a column that is there

    def read(table: Observations, columns: Mapping[str, str | None], response: Asked) -> Observations:
        return in_roles(
            table,
            columns,
            units={name: unit for name, unit in asked.units.items() if name in table.columns},
            reduce=asked.reduce,
            best=names_of(asked.best_over),
            skip_bad_rows=asked.skip_bad_rows,
            response=response,
        )

    found = answer_metrics(rows, names_of(text), columns, read, law=asked.law, draws=asked.draws, seed=asked.seed)
    forecasts = {name: _forecast(one, point) for name, one in found.answers.items() if point and one.fit is not None}
    if asked.as_json:
        _print_answers(found.answers, forecasts)
    else:
        for name, answer in found.answers.items():
            typer.echo("".join(f"read: {line}\n" for line in answer.said), nl=False)
            typer.echo(_text(name, answer, forecasts.get(name)) + "\n")
        print_cautions(found.warnings)
    if all(one.fit is None or isinstance(forecasts.get(name), str) for name, one in found.answers.items()):
        raise typer.Exit(1)


def _forecast(answer: MetricAnswer, point: Mapping[str, float]) -> MetricPrediction | str:
    """At the point; or why that metric's law says nothing there, which leaves the other metrics as they are."""
    try:
        return answer.predict("new_run", **point)
    except (DeclarationError, Refusal) as problem:
        return str(problem)


def _text(name: str, answer: MetricAnswer, forecast: MetricPrediction | str | None) -> str:
    from lawful.fitting.summary import short

    if answer.fit is None:
        return f"{name}: no answer: {answer.refused}"
    if isinstance(forecast, str):
        return f"{name}: no prediction: {forecast}"
    lines = [f"{name}{f', through {answer.through}' if answer.through else ''}"]
    if forecast is None:
        lines.append(short(answer.fit))
    else:
        low, high = forecast.ci95
        lines.append(f"  {forecast.value:.4g} [{low:.4g}, {high:.4g}] (95 % interval of one more run)")
        if forecast.of_new_items != forecast.ci95:
            least, most = forecast.of_new_items
            lines.append(f"  of other test items, as many: [{least:.4g}, {most:.4g}]")
        lines += caution_lines(forecast.warnings)
    if answer.shared_stderr is not None:
        lines.append(
            f"  what its test items leave open, for all runs alike: a standard error of {answer.shared_stderr:.2g}"
        )
    return "\n".join(lines)


def _print_answers(answers: Mapping[str, MetricAnswer], forecasts: Mapping[str, MetricPrediction | str]) -> None:
    from lawful.storage.codec import to_plain

    out = {
        name: {
            "through": one.through,
            "refused": said if isinstance(said := forecasts.get(name), str) else one.refused,
            "shared_stderr": one.shared_stderr,
            "fit": None if one.fit is None else one.fit.to_json(),
            "prediction": None if isinstance(said, str) or said is None else to_plain(said),
        }
        for name, one in answers.items()
    }
    print_json(out)
