"""How to spend a budget: the best size and data, what a wrong size wastes, where another doubling buys too little."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lawful.errors import DeclarationError, TableError
from lawful.fitting.predict import FAR, run_spread
from lawful.fitting.result import Caution
from lawful.fitting.uncertainty import BOOTSTRAP, determined, percentiles, widening
from lawful.laws import Array

if TYPE_CHECKING:
    from lawful.fitting.result import Fit

WASTE = 0.05  # share of the compute that the band of sizes may waste
SIZES = np.geomspace(1e2, 1e15, 261)  # searched for the best size: 20 per decade, then by golden section
FEW_DRAWS = 400  # enough for an interval where each draw costs a search
GOLDEN = (5**0.5 - 1) / 2
CUTS = 34  # golden sections: a bracket of a tenth of a decade shrinks to rounding
FlopsPerToken = Callable[[Array], Array]  # of an array of sizes


@dataclass(frozen=True)
class Interval:
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Allocation:
    """The best use of `flops`; every number with its 95 % interval.

    band         sizes whose loss the best size reaches with 5 % less compute
    N_exponent   d log N* / d log C at this budget; D_exponent likewise
    """

    flops: float
    cost: str
    params: Interval
    tokens: Interval
    loss: Interval
    tokens_per_param: Interval
    N_exponent: Interval
    D_exponent: Interval
    band: tuple[float, float]
    warnings: tuple[Caution, ...]


def allocate(fit: Fit, *, flops: float, cost: FlopsPerToken | None = None) -> Allocation:
    """Minimise the fitted loss at a budget.

    cost   FLOPs per training token as a function of an array of sizes; by default 6 N. A family's exact count is
           `exact_cost(observations)`.
    Raises LawfulError for a law without both params and tokens.
    """
    _needs_surface(fit, "allocate")
    if not 0 < flops < np.inf:
        raise DeclarationError(f"allocate: expected a positive budget in FLOPs, got {flops}.")
    price = cost or six_n
    step = 2.0  # the exponent is that over a doubling either way
    draws = fit.drawn if fit.draws else {name: np.array([value]) for name, value in fit.values.items()}
    point = {name: np.array([value]) for name, value in fit.values.items()}
    size, sizes = (best_size(fit, values, flops, price) for values in (point, draws))
    spread = _interval_maker(fit)
    exponents = _exponents(fit) if cost is None else {}
    if not exponents:
        more, less = (
            [best_size(fit, values, flops * by, price) for values in (point, draws)] for by in (step, 1 / step)
        )
        sized = [np.log(large / small) / (2 * np.log(step)) for large, small in zip(more, less, strict=True)]
        fed = [
            1 - np.log(price(large) / price(small)) / (2 * np.log(step))
            for large, small in zip(more, less, strict=True)
        ]
        are_shares = cost is None  # of C = 6 N D: the two add up to 1
        exponents = {"N_exponent": spread(*sized, are_shares), "D_exponent": spread(*fed, are_shares)}
    tokens, drawn_tokens = flops / price(size), flops / price(sizes)
    losses = _loss_at(fit, draws, sizes, drawn_tokens)
    at = {"params": float(size[0]), "tokens": float(tokens[0])}
    return Allocation(
        flops=float(flops),
        cost="6 N D" if cost is None else "exact",
        params=spread(size, sizes),
        tokens=spread(tokens, drawn_tokens),
        loss=spread(_loss_at(fit, point, size, tokens), losses),
        tokens_per_param=spread(tokens / size, drawn_tokens / sizes),
        **exponents,
        band=_band(fit, flops, price),
        warnings=_cautions(fit, at),
    )


def _exponents(fit: Fit) -> dict[str, Interval]:
    """Of the best size and data against C = 6 N D, where the law has them in closed form: the fit's own."""
    known = {name: fit.derived[name] for name in ("N_exponent", "D_exponent") if name in fit.derived}
    return {name: Interval(p.value, *p.ci95) for name, p in known.items()}


def six_n(size: Array) -> Array:
    return 6 * size


def exact_cost(source: Any) -> FlopsPerToken:
    """FLOPs per token as the table's family counts them: interpolated in log size, a straight line beyond its ends."""
    from lawful.table import read_runs

    table = read_runs(source).of_ladder()
    names = [table.roles.get(role) for role in ("params", "tokens", "flops")]
    if None in names:
        raise DeclarationError(f"{table.source}: exact FLOPs need columns of params, tokens and flops.")
    size, tokens, flops = (table.numbers(str(name)) for name in names)
    if empty := [str(name) for name, cells in zip(names, (size, tokens, flops), strict=True) if np.isnan(cells).any()]:
        raise TableError(
            f"{table.source}: exact FLOPs need params, tokens and flops of each finished run; {', '.join(empty)} has "
            "empty cells. Fill them in, or leave these rows out."
        )
    known = np.unique(size)
    price = np.array([np.mean(np.log(flops[size == s] / tokens[size == s])) for s in known])
    if len(known) < 2:
        raise DeclarationError(f"{table.source}: exact FLOPs need at least two sizes.")
    log = np.log(known)

    def cost(at: Array) -> Array:
        u = np.log(at)
        inside = np.interp(u, log, price)
        first = (price[1] - price[0]) / (log[1] - log[0])
        last = (price[-1] - price[-2]) / (log[-1] - log[-2])
        return np.asarray(np.exp(inside + first * np.minimum(u - log[0], 0) + last * np.maximum(u - log[-1], 0)))

    return cost


def best_size(fit: Fit, values: Mapping[str, Array], flops: Array | float, price: FlopsPerToken) -> Array:
    """N* of each draw, shape (draws,), at one budget or one each: the lowest of a grid, then by golden section."""
    draws = len(next(iter(values.values())))
    budget = np.broadcast_to(np.asarray(flops, dtype=float), (draws,))[:, None]

    def level(log_size: Array) -> Array:
        size = np.exp(log_size)
        return fit.loss(values, {"params": size, "tokens": budget / price(size)})

    grid = np.log(SIZES)
    at = np.clip(np.argmin(level(np.broadcast_to(grid, (draws, len(grid)))), axis=1), 1, len(grid) - 2)
    low, high = grid[at - 1][:, None], grid[at + 1][:, None]
    for _ in range(CUTS):
        reach = GOLDEN * (high - low)
        is_left = level(high - reach) < level(low + reach)
        low, high = np.where(is_left, low, high - reach), np.where(is_left, low + reach, high)
    return np.asarray(np.exp((low + high) / 2)[:, 0])


def _band(fit: Fit, flops: float, price: FlopsPerToken) -> tuple[float, float]:
    point = {name: np.array([value]) for name, value in fit.values.items()}
    less = flops / (1 + WASTE)
    size = best_size(fit, point, less, price)
    limit = float(_loss_at(fit, point, size, less / price(size))[0])
    inside = SIZES[fit.loss(point, {"params": SIZES, "tokens": flops / price(SIZES)})[0] <= limit]
    return (float(inside[0]), float(inside[-1])) if len(inside) else (float(size[0]), float(size[0]))


def _loss_at(fit: Fit, values: Mapping[str, Array], size: Array, tokens: Array) -> Array:
    """The loss of each draw at its own point, shape (draws,)."""
    level: Array = fit.loss(values, {"params": size[:, None], "tokens": tokens[:, None]})
    return level[:, 0]


@dataclass(frozen=True)
class DiminishingReturns:
    """Beyond `at` on `axis`, one doubling lowers the loss by less than `threshold` nats.

    axis   params, tokens or flops for a law of one axis; flops along the best allocation for a surface
    """

    axis: str
    threshold: float
    threshold_is: str
    at: Interval
    gain_at_largest: float
    warnings: tuple[Caution, ...]


def diminishing_returns(fit: Fit, *, threshold: float | None = None) -> DiminishingReturns:
    """Where a doubling stops paying: below `threshold` in the loss's unit, by default the spread between runs.

    There is no knee in a power law: the point depends on the threshold, which is therefore part of the answer.
    """
    label = "given"
    if threshold is None:
        typical = float(np.median([row.observed for row in fit.residuals]))
        threshold = run_spread(fit) * typical
        label = "one standard deviation between runs" if fit.goodness.sigma_run else "one residual standard deviation"
    if not 0 < threshold < np.inf:
        raise DeclarationError(f"threshold: expected a positive loss difference, got {threshold}.")
    inputs = fit.model.inputs
    axis = inputs[0] if len(inputs) == 1 else "flops"
    if len(inputs) > 1:
        _needs_surface(fit, "diminishing_returns")
    draws = (
        {name: column[:FEW_DRAWS] for name, column in fit.drawn.items()}
        if fit.draws
        else {name: np.array([value]) for name, value in fit.values.items()}
    )
    point = {name: np.array([value]) for name, value in fit.values.items()}
    largest = _largest(fit, axis)
    value, values = (_last_worth(fit, v, axis, largest, threshold) for v in (point, draws))
    gain = _gain(fit, point, axis, np.array([largest]))
    at = _interval_maker(fit)(value, values)
    factor = at.value / largest
    return DiminishingReturns(
        axis,
        float(threshold),
        label,
        at,
        float(gain[0]),
        (
            Caution(
                "extrapolation", "warning", f"The point lies {factor:.3g} times beyond the largest {axis} of the data."
            ),
        )
        if factor > FAR
        else (),
    )


def _largest(fit: Fit, axis: str) -> float:
    if axis in fit.data["domain"]:
        return float(fit.data["domain"][axis][1])
    return max(6 * row.axes["params"] * row.axes["tokens"] for row in fit.residuals)


def _gain(fit: Fit, values: Mapping[str, Array], axis: str, at: Array) -> Array:
    """What a doubling of the axis buys at a point of each draw; for a surface, along the best allocation."""
    if axis in fit.model.inputs:
        level = fit.loss(values, {axis: at[:, None] * np.array([1.0, 2.0])})
        return np.asarray(level[:, 0] - level[:, 1])
    small, large = (best_size(fit, values, budget, six_n) for budget in (at, 2 * at))
    saved: Array = _loss_at(fit, values, small, at / 6 / small) - _loss_at(fit, values, large, 2 * at / 6 / large)
    return saved


def _last_worth(fit: Fit, values: Mapping[str, Array], axis: str, largest: float, threshold: float) -> Array:
    """Per draw, where a doubling buys just the threshold: by bisection, as the gain only falls along a power law."""
    draws = len(next(iter(values.values())))
    low, high = np.full(draws, np.log(largest) - 20), np.full(draws, np.log(largest) + 30)
    for _ in range(26):
        middle = (low + high) / 2
        is_worth = _gain(fit, values, axis, np.exp(middle)) >= threshold
        low, high = np.where(is_worth, middle, low), np.where(is_worth, high, middle)
    return np.asarray(np.exp((low + high) / 2))


def _interval_maker(fit: Fit) -> Callable[..., Interval]:
    widen = widening(fit.dof) if fit.interval_method == BOOTSTRAP else 1.0

    def make(value: Array, draws: Array, is_share: bool = False) -> Interval:
        if len(draws) < 2:
            return Interval(float(value[0]), float("nan"), float("nan"))
        low, high = percentiles(draws, float(value[0]), widen, is_share=is_share)
        return Interval(float(value[0]), *determined(low, high))

    return make


def _needs_surface(fit: Fit, what: str) -> None:
    if set(fit.model.inputs) != {"params", "tokens"}:
        raise DeclarationError(
            f"{what}: expected a law of params and tokens, got {fit.law}, a law of {' and '.join(fit.model.inputs)}."
        )


def _cautions(fit: Fit, at: Mapping[str, float]) -> tuple[Caution, ...]:
    from lawful.fitting.predict import extrapolation

    factor = extrapolation(fit, at)
    if factor <= FAR:
        return ()
    severity: Any = "severe" if factor > 100 else "warning"
    return (Caution("extrapolation", severity, f"The best allocation lies {factor:.3g} times outside the data."),)
