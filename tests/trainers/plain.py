"""A study of a plain PyTorch script, which keeps a record of its own."""

from lawful import Command, JSONLines, Question, Study, grid


def rung(width: int, steps: int, seed: int) -> Command:
    return Command(
        "python plain_trainer.py {width} {steps} {seed} {folder}",
        params="{width}^2",
        tokens=steps * 64,
        reads=JSONLines("metrics.jsonl", loss="val/loss", step="step"),
        unit="squared error",
        steps=steps,
        resume="--resume",
    )


study = Study(
    name="plain",
    question="How does the loss of a small network fall with its size?",
    ladder=grid(rung, width=[4, 6, 8, 12, 16, 24], steps=[4000], seed=[0]),
    held_out={"width": 24},
    questions=[Question(name="size", asks="How does the loss fall with parameters?", law="power_floor:params")],
)
