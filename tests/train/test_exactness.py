"""However a run is cut, killed or shared, its final weights are those of an uninterrupted run, bit for bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from in_process import Here
from lawful.conduct import train_study
from lawful.observe import observations
from lawful.run import Run, from_json
from lawful.storage.json_files import read_json, read_jsonl
from lawful.storage.layout import Store
from lawful.study import import_file
from lawful.train import loop, worker
from settled import lasting, settled

Folder = Callable[..., Path]


def load(folder: Path, number: int = 0) -> tuple[Run, Any, Store]:
    store = Store(folder)
    study = store.read_study()
    module = import_file(Path(study.study_file.path)).__name__
    run = from_json(read_json(store.run(study.runs[number].run)), also_from=module)
    return run, run.corpus.open(run.data_fingerprint), store


def here(**options: Any) -> loop.ExecutionConfig:
    return loop.ExecutionConfig(device=torch.device("cpu"), **options)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_resumed_run_equals_uninterrupted_run(toy_folder: Folder, dropout: float) -> None:
    run, data, store = load(toy_folder("whole", widths=(16, 24), steps=(60,), dropout=dropout))
    whole = loop.train(run, data, store, here()).columns()
    run, data, store = load(toy_folder("cut", widths=(16, 24), steps=(60,), dropout=dropout))
    countdown = iter(range(1_000_000))
    with pytest.raises(loop.Interrupted):
        loop.train(run, data, store, here(should_stop=lambda: next(countdown) >= 37))
    resumed = loop.train(run, data, store, here()).columns()
    assert resumed["weights_sha256"] == whole["weights_sha256"]
    assert lasting(resumed) == lasting(whole)
    steps = [line["step"] for line in read_jsonl(store.metrics(run.id)) if "loss" in line]
    assert steps == list(range(1, 61)), "the record holds each step once, in order"


def test_branch_of_a_trunk_equals_training_from_scratch(toy_folder: Folder) -> None:
    shared = toy_folder("shared", widths=(16, 24), steps=(20, 40, 80))
    run, data, store = load(shared, 2)
    longest = loop.train(run, data, store, here(branch_steps=frozenset({16, 32}))).columns()
    for number, steps in ((0, 20), (1, 40)):
        run, data, store = load(shared, number)
        branch = loop.train(run, data, store, here()).columns()
        scratch_folder = toy_folder(f"scratch{steps}", widths=(16, 24), steps=(steps,))
        run, data, scratch_store = load(scratch_folder)
        scratch = loop.train(run, data, scratch_store, here()).columns()
        assert branch["weights_sha256"] == scratch["weights_sha256"] != longest["weights_sha256"]
        assert branch["loss"] == scratch["loss"] and branch["loss_train"] == scratch["loss_train"]
        own = [line for line in read_jsonl(store.metrics(run.id)) if "validation_loss" in line]
        assert [line["step"] for line in own] == list(range(10, steps + 1, 10))
        planned = store.read_study().runs[number]
        # its decay of a fifth alone was paid for, as the plan said
        assert branch["flops_spent"] == planned.own_flops == scratch["flops_spent"] // 5
    assert longest["flops_spent"] == store.read_study().runs[2].flops


def test_damaged_newest_checkpoint_falls_back_to_the_one_before(toy_folder: Folder) -> None:
    run, data, store = load(toy_folder("whole", widths=(16, 24), steps=(40,)))
    whole = loop.train(run, data, store, here()).columns()
    run, data, store = load(toy_folder("hurt", widths=(16, 24), steps=(40,)))
    countdown = iter(range(1_000_000))
    with pytest.raises(loop.Interrupted):
        loop.train(run, data, store, here(checkpoint_seconds=0, should_stop=lambda: next(countdown) >= 25))
    kept = sorted(store.checkpoints(run.id).iterdir())
    assert [int(path.name) for path in kept] == [24, 25]
    weights = kept[-1] / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(content)
    again = loop.train(run, data, store, here()).columns()
    assert again["weights_sha256"] == whole["weights_sha256"]


def test_smaller_pieces_of_the_same_global_batch_give_the_same_loss_within_rounding(toy_folder: Folder) -> None:
    run, data, store = load(toy_folder("whole", widths=(16, 24), steps=(40,)))
    whole = loop.train(run, data, store, here()).columns()
    run, data, store = load(toy_folder("pieces", widths=(16, 24), steps=(40,)))
    pieces = loop.train(run, data, store, here(micro_batch=3)).columns()  # 8 windows as 3 + 3 + 2: weighted by targets
    assert pieces["loss"] == pytest.approx(whole["loss"], rel=1e-4)
    assert "micro_batch=3" in pieces["numerics"]


def test_resume_under_other_numerics_is_allowed_and_recorded_as_a_break(toy_folder: Folder) -> None:
    run, data, store = load(toy_folder("toy", widths=(16, 24), steps=(40,)))
    countdown = iter(range(1_000_000))
    with pytest.raises(loop.Interrupted):
        loop.train(run, data, store, here(should_stop=lambda: next(countdown) >= 20))
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        result = loop.train(run, data, store, here()).columns()
    finally:
        torch.set_num_threads(before)
    assert result["numerics_breaks"] == 1


def study_process(folder: Path) -> subprocess.Popen[bytes]:
    code = (
        "import signal, sys; from pathlib import Path; from lawful.conduct import train_study; "
        "from lawful.executors.local import Local; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "  # as the command does: background jobs ignore it
        "train_study(Path(sys.argv[1]), Local(workers=2, device='cpu', checkpoint_seconds=0.05))"
    )
    return subprocess.Popen([sys.executable, "-c", code, str(folder)], start_new_session=True)


def processes_of(folder: Path) -> list[int]:
    """The study's own process and its workers: those whose command line names the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if str(folder).encode() in words:
                found.append(int(entry.name))
    return found


def kill_now_and_then_until_done(folder: Path, kills: int, seed: int, longest_pause: float) -> int:
    """kill -9 the whole study or one worker at random moments while it trains; the number of kills that hit."""
    draw, hits = random.Random(seed), 0
    while hits < kills:
        process = study_process(folder)
        deadline = time.monotonic() + 60
        records = Store(folder).folder / "runs"
        size = sum(path.stat().st_size for path in records.glob("*/metrics.jsonl"))
        while process.poll() is None and time.monotonic() < deadline:  # wait until it trains, so that kills hit
            if sum(path.stat().st_size for path in records.glob("*/metrics.jsonl")) != size:
                break
            time.sleep(0.005)
        time.sleep(draw.uniform(0, longest_pause))
        if process.poll() is not None:
            break
        victims = processes_of(folder)
        if draw.random() < 0.5:
            victims = [process.pid]  # the parent alone: its workers must notice and leave
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        process.wait()
        hits += 1
        deadline = time.monotonic() + 60
        while processes_of(folder) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not processes_of(folder), "workers outlived their parent"
    train_study(folder, Here())
    return hits


def assert_same_as_undisturbed(
    toy_folder: Folder, kills: int, steps: tuple[int, ...], longest_pause: float = 0.8
) -> None:
    calm = toy_folder("calm", widths=(8, 16), steps=steps)
    train_study(calm, Here())
    stormy = toy_folder("stormy", widths=(8, 16), steps=steps)
    hits = kill_now_and_then_until_done(stormy, kills, seed=1, longest_pause=longest_pause)
    assert hits >= min(kills, 2), "the study was over before it could be killed: make it longer"
    expected, got = settled(calm), settled(stormy)
    assert got == expected
    assert len(got) == 2 * len(steps) and all(row["status"] == "finished" for row in got)
    for folder in (calm, stormy):  # what only a running study needs is gone
        assert not (folder / "trunks").exists() and not list(folder.glob("runs/*/checkpoints"))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the workers through /proc")
def test_a_killed_study_ends_in_the_same_weights_and_observations(toy_folder: Folder) -> None:
    assert_same_as_undisturbed(toy_folder, kills=2, steps=(150, 450), longest_pause=0.3)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the workers through /proc")
def test_twenty_random_kills_end_in_the_same_weights_and_observations(toy_folder: Folder) -> None:
    assert_same_as_undisturbed(toy_folder, kills=20, steps=(1500, 3000, 6000))


def test_ctrl_c_checkpoints_and_a_resume_finishes(toy_folder: Folder) -> None:
    folder = toy_folder("toy", widths=(8, 16), steps=(500,))  # a second of training, so that the signal hits it
    process = study_process(folder)
    records = folder / "runs"
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in records.glob("*/metrics.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the study and its workers alike
    process.wait(timeout=60)
    assert process.returncode != 0
    assert any(folder.glob("runs/*/checkpoints/*/MANIFEST.json")), "nothing was checkpointed"
    train_study(folder, Here())
    assert [row["status"] for row in observations(folder)] == ["finished", "finished"]


def test_an_edited_run_is_refused(toy_folder: Folder) -> None:
    folder = toy_folder("toy", widths=(8, 16), steps=(20,))
    store = Store(folder)
    run_id = store.read_study().runs[0].run
    spec = json.loads(store.run(run_id).read_text())
    spec["optimizer"]["learning_rate"] = 0.02
    store.run(run_id).write_text(json.dumps(spec))
    assert worker.main([str(folder), run_id, "--device", "cpu"]) == 1
    (row,) = observations(folder)
    assert row["status"] == "failed" and "it was edited" in row["reason"]
