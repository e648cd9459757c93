"""What lawful spends beside training and fitting, each beside what is allowed.

python benchmarks/overheads.py [--runs 1000] [--rows 100000] [--only help,worker,table,scheduler,shares]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from results import Row, record, told

import lawful
from lawful.storage.atomic import write_text
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store

TINY_STEPS = 2
OF_THE_LAST_EVALUATION = (
    "The last evaluation stays above its goal: of its processor time, 4 microseconds a token beside 12 of a training "
    "step, products take two fifths, so that they alone are 3 % of the run. It reads all of the validation text once; "
    "less would change what is measured."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000, help="of the study of trivial runs")
    parser.add_argument("--rows", type=int, default=100_000, help="of the table that is read and fitted")
    parser.add_argument("--only", default="help,worker,table,scheduler,shares")
    options = parser.parse_args()
    parts: dict[str, Callable[[Path], list[Row]]] = {
        "help": lambda folder: [help_seconds()],
        "worker": lambda folder: [first_step_seconds(folder / "worker")],
        "scheduler": lambda folder: scheduler_seconds(folder / "trivial", options.runs),
        "table": lambda folder: [table_seconds(folder, options.rows)],
        "shares": lambda folder: shares(folder / "shares"),
    }
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.only.split(","):
            rows += told(parts[name](Path(scratch)))
    record("overheads", "What else costs time?", rows, OF_THE_LAST_EVALUATION)


def allowed(what: str, unit: str, spent: list[float], most: float, **more: Any) -> Row:
    ratios = [value / most for value in spent]
    middle = statistics.median(spent)
    spread = {"low": min(ratios), "high": max(ratios)} if len(spent) > 1 else {}
    return Row(what=what, unit=unit, ours=middle, theirs=most, ratio=middle / most, goal="<= 1", **spread, **more)


def help_seconds() -> Row:
    command = [sys.executable, "-m", "lawful", "--help"]
    spent = [seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)) for _ in range(7)]
    return allowed("lawful --help", "seconds by the clock", spent, 0.4)


def first_step_seconds(folder: Path) -> Row:
    """From the start of a worker's process to its first update: import, data, model, optimiser, step."""
    ids = plan(folder, 3)
    spent = []
    for run_id in ids:
        record_of_run = Store(folder).metrics(run_id)
        command = [sys.executable, "-m", "lawful.train.worker", str(folder), run_id, "--device", "cpu"]
        start = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None and not (record_of_run.exists() and record_of_run.stat().st_size):
                time.sleep(0.005)
            spent.append(time.monotonic() - start)
    return allowed("a worker's start to its first step", "seconds by the clock", spent, 6.0)


def scheduler_seconds(folder: Path, runs: int) -> list[Row]:
    """Of a study whose runs make two updates of a tiny model: what this process spends on each, and what a worker does
    beside training (claim, data, model, optimiser, evaluations, result)."""
    from lawful.conduct import train_study
    from lawful.executors.local import Local, available_cores
    from lawful.observe import write_observations
    from lawful.report.progress import study_status
    from lawful.report.status_shown import status_table

    plan(folder, runs)
    start, spent = time.monotonic(), time.process_time()
    train_study(folder, Local(device="cpu"))
    write_observations(folder)
    spent = time.process_time() - spent
    clock = time.monotonic() - start
    store = Store(folder)
    results = [read_json(store.result(rung.run)) for rung in store.read_study().runs]
    assert len(results) == runs and all(result["status"] != "failed" for result in results)
    training = sum(result["seconds_spent"] for result in results)
    beside = (clock * available_cores() - training) / runs
    live = [seconds(lambda: status_table(study_status(folder))) * 1e3 for _ in range(5)]
    return [
        allowed(f"scheduling a run, of {runs:,}", "ms of processor time", [1e3 * spent / runs], 50),
        Row(
            what=f"a run beside its steps, of {runs:,}",
            unit="ms by the clock of one worker",
            ours=1e3 * beside,
            note=f"{clock:.0f} s in all; its steps themselves take {1e3 * training / runs:.0f} ms",
        ),
        allowed(f"the live table of {runs:,} runs, once", "ms by the clock", live, 50, note="drawn twice a second"),
    ]


def table_seconds(folder: Path, rows: int) -> Row:
    """Read a CSV of so many runs and fit Chinchilla's law with 1,000 draws."""
    generator = np.random.default_rng(0)
    params, tokens = 10 ** generator.uniform(6, 10, rows), 10 ** generator.uniform(8, 12, rows)
    loss = (1.7 + 400 * params**-0.34 + 410 * tokens**-0.28) * np.exp(0.01 * generator.standard_normal(rows))
    path = folder / "runs.csv"
    lines = [f"{n:.6g},{d:.6g},{y:.6f}" for n, d, y in zip(params, tokens, loss, strict=True)]
    write_text(path, "params,tokens,loss\n" + "\n".join(lines) + "\n")

    def job() -> None:
        fit = lawful.fit(lawful.read_runs(path), "chinchilla")
        assert abs(fit.params["alpha"].value - 0.34) < 0.01

    return allowed(f"a table of {rows:,} runs, read and fitted", "seconds by the clock", [seconds(job)], 10)


def shares(folder: Path) -> list[Row]:
    """Of one run of quickstart and one of activation: what evaluations and checkpoints take of its time. Such a run
    takes ten seconds; its last evaluation, of all of the validation text, is as long for one of an hour."""
    import torch

    from lawful.planning.plan import make_plan
    from lawful.studies import activation, quickstart
    from lawful.study import Question, Study
    from lawful.train import checkpoint, device, loop

    torch.set_num_threads(1)
    device.keep_freed_memory()
    rows = []
    for name, ladder, at in (
        ("quickstart, width 48", quickstart.study("quick").ladder, {"width": 48, "tokens": 524_288, "seed": 0}),
        ("activation, width 36", activation.study("quick").ladder, {"width": 36, "arm": "gelu", "seed": 0}),
    ):
        rung = next(rung for rung in ladder if dict(rung.at) == at)
        study = Study(
            name="shares",
            question="?",
            ladder=[rung],
            questions=[Question(name="size", asks="?", law="power_floor:params")],
        )
        planned = make_plan(study, device_name="cpu", is_timed=False)
        planned.write(folder / name)
        (run,) = planned.runs.values()
        data = run.corpus.open(run.data_fingerprint)
        kept = loop.evaluate, checkpoint.save
        evaluations, saves = timed(loop.evaluate), timed(checkpoint.save)
        loop.evaluate, checkpoint.save = evaluations, saves  # type: ignore[assignment]
        try:
            place = loop.ExecutionConfig(device=torch.device("cpu"), checkpoint_seconds=2.0)
            start = time.perf_counter()
            loop.train(run, data, Store(folder / name), place)
            whole = time.perf_counter() - start
        finally:
            loop.evaluate, checkpoint.save = kept
        *on_the_way, last = evaluations.spent
        save = statistics.median(saves.spent)
        whole -= sum(saves.spent)
        for what, share, note in (
            ("evaluations on the way", sum(on_the_way) / whole, f"{len(on_the_way)} in a run of {whole:.0f} s"),
            ("the last evaluation", last / whole, f"{last:.2f} s, all of the validation text"),
            ("a checkpoint every 30 s", save / 30, f"{save * 1e3:.0f} ms each"),
        ):
            rows.append(allowed(f"{what} of {name}", "% of the run", [100 * share], 2, note=note))
    return rows


class timed:
    """A function that keeps how long each call took."""

    def __init__(self, do: Callable[..., Any]) -> None:
        self.do = do
        self.spent: list[float] = []

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        start = time.monotonic()
        try:
            return self.do(*arguments, **named)
        finally:
            self.spent.append(time.monotonic() - start)


def plan(folder: Path, runs: int) -> list[str]:
    """A study of so many runs of a tiny model, two updates each; their ids."""
    from lawful.planning.plan import make_plan
    from lawful.studies.quickstart import study as quickstart
    from lawful.study import Question, Study, grid

    first = quickstart("smoke").ladder[0].run

    def rung(seed: int) -> Any:
        family = replace(first.family, width=8, heads=1)
        schedule = replace(first.schedule, warmup_steps=1)
        return replace(
            first,
            family=family,
            schedule=schedule,
            steps=TINY_STEPS,
            batch_size=1,
            eval_every=TINY_STEPS,
            eval_tokens=64,
            init_seed=seed,
            data_seed=seed,
        )

    study = Study(
        name="trivial",
        question="?",
        ladder=grid(rung, seed=range(runs)),
        questions=[Question(name="size", asks="?", law="power_floor:params")],
    )
    planned = make_plan(study, device_name="cpu", is_timed=False)
    planned.write(folder)
    return list(planned.runs)


def seconds(do: Callable[[], Any]) -> float:
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
