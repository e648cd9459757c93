"""By how much the exponents of arms differ, and how many seeds are missing to tell."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lawful.checks import AnyFloat
from lawful.fitting import derivatives, noise
from lawful.fitting.arms import ARM, ArmsLaw
from lawful.fitting.data import Sample
from lawful.fitting.quantiles import t_cdf, t_quantile
from lawful.fitting.search import Point
from lawful.laws import Law

DETECT = 2.8  # standard errors that a difference must have to be seen at 5 % four times in five (1.96 + .84)
SEEDS_DRAWS = 400  # of the number of seeds that are missing: its interval is shown as whole seeds
MOST_SEEDS = 10_000  # beyond it the design does not determine the exponents, and more seeds of it are no advice


@dataclass(frozen=True, kw_only=True)
class Difference:
    """second - first in one shape parameter, at the last law of the ladder.

    p_holm        adjusted for all pairs of arms (Holm 1979)
    equivalence   the smallest bound d for which |difference| < d is shown at 5 % (two one-sided tests)
    """

    parameter: str
    first: str
    second: str
    value: AnyFloat
    stderr: AnyFloat
    ci95: tuple[AnyFloat, AnyFloat]
    p: AnyFloat
    p_holm: AnyFloat
    equivalence: AnyFloat


@dataclass(frozen=True)
class MoreSeeds:
    """Seeds per arm that are missing, and their 95 % interval: the noise they are computed from is an estimate."""

    value: int
    ci95: tuple[int, int]


def differences(point: Point, around: noise.Noise, law: Law, arms: tuple[str, ...]) -> tuple[Difference, ...]:
    """The difference of each exponent that is separate for each arm, for every two arms."""
    joint = point.problem.law
    assert isinstance(joint, ArmsLaw)
    found = []
    for shape in law.shapes:
        if shape.name not in joint.own or shape.name in law.places:
            continue
        for a, b in itertools.combinations(range(len(arms)), 2):
            vector = np.zeros(len(joint.parameters))
            vector[joint.parameters.index(joint.names(shape.name)[b])] = 1.0
            vector[joint.parameters.index(joint.names(shape.name)[a])] = -1.0
            value, stderr = float(vector @ point.parameters), float(np.sqrt(vector @ around.covariance @ vector))
            dof = around.dof(vector)
            reach, reach90 = (t_quantile(level, dof) * stderr for level in (0.975, 0.95))
            p = 2 * t_cdf(-abs(value) / max(stderr, 1e-300), dof)
            found.append(
                Difference(
                    parameter=shape.name,
                    first=arms[a],
                    second=arms[b],
                    value=value,
                    stderr=stderr,
                    ci95=(value - reach, value + reach),
                    p=p,
                    p_holm=p,
                    equivalence=max(abs(value - reach90), abs(value + reach90)),
                )
            )
    return tuple(replace(d, p_holm=p) for d, p in zip(found, holm([d.p for d in found]), strict=True))


def holm(values: Sequence[float]) -> list[float]:
    """p values adjusted for their number, step down."""
    order = np.argsort(values)
    out, running = [0.0] * len(values), 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(values) - rank) * values[i]))
        out[i] = running
    return out


def more_seeds(
    point: Point, data: Sample, around: noise.Noise, apart: Sequence[Difference], matters: float
) -> MoreSeeds | None:
    """Standard errors fall with the root of the number of seeds, as long as the law itself fits. The interval is of
    what that number rests on: the noise, and the parameters, on which both a difference that matters and the errors
    of the design depend."""
    joint = point.problem.law
    assert isinstance(joint, ArmsLaw)
    seeds = _seeds(data, len(joint.arms))
    if not seeds or not apart:
        return None
    values, vectors = np.linalg.eigh(around.covariance)
    rng = np.random.default_rng(0)
    moved = rng.standard_normal((SEEDS_DRAWS, len(values))) @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
    drawn = np.maximum(point.parameters + moved, point.problem.low)
    at = np.concatenate([point.parameters[None], drawn])
    mixing = np.linalg.qr(derivatives.slopes_of_each(point.problem, at) * point.is_free, mode="r")
    inverses = np.linalg.pinv(mixing, rcond=1e-14)
    found = []
    for d in apart:
        place = [joint.parameters.index(joint.names(d.parameter)[joint.arms.index(arm)]) for arm in (d.first, d.second)]
        contrast = np.zeros(len(values))
        contrast[place] = -1.0, 1.0
        first = joint.parameters.index(joint.names(d.parameter)[0])
        needed = seeds * (DETECT * d.stderr / (matters * abs(point.parameters[first]))) ** 2
        sizes = ((contrast @ inverses) ** 2).sum(axis=1)
        shares = sizes[1:] / sizes[0] * (point.parameters[first] / drawn[:, first]) ** 2
        dof = around.dof(contrast)
        low, high = np.quantile(needed * shares * dof / rng.chisquare(dof, SEEDS_DRAWS), [0.025, 0.975])
        found.append((float(needed), float(low), float(high)))
    most = max(found)
    if not most[2] < MOST_SEEDS:
        return None
    value, low, high = (max(math.ceil(number) - seeds, 1) for number in most)
    return MoreSeeds(value, (min(low, value), max(high, value)))


def _seeds(data: Sample, arms: int) -> int:
    """The number of seeds of the arm that has the most; 0 without a column of seeds."""
    if "seed" not in data.observations.columns:
        return 0
    known: list[set[str]] = [set() for _ in range(arms)]
    for row, arm in zip(data.observations, data.x[ARM].astype(int), strict=True):
        known[arm].add(str(row.get("seed")))
    return max(map(len, known))
