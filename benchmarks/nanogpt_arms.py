"""Does our loop come to the loss of nanoGPT's loop, run by run? Two arms of one study: four sizes, two seeds.

    lawful run benchmarks/nanogpt_arms.py --set nanogpt=CLONE --out FOLDER

The same shapes, tokens, data, rates and seeds: nanoGPT's recipe for a CPU. Each arm is a command; that of our loop is
`lawful run` of nanogpt_ours.py. CLONE has data/shakespeare_char prepared. A seed means other weights and other batches
on each side. nanoGPT estimates its loss on 200 random batches; ours is of the whole validation text.
"""

from __future__ import annotations

from pathlib import Path

from lawful import Command, LogPattern, Question, Study, TableFile, grid
from lawful.checks import NumSeeds, PositiveInt, checked

DEPTH, BATCH, CONTEXT = 4, 12, 64
HERE = Path(__file__).resolve().parent
WITH_A_SEED = HERE.parent / "src" / "lawful" / "templates" / "nanogpt" / "my_study_trainer.py"


@checked
def study(
    *, nanogpt: str, widths: tuple[PositiveInt, ...] = (16, 32, 64, 128), steps: PositiveInt = 1000, seeds: NumSeeds = 2
) -> Study:
    def rung(trainer: str, width: int, seed: int) -> Command:
        counts = {"params": 12 * DEPTH * width**2, "tokens": steps * BATCH * CONTEXT}
        if trainer == "lawful":
            return Command(
                "python -m lawful run nanogpt_ours.py --set width={width} --set steps={steps} --set seed={seed} "
                "--workers 1 --device cpu --out {folder}",
                reads=TableFile("observations.csv", loss="loss"),
                unit="nats per token",
                steps=steps,
                cwd=str(HERE),
                **counts,
            )
        return Command(
            "python {with_a_seed} {seed} config/train_shakespeare_char.py --device=cpu --compile=False --dtype=float32 "
            "--n_layer={depth} --n_head=4 --n_embd={width} --block_size={context} --batch_size={batch} --dropout=0.0 "
            "--max_iters={steps} --lr_decay_iters={steps} --warmup_iters=100 --eval_interval={steps} --eval_iters=200 "
            "--out_dir={folder}",
            with_a_seed=str(WITH_A_SEED),
            depth=DEPTH,
            context=CONTEXT,
            batch=BATCH,
            steps=steps,
            reads=LogPattern("step {step}: train loss {loss_train}, val loss {loss}"),
            unit="nats per token",
            cwd=nanogpt,
            **counts,
        )

    return Study(
        name="nanogpt_arms",
        question="Does our loop come to the loss of nanoGPT's loop at the same size, data, rate and seed?",
        ladder=grid(rung, trainer=["nanogpt", "lawful"], width=widths, seed=range(seeds)),
        arm="trainer",
        questions=[
            Question(
                name="difference", asks="How far is one arm's loss from the other's?", law="paired", along="width"
            ),
        ],
    )
