"""What a campaign does next, from its record and its table: choose a batch, fill the ranges, or end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lawful.campaign.candidates import Candidate, space_filling
from lawful.campaign.rule import Reach, costs, look
from lawful.fitting.answer import answer_study
from lawful.fitting.answers import Answer
from lawful.fitting.goal import Goal, read_goal, said_width
from lawful.fitting.next_runs import BRANCH, COST, NextRuns, next_runs
from lawful.fitting.result import Fit
from lawful.fitting.stopping import WIDENED, has_reached
from lawful.observe import write_observations
from lawful.schema.campaign import Campaign, End, Look, Round, RoundKind
from lawful.storage.layout import Store

# what a choice reads of a run; what a clock decides (seconds, dates) is not among it
READ = ("rung", "status", "loss", "params_non_embedding", "tokens", "flops")


def next_step(folder: Path, campaign: Campaign, reach: Reach) -> tuple[Round | End, list[Answer]]:
    """The next round, or the end, and the answers that it was chosen by.

    A pure function of the runs that have ended, what was spent, and the rule.
    """
    rows = write_observations(folder)
    answers = answer_study(folder)
    rule = campaign.rule
    left = rule.budget - rule.held_out_flops - campaign.spent
    labels = [label for one in campaign.rounds for label in one.runs]
    done = reach.named(labels)
    to_come = [one for one in reach.open_ if one.label not in set(labels)]
    payable = [one for one in to_come if one.flops <= left]
    answer = next(one for one in answers if one.name == rule.question)
    fit = answer.fit
    width, reached = _standing(fit, campaign, payable)
    table = [[str(row.get(name, "")) for name in READ] for row in rows if not row.get("left_plan")]
    seen = look(width, campaign.spent, table)
    goal = read_goal(rule.goal)
    said = f"half-width {width_or_unknown(goal, width)}, {said_width(goal, campaign.enough)} is enough"
    if reached:
        return End(ending="met", why=reached, look=seen), answers
    if not payable:
        what = "the cheapest run costs more" if to_come else "every run was chosen"
        return End(ending="spent", why=f"{said}; {left:.3g} FLOPs are left, and {what}", look=seen), answers
    if fit is not None and (found := _chosen(fit, campaign, payable, done, left, Store(folder))).runs:
        batch = _within(_candidates(found, payable, fit), left)
        chosen = _round(campaign, "chosen", batch, found.runs[0].why, seen)
        expected = WIDENED * found.expected  # as the goal is judged
        return replace(chosen, expected=expected if math.isfinite(expected) else None), answers
    why = f"no law can be fitted yet ({answer.refusal})" if fit is None else "no run is expected to narrow the answer"
    more = space_filling(payable, done, rule.batch, left)
    return _round(campaign, "space-filling", more, f"{why}: runs far from those that are done", seen), answers


def _standing(fit: Fit | None, campaign: Campaign, payable: Sequence[Candidate]) -> tuple[float | None, str]:
    """The half-width by which the goal is judged (None where there is none), and what the look found; empty where the
    goal is not reached."""
    if fit is None:
        return None, ""
    axes = _columns(fit)
    seen = has_reached(fit, campaign.rule.goal, candidates=[one.at(axes) for one in payable])
    return seen.half_width if math.isfinite(seen.half_width) else None, seen.why if seen.is_reached else ""


def held_out_round(campaign: Campaign, reach: Reach) -> Round | None:
    """The run that is forecast at the end; None where the rule has none."""
    if reach.held_out is None or campaign.end is None:
        return None
    why = "forecast by the law of all runs before it, before it begins"
    return _round(campaign, "held out", [reach.held_out], why, campaign.end.look)


def _round(campaign: Campaign, kind: RoundKind, runs: Sequence[Candidate], why: str, seen: Look) -> Round:
    return Round(
        number=len(campaign.rounds) + 1,
        kind=kind,
        runs=tuple(one.label for one in runs),
        flops=costs([one.rung for one in runs]),
        seed=campaign.rule.seed,
        why=" ".join(why.split()),
        look=seen,
    )


def _chosen(
    fit: Fit, campaign: Campaign, payable: Sequence[Candidate], done: Sequence[Candidate], left: float, store: Store
) -> NextRuns:
    axes = _columns(fit)
    runs = {planned.rung: planned.run for planned in store.read_study().runs}
    trunks = {one.trunk: runs[one.label] for one in done if one.trunk}
    offered: list[Mapping[str, float | str]] = [
        {**one.at(axes), COST: one.flops, **({BRANCH: trunks.get(one.trunk, one.trunk)} if one.trunk else {})}
        for one in payable
    ]
    return next_runs(
        fit,
        goal=campaign.rule.goal,
        budget=left,
        batch=campaign.rule.batch,
        candidates=offered,
        seed=campaign.rule.seed,
    )


def _columns(fit: Fit) -> dict[str, str]:
    """Axis -> column, of those that the law reads."""
    return {axis: fit.data.columns[axis] for axis in fit.model.inputs}


def _candidates(found: NextRuns, payable: Sequence[Candidate], fit: Fit) -> list[Candidate]:
    """The candidates that were chosen: of several at one point and of one cost, the first of them."""
    axes = _columns(fit)
    left = list(payable)
    out = []
    for run in found.runs:
        pick = next(one for one in left if one.at(axes) == dict(run.at) and one.flops == run.cost)
        left.remove(pick)
        out.append(pick)
    return out


def _within(batch: Sequence[Candidate], budget: float) -> list[Candidate]:
    """In their order, while the budget pays them: the sum, which is what counts as spent, may round up."""
    kept: list[Candidate] = []
    for one in batch:
        if sum(other.flops for other in kept) + one.flops <= budget:
            kept.append(one)
    return kept


def width_or_unknown(goal: Goal, width: float | None) -> str:
    return "unknown" if width is None else said_width(goal, width)
