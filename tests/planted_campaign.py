"""A study of commands whose losses are those of a planted law; nothing is started."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from commands import VAL_LOSS, command, script
from lawful import Range
from lawful.campaign import Asked, go_on, start_campaign
from lawful.command import Command
from lawful.executors import Executor, Job
from lawful.planning.commands import plan_commands
from lawful.planning.written import Plan
from lawful.schema import PlannedRun, RunRecord
from lawful.schema.campaign import Campaign
from lawful.storage.codec import write_result
from lawful.storage.layout import Store
from lawful.study import Question, Study, grid

FLOPS = Question(name="compute", asks="How does the loss fall with compute?", law="power_floor:flops")
SURFACE = Question(name="surface", asks="How does the loss fall with size and data?", law="chinchilla")
SIGMA = 0.003


def rung(params: int, tokens: int, seed: int) -> Command:
    return command("{params} {tokens} {seed}", params="{params}", tokens="{tokens}", reads=VAL_LOSS)


def study(question: Question = FLOPS, *, levels: int = 3, seeds: int = 2, **settings: Any) -> Study:
    ladder = grid(
        rung,
        params=Range(10_000, 1_000_000, levels=levels),
        tokens=Range(1_000_000, 100_000_000, levels=levels),
        seed=range(seeds),
    )
    return Study(name="toy", question="How?", ladder=ladder, questions=[question], **settings)


def loss_of(run: PlannedRun) -> float:
    """Of a law of compute; the noise is the run's own."""
    noise = np.random.default_rng(int(hashlib.sha256(run.rung.encode()).hexdigest()[:8], 16)).normal(0, SIGMA)
    return float((0.5 + 40 * run.flops**-0.15) * np.exp(noise))


def surface_of(run: PlannedRun) -> float:
    """Of a law of N and D."""
    noise = np.random.default_rng(int(hashlib.sha256(run.rung.encode()).hexdigest()[:8], 16)).normal(0, SIGMA)
    return float((1.7 + 400 * run.params_non_embedding**-0.34 + 410 * run.tokens**-0.28) * np.exp(noise))


class Kill(BaseException):
    """As kill -9: nothing that follows is done."""


class Planted(Executor):
    """Every run ends at once.

    loss           of a run; None: it fails
    killed_after   how many runs end before it dies, over all submissions
    """

    def __init__(self, loss: Callable[[PlannedRun], float | None] = loss_of, killed_after: int | None = None) -> None:
        self.loss, self.killed_after = loss, killed_after
        self.began: list[str] = []
        self.forecast_there: dict[str, bool] = {}

    def submit(self, folder: Path, groups: Sequence[Sequence[str]]) -> Job:
        store = Store(folder)
        runs = {run.run: run for run in store.read_study().runs}
        for run_id in (one for group in groups for one in group):
            if self.killed_after is not None and len(self.began) >= self.killed_after:
                raise Kill
            self.began.append(runs[run_id].rung)
            self.forecast_there[runs[run_id].rung] = store.forecasts.exists() and run_id in store.forecasts.read_text()
            loss = self.loss(runs[run_id])
            ended = RunRecord(status="failed", reason="planted") if loss is None else finished(loss)
            write_result(store.result(run_id), ended)
        return Done()


def finished(loss: float) -> RunRecord:
    return RunRecord(status="finished", measured={"loss": loss, "loss_unit": "nats_per_token"})


class Done(Job):
    def is_over(self) -> bool:
        return True

    def stop(self) -> None: ...


def planner(folder: Path) -> Callable[[Study], Plan]:
    script(folder, "", "study.py")
    script(folder, "")
    return lambda part: plan_commands(part, study_file=folder / "study.py", workers=2)


def campaign(
    folder: Path,
    declared: Study,
    executor: Executor,
    *,
    until: str = "alpha within .01",
    budget: float = 3e15,
    batch: int | None = None,
    said: list[str] | None = None,
    **options: Any,
) -> Campaign:
    """The whole of it, in folder/out."""
    say = (said if said is not None else []).append
    out = folder / "out"
    start_campaign(out, declared, Asked(until=until, budget=budget, batch=batch), planner(folder), say)
    return go_on(out, declared, executor, say=say, **options)


PROGRAM = """
import random, sys, time
params, tokens, seed, pause = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
time.sleep(pause)
noise = random.Random(f"{params} {tokens} {seed}").gauss(0, 0.003)
print(f"val loss {(0.5 + 40 * (6 * params * tokens) ** -0.15) * (1 + noise)}")
"""
FILE = """
'''How does the loss fall with compute?'''
import sys
from lawful import Command, LogPattern, Question, Range, Study, grid

def rung(params, tokens, seed):
    return Command(f"{{sys.executable}} -I -S train.py {{params}} {{tokens}} {{seed}} {pause}", params=params,
                   tokens=tokens, reads=LogPattern("val loss {{loss}}"))

axes = dict(params=Range(10_000, 1_000_000, levels=4), tokens=Range(1_000_000, 100_000_000, levels=4))
study = Study(name="toy", question="How?", ladder=grid(rung, **axes, seed=range(2)),
              questions=[Question(name="compute", asks="How?", law="power_floor:flops")])
"""


def study_file(folder: Path, *, pause: float = 0.0) -> Path:
    """The same study as a file, with a program that computes its losses."""
    script(folder, PROGRAM)
    return script(folder, FILE.format(pause=pause), "toy.py")
