"""Planted against recovered: every value that is a number, with its interval, relative to what was planted."""

from __future__ import annotations

import math

from lawful.fitting.truth import Recovered
from lawful.report import charts, tables
from lawful.report.charts import Axis, Chart, Points, Reference
from lawful.report.evidence import Evidence
from lawful.report.marks import see_through


def truth_chart(evidence: Evidence) -> Chart | None:
    """None where no number was planted. Of a planted 0 there is no ratio."""
    points, left_out = [], 0
    for index, answer in enumerate(one for one in evidence.answers if one.truth):
        for is_inside in (True, False):
            items = [item for item in answer.truth if item.is_inside == is_inside]
            shown = [one for item in items if (one := _relative(item))]
            left_out += sum(item.planted == 0 for item in items)
            if shown:
                points.append(
                    Points(
                        name=answer.name if is_inside else f"{answer.name}, missed",
                        x=[x for x, _, _, _ in shown],
                        y=[y for _, y, _, _ in shown],
                        low=[low for _, _, (low, _), _ in shown],
                        high=[high for _, _, (_, high), _ in shown],
                        bars="95 % interval",
                        colour=f"arm{index % charts.ARMS}" if is_inside else "held_out",
                        symbol=charts.SYMBOLS[index % len(charts.SYMBOLS)],
                        is_open=not is_inside,
                        hover=[f"{answer.name}: {said}" for _, _, _, said in shown],
                        legend=f"truth{index}",
                    )
                )
    if not points:
        return None
    values = sum(len(one.x) for one in points)
    zero = f" A planted 0 has no ratio: {tables.many(left_out, 'value')} left out." if left_out else ""
    return Chart(
        name="truth_recovered",
        kind="truth",
        title="Planted and recovered values",
        caption="A mark is a value that was found, over the one that was planted, with its 95 % interval: at 1 it is "
        f"what was planted. Verdicts, which are no numbers, stand in the table.{zero}",
        alt=f"{tables.many(values, 'recovered value')} over the planted ones, with 95 % intervals, a colour for each "
        "question.",
        x=Axis(title="Planted value", scale="linear"),
        y=Axis(title="Recovered / planted", scale="linear"),
        points=see_through(points),
        references=[Reference(y=1.0, label="as planted")],
        legend_title="Question",
        is_wide=True,
    )


def _relative(item: Recovered) -> tuple[float, float, tuple[float, float], str] | None:
    """Planted, found over planted, its interval, and what stands over the mark."""
    planted, found = item.planted, item.found
    if isinstance(planted, str) or isinstance(found, str) or found is None or item.interval is None or planted == 0:
        return None
    low, high = sorted(end / planted for end in item.interval)
    if not all(map(math.isfinite, (found, low, high))):
        return None
    return planted, found / planted, (low, high), f"{item.name}\nplanted {planted:.4g}\nfound {found:.4g}"
