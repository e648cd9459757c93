"""The answer of any table of runs, as a study's question has one: a law, or its arms compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lawful.errors import DeclarationError, Refusal
from lawful.fitting.answer import answer_arms
from lawful.fitting.answer_words import law_sentence
from lawful.fitting.answers import Answer
from lawful.fitting.arms import arm_name
from lawful.fitting.asked import arm_names, of_arm
from lawful.fitting.default_law import resolved
from lawful.fitting.estimate import fit
from lawful.fitting.headline_fit import loss_name, thing_of
from lawful.fitting.records import HeldOut
from lawful.fitting.result import Fit
from lawful.laws import Law
from lawful.schema import Question
from lawful.tables import Observations


def with_run_names(table: Observations) -> Observations:
    """The table with the name of each row's run, so that a chart can tell which rows a law was fitted to."""
    cluster = table.roles.get("cluster", "")
    rows = tuple(
        {**row, "run": str(row.get("run") or row.get(cluster) or f"row {number}")}
        for number, row in enumerate(table, start=1)
    )
    return replace(table, rows=rows)


def with_arms(table: Observations, by: str) -> Observations:
    """The table with its arms in the column `arm`, as another column names them."""
    arms = [arm_name(cell) for cell in table.values(by)]
    rows = [{name: cell for name, cell in row.items() if name != by} for row in table]
    return replace(table, rows=tuple({**row, "arm": arm} for row, arm in zip(rows, arms, strict=True)))


def answer_table(
    table: Observations,
    *,
    law: str | Law | None = None,
    fixed: Mapping[str, float] | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[Answer, ...]:
    """The answer first; where the table has several arms (a column `arm`), each arm's own law follows. A refusal is an
    answer too.

    table   read, with its roles (tables.read_by_role) and the names of its runs (with_run_names)
    fixed   parameter -> value, as of `lawful.fit`
    """
    asked = _question(table, None)
    try:
        choice = resolved(law, table)
        asked = _question(table, choice.law)
        arms = arm_names(table)
        if len(arms) < 2:
            return (_of_law(table, asked, choice.law, draws, seed, fixed),)
        if fixed:
            raise DeclarationError(
                f"fixed: expected a table of one arm, got {len(arms)}; `lawful compare --fixed` compares them."
            )
        asked = replace(
            asked, asks=f"Which of {', '.join(arms[:-1])} and {arms[-1]} is better, and does that change with scale?"
        )
        each = [_of_arm(table, asked, choice.law, arm, draws, seed) for arm in arms]
        rows = table.of_ladder().where(lambda row: row.get("held_out") is not True, "held out")
        return (answer_arms(asked, each, choice.law, rows).with_headline(), *each)
    except Refusal as refusal:
        return (_refused(table, asked, refusal),)


def _of_arm(table: Observations, asked: Question, law: Law, arm: str, draws: int, seed: int) -> Answer:
    own = table.where(lambda row: str(row.get("arm")) == arm, "another arm")
    return _of_law(own, of_arm(asked, arm), law, draws, seed)


def _of_law(
    table: Observations,
    asked: Question,
    law: Law,
    draws: int,
    seed: int,
    fixed: Mapping[str, float] | None = None,
) -> Answer:
    try:
        return _answered(asked, fit(table, law, fixed=fixed, draws=draws, seed=seed))
    except Refusal as refusal:
        return _refused(table, asked, refusal)


def answer_of_fit(table: Observations, found: Fit) -> Answer:
    """A fit to a table, as the answer to a question."""
    return _answered(_question(table, found.model), found)


def _question(table: Observations, law: Law | None) -> Question:
    """How the loss falls with what the law reads."""
    params, tokens, loss = (table.roles.get(role, role) for role in ("params", "tokens", "loss"))
    things = [thing_of(axis, table.roles.get(axis)) for axis in (law.inputs if law else ())]
    return Question(
        name="loss" if table.response.is_log else "metric",
        asks=f"How does the {loss_name(loss)} {'fall' if table.response.is_log else 'change'}"
        + (f" with {' and '.join(things)}?" if things else "?"),
        law=law.spec if law else "power",
        params=params,
        tokens=tokens,
        loss=loss,
        flops=table.roles.get("flops"),
    )


def _answered(asked: Question, found: Fit) -> Answer:
    held = _held_out(found)
    return Answer(
        question=asked,
        status="answered",
        sentence=law_sentence(found, held),
        held_out=held,
        warnings=found.warnings,
        fit=found,
    ).with_headline()


def _refused(table: Observations, asked: Question, refusal: Refusal) -> Answer:
    why = str(refusal).removeprefix(f"{table.source}: ")  # the page is of this table
    return Answer(
        question=asked, status="refused", refusal=why, sentence=f"Refused: {why}", code=refusal.code
    ).with_headline()


def _held_out(found: Fit) -> tuple[HeldOut, ...]:
    """The runs that the table holds out, as a study's answer has them."""
    return tuple(
        HeldOut(
            run=row.run,
            rung="",
            params=_amount(row.prediction.at, "params"),
            tokens=_amount(row.prediction.at, "tokens"),
            seed=None,
            predicted=row.prediction.value,
            interval=(row.prediction.low, row.prediction.high),
            observed=row.observed,
            error_relative=row.error_relative,
            is_inside=row.is_inside,
        )
        for row in found.held_out
    )


def _amount(at: Mapping[str, float | str], axis: str) -> float | None:
    value = at.get(axis)
    return None if isinstance(value, str) else value
