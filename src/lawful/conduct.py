"""One study from its plan to its report: plan, train, then conclude. Each step reads and writes the folder alone."""

from __future__ import annotations

import fnmatch
import itertools
import shutil
import sys
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lawful.checks import NaturalInt, checked
from lawful.command.trusted import trusted_commands
from lawful.costs import affordable, estimates, gpu_hours
from lawful.errors import DeclarationError, LawfulError, StoreError
from lawful.executors import Executor, are_commands
from lawful.observe import OVER, statuses, write_observations
from lawful.plugins import analyses
from lawful.schema import PlannedRun, RunRecord, StudyPlan
from lawful.storage.atomic import write_json
from lawful.storage.campaigns import expect_no_campaign
from lawful.storage.layout import Store
from lawful.storage.lease import is_claimed
from lawful.study import Study, own_module, trusted_file

if TYPE_CHECKING:
    from lawful.planning.written import Plan

POLL_SECONDS = 0.5
Own = Callable[[], str | None]  # runs the study's own file; the module's name, for from_json


@checked
def run_study(
    study: Study,
    folder: str | Path,
    *,
    data: str | Path | None = None,
    workers: NaturalInt = 0,
    device: str = "auto",
    is_anchors_only: bool = False,
) -> Path:
    """Plan, train, fit and report, as `lawful run` does, for notebooks and scripts; the path of the report's page.

    Runs that are done in `folder` already are not done again. A study whose families or corpora are classes of your own
    must be run by the path of its file, `lawful run my_study.py`, since workers import them from there.

    data        where the raw data lies, as --data
    workers     processes; 0 means one per core on the CPU, as many as pay on a GPU
    """
    from lawful.executors.local import Local

    expect_no_campaign(Store(Path(folder)))
    executor = Local(workers=workers, device=device)
    planned = planned_study(study, data=None if data is None else Path(data), workers=workers, device=device)
    planned.write(Path(folder))
    train_study(Path(folder), executor, is_anchors_only=is_anchors_only, say=tell)
    return concluded(Path(folder))


def planned_study(study: Study, *, data: Path | None, workers: int, device: str) -> Plan:
    """The plan of a study that code has declared, for this machine."""
    from lawful.executors.local import available_cores
    from lawful.planning.commands import has_training, plan_commands

    if not has_training(study):
        return plan_commands(study, workers=workers, cores=available_cores())
    from lawful.planning.plan import make_plan

    return make_plan(study, data=data, device_name=device, workers=workers, cores=available_cores(), is_timed=False)


def concluded(folder: Path) -> Path:
    """As conclude, for notebooks and scripts: runs that failed are told of."""
    page = conclude(folder, own=lambda: own_module(Store(folder).read_study(), folder))
    for label, reason in failed_runs(folder):
        tell(f"{label} failed: {reason}")
    return page


def tell(what: str) -> None:
    print(f"lawful: {what}", file=sys.stderr, flush=True)


def train_study(
    folder: Path,
    executor: Executor,
    *,
    only: str = "*",
    but: Collection[str] = (),
    is_anchors_only: bool = False,
    max_gpu_hours: float | None = None,
    watch: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = lambda what: None,
) -> None:
    """Train every run of the plan that is not over yet; failed ones are tried again, diverged ones are not.

    The anchors first; then the forecasts of the held-out runs are written; only then may these begin. Runs that start
    from another run's weights come last.

    only             a glob over labels and ids (--only); the rest waits for a later resume
    but              ids that are not tried now
    is_anchors_only  leave the held-out runs for a later resume
    max_gpu_hours    of the whole study, what has been spent included: no run begins that could take it above
    watch            called about twice a second
    say              called with what a reader must know: a question without a forecast, held-out runs that do not begin
    On Ctrl+C every worker checkpoints and leaves before KeyboardInterrupt goes on. Raises Unfinished where runs were
    stopped from outside: nothing is forecast or fitted from part of a ladder unasked. Raises StoreError where forecasts
    cannot be registered (an anchor without a loss, a damaged table): then no held-out run begins.
    """
    from lawful.fitting.asked import expect_laws

    store = Store(folder)
    study = store.read_study()
    if any(planned.kind == "command" for planned in unfinished(store, study)):
        trusted_commands(store, study)
    if study.has_training:
        trusted_file(study, folder)  # refused before anything begins
    expect_laws(study)  # before hours of training that could not be answered
    if max_gpu_hours is not None and not any(planned.gpus for planned in study.runs):
        raise DeclarationError(
            "--max-gpu-hours: expected runs that say how many GPUs they take, as commands do (gpus=..., or "
            "--gpus-per-run beside --command), got none."
        )
    waiting = groups(store, study, only, but)
    _say_costs(store, study, say)
    _train_affordable(folder, executor, waiting.anchors, watch, max_gpu_hours)
    if waiting.held_out:
        _say_costs(store, study, say)
    if waiting.held_out and not is_anchors_only and _may_begin(folder, waiting.held_out, say):
        _train_affordable(folder, executor, waiting.held_out, watch, max_gpu_hours)
    if continued := groups(store, study, only, but).continued:
        _train_affordable(folder, executor, continued, watch, max_gpu_hours)
    if not unfinished(store, study):
        shutil.rmtree(store.trunks, ignore_errors=True)  # a cache that nothing can use any more


def _say_costs(store: Store, study: StudyPlan, say: Callable[[str], None]) -> None:
    """What the commands that are left will take, before they begin, where finished ones tell."""
    from lawful.report.tables import gpu_hours_text, seconds

    if not study.is_of_commands:
        return
    over = _ended(store, study)
    costs = estimates(study.runs, over)
    if known := [(one, costs[one.run]) for one in study.runs if one.run in costs]:
        one, most = max(known, key=lambda pair: pair[1].middle)
        low, middle, high = (seconds(number) for number in (most.low, most.middle, most.high))
        say(f"the longest run to come, {one.rung}, will take {middle} ({low} to {high}), as the finished ones tell")
    if (hours := gpu_hours(study.runs, over)) and hours.left and hours.left.high:
        say(gpu_hours_text(hours, study.price_per_gpu_hour))


def _ended(store: Store, study: StudyPlan) -> dict[str, RunRecord]:
    return {one.run: result for one in study.runs if (result := store.read_result(one.run)) is not None}


def _may_begin(folder: Path, held_out: Sequence[Sequence[str]], say: Callable[[str], None]) -> bool:
    """Write the forecasts of the held-out runs, and return whether these may begin. They may not where anchors failed
    and a question has no forecast: once a held-out run has begun, no forecast of it can be written any more."""
    from lawful.fitting.forecast import register_forecasts

    store = Store(folder)
    study = store.read_study()
    try:
        write_observations(folder)
        refused = register_forecasts(folder).refused
    except LawfulError as error:
        number = sum(map(len, held_out))
        raise StoreError(
            f"the {number} held-out runs do not begin, since their forecasts cannot be registered: {error}"
        ) from error
    for entry in refused:
        say(f"no forecast for the question {entry.question!r}: {entry.reason}")
    found = statuses(store, study)
    anchors = [planned for planned in study.runs if not (planned.held_out or planned.starts_from)]
    failed = sum(found[planned.run] == "failed" for planned in anchors)
    if refused and failed:
        say(f"the held-out runs do not begin: {failed} of the runs that their forecasts need failed")
    return not (refused and failed)


def failed_runs(folder: Path) -> list[tuple[str, str]]:
    """Label and reason of each run of the plan that failed. A run that diverged has ended, and is not among them."""
    store = Store(folder)
    study = store.read_study()
    found = statuses(store, study)
    failed = [(planned, store.read_result(planned.run)) for planned in study.runs if found[planned.run] == "failed"]
    return [(planned.rung, result.reason) for planned, result in failed if result is not None]


class Unfinished(RuntimeError):
    """Runs have neither ended nor failed: something outside stopped them, or their time was over."""


class OutOfTime(Unfinished):
    """Runs did not begin, since they would not have ended in the time that the user gave."""


def _train_affordable(
    folder: Path,
    executor: Executor,
    waiting: list[list[str]],
    watch: Callable[[], None],
    max_gpu_hours: float | None,
) -> None:
    """Train in waves: the runs that the budget has room for, then those that it still has room for by what these cost.
    Commands and our own runs have different workers, so that each wave trains one kind after the other."""
    store = Store(folder)
    study = store.read_study()
    while waiting:
        wave = waiting
        if max_gpu_hours is not None:
            wave = affordable(waiting, study.runs, _ended(store, study), max_gpu_hours)
        if not wave:
            raise Unfinished(
                f"{sum(map(len, waiting))} of the runs did not begin: the study could spend more than the "
                f"{max_gpu_hours:g} GPU hours of --max-gpu-hours with the next of them"
            )
        for apart in (True, False):
            if own := [group for group in wave if are_commands(study, [group]) == apart]:
                _train_groups(folder, executor, own, watch)
        waiting = [group for group in waiting if group not in wave]


def _train_groups(folder: Path, executor: Executor, waiting: list[list[str]], watch: Callable[[], None]) -> None:
    """A run that another process holds (a second `lawful resume`, a job of a cluster) is waited for, and done here if
    that process leaves it undone."""
    store = Store(folder)

    def held_now() -> set[str]:
        return {run_id for group in waiting for run_id in group if is_claimed(store.claim(run_id))}

    while waiting:
        held = held_now()
        job = executor.submit(folder, waiting)
        try:
            while not job.is_over():
                watch()
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            job.stop()
            raise
        watch()
        waiting = [[run_id for run_id in group if not store.result(run_id).exists()] for group in waiting]
        waiting = [group for group in waiting if group]
        held |= held_now()
        stopped = {run_id for group in waiting for run_id in group} - held
        if late := stopped & job.left_out:
            raise OutOfTime(f"{len(late)} of the runs did not begin: they would not end within --max-hours")
        if stopped:
            raise Unfinished(f"{len(stopped)} of the runs that were started were stopped before their end")
        while held_now():
            watch()
            time.sleep(POLL_SECONDS)


def unfinished(store: Store, study: StudyPlan) -> list[PlannedRun]:
    found = statuses(store, study)
    return [planned for planned in study.runs if found[planned.run] not in OVER]


class Waiting(NamedTuple):
    """Ids of what is left to do, by trunk or stack.

    continued    what may start from another run's weights, since that is over
    """

    anchors: list[list[str]]
    held_out: list[list[str]]
    continued: list[list[str]]


def groups(store: Store, study: StudyPlan, only: str = "*", but: Collection[str] = ()) -> Waiting:
    """What is left to do, in groups. A group is a trunk, or the trunks that the plan stacks. In it the longest run
    comes first, since it leaves the checkpoints from which the shorter ones branch. The costliest group comes first, so
    that all workers end at about the same time."""
    wanted = expect_match(study, only)
    left = {planned.run for planned in unfinished(store, study)} - set(but)
    wanted = [planned for planned in wanted if planned.run in left]
    own = [planned for planned in wanted if not planned.starts_from]
    continued = [planned for planned in wanted if planned.starts_from]
    return Waiting(
        _grouped([planned for planned in own if not planned.held_out]),
        _grouped([planned for planned in own if planned.held_out]),
        _grouped([planned for planned in continued if store.result(planned.starts_from).exists()]),
    )


def expect_match(study: StudyPlan, only: str) -> list[PlannedRun]:
    """The runs that --only names; DeclarationError where there are none."""
    wanted = [planned for planned in study.runs if matches(planned, only)]
    if not wanted:
        labels = ", ".join(planned.rung for planned in study.runs[:5])
        raise DeclarationError(
            f"--only: expected a pattern that some rung's label or id matches, got {only!r}; labels: {labels} ..."
        )
    return wanted


def _grouped(runs: Sequence[PlannedRun]) -> list[list[str]]:
    groups: dict[str, dict[str, list[PlannedRun]]] = {}  # stack -> trunk -> its runs
    for planned in sorted(runs, key=lambda planned: -planned.steps):
        groups.setdefault(planned.group, {}).setdefault(planned.cluster, []).append(planned)
    beside = [
        [planned for together in itertools.zip_longest(*trunks.values()) for planned in together if planned is not None]
        for trunks in groups.values()
    ]
    # of commands the cheapest first: they tell what the others will take, and whether the program works at all
    beside.sort(key=lambda group: (1 if group[0].kind == "command" else -1) * sum(planned.flops for planned in group))
    return [[planned.run for planned in group] for group in beside]


def matches(planned: PlannedRun, pattern: str) -> bool:
    return fnmatch.fnmatchcase(planned.rung, pattern) or fnmatch.fnmatchcase(planned.run, pattern)


def conclude(folder: Path, say: Callable[[str], None] = lambda what: None, *, own: Own = lambda: None) -> Path:
    """The table, the count baselines, the fits and the report, from the folder; the page's path.

    own    gives the module of the study's own file, where this user has just trained from it. Without it no code of the
           study runs: what needs a corpus or family of that file, and is not in the folder yet, is left out and said
    """
    from lawful.fitting.answer import answer_study
    from lawful.fitting.asked import expect_laws
    from lawful.report.page import write_report

    store = Store(folder)
    study = store.read_study()
    expect_laws(study)
    write_observations(folder)
    if study.corpora and not store.baselines.exists():
        say("counting n-grams on the same tokens, as reference lines")
        _write_baselines(store, say, own)
    for analysis in analyses():
        analysis.before_fit(folder, say, own)
    say("fitting the laws")
    answer_study(folder)
    for analysis in analyses():
        analysis.after_fit(folder)
    say("writing the report")
    return write_report(folder)


def _write_baselines(store: Store, say: Callable[[str], None], own: Own) -> None:
    """Unigram, bigram and 5-gram on the study's tokens; of several corpora each, orders 1 to 5, since they move with
    the data. Skipped, and said, where a prepared corpus is not on this machine."""
    from lawful.baselines.ngram import ngram_baselines
    from lawful.corpora import corpus_of
    from lawful.token_data import TokenData

    study = store.read_study()
    values = {name: corpus.value for name, corpus in study.corpora.items() if corpus.value is not None}
    if len(values) < len(study.corpora):
        say("no n-grams are counted (the study's folder does not say how its data is made)")
        return
    try:
        module = own()
        prepared = {
            name: corpus_of(value, also_from=module).open(study.corpora[name].fingerprint)
            for name, value in values.items()
        }
    except (ImportError, LawfulError) as error:
        say(f"no n-grams are counted ({error})")  # without torch, or on another machine
        return
    opened = {name: data for name, data in prepared.items() if isinstance(data, TokenData)}
    if not opened:
        return
    if len(opened) > 1:
        counted = {name: ngram_baselines(data, orders=(1, 2, 3, 4, 5)) for name, data in opened.items()}
        write_json(store.baselines, {"by_corpus": counted})
        return
    ((name, data),) = opened.items()
    fingerprint = study.corpora[name].fingerprint
    write_json(store.baselines, {"corpus_fingerprint": fingerprint, "baselines": ngram_baselines(data)})
