"""What the residuals say about the noise: its spread between rows and between clusters, and what that does to a fit.

The fit is linearised at its point. Residuals become pseudo-values (Huber's clipped ones, rescaled), whose variance is
split by restricted maximum likelihood into a part of each row and a part shared by a cluster's rows. From it follow the
covariance of the parameters and, by Satterthwaite's formula, the degrees of freedom behind each variance: a parameter
that only differences between clusters determine gets few, one determined within clusters gets many.
Sources: Huber 1981 section 7.6 for the correction at few rows per parameter; Giesbrecht & Burns 1985 for the last step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lawful.fitting import solver
from lawful.fitting.data import Sample
from lawful.laws import Array

if TYPE_CHECKING:
    from lawful.fitting.estimate import Point

RATIOS = np.concatenate([[0.0], np.geomspace(1e-3, 1e3, 61)])  # cluster over row variance, searched on this grid
LEAST_VARIANCE = 1e-24  # of data with no noise at all, so that nothing is divided by zero


@dataclass(frozen=True)
class Noise:
    """Of the residual's own unit (log loss, or loss for l2-raw); matrices are over the free parameters.

    sigma_row, sigma_cluster   standard deviations; sigma_cluster is 0 where every row is its own cluster
    plain                      covariance if rows were independent
    covariance                 with the clusters
    steepness                  2 (F - F_min) times this is chi-squared with 1 degree of freedom if rows were independent
    """

    sigma_row: float
    sigma_cluster: float
    plain: Array
    covariance: Array
    steepness: float
    rows: int
    design: _Design | None

    def dof(self, contrast: Array) -> float:
        """Behind the variance of a linear combination of the free parameters; at least 1."""
        free = len(self.plain)
        if self.design is None or self.sigma_cluster == 0:
            return float(max(self.rows - free, 1))
        return self.design.satterthwaite(contrast, self.sigma_row**2, self.sigma_cluster**2)


def measure(point: Point, data: Sample) -> Noise:
    """The noise around a fitted point. Errors never: a singular design gives infinite variances."""
    free = point.is_free
    n, p = data.n, int(free.sum())
    slopes = solver.slopes(point.problem, point.parameters)[:, free]
    z = point.residuals / point.problem.scale
    if point.problem.is_squares:
        pull, inside = z, 1.0
    else:
        pull = np.clip(z, -1, 1)
        inside = max(float((np.abs(z) <= 1).mean()), 1 / n)
    inflation = 1 + p / n * (1 - inside) / inside
    pseudo = point.problem.scale * pull * inflation / inside
    variance = max(float((pseudo**2).sum()) / max(n - p, 1), LEAST_VARIANCE)
    bread = np.linalg.pinv(slopes.T @ slopes, rcond=1e-14, hermitian=True)
    steepness = point.problem.scale**2 / (inside * variance)
    if data.clusters == n:
        return Noise(variance**0.5, 0.0, variance * bread, variance * bread, steepness, n, None)
    design = _Design.of(slopes, pseudo, data.cluster)
    row, cluster = design.reml()
    shared = design.sums.T @ design.sums
    covariance = bread @ (row * slopes.T @ slopes + cluster * shared) @ bread
    return Noise(row**0.5, cluster**0.5, variance * bread, covariance, steepness, n, design)


@dataclass(frozen=True)
class _Design:
    """Sums over clusters: all that a compound-symmetric covariance needs. X is slopes, r pseudo-residuals."""

    cross: Array  # X'X
    turned: Array  # X'r
    squares: float  # r'r
    sums: Array  # per cluster, 1'X: shape (clusters, parameters)
    totals: Array  # per cluster, 1'r
    sizes: Array

    @classmethod
    def of(cls, slopes: Array, residual: Array, cluster: Array) -> _Design:
        sizes = np.bincount(cluster).astype(float)
        sums = np.stack([np.bincount(cluster, column) for column in slopes.T], axis=1)
        return cls(
            slopes.T @ slopes,
            slopes.T @ residual,
            float(residual @ residual),
            sums,
            np.bincount(cluster, residual),
            sizes,
        )

    def _information(self, ratio: float, power: int = 1) -> Array:
        """X' V^-power X for V = I + ratio 11' within clusters."""
        lost = (1 - (1 + ratio * self.sizes) ** -power) / self.sizes
        return np.asarray(self.cross - (self.sums * lost[:, None]).T @ self.sums)

    def reml(self) -> tuple[float, float]:
        """Variances of a row and of a cluster that maximise the restricted likelihood."""
        n, p = int(self.sizes.sum()), len(self.cross)
        dof = max(n - p, 1)
        best = (-np.inf, 0.0, 0.0)
        for ratio in RATIOS:
            lost = ratio / (1 + ratio * self.sizes)
            information = self._information(ratio)
            turned = self.turned - self.sums.T @ (lost * self.totals)
            squares = self.squares - float(lost @ self.totals**2)
            rss = squares - float(turned @ np.linalg.pinv(information, rcond=1e-14, hermitian=True) @ turned)
            variance = max(rss / dof, LEAST_VARIANCE)
            sign, logdet = np.linalg.slogdet(information)
            likelihood = -0.5 * (dof * np.log(variance) + np.log1p(ratio * self.sizes).sum() + logdet)
            if sign > 0 and likelihood > best[0]:
                best = (likelihood, variance, ratio * variance)
        return best[1], best[2]

    def satterthwaite(self, contrast: Array, row: float, cluster: float) -> float:
        ratio = cluster / row
        n, p = int(self.sizes.sum()), len(self.cross)
        bread = np.linalg.pinv(self.cross, rcond=1e-14, hermitian=True)
        lever = bread @ contrast
        slope = np.array([lever @ self.cross @ lever, float(((self.sums @ lever) ** 2).sum())])
        variance = float(slope @ [row, cluster])
        inverse = np.linalg.pinv(self._information(ratio), rcond=1e-14, hermitian=True)
        second = self._information(ratio, 2)
        shrink = 1 / (1 + ratio * self.sizes)
        u = (self.sums * shrink[:, None]).T
        u2 = (self.sums * shrink[:, None] ** 2).T
        # traces of P V_k P V_l with P the residual projector, in units of the row variance
        rows = (
            n
            - len(self.sizes)
            + float((shrink**2).sum())
            - 2 * np.trace(inverse @ self._information(ratio, 3))
            + np.trace(inverse @ second @ inverse @ second)
        )
        mixed = (
            float((self.sizes * shrink**2).sum())
            - 2 * np.trace(u2.T @ inverse @ u)
            + np.trace(u.T @ inverse @ second @ inverse @ u)
        )
        between = np.diag(self.sizes * shrink) - u.T @ inverse @ u
        information = 0.5 / row**2 * np.array([[rows, mixed], [mixed, float((between**2).sum())]])
        spread = float(slope @ np.linalg.pinv(information, hermitian=True) @ slope)
        return float(np.clip(2 * variance**2 / max(spread, 1e-300), 1.0, max(n - p, 1)))
