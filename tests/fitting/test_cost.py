"""What a budget buys under any cost: against closed forms, a published table, and brute force over a fine grid."""

from dataclasses import astuple, replace

import numpy as np
import pytest
from planted import CHINCHILLA, chinchilla_loss
from typer.testing import CliRunner

import lawful
from lawful.cli import app
from lawful.errors import DeclarationError, LawfulError, Refusal
from lawful.fitting.cost import cost_of, price_of
from lawful.fitting.optimum import Spending, as_draw, best_size

# as Sardana et al. use them (arXiv:2401.00448), from Hoffmann et al. 2022 before rounding
SARDANA = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.336, "beta": 0.283}


def surface(law=CHINCHILLA, sigma=0.003, sizes=(1e7, 1e10), lengths=(1e9, 1e12), loss=chinchilla_loss):
    rng = np.random.default_rng(0)
    return [
        {"params": n, "tokens": d, "loss": float(loss(n, d, law) * np.exp(sigma * rng.standard_normal()))}
        for n in np.geomspace(*sizes, 6)
        for d in np.geomspace(*lengths, 5)
    ]


@pytest.fixture(scope="module")
def drawn():
    return lawful.fit(surface(), "chinchilla", draws=200)


@pytest.fixture(scope="module")
def fit(drawn):
    """Without draws: for points alone."""
    return replace(drawn, draws=())


def by_brute_force(fit, tokens_of, sizes=(1e6, 1e13)):
    """The best of 200,001 sizes, each with the tokens that the budget leaves it."""
    size = np.geomspace(*sizes, 200_001)
    tokens = tokens_of(size)
    kept = tokens > 0
    loss = fit.loss(fit.values, {"params": size[kept], "tokens": tokens[kept]})
    return size[kept][np.argmin(loss)], loss.min()


def test_six_n_d_as_a_formula_is_the_default_and_serving_moves_its_interval_too(drawn):
    default, formula = drawn.allocate(flops=1e21), drawn.allocate(flops=1e21, cost="6*N*D")
    assert astuple(formula.params) == pytest.approx(astuple(default.params), rel=1e-6)
    assert formula.readings == default.readings
    served = drawn.allocate(flops=1e21, serve_tokens=1e13)
    assert served.params.low < served.params.value < served.params.high < default.params.low
    assert served.serving.low < served.serving.value < served.serving.high


@pytest.mark.parametrize("served", [1e10, 1e12, 3e13])
def test_with_inference_the_best_size_is_that_of_brute_force_and_is_smaller(fit, served):
    best = fit.allocate(flops=1e22, serve_tokens=served)
    size, loss = by_brute_force(fit, lambda n: (1e22 - 2 * n * served) / (6 * n))
    assert best.params.value == pytest.approx(size, rel=2e-4)
    assert best.loss.value == pytest.approx(loss, rel=1e-9)
    assert best.serving.value == pytest.approx(2 * best.params.value * served)
    assert 6 * best.params.value * best.tokens.value + best.serving.value == pytest.approx(1e22)
    assert best.params.value < fit.allocate(flops=1e22).params.value
    written = fit.allocate(flops=1e22, serve_tokens=served, cost="6*N*D + 2*N*T")
    assert written.params.value == pytest.approx(best.params.value, rel=1e-6)
    assert written.serving.value == pytest.approx(best.serving.value, rel=1e-6)


def test_a_model_of_the_quality_of_13B_that_serves_2T_tokens_is_a_7B_for_a_sixth_less():
    """Sardana et al. 2024, figure 1: 1.7e22 FLOPs (17 %) are saved by a 7B."""
    law, size, served = SARDANA, 13e9, 2e12
    share = (law["alpha"] + law["beta"]) / law["beta"]
    at_one = (law["alpha"] * law["A"] / (law["beta"] * law["B"])) ** (1 / (law["alpha"] + law["beta"]))
    tokens = (size / at_one) ** share / size  # Chinchilla-optimal: C / 6 = (N / G)^((a + b) / b)
    wanted, whole = chinchilla_loss(size, tokens, law), 6 * size * tokens + 2 * size * served
    fit = lawful.fit(surface(law, sigma=0.0, sizes=(1e8, 3e10), lengths=(1e10, 3e12)), "chinchilla", draws=0)
    best = fit.allocate(flops=whole - 1.69e22, serve_tokens=served)
    assert best.loss.value == pytest.approx(wanted, rel=2e-5)
    assert best.params.value == pytest.approx(7e9, rel=0.02)
    assert 1.69e22 / whole == pytest.approx(0.17, abs=0.005)


def test_a_cost_that_is_no_straight_line_of_the_tokens_is_solved_as_well(fit):
    def tokens_of(size):  # 6 N D + 1e-3 D^2 = 1e21
        return (-6 * size + np.sqrt(36 * size**2 + 4e-3 * 1e21)) / 2e-3

    spending = Spending(cost_of("6*N*D + 0.001*D^2", 0.0, {}))
    size, _ = best_size(fit, as_draw(fit.values), 1e21, spending)
    assert size == pytest.approx(by_brute_force(fit, tokens_of)[0], rel=2e-4)
    bent = cost_of("6*N*max(D, 1)", 0.0, {}).tokens(np.array([1e8, 1e9]), 1e21)
    assert bent == pytest.approx([1e21 / 6e8, 1e21 / 6e9], rel=1e-9)


def test_a_price_turns_a_sum_into_a_budget(fit):
    per_hour = fit.allocate(budget=1e6, price="2.5 per GPU-hour at 4e14 FLOP/s")
    assert per_hour.flops == pytest.approx(1e6 / 2.5 * 3600 * 4e14)
    assert per_hour.money == pytest.approx(1e6)
    assert per_hour.params.value == fit.allocate(flops=per_hour.flops).params.value
    assert price_of("2e-18 per FLOP").per_flop == 2e-18
    for text in ("2.5", "2.5 per hour", "0 per FLOP", "-1 per FLOP", "2 per GPU-hour at 0 FLOP/s", "nan per FLOP"):
        with pytest.raises(DeclarationError, match="price: expected"):
            price_of(text)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"cost": "6*N*D + 2*N*T"}, "T is the tokens of inference"),
        ({"cost": "6*N*D", "serve_tokens": 1e12}, "does not read T"),
        ({"cost": "6*N"}, "does not read D"),
        ({"cost": "6*N*D*E"}, "--at E=NUMBER"),
        ({"cost": "C + N*D"}, "C is what the formula gives"),
        ({"cost": "6*N*param(D)"}, "no parameters"),
        ({"cost": "6*N*+"}, r"cost: expected a number.*\n.*\n *\^"),
        ({"at": {"experts": 8}}, "neither the law nor the cost"),
        ({"at": {"params": 1e9}}, "neither the law nor the cost"),
        ({"budget": 1e6, "flops": None}, "needs a price"),
        ({"budget": 1e6, "price": "1 per FLOP"}, "one of them"),
        ({"flops": None}, "expected a budget"),
        ({"flops": 1e10, "cost": "6*N*D + 1e20"}, "pays for no size at all"),
        ({"cost": "6*N*D - 1e-3*D^2"}, "rises with D"),
        ({"cost": "N^2/D"}, "rises with D"),
        ({"cost": "-6*N*D"}, "above 0"),
        ({"flops": 1.0}, "less than one: check the units"),
        ({"serve_tokens": 1e30}, "less than one: check the units"),
    ],
)
def test_a_cost_that_cannot_be_meant_is_refused(fit, how, says):
    with pytest.raises(DeclarationError, match=f"(?s){says}"):
        fit.allocate(**{"flops": 1e21, **how})


def test_a_name_that_only_the_cost_reads_is_held_by_at(fit):
    best = fit.allocate(flops=1e21, cost="6*N*D*overhead", at={"overhead": 2.0})
    assert best.params.value == pytest.approx(fit.allocate(flops=5e20).params.value)
    assert best.held == {"overhead": 2.0} and "overhead = 2" in best.cost


def test_another_input_of_the_law_is_held_and_asked_for_by_name():
    rng = np.random.default_rng(1)
    table = [
        {"params": n, "tokens": d, "bits": p,
         "loss": float((1.8 + 400 / (n * (1 - np.exp(-p / 3))) ** 0.35 + 2000 / d**0.37)
                       * np.exp(0.002 * rng.standard_normal()))}
        for n in (1e7, 1e8, 1e9) for d in (1e9, 1e10, 1e11) for p in (3, 4, 8, 16)
    ]  # fmt: skip
    found = lawful.fit(table, "precision", draws=0)
    with pytest.raises(DeclarationError, match="also reads bits: say where to hold it, --at bits=VALUE"):
        found.allocate(flops=1e20)
    low, high = (found.allocate(flops=1e20, cost="6*N*D*bits/16", at={"bits": bits}) for bits in (4, 16))
    size = np.geomspace(1e6, 1e12, 200_001)
    for best, bits in ((low, 4), (high, 16)):
        loss = found.loss(found.values, {"params": size, "tokens": 1e20 * 16 / bits / 6 / size, "bits": bits})
        assert best.params.value == pytest.approx(size[np.argmin(loss)], rel=2e-4)


def test_a_metric_that_rises_is_made_as_high_as_the_budget_allows():
    def accuracy(n, d, law):
        return 0.9 - 0.6 * np.exp(-1.0 / (30 / n**0.2 + 60 / d**0.22))

    table = surface(sigma=0.001, loss=accuracy)
    law = lawful.Law("top - gain*exp(-1/(a/N^alpha + b/D^beta))", bounds={"top": (0, 1), "gain": (0, 1)})
    found = lawful.fit(table, law, draws=0)
    best = found.allocate(flops=1e21)
    size = np.geomspace(1e6, 1e12, 200_001)
    metric = found.loss(found.values, {"params": size, "tokens": 1e21 / 6 / size})
    assert best.is_rising
    assert best.params.value == pytest.approx(size[np.argmax(metric)], rel=2e-3)
    assert best.loss.value == pytest.approx(metric.max(), rel=1e-6)


def test_arguments_of_a_wrong_kind_are_named(fit):
    for name, value in (("flops", "1e21"), ("flops", -1.0), ("budget", float("inf")), ("serve_tokens", "many")):
        with pytest.raises(DeclarationError, match=f"^{name}: expected"):
            lawful.allocate(fit, **{"flops": 1e21, name: value} if name == "serve_tokens" else {name: value})


def test_a_law_without_an_optimum_is_refused_under_any_cost(fit):
    for cost in ("6e9*D", "6e9*D + 2*N*T"):
        serve = 1e9 if "T" in cost else 0.0
        if serve:  # size is paid for by inference alone, so there is a best one
            assert fit.allocate(flops=1e21, cost=cost, serve_tokens=serve).params.value > 0
        else:
            with pytest.raises(Refusal, match="falls towards ever larger models"):
                fit.allocate(flops=1e21, cost=cost)


def test_a_law_to_which_every_size_is_as_good_has_no_best_one():
    """A law of the product N D: what was named was the smallest by rounding."""
    table = surface(loss=lambda n, d, law: 1.7 + 300 * (n * d) ** -0.1)
    found = lawful.fit(table, "E + a/(N*D)^gamma", draws=0)
    with pytest.raises(Refusal, match="every size is as good"):
        found.allocate(flops=1e21)
    with pytest.raises(Refusal, match="every smaller size is as good"):
        found.allocate(flops=1e21, serve_tokens=1e12)


def test_far_beyond_the_data_the_times_of_the_largest_compute_are_said(fit):
    (far,) = [w for w in fit.allocate(flops=6e26).warnings if w.code == "far_extrapolation"]
    assert "training compute is 1e+04 times the largest of the data: it rests on the law's form" in far.sentence
    inside = fit.allocate(flops=1e20).warnings
    assert not any("times the largest" in w.sentence for w in inside)


def test_the_command_line_says_what_is_paid_for(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text(
        "params,tokens,loss\n" + "\n".join(f"{r['params']},{r['tokens']},{r['loss']}" for r in surface()) + "\n"
    )
    words = ["allocate", str(path), "--law", "chinchilla", "--draws", "0", "--cost", "6*N*D + 2*N*T"]
    words += ["--serve-tokens", "2e12", "--budget", "20000", "--price", "2e-18 per FLOP"]
    out = CliRunner().invoke(app, words).output
    assert "for 1e+22 FLOPs (6*N*D + 2*N*T, T = 2e+12), 2e+04 at 2e-18 per FLOP" in out
    assert "for inference" in out
    wrong = CliRunner().invoke(app, [*words[:6], "--flops", "1e21", "--cost", "free"])
    assert isinstance(wrong.exception, LawfulError) and str(wrong.exception).startswith("--cost: expected")


def test_along_one_axis_a_rising_metric_stops_paying_where_its_last_worthwhile_doubling_ends():
    """The gain of a doubling first rises along a sigmoid, then falls."""

    def metric(c):
        return 0.2 + 0.6 / (1 + (1e18 / c) ** 0.6)

    rng = np.random.default_rng(0)
    noise = np.exp(1e-4 * rng.standard_normal(12))
    table = [
        {"flops": c, "loss": float(metric(c) * z)} for c, z in zip(np.geomspace(1e15, 1e20, 12), noise, strict=True)
    ]
    found = lawful.fit(table, "sigmoid", draws=0).diminishing_returns(threshold=0.03)
    grid = np.geomspace(1e16, 1e22, 100_001)
    last = grid[metric(2 * grid) - metric(grid) >= 0.03][-1]
    assert found.at.value == pytest.approx(last, rel=0.02)


def test_of_arms_with_a_rising_metric_the_higher_one_is_ahead():
    rng = np.random.default_rng(0)
    table = [
        {"arm": arm, "flops": c,
         "accuracy": float((0.2 + gain / (1 + (1e18 / c) ** 0.6)) * np.exp(2e-3 * rng.standard_normal()))}
        for arm, gain in (("better", 0.6), ("worse", 0.5)) for c in np.geomspace(1e16, 1e20, 10)
    ]  # fmt: skip
    found = lawful.crossover(table, law="sigmoid", loss="accuracy", draws=0)
    assert found.better_large == "better" and "accuracy is higher for better at small flops" in found.sentence
