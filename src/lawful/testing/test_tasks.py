"""What every task promises: sums over a batch, however it is cut, and columns that the table knows."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor, nn

from lawful.plugins import Batch, columns
from lawful.run import Run, from_json, to_json
from lawful.tables import COLUMNS
from lawful.testing import loaded, runs_with

ROWS = 3
TASKS = {name: runs_with("task", cls) for name, cls in loaded("tasks").items()}
each_run = pytest.mark.parametrize(
    "run", [pytest.param(run, id=f"{name}-{run.id}") for name, runs in TASKS.items() for run in runs]
)


def tried(run: Run) -> tuple[nn.Module, Batch]:
    """A fresh model and a batch of random tensors."""
    torch.manual_seed(0)
    return run.family.build(torch.Generator().manual_seed(0)), run.task.probe(run, ROWS)


def row(batch: Batch, number: int) -> Batch:
    def cut(value: Tensor) -> Tensor:
        return value[number : number + 1]

    return dataclasses.replace(
        batch, **{field.name: cut(getattr(batch, field.name)) for field in dataclasses.fields(batch)}
    )


@pytest.mark.parametrize("name", TASKS)
def test_a_registered_study_uses_the_task(name: str) -> None:
    """A task cannot be tried without a family and a corpus that go with it: a study brings them together."""
    assert TASKS[name], f"register a study whose runs have the task {name}"


@each_run
def test_a_task_is_plain_data(run: Run) -> None:
    assert from_json(to_json(run.task)) == run.task and hash(run.task) == hash(from_json(to_json(run.task)))
    assert run.task.loss_unit


@each_run
def test_the_loss_is_a_sum_over_targets_however_the_batch_is_cut(run: Run) -> None:
    model, batch = tried(run)
    model.eval()
    with torch.no_grad():
        whole = float(run.task.loss(model, batch))
        parts = [float(run.task.loss(model, row(batch, number))) for number in range(ROWS)]
    assert math.isfinite(whole) and sum(parts) == pytest.approx(whole, rel=1e-3)
    assert sum(run.task.count(row(batch, number)) for number in range(ROWS)) == run.task.count(batch) > 0


@each_run
def test_what_it_measures_is_the_loss_and_the_columns_that_it_declares(run: Run) -> None:
    model, batch = tried(run)
    model.eval()
    sums = run.task.measure(model, batch)
    with torch.no_grad():
        assert sums["loss"] == pytest.approx(float(run.task.loss(model, batch)), rel=1e-3)
    assert sums["targets"] == run.task.count(batch)
    assert set(run.task.summary(sums)) <= {"loss", *run.task.columns}
    assert set(run.task.columns) <= COLUMNS.keys() | columns().keys()
