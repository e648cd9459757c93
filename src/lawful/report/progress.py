"""How far a study is, from its folder alone: by the machine that trains it or by any other that sees the folder."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lawful.costs import Estimate, GpuHours, estimates, gpu_hours
from lawful.fitting.mid_run import EndForecast
from lawful.observe import over_in_table
from lawful.report import mid_run
from lawful.report.cached import Cached
from lawful.report.tables import number
from lawful.schema import Cell, PlannedRun, RunRecord, StudyPlan
from lawful.storage import codec
from lawful.storage.json_files import object_of
from lawful.storage.layout import Store
from lawful.storage.lease import claimed_at, is_claimed

State = Literal["finished", "diverged", "failed", "running", "waiting"]
STATES: tuple[State, ...] = ("finished", "diverged", "failed", "running", "waiting")
TAIL_BYTES = 4096  # holds the last ten lines of a record or more
_started: dict[Path, float | None] = {}  # when the runs that have ended began


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """A waiting run with a step above 0 was stopped part way, and will go on.

    steps    0 where only the run knows how many there will be
    seconds_range    the interval of seconds_left, where a cost law gives both
    ended_at    seconds since 1970
    end     where it will end, by the finished runs of the study; never a result. None: not forecast (yet)
    cannot_win    a sentence where even the lower end of that lies above a finished rival's loss; else ""
    """

    run: str
    rung: str
    state: State
    step: int
    steps: int
    loss: float | None
    tokens_per_second: float | None
    seconds_left: float | None
    held_out: bool
    reason: str
    ended_at: float | None
    seconds_range: tuple[float, float] | None = None
    end: EndForecast | None = None
    cannot_win: str = ""


@dataclass(frozen=True, kw_only=True)
class StudyStatus:
    """share_done weighs runs by their estimated time; seconds_left takes as many workers as are at work now, or as the
    plan has where some may be idle; seconds_range is its interval, where a cost law gives both. gpu_hours is None where
    no run says that it takes a GPU."""

    name: str
    scale: str
    runs: tuple[RunStatus, ...]
    share_done: float
    seconds_left: float | None
    workers: int
    seconds_range: tuple[float, float] | None = None
    gpu_hours: GpuHours | None = None
    price_per_gpu_hour: float | None = None

    @property
    def counts(self) -> dict[str, int]:
        return {state: sum(run.state == state for run in self.runs) for state in STATES}

    @property
    def is_over(self) -> bool:
        return all(run.state not in ("running", "waiting") for run in self.runs)


def study_status(folder: Path) -> StudyStatus:
    """Reads study.json, each run's result or the tail of its record, and its claim. Raises StoreError where the
    folder holds no study."""
    here = Store(Path(folder))
    study = _studies.read(here.study) or here.read_study()  # the latter refuses what is no study
    planned = study.runs
    paths = [here.result(one.run) for one in planned]
    results = [_results.read(path) for path in paths]
    if None in results:  # a study that was shared without its runs: over is what its table says
        in_table = _tables.read(here.observations) or {}
        results = [
            result or (None if here.metrics(one.run).exists() else in_table.get(one.run))
            for one, result in zip(planned, results, strict=True)
        ]
    beside = _beside(planned)
    is_over = all(result is not None for result in results)
    pace = _Pace() if is_over else _pace(here, planned, results, paths, beside)
    over = {one.run: result for one, result in zip(planned, results, strict=True) if result}
    costs = estimates(planned, over) if study.is_of_commands else {}
    runs = tuple(
        _ended(path, one, result) if result else _unfinished(here, one, pace, costs.get(one.run))
        for path, one, result in zip(paths, planned, results, strict=True)
    )
    runs = _with_ends(here, planned, results, runs)
    weights = [one.seconds_estimate or float(one.flops or 1) for one in planned]
    done = sum(weight * _share(run, one.own_steps) for weight, run, one in zip(weights, runs, planned, strict=True))
    workers = _workers(study, runs)
    left = [
        None if run.seconds_left is None else run.seconds_left / (share if run.state == "running" else 1)
        for run, share in zip(runs, beside, strict=True)
    ]
    return StudyStatus(
        name=study.name,
        scale=study.scale,
        runs=runs,
        share_done=done / max(sum(weights), 1e-12),
        seconds_left=None if None in left else clock_seconds(planned, [own or 0.0 for own in left], workers),
        workers=workers,
        seconds_range=_whole_range(planned, runs, workers),
        gpu_hours=gpu_hours(planned, over),
        price_per_gpu_hour=study.price_per_gpu_hour,
    )


def _with_ends(
    here: Store, planned: Sequence[PlannedRun], results: Sequence[RunRecord | None], runs: Sequence[RunStatus]
) -> tuple[RunStatus, ...]:
    """The runs, those under way with where they will end."""
    steps_done = {run.run: run.step for run in runs if run.ended_at is None}
    ends = mid_run.forecasts(here, planned, results, steps_done)
    lost = mid_run.cannot_win(planned, results, ends)
    return tuple(
        replace(run, end=ends[run.run], cannot_win=lost.get(run.run, "")) if run.run in ends else run for run in runs
    )


def _whole_range(planned: Sequence[PlannedRun], runs: Sequence[RunStatus], workers: int) -> tuple[float, float] | None:
    """If every run came to the same end of its interval, since one law gave them all."""
    ranges = [(0.0, 0.0) if run.ended_at is not None else run.seconds_range for run in runs]
    known = [one for one in ranges if one is not None]
    if len(known) < len(runs) or not any(high for _, high in known):
        return None
    low, high = (clock_seconds(planned, [one[end] for one in known], workers) for end in (0, 1))
    return low, high


def _ended(path: Path, planned: PlannedRun, result: RunRecord) -> RunStatus:
    steps = _steps(planned)
    reached = steps if result.status == "finished" else int(result.number("diverged_at_step") or 0)
    return RunStatus(
        run=planned.run,
        rung=planned.rung,
        state=result.status,
        step=reached,
        steps=steps,
        loss=result.number("loss"),
        tokens_per_second=result.number("tokens_per_second"),
        seconds_left=0.0,
        held_out=planned.held_out,
        reason=result.reason,
        ended_at=_results.changed_at(path),
    )


def _unfinished(here: Store, planned: PlannedRun, pace: _Pace, cost: Estimate | None) -> RunStatus:
    last = _last_values(here.metrics(planned.run))
    step = int(number(last.get("step")) or 0)
    speed = number(last.get("tokens_per_second"))
    loss = last.get("validation_loss", last.get("selection_loss", last.get("loss")))
    is_running = is_claimed(here.claim(planned.run))
    left: float | None = None
    own_range: tuple[float, float] | None = None
    spent = _spent(here.claim(planned.run)) if is_running and cost is not None else 0.0
    if cost is not None and spent <= cost.high:  # past the interval the run may hang: nothing is known of its end
        left, *ends = (max(seconds - spent, 0.0) for seconds in (cost.middle, cost.low, cost.high))
        own_range = (ends[0], ends[1])
    elif is_running and speed and _steps(planned):
        left = (planned.steps - step) * planned.batch_tokens / speed * pace.overhead
    elif planned.seconds_estimate is not None:
        share = min(max(planned.steps - step, 0) / max(planned.own_steps, 1), 1.0)
        left = planned.seconds_estimate * pace.of_estimate * share
    return RunStatus(
        run=planned.run,
        rung=planned.rung,
        state="running" if is_running else "waiting",
        step=step,
        steps=_steps(planned),
        loss=number(loss),
        tokens_per_second=speed,
        seconds_left=left,
        held_out=planned.held_out,
        reason="",
        ended_at=None,
        seconds_range=own_range,
    )


def _spent(claim: Path) -> float:
    """Seconds since the claim was taken."""
    began = claimed_at(claim)
    return 0.0 if began is None else max(time.time() - began, 0.0)


def _steps(planned: PlannedRun) -> int:
    """How many steps the run has; 0 where only the run itself knows."""
    return 0 if "steps" in planned.unknown else planned.steps


@dataclass(frozen=True)
class _Pace:
    """Wall time over the plan's estimate, and over training time (it holds evaluation and the start too)."""

    of_estimate: float = 1.0
    overhead: float = 1.0


def _pace(
    here: Store,
    planned: Sequence[PlannedRun],
    results: Sequence[RunRecord | None],
    paths: Sequence[Path],
    beside: Sequence[int],
) -> _Pace:
    """Measured on the runs that finished, each weighed by its estimate; a median, since a night between a stop and a
    resume is not a slow run. Wall time runs from the last taking of the claim to the result; of a stacked run, its
    share of that counts."""
    of_estimate, overhead = [], []
    for one, result, path, share in zip(planned, results, paths, beside, strict=True):
        if result is None or result.status != "finished":
            continue
        speed, estimate = result.number("tokens_per_second"), one.seconds_estimate
        if not (one.own_steps and speed and estimate):
            continue
        training = one.own_steps * one.batch_tokens / speed
        claim = here.claim(one.run)
        if claim not in _started:
            _started[claim] = claimed_at(claim)
        started, ended = _started[claim], _results.changed_at(path)
        wall = max(ended - started, training) if started is not None and ended is not None else training
        of_estimate.append((wall / share / estimate, estimate))
        overhead.append((wall / training, estimate))
    if not of_estimate:
        return _Pace()
    return _Pace(_weighted_median(of_estimate), _weighted_median(overhead))


def _weighted_median(weighted: list[tuple[float, float]]) -> float:
    half = sum(weight for _, weight in weighted) / 2
    for value, weight in sorted(weighted):
        half -= weight
        if half <= 0:
            return value
    return weighted[-1][0]


def _beside(planned: Sequence[PlannedRun]) -> list[int]:
    """For each run: how many runs are trained as one model with it, itself included."""
    trunks = Counter(group for group, _ in {(one.group, one.cluster) for one in planned})
    return [trunks[one.group] for one in planned]


def _share(run: RunStatus, own_steps: int) -> float:
    """The share of the run's own work that is done; 1 for a run that ended early, since it will not go on."""
    if run.state in ("finished", "diverged", "failed"):
        return 1.0
    if not run.steps:
        return 0.0
    return 1 - min(max(run.steps - run.step, 0) / max(own_steps, 1), 1.0)


def clock_seconds(planned: Sequence[PlannedRun], seconds: Sequence[float], workers: int) -> float:
    """What runs of so many seconds take by the clock: trunks and stacks over the workers, the longest first, as conduct
    hands them out. The held-out runs begin when all others are over, each with its threads; those that start from
    another's weights come last."""
    stages: dict[tuple[bool, bool], dict[str, float]] = {}
    threads: dict[tuple[bool, bool], int] = {}
    for one, own in zip(planned, seconds, strict=True):
        stage = _stage(one)
        by_group = stages.setdefault(stage, {})
        by_group[one.group] = by_group.get(one.group, 0.0) + own
        threads[stage] = max(threads.get(stage, 1), one.threads)
    total = 0.0
    for stage, by_group in stages.items():
        ends = [0.0] * max(min(workers // threads[stage], len(by_group)), 1)  # the others are idle
        for own in sorted(by_group.values(), reverse=True):
            ends[ends.index(min(ends))] += own
        total += max(ends)
    return total


def _workers(study: StudyPlan, runs: Sequence[RunStatus]) -> int:
    """As many as are at work, unless some may be idle: nothing waits that could begin now."""
    both = list(zip(study.runs, runs, strict=True))
    at_work = {planned.group for planned, run in both if run.state == "running"}
    waiting = [planned for planned, run in both if run.state == "waiting"]
    first = min((_stage(planned) for planned, run in both if run.state in ("running", "waiting")), default=None)
    could_begin = any(_stage(planned) == first and planned.group not in at_work for planned in waiting)
    return len(at_work) if at_work and could_begin else max(len(at_work), study.workers)


def _stage(planned: PlannedRun) -> tuple[bool, bool]:
    """The order of conduct.py: held-out runs begin when all others are over; runs that start from others come last."""
    return bool(planned.starts_from), planned.held_out


def _last_values(path: Path) -> dict[str, Cell]:
    """The newest value under each name in a record's last whole lines; a torn last line is passed over."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            start = max(file.tell() - TAIL_BYTES, 0)
            file.seek(start)
            lines = file.read().split(b"\n")
    except OSError:
        return {}
    found: dict[str, Cell] = {}
    for line in reversed(lines[1 if start else 0 : -1]):
        for name, value in (object_of(line) or {}).items():
            found.setdefault(name, value)
        if "tokens_per_second" in found and ("validation_loss" in found or "selection_loss" in found):
            break
    return found


def _results_in_table(path: Path) -> dict[str, RunRecord]:
    """The runs that a study's table says are over."""
    return {
        run: RunRecord(
            status="finished" if row["status"] == "finished" else "diverged",
            reason=row.get("reason", ""),
            measured={name: number(row.get(name)) for name in ("loss", "tokens_per_second", "diverged_at_step")},
        )
        for run, row in over_in_table(path).items()
    }


_studies = Cached(codec.read_study)
_results = Cached(codec.read_result)
_tables = Cached(_results_in_table)
