"""A folder that came from somebody else, as the commands meet it: nothing outside it is touched, a stop is heard."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from in_process import lawful
from lawful.conduct import conclude
from lawful.storage.atomic import write_json
from lawful.storage.layout import Store


def terminal() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}  # with the cache and configuration of the tests


@pytest.fixture
def toy(toy_folder: Callable[..., Path]) -> Path:
    return toy_folder(widths=(8, 16), steps=(20,))


@pytest.mark.parametrize(
    ("linked", "command"),
    [("runs/ID/claims", "resume"), ("fits", "report"), ("figures", "report"), ("runs/ID/result.json", "status")],
)
def test_what_a_link_in_the_folder_leads_to_is_neither_read_nor_written_nor_removed(
    toy: Path, tmp_path: Path, linked: str, command: str
) -> None:
    run_id = Store(toy).read_study().runs[0].run
    place, outside = toy / linked.replace("ID", run_id), tmp_path / "outside"
    for name in ("5/kept", "size.json"):
        (outside / name).parent.mkdir(parents=True, exist_ok=True)
        (outside / name).write_text("kept")
    place.symlink_to(outside / "size.json" if linked.endswith(".json") else outside)
    for rung in Store(toy).read_study().runs if command == "report" else ():
        write_json(Store(toy).result(rung.run), {"status": "finished", "loss": 2.0})
    refused = lawful(command, toy, expect=2)
    assert f"{place}: expected a file or folder, got a link to" in refused.stderr and "cp -rL" in refused.stderr
    kept = {path.relative_to(outside).as_posix(): path.read_text() for path in outside.rglob("*") if path.is_file()}
    assert kept == {"5/kept": "kept", "size.json": "kept"}


def test_a_folder_reached_through_a_link_is_like_any_other(toy: Path, tmp_path: Path) -> None:
    for rung in Store(toy).read_study().runs:
        write_json(Store(toy).result(rung.run), {"status": "finished", "loss": 2.0})
    (tmp_path / "elsewhere").mkdir()
    shutil.move(toy, tmp_path / "elsewhere" / "toy")
    toy.symlink_to(tmp_path / "elsewhere" / "toy")
    assert conclude(toy) == toy / "report.html"
    assert (tmp_path / "elsewhere" / "toy" / "fits" / "size.json").exists()


def test_sigterm_ends_a_resume_that_waits_for_somebody_elses_claim(toy: Path) -> None:
    here = Store(toy)
    for rung in here.read_study().runs:
        claim = here.claim(rung.run) / "1"
        claim.mkdir(parents=True)
        facts = {"machine": "another", "pid": 1, "started": "1", "lease_seconds": 1e308}
        write_json(claim / "holder.json", facts)
        (claim / "heartbeat").write_bytes(b"7")
    command = [sys.executable, "-m", "lawful", "resume", str(toy), "--workers", "1", "--device", "cpu"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=terminal()
    ) as running:
        deadline = time.monotonic() + 120
        while not here.workers_log.exists() and time.monotonic() < deadline:  # a worker starts
            time.sleep(0.1)
        time.sleep(5)  # and waits for the claim
        running.send_signal(signal.SIGTERM)
        began = time.monotonic()
        _, said = running.communicate(timeout=60)
    assert running.returncode == 130 and "lawful resume" in said
    assert time.monotonic() - began < 20  # 2 s and less where the machine has nothing else to do
