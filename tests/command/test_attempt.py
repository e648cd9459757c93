"""Runs of plain scripts, from the plan to the result: what they tell, how they end, and what is said of it."""

from __future__ import annotations

import errno
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from commands import command, one, plan_one, script, store
from lawful.command import JSONLines, LogPattern, TableFile, sources
from lawful.command.attempt import Place, Stopped, train
from lawful.command.log import Log
from lawful.command.record import CommandRun
from lawful.schema import RunRecord
from lawful.storage.codec import read_result, write_result
from lawful.storage.json_files import read_jsonl


def run_of(
    folder: Path,
    text: str,
    arguments: str = "",
    *,
    should_stop: Callable[[], bool] = lambda: False,
    **settings: Any,
) -> RunRecord:
    return again(folder, one(folder, text, arguments, **settings), should_stop=should_stop)


def again(
    folder: Path, run: CommandRun, *, should_stop: Callable[[], bool] = lambda: False, **settings: Any
) -> RunRecord:
    place = Place(store=store(folder), lease=None, should_stop=should_stop, **settings)
    return train(run, {"seed": 0}, place)


def test_the_last_loss_of_the_output_is_the_runs(tmp_path: Path) -> None:
    result = run_of(tmp_path, "print('val loss 5'); print('val loss 3.2')", unit="nats per token")
    assert result.status == "finished"
    assert result.measured["loss"] == 3.2
    assert result.measured["loss_unit"] == "nats_per_token"
    assert "flops_6nd" not in result.measured, "the plan knows it, and may be corrected"


def test_lines_of_json_in_the_runs_folder_are_read_with_their_curve(tmp_path: Path) -> None:
    text = """
    import json, sys
    with open(sys.argv[1] + "/m.jsonl", "w") as file:
        for step in (0, 5, 10):
            file.write(json.dumps({"step": step, "val": {"loss": 4 - step / 10}}) + "\\n")
            file.write("no json\\n")
        file.write(json.dumps({"step": 10, "lr": 0}))
    """
    reads = JSONLines("m.jsonl", loss="val/loss", step="step")
    result = run_of(tmp_path, text, "{folder}", reads=reads, steps=10)
    assert result.measured["loss"] == 3.0
    planned, *_ = store(tmp_path).read_study().runs
    lines = list(read_jsonl(store(tmp_path).metrics(planned.run)))
    for line in lines:
        line.pop("tokens_per_second", None)
    assert lines == [{"step": step, "tokens": 1000.0 * step, "validation_loss": 4 - step / 10} for step in (0, 5, 10)]


def test_counts_are_read_with_units(tmp_path: Path) -> None:
    text = r"""
    print("\x1b[1mtotal                   : 1,384,124,976\x1b[0m")
    print("tokens 1.5B | val loss 2.5")
    """
    reads = (LogPattern("total : {params}"), LogPattern("tokens {tokens} ... val loss {loss}"))
    result = run_of(tmp_path, text, params=None, tokens=None, reads=reads)
    assert result.measured["params_non_embedding"] == 1_384_124_976
    assert result.measured["tokens"] == 1_500_000_000
    assert result.measured["flops"] == 6 * 1_384_124_976 * 1_500_000_000


def test_a_table_is_read_by_the_readers_of_tables(tmp_path: Path) -> None:
    text = """
    import json, sys
    history = [{"step": 5, "eval_loss": 4.0}, {"step": 10, "eval_loss": 3.5}]
    json.dump({"log_history": history, "global_step": 10}, open(sys.argv[1] + "/trainer_state.json", "w"))
    """
    result = run_of(tmp_path, text, "{folder}", reads=TableFile("trainer_state.json", loss="eval_loss", step="step"))
    assert result.measured["loss"] == 3.5


def test_lawful_log_is_read_without_saying_so(tmp_path: Path) -> None:
    text = """
    from lawful import log
    assert log.coordinates() == {"seed": 0}
    log.metrics(step=1, loss=3.5, tokens=77)
    """
    script(tmp_path, text)
    planned = plan_one(tmp_path, command(reads=JSONLines("lawful.jsonl", loss="loss", tokens="tokens"), tokens=None))
    (run,) = planned.runs.values()
    assert isinstance(run, CommandRun)
    result = again(tmp_path, run)
    assert result.measured["loss"] == 3.5
    assert result.measured["tokens"] == 77
    assert result.measured["flops_6nd"] == 6 * 1000 * 77


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("print('almost there')", "no loss was found: looked for 'val loss {loss}' in its output (1 lines)"),
        (
            "print('val loss 3'); raise SystemExit(4)",
            "command ended with exit status 4; its last lines: val loss 3",
        ),
        ("import nothing_like_this", "ModuleNotFoundError: No module named 'nothing_like_this'"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL: not by lawful"),
        ("import os; os.kill(os.getpid(), 11)", "killed by SIGSEGV"),
        ("print('CUDA out of memory. Tried'); exit(1)", "out of memory, as its output says"),
        ("pass", "it wrote nothing"),
        ("print('val loss 0.000')", "expected a loss above 0, got 0"),
        ("print('val loss -3.2')", "expected a loss above 0, got -3.2"),
    ],
)
def test_how_a_run_failed_is_said(tmp_path: Path, text: str, says: str) -> None:
    result = run_of(tmp_path, text)
    assert result.status == "failed"
    assert says in result.reason
    assert "output.log" in result.reason
    assert result.measured.keys() == {"seconds"}, "what it cost, and no number of the run"


def test_a_number_that_is_missing_is_said_with_where_it_was_looked_for(tmp_path: Path) -> None:
    reads = (LogPattern("val loss {loss}"), JSONLines("m.jsonl", tokens="seen"))
    result = run_of(tmp_path, "print('val loss 3')", tokens=None, reads=reads)
    assert result.status == "failed"
    assert "no tokens was found: looked for seen in " in result.reason
    assert "m.jsonl (no such file)" in result.reason


@pytest.mark.parametrize("status", [0, 1])
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_loss_that_is_no_number_is_a_divergence(tmp_path: Path, status: int, value: str) -> None:
    text = f"print('step 5 val loss 3'); print('step 7 val loss {value}'); exit({status})"
    result = run_of(tmp_path, text, reads=LogPattern("step {step} val loss {loss}"))
    assert result.status == "diverged"
    assert result.reason == f"the loss is {value} first at step 7"
    assert result.measured.keys() == {"diverged_at_step", "seconds"} and result.number("diverged_at_step") == 7


def test_a_program_that_is_not_there_is_said(tmp_path: Path) -> None:
    run = one(tmp_path, "")
    object.__setattr__(run, "words", ("/nowhere/program",))
    result = again(tmp_path, run)
    assert result.status == "failed"
    assert "'/nowhere/program' cannot be started" in result.reason


def test_the_time_limit_is_said(tmp_path: Path) -> None:
    result = run_of(tmp_path, "import time; print('val loss 3'); time.sleep(60)", minutes=0.005)
    assert result.status == "failed"
    assert "stopped at its time limit of 0.005 minutes" in result.reason


COUNTED = """
import pathlib, sys
pathlib.Path(sys.argv[2], "checkpoint").touch()
tries = pathlib.Path(sys.argv[1])
tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
print(sys.argv[2:])
if len(tries.read_text()) < 3:
    print("val loss 9")
    sys.exit(1)
print("val loss 3")
"""


def test_a_run_that_failed_is_tried_again_with_the_arguments_to_go_on(tmp_path: Path) -> None:
    result = run_of(tmp_path, COUNTED, f"{tmp_path}/tries {{folder}}", retries=2, resume="--resume {folder}")
    assert result.measured["loss"] == 3
    planned, *_ = store(tmp_path).read_study().runs
    work = store(tmp_path).work(planned.run).absolute()
    output = store(tmp_path).output(planned.run).read_text()
    assert output.count(f"['{work}', '--resume', '{work}']") == 2
    assert output.count(f"['{work}']") == 1


def test_a_run_that_fails_more_often_stays_failed(tmp_path: Path) -> None:
    result = run_of(tmp_path, COUNTED, f"{tmp_path}/tries {{folder}}", retries=1)
    assert result.status == "failed"
    assert (tmp_path / "tries").read_text() == "xx"


FIRST_ONLY = """
import json, os, sys
path = sys.argv[1] + "/m.jsonl"
first = not os.path.exists(path)
with open(path, "a") as file:
    file.write(json.dumps({"step": 1, "loss": 9.0} if first else {"step": 2, "lr": 0.1}) + "\\n")
sys.exit(first)
"""


def test_a_number_of_an_earlier_attempt_is_not_read(tmp_path: Path) -> None:
    reads = JSONLines("m.jsonl", loss="loss")
    result = run_of(tmp_path, FIRST_ONLY, "{folder}", reads=reads, retries=1, resume="--resume")
    assert result.status == "failed"
    assert "no loss was found" in result.reason
    assert "no line of this attempt has it" in result.reason


CUT_BACK = """
import json, os, sys
path, is_table = os.path.join(sys.argv[1], "m.json" if sys.argv[2] == "table" else "m.jsonl"), sys.argv[2] == "table"
rows = [{"step": step, "loss": 9.0 - step} for step in (1, 2, 3, 4)]
is_first = not os.path.exists(path)
rows = rows if is_first else rows[:2] + ([{"step": 3, "loss": 5.5}] if sys.argv[3] == "more" else [])
with open(path + ".new", "w") as file:
    file.write(json.dumps(rows) if is_table else "".join(json.dumps(row) + "\\n" for row in rows))
os.replace(path + ".new", path)
sys.exit(is_first)
"""


@pytest.mark.parametrize(
    ("kind", "reads"),
    [("table", TableFile("m.json", loss="loss", step="step")), ("lines", JSONLines("m.jsonl", loss="loss"))],
)
def test_a_record_that_is_cut_back_on_resume_tells_only_what_this_attempt_adds(
    tmp_path: Path, kind: str, reads: TableFile | JSONLines
) -> None:
    """A trainer that goes on from a checkpoint drops what came after it: what is left is no number of this attempt."""
    (tmp_path / "less").mkdir()
    (tmp_path / "more").mkdir()
    again = {"reads": reads, "retries": 1, "resume": "{folder}"}
    nothing = run_of(tmp_path / "less", CUT_BACK, f"{{folder}} {kind} less", **again)
    assert nothing.status == "failed" and "no loss was found" in nothing.reason
    assert run_of(tmp_path / "more", CUT_BACK, f"{{folder}} {kind} more", **again).measured["loss"] == 5.5


@pytest.mark.parametrize("reads", [TableFile("pipe.csv", loss="loss"), JSONLines("pipe.jsonl", loss="loss")])
def test_a_pipe_in_place_of_a_file_does_not_hold_the_worker(tmp_path: Path, reads: TableFile | JSONLines) -> None:
    text = f"import os, sys; os.mkfifo(os.path.join(sys.argv[1], '{reads.file}'))"
    result = run_of(tmp_path, text, "{folder}", reads=reads)
    assert result.status == "failed" and "no loss was found" in result.reason


def test_a_file_that_is_older_than_the_attempt_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "old.jsonl").write_text('{"loss": 1.0}\n')
    result = run_of(tmp_path, "pass", reads=JSONLines(f"{tmp_path}/old.jsonl", loss="loss"))
    assert result.status == "failed"
    assert "the file is older than this attempt" in result.reason


def test_a_file_that_is_written_anew_is_read_from_its_beginning(tmp_path: Path) -> None:
    (tmp_path / "new.jsonl").write_text('{"loss": 1.0}\n')
    text = f"open('{tmp_path}/new.jsonl', 'w').write('{{\"loss\": 2.0}}\\n{{\"loss\": 3.0}}\\n')"
    result = run_of(tmp_path, text, reads=JSONLines(f"{tmp_path}/new.jsonl", loss="loss"))
    assert result.measured["loss"] == 3.0
    assert len(list(read_jsonl(store(tmp_path).metrics(only_id(tmp_path))))) == 2


def only_id(folder: Path) -> str:
    (planned,) = store(folder).read_study().runs
    return planned.run


def test_a_run_that_is_stopped_has_no_result_and_begins_anew(tmp_path: Path) -> None:
    text = """
    import os, pathlib, sys, time
    print(os.listdir(sys.argv[1]))
    pathlib.Path(sys.argv[1], "left").touch()
    print("val loss 3")
    if not pathlib.Path("go").exists():
        time.sleep(60)
    """
    run = one(tmp_path, text, "{folder}", grace_seconds=0.5)
    left = store(tmp_path).work(run.id) / "left"
    with pytest.raises(Stopped):
        again(tmp_path, run, should_stop=left.exists)
    (tmp_path / "go").touch()
    assert again(tmp_path, run).measured["loss"] == 3
    assert store(tmp_path).output(run.id).read_text().count("\n[]\n") == 2


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell the variables of a process")
def test_the_program_of_an_attempt_that_was_killed_does_not_live_beside_the_next(tmp_path: Path) -> None:
    """The first attempt's watcher dies by SIGKILL; a child of its program, in a session of its own, lives on."""
    text = """
    import pathlib, subprocess, sys, time
    if pathlib.Path("go").exists():
        print("val loss 3")
    else:
        child = subprocess.Popen(["sleep", "60"], start_new_session=True)
        pathlib.Path("child").write_text(str(child.pid))
        time.sleep(60)
    """
    run = one(tmp_path, text)
    watcher = os.fork()
    if watcher == 0:
        try:
            again(tmp_path, run)
        finally:
            os._exit(0)
    while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text():
        time.sleep(0.01)
    os.kill(watcher, signal.SIGKILL)
    os.waitpid(watcher, 0)
    child = int((tmp_path / "child").read_text())
    assert Path(f"/proc/{child}").exists()
    (tmp_path / "go").touch()
    assert again(tmp_path, run).measured["loss"] == 3
    state = Path(f"/proc/{child}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] in "ZX"


def test_gpus_cores_coordinates_and_variables_reach_the_program(tmp_path: Path) -> None:
    text = """
    import os
    names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "LAWFUL_COORDINATES", "OWN", "PYTHONSAFEPATH")
    print([os.environ.get(name) for name in names], "val loss 1")
    """
    run = one(tmp_path, text, gpus=2, cores=3, environment={"OWN": "{seed}-{{x}}"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONSAFEPATH", "lawful")
        assert again(tmp_path, run, gpus=("GPU-a", "GPU-b", "GPU-c")).status == "finished"
    output = store(tmp_path).output(run.id).read_text()
    assert """['GPU-a,GPU-b', '3', '{"seed": 0}', '0-{x}', None]""" in output


def test_curves_grow_while_the_run_trains(tmp_path: Path) -> None:
    text = """
    import pathlib, time
    print("val loss 4")
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    print("val loss 3")
    """
    run = one(tmp_path, text)
    done: list[RunRecord] = []
    thread = threading.Thread(target=lambda: done.append(again(tmp_path, run)))
    thread.start()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not list(read_jsonl(store(tmp_path).metrics(run.id))):
        time.sleep(0.02)
    assert list(read_jsonl(store(tmp_path).metrics(run.id))) == [{"step": 1, "validation_loss": 4.0}]
    (tmp_path / "go").touch()
    thread.join()
    assert done[0].measured["loss"] == 3
    assert math.isfinite(float(str(done[0].measured["seconds"])))


def test_a_log_is_bounded_and_keeps_its_end(tmp_path: Path) -> None:
    with Log(tmp_path / "output.log", most_bytes=1000) as log:
        for number in range(1000):
            log.write(b"line %d" % number)
    kept = (tmp_path / "output.log.1").read_bytes() + (tmp_path / "output.log").read_bytes()
    assert len(kept) < 2100
    assert kept.endswith(b"line 998\nline 999\n")


@pytest.mark.parametrize(
    ("line", "status", "says"),
    [
        ('{"step": NaN, "loss": 3.0, "tokens": 5, "flops": Infinity}', "finished", ""),
        ('{"loss": 3.0, "tokens": 0}', "failed", "counts of at least 1, got tokens 0.0"),
        ('{"loss": 3.0, "tokens": -Infinity}', "failed", "got tokens -inf"),
        ('{"loss": 1e308, "tokens": 5}', "diverged", "the loss is 1e+308"),
        ('{"loss": 1' + 400 * "0" + ', "tokens": 5}', "diverged", "the loss is 1e+300"),
        ('{"loss": true, "tokens": 5}', "failed", "no loss was found"),
        ('{"loss": "3.0", "tokens": 5}', "failed", "no loss was found"),
        ('{"loss": 3.0, "tokens": 5', "failed", "no loss was found"),
        ("[" * 100_000, "failed", "no loss was found"),
    ],
)
def test_odd_numbers_end_in_a_result_that_can_be_read(tmp_path: Path, line: str, status: str, says: str) -> None:
    (tmp_path / "line.json").write_text(line)
    text = "import shutil, sys; shutil.copyfile('line.json', sys.argv[1] + '/m')"
    reads = JSONLines("m", loss="loss", tokens="tokens", step="step")
    result = run_of(tmp_path, text, "{folder}", tokens=None, reads=reads)
    assert result.status == status
    assert says in result.reason
    path = store(tmp_path).result(only_id(tmp_path))
    write_result(path, result)
    assert read_result(path).status == status


def test_a_full_disk_is_no_fault_of_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = one(tmp_path, "print('val loss 3')")

    def full(log: Log, line: bytes) -> None:
        if line.startswith(b"val"):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Log, "write", full)
    with pytest.raises(OSError, match="No space left"):
        again(tmp_path, run)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell the variables of a process")
def test_children_in_groups_of_their_own_end_with_a_program_that_was_killed(tmp_path: Path) -> None:
    """torchrun starts its ranks so."""
    text = """
    import pathlib, signal, subprocess, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    pathlib.Path("child").write_text(str(child.pid))
    time.sleep(60)
    """
    run = one(tmp_path, text, grace_seconds=0.2)
    with pytest.raises(Stopped):
        again(tmp_path, run, should_stop=(tmp_path / "child").exists)
    time.sleep(0.1)
    state = Path(f"/proc/{(tmp_path / 'child').read_text()}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] in "ZX"


def test_a_run_whose_first_attempt_left_nothing_does_not_go_on_from_it(tmp_path: Path) -> None:
    text = (
        "import os, sys; print(sys.argv[2:]); sys.exit('a slip') if not os.path.exists('go') else print('val loss 3')"
    )
    run = one(tmp_path, text, "{folder}", resume="--resume")
    assert again(tmp_path, run).status == "failed"
    (tmp_path / "go").touch()
    assert again(tmp_path, run).measured["loss"] == 3
    assert "--resume" not in store(tmp_path).output(run.id).read_text()


def test_a_run_that_cannot_go_on_says_what_to_remove(tmp_path: Path) -> None:
    text = "import sys; open(sys.argv[1] + '/checkpoint', 'w'); sys.exit('a slip')"
    run = one(tmp_path, text, "{folder}", resume="--resume")
    assert "remove that folder" not in again(tmp_path, run).reason
    work = store(tmp_path).work(run.id).absolute()
    assert f"it went on from {work}: remove that folder to have the run begin anew" in again(tmp_path, run).reason


REWRITTEN = """
import json, os, sys, time
for loss in [3, 2, 1]:
    with open(sys.argv[1] + "/m.json", "w") as file:
        file.write(json.dumps({"step": 10 ** (3 - loss) if sys.argv[2:] else 1, "loss": loss}) + "\\n")
    time.sleep(0.7)  # it is looked at in between
"""


@pytest.mark.parametrize("arguments", ["{folder}", "{folder} grows"])
def test_a_file_that_is_written_anew_while_the_run_trains_tells_its_last_loss(tmp_path: Path, arguments: str) -> None:
    result = run_of(tmp_path, REWRITTEN, arguments, reads=JSONLines("m.json", loss="loss", step="step"))
    assert result.measured["loss"] == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.csv", "step,loss\n1,4.0\n2,nan\n3,\n"),
        ("m.csv", "step;loss\n1;4.0\n2;NaN\n"),
        ("m.jsonl", '{"step": 1, "loss": 4.0}\n{"step": 2, "loss": NaN}\n{"step": 3}\n'),
        ("trainer_state.json", '{"log_history": [{"step": 1, "eval_loss": 4.0}, {"step": 2, "eval_loss": NaN}]}'),
    ],
)
def test_a_table_whose_last_loss_is_nan_tells_a_divergence(tmp_path: Path, name: str, content: str) -> None:
    text = f"import sys; open(sys.argv[1] + '/{name}', 'w').write({content!r})"
    loss = "eval_loss" if name == "trainer_state.json" else "loss"
    assert run_of(tmp_path, text, "{folder}", reads=TableFile(name, loss=loss)).status == "diverged"


def test_a_row_of_an_earlier_attempt_is_not_read(tmp_path: Path) -> None:
    text = """
    import os, sys
    path = sys.argv[1] + "/m.csv"
    if not os.path.exists(path):
        open(path, "w").write("step,loss,rate\\n1,9.0,0.1\\n")
        sys.exit(1)
    open(path, "a").write("2,,0.1\\n")
    """
    reads = TableFile("m.csv", loss="loss")
    result = run_of(tmp_path, text, "{folder}", reads=reads, retries=1, resume="--resume")
    assert result.status == "failed"
    assert "1 rows of this attempt" in result.reason


def test_a_count_in_millions_is_none(tmp_path: Path) -> None:
    reads = (LogPattern("params (M): {params}"), LogPattern("val loss {loss}"))
    result = run_of(tmp_path, "print('params (M): 10.65'); print('val loss 3')", params=None, reads=reads)
    assert result.status == "failed"
    assert "whole counts of at least 1, got params 10.65" in result.reason


def test_a_program_that_writes_to_a_folder_that_a_variable_names_begins_anew_where_nothing_is_in_it(
    tmp_path: Path,
) -> None:
    text = "import sys; print('val loss 3') if sys.argv[1:] == [] and TRIED else sys.exit(1)"
    script(tmp_path, f"import os; TRIED = os.path.exists('tried'); open('tried', 'w')\n{text}")
    planned = plan_one(tmp_path, command(environment={"OUT": "{folder}"}, retries=1, resume="--resume"))
    (run,) = planned.runs.values()
    assert isinstance(run, CommandRun)
    assert again(tmp_path, run).status == "finished"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which processes are of a run")
def test_a_process_in_a_group_of_its_own_ends_with_a_program_that_ended_well(tmp_path: Path) -> None:
    text = """
    import subprocess, sys
    left = subprocess.Popen(["sleep", "60"], start_new_session=True)
    open("pid", "w").write(str(left.pid))
    print("val loss 3")
    """
    assert run_of(tmp_path, text).status == "finished"
    pid = int((tmp_path / "pid").read_text())
    state = Path(f"/proc/{pid}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_each_row_of_a_table_that_grows_is_told_once_and_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end, all rows were told again: a curve had points twice."""
    monkeypatch.setattr(sources, "TABLE_SECONDS", 0)
    table = sources.opened(TableFile("metrics.csv", step="step", loss="val_loss"), tmp_path, tmp_path)
    told = []
    for steps in (2, 3, 3, 5):
        lines = ["step,val_loss", *(f"{step},{4 - step / 10}" for step in range(steps))]
        (tmp_path / "metrics.csv").write_text("\n".join(lines))
        told += table.poll()
    told += table.poll(is_over=True)
    assert [values["step"] for values in told] == [0, 1, 2, 3, 4]
