"""Ends of intervals, what a certificate says, and bounds: nothing is a number that the table does not determine."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
from planted import chinchilla_loss
from scipy.optimize import least_squares

import lawful
from lawful.errors import DeclarationError, Refusal
from lawful.fitting import noise, profiles, refits, solver
from lawful.fitting.data import sample
from lawful.fitting.quantiles import t_quantile
from lawful.fitting.search import best_point, limits
from lawful.fitting.starts import grid_starts
from lawful.laws import named

GALLERY = Path(__file__).parents[2] / "docs" / "gallery"


def line(rng, *, alpha=0.3, E=1.5, a=1.2, runs=8, seeds=2, sigma=0.004, scale=1.0, clusters=None):
    size = np.repeat(np.geomspace(1e5, 1e7, runs), seeds)
    loss = (E + a * (size / 1e6) ** -alpha) * np.exp(sigma * rng.standard_normal(len(size)))
    rows = [{"params": float(n), "loss": float(scale * y)} for n, y in zip(size, loss, strict=True)]
    return rows if clusters is None else [{**row, "cluster": clusters(i)} for i, row in enumerate(rows)]


def surface(rng, *, sizes, budgets, sigma):
    return [
        {"params": n, "tokens": d, "loss": float(chinchilla_loss(n, d) * np.exp(sigma * rng.standard_normal()))}
        for n in sizes
        for d in budgets
    ]


def point_of(source, law="chinchilla"):
    law = named(law)
    data = sample(source, law, {})
    return best_point(data, law, "robust", *limits(law, {}, {})), data


def rise_by_scipy(point, around, name, value, starts):
    """In t: how far the misfit rises where one parameter is held at a value, minimised by scipy from many starts."""
    problem = point.problem
    held = problem.law.parameters.index(name)
    others = [i for i in range(len(point.parameters)) if i != held]

    def residuals(rest):
        theta = np.array(point.parameters)
        theta[others], theta[held] = rest, value
        return problem.residuals(theta[None])[0] / problem.scale

    bounds = problem.low[others], problem.high[others]
    found = [
        least_squares(residuals, np.clip(start[others], *bounds), bounds=bounds, loss="huber", x_scale="jac").cost
        for start in starts
    ]
    widen = np.diag(around.covariance) / np.diag(around.plain)
    return float(np.sqrt(max(2 * (min(found) - point.misfit) * around.steepness / widen[held], 0.0)))


@pytest.mark.parametrize("study", ["quickstart", "shakespeare"])
def test_the_ends_of_profiles_are_those_of_scipy_from_many_starts(study):
    """A minimisation that stopped short was read as "outside": the floor of the quickstart's table could not be 0."""
    point, data = point_of(GALLERY / study / "observations.csv")
    around = noise.measure(point, data)
    dofs = {name: around.dof(axis) for name, axis in zip(point.problem.law.parameters, np.eye(5), strict=True)}
    found = profiles.profile_intervals(point, around, dofs)
    assert found["E"][0] == 0.0
    starts = [point.parameters, *grid_starts(point.problem, keep=60, cells=60)[0][::30]]
    for name, ends in found.items():
        value = point.parameters[point.problem.law.parameters.index(name)]
        target = t_quantile(0.975, dofs[name])
        for end in ends:
            inside, outside = (value + by * (end - value) for by in (0.97, 1.03))
            assert rise_by_scipy(point, around, name, inside, starts) < target, (name, end)
            if end > 0:
                assert rise_by_scipy(point, around, name, outside, starts) > target, (name, end)


def test_a_minimisation_that_fails_leaves_an_end_undetermined(monkeypatch):
    point, data = point_of(line(np.random.default_rng(0)), "power_floor")
    around = noise.measure(point, data)
    solve = solver.solve

    def failing(problem, starts, *rest, **how):
        found = solve(problem, starts, *rest, **how)
        hangs = found.parameters[:, 0] < 0.99 * point.parameters[0]
        rng = np.random.default_rng(0)
        misfit = np.where(hangs, found.misfit * (50 + rng.random(len(hangs))), found.misfit)
        return dataclasses.replace(found, misfit=misfit, decrement=np.where(hangs, np.inf, found.decrement))

    monkeypatch.setattr(solver, "solve", failing)
    low, high = profiles.profile_intervals(point, around, dict.fromkeys(("E", "a_pivot", "alpha"), 13.0))["E"]
    assert np.isnan(low) and high > point.parameters[0]


def test_shares_lie_between_0_and_1_mirror_each_other_and_are_the_same_in_fit_and_allocate():
    """Sizes within a factor of 2: the exponent of N is hardly determined, its interval was [.05, 10.3]."""
    rng = np.random.default_rng(4)
    for sizes, budgets, sigma in (
        (np.geomspace(8e7, 1.6e8, 3), np.geomspace(1e9, 4e10, 4), 0.004),
        (np.geomspace(1e7, 1e9, 5), np.geomspace(1e9, 1e11, 5), 0.004),
    ):
        fit = lawful.fit(surface(rng, sizes=sizes, budgets=budgets, sigma=sigma), "chinchilla", draws=200)
        share, other = fit.params["N_exponent"].ci95, fit.params["D_exponent"].ci95
        assert 0 < share[0] < share[1] < 1
        assert other == pytest.approx((1 - share[1], 1 - share[0]), abs=1e-12)
        best = fit.allocate(flops=1e20)
        assert (best.N_exponent.low, best.N_exponent.high) == share
        assert (best.D_exponent.low, best.D_exponent.high) == other


def test_where_forecasts_average_over_laws_fit_and_allocate_have_one_interval_of_an_exponent():
    """Kaplan's form under chinchilla's law: N* grows as C^(1 / (1 + .1 / .12)), which the fitted law's own misses."""
    rng = np.random.default_rng(6)
    rows = [
        {"params": n, "tokens": d, "loss": float(((2e9 / n) ** (0.1 / 0.12) + 4e9 / d) ** 0.12 * np.exp(noise))}
        for (n, d), noise in zip(
            itertools.product(np.geomspace(1e7, 1e9, 6), np.geomspace(2e8, 2e10, 4)),
            0.004 * rng.standard_normal(24),
            strict=True,
        )
    ]
    fit = lawful.fit(rows, "chinchilla", draws=0)
    assert fit.doubt.alternatives is not None
    best = fit.allocate(flops=1e21)
    for name in ("N_exponent", "D_exponent"):
        found = getattr(best, name)
        assert (found.low, found.high) == pytest.approx(fit.params[name].ci95, rel=1e-6)
    assert best.N_exponent.low < 1 / (1 + 0.1 / 0.12) < best.N_exponent.high
    assert fit.params["N_exponent"].ci95[0] + fit.params["D_exponent"].ci95[1] == pytest.approx(1, abs=1e-9)


def test_exponents_that_are_no_shares_do_not_mirror():
    """Where a token costs 3e3 sqrt(N) FLOPs, N D is not the compute: d log D / d log C = 1 - 1/2 d log N / d log C."""
    rng = np.random.default_rng(4)
    rows = surface(rng, sizes=np.geomspace(1e7, 1e9, 5), budgets=np.geomspace(1e9, 1e11, 5), sigma=0.002)
    best = lawful.fit(rows, "chinchilla", draws=200).allocate(flops=1e18, cost=lambda size: 3e3 * size**0.5)
    assert best.D_exponent.value == pytest.approx(1 - best.N_exponent.value / 2, rel=1e-6)


def test_nine_runs_that_determine_nothing_give_no_numbers_for_what_they_do_not_determine():
    rng = np.random.default_rng(2)
    rows = surface(rng, sizes=np.geomspace(1e7, 1e8, 3), budgets=np.geomspace(1e9, 1e10, 3), sigma=0.1)
    fit = lawful.fit(rows, "chinchilla", draws=0)
    for name in ("alpha", "beta"):
        assert fit.params[name].ci95 == (0.0, np.inf)
    assert "not determined" in fit.summary() and "inf" not in fit.summary() and "nan" not in fit.summary()
    assert 0 <= fit.params["N_exponent"].ci95[0] < fit.params["N_exponent"].ci95[1] <= 1
    for p in fit.params.values():
        assert p.ci95[0] == 0 or p.ci95[1] < 1e12 * p.ci95[0]
        assert not p.stderr > 10 * max(row["loss"] for row in rows) or p.role == "derived"


@pytest.mark.parametrize("law", ["power", "power_floor", "saturating"])
@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_losses_that_are_constant_or_rise_are_refused_and_the_refusal_says_so(law, slope):
    rows = [{"params": float(n), "loss": float(2 * (n / 1e5) ** slope)} for n in np.geomspace(1e5, 1e7, 8)]
    with pytest.raises(Refusal, match="The loss does not fall with params in these 8 runs"):
        lawful.fit(rows, law, draws=0)


def test_of_a_surface_the_axis_along_which_nothing_falls_is_named():
    rng = np.random.default_rng(1)
    rows = surface(rng, sizes=np.geomspace(1e7, 1e9, 4), budgets=np.geomspace(1e9, 1e11, 4), sigma=0.0)
    rows = [{**row, "loss": 1.8 + 480 * row["params"] ** -0.35 + 0.01 * np.log10(row["tokens"])} for row in rows]
    with pytest.raises(Refusal, match="does not fall with tokens"):
        lawful.fit(rows, "chinchilla", draws=0)


def test_a_law_that_falls_is_not_refused_however_noisy():
    refused = 0
    for seed in range(6):
        try:
            lawful.fit(line(np.random.default_rng([7, seed]), sigma=0.1, seeds=1), "power_floor", draws=0)
        except Refusal:
            refused += 1
    assert refused == 0


@pytest.mark.parametrize("scale", [1e-10, 1e10])
@pytest.mark.parametrize("objective", ["robust", "l2-raw"])
def test_the_unit_of_the_loss_changes_no_exponent(scale, objective):
    one, other = (
        lawful.fit(line(np.random.default_rng(2), scale=by), "power_floor", draws=0, objective=objective)
        for by in (1.0, scale)
    )
    assert other.convergence.is_certified
    assert other.params["alpha"].value == pytest.approx(one.params["alpha"].value, rel=1e-6)
    assert other.params["alpha"].ci95 == pytest.approx(one.params["alpha"].ci95, rel=1e-4)
    for name in ("E", "a"):
        assert other.params[name].ci95 == pytest.approx([scale * end for end in one.params[name].ci95], rel=1e-4)


def test_a_fit_at_a_bound_is_not_certified_and_says_which():
    rows = line(np.random.default_rng(0), E=0.0, alpha=0.1)
    fit = lawful.fit([{**row, "loss": row["loss"] - 0.03} for row in rows], "power_floor", draws=0)
    assert fit.params["E"].value == 0.0 and fit.convergence.at_bounds == ("E",)
    assert not fit.convergence.is_certified and "NOT CERTIFIED (E is at its low bound)" in fit.summary()
    assert np.isnan(fit.params["E"].stderr)


def test_an_exponent_at_its_bound_is_not_quoted():
    """A step: only the smallest size is worse. The steeper the power, the better it fits."""
    rng = np.random.default_rng(0)
    size = np.repeat(np.geomspace(1e5, 8e5, 8), 2)
    loss = np.where(size < 1.1e5, 2.4, 2.0) * np.exp(1e-3 * rng.standard_normal(len(size)))
    fit = lawful.fit([{"params": n, "loss": y} for n, y in zip(size, loss, strict=True)], "power_floor", draws=0)
    assert fit.params["alpha"].at_bound == "high" and fit.params["alpha"].ci95[1] == np.inf
    from lawful.fitting.answer_words import law_sentence

    said = law_sentence(fit, ())
    assert "N^-alpha (alpha at least" in said and f"{fit.params['alpha'].value:.3f}" not in said


@pytest.mark.parametrize(("law", "name", "truth"), [("power_floor", "alpha", 4.98), ("broken_power", "change", 5.66)])
def test_published_values_lie_inside_the_bounds(law, name, truth):
    x = np.geomspace(1.0, 30.0, 30)
    loss = {
        "power_floor": 0.2 + 2 * x**-truth,
        "broken_power": 0.2 + 2 * x**-0.1 * (1 + (x / 5) ** (1 / 0.3)) ** (-truth * 0.3),
    }[law]
    fit = lawful.fit([{"params": a, "loss": y} for a, y in zip(x, loss, strict=True)], law, draws=0)
    assert fit.params[name].value == pytest.approx(truth, rel=1e-3)


def test_bounds_replace_the_laws_own_and_a_floor_below_0_is_one_that_was_asked_for():
    x = np.geomspace(1e-3, 0.2, 12)
    noise = np.exp(1e-4 * np.random.default_rng(0).standard_normal(12))
    rows = [{"params": a, "loss": float((-1.1 + 0.9 * a**-0.45) * by)} for a, by in zip(x, noise, strict=True)]
    fit = lawful.fit(rows, "power_floor", draws=0, bounds={"E": (-10, 10)})
    assert (fit.params["E"].value, fit.params["alpha"].value) == pytest.approx((-1.1, 0.45), rel=1e-2)
    assert fit.convergence.is_certified
    narrow = lawful.fit(rows, "power_floor", draws=0, bounds={"E": (-10, 10), "alpha": (0.5, 0.6)})
    assert narrow.params["alpha"].value == 0.5 and narrow.params["alpha"].ci95[0] == 0.5  # one that was asked for
    for bounds in ({"alpha": (-1, 1)}, {"alpha": (0.1, np.inf)}, {"E": (2, 1)}):
        with pytest.raises(DeclarationError, match="bounds: "):
            lawful.fit(rows, "power_floor", bounds=bounds)


def test_compare_takes_fixed_values_and_bounds_for_every_arm():
    rng = np.random.default_rng(5)
    rows = [{**row, "arm": arm} for arm, alpha in (("a", 0.3), ("b", 0.36)) for row in line(rng, alpha=alpha, seeds=3)]
    free = lawful.compare(rows, law="power_floor")
    held = lawful.compare(rows, law="power_floor", fixed={"E": 1.5})
    assert {arm: params["E"] for arm, params in held.params.items()} == {"a": 1.5, "b": 1.5}
    (one,), (other,) = held.differences, free.differences
    assert one.ci95[0] < 0.06 < one.ci95[1] and one.stderr < other.stderr / 2
    assert not any("E" in explanation.own for explanation in held.explanations)
    known = lawful.compare(rows, law="power_floor", bounds={"alpha": (0.1, 0.32)})
    assert known.params["b"]["alpha"] == 0.32
    with pytest.raises(DeclarationError, match="no parameter 'beta'"):
        lawful.compare(rows, law="power_floor", bounds={"beta": (0.1, 0.3)})


@pytest.mark.parametrize("draws", [0, 200])
def test_a_ladder_in_one_cluster_is_refused_in_our_words(draws):
    rows = line(np.random.default_rng(0), runs=6, seeds=1, clusters=lambda i: "trunk")
    with pytest.raises(Refusal, match="All 6 runs are one cluster"):
        lawful.fit(rows, "power_floor", cluster="cluster", draws=draws)
    assert lawful.fit(rows, "power_floor", cluster="none", draws=draws).goodness.clusters == 6


def test_draws_come_to_an_end_whatever_the_noise():
    point, data = point_of(line(np.random.default_rng(0), runs=6, seeds=1), "power_floor")
    wild = dataclasses.replace(noise.measure(point, data), variance_row=1e12, variance_cluster=1e12)
    assert np.isfinite(refits.redraw(point, data, wild, draws=20, seed=0)).all()


@pytest.mark.parametrize("cluster", ["run", None])
def test_a_law_whose_parameters_all_end_at_bounds_says_so_in_a_table_of_clusters_too(cluster):
    """exp(-a) is at most 1 and these losses begin at 5: a and alpha both end at their low bounds."""
    rng = np.random.default_rng(0)
    rows = [
        {"params": float(n), "run": f"r{i // 2}", "loss": float(20 * n**-0.1 * np.exp(0.003 * rng.standard_normal()))}
        for i, n in enumerate(np.repeat(np.geomspace(1e6, 1e9, 8), 2))
    ]
    fit = lawful.fit(rows, "exp(-a)*N^-alpha", draws=20, cluster=cluster)
    assert {fit.params[name].at_bound for name in ("a", "alpha")} == {"low"}
    assert not fit.convergence.is_certified
