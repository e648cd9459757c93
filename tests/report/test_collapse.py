"""The report says whether all sizes trained along one curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lawful.report import words
from lawful.report.evidence import Curve, Evidence
from lawful.schema import StudyPlan


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
    fit = {"params": {"E": {"value": 1.5}}, "residuals": [{"run": row["run"]} for row in rows]}
    answer = {"question": {"name": "compute", "loss": "loss", "where": {"arm": "gelu"}}, "fit": fit, "held_out": []}
    return Evidence(
        folder=Path("."),
        study=StudyPlan.example(),
        rows=tuple(rows),
        answers=(answer,),
        unanswered=(),
        baselines=(),
        counts={},
        registered={},
        curves=curves,
    )


def test_sizes_that_share_a_curve_are_said_to() -> None:
    ((sentence, table),) = words.collapse_tables(evidence(None))
    assert sentence.startswith("All sizes train along one curve (gelu)")
    assert len(table.rows) == 4


def test_the_size_that_leaves_it_is_named() -> None:
    ((sentence, _),) = words.collapse_tables(evidence(1e5))
    assert sentence.startswith("The size 100k leaves the curve that the others share (gelu)")
