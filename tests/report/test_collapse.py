"""The report says whether all sizes trained along one curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lawful.fitting.answers import Answer
from lawful.fitting.registered import NOTHING
from lawful.laws.power_floor import PowerFloor
from lawful.report import study_tables
from lawful.report.evidence import Curve, Evidence
from lawful.schema import Question, StudyPlan
from records import a_fit


def evidence(broken: float | None) -> Evidence:
    rows: list[dict[str, Any]] = []
    curves = {}
    rng = np.random.default_rng(0)
    for size in (1e4, 3e4, 1e5, 3e5):
        for seed in (0, 1):
            run, share = f"{size:g}-{seed}", np.linspace(0.1, 1, 10)
            lag = 0.2 * np.sin(np.pi * share) if size == broken else 0
            loss = 1.5 + 20 * size**-0.3 * share**-0.2 * np.exp(lag + 0.002 * rng.standard_normal(10))
            curves[run] = Curve(tokens=tuple(20 * size * share), loss=tuple(loss), kind="validation")
            rows.append(
                {
                    "run": run,
                    "status": "finished",
                    "params_non_embedding": size,
                    "tokens": 20 * size,
                    "seed": seed,
                    "loss": loss[-1],
                }
            )
    fit = a_fit(PowerFloor("params"), {"E": 1.5, "a_pivot": 0.5, "alpha": 0.3}, rows)
    question = Question(name="compute", asks="How?", law="power_floor", where={"arm": "gelu"})
    answer = Answer(question=question, status="answered", sentence="", fit=fit)
    return Evidence(
        folder=Path("."),
        study=StudyPlan.example(),
        rows=tuple(rows),
        answers=(answer,),
        unanswered=(),
        baselines=(),
        counts={},
        registered=NOTHING,
        curves=curves,
    )


def test_sizes_that_share_a_curve_are_said_to() -> None:
    ((sentence, table),) = study_tables.collapse_tables(evidence(None))
    assert sentence.startswith("All sizes train along one curve (gelu)")
    assert len(table.rows) == 4


def test_the_size_that_leaves_it_is_named() -> None:
    ((sentence, _),) = study_tables.collapse_tables(evidence(1e5))
    assert sentence.startswith("The size 100k leaves the curve that the others share (gelu)")
