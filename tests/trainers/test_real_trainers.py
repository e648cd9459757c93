"""Real trainers climb a ladder: transformers.Trainer and Lightning by the files of `lawful new`, and a plain script.

Each study is killed with SIGKILL while a run trains, and goes on. `make check-trainers` runs these, in an environment
of their own.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from lawful.fitting.registered import read_forecasts
from lawful.observe import observations
from lawful.storage.json_files import read_json, read_jsonl
from lawful.storage.layout import Store

HERE = Path(__file__).parent
NEEDS = {"huggingface": "transformers", "lightning": "lightning", "plain": "torch"}
CHECKPOINTS = {"huggingface": "checkpoint-*/trainer_state.json", "lightning": "last.ckpt", "plain": "checkpoint.pt"}
Record = list[tuple[int, float]]  # step and loss, as the trainer itself wrote them


def lawful(*words: str, at: Path) -> subprocess.Popen[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # `python` is this one
    return subprocess.Popen(
        [sys.executable, "-m", "lawful", *words],
        cwd=at,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def done(*words: str, at: Path) -> str:
    process = lawful(*words, at=at)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    return said


def write_study(trainer: str, folder: Path) -> None:
    """The files that a user is given."""
    if trainer != "plain":
        done("new", "plain.py", "--trainer", trainer, at=folder)
    else:
        for name in ("plain.py", "plain_trainer.py"):
            shutil.copy(HERE / name, folder)


def kill_while_a_run_trains(study: subprocess.Popen[str], store: Store, checkpoint: str) -> str:
    """SIGKILL to lawful once a run has a checkpoint of its trainer's and is not over; that run."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        assert study.poll() is None, study.communicate()
        for found in store.folder.glob(f"runs/*/{store.work('x').name}/{checkpoint}"):
            run = found.relative_to(store.folder).parts[1]
            if not store.result(run).exists():
                study.send_signal(signal.SIGKILL)
                study.communicate()
                return run
        time.sleep(0.01)
    raise AssertionError("no run came to a checkpoint")


def record_of(trainer: str, folder: Path) -> Record:
    if trainer == "huggingface":
        history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
        return [(entry["step"], entry["eval_loss"]) for entry in history if "eval_loss" in entry]
    if trainer == "lightning":
        with (folder / "metrics.csv").open(newline="") as file:
            return [(int(row["step"]) + 1, float(row["val_loss"])) for row in csv.DictReader(file) if row["val_loss"]]
    return [(line["step"], line["val"]["loss"]) for line in read_jsonl(folder / "metrics.jsonl")]


def begun(log: str) -> Sequence[str]:
    """The command line of each attempt of a run, from its log."""
    return re.findall(r"^\d{4}-\d\d-\d\dT\S+ in \S+: (.*)$", log, re.MULTILINE)


@pytest.mark.trainers
@pytest.mark.parametrize("trainer", list(NEEDS))
def test_a_ladder_that_is_killed_goes_on_to_its_page_with_the_trainers_own_losses(trainer: str, tmp_path: Path) -> None:
    pytest.importorskip(NEEDS[trainer])
    write_study(trainer, tmp_path)
    store = Store(tmp_path / "out")
    study = lawful("run", "plain.py", "--out", "out", "--workers", "1", at=tmp_path)
    killed = kill_while_a_run_trains(study, store, CHECKPOINTS[trainer])
    before = {
        run.name: read_json(run / "result.json")
        for run in store.folder.glob("runs/*")
        if store.result(run.name).exists()
    }
    assert not any(entry["status"] == "failed" for entry in before.values()), before

    done("resume", "out", "--workers", "1", at=tmp_path)

    page = (store.folder / "report.html").read_text(encoding="utf-8")
    rows = {str(row["run"]): row for row in observations(store.folder)}
    planned = store.read_study().runs
    assert len(rows) == len(planned) == 6 and {row["status"] for row in rows.values()} == {"finished"}
    steps = planned[0].steps
    for run, row in rows.items():
        own = record_of(trainer, store.work(run))
        assert own[-1][0] == steps
        assert row["loss"] == pytest.approx(own[-1][1], rel=1e-12)
        assert f"{own[-1][1]:.4f}" in page
        curve = [line["step"] for line in read_jsonl(store.metrics(run)) if "validation_loss" in line]
        assert curve == sorted(set(curve)), "a step stands in the record once"
        attempts = begun(store.output(run).read_text(encoding="utf-8"))
        assert [line.endswith(" --resume") for line in attempts] == ([False, True] if run == killed else [False])
    for run, result in before.items():
        assert read_json(store.result(run)) == result, "what was done is not done again"
    (forecast,) = read_forecasts(store).forecasts
    held_out = next(one for one in planned if one.held_out)
    assert forecast.run == held_out.run and held_out.rung.replace(",", ", ") in page
