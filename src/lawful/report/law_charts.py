"""The charts of one fitted law: against each axis, against compute, its forecasts, its residuals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lawful.fitting.answers import Answer
from lawful.fitting.published import Published
from lawful.fitting.published_curve import curve_name, losses_of
from lawful.report import charts, tables
from lawful.report.charts import Axis, Band, Chart, Line, Points, Reference
from lawful.report.compute_charts import Compute, against_compute, best_charts, compute_of, isoflop_chart
from lawful.report.evidence import Evidence
from lawful.report.exponent_chart import exponent_chart
from lawful.report.law_curve import LawCurve, law_curve
from lawful.report.marks import (
    CURVE_POINTS,
    FORECAST_BARS,
    MOST_LEVELS,
    HeldRow,
    Look,
    axis_title,
    fitted_rows,
    held_out_rows,
    held_points,
    hover_of,
    level_name,
    levels_of,
    loss_title,
    metric_name,
    nearest,
    plain,
    points_of,
    references_of,
    runs_of,
    scale_of,
    short_name,
    value_of,
)
from lawful.schema import Observation

REACH = 2.5  # how far beyond the runs of its level a curve is drawn, as a factor: further it would hide the others
MOST_WIDE_BANDS = 4  # curves of a chart up to which the bands of a new run can be told apart


def question_charts(evidence: Evidence, answer: Answer) -> list[Chart]:
    """The charts of one question: the law against each of its axes, against compute, its forecasts, its residuals."""
    curve = law_curve(answer)
    rows = fitted_rows(evidence, answer)
    held = held_out_rows(evidence, answer)
    if curve is None or not rows:
        return []
    made = [_against(evidence, answer, curve, axis, rows, held) for axis in curve.inputs]
    if compute := compute_of(evidence, answer, curve, rows):
        made.append(against_compute(compute, held))
        made += [chart for chart in (isoflop_chart(compute), *best_charts(compute)) if chart]
    if held:
        made.append(_forecast(evidence, answer, curve, rows, held))
    made += [chart for chart in (exponent_chart(answer, curve),) if chart]
    made.append(_residuals(answer, curve, rows, held))
    return made


def compute_of_answer(evidence: Evidence, answer: Answer) -> Compute | None:
    """The runs of an answer's law with their compute; None where it has no such law."""
    curve, rows = law_curve(answer), fitted_rows(evidence, answer)
    return compute_of(evidence, answer, curve, rows) if curve and rows else None


def _against(
    evidence: Evidence,
    answer: Answer,
    curve: LawCurve,
    axis: str,
    rows: Sequence[Observation],
    held: Sequence[HeldRow],
) -> Chart:
    """Loss against one axis of the law: a curve with its band for each level of the law's other axis."""
    question = answer.question
    column = curve.columns[axis]
    other = next((name for name in curve.inputs if name != axis), None)
    everything = [*rows, *(one.row for one in held)]
    xs = [value_of(row, column) for row in everything]
    levels = levels_of([value_of(row, curve.columns[other]) for row in everything]) if other else [0.0]
    bands, lines = _curves_at_levels(
        curve, axis, everything, np.geomspace(min(xs) / 1.15, max(xs) * 1.25, CURVE_POINTS), levels
    )
    colours = charts.level_colours(len(levels)) if other else ["arm0"]
    if evidence.against is not None and set(curve.inputs) == {"params", "tokens"} and other:
        lines += _published_lines(evidence.against, axis, other, levels, lines)
    points = []
    looks = [Look(colour=colour, index=index, legend=f"level{index}") for index, colour in enumerate(colours)]
    for index, level in enumerate(levels):
        mine = [row for row in rows if not other or nearest(levels, value_of(row, curve.columns[other])) == index]
        if mine:
            look = looks[index]
            points.append(points_of(level_name(other, level) if other else "runs", mine, column, question, look=look))
        points += held_points(_of_level(held, curve, levels, index), column, question, looks[index])
    spans = tables.significant(max(xs) / min(xs), 2)
    what = axis_title(column, axis)
    references, off = references_of(evidence, everything, question)
    return Chart(
        name=f"{question.name}_by_{'size' if axis == 'params' else 'compute' if axis == 'flops' else axis}",
        kind="law",
        question=question.name,
        title=f"{metric_name(curve, question.loss)} against {short_name(axis, column)}",
        caption=_caption(
            curve,
            rows,
            held,
            short_name(other) if other and len(levels) == MOST_LEVELS else "",
            off,
            is_new_run_drawn=any(band.is_of_new_run for band in bands),
        )
        + _about_published(evidence.against if any(line.legend == "published" for line in lines) else None),
        alt=f"{loss_title(rows, question.loss)} "
        f"against {what} over a factor of {spans}: {tables.many(len(rows), 'fitted run')}"
        + (f" and {len(held)} held out" if held else "")
        + f", with the law drawn{f' for {len(levels)} levels of {short_name(other)}' if other else ''}."
        + _trend(curve, axis, rows),
        x=Axis(title=what, is_flops="compute" in axis_title(column, axis)),
        y=Axis(title=loss_title(rows, question.loss), scale=scale_of(curve)),
        bands=bands,
        lines=lines,
        points=points,
        references=references,
        legend_title=axis_title(curve.columns[other], other) if other else "",
        is_wide=axis == curve.inputs[0],
    )


def _of_level(held: Sequence[HeldRow], curve: LawCurve, levels: Sequence[float], index: int) -> list[HeldRow]:
    """The held-out runs nearest to one of the levels of the law's second axis."""
    if len(levels) < 2 or len(curve.inputs) < 2:
        return list(held) if index == 0 else []
    other = next(name for name in curve.inputs[1:])
    return [one for one in held if nearest(levels, value_of(one.row, curve.columns[other])) == index]


def _curves_at_levels(
    curve: LawCurve, axis: str, rows: Sequence[Observation], grid: np.ndarray, levels: Sequence[float]
) -> tuple[list[Band], list[Line]]:
    """The law along one axis at each level of its other axis, as far as REACH times beyond the level's own runs; a
    third axis is held at its mean."""
    other = next((name for name in curve.inputs if name != axis), None)
    colours = charts.level_colours(len(levels)) if other else ["arm0"]
    bands, lines = [], []
    whole = grid
    for index, level in enumerate(levels):
        if other:
            mine = [row for row in rows if nearest(levels, value_of(row, curve.columns[other])) == index]
            own = [value_of(row, curve.columns[axis]) for row in mine] or [whole[0], whole[-1]]
            grid = np.geomspace(max(whole[0], min(own) / REACH), min(whole[-1], max(own) * REACH), CURVE_POINTS)
        at: dict[str, float | np.ndarray] = {axis: grid, other: level} if other else {axis: grid}
        rest = [extra for extra in curve.inputs if extra not in at]
        at |= {
            extra: float(np.exp(np.mean([math.log(value_of(row, curve.columns[extra])) for row in rows])))
            for extra in rest
        }
        predicted = curve.predict(**at)
        spread = curve.band(**at)
        colour, key = colours[index], f"level{index}"
        if spread:
            bands.append(Band(x=plain(grid), low=plain(spread[0]), high=plain(spread[1]), colour=colour, legend=key))
        if spread and len(levels) <= MOST_WIDE_BANDS:
            low, high = curve.new_run(predicted, spread, at)
            bands.append(
                Band(x=plain(grid), low=plain(low), high=plain(high), colour=colour, legend=key, is_of_new_run=True)
            )
        name = f"law at {level_name(other, level)}" if other else "fitted law"
        lines.append(Line(name=name, x=plain(grid), y=plain(predicted), colour=colour, legend=key, is_named=not other))
    if len(levels) > 1 and curve.response.is_log and _hide_each_other(bands, lines):
        bands = [band for band in bands if not band.is_of_new_run]
    return bands, lines


def _hide_each_other(bands: Sequence[Band], lines: Sequence[Line]) -> bool:
    """Whether a curve's own band is wider than all curves together: paler ones about it would fill the chart."""
    span = math.log(max(max(line.y) for line in lines) / min(min(line.y) for line in lines))
    own = [band for band in bands if not band.is_of_new_run]
    return any(float(np.median(np.log(np.array(band.high) / np.array(band.low)))) > span for band in own)


def _published_lines(one: Published, axis: str, other: str, levels: Sequence[float], own: Sequence[Line]) -> list[Line]:
    """The published law at the same levels, over the same range as the fitted one; one entry of the legend names it."""
    lines = []
    for index, (level, fitted) in enumerate(zip(levels, own, strict=True)):
        at = {axis: np.array(fitted.x), other: np.array(level)}
        losses = losses_of(one, at["params"], at["tokens"])
        lines.append(
            replace(fitted, name=curve_name(one), y=plain(losses), dash="dash", legend="published", is_named=not index)
        )
    return lines


def _about_published(one: Published | None) -> str:
    if one is None:
        return ""
    return f" Dashed: the law of {one.source}, fitted to {one.data} with N as {one.params}; {one.tokenizer}."


def _caption(
    curve: LawCurve,
    rows: Sequence[Observation],
    held: Sequence[HeldRow],
    coloured_by: str,
    off: Sequence[str],
    *,
    is_new_run_drawn: bool,
) -> str:
    formula = tables.formula(curve.formula, curve.inputs[0], curve.columns[curve.inputs[0]])
    runs = len({row.get("run") for row in rows})
    is_history = runs < len(rows)
    text = (
        f"Each mark is {'a row of a run' if is_history else 'a run'}, each curve the law {formula} fitted to "
        f"{tables.many(len(rows), 'row' if is_history else 'run')}, its shade the 95 % band of the mean curve"
        f"{', the paler one that of one more run' if is_new_run_drawn else ''}."
    )
    if curve.misfits:
        text += " The law misfits: a forecast averages over other laws, too, and has a wider interval."
    if coloured_by:
        text += f" Marks take the colour of the nearest curve's {coloured_by}."
    if held:
        text += " Hollow marks were held out: declared before training, never fitted; a bar is a forecast's interval."
    if off:
        text += f" Off the chart: {', '.join(off)}."
    return text


def _forecast(
    evidence: Evidence, answer: Answer, curve: LawCurve, rows: Sequence[Observation], held: Sequence[HeldRow]
) -> Chart:
    """What the law says of each run against what the run gave, the held-out ones with their intervals."""
    question = answer.question
    fitted = curve.predict(**{axis: [value_of(row, column) for row in rows] for axis, column in curve.columns.items()})
    ahead = [one for one in held if math.isfinite(one.forecast.predicted)]
    bounds = [one.forecast.interval for one in ahead]
    have_bounds = bool(ahead) and all(math.isfinite(end) for pair in bounds for end in pair)
    inside = sum(item.is_inside for item in answer.held_out)
    return Chart(
        name=f"{question.name}_forecast",
        kind="law",
        question=question.name,
        title="Forecast against what came",
        caption="On the diagonal the law is right. Hollow diamonds were forecast from the other runs alone; bars are "
        "the forecasts' 95 % intervals for a new run.",
        alt=f"Predicted against observed {metric_name(curve, question.loss).lower()}: "
        f"{tables.many(len(rows), 'fitted run')} along the diagonal and "
        f"{tables.many(len(ahead), 'held-out run')}, {inside} of them inside their intervals.",
        x=Axis(title=f"Observed {metric_name(curve, question.loss).lower()}", scale=scale_of(curve)),
        y=Axis(title=f"{metric_name(curve, question.loss)} by the law", scale=scale_of(curve)),
        points=[
            Points(
                name="fitted runs",
                x=[value_of(row, question.loss) for row in rows],
                y=plain(fitted),
                colour="arm0",
                hover=[hover_of(row, question) for row in rows],
                runs=runs_of(rows),
                legend="fitted",
            ),
            Points(
                name="held out",
                x=[value_of(one.row, question.loss) for one in ahead],
                y=[one.forecast.predicted for one in ahead],
                colour="held_out",
                symbol="diamond",
                is_open=True,
                hover=[hover_of(one.row, question, one.forecast) for one in ahead],
                runs=runs_of([one.row for one in ahead]),
                low=[low for low, _ in bounds] if have_bounds else (),
                high=[high for _, high in bounds] if have_bounds else (),
                bars=FORECAST_BARS if have_bounds else "",
                legend="held_out",
            ),
        ],
        has_identity=True,
    )


def _residuals(answer: Answer, curve: LawCurve, rows: Sequence[Observation], held: Sequence[HeldRow]) -> Chart:
    """Observed over predicted, in per cent, along the law's first axis; of another response than a loss their
    difference."""
    question = answer.question
    axis = curve.inputs[0]
    column = curve.columns[axis]
    other = curve.inputs[1] if len(curve.inputs) > 1 else None
    unfitted = [one.row for one in held]
    levels = levels_of([value_of(row, curve.columns[other]) for row in (*rows, *unfitted)]) if other else [0.0]
    colours = charts.level_colours(len(levels)) if other else ["arm0"]

    def beyond(some: Sequence[Observation]) -> list[float]:
        at = {name: [value_of(row, curve.columns[name]) for row in some] for name in curve.inputs}
        observed = np.array([value_of(row, question.loss) for row in some])
        if not curve.response.is_log:
            return plain(observed - curve.predict(**at))
        return plain(100 * (observed / curve.predict(**at) - 1))

    points = []
    looks = [Look(colour=colour, index=index, legend=f"level{index}") for index, colour in enumerate(colours)]
    for index, level in enumerate(levels):
        mine = [row for row in rows if not other or nearest(levels, value_of(row, curve.columns[other])) == index]
        if mine:
            look = looks[index]
            marks = points_of(level_name(other, level) if other else "runs", mine, column, question, look=look)
            points.append(replace(marks, y=beyond(mine)))
        own = _of_level(held, curve, levels, index)
        for is_inside in (True, False):
            some = [one for one in own if one.forecast.is_inside == is_inside]
            residuals = beyond([one.row for one in some]) if some else []
            hollow = held_points(some, column, question, looks[index])
            points += [replace(one, y=residuals, low=(), high=(), bars="") for one in hollow]
    spread, unit = float(np.std(beyond(rows))), " %" if curve.response.is_log else ""
    return Chart(
        name=f"{question.name}_residuals",
        kind="residuals",
        question=question.name,
        title=f"Residuals of {question.name.replace('--', ', ')}",
        caption=f"Observed {metric_name(curve, question.loss).lower()} above (+) or below (−) the law. Their standard "
        f"deviation is {spread:.2g}{unit}. "
        "A bend along an axis would mean that the law has the wrong shape.",
        alt=f"Residuals of {tables.many(len(rows), 'fitted run')} along {axis_title(column, axis)}, standard deviation "
        f"{spread:.2g}{unit and ' per cent'}.",
        x=Axis(title=axis_title(column, axis), is_flops="compute" in axis_title(column, axis)),
        y=Axis(title="Observed / law − 1" if unit else "Observed − law", scale="linear", suffix=unit),
        points=points,
        references=[Reference(y=0.0, label="")],
        legend_title=axis_title(curve.columns[other], other) if other else "",
    )


def _trend(curve: LawCurve, axis: str, rows: Sequence[Observation]) -> str:
    """How far the curve falls over the fitted range, for the reader who cannot see it."""
    seen = [value_of(row, curve.columns[axis]) for row in rows]
    at: dict[str, float | list[float]] = {
        name: max(value_of(row, column) for row in rows) for name, column in curve.columns.items() if name != axis
    }
    first, last = curve.predict(**at, **{axis: [min(seen), max(seen)]})
    metric = "the loss" if curve.response.is_log else "it"
    return f" By the law {metric} goes from {first:.3f} to {last:.3f} over the fitted range."
