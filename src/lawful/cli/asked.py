"""What the commands on a table are told in common, as objects whose fields become options: its rows, columns, law."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import typer

from lawful.checks import NaturalInt, ShareBelowOne, Within, conform
from lawful.cli import options
from lawful.errors import DeclarationError, Refusal

if typing.TYPE_CHECKING:
    from lawful.fitting.result import Fit
    from lawful.laws import Law
    from lawful.tables import Observations
    from lawful.tables.responses import Asked

Columns = dict[str, str | None]
Suits = Callable[["Law"], bool]


def _law_names(incomplete: str) -> list[str]:
    from lawful import registry

    return [name for name in registry.found("laws") if name.startswith(incomplete)]


LawName = Annotated[
    str | None,
    typer.Option(
        "--law",
        autocompletion=_law_names,
        help="A name (`lawful laws` lists them); a formula, such as 'E + A/N^alpha'; or FILE.py:CLASS.",
    ),
]
Axis = Annotated[str | None, typer.Option("--x", help="The column a one-axis law reads; also params, tokens or flops.")]
ClusterColumn = Annotated[
    str | None, typer.Option("--cluster", help="Column that marks rows sharing noise; `none`: every row apart.")
]
# fewer than fitting.uncertainty.LEAST_DRAWS have no percentiles to speak of; 0 leaves intervals by profiles alone
SomeDraws = Literal[0] | Annotated[int, Within(at_least=200)]
Draws = Annotated[int, typer.Option(help="Bootstrap refits: 0, or at least 200.", callback=options.of(SomeDraws))]
Seed = Annotated[int, typer.Option(help="Seed of the bootstrap.", callback=options.of(NaturalInt))]


Bounds = Annotated[
    list[str] | None,
    typer.Option("--bounds", help="NAME=LOW:HIGH, the range in which a parameter is sought; may be repeated."),
]
Fixed = Annotated[list[str] | None, typer.Option("--fixed", help="NAME=VALUE, a known parameter; may be repeated.")]
Prior = Annotated[
    list[str] | None,
    typer.Option("--prior", help="NAME=MEAN~STDERR, what is known of a parameter from elsewhere; may be repeated."),
]


def any_law(law: Law) -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class Source:
    """Which rows, and what their columns are called."""

    source: Annotated[
        str,
        typer.Argument(help="A table (CSV, JSON, Parquet, ...), a study's or a tracker's folder; - is standard input."),
    ]
    params_column: Annotated[str | None, typer.Option(help="Column of parameter counts.")] = None
    tokens_column: Annotated[str | None, typer.Option(help="Column of training tokens.")] = None
    loss_column: Annotated[str | None, typer.Option(help="Column of losses.")] = None
    flops_column: Annotated[str | None, typer.Option(help="Column of training FLOPs.")] = None
    stderr_column: Annotated[
        str | None,
        typer.Option(
            help="Column of standard errors of the loss, which weight the rows; `none`: all rows weigh alike."
        ),
    ] = None
    trials_column: Annotated[
        str | None, typer.Option(help="Column of the numbers of test items that an accuracy is of: noise of counts.")
    ] = None
    response: Annotated[
        str | None,
        typer.Option(
            help="log for a loss, logit for an accuracy, identity for another number (default: by the column's name).",
            callback=options.of(Literal["log", "logit", "identity"]),
        ),
    ] = None
    chance: Annotated[
        float | None,
        typer.Option(
            help="For an accuracy: what guessing gives, .25 for four choices.", callback=options.of(ShareBelowOne)
        ),
    ] = None
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="Keep rows with COLUMN=VALUE, !=, <, <=, >, >= (1e8, 100M), COLUMN in A,B or COLUMN is missing."
        ),
    ] = None
    unit: Annotated[
        list[str] | None,
        typer.Option(help="COLUMN=UNIT: thousands, millions, billions, PF-days, percent or a number; may be repeated."),
    ] = None
    as_noise: Annotated[
        list[str] | None,
        typer.Option(help="A setting in which runs at one point differ, as replicates do; may be repeated."),
    ] = None
    best_over: Annotated[
        str | None, typer.Option(help="Settings of a sweep, A,B: the best run at each point, by a local fit.")
    ] = None
    reduce: Annotated[
        str | None,
        typer.Option(help="Which row stands for a run: last, min, step=N or ema=WEIGHT (default: all rows count)."),
    ] = None
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Leave rows out that cannot be used, and list them.")
    ] = False

    @property
    def columns(self) -> Columns:
        """Role -> the column that was told for it."""
        return {
            "params": self.params_column,
            "tokens": self.tokens_column,
            "loss": self.loss_column,
            "flops": self.flops_column,
            "stderr": self.stderr_column,
            "trials": self.trials_column,
        }

    @property
    def asked_response(self) -> Asked:
        from lawful.tables.responses import Asked

        return Asked(kind=self.response, chance=self.chance)

    @property
    def has_options(self) -> bool:
        """Whether any option besides the source is given."""
        usual = {field.name: field.default for field in dataclasses.fields(Source)}
        return any(getattr(self, name) not in (value, []) for name, value in usual.items() if name != "source")

    @property
    def units(self) -> dict[str, str]:
        return _pairs(self.unit)

    def table(self, columns: Columns | None = None) -> Observations:
        """The rows, read as the options say; columns: where a study names others than the options."""
        from lawful.tables import read_by_role

        return read_by_role(
            self.source,
            columns or self.columns,
            where=self.where or (),
            units=self.units,
            reduce=self.reduce,
            best=names_of(self.best_over),
            as_noise=self.as_noise or (),
            skip_bad_rows=self.skip_bad_rows,
            response=self.asked_response,
        )


@dataclass(frozen=True, kw_only=True)
class Table(Source):
    """The rows, and the question to them. A study's folder gives both, by a question that it declares."""

    question: Annotated[
        str | None,
        typer.Option(
            help="For a study's folder: the question whose law, rows and columns to use (default: the first)."
        ),
    ] = None
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False

    @property
    def is_study(self) -> bool:
        return self.source != "-" and (Path(self.source) / "study.json").exists()

    def read(
        self, law: str | None = None, suits: Suits = any_law, *, is_told: bool = False, compares: bool = False
    ) -> tuple[Observations, str | Law | None, Columns]:
        """The rows, the law (None where neither told nor declared), the columns by role.

        For a study, the question is the one named, or the first whose law suits. Columns that are told go before its
        own; a law, an axis or rows that are told set its law and rows aside.
        """
        from lawful.laws import named

        told = self.columns
        if self.question is not None and not self.is_study:
            raise DeclarationError(f"--question: {self.source} is not a study's folder.")
        if law is not None:
            named(law)  # before the study's own questions, which may be about this law
        has_own_rows = bool(law or self.where or is_told)
        found = None
        if self.is_study:
            from lawful.fitting.asked import declared

            try:
                found = declared(self.source, name=self.question, suits=suits, compares=compares)
            except DeclarationError:  # its law is a file that was not named; another is asked for
                if law is None or self.question is not None:
                    raise
            except Refusal:
                if not has_own_rows:
                    raise  # else only its columns are wanted, and they go by their usual names
        columns = {role: name or (found.columns.get(role) if found else None) for role, name in told.items()}
        # the table knows its own
        told = {role: name for role, name in columns.items() if role not in ("stderr", "trials")}
        if found and not has_own_rows:
            from lawful.tables import read_by_role

            return read_by_role(found.rows, columns, response=self.asked_response), found.law, told
        table = self.table(columns)
        if not self.as_json:
            for line in table.said:
                typer.echo(f"read: {line}")
        return table, law, told


@dataclass(frozen=True, kw_only=True)
class Fitted(Table):
    """The rows, the question, and how a law is fitted."""

    law: LawName = None
    x: Axis = None
    objective: Annotated[str, typer.Option(help="robust, hoffmann, lad, l2, l2-raw or huber:DELTA.")] = "robust"
    cluster: ClusterColumn = None
    bounds: Bounds = None
    fixed: Fixed = None
    prior: Prior = None
    draws: Draws = 1000
    seed: Seed = 0

    @property
    def is_told(self) -> bool:
        """Whether an option asks for something else than the study's own questions."""
        return bool(self.law or self.x or self.where)

    @property
    def is_as_declared(self) -> bool:
        """Whether no option but --draws and --seed is given: then a study's folder answers all its own questions."""
        usual = {field.name: field.default for field in dataclasses.fields(self)}
        told = {name for name, value in usual.items() if getattr(self, name) not in (value, [])}
        return self.is_study and told <= {"source", "draws", "seed"}

    def ask(self, suits: Suits = any_law) -> tuple[Observations, str | Law | None, Columns]:
        return self.read(self.law, suits, is_told=self.x is not None)

    def fit(self, table: Observations, law: str | Law | None, columns: Columns) -> Fit:
        from lawful.fitting import fit

        if self.x is not None:
            law, columns = one_axis(table, law, self.x, columns)
        from lawful.fitting.prior import read

        how: Any = {**columns, "cluster": self.cluster, **limited(self.bounds, self.fixed)}
        how["prior"] = read(self.prior or [])
        return fit(table, law, objective=self.objective, draws=self.draws, seed=self.seed, **how)


class Limits(TypedDict):
    """Arguments of a fit: where parameters are sought, and those that are known."""

    bounds: dict[str, tuple[float, float]]
    fixed: dict[str, float]


def limited(bounds: list[str] | None, fixed: list[str] | None) -> Limits:
    """What --bounds and --fixed tell, as the arguments of a fit."""
    limits = {}
    for text in bounds or []:
        name, _, pair = text.partition("=")
        low, _, high = pair.partition(":")
        try:
            limits[name.strip()] = (float(low), float(high))
        except ValueError:
            raise DeclarationError(f"--bounds: expected NAME=LOW:HIGH, such as alpha=0:8; got {text!r}.") from None
    return {"bounds": limits, "fixed": numbers(fixed or [], "--fixed")}


def numbers(parts: list[str], flag: str) -> dict[str, float]:
    """NAME=NUMBER, any number of times."""
    out = {}
    for part in parts:
        name, sign, number = part.partition("=")
        try:
            out[name.strip()] = conform(float(number), float)
        except ValueError:
            sign = ""
        if not sign:
            raise DeclarationError(f"{flag}: expected NAME=NUMBER, got {part!r}.")
    return out


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with each parameter that is one of these objects spread out into options, one for each field."""
    hints = typing.get_type_hints(command, include_extras=True)
    parts: dict[str, Any] = {name: hint for name, hint in hints.items() if dataclasses.is_dataclass(hint)}
    options = {}
    for name, parameter in inspect.signature(command).parameters.items():
        if name not in parts:
            options[name] = parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=hints[name])
            continue
        own = typing.get_type_hints(parts[name], include_extras=True)
        for field in dataclasses.fields(parts[name]):
            default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
            options[field.name] = inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=own[field.name]
            )

    @functools.wraps(command)
    def spread(**given: Any) -> None:
        for name, part in parts.items():
            given[name] = part(**{field.name: given.pop(field.name) for field in dataclasses.fields(part)})
        command(**given)

    spread.__signature__ = inspect.Signature(list(options.values()))  # type: ignore[attr-defined]
    spread.__annotations__ = {name: option.annotation for name, option in options.items()}
    return spread


def one_axis(table: Observations, law: str | Law | None, x: str, columns: Columns) -> tuple[Law, Columns]:
    """A law of the axis that --x names: a role (params, tokens, flops) or a column, which then stands for that role."""
    from lawful.laws import ONE_AXIS, has_axis, named, on_axis

    found = named(law or "power_floor")
    text, roles = law.rpartition(":")[2] if isinstance(law, str) else "", ONE_AXIS
    told = text if text in roles else None
    if not has_axis(found):  # its axes are its own
        if len(found.inputs) != 1:
            raise DeclarationError(
                f"--x: expected a law of one axis, got {found.spec}, of {' and '.join(found.inputs)}."
            )
        axis = found.inputs[0]
    else:
        axis = next((role for role in roles if x in (role, table.roles.get(role))), told or "params")
        found = on_axis(found, axis)
    return found, columns if x == axis and x in table.roles else {**columns, axis: table.roles.get(x, x)}


def names_of(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _pairs(parts: list[str] | None) -> dict[str, str]:
    """COLUMN=UNIT, any number of times."""
    out = {}
    for part in parts or []:
        column, sign, unit = part.rpartition("=")
        if not sign or not column:
            raise DeclarationError(f"--unit: expected COLUMN=UNIT, such as params=millions; got {part!r}.")
        out[column] = unit
    return out
