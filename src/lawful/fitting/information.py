"""What runs teach about an answer: the information of a law's slopes, over laws and draws of their parameters.

Each state is one law at one draw of its parameters. Its matrix is the information of the rows that are there; one more
run adds to it what its slopes say, less where it shares noise:

- rows at one point share an error of the rung (a wrong learning rate, a bad node): repeating a point teaches less than
  a new one, and no single rung decides;
- rows of one cluster (branches of a trunk, seeds that are shared) share the cluster's error.

Between laws the answer varies, too. Two laws whose forecasts differ by d standard errors at a run have an overlap of
exp(-d^2 / 8) after it (Bhattacharyya's coefficient of two normal distributions of the same width): so much of their
disagreement is expected to stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lawful.fitting import derivatives, noise
from lawful.fitting.fitted import FittedLaw, relative_spread
from lawful.fitting.form import point_of
from lawful.fitting.goal import Goal, answers, gradients, largest_compute
from lawful.fitting.problem import Problem
from lawful.fitting.sisters import UNKNOWN, Sister
from lawful.laws import Array, Axes

STATES = 16  # draws over all laws
RUNG_ERROR = 0.5  # of a rung's own error, in standard deviations of a run about the curve
WILD = 1e3  # times the point's largest slope: the slopes of a draw end there, which a law may drive to infinities
RIDGE = 1e-12  # relative: keeps a direction that no run determines from being singular to rounding
LOOSE = 10.0  # standard deviation of what is thought of a coefficient beforehand, in typical losses; of a shape: 1


@dataclass(frozen=True, kw_only=True)
class Points:
    """Runs as a law sees them. at: by axis, shape (runs,); cell and cluster: codes, equal where runs share."""

    at: Mapping[str, Array]
    cell: Array
    cluster: Array

    def __len__(self) -> int:
        return len(self.cell)

    def take(self, rows: Sequence[int]) -> Points:
        chosen = list(rows)
        at = {axis: values[chosen] for axis, values in self.at.items()}
        return Points(at=at, cell=self.cell[chosen], cluster=self.cluster[chosen])


@dataclass(frozen=True)
class State:
    """One law at one draw.

    weight      of all states together 1
    rows        slopes of the rows, shape (rows, free), over their noise; candidates: of the runs that may be done
    gradient    of the answer, shape (free,)
    prior       precision of the parameters before any run, shape (free, free)
    """

    law: int
    weight: float
    rows: Array
    candidates: Array
    gradient: Array
    prior: Array


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """All states, the answers of the laws, and what rows share, in variances of one row.

    apart     squared differences of the laws' forecasts of the candidates, over the noise: shape (laws, laws, runs)
    overlap   logarithm of what is left of the difference of two laws after the runs that were chosen
    """

    states: tuple[State, ...]
    laws: tuple[str, ...]
    weights: Array
    answers: Array
    apart: Array
    overlap: Array
    shared: float
    rows: Points
    candidates: Points

    def variances(self) -> Array:
        """Of the answer as things stand, by state, within and between laws."""
        left = np.array([_variance(one.gradient, _information(one, self.rows, self.shared)) for one in self.states])
        return left + self._between(self.overlap)

    def after_each(self) -> Array:
        """The same after each candidate alone, shape (states, candidates)."""
        within = np.array([self._after(one) for one in self.states])
        if len(self.laws) == 1:
            return within
        overlaps = self.overlap[..., None] + self._told()
        between = np.array([self._between(overlaps[..., i]) for i in range(len(self.candidates))])
        return np.asarray(within + between[None])

    def with_run(self, chosen: int) -> Knowledge:
        """After one candidate was chosen. It stays a candidate: another seed at the same point."""
        one = self.candidates.take([chosen])
        rows = Points(
            at={axis: np.append(values, one.at[axis]) for axis, values in self.rows.at.items()},
            cell=np.append(self.rows.cell, one.cell),
            cluster=np.append(self.rows.cluster, one.cluster),
        )
        states = tuple(replace(s, rows=np.vstack([s.rows, s.candidates[chosen]])) for s in self.states)
        return replace(self, states=states, rows=rows, overlap=self.overlap + self._told()[..., chosen])

    def _between(self, overlap: Array) -> float:
        gaps = np.subtract.outer(self.answers, self.answers) ** 2
        return float((np.outer(self.weights, self.weights) * gaps * np.exp(overlap)).sum() / 2)

    def _told(self) -> Array:
        """What each candidate adds to the log of the overlap, (laws, laws, candidates). It is a surprise only beyond
        what the laws leave open themselves."""
        if len(self.laws) == 1:
            return np.zeros((1, 1, len(self.candidates)))
        open_of = np.ones((len(self.laws), len(self.candidates)))
        for law in range(len(self.laws)):
            first = next(one for one in self.states if one.law == law)
            inverse = np.linalg.pinv(_information(first, self.rows, self.shared), hermitian=True)
            open_of[law] += np.einsum("ci,ij,cj->c", first.candidates, inverse, first.candidates)
        return np.asarray(-self.apart / (8 * (open_of[:, None] + open_of[None]) / 2))

    def _after(self, state: State) -> Array:
        """The variance within one state after each candidate, shape (candidates,)."""
        now = _information(state, self.rows, self.shared)
        rows, new, tau = self.rows, self.candidates, RUNG_ERROR**2
        same = (rows.cell[:, None] == new.cell[None]).sum(axis=0)
        # n rows at one point: their weight is n / (1 + n tau), and one more adds the difference
        weight = 1 / ((1 + same * tau) * (1 + (same + 1) * tau))
        out = now[None] + weight[:, None, None] * state.candidates[:, :, None] * state.candidates[:, None, :]
        if self.shared > 0:
            for i in np.flatnonzero(np.isin(new.cluster, rows.cluster)):
                is_own = rows.cluster == new.cluster[i]
                slopes, own = state.rows[is_own], _row_weights(rows)[is_own]
                out[i] += _taken(np.vstack([slopes, state.candidates[i]]), np.append(own, weight[i]), self.shared)
                out[i] -= _taken(slopes, own, self.shared)
            is_alone = ~np.isin(new.cluster, rows.cluster)
            lost = self.shared * weight**2 / (1 + self.shared * weight) * is_alone
            out -= lost[:, None, None] * state.candidates[:, :, None] * state.candidates[:, None, :]
        solved = np.linalg.solve(out, np.broadcast_to(state.gradient[:, None], (len(out), len(state.gradient), 1)))
        return np.asarray(np.maximum(solved[..., 0] @ state.gradient, 0.0))


def _row_weights(rows: Points) -> Array:
    """n rows at one point weigh n / (1 + n tau) together, as rows that share an error of variance tau do."""
    count = np.unique(rows.cell, return_inverse=True, return_counts=True)
    return np.asarray(1 / (1 + count[2][count[1]] * RUNG_ERROR**2))


def _taken(slopes: Array, weight: Array, shared: float) -> Array:
    """What the rows of a cluster lose of their information by a common error of this variance (Sherman, Morrison)."""
    total = weight @ slopes
    return np.asarray(-shared / (1 + shared * weight.sum()) * np.outer(total, total))


def _information(state: State, rows: Points, shared: float) -> Array:
    weight = _row_weights(rows)
    found = state.prior + (state.rows * weight[:, None]).T @ state.rows
    if shared > 0:
        for code in np.unique(rows.cluster):
            is_own = rows.cluster == code
            found = found + _taken(state.rows[is_own], weight[is_own], shared)
    return np.asarray(found + RIDGE * np.diag(np.diag(found)))


def _variance(gradient: Array, information: Array) -> float:
    return max(float(gradient @ np.linalg.solve(information, gradient)), 0.0)


@np.errstate(all="ignore")  # a draw may drive a law to infinities: its slopes end at WILD
def knowledge(fit: FittedLaw, goal: Goal, rows: Points, candidates: Points, seed: int) -> Knowledge:
    """What a fit knows of a goal, over the laws that its forecasts average over and draws of their parameters."""
    around = noise.measure(*point_of(fit, fit.model))
    among = fit.alternatives if goal.is_of_any_law else None
    laws = (_own(fit),) if among is None else among.laws
    weights = np.array([1.0] if among is None else among.weights)
    flops = largest_compute(fit) if {"params", "tokens"} <= set(fit.model.inputs) else np.nan
    rng = np.random.default_rng(seed)
    row_variance = max(around.variance_row, noise.LEAST_VARIANCE)
    uneven = [_uneven(fit, points) for points in (rows, candidates)]
    states, found, forecasts = [], [], []
    for number, (law, weight) in enumerate(zip(laws, weights, strict=True)):
        count = max(1, round((STATES - len(laws)) * float(weight)))
        drawn = law.drawn(count, rng)
        values = {name: np.append(law.values[name], drawn[name]) for name in law.law.parameters}
        misfit = 0.0 if among is None else law.rmse_log**2 * fit.goodness.n / max(fit.goodness.n - len(law.free), 1)
        sigma = float(np.sqrt(max(row_variance, misfit)))
        of_rows, of_new = (
            _slopes(law, values, points, sigma * u) for points, u in zip((rows, candidates), uneven, strict=True)
        )
        gradient = gradients(goal, law, values, law.free, flops)
        prior = _prior(fit, law)
        for k in range(count + 1):
            share = float(weight) / (count + 1)
            states.append(State(number, share, of_rows[k], of_new[k], gradient[k], prior))
        found.append(float(answers(goal, law, {name: value[:1] for name, value in values.items()}, flops)[0]))
        forecasts.append(np.log(law.loss(law.values, candidates.at)) / (np.sqrt(row_variance) * uneven[1]))
    known = np.nan_to_num(np.array(forecasts)).clip(-UNKNOWN / np.sqrt(row_variance), UNKNOWN / np.sqrt(row_variance))
    return Knowledge(
        states=tuple(states),
        laws=tuple(law.name for law in laws),
        weights=weights,
        answers=np.nan_to_num(np.array(found)),
        apart=(known[:, None] - known[None]) ** 2,
        overlap=np.zeros((len(laws), len(laws))),
        shared=max(around.variance_cluster, 0.0) / row_variance,
        rows=rows,
        candidates=candidates,
    )


def _own(fit: FittedLaw) -> Sister:
    """The fitted law as a sister of itself."""
    covariance, domain = np.array(fit.covariance), fit.data.domain
    own = {axis: (float(ends[0]), float(ends[1])) for axis, ends in domain.items()}
    rmse = fit.goodness.rmse_log
    return Sister(fit.law, fit.model, fit.values, fit.free, covariance, fit.dof, rmse, fit.data.pivot, own)


def _uneven(fit: FittedLaw, points: Points) -> Array:
    """The noise of each run in units of that in the middle of the data."""
    if not fit.spread_slopes:
        return np.ones(len(points))
    return np.array(
        [relative_spread(fit, {axis: float(v[i]) for axis, v in points.at.items()}) for i in range(len(points))]
    )


def _slopes(law: Sister, values: Mapping[str, Array], points: Points, noise_of: Array) -> Array:
    """d log L / d free parameter over the noise, shape (draws, runs, free)."""
    ends = np.full(len(law.law.parameters), np.inf)
    x = Axes.of(points.at, law.pivot)
    problem = Problem(law.law, x, np.ones(len(points)), True, 1.0, True, -ends, ends)
    each = derivatives.slopes_of_each(problem, np.array([values[name] for name in law.law.parameters]).T)
    free = [law.law.parameters.index(name) for name in law.free]
    each = np.asarray(np.nan_to_num(each[:, :, free] / noise_of[:, None]))
    most = WILD * max(float(np.abs(each[0]).max()), 1e-300)
    return each.clip(-most, most)


def _prior(fit: FittedLaw, law: Sister) -> Array:
    """Precision of what is thought before any run: weak, so that what the rows do not determine stays finite."""
    typical = LOOSE * float(np.median([row.observed for row in fit.residuals]))
    sizes = [typical if name in law.law.coefficients else 1.0 for name in law.free]
    return np.asarray(np.diag(1 / np.square(sizes)))
