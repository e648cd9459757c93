"""Held-out runs are forecast, with an interval and a hash, before any of them may start; those forecasts are scored."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lawful.conduct import conclude, train_study
from lawful.errors import LawfulError
from lawful.fitting import forecast
from lawful.fitting.answer import answer_study
from lawful.fitting.forecast import register_forecasts
from lawful.observe import write_observations
from lawful.report.evidence import read_evidence
from lawful.report.words import held_out_registered
from lawful.storage.atomic import write_json
from lawful.storage.codec import digest
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store
from planted_runs import Planted
from records import edit_plan

pytestmark = pytest.mark.usefixtures("without_figures")

Folder = Callable[..., Path]


@pytest.fixture
def folder(toy_folder: Folder) -> Path:
    return toy_folder(widths=(8, 12, 16, 24, 32, 48), steps=(20, 40, 80, 160), seeds=2)


def test_the_forecast_is_written_after_the_anchors_and_before_any_held_out_run(folder: Path) -> None:
    executor = Planted()
    train_study(folder, executor)
    held_out = {rung.run for rung in Store(folder).read_study().runs if rung.held_out}
    assert executor.began and all(was_there == (run_id in held_out) for run_id, was_there in executor.began)
    written = read_json(Store(folder).forecasts)
    assert {entry["run"] for entry in written["forecasts"]} == held_out
    assert written["sha256"] == digest(written["forecasts"])
    assert all(low < entry["predicted"] < high for entry in written["forecasts"] for low, high in [entry["interval"]])


def test_the_registered_forecasts_are_the_ones_that_are_scored(folder: Path) -> None:
    train_study(folder, Planted())
    write_observations(folder)
    (answer,) = answer_study(folder)
    assert len(answer.held_out) == 8 and all(row.is_registered for row in answer.held_out)
    assert max(abs(row.error_relative) for row in answer.held_out) < 0.01  # the planted law comes back
    written = read_json(Store(folder).forecasts)
    written["forecasts"][0]["predicted"] *= 2
    write_json(Store(folder).forecasts, {**written, "sha256": digest(written["forecasts"])})
    (answer,) = answer_study(folder)
    changed = next(row for row in answer.held_out if row.run == written["forecasts"][0]["run"])
    assert changed.error_relative > 0.9
    assert "forecast_moved" in {caution.code for caution in answer.warnings}


@pytest.mark.parametrize("name", ["predicted", "interval", "run"])
def test_a_registered_forecast_that_was_changed_is_refused_and_stays(folder: Path, name: str) -> None:
    train_study(folder, Planted())
    written = read_json(Store(folder).forecasts)
    one, other = written["forecasts"][0], written["forecasts"][-1]  # the second is the same at another seed
    one[name], other[name] = other[name], one[name]
    write_json(Store(folder).forecasts, written)
    before = Store(folder).forecasts.read_bytes()
    with pytest.raises(LawfulError, match=r"as they were registered \(SHA-256 .* take the file from a copy"):
        conclude(folder)
    assert Store(folder).forecasts.read_bytes() == before


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


@pytest.fixture
def small(toy_folder: Folder) -> Path:
    """Five anchors and a held-out run, answered by a power law of size alone."""
    folder = toy_folder(widths=(8, 12, 16, 24, 32, 48), steps=(20,))
    ask(folder, law="power:params")
    return folder


def ask(folder: Path, **changed: Any) -> None:
    first, *others = Store(folder).read_study().questions
    edit_plan(folder, questions=(replace(first, **changed), *others))


def labels(folder: Path, executor: Planted) -> set[str]:
    rungs = {rung.run: rung for rung in Store(folder).read_study().runs}
    return {rungs[run].rung for run, _ in executor.began}


HELD_OUT = "width=48,steps=20,seed=0"


def ending(label: str, **result: Any) -> Planted:
    return Planted(lambda rung: result if rung.rung == label else None)


def test_an_anchor_without_a_loss_stops_the_held_out_runs_by_name(small: Path) -> None:
    executor = ending("width=16,steps=20,seed=0", status="finished", loss=None, loss_unit="nats_per_token")
    with pytest.raises(LawfulError, match=r"1 held-out runs do not begin.*width=16,steps=20,seed=0.*result\.json"):
        train_study(small, executor)
    assert HELD_OUT not in labels(small, executor) and len(executor.began) == 5
    bad = next(rung.run for rung in Store(small).read_study().runs if rung.rung.startswith("width=16"))
    Store(small).result(bad).unlink()  # what the message says
    train_study(small, again := Planted())
    assert [was_there for _, was_there in again.began] == [False, True]


def test_an_anchor_without_a_value_of_the_questions_own_column_stops_them_too(small: Path) -> None:
    ask(small, loss="test_loss")
    executor = Planted(
        lambda rung: (
            {"status": "finished", "loss": 2.0, "loss_unit": "nats_per_token", "is_decayed": True}
            | ({} if rung.at["width"] == 16 else {"test_loss": 2.0 + rung.params_non_embedding**-0.3})
        )
    )
    with pytest.raises(LawfulError, match=r"question 'size': test_loss.*width=16,steps=20,seed=0 \(empty\)"):
        train_study(small, executor)
    assert HELD_OUT not in labels(small, executor)


def test_a_damaged_table_stops_them_and_is_not_written_over(small: Path) -> None:
    train_study(small, Planted(), is_anchors_only=True)
    write_observations(small)
    table = Store(small).observations
    table.write_bytes(damaged := table.read_bytes()[:-200])
    with pytest.raises(LawfulError, match=r"observations\.csv: row 5 has another number of cells"):
        train_study(small, executor := Planted())
    assert executor.began == [] and table.read_bytes() == damaged


def test_a_bug_in_the_fit_stops_them_and_shows_itself(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(forecast, "answer_study", broken)
    executor = Planted()
    with pytest.raises(KeyError, match="a bug"):
        train_study(small, executor)
    assert HELD_OUT not in labels(small, executor)


def test_a_question_refused_for_too_few_rungs_is_said_and_recorded_and_the_held_out_runs_go_on(small: Path) -> None:
    ask(small, law="chinchilla")
    said: list[str] = []
    train_study(small, executor := Planted(), say=said.append)
    assert HELD_OUT in labels(small, executor)
    written = read_json(Store(small).forecasts)
    (refused,) = written["refused"]
    assert written["forecasts"] == [] and refused["question"] == "size" and "at least 6 runs" in refused["reason"]
    assert len(said) == 1 and refused["reason"] in said[0]
    ask(small, law="power:params")  # answered now, and never forecast
    write_observations(small)
    (answer,) = answer_study(small)
    assert refused["reason"] in held_out_registered(read_evidence(small), answer)


def test_a_law_of_seconds_has_no_forecast_since_a_run_to_come_has_none(small: Path) -> None:
    ask(small, law="power:flops", flops="seconds")
    ended = {"status": "finished", "loss_unit": "nats_per_token", "is_decayed": True}
    train_study(
        small,
        Planted(
            lambda rung: {
                **ended,
                "loss": rung.params_non_embedding**-0.3,
                "seconds": rung.params_non_embedding / 1e3,
            }
        ),
    )
    written = read_json(Store(small).forecasts)
    assert written["forecasts"] == [] and "no value of seconds" in written["refused"][0]["reason"]
    write_observations(small)
    (answer,) = answer_study(small)
    assert answer.held_out[0].predicted == pytest.approx(answer.held_out[0].observed, rel=1e-3)


def test_failed_anchors_without_which_nothing_can_be_forecast_hold_the_held_out_runs_back(small: Path) -> None:
    said: list[str] = []
    executor = Planted(lambda rung: {"status": "failed", "reason": "no memory"} if rung.at["width"] > 8 else None)
    train_study(small, executor, say=said.append)
    assert HELD_OUT not in labels(small, executor)
    assert "4 of the runs that their forecasts need failed" in said[-1]
    train_study(small, again := Planted(), say=said.append)  # a resume, the cause removed
    assert again.began[-1][1] and read_json(Store(small).forecasts)["forecasts"]


def test_runs_that_the_table_alone_knows_have_been_seen(small: Path) -> None:
    train_study(small, Planted())
    write_observations(small)
    before = Store(small).forecasts.read_bytes()
    shutil.rmtree(small / "runs")
    ask(small, law="power:tokens")  # would forecast otherwise
    register_forecasts(small)
    assert Store(small).forecasts.read_bytes() == before
    train_study(small, executor := Planted())
    assert executor.began == []


def test_a_damaged_forecast_is_refused_and_stays(small: Path) -> None:
    train_study(small, Planted(), is_anchors_only=True)
    Store(small).forecasts.write_text('{"forecasts": [{"question": "size"}]}')
    write_observations(small)
    with pytest.raises(LawfulError, match=r"forecasts\.json: forecasts\[0\]: expected the field run, got none"):
        answer_study(small)
