"""The recorded study: under former names of its columns, too, it is answered and reported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lawful.fitting.answer import answer_study
from lawful.report.page import write_report
from lawful.schema import FORMAT
from lawful.storage.atomic import write_text
from lawful.storage.codec import read_study, write_study

RECORDED = Path(__file__).parents[3] / "docs" / "gallery" / "equilibrium"


def former(name: str) -> str:
    """Of a column, until 2026-11."""
    return "loss_best" if name == "loss_lowest_seen" else name.replace("best_weights_", "best_")


def test_a_study_under_former_names_of_columns_is_answered_and_reported(tmp_path: Path) -> None:
    study = read_study(RECORDED / "study.json")
    (question,) = [question for question in study.questions if question.name == "length"]
    write_study(
        tmp_path / "study.json", replace(study, format=FORMAT, questions=(replace(question, loss="best_loss"),))
    )
    header, line_end, rows = (RECORDED / "observations.csv").read_text().partition("\n")
    names = [former(name) for name in header.split(",")]
    assert "best_loss" in names and "loss_best" in names
    write_text(tmp_path / "observations.csv", ",".join(names) + line_end + rows)
    (answer,) = answer_study(tmp_path, draws=0)
    assert answer.status == "answered", answer.sentence
    write_report(tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "Best validation loss (nats per token) against length" in page
    assert "Early stopped and last, seeds averaged" in (tmp_path / "report.md").read_text()
