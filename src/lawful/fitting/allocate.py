"""How to spend a budget: the best size and data, what a wrong size wastes, where another doubling buys too little."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from lawful.checks import PositiveFloat, argument
from lawful.errors import DeclarationError, Refusal, TableError
from lawful.fitting.cautions import how_chosen, rests_on
from lawful.fitting.crosscheck import Reading, readings
from lawful.fitting.fitted import FittedLaw, run_spread
from lawful.fitting.predict import OUTSIDE, too_far
from lawful.fitting.records import expect_fit
from lawful.fitting.sisters import Alternatives
from lawful.fitting.uncertainty import BOOTSTRAP, determined, percentiles, widening
from lawful.laws import Array
from lawful.response import expect_loss
from lawful.schema import Warning

WASTE = 0.05  # share of the compute that the band of sizes may waste
CELLS = 261  # of the range that is searched for the best size: 20 or so per decade, then by golden section
# how far beyond the data the best size is sought, as a factor: further each time that it is not found inside
REACHES = (1e3, 1e10, 1e30)
BELOW, ABOVE = 20.0, 30.0  # logarithms of how far from the data the last doubling worth its cost is sought
EDGE = 1e150  # stands for no end among draws, whose percentiles are interpolated
FEW_DRAWS = 400  # enough for an interval where each draw costs a search
GOLDEN = (5**0.5 - 1) / 2
CUTS = 34  # golden sections: a bracket of a tenth of a decade shrinks to rounding
FORM_DRAWS = 1000  # over the laws of which a forecast is the average
FlopsPerToken = Callable[[Array], Array]  # of an array of sizes


class Surface(Protocol):
    """A law with its values: a fit, or a sister law of it. domain: axis -> smallest and largest of the data."""

    @property
    def values(self) -> Mapping[str, float]: ...

    @property
    def domain(self) -> Mapping[str, Sequence[float]]: ...

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

    law          the law that it rests on
    band         the smallest and the largest size whose loss the best size reaches with 5 % less compute
    N_exponent   d log N* / d log C at this budget; D_exponent likewise
    readings     the best size read off the table without this law, where the table has enough sizes for that
    """

    law: str
    flops: float
    cost: str
    params: Interval
    tokens: Interval
    loss: Interval
    tokens_per_param: Interval
    N_exponent: Interval
    D_exponent: Interval
    band: tuple[Interval, Interval]
    readings: tuple[Reading, ...]
    warnings: tuple[Warning, ...]

    def __repr__(self) -> str:
        parts = [f"{name} {value.value:.4g} [{value.low:.4g}, {value.high:.4g}]" for name, value in self._shown.items()]
        codes = "".join(f"; {code}" for code in dict.fromkeys(one.code for one in self.warnings))
        return f"<Allocation of {self.flops:.4g} FLOPs ({self.cost}): {', '.join(parts)}{codes}>"

    @property
    def _shown(self) -> dict[str, Interval]:
        return {name: getattr(self, name) for name in ("params", "tokens", "loss", "tokens_per_param")}


def allocate(fit: FittedLaw, *, flops: float, cost: FlopsPerToken | None = None) -> Allocation:
    """The size and data that minimise the fitted loss at a budget, with intervals.

    Parameters
    ----------
    fit
        Of a law that reads params and tokens.
    flops
        The budget in FLOPs.
    cost
        FLOPs per training token as a function of an array of sizes; by default 6 N. A family's exact count is
        `exact_cost(observations)`.

    Returns
    -------
    Allocation
        params, tokens and loss with 95 % intervals, the exponents of N* and D*, the sizes that waste at most 5 %.

    Raises
    ------
    DeclarationError
        The law does not read both params and tokens.
    Refusal
        The fitted law has no best size.

    Examples
    --------
    >>> best = lawful.allocate(fit, flops=1e20)
    >>> best.params.low < best.params.value < best.params.high
    True
    """
    expect_fit(fit)
    expect_loss(fit.data.response, "allocate")
    _needs_surface(fit, "allocate")
    argument("flops", flops, PositiveFloat)
    price = cost or six_n
    among = fit.doubt.alternatives
    law: Surface = fit if among is None else among.best
    point = _optimum(law, _as_draw(law.values), flops, price)
    if point.edge[0]:
        raise Refusal(
            "no_best_size",
            f"{fit.law}: the fitted law has no best size for {flops:.4g} FLOPs: its loss falls towards ever "
            f"{'smaller' if point.edge[0] < 0 else 'larger'} models ({_values(law)}). These runs do not show what size "
            "and data each buy.",
        )
    parts = _drawn(fit, among, FORM_DRAWS)
    optima = [_optimum(one, values, flops, price) for one, values in parts]
    drawn = _Optimum(*(np.concatenate(columns) for columns in zip(*optima, strict=True)))
    spread = _interval_maker(fit, None if among is None else 1.0)
    exponents = _exponents(fit) if cost is None and among is None else {}
    if not exponents:
        are_shares = cost is None  # of C = 6 N D: the two add up to 1
        exponents = {
            "N_exponent": spread(point.growth, drawn.growth, are_shares),
            "D_exponent": spread(point.fed, drawn.fed, are_shares),
        }
    at = {"params": float(point.size[0]), "tokens": float(point.tokens[0])}
    no_end = np.array([1 / EDGE, 1.0, EDGE])[drawn.edge + 1]  # for a draw without a best size
    has_best = drawn.edge == 0
    best = spread(point.size, np.where(has_best, drawn.size, no_end))
    bands = [_band(one, values, flops, price) for one, values in _drawn(fit, among, FEW_DRAWS)]
    middle, ends = _band(law, _as_draw(law.values), flops, price), np.concatenate(bands, axis=1)
    band = (spread(middle[0], ends[0]), spread(middle[1], ends[1]))
    beside = readings(fit, flops, price)
    return Allocation(
        law=fit.law,
        flops=float(flops),
        cost="6 N D" if cost is None else "exact",
        params=best,
        tokens=spread(point.tokens, np.where(has_best, drawn.tokens, 1 / no_end)),
        loss=spread(point.loss, drawn.loss),
        tokens_per_param=spread(point.tokens / point.size, np.where(has_best, drawn.tokens / drawn.size, 1 / no_end)),
        **exponents,
        band=band,
        readings=beside,
        warnings=(*rests_on(fit, among), *_cautions(fit, at), *_disagreements(best, band, beside)),
    )


class _Optimum(NamedTuple):
    """Of each draw, shape (draws,). edge: see _best_size; growth, fed: d log N* / d log C and d log D* / d log C, over
    a doubling either way."""

    size: Array
    edge: Array
    tokens: Array
    loss: Array
    growth: Array
    fed: Array


def _optimum(law: Surface, values: Mapping[str, Array], flops: float, price: FlopsPerToken) -> _Optimum:
    size, edge = _best_size(law, values, flops, price)
    tokens = flops / price(size)
    growth, fed = _growth(law, values, flops, price)
    return _Optimum(size, edge, tokens, _loss_at(law, values, size, tokens), growth, fed)


def _drawn(fit: FittedLaw, among: Alternatives | None, most: int) -> list[tuple[Surface, Mapping[str, Array]]]:
    """The fitted law with the fit's draws; or the laws that forecasts average over, each with as many draws as its
    weight says."""
    if among is not None:
        return list(among.drawn(most, fit.seed))
    if not fit.draws:
        return [(fit, _as_draw(fit.values))]
    return [(fit, fit.drawn if most >= FORM_DRAWS else {name: column[:most] for name, column in fit.drawn.items()})]


def _as_draw(values: Mapping[str, float]) -> dict[str, Array]:
    return {name: np.array([value]) for name, value in values.items()}


def _exponents(fit: FittedLaw) -> dict[str, Interval]:
    """Of the best size and data against C = 6 N D, where the law has them in closed form: the fit's own."""
    known = {name: fit.derived[name] for name in ("N_exponent", "D_exponent") if name in fit.derived}
    return {name: Interval(p.value, *p.ci95) for name, p in known.items()}


def _values(law: Surface) -> str:
    return ", ".join(f"{name} = {value:.3g}" for name, value in law.values.items())


def _growth(law: Surface, values: Mapping[str, Array], flops: float, price: FlopsPerToken) -> tuple[Array, Array]:
    """d log N* / d log C and d log D* / d log C of each draw; 0 and 1, or 1 and 0, where its best size is at an end, as
    data or size then take all."""
    step = 2.0
    (small, low), (large, high) = (_best_size(law, values, budget, price) for budget in (flops / step, flops * step))
    edge = np.where(low == 0, high, low)
    of_size, of_price = (np.log(ratio) / (2 * np.log(step)) for ratio in (large / small, price(large) / price(small)))
    return np.where(edge == 0, of_size, edge > 0), np.where(edge == 0, 1 - of_price, edge < 0)


def _disagreements(best: Interval, band: tuple[Interval, Interval], beside: tuple[Reading, ...]) -> tuple[Warning, ...]:
    """A reading that differs by more than both are unsure of, and by more than costs little."""
    found = []
    for one in beside:
        apart = float(np.log(one.params / best.value))
        of_law, of_reading = (best.high, one.low) if apart > 0 else (best.low, one.high)
        reaches = [abs(np.log(end / value)) for end, value in ((of_law, best.value), (of_reading, one.params))]
        unsure = np.hypot(*np.nan_to_num(reaches, nan=0.0))
        if abs(apart) > unsure and not band[0].value <= one.params <= band[1].value:
            sentence = (
                f"The law's best size is {best.value:.3g}; {HOW[one.how]} gives {one.params:.3g} [{one.low:.3g}, "
                f"{one.high:.3g}], {max(one.params / best.value, best.value / one.params):.2g} times "
                f"{'larger' if apart > 0 else 'smaller'}. The law's form may be wrong; trust neither yet."
            )
            found.append(Warning("allocation_disagrees", "severe", sentence))
    return tuple(found)


HOW = {
    "equal compute": "the lowest point of the curves of equal compute (isoflop)",
    "envelope": "the table's envelope (losses interpolated along the tokens of each size)",
}


def six_n(size: Array) -> Array:
    return 6 * size


def exact_cost(source: Any) -> FlopsPerToken:
    """FLOPs per token as the table's family counts them: interpolated in log size, a straight line beyond its ends."""
    from lawful.tables import read_runs

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
    if len(np.unique(size)) < 2:
        raise DeclarationError(f"{table.source}: exact FLOPs need at least two sizes.")
    return cost_through(size, flops / tokens)


def cost_through(size: Array, per_token: Array) -> FlopsPerToken:
    """FLOPs per token through those of runs: interpolated in log size, a straight line beyond its ends."""
    known = np.unique(size)
    price = np.array([np.mean(np.log(per_token[size == s])) for s in known])
    log = np.log(known)

    def cost(at: Array) -> Array:
        u = np.log(at)
        inside = np.interp(u, log, price)
        first = (price[1] - price[0]) / (log[1] - log[0])
        last = (price[-1] - price[-2]) / (log[-1] - log[-2])
        return np.asarray(np.exp(inside + first * np.minimum(u - log[0], 0) + last * np.maximum(u - log[-1], 0)))

    return cost


def best_size(fit: Surface, values: Mapping[str, Array], flops: Array | float, price: FlopsPerToken) -> Array:
    """N* of each draw, shape (draws,), at one budget or one each."""
    return _best_size(fit, values, flops, price)[0]


def _best_size(
    fit: Surface, values: Mapping[str, Array], flops: Array | float, price: FlopsPerToken
) -> tuple[Array, Array]:
    """N* of each draw, and -1 or 1 where it is the smallest or largest size that was looked at: the lowest of a grid,
    then by golden section. The grid reaches from the data's sizes, and those that the budget leaves at the data's
    tokens, as far as needed."""
    draws = len(next(iter(values.values())))
    budget = np.broadcast_to(np.asarray(flops, dtype=float), (draws,))[:, None]

    def level(log_size: Array, rows: Any = slice(None)) -> Array:
        size = np.exp(log_size)
        own = {name: value[rows] for name, value in values.items()}
        return fit.loss(own, {"params": size, "tokens": budget[rows] / price(size)})

    (least, most), (few, many) = fit.domain["params"], fit.domain["tokens"]
    middle = float(np.sqrt(least * most))
    per_token = float(price(np.array([middle]))[0]) / middle  # FLOPs per token and parameter: about 6
    ends = np.concatenate([budget / per_token / many, budget / per_token / few], axis=1)
    low, high = np.log(np.minimum(ends[:, :1], least)), np.log(np.maximum(ends[:, 1:], most))
    share = np.linspace(0, 1, CELLS)[None]
    grid = np.empty((draws, CELLS))
    at = np.zeros(draws, dtype=int)
    rows = np.arange(draws)
    for reach in np.log(REACHES):
        grid[rows] = (low[rows] - reach) + share * (high[rows] - low[rows] + 2 * reach)
        at[rows] = np.argmin(level(grid[rows], rows), axis=1)
        rows = rows[(at[rows] == 0) | (at[rows] == CELLS - 1)]
        if not len(rows):
            break
    edge = np.where(at == 0, -1, np.where(at == CELLS - 1, 1, 0))
    at = np.clip(at, 1, CELLS - 2)[:, None]
    left, right = (np.take_along_axis(grid, at + step, axis=1) for step in (-1, 1))
    for _ in range(CUTS):
        reach = GOLDEN * (right - left)
        is_left = level(right - reach) < level(left + reach)
        left, right = np.where(is_left, left, right - reach), np.where(is_left, left + reach, right)
    return np.asarray(np.exp((left + right) / 2)[:, 0]), edge


def _band(law: Surface, values: Mapping[str, Array], flops: float, price: FlopsPerToken) -> Array:
    """Its two ends of each draw, shape (2, draws): by bisection on either side of the best size. An end is 1 / EDGE or
    EDGE where no size wastes so much."""
    less = flops / (1 + WASTE)
    size = best_size(law, values, less, price)
    limit = _loss_at(law, values, size, less / price(size))
    best = np.log(best_size(law, values, flops, price))

    def is_inside(log_size: Array) -> Array:
        at = np.exp(log_size)
        return np.asarray(_loss_at(law, values, at, flops / price(at)) <= limit)

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


def _loss_at(fit: Surface, values: Mapping[str, Array], size: Array, tokens: Array) -> Array:
    """The loss of each draw at its own point, shape (draws,)."""
    level: Array = fit.loss(values, {"params": size[:, None], "tokens": tokens[:, None]})
    return level[:, 0]


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


def diminishing_returns(fit: FittedLaw, *, threshold: float | None = None) -> DiminishingReturns:
    """Where a doubling stops paying: below `threshold` in the loss's unit, by default the spread between runs.

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
    if len(inputs) > 1:
        _needs_surface(fit, "diminishing_returns")
    among = fit.doubt.alternatives
    law: Surface = fit if among is None else among.best
    point = _as_draw(law.values)
    largest = _largest(fit, axis)
    value = _last_worth(law, point, axis, largest, threshold)
    values = np.concatenate(
        [_last_worth(one, draws, axis, largest, threshold) for one, draws in _drawn(fit, among, FEW_DRAWS)]
    )
    gain = _gain(law, point, axis, np.array([largest]))
    beyond = (largest * np.exp(-BELOW), largest * np.exp(ABOVE))
    at = _interval_maker(fit, None if among is None else 1.0)(
        value, np.where(values <= beyond[0] * 1.01, 1 / EDGE, values)
    )
    at = Interval(*(np.inf if end >= beyond[1] / 1.01 else end for end in (at.value, at.low, at.high)))
    found = []
    if at.value > largest * OUTSIDE:
        found.append(
            Warning(
                "extrapolation",
                "warning",
                f"Where a doubling of {axis} stops paying lies {at.value / largest:.3g} times beyond the largest "
                f"{axis} of the data.",
            )
        )
    return DiminishingReturns(
        fit.law, axis, float(threshold), label, at, float(gain[0]), (*rests_on(fit, among), *found)
    )


def _largest(fit: FittedLaw, axis: str) -> float:
    if axis in fit.data.domain:
        return float(fit.data.domain[axis][1])
    return max(6 * row.axes["params"] * row.axes["tokens"] for row in fit.residuals)


def _gain(law: Surface, values: Mapping[str, Array], axis: str, at: Array) -> Array:
    """What a doubling of the axis buys at a point of each draw; for a surface, along the best allocation."""
    if axis in law.domain:
        level = law.loss(values, {axis: at[:, None] * np.array([1.0, 2.0])})
        return np.asarray(level[:, 0] - level[:, 1])
    small, large = (best_size(law, values, budget, six_n) for budget in (at, 2 * at))
    saved: Array = _loss_at(law, values, small, at / 6 / small) - _loss_at(law, values, large, 2 * at / 6 / large)
    return saved


def _last_worth(law: Surface, values: Mapping[str, Array], axis: str, largest: float, threshold: float) -> Array:
    """Per draw, where a doubling buys just the threshold: by bisection, as the gain only falls along a power law."""
    draws = len(next(iter(values.values())))
    low, high = np.full(draws, np.log(largest) - BELOW), np.full(draws, np.log(largest) + ABOVE)
    for _ in range(32):
        middle = (low + high) / 2
        is_worth = _gain(law, values, axis, np.exp(middle)) >= threshold
        low, high = np.where(is_worth, middle, low), np.where(is_worth, high, middle)
    return np.asarray(np.exp((low + high) / 2))


def _interval_maker(fit: FittedLaw, widen: float | None = None) -> Callable[..., Interval]:
    if widen is None:
        widen = widening(fit.dof) if fit.interval_method == BOOTSTRAP else 1.0

    def make(value: Array, draws: Array, is_share: bool = False) -> Interval:
        if len(draws) < 2:
            return Interval(float(value[0]), float("nan"), float("nan"))
        low, high = percentiles(draws, float(value[0]), widen, is_share=is_share)
        if is_share:
            low, high = max(low, 0.0), min(high, 1.0)
        # an end among draws that have none, or interpolated between one and them
        low, high = (0.0 if low < EDGE**-0.5 else low), (np.inf if high > EDGE**0.5 else high)
        centre = float(value[0])
        centre = 0.0 if 0 < centre < EDGE**-0.5 else np.inf if centre > EDGE**0.5 else centre
        return Interval(centre, *determined(float(low), float(high)))

    return make


def _needs_surface(fit: FittedLaw, what: str) -> None:
    if set(fit.model.inputs) != {"params", "tokens"}:
        raise DeclarationError(
            f"{what}: expected a law of params and tokens, got {fit.law}, a law of {' and '.join(fit.model.inputs)}."
            f"{how_chosen(fit)}"
        )


def _cautions(fit: FittedLaw, at: Mapping[str, float]) -> tuple[Warning, ...]:
    """How far outside the data the best point lies; said however little it is."""
    far = too_far(fit, at, "The best allocation lies")
    if far:
        return far
    outside = []
    for axis, value in at.items():
        low, high = fit.data.domain[axis]
        if not low <= value <= high:
            outside.append(f"{axis} {value:.3g} outside {low:.3g} to {high:.3g}")
    if not outside:
        return ()
    sentence = f"The best allocation lies outside the data: {' and '.join(outside)}."
    return (Warning("extrapolation", "note", sentence),)
