"""One folder is one study: what may be planned into a folder, and what of a former plan is never lost."""

from __future__ import annotations

import csv
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import toy_study
from lawful.conduct import conclude, failed_runs, train_study, unfinished
from lawful.errors import LawfulError, StoreError
from lawful.fitting.answer import answer_study
from lawful.observe import write_observations
from lawful.planning.plan import Plan, make_plan
from lawful.replan import replace_plan
from lawful.report.evidence import read_evidence
from lawful.report.words import held_out_registered
from lawful.storage.atomic import write_json
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store
from lawful.study import Question, Study
from lawful.train import worker
from planted_runs import Planted

pytestmark = pytest.mark.usefixtures("without_figures")

WIDTHS = (8, 12, 16, 24, 32, 48)
SIZE = Question(name="size", asks="How does the loss fall with size?", law="power:params")


def toy(widths: tuple[int, ...] = WIDTHS, **changed: Any) -> Study:
    """Five sizes and one that is held out, one seed, asked for a power law of size."""
    declared = toy_study.study(widths=widths, steps=(20,), seeds=changed.pop("seeds", 1), **changed.pop("run", {}))
    ladder = [replace(rung, held_out=False) for rung in declared.ladder]  # held_out marks them
    return replace(declared, **{"ladder": ladder, "questions": [SIZE], **changed})


def planned(study: Study, **settings: str) -> Plan:
    return make_plan(study, device_name="cpu", is_timed=False, settings=settings)


@pytest.fixture(scope="module")
def finished(own_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that is finished: planned, every run ended, forecast and fitted."""
    folder = tmp_path_factory.mktemp("finished") / "toy"
    planned(toy()).write(folder)
    train_study(folder, Planted())
    write_observations(folder)
    answer_study(folder)
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return shutil.copytree(finished, tmp_path / "toy")


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(folder: Path) -> dict[str, dict[str, str]]:
    with Store(folder).observations.open(newline="") as file:
        return {row["rung"]: row for row in csv.DictReader(file)}


def refused(study: Study, folder: Path, *expected: str, **settings: str) -> None:
    """The plan is refused with these words, and the folder is as it was."""
    before = everything(folder)
    with pytest.raises(StoreError) as error:
        planned(study, **settings).write(folder)
    for words in (*expected, "another --out"):
        assert words in str(error.value)
    assert len(str(error.value)) < 1500
    assert everything(folder) == before


# another study


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"name": "tyo"}, "the study 'tyo' (scale quick; settings seeds=3)"), ({"scale": "full"}, "'toy' (scale full;")],
)
def test_another_study_is_refused_and_both_are_named(folder: Path, changed: dict[str, Any], named: str) -> None:
    here = "'toy' (scale quick; no settings; planned 20"
    refused(toy(**changed), folder, named, here, "6 of 6 runs have ended", f"lawful resume {folder}", seeds="3")


def test_a_study_of_that_name_without_any_of_its_runs_is_another(folder: Path) -> None:
    refused(toy(run={"learning_rate": 0.02}), folder, "none of the 6 runs that have begun there")


def test_another_study_is_refused_before_anything_has_begun_too(tmp_path: Path) -> None:
    planned(toy()).write(tmp_path)
    refused(toy(name="tyo"), tmp_path, "0 of 6 runs have ended")


def test_before_anything_has_begun_the_same_study_may_change_altogether(tmp_path: Path) -> None:
    planned(toy()).write(tmp_path)
    planned(toy(run={"learning_rate": 0.02})).write(tmp_path)
    train_study(tmp_path, executor := Planted())
    assert len(executor.began) == 6


# the same study


def test_the_same_study_again_changes_nothing_that_was_recorded(folder: Path) -> None:
    before = everything(folder)
    planned(toy()).write(folder)
    train_study(folder, executor := Planted())
    after = everything(folder)
    assert executor.began == []
    changed = {name for name in before if before[name] != after.get(name) and not str(name).startswith("planning/")}
    assert changed <= {"study.json"}  # when it was planned


def test_more_seeds_keep_runs_and_forecasts_and_the_new_held_out_runs_get_forecasts_of_their_own(folder: Path) -> None:
    first = read_json(Store(folder).forecasts)
    kept = {path: path.read_bytes() for path in folder.glob("runs/*/result.json")}
    planned(toy(seeds=2), seeds="2").write(folder)
    train_study(folder, executor := Planted())
    assert len(executor.began) == 6 and all(path.read_bytes() == data for path, data in kept.items())
    written = read_json(Store(folder).forecasts)
    assert written["forecasts"][:1] == first["forecasts"] and written["created"] == first["created"]
    (added,) = written["forecasts"][1:]
    assert added["rung"] == "width=48,steps=20,seed=1" and added["created"] >= first["created"]
    write_observations(folder)
    (answer,) = answer_study(folder)
    assert [row.is_registered for row in answer.held_out] == [True, True]
    said = held_out_registered(read_evidence(folder), answer)
    assert said.startswith("The forecasts were written on ") and "before" in said


def test_a_held_out_run_that_was_never_forecast_is_not_said_to_have_been(folder: Path) -> None:
    planned(toy(seeds=2)).write(folder)
    written = read_json(Store(folder).forecasts)
    train_study(folder, Planted())
    write_json(Store(folder).forecasts, written)  # as if the second had begun without one
    write_observations(folder)
    (answer,) = answer_study(folder)
    said = held_out_registered(read_evidence(folder), answer)
    assert said.endswith("; those of 1 other run were not.") and "any of these runs" not in said


def test_a_run_that_is_planned_no_more_stays_in_the_table_and_is_in_no_fit(folder: Path) -> None:
    before = rows(folder)
    planned(toy(widths=(8, 12, 16, 32, 48))).write(folder)
    after = rows(folder)
    (gone,) = (label for label in before if label.startswith("width=24"))
    assert after[gone]["left_plan"].startswith("20") and not before[gone]["left_plan"]
    assert {**after[gone], "left_plan": ""} == before[gone] and len(after) == 6
    (answer,) = answer_study(folder)
    assert answer.fit is not None and answer.fit.goodness.n == 4
    assert [row.reason for row in answer.excluded] == ["of an earlier plan of this study"]
    evidence = read_evidence(folder)
    assert len(evidence.rows) == 5
    assert [(group.reason, len(group.runs)) for group in evidence.left_out] == [("of an earlier plan of this study", 1)]
    shutil.rmtree(folder / "runs")  # the table alone says the same
    write_observations(folder)
    assert rows(folder) == after
    planned(toy()).write(folder)  # planned again: as it was
    assert rows(folder) == before


def test_fits_of_a_question_that_is_asked_no_more_do_not_stay(tmp_path: Path) -> None:
    other = replace(SIZE, name="other")
    planned(replace(toy(), questions=[SIZE, other])).write(tmp_path)
    train_study(tmp_path, Planted(), is_anchors_only=True)
    write_observations(tmp_path)
    answer_study(tmp_path)
    arm = Store(tmp_path).fit("other--gelu")
    arm.write_text("{}")
    planned(toy()).write(tmp_path)
    assert [path.name for path in (tmp_path / "fits").iterdir()] == ["size.json"]


def test_baselines_of_other_data_do_not_stay(folder: Path) -> None:
    write_json(Store(folder).baselines, {"corpus_fingerprint": "a", "baselines": []})
    study = Store(folder).read_study()
    replace_plan(folder, study)
    assert Store(folder).baselines.exists()
    words = replace(study.corpora["invented_words"], fingerprint="b")
    replace_plan(folder, replace(study, corpora={"invented_words": words}))
    assert not Store(folder).baselines.exists()


# what would be lost


def test_a_run_that_was_held_out_is_not_fitted_afterwards(folder: Path) -> None:
    refused(toy(held_out={"width": 32}), folder, "held out when they began, and now to be fitted: width=48")


def test_a_run_that_was_seen_is_not_held_out_afterwards(folder: Path) -> None:
    ladder = [replace(rung, held_out=rung.at["width"] >= 32) for rung in toy().ladder]
    refused(toy(ladder=ladder), folder, "now held out, though they were seen before a forecast: width=32,steps=20")


def test_a_held_out_run_with_a_forecast_is_not_dropped(folder: Path) -> None:
    smaller = toy(widths=(8, 12, 16, 24, 32), held_out={})
    refused(smaller, folder, "the registered forecasts of runs that are not planned any more: width=48")


@pytest.mark.parametrize("questions", [[replace(SIZE, law="power_floor:params")], [replace(SIZE, name="other")]])
def test_a_question_with_forecasts_is_not_changed(folder: Path, questions: list[Question]) -> None:
    refused(replace(toy(), questions=questions), folder, "questions that are asked no more or otherwise: size")


def test_words_of_a_question_may_change_and_others_may_be_added(folder: Path) -> None:
    before = Store(folder).forecasts.read_bytes()
    planned(replace(toy(), questions=[replace(SIZE, asks="And?"), replace(SIZE, name="more")])).write(folder)
    write_observations(folder)
    first, second = answer_study(folder)
    assert first.held_out[0].is_registered and not second.held_out[0].is_registered
    train_study(folder, Planted())
    assert Store(folder).forecasts.read_bytes() == before


def test_what_was_held_out_may_change_while_it_has_not_begun(tmp_path: Path) -> None:
    planned(toy()).write(tmp_path)
    train_study(tmp_path, Planted(), is_anchors_only=True)
    planned(toy(widths=(*WIDTHS, 64), held_out={"width": 64})).write(tmp_path)
    train_study(tmp_path, executor := Planted())
    assert [was_there for _, was_there in executor.began] == [False, True]


# a folder that is no study


@pytest.mark.parametrize("name", ["notes.txt", "runs/0123456789ab/run.json", "data/a.txt"])
def test_a_folder_with_something_else_in_it_is_refused_and_what_was_found_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    found = name.removesuffix("/run.json").removesuffix("/a.txt")
    refused(toy(), tmp_path, "without study.json that holds", found, "the study 'toy' (scale quick; no settings)")


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(StoreError, match="expected a folder for the study, got a file"):
        planned(toy()).write(tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_an_empty_folder_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").touch()
    planned(toy()).write(tmp_path)
    assert Store(tmp_path).study.exists()


def test_a_plan_whose_writing_was_cut_short_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, left = write_json, 3

    def die(path: Path, value: Any, **more: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        write(path, value, **more)

    with monkeypatch.context() as patch:
        patch.setattr("lawful.storage.atomic.write_json", die)
        patch.setattr("lawful.storage.codec.write_json", die)
        with pytest.raises(KeyboardInterrupt):
            planned(toy()).write(tmp_path)
    (tmp_path / ".study.json.x.tmp").touch()
    assert len(list(tmp_path.glob("runs/*/run.json"))) == 3 and not Store(tmp_path).study.exists()
    planned(toy()).write(tmp_path)
    train_study(tmp_path, executor := Planted())
    assert len(executor.began) == 6


def test_a_damaged_study_json_is_not_planned_over(folder: Path) -> None:
    path = Store(folder).study
    path.write_bytes(path.read_bytes()[:100])
    refused(toy(), folder, "study.json: expected JSON", "move runs/ into an empty folder")
    (moved := folder.with_name("moved")).mkdir()
    shutil.move(folder / "runs", moved / "runs")  # what the message says
    planned(toy()).write(moved)
    train_study(moved, executor := Planted())
    assert executor.began == []


def test_a_replan_that_is_killed_leaves_the_former_plan_and_its_table(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    former, before = Store(folder).study.read_bytes(), rows(folder)
    write = write_json

    def die(path: Path, value: Any, **more: Any) -> None:
        if path == Store(folder).study:
            raise KeyboardInterrupt
        write(path, value, **more)

    with monkeypatch.context() as patch:
        patch.setattr("lawful.storage.atomic.write_json", die)
        patch.setattr("lawful.storage.codec.write_json", die)
        with pytest.raises(KeyboardInterrupt):
            planned(toy(seeds=2)).write(folder)
    assert Store(folder).study.read_bytes() == former and rows(folder) == before


# the table


def spoil(folder: Path, label: str, result: dict[str, Any]) -> None:
    run = next(rung.run for rung in Store(folder).read_study().runs if rung.rung == label)
    write_json(Store(folder).result(run), result)


def test_a_table_without_runs_is_not_touched_and_with_some_of_them_keeps_every_cell(folder: Path) -> None:
    table = Store(folder).observations
    text = table.read_text()
    text = text.replace(",2.", ",2.00", 1)  # a cell that no program of ours would write so
    table.write_text(text)
    label = next(label for label, row in rows(folder).items() if ",2.00" in ",".join(row.values()))
    before, copy = rows(folder), folder.with_name("copy")
    shutil.copytree(folder, copy)
    shutil.rmtree(copy / "runs")
    write_observations(copy)
    assert Store(copy).observations.read_text() == text
    for rung in Store(folder).read_study().runs:
        if rung.rung in (label, "width=8,steps=20,seed=0"):
            shutil.rmtree(Store(folder).run_folder(rung.run))
    write_observations(folder)
    assert rows(folder) == before  # in the order of the plan, too
    assert list(rows(folder)) == list(before)


def test_a_failure_does_not_replace_a_run_that_was_finished(folder: Path) -> None:
    before = rows(folder)
    label = "width=16,steps=20,seed=0"
    for worse in ({"status": "failed", "reason": "no memory"}, {"status": "finished", "loss": "nan"}):
        spoil(folder, label, worse)
        write_observations(folder)
        assert rows(folder)[label] == before[label]
    spoil(folder, label, {"status": "diverged", "reason": "it rose", "loss": None})
    write_observations(folder)
    assert rows(folder)[label]["status"] == "diverged"


def test_a_run_whose_folder_was_removed_is_as_the_table_says_or_fails_with_what_to_do(folder: Path) -> None:
    study = Store(folder).read_study()
    first, second = study.runs[:2]
    shutil.rmtree(Store(folder).run_folder(first.run))
    assert unfinished(Store(folder), study) == []
    Store(folder).result(second.run).unlink()  # to be trained again
    Store(folder).run(second.run).unlink()
    assert [rung.run for rung in unfinished(Store(folder), study)] == [second.run]
    options = worker.parse([str(folder), second.run, "--device", "cpu"])
    assert worker.train_runs(Store(folder), [second.run], options, threading.Event()) == ["failed"]
    ((label, reason),) = failed_runs(folder)
    assert label == second.rung and f"`lawful run STUDY --out {folder}` plans it again" in reason
    planned(toy()).write(folder)
    assert Store(folder).run(second.run).exists()


def test_a_row_of_no_run_of_the_plan_is_kept_and_not_fitted(folder: Path) -> None:
    table = Store(folder).observations
    lines = table.read_text().splitlines()
    stranger = lines[1].replace(Store(folder).read_study().runs[0].run, "0123456789ab")
    table.write_text("\n".join([*lines, stranger]) + "\n")
    write_observations(folder)
    (answer,) = answer_study(folder)
    assert answer.fit is not None and answer.fit.goodness.n == 5
    assert table.read_text().count("0123456789ab") == 1
    settled = table.read_bytes()
    write_observations(folder)
    assert table.read_bytes() == settled


def test_a_damaged_table_is_refused_by_name_and_stays(folder: Path) -> None:
    table = Store(folder).observations
    for damage in (table.read_bytes()[:-30], table.read_bytes() + b"\xff\xfe\n"):
        table.write_bytes(damage)
        with pytest.raises(LawfulError, match=r"observations\.csv"):
            write_observations(folder)
        assert table.read_bytes() == damage


def test_the_whole_analysis_is_had_from_plan_table_and_forecasts_alone(
    folder: Path, tmp_path: Path, toy_answer: Callable[[Path], Any]
) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("study.json", "observations.csv", "forecasts.json"):
        shutil.copy(folder / name, alone / name)
    assert conclude(alone).exists()
    assert toy_answer(alone) == toy_answer(folder)


@pytest.fixture
def toy_answer() -> Callable[[Path], Any]:
    return lambda folder: read_json(Store(folder).fit("size"))


def test_of_two_studies_that_are_planned_into_one_folder_at_once_one_is_refused(tmp_path: Path) -> None:
    plans = [make_plan(replace(toy(), name=name), device_name="cpu", is_timed=False) for name in ("one", "other")]
    ready, said = threading.Barrier(2), []

    def write(plan: Plan) -> None:
        ready.wait()
        try:
            plan.write(tmp_path / "both")
            said.append("written")
        except StoreError as error:
            said.append(str(error))

    threads = [threading.Thread(target=write, args=(plan,)) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said.count("written") == 1
    (refusal,) = (words for words in said if words != "written")
    assert "another process is planning" in refusal or "expected a folder of" in refusal
