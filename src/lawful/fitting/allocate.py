"""How to spend a budget: the best size and data, what a wrong size wastes, where another doubling buys too little."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from lawful.errors import DeclarationError, TableError
from lawful.fitting.predict import FAR, about_forecast, run_spread
from lawful.fitting.result import Caution
from lawful.fitting.uncertainty import BOOTSTRAP, percentiles, widening
from lawful.laws import Array

if TYPE_CHECKING:
    from lawful.fitting.result import Fit

WASTE = 0.05  # share of the compute that the band of sizes may waste
SIZES = np.geomspace(1e2, 1e15, 261)  # searched for the best size: 20 per decade, then by golden section
FEW_DRAWS = 400  # enough for an interval where each draw costs a search
GOLDEN = (5**0.5 - 1) / 2
CUTS = 34  # golden sections: a bracket of a tenth of a decade shrinks to rounding
FORM_DRAWS = 1000  # over the laws of which a forecast is the average
FlopsPerToken = Callable[[Array], Array]  # of an array of sizes


class Surface(Protocol):
    """A law with its values: a fit, or a sister law of it."""

    @property
    def values(self) -> Mapping[str, float]: ...

    def loss(self, values: Mapping[str, Any], at: Mapping[str, Any]) -> Array: ...


@dataclass(frozen=True)
class Interval:
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Allocation:
    """The best use of `flops`; every number with its 95 % interval. Where the form of the fitted law is in doubt
    (`misfit`, `form_uncertain`, `rung_off`), values are those of the law that fits best, and intervals cover the laws
    that fit about as well.

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
    among = fit.doubt.alternatives
    law: Surface = fit if among is None else among.best
    size, tokens, loss, growth = _optimum(law, _as_draw(law.values), flops, price)
    if among is None:
        drawn = _optimum(fit, fit.drawn if fit.draws else _as_draw(fit.values), flops, price)
    else:  # optima of each law, as many as its weight says
        parts = [_optimum(one, values, flops, price) for one, values in among.drawn(FORM_DRAWS, fit.seed)]
        drawn = _Optimum(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    spread = _interval_maker(fit, None if among is None else 1.0)
    at = {"params": float(size[0]), "tokens": float(tokens[0])}
    return Allocation(
        flops=float(flops),
        cost="6 N D" if cost is None else "exact",
        params=spread(size, drawn.size),
        tokens=spread(tokens, drawn.tokens),
        loss=spread(loss, drawn.loss),
        tokens_per_param=spread(tokens / size, drawn.tokens / drawn.size),
        N_exponent=spread(growth, drawn.growth),
        D_exponent=spread(1 - growth, 1 - drawn.growth),
        band=_band(law, flops, price),
        warnings=(*about_forecast(fit), *_cautions(fit, at)),
    )


class _Optimum(NamedTuple):
    """Of each draw, shape (draws,). growth: d log N* / d log C, over a doubling either way."""

    size: Array
    tokens: Array
    loss: Array
    growth: Array


def _optimum(law: Surface, values: Mapping[str, Array], flops: float, price: FlopsPerToken) -> _Optimum:
    step = 2.0
    size = best_size(law, values, flops, price)
    more, less = (best_size(law, values, budget, price) for budget in (flops * step, flops / step))
    tokens = flops / price(size)
    return _Optimum(size, tokens, _loss_at(law, values, size, tokens), np.log(more / less) / (2 * np.log(step)))


def _as_draw(values: Mapping[str, float]) -> dict[str, Array]:
    return {name: np.array([value]) for name, value in values.items()}


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


def best_size(fit: Surface, values: Mapping[str, Array], flops: Array | float, price: FlopsPerToken) -> Array:
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


def _band(fit: Surface, flops: float, price: FlopsPerToken) -> tuple[float, float]:
    point = _as_draw(fit.values)
    less = flops / (1 + WASTE)
    size = best_size(fit, point, less, price)
    limit = float(_loss_at(fit, point, size, less / price(size))[0])
    inside = SIZES[fit.loss(point, {"params": SIZES, "tokens": flops / price(SIZES)})[0] <= limit]
    return (float(inside[0]), float(inside[-1])) if len(inside) else (float(size[0]), float(size[0]))


def _loss_at(fit: Surface, values: Mapping[str, Array], size: Array, tokens: Array) -> Array:
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


def _interval_maker(fit: Fit, widen: float | None = None) -> Callable[[Array, Array], Interval]:
    if widen is None:
        widen = widening(fit.dof, fit.goodness.n, len(fit.free)) if fit.interval_method == BOOTSTRAP else 1.0

    def make(value: Array, draws: Array) -> Interval:
        if len(draws) < 2:
            return Interval(float(value[0]), float("nan"), float("nan"))
        low, high = percentiles(draws, float(value[0]), widen)
        return Interval(float(value[0]), float(low), float(high))

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
