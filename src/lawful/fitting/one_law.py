"""Whether all arms follow one law: one test over every parameter and arm, and the F tests of nested laws."""

from __future__ import annotations

import math

import numpy as np

from lawful.fitting import noise, solver
from lawful.fitting.arms import ARM, ArmsLaw
from lawful.fitting.data import Sample
from lawful.fitting.estimate import HUBER, Point
from lawful.fitting.joint import axes_of, floors
from lawful.fitting.quantiles import f_tail, t_cdf, t_quantile
from lawful.fitting.replicates import cells_of, relative_spread, spread_slopes
from lawful.laws import Array

FACTOR_WEIGHT = 3.0  # the level's share of a coefficient beside that of a floor or an exponent: the usual finding. With
# it the test has nine tenths of the power of one that knows which it is, for a factor and for an exponent
MAXIMUM_DRAWS = 20_000  # of the largest score: its 5 % point is then known to .2 %
ONE_SHARE = 0.9  # of the level, for the test of one parameter at a time; the rest for that of all at once
MAXIMUM_CELLS = 20_000_000  # of permuted labels, draws times runs: half a second
LEAST_ARRANGEMENTS = 1000  # of labels, so that p is as fine as .001 or .002


def one_law(same: Point, full: Point, around: noise.Noise, data: Sample, is_paired: bool) -> float:
    """p of the hypothesis that all arms follow one law: the smaller of two, each at its share of the level. One is of
    the largest score: every parameter freed alone for one arm, the others being common to all; a coefficient's p counts
    three times as much (FACTOR_WEIGHT). It finds a small difference in one parameter. The other frees all of them at
    once, and finds arms that cross.

    Both are referred to their distributions over the arms' labels permuted among runs of one cell, which holds whatever
    the noise of a cell is; where the cells do not allow that, to the joint distribution of the scores (Student's t) and
    to an F test.

    same, full   the best points of one law for all arms, and of arms with everything of their own
    """
    joint, one = full.problem.law, same.problem.law
    assert isinstance(joint, ArmsLaw) and isinstance(one, ArmsLaw)
    law, arms = joint.base, joint.arms
    common = np.array(joint.spread_out([one.of_arm(same.parameters, 0)] * len(arms)))
    slopes = solver.slopes(full.problem, common)
    raw = solver.residuals(full.problem, common[None])[0]
    place = {name: [joint.parameters.index(own) for own in joint.names(name)] for name in law.parameters}
    place = {name: columns for name, columns in place.items() if full.is_free[columns[0]]}
    together = np.stack([slopes[:, columns].sum(axis=1) for columns in place.values()], axis=1)
    own = [name for name, columns in place.items() if len(columns) > 1]
    counted = range(len(arms) if len(arms) > 2 else 1)  # of two arms, one tells of both
    is_factor = [name in law.coefficients and name not in floors(law) for name in own for _ in counted]
    share = np.where(is_factor, FACTOR_WEIGHT, 1.0) / np.where(is_factor, FACTOR_WEIGHT, 1.0).sum()
    weight = np.broadcast_to(full.problem.relative, data.n) / _relative_of_all(data)
    levers = weight[:, None] * together[:, [name in own for name in place]]
    every = _scores_of_permuted_labels(data, levers, weight * raw, len(counted), is_paired)
    if every is not None:
        scores, together_score, dof = every
        reached = _as_small(scores[0], share, dof)[1]
        by_one = (1 + int((scores[1:] >= reached * (1 - 1e-9)).any(axis=1).sum())) / len(scores)
        by_all = float((together_score >= together_score[0] * (1 - 1e-9)).mean())
        return _smaller(by_one, by_all)
    residual = noise.pseudo_values(full, raw)
    basis = np.linalg.qr(together / np.maximum(np.linalg.norm(together, axis=0), 1e-300))[0]
    contrasts, found = [], []
    for name in own:
        for arm in counted:
            direction = slopes[:, place[name][arm]]
            direction = direction - basis @ (basis.T @ direction)
            estimate = direction / max(float(direction @ direction), 1e-300)
            contrast = slopes.T @ estimate  # the same estimate, of the parameters of the full law
            stderr = float(np.sqrt(around.variance(contrast)))
            contrasts.append(contrast / stderr)
            found.append(abs(float(estimate @ residual)) / stderr)
    dof = min(around.dof(contrast) for contrast in contrasts)
    smallest, reached = _as_small(np.array(found), share, dof)
    values, vectors = np.linalg.eigh(np.array(contrasts) @ around.covariance @ np.array(contrasts).T)
    rng = np.random.default_rng(0)
    drawn = rng.standard_normal((MAXIMUM_DRAWS, len(found))) @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
    drawn = np.abs(drawn) / np.sqrt(rng.chisquare(dof, (MAXIMUM_DRAWS, 1)) / dof)
    beyond = float((drawn >= reached).any(axis=1).mean())
    by_one = beyond if beyond > 50 / MAXIMUM_DRAWS else min(smallest, 1.0)  # Bonferroni's bound where draws are few
    return _smaller(by_one, step_test(same, full, data, frozenset(own))[2])


def _relative_of_all(data: Sample) -> Array | float:
    """The noise of each row in units of that at the pivot, from replicates of all arms at once. From those within arms,
    the weights would depend on the labels that are permuted: where the runs of an arm happen to lie close together, the
    arms lie apart."""
    x, each = axes_of(data), np.arange(data.n)
    return relative_spread(spread_slopes(x, data.loss, np.zeros(data.n), each), x.logs)


def _smaller(by_one: float, by_all: float) -> float:
    return min(by_one / ONE_SHARE, by_all / (1 - ONE_SHARE), 1.0)


def _as_small(scores: Array, share: Array, dof: float) -> tuple[float, Array]:
    """The smallest weighted p of these scores, and the score at which each would have the same."""
    smallest = min(2 * t_cdf(-float(score), dof) / part for score, part in zip(scores, share, strict=True))
    return smallest, np.array([-t_quantile(min(max(smallest * part, 1e-15), 1.0) / 2, dof) for part in share])


def _scores_of_permuted_labels(
    data: Sample, slopes: Array, residual: Array, counted: int, is_paired: bool
) -> tuple[Array, Array, float] | None:
    """Absolute scores of every parameter freed for each of the `counted` first arms: of the labels as they are, and of
    labels permuted within cells (or pairs), each against the noise that is left within cells after it. Shape
    (1 + draws, parameters * counted). Then what they explain together, and the degrees of freedom of the noise. None
    where rows form clusters, a cell has more runs of one arm than of another (whose noise may differ), or fewer than
    LEAST_ARRANGEMENTS are possible.

    slopes   of one common law by each parameter, at each row
    """
    arm = data.x[ARM].astype(int)
    if not is_paired and data.clusters < data.n:
        return None
    cell = data.cluster if is_paired else cells_of(axes_of(data), np.zeros(data.n))
    rows = [np.flatnonzero(cell == code) for code in range(cell.max() + 1)]
    held = np.array([np.bincount(arm[own], minlength=arm.max() + 1) for own in rows])
    arrangements = [math.lgamma(row.sum() + 1) - sum(math.lgamma(count + 1) for count in row) for row in held]
    if not held.all() or (held != held[:, :1]).any() or sum(arrangements) < math.log(LEAST_ARRANGEMENTS):
        return None
    inside = _within(residual, cell)
    limit = HUBER * 1.4826 * float(np.median(np.abs(inside))) * math.sqrt(data.n / (data.n - len(rows)))
    inside = _within(np.clip(inside, -limit, limit), cell)  # by what no label changes
    draws = int(np.clip(MAXIMUM_CELLS / data.n, 2000, MAXIMUM_DRAWS))
    labels = np.repeat(arm[None].astype(np.int8), 1 + draws, axis=0)
    rng = np.random.default_rng(0)
    for own in rows:
        labels[1:, own] = rng.permuted(labels[1:, own], axis=1)
    share = held[cell] / held.sum(axis=1)[cell][:, None]
    levers = [((arm == code) - share[:, code])[:, None] * slopes for code in range(counted)]
    lever = np.stack(levers, axis=2).reshape(data.n, -1)  # by parameter, then by arm, as the scores
    size = np.maximum(np.linalg.norm(lever, axis=0), 1e-300)
    total = [(labels == code) @ (slopes * inside[:, None]) for code in range(counted)]
    scores = np.stack(total, axis=2).reshape(1 + draws, -1) / size
    gram = np.linalg.pinv((lever / size).T @ (lever / size), rcond=1e-10, hermitian=True)
    dof = max(data.n - len(rows) - np.linalg.matrix_rank(lever / size, tol=1e-5), 1)
    explained = np.einsum("di,ij,dj->d", scores, gram, scores)
    least = max(1e-9 * float(inside @ inside), 1e-300)
    left = np.maximum(float(inside @ inside) - explained, least)
    return np.abs(scores) / np.sqrt(left / dof)[:, None], explained / left, float(dof)


def _within(values: Array, cell: Array) -> Array:
    """Less the mean of the cell."""
    return np.asarray(values - (np.bincount(cell, values) / np.bincount(cell))[cell])


def step_test(
    smaller: Point, larger: Point, data: Sample, freed: frozenset[str]
) -> tuple[float, tuple[float, float], float]:
    """F of the step, its degrees of freedom and p."""
    around = noise.measure(larger, data).over_all(larger.is_free)
    joint = larger.problem.law
    assert isinstance(joint, ArmsLaw)
    contrasts = np.array([contrast for name in sorted(freed) for contrast in _contrasts(joint, name)])
    plain = contrasts @ around.plain @ contrasts.T
    clustered = contrasts @ around.covariance @ contrasts.T
    q = len(contrasts)
    effect = max(float(np.trace(np.linalg.pinv(plain, rcond=1e-12, hermitian=True) @ clustered)) / q, 1e-12)
    rise = max(2 * (smaller.misfit - larger.misfit) * around.steepness, 0.0)
    dof = min(around.dof(contrast) for contrast in contrasts)
    ratio = rise / q / effect
    return ratio, (float(q), dof), f_tail(ratio, q, dof)


def _contrasts(joint: ArmsLaw, base: str) -> list[Array]:
    """Every other arm minus the first, as vectors over the joint law's parameters."""
    names = joint.names(base)
    out = []
    for other in names[1:]:
        vector = np.zeros(len(joint.parameters))
        vector[joint.parameters.index(other)] = 1.0
        vector[joint.parameters.index(names[0])] = -1.0
        out.append(vector)
    return out
