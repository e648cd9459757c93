"""lawful studies | plan | run | resume | extend | status | report | sample: from a declaration to its page."""

from __future__ import annotations

import importlib.util
import json
import shlex
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lawful import registry
from lawful.checks import NaturalInt, NonNegativeFloat, PositiveFloat, PositiveInt, Within
from lawful.cli import options
from lawful.cli.asked import Bounds, Fixed, Source, limited, with_options
from lawful.cli.commands import (
    CommandLine,
    CommandOptions,
    Grid,
    HoldOut,
    LawName,
    Params,
    ReadsFrom,
    Tokens,
    Unit,
    plan_more_rungs,
)
from lawful.cli.data import show_progress
from lawful.cli.terminal import answer_interrupts, console
from lawful.errors import DeclarationError, MissingDependency, StoreError, in_words
from lawful.schema import SinkName

if TYPE_CHECKING:
    from lawful.executors import Executor
    from lawful.fitting.answers import Answer
    from lawful.planning.plan import Plan
    from lawful.schema import StudyPlan
    from lawful.study import Study

Scale = Annotated[str | None, typer.Option(help="smoke (under a minute), quick, full (a GPU hour) or published.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="A setting of the study, NAME=VALUE; 1e6, 10M, 1_000_000.")
]
Data = Annotated[Path | None, typer.Option(help="Where your copy of the study's data lies.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Workers = Annotated[
    int,
    typer.Option(
        help="Worker processes; 0: one per core on the CPU, as many as pay on a GPU.", callback=options.of(NaturalInt)
    ),
]
Stack = Annotated[
    int,
    typer.Option(
        help="Runs of one shape trained as one batched model; 0: as many as pay.", callback=options.of(NaturalInt)
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable, to standard output.")]
Log = Annotated[
    list[str] | None,
    typer.Option(
        help="Copy metrics to tensorboard or wandb; may be repeated.", callback=options.of(tuple[SinkName, ...])
    ),
]
AnchorsOnly = Annotated[bool, typer.Option("--anchors-only", help="Leave the held-out rungs for a later resume.")]
CheckpointSeconds = Annotated[
    float, typer.Option(help="Seconds between checkpoints of a run.", callback=options.of(PositiveFloat))
]
Where = Annotated[str, typer.Option("--executor", help="Where runs go: local, ray, slurm, or an installed package's.")]
Cpus = Annotated[
    int,
    typer.Option(
        "--cpus-per-run",
        help="CPU threads of a run; a cluster reserves as many cores.",
        callback=options.of(PositiveInt),
    ),
]
Gpus = Annotated[
    float,
    typer.Option(
        "--gpus-per-run",
        help="GPUs that a cluster reserves for a run; of Ray, 0.5 too.",
        callback=options.of(NonNegativeFloat),
    ),
]
Address = Annotated[str, typer.Option(help="Of Ray: host:port; auto: RAY_ADDRESS or this machine's; local: our own.")]
Partition = Annotated[str | None, typer.Option(help="Of Slurm; by default the cluster's own default.")]
Time = Annotated[
    str,
    typer.Option(
        help="Of Slurm: a task's time limit: 90 (minutes), 1:30:00 or 2-12 (days-hours); a longer run is requeued."
    ),
]
Parallelism = Annotated[
    int,
    typer.Option(
        "--array-parallelism", help="Of Slurm: tasks that run at once, at most.", callback=options.of(PositiveInt)
    ),
]
MaxHours = Annotated[
    float | None,
    typer.Option(
        "--max-hours",
        help="Start no run that would not end within so many hours from now.",
        callback=options.of(PositiveFloat),
    ),
]
MaxGpuHours = Annotated[
    float | None,
    typer.Option(
        "--max-gpu-hours",
        help="Start no run that could take the study above so many GPU hours, those that are spent included.",
        callback=options.of(PositiveFloat),
    ),
]
Price = Annotated[
    float | None,
    typer.Option(
        "--price-per-gpu-hour", help="For the forecast of what the study costs.", callback=options.of(PositiveFloat)
    ),
]
Processes = Annotated[
    int,
    typer.Option(
        "--processes-per-run", help="By torchrun, each with its rows of every batch.", callback=options.of(PositiveInt)
    ),
]
Shard = Annotated[bool, typer.Option("--shard", help="FSDP over those processes, for a model that one cannot hold.")]
TrustedLaws = Annotated[
    list[str] | None,
    typer.Option("--law", help="Import FILE.py:CLASS, a law of your own that a question names; may be repeated."),
]
Trust = Annotated[
    str | None,
    typer.Option(help="Let the study's own Python file, or its commands, run: 12 digits or more of their SHA-256."),
]
Echo = Annotated[
    bool,
    typer.Option("--echo", help="Of commands: one after the other, with their output here; no fit, no report."),
]


def _study_names(incomplete: str) -> list[str]:
    from lawful import studies as built_in

    return [name for name in built_in.names() if name.startswith(incomplete)]


StudyName = Annotated[
    str | None,
    typer.Argument(
        help="A built-in study, or the path of your own Python file; or give --command.", autocompletion=_study_names
    ),
]
Only = Annotated[str, typer.Option(help="Train only the rungs whose label or id matches this glob, now.")]

RUNS_FAILED = 3  # exit status: the report is written, and some runs failed
MOST_FAILED = 5  # runs that are named at the end
MOST_LETTERS = 300  # of each one's reason
WIDTH = 80  # columns of the narrowest terminal that is common
MOST_FORECASTS = 12  # that `lawful extend` prints

OF_ONE: dict[str, dict[str, Any]] = {  # options of one kind of executor alone, and their defaults
    "local": {"max_hours": None},
    "ray": {"address": "auto"},
    "slurm": {"partition": None, "time": "60", "array_parallelism": 256},
}


def register(app: typer.Typer) -> None:
    for command in (studies, plan, run, resume, with_options(extend), status, with_options(report), sample):
        app.command()(command)


def studies(as_json: AsJson = False) -> None:
    """List the built-in studies: question, scales, settings, and what data each needs."""
    from lawful import studies as built_in
    from lawful.study import declare, scales_of, settings_of

    found: list[dict[str, Any]] = []
    for name in built_in.names():
        module, _ = built_in.find(name)
        study = declare(module)
        corpora = {rung.training.corpus for rung in study.ladder}
        found.append(
            {
                "name": name,
                "question": study.question,
                "scales": list(scales_of(module)),
                "axes": list(dict.fromkeys(axis for rung in study.ladder for axis in rung.at)),
                "settings": settings_of(module),
                "data": sorted(
                    {f"{c.name} ({'here' if c.is_available() else 'not on this machine'})" for c in corpora}
                ),
            }
        )
    if as_json:
        print(json.dumps(found, indent=1))
        return
    for entry in found:
        print(entry["name"])
        for line in textwrap.wrap(entry["question"], WIDTH - 2):
            print(f"  {line}")
        for words, parts in (("scales", entry["scales"]), ("axes", entry["axes"]), ("data", entry["data"])):
            if parts:
                print(_wrapped(f"  {words:9} {', '.join(parts)}", 12))
        for number, (name, about) in enumerate(entry["settings"].items()):
            print(_wrapped(f"  {'settings' if number == 0 else '':9} {name}: {about}", 14))
        print()
    print("Look at one: lawful plan NAME --scale smoke; with a setting: --set NAME=VALUE.")


def _wrapped(text: str, indent: int) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False)


def plan(
    study: StudyName = None,
    scale: Scale = None,
    data: Data = None,
    device: Device = "auto",
    workers: Workers = 0,
    stack: Stack = 0,
    settings: Set = None,
    anchors_only: AnchorsOnly = False,
    as_json: AsJson = False,
    command: CommandLine = None,
    grid: Grid = None,
    params: Params = None,
    tokens: Tokens = None,
    reads: ReadsFrom = None,
    unit: Unit = "",
    hold_out: HoldOut = None,
    law: LawName = None,
    price_per_gpu_hour: Price = None,
) -> None:
    """Show every run's size, tokens, FLOPs, learning rate, batch and time here, and every warning; of commands, each
    command line. Train nothing."""
    of_command = CommandOptions(
        command=command, grid=grid, params=params, tokens=tokens, reads=reads, unit=unit, hold_out=hold_out, law=law
    ).study(None, cores=1, gpus=0)
    shown = _plan(study, of_command, scale, data, device, workers, stack, settings).study
    shown = replace(shown, price_per_gpu_hour=price_per_gpu_hour)
    if anchors_only:
        shown = replace(shown, runs=tuple(planned for planned in shown.runs if not planned.held_out))
    if as_json:
        from lawful.storage.codec import to_plain

        print(json.dumps(to_plain(shown), indent=1))
        return
    from lawful.report.plan import plan_table

    console().print(plan_table(shown))


def run(
    study: StudyName = None,
    scale: Scale = None,
    out: Annotated[Path | None, typer.Option(help="The study's folder; by default runs/STUDY-SCALE.")] = None,
    executor: Where = "local",
    workers: Workers = 0,
    device: Device = "auto",
    stack: Stack = 0,
    only: Only = "*",
    anchors_only: AnchorsOnly = False,
    data: Data = None,
    settings: Set = None,
    log: Log = None,
    checkpoint_seconds: CheckpointSeconds = 30.0,
    cpus_per_run: Cpus = 1,
    gpus_per_run: Gpus = 0.0,
    processes_per_run: Processes = 1,
    shard: Shard = False,
    address: Address = "auto",
    partition: Partition = None,
    time: Time = "60",
    array_parallelism: Parallelism = 256,
    max_hours: MaxHours = None,
    max_gpu_hours: MaxGpuHours = None,
    echo: Echo = False,
    command: CommandLine = None,
    grid: Grid = None,
    params: Params = None,
    tokens: Tokens = None,
    reads: ReadsFrom = None,
    unit: Unit = "",
    hold_out: HoldOut = None,
    law: LawName = None,
    price_per_gpu_hour: Price = None,
) -> None:
    """Train a study's ladder, fit its laws and write its report. A run that is done already is not done again; another
    study's folder is refused. With --command the study is a command line and its --grid. Ends with status 3 where runs
    failed."""
    told = CommandOptions(
        command=command, grid=grid, params=params, tokens=tokens, reads=reads, unit=unit, hold_out=hold_out, law=law
    )
    of_command = told.study(out, cores=cpus_per_run, gpus=gpus_per_run)
    place = _executor(
        executor,
        workers=workers,
        device=device,
        log=log,
        checkpoint_seconds=checkpoint_seconds,
        cpus_per_run=cpus_per_run,
        gpus_per_run=0.0 if of_command is not None and executor == "local" else gpus_per_run,
        processes_per_run=processes_per_run,
        shard=shard,
        address=address,
        partition=partition,
        time=time,
        array_parallelism=array_parallelism,
        max_hours=max_hours,
        echo=echo,
    )
    if out is not None and out.exists() and not out.is_dir():
        raise DeclarationError(f"--out: expected a folder, or a name for a new one, got the file {out}.")
    planned = _plan(
        study,
        of_command,
        scale,
        data,
        place.device,
        workers,
        stack,
        settings,
        is_elsewhere=executor != "local",
        kept=told.settings,
    )
    _expect_match(planned.study, only)
    folder = out or Path("runs") / f"{planned.study.name}-{planned.study.scale}"
    replace(planned, study=replace(planned.study, price_per_gpu_hour=price_per_gpu_hour)).write(folder)
    for warning in planned.study.warnings:
        console(stderr=True).print(f"[yellow]{warning.severity}[/] {_escape(warning.sentence)}")
    _train_and_conclude(folder, place, only=only, is_anchors_only=anchors_only, max_gpu_hours=max_gpu_hours)


def resume(
    folder: Annotated[Path, typer.Argument(help="A study's folder.")],
    law: TrustedLaws = None,
    trust: Trust = None,
    executor: Where = "local",
    workers: Workers = 0,
    device: Device = "auto",
    only: Only = "*",
    anchors_only: AnchorsOnly = False,
    log: Log = None,
    checkpoint_seconds: CheckpointSeconds = 30.0,
    cpus_per_run: Cpus = 1,
    gpus_per_run: Gpus = 0.0,
    processes_per_run: Processes = 1,
    shard: Shard = False,
    address: Address = "auto",
    partition: Partition = None,
    time: Time = "60",
    array_parallelism: Parallelism = 256,
    max_hours: MaxHours = None,
    max_gpu_hours: MaxGpuHours = None,
    echo: Echo = False,
) -> None:
    """Go on with a study that was stopped, killed or limited by --only; ends with its report, and with status 3 where
    runs failed."""
    from lawful.storage.layout import Store

    study = Store(folder).read_study()
    _trust(law)
    _allow(trust, study, folder)
    _expect_match(study, only)
    place = _executor(
        executor,
        workers=workers,
        device=device,
        log=log,
        checkpoint_seconds=checkpoint_seconds,
        cpus_per_run=cpus_per_run,
        gpus_per_run=gpus_per_run,
        processes_per_run=processes_per_run,
        shard=shard,
        address=address,
        partition=partition,
        time=time,
        array_parallelism=array_parallelism,
        max_hours=max_hours,
        echo=echo,
    )
    _train_and_conclude(folder, place, only=only, is_anchors_only=anchors_only, max_gpu_hours=max_gpu_hours)


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
    from lawful.storage.layout import Store

    former = Store(folder).read_study()
    _allow(trust, former, folder)
    is_of_options = former.is_of_commands and former.study_file is None and study is None
    if told != CommandOptions() and not is_of_options:
        raise DeclarationError(
            "--grid, --command and what belongs to them: expected a study that --command declared, and no file."
        )
    if is_of_options:
        if settings or data is not None:
            raise DeclarationError("--set, --data: a study that --command declared has none; expected --grid.")
        planned = plan_more_rungs(folder, former, told)
    else:
        planned = _extension(folder, former, study, {**former.settings, **_settings(settings)}, data)
    registered = write_extension(folder, planned)
    for warning in planned.study.warnings:
        console(stderr=True).print(f"[yellow]{warning.severity}[/] {_escape(warning.sentence)}")
    new = added_runs(former, planned.study)
    forecasts = [entry for entry in registered.forecasts if entry.run in {run.run for run in new}]
    for lacking in registered.refused:
        _tell(f"no forecast for the question {lacking.question!r}: {lacking.reason}")
    print(f"{folder}: {len(former.runs)} runs stay as they are, {len(new)} are new")
    for entry in forecasts[:MOST_FORECASTS]:
        low, high = entry.interval
        print(f"  {entry.question}, {entry.rung}: {entry.predicted:.4f} [{low:.4f}, {high:.4f}]")
    if len(forecasts) > MOST_FORECASTS:
        print(f"  and {len(forecasts) - MOST_FORECASTS} more forecasts in forecasts.json")
    print(f"train them: lawful resume {shlex.quote(str(folder))}")


def _extension(folder: Path, former: StudyPlan, study: str | None, settings: dict[str, str], data: Path | None) -> Plan:
    """The plan of the study with the rungs that its module declares with these settings."""
    from lawful import studies as built_in
    from lawful.executors.local import available_cores
    from lawful.planning.extend import plan_extension
    from lawful.study import declare, import_file, scales_of, trusted_file

    if study is not None or (own := trusted_file(former, folder)) is None:
        module, path = built_in.find(study or former.name)
    else:
        module, path = import_file(own[0], sha256=own[1]), own[0]
    declared = declare(module, former.scale if scales_of(module) else None, settings)
    with _progress() as progress:
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


def status(folder: Annotated[Path, typer.Argument(help="A study's folder.")], as_json: AsJson = False) -> None:
    """Say what is done, running and waiting, from the folder alone; on any machine that sees it."""
    from lawful.report import progress

    state = progress.study_status(folder)
    if as_json:
        print(json.dumps(progress.status_json(state), indent=1))
    else:
        console().print(progress.status_table(state))


def report(
    asked: Source,
    beside: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Another study's folder, to lay beside the first.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Of two: the page to write; by default DIR/beside-DIR.html. Of a table: TABLE.html."),
    ] = None,
    law: TrustedLaws = None,
    bounds: Bounds = None,
    fixed: Fixed = None,
    by: Annotated[
        str | None, typer.Option("--by", help="Of a table: the column that names the arms (default: arm).")
    ] = None,
) -> None:
    """Write the page of a table of runs, or of a study again. Of a study, from its folder alone; torch is not needed.
    Of two studies, or two states of one: what each has, side by side; a folder without fits is fitted first. Of a
    table: its law, or its arms compared; the options about columns, rows, arms and parameters are for a table."""
    from lawful.conduct import conclude

    first = Path(asked.source)
    is_study = first.is_dir() and (out is None or (first / "study.json").exists())  # a tracker's folder needs --out
    if beside is None and not is_study:
        _report_table(asked, out, law, bounds, fixed, by)
        return
    if asked.has_options or bounds or fixed or by:
        raise DeclarationError(f"{first}: a study declares its columns and rows; these options are for a table.")
    _trust(law)
    if beside is None:
        if out is not None:
            raise DeclarationError("--out: expected two folders or a table; a study's page stands in its folder.")
        page = conclude(first, _say)
        _announce(first, page)
        return
    from lawful.report.beside import write_beside
    from lawful.storage.layout import Store

    for folder in (first, beside):
        questions = Store(folder).read_study().questions
        if not any(Store(folder).fit(question.name).exists() for question in questions):
            conclude(folder, _say)
    try:
        page = write_beside(first, beside, out)
    except OSError as error:
        if out is not None:
            raise
        raise StoreError(f"{in_words(error)} `--out FILE` writes the page elsewhere.") from error
    print(f"report: {page.resolve()}")


def _report_table(
    asked: Source,
    out: Path | None,
    law: list[str] | None,
    bounds: list[str] | None,
    fixed: list[str] | None,
    by: str | None,
) -> None:
    """The page of a table of runs; --law then names the law to fit, --bounds where the parameters of a formula are
    sought, --fixed those that are known, --by the arms."""
    from lawful.fitting.answer_table import answer_table, with_arms, with_run_names
    from lawful.laws import with_bounds
    from lawful.report.table_page import write_table_page

    if law is not None and len(law) > 1:
        raise DeclarationError(f"--law: expected one law for a table, got {len(law)}.")
    if bounds and law is None:
        raise DeclarationError("--bounds: expected a formula beside it, --law FORMULA.")
    chosen, others = with_bounds(law[0], limited(bounds, None)["bounds"]) if law else (None, {})
    if others:
        named = law[0] if law else ""
        raise DeclarationError(f"--bounds: {', '.join(others)}: expected parameters of a formula, --law {named!r}.")
    table = with_run_names(asked.table())
    if by is not None:
        table = with_arms(table, by)
    for line in table.said:
        print(f"read: {line}")
    answers = answer_table(table, law=chosen, fixed=limited(None, fixed)["fixed"])
    out = out or Path(asked.source).with_suffix(".html")
    write_table_page(table, answers, out, shlex.join(["lawful", *sys.argv[1:]]))
    _print_answer(answers[0])
    print(f"report: {out.resolve()}")


def sample(
    folder: Annotated[Path, typer.Argument(help="A study's folder.")],
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run's id or label, or the start of either.")],
    prompt: Annotated[str, typer.Option(help="Text to go on from; with --out, a file.")] = "",
    temperature: Annotated[
        float, typer.Option(help="0: always the most likely.", callback=options.of(NonNegativeFloat))
    ] = 0.8,
    top_k: Annotated[
        int | None, typer.Option(help="Draw among the k most likely only.", callback=options.of(PositiveInt))
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            help="Draw among the fewest that are this likely together only.",
            callback=options.of(Annotated[float, Within(above=0, at_most=1)]),
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(help="Of the draws: the same seed gives the same text.", callback=options.of(NaturalInt)),
    ] = 0,
    length: Annotated[int, typer.Option(help="Tokens to write.", callback=options.of(PositiveInt))] = 300,
    out: Annotated[Path | None, typer.Option(help="The file to write, where samples of the study are files.")] = None,
    device: Device = "cpu",
    trust: Trust = None,
) -> None:
    """Let a trained model write: text to the terminal, or a file where that is what the study models."""
    from lawful.storage.layout import Store
    from lawful.train.sample import Draw, sample_file, sample_text

    _allow(trust, Store(folder).read_study(), folder)
    draw = Draw(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed, length=length)
    if out is None:
        print(sample_text(folder, run_id, draw, prompt=prompt, device=device))
        return
    written = sample_file(folder, run_id, out, draw, prompt=Path(prompt) if prompt else None, device=device)
    print(f"{out}: {written}")


def _plan(
    name: str | None,
    of_command: Study | None,
    scale: str | None,
    data: Path | None,
    device: str,
    workers: int,
    stack: int,
    settings: list[str] | None,
    *,
    is_elsewhere: bool = False,
    kept: Mapping[str, str] | None = None,
) -> Plan:
    """kept    the options beside --command, which the plan keeps as its settings"""
    from lawful import studies as built_in
    from lawful.executors.local import available_cores
    from lawful.planning.commands import has_training, is_of_commands, plan_commands
    from lawful.study import declare

    given = _settings(settings)
    if (name is None) == (of_command is None):
        raise DeclarationError(
            f"expected a study (a name, or the path of its Python file) or --command, got "
            f"{'both' if name else 'neither'}."
        )
    own_file: Path | None = None
    if of_command is not None:
        if scale is not None or given:
            raise DeclarationError("--scale, --set: a study that is given by --command has none.")
        study = of_command
    else:
        module, own_file = built_in.find(str(name))
        study = declare(module, scale, given)
    if not has_training(study):
        if data is not None or stack:
            raise DeclarationError("--data, --stack: the runs of this study are commands, which take their own.")
        return plan_commands(
            study,
            workers=workers,
            cores=available_cores(),
            settings=given or kept,
            command=shlex.join(["lawful", *sys.argv[1:]]),
            study_file=own_file,
        )
    from lawful.planning.mixed import plan_mixed
    from lawful.planning.plan import make_plan

    with _progress() as progress:
        return (plan_mixed if is_of_commands(study) else make_plan)(
            study,
            data=data,
            device_name=device,
            workers=workers,
            cores=available_cores(),
            stacked=stack,
            settings=given,
            command=shlex.join(["lawful", *sys.argv[1:]]),
            study_file=own_file,
            is_elsewhere=is_elsewhere,
            progress=progress,
        )


def _trust(laws: list[str] | None) -> None:
    """Import the laws that the user names; a folder's own text imports none."""
    from lawful.laws import named

    for law in laws or []:
        named(law)


def _allow(digits: str | None, study: StudyPlan, folder: Path) -> None:
    """Trust the study's own Python file, if --trust names it."""
    from lawful import trust
    from lawful.command import trusted
    from lawful.storage.layout import Store
    from lawful.study import own_file

    if digits is None:
        return
    own = own_file(study)
    is_of_file = not study.is_of_commands or (own is not None and own[1].startswith(digits.lower()))
    if is_of_file and study.has_training:
        trust.allow(digits, own, folder)
    else:
        trusted.allow(digits, Store(folder), study)


def _expect_match(study: StudyPlan, only: str) -> None:
    from lawful.conduct import expect_match

    expect_match(study, only)


def _settings(pairs: list[str] | None) -> dict[str, str]:
    given: dict[str, str] = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise DeclarationError(f"--set: expected NAME=VALUE, got {pair!r}.")
        if name in given:
            raise DeclarationError(f"--set {name}: expected once, got {given[name]!r} and {value!r}.")
        given[name] = value
    return given


def _executor(
    name: str,
    *,
    workers: int,
    device: str,
    log: list[str] | None,
    checkpoint_seconds: float,
    cpus_per_run: int,
    gpus_per_run: float,
    processes_per_run: int,
    shard: bool,
    echo: bool = False,
    **of_one: Any,
) -> Executor:
    """of_one    options that one kind of executor has alone"""
    for kind, defaults in OF_ONE.items():
        for option, default in defaults.items():
            if kind != name and of_one[option] != default:
                raise DeclarationError(
                    f"--{option.replace('_', '-')}: only --executor {kind} has it, got --executor {name}."
                )
    if (entry := registry.find("executors", name)) is None:
        *names, last = registry.found("executors")
        raise DeclarationError(f"--executor: expected {', '.join(names)} or {last}, got {name!r}.")
    cls: type[Executor] = entry.load()
    if gpus_per_run and "gpus_per_run" not in cls.__dataclass_fields__:
        raise DeclarationError(f"--gpus-per-run: only --executor ray and slurm have it, got --executor {name}.")
    if gpus_per_run and device == "auto":
        device = "cuda"  # reserved GPUs are meant to be used
    if shard and processes_per_run == 1:
        raise DeclarationError("--shard: expected --processes-per-run of 2 or more, got 1.")
    for package in log or ():  # each has the name of its package
        if importlib.util.find_spec(package) is None:
            raise MissingDependency.of(package, extra=package, what=f"--log {package}")
    shared: dict[str, Any] = {
        "device": device,
        "threads": cpus_per_run,
        "log": tuple(log or ()),
        "checkpoint_seconds": checkpoint_seconds,
        "processes_per_run": processes_per_run,
        "is_sharded": shard,
        "is_echoed": echo,
    }
    return cls.of_options(shared, {"workers": workers, "gpus_per_run": gpus_per_run, **of_one})


def _train_and_conclude(
    folder: Path, executor: Executor, *, only: str, is_anchors_only: bool, max_gpu_hours: float | None
) -> None:
    from lawful.conduct import Unfinished, conclude, failed_runs, train_study
    from lawful.storage.layout import Store
    from lawful.study import own_module

    if executor.is_echoed and not Store(folder).read_study().is_of_commands:
        raise DeclarationError("--echo: only runs that are commands have an output to show.")
    answer_interrupts("stopping; runs are stopped where they can go on")  # a shell's background job would ignore it
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what a scheduler sends before it kills
    try:
        with nullcontext(lambda: None) if executor.is_echoed else _watching(folder) as watch:
            train_study(
                folder,
                executor,
                only=only,
                is_anchors_only=is_anchors_only,
                max_gpu_hours=max_gpu_hours,
                watch=watch,
                say=_tell,
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
        raise SystemExit(75) from None  # EX_TEMPFAIL: what was asked for can still be had
    if executor.is_echoed:
        _say_ended(folder, only)
        return
    page = conclude(folder, _say, own=lambda: own_module(Store(folder).read_study(), folder))
    _announce(folder, page)
    if failed := failed_runs(folder):
        _say_failed(folder, failed)
        raise SystemExit(RUNS_FAILED)


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


def _print_answer(answer: Answer) -> None:
    print(f"{answer.question.asks}\n  {answer.headline}" + (f"\n  {answer.basis}" if answer.basis else ""))


def _announce(folder: Path, page: Path) -> None:
    """The answers, a headline each with its interval and n, and where the page is."""
    from lawful.report.evidence import read_evidence

    evidence = read_evidence(folder)
    for answer in evidence.answers:
        if evidence.parent(answer) is None:
            _print_answer(answer)
    print(f"report: {page.resolve()}")


@contextmanager
def _watching(folder: Path) -> Iterator[Callable[[], None]]:
    """A live table in a terminal; a plain line now and then without one."""
    import time

    from lawful.report import progress

    terminal = console(stderr=True)
    if terminal.is_terminal:
        from rich.live import Live

        with Live(console=terminal, refresh_per_second=4, transient=True) as live:
            yield lambda: live.update(progress.status_table(progress.study_status(folder)))
        terminal.print(progress.status_table(progress.study_status(folder)))
        return
    last = [0.0, 10.0]  # when the last line was printed, and how long to wait: plain logs grow slowly

    def say_now_and_then() -> None:
        if time.monotonic() - last[0] > last[1]:
            print(progress.status_line(progress.study_status(folder)), file=sys.stderr, flush=True)
            last[0] = time.monotonic()

    yield say_now_and_then
    print(progress.status_line(progress.study_status(folder)), file=sys.stderr, flush=True)


@contextmanager
def _progress() -> Iterator[Callable[[str, float], None]]:
    """A bar on standard error for what takes longer than a moment; a line every ten seconds where that is a file."""
    from rich.progress import Progress

    if not sys.stderr.isatty():
        yield show_progress()
        return
    with Progress(console=console(stderr=True), transient=True) as bar:
        task = bar.add_task("planning", total=1.0)
        yield lambda what, share: bar.update(task, description=what, completed=share)


def _tell(what: str) -> None:
    print(f"lawful: {what}", file=sys.stderr, flush=True)


def _say(what: str) -> None:
    print(f"{what} ...", file=sys.stderr, flush=True)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
