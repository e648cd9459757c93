"""What a fit says about runs that were not made: a value, its interval, and how far outside the data it lies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from lawful.errors import DeclarationError
from lawful.fitting import solver
from lawful.fitting.cautions import about_form, how_chosen, rests_on
from lawful.fitting.error_bars import geometric_mean
from lawful.fitting.quantiles import LEVEL, t_quantile
from lawful.fitting.uncertainty import BOOTSTRAP, percentiles, says_nothing, widening
from lawful.laws import Array, Axes
from lawful.response import EDGE, Response

if TYPE_CHECKING:
    from lawful.fitting.records import Interval, Prediction
    from lawful.fitting.result import Fit
    from lawful.schema import Warning

OUTSIDE, FAR_OUTSIDE = 10.0, 100.0  # factors beyond the data at which a warning is given, and a loud one
BY_DIGITS = 1 + 1e-9  # ten times the largest size is not beyond ten times


def predict_one(fit: Fit, at: Mapping[str, float], interval: Interval, level: float) -> Prediction:
    from lawful.fitting.records import Prediction

    at = checked(fit, at)
    response = fit.data.response
    value = float(response.inside(fit.loss(fit.values, at)[0]))
    among, spread = fit.alternatives, run_spread(fit, at)
    if among is None:
        low, high = mean_interval(fit, at, level)
    else:
        value, low, high = map(float, among.interval(at, level, fit.data.domain))
        spread = max(fit.goodness.sigma_run or 0.0, among.run_spread) * _relative_spread(fit, at)
    if interval == "new_run":
        low, high = _of_one_run(response, value, low, high, t_quantile(0.5 + level / 2, fit.dof) * spread)
    elif interval != "mean":
        raise DeclarationError(f"interval: expected 'mean' or 'new_run', got {interval!r}.")
    factor = extrapolation(fit, at)
    laws = {} if among is None else dict(zip((law.name for law in among.laws), among.weights, strict=True))
    few = _about_few(fit) if factor > BY_DIGITS and not about_form(fit.doubt) else ()
    if says_nothing(low, high, response) and not response.is_share:
        low, high = 0.0 if response.is_log else -np.inf, np.inf
    form = () if among is not None else [caution for caution in about_form(fit.doubt) if caution.severity != "severe"]
    warnings = (*form, *rests_on(fit, among), *few, *too_far(fit, at, "This lies"))
    where = {axis: fit.model.cell(axis, one) for axis, one in at.items()}
    return Prediction(value, float(low), float(high), level, interval, where, factor, warnings, laws)


def _of_one_run(response: Response, value: float, low: float, high: float, reach: float) -> tuple[float, float]:
    """The curve's interval with one run's spread beside it. A run may lie below the chance level, which a law may not:
    its interval ends at 0 and 1."""
    if response.is_log:
        down, up = np.hypot(np.log([value / low, high / value]), reach)
        return value * float(np.exp(-down)), value * float(np.exp(up))
    down, up = np.hypot([value - low, high - value], reach)
    ends = (value - float(down), value + float(up))
    return (max(ends[0], 0.0), min(ends[1], 1.0)) if response.is_share else ends


def _about_few(fit: Fit) -> tuple[Warning, ...]:
    """Of a forecast beyond the data, where no law but the fitted one could have a part in it."""
    from lawful.fitting.form import cannot_tell
    from lawful.schema import Warning

    if fit.alternatives is not None or not cannot_tell(fit):
        return ()
    sentence = (
        f"{fit.goodness.n} runs are too few to tell {fit.law} from a law with one more parameter: this interval "
        "takes the law's form for granted."
    )
    return (Warning("form_uncertain", "note", sentence),)


def checked(fit: Fit, at: Mapping[str, float]) -> dict[str, float]:
    """The law's own axes, positive; FLOPs stand for the axis that params or tokens leave open, through C = 6 N D."""
    inputs = fit.model.inputs
    at = dict(at)
    if "flops" in at and "flops" not in inputs and set(inputs) == {"params", "tokens"} and len(at) == 2:
        known = "params" if "params" in at else "tokens"
        at["tokens" if known == "params" else "params"] = at.pop("flops") / 6 / at[known]
    if set(at) != set(inputs):
        raise DeclarationError(
            f"predict: {fit.law} reads {', '.join(inputs)}; got {', '.join(at) or 'nothing'}.{how_chosen(fit)}"
        )
    for axis, value in at.items():
        if value == 0 and fit.data.domain[axis][0] == 0:
            continue
        if not 0 < value < np.inf:
            raise DeclarationError(f"predict: expected {axis} to be a positive count, got {value}.")
    return at


def mean_interval(fit: Fit, at: Mapping[str, float], level: float = LEVEL) -> tuple[float, float]:
    """Of the curve: widened percentiles of the draws where the fit's intervals are, else t; on the log of the loss, the
    logit of an accuracy between its ends, or another response as it is."""
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
        return float(value * np.exp(-reach)), float(value * np.exp(reach))
    if response.is_share:
        return _about_share(response, value, reach)
    return value - reach, value + reach


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


def mean_stderr_log(fit: Fit, at: Mapping[str, float]) -> float:
    """Of log loss; of another response, of itself."""
    slope = log_slopes(fit, at)
    return float(np.sqrt(max(slope @ np.array(fit.covariance) @ slope, 0.0)))


def log_slopes(fit: Fit, at: Mapping[str, float]) -> Array:
    """d log L / d parameter at one point, for the free parameters; of another response than a loss dL / d parameter."""
    law, response = fit.model, fit.data.response
    x = Axes.of({axis: [value] for axis, value in at.items()}, fit.data.pivot)
    open_ended = np.full(len(law.parameters), np.inf)
    problem = solver.Problem(law, x, np.ones(1), response.is_log, 1.0, True, -open_ended, open_ended, response=response)
    slopes = solver.slopes(problem, np.array([fit.values[name] for name in law.parameters]))[0]
    free: Array = slopes[[law.parameters.index(name) for name in fit.free]]
    return free


def run_spread(fit: Fit, at: Mapping[str, float] | None = None) -> float:
    """Of one run's log loss about the curve (of another response, of itself): between replicates, or about the fit
    where that is larger. Where it changes with size, that at a point (default: in the middle of the data), outside the
    data never less than at their edge."""
    rows, free = fit.goodness.n, len(fit.free)
    typical = float(max(fit.goodness.sigma_run or 0.0, fit.goodness.rmse_log * np.sqrt(rows / max(rows - free, 1))))
    return typical if at is None else typical * _relative_spread(fit, at)


def _relative_spread(fit: Fit, at: Mapping[str, float]) -> float:
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


def extrapolation(fit: Fit, at: Mapping[str, float]) -> float:
    """The largest factor by which a point lies outside the fitted range of an axis, or of the compute or the tokens per
    parameter that two axes make; 1 inside."""
    return max(_distances(fit, at).values())


def _distances(fit: Fit, at: Mapping[str, float]) -> dict[str, float]:
    """Words for a direction -> the factor beyond the data along it."""
    ranges = {axis: (value, *fit.data.domain[axis]) for axis, value in at.items()}
    if {"params", "tokens"} <= set(at):
        rows = np.array([[row.axes["params"], row.axes["tokens"]] for row in fit.residuals])
        for words, power in (("compute (6 N D)", 1), ("tokens per parameter", -1)):
            values = rows[:, 1] * rows[:, 0] ** power
            ranges[words] = (at["tokens"] * at["params"] ** power, float(values.min()), float(values.max()))
    return {
        words: max(1.0, value / high, low / value if value else 1.0) for words, (value, low, high) in ranges.items()
    }


def too_far(fit: Fit, at: Mapping[str, float], lead: str) -> tuple[Warning, ...]:
    """A caution from OUTSIDE on, a severe one from FAR_OUTSIDE on; `lead` opens its sentence."""
    from lawful.schema import Warning

    distances = _distances(fit, at)
    words = max(distances, key=lambda direction: distances[direction])
    factor = distances[words]
    where = f"{lead} {factor:.3g} times outside the data in {words}"
    if factor > FAR_OUTSIDE * BY_DIGITS:
        sentence = f"{where}: no interval here covers a change of regime."
        return (Warning("far_extrapolation", "severe", sentence),)
    if factor > OUTSIDE * BY_DIGITS:
        return (Warning("extrapolation", "warning", f"{where}."),)
    return ()
