"""Intervals of parameters at any level, from what a fit holds."""

from __future__ import annotations

import math

import numpy as np

from lawful.errors import DeclarationError
from lawful.fitting.fitted import FittedLaw
from lawful.fitting.quantiles import LEVEL, t_quantile
from lawful.fitting.records import Parameter
from lawful.fitting.uncertainty import BOOTSTRAP, percentiles, widening
from lawful.laws import Number, bounds_of


def conf_int(fit: FittedLaw, level: float) -> dict[str, tuple[float, float]]:
    """As Fit.conf_int."""
    if level < 0.5:
        raise DeclarationError(
            f"level: expected the share that intervals cover, such as .95, got {level:g}. (The alpha of statsmodels is "
            f"1 - level: for intervals of {100 * (1 - level):g} %, level={1 - level:g}.)"
        )
    drawn: dict[str, Number] = {}
    if fit.interval_method == BOOTSTRAP and level != LEVEL:
        drawn = {**fit.drawn, **fit.model.derived(fit.drawn, fit.data.pivot)}
    return {name: _interval(fit, one, level, drawn.get(name)) for name, one in fit.params.items()}


def _interval(fit: FittedLaw, one: Parameter, level: float, draws: Number | None) -> tuple[float, float]:
    low, high = one.ci95
    is_share = one.name in fit.model.shares
    if level == LEVEL or one.role == "fixed" or (is_share and (low, high) == (0.0, 1.0)):
        return low, high
    ends: tuple[float, float]
    if draws is not None:
        ends = percentiles(np.asarray(draws), one.value, widening(fit.dof, level), level, is_share=is_share)
    else:
        ends = _scaled(one, t_quantile(0.5 + level / 2, fit.dof) / t_quantile(0.5 + LEVEL / 2, fit.dof))
    least, most = {**bounds_of(fit.model), **fit.bounds}.get(one.name, (-math.inf, math.inf))
    first = low if _is_no_end(low) else max(float(ends[0]), least)
    last = high if _is_no_end(high) else min(float(ends[1]), most)
    return first, last


def _is_no_end(end: float) -> bool:
    """0 and infinity are what a parameter can be at all: the data determine no end there, at any level."""
    return end == 0 or not math.isfinite(end)


def _scaled(one: Parameter, share: float) -> tuple[float, float]:
    """Each half of the 95 % interval by a share: the signed root of a profile is nearly a straight line; on the scale
    of logarithms for what is derived and positive (A and B spread over decades)."""
    value, (low, high) = one.value, one.ci95
    if one.role == "derived" and min(value, low) > 0:
        return value * (low / value) ** share, value * (high / value) ** share
    return value + (low - value) * share, value + (high - value) * share
