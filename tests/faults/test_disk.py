"""A disk that is full, that rots, or that loses its power leaves whole files or none, and the study goes on."""

from __future__ import annotations

import builtins
import errno
import io
import itertools
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lawful.conduct import train_study
from lawful.executors.local import Local
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store
from lawful.train import checkpoint, worker
from small_disk import small_disk

from .processes import differences, ids, settled

Folder = Callable[..., Path]


def work(folder: Path, *options: str) -> list[str]:
    """Every run by the worker's own function, in this process; what it said of each."""
    asked = worker.parse([str(folder), "-", "--device", "cpu", "--checkpoint-seconds", "0", *options])
    return [worker.train_runs(Store(folder), [run_id], asked, threading.Event())[0] for run_id in ids(folder)]


class FullDisk:
    """From the write number `first` on, half of what is written arrives, then the disk is full."""

    def __init__(self, first: int) -> None:
        self.first, self.writes = first, 0

    def strike(self) -> bool:
        self.writes += 1
        return self.writes > self.first

    @contextmanager
    def installed(self) -> Iterator[None]:
        true_open, true_fdopen, true_mkdir, disk = io.open, os.fdopen, os.mkdir, self

        class Full(io.FileIO):
            def write(self, data: Any) -> int:
                if disk.strike():
                    super().write(memoryview(data).cast("B")[: memoryview(data).nbytes // 2])
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return super().write(data)

        def opened(file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
            if not set(mode) & set("wax"):
                return true_open(file, mode, *rest, **named)
            raw = Full(file, mode.replace("b", "").replace("t", ""))
            return io.BufferedWriter(raw) if "b" in mode else io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8")

        def mkdir(*rest: Any, **named: Any) -> None:
            if self.strike():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            true_mkdir(*rest, **named)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(io, "open", opened)
            patch.setattr(builtins, "open", opened)
            patch.setattr(os, "fdopen", lambda fd, mode: opened(fd, mode))
            patch.setattr(os, "mkdir", mkdir)
            yield
        assert os.fdopen is true_fdopen


@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.slow)], ids=["each ninth", "each"])
def test_a_disk_full_at_the_kth_write(toy_folder: Folder, tally, every: int) -> None:
    fault = tally("the disk full at the k-th write, each k in turn; then room is made")
    calm = toy_folder("calm", widths=(8, 16), steps=(4,))
    assert work(calm) == ["finished", "finished"]
    expected = settled(calm)
    for k in itertools.count(0, every):
        folder = toy_folder(f"full{k}", widths=(8, 16), steps=(4,))
        disk = FullDisk(k)
        with disk.installed():
            said = work(folder)
        if disk.writes <= k:
            break
        assert said[-1] == "disk full", f"write {k}: {said}"
        for path in folder.rglob("*.json"):  # what is there is whole
            if "claims" not in path.parts:
                read_json(path)
        for saved in folder.glob("runs/*/checkpoints/*"):
            assert checkpoint.load(saved) is not None
        assert set(work(folder)) == {"finished"}
        fault.tried += 1
        lost, wrong = differences(expected, folder)
        fault.lost += lost
        fault.wrong += wrong
        shutil.rmtree(folder)
    assert fault.tried > 40 / every, "so few writes?"
    fault.must_be_harmless()


@pytest.mark.slow
def test_a_real_full_disk_ends_the_study_with_the_words_disk_full_and_a_resume_finishes_it(
    toy_folder: Folder, tmp_path: Path, tally
) -> None:
    fault = tally("a real file system that fills up; then room is made")
    calm = toy_folder("calm", widths=(8, 16, 24), steps=(20, 40))
    train_study(calm, Local(workers=2, device="cpu"))
    expected = settled(calm)
    with small_disk(tmp_path / "disk", "2m"):
        ballast = tmp_path / "disk" / "ballast"
        for free in (60_000, 120_000):
            folder = tmp_path / "disk" / "study"
            shutil.copytree(toy_folder(f"plan{free}", widths=(8, 16, 24), steps=(20, 40)), folder)
            ballast.write_bytes(bytes(shutil.disk_usage(folder).free - free))
            command = [sys.executable, "-m", "lawful", "resume", str(folder), "--workers", "2", "--device", "cpu"]
            full = subprocess.run(command, capture_output=True, text=True, check=False)
            assert full.returncode == 2 and "disk full" in full.stderr and "Traceback" not in full.stderr, full.stderr
            ballast.unlink()
            train_study(folder, Local(workers=2, device="cpu"))
            fault.tried += 1
            lost, wrong = differences(expected, folder)
            fault.lost += lost
            fault.wrong += wrong
            shutil.rmtree(folder)
    fault.must_be_harmless()


@pytest.mark.parametrize("times", [40, pytest.param(400, marks=pytest.mark.slow)])
def test_a_newest_checkpoint_that_is_cut_or_flipped_falls_back_to_the_one_before(
    tmp_path: Path, tally, times: int
) -> None:
    fault = tally("the newest checkpoint cut short, or a bit of it flipped")
    draw = random.Random(times)
    model = nn.Linear(8, 4)
    optimizer = torch.optim.AdamW(model.parameters())
    saved: dict[int, torch.Tensor] = {}
    for step in (1, 2):
        model(torch.ones(8)).sum().backward()
        optimizer.step()
        checkpoint.save(tmp_path / "whole", model, optimizer, {"step": step})
        saved[step] = model.weight.detach().clone()
    for number in range(times):
        folder = tmp_path / "hurt"
        shutil.copytree(tmp_path / "whole", folder)
        victim = draw.choice(sorted((folder / "000000002").iterdir()))
        content = bytearray(victim.read_bytes())
        where = draw.randrange(len(content))
        if number % 2:
            content[where] ^= 1 << draw.randrange(8)
        else:
            del content[where:]
        victim.write_bytes(content)
        found = checkpoint.newest(folder)
        fault.tried += 1
        if found is None:
            fault.lost += 1
        elif not torch.equal(found.model["weight"], saved[found.step]):
            fault.wrong += 1
        shutil.rmtree(folder)
    fault.must_be_harmless()


def test_whatever_moment_the_power_fails_a_file_in_place_has_its_content(
    toy_folder: Folder, tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is synced before it is renamed, and the folder of its new name after, before anything else is renamed:
    what a journalling file system needs to have either all of it or none of it after a power loss."""
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("knows which file a descriptor is of through /proc")
    fault = tally("power lost between any two file operations (their order is checked)")
    folder = toy_folder("toy", widths=(8, 16), steps=(6,))
    events: list[tuple[str, str, str]] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        events.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}"), ""))
        fsync(descriptor)

    def noted_replace(source: Any, target: Any) -> None:
        replace(source, target)
        inside = [str(Path(source) / path.name) for path in Path(target).iterdir()] if Path(target).is_dir() else []
        events.append(("rename", os.fspath(source), os.fspath(target)))
        unsynced = {str(source), *inside} - {path for what, path, _ in events if what == "sync"}
        assert not unsynced, f"renamed to {target} before it was synced: {unsynced}"

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    assert work(folder) == ["finished", "finished"]
    for number, (what, _, target) in enumerate(events):
        if what == "rename":
            fault.tried += 1
            fault.wrong += events[number + 1] != ("sync", str(Path(target).parent), "")
    places = {Path(target).name for what, _, target in events if what == "rename"}
    assert {"result.json", "model.safetensors", "metrics.jsonl", "000000001"} <= places
    fault.must_be_harmless()
