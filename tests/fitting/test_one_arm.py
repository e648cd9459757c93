"""One law is not fitted to the rows of several arms unless the user says so; `check` reads a table as `fit` does."""

from __future__ import annotations

import random

import pytest

import lawful
from lawful.errors import DeclarationError, Refusal, TableError


def two_arms(name="arm"):
    dice = random.Random(7)
    return [
        {name: arm, "params": n, "seed": seed, "loss": (2 + a * n**-0.3) * dice.gauss(1, 0.002)}
        for arm, a in (("gelu", 40), ("swiglu", 34))
        for n in (1e6, 2e6, 4e6, 8e6, 1.6e7, 3.2e7)
        for seed in range(2)
    ]


def test_rows_of_two_arms_are_asked_about_and_fitted_apart_or_as_noise():
    rows = two_arms()
    with pytest.raises(Refusal, match=r"expected the runs of one arm, got gelu, swiglu in 'arm'\. Compare them") as it:
        lawful.fit(rows, "power_floor:params", draws=0)
    assert it.value.code == "pooled_settings"
    one = lawful.fit([row for row in rows if row["arm"] == "gelu"], "power_floor:params", draws=0)
    told = lawful.fit(lawful.read_runs(rows, as_noise=["arm"]), "power_floor:params", draws=0)
    assert one.goodness.n == 12 and told.goodness.n == 24
    assert told.goodness.rmse_log > 3 * one.goodness.rmse_log  # what pooling would have called noise


def test_check_of_a_table_of_two_arms_goes_on_with_their_comparison():
    found = lawful.check(two_arms())
    assert found.arms == ("gelu", "swiglu") and found.command.startswith("lawful compare ")
    assert "The runs are of 2 arms (gelu, swiglu)" in found.summary()
    assert lawful.check(two_arms(), as_noise=["arm"]).command.startswith("lawful fit ")


def test_a_comparison_without_a_column_of_that_name_says_which_option_names_one():
    with pytest.raises(TableError, match=r"names the arms, got none called 'arm'. Name it \(--by COLUMN\): optimizer"):
        lawful.compare(two_arms("optimizer"), law="power_floor:params")
    third = [{**row, "arm": "relu"} for row in two_arms() if row["arm"] == "gelu"]
    with pytest.raises(DeclarationError, match="--arms FIRST,SECOND"):
        lawful.crossover([*two_arms(), *third], law="power_floor:params", draws=0)


def test_check_leaves_out_and_reduces_what_it_is_told_to(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("size,loss\n" + "".join(f"{10**n},{3 - n / 10}\n" for n in range(6, 11)) + "100,\n")
    assert "expected a positive loss" in lawful.check(path, params="size").problem
    found = lawful.check(path, params="size", skip_bad_rows=True)
    assert not found.problem and len(found.dropped) == 1 and "--skip-bad-rows" in found.command
    rows = [f"r{n},{10**n},{step},{3 - n / 10 - step / 100}\n" for n in range(6, 11) for step in (1, 2)]
    path.write_text("run,params,step,loss\n" + "".join(rows))
    assert "--reduce last" in lawful.check(path).problem
    found = lawful.check(path, reduce="last")
    assert not found.problem and "--reduce last" in found.command
