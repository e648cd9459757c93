"""The plan: a declared Study becomes runs with ids, counts, costs and warnings on this machine; nothing is trained."""

from __future__ import annotations

import bisect
import datetime
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import torch

import lawful
from lawful import devices, linter, trust
from lawful.checks import refuse_lines
from lawful.corpora import Corpus
from lawful.errors import DataError, DeclarationError, DeviceError, MissingDependency, StoreError
from lawful.laws import named
from lawful.planning import placement
from lawful.planning.probes import Probes, Progress, Shape, silent
from lawful.replan import expect_room, replace_plan
from lawful.run import Precision, Run, to_json
from lawful.schema import (
    CorpusRecord,
    PlannedRun,
    Question,
    Reported,
    StudyFile,
    StudyPlan,
    Versions,
    Warning,
)
from lawful.storage.atomic import write_json
from lawful.storage.cache import sha256_of
from lawful.storage.layout import Store
from lawful.storage.lease import claimed
from lawful.study import Rung, Study, planned_run
from lawful.train import device
from lawful.train.loop import branch_steps
from lawful.train.optimizer import is_decayed

PLANNING_PATIENCE = 1.0  # seconds in which a process that died while planning is told from one that lives


@dataclass(frozen=True, kw_only=True)
class Plan:
    """study    what becomes study.json
    runs     complete Runs by id
    missing_data    why a corpus cannot be had on this machine; then the plan cannot be written
    """

    study: StudyPlan
    runs: Mapping[str, Run]
    missing_data: str | None = None

    def write(self, folder: Path) -> None:
        """runs/ID/run.json each, then study.json, so that a folder with study.json is complete.

        Raises StoreError where the folder holds something else, or records of this study that would be lost, and while
        another process plans into it.
        """
        if self.missing_data:
            raise DeclarationError(self.missing_data)
        expect_room(folder, self.study)  # before anything is written there
        store = Store(folder)
        with claimed(store.planning, patience_seconds=PLANNING_PATIENCE) as lease:
            if lease is None:
                raise StoreError(
                    f"{folder}: another process is planning a study into this folder; look at what it made "
                    f"(`lawful status {folder}`), or choose another --out."
                )
            expect_room(folder, self.study)
            for run in self.runs.values():
                if not store.run(run.id).exists():
                    write_json(store.run(run.id), to_json(run))
            replace_plan(folder, self.study)


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
    progress: Progress = silent,
) -> Plan:
    """Prepare the corpora, settle one precision for the ladder, and count.

    workers    processes that will train; 0: as many as there are `cores`, or as GPUs have room for
    is_elsewhere    runs go to other machines: a GPU need not be here, where nothing is timed then
    stacked    how many runs of one shape are trained together at most (batched.py); 0: as many as pay
    """
    _import_laws(study.questions)
    where, is_here = _device(device_name, is_elsewhere=is_elsewhere)
    gpus = 0 if not is_here or where.type != "cuda" else len(devices.gpus()) if str(where) == "cuda" else 1
    room = placement.Room(workers=workers, cores=cores, gpus=gpus, stacked=stacked, is_timed=is_timed and is_here)
    probes = Probes(where=where, progress=progress)
    rungs = list(study.ladder)
    names = _corpus_names(rungs)
    corpora, missing = _prepare_corpora(rungs, names, data, progress)
    precision, precision_probe = probes.precision(rungs)
    fingerprints = {corpus: corpora[name].fingerprint for corpus, name in names.items()}
    rungs = [replace(rung, run=_settled(rung.run, precision, fingerprints)) for rung in rungs]
    runs = planned_runs(study, rungs, {rung.run.corpus: names[rung.run.corpus] for rung in rungs})
    if room.is_timed:
        seconds = probes.run_seconds(rungs, runs, corpora)
        runs = [replace(run, seconds_estimate=estimate) for run, estimate in zip(runs, seconds, strict=True)]
    runs, workers = placement.place(study.questions, rungs, runs, room=room, probes=probes)
    device.return_memory(where)  # to the workers
    own_file = None if study_file is None else _own_file(study_file)
    planned = StudyPlan(
        name=study.name,
        question=study.question,
        scale=study.scale,
        settings=dict(settings or {}),
        held_out=dict(study.held_out),
        arm=study.arm,
        faults=tuple(study.faults),
        reported=tuple(
            Reported(at=entry["at"], figures={name: value for name, value in entry.items() if name != "at"})
            for entry in study.reported
        ),
        precision=" and ".join(sorted({run.precision for run in runs})),
        precision_probe=precision_probe,
        device=where.type,
        gpus=gpus,
        workers=workers,
        axes={
            name: tuple(dict.fromkeys(rung.at[name] for rung in rungs if name in rung.at))
            for name in dict.fromkeys(name for rung in rungs for name in rung.at)
        },
        runs=tuple(runs),
        questions=tuple(study.questions),
        corpora=corpora,
        warnings=(
            *([Warning("data-missing", "severe", missing)] if missing else ()),
            *linter.declared(runs, corpora, study.arm),
            *batches_in_pieces(rungs, probes),
        ),
        versions=_versions(),
        command=command,
        study_file=own_file,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    return Plan(study=planned, runs={rung.run.id: rung.run for rung in rungs}, missing_data=missing)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What training would take: runs, FLOPs, and seconds by the clock."""

    runs: int
    flops: float
    seconds: float


def cost(study: Study, *, device_name: str = "auto", cores: int = 1) -> Cost:
    """What training would take here, without its data, as the plan estimates it."""
    _import_laws(study.questions)
    probes = Probes(where=device.pick_device(device_name))
    rungs = list(study.ladder)
    precision, _ = probes.precision(rungs)
    rungs = [replace(rung, run=_of_precision(rung.run, precision)) for rung in rungs]
    runs = planned_runs(study, rungs, _corpus_names(rungs))
    seconds = probes.run_seconds(rungs, runs, {})
    workers = cores if probes.where.type == "cpu" else 1
    return Cost(
        runs=len(runs),
        flops=float(sum(run.own_flops or 0 for run in runs)),
        seconds=max(sum(seconds) / workers, *seconds),
    )


def _import_laws(questions: Sequence[Question]) -> None:
    """The laws are imported here, as the study's own code was, so that they may answer later."""
    for question in questions:
        if isinstance(question.law, str) and question.law != "paired":
            named(question.law)


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
    for corpus in dict.fromkeys(rung.run.corpus for rung in rungs):
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
                if rung.run.corpus == corpus and (why := getattr(prepared, "misfit", _fits)(rung.run.context)):
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
    runs = [planned_run(rung, study.arm, corpus=corpora[rung.run.corpus]) for rung in rungs]
    return [
        replace(run, own_flops=run.flops * steps // run.steps, is_decayed=is_decayed(rung.run))
        for rung, run, steps in zip(rungs, runs, steps_after_trunks(rungs), strict=True)
    ]


def steps_after_trunks(rungs: Sequence[Rung]) -> list[int]:
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
        key=lambda i: (rungs[i].run.starts_from is not None, rungs[i].held_out, -rungs[i].run.steps),
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


def batches_in_pieces(rungs: Sequence[Rung], probes: Probes) -> list[Warning]:
    """Of each shape whose batch memory did not hold whole: training cuts it, and the numbers it gives stay the same
    within rounding."""
    labels: dict[Shape, list[str]] = {}
    for rung in rungs:
        labels.setdefault(Shape.of(rung.run), []).append(rung.label)
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


def _own_file(path: Path) -> StudyFile:
    """The study's own file, which this user trusts from now on: it has run here."""
    sha256 = sha256_of(path)
    trust.remember(sha256, f"study file {path.resolve()}")
    return StudyFile(path=str(path.resolve()), sha256=sha256)


def _versions() -> Versions:
    return Versions(
        lawful=lawful.__version__,
        commit=_commit(),
        python=platform.python_version(),
        platform=platform.platform(),
        torch=metadata.version("torch"),
        numpy=metadata.version("numpy"),
        scipy=metadata.version("scipy"),
    )


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
