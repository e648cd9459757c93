"""Allocation, diminishing returns, isoFLOP, holdout, design, power, checklist: against closed forms, planted laws."""

import numpy as np
import pytest
from planted import CHINCHILLA, chinchilla_loss

import lawful
from lawful.errors import LawfulError, Refusal
from lawful.fitting.allocate import exact_cost
from lawful.fitting.checklist import as_text


def rows(sigma=0.003, seed=0):
    rng = np.random.default_rng(seed)
    return [
        {"params": n, "tokens": d, "flops": 6.6 * n * d,
         "loss": float(chinchilla_loss(n, d) * np.exp(sigma * rng.standard_normal()))}
        for n in np.geomspace(1e7, 1e10, 7)
        for d in np.geomspace(1e9, 1e12, 5)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def fit():
    return lawful.fit(rows(), "chinchilla", draws=300)


def best_by_formula(fit, flops):
    """N* = G (C/6)^(beta / (alpha + beta)), G = (alpha A / (beta B))^(1 / (alpha + beta)); arXiv:2203.15556, eq. 4."""
    v = {name: p.value for name, p in fit.params.items()}
    total = v["alpha"] + v["beta"]
    return (v["alpha"] * v["A"] / (v["beta"] * v["B"])) ** (1 / total) * (flops / 6) ** (v["beta"] / total)


@pytest.mark.parametrize("flops", [1e19, 1e21, 1e23])
def test_the_allocation_is_the_closed_form(fit, flops):
    best = fit.allocate(flops=flops)
    assert best.params.value == pytest.approx(best_by_formula(fit, flops), rel=1e-6)
    assert 6 * best.params.value * best.tokens.value == pytest.approx(flops, rel=1e-9)
    assert best.N_exponent.value == pytest.approx(fit.params["N_exponent"].value, rel=1e-4)
    assert best.N_exponent.value + best.D_exponent.value == pytest.approx(1)
    assert best.params.low < best.params.value < best.params.high
    assert best.loss.value == pytest.approx(fit.predict(params=best.params.value, tokens=best.tokens.value).value)


def test_the_band_wastes_at_most_five_percent(fit):
    best = fit.allocate(flops=1e21)
    low, high = best.band
    less = fit.allocate(flops=1e21 / 1.05).loss.value
    for size, is_inside in ((low, True), (high, True), (low / 1.3, False), (high * 1.3, False)):
        assert (fit.predict(params=size, tokens=1e21 / 6 / size).value <= less) == is_inside
    assert low < best.params.value < high


def test_exact_flops_move_the_allocation_as_a_dearer_token_does(fit):
    exact = fit.allocate(flops=1e21, cost=exact_cost(rows()))
    assert exact.params.value == pytest.approx(best_by_formula(fit, 1e21 * 6 / 6.6), rel=1e-6)
    assert exact.cost == "exact"


def test_an_allocation_far_outside_the_data_says_so(fit):
    assert {w.code for w in fit.allocate(flops=1e26).warnings} == {"far_extrapolation"}
    (near,) = fit.allocate(flops=1e23).warnings
    assert (near.code, near.severity) == ("extrapolation", "note")
    assert "outside the data: params" in near.sentence or "tokens" in near.sentence


def test_a_doubling_stops_paying_where_the_closed_form_says():
    line = lawful.fit(
        [{"params": n, "loss": 1.5 + 400 * n**-0.3} for n in np.geomspace(1e5, 1e9, 9)], "power_floor", draws=0
    )
    found = line.diminishing_returns(threshold=0.01)
    assert found.at.value == pytest.approx((400 * (1 - 2**-0.3) / 0.01) ** (1 / 0.3), rel=1e-3)
    assert found.axis == "params"


def test_along_the_best_allocation_a_doubling_of_compute_saves_what_gamma_says(fit):
    found = fit.diminishing_returns(threshold=0.05)
    small = fit.allocate(flops=found.at.value).loss.value - fit.params["E"].value
    assert small * (1 - 2 ** -fit.params["gamma"].value) == pytest.approx(0.05, rel=1e-3)
    assert found.at.low < found.at.value < found.at.high
    by_default = fit.diminishing_returns()
    assert by_default.threshold_is == "one residual standard deviation"


def isoflop_rows(flops=(1e17, 1e18, 1e19, 1e20), off=0.0):
    """Curves on the planted surface, their grids shifted by `off` decades against the optimum."""
    v = CHINCHILLA
    total = v["alpha"] + v["beta"]
    best = (v["alpha"] * v["A"] / (v["beta"] * v["B"])) ** (1 / total)
    return [
        {"params": n, "flops": c, "loss": chinchilla_loss(n, c / 6 / n)}
        for c in flops
        for n in best * (c / 6) ** (v["beta"] / total) * np.geomspace(0.1, 10, 9) * 10**off
    ]


def test_isoflop_curves_give_the_planted_exponent():
    found = lawful.isoflop(isoflop_rows())
    assert found.N_exponent == pytest.approx(CHINCHILLA["beta"] / (CHINCHILLA["alpha"] + CHINCHILLA["beta"]), abs=0.002)
    assert found.surface_exponent == pytest.approx(found.N_exponent, abs=0.01)
    assert found.best_params(1e18) == pytest.approx(
        next(c.params for c in found.curves if c.flops == pytest.approx(1e18)), rel=0.02
    )


def test_a_full_range_parabola_is_biased_off_centre_and_the_difference_is_said():
    """The shift grows with the budget, as it does where one grid of sizes serves all budgets."""
    table = [row for i, c in enumerate((1e17, 1e18, 1e19, 1e20)) for row in isoflop_rows((c,), off=0.6 - 0.4 * i)]
    local, parabola = (lawful.isoflop(table, method=method).N_exponent for method in ("interpolate", "parabola"))
    truth = CHINCHILLA["beta"] / (CHINCHILLA["alpha"] + CHINCHILLA["beta"])
    assert abs(parabola - truth) > 5 * abs(local - truth)
    assert "method_moves" not in {w.code for w in lawful.isoflop(table).warnings}  # the spline is right
    assert "method_moves" in {w.code for w in lawful.isoflop(table, method="parabola").warnings}


def test_a_budget_without_a_minimum_inside_is_left_out_and_said():
    found = lawful.isoflop([*isoflop_rows(), *isoflop_rows((1e21,), off=2.0)])
    assert [c.is_bracketed for c in found.curves] == [True, True, True, True, False]
    assert "not_bracketed" in {w.code for w in found.warnings}
    with pytest.raises(Refusal, match="3 are needed"):
        lawful.isoflop(isoflop_rows((1e17, 1e18)))


def test_a_holdout_predicts_what_it_dropped(fit):
    found = fit.holdout(top=3)
    assert found.fit.goodness.n + len(found.rows) == fit.goodness.n
    assert found.reach > 1
    assert found.rmse_log < 0.01
    assert {row.is_inside for row in found.rows} <= {True, False}
    assert "inside their 95 % intervals" in found.sentence
    dropped = {row.amount for row in found.rows}
    assert min(dropped) > max(6 * r.axes["params"] * r.axes["tokens"] for r in found.fit.residuals)


def test_a_holdout_of_everything_is_an_error(fit):
    with pytest.raises(LawfulError, match="expected top between 1 and"):
        fit.holdout(top=1000)


def test_the_best_next_run_does_shrink_the_error_as_foretold(fit):
    found = lawful.design(fit, budget=1e20)
    assert found.target == "alpha"
    best = found.best_within_budget
    assert best.flops <= 1e20
    assert best.stderr_after < found.stderr_now
    at_point = lawful.design(fit, target={"params": 1e11, "tokens": 1e13})
    assert at_point.best.variance_saved_per_flop == max(c.variance_saved_per_flop for c in at_point.candidates)


def test_the_foretold_error_is_that_of_the_fisher_information():
    """One more run, added to the information matrix by hand."""
    from lawful.fitting.predict import log_slopes, run_spread

    line = lawful.fit([{"params": n, "loss": (1.5 + 400 * n**-0.3) * (1 + 0.001 * (-1) ** i)}
                       for i, n in enumerate(np.geomspace(1e5, 1e9, 9))], "power_floor", draws=0)  # fmt: skip
    at = {"params": 1e10}
    candidate = lawful.design(line, candidates=[at]).best
    j = log_slopes(line, at)
    after = np.linalg.inv(np.linalg.inv(np.array(line.covariance)) + np.outer(j, j) / run_spread(line) ** 2)
    assert candidate.stderr_after == pytest.approx(np.sqrt(after[2, 2]), rel=1e-4)


def test_power_agrees_with_what_was_measured_by_simulation():
    """5 rungs over 2.9 decades, sigma .005: about 15 seeds with a floor per arm to see .01, one with a shared floor."""
    ladder = {"params": np.geomspace(1e6, 1e6 * 10**2.9, 5)}
    own = lawful.power(at=ladder, shift=0.01, sigma=0.005)
    shared = lawful.power(at=ladder, shift=0.01, sigma=0.005, floor="shared")
    assert own.stderr_per_arm == pytest.approx(0.0096, rel=0.1)
    assert 13 <= own.seeds <= 17
    assert shared.seeds == 1


def test_power_needs_enough_points():
    with pytest.raises(LawfulError, match="at least as many distinct points"):
        lawful.power(at={"params": [1e6, 1e7]}, shift=0.01, sigma=0.005)


def test_the_checklist_answers_what_is_known_and_leaves_the_rest_open(fit):
    items = fit.checklist()
    assert {item.section for item in items} == {
        "scaling law hypothesis",
        "training setup",
        "data collection",
        "fitting",
    }
    known = {item.question: item.answer for item in items}
    assert known["What is the form of the law?"] == "L = E + A N^-alpha + B D^-beta"
    assert known["Which learning rate schedule?"] is None
    assert "not answered by what was recorded" in as_text(items)
    told = fit.checklist({"rungs": [{"schedule": "wsd", "learning_rate": 1e-3, "tokens": 10}]})
    assert {i.question: i.answer for i in told}["Which learning rate schedule?"] == "wsd"


def test_the_regressor_is_scikit_learns():
    pytest.importorskip("sklearn", reason="the regressor needs scikit-learn")
    from sklearn.base import clone
    from sklearn.model_selection import cross_val_score

    from lawful.fitting.regressor import ScalingLawRegressor

    table = rows()
    x = np.array([[row["params"], row["tokens"]] for row in table])
    y = np.array([row["loss"] for row in table])
    model = ScalingLawRegressor(law="chinchilla")
    assert cross_val_score(clone(model), x, y, cv=3).min() > 0.9
    value, spread = model.fit(x, y).predict(x[:3], return_std=True)
    np.testing.assert_allclose(value, y[:3], rtol=0.02)
    assert (spread > 0).all()
