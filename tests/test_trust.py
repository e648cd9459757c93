"""A folder from somebody else runs no code when it is read, and when it is trained from only what this user allowed."""

from __future__ import annotations

import importlib.util
import json
import os
import py_compile
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lawful import conduct, trust
from lawful.corpora import corpus_of
from lawful.errors import DeclarationError, LawfulError, StoreError
from lawful.executors.local import Local
from lawful.fitting.answer import answer_study
from lawful.fitting.asked import declared
from lawful.observe import write_observations
from lawful.report.progress import study_status
from lawful.report.watch import Watch
from lawful.schema import CorpusRecord, Question, StudyFile, StudyPlan
from lawful.storage.atomic import write_json
from lawful.storage.cache import sha256_of
from lawful.storage.codec import to_plain, with_hash
from lawful.storage.layout import Store
from lawful.study import import_file, own_file, own_module
from records import planned_run, write_plan

pytestmark = pytest.mark.usefixtures("without_figures")

TOY = Path(__file__).parent / "toy_study.py"


@pytest.fixture(autouse=True)
def nobody_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user who has run nothing yet."""
    monkeypatch.setattr(trust, "_remembered", set())
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config"


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """A file that is there once the sender's code has run."""
    return tmp_path / "it-ran"


def sent(folder: Path, mark: Path) -> Path:
    """A study of eight ended runs whose own file, which defines its corpus, was written by the sender."""
    evil = folder / "evil.py"
    folder.mkdir(parents=True, exist_ok=True)
    evil.write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n")
    rungs = []
    for number in range(1, 9):
        run_id = f"{number:012x}"
        counts = {"params_non_embedding": 10**number, "tokens": 1000, "params_total": 10**number}
        at = {"size": number}
        rungs.append(planned_run(run_id, rung=f"size={number}", at=at, corpus="words", steps=10, **counts))
        loss = 2 + 5 * (10**number) ** -0.2 * (1 + 0.001 * (number % 3))
        write_json(Store(folder).result(run_id), {"status": "finished", "loss": loss})
        write_json(Store(folder).run(run_id), {"is": "study_file:Words"})
    words = CorpusRecord(fingerprint="0" * 16, vocabulary=4, tokenizer="remi", value={"is": "study_file:Words"})
    write_plan(
        folder,
        *rungs,
        name="sent",
        questions=(Question(name="size", asks="How?", law="power_floor:params"),),
        corpora={"words": words},
        study_file=StudyFile(path=str(evil), sha256=sha256_of(evil)),
    )
    write_observations(folder)
    return folder


def test_reading_a_folder_runs_nothing_of_it(tmp_path: Path, mark: Path) -> None:
    folder = sent(tmp_path / "sent", mark)
    said: list[str] = []
    conduct.conclude(folder, said.append)  # lawful report
    assert any("no n-grams are counted" in line and "study_file:Words" in line for line in said)
    answer_study(folder)  # lawful fit FOLDER
    declared(folder)
    study_status(folder)
    Watch(folder, tmp_path / "workspace").look()
    assert not mark.exists()


def test_training_from_a_folder_is_refused_and_says_which_file_and_how_to_allow_it(tmp_path: Path, mark: Path) -> None:
    folder = sent(tmp_path / "sent", mark)
    sha256 = sha256_of(folder / "evil.py")
    for train in (
        lambda: conduct.train_study(folder, Local()),
        lambda: own_module(Store(folder).read_study(), folder),
    ):
        with pytest.raises(StoreError) as refused:
            train()
        for part in (str(folder / "study.json"), str(folder / "evil.py"), sha256, f"--trust {sha256[:12]}"):
            assert part in str(refused.value)
    assert not mark.exists()
    trust.allow(sha256[:12], own_file(Store(folder).read_study()), folder)
    assert own_module(Store(folder).read_study(), folder) == "study_file" and mark.exists()


def test_sample_runs_nothing_that_was_not_allowed(tmp_path: Path, mark: Path) -> None:
    from lawful.train.sample import Draw, sample_text

    folder = sent(tmp_path / "sent", mark)
    with pytest.raises(StoreError, match="which you have not run before"):
        sample_text(folder, "size=1", Draw())
    assert not mark.exists()


@pytest.mark.parametrize("digits", ["", "0" * 11, "f" * 12, "g" * 64])
def test_trust_takes_twelve_digits_of_a_hash_that_the_folder_names(tmp_path: Path, digits: str) -> None:
    own = (Path("a.py"), "0" * 64)
    for named in (own, None):
        with pytest.raises(
            DeclarationError, match="--trust: expected at least 12 digits of the SHA-256 of the study f"
        ):
            trust.allow(digits, named, tmp_path)
    assert not trust.is_trusted("0" * 64)
    trust.allow("0" * 12, own, tmp_path)
    assert trust.is_trusted("0" * 64) and not trust.is_trusted("1" * 64)


def test_a_worker_runs_a_study_file_only_where_its_parent_says_so(
    toy_folder: Callable[..., Path],
    nobody_trusted: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from lawful.train import worker

    folder = toy_folder(widths=(8, 16), steps=(20,))
    parent = Local().command(folder)
    run_id = Store(folder).read_study().runs[0].run
    assert parent[parent.index("--trust") + 1] == sha256_of(TOY)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(nobody_trusted / "of another machine"))
    monkeypatch.setattr(trust, "_remembered", set())
    told = [str(folder), run_id, "--device", "cpu"]
    assert worker.main(told) == 1 and f"--trust {sha256_of(TOY)[:12]}" in capsys.readouterr().err
    assert worker.main([*told, "--trust", sha256_of(TOY)]) == 0


def test_what_runs_is_the_file_that_was_hashed_not_a_compiled_one_beside_it(tmp_path: Path, mark: Path) -> None:
    honest = tmp_path / "honest.py"
    evil = tmp_path / "evil.py"
    honest.write_text("study = 1".ljust(400))
    evil.write_text(f"import pathlib; pathlib.Path({str(mark)!r}).touch()".ljust(400))
    os.utime(evil, (1e9, 1e9))
    os.utime(honest, (1e9, 1e9))  # the compiled file is taken for this one's: the same time, the same size
    py_compile.compile(str(evil), cfile=importlib.util.cache_from_source(str(honest)), dfile=str(honest))
    assert subprocess.run([sys.executable, "-c", f"import sys; sys.path[:0] = [{str(tmp_path)!r}]; import honest"])
    assert mark.exists(), "the compiled file is as Python takes it"
    mark.unlink()
    assert import_file(honest).study == 1
    assert not mark.exists()


def test_a_file_that_was_changed_since_it_was_planned_does_not_run_though_both_are_trusted(
    tmp_path: Path, mark: Path
) -> None:
    folder = sent(tmp_path / "sent", mark)
    trust.remember(sha256_of(folder / "evil.py"), "as planned")
    (folder / "evil.py").write_text(f"open({str(mark)!r}, 'w')")
    trust.remember(sha256_of(folder / "evil.py"), "as it is now")
    with pytest.raises(DeclarationError, match="as it was planned"):
        own_module(Store(folder).read_study(), folder)
    assert not mark.exists()


@pytest.mark.parametrize(
    "named", ["x.py", {}, {"path": 1, "sha256": "0" * 64}, {"path": "a.py", "sha256": "../x"}, [1]]
)
def test_a_study_file_that_is_no_path_and_hash_is_refused(tmp_path: Path, named: object) -> None:
    content = {**to_plain(StudyPlan.example()), "study_file": named}
    (tmp_path / "study.json").write_text(json.dumps(with_hash(content)))
    with pytest.raises(StoreError, match="study_file.*expected"):
        Store(tmp_path).read_study()


def test_planning_is_running_and_the_record_outlives_the_process(
    toy_folder: Callable[..., Path], nobody_trusted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy_folder(widths=(8, 16), steps=(20,))
    monkeypatch.setattr(trust, "_remembered", set())
    assert trust.is_trusted(sha256_of(TOY))
    assert str(TOY.resolve()) in (nobody_trusted / "lawful" / "trusted" / sha256_of(TOY)).read_text()


def test_a_user_without_a_folder_to_write_to_is_trusted_for_as_long_as_the_process_lives(nobody_trusted: Path) -> None:
    nobody_trusted.write_text("a file where the folder should be")
    trust.remember("a" * 64, "study file")
    assert trust.is_trusted("a" * 64) and not trust.is_trusted("b" * 64)


def test_a_worker_looks_for_modules_in_the_current_folder_only_where_its_parent_does(
    tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text(f"open({str(mark)!r}, 'w')")  # what a received folder may hold
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if Path(place).resolve() != Path.cwd()])
    surroundings = Local().environment()
    command = [sys.executable, "-m", "lawful.train.worker", "--help"]
    done = subprocess.run(command, env={**os.environ, **surroundings}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and not mark.exists(), done.stderr
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    assert "PYTHONSAFEPATH" not in Local().environment()


def test_json_names_only_frozen_classes_of_the_module_that_defines_them() -> None:
    from lawful.run import from_json

    for where in (
        "lawful.run:Literal",
        "lawful.conduct:Store",
        "lawful.storage.lease:LeaseLost",
        "lawful.\0:A",
        "lawful.:A",
    ):
        with pytest.raises(LawfulError, match="run.json"):
            from_json({"is": where})


@pytest.mark.parametrize(
    "value", [{"is": "lawful.storage.layout:Store", "folder": "/etc"}, "text", None, [1], {"is": "lawful.run:X"}]
)
def test_what_a_folder_describes_as_its_corpus_and_is_none_is_refused(value: object) -> None:
    with pytest.raises(DeclarationError, match="expected a corpus, got|does not have"):
        corpus_of(value)
