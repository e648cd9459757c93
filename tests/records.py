"""Records of a study for tests, built through the real types."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lawful.fitting.comparison import Comparison, Explanation, Verdict
from lawful.fitting.exponents import Difference
from lawful.fitting.multiplier import Multiplier
from lawful.fitting.records import Convergence, FitData, Goodness, Objective, Parameter, Residual, Sensitivity
from lawful.fitting.result import Fit
from lawful.laws import Axes, Law
from lawful.schema import Observation, PlannedRun, StudyPlan
from lawful.storage.codec import write_study
from lawful.storage.layout import Store


def planned_run(run: str, **fields: Any) -> PlannedRun:
    """A small run of that id; its rung and cluster are called by the id, unless said otherwise."""
    return replace(PlannedRun.example(), run=run, **{"rung": run, "cluster": run, **fields})


def write_plan(folder: Path, *runs: PlannedRun, **fields: Any) -> StudyPlan:
    """A study of these runs into folder/study.json."""
    study = replace(StudyPlan.example(), runs=runs, **fields)
    write_study(Store(folder).study, study)
    return study


def edit_plan(folder: Path, **fields: Any) -> StudyPlan:
    """The plan that lies in the folder, with other values of some fields."""
    study = replace(Store(folder).read_study(), **fields)
    write_study(Store(folder).study, study)
    return study


def a_fit(law: Law, values: Mapping[str, float], rows: Sequence[Observation] = (), **fields: Any) -> Fit:
    """A fit that found these parameters to 3 % on these rows. Columns of the axes: params_non_embedding and tokens."""
    columns = {axis: {"params": "params_non_embedding"}.get(axis, axis) for axis in law.inputs}
    at = [{axis: float(row[column] or 0) for axis, column in columns.items()} for row in rows]
    pivot = {axis: 80_000.0 if axis == "params" else 350_000.0 for axis in law.inputs}
    x = Axes.of({axis: [one[axis] for one in at] for axis in law.inputs}, pivot)
    predicted = [float(loss) for loss in law.predict(values, x)] if rows else []
    observed = [float(row["loss"] or 0) for row in rows]
    n = len(rows)
    known: dict[str, Any] = {
        "formula": law.formula,
        "params": {
            name: Parameter(name, value, 0.01 * value, (0.97 * value, 1.03 * value)) for name, value in values.items()
        },
        "objective": Objective("robust", 1.0, 0.005, True),
        "convergence": Convergence(True, 1e-12, (0.1, 1.0), 16, 16, 9, (), ()),
        "goodness": Goodness(n, n, n - len(values), 0.004, 0.004, -100.0, -90.0, 0.004, None),
        "data": FitData(columns={**columns, "loss": "loss"}, n=n, clusters=n, pivot=pivot, sha256="0" * 64),
        "covariance": (),
        "draws": (),
        "sensitivity": Sensitivity(),
        "residuals": tuple(
            Residual(str(row["run"]), number, axes, came, said, math.log(came / said), 0.0)
            for number, (row, axes, came, said) in enumerate(zip(rows, at, observed, predicted, strict=True))
        ),
        "warnings": (),
        "interval_method": "bootstrap over clusters, percentiles",
        "dof": float(n),
        "bounds": {},
        "seed": 0,
    }
    return Fit(model=law, **{**known, **fields})


def comparison(
    verdict: Verdict, alpha: tuple[float, tuple[float, float]], times: tuple[float, tuple[float, float]]
) -> Comparison:
    """Of the arms gelu and swiglu: the difference in alpha and the multiplier of tokens, each with its interval."""
    pair = {"first": "gelu", "second": "swiglu"}
    common: dict[str, Any] = {"misfit": 1.0, "bic": 0.0}
    return Comparison(
        law="chinchilla",
        by="arm",
        arms=("gelu", "swiglu"),
        floor="own",
        p=0.002,
        explanations=(
            Explanation(name="one law for all", own=(), parameters=5, aicc=-74.0, F=None, dof=None, p=None, **common),
            Explanation(
                name="the floor differs",
                own=("E",),
                parameters=6,
                aicc=-87.0,
                F=24.6,
                dof=(1.0, 6.0),
                p=0.002,
                **common,
            ),
        ),
        verdict=verdict,
        decision="not decided",
        exponents_p=None,
        matters={"alpha": 0.05},
        more_seeds=None,
        sentence="The arms differ.",
        differences=(
            Difference(
                parameter="alpha",
                value=alpha[0],
                ci95=alpha[1],
                stderr=0.03,
                p=0.5,
                p_holm=0.5,
                equivalence=0.1,
                **pair,
            ),
        ),
        multipliers=(Multiplier(of="tokens", value=times[0], ci95=times[1], loss=2.05, at={}, **pair),),
        params={},
        is_paired=False,
        n=12,
        clusters=12,
        warnings=(),
    )
