"""The charts of compute of one law of size and data: its frontier, curves of equal compute, the best size and data."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lawful.fitting.answers import Answer
from lawful.fitting.budget_curves import Curve, Runs, budgets_of, curve_of
from lawful.fitting.cost import FlopsPerToken, cost_through, six_n
from lawful.fitting.frontier import Frontier, ends, frontier
from lawful.report import charts, tables
from lawful.report.charts import Axis, Band, Chart, Line, Points
from lawful.report.evidence import Evidence
from lawful.report.law_curve import LawCurve
from lawful.report.marks import (
    CURVE_POINTS,
    MISSED,
    HeldRow,
    Look,
    hover_of,
    levels_of,
    loss_title,
    metric_name,
    plain,
    runs_of,
    scale_of,
    value_of,
    with_forecasts,
)
from lawful.report.tables import number
from lawful.schema import Observation

BUDGETS = 9  # of a frontier: between them it is a straight line on these axes, to the eye
BEYOND = 10.0  # how far the frontier goes beyond the largest run's compute, as a factor
MOST_CURVES = 10


@dataclass(frozen=True, kw_only=True)
class Compute:
    """The runs of a law of size and data with their compute, and the law's best use of it."""

    answer: Answer
    curve: LawCurve
    rows: Sequence[Observation]
    size: np.ndarray
    tokens: np.ndarray
    loss: np.ndarray
    flops: np.ndarray
    price: FlopsPerToken
    is_exact: bool
    frontiers: dict[str, Frontier]

    @property
    def frontier(self) -> Frontier | None:
        """None where there is no fit to take it from, or one of an early version, which kept no ranges."""
        if self.answer.fit is None or not self.answer.fit.domain:
            return None
        if self.answer.name not in self.frontiers:
            budgets = np.geomspace(self.flops.min(), BEYOND * self.flops.max(), BUDGETS)
            self.frontiers[self.answer.name] = frontier(self.answer.fit, budgets.tolist(), self.price)
        return self.frontiers[self.answer.name]

    @functools.cached_property
    def is_of_losses(self) -> bool:
        """Whether the lowest is the best: the metric is a loss and falls from the smallest runs to the largest."""
        ends = {"params": self.size, "tokens": self.tokens}
        first, last = self.curve.predict(**{axis: [values.min(), values.max()] for axis, values in ends.items()})
        return self.curve.response.is_log and not last > first

    @property
    def axis(self) -> Axis:
        return Axis(title=f"Training compute C ({'FLOPs' if self.is_exact else '6ND'})", is_flops=True)

    @functools.cached_property
    def curves(self) -> list[tuple[np.ndarray, Curve]]:
        """For every budget with several sizes: its rows and its lowest point."""
        runs = Runs(self.flops, self.size, self.tokens, self.loss, "recorded" if self.is_exact else "C = 6 N D")
        found = [(group, curve_of(runs.take(group), "interpolate")) for group in budgets_of(self.flops)]
        several = [one for one in found if len(np.unique(self.size[one[0]])) >= 3]
        return sorted(several, key=lambda one: one[1].flops)


def compute_of(evidence: Evidence, answer: Answer, curve: LawCurve, rows: Sequence[Observation]) -> Compute | None:
    """None where the law does not read size and data alone."""
    if set(curve.inputs) != {"params", "tokens"}:
        return None
    size, tokens = (np.array([value_of(row, curve.columns[axis]) for row in rows]) for axis in ("params", "tokens"))
    loss = np.array([value_of(row, answer.question.loss) for row in rows])
    known = [number(row.get("flops")) for row in rows]
    is_exact = all(known) and len(np.unique(size)) > 1
    flops = np.array(known, dtype=float) if is_exact else 6 * size * tokens
    return Compute(
        answer=answer,
        curve=curve,
        rows=rows,
        size=size,
        tokens=tokens,
        loss=loss,
        flops=flops,
        price=cost_through(size, flops / tokens) if is_exact else six_n,
        is_exact=is_exact,
        frontiers=evidence.frontiers,
    )


def undrawn(compute: Compute) -> str:
    """Why no frontier is drawn; empty where one is."""
    best = compute.frontier
    return f"No compute-optimal frontier is drawn: {best.undecided}." if best and best.undecided else ""


def against_compute(compute: Compute, held: Sequence[HeldRow]) -> Chart:
    """Loss against compute: the runs, each size's law along its tokens, the lowest observed, the frontier."""
    question, curve = compute.answer.question, compute.curve
    levels = levels_of(list(compute.size))
    colours = charts.level_colours(len(levels))
    of_level = np.array([int(np.argmin(np.abs(np.log(np.array(levels) / one)))) for one in compute.size])
    lines, points, bands = [], [], []
    for index, level in enumerate(levels):
        mine = np.flatnonzero(of_level == index)
        if not len(mine):
            continue
        seen = compute.tokens[mine]
        grid = np.geomspace(seen.min() / 1.2, seen.max() * 1.2, CURVE_POINTS // 2)
        per_token = float(np.mean(compute.flops[mine] / seen))
        name = f"N = {tables.count(level)}"
        look = Look(colour=colours[index], index=index, legend=f"level{index}")
        lines.append(
            Line(
                name=f"law at {name}",
                x=plain(grid * per_token),
                y=plain(curve.predict(params=level, tokens=grid)),
                colour=look.colour,
                legend=look.legend,
                is_thin=True,
            )
        )
        points.append(_marks(compute, mine, name, compute.flops, look))
    for is_inside in (True, False):
        if some := [one for one in held if one.forecast.is_inside == is_inside]:
            points.append(held_by_compute(compute, some, is_inside=is_inside))
    best = compute.frontier
    if best and not best.undecided:
        value, low, high = ends(best.loss)
        bands.append(Band(x=plain(best.flops), low=plain(low), high=plain(high), colour="ink", legend="frontier"))
        lines.append(
            Line(name="best for the compute, by the law", x=plain(best.flops), y=plain(value), colour="ink",
                 legend="frontier", is_named=True)
        )  # fmt: skip
    lowest = _envelope(compute) if compute.is_of_losses else []
    if len(lowest) > 1:
        lines.append(
            Line(name="lowest observed", x=plain(compute.flops[lowest]), y=plain(compute.loss[lowest]),
                 colour="reference", dash="dot", legend="lowest", is_named=True)
        )  # fmt: skip
    joined = "; the dotted line joins the runs that no cheaper run beats" if len(lowest) > 1 else ""
    caption = f"Each thin curve is one size trained for longer, by the law{joined}. " + (
        _said_of(best) if best and not best.undecided else undrawn(compute)
    )
    return Chart(
        name=f"{question.name}_by_compute",
        kind="law",
        question=question.name,
        title=f"{metric_name(curve, question.loss)} against compute",
        caption=caption,
        alt=f"{loss_title(compute.rows, question.loss)} against training compute: {len(compute.rows)} runs of "
        f"{len(levels)} sizes, each with the law for its size. {undrawn(compute)}",
        x=compute.axis,
        y=Axis(title=loss_title(compute.rows, question.loss), scale=scale_of(curve)),
        bands=bands,
        lines=lines,
        points=points,
        legend_title="Size",
        is_wide=True,
    )


def _said_of(best: Frontier) -> str:
    return f"The dark line is the least loss that each budget buys by {best.law}, with its 95 % band."


def _envelope(compute: Compute) -> list[int]:
    """The runs that no run of less compute beats, by compute."""
    kept: list[int] = []
    for index in np.lexsort((compute.loss, compute.flops)):
        if not kept or compute.loss[index] < compute.loss[kept[-1]]:
            kept.append(int(index))
    return kept


def isoflop_chart(compute: Compute) -> Chart | None:
    """Loss against size at each budget that several sizes share, with the lowest point of each; None without two, or
    where the lowest is not the best."""
    question = compute.answer.question
    chosen = compute.curves
    if len(chosen) < 2 or not compute.is_of_losses:
        return None
    if len(chosen) > MOST_CURVES:
        chosen = [chosen[round(k * (len(chosen) - 1) / (MOST_CURVES - 1))] for k in range(MOST_CURVES)]
    colours = charts.level_colours(len(chosen))
    lines, points = [], []
    for index, (group, one) in enumerate(chosen):
        look = Look(colour=colours[index], index=index, legend=f"level{index}")
        name = f"C = {tables.flops(one.flops)}"
        sizes = compute.size[group]
        grid = np.geomspace(sizes.min() / 1.1, sizes.max() * 1.1, CURVE_POINTS // 2)
        at_budget = compute.curve.predict(params=grid, tokens=one.flops / compute.price(grid))
        lines.append(
            Line(name=f"law at {name}", x=plain(grid), y=plain(at_budget), colour=look.colour, legend=look.legend)
        )
        points.append(_marks(compute, group, name, compute.size, look))
    bracketed = [one for _, one in chosen if one.params and one.loss]
    if bracketed:
        points.append(
            Points(
                name="lowest point",
                x=[one.params or 0.0 for one in bracketed],
                y=[one.loss or 0.0 for one in bracketed],
                colour="held_out",
                symbol="cross",
                hover=[f"lowest at N {tables.count(one.params)}\nloss {tables.loss(one.loss)}" for one in bracketed],
                legend="lowest",
            )
        )
    ends_said = len(chosen) - len(bracketed)
    return Chart(
        name=f"{question.name}_isoflop",
        kind="law",
        question=question.name,
        title="Loss against size at equal compute",
        caption="A colour is a budget: its runs, and the law at that budget. A cross is the lowest point of a spline "
        "through the runs, without the law."
        + (f" {tables.many(ends_said, 'budget')} end at their best run: no lowest point." if ends_said else ""),
        alt=f"{loss_title(compute.rows, question.loss)} against size for {len(chosen)} budgets; "
        f"{len(bracketed)} have a lowest point.",
        x=Axis(title="Parameters N"),
        y=Axis(title=loss_title(compute.rows, question.loss)),
        lines=lines,
        points=points,
        legend_title="Budget",
        is_wide=True,
    )


def best_charts(compute: Compute) -> list[Chart]:
    """The best size and the best data against compute, by the law and read off the curves of equal compute."""
    best = compute.frontier
    if best is None or best.undecided:
        return []
    return [
        _best(compute, best, "params", "N*", "Best size N*", "Best size against compute"),
        _best(compute, best, "tokens", "D*", "Best data D* (tokens)", "Best data against compute"),
    ]


def _best(compute: Compute, best: Frontier, what: str, symbol: str, axis: str, title: str) -> Chart:
    question = compute.answer.question
    value, low, high = ends(best.params if what == "params" else best.tokens)
    read = [(one.flops, getattr(one, what)) for _, one in compute.curves if getattr(one, what)]
    slope = float(np.log(value[-1] / value[0]) / np.log(best.flops[-1] / best.flops[0]))
    is_known = bool(np.isfinite(low).all())
    marks = Points(
        name="lowest points of equal compute",
        x=[flops for flops, _ in read],
        y=[amount for _, amount in read],
        colour="held_out",
        symbol="cross",
        hover=[
            f"C {tables.flops(flops)}\n{symbol} {tables.count(amount)}, read off the runs" for flops, amount in read
        ],
    )
    low_run, high_run = float(compute.flops.min()), float(compute.flops.max())
    return Chart(
        name=f"{question.name}_best_{'size' if what == 'params' else 'data'}",
        kind="law",
        question=question.name,
        title=title,
        caption=f"By {best.law}, {symbol} grows as C^{slope:.2f}"
        + (", with its 95 % band." if is_known else "; the fit kept no draws to give its band.")
        + (" Crosses are read off the runs without the law." if read else "")
        + f" The runs end at {tables.flops(high_run)}: what lies beyond is extrapolated.",
        alt=f"{axis} against compute from {tables.flops(low_run)} on: {tables.count(value[0])} to "
        f"{tables.count(value[-1])}.",
        x=compute.axis,
        y=Axis(title=axis),
        bands=[Band(x=plain(best.flops), low=plain(low), high=plain(high), colour="arm0", legend="law")]
        if is_known
        else [],
        lines=[Line(name=f"by {best.law}", x=plain(best.flops), y=plain(value), colour="arm0", legend="law",
                    is_named=True)],
        points=[marks] if read else [],
    )  # fmt: skip


def _marks(compute: Compute, chosen: np.ndarray, name: str, along: np.ndarray, look: Look) -> Points:
    rows = [compute.rows[index] for index in chosen]
    return Points(
        name=name,
        x=plain(along[chosen]),
        y=plain(compute.loss[chosen]),
        colour=look.colour,
        symbol=look.symbol,
        hover=[hover_of(row, compute.answer.question) for row in rows],
        runs=runs_of(rows),
        legend=look.legend,
    )


def held_by_compute(compute: Compute, held: Sequence[HeldRow], *, is_inside: bool) -> Points:
    question, columns = compute.answer.question, compute.curve.columns
    rows = [one.row for one in held]
    six = [6 * value_of(row, columns["params"]) * value_of(row, columns["tokens"]) for row in rows]
    marks = Points(
        name="held out" if is_inside else MISSED,
        x=plain([value_of(row, "flops") for row in rows] if compute.is_exact else six),
        y=[value_of(row, question.loss) for row in rows],
        colour="ink" if is_inside else "held_out",
        symbol="diamond",
        is_open=True,
        hover=[hover_of(one.row, question, one.forecast) for one in held],
        runs=runs_of(rows),
        legend="held_out" if is_inside else "missed",
    )
    return with_forecasts(marks, held)
