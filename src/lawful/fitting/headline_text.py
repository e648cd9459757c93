"""The parts of a headline: short names of doubts and of arms, and sentences of at most 25 words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lawful.codes import CODES
from lawful.schema import Warning

WORDS, NUMBERS = 25, 2  # of a sentence, at most
LONG_NAME = 3  # words of an arm's name that a sentence repeats
# a doubt with one of these codes takes back what a law says of its exponents, and leaves its forecasts and comparisons
OF_EXPONENTS = ("not_identified", "ridge")
SHORT_DOUBTS = {
    "misfit": "the fitted formula does not fit these runs",
    "not_certified": "the fit found no certain optimum",
    "padding": "padding counts in the loss",
    "seed-unused": "runs that differ in their seed alone have the same loss",
    "mixed-schedules": "runs have different learning-rate schedules",
    "undecayed": "some runs ended before their learning rate had decayed",
    "prior_disagrees": "a prior and these runs contradict each other",
    "far_extrapolation": "it lies too far outside the runs",
    "allocation_disagrees": "the law and the table itself give different best sizes",
}
TWO_TO_TWELVE = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


@dataclass(frozen=True, kw_only=True)
class Headline:
    """sentence: what one can quote; basis: its interval and n; next_step: what to do next."""

    sentence: str
    basis: str = ""
    next_step: str = ""


def advice(code: str | None) -> str | None:
    known = CODES.get(code or "")
    return None if known is None else known.do


def short_doubt(one: Warning, law: str = "") -> str:
    """law: that of the fit, as --law takes it; its name is said where it is a short one, without digits."""
    if one.code == "misfit":
        if one.sentence.startswith("The value given"):
            return "a value that was fixed is not that of these runs"
        name = law.partition(":")[0]
        if re.fullmatch(r"[a-z_]{1,24}", name):
            return f"the fitted formula ({name}) does not fit these runs"
    return SHORT_DOUBTS.get(one.code, "a severe doubt stands against these runs")


def capped(sentence: str) -> str:
    """Without its last clauses where long names of arms make it too long; cut where it has but one."""
    while len(sentence.split()) > WORDS and ";" in sentence:
        sentence = sentence.rpartition(";")[0] + "."
    words = sentence.split()
    return sentence if len(words) <= WORDS else " ".join(words[: WORDS - 1]) + " …"


def named_arm(arm: str) -> str:
    words = arm.split()
    return arm if len(words) <= LONG_NAME else " ".join(words[:LONG_NAME]) + "…"


def listed(arms: Sequence[str], word: str) -> str:
    if len(arms) > 3:
        return f"the {number_word(len(arms))} variants"
    names = [named_arm(arm) for arm in arms]
    return f"{', '.join(names[:-1])} {word} {names[-1]}" if len(names) > 1 else "".join(names)


def number_word(count: int) -> str:
    return TWO_TO_TWELVE[count - 2] if 2 <= count <= len(TWO_TO_TWELVE) + 1 else "one" if count == 1 else "many"
