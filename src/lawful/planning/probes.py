"""What a few timed steps on this machine tell: a precision, seconds of each run, a size of stack, the use of a GPU."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import torch

from lawful.errors import DeviceError, StoreError
from lawful.families import Family
from lawful.run import Precision, Run
from lawful.schema import CorpusRecord, PlannedRun, PrecisionProbe
from lawful.storage.atomic import write_json
from lawful.storage.cache import cache_folder
from lawful.storage.codec import decode, to_plain
from lawful.storage.json_files import read_json
from lawful.study import Rung
from lawful.train import batched, device
from lawful.train.optimizer import build_adamw
from lawful.train.step import PROBE_STEPS, is_out_of_memory, median_seconds, probe_step

PROBE_FLOPS = 2e10  # a probe step costs at most about this (a fifth of a second on a slow core); larger are scaled from
BF16_MIN_PARAMS = 100_000  # bf16 never paid below: a ladder whose cost lies mostly in smaller runs is not probed
BF16_MIN_PRODUCTS = 0.8  # of fp32's speed: where bf16 is emulated, steps in it are slow to time, and never faster
BF16_MIN_GAIN = 1.1  # less is within what a busy machine makes of a short probe
EVALUATION_COST = 0.4  # of a training step on as many tokens (LAB_NOTES, 2026-11-22)
PRECISION_PROBE_FLOPS = 4e9  # of one step: the whole probe takes a second or two
PROBED_SIZES = 3  # the costliest; they decide how long a ladder takes
CPU_MIN_STACK = 4  # runs of one shape for each worker: fewer together never paid on a CPU (LAB_NOTES, 2026-11-22)

Clock = Callable[[], float]
Progress = Callable[[str, float], None]  # what is done now, and the share of it that is done
Found = TypeVar("Found")


def silent(what: str, share: float) -> None:
    """A Progress that shows nothing."""


@dataclass(frozen=True)
class Shape:
    """Runs of one shape take the same time and memory for a step."""

    family: Family
    batch_size: int
    context: int
    precision: str

    @classmethod
    def of(cls, run: Run) -> Shape:
        return cls(run.family, run.batch_size, run.context, run.precision)


@dataclass(frozen=True, kw_only=True)
class StackProbe:
    """How many runs of a shape are fastest as one batched model, and how many times as fast each then is."""

    size: int
    gain: float


@dataclass(frozen=True, kw_only=True)
class Probes:
    """Times steps on one device, for one plan.

    in_pieces    of each shape whose batch did not fit in memory when it was timed: the windows that did
    """

    where: torch.device
    progress: Progress = silent
    in_pieces: dict[Shape, int] = field(default_factory=dict)

    def step_seconds(
        self, run: Run, at_most: float = PROBE_FLOPS, threads: int = 1, clock: Clock = time.perf_counter
    ) -> float:
        """Median seconds of one update; a batch too large for a quick probe is timed in part and scaled. One too large
        for the memory is halved until it fits, as the training loop does."""
        with _threads(threads):
            windows = max(1, int(run.batch_size * min(1.0, at_most / (flops_of(run) / run.steps))))
            windows = min(windows, self.in_pieces.get(Shape.of(run), windows))
            while (seconds := self._timed(run, windows, clock)) is None:
                if windows == 1:
                    raise DeviceError(
                        f"{run.family}: one window of {run.context} does not fit in the memory of {self.where} "
                        f"({run.family.param_counts().total:,} parameters, {run.precision}); expected a run that can "
                        "be trained at least one window at a time; use a smaller model, a shorter context or another "
                        "--device."
                    )
                windows = (windows + 1) // 2
                self.in_pieces[Shape.of(run)] = windows
            return seconds * run.batch_size / windows

    def _timed(self, run: Run, windows: int, clock: Clock) -> float | None:
        """Median seconds of one update on so many windows; None where memory does not hold them."""
        try:
            return _median_update(run, self.where, windows, clock)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        device.return_memory(self.where)
        return None

    def precision(self, rungs: Sequence[Rung]) -> tuple[Precision, PrecisionProbe | None]:
        """For all of the ladder that says "auto", since a change of precision inside it would be a confound; and what
        was measured to choose it, if anything.

        bf16 on CUDA. On a CPU what a probe of the costliest sizes finds faster by processor time; kept in the cache, so
        that one ladder is given one precision on this machine. Else fp32.
        """
        declared = {rung.training.precision for rung in rungs}
        if len(declared) == 1 and "auto" not in declared:
            return declared.pop(), None
        if self.where.type == "cuda":
            return "bf16", None
        cost: dict[Shape, float] = {}
        example: dict[Shape, Run] = {}
        for rung in rungs:
            shape = replace(Shape.of(rung.training), precision="")
            cost[shape] = cost.get(shape, 0.0) + flops_of(rung.training)
            example[shape] = rung.training
        large = [shape for shape in cost if shape.family.param_counts().total >= BF16_MIN_PARAMS]
        if (
            self.where.type != "cpu"
            or sum(cost[shape] for shape in large) < sum(cost.values()) / 2
            or device.bf16_gain() < BF16_MIN_PRODUCTS
        ):
            return "fp32", None
        probed = sorted(large, key=lambda shape: -cost[shape])[:PROBED_SIZES]

        def measure() -> PrecisionProbe:
            device.keep_freed_memory()
            seconds = {"fp32": 0.0, "bf16": 0.0}
            for number, shape in enumerate(probed):
                self.progress("timing fp32 and bf16", number / len(probed))
                run = example[shape]
                for precision in ("fp32", "bf16"):
                    step = self.step_seconds(
                        replace(run, precision=precision), PRECISION_PROBE_FLOPS, 1, time.process_time
                    )
                    seconds[precision] += step * cost[shape] / flops_of(run) * run.steps
            share = sum(cost[shape] for shape in probed) / sum(cost.values())
            return PrecisionProbe(worker_seconds=seconds, of_flops=share)

        of = f"{[(repr(example[shape].rule), shape) for shape in probed]}"
        found = _measured_once("precision", of, PrecisionProbe, measure)
        seconds = found.worker_seconds
        return ("bf16" if seconds["bf16"] * BF16_MIN_GAIN < seconds["fp32"] else "fp32"), found

    def run_seconds(
        self, rungs: Sequence[Rung], runs: Sequence[PlannedRun], corpora: Mapping[str, CorpusRecord]
    ) -> list[float]:
        """Each run's own time on one worker, with its evaluations where the corpus says how long its splits are: a few
        steps of each shape are timed here, on random tokens."""
        device.keep_freed_memory()
        per_step: dict[Shape, float] = {}
        best_rate = 0.0
        shapes = [Shape.of(rung.training) for rung in rungs]
        by_cost = sorted(range(len(rungs)), key=lambda i: runs[i].flops / runs[i].steps)
        for done, index in enumerate(by_cost):
            shape, planned = shapes[index], runs[index]
            if shape in per_step:
                continue
            flops_per_step = planned.flops / planned.steps
            if flops_per_step <= PROBE_FLOPS or not best_rate:
                self.progress("timing a few steps of each size", done / len(by_cost))
                per_step[shape] = self.step_seconds(rungs[index].training)
                best_rate = max(best_rate, flops_per_step / per_step[shape])
            else:
                per_step[shape] = flops_per_step / best_rate  # assumes the rate of the largest size that was timed
        seconds = []
        for rung, planned, shape in zip(rungs, runs, shapes, strict=True):
            evaluated = planned.own_steps // rung.training.eval_every * rung.training.eval_tokens
            if (corpus := corpora.get(planned.corpus)) is not None:
                evaluated += (corpus.validation_tokens or 0) + (corpus.test_tokens or 0)
            steps = planned.own_steps + EVALUATION_COST * evaluated / planned.batch_tokens
            seconds.append(per_step[shape] * steps)
        return seconds

    def best_stack(self, run: Run, most: int) -> StackProbe:
        """The fastest stack of at most `most` runs of this shape. A CPU's answer is kept in the cache."""
        if self.where.type != "cpu":
            size, gain = batched.best_size(run, self.where, most)
            return StackProbe(size=size, gain=gain)
        most = min(most, int(PROBE_FLOPS * run.steps / flops_of(run)))  # larger probes take too long, and gain least
        if most < CPU_MIN_STACK:
            return StackProbe(size=1, gain=1.0)

        def measure() -> StackProbe:
            with _threads(1):
                size, gain = batched.best_size(run, self.where, most)
            return StackProbe(size=size, gain=gain)

        return _measured_once("stack", f"{(Shape.of(run), most)}", StackProbe, measure)

    def use_of_gpu(self, run: Run, size: int) -> tuple[float, int] | None:
        """The share of its time in which `size` stacked runs of this shape keep the GPU busy, and the bytes that they
        take at most; None where they fit only in pieces."""
        try:
            return device.use_of_gpu(self.where, functools.partial(self._stacked_step, run, size), PROBE_STEPS)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        if run.batch_size == 1:
            raise DeviceError(
                f"--stack: {size} runs of {run.family} do not fit in the memory of {self.where} together; use less."
            )
        self.in_pieces[Shape.of(run)] = (run.batch_size + 1) // 2
        return None

    def _stacked_step(self, run: Run, size: int) -> float:
        return batched.probe(run, self.where, size) if size > 1 else self.step_seconds(run, math.inf)


def flops_of(run: Run) -> int:
    return int(run.rule.training_flops_per_token(run.family, run.context) * run.tokens)


def _median_update(run: Run, where: torch.device, windows: int, clock: Clock) -> float:
    model = run.family.build(torch.Generator().manual_seed(0)).to(where)
    optimizer = build_adamw(model, run, is_fused=where.type in ("cpu", "cuda"))
    return median_seconds(lambda: probe_step(run, model, optimizer, where, rows=windows), where, clock)


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """Compute on so many threads, as a worker does."""
    former = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(former)


def _machine() -> str:
    """What speeds were measured on. Nodes of a cluster and containers may share a cache and a name, not a processor;
    the variables hide instructions from torch's libraries."""
    hidden = [
        os.environ.get(name, "") for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")
    ]
    processor = hashlib.sha256(b"".join(_processor_lines())).hexdigest()[:16]
    names = [platform.node(), platform.machine(), processor, os.cpu_count(), torch.backends.cpu.get_cpu_capability()]
    return " ".join(str(each) for each in [*names, *hidden])


def _processor_lines() -> list[bytes]:
    """The model and the instructions of the first core, where the system lists them in /proc."""
    try:
        lines = Path("/proc/cpuinfo").read_bytes().partition(b"\n\n")[0].splitlines()
    except OSError:
        return []
    return [line for line in lines if line.startswith((b"model name", b"flags", b"Features"))]


def _measured_once(what: str, of: str, kind: type[Found], measure: Callable[[], Found]) -> Found:
    """Kept in the cache, as JSON, for this machine and torch; a damaged file is measured again."""
    key = f"{_machine()} torch {torch.__version__} {of}"
    kept = cache_folder() / "probes" / f"{what}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
    if kept.exists():
        try:
            return decode(read_json(kept), kind, kept)
        except StoreError:
            pass
    found = measure()
    write_json(kept, to_plain(found))
    return found
