"""Tables: any record of finished runs, read into Observations, and the table that lawful writes."""

from lawful.tables.cells import as_text, is_empty, is_finished, yes_or_no
from lawful.tables.columns import BEST, COLUMNS, TASK_COLUMNS, current_name, with_current_names
from lawful.tables.observations import COPY, OFF_LADDER, Observations, by_role, is_of_ladder, why_off_ladder
from lawful.tables.read import read_by_role, read_runs
from lawful.tables.source import read_rows
from lawful.tables.write import read_cells, write_csv

__all__ = [
    "BEST",
    "COLUMNS",
    "COPY",
    "OFF_LADDER",
    "TASK_COLUMNS",
    "Observations",
    "as_text",
    "by_role",
    "current_name",
    "is_empty",
    "is_finished",
    "is_of_ladder",
    "read_by_role",
    "read_cells",
    "read_rows",
    "read_runs",
    "why_off_ladder",
    "with_current_names",
    "write_csv",
    "yes_or_no",
]
