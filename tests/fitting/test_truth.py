"""Planted beside found: inside, outside, and not found at all."""

from __future__ import annotations

import math

import numpy as np
from planted import chinchilla_loss
from test_answer import SURFACE, study

from lawful.fitting.answer import answer_study
from lawful.fitting.answers import read_answers
from lawful.fitting.records import Parameter
from lawful.fitting.truth import of_arms, of_fit
from records import comparison

PARAMS = {"E": Parameter("E", 1.7, 0.05, (1.6, 1.8)), "alpha": Parameter("alpha", 0.3, 0.05, (0.2, 0.4))}


def test_a_value_is_inside_where_its_interval_holds_it() -> None:
    near, far, unknown = of_fit({"E": 1.65, "alpha": 0.5, "beta": 0.3}, PARAMS)
    assert (near.found, near.interval, near.is_inside) == (1.7, (1.6, 1.8), True)
    assert not far.is_inside
    assert (unknown.found, unknown.is_inside) == (None, False)


def test_of_arms_the_verdict_the_difference_and_the_multiplier_are_judged() -> None:
    found = comparison("coefficients differ", alpha=(0.01, (-0.02, 0.04)), times=(math.nan, (math.nan, math.nan)))
    truth = {"verdict": "coefficients differ", "alpha": 0.0, "multiplier": 2.0}
    verdict, alpha, multiplier = of_arms(truth, found)
    assert (verdict.is_inside, verdict.interval) == (True, None)
    assert alpha.is_inside
    assert not multiplier.is_inside  # no multiplier was found: that is no success
    assert not of_arms({"verdict": "exponents differ"}, found)[0].is_inside


def test_the_answer_of_a_planted_surface_carries_its_truth(tmp_path) -> None:
    truth = {"E": 1.8, "alpha": 0.35, "beta": 0.37}
    assert np.isclose(chinchilla_loss(1e300, 1e300), truth["E"])
    study(tmp_path, [{**SURFACE, "truth": truth}])
    answer_study(tmp_path)
    (answer,) = read_answers(tmp_path)
    assert [row.name for row in answer.truth] == ["E", "alpha", "beta"]
    assert [row.planted for row in answer.truth] == list(truth.values())
    assert all(row.interval[0] < row.found < row.interval[1] for row in answer.truth)


def test_two_of_three_arms_can_be_asked_about_and_no_others_are_compared(tmp_path) -> None:
    question = {**SURFACE, "where": {"arm": ["a", "c"]}, "truth": {"verdict": "no difference shown"}}
    study(tmp_path, [question], arms=("a", "b", "c"), gain=4.0)
    answer_study(tmp_path)
    both, first, second = read_answers(tmp_path)
    assert both.comparison.arms == ("a", "c")
    assert (first.question.name, second.question.name) == ("surface--a", "surface--c")
    assert not first.truth  # what was planted between arms says nothing of one
    reasons = {row.reason for row in both.excluded}
    assert "arm is none of a, c" in reasons
