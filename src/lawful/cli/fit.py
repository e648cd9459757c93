"""lawful fit: a law, its parameters and its doubts, from a table or a study's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lawful.cli import metrics, options
from lawful.cli.asked import Fitted, limited, names_of, with_options
from lawful.cli.metrics import ManyMetrics
from lawful.cli.results import By, expect_alone, parts_by, plain, print_json, print_plain
from lawful.errors import DeclarationError

if TYPE_CHECKING:
    from lawful.fitting.headline_text import Headline
    from lawful.fitting.result import Fit
    from lawful.tables import Observations


PlotColumns = Annotated[
    int | None,
    typer.Option(
        help="Width of the --plot picture: 1 or 2 columns of a paper.", callback=options.of(Literal[1, 2] | None)
    ),
]
PlotFile = Annotated[Path | None, typer.Option("--plot", help="Draw the fit as well: FILE.png, .svg or .pdf.")]
Share = Annotated[
    str | None,
    typer.Option(help="With --by: parameters that all arms share, A,B; the rest is each arm's own. One joint fit."),
]
Pool = Annotated[
    str | None,
    typer.Option(
        help="With --by: parameters pooled in part, A,B: each arm's is drawn from a normal of unknown spread."
    ),
]
AgainstFit = Annotated[
    str | None,
    typer.Option(
        "--against",
        help="Also: hold the fit against a published one (`lawful laws --published`), NAME or NAME:same-data.",
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Also how it was fitted: solver, certificate, criteria.")]


def register(app: typer.Typer) -> None:
    app.command("fit")(with_options(fit_command))


def fit_command(
    asked: Fitted,
    by: By = None,
    share: Share = None,
    pool: Pool = None,
    plot: PlotFile = None,
    plot_columns: PlotColumns = None,
    verbose: Verbose = False,
    published: AgainstFit = None,
    metric: ManyMetrics = None,
) -> None:
    """Fit a law and print the answer, the parameters, the doubts and what to do next. Exits 1 when the data cannot
    answer."""
    from lawful.fitting.against import against
    from lawful.fitting.ranking import with_ranking

    if metric is not None:
        beside = {"--by": by, "--share": share, "--pool": pool, "--plot": plot, "--against": published}
        expect_alone("--metric", {**beside, "--verbose": verbose})
        metrics.show(asked, metric, {})
        return
    if plot is None and plot_columns is not None:
        raise DeclarationError("--plot-columns: expected --plot FILE beside it, got none.")
    if asked.is_as_declared and by is None and plot is None and published is None and share is None and pool is None:
        _answer_folder(asked.source, asked.draws, asked.seed, asked.as_json, verbose)
        return
    if share is not None or pool is not None:
        expect_alone("--share" if pool is None else "--pool", {"--verbose": verbose})
        _fit_joint(asked, by, share, pool, plot, published)
        return
    if plot is not None and by is not None:
        raise DeclarationError("--plot: expected one fit, got one for each value of --by.")
    table, law, columns = asked.ask()
    if plot is not None:
        table = _named_runs(table, plot)
    fits = {name: with_ranking(asked.fit(part, law, columns)) for name, part in parts_by(table, by)}
    if plot is not None:
        _save_picture(table, next(iter(fits.values())), plot, plot_columns, published)
    held = {name: against(found, published) for name, found in fits.items()} if published else {}
    if asked.as_json:
        out = [{**found.to_json(), **({"against": plain(held[name])} if held else {})} for name, found in fits.items()]
        print_json([{"by": name, **one} for name, one in zip(fits, out, strict=True)] if by else out[0])
        return
    for name, found in fits.items():
        title = f"{by} = {name}\n" if by else ""
        typer.echo(title + _sketched(found) + _in_words(found, verbose) + ("\n" if by else ""))
        if held:
            typer.echo("\n" + "\n".join(held[name].lines))


def _fit_joint(
    asked: Fitted, by: str | None, share: str | None, pool: str | None, plot: Path | None, published: str | None
) -> None:
    """Arms that share parameters, or whose parameters are pooled in part."""
    from lawful.fitting.pool import fit_pooled
    from lawful.fitting.shared import fit_shared

    flag = "--share" if pool is None else "--pool"
    if share is not None and pool is not None:
        raise DeclarationError("--pool and --share: expected one of the two; arms of a shared parameter do not differ.")
    if by is None:
        raise DeclarationError(f"{flag}: expected --by COLUMN beside it, which names the arms.")
    if plot is not None or published is not None or asked.prior or asked.x or asked.objective != "robust":
        raise DeclarationError(f"{flag}: expected neither --plot, --against, --prior, --x nor --objective beside it.")
    table, law, columns = asked.ask()
    how: Any = {"cluster": asked.cluster, **columns, **limited(asked.bounds, asked.fixed)}
    found = (fit_shared if pool is None else fit_pooled)(table, by, names_of(share or pool), law=law, **how)
    if asked.as_json:
        print_plain({**vars(found), "loss_unit": table.loss_unit})
        return
    typer.echo("\n".join(found.lines))


def _answer_folder(source: str, draws: int, seed: int, as_json: bool, verbose: bool) -> None:
    from lawful.fitting.answer import answer_study
    from lawful.report.evidence import answers_beside_counts
    from lawful.storage.atomic import read_only

    with read_only():
        answers = answer_study(source, draws=draws, seed=seed)
    answers = answers_beside_counts(Path(source), answers)
    if as_json:
        print_json([answer.to_json() for answer in answers])
    else:
        for answer in answers:
            typer.echo(f"{answer.question.name}: {answer.question.asks}")
            if answer.fit is not None:
                typer.echo(_in_words(answer.fit, verbose, answer.said) + "\n")
            else:
                typer.echo(f"{answer.headline}\n{answer.basis}\n\n{answer.sentence}\n\nnext: {answer.next_step}\n")
    if answers and all(answer.status == "refused" for answer in answers):
        raise typer.Exit(1)


def _named_runs(table: Observations, plot: Path) -> Observations:
    from lawful.fitting.answer_table import with_run_names
    from lawful.report.figures import expect_kind

    expect_kind(plot)  # before a fit that takes minutes
    return with_run_names(table)


def _save_picture(table: Observations, found: Fit, plot: Path, columns: int | None, published: str | None) -> None:
    from lawful.fitting.answer_table import answer_of_fit
    from lawful.report import figures
    from lawful.report.table_page import picture

    chart = picture(table, (answer_of_fit(table, found),), published)
    if chart is not None:
        figures.save(chart, plot, columns)


def _sketched(found: Fit) -> str:
    """A small picture above the words, in a terminal."""
    import shutil
    import sys

    from lawful.fitting.sketch import sketch

    if not sys.stdout.isatty():
        return ""
    picture = sketch(found, min(shutil.get_terminal_size().columns, 80))
    return f"{picture}\n\n" if picture else ""


def _in_words(found: Fit, verbose: bool, said: Headline | None = None) -> str:
    from lawful.fitting.summary import short

    text = short(found, said)
    return f"{text}\n\nsolver details:\n{found.summary()}" if verbose else text
