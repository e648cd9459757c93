"""One law fitted to several arms at once, with some parameters shared by all: estimates, and whether sharing costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lawful.checks import checked
from lawful.errors import DeclarationError
from lawful.fitting import noise
from lawful.fitting.arms import ArmsLaw
from lawful.fitting.cautions import about_clusters
from lawful.fitting.comparison import ALPHA, Sharing
from lawful.fitting.data import Sample, read_table
from lawful.fitting.default_law import resolved
from lawful.fitting.joint import alone, arm_sample, fit_ladder, names_in, weighed_alike, why_not_certified
from lawful.fitting.number_text import interval
from lawful.fitting.one_law import step_test
from lawful.fitting.profiles import profile_intervals
from lawful.fitting.records import Parameter
from lawful.fitting.search import Point, limits, side_of
from lawful.laws import Bounds, Law, with_bounds
from lawful.schema import Warning

CLEARLY = 0.01  # no answer uses a sharing with a p below this; chance gives .05 in 1 of 20 tables


@dataclass(frozen=True, kw_only=True)
class Shared:
    """params: a shared parameter has its own name, another is NAME[ARM]; with profile intervals.

    F, dof, p   test that each shared parameter is equal in all arms, against arms that share no parameter
    """

    law: str
    by: str
    arms: tuple[str, ...]
    share: tuple[str, ...]
    params: Mapping[str, Parameter]
    F: float
    dof: tuple[float, float]
    p: float
    n: int
    clusters: int
    warnings: tuple[Warning, ...]

    @property
    def lines(self) -> list[str]:
        width = max(map(len, self.params))
        test = Sharing(share=self.share, F=self.F, dof=self.dof, p=self.p)
        out = [test.sentence, f"{self.n} runs in {self.clusters} clusters, {len(self.arms)} arms", ""]
        for name, one in self.params.items():
            out.append(f"{name:{width}}  {one.value:>10.4g}  {interval(*one.ci95, '.4g')}")
        return [*out, *(f"  {one.severity}: {one.code}: {one.sentence}" for one in self.warnings)]


@checked
def fit_shared(
    source: Any,
    by: str,
    share: Sequence[str],
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
) -> Shared:
    """Fit the arms of column `by` at once. share: the parameters that all arms have in common; the others are separate
    for each arm. Raises DeclarationError for names that the law does not fit, Refusal where an arm has too few runs."""
    columns = {"params": params, "tokens": tokens, "loss": loss, "flops": flops, "cluster": cluster, "stderr": stderr}
    table = read_table(source, columns)
    if law is not None:
        law, bounds = with_bounds(law, bounds or {})
    chosen, held = resolved(law, table).law.holding(fixed or {})
    if by in chosen.categories:
        raise DeclarationError(f"share: {chosen.spec} has parameters for each {by} already; expected a law without.")
    limits(chosen, held, bounds or {})  # bad names
    every = frozenset(chosen.parameters) - frozenset(held)
    common = frozenset(names_in(chosen, share, every, "share"))
    data, arms = arm_sample(table, by, chosen, columns, fixed=len(held))
    tested = sharing(data, chosen, arms, common, held, bounds or {}, alone(data, chosen, arms))
    data, test = tested.data, tested.test
    said = list(about_clusters(data.column.get("cluster", ""), data.n, data.clusters))
    if tested.why_not_certified:
        sentence = f"The joint fit is not certified: {tested.why_not_certified}. Its p means nothing."
        said.append(Warning("not_certified", "severe", sentence))
    return Shared(
        law=chosen.spec,
        by=by,
        arms=arms,
        share=tuple(share),
        params=_parameters(tested.point, noise.measure(tested.point, data)),
        F=test.F,
        dof=test.dof,
        p=test.p,
        n=data.n,
        clusters=data.clusters,
        warnings=tuple(said),
    )


@dataclass(frozen=True)
class Tested:
    """The joint fit with shared parameters, its rows with the weights of that fit, and the test of the sharing."""

    point: Point
    data: Sample
    test: Sharing
    why_not_certified: str | None

    @property
    def warnings(self) -> list[Warning]:
        """The warnings for an answer that assumes the sharing."""
        named, test = " and ".join(self.test.share), self.test
        if self.why_not_certified:
            sentence = (
                f"Whether sharing {named} costs is not known: that fit is not certified ({self.why_not_certified})."
            )
            return [Warning("sharing_costs", "warning", sentence)]
        if test.p >= ALPHA:
            return []
        sentence = (
            f"Sharing {named} costs: the arms differ in it (F = {test.F:.3g}, p = {test.p:.2g}), and an answer that "
            "takes it for one in all arms is wrong. Leave --share out."
        )
        return [Warning("sharing_costs", "severe" if test.p < CLEARLY else "warning", sentence)]


def sharing(
    data: Sample,
    law: Law,
    arms: tuple[str, ...],
    common: frozenset[str],
    held: Mapping[str, float],
    bounds: Bounds,
    each: Sequence[Mapping[str, float]],
) -> Tested:
    """Test that the parameters `common` are equal in all arms, against arms that share no parameter.

    each   the parameters of each arm fitted alone, at the common pivot
    """
    every = frozenset(law.parameters) - frozenset(held)
    owns = [every - common, every]
    points = fit_ladder(data, law, arms, owns, held, bounds, each)
    smaller, larger, data = weighed_alike(points[0], points[1], data)
    F, dof, p = step_test(smaller, larger, data, common)
    why = next((why for point in (smaller, larger) if (why := why_not_certified(point)) is not None), None)
    ordered = tuple(name for name in law.parameters if name in common)
    return Tested(smaller, data, Sharing(share=ordered, F=F, dof=dof, p=p), why)


def _parameters(point: Point, around: noise.Noise) -> dict[str, Parameter]:
    joint = point.problem.law
    assert isinstance(joint, ArmsLaw)
    names = [name for name, is_free in zip(joint.parameters, point.is_free, strict=True) if is_free]
    dofs = {name: around.dof(contrast) for name, contrast in zip(names, np.eye(len(names)), strict=True)}
    ends = profile_intervals(point, around, dofs)
    out = {}
    for i, name in enumerate(joint.parameters):
        value = float(point.parameters[i])
        if name not in ends:
            out[name] = Parameter(name, value, 0.0, (value, value), "fixed")
            continue
        error = float(np.sqrt(max(around.covariance[names.index(name), names.index(name)], 0.0)))
        side = side_of(point, i)
        out[name] = Parameter(name, value, error, ends[name], "fitted", side)
    return out
