"""The loss of each arm over that of the first, along the axis of their laws: lines that are equal hide nothing here."""

from __future__ import annotations

import numpy as np

from lawful.fitting.answers import Answer
from lawful.report import charts
from lawful.report.charts import Axis, Band, Chart, Line, Points, Reference
from lawful.report.evidence import Evidence
from lawful.report.law_curve import LEVEL, law_curve
from lawful.report.marks import CURVE_POINTS, arm_title, axis_title, fitted_rows, plain, value_of

SAME = 1.03  # amounts of an axis that differ by less than this factor are one level


def ratio_chart(evidence: Evidence, answer: Answer) -> Chart | None:
    """None where fewer than two arms have a law of one axis, or the metric is no loss: it may be about 0."""
    arms = [(str(one.arm), one, curve) for one in evidence.arms_of(answer) if (curve := law_curve(one))]
    arms = [entry for entry in arms if len(entry[2].inputs) == 1]
    if len(arms) < 2 or not arms[0][2].response.is_log:
        return None
    first, base_answer, base = arms[0]
    (axis,) = base.inputs
    column, loss = base.columns[axis], answer.question.loss
    levels = {arm: _means(evidence, one, column, loss) for arm, one, _ in arms}
    seen = [at for means in levels.values() for at in means]
    grid = np.geomspace(min(seen), max(seen), CURVE_POINTS)
    bands, lines, points = [], [], []
    for arm, _, curve in arms[1:]:
        index = evidence.arms.index(arm) if arm in evidence.arms else 0
        colour, legend = f"arm{index % charts.ARMS}", f"arm{index}"
        share = 100 * (curve.predict(**{axis: grid}) / base.predict(**{axis: grid}) - 1)
        lines.append(
            Line(name=f"by the laws, {arm}", x=plain(grid), y=plain(share), colour=colour, legend=legend,
                 dash=charts.DASHES[index % len(charts.DASHES)])
        )  # fmt: skip
        if base.draws and curve.draws:
            own, others = (one.law.predict(one.draws, one.at(**{axis: grid})) for one in (curve, base))
            draws = min(len(own), len(others))
            spread = np.quantile(own[:draws] / others[:draws], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
            below, above = (plain(100 * (end - 1)) for end in spread)
            bands.append(Band(x=plain(grid), low=below, high=above, colour=colour, legend=legend))
        shared = [(at, mean, other) for at, mean in levels[arm].items() if (other := _at(levels[first], at))]
        points.append(
            Points(
                name=arm,
                x=plain([at for at, _, _ in shared]),
                y=plain([100 * (mean / other - 1) for _, mean, other in shared]),
                colour=colour,
                symbol=charts.SYMBOLS[index % len(charts.SYMBOLS)],
                hover=[f"{arm} {mean:.4f}\n{first} {other:.4f}" for _, mean, other in shared],
                legend=legend,
            )
        )
    return Chart(
        name=f"{answer.name}_ratio",
        kind="law",
        question=answer.name,
        title=f"Loss beside {first}",
        caption=f"Below 0 an arm has a lower loss than {first}. A mark is the mean of its runs at one place over "
        f"that of {first}; the band is the 95 % one of the two laws' ratio, their fits taken as independent.",
        alt=f"Loss over that of {first}, in per cent, against {axis_title(column, axis)}, for "
        f"{', '.join(arm for arm, _, _ in arms[1:])}.",
        x=Axis(title=axis_title(column, axis), is_flops="compute" in axis_title(column, axis)),
        y=Axis(title=f"Loss / loss of {first} − 1", scale="linear", suffix=" %"),
        bands=bands,
        lines=lines,
        points=points,
        references=[Reference(y=0.0, label="equal")],
        legend_title=arm_title(evidence),
        is_wide=True,
    )


def _means(evidence: Evidence, answer: Answer, column: str, loss: str) -> dict[float, float]:
    """Mean loss of the fitted runs at each amount."""
    found: dict[float, list[float]] = {}
    for row in fitted_rows(evidence, answer):
        at = value_of(row, column)
        near = next((known for known in found if max(at / known, known / at) < SAME), at)
        found.setdefault(near, []).append(value_of(row, loss))
    return {at: float(np.mean(losses)) for at, losses in found.items()}


def _at(means: dict[float, float], at: float) -> float | None:
    return next((mean for known, mean in means.items() if max(at / known, known / at) < SAME), None)
