"""What one screen says of the best use of a budget, no other withdraws: the terminal, its JSON, the page and Python."""

import csv
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest

import lawful
from in_process import lawful as command
from lawful.fitting.answer_table import answer_of_fit, with_run_names
from lawful.report import compute_charts
from lawful.report.calculator import calculator
from lawful.report.table_page import evidence_of_table

SIZES, TOKENS = np.geomspace(1e7, 1e9, 5), np.geomspace(2e8, 4e10, 5)


def chinchilla(n, d):
    return 1.7 + 400 * n**-0.34 + 410 * d**-0.28


def limited(n, d, unique=3e9):
    """Only so many tokens are new."""
    worth = min(d, unique) * (1 + 15.39 * (1 - np.exp(-(max(d / unique, 1) - 1) / 15.39)))
    return chinchilla(n, worth)


def write(path, law, seed, noise):
    rng = np.random.default_rng([20, seed])
    rows = [(n, d, law(n, d) * np.exp(noise * rng.standard_normal())) for n, d in itertools.product(SIZES, TOKENS)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("params", "tokens", "loss"), *rows])
    return path


def of_terminal(said, name):
    """As in `  params           1.56e+09 [1.48e+09, 1.64e+09]`."""
    found = re.search(rf"^  {name} +(\S+) \[(\S+), (\S+)\]", said, re.MULTILINE)
    return [float(number) for number in found.groups()]


@pytest.mark.parametrize(
    ("law", "seed", "noise", "is_averaged", "best"),
    [
        (chinchilla, 1, 0.002, False, "chinchilla"),
        (chinchilla, 2, 0.002, True, "chinchilla"),
        (limited, 1, 0.002, True, "data_limited"),
    ],
    ids=["right law", "right law beside a doubtful sister", "wrong law"],
)
def test_the_terminal_json_the_page_and_python_say_one_interval_of_the_best_use_of_a_budget(
    law, seed, noise, is_averaged, best, tmp_path, monkeypatch
):
    monkeypatch.setattr("lawful.fitting.allocate.FORM_DRAWS", 60)  # the rest is speed
    monkeypatch.setattr("lawful.fitting.diminishing.FEW_DRAWS", 10)
    monkeypatch.setattr("lawful.fitting.allocate.FEW_DRAWS", 10)
    path = write(tmp_path / "runs.csv", law, seed, noise)
    table = with_run_names(lawful.read_runs(path))
    fit = lawful.fit(table, "chinchilla", draws=200)
    assert (fit.alternatives is not None) == is_averaged
    assert (fit.alternatives.best.name if is_averaged else fit.law) == best

    monkeypatch.setattr(compute_charts, "BUDGETS", 3)
    page = str(calculator(evidence_of_table(table, [answer_of_fit(table, fit)], Path("page.html"))))
    drawn = json.loads(re.search(r"<script[^>]*>(.*?)</script>", page, re.DOTALL).group(1))["frontier"]
    assert drawn["law"] == best
    budget = drawn["flops"][-1]

    ours = fit.allocate(flops=budget)
    words = ("allocate", path, "--law", "chinchilla", "--draws", 200, "--flops", budget)
    as_json = json.loads(command(*words, "--json").stdout)["allocation"]
    monkeypatch.setattr("lawful.fitting.fit", lambda *_, **__: fit)  # the same again
    said = command(*words).stdout
    for name in ("params", "tokens", "loss", "tokens_per_param", "N_exponent", "D_exponent"):
        own = getattr(ours, name)
        numbers = [own.value, own.low, own.high]
        assert [as_json[name][end] for end in ("value", "low", "high")] == pytest.approx(numbers, rel=1e-9)
        assert of_terminal(said, name) == pytest.approx(numbers, rel=0.05)  # two digits are shown
        if name in drawn:
            assert drawn[name][-1] == pytest.approx(numbers, rel=1e-5)
    for name in ("N_exponent", "D_exponent"):
        own = getattr(ours, name)
        assert (own.value, own.low, own.high) == (fit.params[name].value, *fit.params[name].ci95)

    forecast = fit.predict(params=ours.params.value, tokens=ours.tokens.value, interval="mean")
    assert [ours.loss.value, ours.loss.low, ours.loss.high] == [forecast.value, forecast.low, forecast.high]
    assert any("averages over" in one.sentence for one in ours.warnings) == is_averaged
    assert ours.warnings and is_averaged == (said.count("averages over") == 1)
