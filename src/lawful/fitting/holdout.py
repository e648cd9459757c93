"""Predict runs that were not fitted and score the forecasts: the largest of a fit, or those its table holds out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import numpy as np

from lawful.checks import PositiveInt, argument
from lawful.errors import DeclarationError, Refusal
from lawful.fitting.cautions import rests_on
from lawful.fitting.data import Sample
from lawful.fitting.default_law import resolved
from lawful.fitting.fit_sample import fit_table
from lawful.fitting.fitted import FittedLaw
from lawful.fitting.number_text import counted
from lawful.fitting.predict import predict_one
from lawful.fitting.quantiles import LEVEL
from lawful.fitting.records import HeldOutRow, Prediction, expect_fit
from lawful.laws import Array
from lawful.response import Response
from lawful.schema import Observation, Warning
from lawful.tables import Observations, by_role

SAME_AMOUNT = 0.02  # amounts that differ by less, relatively, are one
Largest = Literal["compute", "params", "tokens"]
Verdict = Literal["held", "no use", "missed"]
Fitted = TypeVar("Fitted", bound=FittedLaw)
Fitted_co = TypeVar("Fitted_co", bound=FittedLaw, covariant=True)


@dataclass(frozen=True)
class HeldOutRun(HeldOutRow):
    """amount: of what was held out by. last_value, straight_line: what the two plain forecasts say."""

    amount: float
    last_value: float
    straight_line: float


@dataclass(frozen=True)
class Holdout(Generic[Fitted_co]):
    """fit: of the other runs. largest: what they were held out by, in words: compute (as 6 N D for a law of both), or
    one of the law's axes.

    verdict         held: about 95 % of the losses lie inside their 95 % intervals for a new run, as many as they would
                    in 19 of 20 such tests if the law were right. No use: they do, and every interval also holds the
                    last value, so that it does not say whether the loss falls at all. Missed: more lie outside
    reach           the largest amount held out over the largest one fitted
    rmse_log        of the predictions; this and the next two are of log loss, of another response differences
    coverage        share of held-out runs inside their 95 % interval for a new run
    bias_log        mean of log(predicted / observed): which way the law errs when extrapolated
    last_value_rmse_log      of saying that a run ends like the nearest fitted one
    straight_line_rmse_log   of a straight line (a plane) through log loss along the logarithms of the law's axes
    """

    fit: Fitted_co
    largest: str
    verdict: Verdict
    rows: tuple[HeldOutRun, ...]
    reach: float
    rmse_log: float
    bias_log: float
    coverage: float
    last_value_rmse_log: float
    straight_line_rmse_log: float
    warnings: tuple[Warning, ...]

    def __repr__(self) -> str:
        return f"<Holdout {self.verdict}: {self.sentence}>"

    @property
    def sentence(self) -> str:
        inside = sum(row.is_inside for row in self.rows)
        runs = "1 run" if len(self.rows) == 1 else f"{len(self.rows)} runs"
        is_log = self.fit.data.response.is_log
        error, mean, line, last = (
            f"{100 * value:{sign}.2f} %" if is_log else f"{value:{sign}.3g}"
            for value, sign in (
                (self.rmse_log, ""),
                (self.bias_log, "+"),
                (self.straight_line_rmse_log, ""),
                (self.last_value_rmse_log, ""),
            )
        )
        straight = "a straight line in logarithms" if is_log else "a straight line in the logarithm of what it reads"
        return (
            f"Fitted on {counted(self.fit)}, {self._forecaster} predicted {runs} at up to "
            f"{self.reach:.3g} times the largest fitted {self.largest} with an rms error of {error} (mean {mean}); "
            f"{inside} of {len(self.rows)} lay inside their 95 % intervals. {self._verdict_in_words} For comparison, "
            f"the rms error of {straight} is {line}, of the {self._metric} of the nearest fitted run {last}."
        )

    @property
    def _metric(self) -> str:
        return "loss" if self.fit.data.response.is_log else "metric"

    @property
    def _forecaster(self) -> str:
        """The law; or the laws that the forecasts average over, the one with most weight first."""
        weights = self.rows[0].prediction.laws
        names = sorted(weights, key=lambda name: -weights[name])
        return f"an average over {' and '.join(names)}" if len(names) > 1 else names[0] if names else "the law"

    @property
    def _verdict_in_words(self) -> str:
        return {
            "held": "The forecasts held.",
            "no use": f"The forecasts held, but are of no use: the intervals also hold the {self._metric} of the "
            f"nearest fitted run, so they do not say that the {self._metric} "
            f"{'falls' if self.fit.data.response.is_log else 'goes on changing'}.",
            "missed": "The forecasts did not hold: more lie outside than chance explains.",
        }[self.verdict]


def holdout(fit: Fitted, *, top: int = 1, largest: Largest | None = None) -> Holdout[Fitted]:
    """Refit without the largest runs, predict them, and say whether the forecasts held.

    Parameters
    ----------
    fit
        Of any law.
    top
        How many of the largest amounts to leave out; runs within 2 % are of one amount.
    largest
        What the runs are ordered by: "compute" (6 N D; the default for a law of params and tokens), "params" or
        "tokens".

    Returns
    -------
    Holdout
        A verdict ("held", "no use", "missed"), the forecasts beside what came, two plain forecasts for comparison.

    Raises
    ------
    Refusal
        Too little is left to fit.
    DeclarationError
        There are not so many amounts.

    Examples
    --------
    >>> lawful.holdout(fit, top=1).verdict
    'held'
    """
    expect_fit(fit)
    argument("top", top, PositiveInt)
    argument("largest", largest, Largest | None)
    response = fit.data.response
    inputs = fit.model.inputs
    words, size = _amounts(fit, largest)
    levels = _levels(size)
    if not 1 <= top < len(levels):
        raise DeclarationError(
            f"holdout: expected top between 1 and {len(levels) - 1} (there are {len(levels)} amounts of {words}), got "
            f"{top}."
        )
    is_held_out = size >= levels[-top] * (1 - SAME_AMOUNT / 2)
    runs = np.array([row.run for row in fit.residuals])
    is_kept = ~np.isin(runs, runs[is_held_out])  # the earlier rows of a run that is held out are no forecast of it
    kept = [row for row, is_here in zip(_rows(fit), is_kept, strict=True) if is_here]
    if not kept:
        raise Refusal(
            "too_few_points",
            f"holdout: expected runs that do not reach the largest {words}, got none: nothing is left to fit. Hold out "
            "by another amount (--largest).",
        )
    smaller = _fit_again(fit, by_role(kept, response))
    axes = np.array([[row.axes[axis] for axis in inputs] for row in fit.residuals])
    axes = np.where((axes > 0).all(axis=0), np.log(np.where(axes > 0, axes, 1.0)), axes)  # what may be 0 is taken as is
    loss = np.array([row.observed for row in fit.residuals])
    last, line = _plain_forecasts(axes[is_kept], loss[is_kept], axes[is_held_out], response)
    out = []
    for i, number in enumerate(np.flatnonzero(is_held_out)):
        row = fit.residuals[number]
        prediction = predict_one(smaller, {axis: row.axes[axis] for axis in inputs}, "new_run", LEVEL)
        scored = scored_row(row.run, prediction, row.observed)
        out.append(HeldOutRun(**vars(scored), amount=float(size[number]), last_value=last[i], straight_line=line[i]))
    observed = loss[is_held_out]
    errors, last_errors, line_errors = (
        response.away(np.asarray(values), observed) for values in ([row.prediction.value for row in out], last, line)
    )
    chosen = tuple(one for one in fit.warnings if one.code == "law_chosen")
    return Holdout(
        type(fit).of(smaller),
        words,
        _verdict(out),
        tuple(out),
        float(size.max() / size[is_kept].max()),
        _rms(errors),
        float(errors.mean()),
        float(np.mean([row.is_inside for row in out])),
        _rms(last_errors),
        _rms(line_errors),
        (*chosen, *rests_on(smaller)),
    )


def _rows(fit: FittedLaw) -> list[Observation]:
    """The runs of a fit as a table by role, with their error bars."""
    rows: list[Observation] = [
        {**_cells(fit, row.axes), "loss": row.observed, "run": row.run, "cluster": str(row.cluster)}
        for row in fit.residuals
    ]
    if fit.error_bars is None:
        return rows
    errors = np.array([row.error or 0.0 for row in fit.residuals])
    bars = fit.data.response.bars(errors, np.array([row.observed for row in fit.residuals]))
    role, values = ("trials", 1 / errors**2) if fit.error_bars.is_count else ("stderr", bars)
    return [{**own, role: float(value)} for own, value in zip(rows, values, strict=True)]


def _fit_again(fit: FittedLaw, table: Observations) -> FittedLaw:
    """The same law with the same settings, of other rows."""
    return fit_table(
        table,
        resolved(fit.model, table).law,
        {},
        objective=fit.objective.name,
        fixed={name: p.value for name, p in fit.params.items() if p.role == "fixed"},
        bounds=fit.bounds,
        prior={one.name: (one.mean, one.stderr) for one in fit.priors},
        draws=len(fit.draws),
        seed=fit.seed,
    )


def scored_row(run: str, prediction: Prediction, observed: float) -> HeldOutRow:
    error = prediction.value / observed - 1 if observed else math.nan
    return HeldOutRow(run, prediction, observed, error, prediction.low <= observed <= prediction.high)


def score_held_out(fit: FittedLaw, data: Sample) -> tuple[HeldOutRow, ...]:
    """The rows of a table that it holds out, predicted for one more run and then looked at."""
    return tuple(
        scored_row(
            run,
            predict_one(fit, {axis: float(values[i]) for axis, values in data.values.items()}, "new_run", LEVEL),
            float(data.loss[i]),
        )
        for i, run in enumerate(data.run_names)
    )


def about_held_out(rows: Sequence[HeldOutRow]) -> list[Warning]:
    if not rows or is_held(rows):
        return []
    missed = sum(not row.is_inside for row in rows)
    sentence = f"{missed} of {len(rows)} held-out losses lie outside the 95 % interval for a new run."
    return [Warning("held_out_missed", "warning", sentence)]


def is_held(rows: Sequence[HeldOutRow]) -> bool:
    """Whether so many misses are no rarer than one in 20, if each run lay outside its 95 % interval one time in 20."""
    return are_held(sum(row.is_inside for row in rows), len(rows))


def are_held(inside: int, n: int) -> bool:
    """is_held, from the counts."""
    p = 1 - LEVEL
    at_least = sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n - inside, n + 1))
    return at_least > p * (1 + 1e-9)


def _verdict(rows: Sequence[HeldOutRun]) -> Verdict:
    if not is_held(rows):
        return "missed"
    says_nothing = all(row.prediction.low <= row.last_value <= row.prediction.high for row in rows)
    return "no use" if says_nothing else "held"


def _amounts(fit: FittedLaw, largest: Largest | None) -> tuple[str, Array]:
    inputs = fit.model.inputs
    is_surface = {"params", "tokens"} <= set(inputs)
    axis = {None: None if is_surface else inputs[0], "compute": None if is_surface else "flops"}.get(largest, largest)
    if axis is None:
        return "6 N D", np.array([6 * row.axes["params"] * row.axes["tokens"] for row in fit.residuals])
    if axis not in inputs:
        raise DeclarationError(
            f"holdout: {fit.law} reads {' and '.join(inputs)}; its runs cannot be held out by the largest {largest}."
        )
    return axis, np.array([row.axes[axis] for row in fit.residuals])


def _plain_forecasts(fitted: Array, loss: Array, held_out: Array, response: Response) -> tuple[Array, Array]:
    """What needs no law: the loss of the nearest fitted run (their mean where several are as near), and a plane through
    log loss. Axes are logarithms, shape (rows, axes)."""
    last, level = [], response.level(loss)
    for at in held_out:
        distance = np.abs(fitted - at).sum(axis=1)
        last.append(float(level[distance <= distance.min() + SAME_AMOUNT].mean()))
    centre = fitted.mean(axis=0)
    design = np.concatenate([np.ones((len(fitted), 1)), fitted - centre], axis=1)
    slope = np.linalg.lstsq(design, level, rcond=None)[0]
    line = slope[0] + (held_out - centre) @ slope[1:]
    return (np.exp(last), np.exp(line)) if response.is_log else (np.array(last), response.inside(line))


def _cells(fit: FittedLaw, axes: Mapping[str, float]) -> Observation:
    """Inputs as a table has them: numbers, and the names of levels."""
    return {axis: fit.model.cell(axis, axes[axis]) for axis in fit.model.inputs}


def _rms(errors: Array) -> float:
    return float(np.sqrt((errors**2).mean()))


def _levels(size: Array) -> Array:
    """Distinct amounts, rising; those within 2 % are one."""
    order = np.sort(size)
    rises = order[1:] > order[:-1] * (1 + SAME_AMOUNT)
    return np.asarray(order[np.concatenate([[True], rises])])
