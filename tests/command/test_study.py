"""A study of commands from its plan to its page; interrupted, killed, received from somebody else."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from commands import QUESTION, VAL_LOSS, command, one, only, plan, plan_one, script, store
from lawful import trust
from lawful.cli.run import _say_failed
from lawful.command import Command, LogPattern, trusted
from lawful.command.code import Code
from lawful.conduct import Unfinished, conclude, failed_runs, groups, train_study
from lawful.errors import DeclarationError, StoreError
from lawful.executors import Executor, Job
from lawful.executors.local import Local
from lawful.fitting.registered import read_forecasts
from lawful.linter import observed
from lawful.observe import observations, write_observations
from lawful.report.evidence import read_evidence
from lawful.report.plan import plan_table
from lawful.report.progress import study_status
from lawful.report.status_shown import status_line, status_table
from lawful.report.tables import seconds
from lawful.report.words import key_facts
from lawful.schema import RunRecord
from lawful.storage.codec import write_result
from lawful.storage.layout import Store
from lawful.storage.lease import claimed
from lawful.study import Study, grid
from lawful.tables.source import read_rows

pytestmark = pytest.mark.usefixtures("without_figures")

TRAIN = """
import sys
import threading
width, seed = int(sys.argv[1]), int(sys.argv[2])
print(f"val loss {1.5 + 30 * (48 * width**2) ** -0.4 * (1 + 0.001 * (seed - 1))}")
"""


def rung(width: int, seed: int) -> Command:
    return command("{width} {seed}", params="12*4*{width}^2", tokens="1e6", reads=VAL_LOSS, unit="nats per token")


def ladder(folder: Path, text: str = TRAIN, **axes: Any) -> Path:
    script(folder, text)
    axes = {"width": [16, 24, 32, 48, 64, 96], "seed": range(2), **axes}
    plan(folder, grid(rung, **axes), held_out={"width": max(axes["width"])}).write(folder / "out")
    return folder / "out"


def test_a_ladder_of_commands_is_forecast_fitted_and_reported(tmp_path: Path) -> None:
    folder = ladder(tmp_path)
    train_study(folder, Local(workers=2))
    page = conclude(folder)
    rows = observations(folder)
    assert len(rows) == 12
    assert {row["loss_unit"] for row in rows} == {"nats_per_token"}
    assert all("learning_rate" not in row and "steps" not in row for row in rows)
    assert "width=96" in page.read_text(encoding="utf-8")
    forecasts = read_forecasts(Store(folder)).forecasts
    assert {entry.rung for entry in forecasts} == {"width=96,seed=0", "width=96,seed=1"}
    for entry in forecasts:
        came = next(row["loss"] for row in rows if row["rung"] == entry.rung)
        assert entry.predicted == pytest.approx(came, rel=0.01)
    assert study_status(folder).is_over


def test_held_out_commands_begin_after_the_forecasts_are_written(tmp_path: Path) -> None:
    watched = f"""
import os, sys
if sys.argv[1] == "96":
    print("forecasts:", os.path.exists({str(tmp_path / "out" / "forecasts.json")!r}))
{TRAIN}"""
    folder = ladder(tmp_path, watched, seed=[0])
    train_study(folder, Local(workers=2))
    held_out = next(planned.run for planned in Store(folder).read_study().runs if planned.held_out)
    assert "forecasts: True" in Store(folder).output(held_out).read_text()


def test_a_count_of_a_held_out_run_must_be_known_beforehand() -> None:
    def reading(width: int) -> Command:
        return Command("train {width}", tokens=1e6, reads=(VAL_LOSS, LogPattern("params {params}")))

    with pytest.raises(DeclarationError, match="no column of numbers is called 'params_non_embedding'"):
        Study(
            name="toy", question="?", ladder=grid(reading, width=[1, 2, 3]), held_out={"width": 3}, questions=[QUESTION]
        )


def test_a_folder_of_somebody_else_runs_nothing_until_its_hash_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path, "open('ran', 'w'); print('val loss 3')")
    planned = plan_one(tmp_path, command("{seed}"), {"seed": 0})
    own = trusted.hash_of(trusted.read_commands(store(tmp_path), planned.study))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "another_user"))
    monkeypatch.setattr(trust, "_remembered", set())
    study_status(tmp_path / "out")
    with pytest.raises(StoreError, match=rf"that you have not planned or run before.*trust them, say.*{own[:12]}"):
        train_study(tmp_path / "out", Local(workers=1))
    left = store(tmp_path).work(planned.study.runs[0].run)
    left.mkdir()
    (left / "checkpoint.pt").touch()
    with pytest.raises(StoreError, match=r"trust them, and the files in runs/\*/work from which 1 of them would go on"):
        train_study(tmp_path / "out", Local(workers=1))
    assert not (tmp_path / "ran").exists()
    with pytest.raises(DeclarationError, match="of the SHA-256 of this study's commands"):
        trusted.allow("0" * 12, store(tmp_path), planned.study)
    trusted.allow(own[:12], store(tmp_path), planned.study)
    train_study(tmp_path / "out", Local(workers=1))
    assert only(tmp_path)[1].status == "finished"


def test_a_worker_refuses_what_its_parent_did_not_trust(tmp_path: Path) -> None:
    script(tmp_path, "open('ran', 'w'); print('val loss 3')")
    plan_one(tmp_path, command())
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "another_user")}
    (planned,) = store(tmp_path).read_study().runs
    worker = [sys.executable, "-m", "lawful.command.worker", str(tmp_path / "out"), planned.run]
    done = subprocess.run(worker, env=environment, capture_output=True, text=True)
    assert done.stdout == f"{planned.run} failed\n"
    assert "not planned or run before" in only(tmp_path)[1].reason
    assert not (tmp_path / "ran").exists()


def test_a_command_that_was_edited_is_refused(tmp_path: Path) -> None:
    script(tmp_path, "print('val loss 3')")
    plan_one(tmp_path, command("{seed}"))
    (planned,) = store(tmp_path).read_study().runs
    path = store(tmp_path).run(planned.run)
    path.write_text(path.read_text().replace("train.py", "other.py"))
    with pytest.raises(StoreError, match="it was edited"):
        train_study(tmp_path / "out", Local(workers=1))


def test_a_program_that_changed_since_the_plan_is_not_run(tmp_path: Path) -> None:
    script(tmp_path, "print('val loss 3')")
    plan_one(tmp_path, command())
    script(tmp_path, "print('val loss 4')")
    train_study(tmp_path / "out", Local(workers=1))
    _, result = only(tmp_path)
    assert result.status == "failed"
    assert "expected the code as it was when the study was planned" in result.reason


def test_the_commit_and_the_changes_of_the_folder_are_part_of_the_id(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    def now() -> tuple[str, str]:
        ((run_id, run),) = plan_one(tmp_path, command()).runs.items()
        shutil.rmtree(tmp_path / "out")
        return run_id, run.code  # type: ignore[union-attr]

    script(tmp_path, "print('val loss 3')")
    script(tmp_path, "", "model.py")
    git("init")
    git("add", "train.py", "model.py")
    git("commit", "-m", "one")
    first = now()
    assert len(first[1]) == 40
    script(tmp_path, "", "written_by_training.txt")
    assert now() == first
    script(tmp_path, "x = 1", "model.py")
    changed = now()
    assert changed[1].startswith(first[1] + "+")
    git("commit", "-am", "two")
    committed = now()
    assert len({first[0], changed[0], committed[0]}) == 3
    assert len(committed[1]) == 40


def test_a_change_of_a_named_file_outside_of_the_repository_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "clone").mkdir()
    git = ("git", "-C", str(tmp_path / "clone"), "-c", "user.name=a", "-c", "user.email=a@b")
    script(tmp_path / "clone", "", "model.py")
    for arguments in (("init",), ("add", "."), ("commit", "-m", "one")):
        subprocess.run([*git, *arguments], check=True, capture_output=True)
    words = ("python", "../wrapper.py", "mine.py", "model.py")
    found = []
    for text in ("one", "two"):
        script(tmp_path, text, "wrapper.py")
        script(tmp_path / "clone", "as it was", "mine.py")
        found.append(Code(tmp_path / "clone").of(words))
    script(tmp_path / "clone", "changed", "mine.py")
    assert len({*found, Code(tmp_path / "clone").of(words)}) == 3


SLOW = (
    """
import os, pathlib, signal, sys, time
here = pathlib.Path(__file__).parent
with open(here / "begun", "a") as file:
    file.write(f"{sys.argv[1]} {os.getpid()}\\n")
deadline = time.monotonic() + 300
while not (here / "go").exists() and time.monotonic() < deadline:
    time.sleep(0.02)
"""
    + TRAIN
)


def until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    """On a busy machine two Pythons, that of lawful and its worker's, take more than 20 s to start."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def begun(folder: Path) -> list[tuple[int, int]]:
    """Width and process of each time that the program began."""
    path = folder / "begun"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(line.split()[0]), int(line.split()[1])) for line in lines]


@contextmanager
def resumed(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-m", "lawful", "resume", str(folder), "--workers", "2"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_lost_or_counted_twice_when_lawful_ends_while_commands_run(tmp_path: Path, how: int) -> None:
    folder = ladder(tmp_path, SLOW, width=[16, 24, 32, 48, 64], seed=[0])
    with resumed(folder) as process:
        until(lambda: len(begun(tmp_path)) == 2)
        process.send_signal(how)
        process.wait(120)
    first = begun(tmp_path)
    until(lambda: not any(is_alive(pid) for _, pid in first))
    assert not observations(folder)
    (tmp_path / "go").touch()
    train_study(folder, Local(workers=2))
    assert len(observations(folder)) == 5
    assert len(begun(tmp_path)) == 2 + 5


def test_a_killed_worker_loses_nothing_and_leaves_no_program_beside_the_next(tmp_path: Path) -> None:
    folder = ladder(tmp_path, SLOW, width=[16, 24, 32, 48, 64], seed=[0])
    with resumed(folder):
        until(lambda: len(begun(tmp_path)) == 2)
        victim = int(Path(f"/proc/{begun(tmp_path)[0][1]}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(begun(tmp_path)) == 3)
        assert not is_alive(begun(tmp_path)[0][1])
        (tmp_path / "go").touch()
        until(lambda: len(observations(folder)) == 5)
    assert len(begun(tmp_path)) == 1 + 5


def test_a_run_that_fails_is_named_and_tried_again(tmp_path: Path) -> None:
    text = "import os, sys\nif sys.argv[1] == '24' and not os.path.exists('go'): sys.exit('no luck')\n" + TRAIN
    folder = ladder(tmp_path, text, width=[16, 24, 32, 48, 64], seed=[0])
    train_study(folder, Local(workers=2), is_anchors_only=True)
    ((label, reason),) = failed_runs(folder)
    assert label == "width=24,seed=0"
    assert reason.startswith("the command ended with exit status 1; its last lines: no luck")
    (tmp_path / "go").touch()
    train_study(folder, Local(workers=2))
    assert len(observations(folder)) == 5
    assert not failed_runs(folder)


def test_copies_that_a_program_without_a_seed_makes_are_no_replicates(tmp_path: Path) -> None:
    text = "import sys\nprint(f'val loss {1.5 + 30 / int(sys.argv[1])}', sys.argv[2])"
    folder = ladder(tmp_path, text, width=[16, 24, 32, 48], seed=range(2))
    train_study(folder, Local(workers=2), is_anchors_only=True)
    (warning,) = observed(Store(folder).read_study().runs, observations(folder))
    assert (warning.code, warning.severity) == ("seed-unused", "severe")
    assert "(3 times)" in warning.sentence


def test_a_run_that_told_nothing_has_not_begun_and_its_plan_may_change(tmp_path: Path) -> None:
    script(tmp_path, "raise SystemExit('a slip')")
    plan_one(tmp_path, command())
    train_study(tmp_path / "out", Local(workers=1))
    assert only(tmp_path)[1].status == "failed"
    script(tmp_path, "print('val loss 3')")
    plan_one(tmp_path, command())
    train_study(tmp_path / "out", Local(workers=1))
    assert only(tmp_path)[1].status == "finished"


def test_what_runs_is_seen_in_the_live_table(tmp_path: Path) -> None:
    text = (
        "import pathlib, sys, time\nprint('val loss 9')\nwhile not pathlib.Path('go').exists(): time.sleep(0.02)\n"
        + TRAIN
    )
    folder = ladder(tmp_path, text, width=[16, 24, 32, 48, 64], seed=[0])
    thread = threading.Thread(target=train_study, args=(folder, Local(workers=2)), kwargs={"is_anchors_only": True})
    thread.start()
    until(lambda: sum(run.loss == 9 for run in study_status(folder).runs) == 2)
    status = study_status(folder)
    assert (status.counts["running"], status.counts["waiting"], status.share_done) == (2, 3, 0.0)
    assert {(run.step, run.steps) for run in status.runs if run.state == "running"} == {(1, 0)}
    console = Console(width=80, file=io.StringIO())
    console.print(status_table(status))
    assert "9.0000" in console.file.getvalue()  # type: ignore[attr-defined]
    (tmp_path / "go").touch()
    thread.join()
    assert study_status(folder).counts["finished"] == 4


def test_a_study_whose_runs_all_failed_ends_with_their_reasons(tmp_path: Path) -> None:
    """Each reason has a semicolon in it: the header was taken for a line of text above a table of semicolons."""
    script(tmp_path, "raise SystemExit(1)")
    ladder = grid(lambda width: command("{width}", params=12 * width), width=[1, 2, 4, 8])
    plan(tmp_path, ladder).write(tmp_path / "out")
    for planned in store(tmp_path).read_study().runs:
        failed = RunRecord(status="failed", reason="the command ended with exit status 1; it wrote nothing")
        write_result(store(tmp_path).result(planned.run), failed)
    write_observations(tmp_path / "out")
    assert [row["status"] for row in read_rows(tmp_path / "out").rows] == ["failed"] * 4


def test_a_file_that_an_option_names_is_part_of_the_code(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text("width: 1")
    before = Code(tmp_path).of(["python", "--config=small.yaml"])
    (tmp_path / "small.yaml").write_text("width: 2")
    assert "" != before != Code(tmp_path).of(["python", "--config=small.yaml"])


def test_the_log_of_a_command_that_failed_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one(tmp_path, "pass")
    _say_failed(tmp_path / "out", [("seed=0", "the command ended with exit status 1")])
    assert "runs/ID/output.log has more" in capsys.readouterr().err


def took(folder: Path, seconds: Callable[[float], float]) -> None:
    """The three cheapest runs have ended, each after seconds(FLOPs)."""
    runs = sorted(Store(folder).read_study().runs, key=lambda planned: planned.flops)
    for planned in runs[:3]:
        own = {"loss": 3.0, "seconds": seconds(planned.flops), "tokens_per_second": 1e6 / seconds(planned.flops)}
        write_result(Store(folder).result(planned.run), RunRecord(status="finished", measured=own))


def test_what_is_left_is_known_with_its_interval_before_the_expensive_rungs_begin(tmp_path: Path) -> None:
    folder = ladder(tmp_path, seed=[0])
    assert study_status(folder).seconds_left is None
    took(folder, lambda flops: 60 + flops / 1e10)
    left = [60 + 6 * 48 * width**2 * 1e6 / 1e10 for width in (48, 64, 96)]
    status = study_status(folder)
    in_parallel = left[1] + left[2] if status.workers > 1 else sum(left)  # the held-out run begins after the others
    assert status.seconds_left == pytest.approx(in_parallel, rel=1e-6)
    assert status.seconds_range == pytest.approx((in_parallel, in_parallel), rel=1e-3)
    assert f"left ({seconds(in_parallel)} to {seconds(in_parallel)})" in status_line(status)


def test_of_a_run_that_hangs_no_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ladder(tmp_path, seed=[0])
    took(folder, lambda flops: 60 + flops / 1e10)
    waiting = max(Store(folder).read_study().runs, key=lambda planned: planned.flops)
    with claimed(Store(folder).claim(waiting.run)):
        assert study_status(folder).seconds_left is not None
        now = time.time() + 86_400
        monkeypatch.setattr("lawful.report.progress.time.time", lambda: now)
        status = study_status(folder)
    assert status.seconds_left is None and status.seconds_range is None


def test_the_counts_of_runs_that_are_done_may_be_corrected_until_a_forecast_was_made_for_them(tmp_path: Path) -> None:
    folder = ladder(tmp_path, seed=[0])
    took(folder, lambda flops: 60.0)

    def corrected(tokens: str) -> None:
        def other(width: int, seed: int) -> Command:
            own = {"params": "12*4*{width}^2", "tokens": tokens, "unit": "nats per token"}
            return command("{width} {seed}", reads=VAL_LOSS, **own)

        widths = [16, 24, 32, 48, 64, 96]
        plan(tmp_path, grid(other, width=widths, seed=[0]), held_out={"width": 96}).write(folder)

    corrected("2e6")
    rows = write_observations(folder)
    assert [row["flops_6nd"] for row in rows] == [row["flops"] for row in rows]
    assert [row["flops"] for row in rows] == [6 * 48 * width**2 * 2_000_000 for width in (16, 24, 32)]
    entry = {"run": rows[0]["run"], "rung": rows[0]["rung"], "question": "size"}
    Store(folder).forecasts.write_text(json.dumps({"forecasts": [entry]}))
    with pytest.raises(
        StoreError, match="forecasts of commands whose params, tokens or flops are others now: width=16"
    ):
        corrected("3e6")
    corrected("2e6")


def test_commands_begin_with_the_cheapest(tmp_path: Path) -> None:
    folder = ladder(tmp_path, seed=[0], width=[48, 16, 96, 24, 32])
    study = Store(folder).read_study()
    widths = {planned.run: planned.at["width"] for planned in study.runs}
    assert [widths[run] for (run,) in groups(Store(folder), study).anchors] == [16, 24, 32, 48]


def test_no_command_begins_that_would_not_end_in_time(tmp_path: Path) -> None:
    folder = ladder(tmp_path, seed=[0])
    took(folder, lambda flops: flops / 1e9)
    said: list[str] = []
    next_one = 6 * 48 * 48**2 * 1e6 / 1e9
    with pytest.raises(Unfinished, match="2 of the runs did not begin: they would not end within --max-hours"):
        train_study(folder, Local(workers=1, until=time.monotonic() + 0.9 * next_one), say=said.append)
    assert said[0].startswith("the longest run to come, width=96,seed=0, will take 44 min 14 s (")
    assert len(observations(folder)) == 3
    assert not Store(folder).forecasts.exists()


class Paid(Executor):
    """Any executor: each run ends at once, and says that it took seconds(FLOPs)."""

    def submit(self, folder: Path, groups: Sequence[Sequence[str]]) -> Job:
        waves.append([run for group in groups for run in group])
        known = {planned.run: planned for planned in Store(folder).read_study().runs}
        for run in waves[-1]:
            work = known[run].flops
            own = {"loss": 1 + 1e4 * work**-0.4, "seconds": work / 1e9, "tokens_per_second": 1e9}
            write_result(Store(folder).result(run), RunRecord(status="finished", measured=own))
        return Over()


class Over(Job):
    def is_over(self) -> bool:
        return True

    def stop(self) -> None:
        pass


waves: list[list[str]] = []


def test_a_study_spends_no_more_gpu_hours_than_it_may_under_any_executor(tmp_path: Path) -> None:
    waves.clear()
    script(tmp_path, TRAIN)

    def on_gpus(width: int) -> Command:
        return command("{width}", params="12*4*{width}^2", tokens="1e6", reads=VAL_LOSS, gpus=4)

    planned = plan(tmp_path, grid(on_gpus, width=[16, 24, 32, 48, 64, 96]), held_out={"width": 96})
    replace(planned, study=replace(planned.study, price_per_gpu_hour=2.0)).write(tmp_path / "out")
    folder = tmp_path / "out"
    hours = [4 * 6 * 48 * width**2 * 1e6 / 1e9 / 3600 for width in (16, 24, 32, 48, 64, 96)]
    said: list[str] = []
    with pytest.raises(Unfinished, match=r"1 of the runs did not begin: .* more than the 1.75 GPU hours of --max-gpu"):
        train_study(folder, Paid(), max_gpu_hours=1.75, say=said.append)
    assert sum(hours[:4]) < 1.75 < sum(hours[:5])
    assert [len(wave) for wave in waves] == [3, 1], "three make the law; then what it has room for"
    status = study_status(folder)
    assert status.gpu_hours is not None and status.gpu_hours.left is not None
    assert status.gpu_hours.spent == pytest.approx(sum(hours[:4]))
    assert status.gpu_hours.left.high == pytest.approx(sum(hours[4:]), rel=1e-3)
    told = "1.33 GPU hours spent, about 4.26 (4.26 to 4.26) to come; 11.2 (11.2 to 11.2) in all, at 2 each"
    assert told in status_line(status)
    with pytest.raises(Unfinished):
        train_study(folder, Paid(), max_gpu_hours=4.0, say=said.append)
    assert said[-1] == "2.64 GPU hours spent, about 2.95 (2.95 to 2.95) to come; 11.2 (11.2 to 11.2) in all, at 2 each"
    assert Store(folder).forecasts.exists() and len(observations(folder)) == 5
    assert dict(key_facts(read_evidence(folder)))["Cost"] == said[-1], "as on the page"
    console = Console(width=200, file=io.StringIO())
    console.print(plan_table(planned.study))
    assert "GPUs: 4 a run at most" in console.file.getvalue()  # type: ignore[attr-defined]
    with pytest.raises(DeclarationError, match="expected runs that say how many GPUs they take"):
        (tmp_path / "cpu").mkdir()
        train_study(ladder(tmp_path / "cpu", seed=[0], width=[2, 4, 6]), Paid(), max_gpu_hours=1.0)
