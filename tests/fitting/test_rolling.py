"""Where no law has the form of the runs, errors on the largest runs, left out, weigh laws and widen intervals."""

import math
from dataclasses import replace

import numpy as np
import pytest

import lawful
from lawful.fitting.form import point_of
from lawful.fitting.rolling import SHARES, directions, is_surprised, largest
from lawful.fitting.sisters import Alternatives, Beyond, Growth

PARAMS, TOKENS = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e7, 1e9, 8), np.geomspace(2e8, 2e10, 6)))


def chinchilla(params, tokens):
    return 1.8 + 400 * params**-0.34 + 410 * tokens**-0.28


def crossed(params, tokens):
    """The exponent of size falls with the data, which no law here has: .7 % off the nearest."""
    return 1.8 + 400 * params ** -(0.34 - 0.012 * np.log(tokens / 2e9)) + 410 * tokens**-0.28


def table(law, seed=0, noise=0.001):
    loss = law(PARAMS, TOKENS) * np.exp(noise * np.random.default_rng(seed).standard_normal(len(PARAMS)))
    rows = zip(PARAMS, TOKENS, loss, strict=True)
    return [
        {"params": float(n), "tokens": float(d), "loss": float(y), "run": str(i)} for i, (n, d, y) in enumerate(rows)
    ]


@pytest.fixture(scope="module")
def misfit():
    return lawful.fit(table(crossed), draws=0)


def test_the_error_grows_by_each_direction_with_the_farther_of_its_ways():
    compute = Beyond({"params": 1, "tokens": 1}, math.log(1e16), math.log(1e18))
    size = Beyond({"params": 1}, math.log(1e7), math.log(1e9))
    ratio = Beyond({"params": 1, "tokens": -1}, math.log(0.01), math.log(1.0))
    growth = Growth(0.03, ((0.0004, (compute,)), (0.0009, (size, ratio))), 7.0)
    assert growth.error({"params": 1e8, "tokens": 1e9}) == 0.03
    more = 0.0004 * math.log(100) ** 2
    assert growth.error({"params": 1e9, "tokens": 1e11}) == pytest.approx(math.sqrt(0.03**2 + more))
    more = 0.0009 * math.log(40) ** 2  # 4 times the largest size, 40 times the largest ratio
    assert growth.error({"params": 4e9, "tokens": 1e8}) == pytest.approx(math.sqrt(0.03**2 + more))


def test_an_input_that_may_be_zero_lies_inside_data_with_a_zero():
    way = Beyond({"share": 1}, -math.inf, math.log(0.5))
    assert way.of({"share": 0.0}) == way.of({"share": 0.2}) == 0.0
    assert way.of({"share": 1.0}) == pytest.approx(math.log(2))


def test_the_largest_compute_and_the_largest_sizes_are_left_out_in_turn(misfit):
    data = point_of(misfit, misfit.model)[1]
    compute, size = directions(data)
    flops, sizes = data.values["params"] * data.values["tokens"], np.unique(data.values["params"])
    for mask, share in zip(largest(data, compute, SHARES), SHARES, strict=True):
        assert flops[mask].min() > flops[~mask].max() and mask.mean() == pytest.approx(share, abs=0.1)
    numbers = [len(sizes[sizes >= data.values["params"][mask].min()]) for mask in largest(data, size, SHARES)]
    assert numbers == [1, 2, 3, 4]


def test_a_law_is_surprised_by_runs_of_another_form_alone():
    for seed in range(3):
        fit = lawful.fit(table(chinchilla, seed), "chinchilla", draws=0)
        assert not is_surprised(*point_of(fit, fit.model))
    wrong = lawful.fit(table(crossed), "chinchilla", draws=0)
    assert is_surprised(*point_of(wrong, wrong.model))


def test_where_no_law_fits_forecasts_cover_runs_far_beyond_and_widen_on_the_way(misfit):
    assert misfit.doubt.is_misfit and misfit.doubt.alternatives.growth is not None
    widths = []
    for factor in (1.0, 3.0, 10.0):
        at = {"params": 1e9 * factor, "tokens": 2e10 * factor}
        forecast = misfit.predict(**at, interval="new_run")
        assert forecast.low < crossed(at["params"], at["tokens"]) < forecast.high
        widths.append(math.log(forecast.high / forecast.low))
        assert forecast.high < 1.5 * forecast.low
    assert widths[0] < widths[1] < widths[2]


def test_the_forecast_is_the_mean_of_the_logs_and_its_interval_is_one_of_runs(misfit):
    among, at = misfit.doubt.alternatives, {"params": 4e9, "tokens": 8e10}
    assert sum(among.weights) == pytest.approx(1)
    mean = sum(weight * law.log_loss(at)[0] for weight, law in zip(among.weights, among.laws, strict=True))
    curve, run = (misfit.predict(**at, interval=interval) for interval in ("mean", "new_run"))
    assert curve.value == pytest.approx(math.exp(mean), rel=1e-9)
    assert [run.low, run.high] == pytest.approx([curve.low, curve.high], rel=1e-9)


def test_where_errors_on_runs_left_out_decide_each_law_has_as_much_of_the_best_size(misfit):
    law = misfit.alternatives.laws[0]
    among = Alternatives((law,) * 4, (0.85, 0.08, 0.06, 0.01), True, 60, Growth(0.01, (), 4.0))
    assert among.parts == (0.25,) * 4
    assert [len(values["alpha"]) for _, values in among.drawn(300, seed=0)] == [75] * 4
    assert replace(among, growth=None).parts == among.weights
