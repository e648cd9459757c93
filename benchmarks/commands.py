"""What lawful spends on a run that is a command, beside the command: 1,000 commands that do nothing.

python benchmarks/commands.py [--runs 1000] [--workers 2]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results import Row, record, told

from lawful.command import Command, LogPattern
from lawful.planning.commands import plan_commands
from lawful.study import Question, Study, grid

MOST_PROCESSOR_SECONDS = 0.015  # a command, beside its own
MOST_SECONDS = 20.0  # for 1,000 of them on two idle cores
PROGRAM = "/bin/echo"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows = told(measured(Path(scratch), options.runs, options.workers))
    record("commands", "What does a run that is a command cost?", rows)


def measured(folder: Path, runs: int, workers: int) -> list[Row]:
    def rung(number: int) -> Command:
        return Command(
            PROGRAM + " val loss 3.{number}", params="{number}+1", tokens=1000, reads=LogPattern("val loss {loss}")
        )

    study = Study(
        name="nothing",
        question="?",
        ladder=grid(rung, number=range(runs)),
        questions=[Question(name="size", asks="?", law="power:params")],
    )
    os.chdir(folder)
    plan_commands(study).write(folder / "out")
    own = _processor_seconds_of_programs(runs)
    text = (
        "from lawful.conduct import train_study; from lawful.executors.local import Local; from pathlib import Path; "
        f"train_study(Path('out'), Local(workers={workers}))"
    )
    before, began = _children(), time.perf_counter()
    subprocess.run([sys.executable, "-c", text], check=True)
    seconds, spent = time.perf_counter() - began, _children() - before
    beside = (spent - own) / runs
    return [
        Row(
            what=f"processor time of a command that does nothing, beside its own ({runs} of them)",
            unit="seconds",
            ours=beside,
            theirs=MOST_PROCESSOR_SECONDS,
            ratio=beside / MOST_PROCESSOR_SECONDS,
            goal="<= 1",
        ),
        Row(
            what=f"{runs} commands that do nothing, {workers} workers, by the clock",
            unit="seconds",
            ours=seconds,
            theirs=MOST_SECONDS * runs / 1000,
            ratio=seconds / (MOST_SECONDS * runs / 1000),
            goal="<= 1",
        ),
    ]


def _children() -> float:
    facts = resource.getrusage(resource.RUSAGE_CHILDREN)
    return facts.ru_utime + facts.ru_stime


def _processor_seconds_of_programs(runs: int) -> float:
    """What the programs spend themselves, started without lawful."""
    before = _children()
    for number in range(runs):
        subprocess.run([PROGRAM, f"val loss 3.{number}"], stdout=subprocess.DEVNULL, check=True)
    return _children() - before


if __name__ == "__main__":
    main()
