"""One folder is one study: may a plan be written into a folder, and what is kept of the plan that was there?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lawful.errors import StoreError
from lawful.observe import begun, statuses, write_observations
from lawful.schema import PlannedRun, Question, StudyPlan
from lawful.storage.codec import write_study
from lawful.storage.json_files import read_json, reading
from lawful.storage.layout import Store
from lawful.tables import current_name

SHOWN = 5  # names in a message; the rest is a number


def expect_room(folder: Path, plan: StudyPlan) -> None:
    """Raise StoreError if this plan must not be written into the folder: the path is a file, or the folder holds
    something else, another study, or records of this study that the plan would lose.

    plan    the content of the new study.json

    Two plans are of the same study if they have the same name and scale, and if the new plan has at least one of the
    runs that have begun (if any have). The declaration may then change: more seeds, other rungs, another question. The
    registration may not change: a run that has begun stays fitted or held out (a forecast must be older than the run
    that it forecasts), and the forecasts of such runs keep their runs and questions.
    """
    store = Store(folder)
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder}: expected a folder for the study, got a file; choose another --out.")
    if not store.study.exists():
        _expect_no_strangers(store, plan)
        return
    former = _former(store)
    ways_on = (
        f"Choose another --out; or go on with the study that is there: `lawful resume {folder}`; or remove the folder "
        "if nothing in it is needed."
    )
    here, new = _named(former, store), _named(plan)
    if (former.name, former.scale) != (plan.name, plan.scale):
        raise StoreError(f"{folder}: expected a folder of {new}, got that of {here}. {ways_on}")
    seen = begun(store, former)
    if seen and not seen & {planned.run for planned in plan.runs}:
        raise StoreError(
            f"{folder}: the folder holds {here}; the new plan, {new}, has none of the {len(seen)} runs that have begun "
            "there: it is another study, or what all its runs share has changed (learning rate, data, precision). "
            f"{ways_on}"
        )
    if losses := _losses(store, former, plan, seen):
        listed = "\n  ".join(losses)
        raise StoreError(f"{folder}: planning {new} over {here} would lose what is recorded:\n  {listed}\n{ways_on}")


def replace_plan(folder: Path, plan: StudyPlan) -> None:
    """Write study.json. Before that, update the table from the former plan, and delete the fits and count baselines
    that hold for the former plan only.

    Runs that have ended stay in the table; those that the new plan lacks are marked. Call expect_room first.
    """
    store = Store(folder)
    if store.study.exists():
        former = _former(store)
        if begun(store, former):
            write_observations(folder)
        asked = {question.name: question_meaning(question, plan) for question in plan.questions}
        for question in former.questions:
            if asked.get(question.name) != question_meaning(question, former):
                _remove_fits(store, question.name)
        if _fingerprints(former) != _fingerprints(plan):
            store.baselines.unlink(missing_ok=True)  # counted on other data; concluding counts again
    write_study(store.study, plan)
    if store.observations.exists():
        write_observations(folder)


def _former(store: Store) -> StudyPlan:
    try:
        return store.read_study()
    except StoreError as error:
        raise StoreError(
            f"{error} Nothing is planned over it: take study.json from a copy; or move runs/ into an empty folder and "
            "run the same study there, which keeps its runs; or choose another --out."
        ) from None


def _expect_no_strangers(store: Store, plan: StudyPlan) -> None:
    """A folder without study.json is new, empty, or a plan of these runs whose writing was cut short."""
    if not store.folder.exists():
        return
    runs = store.folder / "runs"
    own = (runs, store.planning)
    found = [path for path in sorted(store.folder.iterdir()) if path not in own or not path.is_dir()]
    found = [path for path in found if path != store.campaign]  # its rule is written first
    if runs.is_dir():
        planned = {run.run for run in plan.runs}
        found += [path for path in sorted(runs.iterdir()) if path.name not in planned]
    found = [path for path in found if not path.name.startswith(".")]
    if found:
        raise StoreError(
            f"{store.folder}: expected a new or empty folder, or the folder of {_named(plan)}, got a folder without "
            f"study.json that holds {_listed([str(path.relative_to(store.folder)) for path in found])}. "
            "Choose another --out, or remove what is there."
        )


def _losses(store: Store, former: StudyPlan, plan: StudyPlan, seen: set[str]) -> list[str]:
    """What the new plan would lose of the registered runs and forecasts, one line each."""
    before = {planned.run: planned for planned in former.runs}
    after = {planned.run: planned for planned in plan.runs}
    shared = [(old, after[run]) for run, old in before.items() if run in seen and run in after]
    to_fitted = [old.rung for old, new in shared if old.held_out and not new.held_out]
    to_held_out = [old.rung for old, new in shared if new.held_out and not old.held_out]
    losses = []
    if to_fitted:
        losses.append(f"held out when they began, and now to be fitted: {_listed(to_fitted)}")
    if to_held_out:
        losses.append(
            f"begun as runs to be fitted, and now held out, though they were seen before a forecast: "
            f"{_listed(to_held_out)}"
        )
    tested = []
    if store.forecasts.exists():
        with reading(store.forecasts, "forecasts as `lawful run` writes them"):
            tested = [entry for entry in read_json(store.forecasts)["forecasts"] if entry["run"] in seen]
    if gone := [str(entry.get("rung")) for entry in tested if entry["run"] not in after]:
        losses.append(f"the registered forecasts of runs that are not planned any more: {_listed(gone)}")
    forecast = {entry["run"] for entry in tested}
    if moved := [old.rung for old, new in shared if old.run in forecast and counts_of(old) != counts_of(new)]:
        losses.append(
            f"the registered forecasts of commands whose params, tokens or flops are others now: {_listed(moved)}"
        )
    asked = {question.name: question_meaning(question, plan) for question in plan.questions}
    changed = [
        question.name
        for question in former.questions
        if asked.get(question.name) != question_meaning(question, former)
        and any(_is_of(str(entry.get("question")), question.name) for entry in tested)
    ]
    if changed:
        losses.append(
            f"the registered forecasts of questions that are asked no more or otherwise: {_listed(changed)} "
            "(give a new question a new name, and leave these as they are)"
        )
    return losses


def question_meaning(question: Question, study: StudyPlan) -> tuple[Question, str | None]:
    """What decides the forecasts and fits of a question: not its wording, nor the truth that it is compared with."""
    return replace(question, asks="", truth={}, loss=current_name(question.loss)), study.arm


def counts_of(planned: PlannedRun) -> tuple[int, ...]:
    """The counts of a command, which its id does not fix; () for our own runs, whose counts follow from the id."""
    own = (planned.params_non_embedding, planned.tokens, planned.flops)
    return own if planned.kind == "command" else ()


def _is_of(name: str, question: str) -> bool:
    """Whether a fit or forecast of this name is the question's, or that of one of its arms."""
    return name == question or name.startswith(f"{question}--")


def _remove_fits(store: Store, question: str) -> None:
    for path in [store.fit(question), *store.fit(question).parent.glob("*--*.json")]:
        if _is_of(path.stem, question):
            path.unlink(missing_ok=True)


def _fingerprints(study: StudyPlan) -> dict[str, str]:
    return {name: corpus.fingerprint for name, corpus in study.corpora.items()}


def _named(study: StudyPlan, store: Store | None = None) -> str:
    """The study, for a message: name, scale, settings, its own file; with a store, also how many runs have ended."""
    settings = ", ".join(f"{name}={value}" for name, value in study.settings.items())
    parts = [f"scale {study.scale}", f"settings {settings}" if settings else "no settings"]
    if study.study_file:
        parts.append(f"from {Path(study.study_file.path).name}")
    if store is not None:
        ended = sum(status not in ("waiting", "failed") for status in statuses(store, study).values())
        parts.append(f"planned {study.created[:10] or 'at an unknown time'}")
        parts.append(f"{ended} of {len(study.runs)} runs have ended")
    return f"the study {study.name!r} ({'; '.join(parts)})"


def _listed(names: Sequence[str]) -> str:
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return "; ".join(names[:SHOWN]) + more
