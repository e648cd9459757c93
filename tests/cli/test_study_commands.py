"""The commands as a person types them: one study from its plan to its page, and what they say when given nonsense."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from in_process import Here, lawful
from lawful.conduct import train_study
from lawful.executors.local import Local
from lawful.planning.plan import make_plan
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store
from lawful.study import import_file

TOY = str(Path(__file__).parents[1] / "toy_study.py")
SMALL = ("--set", "widths=8,12,16,24,32", "--set", "steps=20,40,80")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    """A toy study run whole, once, by the command and its workers, each a process of its own."""
    folder = tmp_path_factory.mktemp("runs") / "toy"
    command = [sys.executable, "-m", "lawful", "run", TOY, *SMALL, "--out", str(folder), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"report: {folder / 'report.html'}" in done.stdout
    assert "15 of 15 runs finished" in done.stderr  # plain lines where there is no terminal
    return folder


@pytest.fixture
def workers_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The local executor starts no process."""
    monkeypatch.setattr(Local, "submit", Here().submit)


@pytest.mark.usefixtures("workers_here")
def test_a_study_is_extended_and_goes_on_after_a_kill(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "toy"
    shutil.copytree(folder, out)
    ended = {path: path.read_bytes() for path in out.glob("runs/*/result.json")}
    registered = read_json(Store(out).forecasts)["forecasts"]
    said = lawful("extend", out, "--set", "widths=8,12,16,24,32,48").stdout  # steps stay as they were set
    assert "15 runs stay as they are, 3 are new" in said and f"lawful resume {out}" in said
    extended = read_json(Store(out).forecasts)["forecasts"]
    assert extended[: len(registered)] == registered and len(extended) == len(registered) + 3
    assert "width=48,steps=20,seed=0: " in said
    resume = [sys.executable, "-m", "lawful", "resume", str(out), "--workers", "1"]
    first = subprocess.Popen(resume, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    new = [run.run for run in Store(out).read_study().runs if run.at["width"] == 48]
    while first.poll() is None and not any(Store(out).metrics(run).exists() for run in new):
        time.sleep(0.02)
    first.kill()
    first.wait()
    assert "18 of 18 runs finished" in lawful("resume", out).stderr
    assert all(path.read_bytes() == text for path, text in ended.items())
    answer = read_json(Store(out).fit("size"))
    assert [row["is_registered"] for row in answer["held_out"]] == [True] * 6


def test_a_run_leaves_everything_a_reader_needs(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert {"study.json", "observations.csv", "fits", "report.html", "report.md", "figures", "baselines.json"} <= names
    with (folder / "observations.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 15
    for row in rows:
        width, steps = int(row["at_width"]), int(row["at_steps"])
        assert int(row["tokens"]) == steps * 8 * 16
        assert int(row["params_embedding"]) == 11 * width
        assert int(row["params_non_embedding"]) == 12 * width**2 + 3 * width
        assert int(row["flops_6nd"]) == 6 * int(row["params_non_embedding"]) * int(row["tokens"])
        assert (row["held_out"] == "yes") == (width == 32)


def test_the_answer_printed_is_the_one_in_the_file(folder: Path) -> None:
    answer = read_json(Store(folder).fit("size"))
    assert answer["status"] == "answered" and len(answer["held_out"]) == 3
    printed = lawful("report", folder).stdout
    assert answer["headline"] in printed and answer["basis"] in printed


def test_running_again_trains_nothing_and_changes_no_observation(folder: Path) -> None:
    before = (folder / "observations.csv").read_bytes()
    written = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/result.json")}
    lawful("run", TOY, *SMALL, "--out", folder, "--device", "cpu")
    train_study(folder, Local())  # as `lawful resume` does before its report
    assert {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/result.json")} == written
    assert (folder / "observations.csv").read_bytes() == before


def test_another_study_is_not_run_into_the_folder(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    said = lawful("run", TOY, *SMALL, "--set", "learning_rate=0.02", "--out", folder, "--device", "cpu", expect=2)
    assert "none of the 15 runs that have begun there" in said.stderr and "learning_rate=0.02" in said.stderr
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.usefixtures("workers_here")
def test_a_study_in_which_runs_failed_says_so_last_and_on_the_page_and_ends_with_status_3(tmp_path: Path) -> None:
    file, folder = tmp_path / "mine.py", tmp_path / "out"
    text = Path(TOY).read_text()
    file.write_text(text)
    declared = import_file(file).study(widths=(8, 16), steps=(20,))
    make_plan(declared, device_name="cpu", study_file=file, is_timed=False).write(folder)
    file.write_text(text + "# edited\n")
    done = lawful("resume", folder, "--device", "cpu", expect=3)
    (first, second, again) = done.stderr.splitlines()[-3:]
    assert first == "lawful: 1 run failed and stands in no fit:"
    assert "width=8,steps=20,seed=0: " in second and "expected the study file as it was planned" in second
    assert again.endswith(f"lawful resume {folder}")
    assert "the held-out runs do not begin" in done.stderr and "no n-grams are counted" in done.stderr
    page = (folder / "report.html").read_text()
    assert "Runs failed" in page and "1 of 2 runs failed" in page


def test_status_speaks_to_people_and_to_programs(folder: Path) -> None:
    assert "15" in lawful("status", folder).stdout
    state = json.loads(lawful("status", folder, "--json").stdout)
    assert len(state["runs"]) == 15 and {run["state"] for run in state["runs"]} == {"finished"}


def test_a_sample_is_the_same_for_the_same_seed_and_needs_a_finished_run(folder: Path) -> None:
    words = ("sample", folder, "width=32,steps=80", "--prompt", "ab", "--length", "40")
    first, again = lawful(*words).stdout, lawful(*words).stdout
    assert first == again and first.startswith("ab") and len(first.strip("\n")) == 42
    assert lawful(*words, "--seed", "1").stdout != first
    assert "finished: " in lawful("sample", folder, "width=999", expect=2).stderr


def test_the_fit_command_reads_the_folder(folder: Path) -> None:
    fit = json.loads(lawful("fit", folder, "--law", "chinchilla", "--json").stdout)
    assert fit


@pytest.mark.usefixtures("workers_here")
def test_only_trains_what_it_names_and_a_resume_the_rest(tmp_path: Path, own_cache: Path) -> None:
    folder = tmp_path / "part"
    done = lawful("run", TOY, "--set", "widths=8,16", "--set", "steps=20", "--out", folder, "--only", "width=8,*")
    assert len(list(folder.glob("runs/*/result.json"))) == 1
    assert (folder / "report.html").exists() and "No law is claimed: " in done.stdout
    lawful("resume", folder)
    assert len(list(folder.glob("runs/*/result.json"))) == 2
    assert "--only: expected a pattern" in lawful("resume", folder, "--only", "nothing", expect=2).stderr


def test_a_plan_trains_nothing_and_counts_everything(own_cache: Path, tmp_path: Path) -> None:
    plan = json.loads(lawful("plan", TOY, "--json").stdout)
    first = plan["runs"][0]
    assert first["params_total"] == first["params_embedding"] + first["params_non_embedding"]
    # 12 d^2 in matrices, 2 context d in attention, the head; forward and backward are 6 FLOPs a multiply-add pair
    assert first["flops"] == 6 * (12 * 64 + 2 * 16 * 8 + 11 * 8) * first["tokens"]
    assert first["seconds_estimate"] > 0
    assert {warning["code"] for warning in plan["warnings"]} >= {"one-seed", "few-steps"}
    text = lawful("plan", TOY).stdout
    assert "width=8" in text and "warning" in text


def test_studies_are_listed_with_their_question_and_data() -> None:
    listed = {entry["name"]: entry for entry in json.loads(lawful("studies", "--json").stdout)}
    assert {"quickstart", "shakespeare"} <= set(listed)
    assert listed["shakespeare"]["axes"] == ["width", "tokens", "seed"]
    assert listed["shakespeare"]["data"][0].startswith("tiny_shakespeare")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("run", "shakespear"), "quickstart, shakespeare"),
        (("plan", "shakespeare", "--scale", "huge"), "expected one of smoke, quick, full, published, got 'huge'"),
        (
            ("plan", "shakespeare", "--set", "depths=3"),
            "no setting 'depths'; it has batch_tokens, epochs, seeds, sizes",
        ),
        (("plan", "shakespeare", "--set", "seeds"), "expected NAME=VALUE"),
        (("plan", "quickstart", "--device", "tpu"), "expected auto, cpu, cuda or mps"),
        (("run", "quickstart", "--executor", "pigeon"), "--executor: expected local"),
        (("resume", "nowhere"), "no such folder"),
        (("status", "."), "expected a study's folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_nonsense_gets_a_sentence_and_status_2(words: tuple[str, ...], expected: str) -> None:
    assert expected in lawful(*words, expect=2).stderr
