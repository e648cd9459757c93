"""The best size along budgets is that of the law in closed form, and nothing is drawn that the runs do not decide."""

from __future__ import annotations

import math
import random

import pytest

import lawful
from lawful.fitting.frontier import frontier

E, A, ALPHA, B, BETA = 1.7, 400.0, 0.34, 410.0, 0.28  # arXiv:2203.15556


def rows() -> list[dict[str, float]]:
    dice = random.Random(3)
    return [
        {
            "params": n,
            "tokens": d,
            "loss": (E + A * n**-ALPHA + B * d**-BETA) * math.exp(dice.gauss(0, 1e-4)),
        }
        for n in (1e7, 3e7, 1e8, 3e8, 1e9)
        for d in (2e8, 6e8, 2e9, 6e9, 2e10)
    ]


def test_the_best_size_along_compute_is_the_laws_own_in_closed_form() -> None:
    fit = lawful.fit(rows(), law="chinchilla", draws=0)
    budgets = [1e18, 1e19, 1e20]
    found = frontier(fit, budgets)
    assert found.undecided == "" and found.flops == tuple(budgets)
    scale = (ALPHA * A / BETA / B) ** (1 / (ALPHA + BETA))
    for flops, size, data in zip(budgets, found.params, found.tokens, strict=True):
        assert size.value == pytest.approx(scale * (flops / 6) ** (BETA / (ALPHA + BETA)), rel=0.02)
        assert size.value * data.value == pytest.approx(flops / 6, rel=1e-6)


def test_an_optimum_far_outside_the_runs_is_not_given() -> None:
    fit = lawful.fit(rows(), law="chinchilla", draws=0)
    found = frontier(fit, [1e26, 1e27])
    assert found.flops == () and "more than 10 times outside the runs" in found.undecided
