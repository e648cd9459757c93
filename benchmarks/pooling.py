"""Do the intervals of pooled arms hold? Arms are planted whose exponents scatter by a known spread.

    OMP_NUM_THREADS=1 python benchmarks/pooling.py --tables 200

A table has 8 arms of 6 sizes with 2 seeds, each with a floor, a level and an exponent of its own, E + a (N/N0)^-alpha,
with noise of .5 %. One arm's runs alone give alpha with a standard error of about .005. Counted are the tables whose
95 % interval holds the mean and the spread that were planted, and the arms whose interval holds theirs; beside them the
median widths, and those of arms fitted alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from lawful.fitting import noise
from lawful.fitting.hierarchy import pooled, profile
from lawful.fitting.joint import arm_sample, rows_of
from lawful.fitting.quantiles import t_quantile
from lawful.fitting.search import beside, limits
from lawful.laws import named
from lawful.tables import by_role

LAW, MEAN, ARMS, SIZES, SEEDS = "power_floor:params", 0.35, 8, 6, 2
SPREADS = (0.0, 0.005, 0.02)


def drawn(spread: float, dice: np.random.Generator) -> tuple[list[dict[str, object]], np.ndarray]:
    alphas, rows = MEAN + spread * dice.standard_normal(ARMS), []
    for arm, alpha in enumerate(alphas):
        floor, level = 1.8 + 0.1 * dice.standard_normal(), 1.2 * np.exp(0.2 * dice.standard_normal())
        for params in np.repeat(np.geomspace(1e6, 1e9, SIZES), SEEDS):
            loss = (floor + level * (params / 3e7) ** -alpha) * np.exp(0.005 * dice.standard_normal())
            rows.append({"arm": f"a{arm}", "params": float(params), "loss": float(loss)})
    return rows, alphas


def held(spread: float, dice: np.random.Generator) -> list[float]:
    """Whether the mean, the spread and (a share) the arms are held, pooled and alone; then the widths, and how far arms
    are moved."""
    rows, alphas = drawn(spread, dice)
    law = named(LAW)
    data, arms = arm_sample(by_role(rows), "arm", law, {"cluster": None})
    profiles = []
    for index in range(len(arms)):
        own = rows_of(data, index, law)
        point = beside(own, law, *limits(law, {}, {}))
        profiles.append(profile(point, noise.measure(point, own), "alpha"))
    found = pooled(profiles)
    alone = [[one.at_score(side * t_quantile(0.975, one.dof)) for side in (-1, 1)] for one in profiles]
    ends = np.array([one.ci95 for one in found.arms])
    (low, high), (least, most) = found.mean_ci95, found.spread_ci95
    is_inside = ((ends[:, 0] <= alphas) & (alphas <= ends[:, 1])).mean()
    is_inside_alone = np.mean([one[0] <= alpha <= one[1] for one, alpha in zip(alone, alphas, strict=True)])
    widths = [high - low, most, float(np.median(np.ptp(ends, axis=1))), float(np.median(np.ptp(alone, axis=1)))]
    moved = float(np.median([one.share for one in found.arms]))
    return [low <= MEAN <= high, least <= spread <= most, is_inside, is_inside_alone, *widths, found.spread, moved]


def main(say: Callable[[str], None] = print) -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--tables", type=int, default=200)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--spreads", default=",".join(map(str, SPREADS)))
    told = options.parse_args()
    for spread in map(float, told.spreads.split(",")):
        streams = np.random.SeedSequence([told.seed, int(1e6 * spread)]).spawn(told.tables)
        found = np.array([held(spread, np.random.default_rng(one)) for one in streams])
        mean, of_spread, arm, alone = found[:, :4].mean(axis=0)
        widths = np.median(found[:, 4:], axis=0)
        say(
            f"spread {spread:g}, {told.tables} tables: held mean {mean:.3f} (width {widths[0]:.4f}), spread "
            f"{of_spread:.3f} (median {widths[4]:.4f}, upper end {widths[1]:.4f}), arms {arm:.3f} (width "
            f"{widths[2]:.4f}, moved {100 * widths[5]:.0f} %); arms alone {alone:.3f} (width {widths[3]:.4f})"
        )


if __name__ == "__main__":
    main()
