"""The best size at a budget, of many draws of a law at once: a grid over sizes, then golden section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from lawful.fitting.cost import Cost
from lawful.laws import Array, Points, Values

WASTE = 0.05  # share of the compute that the band of sizes may waste
CELLS = 261  # of the range that is searched for the best size: 20 or so per decade, then by golden section
# how far beyond the data the best size is sought, as a factor: further each time that it is not found inside
REACHES = (1e3, 1e10, 1e30)
EDGE = 1e150  # stands for no end among draws, whose percentiles are interpolated
GOLDEN = (5**0.5 - 1) / 2
CUTS = 34  # golden sections: a bracket of a tenth of a decade shrinks to rounding
FLAT, FLAT_REACH = 1e-9, 30.0  # a metric that changes by no more, relatively, over such factors of the size is flat
NO_DATA = 1e-6  # of the fewest tokens of the data: a best size that leaves no more takes the whole budget


class Surface(Protocol):
    """A law with its values: a fit, or a sister law of it. domain: axis -> smallest and largest of the data."""

    @property
    def values(self) -> Mapping[str, float]: ...

    @property
    def domain(self) -> Mapping[str, Sequence[float]]: ...

    def loss(self, values: Values, at: Points) -> Array: ...


@dataclass(frozen=True)
class Spending:
    """What a budget is spent on.

    held       the law's other inputs -> their values
    is_rising  the metric is better where it is higher
    """

    cost: Cost
    held: Mapping[str, float] = field(default_factory=dict)
    is_rising: bool = False

    def metric(self, law: Surface, values: Mapping[str, Array], size: Array, tokens: Array) -> Array:
        return law.loss(values, {"params": size, "tokens": tokens, **self.held})

    def level(self, law: Surface, values: Mapping[str, Array], size: Array, tokens: Array) -> Array:
        """What is to be low: the loss, or minus a metric that rises; infinite where the budget buys no tokens."""
        found = self.metric(law, values, size, np.where(np.isnan(tokens), 1.0, tokens))
        return np.where(np.isnan(tokens), np.inf, -found if self.is_rising else found)

    def at_own(self, law: Surface, values: Mapping[str, Array], size: Array, tokens: Array) -> Array:
        """The metric of each draw at its own point, shape (draws,)."""
        return self.metric(law, values, size[:, None], tokens[:, None])[:, 0]

    def level_at_own(self, law: Surface, values: Mapping[str, Array], size: Array, tokens: Array) -> Array:
        return self.level(law, values, size[:, None], tokens[:, None])[:, 0]


class Optimum(NamedTuple):
    """The best size for each draw, shape (draws,).

    edge           see best_size
    growth, fed    d log N* / d log C and d log D* / d log C, over a doubling in both directions
    """

    size: Array
    edge: Array
    tokens: Array
    loss: Array
    growth: Array
    fed: Array


def optimum(law: Surface, values: Mapping[str, Array], flops: float, spending: Spending) -> Optimum:
    size, edge = best_size(law, values, flops, spending)
    tokens = spending.cost.tokens(size, flops)
    loss = spending.at_own(law, values, size, tokens)
    return Optimum(size, edge, tokens, loss, *growth(law, values, flops, spending))


def as_draw(values: Mapping[str, float]) -> dict[str, Array]:
    return {name: np.array([value]) for name, value in values.items()}


def growth(law: Surface, values: Mapping[str, Array], flops: float, spending: Spending) -> tuple[Array, Array]:
    """d log N* / d log C and d log D* / d log C of each draw; 0 and 1, or 1 and 0, where its best size is at an end, as
    data or size then take all."""
    step = 2.0
    budgets = flops / step, flops * step
    (small, low), (large, high) = (best_size(law, values, budget, spending) for budget in budgets)
    few, many = (spending.cost.tokens(size, budget) for size, budget in zip((small, large), budgets, strict=True))
    edge = np.where(low == 0, high, low)
    of_size, of_tokens = (np.log(ratio) / (2 * np.log(step)) for ratio in (large / small, many / few))
    return np.where(edge == 0, of_size, edge > 0), np.where(edge == 0, of_tokens, edge < 0)


def best_size(
    law: Surface, values: Mapping[str, Array], flops: Array | float, spending: Spending
) -> tuple[Array, Array]:
    """N* of each draw, and -1 or 1 where it is the smallest or largest size that was looked at: the lowest of a grid,
    then by golden section. The grid reaches from the data's sizes, and those that the budget leaves at the data's
    tokens, as far as needed."""
    draws, cost = len(next(iter(values.values()))), spending.cost
    budget = np.broadcast_to(np.asarray(flops, dtype=float), (draws,))[:, None]

    def level(log_size: Array, rows: Any = slice(None)) -> Array:
        size = np.exp(log_size)
        own = {name: value[rows] for name, value in values.items()}
        return spending.level(law, own, size, cost.tokens(size, budget[rows]))

    (least, most), (few, many) = law.domain["params"], law.domain["tokens"]
    middle, length = np.array([np.sqrt(least * most)]), np.array([np.sqrt(few * many)])
    per_token = float(cost.of(middle, length)[0] / middle[0] / length[0])  # FLOPs per token and parameter: about 6
    ends = np.concatenate([budget / per_token / many, budget / per_token / few], axis=1)
    low, high = np.log(np.minimum(ends[:, :1], least)), np.log(np.maximum(ends[:, 1:], most))
    share = np.linspace(0, 1, CELLS)[None]
    grid, found = np.empty((draws, CELLS)), np.empty((draws, CELLS))
    at = np.zeros(draws, dtype=int)
    rows = np.arange(draws)
    for reach in np.log(REACHES):
        grid[rows] = (low[rows] - reach) + share * (high[rows] - low[rows] + 2 * reach)
        found[rows] = level(grid[rows], rows)
        at[rows] = np.argmin(found[rows], axis=1)
        rows = rows[(at[rows] == 0) | (at[rows] == CELLS - 1)]
        if not len(rows):
            break
    edge = np.where(at == 0, -1, np.where(at == CELLS - 1, 1, 0))
    at = np.clip(at, 1, CELLS - 2)[:, None]
    left, right = (np.take_along_axis(grid, at + step, axis=1) for step in (-1, 1))
    is_cut = np.isinf(np.take_along_axis(found, at + 1, axis=1))[:, 0]
    for _ in range(CUTS):
        reach = GOLDEN * (right - left)
        is_left = level(right - reach) < level(left + reach)
        left, right = np.where(is_left, left, right - reach), np.where(is_left, left + reach, right)
    size = np.asarray(np.exp((left + right) / 2)[:, 0])
    if is_cut.any():  # all is spent on size where its cost leaves no tokens, and the law is finite without any
        left_over = np.nan_to_num(cost.tokens(size, budget[:, 0]))
        edge = np.where(is_cut & (left_over < NO_DATA * few), 1, edge)
    return size, edge


def band(law: Surface, values: Mapping[str, Array], flops: float, spending: Spending) -> Array:
    """The smallest and the largest size whose loss the best size reaches with less of the budget, of each draw, shape
    (2, draws): by bisection on either side of the best size. An end is 1 / EDGE or EDGE where no size wastes so
    much."""
    less, cost = flops / (1 + WASTE), spending.cost
    size, _ = best_size(law, values, less, spending)
    limit = spending.level_at_own(law, values, size, cost.tokens(size, less))
    best = np.log(best_size(law, values, flops, spending)[0])

    def is_inside(log_size: Array) -> Array:
        at = np.exp(log_size)
        return np.asarray(spending.level_at_own(law, values, at, cost.tokens(at, flops)) <= limit)

    ends = []
    for side in (-1, 1):
        inner, outer = np.zeros(len(best)), np.full(len(best), np.log(REACHES[-1]))
        is_endless = is_inside(best + side * outer)
        for _ in range(CUTS):
            middle = (inner + outer) / 2
            is_here = is_inside(best + side * middle)
            inner, outer = np.where(is_here, middle, inner), np.where(is_here, outer, middle)
        ends.append(np.where(is_endless, 1 / EDGE if side < 0 else EDGE, np.exp(best + side * inner)))
    return np.stack(ends)


def flat_sides(law: Surface, size: float, total: float, spending: Spending) -> tuple[bool, bool]:
    """Whether much smaller, and much larger, sizes are as good as one."""
    around = size * np.array([1 / FLAT_REACH, 1.0, FLAT_REACH])
    low, here, high = spending.metric(law, as_draw(law.values), around, spending.cost.tokens(around, total))[0]
    return bool(abs(low - here) <= FLAT * abs(here)), bool(abs(high - here) <= FLAT * abs(here))
