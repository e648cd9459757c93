"""lawful doctor: what this machine can do, what of it is set up badly, and what a study would cost here."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lawful.cli.terminal import console
from lawful.errors import LawfulError

if TYPE_CHECKING:
    from lawful.study import Study


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel="Studies")(doctor)


SLOWER = (
    "the C library's; with tcmalloc small models train 1.05 to 1.15 times as fast on a CPU "
    "(apt install libtcmalloc-minimal4, on Debian)"
)


def doctor(
    study: Annotated[str, typer.Argument(help="What it would cost here, at each scale.")] = "quickstart",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable, to standard output.")] = False,
) -> None:
    """Say what this machine can do, what is set up badly, and what a study would cost at each scale; status 1 where
    something is to be mended."""
    from lawful import studies
    from lawful.executors.local import allocator, available_cores
    from lawful.study import SCALES
    from lawful.train.machine import examine
    from lawful.train.plan import cost

    module, _ = studies.find(study)
    machine = examine(Path())
    facts = {**machine.facts, "memory allocator": allocator() or SLOWER}
    costs = {
        scale or "as declared": cost(declared, device_name=device, cores=available_cores())
        for scale in (*SCALES, None)
        if (declared := _declared(module, scale))
    }
    if as_json:
        print(json.dumps({"facts": facts, "problems": machine.problems, "study": study, "costs": costs}, indent=1))
    else:
        _show(facts, machine.problems, study, costs)
    raise SystemExit(1 if machine.problems else 0)


def _declared(module: ModuleType, scale: str | None) -> Study | None:
    """None where the study has no such scale; what it declares without one counts only where it has none at all."""
    from lawful.study import declare

    try:
        if scale is None:
            declare(module, "smoke")
            return None
        return declare(module, scale)
    except LawfulError:
        return declare(module) if scale is None else None


def _show(facts: dict[str, str], problems: tuple[str, ...], study: str, costs: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from lawful.report import tables

    terminal = console()
    grid = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        grid.add_row(f"[bold]{name}[/]", escape(value))
    terminal.print(grid)
    terminal.print()
    shown = Table(f"{study} at scale", "runs", "FLOPs", "time here", box=None, pad_edge=False, header_style="bold")
    for scale, found in costs.items():
        time = f"about {tables.seconds(found['seconds'])}"
        shown.add_row(scale, str(found["runs"]), tables.count(found["flops"]), time)
    terminal.print(shown)
    terminal.print()
    for problem in problems:
        terminal.print(f"[yellow]to mend:[/] {escape(problem)}")
    if not problems:
        terminal.print("nothing to mend")
