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
from lawful.response import LOG, Response

UNKNOWN = 20.0  # standard error of a log loss that nothing determines, and the largest: e^20 is no loss any more
FORM_DRAWS = 1000  # over the laws of which a forecast is the average
# standard error of a law's log loss, or log odds, at a point, from which on it has no part there unless it is the best
LARGEST = 1.0
NO_ERROR = 1e-9  # standard error over its parameter, up to which it is rounding's


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
    response: Response = LOG

    def loss(self, values: Values, at: Points) -> Array:
        """As Fit.loss."""
        return self.law.predict(values, Axes.of(at, self.pivot))

    def log_loss(self, at: Mapping[str, float]) -> tuple[float, float]:
        """Log loss at one point, and its standard error."""
        value, error = self._level(at, is_log=True)
        return float(np.log(value)), error

    def _level(self, at: Mapping[str, float], *, is_log: bool) -> tuple[float, float]:
        """The law's value at one point, and the standard error of its logarithm, or of itself."""
        x = Axes.of({axis: [value] for axis, value in at.items()}, self.pivot)
        ends = np.full(len(self.law.parameters), np.inf)
        problem = Problem(self.law, x, np.ones(1), is_log, 1.0, True, -ends, ends)
        slopes = derivatives.slopes(problem, np.array([self.values[name] for name in self.law.parameters]))[0]
        own = slopes[[self.law.parameters.index(name) for name in self.free]]
        return float(self.loss(self.values, at)[0]), float(np.sqrt(max(own @ self.covariance @ own, 0.0)))

    def log_odds(self, at: Mapping[str, float]) -> tuple[float, float]:
        """The log odds of a share at one point, between the limits of the response, and their standard error."""
        value, error = self._level(at, is_log=False)
        share = float(self.response.share(value))
        return math.log(share / (1 - share)), error / ((self.response.high - self.response.low) * share * (1 - share))

    def drawn(self, draws: int, rng: np.random.Generator) -> dict[str, Array]:
        """Parameters drawn from Student's t around the point, inside their bounds, each of shape (draws,)."""
        size = np.sqrt(np.diag(self.covariance))
        middle = np.array([self.values[name] for name in self.free])
        # none but rounding's: the rows say nothing about it, and a draw leaves it where it is
        size = np.where(size > NO_ERROR * np.abs(middle), size, 0.0)
        unit = np.where(size > 0, size, np.inf)
        scaled = self.covariance / np.outer(unit, unit)
        values, vectors = np.linalg.eigh(scaled)
        # symmetric: an eigenvector's sign is rounding's, and would give other draws in other units or another order
        root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
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
class Beyond:
    """One way out of the data: a product of powers of axes, and the ends of its log in the data."""

    powers: Mapping[str, int]
    low: float
    high: float

    def distance(self, log: Array | float) -> Array:
        """Log units outside the data; 0 inside."""
        with np.errstate(invalid="ignore"):  # 0 where the data have 0
            return np.fmax(np.fmax(np.asarray(log) - self.high, self.low - np.asarray(log)), 0.0)

    def of(self, at: Mapping[str, float]) -> float:
        with np.errstate(divide="ignore"):
            return float(self.distance(sum(power * np.log(at[axis]) for axis, power in self.powers.items())))


@dataclass(frozen=True)
class Growth:
    """How far forecasts are off, by their errors on runs left out (lawful.fitting.rolling).

    sigma   of the log residuals of runs inside the data
    parts   for each direction, variance for each square of log distance, and the ways in which a point may lie beyond
    dof     of a t distribution
    """

    sigma: float
    parts: tuple[tuple[float, tuple[Beyond, ...]], ...]
    dof: float

    def error(self, at: Mapping[str, float]) -> float:
        """Standard error of the forecast of a run's log loss."""
        more = (rate * max(way.of(at) for way in ways) ** 2 for rate, ways in self.parts)
        return math.sqrt(self.sigma**2 + sum(more))


@dataclass(frozen=True)
class Alternatives:
    """What a forecast averages over where the form is in doubt: laws with their weights, which sum to 1.

    is_fitting   the best of them has no trend in its residuals
    rows         of the table
    growth       where no law can be trusted, how far their average is off: this is then the error of each
    """

    laws: tuple[Sister, ...]
    weights: tuple[float, ...]
    is_fitting: bool
    rows: int
    growth: Growth | None = None

    @property
    def best(self) -> Sister:
        return self.laws[int(np.argmax(self.weights))]

    @property
    def parts(self) -> tuple[float, ...]:
        """The part of each law in an answer about the best size. Errors on left-out runs do not say which best size is
        right: if the weights come from them, all laws get equal parts, also a law of hardly any weight. Of 64 planted
        tables that no law here fits, N* at 10 times the compute lay in the interval in 58; without the laws below .05,
        in 50."""
        if self.growth is None:
            return self.weights
        return (1 / len(self.weights),) * len(self.weights)

    @property
    def listed(self) -> str:
        """kaplan 85 %, coupled 15 %"""
        shares = sorted(zip(self.weights, self.laws, strict=True), key=lambda pair: -pair[0])
        return ", ".join(f"{law.name} {100 * share:.0f} %" for share, law in shares if share > 0.005)

    def spread_of_run(self, between_replicates: float | None) -> float:
        """The standard deviation of one run's log loss about the curve; 0 if the interval is already one of runs."""
        if self.growth is not None:
            return 0.0
        away = self.best.rmse_log * float(np.sqrt(self.rows / max(self.rows - len(self.best.free), 1)))
        return max(between_replicates or 0.0, away)

    def interval(self, at: Mapping[str, float], level: float) -> Array:
        """Loss at one point, and the ends of the middle `level` of the mixture of the t distributions. Shape (3,).

        The value is that of a law which has more than half of the weight, else the median of the mixture; where errors
        on runs left out decide, the mean of the logs, of which they are the errors.
        """
        response = self.best.response
        means, errors = np.array([law.log_odds(at) if response.is_share else law.log_loss(at) for law in self.laws]).T
        errors = np.nan_to_num(errors, nan=UNKNOWN, posinf=UNKNOWN).clip(max=UNKNOWN)
        dofs = [law.dof for law in self.laws]
        if self.growth is not None:
            errors, dofs = np.full(len(means), self.growth.error(at)), [self.growth.dof] * len(means)
        weights = np.array(self.weights)
        weights = np.where((errors <= LARGEST) | (weights == weights.max()), weights, 0.0)
        weights = weights / weights.sum()

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
        if self.growth is not None:
            ends[0] = min(max(float(weights @ means), ends[1]), ends[2])
        elif weights.max() > 0.5:
            ends[0] = min(max(float(means[weights.argmax()]), ends[1]), ends[2])
        if response.is_share:
            return response.of_share([1 / (1 + math.exp(-end)) for end in ends])
        return np.asarray(np.exp(ends))

    def drawn(self, draws: int, seed: int) -> list[tuple[Sister, dict[str, Array]]]:
        """Parameters of each law that has a part, as many as its part says."""
        rng = np.random.default_rng(seed)
        weights = self.parts
        counts = [round(draws * weight) for weight in weights]
        return [(law, law.drawn(count, rng)) for law, count in zip(self.laws, counts, strict=True) if count > 1]
