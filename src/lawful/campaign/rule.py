"""The rule of a campaign: everything that decides its choices, fixed and hashed before the first run."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from lawful.campaign.candidates import Candidate, asked_question, candidates_of, expect_fittable, space_filling
from lawful.command import CommandRun
from lawful.errors import DeclarationError, StoreError
from lawful.fitting.goal import read_goal
from lawful.fitting.stopping import RULE
from lawful.planning.written import versions
from lawful.schema import Coordinate
from lawful.schema.campaign import Campaign, Look, Round, Rule
from lawful.storage.codec import digest, to_plain
from lawful.study import Rung, Study, planned_run

START_SHARE = 0.25  # of the budget, or of the ladder where that costs less: the first runs are chosen blindly
START_RUNS = 8  # three more than the five parameters of a law of N and D: two for its form, one for the noise
HELD_OUT_SHARE = 0.25  # of the budget, the most that the forecast at the end may cost
STOP = f"{RULE} Or the choosing ends when what is left of the budget pays no run that can be chosen."


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What a study's declaration gives a campaign.

    open_        the runs that can be chosen and fitted
    held_out     the run that is forecast at the end; None: the budget has no room for one
    """

    question: str
    law: str
    open_: tuple[Candidate, ...]
    held_out: Candidate | None
    why_no_held_out: str
    axes: Mapping[str, tuple[Coordinate, ...]]
    sha256: str
    grid_flops: float

    def start_flops(self, budget: float) -> float:
        """What the start may spend."""
        cheapest = START_RUNS * min(one.flops for one in self.open_)
        return min(START_SHARE * budget, max(START_SHARE * self.grid_flops, cheapest))

    def named(self, labels: Sequence[str]) -> list[Candidate]:
        known = {one.label: one for one in (*self.open_, *([self.held_out] if self.held_out else []))}
        if unknown := [label for label in labels if label not in known]:
            raise StoreError(
                f"campaign.json: expected runs that the study reaches, got {unknown[0]}: its declaration has changed."
            )
        return [known[label] for label in labels]


def reach_of(study: Study, goal: str, budget: float) -> Reach:
    question = asked_question(study, read_goal(goal))
    found = candidates_of(study, question)
    held_out, why = _held_out(found, budget)
    own = None if held_out is None else held_out.point
    axes = {name: dict.fromkeys(one.rung.at[name] for one in found if name in one.rung.at) for name in found[0].rung.at}
    return Reach(
        question=question.name,
        law=question.law if isinstance(question.law, str) else question.law.formula,
        open_=tuple(one for one in found if not one.rung.held_out and one.point != own),
        held_out=held_out,
        why_no_held_out=why,
        axes={name: tuple(values) for name, values in axes.items()},
        sha256=digest([[one.label, one.flops, one.rung.held_out] for one in found]),
        grid_flops=costs(study.ladder),
    )


def _held_out(candidates: Sequence[Candidate], budget: float) -> tuple[Candidate | None, str]:
    """The largest that costs at most its share of the budget: of those that the study holds out, if it does so; else
    of all but the cheapest point, which the start needs where the budget is small."""
    declared = [one for one in candidates if one.rung.held_out]
    cheapest = min(candidates, key=lambda one: one.flops).point
    known = declared or [one for one in candidates if one.point != cheapest]
    if not known:
        return None, "no run is held out: the study reaches one point"
    room = HELD_OUT_SHARE * budget
    fitting = [one for one in known if one.flops <= room]
    if not fitting:
        least = min(one.flops for one in known)
        return (
            None,
            f"no run is held out: the cheapest costs {least:.3g} FLOPs, more than {HELD_OUT_SHARE:.0%} of the budget",
        )
    return max(fitting, key=lambda one: one.flops), ""


def expect_possible(study: Study, reach: Reach, budget: float) -> None:
    """Raises DeclarationError where the budget pays no runs that could answer the question."""
    question = next(one for one in study.questions if one.name == reach.question)
    held_out_flops = 0.0 if reach.held_out is None else reach.held_out.flops
    expect_fittable(reach.open_, question, budget - held_out_flops)


def start_of(reach: Reach, budget: float) -> list[Candidate]:
    """The space-filling first round. Raises DeclarationError where the budget pays none."""
    if not reach.open_:
        raise DeclarationError("--until: every rung is held out; nothing can be chosen.")
    start = space_filling(reach.open_, (), START_RUNS, reach.start_flops(budget))
    if not start:
        least = min(one.flops for one in reach.open_)
        raise DeclarationError(
            f"--budget: expected at least {least / START_SHARE:.3g} FLOPs, since the first runs take at most "
            f"{START_SHARE:.0%} of it and the cheapest costs {least:.3g}; got {budget:.3g}."
        )
    return start


def make_rule(study: Study, reach: Reach, *, goal: str, budget: float, batch: int) -> Rule:
    return Rule(
        goal=goal,
        budget=budget,
        batch=batch,
        seed=0,
        question=reach.question,
        law=reach.law,
        axes=reach.axes,
        candidates=len(reach.open_),
        candidates_sha256=reach.sha256,
        held_out="" if reach.held_out is None else reach.held_out.label,
        held_out_flops=0.0 if reach.held_out is None else reach.held_out.flops,
        start_flops=reach.start_flops(budget),
        start_runs=START_RUNS,
        stop=STOP,
        grid_runs=len(study.ladder),
        grid_flops=reach.grid_flops,
        lawful=program(),
    )


def expect_same(written: Campaign, asked: Rule, folder: Path) -> None:
    """Raises StoreError that names what differs from the rule that was written. Another version of lawful is told of,
    not refused: each round says which one chose it."""
    same = replace(asked, lawful=written.rule.lawful)
    pairs = {one.name: (getattr(written.rule, one.name), getattr(same, one.name)) for one in fields(Rule)}
    differ = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    if differ:
        told = "; ".join(f"{name}: {str(a)[:100]} there, {str(b)[:100]} now" for name, (a, b) in differ.items())
        raise StoreError(
            f"{folder}: expected the campaign whose rule was written on {written.created}, before its first run; got "
            f"another: {told}. Go on with the one that is there: lawful resume {folder}; or choose another --out."
        )


def first_round(start: Sequence[Candidate], rule: Rule) -> Round:
    return Round(
        number=1,
        kind="start",
        runs=tuple(one.label for one in start),
        flops=costs([one.rung for one in start]),
        seed=rule.seed,
        why="runs that lie far from each other over the ranges",
        look=look(None, 0.0, []),
    )


def begun_campaign(rule: Rule, start: Sequence[Candidate]) -> Campaign:
    return Campaign(
        rule=rule,
        rule_sha256=digest(to_plain(rule)),
        enough=read_goal(rule.goal).half_width,
        created=now(),
        rounds=(first_round(start, rule),),
    )


def look(half_width: float | None, spent: float, table: list[list[str]]) -> Look:
    return Look(half_width=half_width, spent=spent, table=digest(table), lawful=program(), created=now())


def costs(rungs: Sequence[Rung]) -> float:
    """FLOPs of these runs together. What runs of our own share of a trunk counts once."""
    flops = [float(planned_run(rung, None).flops) for rung in rungs]
    own = [i for i, rung in enumerate(rungs) if not isinstance(rung.run, CommandRun)]
    if own:
        from lawful.planning.plan import steps_after_trunks

        for i, steps in zip(own, steps_after_trunks([rungs[i] for i in own]), strict=True):
            flops[i] *= steps / rungs[i].training.steps
    return sum(flops)


@functools.cache
def program() -> str:
    """Version and commit of this lawful."""
    own = versions()
    return f"{own.lawful} {own.commit}".strip()


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
