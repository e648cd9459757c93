"""Everything that a report says, read once from a study's folder."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lawful import linter, tables
from lawful.errors import StoreError
from lawful.report.counted import beside_counts
from lawful.report.section import Content, Place, contents_of
from lawful.report.tables import number
from lawful.schema import SEVERITIES, Observation, PlannedRun, Question, Severity, StudyPlan, Warning
from lawful.storage.json_files import read_bytes, read_json
from lawful.storage.layout import Store

CURVE_POINTS = 80  # per run: a curve on log axes looks the same with more
ALL_CURVE_POINTS = 16_000  # over all runs, so that the page stays small with 500 of them


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A run's course: `kind` says of what the losses are: validation, selection or training."""

    tokens: tuple[float, ...]
    loss: tuple[float, ...]
    kind: str


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Runs left out for one reason: (id, rung) each. `question` is empty where every question leaves them out."""

    reason: str
    question: str
    runs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A study's folder as a report needs it.

    rows         the observations, one per run of the plan that has ended, cells typed by the schema
    former       those of runs that only an earlier plan of the study has
    answers      one per question that was fitted, in the study's order
    unanswered   questions without a fit yet
    """

    folder: Path
    study: StudyPlan
    rows: tuple[Observation, ...]
    answers: tuple[Mapping[str, Any], ...]
    unanswered: tuple[Question, ...]
    baselines: tuple[Mapping[str, Any], ...]
    counts: Mapping[str, Sequence[Mapping[str, Any]]]  # count baselines by corpus, where the study has several
    registered: Mapping[str, Any]  # what forecasts.json holds, empty where there is none
    curves: Mapping[str, Curve]
    former: tuple[Observation, ...] = ()

    @functools.cached_property
    def plugin_contents(self) -> dict[Place, list[Content]]:
        """What the sections of plug-ins say."""
        return contents_of(self)

    @property
    def runs(self) -> tuple[PlannedRun, ...]:
        return self.study.runs

    @property
    def finished(self) -> list[Observation]:
        return [row for row in self.rows if tables.is_finished(row)]

    @property
    def fitted(self) -> list[Mapping[str, Any]]:
        """The answers that hold a fit of their own."""
        return [answer for answer in self.answers if answer.get("fit")]

    def arms_of(self, answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The answers of a comparison's arms, each on its own: QUESTION--ARM."""
        return [other for other in self.answers if self.parent(other) is answer]

    def parent(self, answer: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The comparison that an arm's own answer belongs to."""
        name = str(answer["question"]["name"])
        return next((one for one in self.answers if name.startswith(f"{one['question']['name']}--")), None)

    @property
    def missing(self) -> list[PlannedRun]:
        """Runs that have not ended yet."""
        ended = {row.get("run") for row in self.rows}
        return [planned for planned in self.runs if planned.run not in ended]

    @property
    def arms(self) -> list[str]:
        return list(dict.fromkeys(str(row["arm"]) for row in self.rows if row.get("arm") not in (None, "")))

    @property
    def warnings(self) -> list[Warning]:
        """The study's and the answers' own, most severe first, each once; `about` names the question."""
        found: dict[str, Warning] = {}
        for warning in self.study.warnings:
            found.setdefault(warning.sentence, replace(warning, about="design"))
        for warning in linter.observed(self.runs, self.rows):
            found.setdefault(warning.sentence, replace(warning, about="runs"))
        for answer in self.answers:
            fit = answer.get("fit") or {}
            about = str(answer["question"]["name"]).replace("--", ", ") if len(self.answers) > 1 else "fit"
            for one in [*answer.get("warnings", ()), *fit.get("warnings", ())]:
                warning = _warning(one, about)
                found.setdefault(warning.sentence, warning)
        return sorted(found.values(), key=lambda warning: warning.rank)

    @property
    def left_out(self) -> list[LeftOut]:
        """Every run that a fit left out and why: first those that did not finish, then each question's own choice."""
        unfinished = [row for row in self.rows if not tables.is_finished(row)]
        groups: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for row in self.former:
            reason = tables.why_off_ladder(row) or ""
            groups.setdefault((reason, ""), []).append((str(row.get("run")), str(row.get("rung") or "")))
        for row in unfinished:
            reason = f"{row.get('status')}: {row.get('reason') or 'no reason recorded'}"
            groups.setdefault((reason, ""), []).append((str(row.get("run")), str(row.get("rung") or "")))
        known = {str(row.get("run")) for row in (*unfinished, *self.former)}
        arms = {str(row.get("run")): str(row.get("arm")) for row in self.rows}
        for answer in self.answers:
            about = str((self.parent(answer) or answer)["question"]["name"]) if len(self.answers) > 1 else ""
            arm = (answer["question"].get("where") or {}).get("arm")
            asked = {str(one) for one in (arm if isinstance(arm, (list, tuple)) else [arm])}
            for item in answer.get("excluded", ()):
                run, reason = str(item.get("run")), str(item.get("reason"))
                is_other_arm = arm is not None and arms.get(run) not in asked
                if run not in known and not is_other_arm:
                    found = groups.setdefault((reason, about), [])
                    if (entry := (run, str(item.get("rung") or ""))) not in found:
                        found.append(entry)
        return [LeftOut(reason=reason, question=about, runs=tuple(runs)) for (reason, about), runs in groups.items()]


def _warning(raw: Mapping[str, Any], about: str) -> Warning:
    """A warning of an answer's file; one whose severity is none of ours is a note."""
    severity: Severity = next((known for known in SEVERITIES if known == raw.get("severity")), "note")
    return Warning(str(raw.get("code")), severity, str(raw.get("sentence")), about)


def read_evidence(folder: Path) -> Evidence:
    """Raises ValueError where the folder holds no study, or a file in it does not parse."""
    here = Store(folder)
    study = here.read_study()
    answers, unanswered = [], []
    for question in study.questions:
        path = here.fit(question.name)
        if path.exists():
            answers.append(read_json(path))
        else:
            unanswered.append(question)
        answers += [read_json(arm) for arm in here.fits(f"{path.stem}--")]
    known = {answer["question"]["name"] for answer in answers}
    for path in here.fits():  # fits that were asked for by hand
        answer = read_json(path)
        if isinstance(answer.get("question"), dict) and answer["question"].get("name") not in known:
            answers.append(answer)
    counted = _counted(here.baselines) if here.baselines.exists() else {}
    rows = _read_rows(here.observations)
    return Evidence(
        folder=here.folder,
        study=study,
        rows=tuple(row for row in rows if not row.get("left_plan")),
        former=tuple(row for row in rows if row.get("left_plan")),
        answers=tuple(answers_beside_counts(here.folder, answers)),
        unanswered=tuple(unanswered),
        baselines=tuple(counted.get("baselines", ())),
        counts=counted.get("by_corpus", {}),
        registered=read_json(here.forecasts) if here.forecasts.exists() else {},
        curves=_read_curves(here, [planned.run for planned in study.runs]),
    )


def answers_beside_counts(folder: Path, answers: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Answers of the study in `folder`, as far as its count models let them say that an arm is ahead."""
    here = Store(folder)
    counted = _counted(here.baselines) if here.baselines.exists() else {}
    finished = [row for row in _read_rows(here.observations) if not row.get("left_plan") and tables.is_finished(row)]
    study = here.read_study()
    return [beside_counts(_with_current_loss(answer), study, finished, counted) for answer in answers]


def _counted(path: Path) -> Mapping[str, Any]:
    """baselines.json: a list of count baselines, or one for each corpus."""
    found = read_json(path)
    by_corpus = found.get("by_corpus", {})
    lists = [found.get("baselines", []), *(by_corpus.values() if isinstance(by_corpus, dict) else [None])]
    if not all(isinstance(entries, list) and all(isinstance(item, dict) for item in entries) for entries in lists):
        raise StoreError(f"{path}: expected counts as `lawful run` writes them, got others; delete it.")
    return found


def _with_current_loss(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """An answer whose question names the loss as the rows do."""
    question = answer["question"]
    return {**answer, "question": {**question, "loss": tables.current_name(str(question.get("loss") or "loss"))}}


def _read_rows(path: Path) -> tuple[Observation, ...]:
    """The rows that a fit reads; an empty cell of what is no text is None here."""
    if not path.exists():
        return ()
    texts = {name for name, (kind, _) in tables.COLUMNS.items() if kind == "text"}
    return tuple(
        {name: None if cell == "" and name not in texts else cell for name, cell in row.items()}
        for row in tables.read_rows(path)
    )


def _read_curves(here: Store, run_ids: Sequence[str]) -> dict[str, Curve]:
    points = max(8, min(CURVE_POINTS, ALL_CURVE_POINTS // max(len(run_ids), 1)))
    curves = {}
    for run_id in run_ids:
        curve = _read_curve(here.metrics(run_id), points)
        if curve is not None:
            curves[run_id] = curve
    return curves


def _read_curve(path: Path, points: int) -> Curve | None:
    """Decimated before parsing, evenly in the logarithm of the step; the last whole line always stands."""
    if not path.exists():
        return None
    lines = read_bytes(path).split(b"\n")[:-1]  # what follows the last newline is torn or empty
    for name in ("validation_loss", "selection_loss", "loss"):
        measured = [line for line in lines if f'"{name}"'.encode() in line]
        if len(measured) >= 4:
            break
    tokens, losses = [], []
    for index in _log_spaced(len(measured), points):
        try:
            line = json.loads(measured[index])
        except (ValueError, RecursionError):  # a damaged line
            continue
        if not isinstance(line, dict):
            continue
        seen, value = number(line.get("tokens")), number(line.get(name))
        if seen and value and seen > 0 and value > 0:
            tokens.append(seen)
            losses.append(value)
    if not tokens:
        return None
    return Curve(
        tokens=tuple(tokens), loss=tuple(losses), kind="training" if name == "loss" else name.removesuffix("_loss")
    )


def _log_spaced(length: int, points: int) -> list[int]:
    if length <= points:
        return list(range(length))
    return sorted({round(length ** (step / (points - 1))) - 1 for step in range(points)})
