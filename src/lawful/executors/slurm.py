"""A Slurm cluster: job arrays through submitit, a task per trunk, requeued where preempted or out of time.

The truth about a run is its own folder, and about a job `squeue`: accounting is not asked: many clusters have none.
"""

from __future__ import annotations

import importlib
import math
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lawful.checks import NaturalInt, PositiveInt
from lawful.errors import DeclarationError, MissingDependency
from lawful.executors import Executor, Job, Needs, OwnOptions, SharedOptions, Worker
from lawful.storage.atomic import write_json
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store
from lawful.storage.lease import is_claimed
from lawful.storage.own_paths import expect_own

ENDED = frozenset(
    "BOOT_FAIL CANCELLED COMPLETED DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY PREEMPTED REVOKED TIMEOUT".split()
)  # states of a job that is over; any other, such as PENDING after a requeue, is not
MOST_TASKS = 1000  # of an array: Slurm's own default of MaxArraySize is 1001
TIMEOUTS = 1000  # how often a task that runs out of time goes back into the queue; each time it has made progress
SQUEUE_SECONDS = 5.0  # between two looks at the queue: a controller serves many
PATIENCE_SECONDS = 60.0  # after SIGTERM has stopped the worker: Slurm kills the rest after KillWait, 30 s by default


@dataclass(frozen=True, kw_only=True)
class Slurm(Executor):
    """minutes              the time limit of a task; a run that needs longer goes on in the next
    partition            None: the cluster's default
    gpus_per_run         whole ones
    array_parallelism    tasks that run at the same time, at most
    cluster              debug: what submitit offers where there is no Slurm: here, one after the other
    """

    partition: str | None = None
    minutes: PositiveInt = 60
    gpus_per_run: NaturalInt = 0
    array_parallelism: PositiveInt = 256
    cluster: Literal["slurm", "debug"] = "slurm"

    @classmethod
    def of_options(cls, shared: SharedOptions, options: OwnOptions) -> Executor:
        gpus = options["gpus_per_run"]
        if gpus != int(gpus):
            raise DeclarationError(f"--gpus-per-run: of Slurm expected a whole number, got {gpus:g}.")
        return cls(
            **shared,
            partition=options["partition"],
            minutes=minutes_of(options["time"]),
            gpus_per_run=int(gpus),
            array_parallelism=options["array_parallelism"],
        )

    def submit(self, folder: Path, groups: Sequence[Sequence[str]]) -> SlurmJob:
        return SlurmJob(self, folder.resolve(), groups)


def minutes_of(limit: str) -> int:
    """A time limit as Slurm writes it: M, M:S, H:M:S, D-H, D-H:M, D-H:M:S; rounded up."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", limit)
    if not found:
        raise DeclarationError(f"--time: expected minutes, H:M:S or D-H:M:S, got {limit!r}.")
    days, *parts = (int(part) if part else None for part in found.groups())
    numbers = [part or 0 for part in parts]
    if days is None and parts[2] is None:  # M or M:S
        numbers = [0, *numbers[:2]]
    hours, minutes, seconds = numbers
    total = math.ceil(((days or 0) * 24 + hours) * 60 + minutes + seconds / 60)
    if total < 1:
        raise DeclarationError(f"--time: expected at least a minute, got {limit!r}.")
    return total


class SlurmJob(Job):
    """Tasks of the queue that hold runs of this folder: those submitted now, and those that an earlier `lawful` left
    there. Each submission is kept in FOLDER/slurm/JOB.json, so that any login node knows them."""

    def __init__(self, executor: Slurm, folder: Path, groups: Sequence[Sequence[str]]) -> None:
        self._executor = executor
        self._store = Store(folder)
        self._has_old_results = any(self._store.result(run_id).exists() for group in groups for run_id in group)
        self._debug_jobs: list[Any] = []
        self._looked = -math.inf
        self._wanted = {run_id for group in groups for run_id in group}
        self._adopted = {run_id for _, ids in self._live_tasks() for run_id in ids} & self._wanted
        self._start([[run_id for run_id in group if run_id not in self._adopted] for group in groups])

    def is_over(self) -> bool:
        for job in self._debug_jobs:
            job.result()
        if self._debug_jobs or (not self._has_old_results and not self._undone(self._wanted)):
            return True
        if time.monotonic() - self._looked < SQUEUE_SECONDS:
            return False
        live = {run_id for _, ids in self._live_tasks() for run_id in ids}
        if live & self._wanted:
            return False
        if left := self._undone(self._adopted):  # cancelled before we came, and still in the queue then
            self._adopted = set()
            self._start([[run_id] for run_id in sorted(left)])
            return False
        return True

    def stop(self) -> None:
        """Cancelled tasks have KillWait (30 s by default) to checkpoint; over once no claim is held."""
        jobs = {job for job, ids in self._live_tasks() if self._wanted & set(ids)}
        if not jobs:
            return
        _run(["scancel", *sorted(jobs)])
        for job in jobs:
            path = self._store.slurm / f"{job}.json"
            write_json(path, {**read_json(path), "is_cancelled": True})
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if not any(is_claimed(self._store.claim(run_id)) for run_id in self._wanted):
                return
            time.sleep(0.2)

    def _start(self, groups: Sequence[Sequence[str]]) -> None:
        """An array for all groups that need the same of their nodes."""
        groups = [group for group in groups if group]
        by_needs: dict[Needs, list[Sequence[str]]] = {}
        needs = self._executor.needs(self._store.folder, groups, gpus_per_run=self._executor.gpus_per_run)
        for one, group in zip(needs, groups, strict=True):
            by_needs.setdefault(one, []).append(group)
        for one in by_needs:
            _expect_time(one, self._executor.minutes)
        for one, own in by_needs.items():
            self._start_array(one, own)

    def _start_array(self, needs: Needs, groups: Sequence[Sequence[str]]) -> None:
        options = self._executor
        submitit = _submitit()
        try:
            queue = submitit.AutoExecutor(
                folder=self._store.slurm, cluster=options.cluster, slurm_max_num_timeout=TIMEOUTS
            )
        except RuntimeError as error:
            raise DeclarationError(f"--executor slurm: expected sbatch and srun on this machine ({error}).") from None
        limit = 60 * options.minutes
        queue.update_parameters(
            name="lawful",
            timeout_min=options.minutes,
            nodes=needs.nodes,
            tasks_per_node=1,
            **_reserved(needs),
            **({"slurm_partition": options.partition} if options.partition else {}),
            slurm_array_parallelism=options.array_parallelism,
            # SIGUSR2 so long before the end: twice what a checkpoint may take, less where the limit itself is short
            slurm_signal_delay_s=min(60, limit // 4),
        )
        tasks = [list(groups[start::MOST_TASKS]) for start in range(min(len(groups), MOST_TASKS))]
        command, environment = options.command(self._store.folder, groups), options.environment()
        try:
            with queue.batch():
                jobs = [queue.submit(Task(str(self._store.folder), command, environment, task)) for task in tasks]
        except submitit.core.utils.FailedJobError as error:
            raise DeclarationError(f"--executor slurm: sbatch refused: {' '.join(str(error).split())[-400:]}") from None
        if options.cluster == "debug":
            self._debug_jobs += jobs
            return
        number = str(jobs[0].job_id).split("_")[0]
        ids = [[run_id for group in task for run_id in group] for task in tasks]
        write_json(self._store.slurm / f"{number}.json", {"tasks": ids, "is_cancelled": False})

    def _undone(self, ids: set[str]) -> set[str]:
        return {run_id for run_id in ids if not self._store.result(run_id).exists()}

    def _live_tasks(self) -> Iterator[tuple[str, list[str]]]:
        """The job and the runs of each task that this folder has in the queue; empty before anything was submitted."""
        paths = [path for path in self._store.slurm.glob("*.json") if path.stem.isdigit()]
        for path in paths:
            expect_own(path)
        kept = {path.stem: read_json(path) for path in paths}
        kept = {job: facts for job, facts in kept.items() if not facts["is_cancelled"]}
        if not kept:
            return
        listed = _run(["squeue", "--noheader", "--array", "--states=all", "--me", "--format=%F %K %T"])
        self._looked = time.monotonic()
        for line in listed.splitlines():
            job, index, state = line.split()
            if job in kept and state not in ENDED:
                yield job, kept[job]["tasks"][int(index) if index.isdigit() else 0]


def _reserved(needs: Needs) -> dict[str, object]:
    """As parameters of submitit. A share of a GPU is a whole one: Slurm gives no shares, unless the cluster has a gres
    for them, which `resources` may name."""
    own: dict[str, object] = {"cpus_per_task": needs.cores}
    if needs.gpus:
        own["gpus_per_node"] = math.ceil(needs.gpus)
    if needs.memory_gb is not None:
        own["mem_gb"] = needs.memory_gb
    more: dict[str, object] = {"requeue": True}
    if needs.resources:
        if odd := [f"{name}={number:g}" for name, number in needs.resources if number != int(number)]:
            raise DeclarationError(f"resources: of Slurm expected whole numbers, which gres are, got {', '.join(odd)}.")
        more["gres"] = ",".join(f"{name}:{int(number)}" for name, number in needs.resources)
    return {**own, "slurm_additional_parameters": more}


def _expect_time(needs: Needs, minutes: int) -> None:
    """Raises DeclarationError where a run that begins anew each time would never come to its end."""
    if not needs.can_go_on and needs.minutes is not None and needs.minutes > minutes:
        raise DeclarationError(
            f"--time: expected at least the {needs.minutes:g} minutes that a command may take, got {minutes}: without "
            "`resume` it would begin anew in each task."
        )


class Task:
    """What one task of the array does on its node; plain data, which submitit carries there in a file of the folder."""

    def __init__(
        self, folder: str, command: Sequence[str], environment: Mapping[str, str], groups: Sequence[Sequence[str]]
    ) -> None:
        self.facts = (folder, command, environment, groups)
        self._worker: Worker | None = None
        self._thread: threading.Thread | None = None

    def __call__(self) -> None:
        folder, command, environment, groups = self.facts
        if os.environ.get("SLURM_PROCID", "0") != "0":
            return  # of a command on several nodes: the first node starts it on all
        while True:
            worker = self._worker = Worker(Path(folder), command, environment)
            self._thread = threading.Thread(target=_serve, args=(worker, groups))
            self._thread.start()
            while self._thread.is_alive():
                time.sleep(0.1)  # not join: a signal's handler runs between two of these
            if not worker.is_stopping:
                return
            # SIGTERM: a preemption or a cancellation, which ends this process too; where it does not, the work goes on.
            # To return would tell Slurm that the job is complete, and it would not be requeued.
            time.sleep(PATIENCE_SECONDS)

    def checkpoint(self) -> Any:
        """Called by submitit on SIGUSR2, before it puts the task back into the queue."""
        if self._worker and self._thread:
            self._worker.interrupt()
            while self._thread.is_alive():
                time.sleep(0.1)
        return _submitit().helpers.DelayedSubmission(Task(*self.facts))


def _serve(worker: Worker, groups: Sequence[Sequence[str]]) -> None:
    for group in groups:
        worker.train(group)
    worker.leave()


def _run(command: Sequence[str]) -> str:
    """Tried for a minute: a busy controller does not always answer."""
    for left in reversed(range(6)):
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        except FileNotFoundError:
            raise DeclarationError(
                f"--executor slurm: expected the command {command[0]}, which is not installed."
            ) from None
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            if not left:
                raise DeclarationError(f"{' '.join(command)}: {error} {error.stderr or ''!s}".strip()) from None
        time.sleep(10)
    raise AssertionError("unreachable")


def _submitit() -> Any:
    try:
        return importlib.import_module("submitit")
    except ImportError as error:
        raise MissingDependency.of("submitit", extra="slurm", what="--executor slurm", error=error) from None
