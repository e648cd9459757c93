"""Tables as others publish them: each is read right, or what is asked about it says how to go on, and that works."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

import lawful
from lawful.errors import TableError
from lawful.tables import Observations, read_rows, read_runs, write_csv
from lawful.tables.convert import merged, tidy
from lawful.tables.roles import error_bars

from .foreign import RUNS, TABLES, Foreign


def expect_planted(table: Observations, foreign: Foreign) -> None:
    table = table.of_ladder()
    kept = [run for i, run in enumerate(RUNS) if i not in foreign.left]
    truth = {
        "params": [n for n, _, _ in kept],
        "tokens": [d for _, d, _ in kept],
        "flops": [6 * n * d for n, d, _ in kept],
        "loss": [foreign.loss(loss) for _, _, loss in kept],
    }
    assert {role for role in truth if role in table.roles} == set(foreign.axes)
    for role in foreign.axes:
        assert table.numbers(table.roles[role]).tolist() == pytest.approx(truth[role], rel=1e-9), role


@pytest.mark.parametrize("name", [name for name, foreign in TABLES.items() if not foreign.asks])
def test_a_foreign_table_is_read_as_what_it_says(name: str) -> None:
    table = read_runs(TABLES[name].table())
    expect_planted(table, TABLES[name])
    assert TABLES[name].said in "\n".join(table.said)


@pytest.mark.parametrize("name", [name for name, foreign in TABLES.items() if foreign.asks])
def test_what_is_asked_about_a_foreign_table_says_how_to_go_on(name: str) -> None:
    problem = lawful.check(TABLES[name].table()).problem
    assert re.search(TABLES[name].asks, problem), problem
    with pytest.raises(TableError):
        lawful.fit(TABLES[name].table(), draws=0)


@pytest.mark.parametrize("name", [name for name, foreign in TABLES.items() if foreign.answer])
def test_the_answer_that_is_asked_for_reads_a_foreign_table_right(name: str) -> None:
    table = read_runs(TABLES[name].table(), **TABLES[name].answer)
    expect_planted(table, TABLES[name])
    assert TABLES[name].said in "\n".join(table.said)


@pytest.mark.parametrize("name", ["units in the names", "perplexity", "logarithms", "over-training, by its ratio"])
def test_a_column_that_is_told_by_name_is_converted_as_one_that_is_recognised(name: str) -> None:
    """Its name says the unit all the same: `--params-column 'Params (M)'` are millions."""
    rows = TABLES[name].table()
    recognised = read_runs(rows)
    columns = {role: column for role, column in recognised.roles.items() if role in ("params", "tokens", "loss")}
    old = {new: column for column, new in recognised.converted.items()}
    told = {role: old.get(column, column) for role, column in columns.items() if "_per_" not in column}
    expect_planted(read_runs(rows, **told), TABLES[name])


def test_a_header_among_the_rows_is_left_out_where_it_is_the_same_and_refused_where_it_is_another(
    tmp_path: Path,
) -> None:
    first = "".join(f"{n:.0f},{d:.0f},{loss}\n" for n, d, loss in RUNS[:10])
    rest = "".join(f"{n:.0f},{d:.0f},{loss}\n" for n, d, loss in RUNS[10:])
    other = "".join(f"{d:.0f},{n:.0f},{loss}\n" for n, d, loss in RUNS[10:])
    path = tmp_path / "runs.csv"
    path.write_text(f"params,tokens,loss\n{first}params,tokens,loss\n{rest}")
    table = read_runs(path)
    assert len(table) == 20 and "the header is repeated" in " ".join(table.said)
    path.write_text(f"params,tokens,loss\n{first}tokens,params,loss\n{other}")
    for skip in (False, True):
        with pytest.raises(TableError, match=r"row 11 \(line 12\).*a second table begins there"):
            read_runs(path, skip_bad_rows=skip)


def test_a_table_in_markdown_is_read(tmp_path: Path) -> None:
    path = tmp_path / "runs.txt"
    lines = "".join(f"| m{i} | {n / 1e6:g}M | {d / 1e9:g}B | {loss} |\n" for i, (n, d, loss) in enumerate(RUNS))
    path.write_text(f"| Model | Params | Tokens | Val loss |\n|---|:--|---:|---|\n{lines}")
    expect_planted(read_runs(path), Foreign())


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("teacher.params", "params"),
        ("embedding.params", "params"),
        ("eval.tokens", "tokens"),
        ("D_t", "tokens"),
        ("aux/loss", "loss"),
        ("Loss (std)", "loss"),
        ("flops (TFLOPs/s)", "flops"),
        ("params (embedding)", "params"),
    ],
)
def test_a_name_that_says_something_else_besides_has_no_role(name: str, role: str) -> None:
    own = {"params": 0, "tokens": 1, "loss": 2}
    names = {"params": "params", "tokens": "tokens", "loss": "val_loss", "flops": "flops"} | {role: name}
    rows = [{names[r]: run[place] for r, place in own.items()} for run in RUNS]
    if role == "flops":
        rows = [{**row, name: 1e14} for row in rows]
    assert role not in read_runs(rows).roles


def test_a_training_loss_is_known_by_the_parts_of_its_name() -> None:
    rows = [{"params": n, "tokens": d, "train/CrossEntropyLoss": loss} for n, d, loss in RUNS]
    assert "a training loss" in " ".join(read_runs(rows).said)


def test_an_accuracy_that_is_told_as_the_loss_is_read_as_one() -> None:
    rows = [{"params": n, "tokens": d, "acc": 1 - loss / 5} for n, d, loss in RUNS]
    table = read_runs(rows, loss="acc")
    assert table.response.is_share and "share of right answers" in " ".join(table.said)


def test_error_bars_are_no_settings_and_no_loss() -> None:
    assert error_bars(["val_loss", "val_loss_se", "std_loss", "stderr", "init_std", "loss"], "val_loss") == [
        "val_loss_se",
        "std_loss",
        "stderr",
    ]
    rows = [
        {"params": n, "tokens": d, "seed": seed, "val_loss": loss * (1 + 1e-3 * seed), "val_loss_se": 1e-3 * seed}
        for n, d, loss in RUNS
        for seed in (1, 2)
    ]
    assert not lawful.check(rows).pooled


def test_the_next_command_that_check_names_is_one_that_works_or_is_said_to_need_more() -> None:
    rows = [{"N": n, "D": d, "loss": loss + lr, "lr": lr} for n, d, loss in RUNS for lr in (1e-3, 2e-3, 4e-3)]
    assert lawful.check(rows).summary().splitlines()[-1].endswith("with one of the options above")


def test_losses_in_bits_are_not_merged_with_losses_in_no_unit() -> None:
    bits = read_runs([{"params": n, "tokens": d, "val_loss_bits": loss} for n, d, loss in RUNS])
    plain = read_runs([{"params": n, "tokens": d, "val_loss": loss} for n, d, loss in RUNS])
    assert {row["loss_unit"] for row in tidy(bits)} == {"bits"}
    with pytest.raises(TableError, match="losses in different units"):
        merged([bits, plain])


def test_a_number_that_the_rest_of_its_column_puts_in_doubt_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.txt"
    path.write_text("params;tokens;loss\n10000000;1000000000;3,12345\n20000000;1000000000;3.023\n")
    with pytest.raises(TableError, match=r"'3\.023' may be 3023, or have three decimals"):
        read_runs(path)
    rows = [{"params": f"{n:.0f}", "tokens": d, "loss": loss} for n, d, loss in RUNS]
    rows[3]["params"] = "20 000"
    with pytest.raises(TableError, match="row 4, column 'params'.*'20 000'"):
        read_runs(rows)


def test_of_a_large_table_columns_of_measured_numbers_are_kept_only_where_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lawful.tables.text.MANY_CELLS", 10_000)
    path = tmp_path / "runs.csv"
    draw = random.Random(0)
    names = ["run", "params", "tokens", "val_loss", "weight_decay", "jitter", "util"]
    lines = [",".join(names)]
    for i in range(2000):
        n, d, loss = RUNS[i % 20]
        made = [draw.random() for _ in range(3)]
        lines.append(
            f"r{i},{n:.0f},{d:.0f},{loss * (1 + 1e-3 * made[0]):.6f},{made[0]:.6f},{made[1]:.6f},{made[2]:.6f}"
        )
    path.write_text("\n".join(lines) + "\n")
    table = read_runs(path)
    assert table.columns == names[:5] and "2 columns of measured numbers not kept ('jitter', 'util'" in table.said[0]
    assert len(table) == 2000 and table.numbers("val_loss")[999] == float(lines[1000].split(",")[3])
    named = read_rows(path, ["util<0.5"])
    assert named.columns == [*names[:5], "util"] and [row["util"] for row in named] == [
        float(line.split(",")[6]) for line in lines[1:]
    ]


def write_tidy(path: Path, table: Observations) -> None:
    """As `lawful convert` does."""
    made = tidy(table)
    write_csv(path, made.rows, columns=made.columns)


def test_a_tidy_table_is_read_as_what_it_was_made_of_and_copies_in_it_count_once(tmp_path: Path) -> None:
    rows = [{"N": n, "D": d, "c4": loss, "val_loss": 1.1 * loss} for n, d, loss in RUNS]
    write_tidy(tmp_path / "tidy.csv", read_runs(rows, loss="c4"))
    table = read_runs(tmp_path / "tidy.csv")
    assert table.roles["loss"] == "loss"
    expect_planted(table, Foreign())
    write_tidy(tmp_path / "twice.csv", read_runs(TABLES["two exports of the same runs"].table()))
    expect_planted(read_runs(tmp_path / "twice.csv"), Foreign())


def test_the_unit_of_a_loss_is_said_of_a_tidy_table_too(tmp_path: Path) -> None:
    rows = [{"params": n, "tokens": d, "val_loss_bits": loss} for n, d, loss in RUNS]
    write_tidy(tmp_path / "tidy.csv", read_runs(rows))
    assert "the loss is in bits, as loss_unit says" in read_runs(tmp_path / "tidy.csv").said
