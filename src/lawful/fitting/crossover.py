"""Where the curves of two arms cross, if they do: the point, its confidence set, and which arm wins on either side."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lawful.checks import NaturalInt, checked
from lawful.errors import DeclarationError, Refusal
from lawful.fitting.data import refuse_mixtures
from lawful.fitting.estimate import fit
from lawful.fitting.result import Caution, Fit
from lawful.laws import Array, Law, named
from lawful.table import COLUMNS, Observations, read_runs

SURE = 0.9  # probability of a crossing inside the data below which no point is named
POINTS = 400
BEYOND = 100.0  # the set is sought this far outside the data on either side


@dataclass(frozen=True)
class Crossover:
    """Two arms along one axis.

    axis_name          what the axis is in words: the column, where it is one of a study's own
    at                 where the fitted curves cross, or None where P < .9 or they do not
    probability        share of paired draws that cross inside the data both arms share
    set95              pieces (low, high) of the axis on which neither arm is ahead at 95 %; an end at 0 or infinity
                       means unbounded. Empty: one arm is ahead everywhere that was looked at
    better_small, better_large   the arm with the lower loss at the two ends of the shared data, and how surely
    """

    axis: str
    axis_name: str
    arms: tuple[str, str]
    at: float | None
    probability: float
    set95: tuple[tuple[float, float], ...]
    shared_range: tuple[float, float]
    better_small: str
    better_small_probability: float
    better_large: str
    better_large_probability: float
    sentence: str
    fits: Mapping[str, Fit]
    warnings: tuple[Caution, ...]


@checked
def crossover(
    source: Any,
    by: str = "arm",
    *,
    arms: tuple[str, str] | None = None,
    law: str | Law = "power_floor",
    params: str | None = None,
    tokens: str | None = None,
    loss: str | None = None,
    flops: str | None = None,
    cluster: str | None = None,
    draws: NaturalInt = 1000,
    seed: NaturalInt = 0,
) -> Crossover:
    """Find the crossing of two arms under a law of one axis (power_floor:tokens and the like).

    Raises Refusal where an arm cannot be fitted, LawfulError where there are not two arms or the law has two axes.
    """
    law = named(law)
    if len(law.inputs) != 1:
        raise DeclarationError(
            f"crossover: expected a law of one axis, such as power_floor:tokens; {law.name} reads "
            f"{' and '.join(law.inputs)}."
        )
    table = read_runs(source, params=params, tokens=tokens, loss=loss, flops=flops, cluster=cluster)
    if draws < 1:
        raise DeclarationError(f"draws: where two arms cross is read off the draws; expected some, got {draws}.")
    table.expect(by)
    present = list(dict.fromkeys(str(value) for value in table.values(by)))
    first, second = _two(arms, present, by)
    both = table.where(lambda row: str(row.get(by)) in (first, second), f"another {by}").of_ladder()
    refuse_mixtures(both.where(lambda row: row.get("held_out") is not True, "held out"))
    fits = {}
    for arm in (first, second):
        try:
            rows = _of_arm(table, by, arm)
            fits[arm] = fit(
                rows,
                law,
                draws=draws,
                seed=seed,
                cluster=cluster,
            )
        except Refusal as refusal:
            raise Refusal(refusal.code, f"arm {arm}: {refusal}") from None
    return between(fits, (first, second))


def _of_arm(table: Observations, by: str, arm: str) -> Observations:
    return table.where(lambda row: str(row.get(by)) == arm, f"another {by}")


def _two(arms: tuple[str, str] | None, present: list[str], by: str) -> tuple[str, str]:
    if arms is None:
        if len(present) != 2:
            raise DeclarationError(
                f"{by}: expected two arms, got {', '.join(present)}; name two with arms=(first, second)."
            )
        return present[0], present[1]
    if missing := [arm for arm in arms if arm not in present]:
        raise DeclarationError(f"{by}: no arm is called {', '.join(missing)}; there are {', '.join(present)}.")
    return arms


def between(fits: Mapping[str, Fit], arms: tuple[str, str]) -> Crossover:
    """The crossing of two arms whose laws of one axis are fitted already, each with draws."""
    a, b = (fits[arm] for arm in arms)
    (axis,) = a.model.inputs
    low = max(a.data["domain"][axis][0], b.data["domain"][axis][0])
    high = min(a.data["domain"][axis][1], b.data["domain"][axis][1])
    if not low < high:
        raise Refusal(
            "no_shared_range",
            f"{axis}: the arms share no range: {arms[0]} spans {a.data['domain'][axis]}, "
            f"{arms[1]} {b.data['domain'][axis]}.",
        )
    wide = np.geomspace(low / BEYOND, high * BEYOND, POINTS)
    inside = np.geomspace(low, high, POINTS)
    ahead_wide, ahead = gap(a, b, axis, wide), gap(a, b, axis, inside)  # negative where the first arm is better
    is_crossing = np.sign(ahead[:, 0]) != np.sign(ahead[:, -1])
    is_crossing |= (np.diff(np.sign(ahead), axis=1) != 0).any(axis=1)
    probability = float(is_crossing.mean())
    centre = _gap_of(a.values, b.values, a, b, axis, inside)
    at = _first_zero(inside, centre) if probability >= SURE else None
    pieces = _undecided(wide, ahead_wide)
    small, small_p = _better(ahead[:, 0], arms)
    large, large_p = _better(ahead[:, -1], arms)
    name = _name(a, axis)
    return Crossover(
        axis,
        name,
        arms,
        at,
        probability,
        pieces,
        (low, high),
        small,
        small_p,
        large,
        large_p,
        _sentence(name, at, probability, pieces, small, small_p, large, large_p),
        dict(fits),
        _cautions(fits, centre, probability),
    )


def gap(a: Fit, b: Fit, axis: str, at: Array) -> Array:
    """log loss of the first arm minus that of the second, per paired draw: shape (draws, points)."""
    count = min(len(a.draws), len(b.draws))
    first, second = ({name: column[:count] for name, column in f.drawn.items()} for f in (a, b))
    return _gap_of(first, second, a, b, axis, at)


def _gap_of(first: Mapping[str, Any], second: Mapping[str, Any], a: Fit, b: Fit, axis: str, at: Array) -> Array:
    return np.asarray(np.log(a.loss(first, {axis: at})) - np.log(b.loss(second, {axis: at})))


def _first_zero(at: Array, gap: Array) -> float | None:
    change = np.flatnonzero(np.diff(np.sign(gap)) != 0)
    if not len(change):
        return None
    i = int(change[0])
    share = gap[i] / (gap[i] - gap[i + 1])
    return float(at[i] * (at[i + 1] / at[i]) ** share)


def _undecided(at: Array, gap: Array) -> tuple[tuple[float, float], ...]:
    """Where the middle 95 % of the draws hold zero, between the points at which one arm is ahead."""
    low, high = np.quantile(gap, [0.025, 0.975], axis=0)
    ahead = np.where(high < 0, -1, np.where(low > 0, 1, 0))
    decided = np.flatnonzero(ahead != 0)
    if not len(decided):
        return ((0.0, float("inf")),)
    pieces = [] if decided[0] == 0 else [(0.0, float(at[decided[0]]))]
    for i, j in itertools.pairwise(decided):
        if j > i + 1 or ahead[i] != ahead[j]:  # a change of lead lies between, however narrow
            pieces.append((float(at[i]), float(at[j])))
    if decided[-1] < len(at) - 1:
        pieces.append((float(at[decided[-1]]), float("inf")))
    return tuple(pieces)


def _better(gap: Array, arms: tuple[str, str]) -> tuple[str, float]:
    share = float((gap < 0).mean())
    return (arms[0], share) if share >= 0.5 else (arms[1], 1 - share)


def _name(fit: Fit, axis: str) -> str:
    """What the axis is in words: the column, where it is one of a study's own, such as seconds."""
    column = str(fit.data["columns"].get(axis, axis))
    return column.replace("_", " ") if column in COLUMNS else axis


def _sentence(
    axis: str,
    at: float | None,
    probability: float,
    pieces: tuple[tuple[float, float], ...],
    small: str,
    small_p: float,
    large: str,
    large_p: float,
) -> str:
    ends = f"{small} has the lower loss at small {axis} (P = {small_p:.2f}), {large} at large (P = {large_p:.2f})"
    undecided = " and ".join(f"[{low:.3g}, {high:.3g}]" for low, high in pieces) or "nowhere"
    if at is not None:
        return f"The arms cross at {axis} = {at:.3g}: {ends}; neither is ahead at 95 % on {undecided}."
    return (
        f"No crossing inside the data is established (P = {probability:.2f}): {ends}; neither is ahead at 95 % on "
        f"{undecided}."
    )


def _cautions(fits: Mapping[str, Fit], centre: Array, probability: float) -> tuple[Caution, ...]:
    found = []
    crossings = int((np.diff(np.sign(centre)) != 0).sum())
    if crossings > 1 and probability >= SURE:
        found.append(
            Caution(
                "several_crossings",
                "warning",
                f"The fitted curves cross {crossings} times in the data; the first is reported.",
            )
        )
    for arm, one in fits.items():
        found += [
            replace(caution, sentence=f"{arm}: {caution.sentence}")
            for caution in one.warnings
            if caution.severity != "note"
        ]
    return tuple(found)
