"""A study recorded before the domain stood apart is still read, and reported."""

from __future__ import annotations

import shutil
from pathlib import Path

from lawful.report.evidence import read_evidence
from lawful.report.page import write_report
from lawful.tables import read_rows

RECORDED = Path(__file__).parents[3] / "docs" / "gallery" / "emg"


def test_a_recorded_study_is_still_reported(tmp_path: Path) -> None:
    for name in ("study.json", "observations.csv"):
        shutil.copyfile(RECORDED / name, tmp_path / name)
    rows = read_rows(tmp_path / "observations.csv").rows
    assert len(rows) > 3 and all(isinstance(row["cer"], float) for row in rows if row["status"] == "finished")
    assert len(read_evidence(tmp_path).finished) > 3
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert all(str(row["run"]) in page for row in rows)
