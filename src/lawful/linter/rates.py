"""Confounds of the learning rate: does it stay equal or follow size smoothly, and is it the best of those tried?"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from lawful.linter.groups import Others, all_but, measures_of_size, values_by_size
from lawful.schema import Coordinate, Observation, PlannedRun, Severity, Warning

JUMP = 1.5  # the learning rate may leave a smooth power of size by this factor between neighbours
UNKNOWN_NOISE = 0.0125  # relative noise between seeds if no rung has two: the largest that small models showed
FLAT_DRAWS = 20_000  # of brackets in which all rates are equal


def rates(rungs: Sequence[PlannedRun]) -> list[Warning]:
    """The peak rate may follow the size smoothly, counted in any way that the plan knows: by all parameters, by those
    of the embeddings (which grow with the width), by a coordinate. A rate set by hand in steps moves the law."""
    moving = [rung for rung in rungs if rung.learning_rate > 0]  # a run with rate 0 is a control that does not train
    for arm in dict.fromkeys(rung.arm for rung in moving):
        own = [rung for rung in moving if rung.arm == arm]
        by_size = values_by_size(own, lambda rung: rung.learning_rate)
        if len(by_size) < 3:
            continue
        jump, at, _ = _jump(own, lambda rung: rung.params_non_embedding)
        if jump > JUMP and not any(max(_jump(own, measure)[::2]) <= JUMP for measure in measures_of_size(own)):
            first, second = list(by_size)[at : at + 2]
            text = (
                f"the learning rate goes from {by_size[first]:.3g} to {by_size[second]:.3g} between {first:,.0f} and "
                f"{second:,.0f} parameters, off any smooth rule for the ladder: a confound of size."
            )
            return [Warning("rate-jumps", "warning", text)]
    return []


def _jump(rungs: Sequence[PlannedRun], measure: Callable[[PlannedRun], Coordinate]) -> tuple[float, int, float]:
    """The largest factor by which the rate leaves a smooth function of a measure of size between neighbours, and
    where; then the largest between rungs of one measure. The slope of the logarithm may change: it may lie anywhere
    between the slopes of its neighbours, and at an end between its neighbour's and their linear extrapolation."""
    rates: dict[float, list[float]] = defaultdict(list)
    for rung in rungs:
        rates[float(measure(rung))].append(math.log(rung.learning_rate / (rung.bracket or 1.0)))
    uneven = max(max(own) - min(own) for own in rates.values())
    sizes = np.log(sorted(rates))
    steps = np.diff(sizes)
    slopes = np.diff([float(np.mean(rates[size])) for size in sorted(rates)]) / steps
    jumps = np.zeros(len(slopes))
    for i, slope in enumerate(slopes):
        beside = [slopes[k] for k in (i - 1, i + 1) if 0 <= k < len(slopes)]
        if len(slopes) == 2:
            beside = [float(slopes.mean())]
        elif len(beside) == 1:
            near, next_ = (1, 2) if i == 0 else (i - 1, i - 2)
            beside.append(2 * slopes[near] - slopes[next_])
        jumps[i] = abs(slope - min(max(slope, min(beside)), max(beside))) * steps[i]
    at = int(jumps.argmax())
    return math.exp(float(jumps[at])), at, math.exp(uneven)


def brackets(rungs: Sequence[PlannedRun], rows: Sequence[Observation]) -> list[Warning]:
    """Find the best rate of each bracket: if it is not the rate used, or is at an edge, the rate of the whole ladder
    is in doubt. A run that diverged is worse than any other."""
    losses: dict[str, float] = {}
    for row in rows:
        loss = math.inf if row.get("status") == "diverged" else row.get("loss")
        if row.get("status") in ("finished", "diverged") and isinstance(loss, (int, float)):
            losses[str(row["run"])] = float(loss)
    groups: dict[Others, dict[float, float]] = defaultdict(dict)
    tried: dict[Others, set[float]] = defaultdict(set)
    over = {row["run"] for row in rows if row.get("status") in ("finished", "diverged", "failed")}
    waiting = set()
    labels: dict[Others, str] = {}
    bracketed = {all_but("rate", rung) for rung in rungs if rung.bracket is not None}
    for rung in rungs:
        key = all_but("rate", rung)
        if key in bracketed and rung.bracket is None:
            labels[key] = rung.rung
        if key in bracketed:
            tried[key].add(float(rung.bracket or 1.0))
            if rung.run not in over:
                waiting.add(key)
        if key in bracketed and rung.run in losses:
            groups[key][float(rung.bracket or 1.0)] = losses[rung.run]
    spread, dof = seed_spread(rungs, losses)
    judged = {
        key: by_rate
        for key, by_rate in groups.items()
        if len(by_rate) >= (3 if key in waiting else 2) and math.isfinite(by_rate.get(1.0, math.inf))
    }
    others = [sum(map(math.isfinite, by_rate.values())) - 1 for by_rate in judged.values()]
    reach = _largest_gain([number for number in others if number > 0], dof)
    found = []
    for key, by_rate in groups.items():
        label = labels.get(key, ",".join(f"{name}={value}" for name, value in key))
        if diverged := sorted(rate for rate, loss in by_rate.items() if math.isinf(loss)):
            text = f"{label}: of the learning rates tried, {_listed_rates(diverged)} diverged."
            found.append(Warning("bracket-diverged", "warning", text))
        if key not in judged:
            continue
        best = min(by_rate, key=lambda rate: by_rate[rate])
        gain = by_rate[1.0] - by_rate[best]
        noise = spread if dof else UNKNOWN_NOISE * by_rate[1.0]
        is_shown = gain > reach * noise
        why_not = (
            "no more than seeds differ by."
            if dof
            else f"no rung has two seeds, and seeds differ by up to about {100 * UNKNOWN_NOISE:g} %: it is not decided."
        )
        severity: Severity = "warning" if is_shown else "note"
        is_at_edge = best in (min(tried[key]), max(tried[key]))
        if is_at_edge and best == 1.0:
            side = "lower" if best == min(tried[key]) else "higher"
            text = f"{label}: of the learning rates tried, the one used is the best, but no {side} one was tried."
            found.append(Warning("rate-at-edge", "note", text))
        elif is_at_edge:
            text = (
                f"{label}: of the learning rates tried, the best is at the edge, {best:g} times the one used, by "
                f"{gain:.4f} in the loss: "
                + ("the best may lie beyond, and the ladder is not at it." if is_shown else why_not)
            )
            found.append(Warning("rate-at-edge", severity, text))
        elif best != 1.0:
            text = (
                f"{label}: of the learning rates tried, {best:g} times the one used is better by {gain:.4f} in the "
                "loss: " + ("the ladder is not at its best rate." if is_shown else why_not)
            )
            found.append(Warning("rate-not-best", severity, text))
    return found


def _largest_gain(others: Sequence[int], dof: int) -> float:
    """The gain, in standard deviations of a run, that the best other rate of any bracket exceeds in only 5 % of studies
    whose brackets are all flat. `dof` belongs to the estimated deviation; 0: it is known. Without this limit, one seed
    at a flat bracket said "not at it" in 63 % of studies."""
    if not others:
        return math.inf
    rng = np.random.default_rng(0)
    gains = [
        rng.standard_normal(FLAT_DRAWS) - rng.standard_normal((number, FLAT_DRAWS)).min(axis=0) for number in others
    ]
    estimated = np.sqrt(rng.chisquare(dof, FLAT_DRAWS) / dof) if dof else 1.0
    return float(np.quantile(np.max(gains, axis=0) / estimated, 0.95))


def seed_spread(rungs: Sequence[PlannedRun], losses: Mapping[str, float]) -> tuple[float, int]:
    """Standard deviation of the loss between seeds of one rung, pooled, and its degrees of freedom; 0 where no rung has
    two."""
    groups: dict[Others, list[float]] = defaultdict(list)
    for rung in rungs:
        if math.isfinite(losses.get(rung.run, math.inf)) and rung.bracket is None:
            groups[all_but("seed", rung)].append(losses[rung.run])
    several = [group for group in groups.values() if len(group) > 1]
    dof = sum(len(group) - 1 for group in several)
    return math.sqrt(sum(float(np.var(group)) * len(group) for group in several) / dof) if dof else 0.0, dof


def schedule(rung: PlannedRun) -> str:
    """The schedule's shape, with the settings that must be equal along a ladder."""
    named = (("decay", rung.decay_fraction), ("floor", rung.rate_floor))
    settings = [f"{name} {value:g}" for name, value in named if value is not None]
    return f"{rung.schedule} ({', '.join(settings)})" if settings else rung.schedule


def _listed_rates(factors: Sequence[float]) -> str:
    return " and ".join("the one used" if factor == 1 else f"{factor:g} times the one used" for factor in factors)
