"""Laws of the same axes beside a fit's own, by their errors on runs left out.

Of a share (an accuracy, an error rate) the laws are those of shares, and errors are differences in units of the noise
of counts, sqrt(p (1 - p)), times that of the typical run: a run near 0 or 1 counts as much as another.

Left out in turn are the largest compute, the largest sizes and each group of neighbouring sizes; each law is fitted
to the rest and predicts them. The order is information: no fit follows it. Where no law has the form of the runs,
forecasts follow like errors (lawful.fitting.rolling).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from lawful.errors import DeclarationError
from lawful.fitting import solver
from lawful.fitting.cautions import ranked as by_severity
from lawful.fitting.data import LEAST_LEVELS, Sample
from lawful.fitting.default_law import laws_of_share
from lawful.fitting.fitted import FittedLaw
from lawful.fitting.form import LINE, SURFACE, for_parameters, point_of
from lawful.fitting.records import Ranked
from lawful.fitting.search import Point, beside, limits, robust_sigma
from lawful.fitting.trends import MOST_ROWS
from lawful.laws import BUILT_IN, FORMULA, ONE_AXIS, Array, Law, named, on_axis
from lawful.schema import Warning
from lawful.tables.roles import shell_word

Fitted = TypeVar("Fitted", bound=FittedLaw)

# laws of a loss that falls: the catalogue also has laws of error rates and rising metrics over the same axes
OF_SURFACE = (*SURFACE, "overtrained")
OF_LINE = (*LINE, "shifted")
LARGEST = (0.125, 0.25)  # shares of the runs, and of the sizes, that are left out as the largest, in turn
GROUPS = 5  # into which the sizes are split, at most
CLEARLY = 2.0  # in AICc over all rows, by which the other law must be the better there, too
SPARE = 2  # rows that a fit has beyond its parameters
FAR_BETTER = 2.0  # times the other law's error: an error so much larger is said


@dataclass(frozen=True)
class Tried:
    """A law fitted to all rows, and its errors on runs left out, on the response's scale: what was left out -> errors.

    noise   robust sigma about the law: a smaller error on runs left out is luck
    """

    law: Law
    errors: Mapping[str, Array]
    noise: float
    aicc: float

    @property
    def record(self) -> Ranked:
        by_kind = {kind: float(np.sqrt((own**2).mean())) for kind, own in self.errors.items()}
        whole = float(np.exp(np.mean(np.log(np.maximum(list(by_kind.values()), max(self.noise, 1e-9))))))
        return Ranked(self.law.spec, by_kind, whole, self.aicc)


def with_ranking(fit: Fitted) -> Fitted:
    """The fit with its law's place among the laws of its axes, and a warning where another is far better. The fit as it
    is where runs are too few to leave some out, no other law reads the same axes, the metric is neither a loss nor a
    share, or the fit has a prior, which no other law would heed."""
    response = fit.data.response
    if fit.ranking or fit.priors or not (response.is_log or response.is_share):
        return fit
    ranking = _ranking(fit)
    if not ranking:
        return fit
    return replace(fit, ranking=ranking, warnings=by_severity((*fit.warnings, *about_ranking(fit, ranking))))


def about_ranking(fit: FittedLaw, ranking: tuple[Ranked, ...]) -> tuple[Warning, ...]:
    """Where another law predicts runs left out far better, fits all of them better, too, and no doubt about the form
    names it already."""
    best, own = ranking[0], next(one for one in ranking if one.law == fit.law)
    is_worse_everywhere = all(own.left_out[kind] > error for kind, error in best.left_out.items())
    if own.error < FAR_BETTER * best.error or not is_worse_everywhere or best.aicc > own.aicc - CLEARLY:
        return ()
    if any(f"--law {shell_word(best.law)}." in one.sentence for one in fit.warnings):
        return ()
    unit = "%" if fit.data.response.is_log else "points"
    sentence = (
        f"{best.law} predicts runs that are left out far better: rms error {100 * best.error:.2g} {unit}, against "
        f"{100 * own.error:.2g} {unit} of {own.law}. Try --law {shell_word(best.law)}."
    )
    return (Warning("another_law", "warning", sentence),)


@np.errstate(all="ignore")  # a table may drive a law to infinities: it then has no part
def _ranking(fit: FittedLaw) -> tuple[Ranked, ...]:
    laws = _laws_beside(fit.model) if fit.data.response.is_log else _shares_beside(fit)
    if not laws:
        return ()
    point, data = point_of(fit, fit.model)
    if data.n > MOST_ROWS:  # rows drawn at random are enough to order laws
        data = data.take(np.sort(np.random.default_rng(0).choice(data.n, MOST_ROWS, replace=False)))
        point = _on(data, point)
    masks = left_out(data)
    own = _tried(point, data, masks)
    if own is None:
        return ()
    others = (_tried(found, data, masks) for law in laws if (found := _fitted(law, data, masks)) is not None)
    records = [own.record, *(one.record for one in others if one is not None)]
    return tuple(sorted(records, key=lambda one: one.error)) if len(records) > 1 else ()


def _laws_beside(law: Law) -> list[Law]:
    """Those of the same axes; none beside a law of the catalogue that is no law of losses."""
    if set(law.inputs) == {"params", "tokens"}:
        names, laws = OF_SURFACE, [named(name) for name in OF_SURFACE]
    elif len(law.inputs) == 1 and law.inputs[0] in ONE_AXIS:
        names, laws = OF_LINE, [on_axis(named(name), law.inputs[0]) for name in OF_LINE]
    else:
        return []
    if law.name in BUILT_IN and law.name not in (*names, FORMULA):
        return []
    return [other for other in laws if other.spec != law.spec]


def _shares_beside(fit: FittedLaw) -> list[Law]:
    return [one for one in laws_of_share(fit.model, fit.data.response) if one.spec != fit.model.spec]


def left_out(data: Sample) -> dict[str, list[Array]]:
    """What is left out -> the rows, a mask for each fit."""
    axis = "params" if "params" in data.x.logs else next(iter(data.x.logs))
    word = {"params": "sizes", "tokens": "lengths", "flops": "compute"}[axis]
    size = np.round(data.x.logs[axis], 6)
    sizes = np.unique(size)
    out = {}
    if len(data.x.logs) > 1:
        compute = np.asarray(sum(data.x.logs.values()))
        out["largest compute"] = [compute > np.quantile(compute, 1 - share) for share in LARGEST]
    if len(sizes) > LEAST_LEVELS:
        most = len(sizes) - LEAST_LEVELS
        numbers = sorted({min(max(1, round(share * len(sizes))), most) for share in LARGEST})
        out[f"largest {word}"] = [size >= sizes[-number] for number in numbers]
        groups = np.array_split(sizes, min(GROUPS, len(sizes)))
        out[f"groups of {word}"] = [np.isin(size, group) for group in groups]
    return out


def _is_possible(law: Law, masks: Mapping[str, list[Array]]) -> bool:
    """Whether enough rows are left for a fit of each."""
    needed = len(law.parameters) + SPARE
    return bool(masks) and all(mask.any() and (~mask).sum() >= needed for own in masks.values() for mask in own)


def _fitted(law: Law, data: Sample, masks: Mapping[str, list[Array]]) -> Point | None:
    if not _is_possible(law, masks):
        return None
    try:
        return beside(data, law, *limits(law, {}, {}))
    except DeclarationError:  # it is no number on some rows, whatever its parameters
        return None


def _on(data: Sample, point: Point) -> Point:
    """The same point, of some of the rows."""
    problem = replace(point.problem, x=data.x, loss=data.loss, relative=data.relative)
    return replace(point, problem=problem)


def _tried(point: Point, data: Sample, masks: Mapping[str, list[Array]]) -> Tried | None:
    """The fits without some rows start at the point of all rows, with its threshold. None where the law is no number on
    a row left out, or rows are too few."""
    law = point.problem.law
    if not _is_possible(law, masks):
        return None
    each = np.array([mask for own in masks.values() for mask in own])
    starts = np.repeat(point.parameters[None], len(each), axis=0)
    found = solver.solve(point.problem, starts, (~each).astype(float), tolerance=solver.ROUGH, is_near=True)
    response = data.response
    away = response.away(data.loss, response.inside(point.problem.levels(found.parameters)))
    if response.is_share:
        away = away / data.relative
    if not np.isfinite(away).all():
        return None
    parts = iter(row[mask] for row, mask in zip(away, each, strict=True))
    errors = {kind: np.concatenate([next(parts) for _ in own]) for kind, own in masks.items()}
    rows, away_of_all = data.n, point.residuals_log
    deviance = rows * np.log(max(float(away_of_all @ away_of_all), 1e-300) / rows)
    aicc = float(deviance + for_parameters(rows, int(point.is_free.sum()) + 1))
    return Tried(law, errors, robust_sigma(point), aicc)
