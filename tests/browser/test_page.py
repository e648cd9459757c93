"""The report as a browser shows it: what it says, what a hand or key does to it, on a phone, in the dark, on paper."""

from __future__ import annotations

import csv
import json
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lawful.storage.json_files import read_json
from lawful.storage.layout import Store

pytestmark = pytest.mark.browser
Open = Callable[..., Any]
CHART = ".plot[data-chart=loss_by_size]"


def observations(study: Path) -> list[dict[str, str]]:
    with (study / "observations.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def column(page: Any, name: str) -> list[str]:
    """The cells of a column of the table of runs, of the rows that are shown, from the top."""
    return page.evaluate(
        """(name) => {
          const table = document.querySelector("#runs table");
          const at = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent === name);
          return [...table.tBodies[0].rows].filter((row) => row.offsetParent).map((row) => row.cells[at].textContent);
        }""",
        name,
    )


def test_the_answer_a_point_the_table_and_its_download_are_the_studys_own_and_nothing_is_fetched(
    study: Path, open_page: Open
) -> None:
    page = open_page(study / "report.html")
    answer = read_json(study / "fits" / "loss.json")
    assert page.text_content("h1") == answer["headline"]

    rows = {row["run"]: row for row in observations(study)}
    page.locator(CHART).scroll_into_view_if_needed()
    box = page.locator(f"{CHART} .marks use").nth(3).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    lines = page.text_content(f"{CHART} .tip").split("\n")
    run = next(line for line in lines if line.startswith("run ")).removeprefix("run ")
    assert f"loss {float(rows[run]['loss']):.4f}" in lines
    assert f"seed {rows[run]['seed']}" in lines

    header = page.get_by_role("button", name="Loss", exact=True)
    header.click()
    shown = column(page, "Run")
    finished = sorted((row for row in rows.values() if row["loss"]), key=lambda row: float(row["loss"]))
    assert shown[: len(finished)] == [row["run"] for row in finished]
    assert set(shown[len(finished) :]) == {run for run, row in rows.items() if not row["loss"]}  # empty ones last
    header.press("Enter")
    assert column(page, "Run")[: len(finished)] == [row["run"] for row in reversed(finished)]
    assert page.get_attribute("#runs th:has-text('Loss')", "aria-sort") == "descending"

    rungs = Store(study).read_study().runs
    for text, wanted in (
        ("size=16", {rung.run for rung in rungs if rung.at["size"] == 16}),
        ("tokens=125k seed=1", {r.run for r in rungs if (r.at["tokens"], r.at["seed"]) == (125_000, 1)}),
        ("diverged", {run for run, row in rows.items() if row["status"] == "diverged"}),
    ):
        page.fill("#runs input", text)
        assert set(column(page, "Run")) == wanted
        assert page.text_content("#runs output") == f"{len(wanted)} of {len(rungs)} rows"

    with page.expect_download() as download:
        page.click("#runs a[download]")
    assert Path(download.value.path()).read_bytes() == (study / "observations.csv").read_bytes()

    assert page.requests[0] == (study / "report.html").as_uri()
    assert [url for url in page.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert len([url for url in page.requests if url.startswith("file:")]) == 1


def test_a_table_of_forecasts_sorts_and_downloads_what_it_shows(study: Path, open_page: Open) -> None:
    page = open_page(study / "report.html")
    answer = read_json(study / "fits" / "loss.json")
    assert len(answer["held_out"]) == 8  # fewer than would give it a filter
    page.locator("#law th button", has_text="Error").click()
    cells = page.locator("#law table.sortable tbody tr td:nth-child(8)").all_text_contents()
    errors = sorted(item["error_relative"] for item in answer["held_out"])
    assert [float(cell.removesuffix(" %")) for cell in cells] == pytest.approx([100 * e for e in errors], abs=0.051)
    page.locator("#law th button", has_text="D").first.click()
    cells = page.locator("#law table.sortable tbody tr td:nth-child(3)").all_text_contents()
    tokens = sorted(item["tokens"] for item in answer["held_out"])
    units = {"k": 1e3, "M": 1e6}
    assert [float(cell[:-1]) * units[cell[-1]] for cell in cells] == pytest.approx(tokens, rel=0.01)


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, True)])
def test_axe_finds_no_serious_fault_and_nothing_is_wider_than_the_screen(
    study: Path, open_page: Open, width: int, dark: bool
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install 'lawful[browser]'")
    page = open_page(study / "report.html", width=width, dark=dark)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = axe.Axe().run(page).response
    assert len(found["passes"]) > 15  # it looked
    faults = [
        f"{fault['id']}: {node['html'][:120]}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]
    assert faults == []


def test_a_theme_that_changes_while_the_page_is_open_changes_the_charts_too(study: Path, open_page: Open) -> None:
    page = open_page(study / "report.html")
    ink = f"getComputedStyle(document.querySelector('{CHART} .title')).fill"
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ink)
    assert _contrast(light, page.evaluate(paper)) > 7
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(ink) != light and _contrast(page.evaluate(ink), page.evaluate(paper)) > 7


def test_on_paper_every_chart_is_drawn_light_inside_its_box_and_nothing_stays_folded(
    study: Path, open_page: Open
) -> None:
    page = open_page(study / "report.html", dark=True)
    page.emulate_media(media="print", color_scheme="dark")
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 between the browser's own margins
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    boxes = page.evaluate(
        """() => [...document.querySelectorAll(".plot")].flatMap((plot) => {
          const box = plot.getBoundingClientRect();
          return [...plot.querySelectorAll("text, use")].filter((one) => one.getClientRects().length).map((one) => {
            const own = one.getBoundingClientRect();
            return [box.left - own.left, own.right - box.right, box.top - own.top, own.bottom - box.bottom];
          });
        })"""
    )
    assert len(boxes) > 150
    assert max(excess for box in boxes for excess in box) <= 2
    assert page.evaluate(f"getComputedStyle(document.querySelector('{CHART} .title')).fill") == "rgb(0, 0, 0)"
    assert page.evaluate("document.querySelectorAll('details:not([open])').length") == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 718  # else a browser shrinks every page
    assert page.pdf(format="A4")[:5] == b"%PDF-"


def test_charts_are_there_without_scripts_and_fit_a_phone(study: Path, browser: Any) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, java_script_enabled=False)
    page = context.new_page()
    page.goto((study / "report.html").as_uri())
    runs = [row for row in observations(study) if row["status"] == "finished"]
    assert page.locator(f"{CHART} .marks use").count() == len(runs)
    for mark in page.locator(f"{CHART} .marks use").all()[::7]:
        box = mark.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390
        assert 7 < box["width"] < 20  # lines stretch with the page, marks do not
    context.close()


def test_a_legend_hides_its_own_marks_and_their_law(study: Path, open_page: Open) -> None:
    page = open_page(study / "report.html")
    shown = f"{CHART} .marks use:visible"
    everything = page.locator(shown).count()
    # held-out runs inside their intervals, and those outside, where there are any
    buttons = page.locator(f"figure:has({CHART}) .legend button", has_text="held out").all()
    for button in buttons:
        button.click()
        assert button.get_attribute("aria-pressed") == "false"
    held = sum(rung.held_out for rung in Store(study).read_study().runs)
    assert page.locator(shown).count() == everything - held
    for button in buttons:
        button.press("Enter")
    assert page.locator(shown).count() == everything


def test_the_arrows_go_from_mark_to_mark_and_say_each(study: Path, open_page: Open) -> None:
    page = open_page(study / "report.html")
    page.focus(CHART)
    said = set()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
        said.add(page.text_content(f"{CHART} .tip"))
    assert len(said) == 4 and all(text.startswith("run ") for text in said)


def test_a_keyboard_reaches_the_answer_first_and_every_header(study: Path, open_page: Open) -> None:
    page = open_page(study / "report.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the answer"
    page.keyboard.press("Enter")
    page.wait_for_url("**/report.html#answer")  # the browser says so a moment after the key
    page.fill("#runs input", "")
    for _ in range(2):  # the download, then the frame of the table or its first header
        page.keyboard.press("Tab")
    while page.evaluate("document.activeElement.textContent") != "Loss":
        page.keyboard.press("Tab")
        assert page.evaluate("Boolean(document.activeElement.closest('#runs'))")
    page.keyboard.press("Space")
    losses = [float(cell) for cell in column(page, "Loss") if cell != "–"]
    assert losses == sorted(losses)


def test_a_filter_takes_an_expression_of_the_columns(study: Path, open_page: Open) -> None:
    page = open_page(study / "report.html")
    rows = {row["run"]: row for row in observations(study) if row["loss"]}
    sizes = {rung.run: rung.at["size"] for rung in Store(study).read_study().runs}
    middle = sorted(float(row["loss"]) for row in rows.values())[len(rows) // 2]
    page.fill("#runs input", f"size > 16, loss<={middle}")
    wanted = {run for run, row in rows.items() if int(sizes[run]) > 16 and float(row["loss"]) <= middle}
    assert 0 < len(wanted) < len(rows) and set(column(page, "Run")) == wanted
    page.fill("#runs input", "size!=16 tokens>=1M")
    assert set(column(page, "Run")) == {
        rung.run for rung in Store(study).read_study().runs if rung.at["size"] != 16 and rung.at["tokens"] >= 1_000_000
    }


def test_a_click_on_a_mark_shows_its_run_its_curve_and_its_folder(study: Path, open_page: Open) -> None:
    page = open_page(study / "report.html")
    mark = page.locator(f"{CHART} .marks use").nth(2)
    run, box = mark.get_attribute("data-run"), mark.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    run = page.locator("#chosen").get_attribute("aria-label").removeprefix("Run ")  # of marks that cover each other one
    row = next(row for row in observations(study) if row["run"] == run)
    assert f"{float(row['loss']):.4f}" in page.text_content("#chosen dl")
    assert page.locator("#chosen a").first.get_attribute("href") == f"runs/{run}/"
    assert page.locator(".line.is-chosen").get_attribute("data-run") == run
    page.keyboard.press("Escape")
    assert page.locator("#chosen").count() == 0 and page.locator(".is-chosen").count() == 0


def test_a_figure_is_saved_as_it_is_shown_and_a_table_as_markdown_and_latex(study: Path, open_page: Open) -> None:
    page = open_page(study / "report.html")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    figure = page.locator(f"figure:has({CHART})")
    figure.hover()
    with page.expect_download() as download:
        figure.get_by_role("button", name="SVG").click()
    picture = ElementTree.parse(download.value.path()).getroot()
    texts = [one.text for one in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert "Loss against size" in texts and "held out" in texts
    shapes = [one.get("transform") for one in picture.iter("{http://www.w3.org/2000/svg}path")]
    assert sum(bool(one) for one in shapes) >= page.locator(f"{CHART} .marks use").count()
    assert "var(" not in Path(download.value.path()).read_text()
    with page.expect_download() as download:
        figure.get_by_role("button", name="PNG").click()
    assert Path(download.value.path()).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"

    page.fill("#runs input", "size=16")
    page.click("#runs summary")
    page.locator("#runs .columns-of label", has_text="Status").locator("input").uncheck()
    page.get_by_role("button", name="Copy as Markdown").last.click()
    lines = page.evaluate("navigator.clipboard.readText()").strip().split("\n")
    assert len(lines) == 2 + len(column(page, "Run")) and "Status" not in lines[0] and lines[1].startswith("| --- |")
    page.get_by_role("button", name="Copy as LaTeX").last.click()
    text = page.evaluate("navigator.clipboard.readText()")
    assert text.startswith("\\begin{tabular}") and text.count("\\\\") == len(lines) - 1


@pytest.mark.slow
def test_500_runs_open_in_under_two_seconds(open_page: Open, fabricate: Callable[..., Path], tmp_path: Path) -> None:
    folder = fabricate(
        tmp_path / "study",
        widths=(16, 24, 32, 48, 64),
        tokens=(125_000, 250_000, 500_000, 750_000, 1_000_000),
        seeds=20,
        points_per_run=60,
    )
    assert len(observations(folder)) == 500
    seconds = math.inf
    for _ in range(3):  # the least is what the page costs; the machine may have other things to do
        page = open_page(folder / "report.html")
        timing = json.loads(page.evaluate("JSON.stringify(performance.getEntriesByType('navigation')[0])"))
        seconds = min(seconds, timing["loadEventEnd"] / 1000)
    assert seconds < 2


def _contrast(one: str, other: str) -> float:
    """WCAG 2's ratio of two colours, each rgb(r, g, b)."""

    def luminance(colour: str) -> float:
        shares = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")[:3]]
        linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_on_a_phone_no_interval_of_a_small_table_stands_beyond_the_edge(study: Path, open_page: Open) -> None:
    page = open_page(study / "report.html", width=390)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    cells = page.evaluate(
        """() => [...document.querySelectorAll('.scroll table:not(.tooled table)')].flatMap((table) =>
            [...table.tHead.rows[0].cells].flatMap((head, column) => /interval/i.test(head.textContent)
                ? [...table.tBodies[0].rows].map((row) => row.cells[column].getBoundingClientRect().right) : []))"""
    )
    assert len(cells) > 10 and max(cells) <= 390


def test_a_chart_is_also_a_table_of_its_marks_that_a_key_opens_and_closes(study: Path, open_page: Open) -> None:
    page = open_page(study / "report.html")
    opener = page.locator(f"figure:has({CHART})").get_by_role("button", name="Table")
    opener.press("Enter")
    assert opener.get_attribute("aria-expanded") == "true"
    rows = page.eval_on_selector_all(
        f"figure:has({CHART}) .figure-table tbody tr",
        "(rows) => rows.map((row) => [...row.cells].map((c) => c.innerText))",
    )
    losses = {row["run"]: float(row["loss"]) for row in observations(study) if row["loss"]}
    marks = [row for row in rows if row[3].startswith("run ")]
    assert {row[3].split(",")[0].removeprefix("run ") for row in marks} == set(losses)
    for row in marks:
        assert float(row[2]) == pytest.approx(losses[row[3].split(",")[0].removeprefix("run ")], rel=1e-3)
    with page.expect_download() as download:
        page.locator(".figure-table").get_by_role("button", name="Download as CSV").click()
    with Path(download.value.path()).open(newline="") as file:
        assert len(list(csv.reader(file))) == 1 + len(rows)
    opener.press("Enter")
    assert opener.get_attribute("aria-expanded") == "false" and page.locator(".figure-table").count() == 0
