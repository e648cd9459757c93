"""Answers a study's declared questions from its folder: fit, predict what was held out, say what was left out."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lawful.errors import DeclarationError, Refusal, StoreError, TableError
from lawful.fitting.crossover import LEVEL, between
from lawful.fitting.data import coordinates, refuse_missing
from lawful.fitting.default_law import on_its_axis
from lawful.fitting.estimate import fit
from lawful.fitting.gap import fit_both
from lawful.fitting.paired import paired
from lawful.fitting.result import Caution, Fit, interval
from lawful.fitting.truth import recovered
from lawful.fitting.uncertainty import says_nothing
from lawful.laws import BUILT_IN, Law, stored, to_data
from lawful.laws.power import Power
from lawful.laws.power_floor import PowerFloor
from lawful.laws.saturating import Saturating
from lawful.plugins import column_title
from lawful.schema import Question, StudyPlan
from lawful.storage import json_files
from lawful.storage.atomic import write_json
from lawful.storage.codec import to_plain
from lawful.storage.json_files import read_json, reading
from lawful.storage.layout import Store
from lawful.tables import Observations, is_finished, is_of_ladder, read_runs, why_off_ladder


@dataclass(frozen=True)
class HeldOut:
    """A run that was never fitted: predicted (with the interval for a new run), then looked at."""

    run: str
    rung: str
    params: float | None
    tokens: float | None
    seed: int | None
    predicted: float
    interval: tuple[float, float]
    observed: float
    error_relative: float
    is_inside: bool
    is_registered: bool = False  # forecast in forecasts.json before the run began


@dataclass(frozen=True)
class Answer:
    """One question answered or refused; what fits/QUESTION.json holds.

    fit         None where refused, and where the question compares arms: each arm's own answer then stands beside it,
                named QUESTION--ARM
    also        sister laws on the same rows: {"law", "fixed", "formula", "n", "aicc", "delta_aicc", "params",
                "held_out_error", "refusal"}
    comparison  of the arms (lawful.fitting.compare.Comparison as plain data), or None
    crossings   of every two arms along a law's one axis (Crossover as plain data, without its fits), the pairs that
                cannot be had with their refusal
    paired      of the arms run by run (lawful.fitting.paired.Paired as plain data), or None
    truth       what was known beforehand beside what was found (lawful.fitting.truth.Recovered as plain data)
    code        of the refusal, where it has one
    """

    question: Question
    status: Literal["answered", "refused"]
    refusal: str | None
    sentence: str
    fit: Fit | None
    held_out: tuple[HeldOut, ...]
    excluded: tuple[Mapping[str, Any], ...]
    warnings: tuple[Caution, ...]
    also: tuple[Mapping[str, Any], ...]
    comparison: Mapping[str, Any] | None = None
    crossings: tuple[Mapping[str, Any], ...] = ()
    paired: Mapping[str, Any] | None = None
    truth: tuple[Mapping[str, Any], ...] = ()
    code: str | None = None

    def to_json(self) -> dict[str, Any]:
        out = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "fit"}
        out["question"] = to_plain(self.question)
        out["held_out"] = [dataclasses.asdict(row) for row in self.held_out]
        out["warnings"] = [dataclasses.asdict(row) for row in self.warnings]
        out["fit"] = None if self.fit is None else self.fit.to_json()
        plain: dict[str, Any] = json_files.plain(out)
        return plain

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Answer:
        return cls(
            **{
                **raw,
                "question": Question(**raw["question"]),
                "fit": None if raw["fit"] is None else Fit.from_json(raw["fit"]),
                "held_out": tuple(
                    HeldOut(**{**row, "interval": tuple(map(float, row["interval"]))}) for row in raw["held_out"]
                ),
                "excluded": tuple(raw["excluded"]),
                "warnings": tuple(Caution(**row) for row in raw["warnings"]),
                "also": tuple(raw["also"]),
                "crossings": tuple(raw.get("crossings", ())),
                "truth": tuple(raw.get("truth", ())),
            }
        )


def answer_study(folder: str | Path, *, draws: int = 1000, seed: int = 0) -> list[Answer]:
    """Answer every question of the study in `folder` and write fits/QUESTION.json; a refusal is an answer too.

    Raises LawfulError only where the folder is not a study's, its table cannot be read, or a question's law is the
    user's own and was not named in this process (expect_laws).
    """
    home = Store(Path(folder))
    study = home.read_study()
    expect_laws(study)
    table = with_coordinates(read_runs(home.folder), study)
    registered = registered_forecasts(home)
    answers = []
    for question in study.questions:
        found = _answer(question, table, registered, draws=draws, seed=seed)
        if isinstance(found, _Arms):
            asked = [_answer(one, table, registered, draws=draws, seed=seed) for one in found.questions]
            each = [answer for answer in asked if isinstance(answer, Answer)]
            answers += [_with_crossings(_compared(question, found), each, found), *each]
        else:
            answers.append(found)
    for answer in answers:
        write_json(home.fit(answer.question.name), answer.to_json())
    return answers


def expect_laws(study: StudyPlan) -> None:
    """Raise DeclarationError for a question with a law of the user's own that this process was not given by name: a
    study's folder may come from elsewhere, so its text alone imports no file."""
    for question in study.questions:
        try:
            place, colon, _ = question.law_name.partition(":")
            if colon and place not in BUILT_IN:
                stored(question.law_name)
        except DeclarationError as error:
            raise DeclarationError(f"{study.name}, question {question.name!r}: {error}") from None


def registered_forecasts(home: Store) -> list[dict[str, Any]]:
    """What forecasts.json says of each question and held-out run; empty where there is no such file.

    Raises StoreError where they are not those of the SHA-256 beside them: they were changed after they were written.
    """
    if not home.forecasts.exists():
        return []
    with reading(home.forecasts, "forecasts as `lawful run` writes them"):
        written = read_json(home.forecasts)
        named = str(written["sha256"])
        if (found := digest(written["forecasts"])) != named:
            raise StoreError(
                f"{home.forecasts}: expected the forecasts as they were registered (SHA-256 {named[:16]}), got changed "
                f"ones ({found[:16]}); take the file from a copy, or move it away: then these runs count as not "
                "forecast before they began."
            )
        return [
            {**entry, "question": entry["question"], "run": entry["run"], "predicted": float(entry["predicted"])}
            for entry in written["forecasts"]
        ]


def digest(forecasts: Any) -> str:
    return hashlib.sha256(json.dumps(forecasts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_answers(folder: str | Path) -> list[Answer]:
    """What answer_study wrote, in the order of the study's questions; questions not yet answered are absent."""
    home = Store(Path(folder))
    names = [question.name for question in home.read_study().questions]
    paths = [path for name in names for path in (home.fit(name), *home.fits(f"{name}--"))]
    answers = []
    for path in paths:
        if path.exists():
            with reading(path, "an answer as `lawful report` writes it"):
                try:
                    answers.append(Answer.from_json(read_json(path)))
                except DeclarationError as error:
                    raise DeclarationError(f"{path}: {error}") from None
    return answers


@dataclass(frozen=True)
class _Arms:
    """The question, asked of each arm apart."""

    questions: list[Question]
    law: Any
    columns: Mapping[str, str]
    fitted: Observations
    excluded: list[Mapping[str, Any]]


def _compared(question: Question, arms: _Arms) -> Answer:
    from lawful.fitting.compare import compare

    rest: dict[str, Any] = {"fit": None, "held_out": (), "excluded": tuple(arms.excluded), "also": ()}
    try:
        found = compare(arms.fitted, "arm", law=arms.law, **arms.columns)  # type: ignore[arg-type]
    except (Refusal, DeclarationError, TableError) as refusal:
        sentence = f"The arms cannot be compared: {refusal}"
        return Answer(question, "refused", str(refusal), sentence, warnings=(), **rest)
    plain = json_files.plain(dataclasses.asdict(found))
    truth = _recovered(question, comparison=plain)
    return Answer(
        question, "answered", None, found.sentence, warnings=found.warnings, comparison=plain, truth=truth, **rest
    )


def _with_crossings(compared: Answer, each: Sequence[Answer], arms: _Arms) -> Answer:
    """Where every two arms cross, if the law has one axis; where they do, that is the answer, and in what the arms
    differ stands in the comparison's own sentence."""
    fits = {str(answer.question.where["arm"]): answer.fit for answer in each}
    if any(fit is not None and len(fit.model.inputs) > 1 for fit in fits.values()):
        return compared
    found: list[dict[str, Any]] = []
    severe: list[Caution] = []
    pairs = list(itertools.combinations(fits, 2))
    level = 1 - (1 - LEVEL) / max(len(pairs), 1)  # of each, so that all hold at once (Bonferroni)
    for first, second in pairs:
        a, b = fits[first], fits[second]
        if a is None or b is None:
            missing = " and ".join(arm for arm in (first, second) if fits[arm] is None)
            found.append({"arms": (first, second), "refusal": f"no law of {missing}"})
            continue
        try:
            joint = fit_both(arms.fitted, "arm", (first, second), arms.law, arms.columns)
            if (compared.comparison or {}).get("verdict") == "no difference shown":  # of all arms at once
                joint = dataclasses.replace(joint, p=1.0)
            one = between(joint, {first: a, second: b}, level=level)
        except (Refusal, DeclarationError, TableError) as refusal:
            found.append({"arms": (first, second), "refusal": str(refusal)})
            continue
        severe += [caution for caution in one.warnings if caution.severity == "severe"]
        found.append({name: value for name, value in one.answer.items() if name != "warnings"})
    where = _crossings_sentence(found)
    if compared.status != "answered":
        parts = [where, compared.sentence]
    elif any(one.get("at") is not None for one in found):
        parts = [where]
    else:
        parts = [compared.sentence, where]  # without a crossing, in what the arms differ is the news
    sentence = " ".join(part for part in parts if part)
    crossings = tuple(json_files.plain(found))
    compared = dataclasses.replace(compared, warnings=tuple(dict.fromkeys((*compared.warnings, *severe))))
    if any("refusal" not in one for one in found):
        compared = dataclasses.replace(compared, status="answered", refusal=None)
    return dataclasses.replace(compared, crossings=crossings, sentence=sentence)


def _crossings_sentence(found: Sequence[Mapping[str, Any]]) -> str:
    """Who wins where, the pairs that cross first, each with its set; then who is ahead throughout."""
    known = [one for one in found if "refusal" not in one]
    if not known:
        return ""
    crossing = [one for one in known if one["at"] is not None]
    parts = [_crossing_words(one) for one in crossing]
    ahead = [f"{one['leader']} of {_loser(one)}" for one in known if one["leader"] is not None]
    if ahead:
        parts.append("ahead over the whole range: " + ", ".join(ahead))
    unsure = len(known) - len(crossing) - len(ahead)
    low, high = known[0]["shared_range"]
    if unsure == len(known):
        return (
            f"Neither a crossing nor a steady lead is established for {known[0]['axis_name']} from {_amount(low)} to "
            f"{_amount(high)}."
        )
    if unsure:
        which = "one pair" if unsure == 1 else f"{unsure} pairs"
        parts.append(f"for {which} neither a crossing nor a steady lead is established")
    none = "No crossing is established inside" if unsure else "No crossing inside"
    lead = "" if crossing else f"{none} the data ({_amount(low)} to {_amount(high)}): "
    return lead + "; ".join(parts) + "."


def _crossing_words(one: Mapping[str, Any]) -> str:
    """The set as far as it lies in the data: beyond them, laws that were not tested there meet as they like."""
    low, high = one["shared_range"]
    inside = [(max(low, start), min(high, end)) for start, end in one["set95"] if start < high and end > low]
    pieces = " and ".join(f"{_amount(start)} to {_amount(end)}" for start, end in inside) or "empty"
    where = f"{one['axis_name']} = {_amount(one['at'])} ({100 * one['level']:.3g} % set {pieces})"
    return f"{one['better_small']} is ahead of {one['better_large']} below {where} and behind above"


def _amount(value: float) -> str:
    """Three significant digits, thousands apart: 17,200; large ones as 1.72e11."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if 1000 <= rounded < 1e7 else f"{value:.3g}".replace("e+", "e")


def _loser(one: Mapping[str, Any]) -> str:
    first, second = one["arms"]
    return str(second if one["better_large"] == first else first)


def with_coordinates(table: Observations, study: StudyPlan) -> Observations:
    """Rows with the coordinates of their rung (size, arm, ...) as further columns, so that `where` can name them; the
    study's name stands for its folder, which may move."""
    at = {planned.run: planned.at for planned in study.runs}
    rows = tuple({**at.get(str(row.get("run")), {}), **row} for row in table)
    return dataclasses.replace(table, rows=rows, source=study.name)


@dataclass(frozen=True)
class Declared:
    """What a question of a study fits: which rows, which law, which columns by role."""

    name: str
    rows: Observations
    law: Law
    columns: Mapping[str, str]


def declared(
    folder: str | Path, *, name: str | None = None, suits: Callable[[Law], bool] = lambda law: True
) -> Declared | None:
    """The study's question of that name, or its first that fits a law which suits; None where none does.

    Raises LawfulError where that question cannot be asked of the table (the next one's rows are no answer to it), and
    for a question with a law of the user's own that this process was not given by name.
    """
    home = Store(Path(folder))
    study = home.read_study()
    known = [question.name for question in study.questions]
    if name is not None and name not in known:
        raise DeclarationError(f"question: {study.name} asks no {name!r}; it asks {', '.join(known)}.")
    table = with_coordinates(read_runs(home.folder), study)
    for question in study.questions:
        if question.law == "paired" or name not in (None, question.name):
            continue
        if not (question.law in ("power", "power_floor") or suits(stored(question.law_name))):
            continue  # only rows tell the axis of these two
        rows = _not_held_out(_asked_about(question, table, []))
        law = _law(question, rows)
        if suits(law):
            return Declared(question.name, rows, law, _columns(question, law))
    return None


def question_rows(question: Question, table: Observations, extra: Observations) -> tuple[Mapping[str, Any], ...]:
    """Those of the `extra` rows that the question asks about, where "max" and "min" are over the table's own."""
    finished = tuple(row for row in table if is_finished(row))
    both = dataclasses.replace(table, rows=(*finished, *extra))
    wanted = {id(row) for row in extra}
    return tuple(row for row in _matching(both, question.where, []) if id(row) in wanted)


def _answer(
    question: Question,
    table: Observations,
    registered: Sequence[Mapping[str, Any]],
    *,
    draws: int,
    seed: int,
) -> Answer | _Arms:
    excluded: list[Mapping[str, Any]] = []
    try:
        chosen = _asked_about(question, table, excluded)
        fitted = _not_held_out(chosen)
        if question.along is not None:  # the law paired
            _expect(table, question.along, "arm", "seed", question.loss)
            refuse_missing(fitted, {"loss": question.loss})
            return _in_pairs(question, question.along, fitted, excluded)
        law = _law(question, fitted)
        columns = _columns(question, law)
        _expect(table, *columns.values())
        refuse_missing(chosen, columns)
        arms = _arm_names(fitted)
        if len(arms) > 1:
            return _Arms([_of_arm(question, arm) for arm in arms], law, columns, fitted, excluded)
        found = fit(fitted, law, **columns, fixed=question.fixed or None, draws=draws, seed=seed)
        held = _held_out(found, [row for row in chosen if row.get("held_out") is True])
    except (Refusal, DeclarationError) as refusal:
        code = refusal.code if isinstance(refusal, Refusal) else None
        rest = (None, (), tuple(excluded), (), ())
        return Answer(question, "refused", str(refusal), f"Refused: {refusal}", *rest, code=code)
    except TableError as error:
        raise TableError(f"question {question.name!r}: {error}") from error
    held, moved = _as_registered(question, held, registered)
    also = _sisters(found, fitted, columns, chosen)
    return Answer(
        question,
        "answered",
        None,
        _sentence(found, held),
        found,
        held,
        tuple(excluded),
        (*_about_held_out(held), *moved, *found.warnings),
        also,
        truth=_recovered(question, fit=found.to_json()),
    )


def _asked_about(question: Question, table: Observations, excluded: list[Mapping[str, Any]]) -> Observations:
    finished = _without(
        table, is_finished, excluded, lambda row: f"{row['status']}: {row.get('reason') or 'no reason'}"
    )
    own = _without(finished, is_of_ladder, excluded, why_off_ladder)
    return _matching(own, question.where, excluded)


def _expect(table: Observations, *columns: str) -> None:
    """A column that the table does not have is an error of the question."""
    missing = [repr(column) for column in columns if table.known_as(column) not in table.columns]
    if table.rows and missing:
        raise DeclarationError(f"{table.source}: no column {', '.join(missing)}; it has {', '.join(table.columns)}.")


def _not_held_out(rows: Observations) -> Observations:
    return rows.where(lambda row: row.get("held_out") is not True, "held out")


def _columns(question: Question, law: Law) -> dict[str, Any]:
    """By role, as far as the law needs them."""
    needed = {"loss", *law.inputs, *(("params", "tokens") if "flops" in law.inputs else ())}
    roles = {"params": question.params, "tokens": question.tokens, "flops": question.flops, "loss": question.loss}
    return {role: column for role, column in roles.items() if role in needed and column is not None}


def _in_pairs(question: Question, along: str, rows: Observations, excluded: list[Mapping[str, Any]]) -> Answer:
    found = paired(rows, along, loss=question.loss)
    plain = json_files.plain(dataclasses.asdict(found))
    rest = (None, (), tuple(excluded), found.warnings, ())
    return Answer(question, "answered", None, found.sentence, *rest, paired=plain)


def _recovered(question: Question, **found: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    return tuple(dataclasses.asdict(row) for row in recovered(question.truth, **found))


def _arm_names(table: Observations) -> list[str]:
    if "arm" not in table.columns:
        return []
    return list(dict.fromkeys(str(value) for value in table.values("arm") if value not in (None, "")))


def _of_arm(question: Question, arm: str) -> Question:
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in arm)
    where = {**question.where, "arm": arm}
    asks = f"{question.asks} ({arm})"
    return dataclasses.replace(question, name=f"{question.name}--{safe}", asks=asks, where=where, truth={})


def _without(table: Observations, keep: Any, excluded: list[Mapping[str, Any]], reason: Any) -> Observations:
    excluded += [
        {"run": row.get("run", ""), "rung": row.get("rung", ""), "reason": reason(row)}
        for row in table
        if not keep(row)
    ]
    return dataclasses.replace(table, rows=tuple(row for row in table if keep(row)))


def _matching(table: Observations, where: Mapping[str, Any], excluded: list[Mapping[str, Any]]) -> Observations:
    """Rows with the asked values; "max" and "min" are over the rows that may be fitted."""
    for name, wanted in where.items():
        column = table.known_as(name)
        _expect(table, column)
        value: Any = wanted
        if isinstance(wanted, (list, tuple)):
            table = _without(
                table,
                lambda row, c=column, v=tuple(wanted): row.get(c) in v,
                excluded,
                lambda row, c=column, v=tuple(wanted): f"{c} is none of {', '.join(map(str, v))}",
            )
            continue
        if wanted in ("max", "min"):
            present = [
                row[column] for row in table if row.get("held_out") is not True and row.get(column) not in (None, "")
            ]
            if not present:
                raise Refusal("no_rows", f"where: no run that may be fitted has a value of {column}.")
            value = max(present) if wanted == "max" else min(present)
        table = _without(
            table,
            lambda row, c=column, v=value: row.get(c) == v,
            excluded,
            lambda row, c=column, v=value, w=wanted: f"{c} is not {_MOST.get(w, '')}{_shown(v)}",
        )
    if not len(table):
        asked = " and ".join(f"{column}={_shown(wanted)}" for column, wanted in where.items()) or "the question"
        raise Refusal("no_rows", f"where: no finished run matches {asked}.")
    return table


_MOST = {"max": "the largest, ", "min": "the smallest, "}


def _shown(value: Any) -> str:
    """A count with separators, anything else as it is."""
    whole = isinstance(value, (int, float)) and not isinstance(value, bool) and float(value).is_integer()
    return f"{int(value):,}" if whole else str(value)


def _law(question: Question, fitted: Observations) -> Law:
    """The question's law; one of lawful's own that names no axis takes the one that varies. Imports nothing."""
    spec = question.law_name
    if spec not in ("power", "power_floor"):
        law = stored(spec)
        to_data(law)  # raises for one that the answer's file could not hold
        return law
    asked = {"params": fitted.known_as(question.params), "tokens": fitted.known_as(question.tokens)}
    known = {axis: column for axis, column in asked.items() if column in fitted.columns}
    others = {role: column for role, column in fitted.roles.items() if role not in asked}
    return on_its_axis(spec, dataclasses.replace(fitted, roles={**others, **known})).law


def _held_out(found: Fit, rows: Sequence[Mapping[str, Any]]) -> tuple[HeldOut, ...]:
    out = []
    for row in rows:
        at = coordinates(row, found.model, found.data["columns"])
        prediction = found.predict(**at, interval="new_run")
        observed = float(row[found.data["columns"]["loss"]])
        out.append(
            HeldOut(
                str(row.get("run", "")),
                str(row.get("rung", "")),
                at.get("params"),
                at.get("tokens"),
                row.get("seed"),
                prediction.value,
                (prediction.low, prediction.high),
                observed,
                prediction.value / observed - 1,
                prediction.low <= observed <= prediction.high,
            )
        )
    return tuple(out)


def _as_registered(
    question: Question, held: Sequence[HeldOut], registered: Sequence[Mapping[str, Any]]
) -> tuple[tuple[HeldOut, ...], tuple[Caution, ...]]:
    """The forecasts that were written before the held-out runs began are the ones that are scored."""
    earlier = {entry["run"]: entry for entry in registered if entry["question"] == question.name}
    out, moved = [], 0
    for row in held:
        if row.run not in earlier:
            out.append(row)
            continue
        value, (low, high) = float(earlier[row.run]["predicted"]), map(float, earlier[row.run]["interval"])
        moved += abs(row.predicted / value - 1) > 0.001
        out.append(
            dataclasses.replace(
                row,
                predicted=value,
                interval=(low, high),
                error_relative=value / row.observed - 1,
                is_inside=low <= row.observed <= high,
                is_registered=True,
            )
        )
    sentence = (
        f"{moved} held-out forecasts, written before those runs began, differ from what the law says now by over .1 %."
    )
    return tuple(out), (Caution("forecast_moved", "note", sentence),) if moved else ()


def _sisters(
    found: Fit, fitted: Observations, columns: Mapping[str, str], chosen: Observations
) -> tuple[Mapping[str, Any], ...]:
    """The same rows under the law with its floor fixed at zero, or with one added; by AICc and held-out error."""
    tried = []
    for law, fixed in _sister_laws(found):
        entry: dict[str, Any] = {"law": law.spec, "fixed": fixed, "formula": law.formula, "refusal": None}
        try:
            sister = fit(fitted, law, **columns, fixed=fixed, draws=0)  # type: ignore[arg-type]
        except Refusal as refusal:
            tried.append({**entry, "refusal": str(refusal)})
            continue
        held = _held_out(sister, [row for row in chosen if row.get("held_out") is True])
        tried.append(
            {
                **entry,
                "n": sister.goodness.n,
                "aicc": sister.goodness.aicc,
                "delta_aicc": sister.goodness.aicc - found.goodness.aicc,
                "params": {name: p.value for name, p in sister.params.items()},
                "held_out_error": float(np.mean([abs(row.error_relative) for row in held])) if held else None,
            }
        )
    return tuple(tried)


def _sister_laws(found: Fit) -> list[tuple[Law, dict[str, float]]]:
    law = found.model
    if type(law) is Power:  # exactly: a law made from one of these may be quite another
        return [(PowerFloor(law.axis), {})]
    if type(law) is PowerFloor:
        return [(Power(law.axis), {})]
    return [(law, {"E": 0.0})] if "E" in found.free else []


def _about_held_out(held: Sequence[HeldOut]) -> tuple[Caution, ...]:
    missed = [row for row in held if not row.is_inside]
    if not held:
        return (
            Caution(
                "nothing_held_out",
                "note",
                "No held-out run matches the question: the law was not tested on a run it had not seen.",
            ),
        )
    if missed:
        return (
            Caution(
                "held_out_missed",
                "warning",
                f"{len(missed)} of {len(held)} held-out losses lie outside the 95 % interval for a new run.",
            ),
        )
    return ()


def _sentence(found: Fit, held: Sequence[HeldOut]) -> str:
    """The answer in one sentence, with n and intervals."""
    columns = found.data["columns"]
    symbols = {"params": "N", "tokens": "D", "flops": "C"}
    symbols |= {
        axis: other
        for axis, column in columns.items()
        if (other := {"unique_tokens": "U", "seconds": "t"}.get(str(column)))
    }
    exponents = [s.name for s in found.model.shapes if s.name in found.free]
    parts = []
    for name, axis in zip(exponents, found.model.inputs, strict=False):
        p, symbol = found.params[name], symbols.get(axis, axis)
        known = interval(*p.ci95, ".3f")
        is_open = p.at_bound or not np.isfinite(p.ci95).all()  # then the value is no result
        parts.append(f"{symbol}^-{name} ({name} {known})" if is_open else f"{symbol}^-{p.value:.3f} {known}")
    metrics = {"loss": "Loss", "best_weights_loss": "Best loss"}
    metric = metrics.get(columns["loss"]) or column_title(columns["loss"]) or columns["loss"]
    if type(found.model) is Saturating and parts and found.derived:
        half = found.derived["x_half"]
        text = f"{metric}: the odds fall as {parts[0]} and are even at {half.value:.3g} "
        text += interval(*half.ci95) + ("" if {"floor", "range"} & set(found.free) else ", the rate bounded by 0 and 1")
    else:
        text = f"{metric} falls as " + " and ".join(parts) if parts else f"{metric} follows {found.formula}"
    if "E" in found.params and found.params["E"].role == "fitted":
        floor = found.params["E"]
        text += f" towards {floor.value:z.3f} {interval(*floor.ci95, 'z.3f')}"
    runs = f"{found.goodness.n} runs"
    if found.goodness.clusters < found.goodness.n:
        runs += f" in {found.goodness.clusters} clusters"
    text += f" ({runs}, 95 % intervals)"
    if held:
        worst = max(abs(row.error_relative) for row in held)
        inside = sum(row.is_inside for row in held)
        text += (
            f"; {len(held)} held-out {'run was' if len(held) == 1 else 'runs were'} predicted within "
            f"{100 * worst:.{1 if worst >= 0.00995 else 2}f} %, {inside} of {len(held)} inside the interval"
        )
        if empty := sum(says_nothing(*row.interval) for row in held):
            text += f", but {empty} of these intervals are so wide that they say nothing"
    return text + "."
