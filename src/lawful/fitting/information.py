"""What runs teach about an answer: the information of a law's slopes, over laws and draws of their parameters.

Each state is one law at one draw of its parameters. Its matrix is the information of the rows that are there; one more
run adds what its slopes say. No law is exact and no rung is perfect, so the errors of runs are correlated:

- rows at one point share an error of the rung (a wrong learning rate, a bad node): repeating a point teaches less than
  a new one, and no single rung decides;
- rows of one cluster (branches of a trunk, seeds that are shared) share the cluster's error;
- where no law has the form of the runs, rows near each other share what it lacks there: many cheap runs in one corner
  do not stand for the whole range (a Gaussian process beside the law, as Kennedy and O'Hagan 2001 have it).

Between laws the answer varies, too. Two laws whose forecasts differ by d standard errors at a run have an overlap of
exp(-d^2 / 8) after it (Bhattacharyya's coefficient of two normal distributions of the same width): so much of their
disagreement is expected to stay.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lawful.fitting import derivatives, noise
from lawful.fitting.fitted import FittedLaw, relative_spread
from lawful.fitting.form import point_of
from lawful.fitting.goal import Goal, answers, gradients, largest_compute
from lawful.fitting.optimum import as_draw
from lawful.fitting.problem import Problem
from lawful.fitting.sisters import UNKNOWN, Sister
from lawful.laws import Array, Axes

STATES = 16  # draws over all laws
MOST_ROWS = 500  # of a larger table so many stand for all: the work grows as their cube
RUNG_ERROR = 0.5  # of a rung's own error, in standard deviations of a run about the curve
# of what a law lacks where it has not the form of the runs, in the same unit. Assumed of every law, it sends campaigns
# to dear runs that no interval asks for (Hoffmann's table: five times the FLOPs)
LACKING = 0.5
REACH = 0.25  # of each axis's width, over which rows share what the law lacks
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
    slopes      of the rows and the runs that may be done, shape (rows + candidates, free), over the noise
    gradient    of the answer, shape (free,)
    prior       precision of the parameters before any run, shape (free, free)
    """

    law: int
    weight: float
    slopes: Array
    gradient: Array
    prior: Array


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """All states, the answers of the laws, and the errors that runs share, in variances of one row.

    points     the rows and then the candidates
    taken      numbers of the points that are rows or chosen candidates; first: the number of the first candidate
    own        variance of a row apart from what it shares; below 1 if the row stands for several runs
    shared     covariance of what points share, shape (points, points)
    forecasts  log losses by law over the noise, shape (laws, points)
    overlap    logarithm of the part of two laws' difference that is left after the chosen runs
    """

    states: tuple[State, ...]
    laws: tuple[str, ...]
    weights: Array
    answers: Array
    points: Points
    taken: tuple[int, ...]
    first: int
    own: float
    shared: Array
    forecasts: Array
    overlap: Array

    @property
    def rows(self) -> Points:
        return self.points.take(self.taken)

    @property
    def candidates(self) -> Points:
        return self.points.take(range(self.first, len(self.points)))

    def variances(self) -> Array:
        """The variance of the answer before any candidate runs, for each state, within and between laws."""
        return np.array([one.variance for one in self._seen.states]) + self._between(self.overlap)

    def after_each(self) -> Array:
        """The same after each candidate alone, shape (states, candidates)."""
        seen = self._seen
        within = np.array([one.after(seen.spare) for one in seen.states])
        if len(self.laws) == 1:
            return within
        overlaps = self.overlap[..., None] + self._told
        gaps = np.outer(self.weights, self.weights) * np.subtract.outer(self.answers, self.answers) ** 2
        return np.asarray(within + np.tensordot(gaps, np.exp(overlaps), 2) / 2)

    def with_run(self, chosen: int) -> Knowledge:
        """After one candidate was chosen. It stays a candidate: another seed at the same point."""
        overlap = self.overlap + self._told[..., chosen]
        return replace(self, taken=(*self.taken, self.first + chosen), overlap=overlap)

    def without(self, cell: int) -> Knowledge:
        """As if the rows at one point were not there."""
        return replace(self, taken=tuple(i for i in self.taken if self.points.cell[i] != cell))

    def _between(self, overlap: Array) -> float:
        gaps = np.subtract.outer(self.answers, self.answers) ** 2
        return float((np.outer(self.weights, self.weights) * gaps * np.exp(overlap)).sum() / 2)

    @functools.cached_property
    def _seen(self) -> _Seen:
        rows = list(self.taken)
        factor = np.linalg.cholesky(np.diag(self._own()) + self.shared[np.ix_(rows, rows)])
        whiten = np.linalg.inv(factor)
        half = whiten @ self.shared[rows, self.first :]
        spare = 1 + np.diag(self.shared)[self.first :] - (half**2).sum(axis=0)
        states = []
        for one in self.states:
            of_rows = whiten @ one.slopes[rows]
            information = one.prior + of_rows.T @ of_rows
            inverse = np.linalg.inv(information + RIDGE * np.diag(np.diag(information)))
            states.append(_SeenState(one.gradient, inverse, one.slopes[self.first :] - half.T @ of_rows))
        return _Seen(spare, self.forecasts[:, self.first :] - self.forecasts[:, rows] @ whiten.T @ half, tuple(states))

    def _own(self) -> Array:
        """The own variance of each row and candidate taken; 1 for a chosen candidate."""
        return np.where(np.array(self.taken) < self.first, self.own, 1.0)

    @functools.cached_property
    def _told(self) -> Array:
        """What each candidate adds to the log of the overlap, (laws, laws, candidates). It is a surprise only beyond
        what the laws leave open themselves, and what the rows say of the difference already."""
        seen, numbers = self._seen, [one.law for one in self.states]
        firsts = [seen.states[numbers.index(law)] for law in range(len(self.laws))]
        width = np.array([seen.spare + one.leverage for one in firsts])
        apart = (seen.forecasts[:, None] - seen.forecasts[None]) ** 2
        return np.asarray(-apart / (4 * (width[:, None] + width[None])))


@dataclass(frozen=True)
class _SeenState:
    """One state after its rows. inverse: covariance of the parameters; new: slopes of the candidates beyond what these
    share with the rows."""

    gradient: Array
    inverse: Array
    new: Array

    @property
    def variance(self) -> float:
        return max(float(self.gradient @ self.inverse @ self.gradient), 0.0)

    @property
    def leverage(self) -> Array:
        return np.asarray(np.einsum("ci,ij,cj->c", self.new, self.inverse, self.new))

    def after(self, spare: Array) -> Array:
        """The variance of the answer after each candidate (Sherman, Morrison)."""
        fall = (self.new @ (self.inverse @ self.gradient)) ** 2 / (spare + self.leverage)
        return np.asarray(np.maximum(self.variance - fall, 0.0))


@dataclass(frozen=True)
class _Seen:
    """What the rows leave open. spare: variance of each candidate beside what it shares with them; forecasts: of the
    candidates by law, beyond what the rows tell."""

    spare: Array
    forecasts: Array
    states: tuple[_SeenState, ...]


def _shared(points: Points, of_cluster: float, lacking: float) -> Array:
    """Covariance of the errors that points share: of a rung, of a cluster, and of what the law lacks."""
    found = RUNG_ERROR**2 * (points.cell[:, None] == points.cell[None])
    found = found + of_cluster * (points.cluster[:, None] == points.cluster[None])
    square = np.zeros(found.shape)
    for values in points.at.values():
        along = np.log(values) if (values > 0).all() else values
        width = float(np.ptp(along))
        if width > 0:
            square += (np.subtract.outer(along, along) / (REACH * width)) ** 2
    return np.asarray(found + lacking**2 * np.exp(-square / 2))


@np.errstate(all="ignore")  # a draw may drive a law to infinities: its slopes end at WILD
def knowledge(fit: FittedLaw, goal: Goal, rows: Points, candidates: Points, seed: int) -> Knowledge:
    """What a fit knows of a goal, over the laws that its forecasts average over and draws of their parameters."""
    around = noise.measure(*point_of(fit, fit.model))
    among = fit.alternatives if goal.is_of_any_law else None
    is_lacking = fit.doubt.is_misfit or (among is not None and among.growth is not None)
    laws = (own_sister(fit),) if among is None else among.laws
    parts = (1.0,) if among is None else among.parts
    weights = np.array(parts)
    flops = largest_compute(fit) if {"params", "tokens"} <= set(fit.model.inputs) else np.nan
    rng = np.random.default_rng(seed)
    row_variance = max(around.variance_row, noise.LEAST_VARIANCE)
    own = max(len(rows) / MOST_ROWS, 1.0)
    rows = rows.take(np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS)).round().astype(int)).tolist())
    points = _joined(rows, candidates)
    uneven = _uneven(fit, points)
    states, found, forecasts = [], [], []
    for number, (law, weight) in enumerate(zip(laws, weights, strict=True)):
        count = max(1, round((STATES - len(laws)) * float(weight)))
        drawn = law.drawn(count, rng)
        values = {name: np.append(law.values[name], drawn[name]) for name in law.law.parameters}
        misfit = 0.0 if among is None else law.rmse_log**2 * fit.goodness.n / max(fit.goodness.n - len(law.free), 1)
        slopes = _slopes(law, values, points, float(np.sqrt(max(row_variance, misfit))) * uneven)
        gradient = gradients(goal, law, values, law.free, flops)
        prior = _prior(fit, law)
        for k in range(count + 1):
            states.append(State(number, float(weight) / (count + 1), slopes[k], gradient[k], prior))
        found.append(float(answers(goal, law, {name: value[:1] for name, value in values.items()}, flops)[0]))
        forecasts.append(np.log(law.loss(law.values, points.at)) / (np.sqrt(row_variance) * uneven))
    most = UNKNOWN / np.sqrt(row_variance)
    of_cluster = max(around.variance_cluster, 0.0) / row_variance
    return Knowledge(
        states=tuple(states),
        laws=tuple(law.name for law in laws),
        weights=weights,
        answers=np.nan_to_num(np.array(found)),
        points=points,
        taken=tuple(range(len(rows))),
        first=len(rows),
        own=1 / own,
        shared=_shared(points, of_cluster, LACKING if is_lacking else 0.0),
        forecasts=np.nan_to_num(np.array(forecasts)).clip(-most, most),
        overlap=np.zeros((len(laws), len(laws))),
    )


def _joined(rows: Points, candidates: Points) -> Points:
    at = {axis: np.concatenate([rows.at[axis], candidates.at[axis]]) for axis in rows.at}
    return Points(
        at=at,
        cell=np.concatenate([rows.cell, candidates.cell]),
        cluster=np.concatenate([rows.cluster, candidates.cluster]),
    )


def own_sister(fit: FittedLaw) -> Sister:
    """The fitted law as a sister of itself."""
    covariance, domain = np.array(fit.covariance), fit.data.domain
    own = {axis: (float(ends[0]), float(ends[1])) for axis, ends in domain.items()}
    rmse = fit.goodness.rmse_log
    return Sister(fit.law, fit.model, fit.values, fit.free, covariance, fit.dof, rmse, fit.data.pivot, own)


def own_slopes(goal: Goal, fit: FittedLaw) -> tuple[Array, Array, Array]:
    """Three results for the fitted law: d log L / d free parameter at each row over the row's noise, shape (rows,
    free); the gradient of the answer, shape (free,); each row's noise, in units of that in the middle of the data."""
    law, inputs = own_sister(fit), fit.model.inputs
    values = as_draw(law.values)
    at = {axis: fit.column(axis) for axis in inputs}
    nobody = np.arange(fit.nobs)
    points = Points(at=at, cell=nobody, cluster=nobody)
    uneven = _uneven(fit, points)
    flops = largest_compute(fit) if {"params", "tokens"} <= set(inputs) else np.nan
    return _slopes(law, values, points, uneven)[0], gradients(goal, law, values, law.free, flops)[0], uneven


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
