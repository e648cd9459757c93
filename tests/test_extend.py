"""More rungs for a finished study: its runs, clusters and forecasts stay, and new runs are forecast first."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import toy_study
from lawful.conduct import conclude, train_study
from lawful.errors import DeclarationError, StoreError
from lawful.fitting.answer import answer_study
from lawful.observe import write_observations
from lawful.planning.extend import plan_extension, write_extension
from lawful.planning.plan import make_plan
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store
from lawful.study import Question, Study
from planted_runs import Planted

pytestmark = pytest.mark.usefixtures("without_figures")

WIDTHS = (8, 12, 16, 24, 32, 48)
SIZE = Question(name="size", asks="How does the loss fall with size?", law="power:params")


def toy(widths: tuple[int, ...] = WIDTHS, *, seeds: int = 1, run: dict[str, Any] | None = None) -> Study:
    """The largest size is held out; asked for a power law of size."""
    return replace(toy_study.study(widths=widths, steps=(20,), seeds=seeds, **(run or {})), questions=[SIZE])


@pytest.fixture(scope="module")
def finished(own_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study."""
    folder = tmp_path_factory.mktemp("finished") / "toy"
    make_plan(toy(), device_name="cpu", is_timed=False).write(folder)
    train_study(folder, Planted())
    write_observations(folder)
    answer_study(folder)
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return shutil.copytree(finished, tmp_path / "toy")


def extend(folder: Path, study: Study) -> None:
    write_extension(folder, plan_extension(folder, study, is_timed=False))


def roles(folder: Path) -> dict[str, bool]:
    return {run.rung: run.held_out for run in Store(folder).read_study().runs}


def test_every_former_run_stays_and_every_new_one_is_forecast_before_it_begins(folder: Path) -> None:
    former, first = Store(folder).read_study(), read_json(Store(folder).forecasts)
    results = {path: path.read_bytes() for path in folder.glob("runs/*/result.json")}
    extend(folder, toy((*WIDTHS, 40, 64)))
    after = {run.run: run for run in Store(folder).read_study().runs}
    assert [after[run.run] for run in former.runs] == list(former.runs)  # ids, clusters, seeds, roles, costs
    written = read_json(Store(folder).forecasts)
    assert written["forecasts"][: len(first["forecasts"])] == first["forecasts"]
    assert written["created"] == first["created"]
    new = written["forecasts"][len(first["forecasts"]) :]
    assert [entry["rung"] for entry in new] == ["width=40,steps=20,seed=0", "width=64,steps=20,seed=0"]
    assert all(entry["created"] and entry["runs_fitted"] == 5 for entry in new)
    train_study(folder, executor := Planted())
    assert sorted(run for run, _ in executor.began) == sorted(set(after) - {run.run for run in former.runs})
    assert all(path.read_bytes() == text for path, text in results.items())
    assert read_json(Store(folder).forecasts)["forecasts"] == written["forecasts"]  # not made again with width 40


def test_a_new_run_is_fitted_or_held_out_as_declared_and_its_forecast_is_shown(folder: Path) -> None:
    extend(folder, toy((*WIDTHS, 40, 64)))
    held = [rung for rung, is_held_out in roles(folder).items() if is_held_out]
    assert held == ["width=48,steps=20,seed=0", "width=64,steps=20,seed=0"]  # the former one stays held out
    train_study(folder, Planted())
    page = conclude(folder)
    (answer,) = answer_study(folder)
    assert answer.fit is not None and answer.fit.goodness.n == 6
    assert [row.is_registered for row in answer.held_out] == [True, True]
    (added,) = answer.added
    (entry,) = (e for e in read_json(Store(folder).forecasts)["forecasts"] if e["run"] == added.run)
    assert added.rung == "width=40,steps=20,seed=0" and added.is_registered
    assert (added.predicted, list(added.interval)) == (entry["predicted"], entry["interval"])
    result = Store(folder).read_result(added.run)
    assert result is not None and added.observed == result.number("loss")
    for text in (page.read_text(), Store(folder).report_markdown.read_text()):
        assert "Of the runs that are fitted, 1 came" in text and "forecast each before it began" in text


def test_more_seeds_are_an_extension_too(folder: Path) -> None:
    extend(folder, toy(seeds=2))
    new = read_json(Store(folder).forecasts)["forecasts"][1:]
    assert sorted(entry["rung"] for entry in new) == sorted(f"width={width},steps=20,seed=1" for width in WIDTHS)


def test_an_extension_that_is_killed_before_its_plan_is_written_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = Store(folder).study.read_bytes()

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lawful.planning.written.replace_plan", die)
        with pytest.raises(KeyboardInterrupt):
            extend(folder, toy((*WIDTHS, 64)))
    assert Store(folder).study.read_bytes() == former
    registered = read_json(Store(folder).forecasts)["forecasts"]
    assert len(registered) == 2
    extend(folder, toy((*WIDTHS, 64)))
    assert read_json(Store(folder).forecasts)["forecasts"] == registered


def test_forecasts_of_added_runs_stand_where_the_study_had_no_held_out_run_before(tmp_path: Path) -> None:
    without = replace(toy(), held_out={}, ladder=[replace(rung, held_out=False) for rung in toy().ladder])
    make_plan(without, device_name="cpu", is_timed=False).write(tmp_path)
    train_study(tmp_path, Planted())
    larger = toy((*WIDTHS, 40, 64))
    extend(tmp_path, larger)
    before = read_json(Store(tmp_path).forecasts)["forecasts"]
    assert [entry["rung"] for entry in before] == ["width=40,steps=20,seed=0", "width=64,steps=20,seed=0"]
    train_study(tmp_path, Planted())
    assert read_json(Store(tmp_path).forecasts)["forecasts"] == before


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (toy((*WIDTHS[1:], 64)), "width=8,steps=20,seed=0: it is not declared"),
        (toy((*WIDTHS, 64), run={"learning_rate": 0.02}), "optimizer.learning_rate: 0.01 before, 0.02 now"),
        (replace(toy((*WIDTHS, 64)), name="tyo"), "'tyo'"),
        (replace(toy((*WIDTHS, 64)), questions=[replace(SIZE, law="power_floor:params")]), "question 'size'"),
    ],
)
def test_a_declaration_that_lacks_or_changes_a_former_run_or_question_is_refused(
    folder: Path, changed: Study, said: str
) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(StoreError) as error:
        extend(folder, changed)
    assert said in str(error.value) and len(str(error.value)) < 1500
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_nothing_new_is_refused(folder: Path) -> None:
    with pytest.raises(DeclarationError, match="expected new rungs, got the 6 that are there"):
        extend(folder, toy())


def test_a_study_that_is_not_finished_is_refused(tmp_path: Path) -> None:
    make_plan(toy(), device_name="cpu", is_timed=False).write(tmp_path)
    train_study(tmp_path, Planted(), is_anchors_only=True)
    with pytest.raises(StoreError, match="1 of 6 runs to do.*width=48.*lawful resume"):
        extend(tmp_path, toy((*WIDTHS, 64)))


def test_a_run_that_is_there_from_an_earlier_plan_is_not_forecast(folder: Path) -> None:
    make_plan(toy((8, 12, 16, 32, 48)), device_name="cpu", is_timed=False).write(folder)  # width 24 leaves the plan
    extend(folder, toy((*WIDTHS, 64)))
    new = read_json(Store(folder).forecasts)["forecasts"][1:]
    assert [entry["rung"] for entry in new] == ["width=64,steps=20,seed=0"]
    train_study(folder, executor := Planted())
    assert len(executor.began) == 1


def test_a_precision_that_was_chosen_at_the_plan_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A larger rung may make another precision pay; the ids of finished runs hold theirs."""
    make_plan(toy(), device_name="cpu", is_timed=False).write(tmp_path)
    train_study(tmp_path, Planted())
    before = {run.run for run in Store(tmp_path).read_study().runs}
    monkeypatch.setattr("lawful.planning.probes.Probes.precision", lambda self, rungs: ("bf16", None))
    extend(tmp_path, toy((*WIDTHS, 64)))
    after = Store(tmp_path).read_study().runs
    assert before < {run.run for run in after} and {run.precision for run in after} == {"fp32"}
