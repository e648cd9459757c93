"""Planted beside found: inside, outside, and not found at all."""

from __future__ import annotations

import numpy as np
from planted import chinchilla_loss
from test_answer import SURFACE, study

from lawful.fitting.answer import answer_study, read_answers
from lawful.fitting.truth import recovered

FIT = {"params": {"E": {"value": 1.7, "ci95": [1.6, 1.8]}, "alpha": {"value": 0.3, "ci95": [0.2, 0.4]}}}


def test_a_value_is_inside_where_its_interval_holds_it() -> None:
    near, far, unknown = recovered({"E": 1.65, "alpha": 0.5, "beta": 0.3}, fit=FIT)
    assert (near.found, near.interval, near.is_inside) == (1.7, (1.6, 1.8), True)
    assert not far.is_inside
    assert (unknown.found, unknown.is_inside) == (None, False)


def test_of_arms_the_verdict_the_difference_and_the_multiplier_are_judged() -> None:
    comparison = {
        "verdict": "coefficients differ",
        "differences": [{"parameter": "alpha", "value": 0.01, "ci95": [-0.02, 0.04]}],
        "multipliers": [{"value": "nan", "ci95": ["nan", "nan"]}],
    }
    truth = {"verdict": "coefficients differ", "alpha": 0.0, "multiplier": 2.0}
    verdict, alpha, multiplier = recovered(truth, comparison=comparison)
    assert (verdict.is_inside, verdict.interval) == (True, None)
    assert alpha.is_inside
    assert not multiplier.is_inside  # no multiplier was found: that is no success
    assert not recovered({"verdict": "exponents differ"}, comparison=comparison)[0].is_inside


def test_the_answer_of_a_planted_surface_carries_its_truth(tmp_path) -> None:
    truth = {"E": 1.8, "alpha": 0.35, "beta": 0.37}
    assert np.isclose(chinchilla_loss(1e300, 1e300), truth["E"])
    study(tmp_path, [{**SURFACE, "truth": truth}])
    answer_study(tmp_path)
    (answer,) = read_answers(tmp_path)
    assert [row["name"] for row in answer.truth] == ["E", "alpha", "beta"]
    assert [row["planted"] for row in answer.truth] == list(truth.values())
    assert all(row["interval"][0] < row["found"] < row["interval"][1] for row in answer.truth)


def test_two_of_three_arms_can_be_asked_about_and_no_others_are_compared(tmp_path) -> None:
    question = {**SURFACE, "where": {"arm": ["a", "c"]}, "truth": {"verdict": "no difference shown"}}
    study(tmp_path, [question], arms=("a", "b", "c"), gain=4.0)
    answer_study(tmp_path)
    both, first, second = read_answers(tmp_path)
    assert both.comparison["arms"] == ["a", "c"]
    assert (first.question.name, second.question.name) == ("surface--a", "surface--c")
    assert not first.truth  # what was planted between arms says nothing of one
    reasons = {row["reason"] for row in both.excluded}
    assert "arm is none of a, c" in reasons
