"""Folders that earlier versions wrote are still read and reported with their numbers; tests/formats keeps them."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

import in_process
from lawful.fitting.answers import read_answer
from lawful.schema import FORMAT
from lawful.storage.layout import Store

pytestmark = pytest.mark.usefixtures("without_figures")

KEPT = Path(__file__).parent / "formats"
FOLDERS = sorted(path for path in KEPT.iterdir() if path.is_dir())


@pytest.fixture(params=FOLDERS, ids=lambda path: f"format {path.name}")
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(request.param, tmp_path / "study"))


def test_a_folder_of_every_format_is_kept() -> None:
    assert [int(path.name) for path in FOLDERS] == list(range(1, FORMAT + 1))
    assert all(json.loads((path / "study.json").read_text())["format"] == int(path.name) for path in FOLDERS)


def test_its_runs_and_losses_are_shown_as_they_were_written(folder: Path) -> None:
    with (folder / "observations.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    shown = json.loads(in_process.lawful("status", folder, "--json").stdout)
    assert len(Store(folder).read_study().runs) == len(rows) == len(shown["runs"])
    losses = {row["run"]: row["loss"] for row in rows if row["loss"]}
    told = {run["run"]: run["loss"] for run in shown["runs"] if run.get("loss") is not None}
    assert told and all(float(losses[name]) == pytest.approx(loss, rel=1e-12) for name, loss in told.items())


def test_it_is_reported(folder: Path) -> None:
    in_process.lawful("report", folder)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert Store(folder).read_study().question in page.replace("&#x27;", "'").replace("&#39;", "'")


def test_an_answer_that_was_fitted_then_has_its_numbers() -> None:
    written = json.loads((KEPT / "2" / "fits" / "size.json").read_text())
    answer = read_answer(KEPT / "2" / "fits" / "size.json")
    assert answer.headline == written["headline"]
    assert answer.fit and answer.fit.params["alpha"].value == written["fit"]["params"]["alpha"]["value"]
