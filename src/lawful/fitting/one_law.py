"""Whether all arms follow one law: one test over every parameter and arm, and the F tests of nested laws."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lawful.fitting import derivatives, noise
from lawful.fitting.arms import ARM, ArmsLaw
from lawful.fitting.data import Sample
from lawful.fitting.joint import axes_of, floors, pairs_of, weighed_alike
from lawful.fitting.quantiles import f_tail, t_cdf, t_quantile
from lawful.fitting.replicates import cells_of, relative_spread, spread_slopes
from lawful.fitting.search import Point
from lawful.laws import Array

FACTOR_WEIGHT = 2.0  # the level's share of a coefficient beside that of a floor or an exponent: the usual finding. With
# it the test has nine tenths of the power of one that knows which it is, for a factor and for an exponent
ALL_WEIGHT = 0.2  # of all parameters at once: without it arms that cross, and differ in no parameter alone, are missed
# of a likelihood ratio's exponent: differences are taken to have four times the variance of their errors (a g-prior
# with g = 4). From .5 to .9 the powers move by .03
SHRINKAGE = 0.8
CLIP = 2.0  # robust sigmas: permuted scores are exact with any, and HUBER would cost them 2 to 3 % of power
MAXIMUM_DRAWS = 20_000  # of the average likelihood ratio: its 5 % point is then known to .2 %
MAXIMUM_CELLS = 20_000_000  # of permuted labels, draws times runs: half a second
LEAST_ARRANGEMENTS = 1000  # of labels, so that p is as fine as .001 or .002
ONE_SHARE = 0.9  # of the level, for the largest score where labels are not permuted; the rest for the F test
UNLIKE = 0.05  # level at which arms' noise is found to differ: labels are then permuted within pairs alone
LARGEST_RATIO = 600.0  # of log likelihoods, so that its exponential is finite


@dataclass(frozen=True, kw_only=True)
class _Scores:
    """The scores of each freed parameter: under the true labels (first row), and under permuted labels (other rows).

    alone      scores in units of their error, shape (draws, parameters * arms)
    together   the sum of squares that all explain together, over the noise's variance, shape (draws,)
    dof        degrees of freedom of the noise, shape (draws,)
    number     of independent differences that all have at once
    """

    alone: Array
    together: Array
    dof: Array
    number: int


def one_law(same: Point, full: Point, around: noise.Noise, data: Sample, is_paired: bool) -> float:
    """p of the hypothesis that all arms follow one law, by an average of likelihood ratios (Andrews & Ploberger 1994).
    One ratio frees one parameter of one arm, while all else is common; the ratio of a coefficient counts twice
    (FACTOR_WEIGHT). Another ratio frees all parameters at once, which finds arms that cross.

    The average is compared with its distribution when the arms' labels are permuted among the runs of a cell. This is
    valid for any noise of a cell. If the cells do not allow it: the largest score, and an F test (`_of_errors`).

    same, full   the best points of one law for all arms, and of arms with everything of their own
    """
    joint, one = full.problem.law, same.problem.law
    assert isinstance(joint, ArmsLaw) and isinstance(one, ArmsLaw)
    law, arms = joint.base, joint.arms
    common = np.array(joint.spread_out([one.of_arm(same.parameters, 0)] * len(arms)))
    slopes = derivatives.slopes(full.problem, common)
    raw = full.problem.residuals(common[None])[0]
    place = {name: [joint.parameters.index(own) for own in joint.names(name)] for name in law.parameters}
    place = {name: columns for name, columns in place.items() if full.is_free[columns[0]]}
    together = np.stack([slopes[:, columns].sum(axis=1) for columns in place.values()], axis=1)
    own = [name for name, columns in place.items() if len(columns) > 1]
    counted = range(len(arms) if len(arms) > 2 else 1)  # of two arms, one tells of both
    weight = np.broadcast_to(full.problem.relative, data.n) / _relative_of_all(data)
    levers = weight[:, None] * together[:, [name in own for name in place]]
    found = _scores_of_permuted_labels(data, levers, weight * raw, len(counted), is_paired)
    is_factor = [name in law.coefficients and name not in floors(law) for name in own for _ in counted]
    share = np.where(is_factor, FACTOR_WEIGHT, 1.0)
    if found is None:
        directions = [slopes[:, place[name][arm]] for name in own for arm in counted]
        by_all = step_test(*weighed_alike(same, full, data), frozenset(own))[2]
        return _of_errors(full, around, slopes, together, directions, raw, share, by_all)
    ratios = _average_ratios(found, share)
    return float((ratios >= ratios[0] - 1e-9).mean())


def _average_ratios(found: _Scores, weight: Array) -> Array:
    """The logarithm of the weighted average of likelihood ratios, of each draw."""
    dof = found.dof
    alone = dof[:, None] * np.log1p(found.alone**2 / dof[:, None])
    together = dof * np.log1p(found.together / dof)
    ratios = np.column_stack([alone, together])
    numbers = np.append(np.ones(len(weight)), found.number)
    share = np.append(weight / weight.sum(), ALL_WEIGHT) * (1 - SHRINKAGE) ** (numbers / 2)
    return np.asarray(np.log(np.exp(SHRINKAGE / 2 * np.minimum(ratios, LARGEST_RATIO)) @ share))


def _relative_of_all(data: Sample) -> Array | float:
    """The noise of each row in units of that at the pivot, from replicates of all arms at once. Replicates
    within arms would make the weights depend on the labels, which are permuted: if the runs of an arm happen to be
    close together, the arms seem to differ."""
    if not data.response.is_log or data.errors is not None:
        return data.relative
    x, each = axes_of(data), np.arange(data.n)
    return relative_spread(spread_slopes(x, data.loss, np.zeros(data.n), each), x.logs)


def _of_errors(
    full: Point,
    around: noise.Noise,
    slopes: Array,
    together: Array,
    directions: list[Array],
    raw: Array,
    weight: Array,
    by_all: float,
) -> float:
    """p of scores in units of the errors of the fit of all arms: the smaller of two p, each at its share of the level.
    One is the p of the largest score, by the distribution of the maximum of correlated scores (Hothorn, Bretz &
    Westfall 2008); the other is `by_all`.

    slopes       of the full law by each parameter; together: of one common law
    directions   the slopes by each parameter of one arm
    """
    residual = noise.pseudo_values(full, raw)
    basis = np.linalg.qr(together / np.maximum(np.linalg.norm(together, axis=0), 1e-300))[0]
    contrasts, found = [], []
    for direction in directions:
        away = direction - basis @ (basis.T @ direction)
        estimate = away / max(float(away @ away), 1e-300)
        contrast = slopes.T @ estimate  # the same estimate, of the parameters of the full law
        stderr = float(np.sqrt(around.variance(contrast)))
        contrasts.append(contrast / stderr)
        found.append(abs(float(estimate @ residual)) / stderr)
    dof = min(around.dof(contrast) for contrast in contrasts)
    share = weight / weight.sum()
    smallest = min(2 * t_cdf(-score, dof) / part for score, part in zip(found, share, strict=True))
    reached = [-t_quantile(min(max(smallest * part, 1e-15), 1.0) / 2, dof) for part in share]
    values, vectors = np.linalg.eigh(np.array(contrasts) @ around.covariance @ np.array(contrasts).T)
    rng = np.random.default_rng(0)
    drawn = rng.standard_normal((MAXIMUM_DRAWS, len(found))) @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
    drawn = np.abs(drawn) / np.sqrt(rng.chisquare(dof, (MAXIMUM_DRAWS, 1)) / dof)
    beyond = float((drawn >= reached).any(axis=1).mean())
    by_one = beyond if beyond > 50 / MAXIMUM_DRAWS else smallest  # Bonferroni's bound where draws are few
    return min(by_one / ONE_SHARE, by_all / (1 - ONE_SHARE), 1.0)


def _scores_of_permuted_labels(
    data: Sample, slopes: Array, residual: Array, counted: int, is_paired: bool
) -> _Scores | None:
    """Scores of every parameter freed for each of the first `counted` arms, under the true labels and under labels
    permuted within cells; each is compared with the noise that then remains within cells. If two arms share noise, or
    one is noisier, only the two runs of a pair are swapped: under one law their difference has no preferred sign,
    whatever the noise of either is. None if rows have standard errors of their own or form clusters, if a cell has more
    runs of one arm than of another (whose noise may differ), or if fewer than LEAST_ARRANGEMENTS are possible.

    slopes   of one common law by each parameter, at each row
    """
    if data.errors is not None:
        return None
    if is_paired:
        return _permuted(data, data.cluster, slopes, residual, counted)
    if data.clusters < data.n:
        return None
    found = _permuted(data, cells_of(axes_of(data), np.zeros(data.n)), slopes, residual, counted)
    if found is not None and (found.dof <= found.dof[0]).mean() < UNLIKE and (np.bincount(pairs_of(data)) == 2).all():
        return _permuted(data, pairs_of(data), slopes, residual, counted) or found
    return found


def _permuted(data: Sample, cell: Array, slopes: Array, residual: Array, counted: int) -> _Scores | None:
    """The scores under labels permuted among rows of one code."""
    arm = data.x[ARM].astype(int)
    arms = arm.max() + 1
    rows = [np.flatnonzero(cell == code) for code in range(cell.max() + 1)]
    held = np.array([np.bincount(arm[own], minlength=arms) for own in rows])
    arrangements = [math.lgamma(row.sum() + 1) - sum(math.lgamma(count + 1) for count in row) for row in held]
    if not held.all() or (held != held[:, :1]).any() or sum(arrangements) < math.log(LEAST_ARRANGEMENTS):
        return None
    inside = _within(residual, cell)
    limit = CLIP * 1.4826 * float(np.median(np.abs(inside))) * math.sqrt(data.n / (data.n - len(rows)))
    inside = _within(np.clip(inside, -limit, limit), cell)  # by what no label changes
    draws = int(np.clip(MAXIMUM_CELLS / data.n, 2000, MAXIMUM_DRAWS))
    labels = np.repeat(arm[None].astype(np.int8), 1 + draws, axis=0)
    rng = np.random.default_rng(0)
    for own in rows:
        labels[1:, own] = rng.permuted(labels[1:, own], axis=1)
    levers = [((arm == code) - 1 / arms)[:, None] * slopes for code in range(counted)]
    lever = np.stack(levers, axis=2).reshape(data.n, -1)  # by parameter, then by arm, as the scores
    size = np.maximum(np.linalg.norm(lever, axis=0), 1e-300)
    total = [(labels == code) @ (slopes * inside[:, None]) for code in range(counted)]
    scores = np.stack(total, axis=2).reshape(1 + draws, -1) / size
    gram = np.linalg.pinv((lever / size).T @ (lever / size), rcond=1e-10, hermitian=True)
    number = int(np.linalg.matrix_rank(lever / size, tol=1e-5))
    dof = float(max(data.n - len(rows) - number, 1))
    explained = np.einsum("di,ij,dj->d", scores, gram, scores)
    least = max(1e-9 * float(inside @ inside), 1e-300)
    variance = np.maximum(float(inside @ inside) - explained, least) / dof
    is_of_pairs = arms == 2 and held.max() == 1  # then one arm's noise is as good as another's
    share = 1.0 if is_of_pairs else _evenness(labels, slopes, np.clip(residual, -limit, limit))
    return _Scores(
        alone=scores / np.sqrt(variance)[:, None],
        together=explained / variance,
        dof=np.broadcast_to(dof * share, 1 + draws),
        number=number,
    )


def _evenness(labels: Array, slopes: Array, residual: Array) -> Array:
    """The factor on the degrees of freedom if the arms' noise differs much, as for two samples of unequal variance
    (Welch 1947): 1 if all are equal, down to one over the number of arms. An arm's noise is the residual of
    its own fit, under each permutation; with equal noise the test loses nothing. Every arm has equally many runs in a
    cell, so one matrix serves all."""
    arms = int(labels.max()) + 1
    own = slopes[labels[0] == 0]
    inverse = np.linalg.pinv(own.T @ own, rcond=1e-12, hermitian=True)
    left = []
    for code in range(arms):
        is_own = labels == code
        pulled = is_own @ (slopes * residual[:, None])
        left.append(is_own @ residual**2 - np.einsum("di,ij,dj->d", pulled, inverse, pulled))
    part = np.maximum(left, 1e-300)
    return np.asarray(part.sum(axis=0) ** 2 / (arms * (part**2).sum(axis=0)))


def _within(values: Array, cell: Array) -> Array:
    """The values minus the mean of their cell."""
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
