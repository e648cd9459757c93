"""What a fit says about runs that were not made: a value, its interval, and how far outside the data it lies."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lawful.errors import DeclarationError
from lawful.fitting.cautions import about_form, how_chosen, rests_on
from lawful.fitting.curve_interval import mean_interval
from lawful.fitting.fitted import FittedLaw, relative_spread, run_spread
from lawful.fitting.form import cannot_tell
from lawful.fitting.quantiles import t_quantile
from lawful.fitting.records import Interval, Prediction
from lawful.fitting.uncertainty import says_nothing
from lawful.response import Response
from lawful.schema import Warning

OUTSIDE, FAR_OUTSIDE = 10.0, 100.0  # factors beyond the data at which a warning is given, and a loud one
BY_DIGITS = 1 + 1e-9  # ten times the largest size is not beyond ten times


def predict_one(fit: FittedLaw, at: Mapping[str, float], interval: Interval, level: float) -> Prediction:
    at = checked(fit, at)
    response = fit.data.response
    value = float(response.inside(fit.loss(fit.values, at)[0]))
    among, spread = fit.alternatives, run_spread(fit, at)
    if among is None:
        low, high = mean_interval(fit, at, level)
    else:
        value, low, high = map(float, among.interval(at, level))
        spread = among.spread_of_run(fit.goodness.sigma_run) * relative_spread(fit, at)
    if interval == "new_run":
        low, high = of_one_run(response, value, low, high, t_quantile(0.5 + level / 2, fit.dof) * spread)
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


@np.errstate(over="ignore")  # runs that determine nothing: the interval is from 0 to infinity
def of_one_run(response: Response, value: float, low: float, high: float, reach: float) -> tuple[float, float]:
    """The curve's interval with one run's spread beside it. A run may lie below the chance level, which a law may not:
    its interval ends at 0 and 1."""
    if response.is_log:
        down, up = np.hypot(np.log([value / low if low else np.inf, high / value]), reach)
        return value * float(np.exp(-down)), value * float(np.exp(up))
    down, up = np.hypot([value - low, high - value], reach)
    ends = (value - float(down), value + float(up))
    return (max(ends[0], 0.0), min(ends[1], 1.0)) if response.is_share else ends


def _about_few(fit: FittedLaw) -> tuple[Warning, ...]:
    """The warning of a forecast beyond the data that had no other law to average with."""
    if fit.alternatives is not None or not cannot_tell(fit, fit.model):
        return ()
    sentence = (
        f"{fit.goodness.n} runs are too few to tell {fit.law} from a law with one more parameter: this interval "
        "takes the law's form for granted."
    )
    return (Warning("form_uncertain", "note", sentence),)


def checked(fit: FittedLaw, at: Mapping[str, float]) -> dict[str, float]:
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


def extrapolation(fit: FittedLaw, at: Mapping[str, float]) -> float:
    """The largest factor by which a point lies outside the fitted range of an axis, or of the compute or the tokens per
    parameter that two axes make; 1 inside."""
    return max(_distances(fit, at).values())


def _distances(fit: FittedLaw, at: Mapping[str, float]) -> dict[str, float]:
    """Words for a direction -> the factor beyond the data along it."""
    ranges = {axis: (value, *fit.data.domain[axis]) for axis, value in at.items()}
    if {"params", "tokens"} <= set(at):
        for words, (power, low, high) in fit.joint_domain.items():
            ranges[words] = (at["tokens"] * at["params"] ** power, low, high)
    return {
        words: max(1.0, value / high, low / value if value else 1.0) for words, (value, low, high) in ranges.items()
    }


def too_far(fit: FittedLaw, at: Mapping[str, float], lead: str) -> tuple[Warning, ...]:
    """A caution from OUTSIDE on, a severe one from FAR_OUTSIDE on; `lead` opens its sentence."""
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
