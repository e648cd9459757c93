"""The gallery is what the recorded runs say now: each sentence, and a picture for each study."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lawful.cli import app
from lawful.errors import LawfulError
from records import planned_run, write_plan

pytestmark = pytest.mark.usefixtures("without_figures")

ROOT = Path(__file__).parents[1]


def made():
    spec = importlib.util.spec_from_file_location("make_gallery", ROOT / "docs" / "make" / "gallery.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_gallery"] = module
    spec.loader.exec_module(module)
    return module


gallery = made()
SLOW = {"equilibrium", "ground_truth", "music", "shakespeare"}  # the last asks what quickstart asks


@pytest.mark.parametrize(
    "study", [pytest.param(study, marks=[pytest.mark.slow] if study in SLOW else []) for study in gallery.recorded()]
)
def test_a_copy_of_a_recorded_study_gives_its_page_and_what_the_gallery_says_and_what_is_recorded_stays_as_it_was(
    study, tmp_path
):
    folder = tmp_path / study
    shutil.copytree(gallery.RECORDS / study, folder)
    recorded = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {"study.json", "observations.csv"} <= recorded.keys()
    done = CliRunner().invoke(app, ["report", str(folder)], catch_exceptions=False)
    assert done.exit_code == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    first = json.loads((folder / "study.json").read_text())["questions"][0]["name"]
    assert json.loads((folder / "fits" / f"{first}.json").read_text())["status"] == "answered"
    assert page.count("<tr") > recorded["observations.csv"].count(b"\n")  # every run has its line
    assert {name: (folder / name).read_bytes() for name in recorded} == recorded
    status = CliRunner().invoke(app, ["status", str(folder), "--json"], catch_exceptions=False)
    assert {run["state"] for run in json.loads(status.stdout)["runs"]} <= {"finished", "diverged"}
    shown = gallery.page([gallery.show_fitted(study, folder, tmp_path / "pictures")])
    text = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    section = text.partition(f"## {study}\n")[2].partition("\n## ")[0]
    assert shown.partition(f"## {study}\n")[2].partition("\nNot recorded")[0].strip() in section, (
        "docs/gallery.md is behind: make gallery"
    )
    assert (tmp_path / "pictures" / f"{study}.png").stat().st_size > 10_000


def test_every_recorded_study_has_its_section_and_picture_and_the_readme_shows_one_of_them():
    text = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    for study in gallery.recorded():
        assert f"](gallery/{study}.png)" in text
        assert (gallery.RECORDS / f"{study}.png").exists()
    assert gallery.README_PICTURE.read_bytes() == (gallery.RECORDS / "quickstart.png").read_bytes()


def test_a_study_that_is_not_finished_is_not_recorded(tmp_path):
    write_plan(tmp_path, planned_run("a"), planned_run("b"))
    (tmp_path / "observations.csv").write_text("run\na\n", encoding="utf-8")
    with pytest.raises(LawfulError, match="1 of 2 runs"):
        gallery.record(tmp_path)


def test_nothing_of_the_machine_that_ran_a_study_is_kept():
    for path in gallery.RECORDS.rglob("*.*"):
        if path.suffix in (".json", ".csv"):
            text = path.read_text(encoding="utf-8")
            assert "/tmp/" not in text and '"command"' not in text and "/home/" not in text, path
