"""The end of a run that is under way, forecast from the finished runs of its study.

The beginning of a run at a constant rate does not say what the decay of the rate will bring. Finished runs under the
same schedule do. With l the log loss at the share of the steps that the run has reached, and L that at the end, L - k l
is a plane in the logs of parameters and tokens, fitted to the finished runs. k is how much of a run's distance from the
others so far is left at the end. Of KEPT, and of evaluations and training losses, the narrowest interval stands. It is
the t interval of one more run, and grows with the distance of the run from the finished ones. A law of the loss curve
(laws/annealing.py) with the same finished runs was less exact: benchmarks/mid_run.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EARLIEST = 0.3  # of the steps; before, warmup and the first fall of the loss say little of the end
KEPT = (0.0, 0.25, 0.5, 0.75, 1.0)
WINDOW = 1 / 3  # of the share reached: training losses of the last third of the steps so far are averaged
LEAST_LOSSES = 3  # in that window
WIDEST_GAP = 0.1  # of the steps: evaluations farther apart are not interpolated
LEAST_FREEDOM = 2  # of the residuals; the t interval of one is 12.7 standard errors to each side
ALIKE = 0.05  # of a log count: counts that differ by less do not tell runs apart
STRANGE = 0.999  # a run whose loss so far lies outside this interval of the finished ones is not forecast


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Losses along a run; share: of the run's steps, in rising order."""

    share: NDArray[np.float64]
    loss: NDArray[np.float64]

    @property
    def reached(self) -> float:
        return float(self.share[-1]) if len(self.share) else 0.0


@dataclass(frozen=True, kw_only=True)
class RunCurve:
    """A run's course. params, tokens: of the whole run. final: its last loss; None while it is under way."""

    params: float
    tokens: float
    evaluations: Losses
    training: Losses
    final: float | None = None


@dataclass(frozen=True, kw_only=True)
class EndForecast:
    """Where a run will end; never a result.

    low, high    95 % interval of the final loss of this one run
    share        of the run's steps that the forecast has seen
    runs         finished runs that it comes from
    """

    loss: float
    low: float
    high: float
    share: float
    runs: int


def forecast_end(running: RunCurve, finished: Sequence[RunCurve]) -> EndForecast | None:
    """None where the finished runs do not tell the end: too few, other sizes or lengths than their plane reaches, fewer
    than EARLIEST of the steps done, or a loss so far that is unlike theirs."""
    evaluated = _beginnings(running.evaluations, [(one, one.evaluations) for one in finished], _evaluated)
    trained = _beginnings(running.training, [(one, one.training) for one in finished], _trained)
    kinds = [one for one in (evaluated, trained) if one.others]
    if any(_is_strange(running, one) for one in kinds):
        return None
    found = [end for end in (_from(running, one) for one in kinds) if end is not None]
    return min(found, key=lambda end: end.high / end.low, default=None)


@dataclass(frozen=True, kw_only=True)
class _Beginnings:
    """Log losses at one share: of the run, and of those of the finished runs that have one there."""

    share: float
    own: float
    others: Sequence[tuple[RunCurve, float]]

    @property
    def log_losses(self) -> NDArray[np.float64]:
        return np.array([log_loss for _, log_loss in self.others])


def _beginnings(
    own: Losses, others: Sequence[tuple[RunCurve, Losses]], level: Callable[[Losses, float], float | None]
) -> _Beginnings:
    now = level(own, own.reached) if EARLIEST <= own.reached < 1 else None
    if now is None:
        return _Beginnings(share=own.reached, own=np.nan, others=())
    known = [(one, level(losses, own.reached)) for one, losses in others if one.final is not None]
    pairs = [(one, log_loss) for one, log_loss in known if log_loss is not None]
    return _Beginnings(share=own.reached, own=now, others=pairs)


def _is_strange(running: RunCurve, beginnings: _Beginnings) -> bool:
    expected = _plane(_counts(beginnings), beginnings.log_losses, _log_counts(running), STRANGE)
    return expected is not None and abs(beginnings.own - expected.value) > expected.half


def _from(running: RunCurve, beginnings: _Beginnings) -> EndForecast | None:
    now, pairs, early = beginnings.own, beginnings.others, beginnings.log_losses
    at, here = _counts(beginnings), _log_counts(running)
    final = np.log([one.final for one, _ in pairs if one.final is not None])
    ends = [(kept, _plane(at, final - kept * early, here, 0.95)) for kept in KEPT]
    possible = [(end.half, kept * now + end.value) for kept, end in ends if end is not None]
    if not possible:
        return None
    half, middle = min(possible)
    return EndForecast(
        loss=float(np.exp(middle)),
        low=float(np.exp(middle - half)),
        high=float(np.exp(middle + half)),
        share=beginnings.share,
        runs=len(pairs),
    )


def _counts(beginnings: _Beginnings) -> NDArray[np.float64]:
    return np.array([_log_counts(one) for one, _ in beginnings.others])


def _log_counts(run: RunCurve) -> NDArray[np.float64]:
    return np.log([run.params, run.tokens])


@dataclass(frozen=True)
class _Predicted:
    value: float
    half: float  # of the interval


def _plane(
    at: NDArray[np.float64], values: NDArray[np.float64], here: NDArray[np.float64], level: float
) -> _Predicted | None:
    """One more value at `here`, of the plane through the values; flat along what does not vary. None where `here` lies
    off the line or point that all `at` lie on, or fewer than two degrees of freedom are left; one is spent on k.

    Seeds of one rung are one point, their mean: that a plane is not the form shows between rungs, not between seeds.
    """
    from scipy.special import stdtrit  # the quantile of t

    rungs, rung_of = np.unique(at.round(2), axis=0, return_inverse=True)
    num_seeds = np.bincount(rung_of.ravel())
    means = np.bincount(rung_of.ravel(), values) / num_seeds
    between_seeds = values - means[rung_of.ravel()]
    seeds_freedom = len(at) - len(rungs) - (len(rungs) == 1)
    if len(rungs) == 1:
        if seeds_freedom < LEAST_FREEDOM or np.abs(here - rungs[0]).max() > ALIKE:
            return None
        spread = np.sqrt(np.sum(between_seeds**2) / seeds_freedom * (1 + 1 / len(at)))
        return _Predicted(float(means[0]), float(stdtrit(seeds_freedom, (1 + level) / 2) * spread))
    centre = rungs.mean(axis=0)
    _, spreads, directions = np.linalg.svd((rungs - centre) / np.sqrt(len(rungs)), full_matrices=True)
    varies = np.pad(spreads, (0, 2 - len(spreads))) > ALIKE
    offset = directions @ (here - centre)
    freedom = len(rungs) - 2 - int(varies.sum())
    if freedom < LEAST_FREEDOM or np.abs(offset[~varies]).max(initial=0.0) > 2 * ALIKE:
        return None
    design = np.column_stack([np.ones(len(rungs)), (rungs - centre) @ directions[varies].T])
    inverse = np.linalg.inv(design.T @ design)
    fitted = inverse @ design.T @ means
    point = np.concatenate([[1.0], offset[varies]])
    variance = float(np.sum((means - design @ fitted) ** 2)) / freedom
    within = float(np.sum(between_seeds**2)) / seeds_freedom if seeds_freedom else 0.0
    one_run = within * (1 - 1 / num_seeds.mean())  # the mean of a rung's seeds is nearer than one of them
    half = stdtrit(freedom, (1 + level) / 2) * np.sqrt(variance * (1 + point @ inverse @ point) + one_run)
    return _Predicted(float(point @ fitted), float(half))


def _evaluated(losses: Losses, share: float) -> float | None:
    """The log loss at that share, between the evaluations around it."""
    after = int(np.searchsorted(losses.share, share - 1e-9))
    if after == len(losses.share):
        return None
    if losses.share[after] - share < 1e-9:
        return float(np.log(losses.loss[after]))
    if after == 0 or losses.share[after] - losses.share[after - 1] > WIDEST_GAP:
        return None
    return float(np.interp(np.log(share), np.log(losses.share), np.log(losses.loss)))


def _trained(losses: Losses, share: float) -> float | None:
    """The mean log loss over the window that ends at that share."""
    window = (losses.share > share * (1 - WINDOW)) & (losses.share <= share + 1e-9)
    if losses.reached < share - 1e-9 or window.sum() < LEAST_LOSSES:
        return None
    return float(np.log(losses.loss[window]).mean())
