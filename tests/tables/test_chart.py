"""Charts exported from W&B's web page. The files are made by hand, after what users of it show in public: no program
writes them, and the server is not asked."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from lawful import fit, read_runs
from lawful.errors import TableError

SIZES = {"quiet-sun-1": 1e7, "bold-moon-2": 4e7, "calm-sea-3": 1.6e8}
STEPS = (100, 200, 400, 800)


def planted(n: float, step: float) -> float:
    return 1.8 + 400 * n**-0.34 + 410 * (step * 1e6) ** -0.28


def chart(path: Path, axis: str = "Step", *, steps: bool = False, wide: float = 0.0) -> Path:
    """A line for each run; the largest has one point less than the others."""
    header, rows = [axis], []
    for run in SIZES:
        for metric in (["_step"] if steps else []) + ["val/loss"]:
            header += [f"{run} - {metric}{end}" for end in ("", "__MIN", "__MAX")]
    for step in STEPS:
        row: list[object] = [step * 1e6 if axis == "tokens" else step]
        for run, n in SIZES.items():
            is_there = run != "calm-sea-3" or step != 100
            value = planted(n, step)
            if steps:
                row += [step] * 3 if is_there else [""] * 3
            row += [value, value - wide, value + wide] if is_there else [""] * 3
        rows.append(row)
    with path.open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    return path


def test_a_chart_is_the_histories_of_its_runs(tmp_path: Path) -> None:
    table = read_runs(chart(tmp_path / "chart.csv"))
    expected = [(run, step) for run in SIZES for step in STEPS if (run, step) != ("calm-sea-3", 100)]
    assert [(row["run"], row["Step"]) for row in table] == expected
    assert all(row["val/loss"] == planted(SIZES[str(row["run"])], float(row["Step"] or 0)) for row in table)
    assert list(table.columns) == ["run", "Step", "val/loss"]
    assert any("a chart of W&B: 3 runs" in said for said in table.said)
    assert not any("several values" in said for said in table.said)


def test_points_that_stand_for_several_values_are_said(tmp_path: Path) -> None:
    table = read_runs(chart(tmp_path / "chart.csv", wide=0.1))
    assert any("11 points of the chart stand for several values" in said for said in table.said)


def test_the_axis_of_a_chart_may_be_tokens_and_its_steps_a_metric(tmp_path: Path) -> None:
    table = read_runs(chart(tmp_path / "chart.csv", "tokens", steps=True))
    assert [(row["tokens"], row["step"]) for row in table][:2] == [(1e8, 100), (2e8, 200)]
    plain = read_runs(chart(tmp_path / "plain.csv", "tokens"))  # without steps, the points are numbered
    assert [row["step"] for row in plain] == [1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3]


def test_a_law_of_tokens_is_fitted_to_a_chart_with_its_runs_as_clusters(tmp_path: Path) -> None:
    path = tmp_path / "chart.csv"
    rows = [["tokens"] + [f"r{i} - val/loss{end}" for i in range(6) for end in ("", "__MIN", "__MAX")]]
    for d in (1e8, 2e8, 4e8, 8e8, 1.6e9):
        rows.append([str(d)] + [str(410 * d**-0.28 * (1 + 0.001 * (i - 2.5))) for i in range(6) for _ in range(3)])
    path.write_text("\n".join(",".join(row) for row in rows))
    found = fit(path, "power:tokens", draws=0)
    assert found.goodness.n == 30 and found.params["alpha"].value == pytest.approx(0.28, abs=1e-3)
    assert found.goodness.clusters == 6


def test_of_one_run_the_name_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "chart.csv"
    path.write_text("Step,train_loss,train_loss__MIN,train_loss__MAX\n1,4,4,4\n2,3.5,3.4,3.6\n")
    table = read_runs(path)
    assert [(row["Step"], row["train_loss"]) for row in table] == [(1, 4), (2, 3.5)]
    assert "train_loss__MIN" not in table.columns


def test_a_point_without_its_value_is_left_out_and_said_and_one_out_of_its_range_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "chart.csv"
    text = "tokens,a - loss,a - loss__MIN,a - loss__MAX\n100000000,4,4,4\n200000000,,3,9\n400000000,3,3,3\n"
    path.write_text(text)
    table = read_runs(path)
    assert [row["loss"] for row in table] == [4, 3] and any("1 of 3 rows left out" in said for said in table.said)
    path.write_text(text.replace("000,3,3,3", "000,3.5,3,3"))
    with pytest.raises(TableError, match="row 3, column 'a - loss': expected a value from 3 to 3"):
        read_runs(path)


def test_two_runs_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "chart.csv"
    one = "a - loss,a - loss__MIN,a - loss__MAX"
    path.write_text(f"Step,{one},{one}\n1,4,4,4,5,5,5\n")
    with pytest.raises(TableError, match="'a - loss'"):
        read_runs(path)


def test_a_table_with_such_names_and_more_columns_of_its_own_is_no_chart(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("run,params,a - loss,a - loss__MIN,a - loss__MAX\nx,1e6,4,4,4\ny,2e6,3,3,3\n")
    assert "a - loss__MIN" in read_runs(path).columns
