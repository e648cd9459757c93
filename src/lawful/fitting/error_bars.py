"""Error bars that a table gives for its losses: rows weigh by them, and by what scatter they leave unexplained.

A row's variance is that of its bar and one that all rows share (DerSimonian and Laird 1986), which is 0 where the bars
explain the scatter about the law. Its estimate is that of Paule and Mandel (1982): the weighted squares of the
residuals then come to their degrees of freedom. The scale of the noise is estimated from the residuals all the same, so
that intervals hold also where bars are too long by a factor.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from lawful.fitting.data import Sample
from lawful.fitting.records import ErrorBars
from lawful.fitting.search import best_point
from lawful.laws import Array, Law

ROUNDS = 3  # of fitting and weighing: the extra variance then moves by less than a hundredth of it
OFF = 2.81  # normal quantile of .9975: of bars that are right, one table in 200 is said to disagree
HALVINGS = 60


def weighed(data: Sample, law: Law, low: Array, high: Array) -> tuple[Sample, ErrorBars | None]:
    """The rows with their noise relative to each other, and how the bars agree with the scatter about the law."""
    if data.errors is None:
        return data, None
    dof = max(data.n - int((low < high).sum()), 1)
    extra, scatter, near = 0.0, math.nan, None
    for _ in range(ROUNDS):
        weighing = replace(data, row_noise=relative_noise(data.errors, extra))
        point = best_point(weighing, law, "robust", low, high, near=near)
        residual = np.log(data.loss / point.fitted)
        if near is None:
            scatter = math.sqrt(float(np.square(residual / data.errors).sum()) / dof)
        near, before, extra = point.parameters, extra, _unexplained(residual, data.errors, dof)
        if abs(extra - before) < 0.01 * extra or extra == before:
            break
    found = ErrorBars(
        column=data.column["stderr"],
        shortest=float(data.errors.min()),
        longest=float(data.errors.max()),
        scatter=scatter,
        is_off=abs(_as_normal(scatter**2, dof)) > OFF,
        extra=extra,
    )
    return replace(data, row_noise=relative_noise(data.errors, extra)), found


def relative_noise(errors: Array, extra: float) -> Array:
    """Of each row, in units of the typical one's."""
    noise = np.hypot(errors, extra)
    return np.asarray(noise / np.exp(np.log(noise).mean()))


def _unexplained(residual: Array, errors: Array, dof: int) -> float:
    """The standard deviation beside the bars with which the residuals' weighted squares are their degrees of freedom;
    0 where they are no more without it."""

    def is_short(extra: float) -> bool:
        return float(np.square(residual / np.hypot(errors, extra)).sum()) > dof

    if not is_short(0.0):
        return 0.0
    low, high = 0.0, float(np.sqrt(np.square(residual).sum() / dof))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_short(middle) else (low, middle)
    return high


def _as_normal(ratio: float, dof: int) -> float:
    """Of chi-squared over its degrees of freedom, the normal quantile (Wilson and Hilferty 1931)."""
    spread = 2 / (9 * dof)
    return float((np.cbrt(ratio) - (1 - spread)) / math.sqrt(spread))
