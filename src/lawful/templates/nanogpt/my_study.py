"""How does nanoGPT's loss on Shakespeare's characters fall with its size? Its recipe for a CPU, at other widths.

Beside this file, once:
git clone https://github.com/karpathy/nanoGPT
pip install torch numpy requests
python nanoGPT/data/shakespeare_char/prepare.py

lawful plan my_study.py           every command, before anything runs
lawful run my_study.py --out DIR  run them all, fit the law, write the page
"""

import os
from pathlib import Path

from lawful import Command, LogPattern, Question, Study, grid

NANOGPT = "nanoGPT"  # your clone; its commit and your changes of it become part of the run's id
HERE = Path(__file__).resolve().parent
WITH_A_SEED = os.path.relpath(HERE / "my_study_trainer.py", (HERE / NANOGPT).resolve())
BATCH, CONTEXT, DEPTH = 12, 64, 4


def rung(width: int, steps: int, seed: int) -> Command:
    """One run of the ladder. Its arguments are the axes of the grid below."""
    return Command(
        # nanoGPT has no option for a seed: my_study_trainer.py starts its train.py with one. Each {name} is an argument
        # of this function, or a further keyword of Command; {folder} is a folder of the run's own.
        "python {with_a_seed} {seed} config/train_shakespeare_char.py --device=cpu --compile=False "
        "--dtype=float32 --n_layer={depth} --n_head=4 --n_embd={width} --block_size={context} --batch_size={batch} "
        "--dropout=0.0 --max_iters={steps} --lr_decay_iters={steps} --eval_interval={interval} --eval_iters=200 "
        "--always_save_checkpoint=True --out_dir={folder}",
        with_a_seed=WITH_A_SEED,
        depth=DEPTH,
        context=CONTEXT,
        batch=BATCH,
        interval=steps // 4,  # a divisor of the steps: the loss after the last one is the run's
        resume="--init_from=resume",  # added where an earlier attempt was stopped
        params="12*{depth}*{width}^2",  # N: the blocks, without the embeddings
        tokens=steps * BATCH * CONTEXT,  # D
        reads=LogPattern("step {step}: train loss {loss_train}, val loss {loss}"),
        unit="nats per token",
        steps=steps,
        cwd=NANOGPT,
        # gpus=1 with --device=cuda, minutes=60, retries=1
    )


study = Study(
    name="my_study",
    question="How does nanoGPT's loss on Shakespeare's characters fall with its size?",
    ladder=grid(rung, width=[16, 24, 32, 48, 64, 96], steps=[1000], seed=[0, 1]),
    held_out={"width": 96},  # forecast before it runs, never fitted
    questions=[Question(name="size", asks="How does the loss fall with parameters?", law="power_floor:params")],
)
