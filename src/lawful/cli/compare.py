"""lawful compare, crossover and replay: arms of a table against one another or a claim."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from lawful.cli import options
from lawful.cli.asked import (
    Axis,
    Bounds,
    ClusterColumn,
    Draws,
    Fitted,
    Fixed,
    LawName,
    Seed,
    Table,
    limited,
    names_of,
    one_axis,
    with_options,
)
from lawful.cli.results import ByArm, amount, print_cautions, print_headline, print_plain
from lawful.errors import DeclarationError

ShareOf = Annotated[
    str | None,
    typer.Option("--share", help="Parameters that all arms share, A,B; a test says whether that costs anything."),
]


def register(app: typer.Typer) -> None:
    app.command("compare")(with_options(compare_command))
    app.command("crossover")(with_options(crossover_command))
    app.command("replay")(with_options(replay_command))


def compare_command(
    asked: Table,
    by: ByArm = "arm",
    law: LawName = None,
    floor: Annotated[
        str,
        typer.Option(
            help="own: one irreducible loss per arm; shared: all are known to have the same.",
            callback=options.of(Literal["own", "shared"]),
        ),
    ] = "own",
    share: ShareOf = None,
    cluster: ClusterColumn = None,
    bounds: Bounds = None,
    fixed: Fixed = None,
) -> None:
    """Whether arms differ, and which explanations the data exclude: a factor, another floor, other exponents."""
    from math import isfinite

    from lawful.fitting.compare import compare
    from lawful.fitting.headline_arms import of_arms
    from lawful.fitting.number_text import interval

    table, chosen, columns = asked.read(law, compares=True)
    how: Any = {"floor": floor, "share": names_of(share), "cluster": cluster, **columns, **limited(bounds, fixed)}
    found = compare(table, by, law=chosen, **how)
    if asked.as_json:
        print_plain({**vars(found), "loss_unit": table.loss_unit})
        return
    print_headline(of_arms(found))
    unit = table.loss_unit if table.response.is_log else ""
    typer.echo(found.sentence + (f" Losses are in {unit}." if unit else "") + "\n")
    typer.echo(
        "An F test compares each explanation with arms that differ in all (p below 0.05: excluded).\n"
        "Whether arms differ at all is a separate, sharper test: the p of the sentence above."
    )
    typer.echo(f"{'':28}{'parameters':>11}{'F':>9}{'p':>10}{'AICc':>10}{'BIC':>10}")
    for one in found.explanations:
        test = "" if one.F is None or one.p is None else f"{one.F:9.3g}{one.p:10.3g}"
        typer.echo(f"{one.name:28}{one.parameters:11}{test or ' ' * 19}{one.aicc:10.1f}{one.bic:10.1f}")
    if found.sharing is not None:
        typer.echo(found.sharing.sentence)
    for d in found.differences:
        typer.echo(
            f"{d.parameter}: {d.second} - {d.first} = "
            + (
                f"{d.value:.4g} {interval(*d.ci95, '.4g')}, p = {d.p:.3g} (Holm {d.p_holm:.3g}), equivalent within "
                f"{d.equivalence:.3g}"
                if isfinite(d.stderr)
                else "not determined"
            )
        )
    if found.best.probability:
        where = ", ".join(f"{axis} {amount(value)}" for axis, value in found.best.at.items())
        shares = ", ".join(f"{arm} {share:.3g}" for arm, share in found.best.probability.items())
        typer.echo(f"probability of being the best at {where}: {shares}")
    print_cautions(found.warnings)


def crossover_command(
    asked: Table,
    by: ByArm = "arm",
    arms: Annotated[str | None, typer.Option(help="FIRST,SECOND where there are more than two.")] = None,
    law: LawName = None,
    x: Axis = None,
    share: ShareOf = None,
    cluster: ClusterColumn = None,
    draws: Draws = 1000,
    seed: Seed = 0,
) -> None:
    """Where the curves of two arms cross, if the data establish that they do."""
    from lawful import laws
    from lawful.fitting.crossover import crossover
    from lawful.fitting.headline_arms import of_crossing

    table, chosen, columns = asked.read(law, lambda law: len(law.inputs) == 1, is_told=x is not None, compares=True)
    if x is not None:
        chosen, columns = one_axis(table, law, x, columns)
    pair = None if arms is None else tuple(part.strip() for part in arms.split(","))
    if pair is not None and len(pair) != 2:
        raise DeclarationError(f"--arms: expected FIRST,SECOND, got {arms!r}.")
    how: Any = {"share": names_of(share), "draws": draws, "seed": seed, "cluster": cluster, **columns}
    found = crossover(table, by, arms=pair, law=chosen, **how)
    if asked.as_json:
        law_of = laws.to_data(next(iter(found.fits.values())).model)
        params = {arm: fitted.values for arm, fitted in found.fits.items()}
        unit = {"loss_unit": table.loss_unit}
        print_plain({**vars(found.crossing), **unit, "warnings": found.warnings, "law": law_of, "params": params})
        return
    print_headline(of_crossing(found, found.warnings))
    typer.echo(found.sentence)
    if found.sharing is not None:
        typer.echo(found.sharing.sentence)
    print_cautions(found.warnings)


def replay_command(
    asked: Fitted,
    claim: Annotated[list[str], typer.Option(help="alpha=0.142, or ARM beats ARM above NUMBER; may be repeated.")],
    by: ByArm = "arm",
    within: Annotated[
        float, typer.Option(help="Share of a claimed value by which the truth may differ and still support it.")
    ] = 0.1,
) -> None:
    """Refit published points and say of a claim whether they support it, contradict it, or decide nothing."""
    from lawful.fitting.replay import replay

    if asked.prior:
        raise DeclarationError("--prior: a replay says what the runs say alone; expected no prior.")
    table, law, columns = asked.ask()
    is_named = law is not None
    if asked.x is not None:
        law, columns = one_axis(table, law, asked.x, columns)
    how: Any = {
        "cluster": asked.cluster,
        "within": within,
        "is_law_named": is_named,
        "draws": asked.draws,
        "seed": asked.seed,
        **columns,
        **limited(asked.bounds, asked.fixed),
    }
    found = [replay(table, one, law=law, by=by, **how) for one in claim]
    if asked.as_json:
        print_plain(
            [
                {"claim": one.claim, "verdict": one.verdict, "reasons": one.reasons, "warnings": one.warnings}
                for one in found
            ]
        )
        return
    for one in found:
        typer.echo(f"{one.claim}: {one.verdict}")
        for reason in one.reasons:
            typer.echo(f"  {reason}")
        print_cautions(one.warnings)
