"""Pictures for papers: their width, their title, their text."""

from __future__ import annotations

import re
from pathlib import Path

from matplotlib.text import Text

from lawful.report import figures
from lawful.report.charts import Axis, Chart, Points

CHART = Chart(
    name="law",
    kind="law",
    title="Ten times the parameters cut the loss by $5_ %; held-out forecasts held: a long title.",
    caption="",
    alt="",
    x=Axis(title="Parameters N"),
    y=Axis(title="Loss"),
    points=[
        Points(name=name, x=[1e6, 1e7], y=[3.0, 2.5], colour="arm0", symbol="circle") for name in ("fitted", "held out")
    ],
)


def test_a_pdf_is_as_wide_as_a_column_of_a_paper_and_its_text_is_text(tmp_path: Path) -> None:
    path = tmp_path / "law.pdf"
    figures.save(CHART, path, 1)
    data = path.read_bytes()
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ", data)
    assert box and float(box[1]) == 252  # 3.5 inches
    assert b"/Subtype /Type0" in data and b"/ToUnicode" in data  # glyphs that can be searched and copied
    assert b"/Subtype /Type3" not in data and b"/CreationDate" not in data
    assert list(figures.draw(CHART, 2).get_size_inches()) == [7.2, 4.0]


def test_everything_of_a_narrow_figure_stands_inside_it() -> None:
    with figures._settings():
        figure = figures.draw(CHART, 1)
        figure.draw_without_rendering()
    axes = figure.axes[0]
    assert axes.get_title(loc="left").replace("\n", " ") == CHART.title
    titles = [one for one in axes.get_children() if isinstance(one, Text) and one.get_text()]
    legend, whole = axes.get_legend(), figure.bbox
    assert len(titles) == 1 and legend is not None
    for part in (*titles, axes.xaxis.label, axes.yaxis.label, legend):
        box = part.get_window_extent()
        assert whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 and box.y1 <= whole.y1, part
