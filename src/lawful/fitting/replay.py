"""Put a published claim to the test on the points it was drawn from: supported, contradicted, or not decidable.

Two kinds of claim are understood: a parameter's value, `alpha=0.142`, and an arm that is ahead on one side of a point,
`transformer beats lstm above 1e7`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lawful.fitting.crossover import crossover, gap
from lawful.fitting.estimate import fit
from lawful.fitting.result import Caution, Fit, Refusal
from lawful.laws import Law, named
from lawful.table import read_runs

Verdict = Literal["supported", "contradicted", "not decidable"]
SURE = 0.95
POINTS = 50
# of a fit: each leaves its parameters without a meaning, however narrow an interval may look
UNDECIDING = {"not_identified", "not_certified"}
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


@dataclass(frozen=True)
class Replay:
    """claim as it was given; `reasons` are sentences, the deciding one first; `fits` by arm, or under "all"."""

    claim: str
    verdict: Verdict
    reasons: tuple[str, ...]
    fits: Mapping[str, Fit]

    @property
    def sentence(self) -> str:
        return f"{self.claim}: {self.verdict}. {self.reasons[0]}"


def replay(
    source: Any,
    claim: str,
    *,
    law: str | Law = "power_floor",
    by: str = "arm",
    params: str | None = None,
    tokens: str | None = None,
    loss: str | None = None,
    flops: str | None = None,
    cluster: str | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Replay:
    """Refit the points and hold `claim` against what they say.

    law     under which the claim was made, or a better one
    by      the column that names the arms, for a claim that one beats another
    Raises ValueError for a claim that is not understood, and for a bad table; points no law fits are a verdict.
    """
    columns: Any = {"params": params, "tokens": tokens, "loss": loss, "flops": flops, "cluster": cluster}
    if found := re.fullmatch(rf"\s*(\w+)\s*=\s*({NUMBER})\s*", claim):
        return _value(source, claim.strip(), found[1], float(found[2]), law, columns, draws, seed)
    if found := re.fullmatch(rf"\s*(\S+) beats (\S+) (above|below) ({NUMBER})\s*", claim):
        arms, where = (found[1], found[2]), (found[3], float(found[4]))
        return _ahead(source, claim.strip(), arms, where, law, by, columns, draws, seed)
    raise ValueError(f"claim: expected NAME=NUMBER, or ARM beats ARM above NUMBER (or below), got {claim!r}.")


def _value(
    source: Any, claim: str, name: str, claimed: float, law: str | Law, columns: Any, draws: int, seed: int
) -> Replay:
    try:
        found = fit(read_runs(source, **_known(columns)), law, draws=draws, seed=seed, **columns)
    except Refusal as refusal:
        return Replay(claim, "not decidable", (f"No law can be fitted to these points: {refusal}",), {})
    if name not in found.params:
        raise ValueError(f"claim: {found.law} has no parameter {name!r}; it has {', '.join(found.params)}.")
    low, high = found.params[name].ci95
    n = found.goodness.n
    of_fit = _undeciding(found)
    here = f"{n} points give {name} = {found.params[name].value:.3g}, 95 % interval [{low:.3g}, {high:.3g}]"
    if of_fit:
        return Replay(claim, "not decidable", (*(c.sentence for c in of_fit), f"{here}."), {"all": found})
    if not np.isfinite([low, high]).all():
        return Replay(claim, "not decidable", (f"{here}: it has no end.",), {"all": found})
    if not low <= claimed <= high:
        return Replay(claim, "contradicted", (f"{here}: {claimed:g} lies outside.",), {"all": found})
    if low <= 0 <= high or high - low > 2 * abs(claimed):
        return Replay(claim, "not decidable", (f"{here}: it holds {claimed:g}, and much else.",), {"all": found})
    return Replay(claim, "supported", (f"{here}: {claimed:g} lies inside.",), {"all": found})


def _ahead(
    source: Any,
    claim: str,
    arms: tuple[str, str],
    where: tuple[str, float],
    law: str | Law,
    by: str,
    columns: Any,
    draws: int,
    seed: int,
) -> Replay:
    try:
        found = crossover(source, by, arms=arms, law=named(law), draws=draws, seed=seed, **columns)
    except Refusal as refusal:
        return Replay(claim, "not decidable", (f"No law can be fitted to these points: {refusal}",), {})
    side, limit = where
    low, high = found.shared_range
    low, high = (max(low, limit), high) if side == "above" else (low, min(high, limit))
    if not low < high:
        reason = f"Both arms have points from {found.shared_range[0]:.3g} to {found.shared_range[1]:.3g} only."
        return Replay(claim, "not decidable", (reason,), found.fits)
    first, second = (found.fits[arm] for arm in arms)
    at = np.geomspace(low, high, POINTS)
    behind = gap(first, second, found.axis, at) > 0  # draws x points: the first arm's loss is the higher
    always_ahead, somewhere_behind = float((~behind).all(axis=1).mean()), behind.mean(axis=0)
    here = f"Between {low:.3g} and {high:.3g}, where both arms have points, {arms[0]} is ahead throughout"
    reasons = (f"{here} in {always_ahead:.0%} of the draws.", found.sentence)
    worst = int(somewhere_behind.argmax())
    if always_ahead >= SURE:
        return Replay(claim, "supported", reasons, found.fits)
    if somewhere_behind[worst] >= SURE:
        text = f"At {at[worst]:.3g} {arms[1]} has the lower loss, in {somewhere_behind[worst]:.0%} of the draws."
        return Replay(claim, "contradicted", (text, found.sentence), found.fits)
    return Replay(claim, "not decidable", reasons, found.fits)


def _undeciding(found: Fit) -> list[Caution]:
    return [caution for caution in found.warnings if caution.code in UNDECIDING and caution.severity == "severe"]


def _known(columns: Mapping[str, str | None]) -> dict[str, str]:
    return {role: name for role, name in columns.items() if name is not None}
