"""The noise of each row, where it is known to differ: by error bars, by numbers of test items, by the law's own value.

A row's variance is that of its bar and one that all rows share (DerSimonian and Laird 1986), which is 0 where the bars
explain the scatter about the law. Its estimate is that of Paule and Mandel (1982): the weighted squares of the
residuals then come to their degrees of freedom. The scale of the noise is estimated from the residuals all the same, so
that intervals hold also where bars are too long by a factor.

Of an accuracy the unit of both is sqrt(p (1 - p)), with p by the law: a bar is 1 / sqrt(items), and what is shared is
the overdispersion of a beta-binomial count (Williams 1982). The fit is then that of the quasi-likelihood, which takes
rows below the chance level as they are.
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
    response = data.response
    if data.errors is None and not response.is_share:
        return data, None
    bars = np.zeros(data.n) if data.errors is None else data.errors
    dof = max(data.n - int((low < high).sum()), 1)
    extra, scatter, near, own = 0.0, math.nan, None, np.ones(data.n)
    noise = np.ones(data.n) if data.errors is None else relative_noise(bars, extra, own)
    for _ in range(ROUNDS):
        point = best_point(replace(data, row_noise=noise), law, "robust", low, high, near=near)
        own = response.noise(point.fitted)
        residual = response.away(data.loss, point.fitted) / own
        before, extra = extra, 0.0 if data.errors is None else _unexplained(residual, bars, dof)
        if data.errors is not None and (near is None or response.is_share):
            scatter = math.sqrt(float(np.square(residual / bars).sum()) / dof)
        near, former = point.parameters, noise
        noise = own / geometric_mean(own) if data.errors is None else relative_noise(bars, extra, own)
        if np.abs(noise / former - 1).max() < 0.01 and (abs(extra - before) < 0.01 * extra or extra == before):
            break
    weighing = replace(data, row_noise=noise)
    if data.errors is None:
        return weighing, None
    found = ErrorBars(
        column=data.column["trials" if is_counted(data) else "stderr"],
        shortest=float(bars.min()),
        longest=float(bars.max()),
        scatter=scatter,
        is_off=abs(_as_normal(scatter**2, dof)) > OFF,
        extra=extra,
        is_count=is_counted(data),
    )
    return weighing, found


def is_counted(data: Sample) -> bool:
    """Whether the rows' errors follow from numbers of test items."""
    return "trials" in data.column and data.response.is_share


def relative_noise(errors: Array, extra: float, own: Array | float = 1.0) -> Array:
    """The noise of each row, in units of the typical row's noise.

    own   the unit of `errors` and `extra`, for each row
    """
    noise = own * np.hypot(errors, extra)
    return np.asarray(noise / geometric_mean(noise))


def geometric_mean(values: Array) -> float:
    return float(np.exp(np.log(values).mean()))


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
    """The normal quantile of chi-squared over its degrees of freedom (Wilson and Hilferty 1931)."""
    spread = 2 / (9 * dof)
    return float((np.cbrt(ratio) - (1 - spread)) / math.sqrt(spread))
