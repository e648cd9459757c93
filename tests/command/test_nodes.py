"""A command on several nodes of a job of Slurm's, with stand-ins for srun and scontrol: no real cluster runs here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from commands import command, one, plan_one, script, store
from lawful.command.attempt import Place, train
from lawful.command.record import CommandRun
from lawful.conduct import train_study
from lawful.errors import DeclarationError
from lawful.executors import Needs
from lawful.executors.local import Local
from lawful.executors.ray import _reserved as reserved_of_ray
from lawful.executors.slurm import Task
from lawful.schema import RunRecord

# what srun does: the program once for each node, all output in one place; a task that fails ends the others
SRUN = """#!/bin/sh
while [ "${1#--}" != "$1" ]; do echo "srun got $1"; shift; done
for node in 0 1; do SLURM_NODEID=$node "$@" || exit $?; done
"""
SCONTROL = """#!/bin/sh
[ "$*" = "show hostnames gpu[07-08]" ] && printf 'gpu07\\ngpu08\\n' || exit 1
"""
TRAIN = """
import os
own = {name: os.environ[name] for name in sorted(os.environ) if name.startswith(("PET_", "MASTER_"))}
print("here", os.environ["SLURM_NODEID"], own)
if os.environ["SLURM_NODEID"] == "0":
    print("val loss 3.25")
"""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As inside a job of two nodes."""
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        script(tmp_path, text, name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_NODELIST", "gpu[07-08]")
    return tmp_path


def trained(folder: Path, run: CommandRun) -> tuple[RunRecord, str]:
    place = Place(store=store(folder), lease=None, should_stop=lambda: False)
    return train(run, {"seed": 0}, place), store(folder).output(run.id).read_text()


def test_srun_starts_the_command_on_each_node_and_torchrun_is_told_where_they_meet(job: Path) -> None:
    run = one(job, TRAIN, nodes=2, gpus=8)
    result, log = trained(job, run)
    assert (result.status, result.measured["loss"]) == ("finished", 3.25)
    asked = [line.removeprefix("srun got ") for line in log.splitlines() if line.startswith("srun got ")]
    assert {"--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--overlap", "--kill-on-bad-exit=1"} <= set(asked)
    told = [line for line in log.splitlines() if line.startswith("here")]
    assert [line[:6] for line in told] == ["here 0", "here 1"]
    port = told[0].partition("'MASTER_PORT': '")[2].partition("'")[0]
    assert 20_000 <= int(port) < 30_000
    for text in ("'MASTER_ADDR': 'gpu07'", "'PET_NNODES': '2'", f"'PET_RDZV_ENDPOINT': 'gpu07:{port}'", run.id):
        assert all(text in line for line in told)
    (planned,) = store(job).read_study().runs
    assert planned.gpus == 16


def test_a_node_that_fails_fails_the_run(job: Path) -> None:
    run = one(job, "import os, sys\nprint('val loss 3')\nsys.exit(int(os.environ['SLURM_NODEID']))", nodes=2)
    result, _ = trained(job, run)
    assert result.status == "failed" and result.reason.startswith("the command ended with exit status 1")


@pytest.mark.parametrize(
    ("listed", "says"),
    [
        (None, "the command takes 2 nodes, which --executor slurm reserves"),
        ("gpu[07-08]", "expected a job of 3 nodes, got 2 (gpu[07-08])"),
        ("gpu[07-08", "expected scontrol to tell the nodes of gpu[07-08"),
    ],
)
def test_a_job_without_the_nodes_is_said(
    job: Path, monkeypatch: pytest.MonkeyPatch, listed: str | None, says: str
) -> None:
    if listed is None:
        monkeypatch.delenv("SLURM_JOB_NODELIST")
    else:
        monkeypatch.setenv("SLURM_JOB_NODELIST", listed)
    run = one(job, TRAIN, nodes=3 if listed == "gpu[07-08]" else 2)
    place = Place(store=store(job), lease=None, should_stop=lambda: False)
    assert says in train(run, {"seed": 0}, place).reason


def test_only_slurm_takes_a_command_on_several_nodes(tmp_path: Path) -> None:
    script(tmp_path, TRAIN)
    plan_one(tmp_path, command(nodes=2))
    with pytest.raises(DeclarationError, match="only --executor slurm starts a command on several nodes, got nodes=2"):
        train_study(tmp_path / "out", Local(workers=1))
    with pytest.raises(DeclarationError, match="only --executor slurm"):
        reserved_of_ray(Needs(cores=1, nodes=2))
    assert store(tmp_path).read_result(store(tmp_path).read_study().runs[0].run) is None


def test_of_a_job_on_several_nodes_the_first_does_the_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_PROCID", "1")
    Task("no folder", ["no program"], {}, [["no run"]])()
