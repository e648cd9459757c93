"""What a fit minimises: a law's residuals on rows, and their misfit.

The misfit is  F = sum_i w_i rho(r_i / scale)  with r the residual of log L (or of L) and rho the Huber function with a
threshold (1, or infinity for least squares). Dividing by the scale makes tolerances mean the same for every objective:
scipy's L-BFGS-B on an unscaled mean loss stops after two iterations far above the optimum and reports success.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

from lawful.laws import Array, Axes, Law
from lawful.response import LOG, Response


@dataclass(frozen=True)
class Prior:
    """What is known of parameters beside the rows: half the sum of precision (parameter - mean)^2 joins the misfit.

    mean        shape (parameters,), or (problems, parameters)
    stderr      of the mean, shape (parameters,); infinite where nothing is known
    precision   1 / stderr^2 in units of the misfit, shape (parameters,)
    """

    mean: Array
    stderr: Array
    precision: Array

    def take(self, rows: slice | Array) -> Prior:
        return self if self.mean.ndim == 1 else replace(self, mean=self.mean[rows])

    def redrawn(self, around: Array, draws: int, rng: np.random.Generator) -> Prior:
        """With a mean of each draw, off `around` by its own error."""
        off = rng.standard_normal((draws, len(self.stderr))) * np.where(self.precision > 0, self.stderr, 0.0)
        return replace(self, mean=around + off)

    def misfit(self, parameters: Array) -> Array:
        return np.asarray(0.5 * ((parameters - self.mean) ** 2 @ self.precision))


@dataclass(frozen=True)
class Problem:
    """What is minimised. Parameters stand in the law's order: coefficients, then shapes.

    loss        observed, shape (rows,), or (problems, rows) where each problem has losses of its own
    is_log      residuals are log L - log loss; else L - loss
    scale       of the residuals: Huber's delta, or sigma for squares
    relative    noise of each row in units of that at the pivot, shape (rows,); 1 where it is the same everywhere. Every
                residual and slope is divided by it
    is_squares  squares instead of Huber
    low, high   bounds, shape (parameters,), or (problems, parameters) where they differ; equal where fixed
    prior       what is known of parameters beside the rows
    response    of what the law is: by it is_log is chosen, save by objectives that say it themselves
    """

    law: Law
    x: Axes
    loss: Array
    is_log: bool
    scale: float
    is_squares: bool
    low: Array
    high: Array
    relative: Array | float = 1.0
    prior: Prior | None = None
    response: Response = LOG

    @functools.cached_property
    def typical(self) -> float:
        """The size of a loss; of a response that may be about 0, or below it, of its spread where that is larger."""
        if self.response.is_log:
            return float(np.median(self.loss))
        return max(float(np.median(np.abs(self.loss))), float(np.std(self.loss)), 1e-300)

    @functools.cached_property
    def target(self) -> Array:
        return np.asarray(np.log(self.loss) if self.is_log else self.loss)

    def take(self, rows: slice | Array) -> Problem:
        """The same for some of the problems, where each has bounds, losses or a prior of its own."""
        prior = None if self.prior is None else self.prior.take(rows)
        if self.low.ndim == 1 and self.loss.ndim == 1 and prior is self.prior:
            return self
        low, high, loss = (own[rows] if own.ndim == 2 else own for own in (self.low, self.high, self.loss))
        return replace(self, low=low, high=high, loss=loss, prior=prior)

    @property
    def scales(self) -> Array | float:
        return self.scale * self.relative

    @property
    def rows(self) -> int:
        return int(self.loss.shape[-1])

    def units(self) -> Array:
        """The unit of each parameter: the typical loss for a coefficient, 1 for a shape."""
        return np.repeat([self.typical, 1.0], [len(self.law.coefficients), len(self.law.shapes)])

    def levels(self, parameters: Array) -> Array:
        """The law's losses, (problems, rows), at parameters of shape (problems, parameters); or without problems."""
        return self.law.predict(dict(zip(self.law.parameters, parameters.T, strict=True)), self.x)

    def residuals(self, parameters: Array) -> Array:
        """Shape (problems, rows), in the residual's own unit, over the row's relative noise."""
        level = self.levels(parameters)
        away: Array = (np.log(np.maximum(level, 1e-300)) if self.is_log else level) - self.target
        return away if isinstance(self.relative, float) else away / self.relative

    def misfit(self, parameters: Array, weights: Array | None = None) -> Array:
        """The misfit of each problem at its own parameters, shape (problems,)."""
        rho = self._rho(parameters)
        known = 0.0 if self.prior is None else self.prior.misfit(parameters)
        return np.asarray((rho if weights is None else weights * rho).sum(-1) + known)

    def misfit_of_each(self, candidates: Array, weights: Array) -> Array:
        """The misfit of every problem at every candidate, shape (problems, candidates), as one matrix product."""
        found = np.asarray(weights @ self._rho(candidates).T)
        if self.prior is not None:
            each = replace(self.prior, mean=self.prior.mean[..., None, :])
            found = found + each.misfit(candidates)
        return found

    def _rho(self, parameters: Array) -> Array:
        z = np.abs(self.residuals(parameters)) / self.scale
        return np.asarray(0.5 * z**2 if self.is_squares else np.where(z <= 1, 0.5 * z**2, z - 0.5))
