"""Columns: which one is the size, the data, the loss, the run; what is asked about rather than guessed."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lawful
from lawful.errors import DeclarationError, Refusal, TableError
from lawful.tables import Observations, read_rows, read_runs
from lawful.tables.where import condition


def planted(**more: Any) -> list[dict[str, Any]]:
    """Twelve runs; more: column -> a function of (row number, params, tokens, loss), or one value."""
    rows = []
    for i, (n, d) in enumerate((n, d) for n in (1e7, 1e8, 1e9) for d in (1e9, 4e9, 1.6e10, 6.4e10)):
        loss = 1.8 + 400 * n**-0.34 + 410 * d**-0.28
        row = {"N": n, "D": d, "loss": loss}
        rows.append(row | {name: made(i, n, d, loss) if callable(made) else made for name, made in more.items()})
    return rows


def renamed(**names: str) -> list[dict[str, Any]]:
    return [{names.get(name, name): cell for name, cell in row.items()} for row in planted()]


NAMES = {
    "params": [
        "params",
        "PARAMS",
        "n_params",
        "num_params",
        "nParams",
        "config.params",
        "params.n_params",
        "Parameters",
    ],
    "tokens": ["tokens", "train_tokens", "tokensSeen", "config/tokens", "params.D", "consumed_tokens"],
    "loss": ["loss", "val_loss", "val/loss", "eval_loss", "Validation Loss", "metrics.val_loss", "summary.val_loss"],
}


@pytest.mark.parametrize(("role", "name"), [(role, name) for role, names in NAMES.items() for name in names])
def test_usual_names_are_recognised_however_they_are_written(role: str, name: str) -> None:
    old = {"params": "N", "tokens": "D", "loss": "loss"}[role]
    table = read_runs(renamed(**{old: name}))
    assert table.roles[role] == name
    assert f"{role} {name!r}" in " ".join(table.said)


@pytest.mark.parametrize(
    ("name", "cells", "role"),
    [
        ("L", [6, 12, 24], "loss"),
        ("C", [1024, 2048, 4096], "flops"),
        ("U", [1, 2, 3], "unique_tokens"),
    ],
)
def test_a_letter_is_no_role_where_its_values_do_not_bear_it_out(name: str, cells: list[int], role: str) -> None:
    table = read_runs(planted(**{name: lambda i, *_: cells[i % 3]}))
    assert table.roles.get(role) != name


def test_a_width_called_d_is_no_number_of_tokens() -> None:
    rows = [{**row, "tokens": row["D"], "D": 512 * (1 + i % 4)} for i, row in enumerate(planted())]
    assert read_runs(rows).roles["tokens"] == "tokens"
    assert "tokens" not in read_runs([{k: v for k, v in row.items() if k != "tokens"} for row in rows]).roles


def test_a_validation_loss_goes_before_a_training_loss_which_is_never_taken_without_a_word() -> None:
    table = read_runs(planted(val_loss=lambda i, n, d, loss: loss + 0.1))
    assert table.roles["loss"] == "val_loss"
    alone = read_runs(renamed(loss="train_loss"))
    assert alone.roles["loss"] == "train_loss" and "a training loss" in " ".join(alone.said)


def test_where_two_columns_could_serve_and_differ_the_user_is_asked() -> None:
    rows = planted(val_loss=lambda i, n, d, loss: loss, eval_loss=lambda i, n, d, loss: loss * 1.1)
    with pytest.raises(TableError, match=r"'val_loss' and 'eval_loss' could each be the loss.*--loss-column"):
        read_runs(rows)
    assert read_runs(rows, loss="eval_loss").roles["loss"] == "eval_loss"
    same = planted(val_loss=lambda i, n, d, loss: loss, eval_loss=lambda i, n, d, loss: loss)
    assert read_runs(same).roles["loss"] == "val_loss"


UNITS = [("params (M)", 1e6), ("params [millions]", 1e6), ("params_m", 1e6), ("n_params_in_millions", 1e6)]
UNITS += [("params (B)", 1e9), ("Parameters (billions)", 1e9), ("params_b", 1e9), ("params (1e6)", 1e6)]


@pytest.mark.parametrize(("name", "unit"), UNITS)
def test_counts_in_a_unit_that_the_name_gives_are_converted_and_said(name: str, unit: float) -> None:
    rows = [{name: row["N"] / unit, "D": row["D"], "loss": row["loss"]} for row in planted()]
    table = read_runs(rows)
    assert table.numbers(table.roles["params"]).tolist() == [row["N"] for row in planted()]
    assert f"times {unit:g}" in " ".join(table.said)


def test_counts_in_a_unit_that_only_their_size_gives_away_are_asked_about() -> None:
    rows = [{"params": row["N"] / 1e6, "tokens": row["D"] / 1e9, "loss": row["loss"]} for row in planted()]
    with pytest.raises(TableError, match="--unit params=millions --unit tokens=millions"):
        read_runs(rows)
    table = read_runs(rows, units={"params": "millions", "tokens": "billions"})
    assert table.numbers(table.roles["params"])[0] == 1e7 and table.numbers(table.roles["tokens"])[-1] == 6.4e10
    assert read_runs(rows, units={"params": "1", "tokens": "1"}).numbers("params")[0] == 10


@pytest.mark.parametrize(("column", "unit"), [("params", 1e6), ("params", 1e9), ("tokens", 1e9)])
def test_one_column_of_counts_in_a_unit_that_only_its_size_gives_away_is_asked_about(column: str, unit: float) -> None:
    rows = [{"params": row["N"], "tokens": row["D"], "loss": row["loss"]} for row in planted()]
    rows = [row | {column: row[column] / unit} for row in rows]
    with pytest.raises(TableError, match=f"expected counts in '{column}', got .*--unit {column}=millions; or"):
        read_runs(rows)
    assert read_runs(rows, units={column: "1"}).numbers(column)[0] == rows[0][column]


def test_a_cell_without_the_unit_of_the_others_is_asked_about() -> None:
    rows = planted(N=lambda i, n, d, loss: f"{n / 1e6:g}M" if n < 1e9 else f"{n / 1e6:g}")
    with pytest.raises(TableError, match="got '1000' beside cells with one.*--unit N=1"):
        read_runs(rows)
    assert read_runs(rows, units={"N": "1"}).numbers("N").max() == 1e8
    written_out = planted(N=lambda i, n, d, loss: f"{n / 1e6:g}M" if n < 1e9 else f"{n:.0f}")
    assert sorted(set(read_runs(written_out).numbers("N"))) == [1e7, 1e8, 1e9]
    small = planted(N=lambda i, n, d, loss: "500" if n < 1e8 else f"{n / 1e8:g}K", D=lambda i, n, d, loss: d / 1e4)
    assert sorted(set(read_runs(small).numbers("N"))) == [500, 1000, 10000]


@pytest.mark.parametrize("cell", ["3" * 5000, "3" * 5000 + "M", "1e400M", "3" * 5000 + ".5"])
def test_a_number_of_too_many_digits_is_refused_by_its_row(tmp_path: Path, cell: str) -> None:
    path = tmp_path / "runs.csv"
    lines = [f"{row['N']:.0f},{row['D']:.0f},{row['loss']}" for row in planted()]
    path.write_text("params,tokens,loss\n" + "\n".join([*lines[:-1], cell + lines[-1][lines[-1].index(",") :]]) + "\n")
    with pytest.raises(TableError, match="row 12, column 'params': expected a positive count") as refused:
        read_runs(path)
    assert len(str(refused.value)) < 1000


def test_a_column_told_by_its_name_is_converted_wherever_the_table_goes() -> None:
    rows = [{"size": row["N"] / 1e6, "D": row["D"], "loss": row["loss"]} for row in planted()]
    table = read_runs(rows, params="size", units={"size": "millions"})
    assert read_runs(table, params="size").numbers(read_runs(table, params="size").roles["params"])[0] == 1e7


@pytest.mark.parametrize("name", ["compute (PF-days)", "pfdays", "compute_pf_days"])
def test_compute_in_pf_days_is_converted_where_the_name_says_so(name: str) -> None:
    rows = planted(**{name: lambda i, n, d, loss: 6 * n * d / 8.64e19})
    table = read_runs(rows)
    assert table.numbers(table.roles["flops"]) == pytest.approx([6 * row["N"] * row["D"] for row in planted()])


def test_compute_that_is_far_from_6nd_is_asked_about() -> None:
    rows = planted(compute=lambda i, n, d, loss: 6 * n * d / 8.64e19)
    with pytest.raises(TableError, match="--unit compute=PF-days"):
        read_runs(rows)
    assert read_runs(rows, units={"compute": "PF-days"}).roles["flops"] == "compute x 8.64e+19"


def test_of_a_perplexity_the_logarithm_is_taken_and_said() -> None:
    rows = [{"N": row["N"], "D": row["D"], "val_ppl": math.exp(row["loss"])} for row in planted()]
    table = read_runs(rows)
    assert table.numbers(table.roles["loss"]) == pytest.approx([row["loss"] for row in planted()])
    assert "a perplexity" in " ".join(table.said)


@pytest.mark.parametrize("name", ["run", "Name", "ID", "run.id", "run_name", "model"])
def test_rows_of_one_run_are_one_cluster_whatever_the_column_of_runs_is_called(name: str) -> None:
    rows = planted(**{name: lambda i, n, d, loss: f"run {n:g}"}, step=lambda i, n, d, loss: int(d / 1e6))
    table = read_runs(rows)
    assert table.roles["cluster"] == name and "12 rows of 3 runs" in " ".join(table.said)
    assert lawful.fit(table, draws=0).goodness.clusters == 3


def test_runs_that_only_their_settings_tell_apart_are_clusters_too() -> None:
    rows = planted(step=lambda i, n, d, loss: int(d / 1e6), width=lambda i, n, d, loss: int(n**0.5))
    assert lawful.fit(rows, draws=0).goodness.clusters == 3


def test_numbers_of_replicates_are_no_runs() -> None:
    rows = [{**row, "run": i, "loss": row["loss"] * (1 + 1e-3 * i)} for row in planted() for i in (1, 2, 3)]
    table = read_runs(rows)
    assert "cluster" not in table.roles and lawful.fit(table, draws=0).goodness.clusters == 36


def history() -> list[dict[str, Any]]:
    return [
        {
            "run": f"r{n:g}",
            "step": step,
            "N": n,
            "D": step * 1e6,
            "loss": "" if step % 2000 else 2 + n**-0.1 + step**-0.3,
        }
        for n in (1e7, 1e8, 1e9)
        for step in range(1000, 9000, 1000)
    ]


def test_rows_of_a_history_without_the_loss_are_left_out_and_said() -> None:
    table = read_runs(history())
    assert len(table) == 12 and len(table.dropped) == 12 and "12 of 24 rows left out" in " ".join(table.said)


@pytest.mark.parametrize(("how", "steps"), [("last", 8000), ("min", 8000), ("step=4000", 4000)])
def test_a_history_is_reduced_to_one_row_a_run_as_it_is_asked(how: str, steps: int) -> None:
    table = read_runs(history(), reduce=how)
    assert [row["step"] for row in table] == [steps] * 3


def test_rows_that_name_no_run_are_runs_of_their_own_when_a_history_is_reduced() -> None:
    rows = [{**row, "run": "" if row["N"] == 1e7 else row["run"]} for row in history()]
    table = read_runs(rows, reduce="last")
    assert [row["step"] for row in table if row["N"] > 1e7] == [8000] * 2
    assert [row["step"] for row in table if row["N"] == 1e7] == [2000, 4000, 6000, 8000]


def test_a_moving_mean_is_that_of_the_losses_in_the_order_of_steps() -> None:
    table = read_runs(list(reversed(history())), reduce="ema=0.5")
    losses = [row["loss"] for row in history()[:8] if row["loss"] != ""]
    expected = losses[0]
    for loss in losses[1:]:
        expected = 0.5 * expected + 0.5 * loss
    assert next(row["loss"] for row in table if row["N"] == 1e7) == pytest.approx(expected)
    with pytest.raises(TableError, match="expected last, min"):
        read_runs(history(), reduce="mean")


def swept(**more: Any) -> list[dict[str, Any]]:
    """Five rates a factor of 3 apart at each point, the best between the second and the fourth."""
    rows = []
    for row in planted(**more):
        best = 3e-3 * (row["N"] / 1e8) ** -0.1
        for lr in 3e-3 * 3.0 ** np.arange(-2, 3):
            rows.append({**row, "lr": float(lr), "loss": row["loss"] * math.exp(0.01 * math.log(lr / best) ** 2)})
    return rows


def test_settings_that_differ_at_one_point_are_no_replicates() -> None:
    with pytest.raises(Refusal, match="differ in 'lr'.*--best-over lr.*--as-noise lr"):
        lawful.fit(swept(), draws=0)


@pytest.mark.parametrize("name", ["seed", "data_seed", "replicate", "hostname", "grad_norm", "runtime"])
def test_seeds_times_and_results_are_no_settings(name: str) -> None:
    rows = [{**row, name: i, "loss": row["loss"] * (1 + 1e-3 * i)} for row in planted() for i in (1, 2, 3)]
    assert lawful.fit(rows, draws=0).goodness.n == 36


def test_the_best_of_a_sweep_is_the_bottom_of_its_curve() -> None:
    table = read_runs(swept(), best=["lr"])
    truth = [row["loss"] for row in planted()]
    assert table.numbers("loss") == pytest.approx(truth, rel=1e-6)
    assert table.numbers("lr") == pytest.approx([3e-3 * (row["N"] / 1e8) ** -0.1 for row in planted()], rel=1e-6)
    assert "the bottom of 12 of 12 sweeps" in " ".join(table.said)


def test_a_best_at_the_edge_of_a_sweep_is_said() -> None:
    rows = [row for row in swept() if row["lr"] < 1.1e-3]
    table = read_runs(rows, best=["lr"])
    assert "in 12 the best is the first or last 'lr' tried" in " ".join(table.said)
    assert table.numbers("loss").tolist() == [
        min(r["loss"] for r in rows if (r["N"], r["D"]) == (p["N"], p["D"])) for p in planted()
    ]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("N>=100M", 8),
        ("N >= 1e8", 8),
        ("N<1e8", 4),
        ("N<=1e8", 8),
        ("N=1e8", 4),
        ("N!=1e8", 8),
        ("D in 1e9,4e9", 6),
        ("opt=adam", 6),
        ("opt in adam, lion", 12),
        ("note is missing", 6),
        ("note is not missing", 6),
        ("a<b=1", 12),
    ],
)
def test_a_condition_keeps_the_rows_that_it_names(text: str, kept: int) -> None:
    rows = planted(
        opt=lambda i, *_: ("adam", "lion")[i % 2], note=lambda i, *_: ("", "x")[i % 2], **{"a<b": lambda *_: 1}
    )
    table = read_rows(rows)
    assert len(table.where(condition(text, table.columns), "no")) == kept


@pytest.mark.parametrize("text", ["M>1", "N>many", "N", "N is", ""])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(DeclarationError, match="--where"):
        condition(text, ["N", "D"])


def test_rows_that_cannot_be_used_are_refused_or_left_out_and_listed() -> None:
    rows = planted()
    rows[3]["loss"] = ""
    with pytest.raises(TableError, match=r"row 4, column 'loss'.*\n.*--skip-bad-rows"):
        read_runs(rows)
    table: Observations = read_runs(rows, skip_bad_rows=True)
    assert len(table) == 11 and table.dropped[0]["row"] == 4 and "empty cell" in table.dropped[0]["reason"]
