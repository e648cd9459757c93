"""Planted sweeps over learning rate and batch size, whose optima follow known laws."""

from __future__ import annotations

import numpy as np

LR = (1.8e-3, -0.7, 0.3)  # at the centre, exponents of N and D
BATCH = (2e5, 0.0, 0.57)
CENTRE = (4e8, 2e10)


def best_of(law, n, d):
    return law[0] * (n / CENTRE[0]) ** law[1] * (d / CENTRE[1]) ** law[2]


def sweeps(
    rng,
    *,
    sizes=(1e8, 2e8, 4e8, 8e8),
    ratios=(10, 40, 120),
    rates=9,
    batches=7,
    noise=0.001,
    scatter=0.05,
    valley=0.0,
    cubic=0.0,
    outliers=0.0,
    missing=0.0,
    heavy=False,
):
    """A grid around each optimum, off its centre by up to a step. valley: the correlation of the two curvatures; cubic:
    the loss rises faster on the side of larger rates; missing: part of the runs that are not there."""
    rows = []
    for n in sizes:
        for d in (ratio * n for ratio in ratios):
            base = 1.8 + 480 * n**-0.35 + 2100 * d**-0.37
            at = [np.log(best_of(law, n, d)) + scatter * rng.standard_normal() for law in (LR, BATCH)]
            shift = rng.uniform(-0.35, 0.35, 2)
            for u in (np.arange(rates) - (rates - 1) / 2) * 0.35 * 2 + shift[0]:
                for v in (np.arange(batches) - (batches - 1) / 2) * 0.7 + shift[1] if batches > 1 else [0.0]:
                    if rng.random() < missing:
                        continue
                    rate, batch = np.log(best_of(LR, n, d)) + u, np.log(best_of(BATCH, n, d)) + v
                    a, b = rate - at[0], batch - at[1]
                    if batches == 1:
                        b = 0.0
                    rise = 0.008 * (a * a + b * b - 2 * valley * a * b) + cubic * 0.004 * a**3 * (a > 0)
                    away = rng.standard_t(3) / np.sqrt(3) if heavy else rng.standard_normal()
                    lift = 0.1 * rng.random() if rng.random() < outliers else 0.0
                    loss = base * np.exp(rise + noise * away + lift)
                    rows.append({"N": n, "D": d, "lr": np.exp(rate), "bs": np.exp(batch), "loss": float(loss)})
    return rows
