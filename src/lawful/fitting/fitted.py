"""FittedLaw: a law, its parameters with their uncertainty, and whether its form is that of the runs. Immutable."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Self

import numpy as np

from lawful.fitting.error_bars import geometric_mean
from lawful.fitting.form import Doubt, floorless, of_fit, unsuspected
from lawful.fitting.records import FitRecord, Parameter, Residual
from lawful.fitting.sisters import Alternatives, Sister
from lawful.laws import Array, Axes, Law, Points, Values


@dataclass(frozen=True, kw_only=True)
class FittedLaw(FitRecord):
    """The record of a fit and its law.

    model         the law itself, in JSON its class and fields (laws.to_data); `law` and `formula` are texts for readers
    known_doubt   of a fit made in this process, its `doubt`; not stored
    """

    model: Law
    known_doubt: Doubt | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, fitted: FittedLaw) -> Self:
        """The same fit as this class."""
        return cls(**{one.name: getattr(fitted, one.name) for one in fields(FittedLaw)})

    @functools.cached_property
    def doubt(self) -> Doubt:
        """Whether the law's form is that of the runs; see lawful.fitting.form."""
        return self.known_doubt or of_fit(self, self.model)

    @functools.cached_property
    def alternatives(self) -> Alternatives | None:
        """The laws that a forecast averages over; None where it is the fitted law's own."""
        doubt = self.doubt
        is_decided = doubt.alternatives is not None or doubt.form.is_suspected or doubt.is_misfit
        if not self.data.response.is_log:  # another law then is as likely as this one
            return unsuspected(self, self.model, 1.0) if is_decided else unsuspected(self, self.model)
        return doubt.alternatives if is_decided else unsuspected(self, self.model)

    @functools.cached_property
    def floorless(self) -> Sister | None:
        """The same law with a floor of 0, where the runs allow that; see lawful.fitting.form."""
        return floorless(self, self.model)

    @property
    def domain(self) -> Mapping[str, Sequence[float]]:
        """Axis -> smallest and largest of the data."""
        return self.data.domain

    @functools.cached_property
    def joint_domain(self) -> Mapping[str, tuple[int, float, float]]:
        """What params and tokens make together -> the power of params in it, its smallest and largest of the data."""
        sizes, tokens = (np.array([row.axes[axis] for row in self.residuals]) for axis in ("params", "tokens"))
        found = {}
        for words, power in (("compute (6 N D)", 1), ("tokens per parameter", -1)):
            values = tokens * sizes**power
            found[words] = (power, float(values.min()), float(values.max()))
        return found

    @property
    def law(self) -> str:
        return self.model.spec

    @property
    def free(self) -> tuple[str, ...]:
        return tuple(name for name in self.model.parameters if self.params[name].role == "fitted")

    @property
    def derived(self) -> dict[str, Parameter]:
        return {name: parameter for name, parameter in self.params.items() if parameter.role == "derived"}

    @property
    def values(self) -> dict[str, float]:
        """The law's own parameters, fitted and fixed."""
        return {name: self.params[name].value for name in self.model.parameters}

    @property
    def drawn(self) -> dict[str, Array]:
        """The draws by parameter name, each of shape (draws,)."""
        table = np.array(self.draws, dtype=float).reshape(-1, len(self.model.parameters))
        return dict(zip(self.model.parameters, table.T, strict=True))

    @property
    def by_size(self) -> list[Residual]:
        """The rows from that with the smallest axes to that with the largest."""
        return sorted(self.residuals, key=lambda row: sum(math.log(value) for value in row.axes.values() if value > 0))

    # the names of statsmodels: in the units of the loss, in the order of the rows or of `free`

    @property
    def nobs(self) -> int:
        """How many rows were fitted. Rows of one cluster share noise: `data.clusters` counts what is independent."""
        return self.goodness.n

    @property
    def bse(self) -> dict[str, float]:
        """Standard errors of all parameters, by name. An interval is not symmetric: `conf_int` has it."""
        return {name: float(parameter.stderr) for name, parameter in self.params.items()}

    @property
    def fittedvalues(self) -> Array:
        """The law at each fitted row, shape (nobs,), in the unit of the loss."""
        return np.array([row.predicted for row in self.residuals], dtype=float)

    @property
    def resid(self) -> Array:
        """Observed less fitted, shape (nobs,), in the unit of the loss. What is minimised is `residual_log` of
        `to_frame("residuals")`."""
        return np.array([row.observed - row.predicted for row in self.residuals], dtype=float)

    @property
    def df_resid(self) -> int:
        """Rows less fitted parameters."""
        return self.nobs - len(self.free)

    def cov_params(self) -> Array:
        """The covariance of the fitted parameters, shape (k, k), in the order of `free`; robust to clusters."""
        return np.array(self.covariance, dtype=float)

    def column(self, axis: str) -> Array:
        """An input of the law at each fitted row, shape (nobs,)."""
        return np.array([row.axes[axis] for row in self.residuals], dtype=float)

    def loss(self, values: Values, at: Points) -> Array:
        """The law at many points (arrays by axis); with values of shape (draws,), shape (draws, points)."""
        return self.model.predict(values, Axes.of(at, self.data.pivot))


def run_spread(fit: FittedLaw, at: Mapping[str, float] | None = None) -> float:
    """The standard deviation of one run's log loss about the curve (of the response itself if it is no loss): that
    between replicates, or that about the fit if it is larger. If it changes with size, the value is the one at a point
    (default: the middle of the data); outside the data it is at least the one at their edge."""
    rows, free = fit.goodness.n, len(fit.free)
    typical = float(max(fit.goodness.sigma_run or 0.0, fit.goodness.rmse_log * np.sqrt(rows / max(rows - free, 1))))
    return typical if at is None else typical * relative_spread(fit, at)


def relative_spread(fit: FittedLaw, at: Mapping[str, float]) -> float:
    """The noise at a point in units of that in the middle of the data."""
    response = fit.data.response
    if response.is_share:
        own = response.noise(np.array([row.predicted for row in fit.residuals]))
        return float(response.noise(fit.loss(fit.values, at))[0]) / geometric_mean(own)
    log_relative = 0.0
    for axis, slope in fit.spread_slopes.items():
        low, high = fit.data.domain[axis]
        here = min(at[axis], high) if slope < 0 else max(at[axis], low)
        log_relative += slope * np.log(here / fit.data.pivot[axis])
    return float(np.exp(log_relative))
