"""Workers that start in milliseconds, to be killed: forked from a process that has imported torch once."""

from __future__ import annotations

import multiprocessing
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

from lawful.conduct import groups
from lawful.observe import observations
from lawful.storage import lease
from lawful.storage.cache import sha256_of
from lawful.storage.layout import Store
from settled import lasting


def context() -> ForkServerContext:
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["lawful.train.worker"])
    return found


def start(folder: Path, run_ids: Sequence[str], *options: str, log: Path | None = None, **faults: Any) -> Any:
    """A process that works on these runs as `python -m lawful.train.worker FOLDER -` does. See `_work` for faults."""
    process: ForkServerProcess = context().Process(
        target=_work, args=(str(folder), list(run_ids), list(options), str(log) if log else None, faults), daemon=True
    )
    process.start()
    return process


def _work(folder: str, run_ids: list[str], options: list[str], log: str | None, faults: dict[str, Any]) -> None:
    """skew_seconds    added to this process's clock
    machine         another name for this machine, so that nobody can tell from process numbers who is dead
    """
    import torch

    from lawful.train import worker

    torch.set_num_threads(1)
    if skew := faults.get("skew_seconds"):
        true_time = time.time
        time.time = lambda: true_time() + skew
    if machine := faults.get("machine"):
        lease._machine = lambda: machine
    begin = worker._prepared

    def noted(store: Store, run_id: str, *rest: Any, **named: Any) -> Any:
        _note(log, f"{os.getpid()} began {run_id}")
        return begin(store, run_id, *rest, **named)

    worker._prepared = noted
    asked = worker.parse([folder, "-", "--device", "cpu", *options])
    for run_id in run_ids:
        _note(
            log,
            f"{os.getpid()} {worker.train_runs(Store(Path(folder)), [run_id], asked, threading.Event())[0]} {run_id}",
        )


def _note(log: str | None, line: str) -> None:
    if log:
        with open(log, "a", encoding="utf-8") as file:  # one short write each: lines of several processes stay whole
            file.write(line + "\n")


def ids(folder: Path) -> list[str]:
    """In the order an executor gives them: a trunk's longest first."""
    waiting = groups(Store(folder), Store(folder).read_study())
    return [run_id for part in waiting for group in part for run_id in group]


def settled(folder: Path) -> dict[str, dict[str, Any]]:
    """The observations without what a clock decides, by run."""
    return {row["run"]: lasting(dict(row)) for row in observations(folder)}


def trained(folder: Path) -> dict[str, dict[str, Any]]:
    """The study trained without disturbance, in one process."""
    process = start(folder, ids(folder))
    process.join(120)
    assert process.exitcode == 0
    return settled(folder)


def differences(expected: dict[str, dict[str, Any]], folder: Path) -> tuple[int, int]:
    """Runs lost, and runs whose observation or weights are wrong."""
    got = settled(folder)
    here = Store(folder)
    lost = sum(run_id not in got for run_id in expected)
    wrong = sum(
        got[run_id] != row or sha256_of(here.weights(run_id)) != row["weights_sha256"]
        for run_id, row in expected.items()
        if run_id in got
    )
    return lost, wrong


def wait_for(is_so: Callable[[], bool], seconds: float = 150.0) -> None:  # a lease is 60
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def shuffled(items: Sequence[str], seed: int) -> list[str]:
    return random.Random(seed).sample(list(items), len(items))
