"""What every executor promises: its runs come to their end, and a stopped one can go on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lawful.corpora.zipf_recall import ZipfRecall
from lawful.errors import DeviceError, MissingDependency
from lawful.executors import Executor, Job
from lawful.families.recall import Recall
from lawful.planning.plan import make_plan
from lawful.rules.backprop import Backprop
from lawful.run import AdamW, Run, Schedule
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store
from lawful.study import Question, Study, grid
from lawful.tasks.next_token import NextToken
from lawful.testing import loaded

SECONDS = 240.0  # in which two runs of a second must be over, on a busy machine, too
each_executor = pytest.mark.parametrize("name", loaded("executors"))


def planned(folder: Path, *, steps: int) -> list[list[str]]:
    """A study of two small runs, each in a group of its own."""
    corpus = ZipfRecall(num_keys=64, digits=2, values=4, train_samples=2_000, validation_samples=200)

    def rung(slots: int) -> Run:
        return Run(
            family=Recall(base=corpus.vocab_size - 4, digits=2, values=4, slots=slots),
            corpus=corpus,
            task=NextToken(),
            rule=Backprop(),
            optimizer=AdamW(learning_rate=0.1),
            schedule=Schedule(warmup_steps=1),
            steps=steps,
            batch_size=8,
            context=3,
        )

    question = Question(name="size", asks="How does the loss fall?", law="power:params")
    ladder = grid(rung, slots=(8, 16))
    make_plan(
        Study(name="contract", question="Does it run?", ladder=ladder, questions=[question]),
        device_name="cpu",
        is_timed=False,
    ).write(folder)
    return [[planned.run] for planned in Store(folder).read_study().runs]


@contextmanager
def where_it_can_run(name: str) -> Iterator[Executor]:
    try:
        yield loaded("executors")[name]()
    except (MissingDependency, DeviceError) as error:
        pytest.skip(str(error))


def wait(job: Job) -> None:
    end = time.monotonic() + SECONDS
    while not job.is_over():
        assert time.monotonic() < end, "its runs did not end"
        time.sleep(0.1)


@each_executor
def test_its_runs_come_to_their_end(name: str, tmp_path: Path) -> None:
    groups = planned(tmp_path / "study", steps=20)
    with where_it_can_run(name) as executor:
        wait(executor.submit(tmp_path / "study", groups))
    for (run,) in groups:
        assert read_json(Store(tmp_path / "study").result(run))["status"] == "finished"


@each_executor
def test_runs_that_were_stopped_go_on(name: str, tmp_path: Path) -> None:
    groups = planned(tmp_path / "study", steps=300)
    with where_it_can_run(name) as executor:
        job = executor.submit(tmp_path / "study", groups)
        job.stop()
        results = [Store(tmp_path / "study").result(run) for (run,) in groups]
        assert not all(path.exists() for path in results)
        wait(executor.submit(tmp_path / "study", groups))
    assert all(read_json(path)["status"] == "finished" for path in results)
