"""Parameters pooled in part over arms: against the eight schools, REML, and planted arms."""

import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

from lawful.cli import app
from lawful.errors import DeclarationError, LawfulError, Refusal, TableError
from lawful.fitting.hierarchy import Profile, pooled
from lawful.fitting.pool import fit_pooled

# Rubin 1981: effects of coaching in eight schools, and their standard errors
EFFECTS = (28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0)
ERRORS = (15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0)


def normal(value, error, *, dof=1e6):
    scores = np.linspace(-4.5, 4.5, 49)
    return Profile(value + error * scores, scores, dof, -math.inf, math.inf)


def arms(alphas, *, sizes=5, seed=0, **more):
    rng = np.random.default_rng(seed)
    return [
        {
            "arm": f"a{i}",
            "params": float(n),
            "loss": float(level * (n / 3e7) ** -alpha * np.exp(0.005 * rng.standard_normal())),
            **{name: cell(i, j) for name, cell in more.items()},
        }
        for i, (alpha, level) in enumerate(zip(alphas, rng.uniform(2, 4, len(alphas)), strict=True))
        for j, n in enumerate(np.geomspace(1e6, 1e9, sizes))
    ]


def test_the_eight_schools_are_those_of_importance_sampling():
    found = pooled([normal(*one) for one in zip(EFFECTS, ERRORS, strict=True)])
    rng, effects, errors = np.random.default_rng(0), np.array(EFFECTS), np.array(ERRORS)
    spreads = 100 * rng.random(100_000)
    weights = 1 / (errors**2 + spreads[:, None] ** 2)
    total = weights.sum(axis=1)
    means = (weights @ effects) / total
    logs = 0.5 * (np.log(weights).sum(axis=1) - np.log(total) - (weights * (effects - means[:, None]) ** 2).sum(axis=1))
    chance = np.exp(logs - logs.max())
    chosen = rng.choice(len(spreads), len(spreads), p=chance / chance.sum())
    mean, spread = (means + rng.standard_normal(len(means)) / np.sqrt(total))[chosen], spreads[chosen]
    assert (found.mean, *found.mean_ci95) == pytest.approx(np.quantile(mean, [0.5, 0.025, 0.975]), abs=0.4)
    assert found.spread_ci95 == pytest.approx((0.0, np.quantile(spread, 0.95)), abs=0.6)  # the density falls from 0 on
    for one, effect, error in zip(found.arms, EFFECTS, ERRORS, strict=True):
        share = error**2 / (error**2 + spread**2)
        drawn = share * mean + (1 - share) * effect + np.sqrt(1 - share) * error * rng.standard_normal(len(mean))
        assert (one.value, *one.ci95) == pytest.approx(np.quantile(drawn, [0.5, 0.025, 0.975]), abs=0.5)
        assert one.share == pytest.approx(share.mean(), abs=0.01)


def test_the_spread_is_that_of_restricted_likelihood_and_arms_move_as_their_errors_say():
    rng = np.random.default_rng(1)
    errors = rng.uniform(0.01, 0.05, 12)
    values = 0.35 + 0.04 * rng.standard_normal(12) + errors * rng.standard_normal(12)
    found = pooled([normal(*one) for one in zip(values, errors, strict=True)])
    spreads = np.linspace(0, 0.2, 2001)
    weights = 1 / (errors**2 + spreads[:, None] ** 2)
    means = weights @ values / weights.sum(axis=1)
    square = (weights * (values - means[:, None]) ** 2).sum(axis=1)
    reml = spreads[np.argmax(np.log(weights).sum(axis=1) - np.log(weights.sum(axis=1)) - square)]
    assert found.spread == pytest.approx(reml, rel=0.12)  # a point of the grid
    moved = np.array([one.share for one in found.arms])
    assert (np.argsort(moved) == np.argsort(errors)).all() and 0 < moved.min() < moved.max() < 1
    for one, own in zip(found.arms, values, strict=True):
        assert min(own, found.mean) <= one.value <= max(own, found.mean)


def test_arms_that_do_not_differ_are_moved_nearly_to_their_mean():
    found = pooled([normal(0.3 + 0.001 * i, 0.02) for i in range(6)])
    assert found.spread == 0 and found.spread_ci95[0] == 0
    assert all(one.share > 0.5 and np.ptp(one.ci95) < 0.75 * 4 * 0.02 for one in found.arms)


def test_one_arm_that_says_little_gets_its_value_from_the_others():
    found = pooled([normal(0.3, 0.01), normal(0.31, 0.01), normal(0.32, 0.01), normal(0.33, 0.01), normal(2.0, 1.5)])
    assert found.arms[-1].value == pytest.approx(found.mean, abs=0.02) and found.arms[-1].share > 0.9
    assert found.arms[0].share < 0.6


def test_an_arm_that_is_far_off_is_in_the_spread_and_stays_what_it_is():
    """The scatter of the others says nothing of it. Against the standard deviation, which the errors hardly widen."""
    values = [0.35, 0.352, 0.348, 0.351, 0.349, 0.8]
    found = pooled([normal(value, 0.001, dof=8) for value in values])
    assert found.spread_ci95[0] < np.std(values, ddof=1) < found.spread_ci95[1] and found.spread_ci95[1] > 0.25
    for one, value in zip(found.arms, values, strict=True):
        low, high = one.ci95
        assert low < value < high and high - low == pytest.approx(2 * 2.306 * 0.001, rel=0.05)


def test_the_interval_of_an_arm_at_a_bound_holds_the_bound():
    found = pooled([Profile(0.02 * np.linspace(0, 4.5, 30), np.linspace(0, 4.5, 30), 1e6, 0.0, 5.0) for _ in range(4)])
    assert all(one.ci95[0] == 0 and 0.01 < one.ci95[1] < 0.04 for one in found.arms)


def test_planted_arms_are_pooled_and_the_command_says_how_much(tmp_path):
    alphas = (0.30, 0.31, 0.32, 0.33, 0.34)
    rows = arms(alphas)
    found = fit_pooled(rows, "arm", ["alpha"], law="power")
    one = found.parameters["alpha"]
    assert one.mean_ci95[0] < 0.32 < one.mean_ci95[1] and one.spread_ci95[0] <= np.std(alphas, ddof=1)
    ends = [one.arms[arm].ci95 for arm in found.arms]
    assert sum(low < alpha < high for (low, high), alpha in zip(ends, alphas, strict=True)) >= 4
    for arm in found.arms:
        assert found.values[arm]["alpha"] == one.arms[arm].value
    text = "\n".join(found.lines)
    assert "alpha: the 5 arms have a spread of" in text and "% of the way from its own value to the mean" in text
    path = tmp_path / "runs.csv"
    path.write_text("arm,params,loss\n" + "\n".join(f"{r['arm']},{r['params']},{r['loss']}" for r in rows) + "\n")
    words = ["fit", str(path), "--by", "arm", "--law", "power", "--pool", "alpha"]
    told = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)["parameters"]["alpha"]
    assert told["spread"] == one.spread and told["arms"]["a0"]["moved"] == one.arms["a0"].moved
    for more, says in ((["--share", "alpha"], "one of the two"), (["--prior", "alpha=.3~.1"], "neither --plot")):
        refused = CliRunner().invoke(app, [*words, *more]).exception
        assert isinstance(refused, LawfulError) and says in str(refused)


@pytest.mark.parametrize(
    ("rows", "pool", "error", "says"),
    [
        (arms((0.3, 0.3, 0.3)), ["alpha"], Refusal, "has 3 arms .* at least 4"),
        (arms((0.3,) * 4), ["gamma"], DeclarationError, "pool: 'gamma' is no parameter"),
        (arms((0.3,) * 4), ["a"], DeclarationError, "a follows from a_pivot: pool that"),
        (arms((0.3,) * 4), [], DeclarationError, "pool: expected names"),
        (arms((0.3,) * 4, sizes=2), ["alpha"], Refusal, "arm a0: "),
        (arms((0.3,) * 4, cluster=lambda i, j: f"c{j}"), ["alpha"], TableError, "share a cluster .column 'cluster'"),
    ],
)
def test_what_cannot_be_pooled_is_refused(rows, pool, error, says):
    with pytest.raises(error, match=says):
        fit_pooled(rows, "arm", pool, law="power")


def test_rows_of_an_arm_weigh_by_their_error_bars():
    """A row that lies off, with an error bar as long, moves an arm no more; without the bar it does."""
    rows = arms((0.3,) * 4, sizes=8, stderr=lambda i, j: 0.02)
    rows[7] = {**rows[7], "loss": rows[7]["loss"] * 1.5, "stderr": 1.0}
    heeded = fit_pooled(rows, "arm", ["alpha"], law="power").parameters["alpha"].arms["a0"]
    assert heeded.alone == pytest.approx(0.3, abs=0.01)


def test_that_arms_share_the_noise_of_their_seeds_is_said():
    rows = arms((0.3, 0.31, 0.32, 0.33), sizes=8, seed=3)
    shared = 0.02 * np.random.default_rng(4).standard_normal(8)
    rows = [{**row, "seed": 0, "loss": row["loss"] * math.exp(shared[i % 8])} for i, row in enumerate(rows)]
    assert "arms_share_noise" in {one.code for one in fit_pooled(rows, "arm", ["alpha"], law="power").warnings}
