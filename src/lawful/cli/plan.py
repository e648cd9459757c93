"""lawful plan: what a study would train, and at which cost."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lawful.cli.asked import with_options
from lawful.cli.commands import CommandOptions
from lawful.cli.data import show_progress
from lawful.cli.results import expect_alone
from lawful.cli.study_options import (
    AnchorsOnly,
    AsJson,
    Data,
    Device,
    Price,
    Scale,
    Set,
    Stack,
    StudyName,
    Workers,
    given_settings,
)
from lawful.cli.terminal import console
from lawful.errors import DeclarationError

if TYPE_CHECKING:
    from lawful.planning.plan import Plan
    from lawful.study import Study


def register(app: typer.Typer) -> None:
    app.command()(with_options(plan))


def plan(
    *,
    study: StudyName = None,
    scale: Scale = None,
    data: Data = None,
    device: Device = "auto",
    workers: Workers = 0,
    stack: Stack = 0,
    settings: Set = None,
    anchors_only: AnchorsOnly = False,
    as_json: AsJson = False,
    of_command: CommandOptions,
    isoflop: Annotated[
        str | None,
        typer.Option(
            help="Instead: curves of equal compute, 'budgets=1e15..1e18x4 sizes=7', centred by the finished runs of "
            "STUDY, a table or a folder."
        ),
    ] = None,
    write: Annotated[
        Path | None, typer.Option(help="With --isoflop: also write a study file of exactly these runs, FILE.py.")
    ] = None,
    price_per_gpu_hour: Price = None,
) -> None:
    """Show every run's size, tokens, FLOPs, learning rate, batch and time here, and every warning; of commands, each
    command line. Train nothing."""
    if isoflop is not None:
        from lawful.cli import isoflop_plan

        of_ladder: dict[str, object] = {"--scale": scale, "--data": data, "--workers": workers, "--stack": stack}
        of_ladder |= {"--device": device != "auto", "--set": settings, "--anchors-only": anchors_only}
        of_ladder |= {"--price-per-gpu-hour": price_per_gpu_hour}
        of_ladder |= {f"--{name.replace('_', '-')}": name for name in of_command.given}
        expect_alone("--isoflop", of_ladder)
        isoflop_plan.show(isoflop, study, as_json, write)
        return
    if write is not None:
        raise DeclarationError("--write: expected --isoflop beside it; `lawful new FILE.py` begins a study.")
    declared = of_command.study(None, cores=1, gpus=0)
    whole, own_file = declared_study(study, declared, scale, settings)
    shown = plan_declared(
        whole, own_file, data=data, device=device, workers=workers, stack=stack, settings=given_settings(settings)
    ).study
    shown = replace(shown, price_per_gpu_hour=price_per_gpu_hour)
    if anchors_only:
        shown = replace(shown, runs=tuple(planned for planned in shown.runs if not planned.held_out))
    if as_json:
        from lawful.storage.codec import to_plain

        print(json.dumps(to_plain(shown), indent=1))
        return
    from lawful.report.plan import plan_table

    console().print(plan_table(shown))


def declared_study(
    name: str | None, of_command: Study | None, scale: str | None, settings: list[str] | None
) -> tuple[Study, Path | None]:
    """The study that the options declare, and its own file."""
    from lawful import studies as built_in
    from lawful.study import declare

    given = given_settings(settings)
    if (name is None) == (of_command is None):
        raise DeclarationError(
            f"expected a study (a name, or the path of its Python file) or --command, got "
            f"{'both' if name else 'neither'}."
        )
    if of_command is not None:
        if scale is not None or given:
            raise DeclarationError("--scale, --set: a study that is given by --command has none.")
        return of_command, None
    module, own_file = built_in.find(str(name))
    return declare(module, scale, given), own_file


def plan_declared(
    study: Study,
    own_file: Path | None,
    *,
    data: Path | None,
    device: str,
    workers: int,
    stack: int,
    settings: Mapping[str, str],
    is_elsewhere: bool = False,
) -> Plan:
    """settings    of --set, or the options beside --command: what the plan keeps
    is_elsewhere   runs go to other machines
    """
    from lawful.executors.local import available_cores
    from lawful.planning.commands import has_training, plan_commands

    if not has_training(study):
        if data is not None or stack:
            raise DeclarationError("--data, --stack: the runs of this study are commands, which take their own.")
        return plan_commands(
            study,
            workers=workers,
            cores=available_cores(),
            settings=settings,
            command=shlex.join(["lawful", *sys.argv[1:]]),
            study_file=own_file,
        )
    from lawful.planning.plan import make_plan

    with planning_progress() as progress:
        return make_plan(
            study,
            data=data,
            device_name=device,
            workers=workers,
            cores=available_cores(),
            stacked=stack,
            settings=settings,
            command=shlex.join(["lawful", *sys.argv[1:]]),
            study_file=own_file,
            is_elsewhere=is_elsewhere,
            progress=progress,
        )


@contextmanager
def planning_progress() -> Iterator[Callable[[str, float], None]]:
    """A bar on standard error for what takes longer than a moment; a line every ten seconds where that is a file."""
    from rich.progress import Progress

    if not sys.stderr.isatty():
        yield show_progress()
        return
    with Progress(console=console(stderr=True), transient=True) as bar:
        task = bar.add_task("planning", total=1.0)
        yield lambda what, share: bar.update(task, description=what, completed=share)
