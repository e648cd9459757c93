"""The tables on which lawful was once wrong give their right values; they lie beside the data sets."""

import os
from pathlib import Path
from typing import Any

import pytest

import lawful
from lawful.errors import LawfulError, Refusal
from lawful.fitting.isoflop import isoflop
from lawful.tables import read_runs

CASES = Path(os.environ["LAWFUL_DATA"]).parent / "cases" / "tables" if "LAWFUL_DATA" in os.environ else Path("/absent")
pytestmark = [
    pytest.mark.needs_data,
    pytest.mark.skipif(not CASES.is_dir(), reason="the cases lie beside LAWFUL_DATA, and are not here"),
]


def alpha(name: str, **how: Any) -> tuple[int, float]:
    fit = lawful.fit(read_runs(CASES / name, **how), draws=0)
    return fit.goodness.n, round(fit.params["alpha"].value, 3)


AS_BASE = (
    "units units_lower thousands semicolon semicolon_point sep tab_in_csv utf16 latin1 comment spaces_header upper "
    "trail_blank trailing run_blank".split()
)
OTHER_BASE = [
    "records.json",
    "columns.json",
    "split.json",
    "base.csv.gz",
    "bom.jsonl",
    "strnum.jsonl",
    "nested.jsonl",
    "timestamp.parquet",
]


@pytest.mark.parametrize("name", [*(f"{name}.csv" for name in AS_BASE), *OTHER_BASE])
def test_the_same_runs_however_they_are_written(name: str) -> None:
    assert alpha(name) == (30, 0.341)


@pytest.mark.parametrize(
    "name", ["held_1", "held_1.0", "held_Yes", "held_YES", "held_T", "held_x", "held_true", "held_yes"]
)
def test_rows_that_are_held_out_stay_out(name: str) -> None:
    assert alpha(f"{name}.csv") == (25, 0.337)


@pytest.mark.parametrize("name", ["mlflow_upper", "status_cap", "status_completed", "status_lower", "wandb_state"])
def test_rows_of_runs_that_did_not_finish_stay_out(name: str) -> None:
    assert alpha(f"{name}.csv") == (27, 0.336)


@pytest.mark.parametrize("name", ["hist_ID", "hist_model", "hist_name", "hist_run.id", "hist_run_name"])
def test_checkpoints_of_a_run_are_one_cluster(name: str) -> None:
    fit = lawful.fit(CASES / f"{name}.csv", draws=0)
    assert (fit.goodness.n, fit.goodness.clusters) == (360, 6)
    assert "few_clusters" in {warning.code for warning in fit.warnings}


def test_numbers_of_replicates_are_not_runs() -> None:
    assert lawful.fit(CASES / "run_is_replicate.csv", draws=0).goodness.clusters == 54


@pytest.mark.parametrize("name", ["loss_and_val_loss", "train_eval"])
def test_the_validation_loss_is_taken(name: str) -> None:
    fit = lawful.fit(CASES / f"{name}.csv", draws=0)
    assert fit.params["E"].value == pytest.approx(1.8, abs=0.03)


@pytest.mark.parametrize("name", ["L_layers", "D_dmodel", "C_context"])
def test_a_letter_is_taken_by_its_values(name: str) -> None:
    assert lawful.fit(CASES / f"{name}.csv", draws=0).params["E"].value == pytest.approx(1.8, abs=0.03)


@pytest.mark.parametrize("name", ["dotted_thousands", "comma_decimal_quoted"])
def test_numbers_of_the_continent(name: str) -> None:
    n, found = alpha(f"{name}.csv")
    assert n == 18 and found == pytest.approx(0.34, abs=0.02)


def test_millions_are_converted_where_they_are_named_and_asked_about_where_not() -> None:
    fit = lawful.fit(CASES / "millions_named.csv", draws=0)
    assert fit.params["alpha"].value == pytest.approx(0.34, abs=0.02)
    assert fit.allocate(flops=1e21).params.value == pytest.approx(1.8e9, rel=0.25)
    with pytest.raises(LawfulError, match="--unit params=millions"):
        read_runs(CASES / "millions.csv")
    with pytest.raises(LawfulError, match="--unit compute=PF-days"):
        read_runs(CASES / "pfdays.csv")


def test_a_sweep_is_asked_about_or_its_best_taken() -> None:
    with pytest.raises(Refusal, match="differ in 'lr'"):
        lawful.fit(CASES / "lr_sweep.csv", draws=0)
    best = lawful.fit(read_runs(CASES / "lr_sweep.csv", best=["lr"]), draws=0).predict(params=1e9, tokens=2e10)
    assert best.value == pytest.approx(2.677, abs=0.002)


@pytest.mark.parametrize(
    "name", ["blank_loss.csv", "nan_loss.csv", "inf_loss.csv", "na_loss.csv", "nan.jsonl", "null.jsonl"]
)
def test_a_row_without_a_loss_is_left_out_where_it_is_asked(name: str) -> None:
    with pytest.raises(LawfulError, match="--skip-bad-rows"):
        read_runs(CASES / name)
    table = read_runs(CASES / name, skip_bad_rows=True)
    assert len(table) == 29 and len(table.dropped) == 1


@pytest.mark.parametrize("name", ["hist_sparse.csv", "hist_sparse_blank.csv", "hf_log.jsonl"])
def test_rows_of_a_log_without_the_validation_loss_are_no_observations(name: str) -> None:
    table = read_runs(CASES / name)
    assert table.dropped and all(row["reason"].startswith("no ") for row in table.dropped)
    assert lawful.fit(table, draws=0).params["alpha"].value == pytest.approx(0.34, abs=0.06)


def test_an_arm_without_a_name_is_called_empty() -> None:
    found = lawful.compare(CASES / "arms_blank.csv", "arm")
    assert "(empty) needs 0.6" in found.sentence


def test_arms_that_are_yes_and_no_are_told_apart_and_one_arm_in_two_spellings_is_asked_about() -> None:
    found = lawful.compare(CASES / "arms_bool.csv", "use_swiglu")
    assert "at fixed loss False needs 0.617" in found.sentence
    with pytest.raises(LawfulError, match="differ in case or blanks alone: 'GELU', 'gelu'"):
        lawful.compare(CASES / "arms_case.csv", "arm")


def test_budgets_that_differ_by_some_per_cent_are_one_and_the_truth_is_inside() -> None:
    found = isoflop(CASES / "isoflop_jitter.csv")
    low, high = found.N_exponent_ci95
    assert low <= 0.4516 <= high and len(found.curves) == 5


def test_a_floor_below_zero_is_found_where_it_is_asked_for() -> None:
    table = read_runs(CASES / "so_offset_negative.csv", loss="y", params="x", units={"x": "1"})
    found = lawful.fit(table, "power_floor:params", bounds={"E": (-5.0, 5.0)}, draws=0)
    assert found.params["E"].value == pytest.approx(-1.1, abs=0.02)
    assert found.params["alpha"].value == pytest.approx(0.45, abs=0.01)


def test_what_rises_is_refused_with_what_to_do() -> None:
    table = read_runs(CASES / "so_rising.csv", loss="y", params="x", units={"x": "1"})
    with pytest.raises(Refusal, match="does not fall"):
        lawful.fit(table, "power_floor:params", draws=0)
    with pytest.raises(LawfulError, match="'accuracy' rises as models get better. Name it"):
        lawful.fit(CASES / "acc.csv", draws=0)


def test_a_perplexity_is_fitted_by_its_logarithm() -> None:
    found = lawful.fit(CASES / "ppl.csv", draws=0)
    assert found.data.loss_unit == "nats"
    low, high = found.params["alpha"].ci95
    assert low <= 0.34 <= high


@pytest.mark.parametrize("kind", ["decayed", "padding"])
def test_no_is_no_however_it_is_written(kind: str) -> None:
    def refusal(name: str) -> str:
        with pytest.raises(Refusal) as refused:
            lawful.fit(CASES / name, draws=0)
        return refused.value.code

    assert {refusal(f"{kind}_{word}.csv") for word in ("FALSE", "0", "no")} == {
        {"decayed": "undecayed_losses", "padding": "padding_in_loss"}[kind]
    }


def test_a_run_that_was_exported_twice_counts_once() -> None:
    found = lawful.fit(CASES / "wandb_dup_ts.csv", draws=0)
    assert (found.goodness.n, round(found.params["alpha"].value, 3)) == (30, 0.341)


def test_held_out_as_0_and_1_of_json_and_the_plain_table() -> None:
    assert alpha("held_int.jsonl") == (15, 0.329)  # 18 runs, 3 of them held out
    assert alpha("base.csv") == (30, 0.341)


def test_the_best_of_a_sweep_is_as_many_runs_as_there_are_points() -> None:
    best = read_runs(CASES / "lr_sweep.csv", best=["lr"])
    assert len(best) == len(read_runs(CASES / "lr_sweep_best.csv"))
