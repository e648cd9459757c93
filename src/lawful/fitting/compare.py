"""Do arms differ, and in what: one test of whether they do, then which explanations the data exclude.

Whether two intervals overlap is not a test, and a ladder of tests has no level of its own. Here every parameter of the
law is freed alone, for each arm, and all at once, and an average of their likelihood ratios is referred to its
distribution over the arms' labels permuted in each cell (one_law.py): that all arms follow one law is rejected in at
most 5 % of tables in which they do, for any number of arms. Then each explanation (a factor, another floor, other
exponents) is tested against arms that have every parameter of their own, by an F test which knows about clusters and
pairs (Rao & Scott 1984). Where rows have standard errors they weigh by them, and labels are not permuted: rows of one
cell are then not alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lawful.checks import PositiveFloat, checked
from lawful.errors import DeclarationError
from lawful.fitting import noise
from lawful.fitting.arms import ArmsLaw
from lawful.fitting.best_arm import BestArm, best_arm
from lawful.fitting.cautions import about_clusters, about_rounding, rests_on
from lawful.fitting.comparison import ALPHA, Comparison, Decision, Explanation, Floor, Verdict, sentence
from lawful.fitting.data import Sample, read_table
from lawful.fitting.default_law import resolved
from lawful.fitting.exponents import Difference, differences, more_seeds
from lawful.fitting.fit_sample import fit_sample
from lawful.fitting.fitted import FittedLaw
from lawful.fitting.joint import (
    arm_sample,
    fit_ladder,
    floors,
    pairs_of,
    rows_of,
    shared_names,
    shares_noise,
    weighed_alike,
    why_not_certified,
)
from lawful.fitting.multiplier import multiplier
from lawful.fitting.one_law import one_law, step_test
from lawful.fitting.search import AT_BOUND, Point, limits
from lawful.fitting.shared import sharing
from lawful.laws import Bounds, Law, with_bounds
from lawful.schema import Warning

MATTERS = 0.1  # of an exponent: a difference below it changes a forecast over a decade of compute by little


@checked
def compare(
    source: Any,
    by: str = "arm",
    *,
    law: str | Law | None = None,
    floor: Floor = "own",
    share: Sequence[str] = (),
    params: str | None = None,
    tokens: str | None = None,
    loss: str | None = None,
    flops: str | None = None,
    cluster: str | None = None,
    paired: bool | None = None,
    matters: PositiveFloat = MATTERS,
    fixed: Mapping[str, float] | None = None,
    bounds: Bounds | None = None,
) -> Comparison:
    """Compare arms: whether they differ, and what the data exclude.

    Parameters
    ----------
    source
        Anything `read_runs` takes.
    by
        The column that names the arms.
    law
        By default the one that the table can carry, by how its params and tokens vary.
    floor
        "own": each arm may have its irreducible loss; "shared": all are known to have one (exponents then compare more
        sharply, and wrongly where floors differ by as little as 1 %).
    share
        Parameters that all arms are known to share; whether that costs is tested as `lawful fit --by --share` does, and
        the arms are compared in the others.
    params, tokens, loss, flops, cluster
        The columns' names, as of `lawful.fit`.
    paired
        Rows at the same axes and seed share noise across arms; by default where every arm has the same cells, and their
        residuals correlate.
    matters
        The smallest difference of exponents that would matter, as a share of the first arm's.
    fixed, bounds
        As of `lawful.fit`, of every arm.

    Returns
    -------
    Comparison
        A verdict, a decision on the exponents, the explanations with their tests, the differences with intervals.

    Raises
    ------
    Refusal
        An arm has too few runs for the law.

    Notes
    -----
    F tests that know about clusters and pairs (Rao & Scott 1984); exponents by a closed test (Marcus, Peritz & Gabriel
    1976).

    Examples
    --------
    >>> lawful.compare(arms, by="arm").verdict
    'coefficients differ'
    """
    if floor not in ("own", "shared"):
        raise DeclarationError(f"floor: expected own or shared, got {floor!r}.")
    columns = {"params": params, "tokens": tokens, "loss": loss, "flops": flops, "cluster": cluster}
    table = read_table(source, columns)
    if law is not None:
        law, bounds = with_bounds(law, bounds or {})
    choice = resolved(law, table)
    if by in choice.law.categories:
        raise DeclarationError(
            f"compare: {choice.law.spec} has parameters of its own for each {by}, which are then the same arms twice. "
            "Give a law without them; each arm is fitted with its own."
        )
    bounds = bounds or {}
    arms_law, fixed = choice.law.holding(fixed or {})
    limits(arms_law, fixed, bounds)  # bad names
    common = shared_names(arms_law, share, fixed)
    groups = _groups(arms_law, floor, common | frozenset(fixed))
    data, arms = arm_sample(table, by, arms_law, columns, fixed=len(fixed))
    fits = {
        arm: fit_sample(
            rows_of(data, index, arms_law), arms_law, fixed=fixed, bounds=bounds, draws=0, has_sensitivity=False
        )
        for index, arm in enumerate(arms)
    }
    found = _compared(data, arms_law, fits, by, floor, groups, paired, matters, fixed, bounds)
    said = [*([choice.caution] if choice.caution else []), *_of_arms(fits), *found.warnings]
    if not common:
        return replace(found, warnings=tuple(said))
    tested = sharing(data, arms_law, arms, common, fixed, bounds, [fitted.values for fitted in fits.values()])
    return replace(found, warnings=(*tested.warnings, *said), sharing=tested.test)


def _of_arms(fits: Mapping[str, FittedLaw]) -> list[Warning]:
    """What is severe about the fit of each arm alone, and what its law does not read."""
    return [replace(one, sentence=f"{arm}: {one.sentence}") for arm, fitted in fits.items() for one in rests_on(fitted)]


@dataclass(frozen=True)
class _Groups:
    """Parameters that may differ between arms: floors, the other coefficients, exponents."""

    floors: frozenset[str]
    rest: frozenset[str]
    shapes: frozenset[str]

    @property
    def every(self) -> frozenset[str]:
        return self.floors | self.rest | self.shapes

    @property
    def ladder(self) -> dict[frozenset[str], str]:
        """What is each arm's own -> the explanation it stands for, from arms that are alike to arms with everything of
        their own. A law may have no floor, or no exponent: the first name of each then counts."""
        named = {
            "one law for all": frozenset[str](),
            "the floor differs": self.floors,
            "coefficients differ": self.rest,
            "the exponents do not differ": self.floors | self.rest,
            "exponents differ": self.rest | self.shapes,
            "all of them differ": self.every,
        }
        return dict(reversed({own: name for name, own in reversed(named.items())}.items()))


def _groups(law: Law, floor: Floor, gone: frozenset[str]) -> _Groups:
    """gone   what is fixed, or shared by all arms"""
    irreducible = floors(law)
    found = _Groups(
        (irreducible if floor == "own" else frozenset()) - gone,
        (frozenset(law.coefficients) | frozenset(law.places)) - irreducible - gone,
        frozenset(shape.name for shape in law.shapes) - frozenset(law.places) - gone,
    )
    if not found.every:
        raise DeclarationError("compare: expected a parameter that arms may differ in; all are fixed or shared.")
    return found


def _compared(
    data: Sample,
    law: Law,
    fits: Mapping[str, FittedLaw],
    by: str,
    floor: Floor,
    groups: _Groups,
    paired: bool | None,
    matters: float,
    fixed: Mapping[str, float],
    bounds: Mapping[str, tuple[float, float]],
) -> Comparison:
    arms, ladder = tuple(fits), groups.ladder
    points = fit_ladder(data, law, arms, list(ladder), fixed, bounds, [fitted.values for fitted in fits.values()])
    by_own = dict(zip(ladder, points, strict=True))
    last, same = by_own[groups.every], by_own[frozenset()]
    is_paired = shares_noise(last, data) if paired is None else paired
    if is_paired:
        data = replace(data, cluster=pairs_of(data))
    around = noise.measure(last, data).over_all(last.is_free)
    is_certified = why_not_certified(last) is None
    p = one_law(same, last, around, data, is_paired) if is_certified else 1.0
    tested = {
        own: step_test(*weighed_alike(point, last, data), groups.every - own)
        for own, point in by_own.items()
        if own != groups.every
    }
    shown = tuple(_explanation(name, own, by_own[own], data, tested.get(own)) for own, name in ladder.items())
    of_equal = [test[2] for own, test in tested.items() if not own & groups.shapes]
    exponents_p = max(p, *of_equal) if groups.shapes else None
    apart = differences(last, around, law, arms)
    joint = last.problem.law
    assert isinstance(joint, ArmsLaw)
    by_arm = {arm: joint.of_arm(last.parameters, i) for i, arm in enumerate(arms)}
    smallest = {shape.name: matters * abs(by_arm[arms[0]][shape.name]) for shape in law.shapes}
    decision = _decision(exponents_p, apart, smallest) if is_certified else "not decided"
    found = Comparison(
        law=law.spec,
        by=by,
        arms=arms,
        floor=floor,
        p=p,
        explanations=shown,
        verdict=_verdict(p, exponents_p, shown) if is_certified else "not decided",
        decision=decision,
        exponents_p=exponents_p,
        matters=smallest,
        more_seeds=more_seeds(last, data, around, apart, matters) if decision == "not decided" else None,
        sentence="The joint fit of the arms is not certified: nothing is decided between them.",
        differences=apart,
        multipliers=tuple(
            multiplier(last, around, arms, first, second, data) for first, second in itertools.combinations(arms, 2)
        ),
        best=best_arm(last, around, arms, data) if is_certified else BestArm(),
        params=by_arm,
        is_paired=is_paired,
        n=data.n,
        clusters=data.clusters,
        warnings=_cautions(last, data, is_paired),
    )
    return replace(found, sentence=sentence(found)) if is_certified else found


def _verdict(p: float, exponents_p: float | None, explanations: Sequence[Explanation]) -> Verdict:
    """What the data leave once one law for all arms is excluded. A claim about exponents needs the closed test; one
    about a floor or a factor needs that the other is excluded."""
    if p >= ALPHA:
        return "no difference shown"
    if exponents_p is not None and exponents_p < ALPHA:
        return "exponents differ"
    simple = ("the floor differs", "coefficients differ")
    left: list[Verdict] = [e.name for e in explanations if e.name in simple and not e.is_excluded]  # type: ignore[misc]
    return left[0] if len(left) == 1 else "the arms differ"


def _decision(exponents_p: float | None, differences: Sequence[Difference], smallest: Mapping[str, float]) -> Decision:
    if exponents_p is not None and exponents_p < ALPHA:
        return "exponents differ"
    if differences and all(d.equivalence < smallest[d.parameter] for d in differences):
        return "exponents agree"
    return "not decided"


def _explanation(
    name: str,
    own: frozenset[str],
    point: Point,
    data: Sample,
    test: tuple[float, tuple[float, float], float] | None,
) -> Explanation:
    count, n = len(point.parameters) + 1, data.n
    deviance = n * np.log(max(float((point.residuals_log**2).sum()), 1e-300) / n)
    aicc = deviance + 2 * count + (2 * count * (count + 1) / (n - count - 1) if n > count + 1 else np.inf)
    return Explanation(
        name=name,
        own=tuple(sorted(own)),
        parameters=len(point.parameters),
        misfit=point.objective_value,
        aicc=float(aicc),
        bic=float(deviance + count * np.log(n)),
        F=test and test[0],
        dof=test and test[1],
        p=test and test[2],
    )


def _cautions(point: Point, data: Sample, is_paired: bool) -> tuple[Warning, ...]:
    found = []
    if not is_paired:
        found += about_clusters(data.column.get("cluster", ""), data.n, data.clusters)
    if data.response.is_log:
        found += about_rounding([float(loss) for loss in data.loss], float(np.sqrt((point.residuals_log**2).mean())))
    if (why := why_not_certified(point)) is not None:
        found.append(Warning("not_certified", "severe", f"The joint fit is not certified: {why}."))
    joint = point.problem.law
    values = dict(zip(joint.parameters, map(float, point.parameters), strict=True))
    floors = [name for name in joint.coefficients if name.partition("[")[0] in ("E", "floor")]
    least = AT_BOUND * point.problem.typical
    if gone := [name for name in floors if values[name] < least]:
        found.append(
            Warning(
                "at_bound",
                "warning",
                f"{', '.join(gone)} ends at 0: these runs show no floor, and the exponents and their difference are "
                "those of a law without one.",
            )
        )
    if data.n - len(point.parameters) < 6:
        found.append(
            Warning(
                "few_dof",
                "warning",
                f"{data.n} runs for {len(point.parameters)} parameters: the tests have little power.",
            )
        )
    return tuple(found)
