"""Arms that share parameters: against a joint straight line, and whether the cost of sharing is found."""

import json

import numpy as np
import pytest
from planted import two_arms
from typer.testing import CliRunner

import lawful
from lawful.cli import app
from lawful.errors import DeclarationError, LawfulError
from lawful.fitting.joint import alone, arm_sample, fit_ladder, weighed_alike
from lawful.fitting.quantiles import f_tail
from lawful.fitting.shared import fit_shared
from lawful.laws import named


def straight(shift=0.0, sigma=0.002):
    """Three arms of one exponent and levels of their own; the third has another exponent, as told."""
    rng = np.random.default_rng(0)
    return [
        {"arm": arm, "params": n, "loss": float(level * n ** -(0.1 + add) * np.exp(sigma * rng.standard_normal()))}
        for arm, level, add in (("a", 20.0, 0.0), ("b", 25.0, 0.0), ("c", 22.0, shift))
        for n in np.geomspace(1e6, 1e9, 8)
    ]


def test_a_shared_slope_is_that_of_the_joint_straight_line():
    rows = straight()
    found = fit_shared(rows, "arm", ["alpha"], law="power")
    arm = np.array(["abc".index(row["arm"]) for row in rows])
    x, y = (np.log([row[name] for row in rows]) for name in ("params", "loss"))
    design = np.column_stack([-x, *(arm == code for code in range(3))])
    beta, rss, *_ = np.linalg.lstsq(design, y, rcond=None)
    error = np.sqrt(rss[0] / (len(y) - 4) * np.linalg.inv(design.T @ design)[0, 0])
    assert found.params["alpha"].value == pytest.approx(
        beta[0], abs=0.5 * error
    )  # Huber's optimum, not that of squares
    low, high = found.params["alpha"].ci95
    assert (high - low) / 2 == pytest.approx(2.086 * error, rel=0.25)  # t of 20 degrees of freedom
    assert set(found.params) == {"a_pivot[a]", "a_pivot[b]", "a_pivot[c]", "alpha"}
    alone = lawful.fit([row for row in rows if row["arm"] == "a"], "power", draws=0).params["alpha"].ci95
    assert high - low < 0.8 * (alone[1] - alone[0])
    assert found.p > 0.05 and found.dof[0] == 2


def test_that_sharing_costs_is_found_where_it_does():
    assert fit_shared(straight(shift=0.01), "arm", ["alpha"], law="power").p < 1e-4


def test_replicates_that_happen_to_lie_close_together_are_no_evidence_against_sharing():
    """Weights by the spread within arms trusted such cells twice and said p = .004 of this table, in which nothing
    differs. Against the F test of the linearised law, unweighted."""
    rows = two_arms(np.random.default_rng([11, 27]), runs=5)
    size, arm = np.array([row["params"] for row in rows]) / 3e7, np.array([row["arm"] == "b" for row in rows])
    power = 1.2 * size**-0.35
    slopes = np.column_stack([power, -power * np.log(size), np.ones(len(size))]) / (1.8 + power)[:, None]
    own, common = slopes * arm[:, None], slopes * ~arm[:, None]
    away = np.log([row["loss"] for row in rows]) - np.log(1.8 + power)
    small, large = (
        np.linalg.lstsq(np.column_stack(columns), away, rcond=None)[1][0]
        for columns in ([own[:, :1], common[:, :1], slopes[:, 1:]], [own, common])
    )
    plain = f_tail((small - large) / 2 / (large / (len(rows) - 6)), 2, len(rows) - 6)
    found = fit_shared(rows, "arm", ["alpha", "E"], law="E + A/N^alpha")
    assert plain > 0.05 and found.p > 0.05
    explained = {one.name: one.p for one in lawful.compare(rows, law="power_floor").explanations}
    assert explained["coefficients differ"] > 0.05  # the same question of another command


def test_arms_of_single_seeds_are_not_weighed_by_how_far_they_lie_apart():
    """Their distance is what is tested: by weights from it, one law was excluded in .91 of 80 tables, .96 without."""
    law = named("power")
    data, arms = arm_sample(straight(shift=0.01), "arm", law, {})
    one, every = fit_ladder(data, law, arms, [frozenset(), frozenset(law.parameters)], {}, {}, alone(data, law, arms))
    assert weighed_alike(one, every, data)[2] is data


def test_any_formula_shares_any_of_its_parameters(tmp_path):
    rows = two_arms(np.random.default_rng(1), gain=1.5)
    found = fit_shared(rows, "arm", ["alpha", "E"], law="E + A/N^alpha")
    assert set(found.params) == {"E", "A_pivot[a]", "A_pivot[b]", "alpha"}
    assert found.params["E"].ci95[0] < 1.8 < found.params["E"].ci95[1] and found.p > 0.01
    path = tmp_path / "runs.csv"
    path.write_text("arm,params,loss\n" + "\n".join(f"{r['arm']},{r['params']},{r['loss']}" for r in rows) + "\n")
    words = ["fit", str(path), "--by", "arm", "--law", "E + A/N^alpha", "--share", "alpha,E"]
    assert "is not shown (F = " in CliRunner().invoke(app, words).output
    assert json.loads(CliRunner().invoke(app, [*words, "--json"]).output)["share"] == ["alpha", "E"]
    without = CliRunner().invoke(app, [*words[:2], "--share", "alpha"])
    assert isinstance(without.exception, LawfulError) and "expected --by" in str(without.exception)


@pytest.mark.parametrize(
    ("share", "says"),
    [
        (["beta"], "'beta' is no parameter"),
        (["a"], "a follows from a_pivot"),
        ([], "got none"),
        (["alpha"] * 2, "once"),
    ],
)
def test_what_cannot_be_shared_is_refused(share, says):
    with pytest.raises(DeclarationError, match=says):
        fit_shared(straight(), "arm", share, law="power")


def test_standard_errors_weigh_the_rows_of_a_shared_fit():
    """Straight lines in the logarithms with one slope: weighted least squares by hand, of known errors."""
    rng = np.random.default_rng(0)
    sizes = np.tile(np.geomspace(1e7, 1e10, 9), 2)
    is_first = np.arange(18) < 9
    error = np.where(rng.random(18) < 0.5, 0.04, 0.004)
    loss = np.where(is_first, 400.0, 300.0) * sizes**-0.1 * np.exp(error * rng.standard_normal(18))
    rows = [
        {"arm": "ab"[not first], "params": size, "loss": value, "stderr": value * own}
        for first, size, value, own in zip(is_first, sizes, loss, error, strict=True)
    ]
    design = np.column_stack([is_first, ~is_first, -np.log(sizes)]) / error[:, None]
    by_hand = np.linalg.lstsq(design, np.log(loss) / error, rcond=None)[0][2]
    found = fit_shared(rows, "arm", ["alpha"], law="power:params").params["alpha"]
    unweighed = fit_shared(rows, "arm", ["alpha"], law="power:params", stderr="none").params["alpha"]
    assert found.value == pytest.approx(by_hand, abs=2e-4) and found.ci95[0] < 0.1 < found.ci95[1]
    assert np.diff(found.ci95) < 0.5 * np.diff(unweighed.ci95)


def test_a_comparison_of_arms_that_share_an_exponent_is_of_the_others_and_sharper():
    """A factor of .97 between arms of one exponent. The test of sharing is that of fit --by --share; the intervals of
    what is left are narrower, as one parameter fewer is estimated."""
    rows = two_arms(np.random.default_rng(5), gain=1.3)
    law = "E + A/N^alpha"
    plain = lawful.compare(rows, law=law, paired=False)
    found = lawful.compare(rows, law=law, paired=False, share=["alpha"])
    assert found.sharing.p == pytest.approx(fit_shared(rows, "arm", ["alpha"], law=law).p, rel=1e-6)
    assert plain.sharing is None and found.sharing.share == ("alpha",)
    assert not found.differences and plain.differences  # of exponents
    assert found.params["a"]["alpha"] == found.params["b"]["alpha"]
    (own,), (shared,) = plain.multipliers, found.multipliers
    assert shared.ci95[0] < 1 / 1.3 < shared.ci95[1]
    assert np.ptp(shared.ci95) < np.ptp(own.ci95)
    assert {tuple(one.own) for one in found.explanations} == {(), ("E",), ("A_pivot",), ("A_pivot", "E")}


def test_an_answer_that_rests_on_a_wrong_sharing_says_so(tmp_path):
    rows = two_arms(np.random.default_rng(5), shift=0.05)
    path = tmp_path / "runs.csv"
    path.write_text("arm,params,loss\n" + "\n".join(f"{r['arm']},{r['params']},{r['loss']}" for r in rows) + "\n")
    for command, *more in (["compare"], ["crossover", "--draws", "0"]):
        words = [command, str(path), "--law", "power_floor:params", "--share", "alpha", *more]
        told = CliRunner().invoke(app, words).output
        assert "Sharing alpha costs: the arms differ in it (F = " in told and "severe: sharing_costs" in told


def test_a_crossing_of_arms_that_share_an_exponent_is_that_of_their_law():
    """Floors of 1.8 and 1.9 and one exponent of .35: the arms cross where 1.2 (x^-.35 - (x/g)^-.35) is .1."""
    rng = np.random.default_rng(2)
    rows = two_arms(rng, gain=16.0, lift=0.1, sigma=0.002)
    found = lawful.crossover(rows, law="power_floor:params", share=["alpha"], draws=0)
    right = 3e7 * (0.1 / 1.2 / (1 - 16**-0.35)) ** (-1 / 0.35)
    assert found.sharing.p > 0.01
    low, high = found.set95[0]
    assert low < right < high


@pytest.mark.parametrize("ask", [lawful.compare, lawful.crossover])
def test_sharing_all_or_what_is_no_parameter_is_refused(ask):
    rows = two_arms(np.random.default_rng(1))
    with pytest.raises(DeclarationError, match="'gamma' is no parameter"):
        ask(rows, law="power_floor:params", share=["gamma"])
    with pytest.raises(DeclarationError, match="all of them"):
        ask(rows, law="power_floor:params", share=["E", "a_pivot", "alpha"])
