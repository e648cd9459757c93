"""A study from options alone: --command with its --grid, for trainers whose users write no Python."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lawful.errors import DeclarationError
from lawful.schema import Coordinate

if TYPE_CHECKING:
    from lawful.command import Command
    from lawful.study import Study

MOST_VALUES = 10_000  # of one axis
PANEL = "With --command"

CommandLine = Annotated[
    str | None,
    typer.Option("--command", rich_help_panel=PANEL, help="A run that is this command; {name} is a value of --grid."),
]
Grid = Annotated[
    str | None, typer.Option(rich_help_panel=PANEL, help="The ladder: 'width=64,96,128 seed=0..2'; all combinations.")
]
Params = Annotated[
    str | None, typer.Option(rich_help_panel=PANEL, help="N: a number or a formula, '12*4*{width}^2'; or --reads it.")
]
Tokens = Annotated[
    str | None, typer.Option(rich_help_panel=PANEL, help="D: a number or a formula, '1e7'; or --reads it.")
]
ReadsFrom = Annotated[
    list[str] | None,
    typer.Option(
        "--reads",
        rich_help_panel=PANEL,
        help="Where numbers are: 'log: val loss {loss}', 'jsonl FILE: loss=KEY', 'table FILE: loss=COLUMN'; may be "
        "repeated; by default what lawful.log.metrics writes.",
    ),
]
Unit = Annotated[str, typer.Option(rich_help_panel=PANEL, help="The unit of the loss: 'nats per token'.")]
HoldOut = Annotated[
    str | None, typer.Option(rich_help_panel=PANEL, help="Rungs that are forecast, never fitted: 'width=128'.")
]
LawName = Annotated[
    str | None,
    typer.Option("--law", rich_help_panel=PANEL, help="The law to fit; by default by what varies: N, D or both."),
]


@dataclass(frozen=True, kw_only=True)
class CommandOptions:
    """The options of one command line that declare a study of commands."""

    command: CommandLine = None
    grid: Grid = None
    params: Params = None
    tokens: Tokens = None
    reads: ReadsFrom = None
    unit: Unit = ""
    hold_out: HoldOut = None
    law: LawName = None

    def study(self, out: Path | None, *, cores: int, gpus: float) -> Study | None:
        """The study; None where --command is not given. Its name is that of its folder.

        Raises DeclarationError where options of a command stand without one.
        """
        from lawful.command.reads import LOGGED, read_of
        from lawful.study import Question, Study
        from lawful.study import grid as rungs_of

        if self.command is None:
            given = ("grid", "params", "tokens", "reads", "unit", "hold_out", "law")
            if alone := [name for name in given if getattr(self, name)]:
                raise DeclarationError(f"--{alone[0].replace('_', '-')}: expected --command beside it, got none.")
            return None
        if gpus != int(gpus):
            raise DeclarationError(f"--gpus-per-run: of a command expected a whole number, got {gpus:g}.")
        text, reads = self.command, [read_of(one) for one in self.reads or ()] or [LOGGED]
        axes = values_of("--grid", self.grid or "")
        held_out = {}
        for name, values in values_of("--hold-out", self.hold_out or "").items():
            if len(values) > 1:
                raise DeclarationError(f"--hold-out: expected one value of {name}, got {len(values)}.")
            held_out[name] = values[0]

        def rung(**at: Coordinate) -> Command:
            from lawful.command import Command

            return Command(
                text, params=self.params, tokens=self.tokens, reads=reads, unit=self.unit, cores=cores, gpus=int(gpus)
            )

        ladder = rungs_of(rung, **axes)
        law = self.law or _law([rung.run.known for rung in ladder if hasattr(rung.run, "known")])
        along = " and ".join(name for name, values in axes.items() if name != "seed" and len(values) > 1) or "the grid"
        return Study(
            name=_name(out),
            question=f"How does the loss fall along {along}?",
            ladder=ladder,
            held_out=held_out,
            questions=[Question(name="law", asks=f"How does the loss fall along {along}?", law=law)],
        )


def values_of(option: str, text: str) -> dict[str, list[Coordinate]]:
    """'width=64,96 seed=0..2' as name -> values. Raises DeclarationError that names the option."""
    axes: dict[str, list[Coordinate]] = {}
    for part in text.split():
        name, equals, values = part.partition("=")
        if not equals or not name.isidentifier() or not all(values.split(",")):
            raise DeclarationError(f"{option}: expected NAME=VALUE,VALUE or NAME=FIRST..LAST, got {part!r}.")
        if name in axes:
            raise DeclarationError(f"{option}: expected each name once, got {name} twice.")
        axes[name] = [value for one in values.split(",") for value in _range(option, one)]
    return axes


def _range(option: str, text: str) -> list[Coordinate]:
    """The whole numbers of 0..2, or the one value."""
    if not (ends := re.fullmatch(r"(-?\d{1,15})\.\.(-?\d{1,15})", text, re.ASCII)):
        return [_value(text)]
    first, last = int(ends[1]), int(ends[2])
    if not 0 <= last - first < MOST_VALUES:
        raise DeclarationError(f"{option}: expected a range of 1 to {MOST_VALUES:,} values, got {text!r}.")
    return list(range(first, last + 1))


def _value(text: str) -> Coordinate:
    """A number where it is written as one: 1e6 is the whole number 1000000, and 007 a text."""
    if re.fullmatch(r"-?(0|[1-9]\d*)", text, re.ASCII):
        return int(text)
    if re.fullmatch(r"-?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][-+]?\d+)?", text, re.ASCII):
        number = float(text)
        return int(number) if "." not in text and "-" not in text and number.is_integer() else number
    return text


def _law(counts: Sequence[Mapping[str, int]]) -> str:
    """A count that only the output tells is taken to vary."""
    varies = {
        name: any(name not in known for known in counts) or len({known[name] for known in counts}) > 1
        for name in ("params", "tokens")
    }
    return "chinchilla" if all(varies.values()) else "power_floor"


def _name(out: Path | None) -> str:
    return "command" if out is None else re.sub(r"^[.-]+|[/\\]|[^ -~]", "_", out.resolve().name)[:100] or "command"
