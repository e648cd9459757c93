"""Error rates over people: a law of the error rate whose intervals resample users as well as seeds, and its sweet spot.

Sessions of one person share a hand and its electrodes: users, not sessions, are what a rate is uncertain about. So each
draw takes users with replacement, the same for every size, and seeds with replacement within a size.

With few users quantiles of such draws lie too close together; they are taken further out as Student's t has it
(Hesterberg 2015, doi:10.1080/00031305.2015.1089789). In simulations (LAB_NOTES, 2026-11-22) the level of the error rate
was then covered in 72, 89, 94, 95 % of cases with 2, 4, 8, 16 users, against 65, 80, 89, 92 % without.

The law is bounded, cer = 1 / (1 + (N / N_half)^alpha): the log-odds of an error fall linearly in log N, and are fitted
by least squares, draw by draw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

from lawful.domains.emg.records import (
    SPLITS,
    ErrorCurve,
    ErrorLaw,
    Exponent,
    NearBest,
    PeopleErrors,
    SizeErrors,
    SplitErrors,
    SweetSpot,
    read_details,
    read_people,
)
from lawful.fitting.quantiles import t_quantile
from lawful.plugins import Analysis
from lawful.schema import StudyPlan
from lawful.storage.atomic import write_json
from lawful.storage.codec import to_plain
from lawful.storage.layout import Store

DRAWS = 2_000
LEAST_SIZES = 3
NEAR = (1.0, 2.0, 5.0)  # points of the error rate that a smaller model may be behind the best one
POINTS = 1.0  # of the error rate, in per cent: what a doubling must gain to be worth it
BELOW, ABOVE, DOUBLINGS = 1e4, 1e6, 1001  # how far outside the data, and at how many sizes, a doubling's gain is sought


class PerUserError(Analysis):
    def after_fit(self, folder: Path) -> None:
        answer_people(folder)


def answer_people(folder: str | Path, *, points: float = POINTS, seed: int = 0) -> PeopleErrors | None:
    """Write fits/by-user.json and return it; None where no run kept the errors of single sessions. One that stands on
    runs whose details are not here any more stays as it is.

    Of each split that was judged: "validation" (people that were trained on) and "test" (people that were not).
    """
    home = Store(Path(folder))
    study = home.read_study()
    counts = {split: _counts(home, study, split) for split in SPLITS}
    splits = {
        split: _of_split(runs, points, np.random.Generator(np.random.PCG64(seed)))
        for split, runs in counts.items()
        if runs
    }
    if "validation" not in splits:
        return None
    runs = tuple(counted.run for counted in counts["validation"])
    former = read_people(home)
    if former and set(former.runs) & {planned.run for planned in study.runs} - set(runs):
        return former  # it knows runs whose details are not in this folder any more
    found = PeopleErrors(points=points, draws=DRAWS, runs=runs, **splits)
    write_json(home.fit("by-user"), to_plain(found))
    return found


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A finished run. users: user -> edits and characters."""

    run: str
    params: int
    is_held_out: bool
    users: dict[str, list[int]]


def _counts(home: Store, study: StudyPlan, split: str) -> list[Counted]:
    """Each finished run along the size axis that kept its sessions.

    Where the number of training users varies, only runs trained on the most; where there are arms, only the first.
    """
    most = max((int(planned.at.get("train_users", 0)) for planned in study.runs), default=0)
    arm = study.runs[0].arm if study.runs else ""
    out = []
    for planned in study.runs:
        if planned.at.get("train_users", most) != most or planned.arm != arm or not planned.is_of_ladder:
            continue
        result = home.read_result(planned.run)
        if result is None or result.status != "finished":
            continue
        details = (read_details(home, planned.run) or {}).get(split)
        users: dict[str, list[int]] = {}
        for session in details.sessions if details else ():
            total = users.setdefault(session.user, [0, 0])
            total[0] += session.edits
            total[1] += session.characters
        if users:
            params = planned.params_non_embedding
            out.append(Counted(run=planned.run, params=params, is_held_out=planned.held_out, users=users))
    return out


def _of_split(counts: Sequence[Counted], points: float, rng: np.random.Generator) -> SplitErrors:
    users = sorted({user for run in counts for user in run.users})
    # [runs, users, 2]: edits and characters
    table = np.array([[run.users.get(user, (0, 0)) for user in users] for run in counts], dtype=float)
    params = np.array([run.params for run in counts], dtype=float)
    is_fitted = np.array([not run.is_held_out for run in counts])
    sizes = tuple(
        _errors_at(size, table[params == size], users, is_fitted[params == size]) for size in np.unique(params)
    )
    fitted_sizes = np.unique(params[is_fitted])
    if len(users) < 2 or len(fitted_sizes) < LEAST_SIZES:
        return SplitErrors(
            users=tuple(users),
            sizes=sizes,
            refusal=f"a law with intervals over people needs at least 2 users and {LEAST_SIZES} fitted sizes; "
            f"got {len(users)} and {len(fitted_sizes)}.",
        )
    draws = np.array([_drawn(table, params, is_fitted, fitted_sizes, rng) for _ in range(DRAWS)])  # [draws, sizes]
    point = np.array([_rate(table[(params == size) & is_fitted].sum((0, 1))) for size in fitted_sizes])
    log_size = np.log(fitted_sizes)
    slope, log_half = _law(log_size, point[None])
    slopes, log_halves = _law(log_size, draws)
    spot, spots = (_sweet_spot(*law, points, params) for law in ((slope, log_half), (slopes, log_halves)))
    law = ErrorLaw(
        formula="cer = 1 / (1 + (N / N_half)^alpha)",
        alpha=Exponent(value=float(slope[0]), ci95=_interval(slopes, len(users))),
        log_half=float(log_half[0]),
        runs=int(is_fitted.sum()),
        users=len(users),
        falls=float(np.mean(slopes > 0)),
    )
    sweet_spot = SweetSpot(
        params=None if np.isnan(spot[0]) else float(spot[0]),
        ci95=_interval(spots[~np.isnan(spots)], len(users)) if np.mean(~np.isnan(spots)) > 0.95 else None,
        is_in_range=bool(fitted_sizes[0] <= np.nan_to_num(spot[0]) <= params.max()),
        range=(float(fitted_sizes[0]), float(params.max())),
    )
    curve = _curve(slopes, log_halves, slope, log_half, params, len(users))
    every, everything = np.unique(params), np.ones(len(params), dtype=bool)
    measured = np.array([_rate(table[params == size].sum((0, 1))) for size in every])
    redrawn = np.array([_drawn(table, params, everything, every, rng) for _ in range(DRAWS)])
    laws = ((slope, log_half), (slopes, log_halves))
    near = tuple(_near_best(laws, (measured[None], redrawn), points, every, len(users)) for points in NEAR)
    near = near if slope[0] > 0 else ()
    return SplitErrors(users=tuple(users), sizes=sizes, law=law, curve=curve, sweet_spot=sweet_spot, near_best=near)


def _errors_at(size: float, table: np.ndarray, users: Sequence[str], is_fitted: np.ndarray) -> SizeErrors:
    """table: [runs of this size, users, 2]."""
    by_user = (table[:, :, 0] / np.maximum(table[:, :, 1], 1)).mean(0)
    return SizeErrors(
        params=float(size),
        is_held_out=not is_fitted.any(),
        cer=float(table[:, :, 0].sum() / table[:, :, 1].sum()),
        seeds=len(table),
        sd_seeds=_sd(table[:, :, 0].sum(1) / table[:, :, 1].sum(1)),
        sd_users=_sd(by_user),
        by_user=dict(zip(users, map(float, by_user), strict=True)),
    )


def _drawn(
    table: np.ndarray, params: np.ndarray, is_fitted: np.ndarray, sizes: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The rate of each fitted size over resampled users, the same for all, and resampled seeds. [sizes]."""
    users = rng.integers(0, table.shape[1], table.shape[1])
    out = []
    for size in sizes:
        runs = np.flatnonzero((params == size) & is_fitted)
        chosen = rng.choice(runs, len(runs))
        out.append(_rate(table[chosen][:, users].sum((0, 1))))
    return np.array(out)


def _rate(edits_and_characters: np.ndarray) -> float:
    """Half an edit away from 0 and 1, where odds have no logarithm."""
    edits, characters = edits_and_characters
    return float(np.clip(edits / max(characters, 1), 0.5 / max(characters, 1), 1 - 0.5 / max(characters, 1)))


def _law(log_size: np.ndarray, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """alpha and log N_half of each row of rates [draws, sizes]."""
    odds = np.log(rates / (1 - rates))
    centred = log_size - log_size.mean()
    alpha = -(odds * centred).sum(1) / (centred**2).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        log_half = log_size.mean() + odds.mean(1) / alpha
    return alpha, log_half


def _predicted(alpha: np.ndarray, log_half: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """[draws, sizes]."""
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(alpha[:, None] * (np.log(sizes) - log_half[:, None]))))


def _sweet_spot(alpha: np.ndarray, log_half: np.ndarray, points: float, params: np.ndarray) -> np.ndarray:
    """The size from which on no doubling gains `points` per cent; nan where there is none within reach, or no law."""
    sizes = np.geomspace(params.min() / BELOW, params.max() * ABOVE, DOUBLINGS)
    gain = _predicted(alpha, log_half, sizes) - _predicted(alpha, log_half, 2 * sizes)
    is_worth = gain >= points / 100
    last = DOUBLINGS - 1 - is_worth[:, ::-1].argmax(1)
    out = np.where(is_worth.any(1), sizes[np.minimum(last + 1, DOUBLINGS - 1)], sizes[0])
    return np.where((alpha > 0) & np.isfinite(log_half) & (last < DOUBLINGS - 1), out, np.nan)


def _near_best(
    laws: tuple[tuple[np.ndarray, np.ndarray], ...],
    rates: tuple[np.ndarray, ...],
    points: float,
    sizes: np.ndarray,
    users: int,
) -> NearBest:
    """The size that is nearly the best, with its interval. laws and rates: of the fit, then of its draws.

    laws     (alpha, log N_half)
    rates    measured error rates, shape (draws, sizes)
    sizes    every trained size, ascending
    """
    needed = []
    for alpha, log_half in laws:
        within = _predicted(alpha, log_half, sizes[-1:])[:, 0] + points / 100
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            size = np.exp(log_half + np.log(1 / np.clip(within, None, 1 - 1e-12) - 1) / alpha)
        # where errors do not fall with size, the smallest is the best
        needed.append(np.where(alpha > 0, np.clip(size, sizes[0], sizes[-1]), sizes[0]))
    best = int(rates[0][0].argmin())
    gaps = [100 * (one - one[:, best : best + 1]) for one in rates]
    place = int((gaps[0][0] <= points).argmax())
    return NearBest(
        points=points,
        params=float(needed[0][0]),
        ci95=_interval(needed[1], users),
        best=float(sizes[best]),
        trained=float(sizes[place]),
        gap=float(gaps[0][0, place]),
        gap_ci95=_interval(gaps[1][:, place], users),
    )


def _curve(
    alphas: np.ndarray,
    log_halves: np.ndarray,
    alpha: np.ndarray,
    log_half: np.ndarray,
    params: np.ndarray,
    users: int,
) -> ErrorCurve:
    """The law and its 95 % band over the measured range and two doublings on."""
    sizes = np.geomspace(params.min(), 4 * params.max(), 40)
    drawn = _predicted(alphas, log_halves, sizes)
    low, high = np.nanpercentile(drawn, _percentages(users), axis=0)
    predicted = _predicted(alpha, log_half, sizes)[0]
    return ErrorCurve(
        params=tuple(sizes.tolist()), cer=tuple(predicted.tolist()), low=tuple(low.tolist()), high=tuple(high.tolist())
    )


def _interval(draws: np.ndarray, users: int) -> tuple[float, float]:
    low, high = np.nanpercentile(draws, _percentages(users))
    return float(low), float(high)


def _percentages(users: int) -> list[float]:
    """The percentiles of the draws for a 95 % interval: 2.5 and 97.5 with many users, nearly 0 and 100 with four."""
    tail = 100 * NormalDist().cdf(-math.sqrt(users / (users - 1)) * t_quantile(0.975, users - 1))
    return [tail, 100 - tail]


def _sd(values: np.ndarray) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
