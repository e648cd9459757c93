"""Laws of the same axes, by their errors on runs left out: shown, stored and said, with no effect on the fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import lawful
from lawful.fitting.ranking import left_out, with_ranking
from lawful.fitting.summary import ranking_lines, short

PARAMS, TOKENS = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e7, 1e9, 6), np.geomspace(2e8, 2e10, 4)))


def chinchilla(params, tokens):
    return 1.8 + 400 * params**-0.34 + 410 * tokens**-0.28


def kaplan(params, tokens):
    return ((2e9 / params) ** (0.1 / 0.12) + 4e9 / tokens) ** 0.12


def table(law, seed=0, sigma=0.004):
    rng = np.random.default_rng([24, seed])
    losses = law(PARAMS, TOKENS) * np.exp(sigma * rng.standard_normal(len(PARAMS)))
    return [{"params": n, "tokens": d, "loss": y} for n, d, y in zip(PARAMS, TOKENS, losses, strict=True)]


def line(sizes=8, axis="params"):
    rng = np.random.default_rng(25)
    size = np.repeat(np.geomspace(1e5, 1e7, sizes), 2)
    losses = (1.5 + 1.2 * (size / 1e6) ** -0.3) * np.exp(0.004 * rng.standard_normal(len(size)))
    return [{axis: n, "loss": y, "run": str(i)} for i, (n, y) in enumerate(zip(size, losses, strict=True))]


def test_errors_on_runs_left_out_are_those_of_fits_without_them():
    rows = table(kaplan)
    found = with_ranking(lawful.fit(rows, "kaplan", draws=0))
    own = next(one for one in found.ranking if one.law == "kaplan")
    compute, errors = PARAMS * TOKENS, []
    for share in (0.125, 0.25):
        is_out = compute > np.quantile(compute, 1 - share)
        kept, out = ([row for row, away in zip(rows, is_out, strict=True) if away == side] for side in (False, True))
        alone = lawful.fit(kept, "kaplan", objective=f"huber:{found.objective.delta}", draws=0)
        at = {axis: [row[axis] for row in out] for axis in ("params", "tokens")}
        errors += list(np.log(alone.loss(alone.values, at) / [row["loss"] for row in out]))
    assert own.left_out["largest compute"] == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=0.01)


def test_a_ranking_changes_neither_the_fit_nor_its_forecasts():
    rows = table(chinchilla)
    unnamed, named = lawful.fit(rows, draws=0), lawful.fit(rows, "chinchilla", draws=0)
    assert unnamed.ranking and not named.ranking
    assert unnamed.law == "chinchilla" and unnamed.values == named.values
    far = {"params": 3e9, "tokens": 6e10}
    assert replace(unnamed.predict(**far), warnings=()) == replace(named.predict(**far), warnings=())
    assert with_ranking(named).ranking == unnamed.ranking


def test_the_planted_law_stands_before_a_wrong_one_and_lines_mark_the_fitted_law():
    found = lawful.fit(table(kaplan), draws=0)
    laws = [one.law for one in found.ranking]
    assert laws.index("kaplan") < laws.index("chinchilla")
    lines = [text for text in short(found).splitlines() if "runs left out" in text and "%" in text][:3]
    assert ranking_lines(found)[1:-1] == lines and len(lines) == 3
    assert ranking_lines(found)[-1] == (
        f"The parameters above are those of chinchilla, not of the first; --law {laws[0]} gives these."
    )
    assert sum("chinchilla (fitted here)" in text for text in lines) == 1
    last = {**{one.law: one for one in found.ranking}}[laws[-1]]
    shown = ranking_lines(replace(found, model=lawful.fit(table(kaplan), last.law, draws=0).model))
    assert shown[-2].startswith(f"{len(laws)}. {last.law} (fitted here)") and len(shown) == 5


def test_a_law_that_another_beats_far_is_warned_of_and_the_planted_one_is_not():
    wrong = with_ranking(lawful.fit(table(chinchilla, sigma=0.001), "kaplan", draws=0))
    right = with_ranking(lawful.fit(table(chinchilla, sigma=0.001), "chinchilla", draws=0))
    named = [one.sentence for one in wrong.warnings if "--law chinchilla." in one.sentence]
    assert len(named) == 1  # by its residuals, or by runs left out, but once
    assert not [one for one in right.warnings if one.code == "another_law"]


def test_a_law_that_another_beats_far_is_said_where_no_doubt_about_its_form_is():
    found = lawful.fit(table(chinchilla, sigma=0.001), "kaplan", draws=0)
    quiet = with_ranking(replace(found, warnings=()))
    (said,) = quiet.warnings
    assert said.code == "another_law" and "Try --law " in said.sentence and "of kaplan." in said.sentence


def test_laws_of_error_rates_and_of_rising_metrics_have_no_part():
    surface, over_compute = lawful.fit(table(chinchilla), draws=0), lawful.fit(line(axis="flops"), draws=0)
    assert {one.law for one in surface.ranking} == {"chinchilla", "coupled", "kaplan", "data_limited", "overtrained"}
    assert over_compute.ranking and not any("sigmoid" in one.law for one in over_compute.ranking)
    rising = [{**row, "loss": 1 / row["loss"]} for row in line(axis="flops")]
    assert not with_ranking(lawful.fit(rising, "sigmoid", draws=0)).ranking


def test_runs_too_few_to_leave_some_out_have_no_ranking():
    found = lawful.fit(line(sizes=3), draws=0)
    assert found.law == "power_floor:params" and not found.ranking


def test_a_ranking_is_stored(tmp_path):
    found = lawful.fit(line(), draws=0)
    found.to_json(tmp_path / "fit.json")
    assert lawful.Fit.from_json(tmp_path / "fit.json").ranking == found.ranking != ()


def test_of_a_law_of_one_axis_the_largest_sizes_and_groups_of_sizes_are_left_out():
    from lawful.fitting.form import point_of

    found = lawful.fit(line(), "power_floor:params", draws=0)
    masks = left_out(point_of(found, found.model)[1])
    assert {kind: [int(mask.sum()) for mask in own] for kind, own in masks.items()} == {
        "largest sizes": [2, 4],
        "groups of sizes": [4, 4, 4, 2, 2],
    }


def shares(law, seed=0):
    """Of 1,000 items, 2 runs at each of 10 budgets."""
    rng = np.random.default_rng([26, seed])
    flops = np.repeat(np.geomspace(1e18, 1e22, 10), 2)
    right = rng.binomial(1000, law(flops)) / 1000
    return [{"flops": c, "seed": i % 2, "acc": y} for i, (c, y) in enumerate(zip(flops, right, strict=True))]


def test_laws_of_an_accuracy_are_ranked_by_errors_in_units_of_the_noise_of_counts():
    rows = shares(lambda c: 1 - 0.3 * (c / 1e20) ** -0.15)
    found = lawful.fit(rows, loss="acc", draws=0)
    assert found.law == "sigmoid" and {one.law for one in found.ranking} == {"sigmoid", "top - a*C^-b", "1 - a*C^-b"}
    own = next(one for one in found.ranking if one.law == "1 - a*C^-b")
    fitted = lawful.fit(rows, "1 - a*C^-b", loss="acc", draws=0)
    compute = np.array([row["flops"] for row in rows])
    p = np.array([one.predicted for one in fitted.residuals])
    noise = np.sqrt(p * (1 - p)) / np.exp(np.log(np.sqrt(p * (1 - p))).mean())
    errors = []
    for largest in (1, 2):  # of 10: an eighth and a quarter
        is_out = compute >= np.unique(compute)[-largest]
        alone = lawful.fit([row for row, out in zip(rows, is_out, strict=True) if not out], "1 - a*C^-b", loss="acc",
                           draws=0)  # fmt: skip
        ahead = alone.loss(alone.values, {"flops": compute[is_out]})
        errors += list((ahead - np.array([row["acc"] for row in rows])[is_out]) / noise[is_out])
    assert own.left_out["largest compute"] == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=0.05)
    assert "points (" in ranking_lines(found)[1]


def test_a_planted_sigmoid_predicts_left_out_accuracies_best():
    found = lawful.fit(shares(lambda c: 0.25 + 0.6 / (1 + (1e20 / c) ** 0.6)), loss="acc", chance=0.25, draws=0)
    assert found.ranking[0].law == "sigmoid"
    assert not any(one.code == "another_law" for one in found.warnings)
