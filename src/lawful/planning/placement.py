"""Where each run of a plan is trained: stacks of runs, processes on a GPU, CPU threads of the held-out runs."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from lawful.errors import DeclarationError
from lawful.planning.probes import PROBED_SIZES, Probes, Shape, StackProbe, flops_of
from lawful.run import Run
from lawful.schema import PlannedRun, Question
from lawful.study import Rung
from lawful.train import batched, device

THREADS_MIN_GAIN = 1.2  # of the idle cores, to be worth other last bits
GPU_PROCESS_BYTES = 600 * 2**20  # of a GPU's memory, that a process holds before its first tensor


@dataclass(frozen=True, kw_only=True)
class Room:
    """What the machine offers.

    workers     processes that will train; 0: as many as there are cores, or as the GPUs have room for
    cores       of this machine
    gpus        that the workers share
    stacked     how many runs of one shape are trained together at most; 0: as many as pay
    is_timed    whether steps may be timed here
    """

    workers: int
    cores: int
    gpus: int
    stacked: int
    is_timed: bool


def place(
    questions: Sequence[Question], rungs: Sequence[Rung], runs: Sequence[PlannedRun], *, room: Room, probes: Probes
) -> tuple[list[PlannedRun], int]:
    """The runs with their stacks and threads, and what these make of their seconds; and how many processes train."""
    where, workers, stacked = probes.where, room.workers, room.stacked
    if where.type == "cpu":
        workers = workers or room.cores
    of_seconds = [question.name for question in questions if (question.flops or "").startswith("seconds")]
    if of_seconds and stacked > 1:
        raise DeclarationError(
            f"--stack: the question {of_seconds[0]!r} compares seconds, and those of stacked runs are the stack's; "
            "leave --stack out."
        )
    if of_seconds or not room.is_timed:
        stacked = stacked or 1
    tags = stacks(rungs, runs, most=stacked, workers=workers or 1, probes=probes)
    runs = [_faster(replace(run, stack=tag), gain) for run, (tag, gain) in zip(runs, tags, strict=True)]
    if room.gpus and not workers and room.is_timed:
        on_each = 1 if of_seconds else on_one_gpu(rungs, runs, max(1, room.cores // room.gpus), probes)
        workers = room.gpus * on_each
    workers = workers or 1
    threads, gain = _threads(rungs, runs, workers if room.is_timed else 1, probes)
    runs = [
        _faster(replace(run, threads=count), gain if count > 1 else 1.0)
        for run, count in zip(runs, threads, strict=True)
    ]
    return runs, workers


def _faster(run: PlannedRun, gain: float) -> PlannedRun:
    return run if run.seconds_estimate is None else replace(run, seconds_estimate=run.seconds_estimate / gain)


def stacks(
    rungs: Sequence[Rung], runs: Sequence[PlannedRun], *, most: int, workers: int, probes: Probes
) -> list[tuple[str, float]]:
    """For each rung: the stack that its trunk belongs to ("" where it is trained alone), and the gain in speed.

    Trunks of one shape are divided evenly, at most `most` together. 0: about as many as a probe finds fastest, on a CPU
    only where each worker has several; kept in the cache there, so that one study has one answer on this machine."""
    if most == 1:
        return [("", 1.0)] * len(rungs)
    shapes: dict[tuple[Shape, bool], dict[str, list[Run]]] = {}  # of trunks, held out or not
    for rung, planned in zip(rungs, runs, strict=True):
        run = rung.training
        if batched.is_stackable(run) and run.starts_from is None:
            shapes.setdefault((Shape.of(run), rung.held_out), {}).setdefault(planned.cluster, []).append(run)
    of_trunk: dict[tuple[str, bool], tuple[str, float]] = {}
    for number, ((_, held_out), trunks) in enumerate(shapes.items()):
        run = next(iter(trunks.values()))[0]
        stack = StackProbe(size=most, gain=1.0)
        if not most:
            probes.progress("timing runs stacked", number / len(shapes))
            stack = probes.best_stack(run, len(trunks) // workers)
        if stack.size == 1:
            continue
        names = sorted(trunks, key=lambda name: -max(run.steps for run in trunks[name]))  # alike in length
        parts = math.ceil(len(names) / stack.size)
        if probes.where.type == "cpu" and not most:
            parts = workers * max(1, len(names) // (stack.size * workers))  # each worker as many
        cuts = [part * len(names) // parts for part in range(parts + 1)]
        for part, (start, end) in enumerate(itertools.pairwise(cuts)):
            if end - start > 1:
                of_trunk.update({(name, held_out): (f"{number}-{part}", stack.gain) for name in names[start:end]})
    return [of_trunk.get((run.cluster, run.held_out), ("", 1.0)) for run in runs]


def on_one_gpu(rungs: Sequence[Rung], runs: Sequence[PlannedRun], cores: int, probes: Probes) -> int:
    """How many processes share a GPU, by what runs of the costliest shapes, stacked as planned, take of it: as many as
    its memory holds of the largest, and as fit into the time for which the busiest has it wait."""
    trunks = Counter(tag for tag, _ in {(run.stack, run.cluster) for run in runs})
    cost: dict[tuple[Shape, int], float] = {}
    example: dict[tuple[Shape, int], Run] = {}
    for rung, planned in zip(rungs, runs, strict=True):
        key = Shape.of(rung.training), trunks[planned.stack] if planned.stack else 1
        cost[key] = cost.get(key, 0.0) + (planned.own_flops or 0)
        example[key] = rung.training
    busy, peak = 0.0, 0
    for number, key in enumerate(sorted(cost, key=lambda key: -cost[key])[:PROBED_SIZES]):
        probes.progress("measuring what a run takes of the GPU", number / min(PROBED_SIZES, len(cost)))
        used = probes.use_of_gpu(example[key], size=key[1])
        if used is None:
            return 1  # a stack in pieces leaves no memory for another process
        share, most = used
        busy, peak = max(busy, share), max(peak, most)
    device.return_memory(probes.where)
    return share_of_gpu(busy, peak, torch.cuda.mem_get_info(probes.where)[0], cores)


def share_of_gpu(busy: float, peak: int, free: int, cores: int) -> int:
    """Processes on one GPU.

    busy    the share of a run's time in which the GPU computes
    peak, free    bytes that a run takes at most, and that are to be had
    """
    return max(1, min(int(0.9 * free / (peak + GPU_PROCESS_BYTES)), int(1 / max(busy, 0.01)), cores))


def _threads(
    rungs: Sequence[Rung], runs: Sequence[PlannedRun], workers: int, probes: Probes
) -> tuple[list[int], float]:
    """The CPU threads of each rung, and how many times as fast a rung with several threads is.

    The held-out runs, the largest, are trained after all others; where they are fewer than the workers, each has the
    idle cores as well if a probe finds that it pays. Settled here, and not by who happens to be idle, since threads
    change the last bits."""
    held_out = [rung.training for rung in rungs if rung.held_out]
    trunks = {run.cluster for run in runs if run.held_out}
    spare = workers // len(trunks) if trunks and probes.where.type == "cpu" else 1
    if spare < 2:
        return [1] * len(rungs), 1.0
    probes.progress("timing the held-out runs on several threads", 0.0)
    run = max(held_out, key=flops_of)
    gain = probes.step_seconds(run) / probes.step_seconds(run, threads=spare)
    return [spare if gain > THREADS_MIN_GAIN and planned.held_out else 1 for planned in runs], gain
