"""The records of an answer to a question of a study, without its fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lawful.checks import AnyFloat
from lawful.fitting.comparison import Comparison
from lawful.fitting.crossover import Crossing
from lawful.fitting.paired import Paired
from lawful.fitting.records import HeldOut
from lawful.fitting.truth import Recovered
from lawful.schema import Question, Warning


@dataclass(frozen=True, kw_only=True)
class Excluded:
    """A run that the question leaves out, and why."""

    run: str
    rung: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class SisterLaw:
    """Another law on the same rows; its numbers are None where the rows refuse it.

    fixed             parameters of it that were not fitted
    delta_aicc        its AICc minus that of the law which answers
    held_out_error    mean absolute error of its forecasts
    """

    law: str
    fixed: Mapping[str, float]
    formula: str
    refusal: str | None = None
    n: int | None = None
    aicc: AnyFloat | None = None
    delta_aicc: AnyFloat | None = None
    params: Mapping[str, AnyFloat] = field(default_factory=dict)
    held_out_error: AnyFloat | None = None


@dataclass(frozen=True, kw_only=True)
class ArmPair:
    """Two arms along a law's one axis: where they cross, or why that cannot be had."""

    arms: tuple[str, str]
    refusal: str | None = None
    crossing: Crossing | None = None


@dataclass(frozen=True, kw_only=True)
class AnswerRecord:
    """One question answered or refused, without the fit.

    headline    the answer as one can quote it, in at most 25 words and two numbers (fitting/headline.py)
    basis       its interval and n
    next_step   what to do next
    sentence    the answer in full, with every interval
    also        sister laws on the same rows
    comparison  of the arms, or None
    crossings   of every two arms along a law's one axis
    paired      of the arms run by run, or None
    truth       what was known beforehand beside what was found
    added       runs that were added to a finished study and are fitted now: what was forecast of each before it began,
                beside what came
    code        of the refusal, where it has one
    """

    question: Question
    status: Literal["answered", "refused"]
    refusal: str | None = None
    headline: str = ""
    basis: str = ""
    next_step: str = ""
    sentence: str
    held_out: tuple[HeldOut, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    warnings: tuple[Warning, ...] = ()
    also: tuple[SisterLaw, ...] = ()
    comparison: Comparison | None = None
    crossings: tuple[ArmPair, ...] = ()
    paired: Paired | None = None
    truth: tuple[Recovered, ...] = ()
    added: tuple[HeldOut, ...] = ()
    code: str | None = None

    @property
    def name(self) -> str:
        return self.question.name

    @property
    def arm(self) -> str | None:
        """The one arm that the question is about."""
        return self.question.arm
