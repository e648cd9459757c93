"""What a fit says about runs that were not made: a value, its interval, and how far outside the data it lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lawful.errors import DeclarationError
from lawful.fitting import solver
from lawful.fitting.quantiles import t_quantile
from lawful.fitting.uncertainty import BOOTSTRAP, percentiles, widening
from lawful.laws import Array, Axes

if TYPE_CHECKING:
    from lawful.fitting.result import Caution, Fit, Interval, Prediction

FAR, VERY_FAR = 10.0, 100.0  # factors beyond the data at which a warning is given, and a loud one


def predict_one(fit: Fit, at: Mapping[str, float], interval: Interval, level: float) -> Prediction:
    from lawful.fitting.result import Prediction

    at = checked(fit, at)
    value = float(fit.loss(fit.values, at)[0])
    among, spread = fit.doubt.alternatives, run_spread(fit)
    if among is None:
        low, high = mean_interval(fit, at, level)
    else:
        value, low, high = map(float, among.interval(at, level, fit.data["domain"]))
        spread = max(fit.goodness.sigma_run or 0.0, among.run_spread)
    if interval == "new_run":
        reach = t_quantile(0.5 + level / 2, fit.dof) * spread
        low = value * np.exp(-np.hypot(np.log(value / low), reach))
        high = value * np.exp(np.hypot(np.log(high / value), reach))
    elif interval != "mean":
        raise DeclarationError(f"interval: expected 'mean' or 'new_run', got {interval!r}.")
    factor = extrapolation(fit, at)
    laws = {} if among is None else dict(zip((law.name for law in among.laws), among.weights, strict=True))
    warnings = (*about_forecast(fit), *_cautions(factor))
    return Prediction(value, float(low), float(high), level, interval, dict(at), factor, warnings, laws)


def about_forecast(fit: Fit) -> tuple[Caution, ...]:
    """What is in doubt about the form of a law goes with every forecast of it, with the laws that it averages over."""
    from lawful.fitting.cautions import about_form

    among = fit.doubt.alternatives
    words = "" if among is None else f" This forecast averages over {among.listed}."
    return tuple(replace(caution, sentence=caution.sentence + words) for caution in about_form(fit.doubt))


def checked(fit: Fit, at: Mapping[str, float]) -> dict[str, float]:
    """The law's own axes, positive; FLOPs stand for the axis that params or tokens leave open, through C = 6 N D."""
    inputs = fit.model.inputs
    at = dict(at)
    if "flops" in at and "flops" not in inputs and set(inputs) == {"params", "tokens"} and len(at) == 2:
        known = "params" if "params" in at else "tokens"
        at["tokens" if known == "params" else "params"] = at.pop("flops") / 6 / at[known]
    if set(at) != set(inputs):
        raise DeclarationError(f"predict: {fit.law} reads {', '.join(inputs)}; got {', '.join(at) or 'nothing'}.")
    for axis, value in at.items():
        if not 0 < value < np.inf:
            raise DeclarationError(f"predict: expected {axis} to be a positive count, got {value}.")
    return at


def mean_interval(fit: Fit, at: Mapping[str, float], level: float = 0.95) -> tuple[float, float]:
    """Of the curve: widened percentiles of the draws where the fit's intervals are, else t on the log of the loss."""
    value = float(fit.loss(fit.values, at)[0])
    if fit.interval_method == BOOTSTRAP:
        widen = widening(fit.dof, fit.goodness.n, len(fit.free), level)
        return percentiles(fit.loss(fit.drawn, at)[:, 0], value, widen, level)
    reach = t_quantile(0.5 + level / 2, fit.dof) * mean_stderr_log(fit, at)
    return float(value * np.exp(-reach)), float(value * np.exp(reach))


def mean_stderr_log(fit: Fit, at: Mapping[str, float]) -> float:
    slope = log_slopes(fit, at)
    return float(np.sqrt(max(slope @ np.array(fit.covariance) @ slope, 0.0)))


def log_slopes(fit: Fit, at: Mapping[str, float]) -> Array:
    """d log L / d parameter at one point, for the free parameters."""
    law = fit.model
    x = Axes.of({axis: [value] for axis, value in at.items()}, fit.data["pivot"])
    open_ended = np.full(len(law.parameters), np.inf)
    problem = solver.Problem(law, x, np.ones(1), True, 1.0, True, -open_ended, open_ended)
    slopes = solver.slopes(problem, np.array([fit.values[name] for name in law.parameters]))[0]
    free: Array = slopes[[law.parameters.index(name) for name in fit.free]]
    return free


def run_spread(fit: Fit) -> float:
    """Of one run's log loss about the curve: between replicates, or about the fit where that is larger."""
    rows, free = fit.goodness.n, len(fit.free)
    return float(max(fit.goodness.sigma_run or 0.0, fit.goodness.rmse_log * np.sqrt(rows / max(rows - free, 1))))


def extrapolation(fit: Fit, at: Mapping[str, float]) -> float:
    """The largest factor by which an axis lies outside the fitted range; 1 inside."""
    factors = [1.0]
    for axis, value in at.items():
        low, high = fit.data["domain"][axis]
        factors += [value / high, low / value]
    return float(max(factors))


def _cautions(factor: float) -> tuple[Caution, ...]:
    from lawful.fitting.result import Caution

    if factor > VERY_FAR:
        return (
            Caution(
                "far_extrapolation",
                "severe",
                f"This lies {factor:.3g} times outside the data: no interval here covers a change of regime.",
            ),
        )
    if factor > FAR:
        return (Caution("extrapolation", "warning", f"This lies {factor:.3g} times outside the data."),)
    return ()
