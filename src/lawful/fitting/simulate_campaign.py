"""A campaign simulated beforehand: what a goal will cost, and the chance of reaching it, beside a grid."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from lawful.checks import NaturalInt, PositiveFloat, PositiveInt, argument
from lawful.errors import DeclarationError, Refusal
from lawful.fitting.allocate import SURFACE
from lawful.fitting.data import sample
from lawful.fitting.fit_sample import fit_sample
from lawful.fitting.fitted import FittedLaw, run_spread
from lawful.fitting.goal import Goal, answers, fitting_goal, read_goal
from lawful.fitting.information import own_sister
from lawful.fitting.next_runs import next_runs
from lawful.fitting.records import expect_fit
from lawful.fitting.sisters import Sister
from lawful.fitting.stopping import Reached, has_reached
from lawful.laws import Law, named
from lawful.tables import by_role

START = 8  # runs that a campaign begins with: enough to fit a law of five parameters, and to estimate its noise
START_SHARE = 0.1  # of the budget, which they may take
START_LEVELS = 8  # of each axis, at which they lie
DRAWS = 200  # the fewest that give percentiles: a simulation makes hundreds of fits
GRIDS = (4, 5, 6, 8)  # levels of each axis of the grids beside the campaign
MOST_CAMPAIGNS, MOST_NOISE = 10_000, 1.0
# what a law of the catalogue is taken to be: about what is published of language models in nats. Coefficients are
# losses in the middle of the ranges
FLOOR, COEFFICIENT = (1.2, 2.0), (0.3, 0.9)
MIDDLE = (0.25, 0.75)  # of a shape's usual values, on the scale of logarithms
NOISE = (0.002, 0.008)  # spread of log loss between seeds, of public tables

Row = dict[str, float | str]


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
    grid       median cost of the smallest grid over the same ranges that reaches the goal; infinite where most do not
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
    ranges: Mapping[str, tuple[float, float]],
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
        The chance, the medians, what a grid over the same ranges would cost, and each campaign.

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
    within = _checked(ranges)
    stated = read_goal(argument("goal", goal, str))
    points = start_points(within, START_SHARE * total)
    if (least := cost_of_rows(points)) > total:
        raise DeclarationError(
            f"budget: expected at least {least:.3g} FLOPs, which the {START} runs of the start cost; got {total:.3g}. "
            "Raise it, or lower the ranges."
        )
    found = []
    for i in range(number):
        rng = np.random.default_rng([first, i])
        truth = truth_of(prior, within, spread, rng)
        found.append(_simulated(truth, stated, points, total, count, within, rng))
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


@dataclass(frozen=True)
class Truth:
    """A law with values, and the spread of one run's log loss about it."""

    law: Sister
    noise: float

    def row(self, at: Mapping[str, float], number: int, rng: np.random.Generator) -> Row:
        values = {name: np.array([value]) for name, value in self.law.values.items()}
        loss = self.law.loss(values, {axis: np.array([value]) for axis, value in at.items()})[0, 0]
        return {**at, "loss": float(loss * np.exp(self.noise * rng.standard_normal())), "run": f"run {number}"}


def looks(
    truth: Truth,
    goal: str,
    points: list[dict[str, float]],
    budget: float,
    batch: int,
    ranges: Mapping[str, tuple[float, float]],
    rng: np.random.Generator,
) -> Iterator[tuple[FittedLaw, list[Row]]]:
    """The fit of each round and its rows, until the budget is spent or nothing is chosen any more."""
    law = truth.law.law
    rows = [truth.row(at, i, rng) for i, at in enumerate(points)]
    while True:
        fit = fitted(rows, law)
        left = budget - cost_of_rows(rows)
        if fit is None:  # the rows do not determine the law yet: the start once more, in other places
            chosen = start_points(ranges, cost_of_rows(points), rng)
        else:
            yield fit, rows
            if left < 6 * ranges["params"][0] * ranges["tokens"][0]:
                return
            plan = next_runs(fit, goal=goal, budget=left, batch=batch, ranges=ranges, seed=int(rng.integers(2**31)))
            chosen = [dict(run.at) for run in plan.runs]
        if not chosen or cost_of_rows(chosen) > left:
            return
        rows = [*rows, *(truth.row(at, len(rows) + i, rng) for i, at in enumerate(chosen))]


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
    ranges: Mapping[str, tuple[float, float]],
    rng: np.random.Generator,
) -> Simulated:
    found: list[Look] = []
    rows: list[Row] = []
    answer = math.nan
    for fit, rows in looks(truth, goal.text, points, budget, batch, ranges, rng):
        if not found:
            answer = answer_of(fitting_goal(goal, fit), truth, ranges)
        found.append(Look(runs=len(rows), cost=cost_of_rows(rows), reached=has_reached(fit, goal.text)))
        if found[-1].reached.is_reached:
            break
    return Simulated(
        truth=answer, looks=tuple(found), cost=cost_of_rows(rows), runs=len(rows), grid=_grid(truth, goal, ranges, rng)
    )


def _grid(
    truth: Truth, goal: Goal, ranges: Mapping[str, tuple[float, float]], rng: np.random.Generator
) -> float | None:
    """What the smallest grid costs that reaches the goal. Its corners are run twice, so that it has replicates."""
    for levels in GRIDS:
        axes = [np.geomspace(*ranges[axis], levels) for axis in SURFACE]
        points = [{"params": float(n), "tokens": float(d)} for n in axes[0] for d in axes[1]]
        points += [points[0], points[levels - 1]]
        fit = fitted([truth.row(at, i, rng) for i, at in enumerate(points)], truth.law.law)
        if fit is not None and has_reached(fit, goal.text).is_reached:
            return cost_of_rows(points)
    return None


def answer_of(goal: Goal, truth: Truth, ranges: Mapping[str, tuple[float, float]]) -> float:
    values = {name: np.array([value]) for name, value in truth.law.values.items()}
    largest = 6 * ranges["params"][1] * ranges["tokens"][1]
    found = float(answers(goal, truth.law, values, largest)[0])
    return math.exp(found) if goal.name == "loss" else found


def truth_of(
    prior: FittedLaw | str, ranges: Mapping[str, tuple[float, float]], noise: float | None, rng: np.random.Generator
) -> Truth:
    if isinstance(prior, FittedLaw):
        sister = own_sister(prior)
        values = {name: float(column[0]) for name, column in sister.drawn(1, rng).items()}
        return Truth(replace(sister, values=values), run_spread(prior) if noise is None else noise)
    law = named(prior)
    values = {name: float(rng.uniform(*(FLOOR if name == "E" else COEFFICIENT))) for name in law.coefficients}
    for shape in law.shapes:
        low, high = np.log(shape.starts or (shape.low, shape.high))
        values[shape.name] = float(np.exp(rng.uniform(*np.quantile([low, high], MIDDLE))))
    pivot = {axis: math.sqrt(low * high) for axis, (low, high) in ranges.items()}
    own = Sister(prior, law, values, (), np.zeros((0, 0)), 1.0, 0.0, pivot, dict(ranges))
    return Truth(own, math.exp(rng.uniform(*np.log(NOISE))) if noise is None else noise)


def start_points(
    ranges: Mapping[str, tuple[float, float]], budget: float, rng: np.random.Generator | None = None
) -> list[dict[str, float]]:
    """Points spread over the part of the ranges that an equal share of the budget pays for; the cheapest where it pays
    for none. Each is the farthest from those taken."""
    levels = [np.geomspace(*ranges[axis], START_LEVELS) for axis in SURFACE]
    mesh = np.stack([one.ravel() for one in np.meshgrid(*levels, indexing="ij")], axis=1)
    costs = 6 * mesh.prod(axis=1)
    scaled = np.log(mesh / mesh.min(axis=0))
    scaled = scaled / np.maximum(scaled.max(axis=0), 1e-12)
    may = np.flatnonzero(costs <= max(budget / START, np.sort(costs)[START - 1]))
    taken = [int(may[0]) if rng is None else int(rng.choice(may))]
    while len(taken) < START:
        away = ((scaled[may][:, None] - scaled[taken][None]) ** 2).sum(-1).min(axis=1)
        taken.append(int(may[np.argmax(away)]))
    return [dict(zip(SURFACE, map(float, mesh[i]), strict=True)) for i in taken]


def cost_of_rows(rows: list[Row] | list[dict[str, float]]) -> float:
    return float(sum(6 * float(row["params"]) * float(row["tokens"]) for row in rows))


def _checked(ranges: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    given = argument("ranges", ranges, Mapping[str, tuple[PositiveFloat, PositiveFloat]])
    if set(given) != set(SURFACE):
        raise DeclarationError(f"ranges: expected params and tokens, got {', '.join(given) or 'nothing'}.")
    for axis, (low, high) in given.items():
        if not low < high:
            raise DeclarationError(f"ranges: {axis}: expected the smaller end first, got {low:g}..{high:g}.")
    return dict(given)
