"""What replicates say about the noise before any law is fitted: whether its spread changes with size, whether runs of
one seed share noise across sizes, and whether it is below the digits that losses are given to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from lawful.fitting.quantiles import f_tail
from lawful.laws import Array, Axes

LEAST_CELLS = 4  # of replicates: a slope of the spread over fewer says little
HALF_NORMAL = math.sqrt(2 / math.pi)  # mean absolute value of a standard normal
LEAST_DISPERSION = math.pi / 2 - 1  # its squared coefficient of variation: deviations vary at least as much
LEAST_GROUPS = 3  # of several seeds: below it the test of what seeds share has no power
PERMUTED = 999
FEW_SEEDS = 3  # up to so many, there are too few permutations to show anything: an F test in their place
# p below which seeds are taken to share noise across sizes (at .05, a comparison of arms lost 5 % of power), and below
# which they may
SHARED, MAY_SHARE = 0.01, 0.05
COARSE = 2.0  # steps of rounding to the spread of replicates, as it is after rounding
STEPS = 50  # of the reweighting; it settles in about six


@dataclass(frozen=True)
class SpreadSlopes:
    """d log sigma / d log axis of the noise: as they weigh rows (`shrunk`), as estimated (`raw`), and the covariance of
    the estimates. Empty where the spread is the same everywhere."""

    shrunk: Mapping[str, float] = field(default_factory=dict)
    raw: Mapping[str, float] = field(default_factory=dict)
    covariance: Array = field(default_factory=lambda: np.zeros((0, 0)))

    def expected_variance(self, logs: Mapping[str, Array]) -> Array | float:
        """The expected variance of each row, in units of the variance at the pivot, averaged over the uncertainty of
        the slopes (the mean of a log-normal). 1 if the spread is the same everywhere."""
        if not self.raw:
            return 1.0
        at = np.stack([logs[axis] for axis in self.raw])
        middle = np.array(list(self.raw.values())) @ at
        return np.asarray(np.exp(2 * middle + 2 * np.einsum("ir,ij,jr->r", at, self.covariance, at)))


def spread_slopes(x: Axes, loss: Array, apart: Array, cluster: Array) -> dict[str, float]:
    """What rows weigh by; see spread_of."""
    return dict(spread_of(x, loss, apart, cluster).shrunk)


def spread_of(x: Axes, loss: Array, apart: Array, cluster: Array) -> SpreadSlopes:
    """d log sigma / d log axis, where the spread of log loss between replicates changes along the axes; else empty.

    Mean absolute deviations within cells follow a log-linear model, fitted by quasi-likelihood (McCullagh & Nelder
    1989, chapter 10); deviations are not squared, as one outlier would then decide. The slopes are shrunk by 1 - 1 / F,
    the moment estimate of how much of their square is not their own error, and are 0 where F is below 1: a design of
    equal noise keeps nearly equal weights. A test at 5 % in place of it was tried: at 8 sizes with 3 seeds it used the
    slopes in 49 % of tables whose noise fell by a factor of 4.6, this in 95 %.

    x         the axes of the law, centred logs
    apart     rows with different codes (arms) are no replicates
    cluster   rows of one cluster are one replicate
    """
    cell = cells_of(x, apart)
    pair, first, own = np.unique(np.stack([cell, cluster]), axis=1, return_index=True, return_inverse=True)
    log_loss = np.bincount(own.ravel(), np.log(loss)) / np.bincount(own.ravel())
    count = np.bincount(pair[0])[pair[0]]
    is_repeated = count > 1
    cells, place = np.unique(pair[0][is_repeated], return_inverse=True)
    if len(cells) < LEAST_CELLS:
        return SpreadSlopes()
    value, number = log_loss[is_repeated], np.bincount(place)
    away = np.abs(value - (np.bincount(place, value) / number)[place])
    spread = np.bincount(place, away) / number / np.sqrt(1 - 1 / number) / HALF_NORMAL
    row = first[is_repeated][np.unique(place, return_index=True)[1]]
    logs = {
        axis: log[row]
        for axis, log in x.logs.items()
        if np.isfinite(log).all() and len(np.unique(np.round(log[row], 6))) > 2
    }
    weight = number - 1.0
    dof = len(cells) - 1 - len(logs)
    if not logs or dof < 2 or (spread > 0).sum() < LEAST_CELLS:
        return SpreadSlopes()
    return _slopes(logs, spread, weight, dof)


def _slopes(logs: Mapping[str, Array], spread: Array, weight: Array, dof: int) -> SpreadSlopes:
    design = np.stack([np.ones(len(spread)), *logs.values()], axis=1)
    gram = design.T @ (weight[:, None] * design)
    if np.linalg.cond(gram) > 1e10:  # axes that move together, as at a fixed ratio of tokens to parameters
        first = next(iter(logs))
        return SpreadSlopes() if len(logs) == 1 else _slopes({first: logs[first]}, spread, weight, dof + len(logs) - 1)
    beta = np.zeros(design.shape[1])
    beta[0] = math.log(float(np.average(spread, weights=weight)))
    for _ in range(STEPS):
        score = spread / np.exp(design @ beta) - 1
        step = np.clip(np.linalg.solve(gram, design.T @ (weight * score)), -1, 1)
        beta += step
        if np.abs(step).max() < 1e-9:
            break
    score = spread / np.exp(design @ beta) - 1
    dispersion = max(float(weight @ score**2) / dof, LEAST_DISPERSION)
    inverse = np.linalg.inv(gram)[1:, 1:]
    number = len(logs)
    ratio = float(beta[1:] @ np.linalg.solve(inverse, beta[1:])) / number / dispersion
    if not np.isfinite(ratio) or ratio <= 1:
        return SpreadSlopes()
    raw = {axis: float(slope) for axis, slope in zip(logs, beta[1:], strict=True)}
    return SpreadSlopes({axis: slope * (1 - 1 / ratio) for axis, slope in raw.items()}, raw, dispersion * inverse)


def relative_spread(slopes: Mapping[str, float], logs: Mapping[str, Array]) -> Array | float:
    """The noise of each row in units of that at the pivot; 1 where it is the same everywhere."""
    if not slopes:
        return 1.0
    return np.asarray(np.exp(sum(slope * logs[axis] for axis, slope in slopes.items())))


def cells_of(x: Axes, apart: Array) -> Array:
    """One code for rows at the same axes and of the same arm."""
    keys = np.stack([*(np.round(log, 6) for log in x.logs.values()), apart], axis=1)
    return np.asarray(np.unique(keys, axis=0, return_inverse=True)[1].ravel())


def shared_p(group: Array, seed: Array, cell: Array, log_loss: Array) -> float:
    """Probability of so large a correlation of runs of one seed across groups (sizes), if there is none; 1 where that
    cannot be tested. The squares of each seed's mean deviation, over seeds permuted within the groups; of few seeds,
    all at every size, by the F test of a two-way table. Each row has codes of its group, seed and cell (replicates have
    one cell). Runs of one seed and group are taken together, those of other arms too, as arms may share their noise."""
    away = log_loss - (np.bincount(cell, log_loss) / np.bincount(cell))[cell]
    _, first, unit = np.unique(np.stack([group, seed]), axis=1, return_index=True, return_inverse=True)
    unit = unit.ravel()
    value = np.bincount(unit, away) / np.bincount(unit)
    group, seed = group[first], np.unique(seed[first], return_inverse=True)[1]
    held = np.zeros((group.max() + 1, seed.max() + 1), dtype=bool)
    held[group, seed] = True
    if (held.sum(axis=1) > 1).sum() < LEAST_GROUPS or held.shape[1] > held.sum() / 2:
        return 1.0
    if held.shape[1] <= FEW_SEEDS and held.all():
        return _two_way(group, seed, value, len(held))
    rng = np.random.default_rng(0)
    permuted = np.repeat(value[None], 1 + PERMUTED, axis=0)
    for code in range(len(held)):
        own = group == code
        permuted[1:, own] = rng.permuted(permuted[1:, own], axis=1)
    total = permuted @ np.eye(held.shape[1])[seed]
    scores = (total**2 / np.bincount(seed)).sum(axis=1)
    return float((scores >= scores[0] * (1 - 1e-9)).mean())


def _two_way(group: Array, seed: Array, value: Array, groups: int) -> float:
    """Seeds' mean deviations against what is left beside them, one value for each group and seed."""
    seeds = len(value) // groups
    away = value - (np.bincount(group, value) / seeds)[group]
    effect = np.bincount(seed, away) / groups
    between, within = groups * float(effect @ effect), float(((away - effect[seed]) ** 2).sum())
    dof = (groups - 1) * (seeds - 1)
    return f_tail(between / (seeds - 1) / max(within / dof, 1e-300), seeds - 1, dof)


def resolution(values: Array) -> float:
    """The power of ten that all values are multiples of, from 1 down to 1e-8; 0 where they have more digits."""
    for digits in range(9):
        if np.abs(values - np.round(values, digits)).max() <= 1e-9 * np.abs(values).max():
            return float(10.0**-digits)
    return 0.0


def is_coarse(step: float, loss: Array, cell: Array) -> bool:
    """Whether losses are rounded to steps so wide beside the spread of replicates that these share the error of
    rounding. At a spread of .4 steps their errors correlate by .001, at .25 by .05, at .1 by .4."""
    number = np.bincount(cell)
    away = loss - (np.bincount(cell, loss) / number)[cell]
    dof = int((number - 1).sum())
    is_told = dof > 0 and len(np.unique(loss)) > 2
    return is_told and step > COARSE * math.sqrt(float(away @ away) / dof)
