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

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from lawful.plugins import Analysis
from lawful.schema import StudyPlan
from lawful.storage import json_files
from lawful.storage.atomic import write_json
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store

DRAWS = 2_000
LEAST_SIZES = 3
POINTS = 1.0  # of the error rate, in per cent: what a doubling must gain to be worth it
BELOW, ABOVE, DOUBLINGS = 1e4, 1e6, 1001  # how far outside the data, and at how many sizes, a doubling's gain is sought


class PerUserError(Analysis):
    def after_fit(self, folder: Path) -> None:
        answer_people(folder)


def answer_people(folder: str | Path, *, points: float = POINTS, seed: int = 0) -> dict[str, Any] | None:
    """Write fits/by-user.json and return it; None where no run kept the errors of single sessions. One that stands on
    runs whose details are not here any more stays as it is.

    One entry for each split that was judged: "validation" (people that were trained on) and "test" (people that were
    not). Each holds rates by size and user, and the law or the reason why there is none.
    """
    home = Store(Path(folder))
    study = home.read_study()
    found: dict[str, Any] = {"points": points, "draws": DRAWS}
    for split in ("validation", "test"):
        counts = _counts(home, study, split)
        found.setdefault("runs", [run["run"] for run in counts])
        if counts:
            found[split] = _of_split(counts, points, np.random.Generator(np.random.PCG64(seed)))
    if "validation" not in found:
        return None
    former = read_json(home.fit("by-user")) if home.fit("by-user").exists() else {}
    if set(former.get("runs", ())) & {planned.run for planned in study.runs} - set(found["runs"]):
        return former  # it knows runs whose details are not in this folder any more
    plain: dict[str, Any] = json_files.plain(found)
    write_json(home.fit("by-user"), plain)
    return plain


def _counts(home: Store, study: StudyPlan, split: str) -> list[dict[str, Any]]:
    """Of each finished run along the size axis: its size, whether it is held out, (edits, characters) by user.

    Where the number of training users varies, only runs trained on the most; where there are arms, only the first.
    """
    most = max((int(planned.at.get("train_users", 0)) for planned in study.runs), default=0)
    arm = study.runs[0].arm if study.runs else ""
    out = []
    for planned in study.runs:
        if planned.at.get("train_users", most) != most or planned.arm != arm or not planned.is_of_ladder:
            continue
        result, details = home.read_result(planned.run), home.details(planned.run)
        if result is None or result.status != "finished" or not details.exists():
            continue
        users: dict[str, list[int]] = {}
        for session in read_json(details).get(split, {}).get("sessions", ()):
            edits = session["insertions"] + session["deletions"] + session["substitutions"]
            total = users.setdefault(session["user"], [0, 0])
            total[0] += edits
            total[1] += session["characters"]
        if users:
            out.append(
                {
                    "run": planned.run,
                    "params": planned.params_non_embedding,
                    "is_held_out": planned.held_out,
                    "users": users,
                }
            )
    return out


def _of_split(counts: Sequence[Mapping[str, Any]], points: float, rng: np.random.Generator) -> dict[str, Any]:
    users = sorted({user for run in counts for user in run["users"]})
    sizes = sorted({run["params"] for run in counts})
    # [runs, users, 2]: edits and characters
    table = np.array([[run["users"].get(user, (0, 0)) for user in users] for run in counts], dtype=float)
    params = np.array([run["params"] for run in counts], dtype=float)
    is_fitted = np.array([not run["is_held_out"] for run in counts])
    rates = table[:, :, 0] / np.maximum(table[:, :, 1], 1)
    out: dict[str, Any] = {
        "users": users,
        "sizes": [
            {
                "params": size,
                "is_held_out": bool(not is_fitted[params == size].any()),
                "cer": float(table[params == size, :, 0].sum() / table[params == size, :, 1].sum()),
                "seeds": int((params == size).sum()),
                "sd_seeds": _sd(table[params == size, :, 0].sum(1) / table[params == size, :, 1].sum(1)),
                "sd_users": _sd(rates[params == size].mean(0)),
                "by_user": dict(zip(users, map(float, rates[params == size].mean(0)), strict=True)),
            }
            for size in sizes
        ],
    }
    fitted_sizes = np.unique(params[is_fitted])
    if len(users) < 2 or len(fitted_sizes) < LEAST_SIZES:
        out["refusal"] = (
            f"a law with intervals over people needs at least 2 users and {LEAST_SIZES} fitted sizes; "
            f"got {len(users)} and {len(fitted_sizes)}."
        )
        return out
    draws = np.array([_drawn(table, params, is_fitted, fitted_sizes, rng) for _ in range(DRAWS)])  # [draws, sizes]
    point = np.array([_rate(table[(params == size) & is_fitted].sum((0, 1))) for size in fitted_sizes])
    log_size = np.log(fitted_sizes)
    slope, log_half = _law(log_size, point[None])
    slopes, log_halves = _law(log_size, draws)
    spot, spots = (_sweet_spot(*law, points, params) for law in ((slope, log_half), (slopes, log_halves)))
    out["law"] = {
        "formula": "cer = 1 / (1 + (N / N_half)^alpha)",
        "alpha": {"value": float(slope[0]), "ci95": _interval(slopes, len(users))},
        "log_half": float(log_half[0]),
        "runs": int(is_fitted.sum()),
        "users": len(users),
        "falls": float(np.mean(slopes > 0)),
    }
    out["curve"] = _curve(slopes, log_halves, slope, log_half, params, len(users))
    out["sweet_spot"] = {
        "params": None if np.isnan(spot[0]) else float(spot[0]),
        "ci95": _interval(spots[~np.isnan(spots)], len(users)) if np.mean(~np.isnan(spots)) > 0.95 else None,
        "is_in_range": bool(fitted_sizes[0] <= np.nan_to_num(spot[0]) <= params.max()),
        "range": [float(fitted_sizes[0]), float(params.max())],
    }
    return out


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


def _curve(
    alphas: np.ndarray,
    log_halves: np.ndarray,
    alpha: np.ndarray,
    log_half: np.ndarray,
    params: np.ndarray,
    users: int,
) -> dict[str, Any]:
    """The law and its 95 % band over the measured range and two doublings on."""
    sizes = np.geomspace(params.min(), 4 * params.max(), 40)
    drawn = _predicted(alphas, log_halves, sizes)
    low, high = np.nanpercentile(drawn, _percentages(users), axis=0)
    return {
        "params": sizes,
        "cer": _predicted(alpha, log_half, sizes)[0],
        "low": low,
        "high": high,
    }


def _interval(draws: np.ndarray, users: int) -> list[float]:
    return [float(value) for value in np.nanpercentile(draws, _percentages(users))]


def _percentages(users: int) -> list[float]:
    """Of the draws' quantiles for a 95 % interval: 2.5 and 97.5 with many users, nearly 0 and 100 with four."""
    tail = 100 * float(norm.cdf(-np.sqrt(users / (users - 1)) * student.ppf(0.975, users - 1)))
    return [tail, 100 - tail]


def _sd(values: np.ndarray) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
