"""The record of a campaign: its rule, written before the first run, and what was chosen in each round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lawful.checks import NaturalInt, NonNegativeFloat, PositiveFloat, PositiveInt
from lawful.schema.cells import Coordinate

RoundKind = Literal["start", "space-filling", "chosen", "held out"]
Ending = Literal["met", "spent"]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What decides every choice of a campaign, with the tables that come.

    goal, budget     as they were stated; the budget is in FLOPs, as the plan counts them
    batch            runs of a round, at most
    question         whose law, rows and columns are taken
    axes             coordinate -> the values that runs can have
    candidates       how many runs can be chosen; candidates_sha256: of their labels and FLOPs
    held_out         label of the run that is forecast at the end and never fitted; "": the budget has no room for one
    held_out_flops   kept for it
    start_flops      of the budget, what the start may spend; start_runs: the most runs that it has
    stop             the rule of stopping, in words
    grid_runs, grid_flops    what the study's own ladder would take
    lawful           version and commit of the program that wrote the rule
    """

    goal: str
    budget: PositiveFloat
    batch: PositiveInt
    seed: NaturalInt
    question: str
    law: str
    axes: Mapping[str, tuple[Coordinate, ...]]
    candidates: PositiveInt
    candidates_sha256: str
    held_out: str
    held_out_flops: NonNegativeFloat
    start_flops: PositiveFloat
    start_runs: PositiveInt
    stop: str
    grid_runs: PositiveInt
    grid_flops: PositiveFloat
    lawful: str


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was known when a round was chosen, or the campaign ended.

    half_width   of the goal's interval; None where there was no interval, or no law
    spent        FLOPs of the rounds before
    table        SHA-256 of the runs that had ended, as far as a choice reads them
    lawful       version and commit of the program that chose
    """

    half_width: NonNegativeFloat | None
    spent: NonNegativeFloat
    table: str
    lawful: str
    created: str


@dataclass(frozen=True, kw_only=True)
class Round:
    """Runs that were chosen together, written before any of them began.

    runs     labels of their rungs
    flops    of all of them
    seed     of the choice
    expected    half-width that is expected after it, where a law chose it
    why      in one line
    """

    number: PositiveInt
    kind: RoundKind
    runs: tuple[str, ...]
    flops: NonNegativeFloat
    seed: NaturalInt
    expected: NonNegativeFloat | None = None
    why: str
    look: Look


@dataclass(frozen=True, kw_only=True)
class End:
    """Why a campaign ended: its goal is met, or what is left of its budget pays no run."""

    ending: Ending
    why: str
    look: Look


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """What campaign.json holds.

    enough        half-width that the goal asks for; of a loss, of its logarithm
    rule_sha256   of the canonical JSON of the rule
    created       when the rule was written, before the first run
    """

    rule: Rule
    rule_sha256: str
    enough: PositiveFloat
    created: str
    rounds: tuple[Round, ...]
    end: End | None = None

    @property
    def spent(self) -> float:
        """FLOPs of all rounds that were chosen."""
        return sum(one.flops for one in self.rounds)

    @property
    def looks(self) -> tuple[Look, ...]:
        """In their order; the held-out run is chosen without one."""
        chosen = [one.look for one in self.rounds if one.kind != "held out"]
        return (*chosen, *([self.end.look] if self.end else []))
