"""How many times as much of what the law reads one arm needs for the loss of another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lawful.checks import AnyFloat
from lawful.fitting import derivatives, noise
from lawful.fitting.arms import ArmsLaw
from lawful.fitting.data import Sample
from lawful.fitting.quantiles import t_quantile
from lawful.fitting.search import Point
from lawful.fitting.uncertainty import LEAST_STEP, gradient
from lawful.laws import Array, Axes


@dataclass(frozen=True, kw_only=True)
class Multiplier:
    """How many times as much `second` needs for the loss that `first` reaches at the reference point.

    of   what is multiplied: compute only under a law of compute, or of parameters and tokens together (C = 6 N D);
         else parameters, tokens or time
    """

    first: str
    second: str
    of: str
    value: AnyFloat
    ci95: tuple[AnyFloat, AnyFloat]
    loss: AnyFloat
    at: Mapping[str, AnyFloat]
    metric: str = "loss"


def multiplier(
    point: Point, around: noise.Noise, arms: tuple[str, ...], first: str, second: str, data: Sample
) -> Multiplier:
    """At the geometric middle of the upper half of the data. Interval by the delta method on its logarithm."""
    joint = point.problem.law
    assert isinstance(joint, ArmsLaw)
    axes = joint.base.inputs
    logs = {axis: float(np.quantile(data.x[axis], 0.75)) for axis in axes}
    pivot = {axis: data.x.pivot[axis] for axis in axes}

    def value_of(parameters: Array, arm: str, shift: float) -> float:
        x = Axes({axis: np.array([log + shift]) for axis, log in logs.items()}, pivot)
        return float(joint.base.predict(joint.of_arm(parameters, arms.index(arm)), x)[0])

    is_log = data.response.is_log
    ends = [value_of(point.parameters, second, shift) for shift in (-0.1, 0.1)]
    sense = -1.0 if ends[1] > ends[0] else 1.0  # a metric may rise

    def level(parameters: Array, arm: str, shift: float) -> float:
        return sense * value_of(parameters, arm, shift)

    metric = "loss" if is_log else str(data.column.get("loss", "metric")).replace("_", " ")

    wanted = level(point.parameters, first, 0.0)
    low, high = -12.0, 12.0  # of the logarithm of every axis: beyond it there is nothing to be said
    nothing = (float("nan"), float("nan"))
    of = multiplied(axes, data)
    at = {axis: float(np.exp(log) * pivot[axis]) for axis, log in logs.items()}
    if not level(point.parameters, second, low) > wanted > level(point.parameters, second, high):
        return Multiplier(
            first=first, second=second, of=of, value=math.nan, ci95=nothing, loss=sense * wanted, at=at, metric=metric
        )
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if level(point.parameters, second, middle) > wanted else (low, middle)
    shift = (low + high) / 2

    def gap(parameters: Array) -> float:
        return level(parameters, second, shift) - level(parameters, first, 0.0)

    # the gap stays zero as the shift follows the parameters
    steepness = (level(point.parameters, second, shift + 1e-5) - level(point.parameters, second, shift - 1e-5)) / 2e-5
    slope = (
        -gradient(gap, point.parameters, derivatives.negligible(point.problem, point.parameters, LEAST_STEP))
        / steepness
    )
    compute_axes = len({"params", "tokens"} & set(axes)) or 1
    stderr = compute_axes * float(np.sqrt(slope @ around.covariance @ slope))
    reach = min(t_quantile(0.975, around.dof(slope)) * stderr, 700.0)
    value = float(np.exp(compute_axes * shift))
    ci95 = (value * float(np.exp(-reach)), value * float(np.exp(reach)))
    return Multiplier(
        first=first, second=second, of=of, value=value, ci95=ci95, loss=sense * wanted, at=at, metric=metric
    )


def multiplied(axes: tuple[str, ...], data: Sample) -> str:
    """What the axes of a law, moved together, are an amount of."""
    if axes == ("flops",):
        return "time" if "seconds" in str(data.column.get("flops", "")) else "compute"
    if {"params", "tokens"} <= set(axes):
        return "compute"
    return {"params": "parameters"}.get(axes[0], axes[0])
