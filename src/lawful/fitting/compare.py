"""Do arms differ, and in what: a ladder of nested laws, tested with errors that know about clusters and pairs.

Whether two intervals overlap is not a test. Each step of the ladder frees one kind of parameter: the floor, then the
coefficients, then the shapes (exponents). The rise in misfit, divided by how much clusters widen the contrasts that
the step frees, is referred to an F distribution (Rao & Scott 1984), with Satterthwaite's degrees of freedom.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from lawful.checks import PositiveFloat, checked
from lawful.errors import DeclarationError, Refusal
from lawful.fitting import noise, solver
from lawful.fitting.arms import ARM, ArmsLaw
from lawful.fitting.data import Sample, refuse_mixtures, refuse_too_little, sample
from lawful.fitting.estimate import HUBER, LEAST_DELTA, Point, as_point, best_point, limits, problem_of, robust_sigma
from lawful.fitting.quantiles import f_tail, t_cdf, t_quantile
from lawful.fitting.result import Caution
from lawful.fitting.uncertainty import gradient
from lawful.laws import Array, Axes, Law, named

ALPHA = 0.05
MATTERS = 0.1  # of an exponent: a difference below it changes a forecast over a decade of compute by little
DETECT = 2.8  # standard errors that a difference must have to be seen at 5 % four times in five (1.96 + .84)
Floor = Literal["own", "shared", "auto"]
Decision = Literal["exponents differ", "exponents agree", "not decided"]


@dataclass(frozen=True)
class Step:
    """One law of the ladder. F, dof and p test it against the one before; None on the first."""

    name: str
    own: tuple[str, ...]
    parameters: int
    misfit: float
    aicc: float
    bic: float
    F: float | None
    dof: tuple[float, float] | None
    p: float | None


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
    """How many times the compute `second` needs for the loss that `first` reaches at the reference point."""

    first: str
    second: str
    value: float
    ci95: tuple[float, float]
    loss: float
    at: Mapping[str, float]


@dataclass(frozen=True)
class Comparison:
    """arms in order of appearance; `verdict` is the last step of the ladder that the data force.

    floor_p       of the test that own floors are needed, where that decided `floor`. The exponents' p is then that of a
                  closed test (Marcus, Peritz & Gabriel 1976): no smaller than the p of floors and exponents together,
                  so that arms alike in both are told apart as rarely as the level says, whichever floors were chosen
    decision      on the exponents: they differ; they agree, as every difference that would matter is excluded; or
                  neither is shown
    matters       the smallest difference that would matter, by exponent
    more_seeds    per arm, to see such a difference four times in five, where it is not decided; None where unknown
    """

    law: str
    by: str
    arms: tuple[str, ...]
    floor: Literal["own", "shared"]
    floor_p: float | None
    steps: tuple[Step, ...]
    verdict: str
    decision: Decision
    matters: Mapping[str, float]
    more_seeds: int | None
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
    law: str | Law = "chinchilla",
    floor: Floor = "own",
    params: str | None = None,
    tokens: str | None = None,
    loss: str | None = None,
    flops: str | None = None,
    cluster: str | None = None,
    paired: bool | None = None,
    matters: PositiveFloat = MATTERS,
) -> Comparison:
    """Compare the arms named in column `by`.

    floor    own: each arm may have its irreducible loss; shared: arms on the same data share it (an own floor costs
             about ten times in the standard error of an exponent's difference); auto: shared unless a test rejects
             it at 5 %
    paired   rows at the same axes and seed share noise across arms; by default where every arm has the same cells
    matters  the smallest difference of exponents that would matter, as a share of the first arm's
    Raises Refusal where an arm has too few runs for the law.
    """
    if floor not in ("own", "shared", "auto"):
        raise DeclarationError(f"floor: expected own, shared or auto, got {floor!r}.")
    law = named(law)
    columns = {"params": params, "tokens": tokens, "loss": loss, "flops": flops, "cluster": cluster}
    data, arms = arm_sample(source, by, law, columns)
    is_paired = _has_pairs(data) if paired is None else paired
    if is_paired:
        data = replace(data, cluster=_pairs(data))
    floor_p, both_p = _floor_test(data, law, arms) if floor == "auto" else (None, 0.0)
    chosen: Literal["own", "shared"]
    chosen = floor if floor != "auto" else "own" if floor_p is not None and floor_p < ALPHA else "shared"
    return _compare(data, law, arms, by, chosen, floor_p, both_p, is_paired, matters)


def _floors(law: Law) -> frozenset[str]:
    return frozenset({"E", "floor"} & set(law.coefficients))


def _floor_test(data: Sample, law: Law, arms: tuple[str, ...]) -> tuple[float | None, float]:
    """p of the arms having a floor each, beside own coefficients and shapes, and p of their having floors or shapes of
    their own; None and 0 for a law without a floor."""
    floors = _floors(law)
    if not floors:
        return None, 0.0
    rest = frozenset(law.parameters) - floors
    shapes = frozenset(shape.name for shape in law.shapes)
    neither, shared, own = fit_ladder(data, law, arms, [rest - shapes, rest, rest | floors])
    return step_test(shared, own, data, floors)[2], step_test(neither, own, data, floors | shapes)[2]


def arm_sample(
    source: Any, by: str, law: Law, columns: Mapping[str, str | None], keep: Sequence[str] | None = None
) -> tuple[Sample, tuple[str, ...]]:
    """The rows of all arms with the arm's index as a further axis; each arm must stand on its own."""
    data = sample(source, law, columns, check=False)
    data.observations.expect(by)
    names = [str(row.get(by, "")) for row in data.observations]
    arms = tuple(dict.fromkeys(name for name in names if keep is None or name in keep))
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
            refuse_too_little(data.take(np.flatnonzero(code == index)), law, len(law.parameters))
        except Refusal as refusal:
            raise Refusal(refusal.code, f"arm {arm}: {refusal}") from None
    logs = {**data.x.logs, ARM: code.astype(float)}
    return replace(data, x=Axes(logs, {**data.x.pivot, ARM: 1.0})), arms


def _compare(
    data: Sample,
    law: Law,
    arms: tuple[str, ...],
    by: str,
    floor: Literal["own", "shared"],
    floor_p: float | None,
    both_p: float,
    is_paired: bool,
    matters: float,
) -> Comparison:
    ladder = _ladder(law, floor)
    points = fit_ladder(data, law, arms, [own for _, own in ladder])
    steps = _steps(points, data, ladder)
    if steps[-1].name == "exponents differ" and steps[-1].p is not None:
        steps = (*steps[:-1], replace(steps[-1], p=max(steps[-1].p, both_p)))
    last = points[-1]
    around = noise.measure(last, data)
    differences = _differences(last, around, law, arms, data)
    chosen = max((i for i, step in enumerate(steps) if step.p is not None and step.p < ALPHA), default=0)
    multipliers = tuple(
        _multiplier(last, around, arms, first, second, data) for first, second in itertools.combinations(arms, 2)
    )
    joint = last.problem.law
    assert isinstance(joint, ArmsLaw)
    by_arm = {arm: joint.of_arm(last.parameters, i) for i, arm in enumerate(arms)}
    verdict = ladder[chosen][0]
    smallest = {shape.name: matters * abs(by_arm[arms[0]][shape.name]) for shape in law.shapes}
    decision = _decision(verdict, differences, smallest)
    more = _more_seeds(data, differences, smallest) if decision == "not decided" else None
    return Comparison(
        law.spec,
        by,
        arms,
        floor,
        floor_p,
        steps,
        verdict,
        decision,
        smallest,
        more,
        _sentence(verdict, decision, steps, differences, multipliers, smallest, more),
        differences,
        multipliers,
        by_arm,
        is_paired,
        data.n,
        data.clusters,
        _cautions(last, data),
    )


def _decision(verdict: str, differences: Sequence[Difference], smallest: Mapping[str, float]) -> Decision:
    if verdict == "exponents differ":
        return "exponents differ"
    if differences and all(d.equivalence < smallest[d.parameter] for d in differences):
        return "exponents agree"
    return "not decided"


def _more_seeds(data: Sample, differences: Sequence[Difference], smallest: Mapping[str, float]) -> int | None:
    """Standard errors fall with the root of the number of seeds, as long as the law itself fits."""
    if "seed" not in data.observations.columns or not differences:
        return None
    seeds = len({str(row.get("seed")) for row in data.observations})
    ratios = [DETECT * d.stderr / smallest[d.parameter] for d in differences if smallest[d.parameter] > 0]
    if not ratios or not np.isfinite(max(ratios)):
        return None
    return max(int(np.ceil(seeds * max(ratios) ** 2)) - seeds, 1)


def _ladder(law: Law, floor: Literal["own", "shared"]) -> list[tuple[str, frozenset[str]]]:
    """Names and own parameters of the nested laws, each containing the one before."""
    floors = _floors(law)
    rest = frozenset(law.coefficients) - floors
    shapes = frozenset(shape.name for shape in law.shapes)
    ladder: list[tuple[str, frozenset[str]]] = [("identical", frozenset())]
    if floors and floor == "own":
        ladder.append(("the floor differs", floors))
    own = ladder[-1][1] | rest
    ladder.append(("coefficients differ", own))
    if shapes:
        ladder.append(("exponents differ", own | shapes))
    return ladder


def fit_ladder(data: Sample, law: Law, arms: tuple[str, ...], owns: list[frozenset[str]]) -> list[Point]:
    """The best point of each nested law, all with the delta of the last, so that their misfits compare."""
    low, high = limits(law, {}, {})
    each = []
    for index in range(len(arms)):
        alone = data.take(np.flatnonzero(data.x[ARM] == index)).on(law)
        # the arms' own coefficients at the common pivot
        each.append(dict(zip(law.parameters, best_point(alone, law, "robust", low, high).parameters, strict=True)))
    delta: float | None = None
    points: list[Point] = []
    for own in reversed(owns):
        joint = ArmsLaw(law, arms, own)
        low, high = limits(joint, {}, {})
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
                delta = max(HUBER * robust_sigma(point), LEAST_DELTA)
        problem = problem_of(data, joint, low, high, is_log=True, delta=delta)
        grid = solver.grid_starts(problem, keep=4)[0]
        points.append(as_point(problem, solver.solve(problem, np.concatenate([starts, grid])), delta))
    return points[::-1]


def _steps(points: list[Point], data: Sample, ladder: list[tuple[str, frozenset[str]]]) -> tuple[Step, ...]:
    steps: list[Step] = []
    for i, (point, (name, own)) in enumerate(zip(points, ladder, strict=True)):
        count = len(point.parameters) + 1
        n = data.n
        deviance = n * np.log(max(float((point.residuals_log**2).sum()), 1e-300) / n)
        aicc = deviance + 2 * count + (2 * count * (count + 1) / (n - count - 1) if n > count + 1 else np.inf)
        test: tuple[float, tuple[float, float], float] | None = None
        if i:
            test = step_test(points[i - 1], point, data, own - ladder[i - 1][1])
        steps.append(
            Step(
                name,
                tuple(sorted(own)),
                len(point.parameters),
                point.objective_value,
                float(aicc),
                float(deviance + count * np.log(n)),
                *(test or (None, None, None)),
            )
        )
    return tuple(steps)


def step_test(
    smaller: Point, larger: Point, data: Sample, freed: frozenset[str]
) -> tuple[float, tuple[float, float], float]:
    """F of the step, its degrees of freedom and p."""
    around = noise.measure(larger, data)
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
    at = {axis: float(np.exp(log) * pivot[axis]) for axis, log in logs.items()}
    if not level(point.parameters, second, low) > wanted > level(point.parameters, second, high):
        return Multiplier(first, second, float("nan"), nothing, wanted, at)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if level(point.parameters, second, middle) > wanted else (low, middle)
    shift = (low + high) / 2

    def gap(parameters: Array) -> float:
        return level(parameters, second, shift) - level(parameters, first, 0.0)

    # the gap stays zero as the shift follows the parameters
    steepness = (level(point.parameters, second, shift + 1e-5) - level(point.parameters, second, shift - 1e-5)) / 2e-5
    slope = -gradient(gap, point.parameters) / steepness
    compute_axes = len({"params", "tokens"} & set(axes)) or 1
    stderr = compute_axes * float(np.sqrt(slope @ around.covariance @ slope))
    reach = min(t_quantile(0.975, around.dof(slope)) * stderr, 700.0)
    value = float(np.exp(compute_axes * shift))
    return Multiplier(first, second, value, (value * float(np.exp(-reach)), value * float(np.exp(reach))), wanted, at)


def _sentence(
    verdict: str,
    decision: Decision,
    steps: tuple[Step, ...],
    differences: tuple[Difference, ...],
    multipliers: tuple[Multiplier, ...],
    smallest: Mapping[str, float],
    more_seeds: int | None,
) -> str:
    tests = ", ".join(f"{step.name.removesuffix(' differ')} {_p(step.p)}" for step in steps if step.p is not None)
    if verdict == "identical":
        text = f"No difference between the arms was found ({tests})"
    else:
        text = f"The arms differ: {verdict} ({tests})"
        clear = [d for d in differences if d.p_holm < ALPHA]
        if verdict == "exponents differ" and clear:
            text += "; " + ", ".join(
                f"{d.parameter} of {d.second} is {d.value:+.3g} [{d.ci95[0]:.3g}, {d.ci95[1]:.3g}] from {d.first}'s"
                for d in clear
            )
    if decision != "exponents differ" and differences:
        text += _about_exponents(decision, differences, smallest, more_seeds)
    known = [m for m in multipliers if np.isfinite(m.value)]
    if known:
        text += "; at fixed loss " + ", ".join(
            f"{m.second} needs {m.value:.3g} [{m.ci95[0]:.3g}, {m.ci95[1]:.3g}] times "
            f"the compute of {m.first} (at loss {m.loss:.4g})"
            for m in known
        )
    return text + "."


def _p(value: float) -> str:
    return "p < 0.0001" if value < 1e-4 else f"p = {value:.2g}"


def _about_exponents(
    decision: Decision, differences: Sequence[Difference], smallest: Mapping[str, float], more_seeds: int | None
) -> str:
    widest = max(differences, key=lambda d: d.equivalence / smallest[d.parameter])
    bound = f"{widest.parameter} differs by {widest.equivalence:.2g} or more is excluded at 5 %"
    if decision == "exponents agree":
        return f"; the exponents agree: that {bound}"
    text = f"; whether the exponents differ is not decided: only that {bound}"
    if more_seeds is not None:
        text += (
            f"; {more_seeds} more seed{'s' if more_seeds > 1 else ''} per arm would show a difference of "
            f"{smallest[widest.parameter]:.2g} four times in five"
        )
    return text


def _cautions(point: Point, data: Sample) -> tuple[Caution, ...]:
    found = []
    if not point.decrement < 1e-9:
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
    if gone := [name for name in floors if values[name] < 1e-6]:
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


def _has_pairs(data: Sample) -> bool:
    """Every row its own cluster, a seed column, and each cell and seed in every arm once."""
    if data.clusters < data.n or "seed" not in data.observations.columns:
        return False
    counts = np.bincount(_pairs(data))
    return bool((counts == len(np.unique(data.x[ARM]))).all())


def _pairs(data: Sample) -> Array:
    seeds = [str(row.get("seed")) for row in data.observations]
    axes = [np.round(data.x.logs[axis], 6) for axis in data.values]
    keys = ["/".join(map(str, key)) for key in zip(seeds, *axes, strict=True)]
    return np.unique(keys, return_inverse=True)[1]
