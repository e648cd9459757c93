"""Parameters pooled in part over arms or tasks: each arm has its own, drawn from a normal whose spread is estimated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lawful.checks import checked
from lawful.errors import DeclarationError, Refusal, TableError
from lawful.fitting import noise, solver
from lawful.fitting.arms import ARM
from lawful.fitting.cautions import about_clusters, rests_on
from lawful.fitting.data import Sample, errors_of, read_table
from lawful.fitting.default_law import resolved
from lawful.fitting.fit_sample import fit_sample
from lawful.fitting.fitted import FittedLaw
from lawful.fitting.form import point_of
from lawful.fitting.hierarchy import Hierarchy, pooled, profile
from lawful.fitting.joint import arm_sample, correlate, names_in, rows_of
from lawful.fitting.number_text import interval
from lawful.fitting.search import Point, limits
from lawful.laws import Bounds, Law, with_bounds
from lawful.schema import Warning

LEAST_ARMS = 4  # with a uniform prior the spread of 3 has no upper end: its density falls as 1 / spread^(arms - 2)


@dataclass(frozen=True, kw_only=True)
class PooledArm:
    """alone: by the arm's own runs; value, ci95: with what the other arms tell; moved: the share of the way from its
    own value to the mean that pooling moves an arm so uncertain."""

    alone: float
    alone_ci95: tuple[float, float]
    value: float
    ci95: tuple[float, float]
    moved: float


@dataclass(frozen=True, kw_only=True)
class PooledParameter:
    """mean and spread (standard deviation) of the normal that the arms are drawn from, with 95 % intervals."""

    name: str
    mean: float
    mean_ci95: tuple[float, float]
    spread: float
    spread_ci95: tuple[float, float]
    arms: Mapping[str, PooledArm]

    @property
    def lines(self) -> list[str]:
        moved = [one.moved for one in self.arms.values()]
        width = max(map(len, (*self.arms, "arm")))
        out = [
            f"{self.name}: the {len(self.arms)} arms have a spread of {self.spread:.3g} "
            f"{interval(*self.spread_ci95, '.3g')} (standard deviation) about a mean of {self.mean:.4g} "
            f"{interval(*self.mean_ci95, '.4g')}.",
            f"Pooling moves an arm {100 * min(moved):.0f} to {100 * max(moved):.0f} % of the way from its own value to "
            "the mean.",
            f"{'arm':{width}}  {'alone':<26}{'pooled':<26}moved",
        ]
        for arm, one in self.arms.items():
            alone, own = (
                f"{value:.4g} {interval(*ends, '.4g')}"
                for value, ends in ((one.alone, one.alone_ci95), (one.value, one.ci95))
            )
            out.append(f"{arm:{width}}  {alone:<26}{own:<26}{100 * one.moved:.0f} %")
        return out


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """values: arm -> all parameters of its law, with the pooled ones at their pooled values."""

    law: str
    by: str
    arms: tuple[str, ...]
    pool: tuple[str, ...]
    parameters: Mapping[str, PooledParameter]
    values: Mapping[str, Mapping[str, float]]
    n: int
    clusters: int
    warnings: tuple[Warning, ...]

    @property
    def lines(self) -> list[str]:
        out = [f"{self.law}: {self.n} runs in {self.clusters} clusters, {len(self.arms)} arms"]
        for one in self.parameters.values():
            out += ["", *one.lines]
        if rest := [name for name in next(iter(self.values.values())) if name not in self.pool]:
            out += ["", f"{' and '.join(rest)}, with {' and '.join(self.pool)} as pooled:"]
            width = max(map(len, self.arms))
            for arm, values in self.values.items():
                out.append(f"{arm:{width}}  " + ", ".join(f"{name} {values[name]:.4g}" for name in rest))
        if self.warnings:
            out.append("")
        return [*out, *(f"  {one.severity}: {one.code}: {one.sentence}" for one in self.warnings)]


@checked
def fit_pooled(
    source: Any,
    by: str,
    pool: Sequence[str],
    *,
    law: str | Law | None = None,
    params: str | None = None,
    tokens: str | None = None,
    loss: str | None = None,
    flops: str | None = None,
    cluster: str | None = None,
    stderr: str | None = None,
    fixed: Mapping[str, float] | None = None,
    bounds: Bounds | None = None,
) -> Pooled:
    """Fit each arm of column `by`, and pool the parameters `pool`, each by itself. Raises DeclarationError for names
    that the law does not fit, Refusal for fewer than LEAST_ARMS arms or one that cannot be fitted alone."""
    columns = {"params": params, "tokens": tokens, "loss": loss, "flops": flops, "cluster": cluster, "stderr": stderr}
    table = read_table(source, columns)
    if law is not None:
        law, bounds = with_bounds(law, bounds or {})
    choice = resolved(law, table)
    chosen, held = choice.law.holding(fixed or {})
    if by in chosen.categories:
        raise DeclarationError(f"pool: {chosen.spec} has parameters for each {by} already; expected a law without.")
    limits(chosen, held, bounds or {})  # bad names
    names = names_in(chosen, pool, frozenset(chosen.parameters) - frozenset(held), "pool")
    data, arms = arm_sample(table, by, chosen, columns, fixed=len(held))
    if len(arms) < LEAST_ARMS:
        raise Refusal(
            "few_arms",
            f"pool: {by} has {len(arms)} arms ({', '.join(arms)}), and the spread between arms is estimated from at "
            f"least {LEAST_ARMS}. Fit each (--by {by}), or let them share the parameter (--share {','.join(names)}).",
        )
    _refuse_shared_clusters(data, by, arms)
    fits = {arm: _fitted(data, index, chosen, arm, held, bounds or {}) for index, arm in enumerate(arms)}
    points = {arm: point_of(one, chosen) for arm, one in fits.items()}
    around = {arm: noise.measure(*of_arm) for arm, of_arm in points.items()}
    found = {name: pooled([profile(points[arm][0], around[arm], name) for arm in arms]) for name in names}
    at = {arm: {name: found[name].arms[i].value for name in names} for i, arm in enumerate(arms)}
    said = [
        *([choice.caution] if choice.caution else []),
        *about_clusters(data.column.get("cluster", ""), data.n, data.clusters),
    ]
    for arm, one in fits.items():
        said += [replace(caution, sentence=f"{arm}: {caution.sentence}") for caution in rests_on(one)]
    return Pooled(
        law=chosen.spec,
        by=by,
        arms=arms,
        pool=tuple(names),
        parameters={name: _of_parameter(name, found[name], fits) for name in names},
        values={arm: _values_at(points[arm][0], at[arm]) for arm in arms},
        n=data.n,
        clusters=data.clusters,
        warnings=(*said, *_about_shared_noise(data, [points[arm][0] for arm in arms])),
    )


def _refuse_shared_clusters(data: Sample, by: str, arms: Sequence[str]) -> None:
    of_arm = [len(np.unique(data.cluster[data.x[ARM] == index])) for index in range(len(arms))]
    if sum(of_arm) > data.clusters:
        column = data.column.get("cluster", "cluster")
        raise TableError(
            f"pool: rows of several arms of {by} share a cluster (column {column!r}): pooling takes the noise of arms "
            "to be apart. Write clusters under names of their own in each arm, name another column (--cluster), or say "
            "that each row is its own (--cluster none)."
        )


def _fitted(
    data: Sample,
    index: int,
    law: Law,
    arm: str,
    fixed: Mapping[str, float],
    bounds: Bounds,
) -> FittedLaw:
    """The arm alone, at the pivot of all arms. Its rows weigh by their error bars, if they have any, as no labels of
    arms are permuted here."""
    own = rows_of(data, index, law)
    errors = errors_of(own.observations, own.column, own.loss)
    own = replace(own, errors=errors, row_noise=None)
    if errors is not None:
        own = replace(own, spread_slopes={}, expected_variance=1.0)
    try:
        return fit_sample(own, law, fixed=fixed, bounds=bounds, draws=0, has_sensitivity=False)
    except Refusal as refusal:
        raise Refusal(refusal.code, f"arm {arm}: {refusal}") from None


def _of_parameter(name: str, found: Hierarchy, fits: Mapping[str, FittedLaw]) -> PooledParameter:
    arms = {
        arm: PooledArm(
            alone=one.params[name].value,
            alone_ci95=one.params[name].ci95,
            value=drawn.value,
            ci95=drawn.ci95,
            moved=drawn.share,
        )
        for (arm, one), drawn in zip(fits.items(), found.arms, strict=True)
    }
    return PooledParameter(
        name=name,
        mean=found.mean,
        mean_ci95=found.mean_ci95,
        spread=found.spread,
        spread_ci95=found.spread_ci95,
        arms=arms,
    )


def _values_at(point: Point, at: Mapping[str, float]) -> dict[str, float]:
    """The best parameters of an arm with some held."""
    law, problem = point.problem.law, point.problem
    low, high, start = problem.low.copy(), problem.high.copy(), point.parameters.copy()
    for name, value in at.items():
        i = law.parameters.index(name)
        low[i] = high[i] = start[i] = value
    found = solver.solve(replace(problem, low=low, high=high), start[None]).parameters[0]
    return dict(zip(law.parameters, map(float, found), strict=True))


def _about_shared_noise(data: Sample, points: Sequence[Point]) -> list[Warning]:
    """A warning where runs of one cell and seed lie off the laws of all arms together."""
    residual = np.empty(data.n)
    for index, point in enumerate(points):  # its rows are in the sample's order
        residual[data.x[ARM] == index] = noise.pseudo_values(point, point.residuals)
    if not correlate(residual, data):
        return []
    sentence = (
        "Runs of one size and seed lie off the laws of their arms together: the arms share noise. The interval of the "
        "mean is then too narrow, and the spread too small. Give the arms seeds of their own."
    )
    return [Warning("arms_share_noise", "warning", sentence)]
