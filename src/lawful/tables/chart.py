"""A chart that was exported from W&B: one column for each run, read as the histories of those runs.

The web page writes `Step`, then for each line of the chart `RUN - METRIC` with `RUN - METRIC__MIN` and `...__MAX`, the
lowest and highest of the values that one point stands for: it shows at most some thousand points of a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lawful.errors import TableError
from lawful.schema import Cell
from lawful.tables.cells import Row, is_empty
from lawful.tables.names import name_of
from lawful.tables.observations import Observations

BETWEEN = " - "  # of the name of a run and that of its metric
ENDS = ("__MIN", "__MAX")


def is_of_chart(column: str) -> bool:
    """Whether a column may be of a chart, by its name alone."""
    return BETWEEN in column or column.endswith(ENDS)


def of_chart(table: Observations) -> Observations:
    """The table with a row for each point of each run, where it is a chart of W&B; else as it is."""
    columns = dict.fromkeys(table.columns)
    series = [column for column in columns if all(f"{column}{end}" in columns for end in ENDS)]
    if not series:
        return table
    ends = {f"{column}{end}" for column in series for end in ENDS}
    axes = [column for column in columns if column not in ends and column not in series]
    if len(axes) != 1:
        return table
    axis, places = axes[0], {column: _place(column) for column in series}
    if not all(run for run, _ in places.values()):
        if len(series) > 1:
            return table
        places = {series[0]: ("", series[0])}  # of one run the name is left out
    if "" not in {run for run, _ in places.values()} and len(set(places.values())) < len(places):
        raise TableError(f"{table.source}: expected a chart with one column for each run and metric, got two of one.")
    metrics = list(dict.fromkeys(metric for _, metric in places.values()))
    if metrics == ["step"]:
        return table
    rows: list[dict[str, Cell]] = []
    runs: dict[str, list[str]] = {}
    for column, (run, _) in places.items():
        runs.setdefault(run, []).append(column)
    _expect_within(table, series)
    several = 0
    for run, own in runs.items():
        cells = [f"{column}{end}" for column in own for end in ("", *ENDS)]
        points = [row for row in table.rows if any(not is_empty(row.get(cell)) for cell in cells)]
        several += sum(_stands_for_several(row, own) for row in points)
        is_counted = name_of(axis).path == "step" or any(places[column][1] == "step" for column in own)
        for number, row in enumerate(points, start=1):
            rows.append(
                {
                    **({"run": run} if run else {}),
                    axis: row.get(axis, ""),
                    **({} if is_counted else {"step": number}),
                    **{places[column][1]: row.get(column, "") for column in own},
                }
            )
    said = [f"a chart of W&B: {len(runs)} runs, a row for each point ({', '.join(map(repr, metrics))} by {axis!r})"]
    if several:
        said.append(
            f"{several} points of the chart stand for several values: their mean is taken (W&B draws a part of the "
            "points; the log of the run has all)"
        )
    return replace(table, rows=tuple(rows), said=(*table.said, *said), lone=frozenset())


def _place(column: str) -> tuple[str, str]:
    """The run and the metric of a column."""
    run, _, metric = column.rpartition(BETWEEN)
    return run.strip(), "step" if metric.strip() == "_step" else metric.strip()


def _expect_within(table: Observations, series: Sequence[str]) -> None:
    """Raises TableError where a value is not between the lowest and the highest that stand beside it."""
    for number, row in enumerate(table.rows, start=1):
        for column in series:
            found = [row.get(f"{column}{end}") for end in (ENDS[0], "", ENDS[1])]
            numbers = [cell for cell in found if isinstance(cell, (int, float))]
            if len(numbers) < len(found):
                continue
            low, value, high = numbers
            room = 1e-9 * max(abs(low), abs(high))  # the mean of equal numbers may differ from them in its last digits
            if not low - room <= value <= high + room:
                raise TableError(
                    f"{table.source}: row {number}, column {column!r}: expected a value from {low:g} to {high:g}, as "
                    f"the columns beside it say, got {value:g}; the file is damaged, or no chart of W&B."
                )


def _stands_for_several(row: Row, columns: Sequence[str]) -> bool:
    return any(row.get(f"{column}{ENDS[0]}") != row.get(f"{column}{ENDS[1]}") for column in columns)
