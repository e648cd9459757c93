"""How the commands on a table print what they found: numbers with intervals, warnings, JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lawful.errors import DeclarationError

if TYPE_CHECKING:
    from lawful.fitting.allocate import Interval
    from lawful.fitting.headline_text import Headline
    from lawful.schema import Warning
    from lawful.tables import Observations


By = Annotated[str | None, typer.Option("--by", help="Fit each value of this column apart.")]
ByArm = Annotated[str, typer.Option("--by", help="The column that names the arms.")]


def expect_alone(option: str, beside: Mapping[str, object]) -> None:
    """Refuse the options that `option` would leave unread. beside: option -> its value, empty where it is not given."""
    if told := [name for name, value in beside.items() if value]:
        others = told[0] if len(told) == 1 else f"neither {' nor '.join(told)}"
        raise DeclarationError(f"{option}: expected {'no ' if len(told) == 1 else ''}{others} beside it.")


def print_read(table: Observations) -> None:
    """How the table was read: which column was taken for what, which rows were left out."""
    for line in table.said:
        typer.echo(f"read: {line}")


def named_inputs(parts: list[str]) -> dict[str, float | str]:
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


def parts_by(table: Observations, by: str | None) -> list[tuple[str, Observations]]:
    if by is None:
        return [("", table)]
    from lawful.fitting.arms import arm_name

    values = list(dict.fromkeys(table.values(by)))
    return [
        (arm_name(value), dataclasses.replace(table, rows=tuple(row for row in table if row.get(by) == value)))
        for value in values
    ]


def in_unit(unit: str) -> str:
    """A unit behind a number of it; nothing where it is not known."""
    return f"{unit} " if unit else ""


def amount(value: float | str, digits: str = ".4g") -> str:
    """A number, or the name of a level."""
    return value if isinstance(value, str) else f"{value:{digits}}"


def estimate(value: Interval) -> str:
    return rounded_to(value.value, value.low, value.high)


def rounded_to(value: float, low: float, high: float) -> str:
    """A number and its interval, with the digits that the interval deserves."""
    from lawful.fitting.number_text import rounded
    from lawful.fitting.uncertainty import determined

    return " ".join(rounded(value, *determined(low, high)))


def print_headline(said: Headline) -> None:
    typer.echo(f"{said.sentence}\n{said.basis}\n" if said.basis else f"{said.sentence}\n")


def print_cautions(cautions: Iterable[Warning]) -> None:
    for line in caution_lines(cautions):
        typer.echo(line)


def caution_lines(cautions: Iterable[Warning]) -> list[str]:
    from lawful.fitting.cautions import ranked

    return [f"  {caution.severity}: {caution.code}: {caution.sentence}" for caution in ranked(cautions)]


def print_plain(value: Any) -> None:
    """A result, or a list or mapping of results, as JSON."""
    print_json(plain(value))


def plain(value: Any) -> Any:
    if hasattr(value, "to_json"):  # a fit
        return value.to_json()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def print_json(value: Any) -> None:
    from lawful.storage import json_files

    typer.echo(json_files.as_text(value))
