"""The lowest point of a sweep over settings: a quadratic of log loss in their logarithms, on the runs around it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from lawful.fitting.quantiles import t_quantile
from lawful.laws import Array

WINDOW = 0.45  # of the range of each setting that the window spans, so that of k settings it holds .45^k of the runs
SPARE = 2  # runs of a window beyond the quadratic's coefficients
WIDENING = 1.5  # of a window on which the surface has no lowest point
ROUNDS = 4  # of choosing the window around the lowest point found on the one before
HUBER = 1.345  # residuals beyond so many robust sigmas count less: a run that diverged a little
PRIOR_DOF = 4.0  # degrees of freedom with which the noise of all cells counts in that of one
SINGULAR = 1e-6  # of the largest curvature, below which a direction counts as flat


@dataclass(frozen=True)
class Surface:
    """A cell's surface around its lowest point, in natural logarithms.

    at           of the settings, shape (settings,)
    level        log loss there
    curvature    second derivatives of log loss, shape (settings, settings)
    unscaled     covariance of `at` per variance of a run's log loss
    steepness    the least curvature over its standard error, that per standard deviation of a run's log loss
    squares      of the residuals, weighed; left: their degrees of freedom
    runs         in the window
    """

    at: Array
    level: float
    curvature: Array
    unscaled: Array
    steepness: float
    squares: float
    left: float
    runs: int

    def noise(self, shared: float) -> float:
        """The variance of a run's log loss; shared: over all cells."""
        return (self.squares + PRIOR_DOF * shared) / (self.left + PRIOR_DOF)

    def is_flat(self, shared: float) -> bool:
        """Whether the runs do not show, at 5 %, that the loss rises on both sides along every direction."""
        return bool(self.steepness < t_quantile(0.975, self.left + PRIOR_DOF) * np.sqrt(self.noise(shared)))

    def reach(self, shared: float) -> Array:
        """Half of the 95 % interval of `at`."""
        t = t_quantile(0.975, self.left + PRIOR_DOF)
        return np.asarray(t * np.sqrt(self.noise(shared) * np.diag(self.unscaled)))


def coefficients(settings: int) -> int:
    """The number of coefficients of a quadratic in so many settings."""
    return 1 + settings + settings * (settings + 1) // 2


def least_runs(settings: int) -> int:
    return coefficients(settings) + SPARE


def surface(x: Array, log_loss: Array, size: float = 1.0) -> Surface | None:
    """The surface around the lowest point; None if the runs show no such point.

    x      logarithms of the settings, shape (runs, settings)
    size   of the window, in units of the usual
    """
    count, settings = x.shape
    window = max(least_runs(settings), round(size * max(least_runs(settings), count * WINDOW**settings)))
    while True:
        found = _around(x, log_loss, min(window, count))
        if found is not None or window >= count:
            return found
        window = int(np.ceil(WIDENING * window))


def _around(x: Array, log_loss: Array, window: int) -> Surface | None:
    """With so many runs: first those with the lowest losses, then the nearest to the lowest point, each direction
    measured by how much the loss rises along it, so that a long valley is followed."""
    low, high = x.min(axis=0), x.max(axis=0)
    rows = np.argsort(log_loss, kind="stable")[:window]
    found = None
    for _ in range(ROUNDS):
        found = _quadratic(x[rows], log_loss[rows])
        if found is None:
            return None
        away = x - np.clip(found.at, low, high)
        nearest = np.argsort(np.einsum("ij,jk,ik->i", away, found.curvature, away), kind="stable")[:window]
        if set(nearest) == set(rows):
            break
        rows = nearest
    return found


def _quadratic(x: Array, log_loss: Array) -> Surface | None:
    """A quadratic, fitted by weighted least squares with Huber's weights; None if it has no lowest point."""
    settings = x.shape[1]
    centre, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-12)
    z = (x - centre) / scale
    pairs = [(i, j) for i in range(settings) for j in range(i, settings)]
    squares = [z[:, i] * z[:, j] / (2 if i == j else 1) for i, j in pairs]
    design = np.stack([np.ones(len(z)), *z.T, *squares], axis=1)
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return None
    values, weight, rest = _robust(design, log_loss)
    left = len(z) - design.shape[1]
    curvature = np.zeros((settings, settings))
    for (i, j), value in zip(pairs, values[1 + settings :], strict=True):
        curvature[i, j] = curvature[j, i] = value
    bends, directions = np.linalg.eigh(curvature)
    if bends[0] <= SINGULAR * abs(bends[-1]):
        return None
    at = -np.linalg.solve(curvature, values[1 : 1 + settings])
    pull = np.zeros((settings, len(values)))  # d slope at the lowest point / d coefficient
    pull[:, 1 : 1 + settings] = np.eye(settings)
    for place, (i, j) in enumerate(pairs, start=1 + settings):
        pull[i, place] += at[j]
        if i != j:
            pull[j, place] += at[i]
    root = np.sqrt(weight)
    spread = np.linalg.pinv((design * root[:, None]).T @ (design * root[:, None]))
    moved = np.linalg.solve(curvature, pull)
    unscaled = moved @ spread @ moved.T
    least = np.zeros(len(values))
    for place, (i, j) in enumerate(pairs, start=1 + settings):
        least[place] = directions[i, 0] * directions[j, 0] * (1 if i == j else 2)
    return Surface(
        at=centre + scale * at,
        level=float(values[0] + values[1 : 1 + settings] @ at / 2),
        curvature=curvature / np.outer(scale, scale),
        unscaled=unscaled * np.outer(scale, scale),
        steepness=float(bends[0] / max(float(least @ spread @ least), 1e-300) ** 0.5),
        squares=float(weight @ rest**2),
        left=float(left),
        runs=len(z),
    )


def _robust(design: Array, log_loss: Array) -> tuple[Array, Array, Array]:
    """Coefficients by least squares with Huber's weights; the weights; what is left of each row."""
    weight, left = np.ones(len(design)), len(design) - design.shape[1]
    for _ in range(20):
        root = np.sqrt(weight)
        values = np.linalg.lstsq(design * root[:, None], log_loss * root, rcond=None)[0]
        rest = log_loss - design @ values
        sigma = 1.4826 * float(np.median(np.abs(rest))) * np.sqrt(len(design) / left)
        before, weight = weight, np.minimum(1.0, HUBER * max(sigma, 1e-12) / np.maximum(np.abs(rest), 1e-300))
        if np.abs(weight - before).max() < 1e-4:
            break
    return values, weight, rest


def cubic(x: Array, log_loss: Array, near: Surface) -> Surface | None:
    """The lowest point of a cubic on all runs, next to that of a quadratic: what skew moves it by. None where the runs
    are too few, or the cubic has no lowest point there."""
    settings = x.shape[1]
    powers = np.array([p for p in itertools.product(range(4), repeat=settings) if sum(p) <= 3])
    if len(x) <= len(powers):
        return None
    scale = np.maximum(x.std(axis=0), 1e-12)
    z = (x - near.at) / scale

    def monomials(points: Array, lower: Array) -> Array:
        """Derivatives of all of them; lower: how often by each setting."""
        factor = np.prod([np.where(powers >= n, powers - n + 1, 0) ** (lower >= n) for n in (1, 2)], axis=0)
        raised = points[:, None, :] ** np.maximum(powers - lower, 0)
        return np.asarray((factor * raised).prod(axis=2))

    own = np.eye(settings, dtype=int)
    design = monomials(z, 0 * own[0])
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return None
    values, weight, rest = _robust(design, log_loss)
    at = np.zeros((1, settings))
    for _ in range(20):
        slopes = np.stack([monomials(at, one)[0] for one in own])
        bends = np.array([[float(monomials(at, one + other)[0] @ values) for other in own] for one in own])
        if np.linalg.eigvalsh(bends)[0] <= 0:
            return None
        step = np.clip(np.linalg.solve(bends, slopes @ values), -0.5, 0.5)
        at = at - step
        if np.abs(step).max() < 1e-9:
            break
    if not ((z.min(axis=0) <= at[0]) & (at[0] <= z.max(axis=0))).all():
        return None
    spread = np.linalg.pinv((design * weight[:, None]).T @ design)
    moved = np.linalg.solve(bends, slopes)
    return replace(
        near,
        at=near.at + scale * at[0],
        unscaled=(moved @ spread @ moved.T) * np.outer(scale, scale),
        squares=float(weight @ rest**2),
        left=float(len(x) - len(powers)),
    )
