"""`lawful doctor`: what a machine can do, and what of it is to be mended, by itself and by the command."""

from __future__ import annotations

import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lawful.cli import app
from lawful.train import machine

Usage = namedtuple("Usage", "total used free")


def test_a_quiet_machine_with_room_has_nothing_to_mend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2**40, 0, 2**40))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    found = machine.examine(tmp_path)
    assert found.problems == ()
    assert "no sbatch here" in found.facts["Slurm"] and "torch" in found.facts["versions"]


def test_a_full_disk_a_hidden_gpu_and_a_busy_machine_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, 0.0, 0.0))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2**40, 2**40, 0))
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(machine.torch.cuda, "device_count", lambda: 0)
    said = " ".join(machine.examine(tmp_path / "not" / "there" / "yet").problems)
    assert "torch sees" not in said and "sees no GPU" in said
    assert "0.0 GiB left" in said and "The load is 99.0" in said


def test_the_command_tells_what_a_study_costs_as_the_plan_does() -> None:
    toy = Path(__file__).parents[1] / "toy_study.py"
    done = CliRunner().invoke(app, ["doctor", str(toy), "--device", "cpu", "--json"])
    assert done.exit_code in (0, 1), done.output  # 1 where this machine has something to mend
    said = json.loads(done.stdout)
    assert bool(said["problems"]) == (done.exit_code == 1)
    (found,) = said["costs"].values()
    forward = {width: 2 * (12 * width**2 + 11 * width) for width in (8, 16, 24, 32)}  # products alone, per token
    least = sum(3 * flops * 80 * 8 * 16 for flops in forward.values())
    assert found["runs"] == 12 and least < found["flops"] < 3 * least and found["seconds"] > 0
