"""What a study of arms shows beyond their laws: where two cross, who is ahead run by run, and others' own figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lawful.fitting.answers import Answer
from lawful.fitting.headline_text import listed
from lawful.fitting.paired import Paired
from lawful.plugins import Column, columns
from lawful.report import charts as drawing
from lawful.report import tables
from lawful.report.charts import Axis, Band, Chart, Line, Points
from lawful.report.count_lines import count_lines
from lawful.report.evidence import Evidence
from lawful.report.law_curve import law_curve
from lawful.report.marks import (
    CURVE_POINTS,
    MISSED,
    arm_title,
    axis_title,
    held_out_rows,
    loss_title,
    references_of,
    runs_of,
    see_through,
    short_name,
    with_forecasts,
)
from lawful.report.ratio_chart import ratio_chart
from lawful.report.table import Table
from lawful.report.tables import number
from lawful.schema import Observation


def arm_charts(evidence: Evidence) -> list[Chart]:
    """The charts of each question that compares arms along one axis: every arm's runs with its law or its means."""
    made = []
    for answer in evidence.answers:
        if answer.paired:
            made.append(_levels_chart(evidence, answer, answer.paired))
        elif answer.crossings:
            made += [chart for chart in (_crossings_chart(evidence, answer), ratio_chart(evidence, answer)) if chart]
    return made


def arm_tables(answer: Answer) -> list[Table]:
    return [table for table in (_crossings(answer), *_paired(answer)) if table.rows]


def in_words(evidence: Evidence) -> list[tuple[str, str]]:
    """(what it asks, its answer) for each question that compares arms. Empty if there are fewer than two."""
    asked = [answer for answer in evidence.answers if answer.crossings or answer.paired]
    if len(asked) < 2:
        return []
    return [(answer.question.asks, answer.sentence) for answer in asked]


def reported_table(evidence: Evidence) -> Table:
    """Figures that others published for rungs of this ladder, and ours at the same coordinates, seeds averaged."""
    rows = []
    for entry in evidence.study.reported:
        ours = [
            row
            for row in evidence.finished
            if all(str(row.get(f"at_{name}")) == str(value) for name, value in entry.at.items())
        ]
        losses = [value for row in ours if (value := number(row.get("loss"))) is not None]
        mean = math.exp(sum(losses) / len(losses)) if losses else None
        theirs = entry.figures.get("perplexity")
        rows.append(
            (
                tables.coordinates(entry.at),
                tables.general(theirs, 4),
                tables.general(mean, 4),
                tables.general(mean / theirs, 3) if mean and theirs else tables.DASH,
                tables.count(entry.figures.get("parameters")),
                tables.count(ours[0].get("params_total")) if ours else tables.DASH,
            )
        )
    return Table(
        title="Beside the original's table",
        header=("At", "Perplexity there", "Here", "Here / there", "Parameters there", "Here"),
        rows=rows,
        right=(1, 2, 3, 4, 5),
    )


def text_table(evidence: Evidence) -> Table:
    """Runs by arm and coordinates, seeds averaged: loss as perplexity and bits, after the best and the last step."""
    if not any(number(row.get("best_weights_loss")) for row in evidence.finished):
        return Table(title="", header=(), rows=())
    cells: dict[tuple[str, ...], list[Observation]] = {}
    for row in evidence.finished:
        at = {  # empty cells are coordinates of other rungs, such as a bracket's learning rate
            name.removeprefix("at_"): value
            for name, value in row.items()
            if name.startswith("at_") and name != "at_seed" and value not in (None, "")
        }
        cells.setdefault((tables.coordinates(at),), []).append(row)
    of_plugins = [(name, column) for name, column in columns().items() if column.header]
    rows = []
    for (where,), group in cells.items():

        def mean(column: str, group: Sequence[Observation] = group) -> float | None:
            values = [value for row in group if (value := number(row.get(column))) is not None]
            return sum(values) / len(values) if values else None

        best, last = mean("best_weights_loss"), mean("loss")
        rows.append(
            (
                where,
                str(len(group)),
                tables.general(math.exp(best), 4) if best else tables.DASH,
                tables.general(math.exp(last), 4) if last else tables.DASH,
                tables.general(mean("best_weights_bits_per_byte"), 4),
                tables.percent(mean("best_weights_accuracy")),
                *(_mean_cell(column, mean(f"best_weights_{name}") or mean(name)) for name, column in of_plugins),
            )
        )
    return _without_empty_columns(
        title="Early stopped and last, seeds averaged",
        header=("At", "Seeds", "Perplexity, best", "Last", "Bits per byte, best", "Accuracy, best")
        + tuple(column.header for _, column in of_plugins),
        rows=rows,
    )


def _mean_cell(column: Column, value: float | None) -> str:
    return tables.percent(value) if column.unit in ("share", "ratio") else tables.general(value, 3)


def _without_empty_columns(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """All columns but the first hold numbers; those without any are left out."""
    kept = [index for index in range(len(header)) if any(row[index] != tables.DASH for row in rows)]
    return Table(
        title=title,
        header=[header[index] for index in kept],
        rows=[[row[index] for index in kept] for row in rows],
        right=tuple(range(1, len(kept))),
    )


def counts_table(evidence: Evidence) -> Table:
    """Count models of each corpus of the study, where it has several: reference lines that move with the data."""
    names: list[str] = []
    rows = []
    for corpus, entries in evidence.counts.items():
        names = names or [str(entry.get("name")) for entry in entries]
        known = evidence.study.corpora.get(corpus)
        size = known.train_tokens if known else None
        rows.append((corpus, tables.count(size), *(tables.loss(e.get("loss")) for e in entries)))
    return Table(
        title="Count models of each corpus, loss on its validation text",
        header=("Corpus", "Training tokens", *names),
        rows=rows,
        right=tuple(range(1, len(names) + 2)),
    )


def _crossings(answer: Answer) -> Table:
    rows = []
    column = _axis_column(answer)
    for pair in answer.crossings:
        arms, one = ", ".join(pair.arms), pair.crossing
        if one is None:
            rows.append((arms, f"refused: {pair.refusal}", *[tables.DASH] * 4))
            continue
        pieces = " and ".join(f"{_end(column, low)} to {_end(column, high)}" for low, high in one.set95)
        rows.append(
            (
                arms,
                tables.axis_amount(column, one.at) if one.at is not None else "none established",
                pieces or "empty",
                f"{one.better_small} ({tables.general(one.better_small_probability, 2)})",
                f"{one.better_large} ({tables.general(one.better_large_probability, 2)})",
                one.leader or "none established",
            )
        )
    return Table(
        title=f"Where two arms cross, along {_in_a_sentence(axis_title(column)) if column else 'the axis'}",
        header=(
            "Arms",
            "Crossing",
            "Where neither is shown ahead",
            "Lower fit at the small end (confidence)",
            "At the large end",
            "Ahead throughout",
        ),
        rows=rows,
        right=(1,),
    )


def _paired(answer: Answer) -> list[Table]:
    found = answer.paired
    if found is None:
        return []
    along = found.along
    gaps = [
        (
            f"{gap.second} − {gap.first}",
            str(gap.pairs),
            tables.estimate(gap.mean, *gap.ci95),
            tables.interval(*gap.ci95),
            tables.general(gap.p_holm, 2),
            tables.DASH if gap.slope is None else f"{gap.slope:+.4f}",
            tables.interval(*(gap.slope_ci95 or (None, None))),
            tables.general(gap.slope_p_holm, 2),
        )
        for gap in found.gaps
    ]
    levels = list(dict.fromkeys(level for gap in found.gaps for level in gap.levels))
    by_level = [
        (f"{gap.second} − {gap.first}", *(_signed(gap.levels.get(level)) for level in levels)) for gap in found.gaps
    ]
    return [
        Table(
            title=f"Differences in loss over all levels of {along}, and per doubling of it",
            header=("Arms", "Pairs", "Mean", "95 % interval", "p (Holm)", "Per doubling", "95 % interval", "p (Holm)"),
            rows=gaps,
            right=(1, 2, 3, 4, 5, 6, 7),
        ),
        Table(
            title=f"Differences in loss at each level of {along}",
            header=("Arms", *levels),
            rows=by_level,
            right=tuple(range(1, len(levels) + 1)),
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """One arm's part of a chart."""

    axis: str
    column: str
    rows: Sequence[Observation]
    law: Line
    band: Band | None
    marks: Points
    hollow: Sequence[Points]


def _crossings_chart(evidence: Evidence, answer: Answer) -> Chart | None:
    """Every arm's runs and its fitted law along the one axis."""
    name, loss = answer.name, answer.question.loss
    of_arms = [other for other in evidence.answers if other.name.startswith(f"{name}--")]
    drawn = [part for other in of_arms if (part := _arm_of_chart(evidence, other, loss))]
    if len(drawn) < 2:
        return None
    axis, column = drawn[-1].axis, drawn[-1].column
    counts = count_lines(evidence, loss) if column == "unique_tokens" else []
    names = ", ".join(line.hover.removesuffix(" model") for line in counts)
    hollow = [marks for part in drawn for marks in part.hollow]
    shown = [row for part in drawn for row in part.rows]
    arms = ", ".join(part.marks.name for part in drawn)
    who = listed([part.marks.name for part in drawn], "and").removeprefix("the ")
    cross = any(pair.crossing and pair.crossing.at is not None for pair in answer.crossings)
    return Chart(
        name=f"{name}_arms",
        kind="law",
        question=name,
        title=f"Loss against {short_name(axis, column)}: {who}" + (", and where they cross" if cross else ""),
        caption="Each mark is a run, each line the law of one variant with its 95 % band. "
        + ("Hollow marks were held out: forecast, never fitted. " if hollow else "")
        + (f"Grey: count models of the same text, seeds averaged ({names})." if counts else ""),
        alt=f"{loss_title(shown, loss)} against {axis_title(column, axis)} for {arms}, each with its law.",
        x=Axis(title=axis_title(column, axis), is_flops="compute" in axis_title(column, axis)),
        y=Axis(title=loss_title(shown, loss)),
        bands=[part.band for part in drawn if part.band],
        lines=[*(part.law for part in drawn), *counts],
        points=see_through([*(part.marks for part in drawn), *hollow]),
        references=[] if counts else references_of(evidence, shown, answer.question)[0],
        legend_title=arm_title(evidence),
        is_wide=True,
    )


def _arm_of_chart(evidence: Evidence, answer: Answer, loss: str) -> _Drawn | None:
    curve, arm = law_curve(answer), str(answer.arm)
    if curve is None:
        return None
    index = evidence.arms.index(arm) if arm in evidence.arms else 0  # one colour throughout the page
    colour, legend = f"arm{index % drawing.ARMS}", f"arm{index}"
    (axis,) = curve.inputs
    column = curve.columns[axis]
    used = {item.run for item in answer.fit.residuals} if answer.fit else set()
    rows = [row for row in evidence.finished if str(row.get("run")) in used]
    held = held_out_rows(evidence, answer)
    grid = np.geomspace(*_span([*rows, *(one.row for one in held)], column), CURVE_POINTS)
    spread = curve.band(**{axis: grid})
    band = (
        Band(x=list(grid), low=list(spread[0]), high=list(spread[1]), colour=colour, legend=legend) if spread else None
    )
    dash = drawing.DASHES[index % len(drawing.DASHES)]
    y = [float(value) for value in curve.predict(**{axis: grid})]
    hollow = []
    for is_inside, name in ((True, f"{arm}, held out"), (False, f"{arm}, {MISSED}")):
        some = [one for one in held if one.forecast.is_inside == is_inside]
        if some:
            marks = with_forecasts(
                replace(_marks(name, [one.row for one in some], column, loss, index), is_open=True), some
            )
            hollow.append(marks if is_inside else replace(marks, colour="held_out"))
    return _Drawn(
        axis=axis,
        column=column,
        rows=rows,
        law=Line(name=f"law, {arm}", x=list(grid), y=y, colour=colour, dash=dash, legend=legend),
        band=band,
        marks=_marks(arm, rows, column, loss, index),
        hollow=hollow,
    )


def _levels_chart(evidence: Evidence, answer: Answer, found: Paired) -> Chart:
    """Every arm's runs and their mean at each level."""
    name, along, loss = answer.name, found.along, answer.question.loss
    left_out = {item.run for item in answer.excluded}
    rows = [row for row in evidence.finished if str(row.get("run")) not in left_out and number(row.get(loss))]
    lines, points = [], []
    for arm in found.arms:
        index = evidence.arms.index(arm) if arm in evidence.arms else 0
        mine = [row for row in rows if str(row.get("arm")) == arm]
        levels = sorted({number(row.get(f"at_{along}")) or 0.0 for row in mine})
        means = [
            float(np.mean([number(row[loss]) or 0.0 for row in mine if number(row.get(f"at_{along}")) == level]))
            for level in levels
        ]
        colour, dash = f"arm{index % drawing.ARMS}", drawing.DASHES[index % len(drawing.DASHES)]
        lines.append(Line(name=f"mean, {arm}", x=levels, y=means, colour=colour, dash=dash, legend=f"arm{index}"))
        points.append(_marks(arm, mine, f"at_{along}", loss, index))
    return Chart(
        name=f"{name}_levels",
        kind="law",
        question=name,
        title=f"The arms at each level of {along}",
        caption="A mark is a run, a line joins an arm's means; no law is fitted.",
        alt=f"{loss_title(rows, loss)} against {along} for {', '.join(found.arms)}.",
        x=Axis(title=axis_title(along)),
        y=Axis(title=loss_title(rows, loss)),
        lines=lines,
        points=points,
        legend_title=arm_title(evidence),
        is_wide=True,
    )


def _marks(arm: str, rows: Sequence[Observation], column: str, loss: str, index: int) -> Points:
    return Points(
        name=arm,
        x=[number(row.get(column)) or math.nan for row in rows],
        y=[number(row.get(loss)) or math.nan for row in rows],
        colour=f"arm{index % drawing.ARMS}",
        symbol=drawing.SYMBOLS[index % len(drawing.SYMBOLS)],
        hover=[
            f"run {row.get('run')}\n{tables.readable(row.get('rung'))}\n{loss} {tables.loss(row.get(loss))}"
            for row in rows
        ],
        runs=runs_of(rows),
        legend=f"arm{index}",
    )


def _axis_column(answer: Answer) -> str | None:
    """The column that the question names for the law's one axis."""
    question = answer.question
    crossed = (pair.crossing.axis for pair in answer.crossings if pair.crossing)
    axis = next(crossed, "") or (question.law if isinstance(question.law, str) else "").rpartition(":")[2]
    return question.columns.get(axis) or axis or None


def _span(rows: Sequence[Observation], column: str) -> tuple[float, float]:
    values = [value for row in rows if (value := number(row.get(column)))]
    return min(values), max(values)


def _end(column: str | None, value: float) -> str:
    exact = number(value)
    return "∞" if exact is None else "0" if exact == 0 else tables.axis_amount(column, exact)


def _signed(value: float | None) -> str:
    exact = number(value)
    return tables.DASH if exact is None else f"{exact:+.4f}"


def _in_a_sentence(title: str) -> str:
    return title[:1].lower() + title[1:]
