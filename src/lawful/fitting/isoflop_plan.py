"""Plan isoFLOP curves before anything runs: where their sizes lie, and how well they will tell the exponents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lawful.checks import AnyFloat, NaturalInt, PositiveFloat, checked
from lawful.errors import DeclarationError, Refusal
from lawful.fitting.allocate import Interval
from lawful.fitting.budget_curves import LEAST_CURVES, LEAST_ON_CURVE, Counted, Curve, Line, Runs, curve_of
from lawful.fitting.estimate import fit
from lawful.fitting.fitted import run_spread
from lawful.fitting.isoflop import IsoFlop, isoflop
from lawful.laws import Array
from lawful.recipes import Shape, decoder_shape, isoflop_tokens, step_law
from lawful.schema import Warning
from lawful.tables import Observations, read_runs

# where nothing is known: Besiroglu et al. 2024 (arXiv:2404.10102), equation 3, E, A, B, alpha, beta; with the errors of
# the exponents and, of the best size a factor of 1.5, one standard error each: published laws differ by so much
DEFAULT = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
EXPONENT_STDERR = 0.02
SIZE_STDERR = math.log(1.5)
DEFAULT_NOISE = 0.003  # of log loss between runs: seeds of small models differ by .2 to .5 %
SPAN = 4.0  # the sizes of a budget reach this far to either side of its best, and further where that is unsure
TOLERANCES = (0.03, 0.1, 0.3)  # of a shape's parameters, the first that has one
DRAWS = 300
TINY = 1e-9

Source = Literal["earlier budgets", "a law of earlier runs", "a default law"]


@dataclass(frozen=True, kw_only=True)
class PlannedPoint:
    """One run of the plan. shape: of a decoder with about so many parameters; None where there is none.

    learning_rate, batch_tokens   by Step Law (arXiv:2503.04715), for AdamW with cosine decay
    """

    budget: AnyFloat
    params: int
    tokens: int
    flops: AnyFloat
    shape: Shape | None
    learning_rate: AnyFloat
    batch_tokens: AnyFloat


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What the planned curves will say of one exponent, simulated.

    truth      of the laws that were drawn, their mean
    bias       of the reading, mean
    spread     half of the 95 % range of reading minus truth
    half_width of the interval that `isoflop` will print, median
    coverage   how often it holds the truth
    """

    truth: AnyFloat
    bias: AnyFloat
    spread: AnyFloat
    half_width: AnyFloat
    coverage: AnyFloat


@dataclass(frozen=True, kw_only=True)
class IsoFlopPlan:
    """The runs, and what they will tell.

    centres    budget -> the size that it is centred at, with the interval that the sizes span
    source     where the centres are from
    unread     how many of 100 simulated curves have their lowest run at an end
    expected   "params", "tokens" -> of N* and of D*, each fitted by itself
    """

    points: tuple[PlannedPoint, ...]
    centres: Mapping[float, Interval]
    source: Source
    noise: AnyFloat
    expected: Mapping[str, Expected]
    unread: AnyFloat
    flops: AnyFloat
    warnings: tuple[Warning, ...]

    def __repr__(self) -> str:
        one = self.expected["params"]
        return (
            f"<IsoFlopPlan {len(self.points)} runs of {len(self.centres)} budgets, {self.flops:.3g} FLOPs: N* ~ "
            f"C^{one.truth:.3f}, read to {one.spread:.3f} with a bias of {one.bias:+.3f}>"
        )


@checked
def isoflop_plan(
    budgets: Sequence[PositiveFloat],
    *,
    sizes: NaturalInt = 7,
    earlier: Any = None,
    noise: PositiveFloat | None = None,
    span: PositiveFloat = SPAN,
    draws: NaturalInt = DRAWS,
    seed: NaturalInt = 0,
) -> IsoFlopPlan:
    """Plan curves of equal compute: sizes around each budget's best, and what they will say of the exponents.

    Parameters
    ----------
    budgets
        FLOPs of each curve, at least three.
    sizes
        Runs of each curve, at least four.
    earlier
        Finished runs, anything `read_runs` takes. Where they hold curves of equal compute, these say where the next are
        centred; else a law of their sizes and lengths does; without them a published one.
    noise
        Of log loss between runs; by default that of the earlier runs, or .3 %.
    span
        How many times smaller and larger than the best size the sizes reach, beside what the best is unsure by.
    draws, seed
        Of the simulation.

    Returns
    -------
    IsoFlopPlan
        The runs with shapes, batches and learning rates from recipes, and what they will say.

    Examples
    --------
    >>> plan = lawful.isoflop_plan([1e15, 1e16, 1e17, 1e18], draws=50)
    >>> len(plan.points), plan.source
    (28, 'a default law')
    """
    if len(set(budgets)) < max(LEAST_CURVES, len(budgets)):
        raise DeclarationError(f"budgets: expected at least {LEAST_CURVES} different FLOPs, got {list(budgets)}.")
    if sizes < LEAST_ON_CURVE:
        raise DeclarationError(f"sizes: expected at least {LEAST_ON_CURVE}, got {sizes}.")
    if not span > 1:
        raise DeclarationError(f"span: expected a factor above 1, got {span:g}.")
    if draws < 20:
        raise DeclarationError(f"draws: expected at least 20 for percentiles, got {draws}.")
    rng = np.random.default_rng(seed)
    known = _known(earlier, sorted(budgets), draws, rng)
    spread = noise if noise is not None else known.noise
    points = tuple(point for budget, centre in known.centres.items() for point in _points(budget, centre, sizes, span))
    flops = np.array([one.flops for one in points])
    params, tokens = (np.array([getattr(one, name) for one in points], dtype=float) for name in ("params", "tokens"))
    groups = [np.flatnonzero([one.budget == budget for one in points]) for budget in known.centres]
    expected, unread = _simulated(Runs(flops, params, tokens, flops, "recorded"), groups, known.laws, spread, rng)
    return IsoFlopPlan(
        points=points,
        centres=known.centres,
        source=known.source,
        noise=spread,
        expected=expected,
        unread=unread,
        flops=float(flops.sum()),
        warnings=(*known.warnings, *_warnings(points, expected, unread)),
    )


@dataclass(frozen=True)
class _Known:
    """laws: drawn parameters of a Chinchilla law, shape (draws, 5), as the simulated truths."""

    centres: Mapping[float, Interval]
    laws: Array
    source: Source
    noise: float
    warnings: tuple[Warning, ...] = ()


def _known(earlier: Any, budgets: Sequence[float], draws: int, rng: np.random.Generator) -> _Known:
    laws = _default_laws(draws, rng)
    if earlier is None:
        return _Known(_centres(laws, budgets), laws, "a default law", DEFAULT_NOISE)
    table = read_runs(earlier)
    found, law, warnings = _curves(table), _law(table), []
    noise = DEFAULT_NOISE
    if law is not None:
        laws, noise = law
    elif found is None:
        sentence = (
            "The earlier runs carry neither curves of equal compute nor a law of size and data: a default is used."
        )
        warnings.append(Warning("default_prior", "note", sentence))
        return _Known(_centres(laws, budgets), laws, "a default law", noise, tuple(warnings))
    if found is None:
        return _Known(_centres(laws, budgets), laws, "a law of earlier runs", noise)
    line = Line.of([curve for curve in found.curves if curve.params is not None], "params")
    return _Known({c: Interval(*line.predict(c)) for c in budgets}, laws, "earlier budgets", noise)


def _curves(table: Observations) -> IsoFlop | None:
    try:
        return isoflop(table)
    except Refusal:
        return None


def _law(table: Observations) -> tuple[Array, float] | None:
    """Draws of a Chinchilla law of the runs by its covariance, and their noise; None where it is refused."""
    try:
        found = fit(table, "chinchilla", draws=200)
    except Refusal:
        return None
    drawn = np.stack([found.drawn[name] for name in found.model.parameters], axis=1)
    values = [dict(zip(found.model.parameters, row, strict=True)) for row in drawn]
    pivot = found.data.pivot
    laws = np.array(
        [
            [
                one["E"],
                one["A_pivot"] * pivot["params"] ** one["alpha"],
                one["B_pivot"] * pivot["tokens"] ** one["beta"],
                one["alpha"],
                one["beta"],
            ]
            for one in values
        ]
    )
    is_usable = np.isfinite(laws).all(axis=1) & (laws[:, 1:] > TINY).all(axis=1)
    return (laws[is_usable], run_spread(found)) if is_usable.sum() >= 20 else None


def _default_laws(draws: int, rng: np.random.Generator) -> Array:
    """Laws about the published one: exponents and the best size differ, the losses in the middle do not."""
    e, a, b, alpha, beta = DEFAULT.values()
    laws = np.tile([e, a, b, alpha, beta], (draws, 1))
    laws[:, 3:] += EXPONENT_STDERR * rng.standard_normal((draws, 2))
    pivot = np.log([1e8, 2e9])
    laws[:, 1] *= np.exp((laws[:, 3] - alpha) * pivot[0])
    laws[:, 2] *= np.exp((laws[:, 4] - beta) * pivot[1])
    moved = SIZE_STDERR * rng.standard_normal(draws) * (laws[:, 3] + laws[:, 4])  # of log(A / B)
    laws[:, 1] *= np.exp(moved / 2)
    laws[:, 2] *= np.exp(-moved / 2)
    return laws


def _best_size(laws: Array, flops: float) -> Array:
    _, a, b, alpha, beta = laws.T
    return np.asarray((alpha * a / (beta * b) * (flops / 6) ** beta) ** (1 / (alpha + beta)))


def _centres(laws: Array, budgets: Sequence[float]) -> dict[float, Interval]:
    out = {}
    for flops in budgets:
        low, value, high = np.quantile(_best_size(laws, flops), [0.025, 0.5, 0.975])
        out[flops] = Interval(float(value), float(low), float(high))
    return out


def _points(budget: float, centre: Interval, sizes: int, span: float) -> list[PlannedPoint]:
    """Sizes evenly apart in their logarithm, from `span` below to `span` above, and further by what the centre is
    unsure by."""
    down = math.hypot(math.log(span), math.log(centre.value / centre.low))
    up = math.hypot(math.log(span), math.log(centre.high / centre.value))
    out = []
    for log in np.linspace(-down, up, sizes):
        target = centre.value * math.exp(log)
        shape = _shape(target)
        params = round(target) if shape is None else shape.params_non_embedding
        tokens = max(isoflop_tokens(budget, params), 1)
        rate, batch = step_law(params, tokens)
        out.append(
            PlannedPoint(
                budget=budget,
                params=params,
                tokens=tokens,
                flops=6.0 * params * tokens,
                shape=shape,
                learning_rate=rate,
                batch_tokens=batch,
            )
        )
    return out


def _shape(target: float) -> Shape | None:
    for tolerance in TOLERANCES:
        try:
            return decoder_shape(target, tolerance=tolerance)
        except DeclarationError:  # no decoder is so near
            continue
    return None


def _simulated(
    runs: Runs, groups: Sequence[Array], laws: Array, noise: float, rng: np.random.Generator
) -> tuple[dict[str, Expected], float]:
    """Curves drawn from each law, read as `isoflop` reads them."""
    read: dict[Counted, list[tuple[float, float, float, float]]] = {"params": [], "tokens": []}
    lost = total = 0
    for e, a, b, alpha, beta in laws:
        level = e + a * runs.params**-alpha + b * runs.tokens**-beta
        loss = level * np.exp(noise * rng.standard_normal(len(level)))
        drawn = Runs(runs.flops, runs.params, runs.tokens, loss, runs.convention)
        curves: list[Curve] = [curve_of(drawn.take(rows), "interpolate") for rows in groups]
        known = [curve for curve in curves if curve.params is not None]
        lost, total = lost + len(curves) - len(known), total + len(curves)
        if len(known) < LEAST_CURVES:
            continue
        slope = beta / (alpha + beta)
        truths: dict[Counted, float] = {"params": slope, "tokens": 1 - slope}
        for what, truth in truths.items():
            line = Line.of(known, what)
            read[what].append((line.slope, truth, *line.ci95))
    if len(read["params"]) < len(laws) / 2:
        raise Refusal(
            "too_few_budgets",
            "In most simulations fewer than three curves have their lowest run between two others: widen the span, or "
            "add sizes or budgets.",
        )
    expected: dict[str, Expected] = {}
    for name, rows in read.items():
        slope, truth, low, high = np.array(rows).T
        ends = np.quantile(slope - truth, [0.025, 0.975])
        expected[name] = Expected(
            truth=float(truth.mean()),
            bias=float((slope - truth).mean()),
            spread=float(np.ptp(ends) / 2),
            half_width=float(np.median(high - low) / 2),
            coverage=float(((low <= truth) & (truth <= high)).mean()),
        )
    return expected, 100 * lost / total


def _warnings(points: Sequence[PlannedPoint], expected: Mapping[str, Expected], unread: float) -> list[Warning]:
    said = []
    one = expected["params"]
    if abs(one.bias) > one.spread / 2:
        sentence = (
            f"The reading of N*'s exponent is expected to be off by {one.bias:+.3f}, beside a spread of "
            f"{one.spread:.3f}: more sizes on each curve make it smaller."
        )
        said.append(Warning("biased_reading", "warning", sentence))
    if unread > 10:
        sentence = f"{unread:.0f} % of the curves are expected to have their lowest run at an end. Widen the span."
        said.append(Warning("not_bracketed", "warning", sentence))
    if lacking := sum(point.shape is None for point in points):
        sentence = f"{lacking} sizes have no decoder of about their parameters: their shapes are left open."
        said.append(Warning("no_shape", "note", sentence))
    return said
