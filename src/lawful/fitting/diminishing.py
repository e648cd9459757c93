"""Where another doubling buys too little: the last point of an axis that is worth its cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lawful.errors import DeclarationError
from lawful.fitting.allocate import (
    FEW_DRAWS,
    Interval,
    drawn_of,
    held_inputs,
    interval_maker,
    is_rising,
    largest_compute,
)
from lawful.fitting.cautions import rests_on
from lawful.fitting.cost import cost_of
from lawful.fitting.fitted import FittedLaw, run_spread
from lawful.fitting.optimum import EDGE, Spending, Surface, as_draw, best_size
from lawful.fitting.predict import OUTSIDE
from lawful.laws import Array
from lawful.response import expect_loss
from lawful.schema import Warning

BELOW, ABOVE = 20.0, 30.0  # logarithms of how far from the data the last doubling worth its cost is sought
BISECTIONS = 24  # of that range: to a relative 3e-6
ALONG = 100  # points of that range: two for each factor of e


@dataclass(frozen=True)
class DiminishingReturns:
    """Beyond `at` on `axis`, one doubling lowers the loss by less than `threshold` nats.

    axis   params, tokens or flops for a law of one axis; flops along the best allocation for a surface
    at     an end at infinity: as far as was looked, a doubling buys more
    """

    law: str
    axis: str
    threshold: float
    threshold_is: str
    at: Interval
    gain_at_largest: float
    warnings: tuple[Warning, ...]


def diminishing_returns(
    fit: FittedLaw, *, threshold: float | None = None, at: Mapping[str, float | str] | None = None
) -> DiminishingReturns:
    """Where a doubling stops paying: below `threshold` in the loss's unit, by default the spread between runs.

    at   the law's other inputs than params and tokens -> where they are held

    There is no knee in a power law: the point depends on the threshold, which is therefore part of the answer.
    """
    expect_loss(fit.data.response, "diminishing_returns")
    label = "given"
    if threshold is None:
        typical = float(np.median([row.observed for row in fit.residuals]))
        threshold = run_spread(fit) * typical
        label = "one standard deviation between runs" if fit.goodness.sigma_run else "one residual standard deviation"
    if not 0 < threshold < np.inf:
        raise DeclarationError(f"threshold: expected a positive loss difference, got {threshold}.")
    inputs = fit.model.inputs
    axis = inputs[0] if len(inputs) == 1 else "flops"
    held = held_inputs(fit, at or {}) if len(inputs) > 1 else {}
    spending = Spending(cost_of(None, 0.0, {}), held, is_rising(fit, held))
    among = fit.alternatives
    law: Surface = fit if among is None else among.best
    point = as_draw(law.values)
    largest = _largest(fit, axis)
    value = _last_worth(law, point, axis, largest, threshold, spending)
    values = np.concatenate(
        [_last_worth(one, draws, axis, largest, threshold, spending) for one, draws in drawn_of(fit, among, FEW_DRAWS)]
    )
    gain = _gain(law, point, axis, np.array([largest]), spending)
    beyond = (largest * np.exp(-BELOW), largest * np.exp(ABOVE))
    where = interval_maker(fit, None if among is None else 1.0)(
        value, np.where(values <= beyond[0] * 1.01, 1 / EDGE, values)
    )
    where = Interval(*(np.inf if end >= beyond[1] / 1.01 else end for end in (where.value, where.low, where.high)))
    found = []
    if where.value > largest * OUTSIDE:
        found.append(
            Warning(
                "extrapolation",
                "warning",
                f"Where a doubling of {axis} stops paying lies {where.value / largest:.3g} times beyond the largest "
                f"{axis} of the data.",
            )
        )
    return DiminishingReturns(
        fit.law, axis, float(threshold), label, where, float(gain[0]), (*rests_on(fit, among), *found)
    )


def _largest(fit: FittedLaw, axis: str) -> float:
    if axis in fit.data.domain:
        return float(fit.data.domain[axis][1])
    return largest_compute(fit)


def _gain(law: Surface, values: Mapping[str, Array], axis: str, at: Array, spending: Spending) -> Array:
    """What a doubling of the axis buys at a point of each draw; for a surface, along the best allocation."""
    if axis in law.domain:
        level = law.loss(values, {axis: at[:, None] * np.array([1.0, 2.0])})
        return np.asarray(level[:, 1] - level[:, 0] if spending.is_rising else level[:, 0] - level[:, 1])
    small, large = (best_size(law, values, budget, spending)[0] for budget in (at, 2 * at))
    saved: Array = spending.level_at_own(law, values, small, at / 6 / small) - spending.level_at_own(
        law, values, large, 2 * at / 6 / large
    )
    return saved


def _last_worth(
    law: Surface, values: Mapping[str, Array], axis: str, largest: float, threshold: float, spending: Spending
) -> Array:
    """Per draw, the last point where a doubling buys the threshold: by bisection, as the gain only falls along a power
    law. Along a curve that first bends up, it falls behind the last point of a grid where it is worth that."""
    draws = len(next(iter(values.values())))
    low, high = np.full(draws, np.log(largest) - BELOW), np.full(draws, np.log(largest) + ABOVE)
    if axis in law.domain:
        for at in np.linspace(low[0], high[0], ALONG)[1:-1]:
            is_worth = _gain(law, values, axis, np.full(draws, np.exp(at)), spending) >= threshold
            low = np.where(is_worth, at, low)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        is_worth = _gain(law, values, axis, np.exp(middle), spending) >= threshold
        low, high = np.where(is_worth, middle, low), np.where(is_worth, high, middle)
    return np.asarray(np.exp((low + high) / 2))
