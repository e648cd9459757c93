"""A published site: what leaves a study's folder, and what never does."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zipfile
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lawful.errors import StoreError
from lawful.fitting.answers import write_answer
from lawful.report import publish as publishing
from lawful.report.citation import bibtex
from lawful.report.evidence import read_evidence
from lawful.report.private import Hidden, mapped
from lawful.report.publish import address, publish
from lawful.storage.atomic import write_bytes
from lawful.storage.layout import Store
from lawful.tables import read_rows, write_csv
from records import edit_plan

Make = Callable[..., Path]
SMALL = {"widths": (16, 32, 64), "tokens": (125_000, 250_000, 500_000), "seeds": 1, "points_per_run": 8}
SECRET = "s3cret-value"
PLACE = "/home/ada/my project/data"


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes seconds and is tested elsewhere: here a picture is its title."""

    def write(drawn: list[Any], folder: Path) -> list[Path]:
        for chart in drawn:
            write_bytes(folder / f"{chart.name}.svg", chart.title.encode())
        return []

    monkeypatch.setattr(publishing, "write_figures", write)
    monkeypatch.setattr(publishing, "save", lambda chart, path, columns: write_bytes(path, chart.title.encode()))


@pytest.fixture
def make(tmp_path: Path, fabricate: Make, planted_answer: Callable[..., Any]) -> Make:
    """make(name) -> a study whose command, table and run folders hold what must not leave."""

    def build(name: str) -> Path:
        folder = fabricate(tmp_path / name, **SMALL)
        write_answer(Store(folder).fit("loss"), planted_answer(folder))
        edit_plan(folder, command=f"lawful run '{PLACE}/my_study.py' --data /scratch/ada/text WANDB_API_KEY={SECRET}")
        rows = [dict(row) for row in read_rows(folder / "observations.csv")]
        rows[0]["reason"] = f"see {folder.resolve()}/runs/log and /scratch/ada/worker.log"
        rows[0]["numerics"] = "device=cuda threads=8"
        write_csv(folder / "observations.csv", rows)
        for place in ("runs/a", "trunks"):
            (folder / place).mkdir(parents=True, exist_ok=True)
        for place in ("runs/a/model.safetensors", "runs/a/worker.log", "workers.log", "notes.txt", ".env"):
            (folder / place).write_text(SECRET)
        return folder

    return build


def test_only_pages_tables_pictures_and_citations_leave_and_they_do_not_name_the_machine(
    make: Make, tmp_path: Path
) -> None:
    folder = make("shakespeare")
    opened = publish([folder], tmp_path / "site")

    assert opened == tmp_path / "site" / "index.html"
    files = {str(path.relative_to(tmp_path / "site")): path.read_bytes() for path in (tmp_path / "site").rglob("*.*")}
    assert {name for name in files if "/figures/" not in name} == {
        *("index.html", "shakespeare/index.html", "shakespeare/observations.csv", "shakespeare/cite.bib")
    }
    pictures = [name for name in files if "/figures/" in name]
    assert all(name.endswith((".svg", "-one-column.pdf", "-two-column.pdf")) for name in pictures)
    headline = read_evidence(folder).answers[0].headline
    assert [data.decode() for name, data in files.items() if name.endswith(".pdf")] == [headline] * 2
    packed = re.search(rb"data:application/gzip;base64,([^\"]+)", files["shakespeare/index.html"])
    assert packed
    table = gzip.decompress(b64decode(packed[1]))
    assert table == files["shakespeare/observations.csv"]
    for name, data in {**files, "download": table}.items():
        for private in (SECRET, "/home/", "/scratch/", "ada", str(tmp_path), "device=cuda", "runs/a"):
            assert private.encode() not in data, (name, private)
    assert b"my_study.py" in files["shakespeare/index.html"]  # which file: not where
    rows = list(csv.DictReader(io.StringIO(table.decode())))
    assert "numerics" not in rows[0] and [row["loss"] for row in rows] == [
        row["loss"] for row in csv.DictReader(io.StringIO((folder / "observations.csv").read_text()))
    ]


def test_paths_stay_where_that_is_asked_for(make: Make, tmp_path: Path) -> None:
    publish([make("shakespeare")], tmp_path / "site", keeps_paths=True)
    assert "/scratch/ada/text" in (tmp_path / "site" / "shakespeare" / "index.html").read_text()


def test_the_index_says_the_question_the_headline_and_leads_to_the_page(make: Make, tmp_path: Path) -> None:
    folder = make("shakespeare")
    index = publish([folder], tmp_path / "site").read_text()
    evidence = read_evidence(folder)
    assert evidence.study.question in index and evidence.answers[0].headline in index
    for link in re.findall(r'href="([^"#]+)"', index):
        assert (tmp_path / "site" / link).is_file(), link


def test_a_zip_holds_the_same_files_in_one_folder_and_is_the_same_bytes_again(make: Make, tmp_path: Path) -> None:
    folder = make("shakespeare")
    packed = publish([folder], tmp_path / "law.zip")
    before = packed.read_bytes()
    publish([folder], tmp_path / "site")
    with zipfile.ZipFile(packed) as names:
        assert {name.split("/")[0] for name in names.namelist()} == {"law"}
        assert names.read("law/index.html") == (tmp_path / "site" / "index.html").read_bytes()
    assert publish([folder], packed).read_bytes() == before


def test_what_others_wrote_is_never_replaced(make: Make, tmp_path: Path) -> None:
    folder = make("shakespeare")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "index.html").write_text("my home page")
    (folder / "report.html").write_text("")
    for out in (theirs, folder, folder.parent, folder / "report.html"):
        with pytest.raises(StoreError, match="expected"):
            publish([folder], out)
    assert (theirs / "index.html").read_text() == "my home page"
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "shakespeare").symlink_to(folder)
    with pytest.raises(StoreError, match="link"):
        publish([folder], linked)
    with pytest.raises(StoreError, match="twice"):
        publish([folder, folder], tmp_path / "site")


def test_a_site_is_written_again_beside_other_files(make: Make, tmp_path: Path) -> None:
    folder, site = make("shakespeare"), tmp_path / "site"
    (site / ".git").mkdir(parents=True)
    publish([folder], site)
    edit_plan(folder, question="Another question?")
    assert "Another question?" in publish([folder], site).read_text()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../../etc", "etc"),
        ("<script>alert(1)</script>", "script-alert-1-script"),
        ("studie é/Ü", "studie"),
        ("..", "study"),
        ("CON", "study-CON"),
        ("index.html", "study-index.html"),
        ("a" * 300, "a" * 80),
        ("Taken", "Taken-2"),
    ],
)
def test_a_hostile_name_becomes_a_plain_folder(name: str, expected: str) -> None:
    assert address(name, {"taken"}) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("read /mnt/data/x.csv, line 3", "read …/x.csv, line 3"),
        (r"open C:\Users\ada\x.csv", "open …/x.csv"),
        ("~/runs/a", "…/a"),
        ("file:///home/ada/x.html", "…/x.html"),
        ("--api-key abc --tokens 1e7", "--api-key … --tokens 1e7"),
        ("https://arxiv.org/abs/2203.15556", "https://arxiv.org/abs/2203.15556"),
        ("6.2 FLOPs/param/token and/or 1/2", "6.2 FLOPs/param/token and/or 1/2"),
        ("L = E + A /N/D", "L = E + A /N/D"),
    ],
)
def test_paths_and_keys_are_hidden_and_nothing_else(text: str, expected: str) -> None:
    assert Hidden(())(text) == expected


def test_a_study_without_texts_to_hide_keeps_its_fit(make: Make) -> None:
    evidence = read_evidence(make("shakespeare"))
    assert mapped(evidence.answers, Hidden(())) == evidence.answers


def test_bibtex_is_the_studys_own_or_made_of_its_data(make: Make, tmp_path: Path) -> None:
    folder = make("shakespeare")

    def cited() -> str:
        return bibtex(read_evidence(folder))

    edit_plan(folder, question="50 % of {tokens}: \\input{x}\n @misc?", created="2026-11-03T10:00:00+00:00")
    made = cited()
    assert made.startswith("@misc{shakespeare2026,\n") and "month = nov" in made and "author" not in made
    assert r"50 \% of \{tokens\}: \textbackslash{}input\{x\} @misc?" in made
    pytest.importorskip("yaml", reason="reads YAML")
    (folder / "CITATION.cff").write_text(
        "cff-version: 1.2.0\ntitle: Mine\nauthors:\n- {family-names: Lovelace, given-names: Ada}\n- {name: A Lab}\n"
        "doi: 10.1/x_y\n"
    )
    assert "{{Lovelace, Ada and A Lab}}" in cited() and "{10.1/x_y}" in cited() and "{{Mine}}" in cited()
    (folder / "CITATION.bib").write_text("% mine\n@article{own, title={A}}\n")
    assert cited() == "% mine\n@article{own, title={A}}\n"
    (folder / "CITATION.bib").write_text("none")
    with pytest.raises(StoreError, match="expected BibTeX"):
        cited()


def test_a_study_that_has_not_begun_can_be_shown(make: Make, tmp_path: Path) -> None:
    folder = make("shakespeare")
    (folder / "observations.csv").unlink()
    Store(folder).fit("loss").unlink()
    publish([folder], tmp_path / "site")
    assert not (tmp_path / "site" / "shakespeare" / "observations.csv").exists()
