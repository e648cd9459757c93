"""Which charts the evidence calls for, and what each of them says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lawful.plugins import column_title
from lawful.report import charts, tables
from lawful.report.charts import Axis, Band, Chart, Line, Points, Reference
from lawful.report.evidence import Curve, Evidence
from lawful.report.law_curve import COUNTING, LawCurve, law_curve
from lawful.report.tables import number
from lawful.storage.codec import to_plain

MOST_LEVELS = 10  # curves that an eye can follow in one chart
CURVE_POINTS = 60
Row = Mapping[str, Any]

UNITS = {"nats_per_token": "nats per token", "bits_per_byte": "bits per byte"}


def gallery(evidence: Evidence) -> list[Chart]:
    """All charts, the leading one first; empty where nothing has finished."""
    drawn: list[Chart] = []
    for answer in evidence.answers:
        drawn += question_charts(evidence, answer)
    if not drawn:
        drawn += [chart for chart in (_points_alone(evidence),) if chart]
    if len(evidence.arms) > 1:
        drawn += [chart for chart in (_arms(evidence),) if chart]
    training = _training(evidence)
    return [*drawn, training] if training else drawn


def question_charts(evidence: Evidence, answer: Mapping[str, Any]) -> list[Chart]:
    """Of one question: the law against each of its axes, against compute, its forecasts, its residuals."""
    curve = law_curve(answer)
    rows = fitted_rows(evidence, answer)
    held = held_out_rows(evidence, answer)
    if curve is None or not rows:
        return []
    made = [_against(evidence, answer, curve, axis, rows, held) for axis in curve.inputs]
    if {"params", "tokens"} <= set(curve.inputs):
        made.append(_against_compute(evidence, answer, curve, rows, held))
    if held:
        made.append(_forecast(evidence, answer, curve, rows, held))
    made.append(_residuals(answer, curve, rows, held))
    return made


def fitted_rows(evidence: Evidence, answer: Mapping[str, Any]) -> list[Row]:
    """The rows that the answer's fit used, by its own residuals."""
    used = {str(item.get("run")) for item in (answer.get("fit") or {}).get("residuals", ())}
    loss = _loss(answer["question"])
    return [row for row in evidence.finished if str(row.get("run")) in used and number(row.get(loss)) is not None]


def held_out_rows(evidence: Evidence, answer: Mapping[str, Any]) -> list[Row]:
    """The rows that the answer forecast, with the forecast beside the observation."""
    by_run = {row.get("run"): row for row in evidence.finished}
    return [
        {**by_run[item["run"]], "_predicted": item.get("predicted"), "_interval": item.get("interval")}
        for item in answer.get("held_out", ())
        if item.get("run") in by_run and number(by_run[item["run"]].get(_loss(answer["question"]))) is not None
    ]


def axis_title(column: str) -> str:
    title = COUNTING.get(column, column.replace("_", " "))
    return title[:1].upper() + title[1:]


METRICS = {"bits_per_byte": "Validation loss (bits per byte)"}
LOSSES = {"loss": "Validation loss", "best_weights_loss": "Best validation loss"}


def loss_title(rows: Sequence[Row], column: str = "loss") -> str:
    if column not in LOSSES:
        return METRICS.get(column) or column_title(column) or column.replace("_", " ")
    unit = next((str(row["loss_unit"]) for row in rows if row.get("loss_unit")), "")
    return LOSSES[column] + (f" ({UNITS.get(unit, unit.replace('_', ' '))})" if unit else "")


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


def _against(
    evidence: Evidence,
    answer: Mapping[str, Any],
    curve: LawCurve,
    axis: str,
    rows: Sequence[Row],
    held: Sequence[Row],
) -> Chart:
    """Loss against one axis of the law: a curve with its band for each level of the law's other axis."""
    question = answer["question"]
    column = curve.columns[axis]
    other = next((name for name in curve.inputs if name != axis), None)
    everything = [*rows, *held]
    xs = [_value(row, column) for row in everything]
    grid = np.geomspace(min(xs) / 1.15, max(xs) * 1.25, CURVE_POINTS)
    levels = levels_of([_value(row, curve.columns[other]) for row in everything]) if other else [0.0]
    colours = charts.level_colours(len(levels)) if other else ["arm0"]
    bands, lines, points = [], [], []
    for index, level in enumerate(levels):
        name = _level_name(other, level) if other else "fitted law"
        at: dict[str, Any] = {axis: grid, other: level} if other else {axis: grid}
        rest = [extra for extra in curve.inputs if extra not in at]
        at |= {
            extra: float(np.exp(np.mean([math.log(_value(row, curve.columns[extra])) for row in rows])))
            for extra in rest
        }
        predicted = curve.predict(**at)
        spread = curve.band(**at)
        key = f"level{index}"
        if spread:
            bands.append(
                Band(x=_plain(grid), low=_plain(spread[0]), high=_plain(spread[1]), colour=colours[index], legend=key)
            )
        lines.append(
            Line(
                name=f"law at {name}" if other else name,
                x=_plain(grid),
                y=_plain(predicted),
                colour=colours[index],
                legend=key,
                is_named=not other,
            )
        )
        mine = [row for row in rows if not other or _nearest(levels, _value(row, curve.columns[other])) == index]
        if mine:
            points.append(
                _points(name if other else "runs", mine, column, question, colours[index], index if other else 0, key)
            )
    if held:
        points.append(_held_points(held, column, question))
    spans = tables.significant(max(xs) / min(xs), 2)
    what = axis_title(column)
    formula = tables.formula(curve.formula, curve.inputs[0], curve.columns[curve.inputs[0]])
    caption = (
        f"Each mark is a run, each curve the law {formula} fitted to "
        f"{tables.many(len(rows), 'run')}, its shade the 95 % band of the mean curve."
    )
    if other and len(levels) == MOST_LEVELS:
        caption += f" Marks take the colour of the nearest curve's {_short(other)}."
    if held:
        caption += " Hollow diamonds were held out: declared before training, forecast, never fitted."
    references, off = _references(evidence, everything, question)
    if off:
        caption += f" Off the chart: {', '.join(off)}."
    return Chart(
        name=f"{question['name']}_by_{'size' if axis == 'params' else 'compute' if axis == 'flops' else axis}",
        kind="law",
        question=question["name"],
        title=f"Loss against {_short(axis, column)}",
        caption=caption,
        alt=f"{loss_title(rows, _loss(question))} "
        f"against {what} over a factor of {spans}: {tables.many(len(rows), 'fitted run')}"
        + (f" and {len(held)} held out" if held else "")
        + f", with the law drawn{f' for {len(levels)} levels of {_short(other)}' if other else ''}."
        + _trend(curve, axis, rows),
        x=Axis(title=what, is_flops=column.startswith("flops")),
        y=Axis(title=loss_title(rows, _loss(question))),
        bands=bands,
        lines=lines,
        points=points,
        references=references,
        legend_title=axis_title(curve.columns[other]) if other else "",
        is_wide=axis == curve.inputs[0],
    )


def _against_compute(
    evidence: Evidence, answer: Mapping[str, Any], curve: LawCurve, rows: Sequence[Row], held: Sequence[Row]
) -> Chart:
    """Loss against training compute: for each size, the law along its tokens, at that size's own FLOPs per token."""
    question = answer["question"]
    size, tokens = curve.columns["params"], curve.columns["tokens"]
    everything = [row for row in [*rows, *held] if number(row.get("flops"))]
    levels = levels_of([_value(row, size) for row in everything])
    colours = charts.level_colours(len(levels))
    lines, points = [], []
    for index, level in enumerate(levels):
        mine = [row for row in everything if _nearest(levels, _value(row, size)) == index]
        if not mine:
            continue
        per_token = float(np.mean([_value(row, "flops") / _value(row, tokens) for row in mine]))
        seen = [_value(row, tokens) for row in mine]
        grid = np.geomspace(min(seen) / 1.2, max(seen) * 1.2, CURVE_POINTS)
        at = {"params": level, "tokens": grid}
        at |= {
            extra: float(np.mean([_value(row, curve.columns[extra]) for row in mine]))
            for extra in curve.inputs
            if extra not in at
        }
        name = f"N = {tables.count(level)}"
        lines.append(
            Line(
                name=f"law at {name}",
                x=_plain(grid * per_token),
                y=_plain(curve.predict(**at)),
                colour=colours[index],
                legend=f"level{index}",
            )
        )
        fitted = [row for row in mine if row in rows]
        if fitted:
            points.append(_points(name, fitted, "flops", question, colours[index], index, f"level{index}"))
    if held:
        points.append(_held_points(held, "flops", question))
    references, _ = _references(evidence, everything, question)
    return Chart(
        name=f"{question['name']}_by_compute",
        kind="law",
        question=question["name"],
        title="Loss against compute",
        caption="Each curve is one size trained for longer, by the law; where curves of two sizes cross, the larger "
        "one becomes the better use of the compute. FLOPs are exact, attention and head included.",
        alt=f"{loss_title(rows, _loss(question))} "
        f"against training FLOPs: {len(everything)} runs of {len(levels)} sizes, "
        "each with the law for its size.",
        x=Axis(title="Training compute (FLOPs)", is_flops=True),
        y=Axis(title=loss_title(rows, _loss(question))),
        lines=lines,
        points=points,
        references=references,
        legend_title="Size",
    )


def _forecast(
    evidence: Evidence, answer: Mapping[str, Any], curve: LawCurve, rows: Sequence[Row], held: Sequence[Row]
) -> Chart:
    """What the law says of each run against what the run gave, the held-out ones with their intervals."""
    question = answer["question"]
    fitted = curve.predict(**{axis: [_value(row, column) for row in rows] for axis, column in curve.columns.items()})
    ahead = [row for row in held if number(row["_predicted"]) is not None]
    bounds = [row.get("_interval") or (None, None) for row in ahead]
    have_bounds = bool(ahead) and all(number(end) is not None for pair in bounds for end in pair)
    inside = sum(1 for item in answer.get("held_out", ()) if item.get("is_inside"))
    return Chart(
        name=f"{question['name']}_forecast",
        kind="law",
        question=question["name"],
        title="Forecast against what came",
        caption="On the diagonal the law is right. Hollow diamonds were forecast from the other runs alone; bars are "
        "the forecasts' 95 % intervals for a new run.",
        alt=f"Predicted against observed loss: {tables.many(len(rows), 'fitted run')} along the diagonal and "
        f"{tables.many(len(ahead), 'held-out run')}, {inside} of them inside their intervals.",
        x=Axis(title="Observed loss"),
        y=Axis(title="Loss by the law"),
        points=[
            Points(
                name="fitted runs",
                x=[_value(row, _loss(question)) for row in rows],
                y=_plain(fitted),
                colour="arm0",
                hover=[_hover(row, question) for row in rows],
                legend="fitted",
            ),
            Points(
                name="held out",
                x=[_value(row, _loss(question)) for row in ahead],
                y=[float(row["_predicted"]) for row in ahead],
                colour="held_out",
                symbol="diamond",
                is_open=True,
                hover=[_hover(row, question) for row in ahead],
                low=[number(pair[0]) or 0.0 for pair in bounds] if have_bounds else (),
                high=[number(pair[1]) or 0.0 for pair in bounds] if have_bounds else (),
                legend="held_out",
            ),
        ],
        has_identity=True,
    )


def _residuals(answer: Mapping[str, Any], curve: LawCurve, rows: Sequence[Row], held: Sequence[Row]) -> Chart:
    """Observed over predicted, in per cent, along the law's first axis."""
    question = answer["question"]
    axis = curve.inputs[0]
    column = curve.columns[axis]
    other = curve.inputs[1] if len(curve.inputs) > 1 else None
    levels = levels_of([_value(row, curve.columns[other]) for row in [*rows, *held]]) if other else [0.0]
    colours = charts.level_colours(len(levels)) if other else ["arm0"]

    def beyond(some: Sequence[Row]) -> list[float]:
        at = {name: [_value(row, curve.columns[name]) for row in some] for name in curve.inputs}
        observed = np.array([_value(row, _loss(question)) for row in some])
        return _plain(100 * (observed / curve.predict(**at) - 1))

    points = []
    for index, level in enumerate(levels):
        mine = [row for row in rows if not other or _nearest(levels, _value(row, curve.columns[other])) == index]
        if mine:
            points.append(
                Points(
                    name=_level_name(other, level) if other else "runs",
                    x=[_value(row, column) for row in mine],
                    y=beyond(mine),
                    colour=colours[index],
                    symbol=charts.SYMBOLS[index % len(charts.SYMBOLS)] if other else "circle",
                    hover=[_hover(row, question) for row in mine],
                    legend=f"level{index}",
                )
            )
    if held:
        points.append(
            Points(
                name="held out",
                x=[_value(row, column) for row in held],
                y=beyond(held),
                colour="held_out",
                symbol="diamond",
                is_open=True,
                hover=[_hover(row, question) for row in held],
                legend="held_out",
            )
        )
    spread = float(np.std(beyond(rows)))
    return Chart(
        name=f"{question['name']}_residuals",
        kind="residuals",
        question=question["name"],
        title=f"Residuals of {str(question['name']).replace('--', ', ')}",
        caption=f"Observed loss above (+) or below (−) the law. Their standard deviation is {spread:.2g} %. "
        "A bend along an axis would mean that the law has the wrong shape.",
        alt=f"Residuals of {tables.many(len(rows), 'fitted run')} along {axis_title(column)}, standard deviation "
        f"{spread:.2g} per cent.",
        x=Axis(title=axis_title(column), is_flops=column.startswith("flops")),
        y=Axis(title="Observed / law − 1", scale="linear", suffix=" %"),
        points=points,
        references=[Reference(y=0.0, label="")],
        legend_title=axis_title(curve.columns[other]) if other else "",
    )


def _points_alone(evidence: Evidence) -> Chart | None:
    """The runs without a law, where none was fitted or it was refused."""
    question = to_plain(evidence.study.questions[0])
    column = question.get("params") or "params_non_embedding"
    rows = [row for row in evidence.finished if number(row.get(_loss(question))) and number(row.get(column))]
    if not rows:
        return None
    sizes = levels_of([_value(row, column) for row in rows])
    other, by = ("tokens", "Training tokens D") if number(rows[0].get("tokens")) else (None, "")
    if len(sizes) == 1 and other:
        column, other, by = "tokens", None, ""
    levels = levels_of([_value(row, other) for row in rows]) if other else [0.0]
    colours = charts.level_colours(len(levels)) if other else ["arm0"]
    points = []
    fitted = [row for row in rows if not row.get("held_out")]
    for index, level in enumerate(levels):
        mine = [row for row in fitted if not other or _nearest(levels, _value(row, other)) == index]
        if mine:
            name = _level_name(other, level) if other else "runs"
            points.append(_points(name, mine, column, question, colours[index], index if other else 0, f"level{index}"))
    if held := [row for row in rows if row.get("held_out")]:
        points.append(_held_points(held, column, question))
    references, off = _references(evidence, rows, question)
    return Chart(
        name=f"{question['name']}_runs",
        kind="runs",
        title="The runs, without a law",
        caption="No law is drawn because none was fitted." + (f" Off the chart: {', '.join(off)}." if off else ""),
        alt=f"{loss_title(rows, _loss(question))} "
        f"of {tables.many(len(rows), 'run')} against {axis_title(column)}; no law is drawn.",
        x=Axis(title=axis_title(column)),
        y=Axis(title=loss_title(rows, _loss(question))),
        points=points,
        references=references,
        legend_title=by,
        is_wide=True,
    )


def _arms(evidence: Evidence) -> Chart | None:
    """Every arm at its largest token budget, with its own law where one was fitted for it alone; None where fewer than
    two arms have several sizes."""
    question = to_plain(evidence.study.questions[0])
    column = question.get("params") or "params_non_embedding"
    rows = [row for row in evidence.finished if number(row.get(column)) and number(row.get(_loss(question)))]
    if not rows:
        return None
    most = max(number(row.get("tokens")) or 0 for row in rows)
    top = [row for row in rows if (number(row.get("tokens")) or 0) >= most / 1.03] if len(rows) > 3 else rows
    if len({row.get("arm") for row in top}) < 2:
        top = rows
    sizes = {arm: {number(row.get(column)) for row in top if str(row.get("arm")) == arm} for arm in evidence.arms}
    if sum(len(own) > 1 for own in sizes.values()) < 2:
        return None  # of arms that have one size each there is no course over size to see
    lines, points = [], []
    for index, arm in enumerate(evidence.arms):
        colour = f"arm{index % charts.ARMS}"
        mine = [row for row in top if str(row.get("arm")) == arm]
        if not mine:
            continue
        points.append(_points(arm, mine, column, question, colour, index, f"arm{index}"))
        for answer in evidence.answers:
            curve = law_curve(answer)
            if curve is None or arm not in map(str, (answer["question"].get("where") or {}).values()):
                continue
            grid = np.geomspace(
                min(_value(row, column) for row in mine), max(_value(row, column) for row in mine), CURVE_POINTS
            )
            at: dict[str, Any] = dict.fromkeys(curve.inputs, most) | {"params": grid}
            if set(curve.inputs) <= {"params", "tokens"} and "params" in curve.inputs:
                lines.append(
                    Line(
                        name=f"law, {arm}",
                        x=_plain(grid),
                        y=_plain(curve.predict(**{name: at[name] for name in curve.inputs})),
                        colour=colour,
                        dash=charts.DASHES[index % len(charts.DASHES)],
                        legend=f"arm{index}",
                    )
                )
                break
    references, _ = _references(evidence, top, question)
    return Chart(
        name="arms",
        kind="arms",
        title="The arms side by side",
        caption=f"Runs of the largest budget, {tables.count(most)} tokens. Each arm has its own mark, colour and dash.",
        alt=f"{loss_title(rows, _loss(question))} "
        f"against {axis_title(column)} for the arms {', '.join(evidence.arms)}.",
        x=Axis(title=axis_title(column)),
        y=Axis(title=loss_title(rows, _loss(question))),
        lines=lines,
        points=points,
        references=references,
        legend_title=evidence.study.arm or "arm",
        is_wide=True,
    )


def _training(evidence: Evidence) -> Chart | None:
    """Loss along training, every run, by size."""
    if not evidence.curves:
        return None
    runs = [planned for planned in evidence.runs if planned.run in evidence.curves]
    kinds = {evidence.curves[planned.run].kind for planned in runs}
    kind = next(kind for kind in ("validation", "selection", "training") if kind in kinds)
    runs = [planned for planned in runs if evidence.curves[planned.run].kind == kind]
    statuses = {row.get("run"): row.get("status") for row in evidence.rows}
    column = evidence.study.questions[0].params
    column = column if number(runs[0].columns().get(column)) else "params_total"
    sizes = {planned.run: number(planned.columns().get(column)) or 0.0 for planned in runs}
    levels = levels_of([size for size in sizes.values() if size])
    # sizes that hardly differ are not what tells the curves apart: the arms are
    by_arm = len(evidence.arms) > 1 and max(levels) < 1.2 * min(levels)
    colours = [f"arm{index % charts.ARMS}" for index in range(len(evidence.arms))] if by_arm else []
    colours = colours or charts.level_colours(len(levels))
    named: set[int] = set()
    lines = []
    for planned in sorted(runs, key=lambda planned: sizes[planned.run]):
        arm = planned.arm
        if by_arm and arm not in evidence.arms:
            continue
        level = evidence.arms.index(arm) if by_arm else _nearest(levels, sizes[planned.run] or levels[0])
        course = evidence.curves[planned.run]
        status = statuses.get(planned.run, "not finished")
        name = arm if by_arm else f"N = {tables.count(levels[level])}"
        shown = _of_one_measure(course)
        lines.append(
            Line(
                name=name,
                x=course.tokens[:shown],
                y=[round(value, 5) for value in course.loss[:shown]],
                colour="held_out" if status == "diverged" else colours[level],
                dash="dot" if status in ("diverged", "failed") else "dash" if planned.held_out else "solid",
                is_thin=True,
                is_named=level not in named and status != "diverged",
                legend=f"level{level}",
                hover=f"{planned.run} · {tables.coordinates(planned.at)} · {status}",
            )
        )
        if status != "diverged":
            named.add(level)
    return Chart(
        name="training_curves",
        kind="training",
        title="Training curves",
        caption=f"{kind.capitalize()} loss of every run as it trained, thinned to points evenly spaced on a log axis. "
        "Dashes are held-out runs, dots those that diverged or failed. The final loss, over all validation tokens "
        "where these points are over a part of them, is in the table of runs.",
        alt=f"{kind.capitalize()} loss against tokens seen for {tables.many(len(lines), 'run')}; larger models "
        "lie below smaller ones where all is well.",
        x=Axis(title="Tokens seen"),
        y=Axis(title=f"{kind.capitalize()} loss"),
        lines=lines,
        legend_title=evidence.study.arm or "arm" if by_arm else "Size",
        is_wide=True,
    )


def _of_one_measure(course: Curve) -> int:
    """How many points of a course to draw: a last one just after another is the judgement on the whole validation
    text, and would end the curve in a hook."""
    points = len(course.tokens)
    return points - 1 if points > 3 and course.tokens[-2] > 0.97 * course.tokens[-1] else points


def _points(
    name: str, rows: Sequence[Row], column: str, question: Mapping[str, Any], colour: str, index: int, legend: str
) -> Points:
    return Points(
        name=name,
        x=[_value(row, column) for row in rows],
        y=[_value(row, _loss(question)) for row in rows],
        colour=colour,
        symbol=charts.SYMBOLS[index % len(charts.SYMBOLS)],
        hover=[_hover(row, question) for row in rows],
        legend=legend,
    )


def _held_points(held: Sequence[Row], column: str, question: Mapping[str, Any]) -> Points:
    return Points(
        name="held out",
        x=[_value(row, column) for row in held],
        y=[_value(row, _loss(question)) for row in held],
        colour="held_out",
        symbol="diamond",
        is_open=True,
        hover=[_hover(row, question) for row in held],
        legend="held_out",
    )


def _references(
    evidence: Evidence, rows: Sequence[Row], question: Mapping[str, Any]
) -> tuple[list[Reference], list[str]]:
    """Count baselines near the data become lines; the others are named, so that the data keep the room."""
    losses = [_value(row, _loss(question)) for row in rows]
    if not losses or _loss(question) not in ("loss", "bits_per_byte"):
        return [], []
    inside, off = [], []
    for baseline in evidence.baselines:
        at = number(baseline.get(_loss(question)))
        if at is None:
            continue
        label = f"{baseline.get('name')} counts {at:.3f}"
        if min(losses) / 1.3 <= at <= max(losses) * 1.12:
            inside.append(Reference(y=at, label=label))
        else:
            off.append(label)
    return inside, off


def _trend(curve: LawCurve, axis: str, rows: Sequence[Row]) -> str:
    """How far the curve falls over the fitted range, for the reader who cannot see it."""
    seen = [_value(row, curve.columns[axis]) for row in rows]
    at: dict[str, Any] = {
        name: max(_value(row, column) for row in rows) for name, column in curve.columns.items() if name != axis
    }
    first, last = curve.predict(**at, **{axis: [min(seen), max(seen)]})
    return f" By the law the loss goes from {first:.3f} to {last:.3f} over the fitted range."


def _hover(row: Row, question: Mapping[str, Any]) -> str:
    parts = [
        f"run {row.get('run') or '?'}",
        tables.readable(row.get("rung")),
        f"N {tables.count(row.get(question.get('params') or 'params_non_embedding'))}",
        f"D {tables.count(row.get('tokens'))} tokens",
        f"seed {row.get('seed')}" if row.get("seed") is not None else "",
        f"{_loss(question)} {tables.loss(row.get(_loss(question)))}",
    ]
    if row.get("_predicted") is not None:
        low, high = row.get("_interval") or (None, None)
        parts.append(f"forecast {tables.loss(row['_predicted'])} {tables.interval(low, high)}")
    return "\n".join(part for part in parts if part)


def _loss(question: Mapping[str, Any]) -> str:
    return str(question.get("loss") or "loss")


def _value(row: Row, column: str) -> float:
    value = number(row.get(column))
    return math.nan if value is None else value


def _nearest(levels: Sequence[float], value: float) -> int:
    return min(range(len(levels)), key=lambda index: abs(math.log(levels[index] / value)))


def _level_name(axis: str | None, level: float) -> str:
    return f"{tables.AXIS_SYMBOLS.get(axis or '', axis or '')} = {tables.count(level)}"


def _short(axis: str | None, column: str | None = None) -> str:
    names = {"params": "size", "tokens": "tokens", "flops": "compute", "unique_tokens": "unique tokens"}
    return {"unique_tokens": "unique tokens", "seconds": "seconds"}.get(column or "", names.get(axis or "", axis or ""))


def _plain(values: Any) -> list[float]:
    """Floats of six significant digits: enough for any screen, and half the page."""
    return [float(f"{value:.6g}") for value in np.asarray(values, dtype=float)]
