"""Sister laws of a fit, and the average over them that a forecast is where the form is in doubt."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lawful.fitting import derivatives
from lawful.fitting.problem import Problem
from lawful.fitting.quantiles import t_cdf, t_density, t_quantile
from lawful.laws import Array, Axes, Law, Points, Values, bounds_of

UNKNOWN = 20.0  # standard error of a log loss that nothing determines, and the largest: e^20 is no loss any more
FORM_DRAWS = 1000  # over the laws of which a forecast is the average
LARGEST = 1.0  # standard error of a law's log loss at a point, from which on it has no part there unless it is the best


@dataclass(frozen=True)
class Sister:
    """A law fitted to the rows of a fit as a point, with the covariance of its free parameters off their bounds."""

    name: str
    law: Law
    values: Mapping[str, float]
    free: tuple[str, ...]
    covariance: Array
    dof: float
    rmse_log: float
    pivot: Mapping[str, float]
    domain: Mapping[str, tuple[float, float]]

    def loss(self, values: Values, at: Points) -> Array:
        """As Fit.loss."""
        return self.law.predict(values, Axes.of(at, self.pivot))

    def log_loss(self, at: Mapping[str, float]) -> tuple[float, float]:
        """Log loss at one point, and its standard error."""
        x = Axes.of({axis: [value] for axis, value in at.items()}, self.pivot)
        ends = np.full(len(self.law.parameters), np.inf)
        problem = Problem(self.law, x, np.ones(1), True, 1.0, True, -ends, ends)
        slopes = derivatives.slopes(problem, np.array([self.values[name] for name in self.law.parameters]))[0]
        own = slopes[[self.law.parameters.index(name) for name in self.free]]
        value = float(np.log(self.loss(self.values, at)[0]))
        return value, float(np.sqrt(max(own @ self.covariance @ own, 0.0)))

    def drawn(self, draws: int, rng: np.random.Generator) -> dict[str, Array]:
        """Parameters drawn from Student's t around the point, inside their bounds, each of shape (draws,)."""
        size = np.sqrt(np.diag(self.covariance))
        size = np.where(size > 0, size, 1e-12)  # 0: the rows say nothing about it, and a draw leaves it where it is
        scaled = self.covariance / np.outer(size, size)
        values, vectors = np.linalg.eigh(scaled)
        root = vectors * np.sqrt(np.maximum(values, 0))
        dof = max(self.dof, 3.0)
        steps = (rng.standard_normal((draws, len(size))) @ root.T) * np.sqrt(dof / rng.chisquare(dof, (draws, 1)))
        out = {name: np.full(draws, value) for name, value in self.values.items()}
        bounds = bounds_of(self.law)
        for j, name in enumerate(self.free):
            out[name] = np.clip(out[name] + steps[:, j] * size[j], *bounds[name])
        return out


def _quantile(parts: Sequence[tuple[float, float, float, float]], share: float, low: float, high: float) -> float:
    """Where `share` of a mixture of t distributions (weight, mean, scale, dof) lies below, between low and high.

    Newton's method, with a bisection wherever a step would leave the bracket or the last step did not halve it.
    """
    x, last = (low + high) / 2, high - low
    for _ in range(100):
        gap = sum(w * t_cdf((x - mean) / scale, dof) for w, mean, scale, dof in parts) - share
        low, high = (x, high) if gap < 0 else (low, x)
        density = sum(w * t_density((x - mean) / scale, dof) / scale for w, mean, scale, dof in parts)
        step = -gap / density if density > 0 else math.inf
        following = x + step
        if not low < following < high or abs(step) > last / 2:
            following = (low + high) / 2
        last = abs(following - x)
        x = following
        if last <= 1e-14 * max(abs(x), 1.0):
            break
    return x


@dataclass(frozen=True)
class Alternatives:
    """What a forecast averages over where the form is in doubt: laws with their weights, which sum to 1.

    is_fitting   the best of them has no trend in its residuals; else intervals grow by the best law's misfit, and more
                 with the distance from the data
    rows         of the table
    """

    laws: tuple[Sister, ...]
    weights: tuple[float, ...]
    is_fitting: bool
    rows: int

    @property
    def best(self) -> Sister:
        return self.laws[int(np.argmax(self.weights))]

    @property
    def listed(self) -> str:
        """kaplan 85 %, coupled 15 %"""
        shares = sorted(zip(self.weights, self.laws, strict=True), key=lambda pair: -pair[0])
        return ", ".join(f"{law.name} {100 * share:.0f} %" for share, law in shares if share > 0.005)

    @property
    def run_spread(self) -> float:
        return self.best.rmse_log * float(np.sqrt(self.rows / max(self.rows - len(self.best.free), 1)))

    def interval(self, at: Mapping[str, float], level: float, domain: Mapping[str, Sequence[float]]) -> Array:
        """Loss at one point, and the ends of the middle `level` of the mixture of the t distributions. Shape (3,).

        The value is that of a law which has more than half of the weight, else the median of the mixture.
        """
        means, errors = np.array([law.log_loss(at) for law in self.laws]).T
        errors = np.nan_to_num(errors, nan=UNKNOWN, posinf=UNKNOWN).clip(max=UNKNOWN)
        if not self.is_fitting:
            errors = np.hypot(errors, self.best.rmse_log * self._reach(at, domain))
        weights = np.array(self.weights)
        weights = np.where((errors <= LARGEST) | (weights == weights.max()), weights, 0.0)
        weights = weights / weights.sum()
        dofs = [law.dof for law in self.laws]

        parts = [
            (float(w), float(mean), max(float(error), 1e-12), dof)
            for w, mean, error, dof in zip(weights, means, errors, dofs, strict=True)
            if w > 0
        ]
        ends = []
        for share in (0.5, 0.5 - level / 2, 0.5 + level / 2):
            reach = [t_quantile(0.5 + level / 2, dof) * error for dof, error in zip(dofs, errors, strict=True)]
            low, high = float((means - 2 * np.array(reach)).min()), float((means + 2 * np.array(reach)).max())
            ends.append(_quantile(parts, share, low, high))
        if weights.max() > 0.5:
            ends[0] = min(max(float(means[weights.argmax()]), ends[1]), ends[2])
        return np.asarray(np.exp(ends))

    @staticmethod
    def _reach(at: Mapping[str, float], domain: Mapping[str, Sequence[float]]) -> float:
        """1 inside the data; one more for each width of the data (on a log scale) outside of them."""
        most = 1.0
        for axis, value in at.items():
            low, high = domain[axis]
            if low <= 0:  # an input that may be 0 is taken as it is
                most = max(most, value / high)
                continue
            outside = max(np.log(value / high), np.log(low / value), 0.0)
            most = max(most, 1 + outside / max(np.log(high / low), 1e-12))
        return most

    def drawn(self, draws: int, seed: int) -> list[tuple[Sister, dict[str, Array]]]:
        """Parameters of each law that has a part, as many as its weight says."""
        rng = np.random.default_rng(seed)
        counts = [round(draws * weight) for weight in self.weights]
        return [(law, law.drawn(count, rng)) for law, count in zip(self.laws, counts, strict=True) if count > 1]
