"""Which charts the evidence calls for; those of no single law: the runs alone, the arms, the training curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lawful.fitting.headline_text import listed
from lawful.report import charts, tables
from lawful.report.charts import Axis, Band, Chart, Line, Points
from lawful.report.compute_charts import Compute, held_by_compute
from lawful.report.evidence import Curve, Evidence
from lawful.report.law_charts import compute_of_answer, question_charts
from lawful.report.law_curve import law_curve
from lawful.report.marks import (
    CURVE_POINTS,
    MISSED,
    Look,
    arm_title,
    axis_title,
    held_marks,
    held_out_rows,
    level_name,
    levels_of,
    loss_title,
    nearest,
    plain,
    points_of,
    references_of,
    see_through,
    value_of,
)
from lawful.report.tables import number
from lawful.schema import Cell, Observation, PlannedRun

MOST_COURSES = 200  # lines of a chart; of more runs, so many evenly spread over the sizes are drawn


def gallery(evidence: Evidence) -> list[Chart]:
    """All charts, the leading one first; empty where nothing has finished."""
    drawn: list[Chart] = []
    for answer in evidence.answers:
        drawn += question_charts(evidence, answer)
    if not drawn:
        drawn += [chart for chart in (_points_alone(evidence),) if chart]
    if len(evidence.arms) > 1:
        drawn += [chart for chart in (_arms_by_compute(evidence), _arms(evidence)) if chart]
    training = _training(evidence)
    return [*drawn, training] if training else drawn


def together(evidence: Evidence, drawn: Sequence[Chart]) -> list[Chart]:
    """Without the charts of an arm's own law that a chart of all arms shows along the same axis, and with the residuals
    of arms whose laws have one axis in one chart."""
    own = {one.name: (parent.name, str(one.arm)) for one in evidence.answers if (parent := evidence.parent(one))}
    shared = {(chart.question, chart.x) for chart in drawn if chart.kind == "law" and chart.question not in own}
    of_arms: dict[tuple[str, Axis], list[tuple[str, Chart]]] = {}
    made = []
    for chart in drawn:
        of, arm = own.get(chart.question, ("", ""))
        if of and chart.kind == "residuals" and not chart.legend_title:
            of_arms.setdefault((of, chart.x), []).append((arm, chart))
        elif (of, chart.x) not in shared or chart.kind != "law":
            made.append(chart)
    return [*made, *(_residuals_of_arms(evidence, *entry) for entry in of_arms.items())]


def _residuals_of_arms(evidence: Evidence, of: tuple[str, Axis], found: Sequence[tuple[str, Chart]]) -> Chart:
    points = []
    for arm, chart in found:
        index = evidence.arms.index(arm) if arm in evidence.arms else 0
        for marks in chart.points:
            look = Look(colour=f"arm{index % charts.ARMS}", index=index, legend=f"arm{index}")
            is_missed = marks.colour == "held_out"
            points.append(
                replace(
                    marks,
                    name=f"{arm}, {marks.name}" if marks.is_open else arm,
                    colour=marks.colour if is_missed else look.colour,
                    symbol=look.symbol,
                    legend=look.legend,
                )
            )
    first = found[0][1]
    fitted = [(arm, [y for one in chart.points if not one.is_open for y in one.y]) for arm, chart in found]
    spreads = ", ".join(f"{arm} {np.std(residuals):.2g}" for arm, residuals in fitted if residuals)
    return replace(
        first,
        name=f"{of[0]}_residuals",
        question=of[0],
        title=f"Residuals of {of[0]}",
        caption=f"Observed above (+) or below (−) the law of the run's own {arm_title(evidence)}. Standard deviations"
        f"{' in %' if first.y.suffix else ''}: {spreads}.",
        alt=f"Residuals of {len(found)} laws along {first.x.title}, a colour for each {arm_title(evidence)}.",
        points=see_through(points),
        legend_title=arm_title(evidence),
    )


def _points_alone(evidence: Evidence) -> Chart | None:
    """The runs without a law, where none was fitted or it was refused."""
    question = evidence.study.questions[0]
    column = question.params
    rows = [row for row in evidence.finished if number(row.get(question.loss)) and number(row.get(column))]
    if not rows:
        return None
    sizes = levels_of([value_of(row, column) for row in rows])
    tokens, axis = question.tokens, "params"
    other, by = (tokens, axis_title(tokens, "tokens")) if number(rows[0].get(tokens)) else (None, "")
    if len(sizes) == 1 and other:
        column, axis, other, by = tokens, "tokens", None, ""
    levels = levels_of([value_of(row, other) for row in rows]) if other else [0.0]
    colours = charts.level_colours(len(levels)) if other else ["arm0"]
    points = []
    fitted = [row for row in rows if not row.get("held_out")]
    for index, level in enumerate(levels):
        mine = [row for row in fitted if not other or nearest(levels, value_of(row, other)) == index]
        if mine:
            name = level_name(other, level) if other else "runs"
            look = Look(colour=colours[index], index=index if other else 0, legend=f"level{index}")
            points.append(points_of(name, mine, column, question, look=look))
    if held := [row for row in rows if row.get("held_out")]:
        points.append(held_marks(held, column, question))
    references, off = references_of(evidence, rows, question)
    return Chart(
        name=f"{question.name}_runs",
        kind="runs",
        title="The runs, without a law",
        caption="No law is drawn because none was fitted." + (f" Off the chart: {', '.join(off)}." if off else ""),
        alt=f"{loss_title(rows, question.loss)} "
        f"of {tables.many(len(rows), 'run')} against {axis_title(column, axis)}; no law is drawn.",
        x=Axis(title=axis_title(column, axis)),
        y=Axis(title=loss_title(rows, question.loss)),
        points=points,
        references=references,
        legend_title=by,
        is_wide=True,
    )


def _arms(evidence: Evidence) -> Chart | None:
    """Every arm at its largest token budget, with its own law where one was fitted for it alone; None where fewer than
    two arms have several sizes."""
    question = evidence.study.questions[0]
    column = question.params
    rows = [row for row in evidence.finished if number(row.get(column)) and number(row.get(question.loss))]
    if not rows:
        return None
    tokens = {id(row): number(row.get(question.tokens)) or 0.0 for row in rows}
    most = max(tokens.values())
    top = [row for row in rows if tokens[id(row)] >= most / 1.03] if len(rows) > 3 else rows
    if len({row.get("arm") for row in top}) < 2:
        top = rows
    axis = "params"
    if not _have_courses(evidence.arms, top, column):
        column, axis, top = question.tokens, "tokens", rows
        if not _have_courses(evidence.arms, top, column):
            return None  # of arms that have one size and one budget each there is no course to see
    lines, points = [], []
    for index, arm in enumerate(evidence.arms):
        mine = [row for row in top if str(row.get("arm")) == arm]
        if not mine:
            continue
        look = Look(colour=f"arm{index % charts.ARMS}", index=index, legend=f"arm{index}")
        points.append(points_of(arm, mine, column, question, look=look))
        sizes_seen = [value_of(row, column) for row in mine]
        grid = np.geomspace(min(sizes_seen), max(sizes_seen), CURVE_POINTS)
        if axis == "params" and (line := _law_of_arm(evidence, arm, grid, most, look)):
            lines.append(line)
    references, _ = references_of(evidence, top, question)
    return Chart(
        name="arms",
        kind="arms",
        title="The arms side by side",
        caption=(f"Runs of the largest budget, {tables.count(most)} tokens. " if 0 < len(top) < len(rows) else "")
        + "Each arm has its own mark, colour and dash.",
        alt=f"{loss_title(rows, question.loss)} against {axis_title(column, axis)} for the arms "
        f"{', '.join(evidence.arms)}.",
        x=Axis(title=axis_title(column, axis)),
        y=Axis(title=loss_title(rows, question.loss)),
        lines=lines,
        points=see_through(points),
        references=references,
        legend_title=arm_title(evidence),
        is_wide=True,
    )


def _arms_by_compute(evidence: Evidence) -> Chart | None:
    """The runs and the best use of compute of every arm; None where the arms are not compared by compute, or a law
    of theirs does not read size and data."""
    asked = next((one for one in evidence.answers if one.comparison), None)
    if (
        asked is None
        or asked.comparison is None
        or not any(one.of == "compute" for one in asked.comparison.multipliers)
    ):
        return None
    found = [(str(one.arm), compute_of_answer(evidence, one)) for one in evidence.arms_of(asked)
             or [one for one in evidence.answers if one.arm in asked.comparison.arms]]  # fmt: skip
    known = [(arm, compute) for arm, compute in found if compute is not None]
    if len(known) < 2:
        return None
    sizes, tokens = (
        np.geomspace(min(one.min() for one in seen), max(one.max() for one in seen), CURVE_POINTS)
        for seen in ([one.size for _, one in known], [one.tokens for _, one in known])
    )
    bands, lines, points = [], [], []
    hollow: list[Points] = []
    for arm, compute in known:
        index = evidence.arms.index(arm) if arm in evidence.arms else 0
        look = Look(colour=f"arm{index % charts.ARMS}", index=index, legend=f"arm{index}")
        marks = points_of(arm, compute.rows, "", asked.question, look=look)
        points.append(replace(marks, x=plain(compute.flops), y=plain(compute.loss)))
        hollow += _held_of_arm(evidence, arm, compute, look)
        x = plain(compute.price(sizes) * tokens)
        at = {"params": sizes, "tokens": tokens}
        if spread := compute.curve.band(**at):
            bands.append(Band(x=x, low=plain(spread[0]), high=plain(spread[1]), colour=look.colour, legend=look.legend))
        dash = charts.DASHES[index % len(charts.DASHES)]
        y = plain(compute.curve.predict(**at))
        lines.append(Line(name=f"law, {arm}", x=x, y=y, colour=look.colour, dash=dash, legend=look.legend))
    rows = [row for _, compute in known for row in compute.rows]
    return Chart(
        name="arms_by_compute",
        kind="arms",
        title=f"Loss against compute: {listed([arm for arm, _ in known], 'and').removeprefix('the ')}",
        caption="A mark is a run, a line its own law where size and tokens grow together, from the least of both to "
        "the most." + (" Hollow marks were held out: never fitted." if hollow else ""),
        alt=f"{loss_title(rows, asked.question.loss)} against training compute for "
        f"{', '.join(arm for arm, _ in known)}.",
        x=known[0][1].axis,
        y=Axis(title=loss_title(rows, asked.question.loss)),
        bands=bands,
        lines=lines,
        points=see_through([*points, *hollow]),
        legend_title=arm_title(evidence),
        is_wide=True,
    )


def _held_of_arm(evidence: Evidence, arm: str, compute: Compute, look: Look) -> list[Points]:
    held = held_out_rows(evidence, compute.answer)
    made = []
    for is_inside, name in ((True, f"{arm}, held out"), (False, f"{arm}, {MISSED}")):
        if some := [one for one in held if one.forecast.is_inside == is_inside]:
            marks = replace(held_by_compute(compute, some, is_inside=is_inside), name=name)
            marks = replace(marks, symbol=look.symbol, legend=look.legend)
            made.append(replace(marks, colour=look.colour) if is_inside else marks)
    return made


def _have_courses(arms: Sequence[str], rows: Sequence[Observation], column: str) -> bool:
    """Whether two arms or more have several levels of the column."""
    levels = [
        {level for row in rows if str(row.get("arm")) == arm if (level := number(row.get(column)))} for arm in arms
    ]
    return sum(len(own) > 1 for own in levels) > 1


def _law_of_arm(evidence: Evidence, arm: str, sizes: np.ndarray, tokens: float, look: Look) -> Line | None:
    """The law that was fitted for the arm alone, along size at one budget."""
    for answer in evidence.answers:
        curve = law_curve(answer)
        if curve is None or arm not in map(str, answer.question.where.values()):
            continue
        if set(curve.inputs) <= {"params", "tokens"} and "params" in curve.inputs:
            at = {name: sizes if name == "params" else tokens for name in curve.inputs}
            return Line(
                name=f"law, {arm}",
                x=plain(sizes),
                y=plain(curve.predict(**at)),
                colour=look.colour,
                dash=charts.DASHES[look.index % len(charts.DASHES)],
                legend=look.legend,
            )
    return None


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
    drawn = _spread(sorted(runs, key=lambda planned: sizes[planned.run]), statuses)
    some = f" {len(drawn):,} of {len(runs):,} runs are drawn, spread over the sizes." if len(drawn) < len(runs) else ""
    for planned in drawn:
        arm = planned.arm
        if by_arm and arm not in evidence.arms:
            continue
        level = evidence.arms.index(arm) if by_arm else nearest(levels, sizes[planned.run] or levels[0])
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
                run=planned.run,
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
        f"where these points are over a part of them, is in the table of runs.{some}",
        alt=f"{kind.capitalize()} loss against tokens seen for {tables.many(len(lines), 'run')}; larger models "
        "lie below smaller ones where all is well.",
        x=Axis(title="Tokens seen"),
        y=Axis(title=f"{kind.capitalize()} loss"),
        lines=lines,
        legend_title=arm_title(evidence) if by_arm else "Size",
        is_wide=True,
    )


def _spread(runs: Sequence[PlannedRun], statuses: Mapping[Cell, Cell]) -> list[PlannedRun]:
    """At most MOST_COURSES runs, evenly spread in their order, and at most as many that diverged or failed."""
    if len(runs) <= MOST_COURSES:
        return list(runs)
    odd = [planned for planned in runs if statuses.get(planned.run) in ("diverged", "failed")][:MOST_COURSES]
    step = (len(runs) - 1) / (MOST_COURSES - 1)
    wanted = {planned.run for planned in (*(runs[round(step * i)] for i in range(MOST_COURSES)), *odd)}
    return [planned for planned in runs if planned.run in wanted]


def _of_one_measure(course: Curve) -> int:
    """How many points of a course to draw: a last one just after another is the judgement on the whole validation
    text, and would end the curve in a hook."""
    points = len(course.tokens)
    return points - 1 if points > 3 and course.tokens[-2] > 0.97 * course.tokens[-1] else points
