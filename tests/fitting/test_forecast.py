"""Held-out runs are forecast, with an interval and a hash, before any of them may start; those forecasts are scored."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lawful import store as files
from lawful.conduct import conclude, train_study
from lawful.executors import Executor, Job
from lawful.fitting.answer import answer_study
from lawful.fitting.forecast import digest, register_forecasts
from lawful.observe import write_observations
from lawful.store import Store

Folder = Callable[..., Path]


class Planted(Executor):
    """Ends every run at once with the loss of a planted law, and notes what was there when each began."""

    def __init__(self) -> None:
        self.began: list[tuple[str, bool]] = []

    def submit(self, folder: Path, groups: Sequence[Sequence[str]]) -> Job:
        store = Store(folder)
        rungs = {rung["id"]: rung for rung in store.read_study()["rungs"]}
        for run_id in (run_id for group in groups for run_id in group):
            rung = rungs[run_id]
            self.began.append((run_id, store.forecasts.exists()))
            loss = 0.5 + 3.0 * rung["params_non_embedding"] ** -0.2 + 20.0 * rung["tokens"] ** -0.4
            files.write_text(store.metrics(run_id), json.dumps({"step": 1, "tokens": 1, "loss": loss}) + "\n")
            noise = 1 + 0.002 * (int(run_id[:6], 16) / 16**6 - 0.5)
            files.write_json(
                store.result(run_id),
                {"status": "finished", "loss": loss * noise, "loss_unit": "nats_per_token", "is_decayed": True},
            )
        return Done()


class Done(Job):
    def is_over(self) -> bool:
        return True

    def stop(self) -> None: ...


@pytest.fixture
def folder(toy_folder: Folder) -> Path:
    return toy_folder(widths=(8, 12, 16, 24, 32, 48), steps=(20, 40, 80, 160), seeds=2)


def test_the_forecast_is_written_after_the_anchors_and_before_any_held_out_run(folder: Path) -> None:
    executor = Planted()
    train_study(folder, executor)
    held_out = {rung["id"] for rung in Store(folder).read_study()["rungs"] if rung["is_held_out"]}
    assert executor.began and all(was_there == (run_id in held_out) for run_id, was_there in executor.began)
    written = files.read_json(Store(folder).forecasts)
    assert {entry["run"] for entry in written["forecasts"]} == held_out
    assert written["sha256"] == digest(written["forecasts"])
    assert all(low < entry["predicted"] < high for entry in written["forecasts"] for low, high in [entry["interval"]])


def test_the_registered_forecasts_are_the_ones_that_are_scored(folder: Path) -> None:
    train_study(folder, Planted())
    write_observations(folder)
    (answer,) = answer_study(folder)
    assert len(answer.held_out) == 8 and all(row.is_registered for row in answer.held_out)
    assert max(abs(row.error_relative) for row in answer.held_out) < 0.01  # the planted law comes back
    written = files.read_json(Store(folder).forecasts)
    written["forecasts"][0]["predicted"] *= 2
    files.write_json(Store(folder).forecasts, written)
    (answer,) = answer_study(folder)
    changed = next(row for row in answer.held_out if row.run == written["forecasts"][0]["run"])
    assert changed.error_relative > 0.9
    assert "forecast_moved" in {caution.code for caution in answer.warnings}


def test_a_forecast_stands_once_a_held_out_run_has_begun(folder: Path) -> None:
    train_study(folder, Planted())
    before = Store(folder).forecasts.read_bytes()
    register_forecasts(folder)
    assert Store(folder).forecasts.read_bytes() == before


def test_anchors_only_leaves_the_held_out_runs_and_a_later_resume_forecasts_them_first(folder: Path) -> None:
    executor = Planted()
    train_study(folder, executor, is_anchors_only=True)
    assert not Store(folder).forecasts.exists() and len(executor.began) == 40
    train_study(folder, executor)
    assert len(executor.began) == 48 and all(was_there for _, was_there in executor.began[40:])
    assert conclude(folder).exists()
