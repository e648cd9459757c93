"""The end of a run from its first 30 %: planted ladders, a t interval by hand, and what is not forecast."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student

from lawful.fitting.mid_run import Losses, RunCurve, forecast_end

SHARES = np.arange(1, 41) / 40
NONE = Losses(share=np.empty(0), loss=np.empty(0))
GRID = [(1e4 * 4**n, 1e6 * 2**d) for n in range(4) for d in range(4)]


def curve(params: float, tokens: float, dice: np.random.Generator, *, seed_noise: float = 0.01) -> RunCurve:
    """A power of the share so far, and a decay over the last fifth, both of which change with size and length. Half of
    a seed's distance at the beginning is left at its end."""
    end = 1.5 * params**-0.05 * tokens**-0.03 * np.exp(dice.normal(0, seed_noise))
    luck = dice.normal(0, seed_noise)
    decay = 0.05 * np.log10(params) * (1 - np.clip((1 - SHARES) / 0.2, 0, 1))
    loss = end * (2.5 * SHARES ** (-0.1 - 0.01 * np.log10(tokens)) - decay) * np.exp(luck * (1 - SHARES / 2))
    noisy = loss * np.exp(dice.normal(0, 0.01, len(loss)))
    return RunCurve(
        params=params,
        tokens=tokens,
        evaluations=NONE,
        training=Losses(share=SHARES, loss=noisy),
        final=float(loss[-1] * np.exp(dice.normal(0, 0.002))),
    )


def begun(run: RunCurve, share: float = 0.3) -> RunCurve:
    seen = SHARES <= share + 1e-9
    return replace(run, final=None, training=Losses(share=SHARES[seen], loss=run.training.loss[seen]))


def test_of_planted_runs_the_intervals_hold_as_many_as_they_say() -> None:
    """200 ladders of their own; 95 % of the ends inside, within three Monte Carlo errors."""
    dice = np.random.default_rng(11)
    inside = []
    for number in range(200):
        *others, run = [curve(*GRID[at], dice) for at in dice.choice(16, 9 + number % 3, replace=False)]
        end = forecast_end(begun(run), others)
        assert end is not None and end.share == pytest.approx(0.3) and end.runs == len(others)
        inside.append(end.low <= (run.final or 0) <= end.high)
    assert abs(np.mean(inside) - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 200)


def test_among_seeds_of_one_rung_the_interval_is_the_t_interval_of_one_more() -> None:
    """All have begun alike, so that every share kept gives the same residuals; one degree is spent on choosing it."""
    alike = [curve(1e4, 1e6, np.random.default_rng(0), seed_noise=0.0)] * 6
    ends = [2.0, 2.02, 1.97, 2.01, 2.03, 1.99]
    end = forecast_end(begun(alike[0]), [replace(one, final=loss) for one, loss in zip(alike, ends, strict=True)])
    logs = np.log(ends)
    half = student.ppf(0.975, 4) * np.sqrt(np.sum((logs - logs.mean()) ** 2) / 4 * (1 + 1 / 6))
    assert end is not None
    assert np.log([end.low, end.high]) == pytest.approx([logs.mean() - half, logs.mean() + half])


def test_what_the_finished_runs_do_not_tell_is_not_forecast() -> None:
    dice = np.random.default_rng(3)
    others = [curve(*at, dice) for at in GRID]
    run = curve(3e4, 3e6, dice)
    assert forecast_end(begun(run), others) is not None
    assert forecast_end(begun(run, 0.28), others) is None  # too early
    assert forecast_end(begun(run), []) is None
    assert forecast_end(begun(run), others[:4]) is None  # one size, another than the run's
    assert forecast_end(begun(run), [others[0], others[5], others[15]]) is None  # too few
    diagonal = [curve(1e4 * 4**step, 1e6 * 2**step, dice) for step in range(6)]
    assert forecast_end(begun(run), diagonal) is None  # off the line of sizes and lengths
    on_it = curve(2e4, np.sqrt(2) * 1e6, dice)
    assert forecast_end(begun(on_it), diagonal) is not None


def test_a_run_unlike_the_finished_ones_so_far_is_not_forecast() -> None:
    """A spike of the loss at 30 % would give a forecast that is far too high, and a run would be given up for it."""
    dice = np.random.default_rng(5)
    others = [curve(*at, dice) for at in GRID]
    run = begun(curve(3e4, 3e6, dice))
    spike = replace(run, training=Losses(share=run.training.share, loss=1.5 * run.training.loss))
    assert forecast_end(run, others) is not None and forecast_end(spike, others) is None


def test_of_evaluations_and_training_losses_the_narrower_interval_stands() -> None:
    """Here evaluations have no noise."""
    dice = np.random.default_rng(8)
    others = [curve(*at, dice) for at in GRID]
    run = curve(3e4, 3e6, dice)
    training = forecast_end(begun(run), others)

    def evaluations(one: RunCurve, until: float) -> Losses:
        at = np.array([share for share in (0.1, 0.2, 0.3, 0.35, 0.4) if share <= until])
        return Losses(share=at, loss=(one.final or 0) * (1.5 + 0.1 * np.log(1 / at)))

    known = [replace(one, evaluations=evaluations(one, until=1)) for one in others]
    end = forecast_end(replace(begun(run), evaluations=evaluations(run, until=0.3)), known)
    assert training is not None and end is not None
    assert end.high - end.low < 0.01 * (training.high - training.low)
    assert end.loss == pytest.approx(run.final)
