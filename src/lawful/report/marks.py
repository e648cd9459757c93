"""What every chart of runs is made of: rows, levels of an axis, marks, titles, and the text over a point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lawful.fitting.answers import Answer
from lawful.fitting.records import HeldOut
from lawful.plugins import column_title
from lawful.report import charts, tables
from lawful.report.charts import Points, Reference
from lawful.report.evidence import Evidence
from lawful.report.law_curve import COUNTING, ROLES, LawCurve
from lawful.report.tables import number
from lawful.schema import Observation, Question

MOST_LEVELS = 10  # curves that an eye can follow in one chart
CURVE_POINTS = 60
UNITS = {"nats_per_token": "nats per token", "bits_per_byte": "bits per byte"}
METRICS = {"bits_per_byte": "Validation loss (bits per byte)"}
LOSSES = {"loss": "Validation loss", "best_weights_loss": "Best validation loss"}


@dataclass(frozen=True, kw_only=True)
class HeldRow:
    """A run that was held out: what came, and what was forecast."""

    row: Observation
    forecast: HeldOut


def fitted_rows(evidence: Evidence, answer: Answer) -> list[Observation]:
    """The rows that the answer's fit used, by its own residuals."""
    used = {item.run for item in answer.fit.residuals} if answer.fit else set()
    loss = answer.question.loss
    return [row for row in evidence.finished if str(row.get("run")) in used and number(row.get(loss)) is not None]


def held_out_rows(evidence: Evidence, answer: Answer) -> list[HeldRow]:
    """The rows that the answer forecast, with the forecast beside the observation."""
    by_run = {str(row.get("run")): row for row in evidence.finished}
    return [
        HeldRow(row=by_run[item.run], forecast=item)
        for item in answer.held_out
        if item.run in by_run and number(by_run[item.run].get(answer.question.loss)) is not None
    ]


def axis_title(column: str, axis: str | None = None) -> str:
    """What an axis shows. `axis`: that of a law which a column of someone else's table stands for."""
    title = COUNTING.get(column, column.replace("_", " "))
    if column not in COUNTING and axis in ROLES:
        title = ROLES[axis] + ("" if column == tables.AXIS_SYMBOLS.get(axis) else f" ({column})")
    return title[:1].upper() + title[1:]


def loss_title(rows: Sequence[Observation], column: str = "loss") -> str:
    if column not in LOSSES:
        return METRICS.get(column) or column_title(column) or _own_title(column)
    unit = next((str(row["loss_unit"]) for row in rows if row.get("loss_unit")), "")
    return LOSSES[column] + (f" ({UNITS.get(unit, unit.replace('_', ' '))})" if unit else "")


def metric_name(curve: LawCurve, column: str) -> str:
    """What the law is of, in a title."""
    return "Loss" if curve.response.is_log else loss_title((), column).capitalize()


def scale_of(curve: LawCurve) -> charts.Scale:
    """The scale of the metric's axis: linear if the metric may be 0 or negative."""
    return "log" if curve.response.is_log else "linear"


def _own_title(column: str) -> str:
    """The title for a column of a user's table; val_loss is a loss."""
    return f"Loss ({column})" if "loss" in column.lower() else column.replace("_", " ")


def levels_of(values: Sequence[float], most: int = MOST_LEVELS) -> list[float]:
    """The distinct levels of an axis, values within 3 % being one; of more than `most`, so many spread evenly."""
    distinct: list[list[float]] = []
    for value in sorted(values):
        if distinct and value <= distinct[-1][0] * 1.03:
            distinct[-1].append(value)
        else:
            distinct.append([value])
    centres = [float(np.exp(np.mean(np.log(group)))) for group in distinct]
    if len(centres) <= most:
        return centres
    return [centres[round(index * (len(centres) - 1) / (most - 1))] for index in range(most)]


@dataclass(frozen=True, kw_only=True)
class Look:
    """How the marks of one level or arm look."""

    colour: str
    index: int
    legend: str

    @property
    def symbol(self) -> charts.Symbol:
        return charts.SYMBOLS[self.index % len(charts.SYMBOLS)]


def points_of(name: str, rows: Sequence[Observation], column: str, question: Question, *, look: Look) -> Points:
    return Points(
        name=name,
        x=[value_of(row, column) for row in rows],
        y=[value_of(row, question.loss) for row in rows],
        colour=look.colour,
        symbol=look.symbol,
        hover=[hover_of(row, question) for row in rows],
        runs=runs_of(rows),
        legend=look.legend,
    )


def arm_title(evidence: Evidence) -> str:
    """What the arms are, over their entries in a legend."""
    return evidence.study.arm if evidence.study.arm and evidence.study.arm != "arm" else "variant"


MISSED = "held out, outside its interval"
FORECAST_BARS = "95 % forecast interval"


def held_points(held: Sequence[HeldRow], column: str, question: Question, look: Look) -> list[Points]:
    """Hollow, in the colour of their group; those that their forecast missed are red."""
    made = []
    for is_inside, name in ((True, "held out"), (False, MISSED)):
        mine = [one for one in held if one.forecast.is_inside == is_inside]
        if mine:
            marks = points_of(name, [one.row for one in mine], column, question, look=look)
            hover = [hover_of(one.row, question, one.forecast) for one in mine]
            colour, legend = (look.colour, "held_out") if is_inside else ("held_out", "missed")
            marks = replace(marks, is_open=True, hover=hover, colour=colour, legend=legend)
            made.append(with_forecasts(marks, mine))
    return made


def with_forecasts(marks: Points, held: Sequence[HeldRow]) -> Points:
    """With the interval of each one's forecast; without any where one of them has none."""
    ends = [one.forecast.interval for one in held]
    if any(math.isnan(end) for pair in ends for end in pair):
        return marks
    return replace(marks, low=[low for low, _ in ends], high=[high for _, high in ends], bars=FORECAST_BARS)


def held_marks(rows: Sequence[Observation], column: str, question: Question) -> Points:
    """Held-out runs without a forecast."""
    return Points(
        name="held out",
        x=[value_of(row, column) for row in rows],
        y=[value_of(row, question.loss) for row in rows],
        colour="held_out",
        symbol="diamond",
        is_open=True,
        hover=[hover_of(row, question) for row in rows],
        runs=runs_of(rows),
        legend="held_out",
    )


def see_through(points: Sequence[Points]) -> list[Points]:
    """The marks of several groups, sheer, so that one at the same place hides no other. None leaves its place."""
    several = len({one.legend for one in points}) > 1
    return [replace(one, is_sheer=several) for one in points]


def runs_of(rows: Sequence[Observation]) -> list[str]:
    return [str(row.get("run") or "") for row in rows]


def references_of(
    evidence: Evidence, rows: Sequence[Observation], question: Question
) -> tuple[list[Reference], list[str]]:
    """Count baselines near the data become lines; the others are named, so that the data keep the room."""
    losses = [value_of(row, question.loss) for row in rows]
    if not losses or question.loss not in ("loss", "bits_per_byte"):
        return [], []
    inside, off = [], []
    for baseline in evidence.baselines:
        at = number(baseline.get(question.loss))
        if at is None:
            continue
        label = f"{baseline.get('name')} model {at:.3f}"
        if min(losses) / 1.3 <= at <= max(losses) * 1.12:
            inside.append(Reference(y=at, label=label, name="n-gram model"))
        else:
            off.append(label)
    return inside, off


def hover_of(row: Observation, question: Question, forecast: HeldOut | None = None) -> str:
    parts = [
        f"run {row.get('run') or '?'}",
        tables.readable(row.get("rung")),
        f"N {tables.count(row.get(question.params))}",
        f"D {tables.count(row.get('tokens'))} tokens",
        f"seed {row.get('seed')}" if row.get("seed") is not None else "",
        f"{question.loss} {tables.loss(row.get(question.loss))}",
    ]
    if forecast is not None:
        parts.append(f"forecast {tables.loss(forecast.predicted)} {tables.interval(*forecast.interval)}")
    return "\n".join(part for part in parts if part)


def value_of(row: Observation, column: str) -> float:
    """A law may read a coordinate of the rungs, which the table of a study calls at_NAME."""
    value = number(row.get(column, row.get(f"at_{column}")))
    return math.nan if value is None else value


def nearest(levels: Sequence[float], value: float) -> int:
    return min(range(len(levels)), key=lambda index: abs(math.log(levels[index] / value)))


def level_name(axis: str | None, level: float) -> str:
    return f"{tables.AXIS_SYMBOLS.get(axis or '', axis or '')} = {tables.count(level)}"


def short_name(axis: str | None, column: str | None = None) -> str:
    names = {"params": "size", "tokens": "tokens", "flops": "compute", "unique_tokens": "unique tokens"}
    return {"unique_tokens": "unique tokens", "seconds": "seconds"}.get(column or "", names.get(axis or "", axis or ""))


def plain(values: np.ndarray | Sequence[float]) -> list[float]:
    """Floats of six significant digits: enough for any screen, and half the page."""
    return [float(f"{value:.6g}") for value in np.asarray(values, dtype=float)]
