"""What does our loop come to with nanoGPT's recipe for a CPU? One run, for nanogpt_arms.py."""

from __future__ import annotations

from pathlib import Path

from lawful.checks import NaturalInt, PositiveInt, checked
from lawful.corpora.tiny_shakespeare import TinyShakespeare
from lawful.rules.backprop import Backprop
from lawful.run import AdamW, Run, Schedule
from lawful.study import Question, Study, grid, import_file
from lawful.tasks.next_token import NextToken

START = import_file(Path(__file__).with_name("nanogpt_start.py"))  # nanoGPT's initial weights
DEPTH, BATCH, CONTEXT = 4, 12, 64


@checked
def study(*, width: PositiveInt, steps: PositiveInt, seed: NaturalInt) -> Study:
    corpus = TinyShakespeare()

    def rung(width: int, seed: int) -> Run:
        return Run(
            family=START.StartedAsNanoGPT(
                vocab_size=corpus.vocab_size,
                width=width,
                depth=DEPTH,
                heads=4,
                context=CONTEXT,
                positions="learned",
            ),
            corpus=corpus,
            task=NextToken(),
            rule=Backprop(),
            optimizer=AdamW(learning_rate=1e-3, beta1=0.9, beta2=0.99, weight_decay=0.1),
            schedule=Schedule(shape="cosine", warmup_steps=100, floor=0.1),
            steps=steps,
            batch_size=BATCH,
            context=CONTEXT,
            precision="fp32",
            init_seed=seed,
            data_seed=seed,
            eval_every=steps,
            eval_tokens=CONTEXT,
        )

    return Study(
        name="nanogpt_ours",
        question="What does our loop come to?",
        ladder=grid(rung, width=[width], seed=[seed]),
        questions=[Question(name="size", asks="?", law="power_floor:params")],
    )
