"""What a large folder and a large table cost: processor time and peak memory, beside the lawful of another commit.

python benchmarks/scale.py [--runs 10000] [--rows 1000000] [--before COMMIT] [--only plan,status,fit,report,table]

The folder holds a study of commands whose runs are all over: the store's own functions wrote it, with losses of a
planted law, and nothing was trained. Each command is a process of its own, counted from its start, imports included.
With --before the same folder is then given to the lawful of that commit, in turn.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from results import ROOT, Row, record, told

from lawful.command import Command
from lawful.observe import write_observations
from lawful.planning.commands import plan_commands
from lawful.schema import PlannedRun, RunRecord
from lawful.storage.atomic import write_text
from lawful.storage.codec import write_result
from lawful.storage.layout import Store
from lawful.storage.lease import claimed
from lawful.study import Question, Study, grid
from tables import write_runs

# part -> seconds of the processor for 10,000 runs
GOALS = {"plan": 10.0, "status": 2.0, "fit": 2.0, "report": 10.0}
MOST_MB = 1000.0
LOGGED_LINES = 20  # of each run's record of training
BUDGETS = (10**8, 2 * 10**8, 4 * 10**8, 8 * 10**8, 16 * 10**8)
SEEDS = 10
NOISE = 0.003

DECLARED = """
import sys
sys.path.insert(0, {benchmarks!r})
from pathlib import Path
from scale import declared
from lawful.planning.commands import plan_commands
plan_commands(declared({runs})).write(Path({folder!r}))
"""
COMMAND = """
import sys
sys.argv = ["lawful", *{words!r}]
from lawful.__main__ import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""
# of the program itself: ru_maxrss would begin at the size of this process, which started it
PEAK = "\nprint('\\n', next(int(l.split()[1]) / 1e3 for l in open('/proc/self/status') if l.startswith('VmHWM')))"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000, help="of the study")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the table")
    parser.add_argument("--before", help="a commit: its lawful is given the same")
    parser.add_argument("--folder", type=Path, help="a study of this benchmark, kept from a former time, or to keep")
    parser.add_argument("--only", default="plan,status,fit,report,table")
    parser.add_argument("--rounds", type=int, default=2, help="the least counts: the first compiles")
    options = parser.parse_args()
    parts = options.only.split(",")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        sources = [ROOT.parent / "src"]
        if options.before:
            sources.append(checked_out(options.before, Path(scratch) / "before"))
        folder = options.folder or Path(scratch) / "study"
        if {"status", "fit", "report"} & set(parts) and not (folder / "study.json").exists():
            write_finished(folder, options.runs)
        if "table" in parts:
            write_runs(Path(scratch) / "runs.csv", options.rows)
        for part in parts:
            found: list[list[tuple[float, float]]] = [[] for _ in sources]
            for turn in range(options.rounds):
                for own, source in zip(found, sources, strict=True):
                    target = Path(scratch) / f"plan-{turn}-{len(own)}-{source.parent.name}"
                    own.append(spent(program_of(part, folder, target, options.runs, Path(scratch)), source))
            size = options.rows if part == "table" else options.runs
            rows += told(rows_of(part, size, found))
    record("scale", "What do a large folder and a large table cost?", rows)


def declared(runs: int) -> Study:
    """A grid of sizes, budgets and seeds: the largest size is held out."""
    sizes = [round(10 ** (5 + 3 * i / max(runs // 50 - 1, 1))) for i in range(max(runs // 50, 2))]

    def rung(n: int, d: int, seed: int) -> Command:
        return Command("/bin/echo --n={n} --d={d} --seed={seed}", params="{n}", tokens="{d}")

    return Study(
        name="large",
        question="What do many runs cost?",
        ladder=grid(rung, n=sizes, d=BUDGETS, seed=range(SEEDS)),
        held_out={"n": max(sizes)},
        questions=[Question(name="size-and-data", asks="How does the loss fall?", law="chinchilla")],
    )


def write_finished(folder: Path, runs: int) -> None:
    """The study, planned, each of its runs claimed and ended as its worker does that."""
    planned = plan_commands(declared(runs))
    planned.write(folder)
    store, draw = Store(folder), np.random.default_rng(0)
    for run in planned.study.runs:
        with claimed(store.claim(run.run)) as lease:
            assert lease is not None
            loss = loss_of(run, run.tokens) * np.exp(NOISE * draw.standard_normal())
            lines = [
                {"step": step, "tokens": seen, "loss": loss_of(run, seen)}
                for step in range(1, LOGGED_LINES + 1)
                for seen in [run.tokens * step // LOGGED_LINES]
            ]
            write_text(store.metrics(run.run), "".join(json.dumps(line) + "\n" for line in lines))
            measured = {"loss": float(loss), "loss_unit": "nats_per_token", "seconds": 12.5, "tokens_per_second": 1e6}
            write_result(store.result(run.run), RunRecord(status="finished", measured=measured), lease=lease)
    write_observations(folder)


def loss_of(run: PlannedRun, tokens: float) -> float:
    return float(1.7 + 400 * run.params_non_embedding**-0.34 + 410 * tokens**-0.28)


def checked_out(commit: str, folder: Path) -> Path:
    """The sources of a commit."""
    packed = subprocess.run(["git", "archive", commit, "src"], cwd=ROOT.parent, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder / "src"


def program_of(part: str, folder: Path, target: Path, runs: int, scratch: Path) -> str:
    if part == "plan":
        return DECLARED.format(benchmarks=str(ROOT), runs=runs, folder=str(target))
    words = {
        "status": ["status", str(folder), "--json"],
        "fit": ["fit", str(folder)],
        "report": ["report", str(folder)],
        "table": ["fit", str(scratch / "runs.csv"), "--law", "chinchilla"],
    }[part]
    return COMMAND.format(words=words)


def spent(program: str, source: Path) -> tuple[float, float]:
    """Seconds of the processor and MB at most of a process that runs the program with the lawful of `source`."""
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", program + PEAK], capture_output=True, text=True, check=False, env=environment
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"scale: {program}: {done.stderr}")
    seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return seconds, float(done.stdout.split()[-1])


def rows_of(part: str, size: int, found: Sequence[Sequence[tuple[float, float]]]) -> list[Row]:
    """Processor time and memory, beside the commit before where there is one, else beside what is allowed."""
    what = f"`lawful fit` on a table of {size:,} rows" if part == "table" else f"{part}, {size:,} runs"
    rows = []
    for column, unit, goal in ((0, "seconds of the processor", GOALS.get(part)), (1, "MB at most", MOST_MB)):
        ours, theirs = (min((pair[column] for pair in own), default=None) for own in (found[0], [*found, []][1]))
        assert ours is not None
        rows.append(
            Row(
                what=what,
                unit=unit,
                ours=ours,
                theirs=theirs,
                ratio=None if theirs is None else ours / theirs,
                goal="" if goal is None else f"<= {goal:g}",
            )
        )
    return rows


if __name__ == "__main__":
    main()
