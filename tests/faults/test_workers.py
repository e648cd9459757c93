"""Workers killed, put to sleep and set against each other leave the observations that one left alone would."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from lawful.storage.layout import Store
from lawful.storage.lease import is_claimed

from .processes import differences, ids, settled, shuffled, start, trained, wait_for

Folder = Callable[..., Path]
NEEDS_PROC = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="tells the dead by /proc")


@NEEDS_PROC
@pytest.mark.parametrize(
    ("kills", "steps"), [(3, (300,)), pytest.param(100, (500, 1000, 2000), marks=pytest.mark.slow)], ids=["3", "100"]
)
def test_kill_9_at_random_moments(toy_folder: Folder, tmp_path: Path, tally, kills: int, steps) -> None:
    fault = tally("a worker killed with kill -9 at a random moment")
    began = time.monotonic()
    expected = trained(toy_folder("calm", widths=(8, 16), steps=steps))
    seconds = time.monotonic() - began
    folder, log = toy_folder("stormy", widths=(8, 16), steps=steps), tmp_path / "log"
    run_ids, draw = ids(folder), random.Random(kills)
    while fault.tried < kills and len(settled(folder)) < len(run_ids):
        worker = start(folder, run_ids, "--checkpoint-seconds", "0.02", log=log)
        if draw.random() < 0.8:  # else while it starts
            wait_for(lambda: worker.exitcode is not None or log.exists() and str(worker.pid) in log.read_text())  # noqa: B023
        worker.join(draw.uniform(0, seconds / kills / 2))
        if worker.exitcode is None:
            os.kill(worker.pid, signal.SIGKILL)
            fault.tried += 1
        worker.join()
    start(folder, run_ids).join(300)
    fault.lost, fault.wrong = differences(expected, folder)
    assert fault.tried >= (kills if kills > 3 else 1), "make the study longer"  # a fast machine is done before three
    fault.must_be_harmless()


@pytest.mark.parametrize("times", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_a_worker_that_slept_past_its_lease_commits_nothing(toy_folder: Folder, tmp_path: Path, tally, times) -> None:
    fault = tally("a worker put to sleep (SIGSTOP) past its lease, woken (SIGCONT) after another took over")
    expected = trained(toy_folder("calm", widths=(8, 16), steps=(150,)))
    for number in range(times):
        folder = toy_folder(f"asleep{number}", widths=(8, 16), steps=(150,))
        (first, *_) = run_ids = ids(folder)
        here, log = Store(folder), tmp_path / f"log{number}"
        options = ("--lease-seconds", "0.5", "--checkpoint-seconds", "0.02")
        sleeper = start(folder, [first], *options, log=log)
        wait_for(lambda: here.metrics(first).exists() and here.metrics(first).stat().st_size > 0)  # noqa: B023
        os.kill(sleeper.pid, signal.SIGSTOP)
        assert not here.result(first).exists(), "too late: make the run longer"
        try:
            other = start(folder, run_ids, *options, log=log)
            other.join(120)
            assert other.exitcode == 0 and here.result(first).exists()
            before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if "claims" not in path.parts}
        finally:
            os.kill(sleeper.pid, signal.SIGCONT)
        sleeper.join(60)
        assert f"{sleeper.pid} busy {first}" in log.read_text()
        after = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if "claims" not in path.parts}
        assert after.keys() == before.keys()
        changed = [path for path in after if after[path] != before[path]]
        fault.tried += 1
        lost, wrong = differences(expected, folder)
        fault.lost += lost
        fault.wrong += wrong + len(changed)
    fault.must_be_harmless()


@pytest.mark.parametrize(
    ("workers", "seeds"), [(3, 2), pytest.param(8, 25, marks=pytest.mark.slow)], ids=["3 on 4 runs", "8 on 50 runs"]
)
def test_racing_workers_do_each_run_once(toy_folder: Folder, tmp_path: Path, tally, workers: int, seeds: int) -> None:
    fault = tally("workers racing for the same runs (8 over 50), per run")
    expected = trained(toy_folder("calm", widths=(8, 16), steps=(20,), seeds=seeds))
    folder = toy_folder("raced", widths=(8, 16), steps=(20,), seeds=seeds)
    log = tmp_path / "log"
    racers = [start(folder, shuffled(ids(folder), seed), log=log) for seed in range(workers)]
    for racer in racers:
        racer.join(300)
        assert racer.exitcode == 0
    begun = Counter(line.split()[2] for line in log.read_text().splitlines() if " began " in line)
    fault.tried = len(expected)
    lost, wrong = differences(expected, folder)
    fault.lost, fault.wrong = lost, wrong + sum(times != 1 for times in begun.values())
    assert begun.keys() == expected.keys()
    fault.must_be_harmless()


@NEEDS_PROC
@pytest.mark.parametrize("hours", [1, pytest.param(-1, marks=pytest.mark.slow)])
def test_a_clock_that_is_an_hour_off_neither_loses_nor_keeps_a_claim(
    toy_folder: Folder, tmp_path: Path, tally, hours: int
) -> None:
    fault = tally("a machine whose clock is an hour off")
    expected = trained(toy_folder("calm", widths=(8, 16), steps=(300,)))
    folder = toy_folder("skewed", widths=(8, 16), steps=(300,))
    here, log = Store(folder), tmp_path / "log"
    (first, *_) = run_ids = ids(folder)
    options = ("--lease-seconds", "0.5", "--checkpoint-seconds", "0.02")
    skewed = start(folder, run_ids, *options, log=log, skew_seconds=3600 * hours, machine="another")
    wait_for(lambda: here.metrics(first).exists() and here.metrics(first).stat().st_size > 0)
    visitor = start(folder, [first], *options, log=log)
    visitor.join(60)
    assert f"{visitor.pid} busy {first}" in log.read_text(), "taken from a living holder, or made too short a run"
    os.kill(skewed.pid, signal.SIGKILL)
    skewed.join()
    fault.tried += 1
    assert not here.result(first).exists(), "make the run longer"
    assert is_claimed(here.claim(first)), "from elsewhere one cannot know yet that its holder is dead"
    began = time.monotonic()
    last = start(folder, run_ids, *options, log=log)
    last.join(120)
    assert time.monotonic() - began > 0.5
    fault.lost, fault.wrong = differences(expected, folder)
    fault.must_be_harmless()
