"""A worker: `python -m lawful.train.worker FOLDER RUN_ID` trains one run; with `-` it takes ids from standard input.

It needs two strings and nothing else, so any run can be repeated by hand on any machine. With `-`, each line of
standard input names a run, or several to be batched, and each answer on standard output is `RUN_ID STATUS`;
after the line `end` it exits. If the input ends without that line (its parent was stopped or killed), it checkpoints
and exits at once.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import math
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from lawful import devices
from lawful.errors import LawfulError, StoreError, in_short, in_words
from lawful.plugins import PreparedData
from lawful.run import Run, from_json
from lawful.schema import PlannedRun, RunRecord, StudyPlan
from lawful.storage.atomic import disable_writes, is_disk_full, open_log
from lawful.storage.codec import write_result
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store
from lawful.storage.lease import LEASE_SECONDS, Lease, LeaseLost, claimed
from lawful.storage.worker_input import ids_from_input
from lawful.study import own_module
from lawful.train import device, loop, parallel
from lawful.train.sinks import open_sinks
from lawful.train.state import Clock, ExecutionConfig, Interrupted
from lawful.train.step import is_out_of_memory

INTERRUPTED = 75  # exit status: stopped on request, can go on (EX_TEMPFAIL)
DISK_FULL = 74  # exit status: could not write, can go on once there is room (EX_IOERR)
EXIT = {"finished": 0, "diverged": 0, "interrupted": INTERRUPTED, "disk full": DISK_FULL}  # anything else: 1


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    device.keep_freed_memory()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGUSR2):  # a scheduler's warnings: preemption, and the end of the time limit
        signal.signal(number, lambda *_: stop.set())
    store = Store(options.folder)
    parallel.join()
    with device.flushed_denormals():
        if parallel.rank():
            return _follow(store, options, stop)
        code = _lead(store, options, stop)
    if parallel.processes() > 1:
        code = 0  # torchrun takes any other for a crash, and kills the rest
    parallel.tell(None)
    parallel.leave()
    return code


def _lead(store: Store, options: argparse.Namespace, stop: threading.Event) -> int:
    if options.run_id != "-":
        signal.signal(signal.SIGINT, lambda *_: stop.set())
        (status,) = train_runs(store, [options.run_id], options, stop)
        print(options.run_id, status, flush=True)
        _exit_for_other_ranks(status)
        return EXIT.get(status, 1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the whole terminal group; the parent decides
    for ids in ids_from_input(stop):
        found = train_runs(store, ids, options, stop)
        print("\n".join(f"{run_id} {status}" for run_id, status in zip(ids, found, strict=True)), flush=True)
        for status in found:
            _exit_for_other_ranks(status)
        for status in ("interrupted", "disk full"):
            if status in found:
                return EXIT[status]
    return INTERRUPTED if stop.is_set() else 0


def _exit_for_other_ranks(status: str) -> None:
    """Other ranks may be blocked in a collective of the run that this one has left: exit at once, so that torchrun
    stops them."""
    if parallel.processes() > 1 and status in ("failed", "busy", "disk full"):
        os._exit(EXIT.get(status, 1))


def _follow(store: Store, options: argparse.Namespace, stop: threading.Event) -> int:
    """Take part in each run that the first process takes up, write nothing, and end with it."""
    disable_writes()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while (run_id := parallel.told()) is not None:
        try:
            loop.train(*_prepared(store, run_id, options, stop, lease=None))
        except Interrupted:
            pass
    parallel.leave()
    return 0


def train_runs(store: Store, ids: Sequence[str], options: argparse.Namespace, stop: threading.Event) -> list[str]:
    """Train runs, several of them batched. A run that is done, or that another worker has, is left alone. An error ends
    its run, never the worker.

    Returns the status of each run: finished, diverged, failed, interrupted, busy (another worker has it) or disk full.
    """
    size = sum(_ended(store, run_id) is None for run_id in ids) if parallel.processes() == 1 else 1
    attempts = [Attempt(store, run_id, options, stop) for run_id in ids]
    if size <= 1:
        for attempt in attempts:
            if attempt.claim():
                attempt.conclude(attempt.train)
        return [attempt.status for attempt in attempts]
    from lawful.train.batched import train_batched

    clock = Clock()
    claimed = [attempt for attempt in attempts if attempt.claim()]
    starts = [functools.partial(attempt.start, size, clock) for attempt in claimed]
    train_batched(starts, lambda number, outcome: claimed[number].conclude(outcome))
    return [attempt.status for attempt in attempts]


class Attempt:
    """One run in this worker, from its claim to its result; `status` is how it ended."""

    def __init__(self, store: Store, run_id: str, options: argparse.Namespace, stop: threading.Event) -> None:
        self.store, self.run_id, self.options, self.stop = store, run_id, options, stop
        self.status = ""
        self.lease: Lease | None = None
        self._claim = contextlib.ExitStack()

    def claim(self) -> bool:
        """Claim the run. True if no other worker has it and it has not ended; then call `conclude`."""
        with self._faults_of_the_store():
            self.lease = self._claim.enter_context(
                claimed(
                    self.store.claim(self.run_id),
                    patience_seconds=math.inf,
                    lease_seconds=self.options.lease_seconds,
                    should_stop=self.stop.is_set,
                )
            )
            if self.lease is None:
                self.status = "interrupted" if self.stop.is_set() else "busy"
            else:
                self.status = _ended(self.store, self.run_id) or ""
        if self.status:
            self._claim.close()
        return not self.status

    def start(self, size: int, clock: Clock) -> loop.Training:
        run, data, store, config = _prepared(self.store, self.run_id, self.options, self.stop, lease=self.lease)
        return loop.start(run, data, store, replace(config, batched_runs=size, clock=clock))

    def train(self) -> RunRecord:
        parallel.tell(self.run_id)
        return loop.train(*_prepared(self.store, self.run_id, self.options, self.stop, lease=self.lease))

    def conclude(self, train: Callable[[], RunRecord]) -> None:
        """Write the result that `train` returns, or what its error means, and release the claim."""
        with self._faults_of_the_store(), self._claim:
            try:
                result = train()
            except Interrupted:
                self.status = "interrupted"
                return
            except LeaseLost:
                raise
            except Exception as error:
                if is_disk_full(error) or parallel.is_loss(error):
                    raise
                with open_log(self.store.log(self.run_id)) as log:
                    told = f"{time.strftime('%Y-%m-%dT%H:%M:%S')}\n{traceback.format_exc()}\n"
                    log.write(told.encode(errors="backslashreplace"))
                print(f"{self.run_id}: {error}", file=sys.stderr, flush=True)
                result = RunRecord(status="failed", reason=_reason(error))
            write_result(self.store.result(self.run_id), result, lease=self.lease)
            if result.status != "failed":
                _delete_checkpoints(self.store, self.run_id)
            self.status = result.status

    @contextlib.contextmanager
    def _faults_of_the_store(self) -> Iterator[None]:
        try:
            yield
        except LeaseLost as error:
            print(f"{self.run_id}: {error}", file=sys.stderr, flush=True)
            self.status = "busy"
        except OSError as error:
            if not is_disk_full(error):
                raise
            with contextlib.suppress(OSError):  # the log is often on the same disk
                print(f"{self.run_id}: disk full: {error}", file=sys.stderr, flush=True)
            self.status = "disk full"


def _reason(error: Exception) -> str:
    """One line: the message of our own error, or the message of another with its place in the code."""
    if isinstance(error, LawfulError):
        return str(error)
    if isinstance(error, OSError):
        return in_words(error)
    *_, last = traceback.extract_tb(error.__traceback__)
    said = " ".join(str(error).split())
    if isinstance(error, RuntimeError) and is_out_of_memory(error):
        return in_short(
            "out of memory, and nothing is left to be cut into smaller pieces: use fewer --workers, a smaller model, "
            f"a shorter context or another --device. {type(error).__name__}: {said}"
        )
    return in_short(
        f"{type(error).__name__}: {said} ({last.filename}, line {last.lineno}; worker.log has the traceback)"
    )


def _ended(store: Store, run_id: str) -> str | None:
    """How the run ended; None where it has not, or failed and may be tried again."""
    result = store.read_result(run_id)
    return None if result is None or result.status == "failed" else result.status


def _prepared(
    store: Store, run_id: str, options: argparse.Namespace, stop: threading.Event, *, lease: Lease | None
) -> tuple[Run, PreparedData, Store, ExecutionConfig]:
    """What `loop.train` needs: the run, its data, the folder, and how the run is executed here."""
    study = store.read_study()
    if not store.run(run_id).exists():
        raise StoreError(
            f"{store.run(run_id)}: no such file, so the run cannot be trained; "
            f"`lawful run STUDY --out {store.folder}` plans it again."
        )
    where = torch.device(devices.of_worker(options.device, study.device))
    if where.type == "cuda":
        parallel.check_gpus()
    own = own_module(study, store.folder, trusted=options.trust)
    run = from_json(read_json(store.run(run_id)), also_from=own)
    if not isinstance(run, Run) or run.id != run_id:
        raise StoreError(
            f"{store.run(run_id)}: expected the Run {run_id}, got one whose hash is another; it was edited."
        )
    planned = next((planned for planned in study.runs if planned.run == run_id), None)
    data = run.corpus.open(run.data_fingerprint)
    if options.planned_threads and where.type == "cpu":
        _spread(1 if planned is None else planned.threads, options)
    config = ExecutionConfig(
        device=where,
        micro_batch=options.micro_batch,
        loaders=_loaders(options, where, data),
        checkpoint_seconds=options.checkpoint_seconds,
        branch_steps=_branch_steps(study, planned),
        lease=lease,
        is_sharded=options.shard and parallel.processes() > 1,
        sinks=open_sinks(
            [] if parallel.rank() else options.log,
            store.folder,
            study.name,
            run_id,
            planned,
            read_json(store.run(run_id)),
        ),
        should_stop=lambda: stop.is_set() or (lease is not None and lease.lost.is_set()),
    )
    return run, data, store, config


def _spread(threads: int, options: argparse.Namespace) -> None:
    """Use so many threads on the cores of this process; a run with one thread stays on the core of --core."""
    torch.set_num_threads(min(threads, len(options.cores) or threads))
    if options.core is not None:
        os.sched_setaffinity(0, options.cores if threads > 1 else {options.core})


def _loaders(options: argparse.Namespace, where: torch.device, data: PreparedData) -> int:
    """How many processes make batches ahead: on a CPU none, since every core trains."""
    if options.loaders is not None:
        return int(options.loaders)
    is_needed = where.type == "cuda" and data.is_slow_to_read
    return min(4, (os.cpu_count() or 1) // 4) if is_needed else 0


def _branch_steps(study: StudyPlan, planned: PlannedRun | None) -> frozenset[int]:
    if planned is None:  # the study was planned again without it
        return frozenset()
    others = [one for one in study.runs if one.cluster == planned.cluster and one.run != planned.run]
    return loop.branch_steps(planned.decay_start, [other.decay_start for other in others])


def _delete_checkpoints(store: Store, run_id: str) -> None:
    """Keep the final weights; delete the checkpoints, which only an unfinished run needs."""
    shutil.rmtree(store.checkpoints(run_id), ignore_errors=True)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lawful.train.worker", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("run_id", help="or - to take ids from standard input")
    parser.add_argument("--device", default="auto", help="auto: the plan's; cpu, cuda, cuda:N or mps")
    parser.add_argument(
        "--loaders",
        type=int,
        help="processes that make batches ahead (default: on a GPU, a quarter of the cores, "
        "at most 4, where the data is slow to read; else 0)",
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1: one process per core)")
    parser.add_argument("--planned-threads", action="store_true", help="as many CPU threads as the plan gives the run")
    parser.add_argument("--core", type=int, help="the core of a run with one thread (default: any)")
    parser.add_argument("--micro-batch", type=int, help="windows in one forward pass (default: the whole batch)")
    parser.add_argument("--checkpoint-seconds", type=float, default=30.0)
    parser.add_argument(
        "--lease-seconds",
        type=float,
        default=LEASE_SECONDS,
        help=f"a worker that gives no sign of life for so long may lose its run (default {LEASE_SECONDS:g})",
    )
    parser.add_argument("--trust", default="", help="SHA-256 of the study's own Python file, which may then run")
    parser.add_argument("--shard", action="store_true", help="FSDP, where torchrun started several processes")
    parser.add_argument("--log", action="append", default=[], help="tensorboard or wandb, beside metrics.jsonl")
    parser.set_defaults(cores=os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ())
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
