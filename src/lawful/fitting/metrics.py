"""Several metrics of the same runs: a law each, tasks through the loss in two steps, what a shared test set adds."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from lawful.checks import AnyFloat, NaturalInt, checked, nearest
from lawful.errors import DeclarationError, Refusal, TableError
from lawful.fitting.estimate import fit
from lawful.fitting.fitted import run_spread
from lawful.fitting.predictions import predict_point
from lawful.fitting.quantiles import LEVEL, t_quantile
from lawful.fitting.records import Interval
from lawful.fitting.result import Fit
from lawful.laws import Axes
from lawful.schema import Warning
from lawful.tables import Observations, by_role, read_by_role
from lawful.tables.responses import Asked
from lawful.tables.source import read_rows

Kind = Literal["loss", "accuracy", "number"]
RESPONSES: Mapping[str, str] = {"loss": "log", "accuracy": "logit", "number": "identity"}
PATTERN = re.compile(
    r"(?P<column>.+?)(?::(?P<kind>loss|accuracy|number))?(?:@(?P<chance>[0-9.eE-]+))?(?:#(?P<items>[^#]+))?"
)
LEAST_DRAWS = 200  # of each step, from which the draws of a prediction are made
MOST_DRAWS = 400
Columns = Mapping[str, str | None]
Read = Callable[[Observations, Columns, Asked], Observations]  # rows with the columns of their roles found


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric.

    chance   the accuracy of guessing
    items    the number of test items: as a number, or the column that holds it
    """

    column: str
    kind: Kind | None = None
    chance: float | None = None
    items: str | None = None

    @classmethod
    def parse(cls, text: str) -> Metric:
        """val_loss; hellaswag:accuracy@.25; mmlu:accuracy@.25#14042; arc:accuracy@.25#n_items."""
        found = PATTERN.fullmatch(text.strip())
        if found is None:
            raise DeclarationError(f"metric: expected COLUMN, COLUMN:accuracy@CHANCE or ...#ITEMS, got {text!r}.")
        chance = _number(found["chance"])
        if found["chance"] is not None and (chance is None or not 0 <= chance < 1):
            raise DeclarationError(f"metric: {text}: expected a chance level from 0 to 1, got {found['chance']!r}.")
        kind: Kind | None = "accuracy" if found["kind"] is None and chance is not None else _kind(found["kind"])
        if chance is not None and kind != "accuracy":
            raise DeclarationError(f"metric: {text}: a {kind} has no chance level; expected :accuracy.")
        if found["items"] is not None and kind != "accuracy":
            raise DeclarationError(f"metric: {text}: test items are of an accuracy; expected :accuracy.")
        return cls(column=found["column"].strip(), kind=kind, chance=chance, items=found["items"])


def _kind(text: str | None) -> Kind | None:
    return "loss" if text == "loss" else "accuracy" if text == "accuracy" else "number" if text == "number" else None


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


@dataclass(frozen=True, kw_only=True)
class MetricPrediction:
    """of_new_items: the interval for another test set of as many items, where their number is known; else as `ci95`."""

    value: AnyFloat
    ci95: tuple[AnyFloat, AnyFloat]
    of_new_items: tuple[AnyFloat, AnyFloat]
    warnings: tuple[Warning, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MetricAnswer:
    """The law of one metric; or why there is none.

    fit             the fit of the metric; through the loss: the fit of the metric against the loss of the same runs
    through         the metric of the first step, whose law gives the loss
    said            how its columns were read
    shared_stderr   for an accuracy with a known number of items: its error from the choice of test items, at the run
                    where it is largest. All runs and predictions share it; more runs do not make it smaller
    refused         the reason why there is no fit; empty if there is one
    """

    metric: Metric
    fit: Fit | None
    first: Fit | None = None
    through: str = ""
    shared_stderr: AnyFloat | None = None
    refused: str = ""
    said: tuple[str, ...] = ()

    def predict(self, interval: Interval = "new_run", **at: float) -> MetricPrediction:
        """The metric at a size and length, with 95 % intervals.

        Through the loss, the intervals contain the errors of both steps: losses are drawn from the first law, and the
        metric at each loss from a draw of the second law.
        """
        if self.fit is None:
            raise DeclarationError(f"{self.metric.column}: it has no law: {self.refused}")
        if self.first is None:
            one = predict_point(self.fit, at, interval, LEVEL)
            value, ends, warnings = one.value, (one.low, one.high), one.warnings
        else:
            value, ends, warnings = _two_steps(self.first, self.fit, at, interval)
        shared = _shared(self.fit, self.metric, value)
        return MetricPrediction(value=value, ci95=ends, of_new_items=_wider(value, ends, shared), warnings=warnings)


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """One answer for each metric, in the order of the request."""

    answers: Mapping[str, MetricAnswer]
    warnings: tuple[Warning, ...]

    def __getitem__(self, name: str) -> MetricAnswer:
        if name not in self.answers:
            raise DeclarationError(f"metrics: no metric {name!r}; there are {nearest(name, list(self.answers))}.")
        return self.answers[name]

    def __repr__(self) -> str:
        each = "; ".join(f"{name}: {one.refused or one.fit!r}" for name, one in self.answers.items())
        return f"<Metrics {each}>"


@checked
def fit_metrics(
    source: Any,
    metrics: Sequence[str],
    *,
    law: str | None = None,
    params: str | None = None,
    tokens: str | None = None,
    flops: str | None = None,
    draws: NaturalInt = 1000,
    seed: NaturalInt = 0,
) -> Metrics:
    """Fit a law to each of several metrics of the same runs.

    Parameters
    ----------
    source
        Anything `read_runs` takes.
    metrics
        COLUMN, COLUMN:KIND, with the chance level and the number of test items of an accuracy:
        "hellaswag:accuracy@.25#10042"; after # a number, or the column that holds it. KIND is loss, accuracy or number.
    law
        The law of losses and of other numbers (default: the one that the table can determine).
    params, tokens, flops
        The columns' names, as in `read_runs`.
    draws, seed
        Number of bootstrap draws, at least 200, and their seed.

    Returns
    -------
    Metrics
        A metric that cannot be answered says why; the others are answered as usual.

    Notes
    -----
    An accuracy is forecast in two steps if the list has a loss: the first loss's law, then the accuracy over
    the loss of the same runs, c + (1 - c) / (1 + exp(k L - m)) (arXiv:2412.04403, with its ends at chance c and at 1).
    Without a loss it is a sigmoid of compute.

    All runs share the items of one test set. The error from this choice of items moves all accuracies together, so the
    scatter of the runs about the law does not show it. Its variance is p (1 - p) / items minus the variance of that
    scatter; the intervals for other items contain it.

    Examples
    --------
    >>> found = lawful.fit_metrics(tasks, ["val_loss", "hellaswag:accuracy@.25#2000"])
    >>> found["hellaswag"].through
    'val_loss'
    """
    told = {"params": params, "tokens": tokens, "flops": flops}

    def read(rows: Observations, columns: Columns, response: Asked) -> Observations:
        return read_by_role(rows, columns, response=response)

    return answer_metrics(read_rows(source, metrics), metrics, told, read, law=law, draws=draws, seed=seed)


def answer_metrics(
    table: Observations,
    metrics: Sequence[str],
    told: Columns,
    read: Read,
    *,
    law: str | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Metrics:
    """fit_metrics for a table that is read already. `read` finds the columns again for each metric, since each has its
    own response, unit and error bars."""
    asked = [Metric.parse(text) for text in metrics]
    names = [one.column for one in asked]
    if not asked or len(set(names)) < len(names):
        raise DeclarationError(f"metrics: expected different columns, got {', '.join(names) or 'none'}.")
    if draws < LEAST_DRAWS:
        raise DeclarationError(f"draws: expected at least {LEAST_DRAWS}, got {draws}.")
    for one in asked:
        table.expect(one.column)
    loss = next((one for one in asked if _is_loss(one)), None)
    answers: dict[str, MetricAnswer] = {}
    for metric in sorted(asked, key=lambda one: one is not loss):  # the first step first
        upstream = None if loss is None or metric is loss else answers[loss.column]
        answers[metric.column] = _answer(table, metric, asked, told, read, law, upstream, draws, seed)
    _expect_own_errors(table, answers)
    about = _about_shared([one.metric for one in answers.values()])
    return Metrics(answers={name: answers[name] for name in names}, warnings=about)


def _expect_own_errors(table: Observations, answers: Mapping[str, MetricAnswer]) -> None:
    """Raise TableError if one column was read as the standard errors of two metrics: it can belong to only one."""
    of_column: dict[str, str] = {}
    for name, one in answers.items():
        bars = None if one.fit is None else one.fit.error_bars
        if bars is None or bars.is_count:
            continue
        if (other := of_column.setdefault(bars.column, name)) != name:
            raise TableError(
                f"{table.source}: {bars.column}: expected standard errors of one metric, got them beside {other} and "
                f"{name}: name the column after its metric ({other}_stderr), or leave it out."
            )


def _is_loss(metric: Metric) -> bool:
    return metric.kind == "loss" or (metric.kind is None and "loss" in metric.column.lower())


def _alone(table: Observations, metric: Metric, asked: Sequence[Metric], kept: str | None) -> Observations:
    """The table without the columns of the other metrics (except `kept`), since these are no settings of the runs, and
    without the runs that lack this metric."""
    others = {one.column for one in asked} - {metric.column, kept}
    others |= {one.items for one in asked if one.items is not None} - {metric.items}
    rows = tuple(
        {name: cell for name, cell in row.items() if name not in others}
        for row in table
        if row.get(metric.column) not in (None, "")
    )
    return replace(table, rows=rows)


def _read(
    table: Observations, metric: Metric, asked: Sequence[Metric], told: Columns, read: Read, kept: str | None
) -> Observations:
    """The runs of one metric, with its own response, numbers of items and error bars."""
    own = _alone(table, metric, asked, kept)
    trials = metric.items
    if trials is not None and trials not in own.columns:
        count = _number(trials)
        if count is None or not 1 <= count < math.inf:
            raise TableError(
                f"{table.source}: {metric.column}: expected a number of items or a column, got {trials!r}."
            )
        trials = "test_items"
        own = own.with_cells(trials, [count] * len(own))
    response = Asked(kind=RESPONSES.get(metric.kind or ""), chance=metric.chance)
    try:
        return read(own, {**told, "loss": metric.column, "trials": trials}, response)
    except TableError as error:
        if metric.kind is None and "--response" in str(error):
            raise TableError(
                f"{table.source}: {metric.column}: expected what it is beside its name, which does not say it: "
                f"{metric.column}:accuracy@CHANCE for a share of right answers, {metric.column}:loss, or "
                f"{metric.column}:number."
            ) from None
        raise


def _answer(
    table: Observations,
    metric: Metric,
    asked: Sequence[Metric],
    told: Columns,
    read: Read,
    law: str | None,
    upstream: MetricAnswer | None,
    draws: int,
    seed: int,
) -> MetricAnswer:
    first, through, said = None, "", tuple[str, ...]()
    try:
        own = _read(table, metric, asked, told, read, upstream.metric.column if upstream is not None else None)
        said = own.said
        kind: Kind = "accuracy" if own.response.is_share else "loss" if own.response.is_log else "number"
        metric = replace(metric, kind=kind)
        if metric.kind == "accuracy" and upstream is not None and upstream.fit is not None:
            found = _second_step(own, metric, upstream, draws, seed)
            first, through = upstream.fit, upstream.metric.column
        else:
            chance = metric.chance or 0.0
            of_share = f"{chance:g} + {1 - chance:g}/(1 + (C_mid/C)^B)"
            found = fit(own, of_share if metric.kind == "accuracy" else law, draws=draws, seed=seed)
    except Refusal as refusal:
        return MetricAnswer(metric=metric, fit=None, refused=str(refusal), said=said)
    largest = max(row.predicted for row in found.residuals)
    shared = _shared(found, metric, largest) if metric.items else None
    return MetricAnswer(metric=metric, fit=found, first=first, through=through, shared_stderr=shared, said=said)


def _second_step(read: Observations, metric: Metric, upstream: MetricAnswer, draws: int, seed: int) -> Fit:
    """The metric over the loss of the same runs."""
    column, chance = upstream.metric.column, metric.chance or 0.0
    ladder = read.of_ladder().where(lambda row: row.get("held_out") is not True, "held out")
    ladder = ladder.where(lambda row: row.get(column) not in (None, ""), f"no {column}")
    own = ladder.roles["loss"]
    names = {"upstream_loss": column, own: own, "trials": ladder.roles.get("trials")}
    cells = {name: ladder.numbers(known) for name, known in names.items() if known is not None}
    rows = [{name: float(numbers[place]) for name, numbers in cells.items()} for place in range(len(ladder))]
    if not rows:
        raise Refusal("no_rows", f"{metric.column}: none of its runs has a {column}.")
    fitted = [] if upstream.fit is None else [row.observed for row in upstream.fit.residuals]
    if not np.isin(np.round(np.log(cells["upstream_loss"]), 9), np.round(np.log(fitted), 9)).all():
        raise Refusal(
            "no_value",
            f"{metric.column}: {column} was converted as its law was fitted, or some of its runs are not in that law: "
            "give a table with the loss itself, of the same runs, as the first of two steps.",
        )
    form = f"{chance:g} + {1 - chance:g}/(1 + exp(k*upstream_loss - m))"
    table = by_role(rows, ladder.response)
    return fit(replace(table, roles={**table.roles, "loss": own}), form, draws=draws, seed=seed)


def _two_steps(
    first: Fit, second: Fit, at: Mapping[str, float], interval: Interval
) -> tuple[float, tuple[float, float], tuple[Warning, ...]]:
    loss = predict_point(first, at, interval, LEVEL)
    one = predict_point(second, {"upstream_loss": loss.value}, "mean", LEVEL)
    rng = np.random.default_rng(0)
    drawn = {name: values[:MOST_DRAWS, None] for name, values in second.drawn.items()}
    count = len(next(iter(drawn.values())))
    half = math.log(max(loss.high, loss.value) / max(loss.low, 1e-12)) / 2 / t_quantile(0.5 + LEVEL / 2, 1e6)
    losses = loss.value * np.exp(half * rng.standard_normal((count, 8)))
    at_each = Axes.of({"upstream_loss": losses}, second.data.pivot)
    values = np.asarray(second.model.predict(drawn, at_each))
    if interval == "new_run":
        values = values + run_spread(second, {"upstream_loss": loss.value}) * rng.standard_normal(values.shape)
    inside = second.data.response.inside(values)
    low, high = (float(end) for end in np.quantile(inside, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2]))
    kept = tuple(warning for warning in (*loss.warnings, *one.warnings))
    return one.value, (min(low, one.value), max(high, one.value)), kept


def _shared(found: Fit, metric: Metric, value: float) -> float:
    """The standard error from the choice of items, which all accuracies share; 0 if the number of items is unknown."""
    if metric.items is None or not found.data.response.is_share:
        return 0.0
    items = _number(metric.items)
    if items is None:
        items = float(np.median([1 / row.error**2 for row in found.residuals if row.error])) if found.residuals else 0.0
    if not items:
        return 0.0
    share = min(max(value, 0.5 / items), 1 - 0.5 / items)
    rows = np.array([[row.residual_log, row.predicted] for row in found.residuals])
    left = max(len(rows) - len(found.free), 1)
    scatter = float(((rows[:, 0] / found.data.response.noise(rows[:, 1])) ** 2).sum()) / left
    return math.sqrt(share * (1 - share) * max(1 / items - scatter, 0.0))


def _wider(value: float, ends: tuple[float, float], shared: float) -> tuple[float, float]:
    reach = t_quantile(0.5 + LEVEL / 2, 1e6) * shared
    if not reach:
        return ends
    return max(value - math.hypot(value - ends[0], reach), 0.0), min(value + math.hypot(ends[1] - value, reach), 1.0)


def _about_shared(asked: Sequence[Metric]) -> tuple[Warning, ...]:
    if not (unknown := [one.column for one in asked if one.kind == "accuracy" and one.items is None]):
        return ()
    sentence = (
        f"How many test items {', '.join(unknown)} {'are' if len(unknown) > 1 else 'is'} of is not known (#ITEMS): "
        "intervals are for the same items, and do not hold what others would give."
    )
    return (Warning("items_unknown", "note", sentence),)
