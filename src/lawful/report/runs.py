"""The table of every run of a study: by its coordinates, sorted, filtered, downloaded as the CSV that the fit reads."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterable, Mapping, Sequence

from lawful.report import parts, tables
from lawful.report.evidence import Evidence
from lawful.report.markup import Html, tag
from lawful.report.tables import number
from lawful.schema import Cell, Coordinate, Observation, PlannedRun
from lawful.storage.json_files import read_bytes
from lawful.storage.layout import Store

# (header, column, is a number)
COLUMNS = (
    ("Status", "status", False),
    ("N", "params_non_embedding", True),
    ("N in all", "params_total", True),
    ("Tokens seen", "tokens", True),
    ("Compute", "flops", True),
    ("Loss", "loss", True),
    ("Bits/byte", "bits_per_byte", True),
    ("Accuracy", "accuracy", True),
    ("Rate", "learning_rate", True),
    ("Time", "seconds", True),
    ("Time spent", "seconds_spent", True),
    ("A step", "seconds_per_step", True),
    ("An epoch", "seconds_per_epoch", True),
    ("Memory", "peak_memory_bytes", True),
    ("Tokens/s", "tokens_per_second", True),
    ("Speed", "flops_per_second", True),
)


MOST_LISTED = 1_000  # rows; of more, those that did not finish come first, and the download has all


def runs(evidence: Evidence) -> Html:
    """A column for each coordinate of the ladder, then what was measured; columns without any value are left out."""
    everything = [*evidence.rows, *(_not_over(planned) for planned in evidence.missing)]
    at = {planned.run: planned.at for planned in evidence.runs}
    axes = list(dict.fromkeys(axis for coordinates in at.values() for axis in coordinates))
    columns = [item for item in COLUMNS if any(row.get(item[1]) not in (None, "") for row in everything)]
    head = [parts.header("Run", None, sorts=True)]
    head += [parts.header(axis, _side(at.values(), axis), sorts=True) for axis in axes]
    head += [parts.header(name, "right" if is_number else None, sorts=True) for name, _, is_number in columns]
    has_folder = evidence.shared_table is None
    listed = _listed(everything)
    rows = [_row(row, at.get(str(row.get("run")), {}), axes, columns, has_folder=has_folder) for row in listed]
    download = _download(evidence)
    first = next(((axis, value) for axis, value in next(iter(at.values()), {}).items()), ("size", 64))
    return tag(
        "section",
        tag("h2", "Runs"),
        only_some(len(listed), len(everything), " The download has all."),
        parts.tooled(
            parts.framed("Every run of the study", head, rows, sorts=True),
            download,
            len(rows),
            "Runs",
            example=f"{first[0]}={tables.coordinate(first[1])}, loss<3, …",
        ),
        id="runs",
    )


def _listed(rows: Sequence[Observation]) -> Sequence[Observation]:
    if len(rows) <= MOST_LISTED:
        return rows
    return sorted(rows, key=lambda row: row.get("status") == "finished")[:MOST_LISTED]


def only_some(listed: int, rows: int, where: str = "") -> Html | None:
    """That a table lists a part of its rows."""
    return tag("p", f"{listed:,} of {rows:,} rows are listed.{where}", class_="note") if listed < rows else None


def _download(evidence: Evidence) -> Html | None:
    """The table that the fit reads, packed: a fourth of the room. page.js saves it unpacked; without scripts the link
    saves the packed file."""
    path = Store(evidence.folder).observations
    table = evidence.shared_table
    if table is None and path.exists():
        table = read_bytes(path)
    if not table:
        return None
    packed = base64.b64encode(gzip.compress(table, mtime=0)).decode()
    name = f"{evidence.study.name}-observations.csv.gz"
    return tag("a", "Download as CSV", href=f"data:application/gzip;base64,{packed}", download=name, class_="button")


def _not_over(planned: PlannedRun) -> Observation:
    return {**planned.columns(), "status": "not finished"}


def _row(
    row: Observation,
    at: Mapping[str, Coordinate],
    axes: Sequence[str],
    columns: Sequence[tuple[str, str, bool]],
    *,
    has_folder: bool,
) -> Html:
    cells = [tag("td", tag("code", str(row.get("run") or "")))]
    for axis in axes:
        level = at.get(axis, "")
        exact = number(level)
        cells.append(tag("td", tables.coordinate(level), data_value=None if exact is None else _exact(exact)))
    for _, column, is_number in columns:
        value = row.get(column)
        if is_number:
            exact = number(value)
            cells.append(tag("td", _cell(column, value), data_value=_exact(exact) if exact is not None else ""))
        else:
            text = str(value or "") + (", held out" if row.get("held_out") else "")
            cells.append(tag("td", text, title=str(row.get("reason") or "") or None))
    status = str(row.get("status") or "")
    run = str(row.get("run") or "")
    return tag(
        "tr",
        cells,
        class_={"finished": None, "diverged": "bad", "failed": "bad"}.get(status, "faint"),
        data_run=run,
        data_folder=f"runs/{run}/" if has_folder else None,
    )


def _exact(value: float) -> str:
    return repr(value).removesuffix(".0")


def _side(rungs: Iterable[Mapping[str, Coordinate]], axis: str) -> str | None:
    return "right" if all(number(rung.get(axis)) is not None for rung in rungs if axis in rung) else None


def _cell(column: str, value: Cell) -> str:
    if column in ("params_non_embedding", "params_total", "tokens", "tokens_per_second"):
        return tables.count(value)
    if column == "flops":
        return tables.flops(value)
    if column == "flops_per_second":
        return tables.flop_rate(value)
    if column == "seconds_per_step":
        seconds = number(value)
        return tables.DASH if seconds is None else f"{tables.general(1000 * seconds, 3)} ms"
    if column.startswith("seconds"):
        return tables.seconds(value)
    if column == "peak_memory_bytes":
        return tables.memory(value)
    if column == "accuracy":
        return tables.percent(value)
    return tables.loss(value) if column in ("loss", "bits_per_byte") else tables.general(value)
