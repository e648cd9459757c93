"""Which runs to do next, so that a stated answer narrows most for each FLOP: one round of a campaign."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lawful.checks import NaturalInt, PositiveFloat, PositiveInt, argument
from lawful.errors import DeclarationError
from lawful.fitting.cautions import rests_on
from lawful.fitting.cost import Cost, cost_of
from lawful.fitting.data import ROLES
from lawful.fitting.design import price
from lawful.fitting.fitted import FittedLaw
from lawful.fitting.goal import fitting_goal, half_width_of, read_goal
from lawful.fitting.information import Knowledge, Points, knowledge
from lawful.fitting.quantiles import t_quantile
from lawful.fitting.records import expect_fit
from lawful.fitting.stopping import LEAST_REPLICATES, LEAST_RUNGS, WIDENED, decisive
from lawful.laws import Array
from lawful.schema import Warning

LEVELS = 10  # of each axis over its range, beside the points that the table has
MOST_OWN = 60  # points of the table that may be repeated; of more, evenly many
MOST_BATCH = 1000
# of the budget, what a round costs beside its runs: without it, the best run for each FLOP is the cheapest for ever
ROUND = 0.01
BRANCH = "branch_of"  # of a candidate: the run whose trunk it shares
COST = "cost"  # of a candidate: what it costs, in place of 6 N D


@dataclass(frozen=True, kw_only=True)
class NextRun:
    """A run to do. expected: the half-width of the answer after it and those before it; why: one line."""

    at: Mapping[str, float]
    cost: float
    expected: float
    why: str
    branch_of: str | None = None


@dataclass(frozen=True, kw_only=True)
class NextRuns:
    """A batch of runs, in the order in which they were chosen; each was chosen given those before it.

    goal       as it was stated
    half_width the goal's; of a loss, of its logarithm
    now        the half-width of the 95 % interval today; infinite where there is none
    expected   the half-width after the batch
    is_met     expected, widened as `has_reached` does, is within the goal's
    cost       of the batch, in FLOPs or in the unit of the cost's formula
    laws       the laws over which the choice was averaged -> their weights
    """

    goal: str
    half_width: float
    now: float
    expected: float
    is_met: bool
    cost: float
    budget: float
    priced_by: str
    laws: Mapping[str, float]
    runs: tuple[NextRun, ...]
    warnings: tuple[Warning, ...]

    def __repr__(self) -> str:
        return (
            f"<NextRuns for {self.goal!r}: {len(self.runs)} runs of {self.cost:.3g} FLOPs; half-width {self.now:.3g} "
            f"now, {self.expected:.3g} expected after them>"
        )


def next_runs(
    fit: FittedLaw,
    *,
    goal: str,
    budget: float,
    batch: int = 8,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    candidates: Sequence[Mapping[str, float | str]] | None = None,
    cost: str | None = None,
    seed: int = 0,
) -> NextRuns:
    """Choose the runs to do next, so that the answer narrows most for each FLOP.

    Parameters
    ----------
    fit
        Of the runs so far, by a law that prices runs in FLOPs.
    goal
        "NAME within HALF-WIDTH" (a parameter, N_exponent, D_exponent), "L at 1e20 within 1 %" (the lowest loss of a
        compute), or "L at params=7e9,tokens=1.4e11 within 1 %".
    budget
        FLOPs that are left for the batch.
    batch
        The largest number of runs.
    ranges
        Axis -> (low, high), where runs can be done; by default where the runs so far are.
    candidates
        Instead of ranges, the runs that can be done: the law's axes; "branch_of", the name of a run whose trunk and
        noise it shares; "cost", what it costs where that is not 6 N D. Each can be done once.
    cost
        A formula of N and D, as `allocate` takes it; by default 6 N D.
    seed
        Of the draws over which the choice is averaged.

    Returns
    -------
    NextRuns
        The runs with a reason each, and the half-width that is expected after them.

    Raises
    ------
    DeclarationError
        A goal, range, candidate or budget that the law does not have, or a budget below every candidate's cost.

    Notes
    -----
    A run is worth the expected fall of the log half-width of the answer, over the laws that forecasts average over and
    draws of their parameters, for each FLOP. Rows at one point share an error of the rung; branches of a trunk share
    theirs; where the law has not the form of the runs, neighbours share what it lacks. A pure function of its
    arguments.

    Examples
    --------
    >>> plan = lawful.next_runs(fit, goal="N_exponent within .02", budget=1e21, batch=4)
    >>> plan.expected < plan.now
    True
    """
    expect_fit(fit)
    spendable = argument("budget", budget, PositiveFloat)
    count, number = argument("batch", batch, PositiveInt), argument("seed", seed, NaturalInt)
    if count > MOST_BATCH:
        raise DeclarationError(f"batch: expected at most {MOST_BATCH:,} runs, got {count:,}.")
    if not fit.data.response.is_log:
        raise DeclarationError(f"next: expected a law of losses; {fit.law} is of {fit.data.columns['loss']}.")
    stated = fitting_goal(read_goal(argument("goal", goal, str)), fit)
    priced_by, costs_of = _costs(fit, argument("cost", cost, str | None))
    points, names = _candidates(fit, ranges, candidates)
    costs = costs_of(points.at)
    if candidates is not None:
        costs = np.array([float(row.get(COST, own)) for row, own in zip(candidates, costs, strict=True)])
    if not (np.isfinite(costs) & (costs > 0)).all():
        raise DeclarationError(f"cost: expected a cost above 0 of every run, got {costs.min():.3g} ({priced_by}).")
    if costs.min() > spendable:
        raise DeclarationError(
            f"budget: expected at least {costs.min():.3g}, which the cheapest possible run costs ({priced_by}); "
            f"got {spendable:.3g}. Raise it, or lower the ranges."
        )
    known = knowledge(fit, stated, _rows(fit, points, names), points, number)
    now = half_width_of(stated, fit)
    width = _Width(known, now, fit.dof)

    def is_enough(of: Knowledge, runs: int) -> bool:
        return WIDENED * width(of, runs) <= stated.half_width

    rests = decisive(stated, fit) if WIDENED * now <= stated.half_width else None
    cell = (
        None if rests is None else _keys(fit, points.at)[_logs({axis: np.array([v]) for axis, v in rests.items()})[0]]
    )
    chosen = _chosen(known, costs, spendable, count, is_enough, cell, is_once=candidates is not None)
    runs = _described(known, chosen, costs, width, names)
    expected = runs[-1].expected if runs else now
    return NextRuns(
        goal=stated.text,
        half_width=stated.half_width,
        now=now,
        expected=expected,
        is_met=WIDENED * expected <= stated.half_width,
        cost=float(costs[[i for i, _ in chosen]].sum()),
        budget=spendable,
        priced_by=priced_by,
        laws=dict(zip(known.laws, map(float, known.weights), strict=True)),
        runs=runs,
        warnings=rests_on(fit),
    )


def _costs(fit: FittedLaw, formula: str | None) -> tuple[str, Callable[[Mapping[str, Array]], Array]]:
    inputs = fit.model.inputs
    if {"params", "tokens"} <= set(inputs):
        cost: Cost = cost_of(formula, 0.0, {})
        return cost.text, lambda at: np.asarray(cost.of(at["params"], at["tokens"]))
    unit, _ = price(inputs)
    if unit != "FLOPs" or formula is not None:
        raise DeclarationError(
            f"budget: expected a law of FLOPs or of params and tokens, which says what a run costs; {fit.law} reads "
            f"{', '.join(inputs)}. Fit another law (--law)."
        )
    return "FLOPs", lambda at: at["flops"]


def _candidates(
    fit: FittedLaw,
    ranges: Mapping[str, tuple[float, float]] | None,
    candidates: Sequence[Mapping[str, float | str]] | None,
) -> tuple[Points, list[str | None]]:
    """The runs that can be done, and the run each is a branch of. Codes of cells and clusters are set by _coded."""
    inputs = fit.model.inputs
    if candidates is not None:
        if ranges is not None:
            raise DeclarationError("next: expected ranges or candidates, got both.")
        given = argument("candidates", candidates, Sequence[Mapping[str, PositiveFloat | str]])
        for row in given:
            is_text = any(isinstance(row.get(one), str) for one in (*inputs, COST))
            if set(row) - {BRANCH, COST} != set(inputs) or is_text:
                raise DeclarationError(
                    f"candidates: {fit.law} reads {', '.join(inputs)}; got {', '.join(row) or 'nothing'}."
                )
        if not given:
            raise DeclarationError("candidates: expected at least one run, got none.")
        at = {axis: np.array([float(row[axis]) for row in given]) for axis in inputs}
        names = [None if row.get(BRANCH) is None else str(row[BRANCH]) for row in given]
    else:
        levels = _levels(fit, ranges or {})
        meshes = np.meshgrid(*levels.values(), indexing="ij")
        own = np.unique([[row.axes[axis] for axis in inputs] for row in fit.residuals], axis=0)
        is_inside = [(own[:, j] >= of.min()) & (own[:, j] <= of.max()) for j, of in enumerate(levels.values())]
        own = own[np.all(is_inside, axis=0)]
        own = own[np.unique(np.linspace(0, max(len(own) - 1, 0), min(len(own), MOST_OWN)).round().astype(int))]
        grid = np.unique(np.vstack([np.stack([m.ravel() for m in meshes], axis=1), own]), axis=0)
        at = dict(zip(levels, grid.T, strict=True))
        names = [None] * len(grid)
    keys = _keys(fit, at)
    cell = np.array([keys.setdefault(key, len(keys)) for key in _logs(at)])
    clusters = {row.run: row.cluster for row in fit.residuals}
    least = max(clusters.values(), default=0) + 1
    own_of: dict[str, int] = {}
    codes = [
        least + len(names) + i if name is None else clusters.get(name, own_of.setdefault(name, least + len(own_of)))
        for i, name in enumerate(names)
    ]
    return Points(at=at, cell=cell, cluster=np.array(codes)), names


def _logs(at: Mapping[str, Array]) -> list[tuple[float, ...]]:
    with np.errstate(divide="ignore"):  # an input that is no count may be 0
        return [tuple(row) for row in np.round(np.log(np.stack(list(at.values()), axis=1)), 6).tolist()]


def _keys(fit: FittedLaw, at: Mapping[str, Array]) -> dict[tuple[float, ...], int]:
    """The points of the runs so far -> their codes."""
    rows = {axis: np.array([row.axes[axis] for row in fit.residuals]) for axis in at}
    return {key: i for i, key in enumerate(dict.fromkeys(_logs(rows)))}


def _rows(fit: FittedLaw, candidates: Points, names: Sequence[str | None]) -> Points:
    at = {axis: np.array([row.axes[axis] for row in fit.residuals]) for axis in candidates.at}
    keys = _keys(fit, at)
    cluster = np.array([row.cluster for row in fit.residuals])
    return Points(at=at, cell=np.array([keys[key] for key in _logs(at)]), cluster=cluster)


def _levels(fit: FittedLaw, ranges: Mapping[str, tuple[float, float]]) -> dict[str, Array]:
    """The levels of each axis at which runs can be done: over its range. A column that is no count and has no range may
    name a choice, so it keeps the levels of the runs."""
    inputs = fit.model.inputs
    if unknown := set(ranges) - set(inputs):
        raise DeclarationError(f"ranges: {fit.law} reads {', '.join(inputs)}; got {', '.join(sorted(unknown))}.")
    levels = {}
    for axis in inputs:
        if axis not in ranges and axis not in ROLES:
            own = np.unique([row.axes[axis] for row in fit.residuals])
            levels[axis] = own[np.unique(np.linspace(0, len(own) - 1, min(len(own), LEVELS)).round().astype(int))]
            continue
        ends = ranges.get(axis, fit.data.domain[axis])
        low, high = argument(f"ranges of {axis}", ends, tuple[PositiveFloat, PositiveFloat])
        if not low <= high:
            raise DeclarationError(f"ranges: {axis}: expected the smaller end first, got {low:g}..{high:g}.")
        levels[axis] = np.geomspace(low, high, LEVELS)
    return levels


def _chosen(
    known: Knowledge,
    costs: Array,
    budget: float,
    batch: int,
    is_enough: Callable[[Knowledge, int], bool],
    decisive_cell: int | None,
    *,
    is_once: bool,
) -> list[tuple[int, str]]:
    """The candidates chosen, with the reason of each. Where the goal is met, only what the floors still need;
    where one point decides the answer, a run that would narrow it without that point."""
    is_open = np.ones(len(costs), dtype=bool)
    left = budget
    out: list[tuple[int, str]] = []
    while len(out) < batch:
        affordable = is_open & (costs <= left)
        if not affordable.any():
            break
        is_done = is_enough(known, len(out))
        allowed, reason = _needed(known, affordable, 0 if is_done else batch - len(out))
        judged = known
        if decisive_cell is not None and not out and (affordable & (known.candidates.cell != decisive_cell)).any():
            allowed, judged = affordable & (known.candidates.cell != decisive_cell), known.without(decisive_cell)
            reason = "the answer rests on one point, and this narrows it without that"
        if is_done and not reason:
            break
        pick = _best(judged, costs + ROUND * budget / batch, allowed)
        out.append((pick, reason))
        known = known.with_run(pick)
        left -= float(costs[pick])
        is_open[pick] = not is_once
    return out


def _best(known: Knowledge, costs: Array, allowed: Array) -> int:
    """The candidate with the largest expected fall of the log half-width for its cost; the cheaper of equals."""
    weights = np.array([one.weight for one in known.states])
    now, after = known.variances(), known.after_each()
    before, width = float(weights @ np.sqrt(now)), weights @ np.sqrt(after)
    gain = np.log(max(before, 1e-300)) - np.log(np.maximum(width, 1e-300))
    worth = np.where(allowed, np.maximum(gain, 0.0) / costs, -np.inf)
    return int(np.lexsort((costs, -worth))[0])


def _needed(known: Knowledge, allowed: Array, left: int) -> tuple[Array, str]:
    """The candidates that a floor leaves, and its reason: rungs for the form, replicates for the noise."""
    for axis, values in known.candidates.at.items():
        if axis not in ROLES:
            continue
        have = np.unique(np.round(np.log(known.rows.at[axis]), 6))
        is_new = allowed & ~np.isin(np.round(np.log(values), 6), have)
        if len(have) < LEAST_RUNGS and is_new.any():
            return is_new, f"a new size of {axis}: {len(have)} so far, and the form needs {LEAST_RUNGS}"
    repeated = len(known.rows) - len(np.unique(known.rows.cell))
    count = np.bincount(known.rows.cell, minlength=int(known.candidates.cell.max()) + 1)[known.candidates.cell]
    is_repeat = allowed & (count == 1)
    missing = LEAST_REPLICATES - repeated
    if 0 < missing and left <= missing and is_repeat.any():
        return is_repeat, "a second run at this point: the noise is not known without replicates"
    return allowed, ""


class _Width:
    """The half-width that is expected after runs.

    It is today's half-width times what the expected standard deviation falls by; where there is none today, Student's t
    times that deviation.
    """

    def __init__(self, known: Knowledge, now: float, dof: float) -> None:
        self.dof, self.scale = dof, 1.0
        before = self(known, 0)
        if before > 0 and math.isfinite(now):
            self.scale = now / before

    def __call__(self, known: Knowledge, runs: int) -> float:
        weights = np.array([one.weight for one in known.states])
        return self.scale * t_quantile(0.975, self.dof + runs) * float(weights @ np.sqrt(known.variances()))


def _described(
    known: Knowledge, chosen: Sequence[tuple[int, str]], costs: Array, width: _Width, names: Sequence[str | None]
) -> tuple[NextRun, ...]:
    """The runs with their reasons."""
    runs = []
    for number, (i, reason) in enumerate(chosen, start=1):
        before = width(known, number - 1)
        is_repeat = bool(np.isin(known.candidates.cell[i], known.rows.cell))
        is_branch = bool(np.isin(known.candidates.cluster[i], known.rows.cluster))
        known = known.with_run(i)
        after = width(known, number)
        kind = "another run at this point" if is_repeat else "a branch of a trunk" if is_branch else "a new point"
        fall = f"narrows the answer by {100 * (1 - after / before):.2g} %" if before > 0 else "narrows nothing"
        at = {axis: float(values[i]) for axis, values in known.candidates.at.items()}
        why = f"{reason or kind}; {fall}"
        runs.append(NextRun(at=at, cost=float(costs[i]), expected=after, why=why, branch_of=names[i]))
    return tuple(runs)
