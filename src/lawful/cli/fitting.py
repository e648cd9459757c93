"""The commands that question a table or a study's folder: fit, predict, compare and the rest. Thin."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lawful.checks import PositiveFloat, PositiveInt
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
    numbers,
    one_axis,
    with_options,
)
from lawful.cli.terminal import prose
from lawful.errors import DeclarationError

if TYPE_CHECKING:
    from lawful.fitting.allocate import Interval
    from lawful.fitting.headline_text import Headline
    from lawful.fitting.holdout import Holdout
    from lawful.fitting.records import Interval as Kind
    from lawful.fitting.result import Fit
    from lawful.schema import Warning
    from lawful.tables import Observations

FORECASTS_MISSED = 4  # the exit status of `holdout` where more runs lie outside their intervals than chance explains
By = Annotated[str | None, typer.Option("--by", help="Fit each value of this column apart.")]
Count = Annotated[str | None, typer.Option(help="A count: 1e9, 70M, 1_000_000.", callback=options.counted)]


ByArm = Annotated[str, typer.Option("--by", help="The column that names the arms.")]
Cost = Annotated[
    str,
    typer.Option(
        help="What is paid for: 6nd; exact (FLOPs per token as the table counts them); or a formula of N, D, T and "
        "names of --at, '6*N*D + 2*N*T'.",
        callback=options.cost,
    ),
]
PlotFile = Annotated[Path | None, typer.Option("--plot", help="Also a picture of the fit: FILE.png, .svg or .pdf.")]
Share = Annotated[
    str | None,
    typer.Option(help="With --by: parameters that all arms share, A,B; the rest is each arm's own. One joint fit."),
]
ShareOf = Annotated[
    str | None,
    typer.Option("--share", help="Parameters that all arms share, A,B; a test says whether that costs anything."),
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
Values = Annotated[list[str] | None, typer.Option("--value", help="NAME=NUMBER, a parameter of the law.")]


def register(app: typer.Typer) -> None:
    app.command("fit")(with_options(fit_command))
    app.command("predict")(with_options(predict_command))
    app.command("allocate")(with_options(allocate_command))
    app.command("compare")(with_options(compare_command))
    app.command("crossover")(with_options(crossover_command))
    app.command("holdout")(with_options(holdout_command))
    app.command("isoflop")(with_options(isoflop_command))
    app.command("design")(with_options(design_command))
    app.command("power")(with_options(power_command))
    app.command("checklist")(with_options(checklist_command))
    app.command("replay")(with_options(replay_command))


def fit_command(
    asked: Fitted,
    by: By = None,
    share: Share = None,
    pool: Pool = None,
    plot: PlotFile = None,
    verbose: Verbose = False,
    published: AgainstFit = None,
) -> None:
    """Fit a law and print the answer, the parameters, the doubts and what to do next. Exits 1 when the data cannot
    answer."""
    from lawful.fitting.against import against
    from lawful.fitting.ranking import with_ranking

    if asked.is_as_declared and by is None and plot is None and published is None and share is None and pool is None:
        _answer_folder(asked.source, asked.draws, asked.seed, asked.as_json, verbose)
        return
    if share is not None or pool is not None:
        _fit_joint(asked, by, share, pool, plot, published)
        return
    if plot is not None and by is not None:
        raise DeclarationError("--plot: expected one fit, got one for each value of --by.")
    table, law, columns = asked.ask()
    if plot is not None:
        table = _named_runs(table, plot)
    fits = {name: with_ranking(asked.fit(part, law, columns)) for name, part in _parts(table, by)}
    if plot is not None:
        _save_picture(table, next(iter(fits.values())), plot, published)
    held = {name: against(found, published) for name, found in fits.items()} if published else {}
    if asked.as_json:
        out = [{**found.to_json(), **({"against": _plain(held[name])} if held else {})} for name, found in fits.items()]
        _print_json([{"by": name, **one} for name, one in zip(fits, out, strict=True)] if by else out[0])
        return
    for name, found in fits.items():
        title = f"{by} = {name}\n" if by else ""
        typer.echo(title + _sketched(found) + prose(_in_words(found, verbose)) + ("\n" if by else ""))
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
        _print_plain({**vars(found), "loss_unit": table.loss_unit})
        return
    typer.echo("\n".join(found.lines))


def predict_command(
    asked: Fitted,
    params: Count = None,
    tokens: Count = None,
    flops: Count = None,
    at: Annotated[
        list[str] | None,
        typer.Option("--at", help="NAME=NUMBER or NAME=LEVEL, another input of a formula; may be repeated."),
    ] = None,
    interval: Annotated[
        str,
        typer.Option(
            help="mean: of the curve; new_run: of one more run.", callback=options.of(Literal["mean", "new_run"])
        ),
    ] = "new_run",
) -> None:
    """Predict the loss of a run that was not made. From a folder: every answered question that reads these axes."""
    from lawful.fitting.predictions import predict_point
    from lawful.fitting.quantiles import LEVEL
    from lawful.fitting.summary import held_out_lines
    from lawful.study import count

    given = {"params": params, "tokens": tokens, "flops": flops}
    point: dict[str, Any] = {axis: float(count(value)) for axis, value in given.items() if value is not None}
    point |= _named_inputs(at or [])
    if asked.is_as_declared:
        fits = _folder_fits(asked.source, set(point), asked.draws, asked.seed)
    else:
        table, law, columns = asked.ask(lambda law: set(law.inputs) == set(point))
        found = asked.fit(table, law, columns)
        fits = {found.law: found}
    kind: Kind = "mean" if interval == "mean" else "new_run"
    out = {name: predict_point(found, point, kind, LEVEL) for name, found in fits.items()}
    if asked.as_json:
        _print_plain(
            [
                {
                    "name": name,
                    **dataclasses.asdict(p),
                    "loss_unit": fits[name].data.loss_unit,
                    "response": dataclasses.asdict(fits[name].data.response),
                    "held_out": [dataclasses.asdict(row) for row in fits[name].held_out],
                }
                for name, p in out.items()
            ]
        )
        return
    for name, p in out.items():
        where_at = ", ".join(f"{axis} {_amount(value)}" for axis, value in p.at.items())
        typer.echo(
            f"{name} at {where_at}: {_rounded(p.value, p.low, p.high)} "
            f"{'' if fits[name].data.response.is_share else _in(fits[name].data.loss_unit)}"
            f"(95 % interval of {'one more run' if interval == 'new_run' else 'the curve'})"
            + ("; not of this law alone, see below" if p.laws else "")
        )
        _print_cautions(p.warnings)
        if fits[name].held_out:
            typer.echo("\n".join(held_out_lines(fits[name])))


def _named_inputs(parts: list[str]) -> dict[str, float | str]:
    """NAME=NUMBER, or NAME=LEVEL; the law says which of the two it reads."""
    out: dict[str, float | str] = {}
    for part in parts:
        name, sign, text = part.partition("=")
        if not sign or not name.strip():
            raise DeclarationError(f"--at: expected NAME=NUMBER or NAME=LEVEL, got {part!r}.")
        try:
            out[name.strip()] = float(text)
        except ValueError:
            out[name.strip()] = text
    return out


def allocate_command(
    asked: Fitted,
    flops: Annotated[
        str | None, typer.Option(help="The budget in FLOPs, or the unit of --cost: 1e21.", callback=options.counted)
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(help="Instead: a sum in the currency of --price.", callback=options.of(PositiveFloat)),
    ] = None,
    price: Annotated[
        str | None, typer.Option(help="'2e-18 per FLOP', or '2.5 per GPU-hour at 4e14 FLOP/s' (as reached).")
    ] = None,
    serve_tokens: Annotated[
        str | None,
        typer.Option(help="T: tokens of inference, 2 N FLOPs each, within the budget.", callback=options.counted),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option("--at", help="NAME=NUMBER or NAME=LEVEL, where another input is held; may be repeated."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Also: where a doubling buys less than this loss.", callback=options.of(PositiveFloat)),
    ] = None,
    cost: Cost = "6nd",
) -> None:
    """The best size and data for a budget, with the band of sizes that waste at most 5 % of it."""
    from lawful.fitting.allocate import HOW
    from lawful.fitting.cost import exact_cost
    from lawful.fitting.headline import of_allocation
    from lawful.study import count

    table, law, columns = asked.ask(lambda law: {"params", "tokens"} <= set(law.inputs))
    found = asked.fit(table, law, columns)
    held = _named_inputs(at or [])
    best = found.allocate(
        flops=None if flops is None else float(count(flops)),
        budget=budget,
        price=price,
        cost=exact_cost(table) if cost == "exact" else cost,
        serve_tokens=0.0 if serve_tokens is None else float(count(serve_tokens)),
        at=held,
    )
    of_law = {axis: value for axis, value in held.items() if axis in found.model.inputs}
    stops = found.diminishing_returns(threshold=threshold, at=of_law)
    if asked.as_json:
        _print_plain({"allocation": best, "diminishing_returns": stops, "loss_unit": found.data.loss_unit})
        return
    _print_headline(of_allocation(best))
    sums = "" if best.money is None else f", {best.money:.4g} at {best.price}"
    typer.echo(f"for {best.flops:.4g} FLOPs ({best.cost}){sums}:")
    if best.held:
        typer.echo("  held: " + ", ".join(f"{axis} {_amount(value)}" for axis, value in best.held.items()))
    if best.serving is not None:
        typer.echo(f"  {'for inference':17}{_interval(best.serving)} FLOPs")
    for name in ("params", "tokens", "loss", "tokens_per_param", "N_exponent", "D_exponent"):
        unit = _in(found.data.loss_unit) if name == "loss" else ""
        typer.echo(f"  {name:17}{_interval(getattr(best, name))} {unit}".rstrip())
    first, last = map(_interval, best.band)
    typer.echo(f"  sizes from {first} to {last} waste at most 5 % of the compute")
    typer.echo(
        f"a doubling of {stops.axis} buys less than {stops.threshold:.3g} ({stops.threshold_is}) beyond "
        f"{_interval(stops.at)}"
    )
    for one in best.readings:
        typer.echo(
            f"without the law, {HOW[one.how]}: params {one.params:.4g} [{one.low:.4g}, {one.high:.4g}]"
            + (
                ""
                if any(c.code == "allocation_disagrees" for c in best.warnings)
                else "; they agree within their errors"
            )
        )
    said = {c.code for c in best.warnings if c.severity == "severe"}  # with what the allocation averages over
    _print_cautions((*best.warnings, *(c for c in stops.warnings if c not in best.warnings and c.code not in said)))


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
        _print_plain(
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
        _print_cautions(one.warnings)


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
    """Whether arms differ, and what the data exclude: that it is a factor, another floor, other exponents."""
    from math import isfinite

    from lawful.fitting.compare import compare
    from lawful.fitting.headline_arms import of_arms
    from lawful.fitting.number_text import interval

    table, chosen, columns = asked.read(law)
    how: Any = {"floor": floor, "share": names_of(share), "cluster": cluster, **columns, **limited(bounds, fixed)}
    found = compare(table, by, law=chosen, **how)
    if asked.as_json:
        _print_plain({**vars(found), "loss_unit": table.loss_unit})
        return
    _print_headline(of_arms(found))
    unit = table.loss_unit if table.response.is_log else ""
    typer.echo(found.sentence + (f" Losses are in {unit}." if unit else "") + "\n")
    typer.echo(
        "Each explanation by an F test against arms that differ in all (p below 0.05: excluded).\n"
        "That arms differ at all is told by a sharper test of its own, the p of the sentence above."
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
    _print_cautions(found.warnings)


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

    table, chosen, columns = asked.read(law, lambda law: len(law.inputs) == 1, is_told=x is not None)
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
        _print_plain({**vars(found.crossing), **unit, "warnings": found.warnings, "law": law_of, "params": params})
        return
    _print_headline(of_crossing(found, found.warnings))
    typer.echo(found.sentence)
    if found.sharing is not None:
        typer.echo(found.sharing.sentence)
    _print_cautions(found.warnings)


def holdout_command(
    asked: Fitted,
    top: Annotated[
        int, typer.Option(help="How many of the largest amounts to drop.", callback=options.of(PositiveInt))
    ] = 1,
    largest: Annotated[
        str | None,
        typer.Option(
            help="compute, params or tokens: what is largest (default: compute for a law of size and data).",
            callback=options.of(Literal["compute", "params", "tokens"]),
        ),
    ] = None,
) -> None:
    """Drop the largest runs, refit, predict them, and say whether the forecasts held. Exits 4 when they did not."""
    from lawful.checks import argument
    from lawful.fitting.holdout import Largest

    found = asked.fit(*asked.ask()).holdout(top=top, largest=argument("largest", largest, Largest | None))
    if asked.as_json:
        _print_plain(found)
    else:
        _print_holdout(found)
    if found.verdict == "missed":
        raise typer.Exit(FORECASTS_MISSED)


def _amount(value: float | str, digits: str = ".4g") -> str:
    """A number, or the name of a level."""
    return value if isinstance(value, str) else f"{value:{digits}}"


def _determined(low: float, high: float, digits: str) -> str:
    from lawful.fitting.number_text import interval
    from lawful.fitting.uncertainty import determined

    return interval(*determined(low, high), digits)


def _print_holdout(found: Holdout[Fit]) -> None:
    from lawful.fitting.headline import of_holdout

    _print_headline(of_holdout(found))
    typer.echo(found.sentence)
    for row in found.rows:
        p = row.prediction
        typer.echo(
            f"  run {row.run}: predicted {p.value:.4f} {_determined(p.low, p.high, '.4f')}, observed {row.observed:.4f}"
            f"{'' if row.is_inside else '  outside'}; straight line {row.straight_line:.4f}, nearest fitted run "
            f"{row.last_value:.4f}"
        )
    _print_cautions(found.warnings)


def isoflop_command(
    asked: Table,
    method: Annotated[
        str,
        typer.Option(
            help="interpolate, local, parabola or cubic; given: each row is the best of its budget already.",
            callback=options.of(Literal["interpolate", "local", "parabola", "cubic", "given"]),
        ),
    ] = "interpolate",
    by: By = None,
) -> None:
    """The best size at each budget, read off its curve, and how it grows with compute."""
    from lawful.fitting.headline import of_isoflop
    from lawful.fitting.isoflop import isoflop

    table, *_ = asked.read(suits=lambda law: {"params", "tokens"} <= set(law.inputs))
    out = {name: isoflop(part, method=method) for name, part in _parts(table, by)}  # type: ignore[arg-type]
    if asked.as_json:
        _print_plain(
            [{"by": name, "isoflop": found} for name, found in out.items()] if by else next(iter(out.values()))
        )
        return
    for name, found in out.items():
        _print_headline(of_isoflop(found))
        low, high = found.N_exponent_ci95
        least, most = found.D_exponent_ci95
        typer.echo(
            f"{f'{by} = {name}: ' if by else ''}N* grows as C^{found.N_exponent:.3f} [{low:.3f}, {high:.3f}] and D* as "
            f"C^{found.D_exponent:.3f} [{least:.3f}, {most:.3f}] over "
            f"{sum(c.params is not None for c in found.curves)} budgets ({found.method})"
        )
        if found.by_method:
            typer.echo(
                "  by method: "
                + ", ".join(f"{key} {value:.3f}" for key, value in found.by_method.items())
                + (f"; Chinchilla surface {found.surface_exponent:.3f}" if found.surface_exponent else "")
            )
        for c in found.curves:
            if c.is_bracketed:
                at_best = "" if c.loss is None else f", loss {c.loss:.4f} {_in(found.loss_unit)}".rstrip()
                typer.echo(f"  at {c.flops:.4g} FLOPs: N* {c.params:.4g}, D* {c.tokens:.4g}{at_best}")
        _print_cautions(found.warnings)


def design_command(
    asked: Fitted,
    target: Annotated[str | None, typer.Option(help="A parameter, or params=7e9,tokens=1e12.")] = None,
    budget: Annotated[
        str | None, typer.Option(help="FLOPs one run may cost (under a law that says them).", callback=options.counted)
    ] = None,
) -> None:
    """Which run to do next to shrink a target's error most per FLOP."""
    from lawful.fitting.design import design
    from lawful.study import count

    found = design(
        asked.fit(*asked.ask()),
        budget=None if budget is None else float(count(budget)),
        target=numbers(target.split(","), "--target") if target and "=" in target else target,
    )
    if asked.as_json:
        _print_plain(found)
        return
    typer.echo(f"standard error of {found.target} now: {found.stderr_now:.3g}")
    unit = {"FLOPs": "FLOP", "params": "parameter", "tokens": "token"}.get(found.unit, found.unit)
    shown = [(f"most per {unit}", found.best)]
    if found.best_within_budget is not None:
        shown.append(("most" if budget is None else "most within the budget", found.best_within_budget))
    for label, run in shown:
        at = ", ".join(f"{axis} {_amount(value, '.3g')}" for axis, value in run.at.items())
        typer.echo(f"{label}: {at} ({run.cost:.3g} {found.unit}): {run.stderr_after:.3g}")
    _print_cautions(found.warnings)


def power_command(
    shift: Annotated[
        float, typer.Option(help="The difference of the exponents to be seen.", callback=options.of(float))
    ],
    sigma: Annotated[float, typer.Option(help="Spread of log loss between seeds.", callback=options.of(PositiveFloat))],
    params: Annotated[str | None, typer.Option(help="Sizes: 1e6,1e7,1e8,...", callback=options.counted_each)] = None,
    tokens: Annotated[str | None, typer.Option(help="Tokens of the same runs.", callback=options.counted_each)] = None,
    law: LawName = None,
    value: Values = None,
    floor: Annotated[str, typer.Option(help="own or shared.", callback=options.of(Literal["own", "shared"]))] = "own",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """How many seeds per arm it takes to see a shift of the exponent."""
    from lawful.fitting.design import power
    from lawful.study import count

    given = {"params": params, "tokens": tokens}
    at = {axis: [float(count(part)) for part in text.split(",")] for axis, text in given.items() if text is not None}
    if not at:
        raise DeclarationError("power: expected the points of the ladder, as --params 1e6,1e7,... or --tokens ...")
    law = law or ("chinchilla" if len(at) == 2 else f"power_floor:{next(iter(at))}")
    found = power(law, numbers(value or [], "--value"), at=at, shift=shift, sigma=sigma, floor=floor)  # type: ignore[arg-type]
    if as_json:
        _print_plain(found)
        return
    seeds = "1 seed" if found.seeds == 1 else f"{found.seeds} seeds"
    typer.echo(
        f"{seeds} per arm to see {found.parameter} shift by {shift:g} with power {found.power:g} at level "
        f"{found.level:g} (a floor {'per arm' if floor == 'own' else 'shared by the arms'}; with one seed the "
        f"difference has a standard error of {found.stderr_one_seed:.3g})"
    )


def checklist_command(asked: Fitted) -> None:
    """The reproducibility checklist of arXiv:2502.18969, answered as far as is recorded."""
    from lawful.fitting.checklist import as_text
    from lawful.storage.layout import Store

    study = Store(Path(asked.source)).read_study() if asked.is_study else None
    items = asked.fit(*asked.ask()).checklist(study)
    if asked.as_json:
        _print_plain(items)
    else:
        typer.echo(as_text(items))


def _named_runs(table: Observations, plot: Path) -> Observations:
    from lawful.fitting.answer_table import with_run_names
    from lawful.report.figures import expect_kind

    expect_kind(plot)  # before a fit that takes minutes
    return with_run_names(table)


def _save_picture(table: Observations, found: Fit, plot: Path, published: str | None) -> None:
    from lawful.fitting.answer_table import answer_of_fit
    from lawful.report import figures
    from lawful.report.table_page import picture

    chart = picture(table, (answer_of_fit(table, found),), published)
    if chart is not None:
        figures.save(chart, plot)


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


def _answer_folder(source: str, draws: int, seed: int, as_json: bool, verbose: bool) -> None:
    from lawful.fitting.answer import answer_study
    from lawful.report.evidence import answers_beside_counts
    from lawful.storage.atomic import read_only

    with read_only():
        answers = answer_study(source, draws=draws, seed=seed)
    answers = answers_beside_counts(Path(source), answers)
    if as_json:
        _print_json([answer.to_json() for answer in answers])
    else:
        for answer in answers:
            typer.echo(f"{answer.question.name}: {answer.question.asks}")
            if answer.fit is not None:
                typer.echo(_in_words(answer.fit, verbose, answer.said) + "\n")
            else:
                typer.echo(f"{answer.headline}\n{answer.basis}\n\n{answer.sentence}\n\nnext: {answer.next_step}\n")
    if answers and all(answer.status == "refused" for answer in answers):
        raise typer.Exit(1)


def _folder_fits(source: str, axes: set[str], draws: int, seed: int) -> dict[str, Fit]:
    from lawful.fitting.answer import answer_study
    from lawful.fitting.answers import read_answers
    from lawful.storage.atomic import read_only

    with read_only():
        answers = read_answers(source) or answer_study(source, draws=draws, seed=seed)
    fits = {a.question.name: a.fit for a in answers if a.fit is not None and set(a.fit.model.inputs) == axes}
    if not fits:
        laws = ", ".join(
            f"{a.question.name} ({'refused' if a.fit is None else ' and '.join(a.fit.model.inputs)})" for a in answers
        )
        raise DeclarationError(
            f"{source}: no answered question reads {' and '.join(sorted(axes)) or 'nothing'}; it has {laws}."
        )
    return fits


def _parts(table: Observations, by: str | None) -> list[tuple[str, Observations]]:
    if by is None:
        return [("", table)]
    from lawful.fitting.arms import arm_name

    values = list(dict.fromkeys(table.values(by)))
    return [
        (arm_name(value), dataclasses.replace(table, rows=tuple(row for row in table if row.get(by) == value)))
        for value in values
    ]


def _in(unit: str) -> str:
    """A unit behind a number of it; nothing where it is not known."""
    return f"{unit} " if unit else ""


def _interval(value: Interval) -> str:
    return _rounded(value.value, value.low, value.high)


def _rounded(value: float, low: float, high: float) -> str:
    """A number and its interval, with the digits that the interval deserves."""
    from lawful.fitting.number_text import rounded
    from lawful.fitting.uncertainty import determined

    return " ".join(rounded(value, *determined(low, high)))


def _print_headline(said: Headline) -> None:
    typer.echo(prose(f"{said.sentence}\n{said.basis}\n" if said.basis else f"{said.sentence}\n"))


def _print_cautions(cautions: Iterable[Warning]) -> None:
    from lawful.fitting.cautions import ranked

    for caution in ranked(cautions):
        typer.echo(prose(f"  {caution.severity}: {caution.code}: {caution.sentence}"))


def _print_plain(value: Any) -> None:
    """A result, or a list or mapping of results, as JSON."""
    _print_json(_plain(value))


def _plain(value: Any) -> Any:
    if hasattr(value, "to_json"):  # a fit
        return value.to_json()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def _print_json(value: Any) -> None:
    from lawful.storage import json_files

    typer.echo(json.dumps(json_files.plain(value), indent=1, allow_nan=False))
