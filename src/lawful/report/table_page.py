"""The page of any table of runs: the same first screen as a study's, its law, its doubts, its rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lawful
from lawful.fitting.answers import Answer
from lawful.fitting.published_curve import drawable, published_of
from lawful.fitting.registered import NOTHING
from lawful.report.charts import Chart
from lawful.report.evidence import Evidence
from lawful.report.law_curve import law_curve
from lawful.report.page import all_charts, finding_as_title, leading_chart, page
from lawful.report.tables import number
from lawful.schema import StudyPlan, Versions
from lawful.storage.atomic import write_text
from lawful.tables import Observations, is_finished


def write_table_page(
    table: Observations, answers: Sequence[Answer], out: Path, command: str = "", against: str | None = None
) -> Path:
    """Write the page and return its path. Raises OSError where it cannot be written, DeclarationError for a published
    law (`against`) that cannot be drawn beside those of the answers."""
    evidence = evidence_of_table(table, answers, out, command, against)
    write_text(out, page(evidence, all_charts(evidence)))
    return out


def picture(table: Observations, answers: Sequence[Answer], against: str | None = None) -> Chart | None:
    """The one chart that shows the answer, under what was found."""
    evidence = evidence_of_table(table, answers, Path(), against=against)
    lead = leading_chart(evidence, all_charts(evidence))
    return finding_as_title(lead, evidence) if lead else None


def evidence_of_table(
    table: Observations, answers: Sequence[Answer], place: Path, command: str = "", against: str | None = None
) -> Evidence:
    """A table as a study without a plan: its rows are the runs that ended."""
    published = None if against is None else published_of(against)[0]
    for fit in [answer.fit for answer in answers if against is not None and answer.fit is not None]:
        published = drawable(against or "", fit.model.inputs, fit.law, fit.data.response, fit.data.loss_unit)
    source = Path(table.source).name
    study = StudyPlan(
        name=source,
        question=answers[0].question.asks,
        arm="arm" if any(answer.arm for answer in answers) else None,
        runs=(),
        questions=(answers[0].question,),
        corpora={},
        versions=Versions(lawful=lawful.__version__),
        command=command,
    )
    fitted = _as_fitted(answers)
    loss = answers[0].question.loss
    rows = tuple(
        {**row, "status": "finished", **fitted.get((str(row["run"]), number(row.get(loss))), {})}
        if is_finished(row)
        else row
        for row in table
    )
    return Evidence(
        folder=place,
        study=study,
        rows=rows,
        answers=tuple(answers),
        unanswered=(),
        baselines=(),
        counts={},
        registered=NOTHING,
        curves={},
        against=published,
    )


def _as_fitted(answers: Sequence[Answer]) -> dict[tuple[str, float | None], dict[str, float | str]]:
    """Run and loss (a run of a history has many) -> what the fit read of it, under the names of its columns:
    compute may follow from size and data."""
    found: dict[tuple[str, float | None], dict[str, float | str]] = {}
    for answer in answers:
        curve = law_curve(answer)
        if curve is None or answer.fit is None:
            continue
        loss = answer.question.loss
        for row in answer.fit.residuals:
            at: dict[str, float | str] = {curve.columns[axis]: row.axes[axis] for axis in curve.inputs}
            found[row.run, row.observed] = {**at, loss: row.observed}
        for held in answer.fit.held_out:
            at = {curve.columns[axis]: held.prediction.at[axis] for axis in curve.inputs}
            found[held.run, held.observed] = {**at, loss: held.observed}
    return found
