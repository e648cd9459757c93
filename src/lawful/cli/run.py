"""lawful run and lawful resume: train a study to its page."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lawful.cli.announce import announce, say, say_warnings, tell
from lawful.cli.asked import with_options
from lawful.cli.campaigns import CampaignOptions, Train, expect_whole_rounds, study_of, trained_by
from lawful.cli.commands import CommandOptions
from lawful.cli.plan import declared_study, plan_declared
from lawful.cli.study_options import (
    Data,
    Price,
    Scale,
    Set,
    Stack,
    StudyName,
    Trust,
    TrustedLaws,
    allow,
    given_settings,
    trust_laws,
)
from lawful.cli.terminal import answer_interrupts, console
from lawful.cli.training_options import TrainingOptions
from lawful.errors import DeclarationError

if TYPE_CHECKING:
    from lawful.executors import Executor
    from lawful.planning.plan import Plan
    from lawful.schema import StudyPlan
    from lawful.study import Study


RUNS_FAILED = 3  # exit status: the report is written, and some runs failed
GO_ON = 75  # exit status EX_TEMPFAIL: what was asked for can still be had, by `lawful resume`
MOST_FAILED = 5  # runs that are named at the end
MOST_LETTERS = 300  # of each one's reason


def register(app: typer.Typer) -> None:
    app.command()(with_options(run))
    app.command()(with_options(resume))


def run(
    *,
    study: StudyName = None,
    scale: Scale = None,
    out: Annotated[Path | None, typer.Option(help="The study's folder; by default runs/STUDY-SCALE.")] = None,
    data: Data = None,
    settings: Set = None,
    stack: Stack = 0,
    training: TrainingOptions,
    of_command: CommandOptions,
    price_per_gpu_hour: Price = None,
    campaign: CampaignOptions,
) -> None:
    """Train a study's ladder, fit its laws and write its report. A run that is done already is not done again; another
    study's folder is refused. With --command the study is a command line and its --grid. With --until, runs are chosen
    in rounds, by the law of those before. Ends with status 3 where runs failed."""
    from lawful.storage.layout import Store

    declared = of_command.study(out, cores=training.cpus_per_run, gpus=training.gpus_per_run)
    is_local = training.executor == "local"
    if declared is not None and is_local:  # the commands themselves say how many GPUs they take
        training = replace(training, gpus_per_run=0.0)
    executor = training.make()
    if out is not None and out.exists() and not out.is_dir():
        raise DeclarationError(f"--out: expected a folder, or a name for a new one, got the file {out}.")
    whole, own_file = declared_study(study, declared, scale, settings)
    folder = out or Path("runs") / f"{whole.name}-{whole.scale}"

    def plan(part: Study) -> Plan:
        planned = plan_declared(
            part,
            own_file,
            data=data,
            device=executor.device,
            workers=training.workers,
            stack=stack,
            settings=given_settings(settings) or of_command.settings,
            is_elsewhere=not is_local,
        )
        return replace(planned, study=replace(planned.study, price_per_gpu_hour=price_per_gpu_hour))

    if campaign.until is not None:
        campaign.start(folder, whole, plan, training)
        say_warnings(Store(folder).read_study())
        _train_and_conclude(folder, executor, training, trained_by(folder, whole, executor, training, data))
        return
    campaign.expect_none(folder)
    planned = plan(whole)
    _expect_match(planned.study, training.only)
    planned.write(folder)
    say_warnings(planned.study)
    _train_and_conclude(folder, executor, training)


def resume(
    *,
    folder: Annotated[Path, typer.Argument(help="A study's folder.")],
    law: TrustedLaws = None,
    trust: Trust = None,
    training: TrainingOptions,
) -> None:
    """Go on with a study or campaign that was stopped, killed or limited by --only; ends with its report, and with
    status 3 where runs failed."""
    from lawful.storage.layout import Store

    study = Store(folder).read_study()
    trust_laws(law)
    allow(trust, study, folder)
    executor = training.make()
    if (declared := study_of(folder)) is not None:
        expect_whole_rounds(training)
        _train_and_conclude(folder, executor, training, trained_by(folder, declared, executor, training, None))
        return
    _expect_match(study, training.only)
    _train_and_conclude(folder, executor, training)


def _expect_match(study: StudyPlan, only: str) -> None:
    from lawful.conduct import expect_match

    expect_match(study, only)


def _train_and_conclude(
    folder: Path, executor: Executor, training: TrainingOptions, train: Train | None = None
) -> None:
    """train    what trains in place of the whole ladder"""
    from lawful.conduct import Unfinished, conclude, failed_runs, train_study
    from lawful.storage.campaigns import read_campaign
    from lawful.storage.layout import Store
    from lawful.study import own_module

    if executor.is_echoed and not Store(folder).read_study().is_of_commands:
        raise DeclarationError("--echo: only runs that are commands have an output to show.")
    answer_interrupts("stopping; runs are stopped where they can go on")  # a shell's background job would ignore it
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what a scheduler sends before it kills
    try:
        with nullcontext(lambda: None) if executor.is_echoed else _watching(folder) as watch:
            if train is not None:
                train(watch)
            else:
                train_study(
                    folder,
                    executor,
                    only=training.only,
                    is_anchors_only=training.anchors_only,
                    max_gpu_hours=training.max_gpu_hours,
                    watch=watch,
                    say=tell,
                )
    except KeyboardInterrupt:
        of_commands = Store(folder).read_study().is_of_commands
        done = "every command was ended" if of_commands else "every run was checkpointed"
        print(
            f"\nstopped; {done}. Go on with: lawful resume {shlex.quote(str(folder))}",
            file=sys.stderr,
        )
        raise SystemExit(130) from None
    except Unfinished as error:
        print(f"\n{error}. Go on with: lawful resume {shlex.quote(str(folder))}", file=sys.stderr)
        raise SystemExit(GO_ON) from None
    if executor.is_echoed:
        _say_ended(folder, training.only)
        return
    page = conclude(folder, say, own=lambda: own_module(Store(folder).read_study(), folder))
    announce(folder, page)
    if failed := failed_runs(folder):
        _say_failed(folder, failed)
        raise SystemExit(RUNS_FAILED)
    if (campaign := read_campaign(Store(folder))) is not None and campaign.end is None:
        raise SystemExit(GO_ON)  # --max-hours ended the choosing


def _say_ended(folder: Path, only: str) -> None:
    """How the runs that --only names have ended; status 3 where one failed."""
    from lawful.conduct import expect_match
    from lawful.storage.layout import Store

    store = Store(folder)
    ended = [(one, store.read_result(one.run)) for one in expect_match(store.read_study(), only)]
    for planned, result in ended:
        loss = None if result is None else result.number("loss")
        how = "waiting" if result is None else result.status if loss is None else f"{result.status}, loss {loss:g}"
        reason = f": {result.reason}" if result is not None and result.reason else ""
        print(f"{planned.rung}: {how}{reason}")
    print(f"go on with: lawful resume {shlex.quote(str(folder))}")
    if any(result is not None and result.status == "failed" for _, result in ended):
        raise SystemExit(RUNS_FAILED)


def _say_failed(folder: Path, failed: list[tuple[str, str]]) -> None:
    """The last lines of a study in which runs failed."""
    from lawful.report.tables import many
    from lawful.storage.layout import Store

    sys.stdout.flush()
    log = "output.log" if Store(folder).read_study().is_of_commands else "worker.log"
    stand = "stands" if len(failed) == 1 else "stand"
    print(f"lawful: {many(len(failed), 'run')} failed and {stand} in no fit:", file=sys.stderr)
    for label, reason in failed[:MOST_FAILED]:
        print(f"  {label}: {' '.join(reason.split())[:MOST_LETTERS]}", file=sys.stderr)
    if len(failed) > MOST_FAILED:
        print(f"  and {len(failed) - MOST_FAILED} more", file=sys.stderr)
    again = f"lawful resume {shlex.quote(str(folder))}"
    print(f"runs/ID/{log} has more. Remove the cause, then try them again: {again}", file=sys.stderr)


@contextmanager
def _watching(folder: Path) -> Iterator[Callable[[], None]]:
    """A live table in a terminal; a plain line now and then without one."""
    import time

    from lawful.report import progress, status_shown

    terminal = console(stderr=True)
    if terminal.is_terminal:
        from rich.live import Live

        with Live(console=terminal, refresh_per_second=4, transient=True) as live:
            yield lambda: live.update(status_shown.status_table(progress.study_status(folder)))
        terminal.print(status_shown.status_table(progress.study_status(folder)))
        return
    last = [0.0, 10.0]  # when the last line was printed, and how long to wait: plain logs grow slowly

    def say_now_and_then() -> None:
        if time.monotonic() - last[0] > last[1]:
            print(status_shown.status_line(progress.study_status(folder)), file=sys.stderr, flush=True)
            last[0] = time.monotonic()

    yield say_now_and_then
    print(status_shown.status_line(progress.study_status(folder)), file=sys.stderr, flush=True)
