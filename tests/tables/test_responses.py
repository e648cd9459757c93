"""A metric that is no loss is read as what it is, asked about, or refused; and what was read is said."""

from __future__ import annotations

import math
from typing import Any

import pytest

from lawful.errors import LawfulError, TableError
from lawful.response import Response, told
from lawful.tables import read_runs
from lawful.tables.roles import same_in_words

COMPUTE = (1e18, 1e19, 1e20, 1e21)
SHARES = (0.26, 0.35, 0.52, 0.7)


def rows(name: str, values: Any = SHARES, **others: Any) -> list[dict[str, Any]]:
    columns = {"flops": COMPUTE, name: values, **others}
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def losses_of(table: Any) -> list[float]:
    found: list[float] = table.numbers(table.roles["loss"]).tolist()
    return found


@pytest.mark.parametrize(
    "name", ["hellaswag_acc", "arc_easy/acc_norm", "mmlu accuracy", "exact_match", "pass@1", "win rate"]
)
def test_a_share_of_right_answers_is_known_by_its_name_and_said(name: str) -> None:
    table = read_runs(rows(name), loss=name, chance=0.25)
    assert table.response == Response(kind="logit", low=0.25)
    assert any("share of right answers; chance level 0.25" in said for said in table.said)
    assert losses_of(table) == list(SHARES)


@pytest.mark.parametrize("name", ["error", "top1_error", "val_loss", "wer", "brier_score_loss", "neg_log_likelihood"])
def test_what_falls_by_its_name_stays_a_loss(name: str) -> None:
    assert read_runs(rows(name, SHARES[::-1]), loss=name).response.is_log


def test_per_cent_becomes_a_share_and_is_said() -> None:
    table = read_runs(rows("acc", [26.0, 35.0, 52.0, 70.0]), loss="acc")
    assert losses_of(table) == pytest.approx(SHARES)
    assert any("in per cent and divided by 100" in said for said in table.said)
    assert read_runs(rows("acc", [0.6, 3.5, 20, 70]), loss="acc", units={"acc": "percent"}).response.is_share


@pytest.mark.parametrize(
    ("name", "values", "question"),
    [
        ("acc", [0.31, 0.4, 45.0, 60.0], "per cent or shares"),
        ("acc_percent", [0.31, 0.4, 0.45, 0.6], "named per cent, and no number in it is above 1"),
        ("acc", [31.0, 40.0, 145.0, 160.0], "expected shares from 0 to 1, or per cent, got 160"),
        ("acc", [-0.1, 0.2, 0.3, 0.4], "got -0.1"),
        ("f1", SHARES, "--response logit for a share"),
        ("MMLU (%)", [26.0, 35.0, 52.0, 70.0], "--response logit for a share"),
        ("elo", [900.0, 1000.0, 1100.0, 1200.0], "--response identity"),
        ("mean_reward", [0.1, 0.2, 0.3, 0.4], "--response identity"),
        ("loglik", [-3.0, -2.5, -2.2, -2.1], "--response identity"),
        ("acc_of_students", SHARES[::-1], "is called an accuracy, and falls"),
        ("n_correct", [260, 350, 520, 700], "--trials-column COLUMN"),
        ("nll", [-3.0, -2.5, -2.2, -2.1], "the loss is the same number without the sign"),
    ],
)
def test_what_would_be_a_guess_is_asked(name: str, values: Any, question: str) -> None:
    with pytest.raises(TableError, match=question):
        read_runs(rows(name, values), loss=name)


def test_numbers_of_any_sign_are_taken_as_they_are_told() -> None:
    table = read_runs(rows("reward", [-1.0, -0.5, 0.0, 0.5]), loss="reward", response="identity")
    assert losses_of(table) == [-1.0, -0.5, 0.0, 0.5] and table.response.kind == "identity"


def test_counts_of_right_answers_are_taken_over_their_items() -> None:
    table = read_runs(rows("n_correct", [26, 35, 52, 70], n=[100] * 4), loss="n_correct", trials="n")
    assert losses_of(table) == pytest.approx(SHARES) and table.response.is_share


def test_a_share_of_errors_ends_where_guessing_does() -> None:
    table = read_runs(rows("error", SHARES[::-1]), loss="error", response="logit", chance=0.25)
    assert (table.response.low, table.response.high, table.response.chance) == (0.0, 0.75, 0.25)


def test_the_error_bars_of_acc_norm_are_its_own() -> None:
    """As lm-evaluation-harness writes them, beside those of acc."""
    table = read_runs(
        rows("arc/acc_norm", **{"arc/acc_stderr": [0.02] * 4, "arc/acc_norm_stderr": [0.01] * 4}), loss="arc/acc_norm"
    )
    assert table.roles["stderr"] == "arc/acc_norm_stderr"
    per_cent = read_runs(rows("acc", [26.0, 35.0, 52.0, 70.0], acc_stderr=[1.0] * 4), loss="acc")
    assert per_cent.numbers(per_cent.roles["stderr"]).tolist() == [0.01] * 4
    assert not any("half of a 95 %" in said for said in per_cent.said)


def test_the_lowest_of_an_accuracy_is_not_taken_for_the_best() -> None:
    table = rows("acc", lr=[1e-3, 1e-3, 2e-3, 2e-3])
    with pytest.raises(TableError, match="it takes the lowest loss"):
        read_runs(table, loss="acc", best=["lr"])


@pytest.mark.parametrize(
    ("kind", "chance", "fault"),
    [("log", 0.25, "has no chance level"), ("logits", None, "expected one of"), ("logit", 1.0, "from 0 to 1")],
)
def test_a_response_that_is_none_is_refused(kind: str, chance: float | None, fault: str) -> None:
    with pytest.raises(LawfulError, match=fault):
        told(kind, chance)


def test_numbers_of_items_are_of_shares_alone() -> None:
    with pytest.raises(TableError, match="those of a share of right answers"):
        read_runs(rows("val_loss", n=[9] * 4), loss="val_loss", trials="n", response="log")


def test_noise_of_counts_is_that_of_a_binomial() -> None:
    share = Response(kind="logit", low=0.25)
    noise = share.noise(share.inside([0.5, 0.9, 0.1]))
    assert noise.tolist() == pytest.approx([0.5, 0.3, math.sqrt(0.25 * 0.75)])
    assert float(share.of_share(share.share(0.4))) == pytest.approx(0.4)


def test_a_table_that_was_read_for_one_metric_is_read_anew_for_another() -> None:
    """An accuracy was fitted as the logarithm of a loss, with the error bars of the loss, in silence."""
    rows = [
        {"N (M)": 10.0 * 2**i, "tokens": 1e9, "val_loss": 3.0 - 0.1 * i, "val_loss_se": 0.01, "acc": 31.0 + i}
        for i in range(6)
    ]
    of_loss = read_runs(rows)
    assert (of_loss.roles["loss"], of_loss.roles["stderr"]) == ("val_loss", "val_loss_se")
    of_share = read_runs(of_loss, loss="acc")
    assert of_share.response.is_share and "stderr" not in of_share.roles
    assert losses_of(of_share) == pytest.approx([0.31, 0.32, 0.33, 0.34, 0.35, 0.36])
    assert list(of_share.numbers(of_share.roles["params"])) == [1e7 * 2**i for i in range(6)]
    back = read_runs(of_share, loss="val_loss")
    assert back.response.is_log and back.roles == of_loss.roles


def test_an_error_rate_is_in_no_accuracy() -> None:
    rows = [{"params": 1e7 * 2**i, "top1_error": 0.5 - 0.05 * i} for i in range(6)]
    assert read_runs(rows, loss="top1_error").loss_unit == "error rate"


@pytest.mark.parametrize(
    ("name", "columns", "found"),
    [
        ("params_non_vocab", ["Non_vocab_parameters", "vocab_size"], "Non_vocab_parameters"),
        ("params_vocab", ["Non_vocab_parameters", "vocabulary_params"], "vocabulary_params"),
        ("params_vocab", ["vocab_params", "vocabulary parameters"], None),  # either could be meant
        ("params_vocab", ["vocab_params", "params_vocab"], "params_vocab"),
        ("params_vocab", ["vocabulary"], None),  # a size is no number of parameters
    ],
)
def test_an_input_of_a_law_is_the_column_of_the_same_words(name: str, columns: list[str], found: str | None) -> None:
    assert same_in_words(name, columns) == found
