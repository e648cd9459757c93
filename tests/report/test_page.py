"""The page and report.md say what the answer's JSON says, show what was refused or left out, and need no network."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
import shutil
import struct
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from lawful.errors import LawfulError, StoreError
from lawful.fitting.answer import answer_study
from lawful.fitting.answer_records import Excluded
from lawful.fitting.answers import Answer, write_answer
from lawful.report import scales
from lawful.report.charts import Chart
from lawful.report.evidence import read_evidence
from lawful.report.page import all_charts, write_report
from lawful.schema import Question, Warning
from lawful.storage.atomic import write_json
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store
from records import comparison, edit_plan

Make = Callable[..., Path]
VOID = {"meta", "input", "img", "br", "hr", "col", "link"}


class Reader(HTMLParser):
    """Texts by the id of the nearest element that has one, tags, and whether every element was closed in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {}
        self.mismatches: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if tag not in VOID:
            self.open.append((tag, given.get("id") or (self.open[-1][1] if self.open else "")))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1][0] != tag:
            self.mismatches.append(tag)
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1][0] not in ("script", "style"):
            place = self.open[-1][1]
            self.text[place] = self.text.get(place, "") + data


def read(page: Path) -> Reader:
    reader = Reader()
    reader.feed(page.read_text())
    return reader


def first(page: str, tag: str) -> str:
    """The text of the first such element."""
    found = re.search(rf"<{tag}[^>]*>(.*?)</{tag}>", page, re.DOTALL)
    assert found
    return html.unescape(re.sub(r"<[^>]+>", "", found[1]))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, fabricate: Make, planted_answer: Callable[..., Any]) -> Path:
    folder = fabricate(
        tmp_path_factory.mktemp("page") / "study",
        widths=(16, 32, 64, 128),
        tokens=(125_000, 250_000, 500_000),
        diverged=(5,),
        failed=(9,),
    )
    answer = planted_answer(folder)
    write_answer(Store(folder).fit("loss"), answer)
    write_report(folder)
    return folder


def test_the_first_heading_is_the_answers_headline_word_for_word_and_its_full_sentence_stands_below(
    study: Path,
) -> None:
    answer = read_json(study / "fits" / "loss.json")
    assert first((study / "report.html").read_text(), "h1") == answer["headline"]
    plain = html.unescape((study / "report.md").read_text().replace("\\", ""))
    interval, _, count = answer["basis"].rpartition("; ")
    assert count == "16 runs"  # of the first screen: in the line that says on what the answer rests, and once
    assert f"**{answer['headline']}**" in plain and interval in plain and answer["sentence"] in plain
    page = read(study / "report.html").text
    first_screen = page["answer"].replace("\xa0", " ")
    assert interval in first_screen and answer["sentence"] in page["law"]
    assert f"{interval}; {count}" not in first_screen
    assert re.search(r"\d+ runs: 16 fitted \(\d sizes, ", first_screen)


def test_the_first_section_holds_the_chart_of_the_answer_the_forecasts_the_doubt_and_what_to_do(study: Path) -> None:
    page = (study / "report.html").read_text()
    answer = page[page.index('id="answer"') : page.index('id="law"')]
    assert answer.count('class="plot"') == 1 and 'data-chart="loss_by_size"' in answer
    assert page.count('data-chart="loss_by_size"') == 1
    text = read(study / "report.html").text["answer"].replace("\xa0", " ")
    held = list(read_json(study / "fits" / "loss.json")["held_out"])
    assert f"{sum(row['is_inside'] for row in held)} of {len(held)} came inside their 95 % intervals" in text
    assert "The parameters lie on a ridge." in text  # the severest doubt
    assert "Do not quote single parameters" in text  # its advice


def test_nothing_in_the_page_names_another_host_or_file(study: Path) -> None:
    page = (study / "report.html").read_text()
    own = page.replace("http://www.w3.org/2000/svg", "")  # the name of a language, which nothing fetches
    assert not re.search(r"(https?:)?//[a-z0-9.-]+\.[a-z]{2,}", own, re.IGNORECASE)
    for tag, attributes in read(study / "report.html").tags:
        assert tag not in ("link", "iframe", "object", "embed", "base"), tag
        for name in ("src", "href", "action", "data", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, name, value)
    assert "default-src 'none'" in html.unescape(page)


def test_every_element_is_closed_and_every_id_is_unique(study: Path) -> None:
    reader = read(study / "report.html")
    assert reader.mismatches == []
    assert reader.open == []
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {
        str(attributes["href"])[1:]
        for tag, attributes in reader.tags
        if tag == "a" and str(attributes.get("href", "")).startswith("#")
    }
    assert targets <= set(ids)


def test_every_chart_is_described_and_has_its_figures(study: Path) -> None:
    charts = [attributes for _, attributes in read(study / "report.html").tags if attributes.get("class") == "plot"]
    assert {chart["data-chart"] for chart in charts} == {
        "loss_by_size",
        "loss_by_tokens",
        "loss_by_compute",
        "loss_forecast",
        "loss_exponents",
        "loss_residuals",
        "training_curves",
    }
    for chart in charts:
        assert len(str(chart["aria-label"])) > 40
        png = (study / "figures" / f"{chart['data-chart']}.png").read_bytes()
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", png[16:24])
        assert width > 600 and height > 400
        ElementTree.fromstring((study / "figures" / f"{chart['data-chart']}.svg").read_text())


def chart_of(folder: Path, name: str) -> Chart:
    return next(chart for chart in all_charts(read_evidence(folder)) if chart.name == name)


def drawn_chart(folder: Path, name: str) -> ElementTree.Element:
    """The plot of this name on the page, as XML."""
    page = (folder / "report.html").read_text()
    found = re.search(rf'<div class="plot" data-chart="{name}".*?</svg></div>', page, re.DOTALL)
    assert found
    return ElementTree.fromstring(found[0])


def test_the_drawn_curve_is_the_planted_law(study: Path, planted_loss: Callable[[float, float], float]) -> None:
    chart = chart_of(study, "loss_by_size")
    tokens = sorted({rung.tokens for rung in Store(study).read_study().runs})
    lines = [line for line in chart.lines if line.name.startswith("law at")]
    assert len(lines) == len(tokens)
    for line, seen in zip(lines, tokens, strict=True):
        for params, loss in zip(line.x, line.y, strict=True):
            assert loss == pytest.approx(planted_loss(params, seen), rel=1e-4)


def test_marks_and_curves_of_the_page_lie_where_the_chart_says(study: Path) -> None:
    chart, page = chart_of(study, "loss_by_size"), drawn_chart(study, "loss_by_size")
    (low_x, high_x), (low_y, high_y) = scales.limits(chart)
    # both axes are logarithmic: places of the page back into values, by hand
    paths = [path for path in page.iter("path") if path.get("class") == "line"]
    for line, path in zip(chart.lines, paths, strict=True):
        corners = [pair.split(",") for pair in str(path.get("d"))[1:].split("L")]
        for (across, down), x, y in zip(corners, line.x, line.y, strict=True):
            assert low_x * (high_x / low_x) ** (float(across) / 1000) == pytest.approx(x, rel=1e-3)
            assert low_y * (high_y / low_y) ** (1 - float(down) / 1000) == pytest.approx(y, rel=1e-3)
    marks = list(page.iter("use"))
    wanted = [pair for points in chart.points for pair in zip(points.x, points.y, strict=True)]
    for mark, (x, y) in zip(marks, wanted, strict=True):
        across, down = (float(str(mark.get(side)).removesuffix("%")) / 100 for side in ("x", "y"))
        assert low_x * (high_x / low_x) ** across == pytest.approx(x, rel=1e-3)
        assert low_y * (high_y / low_y) ** (1 - down) == pytest.approx(y, rel=1e-3)


def test_a_point_says_its_run_size_tokens_seed_and_loss(study: Path) -> None:
    texts = re.search(r'<script type="application/json" id="said">(.*?)</script>', (study / "report.html").read_text())
    assert texts
    by_key = json.loads(texts[1])
    said = [by_key[mark.attrib["data-says"]][1] for mark in drawn_chart(study, "loss_by_size").iter("use")]
    rungs = {rung.run: rung for rung in Store(study).read_study().runs}
    assert len(said) == len(rungs) - 2  # one diverged, one failed
    for text in said:
        rung = rungs[text.split("\n")[0].removeprefix("run ")]
        assert f"seed {rung.seed}" in text
        assert "\nN " in text and "\nD " in text and "\nloss " in text


def test_every_run_left_out_is_listed_with_its_reason(study: Path) -> None:
    rungs = Store(study).read_study().runs
    page = read(study / "report.html").text["doubts"]
    markdown = (study / "report.md").read_text()
    for index, reason in ((5, "diverged: validation loss 5.2 above log(65)"), (9, "failed: out of memory")):
        for text in (page, markdown):
            assert rungs[index].run in text
            assert reason in text


def test_runs_that_failed_are_said_at_the_top_and_diverged_ones_are_not_called_so(study: Path) -> None:
    rungs = Store(study).read_study().runs
    page = read(study / "report.html").text["answer"]
    markdown = (study / "report.md").read_text().replace("\\", "")
    for text in (page, markdown):
        assert "Runs failed" in text
        assert f"1 of {len(rungs)} runs failed and stand in no fit" in text
        assert "out of memory at a micro-batch of 1" in text
    assert "validation loss 5.2 above" not in page


def test_markdown_has_the_same_parameters_forecasts_and_losses_as_the_page(study: Path) -> None:
    page = "".join(read(study / "report.html").text.values())
    markdown = (study / "report.md").read_text().replace("\\", "")
    answer = read_json(study / "fits" / "loss.json")
    for item in answer["held_out"]:
        assert f"{item['predicted']:.4f}" in page
        assert f"{item['predicted']:.4f}" in markdown
    table = [line for line in markdown.splitlines() if line.startswith("| α |")]
    cells = [cell.strip() for cell in table[0].strip("|").split("|")]
    assert cells[1] == "0.3600"
    for cell in cells[1:]:
        assert cell in page
    for rung in Store(study).read_study().runs:
        assert rung.run in page and rung.run in markdown


def test_the_downloaded_table_is_the_observations_byte_for_byte(study: Path) -> None:
    links = [str(attributes["href"]) for _, attributes in read(study / "report.html").tags if "download" in attributes]
    assert len(links) == 1
    packed = base64.b64decode(links[0].partition("base64,")[2])
    assert gzip.decompress(packed) == (study / "observations.csv").read_bytes()


def test_warnings_stand_most_severe_first(study: Path) -> None:
    badges = [
        attributes["class"]
        for _, attributes in read(study / "report.html").tags
        if "badge" in str(attributes.get("class"))
    ]
    names = [str(badge).split()[-1] for badge in badges]
    assert names == sorted(names, key=["severe", "caution", "note"].index)
    assert set(names) >= {"severe", "caution"}


def test_report_is_the_same_bytes_when_written_again(study: Path) -> None:
    paths = [study / "report.html", study / "report.md", *sorted((study / "figures").iterdir())]
    before = [path.read_bytes() for path in paths]
    write_report(study)
    assert [path.read_bytes() for path in paths] == before


def test_without_matplotlib_the_page_is_the_same_and_the_missing_pictures_are_said(
    make_folder: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_folder(widths=(16, 32, 64), tokens=(125_000, 250_000, 500_000), seeds=1)
    page = write_report(folder).read_bytes()
    shutil.rmtree(folder / "figures")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert write_report(folder).read_bytes() == page and not (folder / "figures").exists()
    assert "pip install 'lawful[report]'" in caplog.text


@pytest.mark.usefixtures("without_figures")
def test_text_from_data_is_shown_and_never_becomes_markup(
    make_folder: Make, planted_answer: Callable[..., Any]
) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    folder = make_folder(widths=(16, 32, 64), tokens=(125_000, 250_000, 500_000), seeds=1, name=evil, faults=(evil,))
    here = Store(folder)
    one, *others = here.read_study().runs
    study = edit_plan(folder, question=evil, command=evil, runs=(replace(one, rung=evil), *others))
    answer = replace(planted_answer(folder), warnings=(Warning(evil, "warning", evil),), headline=f"{evil} N^-0.3")
    write_answer(here.fit("loss"), answer)
    table = here.observations.read_text().splitlines()
    label = study.runs[1].rung
    here.observations.write_text("\n".join(table).replace(label, evil.replace(",", " ")) + "\n")

    page = write_report(folder).read_text()

    assert "<img" not in page
    assert len(re.findall(r"<script", page)) == 4  # the page's own
    assert "alert(1)" in first(page, "h1")
    outside_code = re.sub(r"```.*?```", "", (folder / "report.md").read_text(), flags=re.DOTALL)
    assert "<script>alert" not in outside_code and "<img" not in outside_code


@pytest.mark.usefixtures("without_figures")
def test_a_refused_fit_is_shown_as_refused_with_its_reason_and_the_runs(make_folder: Make) -> None:
    refusal = "params (params_non_embedding) takes 2 distinct values; a law in params needs at least 3."
    folder = make_folder(widths=(16, 32), tokens=(125_000, 250_000), held_out=False)
    question = Store(folder).read_study().questions[0]
    answer = Answer(
        question=question, status="refused", refusal=refusal, sentence=f"Refused: {refusal}", code="too_few_levels"
    )
    write_answer(Store(folder).fit("loss"), answer)
    page = write_report(folder)
    wanted = "No law is claimed: the runs take too few different sizes or budgets."
    assert first(page.read_text(), "h1") == wanted
    assert refusal[:1].upper() + refusal[1:] in read(page).text["answer"]
    assert "No law is claimed" in page.read_text()
    shown = [str(attributes["data-chart"]) for _, attributes in read(page).tags if attributes.get("class") == "plot"]
    assert shown == ["loss_runs", "training_curves"]
    assert refusal.replace("_", "\\_") in (folder / "report.md").read_text()


@pytest.mark.usefixtures("without_figures")
def test_a_study_partly_done_says_so(make_folder: Make) -> None:
    folder = make_folder(widths=(16, 32, 64), tokens=(125_000, 250_000), seeds=1, waiting=(4,), running=(5,))
    page = read(write_report(folder))
    assert "4 of 6 runs have ended" in page.text["answer"]
    assert "No law has been fitted yet; 4 runs have finished." in page.text["answer"]
    assert "4 of 6 runs have ended" in (folder / "report.md").read_text()


def test_a_study_with_nothing_trained_still_has_a_page(make_folder: Make) -> None:
    folder = make_folder(widths=(16, 32), tokens=(125_000,), seeds=1, waiting=(0, 1))
    page = read(write_report(folder))
    assert "No run has finished yet" in page.text["answer"]
    assert not any(attributes.get("class") == "plot" for _, attributes in page.tags)


@pytest.mark.usefixtures("without_figures")
def test_faults_of_the_design_stand_before_the_law(make_folder: Make) -> None:
    fault = "The largest model makes 88 optimiser steps."
    folder = make_folder(widths=(16, 32), tokens=(125_000,), seeds=1, faults=(fault,))
    page = write_report(folder).read_text()
    assert page.index("What is wrong with this as evidence") < page.index('id="law"')
    assert fault in page and fault in (folder / "report.md").read_text()


def test_arms_differ_by_more_than_colour(make_folder: Make) -> None:
    folder = make_folder(widths=(16, 32, 64), tokens=(125_000, 250_000), seeds=1, arms=("gelu", "swiglu"))
    arms = chart_of(folder, "arms")
    assert [points.name for points in arms.points] == ["gelu", "swiglu"]
    assert len({points.symbol for points in arms.points}) == 2


def test_arms_of_one_size_each_are_not_drawn_over_size(make_folder: Make) -> None:
    folder = make_folder(widths=(32,), tokens=(125_000, 250_000, 500_000), seeds=1, arms=("gelu", "swiglu"))
    (chart,) = [one for one in all_charts(read_evidence(folder)) if one.name == "arms"]
    assert "tokens" in chart.x.title and {len(set(one.x)) for one in chart.points} == {3}


@pytest.mark.usefixtures("without_figures")
def test_a_comparison_of_arms_leads_and_each_arms_own_law_follows(
    make_folder: Make, planted_answer: Callable[..., Any]
) -> None:
    folder = make_folder(widths=(16, 32, 64), tokens=(125_000, 250_000), seeds=1, arms=("gelu", "swiglu"))
    here = Store(folder)
    sentence = (
        "The arms differ: the floor differs (p = 0.002); swiglu needs 0.82 [0.79, 0.85] times the compute of gelu."
    )
    own = planted_answer(folder)
    others = [
        Excluded(run=rung.run, rung=rung.rung, reason="arm is not gelu")
        for rung in here.read_study().runs
        if rung.arm == "swiglu"
    ]
    mine = replace(own.question, name="loss--gelu", where={"arm": "gelu"})
    write_answer(here.fit("loss--gelu"), replace(own, question=mine, excluded=tuple(others)))
    found = comparison("the floor differs", alpha=(-0.0018, (-0.076, 0.073)), times=(0.82, (0.79, 0.85)))
    found = replace(found, sentence=sentence)
    lead = Answer(question=own.question, status="answered", sentence=sentence, comparison=found)
    write_answer(here.fit("loss"), lead)
    here.baselines.unlink()
    page = write_report(folder)
    wanted = "swiglu needs 18\xa0% fewer tokens than gelu for the same loss; whether the gain grows with scale is not "
    assert first(page.read_text(), "h1") == f"{wanted}decided."
    reader = read(page)
    assert sentence in reader.text["law"]
    assert "the floor differs" in reader.text["law"] and "24.6" in reader.text["law"] and "0.820" in reader.text["law"]
    assert own.sentence in reader.text["question-loss--gelu"].replace("\n", " ")
    assert "arm is not gelu" not in page.read_text()  # the other arm is not an exclusion
    assert "| the floor differs | E | 6 |" in (folder / "report.md").read_text()


@pytest.mark.usefixtures("without_figures")
def test_a_study_that_asks_of_each_arm_apart_is_answered_by_their_comparison(make_folder: Make) -> None:
    arms = ("gelu", "swiglu")
    asked = [
        Question(name=arm, asks=f"How does the loss of {arm} fall?", law="power_floor:params", where={"arm": arm})
        for arm in arms
    ]
    folder = make_folder(widths=(16, 24, 40, 64, 96, 160), tokens=(250_000,), arms=arms, questions=asked, seeds=2)
    Store(folder).baselines.unlink()
    answers = answer_study(folder, draws=0)
    assert [answer.name for answer in answers] == ["arms", "gelu", "swiglu"]
    page = write_report(folder)
    (lead, *_) = answers
    assert lead.comparison is not None and lead.comparison.n == 20
    assert "4 larger runs forecast from the other runs: " in read(page).text["answer"]
    assert first(page.read_text(), "h1") == lead.headline.replace(" %", "\xa0%")
    assert all(arm in lead.headline for arm in arms)
    assert all(answer.headline in read(page).text["answer"].replace("\xa0", " ") for answer in answers[1:])


def test_a_folder_without_a_study_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LawfulError, match=r"expected a study's folder.*lawful run"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    "counted", [{"baselines": [1]}, {"baselines": {"a": 1}}, {"by_corpus": {"a": [1]}}, {"by_corpus": 1}]
)
@pytest.mark.usefixtures("without_figures")
def test_counts_of_another_shape_are_named(make_folder, counted: dict) -> None:
    folder = make_folder()
    write_json(Store(folder).baselines, counted)
    with pytest.raises(StoreError, match="baselines.json: expected counts"):
        write_report(folder)
