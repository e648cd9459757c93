"""The unit of the loss is on every result, and losses in two units are not made one table."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import lawful
from lawful.cli import app
from lawful.errors import LawfulError, Refusal
from lawful.fitting import Fit
from lawful.tables import read_runs
from lawful.tables.convert import merged

from .foreign import RUNS


def rows(loss: str, **more: Any) -> list[dict[str, Any]]:
    return [{"params": n, "tokens": d, loss: y, **more} for n, d, y in RUNS]


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        ("val_loss", ""),
        ("val_bpb", "bits per byte"),
        ("train/bpb", "bits per byte"),
        ("val_loss (nats)", "nats"),
        ("val_loss_bits", "bits"),
        ("val_ppl", "nats"),
    ],
)
def test_a_name_says_the_unit(column: str, unit: str) -> None:
    assert read_runs(rows(column)).loss_unit == unit


def test_an_error_rate_and_a_column_of_units_say_it_too() -> None:
    assert read_runs(rows("val_error"), loss="val_error").loss_unit == "error rate"
    assert read_runs(rows("loss", loss_unit="nats_per_token")).loss_unit == "nats per token"


def test_the_unit_is_in_the_fit_its_text_and_its_json() -> None:
    found = lawful.fit(rows("val_bpb"), "chinchilla", draws=0)
    assert "loss: val_bpb, in bits per byte" in found.summary()
    assert Fit.from_json(found.to_json()).data.loss_unit == "bits per byte"
    silent = lawful.fit(rows("val_loss"), "chinchilla", draws=0)
    assert "loss: val_loss, in a unit that is not said" in silent.summary()


def test_the_unit_is_beside_each_number_of_a_loss_that_a_command_prints(tmp_path: Path) -> None:
    path = tmp_path / "runs.json"
    path.write_text(json.dumps(rows("val_bpb")))
    predict = ["predict", str(path), "--params", "1e9", "--tokens", "2e10", "--draws", "0"]
    allocate = ["allocate", str(path), "--flops", "1e21", "--draws", "0"]
    for command, words in ((predict, "] bits per byte (95 %"), (allocate, " bits per byte\n")):
        assert words in CliRunner().invoke(app, command).output
        assert '"loss_unit": "bits per byte"' in CliRunner().invoke(app, [*command, "--json"]).output


def test_tables_in_two_units_are_neither_merged_nor_compared() -> None:
    parts = [read_runs(rows(loss)) for loss in ("val_bpb", "val_ppl")]
    with pytest.raises(LawfulError, match="losses in bits_per_byte; .*losses in nats"):
        merged(parts)
    arms = [*rows("loss", arm="a", loss_unit="bits"), *rows("loss", arm="b", loss_unit="nats")]
    with pytest.raises(Refusal, match="loss_unit: expected one value in one fit, got bits, nats"):
        lawful.compare(arms, "arm")


@pytest.mark.parametrize("name", ["wiki_perplexity", "c4/ppl", "Perplexity on WikiText"])
def test_a_perplexity_under_the_name_of_a_data_set_is_read_as_its_logarithm(name: str, tmp_path: Path) -> None:
    path, losses = tmp_path / "runs.csv", {n: 2 + 30 * n**-0.3 for n in (1e6, 1e7, 1e8)}
    path.write_text(f"params,{name}\n" + "\n".join(f"{n},{math.exp(loss)}" for n, loss in losses.items()))
    table = read_runs(path, loss=name)
    assert [row[f"log {name}"] for row in table.rows] == pytest.approx(list(losses.values()))
    assert "a perplexity" in table.said[0]


def test_a_logarithm_of_a_perplexity_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("params,wiki_log_perplexity\n1e6,3.5\n1e7,3.1\n1e8,2.9\n")
    table = read_runs(path, loss="wiki_log_perplexity")
    assert "perplexity, as" not in " ".join(table.said) and list(table.columns) == ["params", "wiki_log_perplexity"]
