"""How does the loss of a tiny GPT-2 fall with its size, trained by transformers.Trainer?

pip install torch transformers accelerate
lawful plan my_study.py           every command, before anything runs
lawful run my_study.py --out DIR  run them all, fit the law, write the page
"""

from lawful import Command, Question, Study, TableFile, grid

CONTEXT, BATCH = 32, 16  # as in my_study_trainer.py


def rung(width: int, steps: int, seed: int) -> Command:
    """One run of the ladder. Its arguments are the axes of the grid below; put those of your script here."""
    return Command(
        # Each {name} is an argument of this function; {folder} is a folder of the run's own, for what it writes.
        "python my_study_trainer.py --width={width} --steps={steps} --seed={seed} --out={folder}",
        # Added where an earlier attempt was stopped: the script then goes on from its last checkpoint.
        resume="--resume",
        params="2*12*{width}^2",  # N: the two blocks, without the embeddings
        tokens=steps * CONTEXT * BATCH,  # D
        # What trainer.save_state() writes. Its rows are those of log_history; the last eval_loss is the run's loss.
        reads=TableFile("trainer_state.json", loss="eval_loss", step="step"),
        unit="nats per token",
        steps=steps,
        cwd=".",  # the folder in which the command runs, beside this file; its commit becomes part of the run's id
        # gpus=1, minutes=60, retries=1
    )


study = Study(
    name="my_study",
    question="How does the loss of a tiny GPT-2 fall with its size?",
    ladder=grid(rung, width=[8, 12, 16, 24, 32, 48], steps=[300], seed=[0]),
    held_out={"width": 48},  # forecast before it runs, never fitted
    questions=[Question(name="size", asks="How does the loss fall with parameters?", law="power_floor:params")],
)
