"""This machine: a single-threaded worker process per core, or several a GPU, fed ids over a pipe."""

from __future__ import annotations

import ctypes.util
import errno
import functools
import os
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lawful import devices
from lawful.checks import NaturalInt
from lawful.command import trusted
from lawful.costs import estimates
from lawful.errors import DeviceError
from lawful.executors import Executor, Job, OwnOptions, SharedOptions, Worker, are_commands, expect_one_node
from lawful.schema import StudyPlan
from lawful.storage.layout import Store


@dataclass(frozen=True, kw_only=True)
class Local(Executor):
    """workers    processes; 0: as many as the available cores have threads for, or as the plan has room for on GPUs
    until      a time of time.monotonic(): a run that is expected to end later is not started; None: no limit
    """

    workers: NaturalInt = 0
    until: float | None = None

    @classmethod
    def of_options(cls, shared: SharedOptions, options: OwnOptions) -> Executor:
        hours = options["max_hours"]
        until = None if hours is None else time.monotonic() + 3600 * hours
        return cls(**shared, workers=options["workers"], until=until)

    def submit(self, folder: Path, groups: Sequence[Sequence[str]]) -> LocalJob:
        return LocalJob(self, folder, groups)


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cores(executor: Local, number: int, count: int) -> list[str]:
    """Options of worker `number` of `count`: it uses the planned number of threads for each run, and stays on one core
    if every core has a worker."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if executor.threads * executor.processes_per_run > 1 or executor.device not in ("auto", "cpu"):
        return []
    return ["--planned-threads", *(["--core", str(cores[number])] if count == len(cores) else [])]


def _processes(executor: Local, study: StudyPlan, device: str, gpus: Sequence[str]) -> int:
    """How many workers: on GPUs, as many on each as the plan found room for."""
    if executor.workers:
        return executor.workers
    if device == "cpu":
        return max(1, available_cores() // (executor.threads * executor.processes_per_run))
    if device != study.device or executor.processes_per_run > 1:
        return 1
    return max(1, study.workers * len(gpus) // (study.gpus or len(gpus) or 1))


def _gpus(executor: Local, device: str) -> list[str]:
    """The GPUs that the workers share, as CUDA_VISIBLE_DEVICES names them; none on another device."""
    kind, _, number = device.partition(":")
    found = devices.gpus() if kind == "cuda" else []
    if number:
        found = [found[int(number)]]
    if found and executor.processes_per_run > len(found):
        raise DeviceError(
            f"--processes-per-run: expected at most as many processes as GPUs, got {executor.processes_per_run} and "
            f"{len(found)}."
        )
    return found


@functools.cache
def allocator() -> str | None:
    """tcmalloc, where this system has it. Measured on one core in turn with glibc 2.36's own, which keeps freed memory:
    a step 1.04 to 1.4 times as fast at .03M parameters, 1.03 to 1.17 at .2M, 1.01 to 1.14 at .8M, 1.0 at 3M; the same
    numbers. mimalloc and jemalloc lose at 3M: pages are given back and faulted in again."""
    return ctypes.util.find_library("tcmalloc_minimal") or ctypes.util.find_library("tcmalloc")


def _surroundings(executor: Local, device: str, gpus: Sequence[str], number: int) -> dict[str, str]:
    """The environment of worker `number`. Of several GPUs it sees one, except that a run on several processes sees all.
    On a CPU it has a faster allocator."""
    own = executor.environment()
    if device == "cpu" and not os.environ.get("LD_PRELOAD") and (found := allocator()):
        own["LD_PRELOAD"] = found
    if gpus and executor.processes_per_run == 1:
        own["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
    return own


def command_workers(executor: Local, folder: Path, study: StudyPlan, groups: Sequence[Sequence[str]]) -> list[Worker]:
    """A worker for each command that runs at once: as many as there are cores, or GPUs, for the largest of these runs.
    A run that needs fewer GPUs sees the first of its worker's."""
    if executor.device not in ("auto", "cpu") and not study.has_training:
        raise DeviceError(f"--device: the commands of a study choose theirs, with gpus=...; got {executor.device!r}.")
    own = {run_id for group in groups for run_id in group}
    store = Store(folder)
    found = trusted.trusted_commands(store, study)
    commands = [trusted.command_of(found, run_id, store) for run_id in own]
    expect_one_node(max(run.nodes for run in commands))
    gpus = max(run.gpus for run in commands)
    count = executor.workers or max(1, available_cores() // max(run.cores for run in commands))
    slots = [""] * count
    if gpus:
        here = devices.visible_gpus()
        if len(here) < gpus:
            raise DeviceError(f"gpus: expected at least {gpus} GPUs here, as a command asks, got {len(here)}.")
        on_each = 1 if gpus > 1 else int(1 / max(run.gpu_share for run in commands) + 1e-9)
        slots = [",".join(here[first : first + gpus]) for first in range(0, len(here) - gpus + 1, gpus)] * on_each
        slots = slots[: executor.workers or len(slots)]
    slots = slots[: 1 if executor.is_echoed else len(groups)]
    command, environment = executor.command(folder, groups), executor.environment()
    return [
        Worker(folder, [*command, *(["--gpus", slot] if slot else [])], environment, is_echoed=executor.is_echoed)
        for slot in slots
    ]


class Clock:
    """Whether a group of runs would end in time."""

    def __init__(self, store: Store, study: StudyPlan, until: float) -> None:
        self._store, self._planned, self._until = store, study.runs, until

    def has_time_for(self, group: Sequence[str]) -> bool:
        """Whether the runs would end in time: a command by the upper end of its cost estimate, our own run by the
        plan's estimate. A run without an estimate may begin while any time is left."""
        left = self._until - time.monotonic()
        over = {one.run: self._store.read_result(one.run) for one in self._planned}
        costs = estimates(self._planned, {run: result for run, result in over.items() if result is not None})
        own = [one for one in self._planned if one.run in group]
        needed = [costs[one.run].high if one.run in costs else one.seconds_estimate or 0.0 for one in own]
        return left > 0 and sum(needed) <= left


class LocalJob(Job):
    def __init__(self, executor: Local, folder: Path, groups: Sequence[Sequence[str]]) -> None:
        self._folder = folder
        self._groups: queue.SimpleQueue[Sequence[str]] = queue.SimpleQueue()
        for group in groups:
            self._groups.put(group)
        study = Store(folder).read_study()
        self._clock = None if executor.until is None else Clock(Store(folder), study, executor.until)
        self._workers = (
            command_workers(executor, folder, study, groups)
            if are_commands(study, groups)
            else self._training_workers(executor, folder, study, groups)
        )
        self._threads = [threading.Thread(target=self._serve, args=(worker,), daemon=True) for worker in self._workers]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _training_workers(
        executor: Local, folder: Path, study: StudyPlan, groups: Sequence[Sequence[str]]
    ) -> list[Worker]:
        device = devices.of_worker(executor.device, study.device)
        gpus = _gpus(executor, device)
        device, _, number = device.partition(":")
        if number:  # the one GPU that its workers see
            executor = replace(executor, device=device)
        count = min(_processes(executor, study, device, gpus), len(groups))
        return [
            Worker(
                folder,
                [*executor.command(folder, groups), *_cores(executor, number, count)],
                _surroundings(executor, device, gpus, number),
            )
            for number in range(count)
        ]

    def is_over(self) -> bool:
        if any(thread.is_alive() for thread in self._threads):
            return False
        if any(worker.is_disk_full for worker in self._workers):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._folder))
        return True

    def stop(self) -> None:
        for worker in self._workers:
            worker.interrupt()
        for thread in self._threads:
            thread.join()

    def _serve(self, worker: Worker) -> None:
        while not worker.is_stopping:
            try:
                group = self._groups.get_nowait()
            except queue.Empty:
                break
            if self._clock is None or self._clock.has_time_for(group):
                worker.train(group)
            else:
                self.left_out = self.left_out | set(group)
        worker.leave()
