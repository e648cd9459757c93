"""Commands that are killed, stopped, starved of time and of disk leave the table of those that were left alone."""

from __future__ import annotations

import argparse
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from lawful.command import Command, LogPattern
from lawful.command.worker import _Worker
from lawful.conduct import Unfinished, train_study
from lawful.executors.local import Local
from lawful.observe import observations
from lawful.planning.commands import plan_commands
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store
from lawful.study import Question, Study, grid
from settled import lasting
from small_disk import small_disk
from tally import Tally

from .processes import wait_for
from .test_disk import FullDisk

WIDTHS = (2, 3, 5, 7)
NEEDS_PROC = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds a run's processes by /proc")
# Goes on from its own checkpoint; a child of its own does the waiting. Two of one run at once would be seen in `twice`.
PROGRAM = """#!/bin/sh
width=$1; folder=$2; steps=$3; pause=$4
old=$(cat "$folder/pid" 2>/dev/null)
[ -n "$old" ] && grep -q "^State:.[^ZX]" "/proc/$old/status" 2>/dev/null && echo "$width" >> twice
echo $$ > "$folder/pid"
i=$(cat "$folder/step" 2>/dev/null || echo 0)
while [ "$i" -lt "$steps" ]; do
    sleep "$pause"
    i=$((i + 1))
    echo "$i" > "$folder/step.new" && mv "$folder/step.new" "$folder/step" || exit 1
    echo "step $i val loss $((steps - i + 1)).$width"
done
echo "step $i val loss 1.$width"
"""
Fault = Callable[[str], Tally]


def ladder(at: Path, *, steps: int = 4, pause: float = 0.05, minutes: float | None = None) -> Path:
    """The planned study of four commands; `at` has its program, at/out its folder."""
    at.mkdir()
    (at / "train.sh").write_text(PROGRAM)

    def rung(width: int) -> Command:
        return Command(
            f"/bin/sh train.sh {{width}} {{folder}} {steps} {pause}",
            resume="resumed",
            params="{width}",
            tokens=1000,
            reads=LogPattern("step {step} val loss {loss}"),
            minutes=minutes,
            grace_seconds=0.2,
        )

    question = Question(name="size", asks="?", law="power:params")
    study = Study(name="toy", question="?", ladder=grid(rung, width=WIDTHS), questions=[question])
    plan_commands(study, study_file=at / "train.sh").write(at / "out")
    return at / "out"


def count(fault: Tally, folder: Path) -> None:
    """Every run has one row, with the loss that its program ends with, and never ran twice at once."""
    rows = [lasting(dict(row)) for row in observations(folder)]
    found = {row["at_width"]: row["loss"] for row in rows if row["status"] == "finished"}
    fault.lost += len(WIDTHS) - len(found)
    fault.wrong += sum(found[width] != float(f"1.{width}") for width in found) + len(rows) - len(found)
    fault.wrong += (folder.parent / "twice").exists()


def by_worker(folder: Path, runs: Sequence[str] | None = None) -> list[str]:
    """Every run by the worker's own function, in this process; what it said of each."""
    options = argparse.Namespace(gpus="", echo=False, trust="")
    worker = _Worker(Store(folder), options, threading.Event())
    return [worker.train(run) for run in runs or ids(folder)]


def ids(folder: Path) -> list[str]:
    return [planned.run for planned in Store(folder).read_study().runs]


def left(folder: Path) -> list[str]:
    results = {run: Store(folder).read_result(run) for run in ids(folder)}
    return [run for run, result in results.items() if result is None or result.status == "failed"]


def started(folder: Path) -> subprocess.Popen[str]:
    """A worker as the local executor starts it, told of all that is left."""
    words = [sys.executable, "-m", "lawful.command.worker", str(folder), "-"]
    worker = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert worker.stdin is not None
    worker.stdin.write("".join(f"{run}\n" for run in left(folder)))
    worker.stdin.flush()
    return worker


def programs(folder: Path) -> list[int]:
    """The processes that run the study's program or are started by it."""
    mark = f"LAWFUL_RUN_FOLDER={folder.resolve()}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue  # it has ended, or is somebody else's
    return found


def strike(worker: subprocess.Popen[str], folder: Path, how: str, draw: random.Random) -> bool:
    """Whether a command was running then."""
    victims = programs(folder)
    if how == "program" and victims:
        with suppress(ProcessLookupError):
            os.kill(draw.choice(victims), signal.SIGKILL)
    elif how == "parent":  # as when lawful is killed: the worker's input ends
        assert worker.stdin is not None
        worker.stdin.close()
    elif how != "program":
        worker.send_signal(getattr(signal, how))
    return bool(victims)


HOW = {
    "SIGKILL": "a command's worker killed with kill -9 at a random moment",
    "program": "a command, or a child of it, killed with kill -9 at a random moment",
    "parent": "lawful gone while a command runs",
    "SIGTERM": "SIGTERM to a command's worker, as Slurm preempts and cancels",
    "SIGUSR2": "SIGUSR2 to a command's worker, as Slurm says that its time is over",
}


@NEEDS_PROC
@pytest.mark.parametrize("how", list(HOW))
@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.slow)], ids=["once", "20 times"])
def test_whatever_ends_a_command_its_study_is_the_one_left_alone(
    tmp_path: Path, tally: Fault, how: str, times: int
) -> None:
    fault, draw = tally(HOW[how]), random.Random(times)
    for number in itertools.count():
        folder = ladder(tmp_path / str(number))
        while fault.tried < times and left(folder):
            with started(folder) as worker:
                wait_for(lambda: worker.poll() is not None or bool(programs(folder)) or not left(folder))  # noqa: B023
                time.sleep(draw.uniform(0, 0.3))
                if worker.poll() is None:
                    fault.tried += strike(worker, folder, how, draw)
                if how == "program" and worker.poll() is None and worker.stdin is not None:
                    worker.stdin.write("end\n")
            wait_for(lambda: not programs(folder))  # noqa: B023
        while left(folder):
            by_worker(folder, left(folder))
        count(fault, folder)
        shutil.rmtree(folder.parent)
        if fault.tried >= times:
            break
    fault.must_be_harmless()


@pytest.mark.parametrize("how", ["SIGINT", pytest.param("SIGTERM", marks=pytest.mark.slow)])
def test_a_signal_to_lawful_itself_ends_its_commands_and_a_resume_goes_on(
    tmp_path: Path, tally: Fault, how: str
) -> None:
    fault = tally(f"{'Ctrl+C' if how == 'SIGINT' else how} to lawful while commands run")
    folder = ladder(tmp_path / "study", pause=0.3)
    words = [sys.executable, "-m", "lawful", "resume", str(folder), "--workers", "2"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as lawful:
        wait_for(lambda: len(list(folder.glob("runs/*/work/step"))) == 2)
        lawful.send_signal(getattr(signal, how))
        assert lawful.stderr is not None and "every command was ended" in lawful.stderr.read()
        assert lawful.wait(60) == 130
    assert not programs(folder)
    fault.tried += 1
    before = {path.parent.parent.name: int(path.read_text()) for path in folder.glob("runs/*/work/step")}
    assert sum(step > 0 for step in before.values()) >= 2
    by_worker(folder)
    count(fault, folder)
    fault.must_be_harmless()


def test_a_time_limit_shorter_than_a_command_is_met_again_until_it_has_ended(tmp_path: Path, tally: Fault) -> None:
    fault = tally("a time limit shorter than a command that can go on")
    folder = ladder(tmp_path / "study", steps=6, pause=0.1, minutes=0.4 / 60)
    for _ in range(20):
        said = by_worker(folder)
        if set(said) == {"finished"}:
            break
        fault.tried += said.count("failed")
        reasons = {Store(folder).read_result(run).reason for run in left(folder)}  # type: ignore[union-attr]
        assert all(reason.startswith("stopped at its time limit") for reason in reasons)
    count(fault, folder)
    fault.must_be_harmless()


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)], ids=["each fifth", "each"])
def test_a_disk_full_at_the_kth_write_of_a_commands_worker(tmp_path: Path, tally: Fault, every: int) -> None:
    fault = tally("a command: the disk full at the k-th write, each k in turn; then room is made")
    for k in itertools.count(0, every):
        folder = ladder(tmp_path / str(k), steps=1, pause=0)
        (first, *_) = ids(folder)
        disk = FullDisk(k)
        with disk.installed():
            said = by_worker(folder, [first])
        if disk.writes <= k:
            assert said == ["finished"]
            break
        assert said == ["disk full"], f"write {k}"
        for path in folder.rglob("*.json"):
            if "claims" not in path.parts:
                read_json(path)
        assert set(by_worker(folder)) == {"finished"}
        fault.tried += 1
        count(fault, folder)
        shutil.rmtree(folder.parent)
    assert fault.tried >= 1
    fault.must_be_harmless()


@pytest.mark.slow
def test_commands_on_a_real_disk_that_fills_up_go_on_once_there_is_room(tmp_path: Path, tally: Fault) -> None:
    fault = tally("commands on a real file system that fills up; then room is made")
    with small_disk(tmp_path / "disk", "2m"):
        ballast = tmp_path / "disk" / "ballast"
        for free in (12_000, 30_000, 60_000):
            folder = ladder(tmp_path / "disk" / "study")
            ballast.write_bytes(bytes(shutil.disk_usage(folder).free - free))
            try:
                train_study(folder, Local(workers=2))
            except (OSError, Unfinished):
                pass  # what it says is the command line's own test
            fault.tried += bool(left(folder))
            ballast.unlink()
            while left(folder):
                by_worker(folder, left(folder))
            count(fault, folder)
            shutil.rmtree(folder.parent)
    fault.must_be_harmless()
