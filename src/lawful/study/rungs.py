"""Rungs: runs at named coordinates; `grid` makes all combinations, `bracket` tries other learning rates."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from lawful.checks import (
    PositiveFloat,
    argument,
    check_fields,
    checked,
    refuse_lines,
    shown,
)
from lawful.command import Command, CommandRun
from lawful.command.planned import planned_command
from lawful.errors import DeclarationError, LawfulError
from lawful.run import Run
from lawful.schema import Coordinate, Observation, PlannedRun
from lawful.study.ranges import Range

MOST_RUNGS = 100_000  # of a grid; more is a slip, and would fill the memory before anybody is told


Coordinates = Mapping[str, Coordinate]


@dataclass(frozen=True, kw_only=True)
class Rung:
    """A run at named coordinates: fitted, held out, or part of a learning-rate bracket.

    run         a Run, or a Command, which is filled in with the coordinates
    bracket     how many times the rate of the rung whose other coordinates it shares; never fitted, only looked at for
                whether the ladder's own rate is the best of those tried. Its coordinate is called `rate`
    is_offered  not of the ladder: a campaign (`lawful run --until`) may choose it
    """

    at: Coordinates
    run: Run | CommandRun
    held_out: bool = False
    bracket: PositiveFloat | None = None
    is_offered: bool = False

    def __init__(
        self,
        *,
        at: Coordinates,
        run: Run | Command | CommandRun,
        held_out: bool = False,
        bracket: float | None = None,
        is_offered: bool = False,
    ) -> None:
        given = {"at": at, "run": run, "held_out": held_out, "bracket": bracket, "is_offered": is_offered}
        for name, value in given.items():
            object.__setattr__(self, name, value)
        if not isinstance(run, (Run, Command, CommandRun)):
            raise DeclarationError(f"Rung: run: expected a Run or a Command, got {shown(run)}.")
        if isinstance(run, Command):
            object.__setattr__(self, "run", run.filled(at))
        check_fields(self)
        if type(seed := self.at.get("seed", 0)) is not int:
            raise DeclarationError(f"Rung: at: seed: expected a whole number, got {shown(seed)}.")

    @property
    def label(self) -> str:
        return ",".join(f"{name}={value}" for name, value in self.at.items())

    @property
    def seed(self) -> int:
        return int(self.at.get("seed", 0 if isinstance(self.run, CommandRun) else self.run.init_seed))

    @property
    def training(self) -> Run:
        """The Run. Raises DeclarationError for a command."""
        if isinstance(self.run, CommandRun):
            raise DeclarationError(f"{self.label}: expected a Run, got the command {shown(self.run.text)}.")
        return self.run

    @property
    def starts_from(self) -> Run | None:
        return None if isinstance(self.run, CommandRun) else self.run.starts_from


def planned_run(rung: Rung, arm: str | None, *, corpus: str = "") -> PlannedRun:
    """What is known of a run before it is trained, but for what it costs here."""
    if isinstance(rung.run, CommandRun):
        own_arm = str(rung.at[arm]) if arm else ""
        return planned_command(
            rung.run, label=rung.label, at=rung.at, held_out=rung.held_out, arm=own_arm, seed=rung.seed
        )
    run = rung.run
    counts = run.family.param_counts()
    return PlannedRun(
        run=run.id,
        rung=rung.label,
        at=dict(rung.at),
        held_out=rung.held_out,
        bracket=rung.bracket,
        starts_from="" if run.starts_from is None else run.starts_from.id,
        cluster=run.trunk_id,
        params_by_group=dict(counts.by_group),
        arm=str(rung.at[arm]) if arm else "",
        seed=rung.seed,
        params_total=counts.total,
        params_embedding=counts.embedding,
        params_non_embedding=counts.non_embedding,
        tokens=run.tokens,
        flops=int(run.rule.training_flops_per_token(run.family, run.context) * run.tokens),
        flops_6nd=6 * counts.non_embedding * run.tokens,
        steps=run.steps,
        batch_tokens=run.batch_size * run.context,
        context=run.context,
        learning_rate=run.optimizer.learning_rate,
        weight_decay=run.optimizer.weight_decay,
        schedule=run.schedule.shape,
        precision=run.precision,
        family=type(run.family).__name__,
        decay_start=run.decay_start,
        decay_fraction=float(run.schedule.decay_fraction) if run.schedule.shape == "wsd" else None,
        rate_floor=None if run.schedule.shape == "constant" else float(run.schedule.floor),
        corpus=corpus,
    )


# what a question's `where` may name of a run that is not trained yet, beside its coordinates; the plan settles more
_KNOWN_BEFORE = (
    *("rung", "held_out", "arm", "seed", "params_total", "params_embedding", "params_non_embedding", "tokens", "flops"),
    *("flops_6nd", "steps", "batch_tokens", "context", "learning_rate", "weight_decay", "schedule", "family"),
)


def planned_row(rung: Rung, arm: str | None) -> Observation:
    """The columns that are known before training, with the rung's coordinates."""
    columns = planned_run(rung, arm).columns()
    own = {name: columns[name] for name in _KNOWN_BEFORE if name in columns}
    return {**rung.at, **{f"at_{name}": value for name, value in rung.at.items()}, **own}


def is_of_ladder(rung: Rung) -> bool:
    """As table.is_of_ladder says of its row."""
    return rung.bracket is None and rung.starts_from is None


def grid(rung: Callable[..., Run | Command], **axes: Sequence[Coordinate] | Range) -> list[Rung]:
    """Every combination of the axes' values, as rungs of the run that `rung(**coordinates)` returns. What is wrong with
    any of them is told of all at once.

    An axis may be a Range. The combinations that only a campaign may choose are marked (`Rung.is_offered`), and are not
    of the ladder."""
    of_ladder = {name: set(values.ladder) for name, values in axes.items() if isinstance(values, Range)}
    levels = {name: _levels(name, values) for name, values in axes.items()}
    _expect_arguments("grid", rung, levels)
    empty = [name for name, values in levels.items() if len(values) == 0]
    if empty:
        raise DeclarationError(f"grid: expected values on every axis, got none for {', '.join(empty)}.")
    if (size := math.prod(map(len, levels.values()))) > MOST_RUNGS:
        raise DeclarationError(f"grid: expected at most {MOST_RUNGS:,} rungs, got {size:,}.")
    rungs: list[Rung] = []
    wrong: dict[str, list[str]] = {}  # what is wrong -> with which rungs
    for point in product(*levels.values()):
        at = dict(zip(levels, point, strict=True))
        try:
            is_offered = any(at[name] not in values for name, values in of_ladder.items())
            rungs.append(Rung(at=at, run=rung(**at), is_offered=is_offered))
        except LawfulError as error:
            wrong.setdefault(str(error), []).append(",".join(f"{name}={value}" for name, value in at.items()))
    refuse_lines(
        "grid: these rungs cannot be declared",
        [f"{names[0]}{f' and {len(names) - 1} more' if names[1:] else ''}: {why}" for why, names in wrong.items()],
    )
    return rungs


def brackets(rung: Callable[..., Run | Command], **axes: Sequence[Coordinate]) -> list[Rung]:
    """`bracket` at every combination of the axes' values: of each arm at two sizes, for one."""
    points = [dict(zip(axes, point, strict=True)) for point in product(*axes.values())]
    return [one for at in points for one in bracket(rung, at)]


def largest(axis: str, values: Sequence[Coordinate]) -> dict[str, Coordinate]:
    """`held_out` of a study along an axis: its largest value, where at least two others are left to fit a law to."""
    known = sorted({float(value): value for value in values}.items())
    return {axis: known[-1][1]} if len(known) > 2 else {}


def _levels(name: str, values: Any) -> tuple[Coordinate, ...]:
    if isinstance(values, Range):
        return values.reachable
    if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
        raise DeclarationError(f"grid: {name}: expected a sequence of values, got {shown(values)}.")
    if len(values) > MOST_RUNGS:
        raise DeclarationError(f"grid: {name}: expected at most {MOST_RUNGS:,} values, got {len(values):,}.")
    return tuple(argument(f"grid: {name}", value, Coordinate) for value in values)


def _expect_arguments(what: str, rung: Callable[..., Run | Command], at: Mapping[str, Any]) -> None:
    """Raises DeclarationError where the function cannot be called by these names."""
    try:
        inspect.signature(rung).bind(**at)
    except TypeError as error:
        own = f"{getattr(rung, '__name__', 'rung')}{inspect.signature(rung)}"
        raise DeclarationError(
            f"{what}: expected the arguments of {own} as coordinates, got {', '.join(at) or 'none'} ({error})."
        ) from None


@checked
def bracket(
    rung: Callable[..., Run | Command], at: Coordinates, times: Sequence[PositiveFloat] = (0.5, 2.0)
) -> list[Rung]:
    """The run at `at` again, at multiples of its learning rate and nothing else changed."""
    _expect_arguments("bracket", rung, at)
    run = rung(**at)
    if isinstance(run, Command):
        raise DeclarationError("bracket: expected a rung that is a Run, got a Command; add its rate as a coordinate.")
    return [
        Rung(
            at={**at, "rate": factor},
            run=replace(run, optimizer=replace(run.optimizer, learning_rate=factor * run.optimizer.learning_rate)),
            bracket=factor,
        )
        for factor in times
    ]
