"""lawful new: a commented study file to begin with, which runs as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lawful.errors import DeclarationError
from lawful.storage.atomic import write_text

TRAINERS = ("command",)

STUDY = '''"""How does the loss of my trainer fall with its size?

lawful plan {study}           every command, before anything runs
lawful run {study} --out DIR  run them all, fit the law, write the page
"""

from lawful import Command, LogPattern, Question, Study, grid


def rung(bins: int, seed: int) -> Command:
    """One run of the ladder. Its arguments are the axes of the grid below; put yours here."""
    return Command(
        # Your trainer. Each {{name}} is an argument of this function, or a further keyword of Command;
        # {{folder}} is a folder of the run's own, for what it writes.
        "python {trainer} {{bins}} {{seed}}",
        params=bins,  # N: a number, a formula such as "12*{{depth}}*{{width}}^2", or leave it out and read it
        tokens=20_000,  # D: what the run sees in training
        # Where the loss is: a pattern over the output, JSONLines("metrics.jsonl", loss="val/loss"),
        # TableFile("trainer_state.json", loss="eval_loss"), or leave `reads` out and call lawful.log.metrics(loss=...).
        reads=LogPattern("step {{step}}: val loss {{loss}}"),
        unit="squared error",
        steps=20_000,  # if it is known: for the live table and the curves
        cwd=".",  # the folder in which the command runs, beside this file; its commit becomes part of the run's id
        # gpus=1, minutes=60, retries=1, resume="resume_from={{folder}}"
    )


study = Study(
    name="{name}",
    question="How does the loss of my trainer fall with its size?",
    ladder=grid(rung, bins=[4, 6, 8, 12, 16, 24], seed=range(3)),
    held_out={{"bins": 24}},  # forecast before it runs, never fitted
    questions=[Question(name="size", asks="How does the loss fall with parameters?", law="power_floor:params")],
)
'''

TRAINER = '''"""A stand-in for your trainer, so that the study runs as it is: a step function is fitted to a curve."""

import math
import random
import sys

bins, seed = int(sys.argv[1]), int(sys.argv[2])


def sample(random: random.Random, count: int) -> list[tuple[float, float]]:
    points = [random.random() for _ in range(count)]
    return [(x, math.sin(6 * x) + random.gauss(0, 0.1)) for x in points]


train, validation = sample(random.Random(seed), 20_000), sample(random.Random(10**6), 20_000)
sums, counts = [0.0] * bins, [0] * bins
for step, (x, y) in enumerate(train, start=1):
    sums[int(x * bins)] += y
    counts[int(x * bins)] += 1
    if step % 5_000 == 0:
        means = [total / count if count else 0.0 for total, count in zip(sums, counts)]
        loss = sum((y - means[int(x * bins)]) ** 2 for x, y in validation) / len(validation)
        print(f"step {step}: val loss {loss:.6f}", flush=True)
'''


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel="Studies")(new)


def new(
    file: Annotated[Path, typer.Argument(help="The study's Python file to write.")],
    trainer: Annotated[str, typer.Option(help="What trains: command, any program of yours.")] = "command",
) -> None:
    """Write a commented study of your own trainer, which runs as it is, and a stand-in for the trainer."""
    if trainer not in TRAINERS:
        raise DeclarationError(f"--trainer: expected {' or '.join(TRAINERS)}, got {trainer!r}.")
    if file.suffix != ".py" or not file.stem.isidentifier():
        raise DeclarationError(f"expected the name of a Python file, such as my_study.py, got {str(file)!r}.")
    program = file.with_name(f"{file.stem}_trainer.py")
    for path in (file, program):
        if path.exists():
            raise DeclarationError(f"{path}: expected a new file, got one that is there; choose another name.")
    write_text(file, STUDY.format(study=file.name, trainer=program.name, name=file.stem))
    write_text(program, TRAINER)
    print(f"{file}: the study; put your command, its size and its loss where the comments say")
    print(f"{program}: a stand-in for your trainer")
    print(f"next: lawful plan {file}, then lawful run {file}")
