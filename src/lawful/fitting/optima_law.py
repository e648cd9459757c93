"""How an optimum grows: a straight line in logarithms through the cells, each with the error of its own reading."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lawful.checks import AnyFloat, argument
from lawful.errors import DeclarationError
from lawful.fitting.allocate import Interval
from lawful.fitting.quantiles import t_cdf, t_quantile
from lawful.laws import Array

SCATTERS = (0.0, *np.geomspace(1e-3, 3.0, 120).tolist())  # of a cell's log optimum about the line, tried by REML


@dataclass(frozen=True)
class Line:
    """values: coefficients, the first at the centre; covariance of them; scatter: of a cell about the line."""

    values: Array
    covariance: Array
    scatter: float
    dof: int


def line(design: Array, logs: Array, variances: Array) -> Line:
    """By residual maximum likelihood: cells scatter about the line beside the known errors of their readings. The
    covariance is widened as by Knapp and Hartung (2003), never narrowed, and goes with Student's t."""
    cells, count = design.shape

    def at(scatter: float) -> tuple[float, Array, Array, float]:
        weight = 1 / (variances + scatter**2)
        matrix = design.T @ (design * weight[:, None])
        values = np.linalg.solve(matrix, design.T @ (weight * logs))
        squares = float(weight @ (logs - design @ values) ** 2)
        against = float(-np.log(weight).sum() + np.linalg.slogdet(matrix)[1] + squares)
        return against, values, np.linalg.inv(matrix), squares

    best = min(SCATTERS, key=lambda scatter: at(scatter)[0])
    _, values, covariance, squares = at(best)
    dof = cells - count
    return Line(values, covariance * max(1.0, squares / dof), best, dof)


@dataclass(frozen=True, kw_only=True)
class OptimumLaw:
    """setting* = value x product of (input / centre)^exponent, with 95 % intervals.

    exponents    input -> its exponent
    value        the optimum at the centre of the cells
    scatter      of the log of one cell's optimum about the law, beside the error of reading it
    by_window    coefficients as other windows say that they may be
    """

    setting: str
    exponents: Mapping[str, Interval]
    centre: Mapping[str, AnyFloat]
    value: Interval
    scatter: AnyFloat
    cells: int
    dof: int
    coefficients: tuple[AnyFloat, ...]
    covariance: tuple[tuple[AnyFloat, ...], ...]
    by_window: tuple[tuple[AnyFloat, ...], ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(self.exponents)

    def predict(self, *, is_of_cell: bool = False, **at: float) -> Interval:
        """The optimum at one point.

        Parameters
        ----------
        is_of_cell
            The interval is that of one more cell's own optimum, which scatters about the law; else of the law.
        **at
            A positive number for each input of the law.
        """
        if set(at) != set(self.exponents):
            raise DeclarationError(f"{self.setting}: expected {', '.join(self.exponents)}, got {', '.join(at) or '-'}.")
        for name, number in at.items():
            if not 0 < argument(name, number, float) < math.inf:
                raise DeclarationError(f"{self.setting}: expected {name} to be a positive number, got {number!r}.")
        point = np.array([1.0, *(math.log(at[name] / self.centre[name]) for name in self.exponents)])
        return self._at(point, is_of_cell)

    def _at(self, point: Array, is_of_cell: bool = False) -> Interval:
        value, low, high = (math.exp(min(end, 700.0)) for end in self._ends(point, is_of_cell))
        return Interval(value, low, high)

    def _exponent(self, point: Array) -> Interval:
        """A coefficient, with the interval that holds it in .95 wherever between the windows' own values it lies
        (Armstrong and Kolesar 2018, Econometrica 86:655). The level keeps the wider sum of both: its bias goes one way
        in all cells."""
        stderr = math.sqrt(float(point @ np.array(self.covariance) @ point))
        middle, *others = (float(point @ np.array(own)) for own in (self.coefficients, *self.by_window))
        low, high = min([middle, *others]), max([middle, *others])
        reach = biased_reach((high - low) / 2, stderr, self.dof)
        return Interval(middle, (low + high) / 2 - reach, (low + high) / 2 + reach)

    def _ends(self, point: Array, is_of_cell: bool = False) -> tuple[float, float, float]:
        """The sum of the coefficients times a point, and its interval: around that by each window."""
        variance = float(point @ np.array(self.covariance) @ point) + self.scatter**2 * is_of_cell
        reach = t_quantile(0.975, self.dof) * math.sqrt(variance)
        middle, *others = (float(point @ np.array(own)) for own in (self.coefficients, *self.by_window))
        return middle, min([middle, *others]) - reach, max([middle, *others]) + reach


def biased_reach(bias: float, stderr: float, dof: float) -> float:
    """Half of the shortest interval that holds in .95 whatever the bias of its middle, up to `bias` either way."""
    if not stderr > 0:
        return bias
    shift = bias / stderr
    low, high = shift + t_quantile(0.95, dof), shift + t_quantile(0.975, dof)
    while high - low > 1e-9:
        half = (low + high) / 2
        holds = t_cdf(half - shift, dof) - t_cdf(-half - shift, dof)
        low, high = (half, high) if holds < 0.95 else (low, half)
    return stderr * high


@dataclass(frozen=True)
class Reading:
    """Optima by another window: of which cells, their logarithms and variances; weight: where the law may lie, in units
    of the distance of its own law from the usual one; below 0 on the other side."""

    rows: Array
    logs: Array
    variances: Array
    weight: float


def optimum_law(
    setting: str,
    inputs: Sequence[str],
    points: Sequence[Mapping[str, float]],
    logs: Array,
    variances: Array,
    others: Sequence[Reading],
) -> OptimumLaw:
    """others: by other windows, of cells that are rows of `points`."""
    logs_of = np.array([[math.log(point[name]) for name in inputs] for point in points])
    centre = logs_of.mean(axis=0)
    design = np.concatenate([np.ones((len(points), 1)), logs_of - centre], axis=1)
    own = line(design, logs, variances)
    by_window = tuple(
        tuple((own.values + one.weight * (_line_of(one, design) - own.values)).tolist())
        for one in others
        if len(one.rows) > design.shape[1] and np.linalg.matrix_rank(design[one.rows]) == design.shape[1]
    )
    law = OptimumLaw(
        setting=setting,
        exponents=dict.fromkeys(inputs, Interval(0.0, 0.0, 0.0)),
        centre={name: math.exp(value) for name, value in zip(inputs, centre, strict=True)},
        value=Interval(0.0, 0.0, 0.0),
        scatter=own.scatter,
        cells=len(points),
        dof=own.dof,
        coefficients=tuple(own.values.tolist()),
        covariance=tuple(map(tuple, own.covariance.tolist())),
        by_window=by_window,
    )
    ends = {}
    for place, name in enumerate(inputs, start=1):
        ends[name] = law._exponent(np.eye(len(own.values))[place])
    made = law._at(np.eye(len(own.values))[0])
    return OptimumLaw(**{**vars(law), "exponents": ends, "value": made})


def _line_of(one: Reading, design: Array) -> Array:
    return line(design[one.rows], one.logs, one.variances).values
