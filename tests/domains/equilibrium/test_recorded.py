"""The recorded study: written by an earlier version, it is still answered and reported."""

from __future__ import annotations

import json
from pathlib import Path

from lawful.fitting.answer import answer_study
from lawful.report.page import write_report
from lawful.storage.atomic import write_json, write_text


def test_a_study_recorded_under_former_names_of_columns_is_answered_and_reported(tmp_path: Path) -> None:
    recorded = Path(__file__).parents[3] / "docs" / "gallery" / "equilibrium"
    study = json.loads((recorded / "study.json").read_text())
    study["questions"] = [question for question in study["questions"] if question["name"] == "length"]
    assert study["questions"][0]["loss"] == "best_loss"
    write_json(tmp_path / "study.json", study)
    table = (recorded / "observations.csv").read_text()
    assert ",best_loss," in table and "best_weights" not in table
    write_text(tmp_path / "observations.csv", table)
    (answer,) = answer_study(tmp_path, draws=0)
    assert answer.status == "answered"
    write_report(tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "Best validation loss (nats per token) against length" in page
    assert "Early stopped and last, seeds averaged" in (tmp_path / "report.md").read_text()
