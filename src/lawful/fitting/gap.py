"""The gap between the laws of two arms along one axis: its value, its error at each point, and a band over a range.

Both arms are fitted at once, each with parameters of its own. The noise that they share is estimated where the same
seeds were trained in both arms. The gap's error follows from the covariance of the joint fit (delta method), and its
quantiles are those of Student's t with Satterthwaite's degrees of freedom (noise.py).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lawful.errors import DeclarationError
from lawful.fitting import derivatives, noise
from lawful.fitting.arms import ARM, ArmsLaw
from lawful.fitting.data import Sample
from lawful.fitting.joint import alone, arm_sample, fit_ladder, pairs_of, shared_names, shares_noise, why_not_certified
from lawful.fitting.one_law import one_law
from lawful.fitting.quantiles import t_cdf
from lawful.fitting.search import Point
from lawful.fitting.shared import Tested, sharing
from lawful.fitting.uncertainty import LEAST_STEP, RELATIVE_STEP
from lawful.laws import Array, Axes, Law

BAND_DRAWS = 4000  # of the largest deviation of a band: its 95 % quantile is then known to one per cent


@dataclass(frozen=True)
class JointFit:
    """Both arms fitted at once, each with its own parameters.

    p       that one law serves both (one_law.py)
    shared  the parameters that both share, with the test of that; None: each has its own
    """

    data: Sample
    arms: tuple[str, str]
    point: Point
    noise: noise.Noise
    axis: str
    is_paired: bool
    p: float
    shared: Tested | None = None

    @property
    def is_certified(self) -> bool:
        return why_not_certified(self.point) is None

    @property
    def shared_range(self) -> tuple[float, float]:
        """From the largest of the arms' smallest points to the smallest of their largest."""
        ranges = [self.range_of(arm) for arm in self.arms]
        return max(low for low, _ in ranges), min(high for _, high in ranges)

    def range_of(self, arm: str) -> tuple[float, float]:
        at = self.data.values[self.axis][self.data.x[ARM] == self.arms.index(arm)]
        return float(at.min()), float(at.max())

    def gap(self, at: Array) -> Gap:
        """Log loss of the first arm minus that of the second at these points of the axis; of another response itself.
        Of a metric that rises the sign is turned, so that below 0 the first arm is ahead."""
        parameters = self.point.parameters
        value = self._gap_of(parameters, at)
        slopes = np.empty((len(at), len(parameters)))
        steps = np.maximum(
            RELATIVE_STEP * np.abs(parameters), derivatives.negligible(self.point.problem, parameters, LEAST_STEP)
        )
        for i in range(len(parameters)):
            step = np.zeros(len(parameters))
            step[i] = steps[i]
            slopes[:, i] = (self._gap_of(parameters + step, at) - self._gap_of(parameters - step, at)) / (2 * step[i])
        covariance = slopes @ self.noise.covariance @ slopes.T
        stderr = np.sqrt([self.noise.variance(slope) for slope in slopes])
        dof = np.array([self.noise.dof(slope) for slope in slopes])
        return Gap(np.asarray(at, dtype=float), value, stderr, dof, covariance)

    def _gap_of(self, parameters: Array, at: Array) -> Array:
        first, second = (self._levels_of(parameters, index, at) for index in range(2))
        return np.asarray((-1.0 if self.is_rising else 1.0) * (first - second))

    def _levels_of(self, parameters: Array, index: int, at: Array) -> Array:
        """The law of one arm at points of the axis, on the scale of residuals."""
        joint = self.point.problem.law
        assert isinstance(joint, ArmsLaw)
        pivot = self.data.x.pivot[self.axis]
        x = Axes({self.axis: np.log(np.asarray(at, dtype=float) / pivot)}, {self.axis: pivot})
        return self.data.response.level(joint.base.predict(joint.of_arm(parameters, index), x))

    @functools.cached_property
    def is_rising(self) -> bool:
        """Whether more of the metric is better: by the laws of both arms together it rises along the axis, and more of
        the axis makes models better. A loss falls."""
        at = self.data.values[self.axis]
        ends = np.array([at.min(), at.max()])
        one, other = (self._levels_of(self.point.parameters, index, ends) for index in range(2))
        first, last = one + other
        return bool(last > first)


@dataclass(frozen=True)
class Gap:
    """At points of one axis: value and stderr of the gap in log loss, degrees of freedom of each error, covariance."""

    at: Array
    value: Array
    stderr: Array
    dof: Array
    covariance: Array

    @property
    def scores(self) -> Array:
        """The gap in units of its error; negative where the first arm is ahead."""
        return np.asarray(self.value / self.stderr)

    def ahead(self, level: float) -> Array:
        """At each point by itself: -1 where the first arm is ahead at this level, 1 where the second is, else 0."""
        confidence = [t_cdf(abs(float(score)), float(dof)) for score, dof in zip(self.scores, self.dof, strict=True)]
        return np.where(np.array(confidence) > 0.5 + level / 2, np.sign(self.scores), 0.0)

    def band(self, level: float) -> float:
        """How many errors the gap may lie off zero somewhere along the points, with this probability, where it is
        zero everywhere: the half-width of a simultaneous band (Hothorn, Bretz & Westfall 2008)."""
        values, vectors = np.linalg.eigh(self.covariance / np.outer(self.stderr, self.stderr))
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        rng = np.random.default_rng(0)
        dof = float(self.dof.min())
        draws = (
            rng.standard_normal((BAND_DRAWS, len(self.stderr)))
            @ root.T
            / np.sqrt(rng.chisquare(dof, (BAND_DRAWS, 1)) / dof)
        )
        return float(np.quantile(np.abs(draws).max(axis=1), level))

    def leads(self, level: float) -> int:
        """-1 where the first arm is ahead over the whole range at this level at once, 1 where the second is, else 0."""
        reach = self.band(level)
        if (self.scores < -reach).all():
            return -1
        return int((self.scores > reach).all())


def fit_both(
    source: Any,
    by: str,
    arms: Sequence[str],
    law: Law,
    columns: Mapping[str, str | None],
    share: Sequence[str] = (),
) -> JointFit:
    """Raises Refusal where an arm has too few runs, DeclarationError for a law of several axes."""
    if len(law.inputs) != 1:
        raise DeclarationError(
            f"crossover: expected a law of one axis, such as power_floor:tokens; {law.spec} reads "
            f"{' and '.join(law.inputs)}."
        )
    every, common = frozenset(law.parameters), shared_names(law, share, {})
    data, (first, second) = arm_sample(source, by, law, columns, keep=arms)
    each = alone(data, law, (first, second))
    same, point = fit_ladder(data, law, (first, second), [frozenset[str](), every - common], {}, {}, each)
    shared = sharing(data, law, (first, second), common, {}, {}, each) if common else None
    if is_paired := shares_noise(point, data):
        data = replace(data, cluster=pairs_of(data))
    around = noise.measure(point, data)
    p = one_law(same, point, around, data, is_paired)
    return JointFit(data, (first, second), point, around, law.inputs[0], is_paired, p, shared)
