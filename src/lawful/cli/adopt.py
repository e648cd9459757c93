"""lawful adopt: runs that a tracker or trainer recorded become a study of commands, with its page and more runs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from lawful.cli.announce import announce, say
from lawful.cli.asked import Source, with_options
from lawful.cli.commands import CommandLadder
from lawful.cli.training_options import Cpus, Gpus
from lawful.errors import DeclarationError

MOST_ROWS = 5  # numbers of rows that are listed


def register(app: typer.Typer) -> None:
    app.command()(with_options(adopt))


def adopt(
    asked: Source,
    told: CommandLadder,
    out: Annotated[Path, typer.Option(help="The study's folder, a new one.")],
    study: Annotated[
        Path | None,
        typer.Option(help="The Python file of a study of commands (`lawful new` writes one); or give --command."),
    ] = None,
    cpus_per_run: Cpus = 1,
    gpus_per_run: Gpus = 0.0,
) -> None:
    """Take runs that are done (W&B sweep, an Optuna study, a Hydra multirun, a folder of runs, a table) into a study of
    commands: each row becomes the run of the rung with its coordinates. Fits and reports; starts nothing. `lawful
    resume` then trains the rungs that have no row."""
    from lawful.conduct import conclude
    from lawful.executors.local import available_cores
    from lawful.planning.adopt import adopted, write_adopted
    from lawful.planning.commands import has_training, plan_commands
    from lawful.planning.run_folders import is_folder_of_runs, read_folders
    from lawful.study import declare, import_file

    declared = told.study(out, cores=cpus_per_run, gpus=gpus_per_run)
    if (study is None) == (declared is None):
        raise DeclarationError(f"expected --study or --command, got {'both' if study else 'neither'}.")
    if declared is None:
        assert study is not None
        if cpus_per_run != 1 or gpus_per_run:
            raise DeclarationError("--cpus-per-run, --gpus-per-run: the commands of a file say it: cores=..., gpus=...")
        declared = declare(import_file(study))
    if has_training(declared):
        raise DeclarationError(
            f"{study}: expected a study whose runs are all commands, got one with runs that lawful trains itself."
        )
    planned = plan_commands(
        declared,
        cores=available_cores(),
        settings=told.settings,
        command=shlex.join(["lawful", *sys.argv[1:]]),
        study_file=study,
    )
    source = Path(asked.source)
    is_of_folders = not asked.has_options and is_folder_of_runs(source)
    table = read_folders(source, planned) if is_of_folders else asked.table()
    for line in table.said:
        print(f"read: {line}")
    found = adopted(planned, table)
    write_adopted(out, planned, found)
    left = len(planned.study.runs) - len(found.results)
    print(f"{out}: {len(found.results)} runs are adopted, {left} are to do")
    for numbers, why in ((found.others, "belong to no rung"), (found.unfinished, "are of runs that did not finish")):
        if numbers:
            listed = ", ".join(map(str, numbers[:MOST_ROWS])) + ", ..." * (len(numbers) > MOST_ROWS)
            print(f"{len(numbers)} rows {why} and are left out (rows {listed})")
    announce(out, conclude(out, say))
    if left:
        print(f"train the others: lawful resume {shlex.quote(str(out))}")
