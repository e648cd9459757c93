"""Everything that a report says, read once from a study's folder."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lawful import linter, registry, tables
from lawful.errors import StoreError
from lawful.fitting.absent_law import law_or_absent
from lawful.fitting.answers import Answer, answer_in, read_answer
from lawful.fitting.asked import questions_of
from lawful.fitting.frontier import Frontier
from lawful.fitting.published import Published
from lawful.fitting.registered import Forecasts, read_forecasts
from lawful.report.content import Content, Place
from lawful.report.counted import Counts, beside_counts
from lawful.report.tables import number
from lawful.schema import Observation, PlannedRun, Question, StudyPlan, Warning
from lawful.schema.campaign import Campaign
from lawful.storage.campaigns import read_campaign
from lawful.storage.json_files import object_of, read_bytes, read_json
from lawful.storage.layout import Store

CURVE_POINTS = 80  # per run: a curve on log axes looks the same with more
ALL_CURVE_POINTS = 16_000  # over all runs, so that the page stays small with 500 of them
NOT_LEFT_OUT = {"held out", "another arm"}  # reasons for which a row is in no fit and yet on the page: not left out


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A run's course: `kind` says of what the losses are: validation, selection or training."""

    tokens: tuple[float, ...]
    loss: tuple[float, ...]
    kind: str


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Runs left out for one reason: (id, rung) each. `question` names the questions that leave just these out; it is
    empty where every question does."""

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
    registered   the forecasts that were written before the held-out runs began
    shared_table of a page that leaves the folder: the table that it offers in place of observations.csv; empty: none
    against      a published law that is drawn beside the fitted ones of params and tokens
    campaign     the record of the campaign that chose the runs
    """

    folder: Path
    study: StudyPlan
    rows: tuple[Observation, ...]
    answers: tuple[Answer, ...]
    unanswered: tuple[Question, ...]
    baselines: tuple[Observation, ...]
    counts: Mapping[str, Sequence[Observation]]  # count baselines by corpus, where the study has several
    registered: Forecasts
    curves: Mapping[str, Curve]
    former: tuple[Observation, ...] = ()
    shared_table: bytes | None = None
    against: Published | None = None
    campaign: Campaign | None = None

    @functools.cached_property
    def frontiers(self) -> dict[str, Frontier]:
        """Name of an answer -> the best use of its budgets, filled when first asked for: charts and calculator share
        it."""
        return {}

    @functools.cached_property
    def plugin_contents(self) -> dict[Place, list[Content]]:
        """What every registered section says of the study, by place."""
        by_place: dict[Place, list[Content]] = {"doubts": [], "baselines": []}
        for section in registry.every("sections").values():
            if content := section().content(self):
                by_place[section.after].append(content)
        return by_place

    @property
    def runs(self) -> tuple[PlannedRun, ...]:
        return self.study.runs

    @property
    def finished(self) -> list[Observation]:
        return [row for row in self.rows if tables.is_finished(row)]

    @property
    def fitted(self) -> list[Answer]:
        """The answers that hold a fit of their own."""
        return [answer for answer in self.answers if answer.fit is not None]

    def arms_of(self, answer: Answer) -> list[Answer]:
        """The answers of a comparison's arms, each on its own: QUESTION--ARM."""
        return [other for other in self.answers if self.parent(other) is answer]

    def parent(self, answer: Answer) -> Answer | None:
        """The comparison that an arm's own answer belongs to."""
        return next((one for one in self.answers if answer.name.startswith(f"{one.name}--")), None)

    @property
    def severe(self) -> list[Warning]:
        """What a reader must know before believing the answer: its own doubts first."""
        own = {one.sentence for answer in self.answers[:1] for one in doubts_of(answer)}
        return sorted((one for one in self.warnings if one.rank == 0), key=lambda one: one.sentence not in own)

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
        tuning = linter.untuned(self.runs, self.study.questions, self.rows)
        for warning in (*linter.observed(self.runs, self.rows), *tuning):
            found.setdefault(warning.sentence, replace(warning, about="runs"))
        for answer in self.answers:
            about = answer.name.replace("--", ", ") if len(self.answers) > 1 else "fit"
            arm = "" if self.parent(answer) is None else f"{answer.question.where.get('arm')}: "
            dropped = [str(row.get("reason")) for row in answer.fit.data.dropped] if answer.fit else []
            for warning in (*answer.warnings, *(answer.fit.warnings if answer.fit else ())):
                if warning.code == "rows_dropped" and dropped and set(dropped) <= NOT_LEFT_OUT:
                    continue
                if not arm or arm + warning.sentence not in found:  # else the comparison has said it of this arm
                    found.setdefault(warning.sentence, replace(warning, about=about))
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
            about = (self.parent(answer) or answer).name if len(self.answers) > 1 else ""
            arm = answer.question.where.get("arm")
            asked = {str(one) for one in (arm if isinstance(arm, tuple) else [arm])}
            for item in answer.excluded:
                is_other_arm = arm is not None and arms.get(item.run) not in asked
                if item.run not in known and not is_other_arm:
                    found = groups.setdefault((item.reason, about), [])
                    if (item.run, item.rung) not in found:
                        found.append((item.run, item.rung))
        alike: dict[tuple[str, tuple[tuple[str, str], ...]], list[str]] = {}
        for (reason, about), runs in groups.items():
            alike.setdefault((reason, tuple(runs)), []).append(about)
        return [LeftOut(reason=reason, question=", ".join(asked), runs=runs) for (reason, runs), asked in alike.items()]


def doubts_of(answer: Answer) -> list[Warning]:
    """What is severe about an answer and its fit."""
    said = (*answer.warnings, *(answer.fit.warnings if answer.fit else ()))
    return [one for one in said if one.severity == "severe"]


def read_evidence(folder: Path) -> Evidence:
    """Raises StoreError where the folder holds no study, or a file in it does not parse."""
    here = Store(folder)
    study = here.read_study()
    answers, unanswered = _read_answers(here, study)
    counts = _counts(here)
    everything = _read_rows(here.observations)
    rows = tuple(row for row in everything if not row.get("left_plan"))
    return Evidence(
        folder=here.folder,
        study=study,
        rows=rows,
        former=tuple(row for row in everything if row.get("left_plan")),
        answers=tuple(_beside(answers, study, rows, counts)),
        unanswered=tuple(unanswered),
        baselines=tuple(counts.baselines),
        counts=counts.by_corpus,
        registered=read_forecasts(here),
        curves=_read_curves(here, [planned.run for planned in study.runs]),
        campaign=read_campaign(here),
    )


def _read_answers(here: Store, study: StudyPlan) -> tuple[list[Answer], list[Question]]:
    """The answers that are there, and the questions without one."""
    answers: list[Answer] = []
    unanswered: list[Question] = []
    for question in questions_of(study):
        path = here.fit(question.name)
        if path.exists():
            answers.append(read_answer(path, law_or_absent))
        elif question in study.questions:
            unanswered.append(question)
        answers += [read_answer(arm, law_or_absent) for arm in here.fits(f"{path.stem}--")]
    known = {answer.name for answer in answers}
    for path in here.fits():  # fits that were asked for by hand; what an analysis writes has no question
        if (raw := read_json(path)).get("question") and (
            answer := answer_in(path, raw, law_or_absent)
        ).name not in known:
            answers.append(answer)
    return answers, unanswered


def first_answers(folder: Path) -> list[Answer]:
    """The answers of a folder but those of single arms, as its page has them; no curve is read."""
    here = Store(folder)
    answers, _ = _read_answers(here, here.read_study())
    said = answers_beside_counts(folder, answers)
    return [one for one in said if not any(one.name.startswith(f"{other.name}--") for other in said)]


def answers_beside_counts(folder: Path, answers: Sequence[Answer]) -> list[Answer]:
    """Answers of the study in `folder`, as far as its count models let them say that an arm is ahead."""
    here = Store(folder)
    if not here.baselines.exists():
        return [_with_current_loss(_said(answer)) for answer in answers]
    rows = [row for row in _read_rows(here.observations) if not row.get("left_plan")]
    return _beside(answers, here.read_study(), rows, _counts(here))


def _beside(answers: Sequence[Answer], study: StudyPlan, rows: Sequence[Observation], counts: Counts) -> list[Answer]:
    finished = [row for row in rows if tables.is_finished(row)]
    return [beside_counts(_with_current_loss(_said(answer)), study, finished, counts) for answer in answers]


def _said(answer: Answer) -> Answer:
    """An answer with its headline; files of earlier versions have none."""
    return answer if answer.headline else answer.with_headline()


def _counts(here: Store) -> Counts:
    baselines, by_corpus = _counted(here.baselines) if here.baselines.exists() else ((), {})
    return Counts(baselines=baselines, by_corpus=by_corpus)


def _counted(path: Path) -> tuple[Sequence[Observation], Mapping[str, Sequence[Observation]]]:
    """baselines.json: a list of count baselines, and one for each corpus."""
    found = read_json(path)
    by_corpus = found.get("by_corpus", {})
    lists = [found.get("baselines", []), *(by_corpus.values() if isinstance(by_corpus, dict) else [None])]
    if not all(isinstance(entries, list) and all(isinstance(item, dict) for item in entries) for entries in lists):
        raise StoreError(f"{path}: expected counts as `lawful run` writes them, got others; delete it.")
    return lists[0], by_corpus


def _with_current_loss(answer: Answer) -> Answer:
    """An answer whose question names the loss as the rows do."""
    return replace(answer, question=replace(answer.question, loss=tables.current_name(answer.question.loss)))


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
        line = object_of(measured[index]) or {}
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
