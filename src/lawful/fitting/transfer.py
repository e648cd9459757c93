"""`lawful.transfer`: does the best learning rate stay as models grow, and do activations change alike at every size?

Two checks of a parametrisation, each a slope with an interval:

- the best rate of each size, by a quadratic in the log rate around the lowest loss; its slope along width and depth;
- the size of each activation's change after a few steps, its slope along width (arXiv:2203.03466, appendix D.1).

A slope of 0 is what muP and CompleteP promise. No slope is exactly 0 at finite size, so a verdict is about limits:
between them a size does not matter in practice, beyond them it does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lawful.checks import checked
from lawful.errors import DeclarationError, Refusal, TableError
from lawful.fitting.data import read_table
from lawful.fitting.pooled_sweeps import refuse_pooled_sweeps
from lawful.fitting.quantiles import t_quantile
from lawful.laws import Array
from lawful.schema import Observation
from lawful.tables import Observations, is_empty

# A forgotten factor 1/width changes a slope by 1, a forgotten square root by a half; a quarter is half of that
SCALE_LIMIT = 0.25
MOST_DRIFT = 1 - SCALE_LIMIT  # of a best rate, however coarse the grid: a rate as 1/width must never count as flat
# The first changes of queries are not aligned with keys yet: their products then grow as the root of the head size, and
# under a scale of 1 / head size shrink as its root. What they should not do is grow with the width
LOWEST = {"change_scores": -0.75}
CHANGES = "change_"  # columns of activations' changes begin so
NEIGHBOURS = 2  # rates on each side of the lowest loss that the quadratic is fitted to
LEAST_RATES = 3  # with a loss, at one size
PARAMETRISATIONS = ("parametrisation", "parametrization", "parameterisation", "parameterization")
Verdict = Literal["flat", "drifts", "not decided"]


@dataclass(frozen=True, kw_only=True)
class Slope:
    """d log `what` / d log `along`, with its 95 % interval.

    levels    how many sizes it stands on
    limits    flat: the interval lies within them; drifts: it lies outside
    """

    what: str
    along: str
    value: float
    low: float
    high: float
    levels: int
    limits: tuple[float, float]

    @property
    def verdict(self) -> Verdict:
        lowest, highest = self.limits
        if lowest <= self.low and self.high <= highest:
            return "flat"
        return "drifts" if self.low > highest or self.high < lowest else "not decided"


@dataclass(frozen=True, kw_only=True)
class BestRate:
    """The best rate of one size; None where the lowest loss lies at an end of the rates tried.

    stderr   of its logarithm
    """

    at: Mapping[str, float]
    value: float | None
    stderr: float | None
    lowest_tried: float
    highest_tried: float


@dataclass(frozen=True, kw_only=True)
class ArmTransfer:
    """arm: "" where the table has one alone."""

    arm: str
    slopes: tuple[Slope, ...]
    best_rates: tuple[BestRate, ...]
    left_out: tuple[str, ...]

    @property
    def verdict(self) -> Literal["transfers", "does not transfer", "not decided"]:
        verdicts = {slope.verdict for slope in self.slopes}
        if "drifts" in verdicts:
            return "does not transfer"
        return "transfers" if verdicts == {"flat"} else "not decided"

    @property
    def sentence(self) -> str:
        head = f"{self.arm}: {self.verdict}" if self.arm else self.verdict
        said = [
            f"{slope.what} changes as {slope.along}^{slope.value:.2f} [{slope.low:.2f}, {slope.high:.2f}]"
            for slope in self.slopes
            if slope.verdict != "flat"
        ]
        flat = "1 slope, flat" if len(self.slopes) == 1 else f"{len(self.slopes)} slopes, all flat"
        why = f" ({'; '.join(said)})" if said else f" ({flat})" if self.slopes else ""
        return f"{head}{why}."


@dataclass(frozen=True, kw_only=True)
class Transfer:
    arms: tuple[ArmTransfer, ...]
    along: tuple[str, ...]
    rate: str
    source: str

    def __repr__(self) -> str:
        return f"<Transfer {'; '.join(f'{one.arm} {one.verdict}' for one in self.arms)}>"

    @property
    def sentence(self) -> str:
        return "\n".join(one.sentence for one in self.arms)


@checked
def transfer(
    source: Any,
    *,
    along: Sequence[str] = ("width", "depth"),
    by: str | None = None,
    rate: str = "learning_rate",
    loss: str | None = None,
) -> Transfer:
    """Whether hyperparameters of small models serve larger ones.

    Parameters
    ----------
    source
        A table with one row a run: sizes, learning rate, loss; or a folder of the study `transfer`. Rows with columns
        that begin with "change_" are coordinate checks, the other rows are sweeps of the rate.
    along
        Columns of sizes; those that the table lacks are skipped. With two, each slope is at the other held fixed.
    by
        Column of the parametrisations; by default `parametrisation`, where the table has it.
    rate, loss
        Columns' names.

    Returns
    -------
    Transfer
        Slopes with intervals and a verdict for each parametrisation.

    Raises
    ------
    Refusal
        No check can be made.
    LawfulError
        A bad table or argument.

    Notes
    -----
    The limit of the best rate's slope is one grid step over the sizes tried, log(step of the rates) / log(range), and
    at most .75.

    Examples
    --------
    >>> lawful.transfer("studies/transfer").arms[0].verdict
    'does not transfer'
    """
    columns = dict.fromkeys(("params", "tokens", "flops", "unique_tokens", "cluster", "stderr", "trials"))
    table = read_table(source, {**columns, "loss": loss}).of_ladder()
    sizes = [column for name in dict.fromkeys(along) if (column := _known(table, name)) in table.columns]
    if not sizes:
        raise TableError(
            f"{table.source}: along: expected a column of sizes, such as width; got {_listed(along)}. The "
            f"table has {', '.join(table.columns)}."
        )
    if by is None:
        by = next((usual for name in PARAMETRISATIONS if (usual := _known(table, name)) in table.columns), None)
    if by is not None:
        by = _known(table, by)
        table.expect(by)
    scales = [name for name in table.columns if name.startswith(CHANGES)]
    if not scales:
        table.expect(rate)
    losses = table.roles.get("loss")
    refuse_pooled_sweeps(_parts(table, scales)[1], sizes, [rate], [by] if by else [])
    arms = list(dict.fromkeys(str(cell) for cell in table.cells(by))) if by else [""]
    found = []
    for arm in arms:
        own = table if by is None else table.where(lambda row, arm=arm: str(row.get(by)) == arm, "another arm")  # type: ignore[misc]
        checks, sweeps = _parts(own, scales)
        slopes = [slope for name in scales for slope in _of_scale(checks, name, sizes)]
        drifts, best, left_out = _of_rates(sweeps, rate, losses, sizes)
        found.append(ArmTransfer(arm=arm, slopes=(*slopes, *drifts), best_rates=tuple(best), left_out=tuple(left_out)))
    if not any(one.slopes for one in found):
        why = "; ".join(dict.fromkeys(reason for one in found for reason in one.left_out))
        raise Refusal(
            "too_few_levels",
            f"{table.source}: neither a drift of the best {rate} nor a change of activations can be judged along "
            f"{_listed(sizes)}: it takes two sizes at least, each with {LEAST_RATES} rates around the lowest loss, or "
            f"a column that begins with {CHANGES!r}. {why}".strip(),
        )
    along = tuple(name.removeprefix("at_") for name in sizes)
    return Transfer(arms=tuple(found), along=along, rate=rate, source=table.source)


def _known(table: Observations, name: str) -> str:
    """The column of a name; a study's own table calls the coordinate width `at_width`."""
    return f"at_{name}" if name not in table.columns and f"at_{name}" in table.columns else name


def _listed(names: Sequence[str]) -> str:
    return " or ".join(map(repr, names)) or "none"


def _parts(table: Observations, scales: Sequence[str]) -> tuple[Observations, Observations]:
    """Coordinate checks, and sweeps."""

    def is_check(row: Observation) -> bool:
        return any(not is_empty(row.get(name)) for name in scales)

    return table.where(is_check, "no check"), table.where(lambda row: not is_check(row), "a coordinate check")


def _logs(table: Observations, name: str, rows: str) -> Array:
    """Raises TableError where a number is not above 0."""
    values = table.numbers(name)
    if not (values > 0).all():
        raise TableError(
            f"{table.source}: column {name!r}: expected numbers above 0 in the rows of {rows}, got "
            f"{values[~(values > 0)][0]:g}."
        )
    return np.asarray(np.log(values))


def _moving(table: Observations, sizes: Sequence[str], rows: str) -> dict[str, Array]:
    """Those sizes that have several levels in these rows -> their logarithms."""
    filled = [name for name in sizes if any(not is_empty(cell) for cell in table.cells(name))]
    logs = {name: _logs(table, name, rows) for name in filled}
    return {name: own for name, own in logs.items() if len(np.unique(own)) > 1}


def _of_scale(checks: Observations, name: str, sizes: Sequence[str]) -> list[Slope]:
    """Slopes of one activation's change, by least squares over the runs."""
    own = checks.where(lambda row: not is_empty(row.get(name)), "no value")
    moving = _moving(own, sizes, "a coordinate check")
    design = np.stack([np.ones(len(own)), *moving.values()], axis=1)
    dof = len(own) - design.shape[1]
    if not moving or dof < 1 or np.linalg.matrix_rank(design) < design.shape[1]:
        return []
    y = _logs(own, name, "a coordinate check")
    found = np.linalg.lstsq(design, y, rcond=None)[0]
    variance = float(((y - design @ found) ** 2).sum()) / dof
    covariance = variance * np.linalg.inv(design.T @ design)
    limits = (LOWEST.get(name, -SCALE_LIMIT), SCALE_LIMIT)
    return [
        _slope(name, axis, float(found[k]), math.sqrt(covariance[k, k]), dof, own_logs, limits)
        for k, (axis, own_logs) in enumerate(moving.items(), start=1)
    ]


def _slope(
    what: str, along: str, value: float, stderr: float, dof: float, logs: Array, limits: tuple[float, float]
) -> Slope:
    reach = t_quantile(0.975, dof) * stderr
    levels = len(np.unique(np.round(logs, 9)))
    return Slope(
        what=what,
        along=along.removeprefix("at_"),
        value=value,
        low=value - reach,
        high=value + reach,
        levels=levels,
        limits=limits,
    )


@dataclass(frozen=True)
class _Curve:
    """A quadratic a + b x + c x^2 of log loss in x = log rate - centre, with the inverse of X'X."""

    at: tuple[float, ...]
    centre: float
    b: float
    c: float
    inverse: Array
    squares: float
    dof: int

    @property
    def best(self) -> float:
        return self.centre - self.b / (2 * self.c)

    @property
    def lever(self) -> float:
        """The variance of `best` in units of that of a log loss."""
        slope = np.array([0.0, -1 / (2 * self.c), self.b / (2 * self.c**2)])
        return float(slope @ self.inverse @ slope)


def _of_rates(
    sweeps: Observations, rate: str, loss: str | None, sizes: Sequence[str]
) -> tuple[list[Slope], list[BestRate], list[str]]:
    """Slopes of the best rate; the best rate of each size; sizes that were left out, with the reason."""
    if not len(sweeps) or loss is None or rate not in sweeps.columns:
        return [], [], []
    own = sweeps.where(lambda row: not is_empty(row.get(loss)) and not is_empty(row.get(rate)), "no value")
    own = own.where(lambda row: all(not is_empty(row.get(name)) for name in sizes), "no size")
    if not len(own):
        return [], [], []
    if not own.response.is_log:
        raise DeclarationError(f"{own.source}: loss: expected a loss, whose lowest is best, got {loss!r}.")
    x, y = _logs(own, rate, "a sweep"), _logs(own, loss, "a sweep")
    places = np.stack([_logs(own, name, "a sweep") for name in sizes], axis=1)
    curves, best, left_out = [], [], []
    for place in np.unique(places, axis=0):
        is_here = (places == place).all(axis=1)
        at = {
            name.removeprefix("at_"): float(np.round(np.exp(value), 6))
            for name, value in zip(sizes, place, strict=True)
        }
        found = _curve(tuple(place), x[is_here], y[is_here])
        ends = {"lowest_tried": float(np.exp(x[is_here].min())), "highest_tried": float(np.exp(x[is_here].max()))}
        if isinstance(found, str):
            left_out.append(f"{', '.join(f'{name} {value:g}' for name, value in at.items())}: {found}")
            best.append(BestRate(at=at, value=None, stderr=None, **ends))
            continue
        curves.append(found)
        best.append(BestRate(at=at, value=math.exp(found.best), stderr=0.0, **ends))
    dof = sum(curve.dof for curve in curves)
    if len(curves) < 2 or dof < 1:
        return [], best, left_out
    noise = sum(curve.squares for curve in curves) / dof
    stderrs = iter([math.sqrt(noise * curve.lever) for curve in curves])
    best = [one if one.value is None else _with_stderr(one, next(stderrs)) for one in best]
    return _drift(curves, noise, dof, sizes, _step(x)), best, left_out


def _with_stderr(one: BestRate, stderr: float) -> BestRate:
    return BestRate(
        at=one.at, value=one.value, stderr=stderr, lowest_tried=one.lowest_tried, highest_tried=one.highest_tried
    )


def _curve(at: tuple[float, ...], x: Array, y: Array) -> _Curve | str:
    """The quadratic around the lowest loss; or why there is none."""
    rates = np.unique(np.round(x, 9))
    if len(rates) < LEAST_RATES:
        return f"{len(rates)} rates, of which a curve needs {LEAST_RATES}"
    means = np.array([y[np.isclose(x, one)].mean() for one in rates])
    lowest = int(np.argmin(means))
    if lowest in (0, len(rates) - 1):
        end = "lowest" if lowest == 0 else "highest"
        return f"the best rate tried is the {end}, {math.exp(rates[lowest]):.3g}: try more on that side"
    near = rates[max(0, lowest - NEIGHBOURS) : lowest + NEIGHBOURS + 1]
    is_near = (x >= near[0] - 1e-9) & (x <= near[-1] + 1e-9)
    centre = float(rates[lowest])
    u = x[is_near] - centre
    design = np.stack([np.ones(len(u)), u, u**2], axis=1)
    found = np.linalg.lstsq(design, y[is_near], rcond=None)[0]
    b, c = float(found[1]), float(found[2])
    if c <= 0 or not near[0] <= centre - b / (2 * c) <= near[-1]:
        return "the loss has no lowest point among the rates tried"
    squares = float(((y[is_near] - design @ found) ** 2).sum())
    return _Curve(at, centre, b, c, np.linalg.inv(design.T @ design), squares, len(u) - 3)


def _step(x: Array) -> float:
    """The usual ratio of neighbouring rates, as a logarithm."""
    return float(np.median(np.diff(np.unique(np.round(x, 9)))))


def _drift(curves: Sequence[_Curve], noise: float, dof: int, sizes: Sequence[str], step: float) -> list[Slope]:
    """Slopes of the best rate, by weighted least squares. Where the best rates scatter by more than their errors say,
    the errors grow by that."""
    places = np.array([curve.at for curve in curves])
    moving = {name: places[:, k] for k, name in enumerate(sizes) if len(np.unique(places[:, k])) > 1}
    design = np.stack([np.ones(len(curves)), *moving.values()], axis=1)
    spare = len(curves) - design.shape[1]
    if not moving or spare < 0 or np.linalg.matrix_rank(design) < design.shape[1]:
        return []
    best = np.array([curve.best for curve in curves])
    weight = 1 / np.maximum(noise * np.array([curve.lever for curve in curves]), 1e-12)
    covariance = np.linalg.inv((design * weight[:, None]).T @ design)
    found = covariance @ (design.T @ (weight * best))
    excess = float(weight @ (best - design @ found) ** 2) / spare if spare else 1.0
    covariance = covariance * max(excess, 1.0)
    slopes = []
    for k, (axis, own) in enumerate(moving.items(), start=1):
        limit = min(step / float(own.max() - own.min()), MOST_DRIFT)
        stderr = math.sqrt(covariance[k, k])
        slopes.append(_slope("best rate", axis, float(found[k]), stderr, dof, own, (-limit, limit)))
    return slopes
