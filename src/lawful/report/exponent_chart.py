"""Two exponents of a law in one chart: the fit's draws of both, which show how one compensates for the other."""

from __future__ import annotations

import numpy as np

from lawful.fitting.answers import Answer
from lawful.report import tables
from lawful.report.charts import Axis, Chart, Line, Points
from lawful.report.law_curve import LawCurve
from lawful.report.marks import plain

LEVELS = ((0.5, "half of the draws"), (0.95, "95 % of the draws"))
LEAST_DRAWS = 50  # below it a contour would be drawn through noise
MOST_SHOWN = 200
CORNERS = 72


def exponent_chart(answer: Answer, curve: LawCurve) -> Chart | None:
    """The chart; None if the law has fewer than two free exponents, or the fit has few draws."""
    fit = answer.fit
    if fit is None or len(fit.draws) < LEAST_DRAWS:
        return None
    exponents = [shape.name for shape in curve.law.shapes if shape.name not in curve.law.places]
    names = [name for name in exponents if name in fit.free][:2]
    if len(names) < 2 or any(fit.params[name].at_bound for name in names):
        return None
    drawn = np.array([curve.draws[name] for name in names])
    if (drawn <= 0).any():
        return None
    log = np.log(drawn)
    covariance = np.cov(log)
    root = np.linalg.cholesky(covariance + 1e-12 * np.eye(2))
    centre = np.median(log, axis=1, keepdims=True)
    away = np.linalg.solve(root, log - centre)
    far = np.hypot(*away)
    angle = np.linspace(0, 2 * np.pi, CORNERS)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    lines = []
    for (level, name), is_thin in zip(LEVELS, (True, False), strict=True):
        x, y = np.exp(centre + root @ circle * np.quantile(far, level))
        lines.append(
            Line(name=name, x=plain(x), y=plain(y), colour="arm0", dash="dash" if is_thin else "solid", is_named=True,
                 legend=f"contour{level:g}")
        )  # fmt: skip
    shown = drawn[:, :: max(1, drawn.shape[1] // MOST_SHOWN)]
    first, second = (tables.GREEK.get(name, name) for name in names)
    together = float(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]))
    question = answer.question.name
    return Chart(
        name=f"{question}_exponents",
        kind="law",
        question=question,
        title=f"{first} and {second} together",
        caption=f"A mark is a draw of the fit, the ellipses hold half and 95 % of them; their correlation is "
        f"{together:.2f}. A long, narrow one: only a combination of the two is known well.",
        alt=f"Draws of {first} and {second} with ellipses that hold half and 95 % of them; correlation {together:.2f}.",
        x=Axis(title=first),
        y=Axis(title=second),
        lines=lines,
        points=[
            Points(name="draws", x=plain(shown[0]), y=plain(shown[1]), colour="reference", legend="draws"),
            Points(name="fitted", x=[fit.values[names[0]]], y=[fit.values[names[1]]], colour="held_out",
                   symbol="cross", hover=[f"fitted\n{first} {fit.values[names[0]]:.3g}\n{second} "
                                          f"{fit.values[names[1]]:.3g}"], legend="fitted"),
        ],
    )  # fmt: skip
