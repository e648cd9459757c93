"""How does the loss of my trainer fall with its size?

lawful plan my_study.py           every command, before anything runs
lawful run my_study.py --out DIR  run them all, fit the law, write the page
"""

from lawful import Command, LogPattern, Question, Study, grid


def rung(bins: int, seed: int) -> Command:
    """One run of the ladder. Its arguments are the axes of the grid below; put yours here."""
    return Command(
        # Your trainer. Each {name} is an argument of this function, or a further keyword of Command;
        # {folder} is a folder of the run's own, for what it writes.
        "python my_study_trainer.py {bins} {seed}",
        params=bins,  # N: a number, a formula such as "12*{depth}*{width}^2", or leave it out and read it
        tokens=20_000,  # D: what the run sees in training
        # Where the loss is: a pattern over the output, JSONLines("metrics.jsonl", loss="val/loss"),
        # TableFile("trainer_state.json", loss="eval_loss"), or leave `reads` out and call lawful.log.metrics(loss=...).
        reads=LogPattern("step {step}: val loss {loss}"),
        unit="squared error",
        steps=20_000,  # if it is known: for the live table and the curves
        cwd=".",  # the folder in which the command runs, beside this file; its commit becomes part of the run's id
        # gpus=1, minutes=60, retries=1, resume="resume_from={folder}"
    )


study = Study(
    name="my_study",
    question="How does the loss of my trainer fall with its size?",
    ladder=grid(rung, bins=[4, 6, 8, 12, 16, 24], seed=range(3)),
    held_out={"bins": 24},  # forecast before it runs, never fitted
    questions=[Question(name="size", asks="How does the loss fall with parameters?", law="power_floor:params")],
)
