"""The best size read off a table without a law of size and data, to hold an allocation against.

Two readings. The curves of equal compute (budget_curves.py), where the table has budgets; and its envelope, the first
method of the Chinchilla paper (arXiv:2203.15556, 3.1): along the tokens of each size its loss is interpolated, so that
at any compute that enough sizes reach there is a curve of loss against size. Neither assumes how loss depends on size
and data together; both assume that the best size is a power of compute, as soon as the budget lies outside the data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lawful.fitting.budget_curves import LEAST_CURVES, LEAST_ON_CURVE, Curve, Line, Runs, budgets_of, curve_of
from lawful.fitting.fitted import FittedLaw
from lawful.laws import Array

BUDGETS = (
    5  # of an envelope, spread evenly over the compute at which its curves have a lowest point; neighbours share runs
)
FINE = 60  # places at which those are sought
# lengths of a size, and sizes, from which on an envelope is read: with 4 lengths over two decades, interpolation
# between them alone moved the best size by half
LEAST_ALONG, LEAST_SIZES = 5, 7


@dataclass(frozen=True)
class Reading:
    """N* at a budget, with its 95 % interval.

    how   equal compute: off curves of equal compute; envelope: off losses interpolated along each size's tokens
    """

    how: Literal["equal compute", "envelope"]
    params: float
    low: float
    high: float
    budgets: int


def readings(fit: FittedLaw, flops: float, price: Callable[[Array], Array]) -> tuple[Reading, ...]:
    """What the rows of a fit of params and tokens say by themselves about the best size at a budget; empty where they
    have neither curves of equal compute nor an envelope."""
    size = np.array([row.axes["params"] for row in fit.residuals])
    tokens = np.array([row.axes["tokens"] for row in fit.residuals])
    loss = np.array([row.observed for row in fit.residuals])
    runs = Runs(price(size) * tokens, size, tokens, loss, "recorded")
    curves = [curve_of(runs.take(group), "interpolate") for group in budgets_of(runs.flops)]
    others = [curve_of(runs.take(group), "local") for group in budgets_of(runs.flops)]
    if found := _read("equal compute", curves, others, flops):
        return (found,)
    curves, others = _envelope(runs)
    found = _read("envelope", curves, others, flops)
    return (found,) if found else ()


def _read(
    how: Literal["equal compute", "envelope"], curves: Sequence[Curve], others: Sequence[Curve], flops: float
) -> Reading | None:
    known = [(one, other) for one, other in zip(curves, others, strict=True) if one.is_bracketed]
    if len(known) < LEAST_CURVES:
        return None
    one, other = (Line.of([pair[i] for pair in known], "params").predict(flops) for i in range(2))
    between = abs(np.log(one[0] / other[0]))  # how far two ways to read a curve are apart
    low, high = (np.hypot(np.log(end / one[0]), between) for end in one[1:])
    return Reading(how, one[0], float(one[0] * np.exp(-low)), float(one[0] * np.exp(high)), len(known))


def _envelope(runs: Runs) -> tuple[list[Curve], list[Curve]]:
    """Curves of loss against size at budgets that no run need have, by two ways to interpolate and to read them: with
    monotone cubics and a spline, and with straight lines and a parabola."""
    from scipy.interpolate import PchipInterpolator

    along = {}
    for size in np.unique(runs.params):
        own = runs.take(np.flatnonzero(runs.params == size))
        flops = np.unique(own.flops)
        if len(flops) >= LEAST_ALONG:
            log = np.log(flops)
            mean = np.array([np.log(own.loss[own.flops == c]).mean() for c in flops])
            along[float(size)] = (log, mean, PchipInterpolator(log, mean), own.tokens[0] / own.flops[0])
    if len(along) < LEAST_SIZES:
        return [], []
    ends = [log for log, *_ in along.values()]
    found = []
    for at in np.linspace(min(log[0] for log in ends), max(log[-1] for log in ends), FINE):
        here = [
            (size, cubic(at), np.interp(at, log, mean), share)
            for size, (log, mean, cubic, share) in along.items()
            if log[0] <= at <= log[-1]
        ]
        if len(here) < LEAST_ON_CURVE:
            continue
        size, smooth, straight, share = np.array(here, dtype=float).T
        flops = np.full(len(size), np.exp(at))
        one, other = (Runs(flops, size, flops * share, np.exp(level), "recorded") for level in (smooth, straight))
        pair = curve_of(one, "interpolate"), curve_of(other, "local")
        if pair[0].is_bracketed and pair[1].is_bracketed:
            found.append(pair)
    chosen = [found[i] for i in np.unique(np.linspace(0, len(found) - 1, BUDGETS).round().astype(int))] if found else []
    return [one for one, _ in chosen], [other for _, other in chosen]
