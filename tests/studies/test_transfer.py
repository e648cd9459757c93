"""The study `transfer`: what its runs differ in, and that its question finds a planted drift."""

from __future__ import annotations

import math

import numpy as np
import pytest

import lawful
from lawful.laws import stored
from lawful.report.marks import value_of
from lawful.rules.coordinate_check import CoordinateCheck
from lawful.studies import transfer
from lawful.studies.transfer import DRIFT


def test_checks_are_a_few_steps_at_one_rate_and_sweeps_have_a_rate_on_each_side_of_the_base_rate() -> None:
    study = transfer.study("smoke")
    checks = [rung for rung in study.ladder if rung.at["part"] == "check"]
    sweeps = [rung for rung in study.ladder if rung.at["part"] == "sweep"]
    assert len(checks) + len(sweeps) == len(study.ladder)
    assert {rung.training.optimizer.learning_rate for rung in checks} == {transfer.RATE}
    for rung in checks:
        assert isinstance(rung.training.rule, CoordinateCheck)
        assert rung.training.rule.init_seed == rung.training.init_seed
    rates = {rung.training.optimizer.learning_rate for rung in sweeps}
    assert min(rates) < transfer.RATE / 2 and max(rates) > transfer.RATE * 2


def test_a_planted_drift_is_found_by_the_law_of_the_questions() -> None:
    random = np.random.default_rng(0)
    rows = [
        {
            "width": width,
            "factor": factor,
            "loss": 3
            * width**-0.05
            * math.exp(0.03 * (math.log(factor) + 0.2 + 0.8 * math.log(width / 16)) ** 2 + 0.002 * random.normal()),
        }
        for width in (16, 32, 64)
        for factor in (0.125, 0.25, 0.5, 1.0, 2.0)
    ]
    law = stored({"class": "formula", "fields": {"text": DRIFT.formula, "bounds": DRIFT.bounds}})
    fit = lawful.fit(rows, law, cluster="none", draws=0)
    assert fit.params["drift"].value == pytest.approx(0.8, abs=0.1)


def test_a_chart_finds_a_coordinate_that_the_table_calls_at_name() -> None:
    """A formula over a coordinate once ended the report of its study with a ValueError of Python's."""
    assert value_of({"at_width": 16}, "width") == 16
    assert value_of({"at_width": 16, "width": 32}, "width") == 32
    assert math.isnan(value_of({}, "width"))
