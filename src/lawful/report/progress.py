"""How far a study is, from its folder alone: by the machine that trains it or by any other that sees the folder."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lawful.costs import Seconds, estimates
from lawful.fitting.mid_run import EARLIEST, EndForecast
from lawful.observe import over_in_table
from lawful.report import mid_run, tables
from lawful.report.cached import Cached
from lawful.report.tables import number
from lawful.schema import Cell, PlannedRun, RunRecord, StudyPlan
from lawful.storage import codec, json_files
from lawful.storage.layout import Store
from lawful.storage.lease import claimed_at, is_claimed

if TYPE_CHECKING:
    from rich.table import Table

State = Literal["finished", "diverged", "failed", "running", "waiting"]
STATES: tuple[State, ...] = ("finished", "diverged", "failed", "running", "waiting")
TAIL_BYTES = 4096  # holds the last ten lines of a record or more
MOST_RUNNING, MOST_ENDED, MOST_TROUBLED, MOST_LOST = 6, 5, 3, 1  # rows shown, so that the whole fits 24 lines
_MARKS = {"finished": "done", "diverged": "[red]diverged[/]", "failed": "[red]failed[/]"}

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
    plan has where some may be idle; seconds_range is its interval, where a cost law gives both."""

    name: str
    scale: str
    runs: tuple[RunStatus, ...]
    share_done: float
    seconds_left: float | None
    workers: int
    seconds_range: tuple[float, float] | None = None

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
    results = [_results.read(here.result(one.run)) for one in planned]
    if None in results:  # a study that was shared without its runs: over is what its table says
        in_table = _tables.read(here.observations) or {}
        results = [
            result or (None if here.metrics(one.run).exists() else in_table.get(one.run))
            for one, result in zip(planned, results, strict=True)
        ]
    beside = _beside(planned)
    pace = _pace(here, planned, results, beside)
    over = {one.run: result for one, result in zip(planned, results, strict=True) if result}
    costs = estimates(planned, over) if study.is_of_commands else {}
    runs = tuple(
        _ended(here, one, result) if result else _unfinished(here, one, pace, costs.get(one.run))
        for one, result in zip(planned, results, strict=True)
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


def status_table(status: StudyStatus) -> Table:
    """For a terminal of 80 columns and 24 rows: what runs, what ended last, how much is left."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    counts = status.counts
    whole = Table.grid(expand=True)
    whole.add_column(overflow="ellipsis")
    head = Table.grid(expand=True)
    head.add_column(overflow="ellipsis", no_wrap=True)
    head.add_column(justify="right", no_wrap=True)
    head.add_row(Text(f"{status.name} · {status.scale}", style="bold"), _time_left(status))
    whole.add_row(head)
    whole.add_row(ProgressBar(total=1.0, completed=status.share_done))
    whole.add_row(_counts_text(counts, len(status.runs)))
    running = [run for run in status.runs if run.state == "running"]
    if running:
        whole.add_row("")
        has_ends = any(_is_due(run) for run in running)
        ends_column = ["ends at, 95 %"] if has_ends else []
        table = _runs_table("running", ("step", "loss", *ends_column, "tokens/s", "left"))
        for run in running[:MOST_RUNNING]:
            table.add_row(
                Text(_label(run)),
                f"{run.step}/{run.steps}" if run.steps else f"{run.step}",
                tables.loss(run.loss),
                *([_end_text(run)] if has_ends else []),
                tables.count(run.tokens_per_second),
                tables.seconds(run.seconds_left),
            )
        whole.add_row(table)
        if len(running) > MOST_RUNNING:
            whole.add_row(Text(f"and {len(running) - MOST_RUNNING} more running", style="dim"))
    for run in [run for run in running if run.cannot_win][:MOST_LOST]:
        whole.add_row(Text(run.cannot_win, style="yellow"))
    ended = sorted((run for run in status.runs if run.ended_at is not None), key=lambda run: -(run.ended_at or 0))
    if ended:
        whole.add_row("")
        table = _runs_table("ended last", ("", "loss", "tokens/s"))
        for run in ended[:MOST_ENDED]:
            table.add_row(
                Text(_label(run)), _MARKS[run.state], tables.loss(run.loss), tables.count(run.tokens_per_second)
            )
        whole.add_row(table)
    troubled = [run for run in ended if run.state in ("diverged", "failed")]
    for run in troubled[:MOST_TROUBLED]:
        text = Text(f"{run.rung} {run.state}: {' '.join(run.reason.split())}", style="red", no_wrap=True)
        whole.add_row(text)
    return whole


def _is_due(run: RunStatus) -> bool:
    """Whether a forecast of the run's end may be looked for: EARLIEST of its steps are done, and not all."""
    return run.state == "running" and EARLIEST * run.steps <= run.step < run.steps


def _end_text(run: RunStatus) -> str:
    return "" if not _is_due(run) else "not forecast yet" if run.end is None else mid_run.between(run.end)


def status_line(status: StudyStatus) -> str:
    """One plain line, for a log or a pipe."""
    counts = status.counts
    parts = [f"{counts['finished']} of {len(status.runs)} runs finished"]
    parts += [f"{counts[state]} {state}" for state in ("running", "waiting", "diverged", "failed") if counts[state]]
    parts.append(f"{100 * status.share_done:.0f} % of the work")
    if status.seconds_left is not None and not status.is_over:
        parts.append(f"about {tables.seconds(status.seconds_left)} left{_between(status)}")
    return f"{status.name} {status.scale}: " + ", ".join(parts)


def status_json(status: StudyStatus) -> dict[str, Any]:
    """Plain data: the counts, the estimate, every run."""
    plain: dict[str, Any] = json_files.plain({**asdict(status), "counts": status.counts, "is_over": status.is_over})
    return plain


def _ended(here: Store, planned: PlannedRun, result: RunRecord) -> RunStatus:
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
        ended_at=_results.changed_at(here.result(planned.run)),
    )


def _unfinished(here: Store, planned: PlannedRun, pace: _Pace, cost: Seconds | None) -> RunStatus:
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
    here: Store, planned: Sequence[PlannedRun], results: Sequence[RunRecord | None], beside: Sequence[int]
) -> _Pace:
    """Measured on the runs that finished, each weighed by its estimate; a median, since a night between a stop and a
    resume is not a slow run. Wall time runs from the last taking of the claim to the result; of a stacked run, its
    share of that counts."""
    of_estimate, overhead = [], []
    for one, result, share in zip(planned, results, beside, strict=True):
        if result is None or result.status != "finished":
            continue
        speed, estimate = result.number("tokens_per_second"), one.seconds_estimate
        if not (one.own_steps and speed and estimate):
            continue
        training = one.own_steps * one.batch_tokens / speed
        claim = here.claim(one.run)
        if claim not in _started:
            _started[claim] = claimed_at(claim)
        started, ended = _started[claim], _results.changed_at(here.result(one.run))
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
    """Of each run, how many are trained as one model with it; it is one of them."""
    trunks = Counter(group for group, _ in {(one.group, one.cluster) for one in planned})
    return [trunks[one.group] for one in planned]


def _share(run: RunStatus, own_steps: int) -> float:
    """Of the run's own work that is done; a run that ended early will not go on."""
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
    """Of conduct: the held-out runs begin when all others are over, those that start from another's weights last."""
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
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            continue
        for name, value in values.items() if isinstance(values, dict) else ():
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


def _runs_table(first: str, others: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), expand=True, header_style="dim")
    table.add_column(first, ratio=1, overflow="ellipsis", no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _label(run: RunStatus) -> str:
    return tables.readable(run.rung) + (" (held out)" if run.held_out else "")


def _counts_text(counts: Mapping[str, int], total: int) -> str:
    parts = [f"[bold]{counts['finished']}[/] of {total} finished"]
    parts += [f"{counts[state]} {state}" for state in ("running", "waiting") if counts[state]]
    parts += [f"[red]{counts[state]} {state}[/]" for state in ("diverged", "failed") if counts[state]]
    return " · ".join(parts)


def _time_left(status: StudyStatus) -> str:
    if status.is_over:
        return "all runs have ended"
    if status.seconds_left is None:
        return "time left not known yet"
    workers = "1 worker" if status.workers == 1 else f"{status.workers} workers"
    return f"about {tables.seconds(status.seconds_left)} left{_between(status)}, {workers}"


def _between(status: StudyStatus) -> str:
    """The interval, where there is one."""
    if status.seconds_range is None:
        return ""
    low, high = map(tables.seconds, status.seconds_range)
    return f" ({low} to {high})"
