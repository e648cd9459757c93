"""A study from options alone: --command with its --grid, for trainers whose users write no Python."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lawful.checks import shown
from lawful.errors import DeclarationError, StoreError
from lawful.schema import Coordinate, StudyPlan

if TYPE_CHECKING:
    from lawful.command import Command
    from lawful.planning.written import Plan
    from lawful.study import Study

MOST_VALUES = 10_000  # of one axis
MOST_DIGITS = 300  # of a number
OPTIONS = ("command", "grid", "params", "tokens", "unit", "hold_out", "law")  # beside --reads, which may be repeated
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
class CommandLadder:
    """The options of one command line that declare a study of commands."""

    command: CommandLine = None
    grid: Grid = None
    params: Params = None
    tokens: Tokens = None
    reads: ReadsFrom = None
    hold_out: HoldOut = None
    law: LawName = None

    unit = ""  # `lawful adopt` has a --unit of its own, of the table's columns

    @property
    def given(self) -> list[str]:
        """The names of the options that are given."""
        return [name for name in (*OPTIONS, "reads") if getattr(self, name)]

    @property
    def settings(self) -> dict[str, str]:
        """What a plan keeps of the options, so that `lawful extend` can declare the study again with more rungs."""
        kept = {**{name: getattr(self, name) for name in OPTIONS}, "reads": shlex.join(self.reads or ())}
        return {name: value for name, value in kept.items() if value} if self.command else {}

    def study(
        self, out: Path | None, *, cores: int, gpus: float, name: str | None = None, cwd: str = "."
    ) -> Study | None:
        """The study; None where --command is not given.

        name    by default that of its folder, out
        Raises DeclarationError if options of a command are given without --command.
        """
        from lawful.command.reads import LOGGED, read_of
        from lawful.study import Question, Study
        from lawful.study import grid as rungs_of

        if self.command is None:
            if alone := self.given:
                raise DeclarationError(f"--{alone[0].replace('_', '-')}: expected --command beside it, got none.")
            return None
        if gpus != int(gpus):
            raise DeclarationError(f"--gpus-per-run: of a command expected a whole number, got {gpus:g}.")
        text, reads = self.command, [read_of(one) for one in self.reads or ()] or [LOGGED]
        axes = values_of("--grid", self.grid or "")
        held_out = {}
        for axis, values in values_of("--hold-out", self.hold_out or "").items():
            if len(values) > 1:
                raise DeclarationError(f"--hold-out: expected one value of {axis}, got {len(values)}.")
            held_out[axis] = values[0]

        def rung(**at: Coordinate) -> Command:
            from lawful.command import Command

            return Command(
                text,
                params=self.params,
                tokens=self.tokens,
                reads=reads,
                unit=self.unit,
                cwd=cwd,
                cores=cores,
                gpus=int(gpus),
            )

        ladder = rungs_of(rung, **axes)
        law = self.law or _law([rung.run.known for rung in ladder if hasattr(rung.run, "known")])
        along = " and ".join(axis for axis, values in axes.items() if axis != "seed" and len(values) > 1) or "the grid"
        return Study(
            name=name or _name(out),
            question=f"How does the loss fall along {along}?",
            ladder=ladder,
            held_out=held_out,
            questions=[Question(name="law", asks=f"How does the loss fall along {along}?", law=law)],
        )


@dataclass(frozen=True, kw_only=True)
class CommandOptions(CommandLadder):
    """The options of a ladder of commands, and the unit of the loss."""

    unit: Unit = ""

    def with_former(self, settings: Mapping[str, str]) -> CommandOptions:
        """These options, completed from the settings of a plan. The grid must be given: the values of the ladder must
        come from the user, never from a folder."""
        if self.grid is None:
            raise DeclarationError(
                "--grid: expected the whole ladder, the former rungs with the new ones, got none; it was "
                f"{shown(settings.get('grid', ''))}."
            )
        try:
            reads = self.reads or shlex.split(settings.get("reads", ""))
        except ValueError:
            raise StoreError(f"study.json: settings: reads: expected words, got {shown(settings['reads'])}.") from None
        return replace(
            self,
            command=self.command or settings.get("command"),
            params=self.params or settings.get("params"),
            tokens=self.tokens or settings.get("tokens"),
            reads=reads,
            unit=self.unit or settings.get("unit", ""),
            hold_out=self.hold_out or settings.get("hold_out"),
            law=self.law or settings.get("law"),
        )


def plan_more_rungs(folder: Path, former: StudyPlan, told: CommandOptions) -> Plan:
    """The plan of a study that --command declared, with the rungs that --grid gives it now.

    Raises StoreError where its commands are not trusted: the new ones are made from what the folder says.
    """
    from lawful.command.trusted import command_of, trusted_commands
    from lawful.executors.local import available_cores
    from lawful.planning.extend import plan_extension
    from lawful.storage.layout import Store

    store = Store(folder)
    first = command_of(trusted_commands(store, former), former.runs[0].run, store)
    options = told.with_former(former.settings)
    if options.command is None:
        raise DeclarationError(
            f"{folder}: expected --command and its other options, as they were when the study was planned, got --grid "
            "alone: the folder does not keep them. Or declare the same in a Python file (lawful new FILE.py --trainer "
            f"command writes one), with name={former.name!r}: lawful extend {shlex.quote(str(folder))} FILE.py"
        )
    declared = options.study(None, cores=first.cores, gpus=first.gpus, name=former.name, cwd=first.cwd)
    assert declared is not None
    return plan_extension(
        folder,
        declared,
        cores=available_cores(),
        settings=options.settings,
        command=shlex.join(["lawful", *sys.argv[1:]]),
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
        if len(text) > MOST_DIGITS and re.fullmatch(r"[-+.eE\d]+", text, re.ASCII):
            raise DeclarationError(f"{option}: expected a number of at most {MOST_DIGITS} digits, got {len(text):,}.")
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
    """The default law. A count that is known only from the output is assumed to vary."""
    varies = {
        name: any(name not in known for known in counts) or len({known[name] for known in counts}) > 1
        for name in ("params", "tokens")
    }
    return "chinchilla" if all(varies.values()) else "power_floor"


def _name(out: Path | None) -> str:
    return "command" if out is None else re.sub(r"^[.-]+|[/\\]|[^ -~]", "_", out.resolve().name)[:100] or "command"
