"""lawful report: the page of a table, of a study, or of two studies."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from lawful.cli.announce import announce, print_answer, say
from lawful.cli.asked import Bounds, Fixed, Source, limited, with_options
from lawful.cli.study_options import TrustedLaws, trust_laws
from lawful.errors import DeclarationError, StoreError, in_words


def register(app: typer.Typer) -> None:
    app.command()(with_options(report))


def report(
    asked: Source,
    beside: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Another study's folder, to lay beside the first.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The page to write (default: TABLE.html for a table, DIR/beside-DIR.html for two studies)."),
    ] = None,
    law: TrustedLaws = None,
    bounds: Bounds = None,
    fixed: Fixed = None,
    by: Annotated[
        str | None, typer.Option("--by", help="For a table: the column that names the arms (default: arm).")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(help="For a table: draw a published law beside its own (`lawful laws --published`)."),
    ] = None,
) -> None:
    """Write the page of a table of runs, or of a study again. A study's folder is enough; torch is not needed. Two
    studies, or two states of one, are shown side by side; a folder without fits is fitted first. The page of a table
    shows its law, or compares its arms. Options about columns, rows, arms and parameters are for tables only."""
    from lawful.conduct import conclude

    first = Path(asked.source)
    is_study = first.is_dir() and (out is None or (first / "study.json").exists())  # a tracker's folder needs --out
    if beside is None and not is_study:
        _report_table(asked, out, law, bounds, fixed, by, against)
        return
    if asked.has_options or bounds or fixed or by or against:
        raise DeclarationError(f"{first}: a study declares its columns and rows; these options are for a table.")
    trust_laws(law)
    if beside is None:
        if out is not None:
            raise DeclarationError("--out: expected two folders or a table; a study's page stands in its folder.")
        page = conclude(first, say)
        announce(first, page)
        return
    from lawful.report.beside import write_beside
    from lawful.storage.layout import Store

    for folder in (first, beside):
        questions = Store(folder).read_study().questions
        if not any(Store(folder).fit(question.name).exists() for question in questions):
            conclude(folder, say)
    try:
        page = write_beside(first, beside, out)
    except OSError as error:
        if out is not None:
            raise
        raise StoreError(f"{in_words(error)} `--out FILE` writes the page elsewhere.") from error
    print(f"report: {page.resolve()}")


def _report_table(
    asked: Source,
    out: Path | None,
    law: list[str] | None,
    bounds: list[str] | None,
    fixed: list[str] | None,
    by: str | None,
    against: str | None,
) -> None:
    """The page of a table of runs; --law then names the law to fit, --bounds where the parameters of a formula are
    sought, --fixed those that are known, --by the arms."""
    from lawful.fitting.answer_table import answer_table, with_arms, with_run_names
    from lawful.fitting.published_curve import published_of
    from lawful.laws import with_bounds
    from lawful.report.table_page import write_table_page

    if law is not None and len(law) > 1:
        raise DeclarationError(f"--law: expected one law for a table, got {len(law)}.")
    if bounds and law is None:
        raise DeclarationError("--bounds: expected a formula beside it, --law FORMULA.")
    chosen, others = with_bounds(law[0], limited(bounds, None)["bounds"]) if law else (None, {})
    if others:
        named = law[0] if law else ""
        raise DeclarationError(f"--bounds: {', '.join(others)}: expected parameters of a formula, --law {named!r}.")
    if against is not None:
        published_of(against)  # a bad name, before a fit that takes minutes
    table = with_run_names(asked.table())
    if by is not None:
        table = with_arms(table, by)
    for line in table.said:
        print(f"read: {line}")
    answers = answer_table(table, law=chosen, fixed=limited(None, fixed)["fixed"])
    out = out or Path(asked.source).with_suffix(".html")
    write_table_page(table, answers, out, shlex.join(["lawful", *sys.argv[1:]]), against)
    print_answer(answers[0])
    print(f"report: {out.resolve()}")
