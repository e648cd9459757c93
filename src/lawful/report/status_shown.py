"""The state of a study as a terminal shows it: a table, one line, or JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lawful.fitting.mid_run import EARLIEST
from lawful.report import mid_run, tables
from lawful.report.progress import RunStatus, StudyStatus
from lawful.storage import codec
from lawful.storage.json_files import Json

if TYPE_CHECKING:
    from rich.table import Table

MOST_RUNNING, MOST_ENDED, MOST_TROUBLED, MOST_LOST = 6, 5, 3, 1  # rows shown, so that the whole fits 24 lines
_MARKS = {"finished": "done", "diverged": "[red]diverged[/]", "failed": "[red]failed[/]"}


def status_table(status: StudyStatus) -> Table:
    """For a terminal of 80 columns and 24 rows: what runs, what ended last, how much is left."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    counts = status.counts
    whole = Table.grid(expand=True)
    whole.add_column(overflow="ellipsis")
    head = Table.grid(expand=True)
    head.add_column(overflow="ellipsis", no_wrap=True)
    head.add_column(justify="right", no_wrap=True)
    head.add_row(Text(f"{status.name} · {status.scale}", style="bold"), _time_left(status))
    whole.add_row(head)
    whole.add_row(ProgressBar(total=1.0, completed=status.share_done))
    whole.add_row(_counts_text(counts, len(status.runs)))
    if status.gpu_hours is not None:
        whole.add_row(Text(tables.gpu_hours_text(status.gpu_hours, status.price_per_gpu_hour)))
    running = [run for run in status.runs if run.state == "running"]
    if running:
        whole.add_row("")
        has_ends = any(_is_due(run) for run in running)
        ends_column = ["ends at, 95 %"] if has_ends else []
        table = _runs_table("running", ("step", "loss", *ends_column, "tokens/s", "left"))
        for run in running[:MOST_RUNNING]:
            table.add_row(
                Text(_label(run)),
                f"{run.step}/{run.steps}" if run.steps else f"{run.step}",
                tables.loss(run.loss),
                *([_end_text(run)] if has_ends else []),
                tables.count(run.tokens_per_second),
                tables.seconds(run.seconds_left),
            )
        whole.add_row(table)
        if len(running) > MOST_RUNNING:
            whole.add_row(Text(f"and {len(running) - MOST_RUNNING} more running", style="dim"))
    for run in [run for run in running if run.cannot_win][:MOST_LOST]:
        whole.add_row(Text(run.cannot_win, style="yellow"))
    ended = sorted((run for run in status.runs if run.ended_at is not None), key=lambda run: -(run.ended_at or 0))
    if ended:
        whole.add_row("")
        table = _runs_table("ended last", ("", "loss", "tokens/s"))
        for run in ended[:MOST_ENDED]:
            table.add_row(
                Text(_label(run)), _MARKS[run.state], tables.loss(run.loss), tables.count(run.tokens_per_second)
            )
        whole.add_row(table)
    troubled = [run for run in ended if run.state in ("diverged", "failed")]
    for run in troubled[:MOST_TROUBLED]:
        text = Text(f"{run.rung} {run.state}: {' '.join(run.reason.split())}", style="red", no_wrap=True)
        whole.add_row(text)
    return whole


def _is_due(run: RunStatus) -> bool:
    """Whether a forecast of the run's end may be looked for: EARLIEST of its steps are done, and not all."""
    return run.state == "running" and EARLIEST * run.steps <= run.step < run.steps


def _end_text(run: RunStatus) -> str:
    return "" if not _is_due(run) else "not forecast yet" if run.end is None else mid_run.between(run.end)


def status_line(status: StudyStatus) -> str:
    """One plain line, for a log or a pipe."""
    counts = status.counts
    parts = [f"{counts['finished']} of {len(status.runs)} runs finished"]
    parts += [f"{counts[state]} {state}" for state in ("running", "waiting", "diverged", "failed") if counts[state]]
    parts.append(f"{100 * status.share_done:.0f} % of the work")
    if status.seconds_left is not None and not status.is_over:
        parts.append(f"about {tables.seconds(status.seconds_left)} left{_between(status)}")
    if status.gpu_hours is not None:
        parts.append(tables.gpu_hours_text(status.gpu_hours, status.price_per_gpu_hour))
    return f"{status.name} {status.scale}: " + ", ".join(parts)


def status_json(status: StudyStatus) -> dict[str, Json]:
    """Plain data: the counts, the estimate, every run."""
    return {**codec.to_plain(status), "counts": status.counts, "is_over": status.is_over}


def _runs_table(first: str, others: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), expand=True, header_style="dim")
    table.add_column(first, ratio=1, overflow="ellipsis", no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _label(run: RunStatus) -> str:
    return tables.readable(run.rung) + (" (held out)" if run.held_out else "")


def _counts_text(counts: Mapping[str, int], total: int) -> str:
    parts = [f"[bold]{counts['finished']}[/] of {total} finished"]
    parts += [f"{counts[state]} {state}" for state in ("running", "waiting") if counts[state]]
    parts += [f"[red]{counts[state]} {state}[/]" for state in ("diverged", "failed") if counts[state]]
    return " · ".join(parts)


def _time_left(status: StudyStatus) -> str:
    if status.is_over:
        return "all runs have ended"
    if status.seconds_left is None:
        return "time left not known yet"
    workers = "1 worker" if status.workers == 1 else f"{status.workers} workers"
    return f"about {tables.seconds(status.seconds_left)} left{_between(status)}, {workers}"


def _between(status: StudyStatus) -> str:
    """The interval, where there is one."""
    if status.seconds_range is None:
        return ""
    low, high = map(tables.seconds, status.seconds_range)
    return f" ({low} to {high})"
