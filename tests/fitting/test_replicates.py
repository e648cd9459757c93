"""What replicates tell of the noise: weights by size, seeds that share noise, rounding, copies of runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import lawful
from lawful.fitting import solver
from lawful.fitting.crossover import crossover
from lawful.fitting.data import sample
from lawful.fitting.fitted import run_spread
from lawful.fitting.problem import Problem
from lawful.fitting.replicates import resolution, shared_p, spread_of, spread_slopes
from lawful.fitting.search import best_point, limits
from lawful.laws import Axes, named

SIZES = np.geomspace(1e5, 1e7, 8)


def loss_at(params):
    return 1.5 + 1.2 * (params / 1e6) ** -0.3


def line(rng, *, seeds=3, sigma=(0.004, 0.004), across=0.0, digits=None):
    """Runs of `seeds` seeds at each size. sigma: at the smallest and the largest; across: the share of the variance
    that the runs of one seed have in common."""
    effect = rng.standard_normal(seeds)
    rows = []
    for n, spread in zip(SIZES, np.geomspace(*sigma, len(SIZES)), strict=True):
        for seed in range(seeds):
            noise = spread * (np.sqrt(across) * effect[seed] + np.sqrt(1 - across) * rng.standard_normal())
            loss = float(loss_at(n) * np.exp(noise))
            loss = loss if digits is None else round(loss, digits)
            rows.append({"params": float(n), "seed": seed, "loss": loss, "run": f"{n:.0f}-{seed}"})
    return rows


def codes(fit):
    return [caution.code for caution in fit.warnings]


# ---- noise that changes with size


def slopes_of(rng, slope, *, seeds=3, noise=np.random.Generator.standard_normal):
    n = np.repeat(SIZES, seeds)
    x = Axes.of({"params": n})
    losses = 2 * np.exp(0.005 * np.exp(slope * x["params"]) * noise(rng, len(n)))
    return spread_slopes(x, losses, np.zeros(len(n)), np.arange(len(n))).get("params", 0.0)


def test_the_slope_of_the_spread_comes_back_a_little_shrunk():
    found = [slopes_of(np.random.default_rng([1, i]), -0.4, seeds=12) for i in range(40)]
    assert -0.41 < np.mean(found) < -0.33


def test_where_the_spread_is_equal_most_tables_have_equal_weights_and_no_slope_is_large():
    for noise in (np.random.Generator.standard_normal, lambda rng, n: rng.standard_t(3, n) / np.sqrt(3)):
        found = np.array([slopes_of(np.random.default_rng([2, i]), 0.0, noise=noise) for i in range(200)])
        assert (found == 0).mean() > 0.5
        assert abs(found.mean()) < 0.03 and np.abs(found).max() < 0.8


def test_without_replicates_at_four_sizes_there_is_no_slope():
    n = np.array([1e5, 1e5, 1e6, 1e6, 1e7, 1e7, 3e7, 1e8])
    x = Axes.of({"params": n})
    losses = 2 + np.arange(8) / 7
    assert spread_slopes(x, losses, np.zeros(8), np.arange(8)) == {}
    assert spread_slopes(x, losses, np.zeros(8), np.array([0, 0, 1, 1, 2, 2, 3, 4])) == {}  # one cluster: no replicates


def test_a_row_of_half_the_noise_pulls_as_four_rows_do():
    law = named("power_floor")
    n = np.geomspace(1e5, 1e7, 9)
    rng = np.random.default_rng(4)
    loss = loss_at(n) * np.exp(0.01 * rng.standard_normal(9))
    relative = np.where(np.arange(9) % 3 == 0, 0.5, 1.0)
    low, high = np.array([0.0, 0.0, 0.01]), np.array([np.inf, np.inf, 5.0])
    problem = Problem(law, Axes.of({"params": n}), loss, True, 0.01, True, low, high, relative)
    plain = replace(problem, relative=1.0)
    start = np.array([[1.4, 1.0, 0.25]])
    ours = solver.solve(problem, start).parameters[0]
    theirs = solver.solve(plain, start, (1 / relative**2)[None]).parameters[0]
    assert ours == pytest.approx(theirs, rel=1e-8)
    assert problem.residuals(ours[None])[0] * relative == pytest.approx(plain.residuals(ours[None])[0], rel=1e-9)


def test_the_interval_of_a_new_run_follows_the_noise_at_its_size():
    rows = line(np.random.default_rng(5), seeds=6, sigma=(0.0125, 0.0027))
    fit = lawful.fit(rows, "power_floor", draws=0)
    (note,) = [caution for caution in fit.warnings if caution.code == "noise_varies"]
    assert note.severity == "note"
    small, large = (run_spread(fit, {"params": n}) for n in (1e5, 1e7))
    assert small == pytest.approx(0.0125, rel=0.5) and large == pytest.approx(0.0027, rel=0.5)
    assert run_spread(fit, {"params": 1e9}) == pytest.approx(large)  # beyond the data it goes no lower
    assert run_spread(fit, {"params": 1e3}) > small
    assert lawful.Fit.from_json(fit.to_json()).spread_slopes == fit.spread_slopes
    assert lawful.fit(rows, "power_floor", objective="l2", draws=0).spread_slopes == {}  # what it is called


def test_weights_bring_the_exponent_nearer_to_the_truth():
    law = named("power_floor")
    errors: dict[str, list[float]] = {"robust": [], "l2": []}
    for number in range(30):
        rows = line(np.random.default_rng([6, number]), sigma=(0.02, 0.002))
        for objective, found in errors.items():
            low, high = limits(law, {}, {})
            found.append(best_point(sample(rows, law, {}), law, objective, low, high).parameters[2] - 0.3)
    robust, plain = (np.sqrt(np.mean(np.square(found))) for found in errors.values())
    assert robust < 0.85 * plain


# ---- seeds


def test_seeds_that_lie_off_together_at_every_size_are_clusters_and_it_is_said():
    fit = lawful.fit(line(np.random.default_rng(7), seeds=5, across=0.8), "power_floor", draws=0)
    assert fit.goodness.clusters == 5
    (said,) = [caution for caution in fit.warnings if caution.code == "clustered_by_seed"]
    assert said.severity == "warning" and "40 rows count as 5 clusters" in said.sentence


def test_seeds_that_share_nothing_are_rarely_taken_for_clusters():
    taken = 0
    for number in range(60):
        taken += sample(line(np.random.default_rng([8, number])), named("power_floor"), {}).clusters < 24
    assert taken <= 3  # 1 of 100


def test_runs_of_one_seed_are_one_cluster_in_a_study_whose_schedule_has_no_trunks():
    rng = np.random.default_rng(9)
    rows = []
    for params in (1e5, 3e5, 1e6, 3e6):
        for seed in (0, 1):
            for tokens in (1e7, 3e7, 1e8):
                loss = float((1.5 + 40 * params**-0.3 + 60 * tokens**-0.3) * np.exp(0.004 * rng.standard_normal()))
                run = f"{params:.0f}-{seed}-{tokens:.0f}"
                own = {"study": "s", "rung": run, "run": run, "cluster": run, "data_fingerprint": "1"}
                at = {"params_non_embedding": params, "tokens": tokens, "seed": seed}
                rows.append({**own, **at, "schedule": "cosine", "loss": loss})
    assert lawful.fit(rows, draws=0).goodness.clusters == 8
    trunks = [{**row, "schedule": "wsd", "cluster": f"{row['params_non_embedding']}-{row['seed']}"} for row in rows]
    assert lawful.fit(trunks, draws=0).goodness.clusters == 8
    assert lawful.fit(rows, draws=0, cluster="run").goodness.clusters == 24


# ---- rounding


@pytest.mark.parametrize(
    ("values", "step"),
    [((2.1, 3.4, 2.0), 0.1), ((2.0, 3.0), 1.0), ((2.125, 2.5), 0.001), ((1 / 3, 2.0), 0.0), ((1e-10, 2e-10), 0.0)],
)
def test_the_step_of_rounding_is_read_off_the_losses(values, step):
    assert resolution(np.array(values)) == pytest.approx(step)


def test_coarse_rounding_is_said_and_replicates_that_share_it_are_one():
    rows = line(np.random.default_rng(10), seeds=4, sigma=(0.002, 0.002), digits=1)
    fit = lawful.fit(rows, "power_floor", draws=0)
    assert fit.goodness.clusters == len(SIZES) and fit.goodness.lack_of_fit is None
    said = [caution.sentence for caution in fit.warnings if caution.code == "rounded"]
    assert len(said) == 2 and any("given to 0.1" in sentence for sentence in said)
    fine = lawful.fit(line(np.random.default_rng(10), seeds=4, digits=4), "power_floor", draws=0)
    assert "rounded" not in codes(fine) and fine.goodness.clusters == 32


def test_intervals_hold_where_eight_seeds_share_the_error_of_rounding():
    """With every row a cluster of its own they held in 42 of 100."""
    held = 0
    for number in range(20):
        rows = line(np.random.default_rng([11, number]), seeds=8, digits=1)
        low, high = lawful.fit(rows, "power_floor", draws=400).params["alpha"].ci95
        held += low <= 0.3 <= high
    assert held >= 17


# ---- copies


def test_runs_under_a_second_name_count_once_and_are_listed():
    rows = line(np.random.default_rng(12), seeds=2)
    copies = [*rows, *({**row, "run": f"{row['run']}-again"} for row in rows)]
    once, found = (lawful.fit(table, "power_floor", draws=400) for table in (rows, copies))
    assert found.params["alpha"].ci95 == once.params["alpha"].ci95
    assert len(found.data.dropped) == 16 and "rows_dropped" in codes(found)
    stamped = [{**row, "_timestamp": number} for number, row in enumerate(copies)]
    assert lawful.fit(stamped, "power_floor", draws=0).goodness.n == 16


def test_what_differs_in_more_than_its_name_is_no_copy():
    rows = line(np.random.default_rng(13), seeds=1)
    seeds = [*rows, *({**row, "seed": 1, "run": f"{row['run']}-1"} for row in rows)]
    assert lawful.fit(seeds, "power_floor", draws=0).goodness.n == 16
    arms = [{**row, "optimizer": arm, "run": f"{row['run']}-{arm}"} for row in rows for arm in ("adam", "sgd")]
    assert crossover(arms, by="optimizer", draws=0).leader is None  # ties are ties, and both arms are there


def test_rows_whose_rounded_losses_agree_are_kept_and_named():
    rows = [{k: v for k, v in row.items() if k != "seed"} for row in line(np.random.default_rng(14), digits=2)]
    fit = lawful.fit(rows, "power_floor", draws=0)
    alike = len(rows) - len({(row["params"], row["loss"]) for row in rows})
    assert alike > 0 and fit.goodness.n == 24
    (said,) = [caution for caution in fit.warnings if caution.code == "rows_alike"]
    assert said.sentence.startswith(f"{alike} rows")


def two_seeds(rng, rho, sizes=8):
    """Unit noise of 2 seeds at each size; runs of one seed correlate by rho across sizes."""
    return np.sqrt(rho) * rng.standard_normal(2)[None] + np.sqrt(1 - rho) * rng.standard_normal((sizes, 2))


def test_two_seeds_that_share_noise_are_found_as_often_as_a_paired_t_test_finds_them():
    from scipy.stats import ttest_1samp

    group, seed = np.repeat(np.arange(8), 2), np.tile(np.arange(2), 8)
    for rho, least, most in ((0.0, 0.0, 0.05), (0.9, 0.5, 0.8)):
        found = []
        for table in range(120):
            noise = two_seeds(np.random.default_rng([7, table]), rho)
            p = shared_p(group, seed, group, 1 + noise.ravel())
            assert p == pytest.approx(ttest_1samp(noise[:, 0] - noise[:, 1], 0).pvalue, rel=1e-6)
            found.append(p < 0.01)
        assert least <= np.mean(found) <= most


def test_seeds_that_may_share_noise_are_said():
    said = set()
    for table in range(40):
        size = np.geomspace(1e5, 1e7, 8)
        noise = two_seeds(np.random.default_rng([8, table]), 0.6)
        rows = [
            {
                "params": n,
                "seed": s,
                "run": f"{n:.0f}-{s}",
                "loss": (1.5 + (n / 1e6) ** -0.3) * (1 + 0.004 * noise[i, s]),
            }
            for i, n in enumerate(size)
            for s in range(2)
        ]
        data = sample(rows, named("power_floor:params"), {})
        said.add((data.column.get("cluster"), data.clusters))
        if data.column.get("cluster") == "none: seeds may share noise across sizes":
            codes = {caution.code for caution in lawful.fit(rows, "power_floor:params", draws=0).warnings}
            assert "seeds_may_share" in codes
            break
    assert ("run", 16) in said and ("none: seeds may share noise across sizes", 16) in said


def test_the_variance_of_rows_counts_how_uncertain_its_slope_is():
    """At the ends of the ladder the mean of exp(2 slope u) over draws of the slope, here drawn by hand."""
    rng = np.random.default_rng(3)
    size = np.repeat(np.geomspace(1e5, 1e7, 8), 3)
    loss = np.exp(0.01 * (size / 1e6) ** -0.4 * rng.standard_normal(24))
    x = Axes.of({"params": size})
    spread = spread_of(x, loss, np.zeros(24), np.arange(24))
    slope, error = spread.raw["params"], spread.covariance[0, 0] ** 0.5
    assert abs(spread.shrunk["params"]) < abs(slope) and 0.05 < error < 0.3
    drawn = slope + error * rng.standard_normal(400_000)
    for row in (0, 12, 23):
        by_hand = np.exp(2 * drawn * x["params"][row]).mean()
        assert spread.expected_variance(x.logs)[row] == pytest.approx(by_hand, rel=0.02)
