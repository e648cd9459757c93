"""lawful doctor: what this machine can do, what of it is set up badly, and what a study would cost here."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lawful.cli.terminal import console
from lawful.errors import DeclarationError

if TYPE_CHECKING:
    from lawful.planning.plan import Cost


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel="Studies")(doctor)


SLOWER = (
    "the C library's; with tcmalloc small models train 1.05 to 1.15 times as fast on a CPU "
    "(apt install libtcmalloc-minimal4, on Debian)"
)


def doctor(
    study: Annotated[str, typer.Argument(help="What it would cost here, at each scale.")] = "quickstart",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable, to standard output.")] = False,
) -> None:
    """Say what this machine can do, what is set up badly, and what a study would cost at each scale; status 1 where
    something is to be mended."""
    from lawful import studies
    from lawful.executors.local import allocator, available_cores
    from lawful.planning.plan import cost
    from lawful.study import declare, scales_of
    from lawful.train.machine import examine

    module, _ = studies.find(study)
    machine = examine(Path())
    facts = {**machine.facts, "memory allocator": allocator() or SLOWER}
    costs: dict[str, Cost] = {}
    refusal = None
    for scale in scales_of(module) or (None,):
        try:
            declared = declare(module, scale)
        except DeclarationError as error:  # a study that does not annotate which scales it has
            refusal = error
            continue
        costs[scale or "as declared"] = cost(declared, device_name=device, cores=available_cores())
    if refusal is not None and not costs:
        raise refusal
    if as_json:
        print(
            json.dumps(
                {
                    "facts": facts,
                    "problems": machine.problems,
                    "study": study,
                    "costs": {scale: asdict(found) for scale, found in costs.items()},
                },
                indent=1,
            )
        )
    else:
        _show(facts, machine.problems, study, costs)
    raise SystemExit(1 if machine.problems else 0)


def _show(facts: dict[str, str], problems: tuple[str, ...], study: str, costs: dict[str, Cost]) -> None:
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
        time = f"about {tables.seconds(found.seconds)}"
        shown.add_row(scale, str(found.runs), tables.count(found.flops), time)
    terminal.print(shown)
    terminal.print()
    for problem in problems:
        terminal.print(f"[yellow]to mend:[/] {escape(problem)}")
    if not problems:
        terminal.print("nothing to mend")
