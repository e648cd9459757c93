"""Whether a study's rungs sit at their best learning rate, by its brackets, and what a miss costs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lawful.checks import AnyFloat
from lawful.fitting.allocate import Interval
from lawful.fitting.optima_law import OptimumLaw, optimum_law
from lawful.fitting.quantiles import t_quantile
from lawful.laws import Array
from lawful.linter.groups import all_but
from lawful.linter.rates import UNKNOWN_NOISE, seed_spread
from lawful.schema import PlannedRun

LEAST_RATES = 3  # through which a parabola has a lowest point
SPARE_CELLS = 2  # brackets beyond the law's coefficients, as `lawful optimum` asks


@dataclass(frozen=True, kw_only=True)
class RateBracket:
    """One rung and the rates tried beside it.

    best     the best rate with its 95 % interval; None where `why` says why there is none
    miss     the loss that the rung's own rate costs, and the most that the interval leaves open
    bend     second derivative of the loss by the logarithm of the rate
    """

    rung: PlannedRun
    tried: tuple[float, ...]
    best: Interval | None
    miss: tuple[AnyFloat, AnyFloat] | None
    bend: AnyFloat
    why: str = ""

    @property
    def is_at_best(self) -> bool | None:
        """Whether the rung's rate lies in the interval of the best; None where that is not known."""
        return None if self.best is None else self.best.low <= self.rung.learning_rate <= self.best.high


@dataclass(frozen=True, kw_only=True)
class Ahead:
    """A size and length beyond the brackets: the rate that the law of the best rates gives, and what the rung's own
    costs there, by the bend of the brackets."""

    rung: PlannedRun
    best: Interval
    miss: AnyFloat


@dataclass(frozen=True, kw_only=True)
class RateBrackets:
    """brackets of all rungs that have some; law: of the best rate, None where brackets are too few; ahead: larger
    rungs."""

    brackets: tuple[RateBracket, ...]
    law: OptimumLaw | None
    ahead: tuple[Ahead, ...]


def rate_brackets(runs: Sequence[PlannedRun], losses: Mapping[str, float]) -> RateBrackets | None:
    """None where no rung has a bracket. losses: run -> its loss; infinite where it diverged."""
    groups: dict[object, list[PlannedRun]] = defaultdict(list)
    bracketed = {all_but("rate", run) for run in runs if run.bracket is not None}
    for run in runs:
        if not run.starts_from and all_but("rate", run) in bracketed:
            groups[all_but("rate", run)].append(run)
    if not groups:
        return None
    spread, dof = seed_spread(runs, losses)
    found, variances = [], []
    for group in groups.values():
        own = next((run for run in group if run.bracket is None), None)
        if own is None:
            continue
        noise = spread if dof else UNKNOWN_NOISE * losses.get(own.run, math.nan)
        one, variance = _bracket(own, group, losses, noise, dof)
        found.append(one)
        variances.append(variance)
    law, inputs = _law(found, variances)
    return RateBrackets(brackets=tuple(found), law=law, ahead=_ahead(runs, found, law, inputs))


def _bracket(
    own: PlannedRun, group: Sequence[PlannedRun], losses: Mapping[str, float], noise: float, dof: int
) -> tuple[RateBracket, float]:
    """With the variance of the log of the best rate."""
    known = sorted(
        (run.learning_rate, losses[run.run]) for run in group if math.isfinite(losses.get(run.run, math.nan))
    )
    tried = tuple(sorted(run.learning_rate for run in group if run.run in losses))

    def none(why: str) -> tuple[RateBracket, float]:
        return RateBracket(rung=own, tried=tried, best=None, miss=None, bend=math.nan, why=why), math.nan

    if own.learning_rate not in [rate for rate, _ in known]:
        return none("its own run has not finished")
    if len(known) < LEAST_RATES:
        return none(f"{len(known)} rates have finished; {LEAST_RATES} are needed")
    lowest = min(range(len(known)), key=lambda i: known[i][1])
    if lowest in (0, len(known) - 1):
        side = "lowest" if lowest == 0 else "highest"
        return none(f"the {side} rate tried is the best: the best may lie beyond it")
    near = known[lowest - 1 : lowest + 2]
    u = np.log([rate for rate, _ in near])
    centre = float(u[1])
    weights = np.linalg.inv(np.vander(u - centre, 3))  # rows: coefficients of u^2, u, 1 as sums of the losses
    square, slope, _ = weights @ np.array([loss for _, loss in near])
    at = -slope / (2 * square)
    pull = -(weights[1] + 2 * at * weights[0]) / (2 * square)
    stderr, bend_error = noise * float(np.linalg.norm(pull)), noise * float(np.linalg.norm(weights[0]))
    t = t_quantile(0.975, dof or 1e6)
    if square < t * bend_error:
        return none("the losses differ by no more than seeds do: no rate tried is shown to be worse")
    reach = t * stderr
    best = Interval(*(math.exp(centre + at + side * reach) for side in (0, -1, 1)))
    off = abs(math.log(own.learning_rate) - centre - at)
    miss = (float(square * off**2), float(square * (off + reach) ** 2))
    return RateBracket(rung=own, tried=tried, best=best, miss=miss, bend=2 * float(square)), stderr**2


def _law(found: Sequence[RateBracket], variances: Sequence[float]) -> tuple[OptimumLaw | None, tuple[str, ...]]:
    """The law of the best rate, along size and tokens if they vary over the brackets; None if brackets are too few."""
    kept = [i for i, one in enumerate(found) if one.best is not None]
    if not kept or len({found[i].rung.arm for i in kept}) > 1:  # arms may have rates of their own
        return None, ()
    points = [_point(found[i].rung) for i in kept]
    inputs = tuple(name for name in ("N", "D") if len({point[name] for point in points}) > 1)
    design = np.log([[point[name] for name in inputs] for point in points]) if inputs else np.zeros((len(points), 0))
    rank = np.linalg.matrix_rank(design - design.mean(axis=0), tol=1e-6) if inputs else 0
    if inputs and rank < len(inputs):
        inputs = inputs[:rank]  # size and tokens grow together: a law of the size says it
    if not inputs or len(kept) < len(inputs) + 1 + SPARE_CELLS:
        return None, ()
    logs: Array = np.log([one.value for i in kept if (one := found[i].best) is not None])
    law = optimum_law("learning_rate", inputs, points, logs, np.array([variances[i] for i in kept]), ())
    return law, inputs


def _point(rung: PlannedRun) -> dict[str, float]:
    return {"N": float(rung.params_non_embedding), "D": float(rung.tokens)}


def _ahead(
    runs: Sequence[PlannedRun], found: Sequence[RateBracket], law: OptimumLaw | None, inputs: Sequence[str]
) -> tuple[Ahead, ...]:
    """The first rung of each size and length that is larger than all brackets along an input of the law."""
    if law is None:
        return ()
    most = {name: max(_point(one.rung)[name] for one in found if one.best is not None) for name in inputs}
    bend = float(np.median([one.bend for one in found if one.best is not None]))
    out, seen = [], set()
    for run in runs:
        point = {name: _point(run)[name] for name in inputs}
        key = tuple(point.values())
        if run.is_of_ladder and key not in seen and any(point[name] > most[name] for name in inputs):
            seen.add(key)
            best = law.predict(is_of_cell=True, **point)
            out.append(Ahead(rung=run, best=best, miss=bend / 2 * math.log(run.learning_rate / best.value) ** 2))
    return tuple(out)
