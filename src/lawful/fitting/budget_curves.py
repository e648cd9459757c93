"""Curves of loss against size at one budget each: the runs on a curve, its lowest point, and a line through these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lawful.fitting.quantiles import t_quantile
from lawful.laws import Array

Method = Literal["interpolate", "local", "parabola", "cubic", "given"]
Counted = Literal["params", "tokens"]
COUNTED: tuple[Counted, Counted] = ("params", "tokens")
Convention = Literal["recorded", "C = 6 N D", "C = 6 N D, as planned"]
METHODS: tuple[Method, ...] = ("interpolate", "local", "parabola", "cubic")  # that read an optimum off a curve
SAME_BUDGET = 0.1  # relative: runs whose FLOPs differ by less share a curve
WIDEST_BUDGET = 0.2  # of one curve in all: where budgets follow each other more closely, there are no curves
LEAST_ON_CURVE = 4
LEAST_CURVES = 3


@dataclass(frozen=True)
class Curve:
    """One budget: its runs, its best point (None where the lowest run is at an end), by the method asked for.

    tokens   read off the runs' own at the best size, or FLOPs / (6 params) where none are recorded
    """

    flops: float
    n: int
    is_bracketed: bool
    params: float | None
    tokens: float | None
    loss: float | None


@dataclass(frozen=True)
class Runs:
    """What curves are read off, an array each, shape (runs,)."""

    flops: Array
    params: Array
    tokens: Array
    loss: Array
    convention: Convention

    def take(self, rows: Array) -> Runs:
        return Runs(self.flops[rows], self.params[rows], self.tokens[rows], self.loss[rows], self.convention)


def budgets_of(flops: Array) -> list[Array]:
    """The rows of each budget. Runs that follow each other too closely for a budget to end are in none."""
    order = np.argsort(flops, kind="stable")
    log = np.log(flops[order])
    groups = np.split(order, np.flatnonzero(np.diff(log) > SAME_BUDGET) + 1)
    return [g for g in groups if len(g) >= LEAST_ON_CURVE and np.ptp(np.log(flops[g])) <= WIDEST_BUDGET]


def curve_of(runs: Runs, method: Method) -> Curve:
    flops, sizes, mean = level_of_sizes(runs)
    lowest = int(np.argmin(mean))
    if len(sizes) < LEAST_ON_CURVE or lowest in (0, len(sizes) - 1):
        return Curve(flops, len(runs.params), False, None, None, None)
    u = np.log(sizes)
    fine = np.linspace(u[lowest - 1], u[lowest + 1], 4001)
    level = _smooth(u, mean, lowest, fine, method)
    at = int(np.argmin(level))
    best = float(np.exp(fine[at]))
    tokens = np.array([np.log(runs.tokens[runs.params == s]).mean() for s in sizes])
    return Curve(
        flops, len(runs.params), True, best, float(np.exp(np.interp(fine[at], u, tokens))), float(np.exp(level[at]))
    )


def level_of_sizes(runs: Runs) -> tuple[float, Array, Array]:
    """The budget, its sizes, and the mean log loss at each: replicates count by their mean."""
    sizes = np.unique(runs.params)
    mean = np.array([np.log(runs.loss[runs.params == s]).mean() for s in sizes])
    return float(np.exp(np.log(runs.flops).mean())), sizes, mean


def _smooth(u: Array, log_loss: Array, lowest: int, fine: Array, method: Method) -> Array:
    if method == "interpolate":
        from scipy.interpolate import Akima1DInterpolator

        return np.asarray(Akima1DInterpolator(u, log_loss)(fine))
    near = slice(lowest - 1, lowest + 2) if method == "local" else slice(None)
    degree = 3 if method == "cubic" else 2
    centre = u[lowest]
    return np.asarray(np.polyval(np.polyfit(u[near] - centre, log_loss[near], degree), fine - centre))


@dataclass(frozen=True)
class Line:
    """A straight line of log y on log x through points: its slope, and what it says elsewhere.

    centre    mean of log x and of log y
    spread    of the points about the line
    reading   error of the slope beside the scatter's (_with_reading_error)
    """

    slope: float
    stderr: float
    dof: int
    centre: tuple[float, float]
    spread: float
    reading: float = 0.0

    @classmethod
    def of(cls, curves: Sequence[Curve], what: Counted) -> Line:
        """The line of the best params, or the best tokens, against FLOPs."""
        return cls.through([c.flops for c in curves], [getattr(c, what) for c in curves])

    @classmethod
    def through(cls, x: Sequence[float], y: Sequence[float]) -> Line:
        u, v = np.log(x), np.log(y)
        centre = (float(u.mean()), float(v.mean()))
        u, v = u - centre[0], v - centre[1]
        slope = float(u @ v / (u @ u))
        rest = v - slope * u
        spread = float(np.sqrt(rest @ rest / (len(u) - 2)))
        return cls(slope, spread / float(np.sqrt(u @ u)), len(u) - 2, centre, spread)

    @property
    def ci95(self) -> tuple[float, float]:
        reach = float(np.hypot(t_quantile(0.975, self.dof) * self.stderr, self.reading))
        return self.slope - reach, self.slope + reach

    def predict(self, x: float) -> tuple[float, float, float]:
        """y, and the ends of its 95 % interval."""
        away = float(np.log(x)) - self.centre[0]
        middle = self.centre[1] + self.slope * away
        scatter = t_quantile(0.975, self.dof) * np.hypot(self.spread / np.sqrt(self.dof + 2), self.stderr * away)
        reach = float(np.hypot(scatter, self.reading * away))
        low, value, high = np.exp([middle - reach, middle, middle + reach])
        return float(value), float(low), float(high)
