"""What is decided by a measurement on this machine: not by what others compute on it, and not for another machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lawful.planning import probes
from lawful.planning.probes import Probes
from lawful.run import Run
from lawful.studies import shakespeare
from lawful.study import import_file
from lawful.train import batched, device
from lawful.train.state import ExecutionConfig, TrainState, fresh_state

CPU = torch.device("cpu")
TOY = Path(__file__).parents[1] / "toy_study.py"


def test_a_precision_is_chosen_by_the_processors_time_whatever_else_is_computed_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step in fp32 computes less, but by the clock it takes longer: another program has the core in the meantime."""

    def step(run: Run, model: object, optimizer: object, where: torch.device, *, rows: int) -> None:
        if run.precision == "fp32":
            time.sleep(0.02)
        until = time.process_time() + (0.001 if run.precision == "fp32" else 0.005)
        while time.process_time() < until:
            pass

    monkeypatch.setenv("LAWFUL_CACHE", str(tmp_path))
    monkeypatch.setattr(device, "bf16_gain", lambda: 2.4)
    monkeypatch.setattr(probes, "probe_step", step)
    precision, found = Probes(where=CPU).precision(shakespeare.study("quick").ladder)
    assert precision == "fp32" and found is not None
    assert found.worker_seconds["bf16"] / found.worker_seconds["fp32"] == pytest.approx(5, rel=0.6)


@pytest.mark.parametrize(
    "another",
    [
        lambda patch: patch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2"),
        lambda patch: patch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2"),
        lambda patch: patch.setattr(probes, "_processor_lines", lambda: [b"model name : another"]),
    ],
    ids=["hidden instructions", "fewer instructions", "another processor under the same name"],
)
def test_what_was_measured_on_one_processor_is_measured_again_on_another(
    another: Callable[[pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers and the nodes of a cluster may share the cache and a name."""
    monkeypatch.setenv("LAWFUL_CACHE", str(tmp_path))
    measured: list[int] = []

    def probe(run: Run, where: torch.device, most: int) -> tuple[int, float]:
        measured.append(torch.get_num_threads())
        return 4, 1.5

    monkeypatch.setattr(batched, "best_size", probe)
    run = replace(import_file(TOY).study().ladder[0].run, precision="fp32")
    former = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = [Probes(where=CPU).best_stack(run, most=8) for _ in range(2)]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(former)
    assert measured == [1], "once, on one thread as a worker computes"
    another(monkeypatch)
    assert Probes(where=CPU).best_stack(run, most=8) == found[0] == found[1]
    assert len(measured) == 2


def test_numerics_name_the_vector_instructions_and_a_checkpoint_without_them_goes_on_without_a_break(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sums are added in another order by AVX2 than by AVX512; checkpoints of earlier versions do not say by which."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    state = fresh_state(import_file(TOY).study().ladder[0].run, ExecutionConfig(device=CPU))

    def breaks(numerics: str) -> int:
        state.progress.numerics, state.progress.numerics_breaks = numerics, 0
        state.note_numerics()
        return state.progress.numerics_breaks

    here = numerics_of(state)
    assert ":AVX512 " in here
    assert breaks(here) == 0
    assert breaks(here.replace(":AVX512 ", " ")) == 0
    assert breaks(here.replace(":AVX512 ", ":AVX2 ")) == 1
    assert breaks(here.replace(":AVX512 ", " ").replace("threads=", "threads=1")) == 1


def numerics_of(state: TrainState) -> str:
    state.progress.numerics = ""
    state.note_numerics()
    return state.progress.numerics
