"""The commands that question a table or a study's folder: fit, predict. Thin: arguments in, text or JSON out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

Source = Annotated[str, typer.Argument(help="A study's folder, or a table (CSV, JSONL, Parquet).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LawName = Annotated[str | None, typer.Option("--law", help="power, power_floor, chinchilla, ... or FILE.py:CLASS.")]
Axis = Annotated[str | None, typer.Option("--x", help="The column a one-axis law reads; also params, tokens or flops.")]
By = Annotated[str | None, typer.Option("--by", help="Fit each value of this column apart.")]
ObjectiveName = Annotated[str, typer.Option(help="robust, hoffmann, lad, l2, l2-raw or huber:DELTA.")]
ParamsColumn = Annotated[str | None, typer.Option("--params-column", help="Column of parameter counts.")]
TokensColumn = Annotated[str | None, typer.Option("--tokens-column", help="Column of training tokens.")]
LossColumn = Annotated[str | None, typer.Option("--loss-column", help="Column of losses.")]
FlopsColumn = Annotated[str | None, typer.Option("--flops-column", help="Column of training FLOPs.")]
ClusterColumn = Annotated[
    str | None, typer.Option("--cluster", help="Column that marks rows sharing noise; `none`: every row apart.")
]
Where = Annotated[
    list[str] | None, typer.Option("--where", help="Keep rows with COLUMN=VALUE, COLUMN<NUMBER or COLUMN>NUMBER.")
]
Draws = Annotated[int, typer.Option(help="Bootstrap refits.")]
Seed = Annotated[int, typer.Option(help="Of the bootstrap.")]
Count = Annotated[str | None, typer.Option(help="A count: 1e9, 70M, 1_000_000.")]


def register(app: typer.Typer) -> None:
    app.command("fit")(fit_command)
    app.command("predict")(predict_command)


def fit_command(
    source: Source,
    law: LawName = None,
    x: Axis = None,
    by: By = None,
    objective: ObjectiveName = "robust",
    params_column: ParamsColumn = None,
    tokens_column: TokensColumn = None,
    loss_column: LossColumn = None,
    flops_column: FlopsColumn = None,
    cluster: ClusterColumn = None,
    where: Where = None,
    draws: Draws = 1000,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Fit a law and print it with its uncertainty and warnings. Exits 1 when the data cannot answer."""
    if Path(source).is_dir() and not (law or x or by or where):
        _answer_folder(source, draws, seed, as_json)
        return
    columns = _columns(params_column, tokens_column, loss_column, flops_column, cluster)
    fits = {}
    for name, part in _parts(_table(source, columns, where), by):
        fits[name] = _fit(part, law, x, objective, columns, draws, seed)
    if as_json:
        _print_json(
            [{"by": name, **found.to_json()} for name, found in fits.items()]
            if by
            else next(iter(fits.values())).to_json()
        )
        return
    for name, found in fits.items():
        typer.echo((f"{by} = {name}\n" if by else "") + found.summary() + ("\n" if by else ""))


def predict_command(
    source: Source,
    params: Count = None,
    tokens: Count = None,
    flops: Count = None,
    law: LawName = None,
    x: Axis = None,
    objective: ObjectiveName = "robust",
    interval: Annotated[str, typer.Option(help="mean: of the curve; new_run: of one more run.")] = "new_run",
    params_column: ParamsColumn = None,
    tokens_column: TokensColumn = None,
    loss_column: LossColumn = None,
    flops_column: FlopsColumn = None,
    cluster: ClusterColumn = None,
    where: Where = None,
    draws: Draws = 1000,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Predict the loss of a run that was not made. From a folder: every answered question that reads these axes."""
    import dataclasses

    from lawful.study import count

    given = {"params": params, "tokens": tokens, "flops": flops}
    at = {axis: float(count(value)) for axis, value in given.items() if value is not None}
    if Path(source).is_dir() and not (law or x or where):
        fits = _folder_fits(source, set(at), draws, seed)
    else:
        columns = _columns(params_column, tokens_column, loss_column, flops_column, cluster)
        if x is None and law is None:
            law = "chinchilla" if "flops" not in at and len(at) == 2 else f"power_floor:{next(iter(at), 'params')}"
        found = _fit(_table(source, columns, where), law, x, objective, columns, draws, seed)
        fits = {found.law: found}
    out = {name: found.predict(**at, interval=interval) for name, found in fits.items()}
    if as_json:
        _print_json([{"name": name, **dataclasses.asdict(p)} for name, p in out.items()])
        return
    for name, p in out.items():
        where_at = ", ".join(f"{axis} {value:.4g}" for axis, value in p.at.items())
        typer.echo(
            f"{name} at {where_at}: {p.value:.5g} [{p.low:.5g}, {p.high:.5g}] "
            f"(95 % interval of {'one more run' if interval == 'new_run' else 'the curve'})"
        )
        for caution in p.warnings:
            typer.echo(f"  {caution.code}: {caution.sentence}")


def _answer_folder(source: str, draws: int, seed: int, as_json: bool) -> None:
    from lawful.fitting.answer import answer_study

    answers = answer_study(source, draws=draws, seed=seed)
    if as_json:
        _print_json([answer.to_json() for answer in answers])
    else:
        for answer in answers:
            typer.echo(f"{answer.question['name']}: {answer.question['asks']}\n{answer.sentence}\n")
            if answer.fit is not None:
                typer.echo(answer.fit.summary() + "\n")
    if answers and all(answer.status == "refused" for answer in answers):
        raise typer.Exit(1)


def _folder_fits(source: str, axes: set[str], draws: int, seed: int) -> dict[str, Any]:
    from lawful.fitting.answer import answer_study, read_answers

    answers = read_answers(source) or answer_study(source, draws=draws, seed=seed)
    fits = {a.question["name"]: a.fit for a in answers if a.fit is not None and set(a.fit.model.inputs) == axes}
    if not fits:
        laws = ", ".join(
            f"{a.question['name']} ({'refused' if a.fit is None else ' and '.join(a.fit.model.inputs)})"
            for a in answers
        )
        raise ValueError(
            f"{source}: no answered question reads {' and '.join(sorted(axes)) or 'nothing'}; it has {laws}."
        )
    return fits


def _columns(params: str | None, tokens: str | None, loss: str | None, flops: str | None, cluster: str | None) -> Any:
    return {"params": params, "tokens": tokens, "loss": loss, "flops": flops, "cluster": cluster}


def _table(source: str, columns: dict[str, str | None], where: list[str] | None) -> Any:
    from lawful.table import read_runs

    named = {role: name for role, name in columns.items() if not (role == "cluster" and name == "none")}
    table = read_runs(source, **named)
    for text in where or []:
        table = table.where(_condition(text, table.columns), f"not {text}")
    return table


def _condition(text: str, columns: list[str]) -> Any:
    for sign in ("=", "<", ">"):
        column, found, value = text.partition(sign)
        if found and column in columns:
            break
    else:
        raise ValueError(
            f"--where: expected COLUMN=VALUE, COLUMN<NUMBER or COLUMN>NUMBER with a column of "
            f"{', '.join(map(repr, columns))}; got {text!r}."
        )
    if sign == "=":
        return lambda row: str(row.get(column)) == value or _same_number(row.get(column), value)
    limit = float(value)
    return lambda row: (
        isinstance(row.get(column), (int, float)) and (row[column] < limit if sign == "<" else row[column] > limit)
    )


def _same_number(cell: Any, text: str) -> bool:
    try:
        return isinstance(cell, (int, float)) and float(cell) == float(text)
    except ValueError:
        return False


def _parts(table: Any, by: str | None) -> list[tuple[str, Any]]:
    import dataclasses

    if by is None:
        return [("", table)]
    values = list(dict.fromkeys(table.values(by)))
    return [
        (str(value), dataclasses.replace(table, rows=tuple(row for row in table if row.get(by) == value)))
        for value in values
    ]


def _fit(
    table: Any, law: str | None, x: str | None, objective: str, columns: dict[str, str | None], draws: int, seed: int
) -> Any:
    from lawful.fitting import fit

    columns = dict(columns)
    if x is not None:
        axis = next((role for role in ("params", "tokens", "flops") if x in (role, table.roles.get(role))), "params")
        if x != axis:
            columns[axis] = x
        law = f"{(law or 'power_floor').partition(':')[0]}:{axis}"
    if law is None:
        law = (
            "chinchilla"
            if len({"params", "tokens", "flops"} & table.roles.keys()) >= 2
            else "power_floor:"
            + next((role for role in ("params", "tokens", "flops") if role in table.roles), "params")
        )
    return fit(table, law, objective=objective, **columns, draws=draws, seed=seed)  # type: ignore[arg-type]


def _print_json(value: Any) -> None:
    from lawful import store

    typer.echo(json.dumps(store.plain(value), indent=1, allow_nan=False))
