"""A campaign: rounds of runs, each chosen by the law of those before it, until a goal is met or a budget is spent.

Each choice is written into campaign.json before any of its runs begins. What that file and the runs' own folders hold
is all there is: a campaign that was killed goes on from them, and chooses what it would have chosen.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from lawful.campaign.candidates import Candidate
from lawful.campaign.choice import held_out_round, next_step, width_or_unknown
from lawful.campaign.rule import (
    Reach,
    begun_campaign,
    expect_possible,
    expect_same,
    make_rule,
    program,
    reach_of,
    start_of,
)
from lawful.checks import NaturalInt, PositiveFloat, PositiveInt, argument, checked
from lawful.conduct import OutOfTime, concluded, planned_study, tell, train_study
from lawful.errors import DeclarationError, StoreError
from lawful.executors import Executor
from lawful.executors.local import Local, available_cores
from lawful.fitting.answers import Answer
from lawful.fitting.goal import read_goal, said_width
from lawful.fitting.next_runs import MOST_BATCH
from lawful.observe import begun, statuses
from lawful.planning.extend import plan_extension, write_extension
from lawful.planning.written import PLANNING_PATIENCE, Plan
from lawful.schema.campaign import Campaign, End, Round
from lawful.storage.campaigns import read_campaign, write_campaign
from lawful.storage.layout import Store
from lawful.storage.lease import claimed
from lawful.study import Study

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is to be found out, for how much.

    until    a goal, as `lawful.next_runs` takes it
    budget   FLOPs of all runs together
    batch    runs of a round; None: as many as train at once
    """

    until: str
    budget: float
    batch: int | None = None

    def __post_init__(self) -> None:
        read_goal(argument("--until", self.until, str))
        argument("--budget", self.budget, PositiveFloat)
        batch = argument("--batch", self.batch, PositiveInt | None)
        if batch is not None and batch > MOST_BATCH:
            raise DeclarationError(f"--batch: expected at most {MOST_BATCH:,} runs, got {batch:,}.")


@checked
def run_campaign(
    study: Study,
    folder: str | Path,
    *,
    until: str,
    budget: PositiveFloat,
    batch: PositiveInt | None = None,
    data: str | Path | None = None,
    workers: NaturalInt = 0,
    device: str = "auto",
    max_hours: PositiveFloat | None = None,
) -> Path:
    """Choose runs of a study in rounds until a goal is met, as `lawful run --until` does, for notebooks and scripts.

    The same call goes on with a campaign that was stopped.

    Parameters
    ----------
    study
        Its ladder, and what it offers beside it (Range), are the runs that can be chosen.
    folder
        New, or that of the same campaign.
    until
        A goal, as `next_runs` takes it: "N_exponent within .02".
    budget
        FLOPs of all runs together.
    batch
        Runs of a round, at most; by default as many as train at once.
    data, workers, device
        As in `run_study`.
    max_hours
        After so many hours nothing more is chosen.

    Returns
    -------
    Path
        Of the report's page.

    Raises
    ------
    DeclarationError
        A goal that the study's law does not know, runs whose FLOPs are not known beforehand, or too small a budget.
    StoreError
        The folder holds another study or a campaign with another rule.
    """
    home = Path(folder)
    raw = None if data is None else Path(data)
    executor = Local(workers=workers, device=device)
    plan = functools.partial(planned_study, data=raw, workers=workers, device=device)
    start_campaign(home, study, Asked(until=until, budget=budget, batch=batch), plan, tell)
    go_on(home, study, executor, max_hours=max_hours, data=raw, cores=available_cores(), say=tell)
    return concluded(home)


def start_campaign(folder: Path, study: Study, asked: Asked, plan: Callable[[Study], Plan], say: Say) -> Campaign:
    """Write the rule and the first round, then the plan of that round. Where the folder has a campaign, its rule must
    be the same; nothing of it is chosen again.

    plan    plans a study of some of the rungs
    Raises DeclarationError where no campaign can be run on this study, StoreError where the folder holds another one.
    """
    store = Store(folder)
    former = read_campaign(store)
    reach = reach_of(study, asked.until, asked.budget)
    if former is None:
        expect_possible(study, reach, asked.budget)
    goal = " ".join(asked.until.split())
    rule = functools.partial(make_rule, study, reach, goal=goal, budget=asked.budget)
    if former is not None:
        expect_same(former, rule(batch=asked.batch or former.rule.batch), folder)
        if not store.study.exists():  # stopped between the two
            plan(_part(study, reach.named(former.rounds[0].runs))).write(folder)
        return former
    if store.study.exists() and begun(store, store.read_study()):
        raise StoreError(
            f"{folder}: expected a new folder for a campaign, got a study whose runs have begun: the rule must be "
            f"older than the first run. Choose another --out, or ask for one round by hand: lawful next {folder}"
        )
    start = start_of(reach, asked.budget)
    planned = plan(_part(study, start))
    campaign = begun_campaign(rule(batch=asked.batch or min(planned.study.workers, MOST_BATCH)), start)
    planned.write(folder, register=lambda: write_campaign(store, campaign))
    if reach.why_no_held_out:
        say(reach.why_no_held_out)
    say(_in_one_line(campaign, campaign.rounds[0]))
    return campaign


def _part(study: Study, runs: Sequence[Candidate]) -> Study:
    return study.of_rungs([one.rung for one in runs])


def go_on(
    folder: Path,
    study: Study,
    executor: Executor,
    *,
    max_gpu_hours: float | None = None,
    max_hours: float | None = None,
    data: Path | None = None,
    cores: int = 1,
    watch: Callable[[], None] = lambda: None,
    say: Say = lambda what: None,
) -> Campaign:
    """Train what is chosen, look, choose, until the campaign ends; then forecast and train the held-out run.

    study        as it was declared; `folder` has its campaign
    max_hours    no round is chosen later than so many hours from now; the campaign can be resumed
    Raises StoreError where another process runs this campaign.
    """
    store = Store(folder)
    deadline = None if max_hours is None else time.monotonic() + 3600 * max_hours
    with _held(store):
        campaign = _read(store)
        reach = reach_of(study, campaign.rule.goal, campaign.rule.budget)
        if reach.sha256 != campaign.rule.candidates_sha256:
            raise StoreError(
                f"{folder}: expected the runs that the study reached when the rule was written on {campaign.created}, "
                "got others: its declaration has changed. Take the change back, or choose another --out."
            )
        if campaign.rule.lawful != program():
            say(f"the rule is of lawful {campaign.rule.lawful}; this is {program()}, which may choose otherwise")
        answers: list[Answer] | None = None
        is_first = True
        while True:
            _plan_chosen(folder, study, campaign, reach, answers, data=data, cores=cores)
            failed = set() if is_first else _failed(store)  # tried again once for each time that the user asks
            is_first = False
            try:
                train_study(folder, executor, but=failed, max_gpu_hours=max_gpu_hours, watch=watch, say=say)
            except OutOfTime as late:
                say(f"{late}; go on with: lawful resume {folder}")
                return campaign
            if campaign.rounds[-1].kind == "held out":
                return campaign
            if _all_failed(store, campaign):
                which = "the last two rounds" if len(campaign.rounds) > 1 else "round 1"
                say(
                    f"every run of {which} failed: nothing more is chosen. Remove the cause, then try them again: "
                    f"lawful resume {folder}"
                )
                return campaign
            if deadline is not None and time.monotonic() > deadline:
                say(f"the time is over; go on with: lawful resume {folder}")
                return campaign
            if campaign.end is None:
                step, answers = next_step(folder, campaign, reach)
                campaign = _with(campaign, step)
                say(_in_one_line(campaign, step))
            if campaign.end is not None:
                last = held_out_round(campaign, reach)
                if last is None:
                    write_campaign(store, campaign)
                    return campaign
                campaign = _with(campaign, last)
                say(_in_one_line(campaign, last))
            write_campaign(store, campaign)


def _with(campaign: Campaign, step: Round | End) -> Campaign:
    if isinstance(step, End):
        return replace(campaign, end=step)
    return replace(campaign, rounds=(*campaign.rounds, step))


def _in_one_line(campaign: Campaign, step: Round | End) -> str:
    budget = f"{step.look.spent:.3g} of {campaign.rule.budget:.3g} FLOPs spent"
    if isinstance(step, End):
        return f"the campaign ends, its goal {'is' if step.ending == 'met' else 'is not'} met: {step.why}; {budget}"
    runs = f"{len(step.runs)} run{'s' if len(step.runs) > 1 else ''} of {step.flops:.3g} FLOPs"
    width = ""
    if step.kind == "chosen":
        goal = read_goal(campaign.rule.goal)
        now, later = width_or_unknown(goal, step.look.half_width), width_or_unknown(goal, step.expected)
        width = f"half-width {now} now, {later} expected, {said_width(goal, campaign.enough)} is enough; "
    return f"round {step.number} ({step.kind}): {runs}; {width}{step.why}; {budget}"


@contextmanager
def _held(store: Store) -> Iterator[None]:
    with claimed(store.campaigning, patience_seconds=PLANNING_PATIENCE) as lease:
        if lease is None:
            raise StoreError(
                f"{store.folder}: another process runs this campaign; look at it: lawful status {store.folder}"
            )
        yield


def _read(store: Store) -> Campaign:
    found = read_campaign(store)
    if found is None:
        raise StoreError(f"{store.folder}: expected a campaign (campaign.json), got none: lawful run STUDY --until ...")
    return found


def _plan_chosen(
    folder: Path,
    study: Study,
    campaign: Campaign,
    reach: Reach,
    answers: list[Answer] | None,
    *,
    data: Path | None,
    cores: int,
) -> None:
    """Plan the runs that are chosen and not planned yet, with forecasts of them."""
    store = Store(folder)
    former = store.read_study()
    known = {planned.rung for planned in former.runs}
    last = campaign.rounds[-1]
    if set(last.runs) <= known:
        return
    rungs = [
        replace(one.rung, is_offered=False, held_out=round_.kind == "held out")
        for round_ in campaign.rounds
        for one in reach.named(round_.runs)
    ]
    plan = plan_extension(
        folder,
        study.of_rungs(rungs),
        data=data,
        cores=cores,
        settings=former.settings,
        command=former.command,
        study_file=None if former.study_file is None else Path(former.study_file.path),
        is_timed=False,
    )
    write_extension(folder, plan, answers=answers)


def _failed(store: Store) -> set[str]:
    return {run for run, status in statuses(store, store.read_study()).items() if status == "failed"}


def _all_failed(store: Store, campaign: Campaign) -> bool:
    """Whether every run of the last two rounds failed: the next would most likely fail, too. One round may be a single
    run that never succeeds."""
    last = {label for one in campaign.rounds[-2:] for label in one.runs}
    return {planned.run for planned in store.read_study().runs if planned.rung in last} <= _failed(store)
