"""The probability that each arm is the best, from a joint fit in which what arms share cancels.

The arms' true levels count as drawn from a normal of unknown spread, so that arms which differ by no more than their
errors are drawn together. Were all differences equally likely beforehand, the arm that looks best would be too sure:
its level is the highest of several that hold noise, and lies too high for that reason alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lawful.checks import AnyFloat
from lawful.fitting import derivatives, noise
from lawful.fitting.arms import ArmsLaw
from lawful.fitting.data import Sample
from lawful.fitting.search import Point
from lawful.fitting.uncertainty import LEAST_STEP, gradient
from lawful.laws import Array, Axes

DRAWS = 20_000  # a probability of .5 is then known to .004
SPREADS = 200  # of the grid
RISING = 0.1  # of the logarithm of every axis, by which it is seen whether the metric rises


@dataclass(frozen=True, kw_only=True)
class BestArm:
    """Arm -> the probability that its curve is the best at one point; at: where."""

    probability: Mapping[str, AnyFloat] = field(default_factory=dict)
    at: Mapping[str, AnyFloat] = field(default_factory=dict)


def best_arm(point: Point, around: noise.Noise, arms: Sequence[str], data: Sample) -> BestArm:
    """At the geometric middle of the upper half of the data, as `multiplier` has it.

    The levels of all arms are drawn together, so that noise which pairs share cancels in every draw; by Student's t
    with the degrees of freedom of the difference that has fewest.
    """
    joint = point.problem.law
    assert isinstance(joint, ArmsLaw)
    logs = {axis: float(np.quantile(data.x[axis], 0.75)) for axis in joint.base.inputs}
    pivot = {axis: data.x.pivot[axis] for axis in joint.base.inputs}

    def level(parameters: Array, index: int, shift: float = 0.0) -> float:
        x = Axes({axis: np.array([log + shift]) for axis, log in logs.items()}, pivot)
        return float(joint.base.predict(joint.of_arm(parameters, index), x)[0])

    steps = derivatives.negligible(point.problem, point.parameters, LEAST_STEP)
    slopes = np.array(
        [gradient(lambda p, index=i: level(p, index), point.parameters, steps) for i in range(len(arms))]  # type: ignore[misc]
    )
    levels = np.array([level(point.parameters, i) for i in range(len(arms))])
    rises = level(point.parameters, 0, RISING) > level(point.parameters, 0, -RISING)
    covariance = slopes @ around.covariance @ slopes.T
    at = {axis: float(np.exp(log) * pivot[axis]) for axis, log in logs.items()}
    if not np.isfinite(covariance).all():
        return BestArm(at=at)
    dof = min(around.dof(slopes[i] - slopes[j]) for i in range(len(arms)) for j in range(i))
    shares = highest(levels if rises else -levels, covariance, dof, np.random.default_rng(0))
    return BestArm(probability=dict(zip(arms, map(float, shares), strict=True)), at=at)


def highest(levels: Array, covariance: Array, dof: float, rng: np.random.Generator, draws: int = DRAWS) -> Array:
    """The probability of each level to be the highest, shape (arms,).

    The true levels are normal around a mean of which nothing is known. Their spread, in units of the typical standard
    error of a level, has the density 1 / (1 + spread)^2: half of it lies below one standard error (DuMouchel 1994,
    in Daniels 1999, Canadian Journal of Statistics 27, 567). Given the spread, everything is in closed form.
    """
    arms = len(levels)
    # contrasts of the arms, without their mean, turned so that their errors are independent
    apart = np.linalg.svd(np.ones((1, arms)))[2][1:]
    values, vectors = np.linalg.eigh(apart @ covariance @ apart.T)
    apart = vectors.T @ apart
    seen = apart @ levels
    error = np.maximum(values, max((1e-12 * np.abs(levels).max()) ** 2, 1e-300))
    quantiles = (np.arange(SPREADS) + 0.5) / SPREADS
    between = (quantiles / (1 - quantiles))[:, None] ** 2 * error.mean()
    misfit = np.sum(seen**2 / (error + between), axis=1)
    known = dof + arms - 1  # the arms' differences, too, say how large the noise is
    weight = -0.5 * np.log(error + between).sum(axis=1) - known / 2 * np.log1p(misfit / dof)
    weight = np.exp(weight - weight.max())
    chosen = rng.choice(SPREADS, draws, p=weight / weight.sum())
    kept = (between / (error + between))[chosen]
    scale = np.sqrt((dof + misfit[chosen]) / rng.chisquare(known, draws))[:, None]
    drawn = kept * seen + scale * np.sqrt(error * kept) * rng.standard_normal(kept.shape)
    return np.bincount((drawn @ apart).argmax(axis=1), minlength=arms) / draws
