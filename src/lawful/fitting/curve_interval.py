"""The interval of a fitted curve at one point: widened percentiles of draws, or t on the response's own scale."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from lawful.fitting import derivatives
from lawful.fitting.fitted import FittedLaw
from lawful.fitting.problem import Problem
from lawful.fitting.quantiles import LEVEL, t_quantile
from lawful.fitting.uncertainty import BOOTSTRAP, percentiles, widening
from lawful.laws import Array, Axes
from lawful.response import EDGE, Response


@np.errstate(over="ignore")  # runs that determine nothing: the upper end is infinite
def mean_interval(fit: FittedLaw, at: Mapping[str, float], level: float = LEVEL) -> tuple[float, float]:
    """The interval of the curve: widened percentiles of the draws if the fit's own intervals are percentiles, else by
    t. It is computed on the log of a loss, on the logit of an accuracy between its limits, or on another response
    itself."""
    response, value = fit.data.response, float(fit.loss(fit.values, at)[0])
    if fit.interval_method == BOOTSTRAP:
        widen, drawn = widening(fit.dof, level), fit.loss(fit.drawn, at)[:, 0]
        if response.is_log:
            return percentiles(drawn, value, widen, level)
        if response.is_share:
            share = percentiles(response.share(drawn), float(response.share(value)), widen, level, is_share=True)
            low, high = map(float, response.of_share(share))
            return low, high
        low, high = map(float, np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2]))
        return value + (low - value) * widen, value + (high - value) * widen
    reach = t_quantile(0.5 + level / 2, fit.dof) * mean_stderr_log(fit, at)
    if response.is_log:
        return _above_floor(fit, at, level, value, float(value * np.exp(-reach))), float(value * np.exp(reach))
    if response.is_share:
        return _about_share(response, value, reach)
    return value - reach, value + reach


def _above_floor(fit: FittedLaw, at: Mapping[str, float], level: float, value: float, low: float) -> float:
    """The lower end, where the runs do not say whether there is a floor: no floor lies below 0, so no end lies below
    that of the same law without one. Only where a floor raises the law, as it does outside the data."""
    if (least := fit.floorless) is None:
        return low
    mean, error = least.log_loss(at)
    if mean > math.log(value):
        return low
    return max(low, math.exp(mean - t_quantile(0.5 + level / 2, least.dof) * error))


def _about_share(response: Response, value: float, reach: float) -> tuple[float, float]:
    """A reach of the share itself, on the scale of its logit. A law beyond an end has no logit: its interval is cut off
    there."""
    share = float(response.share(value))
    if not 2 * EDGE < share < 1 - 2 * EDGE:
        low, high = map(float, response.inside([value - reach, value + reach]))
        return low, high
    steps = min(reach / ((response.high - response.low) * share * (1 - share)), 700.0)
    odds = share / (1 - share)
    low, high = map(
        float, response.of_share([1 / (1 + math.exp(steps) / odds), 1 / (1 + 1 / (math.exp(steps) * odds))])
    )
    return low, high


def mean_stderr_log(fit: FittedLaw, at: Mapping[str, float]) -> float:
    """The curve's standard error, of the log for a loss, of the value for another response."""
    slope = log_slopes(fit, at)
    return float(np.sqrt(max(slope @ np.array(fit.covariance) @ slope, 0.0)))


def log_slopes(fit: FittedLaw, at: Mapping[str, float]) -> Array:
    """d log L / d parameter at one point, for the free parameters; of another response than a loss dL / d parameter."""
    law, response = fit.model, fit.data.response
    x = Axes.of({axis: [value] for axis, value in at.items()}, fit.data.pivot)
    open_ended = np.full(len(law.parameters), np.inf)
    problem = Problem(law, x, np.ones(1), response.is_log, 1.0, True, -open_ended, open_ended, response=response)
    slopes = derivatives.slopes(problem, np.array([fit.values[name] for name in law.parameters]))[0]
    free: Array = slopes[[law.parameters.index(name) for name in fit.free]]
    return free
