"""The tables of a whole study: count baselines, runs left out, loss collapse, its data, and how to repeat it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from lawful.fitting.answers import Answer
from lawful.fitting.collapse import Collapse, Course, collapse
from lawful.report import tables
from lawful.report.evidence import Evidence
from lawful.report.marks import fitted_rows, held_out_rows
from lawful.report.table import Table
from lawful.report.tables import number
from lawful.schema import Coordinate


def baselines_table(evidence: Evidence) -> Table:
    """Count models of the same text, and the best run, on the same validation tokens."""
    rows = [
        (
            f"{item.get('name')} counts",
            tables.count(item.get("params")),
            tables.loss(item.get("loss")),
            tables.significant(number(item.get("bits_per_byte")) or 0, 3)
            if number(item.get("bits_per_byte"))
            else tables.DASH,
            tables.general(item.get("perplexity"), 3),
        )
        for item in evidence.baselines
    ]
    done = [row for row in evidence.finished if number(row.get("loss")) is not None]
    if done:
        best = min(done, key=lambda row: number(row.get("loss")) or math.inf)
        value = number(best.get("loss")) or 0.0
        rows.append(
            (
                f"best run ({best.get('run')})",
                tables.count(best.get("params_total")),
                tables.loss(value),
                tables.significant(number(best.get("bits_per_byte")) or 0, 3)
                if number(best.get("bits_per_byte"))
                else tables.DASH,
                tables.general(math.exp(min(value, 700)), 3)
                if best.get("loss_unit") == "nats_per_token"
                else tables.DASH,
            )
        )
    return Table(
        title="Did the models learn more than counts?",
        header=("Model", "Parameters", "Loss", "Bits per byte", "Perplexity"),
        rows=rows,
        right=(1, 2, 3, 4),
    )


def left_out_table(evidence: Evidence) -> Table:
    """One row for each reason, every run named in it."""
    several = any(group.question for group in evidence.left_out)
    rows = []
    for group in evidence.left_out:
        runs = "; ".join(f"{run} ({tables.readable(rung)})" if rung else run for run, rung in group.runs)
        rows.append((group.reason, *((group.question or "all",) if several else ()), str(len(group.runs)), runs))
    header = ("Why", *(("Question",) if several else ()), "Runs", "Which")
    return Table(title="Left out of the fit", header=header, rows=rows, right=(2 if several else 1,))


def collapse_tables(evidence: Evidence) -> list[tuple[str, Table]]:
    """For each fitted law whose runs compare: whether all sizes trained along one curve, in a sentence and a table."""
    made = []
    for answer in evidence.fitted:
        found = _collapse(evidence, answer)
        if found is None:
            continue
        table = Table(
            title="Loss collapse",
            header=("N", "Departs from the other sizes by"),
            rows=[(tables.count(size), tables.percent(value)) for size, value in found.departs.items()],
            right=(0, 1),
        )
        made.append((_collapse_sentence(found, answer.question.where.get("arm")), table))
    return made


def _collapse(evidence: Evidence, answer: Answer) -> Collapse | None:
    floor = answer.fit.params.get("E") if answer.fit else None
    rows = [*fitted_rows(evidence, answer), *(one.row for one in held_out_rows(evidence, answer))]
    courses = []
    for row in rows:
        size, curve = number(row.get("params_non_embedding")), evidence.curves.get(str(row.get("run")))
        if size and curve is not None and curve.kind == "validation":
            seed, total = int(number(row.get("seed")) or 0), number(row.get("tokens")) or 0.0
            courses.append(Course(params=size, seed=seed, total_tokens=total, tokens=curve.tokens, loss=curve.loss))
    return collapse(courses, floor.value) if floor and len(courses) == len(rows) else None


def _collapse_sentence(found: Collapse, arm: Coordinate | tuple[Coordinate, ...] | None) -> str:
    about = f" ({arm})" if arm else ""
    noise = "" if found.seed_spread is None else f"; seeds of one size differ by {tables.percent(found.seed_spread)}"
    if found.broken is None:
        return (
            f"All sizes train along one curve{about}: their reducible losses, as shares of the last, depart by at most "
            f"{tables.percent(max(found.departs.values()))}{noise}."
        )
    return (
        f"The size {tables.count(found.broken)} leaves the curve that the others share{about}, by "
        f"{tables.percent(found.departs[found.broken])}{noise}: its learning rate or warmup may not suit it."
    )


def corpora_table(evidence: Evidence) -> Table:
    rows = [
        (
            name,
            corpus.fingerprint,
            tables.count(corpus.train_tokens),
            tables.count(corpus.validation_tokens),
            tables.count(corpus.vocabulary),
            corpus.licence,
        )
        for name, corpus in evidence.study.corpora.items()
    ]
    return Table(
        title="Data",
        header=("Corpus", "Fingerprint", "Training tokens", "Validation tokens", "Vocabulary", "Licence"),
        rows=rows,
        right=(2, 3, 4),
    )


def repeat_facts(evidence: Evidence) -> list[tuple[str, str]]:
    """Versions, commit, precision, numerics."""
    study = evidence.study
    facts = [("Commit", study.versions.commit or "not recorded")]
    if study.study_file:
        facts.append(("Declared in", f"{Path(study.study_file.path).name}, SHA-256 {study.study_file.sha256[:16]}"))
    versions = [(name, version) for name, version in asdict(study.versions).items() if name != "commit" and version]
    facts.append(("Versions", ", ".join(f"{name} {version}" for name, version in versions)))
    facts.append(("Precision", study.precision))
    facts.append(("Compute", _compute(evidence)))
    facts.append(("Numerics", _numerics([str(row["numerics"]) for row in evidence.rows if row.get("numerics")])))
    breaks = sum(int(number(row.get("numerics_breaks")) or 0) for row in evidence.rows)
    if breaks:
        facts.append(("Breaks in numerics", f"{breaks}, at resumes; bits may differ from an uninterrupted run"))
    if fits := [answer.fit for answer in evidence.answers if answer.fit]:
        facts.append(("Fit", f"seed {fits[0].seed}, table {fits[0].data.sha256[:16]}"))
    facts.append(("Planned", tables.moment(study.created)))
    return [(name, text) for name, text in facts if text]


def _numerics(found: Sequence[str]) -> str:
    """torch=2.13 device=cpu micro_batch=12 and the same with 15: torch=2.13 device=cpu micro_batch=12, 15."""
    distinct = list(dict.fromkeys(found))
    settings = [[part.partition("=") for part in one.split()] for one in distinct]
    if not all(mark for one in settings for _, mark, _ in one):
        return " · ".join(distinct)
    values: dict[str, dict[str, None]] = {}
    for name, _, value in (part for one in settings for part in one):
        values.setdefault(name, {})[value] = None
    return "; ".join(f"{name} {', '.join(sorted(some, key=_natural))}" for name, some in values.items())


def _natural(value: str) -> tuple[float, str]:
    return (number(value) or 0.0, value)


def _compute(evidence: Evidence) -> str:
    """What the runs cost, and what shared trunks saved."""
    priced = [(number(row.get("flops")), number(row.get("flops_spent"))) for row in evidence.finished]
    counted = sum(flops for flops, spent in priced if flops and spent is not None)
    paid = sum(spent for flops, spent in priced if flops and spent is not None)
    if not (counted and paid):
        return ""
    if paid > 0.999 * counted:
        return tables.flops(counted)
    return (
        f"{tables.flops(paid)} were spent where training each run from scratch would take {tables.flops(counted)}, "
        f"{counted / paid:.2f} times as much: budgets share trunks"
    )
