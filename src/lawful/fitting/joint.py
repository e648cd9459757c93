"""Several arms fitted at once: their rows as one sample, the nested laws from one for all to one for each, and whether
arms share noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lawful.errors import DeclarationError, Refusal, TableError
from lawful.fitting import noise, solver
from lawful.fitting.arms import ARM, ArmsLaw, arm_name, refuse_alike
from lawful.fitting.data import Sample, refuse_too_little, sample
from lawful.fitting.error_bars import weighed
from lawful.fitting.mixtures import refuse_mixtures
from lawful.fitting.replicates import cells_of, spread_of
from lawful.fitting.search import (
    HUBER,
    LEAST_DELTA,
    Point,
    as_point,
    beside,
    limits,
    problem_of,
    robust_sigma,
    side_of,
)
from lawful.fitting.starts import grid_starts
from lawful.laws import Array, Axes, Law

CERTIFIED = 1e-6  # relative Newton decrement: what another step could still change leaves every F as it is
# correlation of paired residuals from which on pairs are used. With less they hardly narrow an interval, and without
# them it is too wide rather than too narrow
LEAST_SHARED = 0.25
# and that in units of its error where nothing is shared, 5 % one-sided. With .25 alone, 22 % of tables of 10 pairs that
# share nothing were taken to share, and the arms of the others, whose pairs lie apart by chance, differed too often
CLEARLY_SHARED = 1.645


def arm_sample(
    source: Any,
    by: str,
    law: Law,
    columns: Mapping[str, str | None],
    keep: Sequence[str] | None = None,
    *,
    fixed: int = 0,
) -> tuple[Sample, tuple[str, ...]]:
    """The rows of all arms with the arm's index as a further axis; each arm must stand on its own.

    fixed   how many of the law's parameters are
    """
    data = sample(source, law, columns, by=by, check=False)
    if by not in data.observations.columns:
        others = [column for column in data.observations.columns if column not in data.column.values()]
        raise TableError(
            f"{data.observations.source}: expected a column that names the arms, got none called {by!r}. "
            + (f"Name it (--by COLUMN): {', '.join(others)}." if others else "Write one, or fit one law to all rows.")
        )
    names = [arm_name(row.get(by)) for row in data.observations]
    arms = tuple(dict.fromkeys(names if keep is None else keep))
    refuse_alike(dict.fromkeys(names), by)
    if keep is not None and (missing := [name for name in keep if name not in names]):
        raise DeclarationError(
            f"{by}: no arm is called {', '.join(missing)}; there are {', '.join(dict.fromkeys(names))}."
        )
    if len(arms) < 2:
        raise Refusal("one_arm", f"{by}: expected at least two arms to compare, got {', '.join(arms) or 'none'}.")
    chosen = np.array([name in arms for name in names])
    data = data.take(np.flatnonzero(chosen))
    code = np.array([arms.index(name) for name in names if name in arms])
    refuse_mixtures(data.observations)
    for index, arm in enumerate(arms):
        try:
            refuse_too_little(data.take(np.flatnonzero(code == index)), law, len(law.parameters) - fixed)
        except Refusal as refusal:
            raise Refusal(refusal.code, f"arm {arm}: {refusal}") from None
    logs = {**data.x.logs, ARM: code.astype(float)}
    data = replace(data, x=Axes(logs, {**data.x.pivot, ARM: 1.0})).in_order()[0]
    if data.errors is not None:
        full = ArmsLaw(law, arms, frozenset(law.parameters))
        data, _ = weighed(data, full, *limits(full, {}, {}))
    return data, arms


def fit_ladder(
    data: Sample,
    law: Law,
    arms: tuple[str, ...],
    owns: list[frozenset[str]],
    fixed: Mapping[str, float],
    bounds: Mapping[str, tuple[float, float]],
    each: Sequence[Mapping[str, float]],
) -> list[Point]:
    """The best point of each nested law, all with the delta of the last, so that their misfits compare.

    each   the parameters of each arm fitted alone, at the common pivot
    """
    delta: float | None = None
    points: list[Point] = []
    is_log = data.response.is_log
    for own in reversed(owns):
        joint = ArmsLaw(law, arms, own)
        low, high = limits(joint, joint.of_each(fixed), joint.of_each(bounds))
        starts = np.array([joint.spread_out(each), *(joint.spread_out([one] * len(arms)) for one in each)])
        if points:
            bigger = points[-1].problem.law
            assert isinstance(bigger, ArmsLaw)
            back = [bigger.of_arm(points[-1].parameters, i) for i in range(len(arms))]
            starts = np.concatenate([starts, [joint.spread_out(back)]])
        if delta is None:
            point = None
            for _ in range(4):
                problem = problem_of(data, joint, low, high, is_log=is_log, delta=delta)
                first = starts if point is None else point.parameters[None]
                point = as_point(problem, solver.solve(problem, first), delta)
                delta = max(HUBER * _noisiest(point, data), LEAST_DELTA * (1.0 if is_log else problem.typical))
        problem = problem_of(data, joint, low, high, is_log=is_log, delta=delta)
        grid = grid_starts(problem, keep=4)[0]
        points.append(as_point(problem, solver.solve(problem, np.concatenate([starts, grid])), delta))
    return points[::-1]


def weighed_alike(smaller: Point, larger: Point, data: Sample) -> tuple[Point, Point, Sample]:
    """Two nested laws of arms fitted again, for the test between them, with rows weighed by the spread of all arms'
    residuals of the smaller law at one cell. From the spread within arms, as a fit weighs them, cells whose replicates
    happen to lie close together weigh most, and the same replicates say how large the noise is: where nothing differs,
    7 to 9 % of tables of 5 sizes with 2 seeds had p < .05 by such weights. Where the replicates within arms weigh all
    rows alike there is nothing to mend: the spread between arms would be that of their difference."""
    if not data.spread_slopes:
        return smaller, larger, data
    even = replace(smaller.problem, relative=1.0)  # no former weights say which cells a curve passes close by
    found = as_point(even, solver.solve(even, smaller.parameters[None]), larger.delta)
    spread = spread_of(axes_of(data), np.exp(found.residuals_log), np.zeros(data.n), data.cluster)
    alike = replace(data, spread_slopes=spread.shrunk, expected_variance=spread.expected_variance(data.x.logs))
    one, every = smaller.problem.law, larger.problem.law
    assert isinstance(one, ArmsLaw) and isinstance(every, ArmsLaw) and larger.delta is not None
    inside = every.spread_out([one.of_arm(smaller.parameters, index) for index in range(len(one.arms))])
    starts, delta = np.array([larger.parameters, inside]), larger.delta
    for _ in range(3):
        problem = replace(larger.problem, relative=alike.relative, scale=delta)
        found = as_point(problem, solver.solve(problem, starts), delta)
        delta = max(HUBER * _noisiest(found, alike), LEAST_DELTA)
    problem = replace(larger.problem, relative=alike.relative, scale=delta)
    larger = as_point(problem, solver.solve(problem, np.concatenate([starts, found.parameters[None]])), delta)
    problem = replace(smaller.problem, relative=alike.relative, scale=delta)
    return as_point(problem, solver.solve(problem, smaller.parameters[None]), delta), larger, alike


def why_not_certified(point: Point) -> str | None:
    """What forbids a verdict from a joint fit; None where nothing does. An exponent at its bound follows single runs,
    and the errors there are not those of a straight law."""
    if not point.decrement < CERTIFIED:
        return f"its relative Newton decrement is {point.decrement:.1e}"
    law = point.problem.law
    first = len(law.coefficients)
    at_bound = [shape.name for i, shape in enumerate(law.shapes) if side_of(point, first + i) is not None]
    return (
        f"{', '.join(at_bound)} ended at {'its bound' if len(at_bound) == 1 else 'their bounds'}" if at_bound else None
    )


def rows_of(data: Sample, index: int, law: Law) -> Sample:
    """One arm alone, at the common pivot."""
    return data.take(np.flatnonzero(data.x[ARM] == index)).on(law)


def alone(data: Sample, law: Law, arms: tuple[str, ...]) -> list[dict[str, float]]:
    """The parameters of each arm fitted alone, at the common pivot."""
    low, high = limits(law, {}, {})
    points = [beside(rows_of(data, index, law), law, low, high) for index in range(len(arms))]
    return [dict(zip(law.parameters, map(float, point.parameters), strict=True)) for point in points]


def _noisiest(point: Point, data: Sample) -> float:
    """The robust sigma of the arm with the most noise: one of all arms would clip that arm's plain rows as outliers,
    and leave its intervals too narrow."""
    away, arm = np.abs(point.residuals_log), data.x[ARM].astype(int)
    medians = [float(np.median(away[arm == code])) for code in range(arm.max() + 1)]
    return robust_sigma(point) * max(max(medians) / max(float(np.median(away)), 1e-300), 1.0)


def shares_noise(full: Point, data: Sample) -> bool:
    """Whether arms are to be compared run by run: every row its own cluster, each cell and seed in every arm once, and
    residuals of a pair that correlate. Where nothing is shared, pairs would cost half the degrees of freedom."""
    return correlate(noise.pseudo_values(full, full.residuals), data)


def correlate(residual: Array, data: Sample) -> bool:
    """Whether residuals of all arms do so in pairs, as shares_noise has it."""
    if data.clusters < data.n or "seed" not in data.observations.columns:
        return False
    pairs = pairs_of(data)
    counts = np.bincount(pairs)
    arms = len(np.unique(data.x[ARM]))
    if not (counts == arms).all():
        return False
    squares = float(residual @ residual)
    shared = float((np.bincount(pairs, residual) ** 2).sum()) - squares
    error = np.sqrt(2 / (arms * (arms - 1) * len(counts)))
    return bool(shared > max(LEAST_SHARED, CLEARLY_SHARED * error) * (arms - 1) * squares)


def pairs_of(data: Sample) -> Array:
    """One code for the runs of all arms at one cell and seed."""
    return cells_of(
        axes_of(data), np.unique([str(row.get("seed")) for row in data.observations], return_inverse=True)[1]
    )


def names_in(law: Law, names: Sequence[str], every: frozenset[str], option: str) -> list[str]:
    """The fitted parameters that an option names, out of `every`. Raises DeclarationError for other names."""
    for name in names:
        if name not in every:
            fitted = next((own for own in law.parameters if own in (f"{name}_pivot", f"log_{name}")), None)
            way = f" {name} follows from {fitted}: {option} that, and the exponents with it." if fitted else ""
            known = ", ".join(one for one in law.parameters if one in every)
            raise DeclarationError(
                f"{option}: {name!r} is no parameter that {law.spec} fits here; it fits {known}.{way}"
            )
    if not names or len(set(names)) < len(names):
        got = ", ".join(names) or "none"
        raise DeclarationError(f"{option}: expected names of parameters, each once, got {got}.")
    return list(names)


def shared_names(law: Law, share: Sequence[str], fixed: Mapping[str, float]) -> frozenset[str]:
    """The parameters that arms of a comparison share. Raises DeclarationError for others, and where none is left."""
    every = frozenset(law.parameters) - frozenset(fixed)
    common = frozenset(names_in(law, share, every, "share") if share else ())
    if share and common == every:
        raise DeclarationError("share: expected a parameter that arms may differ in, got all of them as shared.")
    return common


def floors(law: Law) -> frozenset[str]:
    """Which of its coefficients are an irreducible loss."""
    return frozenset({"E", "floor"} & set(law.coefficients))


def axes_of(data: Sample) -> Axes:
    """Without that of the arms."""
    return Axes({axis: data.x.logs[axis] for axis in data.values}, data.x.pivot)
