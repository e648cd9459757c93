"""How far a fit would have moved: bootstrap over clusters where they are many, profiles with t quantiles where few."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lawful.fitting import noise, solver
from lawful.fitting.data import Sample
from lawful.fitting.quantiles import LEVEL, f_tail, normal_quantile, t_quantile
from lawful.laws import Array, bounds_of

if TYPE_CHECKING:
    from lawful.fitting.estimate import Point

MANY_CLUSTERS = 20  # from here on the bootstrap over clusters is used: it needs no model of what they share
LEAST_DRAWS = 200  # below it there are no percentiles to speak of
MOST_WHITENED = 2_000  # rows in clusters for which a lack of fit is tested: the work grows as the cube
PILOTS = 64  # draws that descend from two starts; the others start at the best of their optima
GRID_CELLS = 49  # of the grid from which each pilot takes its second start
PEERS = 512  # optima of other draws against which each draw's is held
BETTER = 1e-9  # relative: another optimum is better by more than rounding
MANY_ROWS, INDEPENDENT = 10_000, 1_000  # rows and clusters from which on a draw is one Newton step from the optimum
COUNTED_AT_ONCE = 2**17  # clusters drawn: more does not fit in a core's cache
CHECKED = 8  # draws that are refitted as well
STEP_AGREES = 0.1  # standard errors by which such a step may miss the refit, in the draws that are also refitted
LARGEST_MOVE = 50.0  # of a log loss in a draw: further, no law descends, and what is drawn says nothing anyway
DECADES = 12.0  # more than lie between the smallest and the largest run ever made: an interval of them says nothing
ANY_SHARE = 1e-3  # a share that may be as small as this and as large as all but this may be any
RELATIVE_STEP, LEAST_STEP = 1e-6, 1e-9  # of differences: of a number, and where it is 0
AT_BOUND = 1e-6  # of a parameter's unit: what lies so near to a bound lies at it
PROFILE_ROUNDS = 40  # of the search for the ends of profiles: 5 to 10 are usual
PINNED_STARTS = 3  # from a grid, where a value is to count as outside
PROFILE_AGREES = 1e-3  # relative: an end is known to that share of t
PROFILE_CLOSE = 1e-4  # of the reach: values inside and outside that are so close are one end
BOOTSTRAP = "bootstrap over clusters, percentiles"
PROFILE = "profile likelihood, t quantiles"


@dataclass(frozen=True)
class Spread:
    """stderr and ci95 by name, of fitted and derived parameters; covariance of the free ones; bootstrap draws."""

    method: str
    stderr: Mapping[str, float]
    ci95: Mapping[str, tuple[float, float]]
    derived: Mapping[str, float]
    covariance: Array
    draws: Array
    dof: float
    noise: noise.Noise


def estimate(point: Point, data: Sample, *, draws: int, seed: int) -> Spread:
    """Bootstrap where clusters are many and draws asked for, else profiles; the draws follow the same choice."""
    law = point.problem.law
    values = dict(zip(law.parameters, point.parameters, strict=True))  # numpy's floats: 1e300**2 is inf, not an error
    derived = {name: float(value) for name, value in law.derived(values, data.x.pivot).items()}
    around = noise.measure(point, data)
    if data.clusters >= MANY_CLUSTERS and draws >= LEAST_DRAWS:
        return _from_bootstrap(point, data, {**values, **derived}, derived, around, draws, seed)
    return _from_profiles(point, data, derived, around, draws, seed)


def _from_bootstrap(
    point: Point,
    data: Sample,
    values: Mapping[str, float],
    derived: Mapping[str, float],
    around: noise.Noise,
    draws: int,
    seed: int,
) -> Spread:
    law, free = point.problem.law, point.is_free
    drawn = resample(point, data, draws=draws, seed=seed)
    table = dict(zip(law.parameters, drawn.T, strict=True))
    table |= law.derived(table, data.x.pivot)
    dof = float(max(data.clusters - int(free.sum()), 1))
    widen = widening(dof)
    ci95 = {
        name: percentiles(column, values[name], widen, is_share=name in law.shares) for name, column in table.items()
    }
    stderr = {name: float(np.std(column)) for name, column in table.items()}
    covariance = np.atleast_2d(np.cov(drawn[:, free].T))
    return Spread(BOOTSTRAP, stderr, _in_range(point, ci95), derived, covariance, drawn, dof, around)


def _from_profiles(
    point: Point, data: Sample, derived: Mapping[str, float], around: noise.Noise, draws: int, seed: int
) -> Spread:
    law, free = point.problem.law, point.is_free
    names = [name for name, is_free in zip(law.parameters, free, strict=True) if is_free]
    dofs = {name: around.dof(contrast) for name, contrast in zip(names, np.eye(len(names)), strict=True)}
    stderr = {name: float(np.sqrt(max(around.covariance[j, j], 0.0))) for j, name in enumerate(names)}
    ci95 = profile_intervals(point, around, dofs)
    drawn = redraw(point, data, around, draws=draws, seed=seed)
    table = law.derived(dict(zip(law.parameters, drawn.T, strict=True)), data.x.pivot)
    least = solver.negligible(point.problem, point.parameters, LEAST_STEP)
    for name, value in derived.items():

        def value_of(parameters: Array, name: str = name) -> Any:
            return law.derived(dict(zip(law.parameters, parameters, strict=True)), data.x.pivot)[name]

        slope = gradient(value_of, point.parameters, least)[free]
        stderr[name] = float(np.sqrt(max(slope @ around.covariance @ slope, 0.0)))
        if draws >= LEAST_DRAWS:
            stderr[name] = float(np.std(table[name])) if name in law.shares else stderr[name]
            ci95[name] = percentiles(table[name], value, 1.0, is_share=name in law.shares)
        else:
            reach = t_quantile(0.5 + LEVEL / 2, around.dof(slope)) * stderr[name]
            ci95[name] = _symmetric(value, reach, is_share=name in law.shares)
    return Spread(
        PROFILE, stderr, _in_range(point, ci95), derived, around.covariance, drawn, min(dofs.values()), around
    )


def _in_range(point: Point, ci95: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Ends that the data determine. An end at a bound of the search is none: it becomes the end of what a parameter can
    be at all (0 or minus infinity, infinity). A bound that was asked for stays."""
    law, (lows, highs) = point.problem.law, search_limits(point.problem, point.parameters)
    own, unit = bounds_of(law), solver.units(point.problem)
    found = {}
    for name, (low, high) in ci95.items():
        if name in law.parameters:
            i = law.parameters.index(name)
            reach = AT_BOUND * unit[i]
            low, high = max(low, lows[i]), min(high, highs[i])
            if i >= len(law.coefficients) and low - lows[i] <= reach and lows[i] == own[name][0]:
                low = 0.0 if lows[i] >= 0 else -math.inf
            if highs[i] - high <= reach and point.problem.high[i] == own[name][1]:
                high = math.inf
        elif name in law.shares:
            low, high = (0.0, 1.0) if low < ANY_SHARE and high > 1 - ANY_SHARE else (low, high)
        else:
            low, high = determined(low, high)
        found[name] = (float(low), float(high))
    return found


def determined(low: float, high: float) -> tuple[float, float]:
    """Of a positive number that is not known to within DECADES nothing is known."""
    return (0.0, math.inf) if low > 0 and not high < low * 10.0**DECADES else (float(low), float(high))


def says_nothing(low: float, high: float) -> bool:
    """Whether an interval of a loss is as wide as none: its ends lie more than DECADES apart, or are no numbers."""
    return not 0 < high < max(low, 1e-300) * 10.0**DECADES


def _symmetric(value: float, reach: float, *, is_share: bool) -> tuple[float, float]:
    """About the value: of a share, on the scale of log odds; of what is positive (A and B spread over decades), on that
    of logarithms."""
    if is_share and 0 < value < 1:
        odds = value / (1 - value)
        factor = math.exp(min(reach / (value * (1 - value)), 700.0))
        return 1 / (1 + factor / odds), 1 / (1 + 1 / (factor * odds))
    if value > 0:
        factor = math.exp(min(reach / value, 700.0))
        return value / factor, value * factor
    return value - reach, value + reach


@np.errstate(invalid="ignore")  # what is not known is nan
def profile_intervals(point: Point, around: noise.Noise, dofs: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Per parameter, the values at which the misfit, minimised over the others, is not too much above its minimum.

    The rise is measured as t^2: scaled as if rows were independent, then by how much clusters widen this parameter.
    All ends are sought at once, by the secant rule on the signed root of the rise, which is nearly a straight line.
    A minimisation that stops short gives a rise that is too large, so a value counts as outside only where its
    minimisation is certified; elsewhere the step from the last value inside is halved. An end that is never certified
    is nan: not determined.
    """
    problem, names = point.problem, list(dofs)
    which = np.repeat([problem.law.parameters.index(name) for name in names], 2)
    side = np.tile([-1.0, 1.0], len(names))
    target = np.repeat([t_quantile(0.5 + LEVEL / 2, dofs[name]) for name in names], 2)
    plain = np.diag(around.plain)
    widen = np.where(plain > 0, np.diag(around.covariance) / np.where(plain > 0, plain, 1.0), 1.0)
    scale = np.repeat(around.steepness / np.maximum(widen, 1e-300), 2)
    step = target * np.repeat(np.sqrt(np.diag(around.covariance)), 2)
    centre = point.parameters[which]
    bound = np.where(side < 0, *search_limits(problem, point.parameters)[:, which])
    ends = np.full(len(which), np.nan)
    inner, rise_inner = centre.copy(), np.zeros(len(which))
    outer, rise_outer = np.full((2, len(which)), np.nan)  # nan: nothing is known to be outside
    doubtful = np.full(len(which), np.nan)  # a value whose minimisation was not certified
    near = np.repeat(point.parameters[None], len(which), axis=0)  # the parameters at `inner`
    slope = np.zeros_like(near)  # of the others along the profile, from the last two values inside
    far = near.copy()  # the parameters at `outer`
    at = centre + side * np.minimum(step, np.abs(bound - centre))
    for round_ in range(PROFILE_ROUNDS):
        j = np.flatnonzero(np.isnan(ends) & np.isfinite(at))
        if not len(j):
            break
        moved = near[j] + slope[j] * (at[j] - inner[j])[:, None]
        enough = point.misfit + target[j] ** 2 / (2 * scale[j])
        found, is_solved = _pinned(problem, which[j], at[j], [near[j], moved], far[j], enough, point.misfit)
        rise = np.sqrt(np.maximum(2 * (found.misfit - point.misfit) * scale[j], 0.0))
        is_inside = rise < target[j]
        is_end = is_solved & (np.abs(rise - target[j]) < PROFILE_AGREES * target[j]) | is_inside & (at[j] == bound[j])
        ends[j[is_end]] = at[j[is_end]]

        k = j[is_inside]
        slope[k] = (found.parameters[is_inside] - near[k]) / np.where(at == inner, np.inf, at - inner)[k, None]
        inner[k], rise_inner[k], near[k] = at[k], rise[is_inside], found.parameters[is_inside]
        is_outside = ~is_inside & is_solved
        k = j[is_outside]
        outer[k], rise_outer[k], far[k] = at[k], rise[is_outside], found.parameters[is_outside]
        k = j[~is_inside & ~is_solved]
        doubtful[k] = at[k]
        is_close = np.abs(outer - inner) < PROFILE_CLOSE * np.abs(outer - centre)  # where the profile jumps
        ends = np.where(np.isnan(ends) & is_close, outer, ends)

        share = np.clip((target - rise_inner) / np.maximum(rise_outer - rise_inner, 1e-12), 0.02, 0.98)
        between = inner + (share if round_ % 4 < 3 else 0.5) * (outer - inner)
        growth = np.clip(1.1 * (target / np.maximum(rise_inner, 1e-3 * target) - 1), 0.1, 9.0)
        further = inner + side * growth * np.maximum(np.abs(inner - centre), step / 4)
        at = np.where(np.isnan(outer), np.clip(further, *np.sort([centre, bound], axis=0)), between)
        is_past = side * (at - doubtful) >= 0
        at = np.where(is_past, (inner + doubtful) / 2, at)
    return {name: (float(low), float(high)) for name, (low, high) in zip(names, ends.reshape(-1, 2), strict=True)}


def search_limits(problem: solver.Problem, parameters: Array) -> Array:
    """The least and the largest value of each parameter that are tried, shape (2, parameters): its bounds, and for a
    coefficient what makes a thousand times the losses of its term."""
    largest = solver.largest_of_interest(problem, parameters, 1e3 * float(np.max(problem.loss)))
    reach = np.append(largest, np.full(len(problem.law.shapes), np.inf))
    return np.array([np.maximum(problem.low, -reach), np.minimum(problem.high, reach)])


def _pinned(
    problem: solver.Problem,
    which: Array,
    at: Array,
    starts: list[Array],
    far: Array,
    enough: Array,
    least: float,
) -> tuple[solver.Solution, Array]:
    """The misfit minimised with parameter `which` held at `at`, and whether that is certified: another Newton step
    would change the rise above the `least` misfit by too little to matter, or several starts agree.

    Where the given starts leave a misfit of `enough` or more, the other side's and those of a grid are tried as well.
    """
    rows = np.arange(len(which))
    lows, highs = (np.repeat(end[None], len(which), axis=0) for end in (problem.low, problem.high))
    lows[rows, which] = highs[rows, which] = at

    def solved(owner: Array, start: Array) -> solver.Solution:
        return solver.solve(replace(problem, low=lows[owner], high=highs[owner]), start)

    owner = np.tile(rows, len(starts))
    found = solved(owner, np.concatenate(starts))
    above = rows[_lowest(found, owner, rows).misfit >= enough]
    others = np.empty(0, dtype=int)
    if len(above):
        grids = [
            solver.grid_starts(replace(problem, low=lows[i], high=highs[i]), keep=PINNED_STARTS, cells=GRID_CELLS)[0]
            for i in above
        ]
        others = np.concatenate([above, np.repeat(above, [len(grid) for grid in grids])])
        found = solver.joined([found, solved(others, np.concatenate([far[above], *grids]))])
    every = np.concatenate([owner, others])
    best = _lowest(found, every, rows)
    tolerance = PROFILE_AGREES * np.maximum(enough - least, solver.NO_MISFIT * problem.rows)
    is_best = found.misfit - best.misfit[every] < tolerance[every]
    agree = np.bincount(others[is_best[len(owner) :]], minlength=len(rows))
    return best, (best.decrement * best.misfit < tolerance) | (agree > 1)


def _lowest(found: solver.Solution, owner: Array, rows: Array) -> solver.Solution:
    """The best of each owner's."""
    order = np.lexsort((found.misfit, owner))
    first = order[np.searchsorted(owner[order], rows)]
    return solver.Solution(found.parameters[first], found.misfit[first], found.decrement[first], found.steps[first])


def resample(point: Point, data: Sample, *, draws: int, seed: int) -> Array:
    """Refits with clusters drawn with replacement, shape (draws, parameters).

    The misfits of all draws at many parameters are one matrix product. So the pilots' optima, each the better of two
    starts, are the grid from which the draws start; and in the end each draw is held against the optima of many others,
    and descends again from any that is better.
    """
    if draws == 0:
        return np.empty((0, len(point.parameters)))
    problem, number = point.problem, data.clusters
    rng = np.random.default_rng(seed)
    is_large = data.n >= MANY_ROWS and number >= INDEPENDENT and problem.prior is None
    if is_large and (steps := _one_step_each(point, data, draws, rng)) is not None:
        return steps
    weights = _counts(rng, draws, number)[:, data.cluster]
    if problem.prior is not None:
        problem = replace(problem, prior=problem.prior.redrawn(problem.prior.mean, draws, rng))

    pilots, first = weights[:PILOTS], problem.take(slice(0, PILOTS))
    from_grid = solver.grid_starts(problem, pilots, keep=1, cells=GRID_CELLS)[:, 0]
    from_point = np.repeat(point.parameters[None], len(pilots), axis=0)
    rough = [solver.solve(first, start, pilots, tolerance=solver.ROUGH) for start in (from_grid, from_point)]
    known = np.concatenate([point.parameters[None], *(found.parameters for found in rough)])
    start = known[solver.misfit_of_each(problem, known, weights).argmin(axis=1)]
    found = solver.solve(problem, start, weights, is_near=True)

    known = found.parameters[:PEERS]
    misfits = solver.misfit_of_each(problem, known, weights)
    worse = np.flatnonzero(misfits.min(axis=1) < found.misfit * (1 - BETTER))
    if len(worse):
        start = known[misfits[worse].argmin(axis=1)]
        found.parameters[worse] = solver.solve(problem.take(worse), start, weights[worse], is_near=True).parameters
    return found.parameters


def _counts(rng: np.random.Generator, draws: int, number: int) -> Array:
    """How often each cluster is drawn, shape (draws, clusters)."""
    counts = np.empty((draws, number))
    block = max(1, COUNTED_AT_ONCE // number)
    for first in range(0, draws, block):
        size = min(block, draws - first)
        picks = rng.integers(0, number, (size, number)) + number * np.arange(size)[:, None]
        counts[first : first + size] = np.bincount(picks.ravel(), minlength=size * number).reshape(size, number)
    return counts


def _one_step_each(point: Point, data: Sample, draws: int, rng: np.random.Generator) -> Array | None:
    """Each draw as one Newton step from the optimum: of the same order as a refit, at the cost of a matrix product
    (Davidson and MacKinnon 1999, "Bootstrap testing in nonlinear models"). Some draws are refitted too; None where
    those disagree, or where a bound holds the optimum."""
    problem, free = point.problem, np.flatnonzero(point.is_free)
    slope = solver.slopes(problem, point.parameters)[:, free]  # (rows, free)
    z = point.residuals / problem.scale
    pull = z if problem.is_squares else np.clip(z, -1, 1)
    upper = np.triu_indices(len(free))
    rows = np.concatenate(  # of each row: its share of the gradient, and of the Hessian where the law is straight
        [slope * (pull / problem.scale)[:, None], (slope[:, upper[0]] * slope[:, upper[1]]) * _stiff(z, pull, problem)],
        axis=1,
    )
    shares = np.zeros((data.clusters, rows.shape[1]))
    np.add.at(shares, data.cluster, rows)
    whole = solver.local(problem, point.parameters[None], None).hessian[0][np.ix_(free, free)]
    bend = whole[upper] - rows[:, len(free) :].sum(0)
    drawn = np.repeat(point.parameters[None], draws, axis=0)
    chunk = max(1, solver.ROWS_PER_CHUNK * 64 // data.clusters)
    for first in range(0, draws, chunk):
        counts = _counts(rng, min(chunk, draws - first), data.clusters)
        sums = counts @ shares
        hessian = np.empty((len(sums), len(free), len(free)))
        hessian[:, upper[0], upper[1]] = hessian[:, upper[1], upper[0]] = sums[:, len(free) :] + bend
        step = -np.linalg.solve(hessian, sums[:, : len(free), None])[..., 0]
        drawn[first : first + len(step), free] += step
        if first == 0:
            few = counts[: min(CHECKED, len(counts))]
    start = drawn[: len(few)].clip(problem.low, problem.high)
    refitted = solver.solve(problem, start, few[:, data.cluster], is_near=True).parameters
    spread = drawn[:, free].std(axis=0)
    is_inside = ((drawn > problem.low) & (drawn < problem.high))[:, free].all()
    misses = np.abs(drawn[: len(few)] - refitted)[:, free] / spread
    return drawn if is_inside and np.isfinite(spread).all() and misses.max() < STEP_AGREES else None


def _stiff(z: Array, pull: Array, problem: solver.Problem) -> Array:
    """Second derivative of the misfit by the residual, shape (rows, 1)."""
    return np.asarray((z == pull)[:, None] / problem.scale**2)


def replicates(
    data: Sample, residual: Array, free: int, around: noise.Noise
) -> tuple[float | None, dict[str, float] | None]:
    """Pooled spread of log residuals between clusters at the same axes, and the F test of lack of fit against it."""
    keys = np.round(np.log(np.stack(list(data.values.values()), axis=1)), 6)
    _, group = np.unique(keys, axis=0, return_inverse=True)
    group = group.ravel()
    pairs = np.unique(np.stack([group, data.cluster]), axis=1)
    is_repeated = np.bincount(pairs[0])[group] > 1  # more than one cluster at these axes
    all_groups = group
    group, residual_of = group[is_repeated], residual[is_repeated]
    count, total, square = (np.bincount(group, weights=w) for w in (None, residual_of, residual_of**2))
    seen = count > 0
    within = float((square[seen] - total[seen] ** 2 / count[seen]).sum())
    dof = int((count[seen] - 1).sum())
    if dof == 0:
        return None, None
    sigma = float(np.sqrt(within / dof))
    between_dof = data.n - dof - free
    if between_dof < 1 or within <= 0:
        return sigma, None
    total_squares = float((residual**2).sum())
    if data.clusters < data.n and around.variance_cluster > 0:
        if data.n > MOST_WHITENED:
            return sigma, None
        total_squares, within, dof = _whitened_squares(data, residual, all_groups, is_repeated, around)
        between_dof = data.n - dof - free
        if min(between_dof, dof) < 1 or within <= 0:
            return sigma, None
    ratio = (total_squares - within) / between_dof / (within / dof)
    return sigma, {
        "F": ratio,
        "dof": between_dof,
        "dof_replicates": dof,
        "p": f_tail(ratio, between_dof, dof),
    }


def _whitened_squares(
    data: Sample, residual: Array, group: Array, is_repeated: Array, around: noise.Noise
) -> tuple[float, float, int]:
    """Sum of squares, that between replicates, and its degrees of freedom, after what the rows of a cluster share was
    taken away: rows of one run are no replicates of each other's noise."""
    size = np.bincount(data.cluster).astype(float)
    shrink = 1 - 1 / np.sqrt(1 + size * around.variance_cluster / around.variance_row)
    cells = np.unique(np.where(is_repeated, group, group.max() + 1 + np.arange(data.n)), return_inverse=True)[1]
    columns = np.column_stack([residual, np.eye(int(cells.max()) + 1)[cells]])
    means = np.stack([np.bincount(data.cluster, column) / size for column in columns.T], axis=1)
    columns = columns - (shrink[:, None] * means)[data.cluster]
    left, basis = columns[:, 0], np.linalg.qr(columns[:, 1:])[0]
    inside = left - basis @ (basis.T @ left)
    return float(left @ left), float(inside @ inside), data.n - basis.shape[1]


def widening(dof: float, level: float = LEVEL) -> float:
    """Percentiles of resampled clusters are those of a normal noise of known size: their tails should be Student's.

    That residuals lack what was fitted away is not added: where rows are few, resamples are wide already. Measured at
    20 to 40 rows and 3 to 5 parameters, with five noises: .957 to .977, with it .967 to .989.
    """
    return t_quantile(0.5 + level / 2, dof) / normal_quantile(0.5 + level / 2)


def percentiles(
    column: Array, centre: float, widen: float, level: float = LEVEL, *, is_share: bool = False
) -> tuple[float, float]:
    """The middle `level` of the draws, widened about the point; of shares on the scale of log odds, of what is positive
    on that of logarithms."""
    low, high = map(float, np.quantile(column, [0.5 - level / 2, 0.5 + level / 2]))
    if is_share and 0 < min(low, centre) and max(high, centre) < 1:
        odds = centre / (1 - centre)
        first, last = (odds * (end / (1 - end) / odds) ** widen for end in (low, high))
        return first / (1 + first), last / (1 + last)
    if min(low, centre) > 0:
        return centre * (low / centre) ** widen, centre * (high / centre) ** widen
    return centre + (low - centre) * widen, centre + (high - centre) * widen


def redraw(point: Point, data: Sample, around: noise.Noise, *, draws: int, seed: int) -> Array:
    """Refits to losses drawn from the fitted law and its noise, shape (draws, parameters), for few clusters.

    Each draw first draws the variances, as scaled inverse chi-squared with their degrees of freedom, so that the refits
    spread as Student's t and not as a normal.
    """
    if draws == 0:
        return np.empty((0, len(point.parameters)))
    rng = np.random.default_rng(seed)
    free = int(point.is_free.sum())
    row_dof, cluster_dof = around.rows - free, data.clusters - free
    shared = max(around.variance_cluster, 0.0)
    if shared > 0:
        row_dof = around.rows - data.clusters
    relative = point.problem.relative * np.sqrt(around.uneven)
    shake = np.sqrt(around.variance_row) * rng.standard_normal((draws, data.n)) * _scales(rng, draws, row_dof)
    effect = np.sqrt(shared) * rng.standard_normal((draws, data.clusters)) * _scales(rng, draws, cluster_dof)
    move = (shake + effect[:, data.cluster]) * relative
    level = point.fitted
    losses = (
        level * np.exp(move.clip(-LARGEST_MOVE, LARGEST_MOVE))
        if point.problem.is_log
        else np.maximum(level + move, 0.01 * level)
    )
    prior = point.problem.prior
    problem = replace(
        point.problem, loss=losses, prior=prior and prior.redrawn(point.parameters, draws, np.random.default_rng(seed))
    )
    from_point = solver.solve(problem, np.repeat(point.parameters[None], draws, axis=0))
    return from_point.parameters


def _scales(rng: np.random.Generator, draws: int, dof: int) -> Array:
    dof = max(dof, 3)  # fewer would give draws without a variance
    return np.sqrt(dof / rng.chisquare(dof, (draws, 1)))


def gradient(function: Callable[[Array], Any], at: Array, least: Array | float = LEAST_STEP) -> Array:
    """Central differences of a smooth scalar function.

    least   the smallest step of each argument (solver.negligible)
    """
    slope, steps = np.zeros(len(at)), np.maximum(RELATIVE_STEP * np.abs(at), least)
    for i in range(len(at)):
        step = np.zeros(len(at))
        step[i] = steps[i]
        slope[i] = (function(at + step) - function(at - step)) / (2 * step[i])
    return slope
