"""What a Fit holds and says: recovery, refusals, warnings, JSON both ways, predictions."""

import dataclasses
import json

import numpy as np
import pytest
from planted import CHINCHILLA, chinchilla_loss, runs_with_checkpoints, single_runs

import lawful
from lawful.errors import LawfulError, Refusal
from lawful.fitting import Fit, search


def grid(rng, sigma=0.004, sizes=6, budgets=4, seeds=2, **more):
    return [
        {
            "params_non_embedding": n,
            "params_total": 1.3 * n,
            "tokens": d,
            "seed": s,
            "run": f"{n:.0f}-{d:.0f}-{s}",
            "loss": float(chinchilla_loss(n, d) * np.exp(sigma * rng.standard_normal())),
            **more,
        }
        for n in np.geomspace(1e7, 1e10, sizes)
        for d in np.geomspace(1e9, 1e12, budgets)
        for s in range(seeds)
    ]


def codes(fit):
    return {caution.code for caution in fit.warnings}


@pytest.fixture(scope="module")
def surface():
    return lawful.fit(grid(np.random.default_rng(0)), "chinchilla", draws=400)


def test_planted_parameters_are_near(surface):
    for name, planted in CHINCHILLA.items():
        found = surface.params[name]
        assert abs(found.value - planted) < 4 * found.stderr, name
        assert found.ci95[0] < found.value < found.ci95[1]
    assert surface.params["A"].role == "derived"
    assert surface.convergence.is_certified
    assert surface.goodness.sigma_run == pytest.approx(0.004, rel=0.4)


def test_a_fit_survives_json(surface, tmp_path):
    surface.to_json(tmp_path / "fit.json")
    back = Fit.from_json(tmp_path / "fit.json")
    assert back == surface
    assert Fit.from_json(json.loads(json.dumps(surface.to_json()))).predict(
        params=1e10, tokens=1e12
    ) == surface.predict(params=1e10, tokens=1e12)


def test_a_fit_cannot_be_changed(surface):
    with pytest.raises(dataclasses.FrozenInstanceError):
        surface.law = "power"


def test_the_same_seed_gives_the_same_bits():
    rows = grid(np.random.default_rng(1), sizes=4, budgets=3, seeds=1)
    first, second = (lawful.fit(rows, "chinchilla", draws=50, seed=7) for _ in range(2))
    assert first == second
    assert lawful.fit(rows, "chinchilla", draws=50, seed=8).draws != first.draws


def test_the_order_of_rows_does_not_matter():
    rows = grid(np.random.default_rng(2), sizes=4, budgets=3, seeds=1)
    forward, backward = (lawful.fit(r, "chinchilla", draws=0) for r in (rows, rows[::-1]))
    assert forward.params["alpha"].value == pytest.approx(backward.params["alpha"].value, rel=1e-9)


def test_units_of_the_axes_do_not_matter():
    rows = grid(np.random.default_rng(3), sizes=4, budgets=3, seeds=1)
    scaled = [
        {**row, "params_non_embedding": row["params_non_embedding"] / 1e6, "tokens": row["tokens"] * 8} for row in rows
    ]
    read = lawful.read_runs(scaled, units={"params_non_embedding": "1"})
    plain, other = lawful.fit(rows, "chinchilla", draws=0), lawful.fit(read, "chinchilla", draws=0)
    for name in ("E", "A_pivot", "B_pivot", "alpha", "beta"):
        assert other.params[name].value == pytest.approx(plain.params[name].value, rel=1e-7)


def test_a_new_runs_interval_holds_the_curves():
    fit = lawful.fit(single_runs(np.random.default_rng(4), runs=10), "power_floor")
    mean, new = (fit.predict(params=1e10, interval=kind) for kind in ("mean", "new_run"))
    assert new.low < mean.low < mean.value < mean.high < new.high
    assert mean.value == pytest.approx(1.8 + 480 * 1e10**-0.35, rel=0.02)


def test_extrapolation_is_said_and_loud_when_far(surface):
    near, far, very_far = (surface.predict(params=n, tokens=1e12) for n in (5e9, 2e11, 2e12))
    assert [w.code for w in near.warnings if w.severity != "note"] == []
    assert [w.code for w in far.warnings if w.severity != "note"] == ["extrapolation"]
    assert [w.severity for w in very_far.warnings if w.severity != "note"] == ["severe"]
    assert far.extrapolation == pytest.approx(20)


def test_predict_wants_the_laws_own_axes(surface):
    with pytest.raises(LawfulError, match="chinchilla reads params, tokens; got params"):
        surface.predict(params=1e9)
    by_flops = surface.predict(params=1e9, flops=6e20)
    assert by_flops.at == {"params": 1e9, "tokens": pytest.approx(1e11)}


def test_the_summary_opens_with_the_law_and_its_warnings(surface):
    lines = surface.summary().splitlines()
    assert lines[0].startswith("chinchilla: L = E + A N^-alpha + B D^-beta")
    assert "alpha" in surface.summary()
    assert "<table>" in surface._repr_html_()


def test_a_plot_is_a_figure(surface, tmp_path):
    surface.plot().savefig(tmp_path / "fit.png")
    assert (tmp_path / "fit.png").stat().st_size > 1000


def test_fewer_runs_than_parameters_and_one_are_refused():
    rows = grid(np.random.default_rng(5), sizes=3, budgets=3, seeds=1)
    with pytest.raises(Refusal, match="has 5 free parameters and needs at least 6 runs; got 5"):
        lawful.fit(rows[:5], "chinchilla")


def test_two_levels_of_an_axis_are_refused():
    rows = grid(np.random.default_rng(6), sizes=5, budgets=2)
    with pytest.raises(Refusal, match="tokens .* takes 2 distinct values; a law in tokens needs at least 3"):
        lawful.fit(rows, "chinchilla")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"loss_unit": "bits"}, "mixed_loss_units"),
        ({"schedule": "cosine"}, "mixed_schedules"),
        ({"decay_fraction": 0.05}, "mixed_schedules"),
        ({"rate_floor": 0.1}, "mixed_schedules"),
        ({"data_fingerprint": "other"}, "mixed_data"),
        ({"is_decayed": False}, "undecayed_losses"),
        ({"masks_padding": False}, "padding_in_loss"),
    ],
)
def test_mixtures_are_refused(change, code):
    usual = {
        "loss_unit": "nats",
        "schedule": "wsd",
        "decay_fraction": 0.2,
        "rate_floor": 0.0,
        "data_fingerprint": "one",
        "is_decayed": True,
        "masks_padding": True,
    }
    rows = grid(np.random.default_rng(7), **usual)
    rows[3] |= change
    with pytest.raises(Refusal) as refusal:
        lawful.fit(rows, "chinchilla")
    assert refusal.value.code == code


def test_cuts_of_one_text_are_pooled_along_their_size_and_nowhere_else():
    rows = [
        {**row, "data_fingerprint": str(row["tokens"]), "validation_fingerprint": "one", "corpus": "text"}
        | {"unique_tokens": row["tokens"]}
        for row in grid(np.random.default_rng(7))
    ]
    assert lawful.fit(rows, "chinchilla", tokens="unique_tokens", draws=0).goodness.n == len(rows)
    for change in ({"validation_fingerprint": "other"}, {"validation_fingerprint": ""}, {"corpus": "another"}):
        with pytest.raises(Refusal, match="never pooled"):
            lawful.fit([rows[0] | change, *rows[1:]], "chinchilla", tokens="unique_tokens", draws=0)
    with pytest.raises(Refusal, match="never pooled"):
        lawful.fit(rows, "chinchilla", tokens="tokens", draws=0)


def test_runs_that_failed_or_were_held_out_never_enter_silently():
    rows = [{**row, "status": "finished", "held_out": False} for row in grid(np.random.default_rng(8))]
    rows[0] |= {"status": "diverged", "loss": ""}
    rows[1]["held_out"] = True
    fit = lawful.fit(rows, "chinchilla", draws=0)
    assert fit.goodness.n == len(rows) - 2
    assert sorted(row["reason"] for row in fit.data.dropped) == ["held out", "not finished: diverged"]
    assert "rows_dropped" in codes(fit)


def test_one_run_that_decides_is_said():
    rng = np.random.default_rng(20)
    sizes = [*np.geomspace(1e6, 2e6, 7), 1e8, 1e10]
    rows = [{"params": n, "loss": float((1.8 + 480 * n**-0.35) * np.exp(0.003 * rng.standard_normal()))} for n in sizes]
    rows[-1]["loss"] *= 1.08
    assert "one_run_decides" in codes(lawful.fit(rows, "power_floor"))


def test_a_change_of_objective_that_moves_an_exponent_is_said():
    rows = grid(np.random.default_rng(9), sigma=0.002)
    for row in rows[:3]:
        row["loss"] *= 1.3
    fit = lawful.fit(rows, "chinchilla", draws=0)
    assert "objective_moves" in codes(fit)
    assert fit.params["alpha"].value == pytest.approx(0.35, abs=0.02)  # the robust default resists the three
    assert abs(fit.sensitivity.objective["l2"]["alpha"] - 0.35) > 0.02


def test_counting_that_moves_an_exponent_is_said():
    rng = np.random.default_rng(10)
    rows = [
        {"params_non_embedding": n, "params_total": n + 3e6, "loss": float((1.8 + 480 * n**-0.35) * np.exp(0.002 * e))}
        for n, e in zip(np.geomspace(1e5, 1e9, 12), rng.standard_normal(12), strict=True)
    ]
    fit = lawful.fit(rows, "power_floor")
    assert set(fit.sensitivity.counting) == {"params as params_total"}
    assert "counting_moves" in codes(fit)


def test_missing_replicates_and_few_degrees_of_freedom_are_said():
    fit = lawful.fit(single_runs(np.random.default_rng(11), runs=5), "power_floor")
    assert {"no_replicates", "few_dof"} <= codes(fit)


def test_lack_of_fit_is_found_where_replicates_show_it():
    rng = np.random.default_rng(12)
    rows = [
        {
            "params": n,
            "seed": s,
            "run": f"{n}-{s}",
            "loss": float((2.5 - 0.3 * np.tanh(np.log(n / 3e7))) * np.exp(1e-3 * rng.standard_normal())),
        }
        for n in np.geomspace(1e6, 1e9, 8)
        for s in range(3)
    ]
    assert "lack_of_fit" in codes(lawful.fit(rows, "power_floor", draws=0))


def test_few_clusters_of_many_rows_are_said():
    fit = lawful.fit(runs_with_checkpoints(np.random.default_rng(13), clusters=6, sigma_run=0.004), "chinchilla")
    assert "few_clusters" in codes(fit)
    assert fit.goodness.clusters == 6
    row_by_row = lawful.fit(
        runs_with_checkpoints(np.random.default_rng(13), clusters=6, sigma_run=0.004), "chinchilla", cluster="none"
    )
    assert fit.params["alpha"].stderr > 1.5 * row_by_row.params["alpha"].stderr


def test_an_unknown_objective_is_an_error_that_lists_the_known():
    with pytest.raises(LawfulError, match="robust, hoffmann, lad, l2, l2-raw or huber:DELTA, got 'mse'"):
        lawful.fit(grid(np.random.default_rng(0)), objective="mse")


def test_a_fixed_floor_is_kept_and_marked():
    fit = lawful.fit(grid(np.random.default_rng(14)), "chinchilla", fixed={"E": 1.8}, draws=0)
    assert (fit.params["E"].value, fit.params["E"].role) == (1.8, "fixed")
    assert "E" not in fit.free
    assert len(fit.covariance) == 4


def test_noiseless_data_give_the_planted_law():
    fit = lawful.fit(grid(np.random.default_rng(0), sigma=0.0), "chinchilla", draws=0)
    for name, planted in CHINCHILLA.items():
        assert fit.params[name].value == pytest.approx(planted, rel=1e-4)


@pytest.fixture
def large(monkeypatch):
    """4,000 rows count as a large table, since with 10,000, as in earnest, these tests take long."""
    monkeypatch.setattr("lawful.fitting.search.SEARCHED_ROWS", 2_000)
    monkeypatch.setattr("lawful.fitting.refits.MANY_ROWS", 4_000)


def test_a_large_table_is_fitted_as_if_every_draw_were_refitted_and_every_start_saw_every_row(large, monkeypatch):
    """Short cuts for many rows (a search on some of them, one Newton step a draw) must not show in what is said."""
    rng = np.random.default_rng(3)
    params, tokens = 10 ** rng.uniform(7, 10, 8_000), 10 ** rng.uniform(9, 12, 8_000)
    losses = chinchilla_loss(params, tokens) * np.exp(0.02 * rng.standard_normal(8_000))
    table = [{"params": n, "tokens": d, "loss": y} for n, d, y in zip(params, tokens, losses, strict=True)]
    short = lawful.fit(table, "chinchilla", draws=200)
    monkeypatch.setattr("lawful.fitting.search.SEARCHED_ROWS", 10**9)
    monkeypatch.setattr("lawful.fitting.refits.MANY_ROWS", 10**9)
    long = lawful.fit(table, "chinchilla", draws=200)
    assert short.draws != long.draws  # the short cut was taken
    for name, parameter in long.params.items():
        assert short.params[name].value == pytest.approx(parameter.value, rel=1e-7)
        assert short.params[name].stderr == pytest.approx(parameter.stderr, rel=0.01)
        assert short.params[name].ci95 == pytest.approx(parameter.ci95, abs=0.05 * parameter.stderr)


def test_the_grid_of_starts_looks_at_few_rows_of_a_large_table(monkeypatch):
    """Its cost is cells x rows: 4,000 rows took half of the time of `lawful fit`."""
    seen, own = [], search.grid_starts
    monkeypatch.setattr(
        search, "grid_starts", lambda problem, **more: (seen.append(problem.rows), own(problem, **more))[1]
    )
    params = 10 ** np.random.default_rng(0).uniform(6, 10, 2 * search.GRID_ROWS)
    lawful.fit([{"params": n, "loss": 1.7 + 400 * n**-0.34} for n in params], "power_floor", draws=0)
    assert seen and set(seen) == {search.GRID_ROWS}


def test_a_large_table_without_a_floor_is_refitted_since_steps_do_not_stop_at_bounds(large):
    rng = np.random.default_rng(4)
    params = 10 ** rng.uniform(6, 10, 4_000)
    table = [
        {"params": n, "loss": loss}
        for n, loss in zip(params, 400 * params**-0.1 * np.exp(0.02 * rng.standard_normal(4_000)), strict=True)
    ]
    fit = lawful.fit(table, "power_floor", draws=200)
    floor = np.array(fit.draws)[:, list(fit.params).index("E")]
    assert floor.min() >= 0
