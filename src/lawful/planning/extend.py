"""More rungs for a finished study: every run that is there stays as it is, and every new one is forecast first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lawful.errors import DeclarationError, StoreError
from lawful.fitting.answers import Answer
from lawful.fitting.forecast import register_added
from lawful.fitting.registered import Forecasts
from lawful.observe import statuses, write_observations
from lawful.planning.commands import has_training, plan_commands
from lawful.planning.plan import Plan, make_plan, steps_after_trunks
from lawful.planning.probes import Progress, silent
from lawful.replan import SHOWN, counts_of, question_meaning
from lawful.run import Precision, Run, to_json
from lawful.schema import PlannedRun, StudyPlan
from lawful.storage.json_files import Json, read_json
from lawful.storage.layout import Store
from lawful.study import Rung, Study


def plan_extension(
    folder: Path,
    study: Study,
    *,
    data: Path | None = None,
    cores: int = 1,
    settings: Mapping[str, str] | None = None,
    command: str = "",
    study_file: Path | None = None,
    is_timed: bool = True,
    progress: Progress = silent,
) -> Plan:
    """The plan of the study in `folder` with the rungs that `study` declares beside those that are there.

    The declaration must contain every run of the former plan, with its id. So nothing that the runs share can change:
    data, recipe, precision. A run that was held out stays held out, whatever the declaration says now.
    Raises StoreError where runs are waiting, a former run is not declared, a question has changed, or nothing is new.
    """
    store = Store(folder)
    former = store.read_study()
    found = statuses(store, former)
    if waiting := [planned.rung for planned in former.runs if found[planned.run] == "waiting"]:
        raise StoreError(
            f"{folder}: expected a finished study, got one with {len(waiting)} of {len(former.runs)} runs to do "
            f"({_listed(waiting)}); finish it first: lawful resume {folder}"
        )
    held_out = {planned.rung for planned in former.runs if planned.held_out}
    ladder = [replace(rung, held_out=rung.held_out or rung.label in held_out) for rung in study.ladder]
    if not has_training(study):
        commands = plan_commands(
            study.of_rungs(ladder),
            workers=former.workers,
            cores=cores,
            settings=settings,
            command=command,
            study_file=study_file,
        )
        _expect_all_of(store, former, commands)
        return replace(commands, study=replace(commands.study, price_per_gpu_hour=former.price_per_gpu_hour))
    plan = make_plan(
        study.of_rungs(ladder),
        data=data,
        device_name=former.device,
        workers=former.workers,
        cores=cores,
        precision=_precision(former, study),
        settings=settings,
        command=command,
        study_file=study_file,
        is_timed=is_timed,
        is_elsewhere=True,
        progress=progress,
    )
    _expect_all_of(store, former, plan)
    return replace(plan, study=_with_former(former, plan, {rung.label: rung for rung in ladder}))


def write_extension(folder: Path, plan: Plan, *, answers: Sequence[Answer] | None = None) -> Forecasts:
    """Register forecasts of the new runs, made by the laws of the runs that are there, then write the plan; what
    forecasts.json holds. If it is stopped between, the former plan stays, and the same command continues.

    answers    the answers of the folder's plan, if they are known
    """
    made: list[Forecasts] = []

    def register() -> None:
        store = Store(folder)
        _expect_all_of(store, store.read_study(), plan)  # another process may have planned into it since
        write_observations(folder)
        made.append(register_added(folder, plan.study, answers))

    plan.write(folder, register=register)
    return made[0]


def added_runs(former: StudyPlan, plan: StudyPlan) -> list[PlannedRun]:
    known = {planned.run for planned in former.runs}
    return [planned for planned in plan.runs if planned.run not in known]


def _precision(former: StudyPlan, study: Study) -> Precision | None:
    """The precision that "auto" became when the study was planned; larger rungs must not change it."""
    open_rungs = {rung.label for rung in study.ladder if isinstance(rung.run, Run) and rung.run.precision == "auto"}
    chosen = {planned.precision for planned in former.runs if planned.rung in open_rungs}
    return chosen.pop() if len(chosen) == 1 else None  # type: ignore[return-value]


def _with_former(former: StudyPlan, plan: Plan, rungs: Mapping[str, Rung]) -> StudyPlan:
    """The runs of the new plan; a run of the former plan keeps its record. The own steps of a new run are counted
    without the checkpoints of finished trunks, which are deleted."""
    known = {planned.run: planned for planned in former.runs}
    new = [run for run in added_runs(former, plan.study) if run.kind == "training"]
    steps = dict(zip([run.run for run in new], steps_after_trunks([rungs[run.rung] for run in new]), strict=True))
    runs = tuple(
        replace(known[run.run], corpus=run.corpus)
        if run.run in known
        else replace(run, own_flops=run.flops * steps[run.run] // run.steps)
        if run.run in steps
        else run
        for run in plan.study.runs
    )
    probe = plan.study.precision_probe or former.precision_probe
    price = former.price_per_gpu_hour
    return replace(plan.study, runs=runs, precision_probe=probe, price_per_gpu_hour=price)


def _expect_all_of(store: Store, former: StudyPlan, plan: Plan) -> None:
    new = plan.study
    if (former.name, former.scale) != (new.name, new.scale):
        raise StoreError(
            f"{store.folder}: expected more rungs of the study {former.name!r} at scale {former.scale!r}, got "
            f"{new.name!r} at scale {new.scale!r}; a study of its own has a folder of its own: lawful run."
        )
    planned = {run.run: run for run in new.runs}
    by_rung = {run.rung: run for run in new.runs}
    problems = []
    for run in former.runs:
        if run.run in planned:
            if planned[run.run].rung != run.rung:
                problems.append(f"{run.rung}: it is called {planned[run.run].rung} now")
            elif counts_of(planned[run.run]) != counts_of(run):
                problems.append(f"{run.rung}: its params, tokens or flops are others now")
        elif run.rung in by_rung:
            changed = _changed(store, run, plan, by_rung[run.rung])
            problems.append(f"{run.rung}: its run has changed{f' ({changed})' if changed else ''}")
        else:
            problems.append(f"{run.rung}: it is not declared")
    asked = {question.name: question_meaning(question, new) for question in new.questions}
    problems += [
        f"question {question.name!r}: it is not asked any more, or otherwise"
        for question in former.questions
        if asked.get(question.name) != question_meaning(question, former)
    ]
    if problems:
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        raise StoreError(
            f"{store.folder}: expected a declaration with every rung of the {len(former.runs)} that are there, and "
            "more; got one that differs in:\n  "
            + "\n  ".join([*problems[:SHOWN], *more])
            + "\nDeclare the former rungs with the new ones (a setting that lists sizes lists all of them), or run it "
            "as a study of its own: lawful run ... --out DIR"
        )
    if not added_runs(former, new):
        raise DeclarationError(
            f"{store.folder}: expected new rungs, got the {len(former.runs)} that are there; say which with "
            "--set NAME=VALUE, or add them to the study's own file and name it: lawful extend DIR FILE.py"
        )


def _changed(store: Store, run: PlannedRun, plan: Plan, now: PlannedRun) -> str:
    """Which fields of a Run differ, and how; "" where its run.json is not there any more."""
    if not store.run(run.run).exists():
        return ""
    before, after = read_json(store.run(run.run)), to_json(plan.runs[now.run])
    listed = [f"{name}: {a} before, {b} now" for name, a, b in _differences(before, after) if name != "id"]
    return _listed([text[:200] for text in listed])


def _differences(before: Json, after: Json, name: str = "") -> Iterator[tuple[str, Json, Json]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            yield from _differences(before.get(key), after.get(key), f"{name}.{key}" if name else key)
    elif before != after:
        yield name, before, after


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return "; ".join(names[:SHOWN]) + more
