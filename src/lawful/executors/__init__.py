"""Where runs go. An executor has one method, submit; it ships `python -m lawful.train.worker FOLDER RUN_ID`."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypedDict

from lawful import trust
from lawful.checks import PositiveFloat, PositiveInt, check_fields
from lawful.command import CommandRun, trusted
from lawful.command.attempt import SAFE_PATH
from lawful.errors import DeclarationError
from lawful.schema import PlannedRun, RunRecord, StudyPlan
from lawful.schema import SinkName as SinkName
from lawful.storage.atomic import open_log
from lawful.storage.cache import cache_folder
from lawful.storage.codec import write_result
from lawful.storage.layout import Store
from lawful.storage.lease import claimed
from lawful.study import own_file

ATTEMPTS = 2  # how often a run may take its worker down before it counts as failed


class Job(ABC):
    """Submitted work; the truth about each run is in its own folder, never here.

    left_out    runs that were not started, since they would not end in time
    """

    left_out: Set[str] = frozenset()

    @abstractmethod
    def is_over(self) -> bool:
        """Whether nothing is left that this job could still do. Raises OSError when it ended on a full disk."""

    @abstractmethod
    def stop(self) -> None:
        """Ask every run to checkpoint and leave, and wait for it."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a cluster reserves for a group of runs that one worker does.

    gpus         below 1: the share of one
    nodes        of which each has these cores, GPUs and memory
    resources    name on the cluster -> how much
    minutes      that a run may take; None: not known
    can_go_on    whether a run that is stopped part way goes on where it was
    """

    cores: int
    gpus: float = 0.0
    nodes: int = 1
    memory_gb: float | None = None
    resources: tuple[tuple[str, float], ...] = ()
    minutes: float | None = None
    can_go_on: bool = True


class SharedOptions(TypedDict):
    """Options of a command that every executor has, as fields of Executor."""

    device: str
    threads: int
    log: tuple[SinkName, ...]
    checkpoint_seconds: float
    processes_per_run: int
    is_sharded: bool
    is_echoed: bool


class OwnOptions(TypedDict):
    """Options of a command that some executors have."""

    workers: int
    gpus_per_run: float
    max_hours: float | None
    address: str
    partition: str | None
    time: str
    array_parallelism: int


@dataclass(frozen=True, kw_only=True)
class Executor(ABC):
    """Plain data: what every worker is told; a subclass adds where workers are.

    device        auto (the plan's), cpu, cuda, cuda:N or mps
    threads       CPU threads of a run (two on a busy two-core machine measured 3.5 times slower than one)
    micro_batch   windows in one forward pass; None: the whole batch
    is_echoed     the output of runs that are commands is copied to standard error
    processes_per_run, is_sharded    torchrun gives each process its rows of the global batch; sharded: by FSDP
    """

    device: str = "auto"
    threads: PositiveInt = 1
    micro_batch: PositiveInt | None = None
    checkpoint_seconds: PositiveFloat = 30.0
    log: Sequence[SinkName] = ()
    processes_per_run: PositiveInt = 1
    is_sharded: bool = False
    is_echoed: bool = False

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def of_options(cls, shared: SharedOptions, options: OwnOptions) -> Executor:
        """The executor that the options of a command describe: of the other options, those that are fields of this
        class."""
        own = {field.name for field in fields(cls)} - set(shared)
        taken = {name: value for name, value in options.items() if name in own}
        return cls(**shared, **taken)  # type: ignore[arg-type]  # which check themselves

    @abstractmethod
    def submit(self, folder: Path, groups: Sequence[Sequence[str]]) -> Job:
        """Start the runs named by id. Those of one group share a trunk, or are stacked, and are best done by one
        worker, in the order given."""

    def command(self, folder: Path, groups: Sequence[Sequence[str]] = ()) -> list[str]:
        """A worker that takes ids of these groups from its standard input, but for the Python that runs it."""
        study = Store(folder).read_study()
        if are_commands(study, groups):
            return self._command_worker(Store(folder), study)
        own = own_file(study)
        trusted = ["--trust", own[1]] if own and trust.is_trusted(own[1]) else []  # else the worker refuses it
        worker = ["-m", "lawful.train.worker", str(folder), "-", *self._options(), *trusted]
        if self.processes_per_run == 1:
            return worker
        return ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={self.processes_per_run}", *worker]

    def _command_worker(self, store: Store, study: StudyPlan) -> list[str]:
        if (self.processes_per_run > 1 or self.log or self.micro_batch) and not study.has_training:
            raise DeclarationError(
                f"{store.study}: expected none of --processes-per-run, --log and --shard: its runs are commands of "
                "other programs, which take options of their own."
            )
        own = trusted.hash_of(trusted.trusted_commands(store, study))
        echo = ["--echo"] if self.is_echoed else []
        return ["-m", "lawful.command.worker", str(store.folder), "-", "--trust", own, *echo]

    def needs(self, folder: Path, groups: Sequence[Sequence[str]], *, gpus_per_run: float) -> list[Needs]:
        """What each group needs: what the options say, or more where its commands ask for more.

        gpus_per_run    of the options
        """
        own = Needs(cores=self.threads * self.processes_per_run, gpus=gpus_per_run)
        store = Store(folder)
        study = store.read_study()
        if not are_commands(study, groups):
            return [own for _ in groups]
        found = trusted.trusted_commands(store, study)
        return [_needs(own, [trusted.command_of(found, run_id, store) for run_id in group]) for group in groups]

    def _options(self) -> list[str]:
        words = ["--device", self.device, "--threads", str(self.threads)]
        words += ["--checkpoint-seconds", str(self.checkpoint_seconds)]
        if self.micro_batch:
            words += ["--micro-batch", str(self.micro_batch)]
        if self.is_sharded:
            words += ["--shard"]
        for sink in self.log:
            words += ["--log", sink]
        return words

    def environment(self) -> dict[str, str]:
        """What a worker needs of this process's surroundings, wherever it starts: prepared data and sources. Python
        looks for modules in the current folder, which may be somebody's study, only where it does so here."""
        named = {"OMP_NUM_THREADS": str(self.threads), "LAWFUL_CACHE": str(cache_folder().resolve())}
        if not any(Path(place).resolve() == Path.cwd() for place in sys.path):
            named["PYTHONSAFEPATH"] = SAFE_PATH
        return {**named, **{name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}}


def are_commands(study: StudyPlan, groups: Sequence[Sequence[str]]) -> bool:
    """Whether the runs of these groups are commands; those of our own loop are submitted apart from them."""
    kinds = {planned.run: planned.kind for planned in study.runs}
    return any(kinds[run] == "command" for group in groups for run in group)


def expect_one_node(nodes: int) -> None:
    if nodes > 1:
        raise DeclarationError(f"nodes: only --executor slurm starts a command on several nodes, got nodes={nodes}.")


def _needs(least: Needs, commands: Sequence[CommandRun]) -> Needs:
    """The most that any of these commands, one after the other, needs."""
    resources: dict[str, float] = {}
    for run in commands:
        for name, number in run.resources:
            resources[name] = max(number, resources.get(name, 0.0))
    limits = [run.minutes for run in commands]
    return Needs(
        cores=max(least.cores, *(run.cores for run in commands)),
        gpus=max(least.gpus, *(run.gpus * run.gpu_share for run in commands)),
        nodes=max(run.nodes for run in commands),
        memory_gb=max((run.memory_gb for run in commands if run.memory_gb is not None), default=None),
        resources=tuple(sorted(resources.items())),
        minutes=sum(limit for limit in limits if limit is not None) if None not in limits else None,
        can_go_on=all(run.resume for run in commands),
    )


class Worker:
    """A worker process that is kept for run after run, and its successor when it dies.

    command, environment    as an Executor gives them
    """

    def __init__(
        self, folder: Path, command: Sequence[str], environment: Mapping[str, str], *, is_echoed: bool = False
    ) -> None:
        self._is_echoed = is_echoed
        self._store = Store(folder)
        self._command = [sys.executable, *command]
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.RLock()  # interrupt may come from a signal inside any other call
        self.is_stopping = False
        self.is_disk_full = False  # then no other run would fare better

    def train(self, group: Sequence[str]) -> None:
        """Have these runs done one after the other, or stacked; returns early when interrupted. A run that takes its
        worker down again and again is recorded as failed; a stack that does is taken apart."""
        left = stacks(self._planned, group)
        while left:
            ids = left.pop(0)
            for attempt in range(1, ATTEMPTS + 1):
                process = self._ready()
                if process is None:
                    return
                if answers := _ask(process, ids):
                    self.is_disk_full |= any(answer.endswith(" disk full") for answer in answers)
                    if self.is_disk_full or any(answer.endswith(" interrupted") for answer in answers):
                        self.is_stopping = True  # the latter by a scheduler's signal, say
                    break
                status = process.wait()
                self._forget()
                if len(ids) > 1:
                    left = [[run_id] for run_id in ids] + left
                    break
                if attempt == ATTEMPTS and not self.is_stopping:
                    how = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
                    why = f"its worker ended {ATTEMPTS} times without a result ({how}); see workers.log"
                    give_up(self._store, ids[0], why)

    @functools.cached_property
    def _planned(self) -> dict[str, PlannedRun]:
        return {planned.run: planned for planned in self._store.read_study().runs}

    def interrupt(self) -> None:
        """Tell the worker to checkpoint and leave; may be called from any thread. No other is started."""
        self.is_stopping = True
        with self._lock:
            if self._process and self._process.stdin and not self._process.stdin.closed:
                self._process.stdin.close()  # the input's end without `end`

    def leave(self) -> None:
        """Let the worker go, and wait until it is gone."""
        with self._lock:
            process = self._process
            try:
                if process and process.stdin and not process.stdin.closed:
                    process.stdin.write("end\n")
                    process.stdin.close()
            except OSError:
                pass
        if process:
            process.wait()
            self._forget()

    def _ready(self) -> subprocess.Popen[str] | None:
        with self._lock:
            if self.is_stopping:
                return None
            if self._process is None:
                with open_log(self._store.workers_log) as log:
                    self._process = subprocess.Popen(
                        self._command,
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=None if self._is_echoed else log,
                        text=True,
                        env={**os.environ, **self._environment},
                    )
            return self._process

    def _forget(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        for pipe in (process.stdin, process.stdout) if process else ():
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:
                pass


def stacks(planned: Mapping[str, PlannedRun], group: Sequence[str]) -> list[list[str]]:
    """The group's runs in their order; neighbours of one stack together, but never two of one trunk."""
    parts: list[list[str]] = []
    for run_id in group:
        own = planned[run_id]
        others = [planned[other] for other in parts[-1]] if parts and own.stack else []
        if others and all(own.stack == o.stack and own.cluster != o.cluster for o in others):
            parts[-1].append(run_id)
        else:
            parts.append([run_id])
    return parts


def _ask(process: subprocess.Popen[str], ids: Sequence[str]) -> list[str]:
    """Have the runs done: the worker's answers, none when it died over them."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(" ".join(ids) + "\n")
        process.stdin.flush()
    except (OSError, ValueError):
        return []
    answers = [process.stdout.readline().strip() for _ in ids]
    return answers if all(answers) else []


def give_up(store: Store, run_id: str, reason: str) -> None:
    """Record a run as failed, unless it is over or somebody is at it."""
    with claimed(store.claim(run_id)) as lease:
        if lease is not None and not store.result(run_id).exists():
            write_result(store.result(run_id), RunRecord(status="failed", reason=reason), lease=lease)
