"""How to spend a budget: the best size and data, and what a wrong size wastes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from lawful.checks import NonNegativeFloat, PositiveFloat, argument
from lawful.errors import DeclarationError, Refusal
from lawful.fitting.cautions import how_chosen, rests_on
from lawful.fitting.cost import FlopsPerToken, cost_of, names_in, per_token, price_of, refuse_falling
from lawful.fitting.crosscheck import Reading, readings
from lawful.fitting.fitted import FittedLaw
from lawful.fitting.optimum import EDGE, Optimum, Spending, Surface, as_draw, band, flat_sides, optimum
from lawful.fitting.predict import predict_one, too_far
from lawful.fitting.records import expect_fit
from lawful.fitting.sisters import FORM_DRAWS, Alternatives
from lawful.fitting.uncertainty import BOOTSTRAP, determined, percentiles, widening
from lawful.laws import Array
from lawful.response import expect_loss
from lawful.schema import Warning

FEW_DRAWS = 400  # enough for an interval where each draw costs a search
SURFACE = ("params", "tokens")


@dataclass(frozen=True)
class Interval:
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Allocation:
    """The best use of `flops`; every number with its 95 % interval. Where a forecast averages over several laws, values
    are those of the law that weighs most, and intervals cover the laws that fit about as well; an exponent which the
    fit has in closed form is the fit's, with its interval.

    law          the law that it rests on
    flops        the budget, in the unit of the cost
    cost         what is paid for, as a formula
    serving      the part of the budget that inference takes
    money        the budget in the currency of `price`; None where no price is given
    band         the smallest and the largest size whose loss the best size reaches with 5 % less compute
    N_exponent   d log N* / d log C at this budget; D_exponent likewise
    readings     the best size read off the table without this law, where the table has enough sizes for that
    held         the law's other inputs, at these values
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
    serving: Interval | None = None
    price: str = ""
    money: float | None = None
    held: Mapping[str, float | str] = field(default_factory=dict)
    is_rising: bool = False

    def __repr__(self) -> str:
        parts = [f"{name} {value.value:.4g} [{value.low:.4g}, {value.high:.4g}]" for name, value in self._shown.items()]
        codes = "".join(f"; {code}" for code in dict.fromkeys(one.code for one in self.warnings))
        return f"<Allocation of {self.flops:.4g} ({self.cost}): {', '.join(parts)}{codes}>"

    @property
    def _shown(self) -> dict[str, Interval]:
        return {name: getattr(self, name) for name in ("params", "tokens", "loss", "tokens_per_param")}


def allocate(
    fit: FittedLaw,
    *,
    flops: float | None = None,
    budget: float | None = None,
    price: str | None = None,
    cost: str | FlopsPerToken | None = None,
    serve_tokens: float = 0.0,
    at: Mapping[str, float | str] | None = None,
) -> Allocation:
    """The size and data that minimise the fitted loss at a budget, with intervals; of a metric that rises, maximise it.

    Parameters
    ----------
    fit
        Of a law that reads params and tokens.
    flops, budget
        The budget: FLOPs (the unit of `cost`), or a sum in the currency of `price`; one of the two.
    price
        "2e-18 per FLOP", or "2.5 per GPU-hour at 4e14 FLOP/s".
    cost
        A formula of N, D, T and of the names in `at`, such as "6*N*D + 2*N*T"; or FLOPs per training token as a
        function of an array of sizes (a family's exact count is `exact_cost(observations)`); by default 6 N D + 2 N T.
    serve_tokens
        T, the tokens of inference of the model's life.
    at
        The law's other inputs -> where they are held.

    Returns
    -------
    Allocation
        params, tokens and loss with 95 % intervals, the exponents of N* and D*, the sizes that waste at most 5 %.

    Raises
    ------
    DeclarationError
        The law does not read both params and tokens, or the budget pays for nothing.
    Refusal
        The fitted law has no best size.

    Examples
    --------
    >>> best = lawful.allocate(fit, flops=1e20)
    >>> best.params.low < best.params.value < best.params.high
    True
    """
    expect_fit(fit)
    argument("flops", flops, PositiveFloat | None)
    argument("budget", budget, PositiveFloat | None)
    argument("price", price, str | None)
    argument("serve_tokens", serve_tokens, NonNegativeFloat)
    expect_loss(fit.data.response, "allocate")
    held = held_inputs(fit, at or {}, cost)
    sums = price_of(price) if price is not None else None
    total = _budget(flops, budget, None if sums is None else sums.per_flop)
    paid = cost_of(cost, serve_tokens, held)
    refuse_falling(paid, fit.domain)
    own = {axis: value for axis, value in held.items() if axis in fit.model.inputs}
    spending = Spending(paid, own, is_rising(fit, own))
    among = fit.alternatives
    law: Surface = fit if among is None else among.best
    point = optimum(law, as_draw(law.values), total, spending)
    _refuse_no_best(fit, law, point, total, spending)
    parts = drawn_of(fit, among)
    optima = [optimum(one, values, total, spending) for one, values in parts]
    drawn = Optimum(*(np.concatenate(columns) for columns in zip(*optima, strict=True)))
    spread = interval_maker(fit, None if among is None else 1.0)
    is_six_n = paid.text == "6 N D"
    exponents = {  # of C = 6 N D they are shares: the two add up to 1
        "N_exponent": spread(point.growth, drawn.growth, is_six_n),
        "D_exponent": spread(point.fed, drawn.fed, is_six_n),
    }
    if is_six_n:
        exponents = {name: _as_fitted(fit, name, found) for name, found in exponents.items()}
    no_end = np.array([1 / EDGE, 1.0, EDGE])[drawn.edge + 1]  # for a draw without a best size
    has_best = drawn.edge == 0
    best = spread(point.size, np.where(has_best, drawn.size, no_end))
    bands = [band(one, values, total, spending) for one, values in drawn_of(fit, among, FEW_DRAWS)]
    middle, ends = band(law, as_draw(law.values), total, spending), np.concatenate(bands, axis=1)
    sizes = (spread(middle[0], ends[0]), spread(middle[1], ends[1]))
    per_size = per_token(paid)
    beside = () if per_size is None or own or spending.is_rising else readings(fit, total, per_size)
    where = {"params": float(point.size[0]), "tokens": float(point.tokens[0]), **own}
    of_serving = paid.of_serving(point.size, point.tokens), paid.of_serving(drawn.size, drawn.tokens)
    return Allocation(
        law=fit.law,
        flops=float(total),
        cost=paid.text,
        params=best,
        tokens=spread(point.tokens, np.where(has_best, drawn.tokens, 1 / no_end)),
        loss=loss_at_best(fit, point, own),
        tokens_per_param=spread(point.tokens / point.size, np.where(has_best, drawn.tokens / drawn.size, 1 / no_end)),
        **exponents,
        band=sizes,
        readings=beside,
        warnings=(*rests_on(fit, among), *_cautions(fit, where), *_disagreements(best, sizes, beside)),
        serving=spread(*of_serving) if serve_tokens else None,
        price="" if sums is None else sums.text,
        money=None if sums is None else float(total * sums.per_flop),
        held={axis: fit.model.cell(axis, value) for axis, value in held.items()},
        is_rising=spending.is_rising,
    )


def _budget(flops: float | None, budget: float | None, per_flop: float | None) -> float:
    """In the unit of the cost."""
    if (flops is None) == (budget is None):
        raise DeclarationError("allocate: expected a budget: flops, or budget in the currency of price; one of them.")
    if flops is None and per_flop is None:
        raise DeclarationError("allocate: a budget in currency needs a price; give the budget as flops without one.")
    return flops if flops is not None else (budget or 0.0) / (per_flop or 1.0)


def held_inputs(fit: FittedLaw, at: Mapping[str, float | str], cost: object = None) -> dict[str, float]:
    """The inputs beside params and tokens, each at one value."""
    inputs = fit.model.inputs
    if not set(SURFACE) <= set(inputs):
        raise DeclarationError(
            f"allocate: expected a law of params and tokens, got {fit.law}, a law of {' and '.join(inputs)}."
            f"{how_chosen(fit)}"
        )
    if lacking := [axis for axis in inputs if axis not in (*SURFACE, *at)]:
        raise DeclarationError(
            f"allocate: {fit.law} also reads {' and '.join(lacking)}: say where to hold "
            f"{'it' if len(lacking) == 1 else 'them'}, {' '.join(f'--at {axis}=VALUE' for axis in lacking)}."
        )
    of_cost = names_in(cost) if isinstance(cost, str) and cost != "6nd" else frozenset[str]()
    if idle := [name for name in at if name in SURFACE or (name not in inputs and name not in of_cost)]:
        raise DeclarationError(f"allocate: at: neither the law nor the cost holds {', '.join(idle)} at a value.")
    held = {}
    for axis, value in at.items():
        if axis in fit.model.categories:
            held[axis] = fit.model.level(axis, value)
        elif isinstance(value, str) or not 0 < value < np.inf:
            raise DeclarationError(f"allocate: at: {axis}: expected a positive number, got {value!r}.")
        else:
            held[axis] = float(value)
    return held


def is_rising(fit: FittedLaw, held: Mapping[str, float]) -> bool:
    """Whether the metric is higher at the largest size and data than at the smallest, by the law."""
    inputs = SURFACE if set(SURFACE) <= set(fit.model.inputs) else fit.model.inputs
    low, high = ({axis: fit.domain[axis][end] for axis in inputs} for end in (0, 1))
    first, last = (float(fit.loss(fit.values, {**at, **held})[0]) for at in (low, high))
    return last > first


def _refuse_no_best(fit: FittedLaw, law: Surface, point: Optimum, total: float, spending: Spending) -> None:
    if np.isnan(point.tokens[0]):
        raise DeclarationError(
            f"allocate: a budget of {total:.4g} pays for no size at all: {spending.cost.text} is more at every size."
        )
    middle = float(np.sqrt(np.prod(law.domain["params"])))
    at_middle, at_best = (flat_sides(law, size, total, spending) for size in (middle, float(point.size[0])))
    if all(at_middle) or (any(at_best) and not point.edge[0]):
        which = "size" if all(at_middle) else "smaller size" if at_best[0] else "larger size"
        raise Refusal(
            "no_best_size",
            f"{fit.law}: the fitted law has no best size for {total:.4g} FLOPs: at this cost every {which} is as good "
            f"as another ({_values(law)}).",
        )
    if point.edge[0]:
        goes = "rises" if spending.is_rising else "falls"
        raise Refusal(
            "no_best_size",
            f"{fit.law}: the fitted law has no best size for {total:.4g} FLOPs: its "
            f"{'metric' if spending.is_rising else 'loss'} {goes} towards ever "
            f"{'smaller' if point.edge[0] < 0 else 'larger'} models ({_values(law)}). These runs do not show what size "
            "and data each buy.",
        )
    if min(point.size[0], point.tokens[0]) < 1 <= min(fit.domain[axis][0] for axis in SURFACE):
        raise DeclarationError(
            f"allocate: {total:.4g} by the cost {spending.cost.text} are spent best on {point.size[0]:.3g} parameters "
            f"and {point.tokens[0]:.3g} tokens, less than one: check the units of the budget and of the cost."
        )


def drawn_of(
    fit: FittedLaw, among: Alternatives | None, few: int | None = None
) -> list[tuple[Surface, Mapping[str, Array]]]:
    """The fitted law with the fit's draws; or the laws that forecasts average over, each with as many draws as its
    weight says. few: no more than so many."""
    if among is not None:
        return list(among.drawn(few or FORM_DRAWS, fit.seed))
    if not fit.draws:
        return [(fit, as_draw(fit.values))]
    return [(fit, {name: column[:few] for name, column in fit.drawn.items()})]


def loss_at_best(fit: FittedLaw, point: Optimum, held: Mapping[str, float]) -> Interval:
    """The loss of the best size and data: what a prediction at that point says. How far the best point moves changes
    the least loss in second order only."""
    at = {"params": float(point.size[0]), "tokens": float(point.tokens[0]), **held}
    found = predict_one(fit, at, "mean", 0.95)
    return Interval(found.value, found.low, found.high)


def _as_fitted(fit: FittedLaw, name: str, found: Interval) -> Interval:
    """An exponent of the best size or data against C = 6 N D with the interval that the fit has of it, where its law
    has it in closed form. Among several laws it may depend on the budget: then the interval holds what is found at this
    one, too."""
    if name not in fit.derived:
        return found
    own = fit.derived[name]
    if fit.doubt.alternatives is None:
        return Interval(own.value, *own.ci95)
    return Interval(found.value, min(own.ci95[0], found.low), max(own.ci95[1], found.high))


def _values(law: Surface) -> str:
    return ", ".join(f"{name} = {value:.3g}" for name, value in law.values.items())


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


def largest_compute(fit: FittedLaw) -> float:
    """As 6 N D."""
    return max(6 * row.axes["params"] * row.axes["tokens"] for row in fit.residuals)


def interval_maker(fit: FittedLaw, widen: float | None = None) -> Callable[..., Interval]:
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


def _cautions(fit: FittedLaw, at: Mapping[str, float]) -> tuple[Warning, ...]:
    """How far outside the data the best point lies; said however little it is."""
    times = 6 * at["params"] * at["tokens"] / largest_compute(fit)
    form = f" Its training compute is {times:.3g} times the largest of the data: it rests on the law's form."
    beyond = form if times > 1 else ""
    far = too_far(fit, at, "The best allocation lies")
    if far:
        return tuple(replace(one, sentence=one.sentence + beyond) for one in far)
    outside = []
    for axis, value in at.items():
        low, high = fit.data.domain[axis]
        if not low <= value <= high:
            outside.append(f"{axis} {value:.3g} outside {low:.3g} to {high:.3g}")
    if not outside:
        return ()
    sentence = f"The best allocation lies outside the data: {' and '.join(outside)}.{beyond}"
    return (Warning("extrapolation", "note", sentence),)
