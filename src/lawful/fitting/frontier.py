"""The best size, data and loss along a range of budgets, with their intervals: what a chart of them draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lawful.fitting.allocate import Interval, drawn_of, interval_maker, is_rising, loss_at_best
from lawful.fitting.cost import FlopsPerToken, PerToken, six_n
from lawful.fitting.fitted import FittedLaw
from lawful.fitting.optimum import Spending, Surface, as_draw, best_size, optimum
from lawful.fitting.predict import OUTSIDE
from lawful.laws import Array

WIDEST = 100.0  # ratio of the ends of an interval from which on a size is not decided


@dataclass(frozen=True, kw_only=True)
class Frontier:
    """The best use of each budget, as far as the fit decides it; `undecided` says why nothing of it is decided.

    law   that it rests on: the one that forecasts weigh most
    """

    law: str
    flops: tuple[float, ...] = ()
    params: tuple[Interval, ...] = ()
    tokens: tuple[Interval, ...] = ()
    loss: tuple[Interval, ...] = ()
    undecided: str = ""


def frontier(fit: FittedLaw, budgets: Sequence[float], price: FlopsPerToken = six_n) -> Frontier:
    """Minimise a fitted loss of params and tokens at each budget, and keep those budgets whose optimum the runs decide:
    within a factor OUTSIDE of their sizes and data, its interval no wider than WIDEST. Intervals are `allocate`'s."""
    among = fit.alternatives
    law: Surface = fit if among is None else among.best
    name = fit.law if among is None else among.best.name
    spread = interval_maker(fit, None if among is None else 1.0)
    if not fit.data.response.is_log or is_rising(fit, {}):
        return Frontier(law=name, undecided="the metric is no loss, of which the lowest is best")
    parts = drawn_of(fit, among)
    spending = Spending(PerToken(price, ""))
    found: list[tuple[float, Interval, Interval, Interval]] = []
    why = ""
    for flops in budgets:
        point = optimum(law, as_draw(law.values), flops, spending)
        if point.edge[0]:
            towards = "smaller" if point.edge[0] < 0 else "larger"
            why = why or f"by {name} the loss at a fixed budget falls towards ever {towards} models"
            continue
        size, tokens = float(point.size[0]), float(point.tokens[0])
        if not (_is_near(fit, "params", size) and _is_near(fit, "tokens", tokens)):
            why = why or (
                f"by {name} the best size for {flops:.3g} FLOPs is {size:.3g} with {tokens:.3g} tokens, more than "
                f"{OUTSIDE:g} times outside the runs"
            )
            continue
        best = [best_size(one, values, flops, spending) for one, values in parts]
        sizes, edges = (np.concatenate(columns) for columns in zip(*best, strict=True))
        data = spending.cost.tokens(sizes, flops)
        params = spread(point.size, np.where(edges == 0, sizes, np.where(edges < 0, 1e-150, 1e150)))
        if len(edges) > 1 and not 0 < params.high < WIDEST * params.low:
            why = why or f"the best size for {flops:.3g} FLOPs is not determined by these runs"
            continue
        best_data = spread(point.tokens, np.where(edges == 0, data, np.where(edges < 0, 1e150, 1e-150)))
        found.append((flops, params, best_data, loss_at_best(fit, point, {})))
    if len(found) < 2:
        return Frontier(law=name, undecided=why or "it is decided at fewer than two budgets")
    columns = tuple(zip(*found, strict=True))
    return Frontier(law=name, flops=columns[0], params=columns[1], tokens=columns[2], loss=columns[3])


def _is_near(fit: FittedLaw, axis: str, value: float) -> bool:
    low, high = fit.data.domain[axis]
    return low / OUTSIDE <= value <= high * OUTSIDE


def ends(values: Sequence[Interval]) -> tuple[Array, Array, Array]:
    """Value, low and high as arrays."""
    rows = np.array([(one.value, one.low, one.high) for one in values])
    return rows[:, 0], rows[:, 1], rows[:, 2]
