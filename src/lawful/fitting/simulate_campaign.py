"""A campaign simulated beforehand: what a goal will cost, and the chance of reaching it, beside a grid."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lawful.checks import NaturalInt, PositiveFloat, PositiveInt, argument
from lawful.errors import DeclarationError, Refusal
from lawful.fitting.allocate import SURFACE
from lawful.fitting.data import sample
from lawful.fitting.fit_sample import fit_sample
from lawful.fitting.fitted import FittedLaw
from lawful.fitting.goal import Goal, answers, fitting_goal, largest_compute, read_goal
from lawful.fitting.next_runs import NextRun, next_runs
from lawful.fitting.records import expect_fit
from lawful.fitting.simulated_runs import Reach, Row, Truth, cost_of_rows, reach_of, start_points, truth_of
from lawful.fitting.stopping import Reached, has_reached
from lawful.laws import Law, named
from lawful.tables import by_role

START_SHARE = 0.1  # of the budget, which the first runs may take
DRAWS = 200  # the fewest that give percentiles: a simulation makes hundreds of fits
GRIDS = (4, 5, 6, 8)  # levels of each axis of the grids beside the campaign
MOST_CAMPAIGNS, MOST_NOISE = 10_000, 1.0


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at one campaign: what was spent until then, and what the rule said."""

    runs: int
    cost: float
    reached: Reached


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """One simulated campaign. truth: of the answer; grid: the cost of the smallest grid that reaches the goal, if one
    of those that were tried does."""

    truth: float
    looks: tuple[Look, ...]
    cost: float
    runs: int
    grid: float | None

    @property
    def is_reached(self) -> bool:
        return bool(self.looks) and self.looks[-1].reached.is_reached

    @property
    def is_covered(self) -> bool:
        """The interval at the stop, or at the last look of a campaign that never stopped, holds the truth."""
        low, high = self.looks[-1].reached.interval if self.looks else (-math.inf, math.inf)
        return low <= self.truth <= high


@dataclass(frozen=True, kw_only=True)
class SimulatedCampaign:
    """What a campaign can be expected to take, over simulated ones.

    chance     share of the campaigns that reach the goal within the budget
    coverage   share of all whose last interval holds the truth
    cost       median, in the unit of the budget; of those that do not reach the goal, what they spent
    rounds     median number of looks; runs: of runs
    grid       median cost of the smallest grid over the same ranges (or of all candidates) that reaches the goal;
               infinite where most do not
    """

    goal: str
    budget: float
    prior: str
    chance: float
    coverage: float
    cost: float
    rounds: float
    runs: float
    grid: float
    campaigns: tuple[Simulated, ...]

    def __repr__(self) -> str:
        return (
            f"<SimulatedCampaign for {self.goal!r}: reached in {100 * self.chance:.0f} % of {len(self.campaigns)}, "
            f"{self.cost:.3g} of {self.budget:.3g} FLOPs in {self.rounds:g} rounds; a grid {self.grid:.3g}>"
        )


def simulate_campaign(
    prior: FittedLaw | str,
    *,
    goal: str,
    budget: float,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    candidates: Sequence[Mapping[str, float]] | None = None,
    batch: int = 8,
    noise: float | None = None,
    campaigns: int = 20,
    seed: int = 0,
) -> SimulatedCampaign:
    """Simulate campaigns before the first run: what a goal costs, and the chance of reaching it.

    Parameters
    ----------
    prior
        What runs are taken to be like: the fit of a sister study, whose uncertainty is drawn from; or the name of a law
        of params and tokens, whose parameters are then drawn from what is usual.
    goal
        As in `next_runs`.
    budget
        FLOPs (6 N D) for all runs.
    ranges
        params and tokens -> (low, high), where runs can be done.
    candidates
        Instead of ranges, the runs that can be done, params and tokens each; one that is listed twice can be done
        twice.
    batch
        The largest number of runs in a round.
    noise
        Spread of one run's log loss; by default the sister fit's, or between .002 and .008.
    campaigns
        How many are simulated, each with parameters of its own.
    seed
        Of all draws.

    Returns
    -------
    SimulatedCampaign
        The chance, the medians, what a grid over the same ranges (or all candidates) would cost, and each campaign.

    Raises
    ------
    DeclarationError
        A goal, range or budget that no campaign can have.

    Notes
    -----
    A campaign begins with 8 runs spread over the cheap part of the ranges; then each round fits the table, stops by
    `has_reached`, or takes the runs that `next_runs` chooses. The law is known here, its parameters are not: what a
    wrong law adds to the cost is not simulated.

    Examples
    --------
    >>> found = lawful.simulate_campaign(
    ...     "chinchilla", goal="N_exponent within .1", budget=1e20, campaigns=2,
    ...     ranges={"params": (1e7, 1e9), "tokens": (1e8, 1e10)},
    ... )
    >>> 0 <= found.chance <= 1
    True
    """
    total, count = argument("budget", budget, PositiveFloat), argument("batch", batch, PositiveInt)
    number, first = argument("campaigns", campaigns, PositiveInt), argument("seed", seed, NaturalInt)
    spread = argument("noise", noise, PositiveFloat | None)
    law = named(argument("prior", prior, str)) if isinstance(prior, str) else _law_of(prior)
    if set(law.inputs) != set(SURFACE):
        raise DeclarationError(f"prior: expected a law of params and tokens, got {law.spec}.")
    if spread is not None and spread >= MOST_NOISE:
        raise DeclarationError(f"noise: expected the spread of log loss, below {MOST_NOISE:g}; got {spread:g}.")
    if number > MOST_CAMPAIGNS:
        raise DeclarationError(f"campaigns: expected at most {MOST_CAMPAIGNS:,}, got {number:,}.")
    where = reach_of(ranges, candidates)
    stated = read_goal(argument("goal", goal, str))
    if stated.name in law.coefficients and stated.name.endswith("_pivot"):
        raise DeclarationError(
            f"goal: {stated.name} is the coefficient in the middle of the runs, which moves with them."
        )
    points = start_points(where, START_SHARE * total)
    if (least := cost_of_rows(points)) > total:
        raise DeclarationError(
            f"budget: expected at least {least:.3g} FLOPs, which the {len(points)} runs of the start cost; got "
            f"{total:.3g}. Raise it, or lower the ranges."
        )
    found = []
    for i in range(number):
        rng = np.random.default_rng([first, i])
        truth = truth_of(prior, where, spread, rng)
        found.append(_simulated(truth, stated, points, total, count, where, rng))
    grids = [math.inf if one.grid is None else one.grid for one in found]
    return SimulatedCampaign(
        goal=stated.text,
        budget=total,
        prior=prior if isinstance(prior, str) else f"the fit of {prior.law} to {prior.nobs} runs",
        chance=float(np.mean([one.is_reached for one in found])),
        coverage=float(np.mean([one.is_covered for one in found])),
        cost=float(np.median([one.cost for one in found])),
        rounds=float(np.median([len(one.looks) for one in found])),
        runs=float(np.median([one.runs for one in found])),
        grid=float(np.median(grids)),
        campaigns=tuple(found),
    )


def _law_of(fit: FittedLaw) -> Law:
    expect_fit(fit)
    return fit.model


def looks(
    truth: Truth,
    goal: str,
    points: list[dict[str, float]],
    budget: float,
    batch: int,
    where: Reach,
    rng: np.random.Generator,
) -> Iterator[tuple[FittedLaw, list[Row]]]:
    """The fit of each round and its rows, until the budget is spent or nothing is chosen any more."""
    law = truth.law.law
    rows = [truth.row(at, i, rng) for i, at in enumerate(points)]
    while True:
        fit = fitted(rows, law)
        left = budget - cost_of_rows(rows)
        open_ = where.left(rows)
        if fit is None:  # the rows do not determine the law yet: the start once more, in other places
            chosen = start_points(where, cost_of_rows(points), rng) if open_ is None else open_[: len(points)]
        else:
            yield fit, rows
            least = min((cost_of_rows([one]) for one in (where.points if open_ is None else open_)), default=math.inf)
            if left < least:
                return
            chosen = [dict(run.at) for run in _next(fit, goal, where, open_, left, batch, int(rng.integers(2**31)))]
        if not chosen or cost_of_rows(chosen) > left:
            return
        rows = [*rows, *(truth.row(at, len(rows) + i, rng) for i, at in enumerate(chosen))]


def _next(
    fit: FittedLaw,
    goal: str,
    where: Reach,
    open_: list[dict[str, float]] | None,
    left: float,
    batch: int,
    seed: int,
) -> tuple[NextRun, ...]:
    return next_runs(fit, goal=goal, budget=left, batch=batch, ranges=where.ranges, candidates=open_, seed=seed).runs


def fitted(rows: list[Row], law: Law) -> FittedLaw | None:
    try:
        return fit_sample(sample(by_role(rows), law, {}), law, draws=DRAWS, has_sensitivity=False)
    except Refusal:
        return None


def _simulated(
    truth: Truth,
    goal: Goal,
    points: list[dict[str, float]],
    budget: float,
    batch: int,
    where: Reach,
    rng: np.random.Generator,
) -> Simulated:
    found: list[Look] = []
    rows: list[Row] = []
    answer = math.nan
    for fit, rows in looks(truth, goal.text, points, budget, batch, where, rng):
        answer = answer_of(fitting_goal(goal, fit), truth, largest_compute(fit))
        reached = has_reached(fit, goal.text, candidates=where.left(rows))
        found.append(Look(runs=len(rows), cost=cost_of_rows(rows), reached=reached))
        if found[-1].reached.is_reached:
            break
    return Simulated(
        truth=answer, looks=tuple(found), cost=cost_of_rows(rows), runs=len(rows), grid=_grid(truth, goal, where, rng)
    )


def _grid(truth: Truth, goal: Goal, where: Reach, rng: np.random.Generator) -> float | None:
    """What the smallest grid costs that reaches the goal; of candidates, all of them."""
    for points in _grids(where):
        fit = fitted([truth.row(at, i, rng) for i, at in enumerate(points)], truth.law.law)
        nothing = None if where.ranges is not None else list[dict[str, float]]()
        if fit is not None and has_reached(fit, goal.text, candidates=nothing).is_reached:
            return cost_of_rows(points)
    return None


def _grids(where: Reach) -> list[list[dict[str, float]]]:
    """From the smallest; two points of each are run twice, so that there are replicates."""
    if where.ranges is None:
        return [list(where.points)]
    out = []
    for levels in GRIDS:
        axes = [np.geomspace(*where.ranges[axis], levels) for axis in SURFACE]
        points = [{"params": float(n), "tokens": float(d)} for n in axes[0] for d in axes[1]]
        out.append([*points, points[0], points[levels - 1]])
    return out


def answer_of(goal: Goal, truth: Truth, flops: float) -> float:
    """flops: where exponents of the best size are read."""
    values = {name: np.array([value]) for name, value in truth.law.values.items()}
    found = float(answers(goal, truth.law, values, flops)[0])
    return math.exp(found) if goal.name == "loss" else found
