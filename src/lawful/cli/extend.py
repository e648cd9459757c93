"""lawful extend: more rungs for a finished study."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lawful.cli.announce import say_warnings, tell
from lawful.cli.asked import with_options
from lawful.cli.commands import CommandOptions, plan_more_rungs
from lawful.cli.plan import planning_progress
from lawful.cli.study_options import Data, Set, Trust, allow, given_settings
from lawful.errors import DeclarationError

if TYPE_CHECKING:
    from lawful.planning.plan import Plan
    from lawful.schema import StudyPlan
    from lawful.study import Study


MOST_FORECASTS = 12  # that `lawful extend` prints


def register(app: typer.Typer) -> None:
    app.command()(with_options(extend))


def extend(
    folder: Annotated[Path, typer.Argument(help="The folder of a finished study.")],
    study: Annotated[
        str | None, typer.Argument(help="Its own Python file, if that has changed since the study was planned.")
    ] = None,
    *,
    told: CommandOptions,
    settings: Set = None,
    data: Data = None,
    trust: Trust = None,
) -> None:
    """Add rungs to a finished study: what it has stays as it is, and every new run is forecast by its laws before it
    begins. Trains nothing: `lawful resume` then does. --set, or --grid of a study that --command declared, is given
    as to `lawful run`; what is not given stays."""
    from lawful.planning.extend import added_runs, write_extension
    from lawful.storage.campaigns import expect_no_campaign
    from lawful.storage.layout import Store

    store = Store(folder)
    expect_no_campaign(store)  # its budget and its next choice would not count these runs
    former = store.read_study()
    allow(trust, former, folder)
    is_of_options = former.is_of_commands and former.study_file is None and study is None
    if told.given and not is_of_options:
        raise DeclarationError(
            "--grid, --command and what belongs to them: expected a study that --command declared, and no file."
        )
    if is_of_options:
        if settings or data is not None:
            raise DeclarationError("--set, --data: a study that --command declared has none; expected --grid.")
        planned = plan_more_rungs(folder, former, told)
    else:
        planned = _extension(folder, former, study, {**former.settings, **given_settings(settings)}, data)
    registered = write_extension(folder, planned)
    say_warnings(planned.study)
    new = added_runs(former, planned.study)
    forecasts = [entry for entry in registered.forecasts if entry.run in {run.run for run in new}]
    for lacking in registered.refused:
        tell(f"no forecast for the question {lacking.question!r}: {lacking.reason}")
    print(f"{folder}: {len(former.runs)} runs stay as they are, {len(new)} are new")
    for entry in forecasts[:MOST_FORECASTS]:
        low, high = entry.interval
        print(f"  {entry.question}, {entry.rung}: {entry.predicted:.4f} [{low:.4f}, {high:.4f}]")
    if len(forecasts) > MOST_FORECASTS:
        print(f"  and {len(forecasts) - MOST_FORECASTS} more forecasts in forecasts.json")
    print(f"train them: lawful resume {shlex.quote(str(folder))}")


def _extension(folder: Path, former: StudyPlan, study: str | None, settings: dict[str, str], data: Path | None) -> Plan:
    """The plan of the study with the rungs that its module declares with these settings."""
    from lawful.executors.local import available_cores
    from lawful.planning.extend import plan_extension

    declared, path = declared_again(folder, former, study, settings)
    with planning_progress() as progress:
        return plan_extension(
            folder,
            declared,
            data=data,
            cores=available_cores(),
            settings=settings,
            command=shlex.join(["lawful", *sys.argv[1:]]),
            study_file=path,
            progress=progress,
        )


def declared_again(
    folder: Path, former: StudyPlan, study: str | None, settings: Mapping[str, str]
) -> tuple[Study, Path | None]:
    """The study of a folder as its module declares it with these settings, and its own file."""
    from lawful import studies as built_in
    from lawful.study import declare, import_file, scales_of, trusted_file

    if study is not None or (own := trusted_file(former, folder)) is None:
        module, path = built_in.find(study or former.name)
    else:
        module, path = import_file(own[0], sha256=own[1]), own[0]
    return declare(module, former.scale if scales_of(module) else None, settings), path
