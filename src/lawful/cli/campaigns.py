"""The options of a campaign, and what `lawful run` and `lawful resume` do with one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lawful.checks import PositiveInt
from lawful.cli import options
from lawful.cli.announce import tell
from lawful.cli.training_options import TrainingOptions
from lawful.errors import DeclarationError

if TYPE_CHECKING:
    from lawful.executors import Executor
    from lawful.planning.plan import Plan
    from lawful.study import Study

PANEL = "As a campaign"
Train = Callable[[Callable[[], None]], object]

Until = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=PANEL,
        help="Choose the runs in rounds, until a goal is met: 'N_exponent within .02', 'L at 1e20 within 1 %'.",
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(rich_help_panel=PANEL, help="FLOPs of all runs together: 3e15.", callback=options.counted),
]
Batch = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=PANEL,
        help="Runs of a round, at most (default: as many as train at once).",
        callback=options.of(PositiveInt),
    ),
]


@dataclass(frozen=True, kw_only=True)
class CampaignOptions:
    """The goal and the budget of a campaign."""

    until: Until = None
    budget: Budget = None
    batch: Batch = None

    def start(self, folder: Path, study: Study, plan: Callable[[Study], Plan], training: TrainingOptions) -> None:
        """Write the rule and plan the first round. plan: plans a study that has some of the rungs."""
        from lawful.campaign import Asked, start_campaign
        from lawful.study import count

        if self.until is None or self.budget is None:
            raise DeclarationError("--until: expected --budget beside it, the FLOPs of all runs together, got none.")
        expect_whole_rounds(training)
        asked = Asked(until=self.until, budget=float(count(self.budget)), batch=self.batch)
        start_campaign(folder, study, asked, plan, tell)

    def expect_none(self, folder: Path) -> None:
        """Raise DeclarationError if there is no --until, but an option of a campaign or the folder of one."""
        from lawful.storage.campaigns import expect_no_campaign
        from lawful.storage.layout import Store

        if self.budget is not None or self.batch is not None:
            raise DeclarationError("--budget, --batch: expected --until beside them, a goal; got none.")
        expect_no_campaign(Store(folder))


def expect_whole_rounds(training: TrainingOptions) -> None:
    """A campaign trains each round whole."""
    if training.only != "*" or training.anchors_only or training.echo:
        raise DeclarationError("--only, --anchors-only, --echo: a campaign trains each of its rounds whole.")


def study_of(folder: Path) -> Study | None:
    """The study of a folder that holds a campaign, as its file declares it; None where there is no campaign."""
    from lawful.cli.extend import declared_again
    from lawful.storage.layout import Store

    store = Store(folder)
    if not store.campaign.exists():
        return None
    former = store.read_study()
    if former.is_of_commands and former.study_file is None:
        raise DeclarationError(
            f"{folder}: expected a campaign whose study has a file, got one that --command declared, whose next "
            f"commands only its options tell. Give them again: {former.command}"
        )
    return declared_again(folder, former, None, former.settings)[0]


def trained_by(folder: Path, study: Study, executor: Executor, training: TrainingOptions, data: Path | None) -> Train:
    """A function that continues the campaign; its argument is called regularly to show the state of the runs."""
    from lawful.campaign import go_on
    from lawful.executors.local import available_cores

    def train(watch: Callable[[], None]) -> object:
        return go_on(
            folder,
            study,
            executor,
            max_gpu_hours=training.max_gpu_hours,
            max_hours=training.max_hours,
            data=data,
            cores=available_cores(),
            watch=watch,
            say=tell,
        )

    return train
