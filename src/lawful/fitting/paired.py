"""Arms compared run by run, where no law is asked: who is ahead over all levels of a coordinate, and how the gap moves.

Two runs are a pair where they differ in the arm alone: their difference is free of what a seed shares (its text, its
order). Pairs that share noise across levels are one unit: branches of one trunk, by the table's clusters, and runs of
one seed at several lengths, whose losses were found to correlate by .56 to .77. The noise of a difference is its spread
between units; the levels themselves are fixed, never noise. Several pairs of arms are several tests: p is adjusted
after Holm (1979).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lawful.checks import AnyFloat
from lawful.errors import Refusal
from lawful.fitting.arms import refuse_alike
from lawful.fitting.clusters import LENGTHS
from lawful.fitting.quantiles import t_cdf, t_quantile
from lawful.fitting.replicates import COARSE, resolution
from lawful.response import Response, expect_loss
from lawful.schema import Warning
from lawful.tables import Observations
from lawful.tables.responses import is_share

ALPHA = 0.05


@dataclass(frozen=True)
class Gap:
    """Loss of `second` minus that of `first`: its mean over the levels, and its change per doubling of the coordinate
    (None where that has fewer than three levels, or no numbers).

    levels      level -> mean difference there
    """

    first: str
    second: str
    pairs: int
    mean: AnyFloat
    ci95: tuple[AnyFloat, AnyFloat]
    p: AnyFloat
    p_holm: AnyFloat
    slope: AnyFloat | None
    slope_ci95: tuple[AnyFloat, AnyFloat] | None
    slope_p_holm: AnyFloat | None
    levels: Mapping[str, AnyFloat]


@dataclass(frozen=True)
class Paired:
    """losses: arm -> its mean over the levels; best: the lowest of them; is_decided: ahead of every other at 5 %."""

    along: str
    arms: tuple[str, ...]
    losses: Mapping[str, AnyFloat]
    best: str
    is_decided: bool
    gaps: tuple[Gap, ...]
    dof: int
    sentence: str
    warnings: tuple[Warning, ...]


def paired(table: Observations, along: str, *, by: str = "arm", loss: str = "loss") -> Paired:
    """Compare all arms of the finished runs in `table` along one of its coordinates.

    Raises Refusal where there are not two arms, no level has two seeds of a pair, or an arm has several runs of one
    level and seed.
    """
    loss = table.known_as(loss)
    if is_share(loss):
        expect_loss(Response(kind="logit"), f"comparing run by run, by {loss}")
    for column in (along, by, loss, "seed"):
        table.expect(column)
    cells: dict[str, dict[Any, dict[Any, float]]] = {}
    clusters: dict[tuple[str, Any, Any], Any] = {}
    for row in table:
        if (cell := row.get(loss)) is not None and cell != "":
            arm, level, seed = str(row[by]), row[along], row["seed"]
            if (arm, level, seed) in clusters:
                raise Refusal(
                    "several_runs",
                    f"{arm}: expected one run of each {along} and seed, got several at {along} = {level}, seed {seed}; "
                    "they differ in something else (a size, a budget). Choose one with --where, or compare by a law.",
                )
            cells.setdefault(arm, {}).setdefault(level, {})[seed] = float(cell)
            clusters[arm, level, seed] = row.get("cluster") or (seed if along in LENGTHS else (level, seed))
    arms = tuple(cells)
    refuse_alike(arms, by)
    if len(arms) < 2:
        raise Refusal("one_arm", f"{by}: expected at least two arms to compare, got {', '.join(arms) or 'none'}.")
    found = [_gap(cells, clusters, first, second, along) for first, second in itertools.combinations(arms, 2)]
    holm = _holm([gap.p for gap in found])
    moving = [gap for gap in found if gap.slope_p is not None]
    slope_holm = dict(zip([id(gap) for gap in moving], _holm([gap.slope_p or 0.0 for gap in moving]), strict=True))
    gaps = tuple(gap.finish(p, slope_holm.get(id(gap))) for gap, p in zip(found, holm, strict=True))
    common = set.intersection(*(set(levels) for levels in cells.values()))
    losses = {
        arm: float(np.mean([np.mean(list(seeds.values())) for level, seeds in levels.items() if level in common]))
        for arm, levels in cells.items()
    }
    best = min(losses, key=lambda arm: losses[arm])
    rivals = [gap for gap in gaps if best in (gap.first, gap.second)]
    is_decided = all(gap.p_holm < ALPHA and _leads(best, gap) for gap in rivals)
    unsure = [_other(best, gap) for gap in rivals if not (gap.p_holm < ALPHA and _leads(best, gap))]
    dof = min(gap.dof for gap in found)
    return Paired(
        along,
        arms,
        losses,
        best,
        is_decided,
        gaps,
        dof,
        _sentence(along, best, losses, unsure, gaps),
        _cautions(
            dof,
            along,
            tuple(dict.fromkeys(level for gap in found for level in gap.alone)),
            max(gap.step for gap in found),
        ),
    )


@dataclass(frozen=True)
class _Found:
    """A gap before the adjustment for its being one of several."""

    gap: Gap  # with p alone, before Holm's adjustment
    slope_p: float | None
    dof: int
    alone: tuple[str, ...]  # levels of one unit, whose noise is taken from others
    step: float  # of rounding, where the differences may agree by it

    def finish(self, p_holm: float, slope_p_holm: float | None) -> Gap:
        return replace(self.gap, p_holm=p_holm, slope_p_holm=slope_p_holm)

    @property
    def p(self) -> float:
        return self.gap.p


def _gap(
    cells: Mapping[str, Any], clusters: Mapping[tuple[str, Any, Any], Any], first: str, second: str, along: str
) -> _Found:
    levels = sorted(set(cells[first]) & set(cells[second]), key=lambda level: (isinstance(level, str), level))
    places, differences, units = [], [], []
    for level in levels:
        for seed in sorted(set(cells[first][level]) & set(cells[second][level]), key=str):
            places.append(level)
            differences.append(cells[second][level][seed] - cells[first][level][seed])
            units.append((clusters[first, level, seed], clusters[second, level, seed]))
    levels = [level for level in levels if level in places]
    place = np.array([levels.index(level) for level in places], dtype=int)
    sizes = np.bincount(place, minlength=len(levels))
    means = np.bincount(place, weights=differences, minlength=len(levels)) / np.maximum(sizes, 1)
    unit = np.unique([repr(one) for one in units], return_inverse=True)[1]
    is_ordered = all(isinstance(level, (int, float)) for level in levels)
    spread = _spread(np.array(differences) - means[place], place, unit, sizes, is_ordered)
    if spread is None:
        raise Refusal(
            "no_replicates",
            f"{first} and {second}: expected at least two seeds at some level of {along}, got one at each of "
            f"{len(sizes)}; the noise of a difference is not known. Add seeds.",
        )
    alone = tuple(str(level) for i, level in enumerate(levels) if spread.source[i] != i)
    mean = float(means.mean())
    step = _coarse_step(cells[first], cells[second], np.array(differences) - means[place], len(levels))
    even = np.full(len(levels), 1 / len(levels))
    stderr, dof = spread.of(even)
    stderr = math.hypot(stderr, _of_rounding(step, even))
    reach = t_quantile(0.975, dof) * stderr
    slope = slope_ci = slope_p = None
    if len(levels) >= 3 and all(isinstance(level, (int, float)) and level > 0 for level in levels):
        x = np.log2(np.array([float(level) for level in levels]))
        centred = x - np.average(x, weights=sizes)
        lever = sizes * centred / (sizes * centred**2).sum()
        slope = float(lever @ means)
        slope_stderr, slope_dof = spread.of(lever, is_slope=True)
        slope_stderr = math.hypot(slope_stderr, _of_rounding(step, lever))
        slope_reach = t_quantile(0.975, slope_dof) * slope_stderr
        slope_ci = (slope - slope_reach, slope + slope_reach)
        slope_p = _two_sided(slope, slope_stderr, slope_dof)
    p = _two_sided(mean, stderr, dof)
    gap = Gap(
        first=first,
        second=second,
        pairs=int(sizes.sum()),
        mean=mean,
        ci95=(mean - reach, mean + reach),
        p=p,
        p_holm=p,
        slope=slope,
        slope_ci95=slope_ci,
        slope_p_holm=slope_p,
        levels={str(level): float(value) for level, value in zip(levels, means, strict=True)},
    )
    return _Found(gap, slope_p, int(dof), alone, step)


def _coarse_step(first: Mapping[Any, Any], second: Mapping[Any, Any], residual: np.ndarray, levels: int) -> float:
    """The rounding step of the losses, if the differences of a level spread so little that rounding alone may make them
    agree; else 0."""
    losses = [loss for arm in (first, second) for seeds in arm.values() for loss in seeds.values()]
    step = resolution(np.array(losses))
    spread = math.sqrt(float(residual @ residual) / max(len(residual) - levels, 1))
    return step if step > COARSE * spread else 0.0


def _of_rounding(step: float, lever: np.ndarray) -> float:
    """The error that rounding leaves in a sum of the levels' mean differences: of two losses, each uniform over a step.
    The pairs of a level share it, as their losses are rounded alike; levels do not."""
    return step * math.sqrt(float((lever**2).sum()) / 6)


@dataclass(frozen=True)
class _Spread:
    """The noise of the levels' mean differences.

    covariance   of the means, from units that two levels share
    unknown      a bound of what two levels may share of which one unit alone is at both; 0 elsewhere
    source       level -> the level whose units its variance is from: another where it has one unit alone
    dofs         of each level's variance
    between      per unit and level, the share of the residuals in the mean: what its units' totals show
    """

    covariance: np.ndarray
    unknown: np.ndarray
    source: np.ndarray
    dofs: np.ndarray
    between: np.ndarray
    is_nested: bool

    def of(self, lever: np.ndarray, *, is_slope: bool = False) -> tuple[float, float]:
        """Standard error of a sum of the means times the lever, and its degrees of freedom.

        is_slope   one or two levels at the ends decide: Welch's formula gives a slope too many degrees of freedom
        """
        each = np.bincount(self.source, lever**2 * np.diag(self.covariance), minlength=len(lever))
        if self.is_nested:  # levels are independent; between Welch's formula of 1947, which is right on average, and
            # Satterthwaite's, which gives fewer: where one noisy level of two seeds decides, the first gives too many
            variance = float(each.sum())
            spread = float((each**2 / (self.dofs + 1)).sum())
            dof = variance**2 / spread - 1 if spread > 0 else float(self.dofs.sum())
            if is_slope and spread > 0:
                dof = variance**2 / float((each**2 / self.dofs).sum())
            own = self.dofs[np.unique(self.source)]
            return math.sqrt(variance), round(float(np.clip(dof, own.min(), own.sum())), 6)
        product = np.outer(lever, lever)
        shared = float((product * self.covariance + np.maximum(product, 0.0) * self.unknown).sum())
        totals = self.between @ lever
        count = len(totals)
        variance = max(shared, float(totals @ totals) * count / (count - 1))
        known = each > 0  # as if all levels' variances erred together
        dof = (each[known].sum() / (each[known] / np.sqrt(self.dofs[known])).sum()) ** 2 if known.any() else count - 1
        return math.sqrt(variance), round(float(dof), 6)


def _spread(
    residual: np.ndarray, place: np.ndarray, unit: np.ndarray, sizes: np.ndarray, is_ordered: bool
) -> _Spread | None:
    """From the units at each level, whose noise may differ from level to level. A level of one unit is taken to be as
    noisy as the nearest level of several (of two that are as near, and of levels without an order, the noisiest), and
    no less than these on average. None where no level has several.
    """
    levels, units = len(sizes), unit.max(initial=-1) + 1
    is_at = np.zeros((units, levels), dtype=bool)
    is_at[unit, place] = True
    totals = np.zeros((units, levels))
    np.add.at(totals, (unit, place), residual)
    count = is_at.sum(axis=0)
    several = np.flatnonzero(count > 1)
    if not len(several):
        return None
    one = np.zeros(levels)  # the variance of one unit's total
    one[several] = (totals[:, several] ** 2).sum(axis=0) / (count[several] - 1)
    source = np.arange(levels)
    for level in np.flatnonzero(count == 1):
        away = np.abs(several - level) if is_ordered else np.zeros(len(several))
        source[level] = max(several[away == away.min()], key=lambda other: one[other])
    one = np.where(count > 1, one, np.maximum(one[source], np.average(one[several], weights=count[several] - 1)))
    covariance, unknown = np.diag(one * count), np.zeros((levels, levels))
    for a, b in itertools.permutations(range(levels), 2):
        both = is_at[:, a] & is_at[:, b]
        if both.sum() > 1:
            x, y = totals[both, a], totals[both, b]
            covariance[a, b] = (x - x.mean()) @ (y - y.mean()) * both.sum() / (both.sum() - 1)
        elif both.any():
            unknown[a, b] = math.sqrt(one[a] * one[b])
    scale = np.outer(sizes, sizes)
    is_nested = bool((is_at.sum(axis=1) == 1).all())
    return _Spread(covariance / scale, unknown / scale, source, (count - 1)[source], totals / sizes, is_nested)


def _two_sided(value: float, stderr: float, dof: float) -> float:
    return 2 * (1 - t_cdf(abs(value) / stderr, dof)) if stderr > 0 else float(value == 0)


def _holm(ps: list[float]) -> list[float]:
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    out, highest = [0.0] * len(ps), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[i]))
        out[i] = highest
    return out


def _leads(arm: str, gap: Gap) -> bool:
    return gap.mean > 0 if gap.first == arm else gap.mean < 0


def _other(arm: str, gap: Gap) -> str:
    return gap.second if gap.first == arm else gap.first


def _apart(best: str, other: str, gaps: tuple[Gap, ...]) -> str:
    """How far the loss of `other` lies above that of `best`, with its interval."""
    (gap,) = (gap for gap in gaps if {gap.first, gap.second} == {best, other})
    sign = 1 if gap.first == best else -1
    low, high = sorted(sign * end for end in gap.ci95)
    return f"{sign * gap.mean:+.2g} [{low:.2g}, {high:.2g}]"


def _sentence(along: str, best: str, losses: Mapping[str, float], unsure: list[str], gaps: tuple[Gap, ...]) -> str:
    holm = f" (Holm, {len(gaps)} pairs; each interval is of one pair alone)" if len(gaps) > 1 else ""
    text = f"Over all levels of {along}, {best} has the lowest mean loss ({losses[best]:.4g})"
    if unsure:
        others = ", ".join(f"{arm} ({_apart(best, arm, gaps)})" for arm in unsure)
        text += f"; whether it is ahead of {others} is not decided at 5 %{holm}"
    else:
        text += f", ahead of every other arm at 5 %{holm}"
    moving = [gap for gap in gaps if gap.slope_p_holm is not None]
    clear = [gap for gap in moving if (gap.slope_p_holm or 0.0) < ALPHA]
    for gap in clear:
        low, high = gap.slope_ci95 or (math.nan, math.nan)
        text += (
            f"; per doubling of {along} the loss of {gap.second} moves by {gap.slope:+.3g} [{low:.3g}, {high:.3g}] "
            f"against that of {gap.first}"
        )
    if moving and not clear:
        text += f"; no gap is shown to move with {along}"
    return text + "."


def _cautions(dof: int, along: str, alone: tuple[str, ...], step: float) -> tuple[Warning, ...]:
    said = []
    if dof < 6:
        several = f"{dof} degree{'s' if dof > 1 else ''} of freedom"
        said.append(f"The noise of a difference is known from {several}: more seeds would narrow the intervals.")
    if alone:
        said.append(
            f"At {along} = {', '.join(alone)} a pair of arms has no second seed: the noise there is taken from other "
            "levels, and where it is larger than there, the intervals are too narrow."
        )
    found = [Warning("few_dof", "warning", sentence) for sentence in said]
    if step:
        sentence = (
            f"Losses are rounded to {step:g}, and the differences of pairs spread less than that: they may agree by "
            "their digits alone, so the error of rounding is added to theirs. Give losses with more digits."
        )
        found.append(Warning("rounded", "warning", sentence))
    return tuple(found)
