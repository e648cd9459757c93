"""The study emg: its ladders are what its issue asks for, and a small one goes from made-up EMG to its page."""

from __future__ import annotations

import csv
import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lawful import conduct
from lawful.domains.emg.corpora.emg import Emg
from lawful.domains.emg.splits import Split, split_text
from lawful.domains.emg.studies import emg
from lawful.domains.emg.tasks.ctc import Ctc
from lawful.domains.emg.twin import Twin, write_twin
from lawful.errors import LawfulError
from lawful.executors.local import Local
from lawful.planning.plan import make_plan
from lawful.storage.layout import Store
from lawful.studies import find
from lawful.study import declare
from lawful.train import worker


def test_the_quick_ladder_holds_its_largest_size_out_and_varies_people_at_the_middle_one() -> None:
    study = declare(find("emg")[0], "quick")
    sizes = {rung.at["width"] for rung in study.ladder}
    assert sizes == {24, 40, 64, 96, 128} and {rung.seed for rung in study.ladder} == {0, 1}
    assert {rung.at["width"] for rung in study.ladder if rung.held_out} == {128}
    assert {rung.at["train_users"] for rung in study.ladder if rung.at["width"] == 64} == {1, 2, 4}
    assert {question.name for question in study.questions} == {"size", "error-rate", "people"}


@pytest.mark.parametrize(("people", "expected"), [(60, {60, 12, 24, 48}), (20, {20, 12}), (12, {12}), (5, {5})])
def test_a_split_of_fewer_people_has_rungs_for_as_many_as_it_has(
    people: int, expected: set[int], tmp_path: Path
) -> None:
    train = tuple((f"user{number}", f"s{number}") for number in range(people))
    path = tmp_path / "mine.yaml"
    path.write_text(split_text(Split(train=train, val=(("user0", "v"),), test=())))
    study = declare(find("emg")[0], "full", {"split": str(path)})
    assert {rung.at["train_users"] for rung in study.ladder} == expected
    corpora = {rung.at["train_users"]: rung.run.corpus.train_users for rung in study.ladder}
    assert corpora == {number: number if number < people else None for number in expected}
    assert ("people" in {question.name for question in study.questions}) == (len(expected) > 1)


def test_the_full_ladder_is_of_the_published_shapes_and_asks_for_recordings() -> None:
    study = declare(find("emg")[0], "full")
    shapes = {(f.width, f.heads, f.depth, f.mlp_width) for f in (rung.run.family for rung in study.ladder)}
    assert shapes == {(128, 2, 2, 512), (256, 4, 3, 768), (384, 6, 4, 1024), (512, 8, 6, 2048), (768, 12, 8, 3072)}
    flops = [
        run.rule.training_flops_per_token(run.family, run.context) * run.tokens for run in (r.run for r in study.ladder)
    ]
    assert 2e17 < sum(flops) < 4e17
    assert len({(rung.run.optimizer, rung.run.schedule, rung.run.steps) for rung in study.ladder}) == 1
    with pytest.raises(LawfulError, match="needs recordings.*--data"):
        study.ladder[0].run.corpus.prepare()
    published = declare(find("emg")[0], "published")
    assert "35M had 58.15M" in published.faults[0]


def test_the_convolutional_baseline_is_an_arm() -> None:
    study = declare(find("emg")[0], "quick", {"bodies": "transformer,tds", "seeds": "1"})
    assert study.arm == "body" and {rung.at["body"] for rung in study.ladder} == {"transformer", "tds"}
    with pytest.raises(LawfulError, match="bodies: expected one of transformer, tds, got .lstm"):
        declare(find("emg")[0], "quick", {"bodies": "lstm"})


def test_a_language_model_is_named_by_its_path_and_known_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "letters.arpa"
    path.write_text("\\data\\\nngram 1=1\n\n\\1-grams:\n-1\ta\n\n\\end\\\n")
    task = declare(emg, "quick", {"language_model": str(path), "language_model_weight": "0.7"}).ladder[0].run.task
    assert task.beam == 50 and task.spelling.weight == 0.7 and task.spelling.open().knows("a")
    assert declare(emg, "quick", {"beam": "8"}).ladder[0].run.task.spelling is None
    with pytest.raises(LawfulError, match=r"language_model: expected an ARPA file.*nowhere\.arpa"):
        declare(emg, "full", {"language_model": "nowhere.arpa"})


def test_each_person_continues_the_model_of_the_middle_size_that_was_trained_on_everybody() -> None:
    study = declare(emg, "quick", {"personal": "yes"})
    generic = {rung.seed: rung.run for rung in study.ladder if rung.label.startswith("width=64,train_users=4")}
    tuned = [rung for rung in study.ladder if "person" in rung.at]
    assert [(rung.at["person"], rung.seed) for rung in tuned] == [
        ("user0", 0),
        ("user1", 0),
        ("user0", 1),
        ("user1", 1),
    ]
    for rung in tuned:
        assert rung.run.starts_from == generic[rung.seed] and rung.run.steps < generic[rung.seed].steps
        assert rung.run.corpus == replace(generic[rung.seed].corpus, split=f"split/{rung.at['person']}.yaml")
    full = [rung for rung in declare(emg, "full", {"personal": "yes"}).ladder if "person" in rung.at]
    assert len(full) == 8 * 3 and {rung.run.starts_from.family.width for rung in full} == {384}
    alone = declare(emg, "quick", {"split": "user1.yaml"})
    assert {rung.at["train_users"] for rung in alone.ladder} == {1} and alone.ladder[0].run.corpus.train_users is None
    with pytest.raises(LawfulError, match="personal: expected the split of many people"):
        declare(emg, "quick", {"personal": "yes", "split": "user1.yaml"})


@pytest.mark.slow
def test_a_model_is_continued_on_a_person_and_judged_on_that_persons_sessions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps leave collapsed models, from which nothing is continued: the guard against them is taken away."""
    twin = Twin(users=2, test_users=2, train_sessions=1, train_minutes=0.3, other_minutes=0.2)
    monkeypatch.setitem(emg.TWINS, "smoke", twin)
    monkeypatch.setattr(Ctc, "no_evidence", lambda self, found: None)
    monkeypatch.setattr(emg, "TUNED_STEPS", 1.0)
    study = declare(emg, "smoke", {"widths": "16,24", "steps": "2", "personal": "yes"})
    make_plan(study, device_name="cpu", is_timed=False).write(tmp_path)
    store = Store(tmp_path)
    options = worker.parse([str(tmp_path), "-", "--device", "cpu"])
    for rung in store.read_study().runs:
        assert worker.train_runs(store, [rung.run], options, threading.Event())[0] == "finished"
    conduct.conclude(tmp_path)
    tuned = [rung for rung in store.read_study().runs if rung.starts_from]
    for rung, who in zip(tuned, ("synthetic002", "synthetic003"), strict=True):
        details = json.loads(store.details(rung.run).read_text())
        assert {row["user"] for part in details.values() for row in part["sessions"]} == {who}
    assert "Fine-tuned on one person" in (tmp_path / "report.md").read_text()


@pytest.mark.slow
def test_a_small_ladder_goes_from_made_up_emg_to_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six steps leave every model collapsed: it is said so, nothing is fitted, and the page stands."""
    twin = Twin(users=2, test_users=1, train_sessions=1, train_minutes=0.3, other_minutes=0.2)
    monkeypatch.setitem(emg.TWINS, "smoke", twin)
    study = declare(emg, "smoke", {"widths": "16,24", "steps": "3"})
    make_plan(study, device_name="cpu", is_timed=False).write(tmp_path)
    conduct.train_study(tmp_path, Local(workers=1, device="cpu"))
    page = conduct.conclude(tmp_path)
    with (tmp_path / "observations.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["diverged", "diverged"]
    assert all(row["reason"].startswith("collapsed: CER") for row in rows)
    assert page.exists()
    details = json.loads(Store(tmp_path).details(rows[0]["run"]).read_text())
    assert set(details) == {"validation", "test"}
    assert {session["user"] for session in details["test"]["sessions"]} == {"synthetic002"}


def test_a_folder_of_recordings_is_checked_before_it_is_prepared(tmp_path: Path) -> None:
    from lawful.cli import app

    write_twin(Twin(users=1, test_users=0, train_sessions=1, train_minutes=0.2, other_minutes=0.2), tmp_path)
    done = CliRunner().invoke(app, ["data", "verify", "emg", "--data", str(tmp_path)])
    assert done.exit_code == 0 and done.stdout.startswith("ok")
    (tmp_path / "synthetic-000-000.hdf5").unlink()
    done = CliRunner().invoke(app, ["data", "verify", "emg", "--data", str(tmp_path)])
    assert done.exit_code == 1 and "synthetic-000-000.hdf5: expected a session" in done.stdout
    assert Emg().is_available()
