"""How the parameters of a fit move under other choices: the objective, the counts, one run left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lawful.fitting import search, solver
from lawful.fitting.data import Sample
from lawful.fitting.fitted import FittedLaw
from lawful.fitting.records import Sensitivity, WithoutRun
from lawful.fitting.search import OBJECTIVES, OF_ANY_RESPONSE, Point, best_point
from lawful.laws import Axes

SUSPECTS = 20  # rows with the largest residuals, each left out once
# other counts of the same thing
COUNTS = {"params": ("params_non_embedding", "params_total"), "flops": ("flops", "flops_6nd")}


def sensitivity(fit: FittedLaw, data: Sample, point: Point) -> Sensitivity:
    """The same law under every named objective, and without each of the rows that fit worst."""
    law = point.problem.law
    if fit.priors:  # under another objective their weight would be another one
        return Sensitivity(outlier=_without_one(data, point))
    under: dict[str, dict[str, float]] = {}
    for objective in OBJECTIVES if data.response.is_log else OF_ANY_RESPONSE:
        if objective == fit.objective.name:
            under[objective] = fit.values
            continue
        other = best_point(data, law, objective, point.problem.low, point.problem.high, near=point.parameters)
        under[objective] = dict(zip(law.parameters, map(float, other.parameters), strict=True))
    counted = _counted_otherwise(fit, data, point)
    return Sensitivity(objective=under, outlier=_without_one(data, point), counting=counted)


def _counted_otherwise(fit: FittedLaw, data: Sample, point: Point) -> dict[str, dict[str, float]]:
    """The shapes under every other count of the same thing that the table holds; one data set gave .835 or .707."""
    law, out = point.problem.law, {}
    for axis in law.inputs:
        for name in COUNTS.get(axis, ()):
            if name == data.column[axis] or name not in data.observations.columns:
                continue
            counted = data.observations.numbers(name)
            if not (np.isfinite(counted) & (counted > 0)).all():
                continue
            values = {**data.values, axis: counted}
            other = replace(data, values=values, x=Axes.of(values))
            found = best_point(other, law, fit.objective.name, point.problem.low, point.problem.high)
            shapes = {s.name: float(found.parameters[law.parameters.index(s.name)]) for s in law.shapes}
            out[f"{axis} as {name}"] = shapes
    return out


def _without_one(data: Sample, point: Point) -> tuple[WithoutRun, ...]:
    """For the worst-fitting rows."""
    rows = np.argsort(-np.abs(point.residuals))[:SUSPECTS]
    weights = np.ones((len(rows), data.n))
    weights[np.arange(len(rows)), rows] = 0
    starts = np.repeat(point.parameters[None], len(rows), axis=0)
    found = solver.solve(
        point.problem, starts, weights, is_near=data.n > search.SEARCHED_ROWS
    )  # one of many moves little
    names = point.problem.law.parameters
    runs = data.run_names
    return tuple(
        WithoutRun(run=runs[row], params=dict(zip(names, map(float, values), strict=True)))
        for row, values in zip(rows, found.parameters, strict=True)
    )
