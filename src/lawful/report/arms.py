"""What a study of arms shows beyond their laws: where two cross, who is ahead run by run, and others' own figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lawful.plugins import Column, columns
from lawful.report import charts as drawing
from lawful.report import tables
from lawful.report.charts import Axis, Band, Chart, Line, Points
from lawful.report.evidence import Evidence
from lawful.report.gallery import CURVE_POINTS, axis_title, held_out_rows, loss_title
from lawful.report.law_curve import law_curve
from lawful.report.tables import number
from lawful.report.words import Table

Answer = Mapping[str, Any]


def arm_charts(evidence: Evidence) -> list[Chart]:
    """Of each question that compares arms along one axis: every arm's runs and law, or its means at each level."""
    made = []
    for answer in evidence.answers:
        if answer.get("paired"):
            made.append(_levels_chart(evidence, answer))
        elif answer.get("crossings"):
            made += [chart for chart in (_crossings_chart(evidence, answer),) if chart]
    return made


def arm_tables(answer: Answer) -> list[Table]:
    return [table for table in (_crossings(answer), *_paired(answer)) if table.rows]


def in_words(evidence: Evidence) -> list[tuple[str, str]]:
    """What each question about the arms came to: (what it asks, its answer). Empty where fewer than two were asked."""
    asked = [answer for answer in evidence.answers if answer.get("crossings") or answer.get("paired")]
    if len(asked) < 2:
        return []
    return [(str(answer["question"].get("asks") or ""), str(answer.get("sentence") or "")) for answer in asked]


def reported_table(evidence: Evidence) -> Table:
    """Figures that others published for rungs of this ladder, and ours at the same coordinates, seeds averaged."""
    rows = []
    for entry in evidence.study.reported:
        at = entry.at
        ours = [
            row
            for row in evidence.finished
            if all(str(row.get(f"at_{name}")) == str(value) for name, value in at.items())
        ]
        losses = [value for row in ours if (value := number(row.get("loss"))) is not None]
        mean = math.exp(sum(losses) / len(losses)) if losses else None
        theirs = entry.figures.get("perplexity")
        rows.append(
            (
                tables.coordinates(at),
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
    cells: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in evidence.finished:
        at = {name.removeprefix("at_"): row[name] for name in row if name.startswith("at_") and name != "at_seed"}
        cells.setdefault((tables.coordinates(at),), []).append(row)
    of_plugins = [(name, column) for name, column in columns().items() if column.header]
    rows = []
    for (where,), group in cells.items():

        def mean(column: str, group: Sequence[Mapping[str, Any]] = group) -> float | None:
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
    for item in answer.get("crossings") or ():
        first, second = item["arms"]
        if item.get("refusal"):
            rows.append((f"{first}, {second}", f"refused: {item['refusal']}", *[tables.DASH] * 4))
            continue
        pieces = " and ".join(f"{_end(column, low)} to {_end(column, high)}" for low, high in item.get("set95") or ())
        rows.append(
            (
                f"{first}, {second}",
                tables.axis_amount(column, item["at"]) if item.get("at") is not None else "none established",
                pieces or "empty",
                f"{item['better_small']} ({tables.general(item['better_small_probability'], 2)})",
                f"{item['better_large']} ({tables.general(item['better_large_probability'], 2)})",
                str(item.get("leader") or "none established"),
            )
        )
    return Table(
        title=f"Where two arms cross, along {_in_a_sentence(axis_title(column)) if column else 'the axis'}",
        header=(
            "Arms",
            "Crossing",
            "Set: neither ahead",
            "Lower fit at the small end (confidence)",
            "At the large end",
            "Ahead throughout",
        ),
        rows=rows,
        right=(1,),
    )


def _paired(answer: Answer) -> list[Table]:
    found = answer.get("paired")
    if not found:
        return []
    along = str(found["along"])
    gaps = [
        (
            f"{gap['second']} − {gap['first']}",
            str(gap["pairs"]),
            tables.estimate(gap["mean"], *gap["ci95"]),
            tables.interval(*gap["ci95"]),
            tables.general(gap["p_holm"], 2),
            tables.DASH if gap["slope"] is None else f"{gap['slope']:+.4f}",
            tables.DASH if gap["slope"] is None else tables.interval(*gap["slope_ci95"]),
            tables.general(gap["slope_p_holm"], 2),
        )
        for gap in found["gaps"]
    ]
    levels = list(dict.fromkeys(level for gap in found["gaps"] for level in gap["levels"]))
    by_level = [
        (f"{gap['second']} − {gap['first']}", *(_signed(gap["levels"].get(level)) for level in levels))
        for gap in found["gaps"]
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


def _crossings_chart(evidence: Evidence, answer: Answer) -> Chart | None:
    """Every arm's runs and its fitted law along the one axis."""
    name, loss = answer["question"]["name"], str(answer["question"].get("loss") or "loss")
    bands, lines, points, hollow = [], [], [], []
    column = _axis_column(answer) or "tokens"
    shown: list[Mapping[str, Any]] = []
    of_arm = [other for other in evidence.answers if str(other["question"]["name"]).startswith(f"{name}--")]
    for other in of_arm:
        curve, arm = law_curve(other), str((other["question"].get("where") or {}).get("arm"))
        index = evidence.arms.index(arm) if arm in evidence.arms else 0  # one colour throughout the page
        colour = f"arm{index % drawing.ARMS}"
        if curve is None:
            continue
        (axis,) = curve.inputs
        column = curve.columns[axis]
        used = {str(item.get("run")) for item in other["fit"].get("residuals", ())}
        rows = [row for row in evidence.finished if str(row.get("run")) in used]
        held = held_out_rows(evidence, other)
        shown += rows
        grid = np.geomspace(*_span([*rows, *held], column), CURVE_POINTS)
        spread = curve.band(**{axis: grid})
        if spread:
            bands.append(
                Band(x=list(grid), low=list(spread[0]), high=list(spread[1]), colour=colour, legend=f"arm{index}")
            )
        dash = drawing.DASHES[index % len(drawing.DASHES)]
        y = [float(value) for value in curve.predict(**{axis: grid})]
        lines.append(Line(name=f"law, {arm}", x=list(grid), y=y, colour=colour, dash=dash, legend=f"arm{index}"))
        points.append(_marks(arm, rows, column, loss, index))
        if held:
            hollow.append(replace(_marks(f"{arm}, held out", held, column, loss, index), is_open=True))
    if len(points) < 2:
        return None
    counts = _count_lines(evidence, loss) if column == "unique_tokens" else []
    names = ", ".join(line.name.removesuffix(" counts") for line in counts)
    lines += counts
    arms = ", ".join(mark.name for mark in points)
    return Chart(
        name=f"{name}_arms",
        kind="law",
        question=name,
        title="The arms, their laws and where they cross",
        caption="A mark is a run, a line the arm's own law with its 95 % band. "
        + ("Hollow marks were held out: forecast, never fitted. " if hollow else "")
        + (f"Grey: count models of the same text, seeds averaged ({names})." if counts else ""),
        alt=f"{loss_title(shown, loss)} against {axis_title(column)} for {arms}, each with its law.",
        x=Axis(title=axis_title(column), is_flops=column == "flops"),
        y=Axis(title=loss_title(shown, loss)),
        bands=bands,
        lines=lines,
        points=[*points, *hollow],
        legend_title="arm",
        is_wide=True,
    )


def _levels_chart(evidence: Evidence, answer: Answer) -> Chart:
    """Every arm's runs and their mean at each level."""
    question, found = answer["question"], answer["paired"]
    name, along, loss = question["name"], found["along"], str(question.get("loss") or "loss")
    left_out = {str(item.get("run")) for item in answer.get("excluded") or ()}
    rows = [row for row in evidence.finished if str(row.get("run")) not in left_out and number(row.get(loss))]
    lines, points = [], []
    for arm in found["arms"]:
        index = evidence.arms.index(arm) if arm in evidence.arms else 0
        mine = [row for row in rows if str(row.get("arm")) == arm]
        levels = sorted({number(row.get(f"at_{along}")) or 0.0 for row in mine})
        means = [
            float(np.mean([number(row[loss]) for row in mine if number(row.get(f"at_{along}")) == level]))
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
        alt=f"{loss_title(rows, loss)} against {along} for {', '.join(found['arms'])}.",
        x=Axis(title=axis_title(str(along))),
        y=Axis(title=loss_title(rows, loss)),
        lines=lines,
        points=points,
        legend_title="arm",
        is_wide=True,
    )


def _count_lines(evidence: Evidence, loss: str) -> list[Line]:
    """Loss of each count model against the size of the text it counted."""
    if loss not in ("loss", "best_weights_loss"):
        return []
    by_name: dict[str, dict[float, list[float]]] = {}
    for corpus, entries in evidence.counts.items():
        known = evidence.study.corpora.get(corpus)
        size = known.train_tokens if known else None
        for entry in entries:
            value = number(entry.get("loss"))
            if size and value:
                by_name.setdefault(str(entry.get("name")), {}).setdefault(size, []).append(value)
    return [
        Line(
            name=f"{name} counts",
            x=sorted(found),
            y=[float(np.mean(found[size])) for size in sorted(found)],
            colour="reference",
            dash="dot",
            is_thin=True,
            hover=f"{name} counts",
        )
        for name, found in by_name.items()
        if len(found) > 1
    ]


def _marks(arm: str, rows: Sequence[Mapping[str, Any]], column: str, loss: str, index: int) -> Points:
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
        legend=f"arm{index}",
    )


def _axis_column(answer: Answer) -> str | None:
    """The column of the law's one axis, as the question has it."""
    question = answer["question"]
    crossed = (str(item["axis"]) for item in answer.get("crossings") or () if item.get("axis"))
    axis = next(crossed, "") or str(question.get("law") or "").rpartition(":")[2]
    return str(question.get(axis) or axis) or None


def _span(rows: Sequence[Mapping[str, Any]], column: str) -> tuple[float, float]:
    values = [value for row in rows if (value := number(row.get(column)))]
    return min(values), max(values)


def _end(column: str | None, value: Any) -> str:
    exact = number(value)
    return "∞" if exact is None else "0" if exact == 0 else tables.axis_amount(column, exact)


def _signed(value: Any) -> str:
    exact = number(value)
    return tables.DASH if exact is None else f"{exact:+.4f}"


def _in_a_sentence(title: str) -> str:
    return title[:1].lower() + title[1:]
