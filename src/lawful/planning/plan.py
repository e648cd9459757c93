"""The plan: a declared Study becomes runs with ids, counts, costs and warnings on this machine; nothing is trained."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from lawful import devices, linter
from lawful.checks import refuse_lines
from lawful.corpora import Corpus
from lawful.errors import DataError, DeviceError, MissingDependency
from lawful.planning import placement
from lawful.planning.commands import is_of_commands
from lawful.planning.mixed import with_commands
from lawful.planning.probes import Probes, Progress, Shape, silent
from lawful.planning.written import Plan as Plan
from lawful.planning.written import import_laws, study_plan
from lawful.run import Precision, Run, to_json
from lawful.schema import (
    CorpusRecord,
    PlannedRun,
    Warning,
)
from lawful.study import Rung, Study, planned_run
from lawful.train import device
from lawful.train.loop import branch_steps
from lawful.train.optimizer import is_decayed


def make_plan(
    study: Study,
    *,
    data: Path | None = None,
    device_name: str = "auto",
    workers: int = 0,
    cores: int = 1,
    stacked: int = 0,
    precision: Precision | None = None,
    settings: Mapping[str, str] | None = None,
    command: str = "",
    study_file: Path | None = None,
    is_timed: bool = True,
    is_elsewhere: bool = False,
    progress: Progress = silent,
) -> Plan:
    """Prepare the corpora, settle one precision for the ladder, and count. A study of commands alone, which needs no
    torch, is planned by plan_commands.

    workers    processes that will train; 0: as many as there are `cores`, or as GPUs have room for
    is_elsewhere    the runs go to other machines. A GPU need not be here; without one, nothing is timed
    stacked    how many runs of one shape are trained together at most (batched.py); 0: as many as pay
    precision    the one for runs that say "auto"; None: chosen here
    """
    import_laws(study.questions)
    where, is_here = _device(device_name, is_elsewhere=is_elsewhere)
    gpus = 0 if not is_here or where.type != "cuda" else len(devices.gpus()) if str(where) == "cuda" else 1
    room = placement.Room(workers=workers, cores=cores, gpus=gpus, stacked=stacked, is_timed=is_timed and is_here)
    probes = Probes(where=where, progress=progress)
    rungs = [rung for rung in study.ladder if isinstance(rung.run, Run)]
    names = _corpus_names(rungs)
    corpora, missing = _prepare_corpora(rungs, names, data, progress)
    precision, precision_probe = probes.precision(rungs) if precision is None else (precision, None)
    fingerprints = {corpus: corpora[name].fingerprint for corpus, name in names.items()}
    rungs = [replace(rung, run=_settled(rung.training, precision, fingerprints)) for rung in rungs]
    runs = planned_runs(study, rungs, {rung.training.corpus: names[rung.training.corpus] for rung in rungs})
    if room.is_timed:
        seconds = probes.run_seconds(rungs, runs, corpora)
        runs = [replace(run, seconds_estimate=estimate) for run, estimate in zip(runs, seconds, strict=True)]
    runs, workers = placement.place(study.questions, rungs, runs, room=room, probes=probes)
    device.return_memory(where)  # to the workers
    planned = replace(
        study_plan(study, study.ladder, runs, settings=settings, command=command, study_file=study_file),
        precision=" and ".join(sorted({run.precision for run in runs})),
        precision_probe=precision_probe,
        device=where.type,
        gpus=gpus,
        workers=workers,
        corpora=corpora,
        warnings=(
            *([Warning("data-missing", "severe", missing)] if missing else ()),
            *linter.declared(runs, corpora, study.arm),
            *linter.untuned(runs, study.questions),
            *batches_in_pieces(rungs, probes),
        ),
    )
    ours = Plan(study=planned, runs={rung.training.id: rung.training for rung in rungs}, missing_data=missing)
    return with_commands(study, ours, cores=cores, study_file=study_file) if is_of_commands(study) else ours


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What training would take: runs, FLOPs, and seconds by the clock."""

    runs: int
    flops: float
    seconds: float


def cost(study: Study, *, device_name: str = "auto", cores: int = 1) -> Cost:
    """What training would take here, without its data, as the plan estimates it."""
    import_laws(study.questions)
    probes = Probes(where=device.pick_device(device_name))
    rungs = list(study.ladder)
    precision, _ = probes.precision(rungs)
    rungs = [replace(rung, run=_of_precision(rung.training, precision)) for rung in rungs]
    runs = planned_runs(study, rungs, _corpus_names(rungs))
    seconds = probes.run_seconds(rungs, runs, {})
    workers = cores if probes.where.type == "cpu" else 1
    return Cost(
        runs=len(runs),
        flops=float(sum(run.own_flops or 0 for run in runs)),
        seconds=max(sum(seconds) / workers, *seconds),
    )


def _device(name: str, *, is_elsewhere: bool) -> tuple[torch.device, bool]:
    """The device that the study is planned for, and whether it is on this machine."""
    try:
        return device.pick_device(name), True
    except DeviceError:
        if not is_elsewhere or name != "cuda":
            raise
        return torch.device("cuda"), False


def _of_precision(run: Run, precision: Precision) -> Run:
    return replace(run, precision=precision if run.precision == "auto" else run.precision)


def _settled(run: Run, precision: Precision, fingerprints: Mapping[Corpus, str]) -> Run:
    """The Run with what the plan decides: precision and fingerprint, also of the run whose weights it starts from."""
    return replace(
        _of_precision(run, precision),
        data_fingerprint=fingerprints[run.corpus],
        starts_from=None if run.starts_from is None else _settled(run.starts_from, precision, fingerprints),
    )


def _corpus_names(rungs: Sequence[Rung]) -> dict[Corpus, str]:
    """What study.json calls each distinct corpus: its name, and a number where one name means several data sets."""
    names: dict[Corpus, str] = {}
    for corpus in dict.fromkeys(rung.training.corpus for rung in rungs):
        number = sum(other.name == corpus.name for other in names) + 1
        names[corpus] = corpus.name if number == 1 else f"{corpus.name}-{number}"
    return names


def _prepare_corpora(
    rungs: Sequence[Rung], names: Mapping[Corpus, str], data: Path | None, progress: Progress
) -> tuple[dict[str, CorpusRecord], str | None]:
    """The record of each corpus, and the error of the first that cannot be had here. DeclarationError where a rung's
    windows are longer than the data."""
    records: dict[str, CorpusRecord] = {}
    missing = None
    problems: dict[str, str] = {}  # what is wrong -> with which rung
    for corpus, name in names.items():
        try:
            prepared = corpus.prepare(data, progress)
            facts = prepared.facts()
            for rung in rungs:
                if rung.training.corpus == corpus and (
                    why := getattr(prepared, "misfit", _fits)(rung.training.context)
                ):
                    problems.setdefault(why, rung.label)
        except (DataError, MissingDependency) as error:
            if data is not None:
                raise  # the user named a place; what is wrong there comes first
            missing = missing or str(error)
            facts = corpus.known_facts()
        records[name] = CorpusRecord.of(facts, to_json(corpus))
    refuse_lines("the runs and their data do not go together", [f"{rung}: {why}." for why, rung in problems.items()])
    return records, missing


def _fits(context: int) -> None:
    """A user's own data may not say what it has room for."""


def planned_runs(study: Study, rungs: Sequence[Rung], corpora: Mapping[Corpus, str]) -> list[PlannedRun]:
    """The record of each rung, with the FLOPs that it spends itself. `corpora`: the names in study.json."""
    runs = [planned_run(rung, study.arm, corpus=corpora[rung.training.corpus]) for rung in rungs]
    return [
        replace(run, own_flops=run.flops * steps // run.steps, is_decayed=is_decayed(rung.training))
        for rung, run, steps in zip(rungs, runs, steps_after_trunks(rungs), strict=True)
    ]


def steps_after_trunks(rungs: Sequence[Rung]) -> list[int]:
    """Steps each run does itself: those after the checkpoint of its trunk that it starts from, if there is one.

    In the order of train_study: held-out runs after the anchors, runs that start from another's weights last, and of
    one trunk the longest first. A run that keeps its best weights neither leaves a checkpoint for others nor starts
    from one.
    """
    own = [rung.training.steps for rung in rungs]
    trunks: dict[str, dict[str, int]] = {}  # trunk -> run -> the step where its decay starts
    for rung in rungs:
        trunks.setdefault(rung.training.trunk_id, {})[rung.training.id] = rung.training.decay_start
    order = sorted(
        range(len(rungs)),
        key=lambda i: (rungs[i].training.starts_from is not None, rungs[i].held_out, -rungs[i].training.steps),
    )
    saved: dict[str, list[int]] = {}  # trunk -> the steps of its checkpoints
    for i in order:
        run = rungs[i].training
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


def batches_in_pieces(rungs: Sequence[Rung], probes: Probes) -> list[Warning]:
    """A warning for each shape whose batch did not fit into memory as a whole. Training cuts the batch, and its numbers
    stay the same within rounding."""
    labels: dict[Shape, list[str]] = {}
    for rung in rungs:
        labels.setdefault(Shape.of(rung.training), []).append(rung.label)
    return [
        Warning(
            "batch-in-pieces",
            "note",
            f"the batch of {shape.batch_size} windows of {', '.join(labels[shape][:2])}"
            f"{f' and {len(labels[shape]) - 2} more' if len(labels[shape]) > 2 else ''} does not fit in the memory of "
            f"{probes.where}; it is computed in pieces of at most {windows}.",
        )
        for shape, windows in probes.in_pieces.items()
        if shape in labels
    ]
