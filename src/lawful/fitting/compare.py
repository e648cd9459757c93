"""Do arms differ, and in what: one test of whether they do, then which explanations the data exclude.

Whether two intervals overlap is not a test, and a ladder of tests has no level of its own. Here every parameter of the
law is freed alone, for each arm, and all at once, and the largest of these scores is referred to the distribution of
the largest (Hothorn, Bretz & Westfall 2008), by permuting the arms' labels where cells have enough runs: that all arms
follow one law is rejected in at most 5 % of tables in which they do, for any number of arms. Then each explanation (a
factor, another floor, other exponents) is tested against arms that have every parameter of their own, by an F test
which knows about clusters and pairs (Rao & Scott 1984).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from lawful.checks import PositiveFloat, checked
from lawful.errors import DeclarationError, Refusal
from lawful.fitting import noise, solver
from lawful.fitting.arms import ARM, ArmsLaw
from lawful.fitting.cautions import about_clusters, about_rounding, rests_on
from lawful.fitting.data import Sample, read_table, refuse_mixtures, refuse_too_little, sample
from lawful.fitting.default_law import resolved
from lawful.fitting.estimate import (
    HUBER,
    LEAST_DELTA,
    Point,
    as_point,
    best_point,
    fit_sample,
    limits,
    problem_of,
    robust_sigma,
)
from lawful.fitting.quantiles import f_tail, t_cdf, t_quantile
from lawful.fitting.replicates import relative_spread, spread_slopes
from lawful.fitting.result import Caution
from lawful.fitting.uncertainty import AT_BOUND, LEAST_STEP, gradient
from lawful.laws import Array, Axes, Law

ALPHA = 0.05
MATTERS = 0.1  # of an exponent: a difference below it changes a forecast over a decade of compute by little
DETECT = 2.8  # standard errors that a difference must have to be seen at 5 % four times in five (1.96 + .84)
FACTOR_WEIGHT = 3.0  # the level's share of a coefficient beside that of a floor or an exponent: the usual finding. With
# it the test has nine tenths of the power of one that knows which it is, for a factor and for an exponent
MAXIMUM_DRAWS = 20_000  # of the largest score: its 5 % point is then known to .2 %
LARGEST = 5.0  # difference of exponents, as none is sought above
# correlation of paired residuals above which pairs are used. With less they hardly narrow an interval, and without
# them it is too wide rather than too narrow. Estimated from 16 pairs, .5 is taken for less in 17 % of tables
LEAST_SHARED = 0.25
ONE_SHARE = 0.9  # of the level, for the test of one parameter at a time; the rest for that of all at once
SEEDS_DRAWS = 400  # of the number of seeds that are missing: its interval is shown as whole seeds
MOST_SEEDS = 10_000  # beyond it the design does not determine the exponents, and more seeds of it are no advice
MAXIMUM_CELLS = 20_000_000  # of permuted labels, draws times runs: half a second
LEAST_ARRANGEMENTS = 1000  # of labels, so that p is as fine as .001 or .002
CERTIFIED = 1e-6  # relative Newton decrement: what another step could still change leaves every F as it is
Floor = Literal["own", "shared"]
Decision = Literal["exponents differ", "exponents agree", "not decided"]


@dataclass(frozen=True)
class Explanation:
    """One way in which the arms may differ, the rest being common to all.

    own         the parameters that each arm has of its own
    F, dof, p   of the test against arms with every parameter of their own; None where these are all
    """

    name: str
    own: tuple[str, ...]
    parameters: int
    misfit: float
    aicc: float
    bic: float
    F: float | None
    dof: tuple[float, float] | None
    p: float | None

    @property
    def is_excluded(self) -> bool:
        return self.p is not None and self.p < ALPHA


@dataclass(frozen=True)
class Difference:
    """second - first in one shape parameter, at the last law of the ladder.

    p_holm        adjusted for all pairs of arms (Holm 1979)
    equivalence   the smallest bound d for which |difference| < d is shown at 5 % (two one-sided tests)
    """

    parameter: str
    first: str
    second: str
    value: float
    stderr: float
    ci95: tuple[float, float]
    p: float
    p_holm: float
    equivalence: float


@dataclass(frozen=True)
class Multiplier:
    """How many times as much `second` needs for the loss that `first` reaches at the reference point.

    of   what is multiplied: compute only under a law of compute, or of parameters and tokens together (C = 6 N D);
         else parameters, tokens or time
    """

    first: str
    second: str
    of: str
    value: float
    ci95: tuple[float, float]
    loss: float
    at: Mapping[str, float]


@dataclass(frozen=True)
class MoreSeeds:
    """Seeds per arm that are missing, and their 95 % interval: the noise they are computed from is an estimate."""

    value: int
    ci95: tuple[int, int]


Verdict = Literal[
    "not decided",
    "no difference shown",
    "coefficients differ",
    "the floor differs",
    "exponents differ",
    "the arms differ",
]


@dataclass(frozen=True)
class Comparison:
    """arms in order of appearance.

    p              that the arms follow one law, by one test over all parameters and arms; 1 where the joint fit is not
                   certified
    explanations   from arms that are alike to arms with everything of their own
    verdict        not decided: the joint fit is not certified
                   no difference shown: that one law serves all is not excluded. Exponents differ: that they agree is.
                   Coefficients differ, the floor differs: that alone is enough to explain it, and the other alone is
                   excluded. The arms differ: the data leave several explanations, or none of these
    decision       on the exponents: they differ; they agree, as every difference that would matter is excluded; or
                   neither is shown
    exponents_p    that the exponents agree, by a closed test (Marcus, Peritz & Gabriel 1976)
    matters        the smallest difference that would matter, by exponent
    more_seeds     per arm, to see such a difference four times in five, where it is not decided; None where unknown
    """

    law: str
    by: str
    arms: tuple[str, ...]
    floor: Floor
    p: float
    explanations: tuple[Explanation, ...]
    verdict: Verdict
    decision: Decision
    exponents_p: float | None
    matters: Mapping[str, float]
    more_seeds: MoreSeeds | None
    sentence: str
    differences: tuple[Difference, ...]
    multipliers: tuple[Multiplier, ...]
    params: Mapping[str, Mapping[str, float]]
    is_paired: bool
    n: int
    clusters: int
    warnings: tuple[Caution, ...]


@checked
def compare(
    source: Any,
    by: str = "arm",
    *,
    law: str | Law | None = None,
    floor: Floor = "own",
    params: str | None = None,
    tokens: str | None = None,
    loss: str | None = None,
    flops: str | None = None,
    cluster: str | None = None,
    paired: bool | None = None,
    matters: PositiveFloat = MATTERS,
    fixed: Mapping[str, float] | None = None,
    bounds: Mapping[str, Any] | None = None,  # infinity, too, which `checked` refuses in a number
) -> Comparison:
    """Compare the arms named in column `by`.

    law      by default the one that the table can carry, by how its params and tokens vary
    floor    own: each arm may have its irreducible loss; shared: all are known to have one (exponents then compare
             more sharply, and wrongly where floors differ by as little as 1 %)
    paired   rows at the same axes and seed share noise across arms; by default where every arm has the same cells, and
             their residuals correlate
    matters  the smallest difference of exponents that would matter, as a share of the first arm's
    fixed    parameter -> value, of every arm; bounds: parameter -> (low, high), as of `lawful.fit`
    Raises Refusal where an arm has too few runs for the law.
    """
    if floor not in ("own", "shared"):
        raise DeclarationError(f"floor: expected own or shared, got {floor!r}.")
    columns = {"params": params, "tokens": tokens, "loss": loss, "flops": flops, "cluster": cluster}
    table = read_table(source, columns)
    choice = resolved(law, table)
    fixed, bounds = fixed or {}, bounds or {}
    limits(choice.law, fixed, bounds)  # bad names
    data, arms = arm_sample(table, by, choice.law, columns, fixed=len(fixed))
    found = _compare(data, choice.law, arms, by, floor, paired, matters, fixed, bounds)
    rested = rests_on_arms(data, choice.law, arms, fixed, bounds)
    return replace(found, warnings=(*([choice.caution] if choice.caution else []), *rested, *found.warnings))


def rests_on_arms(
    data: Sample,
    law: Law,
    arms: tuple[str, ...],
    fixed: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> list[Caution]:
    """What is severe about the fit of each arm alone, and what its law does not read."""
    found = []
    for index, arm in enumerate(arms):
        alone = data.take(np.flatnonzero(data.x[ARM] == index)).on(law)
        rested = rests_on(fit_sample(alone, law, fixed=fixed, bounds=bounds, draws=0))
        found += [replace(one, sentence=f"{arm}: {one.sentence}") for one in rested]
    return found


def _floors(law: Law) -> frozenset[str]:
    return frozenset({"E", "floor"} & set(law.coefficients))


def arm_sample(
    source: Any,
    by: str,
    law: Law,
    columns: Mapping[str, str | None],
    keep: Sequence[str] | None = None,
    *,
    fixed: int = 0,
) -> tuple[Sample, tuple[str, ...]]:
    """The rows of all arms with the arm's index as a further axis; each arm must stand on its own.

    fixed   how many of the law's parameters are
    """
    data = sample(source, law, columns, by=by, check=False)
    data.observations.expect(by)
    names = [str(row.get(by, "")) for row in data.observations]
    arms = tuple(dict.fromkeys(names if keep is None else keep))
    if keep is not None and (missing := [name for name in keep if name not in names]):
        raise DeclarationError(
            f"{by}: no arm is called {', '.join(missing)}; there are {', '.join(dict.fromkeys(names))}."
        )
    if len(arms) < 2:
        raise Refusal("one_arm", f"{by}: expected at least two arms to compare, got {', '.join(arms) or 'none'}.")
    chosen = np.array([name in arms for name in names])
    data = data.take(np.flatnonzero(chosen))
    code = np.array([arms.index(name) for name in names if name in arms])
    refuse_mixtures(data.observations)
    for index, arm in enumerate(arms):
        try:
            refuse_too_little(data.take(np.flatnonzero(code == index)), law, len(law.parameters) - fixed)
        except Refusal as refusal:
            raise Refusal(refusal.code, f"arm {arm}: {refusal}") from None
    logs = {**data.x.logs, ARM: code.astype(float)}
    return replace(data, x=Axes(logs, {**data.x.pivot, ARM: 1.0})).in_order()[0], arms


def _compare(
    data: Sample,
    law: Law,
    arms: tuple[str, ...],
    by: str,
    floor: Floor,
    paired: bool | None,
    matters: float,
    fixed: Mapping[str, float],
    bounds: Mapping[str, tuple[float, float]],
) -> Comparison:
    floors, rest, shapes = (group - frozenset(fixed) for group in _groups(law, floor))
    every = floors | rest | shapes
    explanations = {
        "one law for all": frozenset[str](),
        "the floor differs": floors,
        "coefficients differ": rest,
        "the exponents do not differ": floors | rest,
        "exponents differ": rest | shapes,
        "all of them differ": every,
    }
    named_once = {own: name for name, own in reversed(explanations.items())}  # a law may have no floor, or no exponent
    ladder = [(name, own) for own, name in reversed(named_once.items())]
    points = fit_ladder(data, law, arms, [own for _, own in ladder], fixed, bounds)
    by_own = dict(zip((own for _, own in ladder), points, strict=True))
    last, same = by_own[every], by_own[frozenset()]
    is_paired = shares_noise(last, data) if paired is None else paired
    if is_paired:
        data = replace(data, cluster=pairs_of(data))
    around = noise.measure(last, data).over_all(last.is_free)
    is_certified = last.decrement < CERTIFIED
    p = one_law(same, last, around, data, is_paired) if is_certified else 1.0
    tested = {own: step_test(point, last, data, every - own) for own, point in by_own.items() if own != every}
    shown = tuple(_explanation(name, own, by_own[own], data, tested.get(own)) for name, own in ladder)
    exponents_p = max(p, *(test[2] for own, test in tested.items() if not own & shapes)) if shapes else None
    differences = _differences(last, around, law, arms, data)
    joint = last.problem.law
    assert isinstance(joint, ArmsLaw)
    by_arm = {arm: joint.of_arm(last.parameters, i) for i, arm in enumerate(arms)}
    verdict = _verdict(p, exponents_p, shown) if is_certified else "not decided"
    smallest = {shape.name: matters * abs(by_arm[arms[0]][shape.name]) for shape in law.shapes}
    decision = _decision(exponents_p, differences, smallest) if is_certified else "not decided"
    more = _more_seeds(last, data, around, differences, matters) if decision == "not decided" else None
    multipliers = tuple(
        _multiplier(last, around, arms, first, second, data) for first, second in itertools.combinations(arms, 2)
    )
    return Comparison(
        law.spec,
        by,
        arms,
        floor,
        p,
        shown,
        verdict,
        decision,
        exponents_p,
        smallest,
        more,
        _sentence(p, exponents_p, verdict, decision, shown, differences, multipliers, smallest, more)
        if is_certified
        else "The joint fit of the arms is not certified: nothing is decided between them.",
        differences,
        multipliers,
        by_arm,
        is_paired,
        data.n,
        data.clusters,
        _cautions(last, data, is_paired),
    )


def _groups(law: Law, floor: Floor) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Parameters that may differ between arms: floors, the other coefficients, exponents."""
    floors = _floors(law)
    own = floors if floor == "own" else frozenset()
    return own, frozenset(law.coefficients) - floors, frozenset(shape.name for shape in law.shapes)


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


def one_law(same: Point, full: Point, around: noise.Noise, data: Sample, is_paired: bool) -> float:
    """p of the hypothesis that all arms follow one law: the smaller of two, each at its share of the level. One is of
    the largest score: every parameter freed alone for one arm, the others being common to all; a coefficient's p counts
    three times as much (FACTOR_WEIGHT). It finds a small difference in one parameter. The other frees all of them at
    once, and finds arms that cross.

    Both are referred to their distributions over the arms' labels permuted among runs of one cell, which holds whatever
    the noise of a cell is; where the cells do not allow that, to the joint distribution of the scores (Student's t) and
    to an F test.

    same, full   the best points of one law for all arms, and of arms with everything of their own
    """
    joint, one = full.problem.law, same.problem.law
    assert isinstance(joint, ArmsLaw) and isinstance(one, ArmsLaw)
    law, arms = joint.base, joint.arms
    common = np.array(joint.spread_out([one.of_arm(same.parameters, 0)] * len(arms)))
    slopes = solver.slopes(full.problem, common)
    raw = solver.residuals(full.problem, common[None])[0]
    place = {name: [joint.parameters.index(own) for own in joint.names(name)] for name in law.parameters}
    place = {name: columns for name, columns in place.items() if full.is_free[columns[0]]}
    together = np.stack([slopes[:, columns].sum(axis=1) for columns in place.values()], axis=1)
    own = [name for name, columns in place.items() if len(columns) > 1]
    counted = range(len(arms) if len(arms) > 2 else 1)  # of two arms, one tells of both
    is_factor = [name in law.coefficients and name not in _floors(law) for name in own for _ in counted]
    share = np.where(is_factor, FACTOR_WEIGHT, 1.0) / np.where(is_factor, FACTOR_WEIGHT, 1.0).sum()
    weight = np.broadcast_to(full.problem.relative, data.n) / _relative_of_all(data)
    levers = weight[:, None] * together[:, [name in own for name in place]]
    every = _scores_of_permuted_labels(data, levers, weight * raw, len(counted), is_paired)
    if every is not None:
        scores, together_score, dof = every
        reached = _as_small(scores[0], share, dof)[1]
        by_one = (1 + int((scores[1:] >= reached * (1 - 1e-9)).any(axis=1).sum())) / len(scores)
        by_all = float((together_score >= together_score[0] * (1 - 1e-9)).mean())
        return _smaller(by_one, by_all)
    residual = noise.pseudo_values(full, raw)
    basis = np.linalg.qr(together / np.maximum(np.linalg.norm(together, axis=0), 1e-300))[0]
    contrasts, found = [], []
    for name in own:
        for arm in counted:
            direction = slopes[:, place[name][arm]]
            direction = direction - basis @ (basis.T @ direction)
            estimate = direction / max(float(direction @ direction), 1e-300)
            contrast = slopes.T @ estimate  # the same estimate, of the parameters of the full law
            stderr = float(np.sqrt(around.variance(contrast)))
            contrasts.append(contrast / stderr)
            found.append(abs(float(estimate @ residual)) / stderr)
    dof = min(around.dof(contrast) for contrast in contrasts)
    smallest, reached = _as_small(np.array(found), share, dof)
    values, vectors = np.linalg.eigh(np.array(contrasts) @ around.covariance @ np.array(contrasts).T)
    rng = np.random.default_rng(0)
    drawn = rng.standard_normal((MAXIMUM_DRAWS, len(found))) @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
    drawn = np.abs(drawn) / np.sqrt(rng.chisquare(dof, (MAXIMUM_DRAWS, 1)) / dof)
    beyond = float((drawn >= reached).any(axis=1).mean())
    by_one = beyond if beyond > 50 / MAXIMUM_DRAWS else min(smallest, 1.0)  # Bonferroni's bound where draws are few
    return _smaller(by_one, step_test(same, full, data, frozenset(own))[2])


def _relative_of_all(data: Sample) -> Array | float:
    """The noise of each row in units of that at the pivot, from replicates of all arms at once. From those within arms,
    the weights would depend on the labels that are permuted: where the runs of an arm happen to lie close together, the
    arms lie apart."""
    x = Axes({axis: data.x.logs[axis] for axis in data.values}, data.x.pivot)
    each = np.arange(data.n)
    return relative_spread(spread_slopes(x, data.loss, np.zeros(data.n), each), x.logs)


def _smaller(by_one: float, by_all: float) -> float:
    return min(by_one / ONE_SHARE, by_all / (1 - ONE_SHARE), 1.0)


def _as_small(scores: Array, share: Array, dof: float) -> tuple[float, Array]:
    """The smallest weighted p of these scores, and the score at which each would have the same."""
    smallest = min(2 * t_cdf(-float(score), dof) / part for score, part in zip(scores, share, strict=True))
    return smallest, np.array([-t_quantile(min(max(smallest * part, 1e-15), 1.0) / 2, dof) for part in share])


def _scores_of_permuted_labels(
    data: Sample, slopes: Array, residual: Array, counted: int, is_paired: bool
) -> tuple[Array, Array, float] | None:
    """Absolute scores of every parameter freed for each of the `counted` first arms: of the labels as they are, and of
    labels permuted within cells (or pairs), each against the noise that is left within cells after it. Shape
    (1 + draws, parameters * counted). Then what they explain together, and the degrees of freedom of the noise. None
    where rows form clusters, a cell has more runs of one arm than of another (whose noise may differ), or fewer than
    LEAST_ARRANGEMENTS are possible.

    slopes   of one common law by each parameter, at each row
    """
    arm = data.x[ARM].astype(int)
    if not is_paired and data.clusters < data.n:
        return None
    cell = data.cluster if is_paired else _codes([np.round(data.x.logs[axis], 6) for axis in data.values])
    rows = [np.flatnonzero(cell == code) for code in range(cell.max() + 1)]
    held = np.array([np.bincount(arm[own], minlength=arm.max() + 1) for own in rows])
    arrangements = [math.lgamma(row.sum() + 1) - sum(math.lgamma(count + 1) for count in row) for row in held]
    if not held.all() or (held != held[:, :1]).any() or sum(arrangements) < math.log(LEAST_ARRANGEMENTS):
        return None
    inside = _within(residual, cell)
    limit = HUBER * 1.4826 * float(np.median(np.abs(inside))) * math.sqrt(data.n / (data.n - len(rows)))
    inside = _within(np.clip(inside, -limit, limit), cell)  # by what no label changes
    draws = int(np.clip(MAXIMUM_CELLS / data.n, 2000, MAXIMUM_DRAWS))
    labels = np.repeat(arm[None].astype(np.int8), 1 + draws, axis=0)
    rng = np.random.default_rng(0)
    for own in rows:
        labels[1:, own] = rng.permuted(labels[1:, own], axis=1)
    share = held[cell] / held.sum(axis=1)[cell][:, None]
    levers = [((arm == code) - share[:, code])[:, None] * slopes for code in range(counted)]
    lever = np.stack(levers, axis=2).reshape(data.n, -1)  # by parameter, then by arm, as the scores
    size = np.maximum(np.linalg.norm(lever, axis=0), 1e-300)
    total = [(labels == code) @ (slopes * inside[:, None]) for code in range(counted)]
    scores = np.stack(total, axis=2).reshape(1 + draws, -1) / size
    gram = np.linalg.pinv((lever / size).T @ (lever / size), rcond=1e-10, hermitian=True)
    dof = max(data.n - len(rows) - np.linalg.matrix_rank(lever / size, tol=1e-5), 1)
    explained = np.einsum("di,ij,dj->d", scores, gram, scores)
    least = max(1e-9 * float(inside @ inside), 1e-300)
    left = np.maximum(float(inside @ inside) - explained, least)
    return np.abs(scores) / np.sqrt(left / dof)[:, None], explained / left, float(dof)


def _within(values: Array, cell: Array) -> Array:
    """Less the mean of the cell."""
    return np.asarray(values - (np.bincount(cell, values) / np.bincount(cell))[cell])


def _decision(exponents_p: float | None, differences: Sequence[Difference], smallest: Mapping[str, float]) -> Decision:
    if exponents_p is not None and exponents_p < ALPHA:
        return "exponents differ"
    if differences and all(d.equivalence < smallest[d.parameter] for d in differences):
        return "exponents agree"
    return "not decided"


def _more_seeds(
    point: Point, data: Sample, around: noise.Noise, differences: Sequence[Difference], matters: float
) -> MoreSeeds | None:
    """Standard errors fall with the root of the number of seeds, as long as the law itself fits. The interval is of
    what that number rests on: the noise, and the parameters, on which both a difference that matters and the errors
    of the design depend."""
    joint = point.problem.law
    assert isinstance(joint, ArmsLaw)
    seeds = _seeds(data, len(joint.arms))
    if not seeds or not differences:
        return None
    values, vectors = np.linalg.eigh(around.covariance)
    rng = np.random.default_rng(0)
    moved = rng.standard_normal((SEEDS_DRAWS, len(values))) @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
    drawn = np.maximum(point.parameters + moved, point.problem.low)
    mixing = [np.linalg.qr(solver.slopes(point.problem, at) * point.is_free)[1] for at in (point.parameters, *drawn)]
    inverses = [np.linalg.pinv(one, rcond=1e-14) for one in mixing]
    found = []
    for d in differences:
        place = [joint.parameters.index(joint.names(d.parameter)[joint.arms.index(arm)]) for arm in (d.first, d.second)]
        contrast = np.zeros(len(values))
        contrast[place] = -1.0, 1.0
        first = joint.parameters.index(joint.names(d.parameter)[0])
        needed = seeds * (DETECT * d.stderr / (matters * abs(point.parameters[first]))) ** 2
        plain, *others = (float(((inverse.T @ contrast) ** 2).sum()) for inverse in inverses)
        shares = np.array(others) / plain * (point.parameters[first] / drawn[:, first]) ** 2
        dof = around.dof(contrast)
        low, high = np.quantile(needed * shares * dof / rng.chisquare(dof, SEEDS_DRAWS), [0.025, 0.975])
        found.append((float(needed), float(low), float(high)))
    most = max(found)
    if not most[2] < MOST_SEEDS:
        return None
    value, low, high = (max(math.ceil(number) - seeds, 1) for number in most)
    return MoreSeeds(value, (min(low, value), max(high, value)))


def _seeds(data: Sample, arms: int) -> int:
    """Of the arm that has the most; 0 without a column."""
    if "seed" not in data.observations.columns:
        return 0
    known: list[set[str]] = [set() for _ in range(arms)]
    for row, arm in zip(data.observations, data.x[ARM].astype(int), strict=True):
        known[arm].add(str(row.get("seed")))
    return max(map(len, known))


def fit_ladder(
    data: Sample,
    law: Law,
    arms: tuple[str, ...],
    owns: list[frozenset[str]],
    fixed: Mapping[str, float],
    bounds: Mapping[str, tuple[float, float]],
) -> list[Point]:
    """The best point of each nested law, all with the delta of the last, so that their misfits compare."""
    low, high = limits(law, fixed, bounds)
    each = []
    for index in range(len(arms)):
        alone = data.take(np.flatnonzero(data.x[ARM] == index)).on(law)
        # the arms' own coefficients at the common pivot
        each.append(dict(zip(law.parameters, best_point(alone, law, "robust", low, high).parameters, strict=True)))
    delta: float | None = None
    points: list[Point] = []
    for own in reversed(owns):
        joint = ArmsLaw(law, arms, own)
        low, high = limits(joint, joint.of_each(fixed), joint.of_each(bounds))
        starts = np.array([joint.spread_out(each), *(joint.spread_out([one] * len(arms)) for one in each)])
        if points:
            bigger = points[-1].problem.law
            assert isinstance(bigger, ArmsLaw)
            back = [bigger.of_arm(points[-1].parameters, i) for i in range(len(arms))]
            starts = np.concatenate([starts, [joint.spread_out(back)]])
        if delta is None:
            point = None
            for _ in range(4):
                problem = problem_of(data, joint, low, high, is_log=True, delta=delta)
                first = starts if point is None else point.parameters[None]
                point = as_point(problem, solver.solve(problem, first), delta)
                delta = max(HUBER * _noisiest(point, data), LEAST_DELTA)
        problem = problem_of(data, joint, low, high, is_log=True, delta=delta)
        grid = solver.grid_starts(problem, keep=4)[0]
        points.append(as_point(problem, solver.solve(problem, np.concatenate([starts, grid])), delta))
    return points[::-1]


def _noisiest(point: Point, data: Sample) -> float:
    """The robust sigma of the arm with the most noise: one of all arms would clip that arm's plain rows as outliers,
    and leave its intervals too narrow."""
    away, arm = np.abs(point.residuals_log), data.x[ARM].astype(int)
    medians = [float(np.median(away[arm == code])) for code in range(arm.max() + 1)]
    return robust_sigma(point) * max(max(medians) / max(float(np.median(away)), 1e-300), 1.0)


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
        name,
        tuple(sorted(own)),
        len(point.parameters),
        point.objective_value,
        float(aicc),
        float(deviance + count * np.log(n)),
        *(test or (None, None, None)),
    )


def step_test(
    smaller: Point, larger: Point, data: Sample, freed: frozenset[str]
) -> tuple[float, tuple[float, float], float]:
    """F of the step, its degrees of freedom and p."""
    around = noise.measure(larger, data).over_all(larger.is_free)
    joint = larger.problem.law
    assert isinstance(joint, ArmsLaw)
    contrasts = np.array([contrast for name in sorted(freed) for contrast in _contrasts(joint, name)])
    plain = contrasts @ around.plain @ contrasts.T
    clustered = contrasts @ around.covariance @ contrasts.T
    q = len(contrasts)
    effect = max(float(np.trace(np.linalg.pinv(plain, rcond=1e-12, hermitian=True) @ clustered)) / q, 1e-12)
    rise = max(2 * (smaller.misfit - larger.misfit) * around.steepness, 0.0)
    dof = min(around.dof(contrast) for contrast in contrasts)
    ratio = rise / q / effect
    return ratio, (float(q), dof), f_tail(ratio, q, dof)


def _contrasts(joint: ArmsLaw, base: str) -> list[Array]:
    """Every other arm minus the first, as vectors over the joint law's parameters."""
    names = joint.names(base)
    out = []
    for other in names[1:]:
        vector = np.zeros(len(joint.parameters))
        vector[joint.parameters.index(other)] = 1.0
        vector[joint.parameters.index(names[0])] = -1.0
        out.append(vector)
    return out


def _differences(
    point: Point, around: noise.Noise, law: Law, arms: tuple[str, ...], data: Sample
) -> tuple[Difference, ...]:
    joint = point.problem.law
    assert isinstance(joint, ArmsLaw)
    found = []
    for shape in law.shapes:
        if shape.name not in joint.own:
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
                    shape.name,
                    arms[a],
                    arms[b],
                    value,
                    stderr,
                    (value - reach, value + reach),
                    p,
                    p,
                    max(abs(value - reach90), abs(value + reach90)),
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


def _multiplier(
    point: Point, around: noise.Noise, arms: tuple[str, ...], first: str, second: str, data: Sample
) -> Multiplier:
    """At the geometric middle of the upper half of the data. Interval by the delta method on its logarithm."""
    joint = point.problem.law
    assert isinstance(joint, ArmsLaw)
    axes = joint.base.inputs
    logs = {axis: float(np.quantile(data.x[axis], 0.75)) for axis in axes}
    pivot = {axis: data.x.pivot[axis] for axis in axes}

    def level(parameters: Array, arm: str, shift: float) -> float:
        x = Axes({axis: np.array([log + shift]) for axis, log in logs.items()}, pivot)
        return float(joint.base.predict(joint.of_arm(parameters, arms.index(arm)), x)[0])

    wanted = level(point.parameters, first, 0.0)
    low, high = -12.0, 12.0  # of the logarithm of every axis: beyond it there is nothing to be said
    nothing = (float("nan"), float("nan"))
    of = _multiplied(axes, data)
    at = {axis: float(np.exp(log) * pivot[axis]) for axis, log in logs.items()}
    if not level(point.parameters, second, low) > wanted > level(point.parameters, second, high):
        return Multiplier(first, second, of, float("nan"), nothing, wanted, at)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if level(point.parameters, second, middle) > wanted else (low, middle)
    shift = (low + high) / 2

    def gap(parameters: Array) -> float:
        return level(parameters, second, shift) - level(parameters, first, 0.0)

    # the gap stays zero as the shift follows the parameters
    steepness = (level(point.parameters, second, shift + 1e-5) - level(point.parameters, second, shift - 1e-5)) / 2e-5
    slope = -gradient(gap, point.parameters, solver.negligible(point.problem, point.parameters, LEAST_STEP)) / steepness
    compute_axes = len({"params", "tokens"} & set(axes)) or 1
    stderr = compute_axes * float(np.sqrt(slope @ around.covariance @ slope))
    reach = min(t_quantile(0.975, around.dof(slope)) * stderr, 700.0)
    value = float(np.exp(compute_axes * shift))
    ci95 = (value * float(np.exp(-reach)), value * float(np.exp(reach)))
    return Multiplier(first, second, of, value, ci95, wanted, at)


def _multiplied(axes: tuple[str, ...], data: Sample) -> str:
    """What the axes of a law, moved together, are an amount of."""
    if axes == ("flops",):
        return "time" if "seconds" in str(data.column.get("flops", "")) else "compute"
    if {"params", "tokens"} <= set(axes):
        return "compute"
    return {"params": "parameters"}.get(axes[0], axes[0])


def _sentence(
    p: float,
    exponents_p: float | None,
    verdict: Verdict,
    decision: Decision,
    explanations: Sequence[Explanation],
    differences: tuple[Difference, ...],
    multipliers: tuple[Multiplier, ...],
    smallest: Mapping[str, float],
    more_seeds: MoreSeeds | None,
) -> str:
    if verdict == "no difference shown":
        text = f"No difference between the arms is shown ({_p(p)})"
    else:
        text = f"The arms differ ({_p(p)}){_explained(verdict, explanations, exponents_p)}"
        clear = [d for d in differences if d.p_holm < ALPHA]
        if verdict == "exponents differ" and clear:
            text += ": " + ", ".join(
                f"{d.parameter} of {d.second} is {d.value:+.3g} [{d.ci95[0]:.3g}, {d.ci95[1]:.3g}] from {d.first}'s"
                for d in clear
            )
    if decision != "exponents differ" and differences:
        text += _about_exponents(decision, differences, smallest, more_seeds)
    known = [m for m in multipliers if np.isfinite(m.value)]
    if known:
        text += "; at fixed loss " + ", ".join(
            f"{m.second} needs {m.value:.3g} [{m.ci95[0]:.3g}, {m.ci95[1]:.3g}] times "
            f"the {m.of} of {m.first} (at loss {m.loss:.4g})"
            for m in known
        )
    return text + "."


SIMPLE = {"coefficients differ": "a factor alone", "the floor differs": "another floor alone"}
BOTH = "the exponents do not differ"  # a factor and another floor


def _explained(verdict: Verdict, explanations: Sequence[Explanation], exponents_p: float | None) -> str:
    """Which explanations are enough, and which the data exclude. That one is enough does not say that it is true."""
    if verdict == "exponents differ":
        return f"; their exponents differ ({_p(exponents_p or 0.0)})"
    known = [e for e in explanations if e.name in SIMPLE]
    left = [SIMPLE[e.name] for e in known if not e.is_excluded]
    if not left and any(e.name == BOTH and not e.is_excluded for e in explanations):
        left = ["a factor and another floor together"]
    out = [f"{SIMPLE[e.name]} ({_p(e.p)})" for e in known if e.is_excluded and e.p is not None]
    enough = f"; enough to explain it: {' or '.join(left)}" if left else "; in what is not decided"
    return enough + (f"; excluded: {', '.join(out)}" if out else "")


def _p(value: float) -> str:
    return "p < 0.0001" if value < 1e-4 else f"p = {value:.2g}"


def _about_exponents(
    decision: Decision, differences: Sequence[Difference], smallest: Mapping[str, float], more_seeds: MoreSeeds | None
) -> str:
    widest = max(differences, key=lambda d: d.equivalence / smallest[d.parameter])
    bound = f"{widest.equivalence:.2g}"
    if not widest.equivalence < LARGEST:
        return f"; whether the exponents differ is not decided: no difference in {widest.parameter} is excluded"
    if decision == "exponents agree":
        return f"; the exponents agree: a difference in {widest.parameter} of {bound} or more is excluded at 5 %"
    text = (
        f"; whether the exponents differ is not decided: a difference in {widest.parameter} of up to {bound} is not "
        "excluded at 5 %"
    )
    if more_seeds is not None:
        text += (
            f"; about {more_seeds.value} more seed{'s' if more_seeds.value > 1 else ''} per arm "
            f"({more_seeds.ci95[0]} to {more_seeds.ci95[1]}) would show a difference of "
            f"{smallest[widest.parameter]:.2g} four times in five"
        )
    return text


def _cautions(point: Point, data: Sample, is_paired: bool) -> tuple[Caution, ...]:
    found = []
    if not is_paired:
        found += about_clusters(data.column.get("cluster", ""), data.n, data.clusters)
    found += about_rounding([float(loss) for loss in data.loss], float(np.sqrt((point.residuals_log**2).mean())))
    if not point.decrement < CERTIFIED:
        found.append(
            Caution(
                "not_certified",
                "severe",
                f"The joint fit is not certified: its relative Newton decrement is {point.decrement:.1e}.",
            )
        )
    joint = point.problem.law
    values = dict(zip(joint.parameters, map(float, point.parameters), strict=True))
    floors = [name for name in joint.coefficients if name.partition("[")[0] in ("E", "floor")]
    least = AT_BOUND * float(np.median(data.loss))
    if gone := [name for name in floors if values[name] < least]:
        found.append(
            Caution(
                "at_bound",
                "warning",
                f"{', '.join(gone)} ends at 0: these runs show no floor, and the exponents and their difference are "
                "those of a law without one.",
            )
        )
    if data.n - len(point.parameters) < 6:
        found.append(
            Caution(
                "few_dof",
                "warning",
                f"{data.n} runs for {len(point.parameters)} parameters: the tests have little power.",
            )
        )
    return tuple(found)


def shares_noise(full: Point, data: Sample) -> bool:
    """Whether arms are to be compared run by run: every row its own cluster, each cell and seed in every arm once, and
    residuals of a pair that correlate. Where nothing is shared, pairs would cost half the degrees of freedom."""
    if data.clusters < data.n or "seed" not in data.observations.columns:
        return False
    pairs = pairs_of(data)
    counts = np.bincount(pairs)
    arms = len(np.unique(data.x[ARM]))
    if not (counts == arms).all():
        return False
    residual = noise.pseudo_values(full, full.residuals)
    squares = float(residual @ residual)
    shared = float((np.bincount(pairs, residual) ** 2).sum()) - squares
    return shared > LEAST_SHARED * (arms - 1) * squares


def pairs_of(data: Sample) -> Array:
    seeds = [str(row.get("seed")) for row in data.observations]
    axes = [np.round(data.x.logs[axis], 6) for axis in data.values]
    return _codes([seeds, *axes])


def _codes(columns: Sequence[Sequence[object] | Array]) -> Array:
    """Rows that agree in every column have one code."""
    keys = ["/".join(map(str, key)) for key in zip(*columns, strict=True)]
    return np.asarray(np.unique(keys, return_inverse=True)[1])
