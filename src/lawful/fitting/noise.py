"""What the residuals say about the noise: its spread between rows and between clusters, and what that does to a fit.

The fit is linearised at its point. Residuals become pseudo-values (Huber's clipped ones, rescaled), whose variance is
split into a part of each row and a part shared by a cluster's rows, by equating the residuals' sum of squares and the
clusters' sum of squared totals with their expectations. From the two follow the covariance of the parameters and, by
Satterthwaite's formula, the degrees of freedom behind each variance: a parameter that only differences between clusters
determine gets few, one determined within clusters gets many.

Where several arms are fitted at once, and rows form no clusters, each arm has a variance of its own.

Where replicates show that the noise changes with size, rows are weighed by that. How much it changes is itself an
estimate: the covariance is that of these weights under the variances expected over all that it may be.

Both estimates are unbiased; the shared variance may come out below zero, and is left there: cut off at zero it would be
biased upwards, and intervals too wide where nothing is shared. Likelihood was tried and left: on Gemstones it runs away
to an enormous shared variance, with which the law's misfit within runs is fitted instead.
Sources: Huber 1981, section 7.6, for few rows per parameter; Rao 1971 (MINQUE); Satterthwaite 1946.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lawful.fitting import derivatives
from lawful.fitting.arms import ARM
from lawful.fitting.data import Sample
from lawful.fitting.search import Point
from lawful.laws import Array

LEAST_VARIANCE = 1e-24  # of log losses with no noise at all, so that nothing is divided by zero
LEAST_DOF = 5.0  # of an arm's residuals, from which on it has a variance of its own: Welch's t then has 5 or more
LEAST_PART = 1e-12  # of a variance, below which it is rounding
SINGULAR = 1e-12  # relative: where totals of clusters cannot vary, nothing is known of what their rows share
LEAST_SHARE = 0.02  # of a cluster mean's variance under independence that negative sharing must leave


@dataclass(frozen=True)
class Noise:
    """The noise of a fit, in the residual's own unit (log loss, or loss for l2-raw); matrices are over the free
    parameters.

    variance_row, variance_cluster   the latter is 0 where every row is its own cluster, and may be below 0
    plain                      covariance if rows were independent
    covariance                 with the clusters
    steepness                  2 (F - F_min) times this is chi-squared with 1 degree of freedom if rows were independent
    """

    variance_row: float
    variance_cluster: float
    plain: Array
    covariance: Array
    steepness: float
    rows: int
    split: _Split | _ByArm | None
    uneven: Array | float = 1.0  # variance of each row over what the fit's weights take it for; 1 on average
    of_rows: Array | None = None  # covariance by the rows alone, where a prior is a part of `covariance`

    def variance(self, contrast: Array) -> float:
        """The variance of a linear combination of the free parameters. If pairs cancel to the last digit, the rest is
        rounding: so the result is at least LEAST_PART of the variance for independent rows."""
        least = max(LEAST_PART * float(contrast @ self.plain @ contrast), 1e-300)
        return max(float(contrast @ self.covariance @ contrast), least)

    def dof(self, contrast: Array) -> float:
        """Behind the variance of a linear combination of the free parameters; at least 1."""
        most = float(max(self.rows - len(self.plain), 1))
        found = most if self.split is None else float(np.clip(self.split.satterthwaite(contrast), 1.0, most))
        if self.of_rows is not None:  # the error of a prior is known: the less of the variance is of the rows, the more
            found *= (float(contrast @ self.of_rows @ contrast) / self.variance(contrast)) ** 2
        return found

    def over_all(self, is_free: Array) -> Noise:
        """The same over all parameters: those that are fixed do not vary."""
        if is_free.all():
            return self
        place = np.eye(len(is_free))[:, is_free]
        split = None if self.split is None else replace(self.split, inverse=place @ self.split.inverse)
        plain, covariance = (place @ matrix @ place.T for matrix in (self.plain, self.covariance))
        return replace(self, plain=plain, covariance=covariance, split=split)


def measure(point: Point, data: Sample) -> Noise:
    """The noise around a fitted point. Never raises: a singular design gives infinite variances."""
    found = _measure(point, data)
    prior, free = point.problem.prior, point.is_free
    if prior is None:
        return found
    known = np.flatnonzero(prior.precision[free] > 0)
    columns = found.covariance[:, known]
    between = columns[known] + np.diag(prior.stderr[free][known] ** 2)
    covariance = found.covariance - columns @ np.linalg.solve(between, columns.T)
    widen = np.sqrt(np.diag(found.covariance) / np.maximum(np.diag(found.plain), 1e-300))
    plain = covariance / np.outer(widen, widen)
    return replace(found, plain=plain, covariance=covariance, of_rows=found.covariance)


def _measure(point: Point, data: Sample) -> Noise:
    free = point.is_free
    n, p = data.n, int(free.sum())
    slopes = derivatives.slopes(point.problem, point.parameters)[:, free]
    pseudo = pseudo_values(point, point.residuals)
    inside = _share_inside(point)
    least = LEAST_VARIANCE * (1.0 if point.problem.is_log else point.problem.typical**2)
    variance = max(float((pseudo**2).sum()) / max(_informative(point, data) - p, 1), least)
    unit = point.problem.units()[free]  # so that losses of 1e-10 leave the slopes of one order
    basis, mixing = np.linalg.qr(slopes * unit)  # the slopes are nearly collinear; an orthonormal basis of them is not
    inverse = unit[:, None] * np.linalg.pinv(mixing, rcond=1e-14)
    plain = variance * inverse @ inverse.T
    steepness = point.problem.scale**2 / (inside * variance)
    if data.clusters == n:
        arms = _by_arm(point, basis, inverse, pseudo * inside, data.x.logs.get(ARM), least)
        if arms is not None:
            return Noise(variance, 0.0, plain, arms.covariance, steepness, n, arms)
        if isinstance(data.expected_variance, float):
            return Noise(variance, 0.0, plain, plain, steepness, n, None)
        uneven = data.expected_variance / np.square(point.problem.relative)
        uneven = uneven / uneven.mean()
        covariance = variance * inverse @ (basis.T * uneven) @ basis @ inverse.T
        return Noise(variance, 0.0, plain, covariance, steepness, n, None, uneven)
    split = _split(basis, inverse, pseudo, data.cluster, least)
    inner = split.row * np.eye(p) + split.shared * split.sums.T @ split.sums
    return Noise(split.row, split.shared, plain, inverse @ inner @ inverse.T, steepness, n, split)


def _informative(point: Point, data: Sample) -> float:
    """How many rows say something of the noise. A share whose law is nearer to 0 or 1 than `Response.noise` takes it
    scatters less than its weight says: such a row counts by its part of that variance."""
    if not data.response.is_share:
        return float(data.n)
    fitted = np.clip(point.fitted, 0.0, 1.0)
    return float((fitted * (1 - fitted) / np.maximum(np.square(data.response.noise(fitted)), 1e-300)).clip(max=1).sum())


def pseudo_values(point: Point, residuals: Array) -> Array:
    """Residuals of the point's problem, at it or elsewhere, clipped as Huber's function does and rescaled so that their
    least squares move the parameters as the robust fit does."""
    z = residuals / point.problem.scale
    if point.problem.is_squares:
        return np.asarray(point.problem.scale * z)
    n, p, inside = len(residuals), int(point.is_free.sum()), _share_inside(point)
    inflation = 1 + p / n * (1 - inside) / inside
    return np.asarray(point.problem.scale * np.clip(z, -1, 1) * inflation / inside)


def _share_inside(point: Point, rows: Array | slice = slice(None)) -> float:
    """The share of the residuals that Huber's function does not clip."""
    if point.problem.is_squares:
        return 1.0
    z = np.abs(point.residuals[rows] / point.problem.scale)
    return max(float((z <= 1).mean()), 1 / len(z))


@dataclass(frozen=True)
class _Split:
    """The two variances, and what their own uncertainty is made of.

    sums       per cluster, the basis summed over its rows: shape (clusters, parameters)
    inverse    from the basis back to the parameters
    expected   2 x 2: expectations of the two sums of squares, per unit of each variance
    spread     2 x 2: covariance of the two sums of squares, at the estimates
    """

    row: float
    shared: float
    sums: Array
    inverse: Array
    expected: Array
    spread: Array

    def satterthwaite(self, contrast: Array) -> float:
        """Degrees of freedom: 2 v^2 / var(v) for the estimated variance v of a contrast of the parameters."""
        lever = self.inverse.T @ contrast
        parts = np.array([lever @ lever, ((self.sums @ lever) ** 2).sum()])
        variance = max(float(parts @ [self.row, self.shared]), 0.0)
        turned = np.linalg.pinv(self.expected.T, rcond=SINGULAR) @ parts
        return 2 * variance**2 / max(float(turned @ self.spread @ turned), 1e-300)


@dataclass(frozen=True)
class _ByArm:
    """For a fit of several arms, whose noise may differ: the variance and degrees of freedom of each arm's residuals.

    spans   per arm, the basis over its rows times itself: shape (arms, parameters, parameters)
    """

    variances: Array
    dofs: Array
    spans: Array
    inverse: Array

    @property
    def covariance(self) -> Array:
        return np.asarray(self.inverse @ np.einsum("a,aij->ij", self.variances, self.spans) @ self.inverse.T)

    def satterthwaite(self, contrast: Array) -> float:
        """As for two samples of unequal variance (Welch 1947)."""
        lever = self.inverse.T @ contrast
        parts = self.variances * np.einsum("i,aij,j->a", lever, self.spans, lever)
        return float(parts.sum()) ** 2 / max(float((parts**2 / self.dofs).sum()), 1e-300)


def _by_arm(
    point: Point, basis: Array, inverse: Array, clipped: Array, arm: Array | None, least: float
) -> _ByArm | None:
    """None for one arm, and where an arm has so few rows that its own variance would cost more than it mends.

    clipped   pseudo-values before they are divided by the share of rows that are not clipped: each arm has its own
    """
    if arm is None:
        return None
    rows = [arm == code for code in np.unique(arm)]
    spans = np.array([basis[own].T @ basis[own] for own in rows])
    dofs = np.array([own.sum() - np.trace(span) for own, span in zip(rows, spans, strict=True)])
    if len(rows) < 2 or dofs.min() < LEAST_DOF:
        return None
    squares = np.array([float((clipped[own] ** 2).sum()) / _share_inside(point, own) ** 2 for own in rows])
    return _ByArm(np.maximum(squares / dofs, least), dofs, spans, inverse)


def totals(columns: Array, cluster: Array) -> Array:
    """Sums over the rows of each cluster, shape (clusters, columns); there may be no column: a law may have nothing
    free where all its parameters lie at bounds."""
    sums = [np.bincount(cluster, column) for column in columns.T]
    return np.array(sums).reshape(columns.shape[1], int(cluster.max()) + 1).T


def _split(basis: Array, inverse: Array, residual: Array, cluster: Array, least: float) -> _Split:
    n, p = basis.shape
    sizes = np.bincount(cluster).astype(float)
    sums = totals(basis, cluster)
    # Z' M Z, with Z the clusters' indicators and M the residuals' projector: what residual totals can vary by
    between = np.diag(sizes) - sums @ sums.T
    first, second, third, fourth = (float(np.trace(np.linalg.matrix_power(between, k))) for k in (1, 2, 3, 4))
    expected = np.array([[n - p, first], [first, second]])
    squares = np.array([residual @ residual, (np.bincount(cluster, residual) ** 2).sum()])
    row, shared = squares[0] / max(n - p, 1), 0.0
    if n > len(sizes):
        row, shared = np.linalg.pinv(expected, rcond=SINGULAR) @ squares
    row = max(float(row), least)
    shared = max(float(shared), -(1 - LEAST_SHARE) * row / float(sizes.max()))
    a, b, c = row**2, 2 * row * shared, shared**2
    mixed = a * first + b * second + c * third
    spread = 2 * np.array([[a * (n - p) + b * first + c * second, mixed], [mixed, a * second + b * third + c * fourth]])
    return _Split(row, shared, sums, inverse, expected, spread)
