"""The best size along budgets is that of the law in closed form, and nothing is drawn that the runs do not decide."""

from __future__ import annotations

import math
import random
from functools import cache
from pathlib import Path

import pytest

import lawful
from lawful.fitting.answer_table import answer_of_fit, with_run_names
from lawful.fitting.frontier import frontier
from lawful.report import compute_charts
from lawful.report.calculator import calculator
from lawful.report.law_charts import question_charts
from lawful.report.table_page import evidence_of_table
from lawful.tables import Observations, read_runs

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


@cache
def table() -> Observations:
    return with_run_names(read_runs(rows()))


@cache
def fitted() -> lawful.Fit:
    return lawful.fit(table(), law="chinchilla", draws=0)


def test_the_best_size_along_compute_is_the_laws_own_in_closed_form() -> None:
    fit = fitted()
    budgets = [1e18, 1e19, 1e20]
    found = frontier(fit, budgets)
    assert found.undecided == "" and found.flops == tuple(budgets)
    scale = (ALPHA * A / BETA / B) ** (1 / (ALPHA + BETA))
    for flops, size, data in zip(budgets, found.params, found.tokens, strict=True):
        assert size.value == pytest.approx(scale * (flops / 6) ** (BETA / (ALPHA + BETA)), rel=0.02)
        assert size.value * data.value == pytest.approx(flops / 6, rel=1e-6)


def test_an_optimum_far_outside_the_runs_is_not_given() -> None:
    fit = fitted()
    found = frontier(fit, [1e26, 1e27])
    assert found.flops == () and "more than 10 times outside the runs" in found.undecided


def test_a_page_computes_the_frontier_of_its_chart_and_its_calculator_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(compute_charts, "frontier", lambda *given: asked.append(given) or frontier(*given))
    evidence = evidence_of_table(table(), [answer_of_fit(table(), fitted())], Path("page.html"))
    drawn = [chart.title for chart in question_charts(evidence, evidence.answers[0])]
    assert "Best size against compute" in drawn and "calculated-best" in str(calculator(evidence))
    assert len(asked) == 1
