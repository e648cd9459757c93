"""What replicates say about the noise before any law is fitted: whether its spread changes with size."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from lawful.fitting.quantiles import f_tail
from lawful.laws import Array, Axes

LEAST_CELLS = 4  # of replicates: a slope of the spread over fewer says little
SHOWN = 0.05  # p below which the spread is taken to change with an axis
HALF_NORMAL = math.sqrt(2 / math.pi)  # mean absolute value of a standard normal
LEAST_DISPERSION = math.pi / 2 - 1  # its squared coefficient of variation: deviations vary at least as much
STEPS = 50  # of the reweighting; it settles in about six


def spread_slopes(x: Axes, loss: Array, apart: Array, cluster: Array) -> dict[str, float]:
    """d log sigma / d log axis, where replicates show that the spread of log loss changes along the axes; else empty.

    Mean absolute deviations within cells follow a log-linear model, fitted by quasi-likelihood (McCullagh & Nelder
    1989, chapter 10); deviations are not squared, as one outlier would then decide. The slopes are used where an F test
    with the estimated dispersion shows them at 5 %, and are shrunk by 1 - 1 / F (the moment estimate of how much of
    their square is not their own error). Where replicates do not show it, all weigh the same.

    x         the axes of the law, centred logs
    apart     rows with different codes (arms) are no replicates
    cluster   rows of one cluster are one replicate
    """
    keys = np.stack([*(np.round(log, 6) for log in x.logs.values()), apart], axis=1)
    cell = np.unique(keys, axis=0, return_inverse=True)[1].ravel()
    pair, first, own = np.unique(np.stack([cell, cluster]), axis=1, return_index=True, return_inverse=True)
    log_loss = np.bincount(own.ravel(), np.log(loss)) / np.bincount(own.ravel())
    count = np.bincount(pair[0])[pair[0]]
    is_repeated = count > 1
    cells, place = np.unique(pair[0][is_repeated], return_inverse=True)
    if len(cells) < LEAST_CELLS:
        return {}
    value, number = log_loss[is_repeated], np.bincount(place)
    away = np.abs(value - (np.bincount(place, value) / number)[place])
    spread = np.bincount(place, away) / number / np.sqrt(1 - 1 / number) / HALF_NORMAL
    row = first[is_repeated][np.unique(place, return_index=True)[1]]
    logs = {axis: log[row] for axis, log in x.logs.items() if len(np.unique(np.round(log[row], 6))) > 2}
    weight = number - 1.0
    dof = len(cells) - 1 - len(logs)
    if not logs or dof < 2 or (spread > 0).sum() < LEAST_CELLS:
        return {}
    return _slopes(logs, spread, weight, dof)


def _slopes(logs: Mapping[str, Array], spread: Array, weight: Array, dof: int) -> dict[str, float]:
    design = np.stack([np.ones(len(spread)), *logs.values()], axis=1)
    gram = design.T @ (weight[:, None] * design)
    if np.linalg.cond(gram) > 1e10:  # axes that move together, as at a fixed ratio of tokens to parameters
        first = next(iter(logs))
        return {} if len(logs) == 1 else _slopes({first: logs[first]}, spread, weight, dof + len(logs) - 1)
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
    if not np.isfinite(ratio) or ratio <= 1 or f_tail(ratio, number, dof) >= SHOWN:
        return {}
    return {axis: float(slope) * (1 - 1 / ratio) for axis, slope in zip(logs, beta[1:], strict=True)}


def relative_spread(slopes: Mapping[str, float], logs: Mapping[str, Array]) -> Array | float:
    """The noise of each row in units of that at the pivot; 1 where it is the same everywhere."""
    if not slopes:
        return 1.0
    return np.asarray(np.exp(sum(slope * logs[axis] for axis, slope in slopes.items())))
