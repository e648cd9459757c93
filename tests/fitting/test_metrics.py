"""Several metrics of the same runs: one answer each, tasks through the loss, test items shared by all runs."""

import json

import numpy as np
import pytest
from planted import chinchilla_loss
from typer.testing import CliRunner

import lawful
from lawful.cli import app
from lawful.errors import DeclarationError, TableError
from lawful.fitting.metrics import Metric
from lawful.tables import write_csv

ASKED = ["val_loss", "hellaswag:accuracy@.25#2000"]


def right_share(loss):
    return 0.25 + 0.75 / (1 + np.exp(3 * (loss - 2.6)))


def tasks(rng, *, items=2000, shared=0.0):
    """Runs with a loss and an accuracy of counts. shared: how unequal the items are; all runs see the same ones, and
    the share of items that count as easy moves all accuracies alike."""
    odd = shared * rng.standard_normal()
    rows = []
    for n in np.geomspace(1e7, 1e9, 5):
        for d in n * np.array([10, 30, 100]):
            loss = chinchilla_loss(n, d) * np.exp(0.003 * rng.standard_normal())
            share = np.clip(right_share(loss) + odd, 0, 1)
            rows.append({"params": n, "tokens": d, "val_loss": loss, "hellaswag": rng.binomial(items, share) / items})
    return rows


@pytest.fixture(scope="module")
def found():
    return lawful.fit_metrics(tasks(np.random.default_rng(0)), ASKED, draws=200)


def test_a_text_names_a_metric_its_kind_its_chance_and_its_items():
    assert Metric.parse("val_loss") == Metric(column="val_loss")
    assert Metric.parse("mmlu:accuracy@.25#14042") == Metric(column="mmlu", kind="accuracy", chance=0.25, items="14042")
    assert Metric.parse("eval/arc:accuracy#n") == Metric(column="eval/arc", kind="accuracy", items="n")
    assert Metric.parse("x@0.5").kind == "accuracy"
    for odd in ("a:loss@.25", "a@2", "a:number#5", ""):
        with pytest.raises(DeclarationError, match="metric"):
            Metric.parse(odd)


def test_each_metric_is_answered_and_the_task_goes_through_the_loss(found):
    assert list(found.answers) == ["val_loss", "hellaswag"]
    assert found["val_loss"].fit.law == "chinchilla" and found["hellaswag"].through == "val_loss"
    k = found["hellaswag"].fit["k"]
    assert k.ci95[0] < 3 < k.ci95[1]
    with pytest.raises(DeclarationError, match="no metric 'helaswag'"):
        found["helaswag"]


def test_a_task_is_forecast_in_two_steps_with_the_errors_of_both(found):
    at = {"params": 1e10, "tokens": 2e11}
    truth = right_share(chinchilla_loss(**at))
    forecast = found["hellaswag"].predict(**at)
    assert forecast.ci95[0] < truth < forecast.ci95[1]
    second = found["hellaswag"].fit.predict(upstream_loss=found["val_loss"].predict(**at).value)
    assert forecast.ci95[1] - forecast.ci95[0] > second.high - second.low  # which takes the loss as known
    mean = found["hellaswag"].predict("mean", **at)
    assert mean.ci95[1] - mean.ci95[0] < forecast.ci95[1] - forecast.ci95[0]


def test_two_step_intervals_cover_over_many_tables():
    at = {"params": 1e10, "tokens": 2e11}
    truth, covered = right_share(chinchilla_loss(**at)), 0
    for seed in range(1, 4):
        answers = lawful.fit_metrics(tasks(np.random.default_rng(seed)), ASKED, law="chinchilla", draws=200)
        low, high = answers["hellaswag"].predict("mean", **at).ci95
        covered += low <= truth <= high
    assert covered >= 2  # fewer come by chance in 1 of 140 where .95 are right


def test_test_items_leave_open_what_no_number_of_runs_shows():
    """Accuracies that lie on the law to the last digit: all of the binomial error is then shared."""
    rows = tasks(np.random.default_rng(1))
    exact = [{**row, "hellaswag": float(right_share(row["val_loss"]))} for row in rows]
    one = lawful.fit_metrics(exact, ASKED, law="chinchilla", draws=200)["hellaswag"]
    top = max(row["hellaswag"] for row in exact)
    assert one.shared_stderr == pytest.approx(np.sqrt(top * (1 - top) / 2000), rel=0.05)
    forecast = one.predict(params=1e9, tokens=1e11)
    assert forecast.of_new_items[0] < forecast.ci95[0] and forecast.of_new_items[1] > forecast.ci95[1]


def test_a_task_without_a_loss_is_a_sigmoid_of_compute_and_unknown_items_are_said():
    rng = np.random.default_rng(2)
    rows = [
        {"flops": c, "acc": rng.binomial(500, 0.25 + 0.75 / (1 + (1e20 / c) ** 0.5)) / 500}
        for c in np.geomspace(1e18, 1e22, 12)
    ]
    found = lawful.fit_metrics(rows, ["acc:accuracy@.25"], draws=200)
    assert found["acc"].through == "" and found["acc"].fit["B"].value == pytest.approx(0.5, abs=0.1)
    assert [one.code for one in found.warnings] == ["items_unknown"]


def test_a_metric_that_cannot_be_answered_leaves_the_others():
    rows = [{**row, "mmlu": 0.25 if i < 2 else ""} for i, row in enumerate(tasks(np.random.default_rng(0)))]
    found = lawful.fit_metrics(rows, ["val_loss", "mmlu:accuracy@.25"], draws=200)
    assert found["val_loss"].fit is not None and found["mmlu"].fit is None and found["mmlu"].refused
    with pytest.raises(DeclarationError, match="mmlu: it has no law"):
        found["mmlu"].predict(params=1e9, tokens=1e10)


def test_a_perplexity_is_no_first_step_as_its_law_is_of_the_logarithm():
    rows = [{"val_ppl": np.exp(row.pop("val_loss")), **row} for row in tasks(np.random.default_rng(0))]
    found = lawful.fit_metrics(rows, ["val_ppl:loss", "hellaswag:accuracy@.25"], draws=200)
    assert found["val_ppl"].fit is not None and "val_ppl was converted" in found["hellaswag"].refused


@pytest.mark.parametrize(
    ("metrics", "error"),
    [([], DeclarationError), (["val_loss", "val_loss"], DeclarationError), (["nothing"], TableError)],
)
def test_odd_lists_of_metrics_are_refused(metrics, error):
    with pytest.raises(error, match="metric|no column"):
        lawful.fit_metrics(tasks(np.random.default_rng(0)), metrics)


def test_standard_errors_of_one_metric_weigh_no_other():
    rows = [
        {
            "params": n,
            "val_loss": 2 + 400 * n**-0.35 * (1 + 0.01 * i % 3),
            "train_loss": 1 + 300 * n**-0.3,
            "stderr": 0.01,
        }
        for i, n in enumerate(np.geomspace(1e7, 1e10, 8))
    ]
    with pytest.raises(
        TableError, match="stderr: expected standard errors of one metric, got them beside val_loss and"
    ):
        lawful.fit_metrics(rows, ["val_loss", "train_loss"], law="power_floor:params", draws=200)


def test_each_metric_is_read_with_its_own_response_unit_and_error_bars_whichever_comes_first(tmp_path):
    """The accuracies are counts in one column and per cent in another; the first of the list decides for none else."""
    rows = [
        {
            "params": row["params"],
            "tokens": row["tokens"],
            "arc_correct": round(2000 * row["hellaswag"]),
            "n": 2000,
            "val_loss": row["val_loss"],
            "val_loss_stderr": 0.003 * row["val_loss"],
            "hellaswag": 100 * row["hellaswag"],
        }
        for row in tasks(np.random.default_rng(0))
    ]
    write_csv(tmp_path / "runs.csv", rows, columns=list(rows[0]))
    metrics = "hellaswag:accuracy@.25#2000,arc_correct:accuracy@.25#n,val_loss"
    words = [str(tmp_path / "runs.csv"), "--metric", metrics, "--law", "chinchilla", "--draws", "200"]
    text = CliRunner().invoke(app, ["fit", *words]).output
    assert "'hellaswag' is a share of right answers, in per cent and divided by 100; chance level 0.25" in text
    assert "'arc_correct' is a share of right answers, counts over 'n'; chance level 0.25" in text
    assert "read: error bars of 'val_loss': 'val_loss_stderr'" in text
    assert "As upstream loss falls, hellaswag as a share rises from 0.25 to 0.7" in text
    assert "next: Predict with it at upstream loss 2." in text
    assert text.count("-0.25 + 0.75") == 0 and text.count(" = 0.25 + 0.75/(1 + exp(k*") == 2
    assert "the loss falls" not in text and "the loss rises" not in text


def test_a_metric_whose_name_says_nothing_is_asked_for_its_kind():
    rows = [{**row, "elo": 1000 * row["hellaswag"]} for row in tasks(np.random.default_rng(0))]
    with pytest.raises(TableError, match="elo:accuracy@CHANCE for a share of right answers, elo:loss, or elo:number"):
        lawful.fit_metrics(rows, ["elo"], draws=200)


def test_metrics_from_the_command_line(tmp_path):
    write_csv(tmp_path / "runs.csv", rows := tasks(np.random.default_rng(0)), columns=list(rows[0]))
    words = [str(tmp_path / "runs.csv"), "--metric", ",".join(ASKED), "--draws", "200"]
    text = CliRunner().invoke(app, ["fit", *words])
    assert (
        text.exit_code == 0 and "hellaswag, through val_loss" in text.output and "test items leave open" in text.output
    )
    there = CliRunner().invoke(app, ["predict", *words, "--params", "1e10", "--tokens", "2e11", "--json"])
    out = json.loads(there.output)
    low, high = out["hellaswag"]["prediction"]["ci95"]
    assert low < right_share(chinchilla_loss(1e10, 2e11)) < high
    odd = CliRunner().invoke(app, ["fit", *words, "--chance", ".25"])
    assert "expected no --chance beside it" in str(odd.exception)


def test_a_metric_whose_law_says_nothing_at_the_point_leaves_the_others_as_they_are(tmp_path):
    """The first loss has no law, so that the accuracy is one of compute: it is no forecast at params and tokens."""
    rows = [{**row, "flat_loss": 2.5} for row in tasks(np.random.default_rng(0))]
    write_csv(tmp_path / "runs.csv", rows, columns=list(rows[0]))
    metrics = "flat_loss,hellaswag:accuracy@.25,val_loss"
    words = ["predict", str(tmp_path / "runs.csv"), "--metric", metrics, "--draws", "200"]
    said = CliRunner().invoke(app, [*words, "--params", "1e10", "--tokens", "2e11", "--json"])
    out = json.loads(said.output)
    assert said.exit_code == 0 and "reads flops" in out["hellaswag"]["refused"] and out["flat_loss"]["refused"]
    low, high = out["val_loss"]["prediction"]["ci95"]
    assert low < chinchilla_loss(1e10, 2e11) < high and out["hellaswag"]["prediction"] is None
