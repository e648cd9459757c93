"""What the plan says about cost."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lawful.errors import DeviceError
from lawful.planning import placement, probes
from lawful.planning.plan import batches_in_pieces, make_plan, steps_after_trunks
from lawful.planning.probes import Probes
from lawful.run import Run
from lawful.schema import PlannedRun, StudyPlan
from lawful.studies import quickstart, shakespeare
from lawful.study import import_file
from lawful.train import batched, device

CPU = torch.device("cpu")
TOY = Path(__file__).parents[1] / "toy_study.py"


@pytest.mark.parametrize(("budgets", "saved"), [(5, 31 / 19), (9, 2.25)])
def test_budgets_that_share_a_trunk_cost_what_arithmetic_says(budgets: int, saved: float) -> None:
    """Over a range of 16 with a decay of .2: (1 - f) longest + f (sum of all), against the sum of all."""
    steps = [round(1000 * 16 ** (i / (budgets - 1))) for i in range(budgets)]
    ladder = import_file(TOY).study(widths=(8, 16), steps=tuple(steps)).ladder
    assert 2 * sum(steps) / sum(steps_after_trunks(ladder)) == pytest.approx(saved, rel=0.01)


@pytest.mark.parametrize(("gain", "expected"), [(0.8, "fp32"), (1.05, "fp32"), (1.5, "bf16")])
def test_one_precision_for_the_whole_ladder_is_what_a_probe_finds_faster(
    gain: float, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAWFUL_CACHE", str(tmp_path))
    monkeypatch.setattr(device, "bf16_gain", lambda: 1.6)
    monkeypatch.setattr(Probes, "step_seconds", lambda _, run, *__: 1.0 if run.precision == "fp32" else 1 / gain)
    ladder = shakespeare.study("quick").ladder
    precision, found = Probes(where=CPU).precision(ladder)
    assert precision == expected
    assert found is not None
    assert found.worker_seconds["fp32"] / found.worker_seconds["bf16"] == pytest.approx(gain)

    def unwanted(self: Probes, run: Run, *_: object) -> float:
        raise AssertionError("the same ladder on the same machine was probed again")

    monkeypatch.setattr(Probes, "step_seconds", unwanted)
    assert Probes(where=CPU).precision(ladder) == (precision, found)


def test_a_ladder_of_tiny_models_or_a_cpu_that_emulates_bf16_is_fp32_without_a_probe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Probes, "step_seconds", lambda *_: pytest.fail("a step was timed"))
    monkeypatch.setattr(device, "bf16_gain", lambda: 1.6)
    assert Probes(where=CPU).precision(quickstart.study("smoke").ladder) == ("fp32", None)
    monkeypatch.setattr(device, "bf16_gain", lambda: 0.01)
    assert Probes(where=CPU).precision(shakespeare.study("quick").ladder) == ("fp32", None)


def test_products_in_bf16_are_timed_beside_those_in_fp32_within_a_second() -> None:
    start = time.perf_counter()
    assert 1e-4 < device.bf16_gain() < 100
    assert time.perf_counter() - start < 5, "where bf16 is emulated .2 s, and others compute here"


def test_the_profiler_says_nothing_where_nothing_is_wrong(capfd: pytest.CaptureFixture[str]) -> None:
    """torch 2.10 to 2.12 warned at every use, 2.13 prints when a stretch begins and ends; here of the CPU's work."""
    for _ in range(2):
        with device.profiled(torch.profiler.ProfilerActivity.CPU) as recorded:
            _ = torch.ones(300, 300) @ torch.ones(300, 300)
        assert any(event.key == "aten::mm" and event.count == 1 for event in recorded.key_averages())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("kernel_seconds", "busy"), [((0.1, 0.2), 0.3 / 4 / 0.5), ((), 1.0), ((99.0,), 1.0)])
def test_the_share_of_a_gpus_time_is_that_of_its_kernels_and_all_where_none_could_be_recorded(
    kernel_seconds: tuple[float, ...], busy: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four steps of .5 s each; the profiler is made up, there being no GPU."""
    events = [SimpleNamespace(self_device_time_total=1e6 * seconds) for seconds in kernel_seconds]
    recorded = contextlib.nullcontext(SimpleNamespace(key_averages=lambda: events))
    monkeypatch.setattr(device, "profiled", lambda _: recorded)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: None)
    monkeypatch.setattr(device, "peak_memory_bytes", lambda _: 7)
    assert device.use_of_gpu(CPU, lambda: 0.5, 4) == (pytest.approx(busy), 7)


def test_runs_are_stacked_on_a_cpu_where_each_worker_has_several_and_a_probe_finds_it_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve seeds of each of three sizes on two workers: six each. The largest gains nothing."""
    monkeypatch.setenv("LAWFUL_CACHE", str(tmp_path))
    monkeypatch.setattr(Probes, "step_seconds", lambda *_, **__: 1e-3)
    probed: list[tuple[int, int]] = []

    def seconds(run: Run, where: torch.device, size: int) -> float:
        probed.append((run.family.width, size))
        return size / (1 if size < 4 or run.family.width == 24 else 1.6)

    monkeypatch.setattr(batched, "probe", seconds)
    declared = import_file(TOY).study(widths=(8, 16, 24), steps=(20,), seeds=12)

    def rows(workers: int) -> list[PlannedRun]:
        made = make_plan(declared, device_name="cpu", study_file=TOY, workers=workers).study
        return [row for row in made.runs if not row.held_out]

    stacks = Counter(row.stack for row in rows(workers=2) if row.at["width"] != 24)
    assert sorted(stacks.values()) == [6] * 4 and probed[:3] == [(8, 1), (8, 2), (8, 4)]
    assert (8, 8) not in probed, "more than each of two workers has"
    measured = len(probed)
    one, again = rows(workers=2), rows(workers=4)
    assert len(probed) == measured, "the cache answers for two workers; four have three runs of a shape each"
    assert all(row.stack == "" for row in again)
    assert one[0].seconds_estimate == pytest.approx(again[0].seconds_estimate / 1.6)


def test_what_a_gpu_has_room_for_is_measured_on_the_costliest_shapes_stacked_as_planned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The measurement itself needs a GPU; what it is taken of runs here. The busiest computes in .4 of its time."""
    declared = import_file(TOY).study(widths=(8, 16, 24, 32), steps=(20,), seeds=3)
    planned = make_plan(declared, device_name="cpu", is_timed=False).study.runs
    rows = [replace(row, stack="0-0" if row.at["width"] == 24 else "") for row in planned]
    stacked, measured = [], []
    probe = batched.probe
    monkeypatch.setattr(batched, "probe", lambda run, where, size: stacked.append(size) or probe(run, where, size))

    def use(where: torch.device, act: Callable[[], float], steps: int) -> tuple[float, int]:
        measured.append(act())
        return (0.1, 0.4, 0.2)[len(measured) - 1], 2**30

    monkeypatch.setattr(device, "use_of_gpu", use)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda where: (2**36, 2**37))
    rungs = [replace(rung, run=replace(rung.run, precision="fp32")) for rung in declared.ladder]
    assert placement.on_one_gpu(rungs, rows, 16, Probes(where=CPU)) == 2
    assert stacked == [3] and len(measured) == 3 and min(measured) > 0


@pytest.mark.parametrize(
    ("busy", "peak", "free", "cores", "processes"),
    [
        (0.3, 2.0, 76.0, 16, 3),  # three of them keep it busy
        (0.05, 2.0, 76.0, 16, 16),  # a core each
        (0.05, 20.0, 76.0, 16, 3),  # .9 x 76 / 20.6
        (0.6, 2.0, 76.0, 16, 1),  # a second one would wait more than it computes
        (0.05, 90.0, 76.0, 16, 1),  # one, in pieces
    ],
)
def test_processes_share_a_gpu_as_its_memory_its_idle_time_and_the_cores_allow(
    busy: float, peak: float, free: float, cores: int, processes: int
) -> None:
    gib = 2**30
    assert placement.share_of_gpu(busy, int(peak * gib), int(free * gib), cores) == processes


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 2147483648 bytes."),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("MPS backend out of memory (MPS allocated: 17.00 GB)."),
]


def with_room_for(windows: int, error: Exception, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of every probe; the windows that each update was tried with."""
    tried: list[int] = []
    probe_step = probes.probe_step

    def limited(run: Run, model: Any, optimizer: Any, where: torch.device, rows: int) -> None:
        tried.append(rows)
        if rows > windows:
            raise error
        probe_step(run, model, optimizer, where, rows=rows)

    monkeypatch.setattr(probes, "probe_step", limited)
    return tried


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_a_batch_that_does_not_fit_is_timed_in_pieces_and_the_plan_says_so(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The toy's batch is 8 windows; the threads of its held-out runs are probed as well."""
    declared = import_file(TOY).study(widths=(8, 12, 16), steps=(20, 40))

    def planned() -> StudyPlan:
        return make_plan(declared, device_name="cpu", study_file=TOY, cores=4, stacked=1).study

    tried = with_room_for(3, error, monkeypatch)
    made = planned()
    assert tried[:2] == [8, 4] and tried.count(8) == tried.count(4) == 3, "each of three shapes is cut once"
    assert all(row.seconds_estimate > 0 for row in made.runs)
    said = [warning.sentence for warning in made.warnings if warning.code == "batch-in-pieces"]
    assert said == [
        f"the batch of 8 windows of width={width},steps=20,seed=0, width={width},steps=40,seed=0 does not fit in the "
        "memory of cpu; it is computed in pieces of at most 2."
        for width in (8, 12, 16)
    ]
    monkeypatch.undo()
    assert "batch-in-pieces" not in {warning.code for warning in planned().warnings}


def test_time_is_scaled_to_the_whole_batch_and_each_precision_has_pieces_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = replace(import_file(TOY).study().ladder[0].run, precision="fp32")
    timed = Probes(where=CPU)
    monkeypatch.setattr(Probes, "_timed", lambda _, run, windows, *__: None if windows > 2 else 0.25 * windows)
    assert timed.step_seconds(run) == pytest.approx(0.25 * 8)
    tried: list[int] = []
    monkeypatch.setattr(Probes, "_timed", lambda _, run, windows, *__: tried.append(windows) or 1.0)
    assert timed.step_seconds(run) == pytest.approx(4.0)
    assert timed.step_seconds(replace(run, precision="bf16")) == pytest.approx(1.0)
    assert tried == [2, 8]


def test_a_shape_of_which_not_one_window_fits_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = with_room_for(0, OUT_OF_MEMORY[0], monkeypatch)
    with pytest.raises(DeviceError, match=r"Decoder\(.*width=8.*one window of 16 does not fit in the memory of cpu"):
        make_plan(import_file(TOY).study(widths=(8, 12)), device_name="cpu", study_file=TOY)
    assert tried == [8, 4, 2, 1]


def test_an_error_of_a_probe_that_is_no_lack_of_memory_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = with_room_for(3, RuntimeError("mat1 and mat2 shapes cannot be multiplied"), monkeypatch)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        make_plan(import_file(TOY).study(widths=(8, 12)), device_name="cpu", study_file=TOY)
    assert tried == [8]


def test_a_stack_larger_than_a_gpu_is_trained_in_pieces_by_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = import_file(TOY).study(widths=(8, 12), steps=(20,), seeds=3)
    rows = make_plan(declared, device_name="cpu", stacked=3, is_timed=False).study.runs
    monkeypatch.setattr(device, "use_of_gpu", lambda where, act, steps: (act(), 2**30))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda where: (2**36, 2**37))

    def probe(run: Run, where: torch.device, size: int) -> float:
        raise OUT_OF_MEMORY[0]

    monkeypatch.setattr(batched, "probe", probe)
    rungs = [replace(rung, run=replace(rung.run, precision="fp32")) for rung in declared.ladder]
    timed = Probes(where=CPU)
    assert placement.on_one_gpu(rungs, rows, 16, timed) == 1
    (said,) = batches_in_pieces(rungs, timed)
    assert "in pieces of at most 4" in said.sentence
    alone = [replace(rung, run=replace(rung.run, batch_size=1)) for rung in rungs]
    with pytest.raises(DeviceError, match="--stack: 3 runs of Decoder"):
        placement.on_one_gpu(alone, rows, 16, Probes(where=CPU))
