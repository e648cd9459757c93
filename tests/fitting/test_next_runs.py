"""The runs that are chosen next, beside what comes when they are done."""

from __future__ import annotations

import numpy as np
import pytest
from planted import CHINCHILLA, chinchilla_loss

import lawful
from lawful.errors import DeclarationError
from lawful.fitting.goal import half_width_of, read_goal
from lawful.fitting.result import Fit
from lawful.tables import by_role

SIGMA = 0.004
RANGES = {"params": (1e7, 1e10), "tokens": (5e8, 1e11)}


def row(params, tokens, rng, **more):
    return {
        "params": float(params),
        "tokens": float(tokens),
        "loss": float(chinchilla_loss(params, tokens) * np.exp(SIGMA * rng.standard_normal())),
        **more,
    }


def grid(sizes=4, lengths=4, seed=0):
    rng = np.random.default_rng(seed)
    return [row(n, d, rng) for n in np.geomspace(3e7, 3e9, sizes) for d in np.geomspace(1e9, 1e11, lengths)]


def fitted(rows, law="chinchilla") -> Fit:
    return lawful.fit(by_role(rows), law, draws=0)


@pytest.fixture(scope="module")
def fit() -> Fit:
    return fitted(grid())


def test_the_expected_half_width_is_near_the_one_that_comes(fit: Fit) -> None:
    plan = lawful.next_runs(fit, goal="alpha within 1e-6", budget=1e20, batch=16, ranges=RANGES)
    came = []
    for seed in range(3):
        rng = np.random.default_rng([5, seed])
        done = [row(run.at["params"], run.at["tokens"], rng) for run in plan.runs]
        came.append(half_width_of(read_goal("alpha within 1"), fitted([*grid(), *done])))
    assert plan.expected < 0.7 * plan.now
    assert plan.expected == pytest.approx(np.median(came), rel=0.35)


def test_one_law_and_one_run_agree_with_the_information_matrix_by_hand() -> None:
    """Of two candidates at one cost, the one that lowers the variance of L at a point more, by numpy alone."""
    rng = np.random.default_rng(3)
    rows = [row(n, d, rng) for n in np.geomspace(3e7, 3e9, 6) for d in np.geomspace(1e9, 1e11, 6)]
    offered = [{"params": 1e7, "tokens": 1e11}, {"params": 1e9, "tokens": 1e9}, {"params": 1e8, "tokens": 1e10}]
    target = {"params": 1e7, "tokens": 1e12}
    values = np.array([CHINCHILLA[name] for name in ("E", "A", "B", "alpha", "beta")])

    def log_loss(theta, points):
        floor, of_size, of_tokens, alpha, beta = theta
        return np.log([floor + of_size * p["params"] ** -alpha + of_tokens * p["tokens"] ** -beta for p in points])

    def slopes(points):
        steps = np.diag(1e-6 * values)
        return np.stack(
            [(log_loss(values + h, points) - log_loss(values - h, points)) / (2 * h.sum()) for h in steps], axis=1
        )

    at, new, known = slopes([target])[0] * values, slopes(offered) * values, slopes(rows) * values
    after = [at @ np.linalg.inv(known.T @ known + np.outer(j, j)) @ at for j in new]
    fit = fitted(rows)
    goal = "L at params=1e7,tokens=1e12 within .001 %"
    plan = lawful.next_runs(fit, goal=goal, budget=1e19, batch=1, candidates=offered)
    assert plan.runs[0].at == offered[int(np.argmin(after))]


def test_candidates_may_state_what_they_cost(fit: Fit) -> None:
    at = {"params": 1e8, "tokens": 1e10}
    offered = [{**at, "cost": 5e18}, {**at, "cost": 5e16}, {"params": 1e9, "tokens": 1e9, "cost": 2e20}]
    plan = lawful.next_runs(fit, goal="alpha within 1e-6", budget=6e16, batch=3, candidates=offered)
    assert [(run.at, run.cost) for run in plan.runs] == [(at, 5e16)] and plan.cost == 5e16
    with pytest.raises(DeclarationError, match="expected at least 5e.16"):
        lawful.next_runs(fit, goal="alpha within 1e-6", budget=1e16, batch=3, candidates=offered)
    with pytest.raises(DeclarationError, match="candidates: "):
        lawful.next_runs(fit, goal="alpha within 1", budget=1e20, candidates=[{**at, "cost": "much"}])


def test_branches_of_one_trunk_teach_less_than_runs_of_their_own() -> None:
    rng = np.random.default_rng(1)
    rows = []
    for i, n in enumerate(np.geomspace(3e7, 3e9, 6)):
        shared = np.exp(0.02 * rng.standard_normal())
        for d in np.geomspace(1e9, 1e11, 4):
            one = row(n, d, rng, cluster=f"trunk {i}")
            rows.append({**one, "loss": one["loss"] * shared})
    fit = fitted(rows)
    at = {"params": 3e7, "tokens": 3e9}
    trunk = fit.residuals[0].run
    for first in (0, 1):  # whichever is listed first
        offered = [at, {**at, "branch_of": trunk}]
        plan = lawful.next_runs(
            fit, goal="alpha within 1e-6", budget=1e19, batch=1, candidates=offered[first:] + offered[:first]
        )
        assert plan.runs[0].branch_of is None
    alone, branch = (
        lawful.next_runs(fit, goal="alpha within 1e-6", budget=1e19, batch=1, candidates=[one]).expected
        for one in offered
    )
    assert alone < branch


def test_the_choice_is_a_function_of_the_table_and_the_seed(fit: Fit) -> None:
    how = {"goal": "N_exponent within .001", "budget": 1e20, "batch": 3, "ranges": RANGES}
    again = lawful.next_runs(fitted(grid()[::-1]), **how)
    first = lawful.next_runs(fit, **how)
    assert lawful.next_runs(fit, **how) == first
    assert [run.at for run in again.runs] == [run.at for run in first.runs]


def test_the_batch_stays_within_its_budget_and_its_ranges(fit: Fit) -> None:
    plan = lawful.next_runs(fit, goal="N_exponent within 1e-6", budget=3e17, batch=50, ranges=RANGES)
    assert 0 < sum(run.cost for run in plan.runs) <= 3e17
    for run in plan.runs:
        assert run.cost == pytest.approx(6 * run.at["params"] * run.at["tokens"])
        assert all(low * (1 - 1e-9) <= run.at[axis] <= high * (1 + 1e-9) for axis, (low, high) in RANGES.items())


def test_what_a_run_costs_changes_what_is_chosen(fit: Fit) -> None:
    how = {"goal": "N_exponent within 1e-6", "budget": 1e20, "batch": 4, "ranges": RANGES}
    usual = lawful.next_runs(fit, **how)
    dear_sizes = lawful.next_runs(fit, **how, cost="6*N*D + 1e11*N")
    assert max(run.at["params"] for run in dear_sizes.runs) < max(run.at["params"] for run in usual.runs)


def test_a_goal_that_is_met_asks_only_for_the_replicates_that_are_lacking(fit: Fit) -> None:
    plan = lawful.next_runs(fit, goal="N_exponent within .4", budget=1e20, batch=8)
    assert len(plan.runs) == 2
    assert all("replicates" in run.why for run in plan.runs)
    assert plan.is_met
    rng = np.random.default_rng(9)
    repeated = [row(r["params"], r["tokens"], rng) for r in grid()[:2]]
    met = lawful.next_runs(fitted([*grid(), *repeated]), goal="N_exponent within .4", budget=1e20)
    assert met.is_met
    assert met.runs == ()
    assert met.expected == met.now


def test_a_batch_ends_where_the_goal_is_expected_to_be_met(fit: Fit) -> None:
    few = lawful.next_runs(fit, goal="N_exponent within .02", budget=1e20, batch=40, ranges=RANGES)
    many = lawful.next_runs(fit, goal="N_exponent within .01", budget=1e20, batch=40, ranges=RANGES)
    assert few.is_met
    assert many.is_met
    assert len(few.runs) < len(many.runs) < 40


def test_three_sizes_are_followed_by_a_fourth() -> None:
    plan = lawful.next_runs(
        fitted(grid(sizes=3, lengths=5)), goal="N_exponent within 1e-6", budget=1e20, batch=1, ranges=RANGES
    )
    assert "new size of params" in plan.runs[0].why
    assert plan.runs[0].at["params"] not in np.geomspace(3e7, 3e9, 3)


def test_a_point_is_not_repeated_for_ever(fit: Fit) -> None:
    """A rung may be off: four runs at one point are never worth more than a second point."""
    plan = lawful.next_runs(fit, goal="N_exponent within 1e-6", budget=1e20, batch=12, ranges=RANGES)
    points = [tuple(run.at.items()) for run in plan.runs]
    assert len(set(points)) >= len(points) / 2


@pytest.mark.parametrize(
    ("goal", "says"),
    [
        ("", "expected 'NAME within"),
        ("N_exponent", "expected 'NAME within"),
        ("N_exponent within 0", "above 0"),
        ("N_exponent within 2 %", "expected 'NAME within"),
        ("L at 1e20 within .1", "in percent"),
        ("L at banana within 1 %", "positive number"),
        ("L at params=0,tokens=1e9 within 1 %", "positive number"),
        ("L at params=1e9 within 1 %", "reads params, tokens"),
        ("delta within .1", "no parameter 'delta'"),
        ("arms decided", "expected 'NAME within"),
    ],
)
def test_a_goal_that_cannot_be_read_says_what_one_looks_like(fit: Fit, goal: str, says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        lawful.next_runs(fit, goal=goal, budget=1e20)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"budget": 1e3}, "the cheapest possible run"),
        ({"ranges": {"flops": (1.0, 2.0)}}, "reads params, tokens"),
        ({"ranges": {"params": (1e9, 1e8)}}, "smaller end first"),
        ({"candidates": []}, "at least one run"),
        ({"candidates": [{"params": 1e8}]}, "reads params, tokens"),
        ({"candidates": [{"params": 1e8, "tokens": 1e9}], "ranges": RANGES}, "got both"),
        ({"batch": 0}, "batch"),
        ({"cost": "6*N"}, "does not read D"),
    ],
)
def test_what_cannot_be_done_is_refused_by_its_name(fit: Fit, how: dict, says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        lawful.next_runs(fit, **{"goal": "N_exponent within .02", "budget": 1e20, **how})


def test_a_fixed_parameter_is_no_goal() -> None:
    fit = lawful.fit(by_role(grid()), "chinchilla", fixed={"alpha": 0.35}, draws=0)
    with pytest.raises(DeclarationError, match="alpha is fixed"):
        lawful.next_runs(fit, goal="alpha within .1", budget=1e20)


def test_a_law_that_does_not_price_runs_is_refused() -> None:
    rows = [{"params": r["params"], "loss": r["loss"]} for r in grid(8, 1)]
    with pytest.raises(DeclarationError, match="what a run costs"):
        lawful.next_runs(fitted(rows, "power_floor"), goal="alpha within .1", budget=1e20)


def test_a_law_of_compute_is_priced_by_it() -> None:
    rng = np.random.default_rng(2)
    rows = [
        {"flops": float(c), "loss": float((1.8 + 2 * (c / 1e18) ** -0.15) * np.exp(0.003 * rng.standard_normal()))}
        for c in np.geomspace(1e17, 1e21, 8)
    ]
    fit = fitted(rows, "power_floor:flops")
    plan = lawful.next_runs(fit, goal="alpha within .01", budget=1e20, batch=4)
    assert all(run.cost == run.at["flops"] for run in plan.runs)
    assert plan.cost <= 1e20


def test_losses_without_noise_give_a_plan_and_no_fault() -> None:
    rows = [{**r, "loss": float(chinchilla_loss(r["params"], r["tokens"]))} for r in grid()]
    plan = lawful.next_runs(fitted(rows), goal="N_exponent within .01", budget=1e20, batch=4, ranges=RANGES)
    assert plan.is_met
    assert np.isfinite(plan.expected)


def test_where_no_law_has_the_form_the_choice_is_over_several() -> None:
    rng = np.random.default_rng(4)
    rows = []
    for r in grid(5, 5):
        bent = (2e3 * r["params"] ** -0.6 + 1e3 * r["tokens"] ** -0.5) ** 0.4 + 0.3 * np.log10(r["params"] / 3e8) ** 2
        rows.append({**r, "loss": float((1.5 + bent) * np.exp(0.002 * rng.standard_normal()))})
    plan = lawful.next_runs(fitted(rows), goal="N_exponent within .001", budget=1e20, batch=3, ranges=RANGES)
    assert len(plan.laws) > 1
    assert sum(plan.laws.values()) == pytest.approx(1)
    assert 0 < plan.expected <= plan.now


def test_a_column_that_is_no_count_stays_at_the_values_that_runs_have() -> None:
    rng = np.random.default_rng(6)
    rows = [{**r, "R": level, "loss": r["loss"] + 0.2 * level} for r in grid(4, 4) for level in (0.0, 1.0)]
    rows = [{**r, "loss": float(r["loss"] * np.exp(0.003 * rng.standard_normal()))} for r in rows]
    fit = fitted(rows, "E + A*N^-alpha + B*D^-beta + c*input(R)")
    plan = lawful.next_runs(fit, goal="alpha within .001", budget=1e20, batch=3)
    assert {run.at["R"] for run in plan.runs} <= {0.0, 1.0}
    assert plan.cost == pytest.approx(sum(6 * run.at["params"] * run.at["tokens"] for run in plan.runs))


def test_an_exponent_without_an_interval_today_is_planned_from_the_draws() -> None:
    plan = lawful.next_runs(fitted(grid(), "coupled"), goal="D_exponent within .01", budget=1e20, batch=1)
    assert plan.now == np.inf
    assert 0 < plan.expected < 1
