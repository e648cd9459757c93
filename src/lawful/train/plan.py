"""The plan: a declared Study becomes runs with ids, counts, costs and warnings on this machine; nothing is trained."""

from __future__ import annotations

import bisect
import datetime
import functools
import hashlib
import itertools
import math
import os
import platform
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import lawful
from lawful import devices, linter, trust
from lawful.checks import refuse_lines
from lawful.errors import DataError, DeclarationError, DeviceError, MissingDependency, StoreError
from lawful.laws import named
from lawful.replan import expect_room, replace_plan
from lawful.run import Precision, Run, to_json
from lawful.storage.atomic import write_json
from lawful.storage.cache import cache_folder, sha256_of
from lawful.storage.json_files import read_json
from lawful.storage.layout import FORMAT, Store
from lawful.storage.lease import claimed
from lawful.study import Rung, Study, own_steps_of, planned_columns
from lawful.train import batched, device
from lawful.train.loop import branch_steps
from lawful.train.optimizer import build_adamw, is_decayed
from lawful.train.step import PROBE_STEPS, is_out_of_memory, median_seconds, probe_step

PROBE_FLOPS = 2e10  # a probe step costs at most about this (a fifth of a second on a slow core); larger are scaled from
BF16_MIN_PARAMS = 100_000  # bf16 never paid below: a ladder whose cost lies mostly in smaller runs is not probed
BF16_MIN_PRODUCTS = 0.8  # of fp32's speed: where bf16 is emulated, steps in it are slow to time, and never faster
BF16_MIN_GAIN = 1.1  # less is within what a busy machine makes of a short probe
THREADS_MIN_GAIN = 1.2  # of the idle cores, to be worth other last bits
EVALUATION_COST = 0.4  # of a training step on as many tokens (LAB_NOTES, 2026-11-22)
PRECISION_PROBE_FLOPS = 4e9  # of one step: the whole probe takes a second or two
PROBED_SIZES = 3  # the costliest; they decide how long a ladder takes
CPU_MIN_STACK = 4  # runs of one shape for each worker: fewer together never paid on a CPU (LAB_NOTES, 2026-11-22)
PLANNING_PATIENCE = 1.0  # seconds in which a process that died while planning is told from one that lives
GPU_PROCESS_BYTES = 600 * 2**20  # of a GPU's memory, that a process holds before its first tensor


@dataclass(frozen=True, kw_only=True)
class Plan:
    """declaration   what becomes study.json
    runs          complete Runs by id, or none where a corpus is not on this machine
    """

    declaration: Mapping[str, Any]
    runs: Mapping[str, Run]
    missing_data: str | None = None

    def write(self, folder: Path) -> None:
        """runs/ID/run.json each, then study.json, so that a folder with study.json is complete.

        Raises StoreError where the folder holds something else, or records of this study that would be lost, and while
        another process plans into it.
        """
        if self.missing_data:
            raise DeclarationError(self.missing_data)
        expect_room(folder, self.declaration)  # before anything is written there
        store = Store(folder)
        with claimed(store.planning, patience_seconds=PLANNING_PATIENCE) as lease:
            if lease is None:
                raise StoreError(
                    f"{folder}: another process is planning a study into this folder; look at what it made "
                    f"(`lawful status {folder}`), or choose another --out."
                )
            expect_room(folder, self.declaration)
            for run in self.runs.values():
                if not store.run(run.id).exists():
                    write_json(store.run(run.id), to_json(run))
            replace_plan(folder, self.declaration)


def make_plan(
    study: Study,
    *,
    data: Path | None = None,
    device_name: str = "auto",
    workers: int = 0,
    cores: int = 1,
    stacked: int = 0,
    settings: Mapping[str, str] | None = None,
    command: str = "",
    study_file: Path | None = None,
    is_timed: bool = True,
    is_elsewhere: bool = False,
    progress: Callable[[str, float], None] = lambda what, share: None,
) -> Plan:
    """Prepare the corpora, settle one precision for the ladder, and count.

    workers    processes that will train; 0: as many as there are `cores`, or as GPUs have room for
    is_elsewhere    runs go to other machines: a GPU need not be here, where nothing is timed then
    stacked    how many runs of one shape are trained together at most (batched.py); 0: as many as pay
    """
    _in_pieces.clear()
    for question in study.questions:
        if question.law != "paired":
            named(question.law)  # imported here, as the study's own code was, so that it may answer later
    gpus = 0
    try:
        where = device.pick_device(device_name)
        if where.type == "cuda":
            gpus = len(devices.gpus()) if str(where) == "cuda" else 1
    except DeviceError:
        if not is_elsewhere or device_name != "cuda":
            raise
        where, is_timed = torch.device("cuda"), False
    rungs = list(study.ladder)
    names = _corpus_names(rungs)
    corpora, missing = _prepare_corpora(rungs, names, data, progress)
    precision, precision_probe = _one_precision(rungs, where, progress)

    def settled(run: Run) -> Run:
        return replace(
            run,
            precision=precision if run.precision == "auto" else run.precision,
            data_fingerprint=corpora[names[run.corpus]]["fingerprint"],
            starts_from=None if run.starts_from is None else settled(run.starts_from),
        )

    rungs = [replace(rung, run=settled(rung.run)) for rung in rungs]
    rows = _rows(study, rungs, names)
    if is_timed:
        seconds = _estimate_seconds(rungs, rows, where, progress, corpora)
        for row, estimate in zip(rows, seconds, strict=True):
            row["seconds_estimate"] = estimate
    workers = _shared_out(study, rungs, rows, where, workers, cores, gpus, stacked, is_timed, progress)
    device.return_memory(where)  # to the workers
    axes = {
        name: list(dict.fromkeys(rung.at[name] for rung in rungs if name in rung.at))
        for name in dict.fromkeys(name for rung in rungs for name in rung.at)
    }
    declaration = {
        "format": FORMAT,
        "name": study.name,
        "question": study.question,
        "scale": study.scale,
        "settings": dict(settings or {}),
        "held_out": dict(study.held_out),
        "arm": study.arm,
        "faults": list(study.faults),
        "reported": list(study.reported),
        "precision": " and ".join(sorted({row["precision"] for row in rows})),
        "precision_probe": precision_probe,
        "device": where.type,
        "gpus": gpus,
        "workers": workers,
        "axes": axes,
        "rungs": rows,
        "questions": [{field: getattr(q, field) for field in q.__dataclass_fields__} for q in study.questions],
        "corpora": corpora,
        "warnings": [*_warnings(rows, corpora, study.arm, missing), *_batches_in_pieces(rungs, where)],
        "versions": _versions(),
        "command": command,
        "study_file": {"path": str(study_file.resolve()), "sha256": sha256_of(study_file)} if study_file else None,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    if study_file:
        trust.remember(sha256_of(study_file), f"study file {study_file.resolve()}")
    return Plan(declaration=declaration, runs={rung.run.id: rung.run for rung in rungs}, missing_data=missing)


def _shared_out(
    study: Study,
    rungs: Sequence[Rung],
    rows: Sequence[dict[str, Any]],
    where: torch.device,
    workers: int,
    cores: int,
    gpus: int,
    stacked: int,
    is_timed: bool,
    progress: Callable[[str, float], None],
) -> int:
    """Into the rows, which runs are stacked and how many threads each has, with what that makes of their seconds;
    returns how many processes train. workers, cores, stacked: as make_plan has them; gpus: those that they share."""
    if where.type == "cpu":
        workers = workers or cores
    of_seconds = [question.name for question in study.questions if (question.flops or "").startswith("seconds")]
    if of_seconds and stacked > 1:
        raise DeclarationError(
            f"--stack: the question {of_seconds[0]!r} compares seconds, and those of stacked runs are the stack's; "
            "leave --stack out."
        )
    if of_seconds or not is_timed:
        stacked = stacked or 1
    stacks = _stacks(rungs, rows, where, stacked, workers or 1, progress)
    for row, (tag, gain) in zip(rows, stacks, strict=True):
        row["stack"] = tag
        if "seconds_estimate" in row:
            row["seconds_estimate"] /= gain
    if gpus and not workers and is_timed:
        workers = gpus * (1 if of_seconds else _on_one_gpu(rungs, rows, where, max(1, cores // gpus), progress))
    workers = workers or 1
    threads, gain = _threads(rungs, rows, where, workers if is_timed else 1, progress)
    for row, count in zip(rows, threads, strict=True):
        row["threads"] = count
        if count > 1 and "seconds_estimate" in row:
            row["seconds_estimate"] /= gain
    return workers


def cost(study: Study, *, device_name: str = "auto", cores: int = 1) -> dict[str, float]:
    """What training would take here, without its data: runs, FLOPs, and seconds, as the plan estimates them."""
    for question in study.questions:
        if question.law != "paired":
            named(question.law)  # imported here, as the study's own code was, so that it may answer later
    where = device.pick_device(device_name)
    rungs = list(study.ladder)
    names = _corpus_names(rungs)
    precision, _ = _one_precision(rungs, where, lambda what, share: None)
    rungs = [
        replace(
            rung, run=replace(rung.run, precision=precision if rung.run.precision == "auto" else rung.run.precision)
        )
        for rung in rungs
    ]
    rows = _rows(study, rungs, names)
    seconds = _estimate_seconds(rungs, rows, where, lambda what, share: None, {})
    flops = float(sum(row["own_flops"] for row in rows))
    workers = cores if where.type == "cpu" else 1
    return {"runs": len(rungs), "flops": flops, "seconds": max(sum(seconds) / workers, *seconds)}


def _corpus_names(rungs: Sequence[Rung]) -> dict[Any, str]:
    """What study.json calls each distinct corpus: its name, and a number where one name means several data sets."""
    names: dict[Any, str] = {}
    for corpus in dict.fromkeys(rung.run.corpus for rung in rungs):
        number = sum(other.name == corpus.name for other in names) + 1
        names[corpus] = corpus.name if number == 1 else f"{corpus.name}-{number}"
    return names


def _prepare_corpora(
    rungs: Sequence[Rung], names: Mapping[Any, str], data: Path | None, progress: Callable[[str, float], None]
) -> tuple[dict[str, dict[str, Any]], str | None]:
    """Facts of each corpus, and the error of the first that cannot be had here. DeclarationError where a rung's windows
    are longer than the data."""
    facts: dict[str, dict[str, Any]] = {}
    missing = None
    problems: dict[str, str] = {}  # what is wrong -> with which rung
    for corpus, name in names.items():
        try:
            prepared = corpus.prepare(data, progress)
            facts[name] = prepared.facts()
            for rung in rungs:
                if rung.run.corpus == corpus and (why := getattr(prepared, "misfit", _fits)(rung.run.context)):
                    problems.setdefault(why, rung.label)
        except (DataError, MissingDependency) as error:
            if data is not None:
                raise  # the user named a place; what is wrong there comes first
            missing = missing or str(error)
            facts[name] = corpus.known_facts()
        facts[name]["value"] = to_json(corpus)
    refuse_lines("the runs and their data do not go together", [f"{rung}: {why}." for why, rung in problems.items()])
    return facts, missing


def _fits(context: int) -> None:
    """A user's own data may not say what it has room for."""


def _one_precision(
    rungs: Sequence[Rung], where: torch.device, progress: Callable[[str, float], None]
) -> tuple[Precision, dict[str, Any] | None]:
    """For all of the ladder that says "auto", since a change of precision inside it would be a confound; and what was
    measured to choose it, if anything.

    bf16 on CUDA. On a CPU what a probe of the costliest sizes finds faster; kept in the cache, so that one ladder is
    given one precision on this machine. Else fp32.
    """
    declared = {rung.run.precision for rung in rungs}
    if len(declared) == 1 and "auto" not in declared:
        return declared.pop(), None
    if where.type == "cuda":
        return "bf16", None
    cost: dict[tuple[Any, ...], float] = {}
    example: dict[tuple[Any, ...], Run] = {}
    for rung in rungs:
        shape = (rung.run.family, rung.run.batch_size, rung.run.context)
        cost[shape] = cost.get(shape, 0.0) + _flops(rung.run)
        example[shape] = rung.run
    large = [shape for shape in cost if example[shape].family.param_counts().total >= BF16_MIN_PARAMS]
    if (
        where.type != "cpu"
        or sum(cost[shape] for shape in large) < sum(cost.values()) / 2
        or device.bf16_gain() < BF16_MIN_PRODUCTS
    ):
        return "fp32", None
    probed = sorted(large, key=lambda shape: -cost[shape])[:PROBED_SIZES]

    def measure() -> dict[str, Any]:
        device.keep_freed_memory()
        seconds = {"fp32": 0.0, "bf16": 0.0}
        for number, shape in enumerate(probed):
            progress("timing fp32 and bf16", number / len(probed))
            run = example[shape]
            for precision in ("fp32", "bf16"):
                step = _time_step(replace(run, precision=precision), where, PRECISION_PROBE_FLOPS)
                seconds[precision] += step * cost[shape] / _flops(run) * run.steps
        return {"worker_seconds": seconds, "of_flops": sum(cost[shape] for shape in probed) / sum(cost.values())}

    found = _measured_once("precision", [(repr(example[shape].rule), shape) for shape in probed], measure)
    seconds = found["worker_seconds"]
    return ("bf16" if seconds["bf16"] * BF16_MIN_GAIN < seconds["fp32"] else "fp32"), found


def _measured_once(what: str, of: Any, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Kept in the cache, as JSON, for this machine and torch; a damaged file is measured again."""
    key = f"{platform.node()} {platform.machine()} {os.cpu_count()} torch {torch.__version__} {of}"
    kept = cache_folder() / "probes" / f"{what}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
    if kept.exists():
        try:
            return read_json(kept)
        except StoreError:
            pass
    found = measure()
    write_json(kept, found)
    return found


def _flops(run: Run) -> int:
    return int(run.rule.training_flops_per_token(run.family, run.context) * run.tokens)


def _rows(study: Study, rungs: Sequence[Rung], corpora: Mapping[Any, str]) -> list[dict[str, Any]]:
    rows = [_row(study, rung, corpora[rung.run.corpus]) for rung in rungs]
    for row, steps in zip(rows, _steps_after_trunks(rungs), strict=True):
        row["own_flops"] = row["flops"] * steps // row["steps"]
    return rows


def _row(study: Study, rung: Rung, corpus: str) -> dict[str, Any]:
    run = rung.run
    return {
        "id": run.id,
        "label": rung.label,
        "at": dict(rung.at),
        "is_held_out": rung.is_held_out,
        "bracket": rung.bracket,
        "starts_from": "" if run.starts_from is None else run.starts_from.id,
        "cluster": run.trunk_id,
        "params_by_group": dict(run.family.param_counts().by_group),
        **planned_columns(rung, study.arm),
        "decay_start": run.decay_start,
        "decay_fraction": float(run.schedule.decay_fraction) if run.schedule.shape == "wsd" else None,
        "rate_floor": None if run.schedule.shape == "constant" else float(run.schedule.floor),
        "is_decayed": is_decayed(run),
        "corpus": corpus,
    }


def _steps_after_trunks(rungs: Sequence[Rung]) -> list[int]:
    """Steps each run does itself: those after the checkpoint of its trunk that it starts from, if there is one.

    In conduct's order: held-out runs after the anchors, runs that start from another's weights last, and of one trunk
    the longest first. A run that keeps its best weights neither leaves a checkpoint for others nor starts from one.
    """
    own = [rung.run.steps for rung in rungs]
    trunks: dict[str, dict[str, int]] = {}  # of each, where its runs start their decay
    for rung in rungs:
        trunks.setdefault(rung.run.trunk_id, {})[rung.run.id] = rung.run.decay_start
    order = sorted(
        range(len(rungs)),
        key=lambda i: (rungs[i].run.starts_from is not None, rungs[i].is_held_out, -rungs[i].run.steps),
    )
    saved: dict[str, list[int]] = {}  # of each trunk, the steps of its checkpoints
    for i in order:
        run = rungs[i].run
        if run.keep_best:
            continue
        steps = saved.get(run.trunk_id, [])
        usable = bisect.bisect_right(steps, run.decay_start)
        start = steps[usable - 1] if usable else 0
        own[i] = run.steps - start
        if start < run.decay_start:
            others = [step for other, step in trunks[run.trunk_id].items() if other != run.id]
            passed = {step for step in branch_steps(run.decay_start, others) if step > start}
            saved[run.trunk_id] = sorted({*steps, *passed})
    return own


def _estimate_seconds(
    rungs: Sequence[Rung],
    rows: Sequence[Mapping[str, Any]],
    where: torch.device,
    progress: Callable[[str, float], None],
    corpora: Mapping[str, Mapping[str, Any]],
) -> list[float]:
    """Each run's own time on one worker, with its evaluations where the corpus says how long its splits are: a few
    steps of each shape are timed here, on random tokens."""
    device.keep_freed_memory()
    per_step: dict[tuple[Any, ...], float] = {}
    best_rate = 0.0
    shapes = [(rung.run.family, rung.run.batch_size, rung.run.context, rung.run.precision) for rung in rungs]
    by_cost = sorted(range(len(rungs)), key=lambda i: rows[i]["flops"] / rows[i]["steps"])
    for done, index in enumerate(by_cost):
        shape, row = shapes[index], rows[index]
        if shape in per_step:
            continue
        flops_per_step = row["flops"] / row["steps"]
        if flops_per_step <= PROBE_FLOPS or not best_rate:
            progress("timing a few steps of each size", done / len(by_cost))
            per_step[shape] = _time_step(rungs[index].run, where)
            best_rate = max(best_rate, flops_per_step / per_step[shape])
        else:
            per_step[shape] = flops_per_step / best_rate  # assumes the rate of the largest size that was timed
    seconds = []
    for rung, row, shape in zip(rungs, rows, shapes, strict=True):
        own = own_steps_of(row)
        facts = corpora.get(row["corpus"], {})
        evaluated = own // rung.run.eval_every * rung.run.eval_tokens
        evaluated += int(facts.get("validation_tokens") or 0) + int(facts.get("test_tokens") or 0)
        seconds.append(per_step[shape] * (own + EVALUATION_COST * evaluated / row["batch_tokens"]))
    return seconds


def _time_step(run: Run, where: torch.device, at_most: float = PROBE_FLOPS, threads: int = 1) -> float:
    """Median seconds of one update; a batch too large for a quick probe is timed in part and scaled. One too large for
    the memory is halved until it fits, as the training loop does."""
    former = torch.get_num_threads()
    torch.set_num_threads(threads)  # as a worker computes
    try:
        flops = _flops(run) / run.steps
        windows = max(1, int(run.batch_size * min(1.0, at_most / flops)))
        windows = min(windows, _in_pieces.get(_memory_shape(run), windows))
        while (seconds := _timed(run, where, windows)) is None:
            if windows == 1:
                raise DeviceError(
                    f"{run.family}: one window of {run.context} does not fit in the memory of {where} "
                    f"({run.family.param_counts().total:,} parameters, {run.precision}); expected a run that can be "
                    "trained at least one window at a time; use a smaller model, a shorter context or another --device."
                )
            windows = (windows + 1) // 2
            _in_pieces[_memory_shape(run)] = windows
        return seconds * run.batch_size / windows
    finally:
        torch.set_num_threads(former)


# Of shapes whose batch did not fit in memory when it was timed: the windows that did. For one plan
_in_pieces: dict[tuple[Any, ...], int] = {}


def _memory_shape(run: Run) -> tuple[Any, ...]:
    return run.family, run.batch_size, run.context, run.precision


def _timed(run: Run, where: torch.device, windows: int) -> float | None:
    """Median seconds of one update on so many windows; None where memory does not hold them."""
    try:
        return _median_update(run, where, windows)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    device.return_memory(where)
    return None


def _median_update(run: Run, where: torch.device, windows: int) -> float:
    model = run.family.build(torch.Generator().manual_seed(0)).to(where)
    optimizer = build_adamw(model, run, is_fused=where.type in ("cpu", "cuda"))
    return median_seconds(lambda: probe_step(run, model, optimizer, where, rows=windows), where)


def _stacks(
    rungs: Sequence[Rung],
    rows: Sequence[Mapping[str, Any]],
    where: torch.device,
    most: int,
    workers: int,
    progress: Callable[[str, float], None],
) -> list[tuple[str, float]]:
    """Of each rung the stack that its trunk belongs to, "" where it is trained alone, and what that gains in speed.

    Trunks of one shape are divided evenly, at most `most` together. 0: about as many as a probe finds fastest, on a CPU
    only where each worker has several; kept in the cache there, so that one study has one answer on this machine."""
    if most == 1:
        return [("", 1.0)] * len(rungs)
    shapes: dict[tuple[Any, ...], dict[str, list[Run]]] = {}  # of trunks
    for rung, row in zip(rungs, rows, strict=True):
        run = rung.run
        if batched.is_stackable(run) and run.starts_from is None:
            shape = (run.family, run.batch_size, run.context, run.precision, rung.is_held_out)
            shapes.setdefault(shape, {}).setdefault(row["cluster"], []).append(run)
    of_trunk = {}
    for number, ((*_, is_held_out), trunks) in enumerate(shapes.items()):
        run = next(iter(trunks.values()))[0]
        size, gain = most, 1.0
        if not most:
            progress("timing runs stacked", number / len(shapes))
            size, gain = _best_stack(run, where, len(trunks) // workers)
        if size == 1:
            continue
        names = sorted(trunks, key=lambda name: -max(run.steps for run in trunks[name]))  # alike in length
        parts = math.ceil(len(names) / size)
        if where.type == "cpu" and not most:
            parts = workers * max(1, len(names) // (size * workers))  # each worker as many
        cuts = [part * len(names) // parts for part in range(parts + 1)]
        for part, (start, end) in enumerate(itertools.pairwise(cuts)):
            if end - start > 1:
                of_trunk.update({(name, is_held_out): (f"{number}-{part}", gain) for name in names[start:end]})
    return [of_trunk.get((row["cluster"], row["is_held_out"]), ("", 1.0)) for row in rows]


def _best_stack(run: Run, where: torch.device, most: int) -> tuple[int, float]:
    if where.type != "cpu":
        return batched.best_size(run, where, most)
    most = min(most, int(PROBE_FLOPS * run.steps / _flops(run)))  # larger probes take too long, and gain least
    if most < CPU_MIN_STACK:
        return 1, 1.0
    shape = (run.family, run.batch_size, run.context, run.precision, most)
    found = _measured_once(
        "stack", shape, lambda: dict(zip(("size", "gain"), batched.best_size(run, where, most), strict=True))
    )
    return found["size"], found["gain"]


def _on_one_gpu(
    rungs: Sequence[Rung],
    rows: Sequence[Mapping[str, Any]],
    where: torch.device,
    cores: int,
    progress: Callable[[str, float], None],
) -> int:
    """How many processes share a GPU, by what runs of the costliest shapes, stacked as planned, take of it: as many as
    its memory holds of the largest, and as fit into the time for which the busiest has it wait."""
    trunks = Counter(tag for tag, _ in {(row["stack"], row["cluster"]) for row in rows})
    cost: dict[tuple[Any, ...], float] = {}
    example: dict[tuple[Any, ...], tuple[Run, int]] = {}
    for rung, row in zip(rungs, rows, strict=True):
        run, size = rung.run, trunks[row["stack"]] if row["stack"] else 1
        shape = (run.family, run.batch_size, run.context, size)
        cost[shape] = cost.get(shape, 0.0) + row["own_flops"]
        example[shape] = run, size

    def step(run: Run, size: int) -> float:
        return batched.probe(run, where, size) if size > 1 else _time_step(run, where, math.inf)

    busy, peak = 0.0, 0
    for number, shape in enumerate(sorted(cost, key=lambda shape: -cost[shape])[:PROBED_SIZES]):
        progress("measuring what a run takes of the GPU", number / min(PROBED_SIZES, len(cost)))
        run, size = example[shape]
        try:
            share, most = device.use_of_gpu(where, functools.partial(step, run, size), PROBE_STEPS)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if run.batch_size == 1:
                raise DeviceError(
                    f"--stack: {size} runs of {run.family} do not fit in the memory of {where} together; use less."
                ) from None
            _in_pieces[_memory_shape(run)] = (run.batch_size + 1) // 2
            return 1  # a stack in pieces leaves no memory for another process
        busy, peak = max(busy, share), max(peak, most)
    device.return_memory(where)
    return share_of_gpu(busy, peak, torch.cuda.mem_get_info(where)[0], cores)


def share_of_gpu(busy: float, peak: int, free: int, cores: int) -> int:
    """Processes on one GPU.

    busy    the share of a run's time in which the GPU computes
    peak, free    bytes that a run takes at most, and that are to be had
    """
    return max(1, min(int(0.9 * free / (peak + GPU_PROCESS_BYTES)), int(1 / max(busy, 0.01)), cores))


def _threads(
    rungs: Sequence[Rung],
    rows: Sequence[Mapping[str, Any]],
    where: torch.device,
    workers: int,
    progress: Callable[[str, float], None],
) -> tuple[list[int], float]:
    """Of each rung the CPU threads that it is given, and how many times as fast several of them are.

    The held-out runs, the largest, are trained after all others; where they are fewer than the workers, each has the
    idle cores as well if a probe finds that it pays. Settled here, and not by who happens to be idle, since threads
    change the last bits."""
    held_out = [rung.run for rung in rungs if rung.is_held_out]
    trunks = {row["cluster"] for row in rows if row["is_held_out"]}
    spare = workers // len(trunks) if trunks and where.type == "cpu" else 1
    if spare < 2:
        return [1] * len(rungs), 1.0
    progress("timing the held-out runs on several threads", 0.0)
    run = max(held_out, key=_flops)
    gain = _time_step(run, where) / _time_step(run, where, threads=spare)
    return [spare if gain > THREADS_MIN_GAIN and row["is_held_out"] else 1 for row in rows], gain


def _warnings(
    rows: Sequence[Mapping[str, Any]], corpora: Mapping[str, Any], arm: str | None, missing: str | None
) -> list[dict[str, str]]:
    absent = [{"code": "data-missing", "severity": "error", "sentence": missing}] if missing else []
    return absent + linter.declared(rows, corpora, arm)


def _batches_in_pieces(rungs: Sequence[Rung], where: torch.device) -> list[dict[str, str]]:
    """Of each shape whose batch memory did not hold whole: training cuts it, and the numbers it gives stay the same
    within rounding."""
    labels: dict[tuple[Any, ...], list[str]] = {}
    for rung in rungs:
        labels.setdefault(_memory_shape(rung.run), []).append(rung.label)
    return [
        {
            "code": "batch-in-pieces",
            "severity": "note",
            "sentence": f"the batch of {shape[1]} windows of {', '.join(labels[shape][:2])}"
            f"{f' and {len(labels[shape]) - 2} more' if len(labels[shape]) > 2 else ''} does not fit in the memory of "
            f"{where}; it is computed in pieces of at most {windows}.",
        }
        for shape, windows in _in_pieces.items()
        if shape in labels
    ]


def _versions() -> dict[str, str]:
    names = ("torch", "numpy", "scipy")
    return {
        "lawful": lawful.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: metadata.version(name) for name in names},
    }


def _commit() -> str:
    """Of the checkout lawful runs from, with "+changes" where it differs; empty when installed from a package."""
    here = Path(__file__).resolve().parent
    try:
        head = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
        tracked = subprocess.run(
            ["git", "-C", str(here), "ls-files", "--error-unmatch", __file__], capture_output=True, timeout=10
        )
        changed = subprocess.run(
            ["git", "-C", str(here), "status", "--porcelain", "--untracked-files=no", "."],
            capture_output=True,
            text=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
    return "" if tracked.returncode else head + ("+changes" if changed else "")
