"""The probability that each arm is the best, from a joint fit in which what arms share cancels."""

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
    values, vectors = np.linalg.eigh(covariance)
    rng = np.random.default_rng(0)
    dof = min(around.dof(slopes[i] - slopes[j]) for i in range(len(arms)) for j in range(i))
    scale = np.sqrt(dof / rng.chisquare(dof, (DRAWS, 1)))
    normal = rng.standard_normal((DRAWS, len(arms)))
    drawn = levels + scale * normal @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
    best = (drawn if rises else -drawn).argmax(axis=1)
    return BestArm(probability={arm: float((best == i).mean()) for i, arm in enumerate(arms)}, at=at)
