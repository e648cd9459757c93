"""How does the loss of a small character model on Python's own documentation fall with its size and its data?"""

from __future__ import annotations

from typing import Literal

from lawful.checks import NumSeeds, checked
from lawful.corpora.python_docs import PythonDocs
from lawful.families.decoder import Decoder
from lawful.rules.backprop import Backprop
from lawful.run import AdamW, Run, Schedule
from lawful.study import Question, Study, grid
from lawful.tasks.next_token import NextToken

CONTEXT = 64
BATCH = 16  # windows: 1,024 tokens, small enough for hundreds of updates at the smallest budget

# width -> (depth, heads). Non-embedding parameters 3.1K, 6.9K, 12K, 55K, 148K, and 332K held out
SHAPES = {16: (1, 1), 24: (1, 2), 32: (1, 2), 48: (2, 3), 64: (3, 4), 96: (3, 4)}
# scale -> widths, token budgets, seeds
LADDERS = {
    "smoke": ((16, 24, 32, 48), (32_768, 65_536, 131_072), 1),
    "quick": ((16, 24, 32, 48, 64, 96), (262_144, 524_288, 1_048_576), 2),
}


@checked
def study(scale: Literal["smoke", "quick"] = "quick", *, seeds: NumSeeds | None = None) -> Study:
    widths, budgets, default_seeds = LADDERS[scale]
    seeds = seeds or default_seeds
    corpus = PythonDocs()

    def rung(width: int, tokens: int, seed: int) -> Run:
        depth, heads = SHAPES[width]
        return Run(
            family=Decoder(vocab_size=corpus.vocab_size, width=width, depth=depth, heads=heads, context=CONTEXT),
            corpus=corpus,
            task=NextToken(),
            rule=Backprop(),
            optimizer=AdamW(learning_rate=0.384 / width),  # as in the study shakespeare, where it was measured
            schedule=Schedule(shape="wsd", warmup_steps=20),
            steps=tokens // (CONTEXT * BATCH),
            batch_size=BATCH,
            context=CONTEXT,
            init_seed=seed,
            data_seed=seed,
            eval_every=min(budgets) // (CONTEXT * BATCH),
            eval_tokens=8192,
        )

    return Study(
        name="quickstart",
        question="How does the loss of a small character model on Python's own documentation fall with size and data?",
        scale=scale,
        ladder=grid(rung, width=widths, tokens=budgets, seed=range(seeds)),
        held_out={"width": max(widths)},
        questions=[
            Question(
                name="size-and-data",
                asks="How does the loss fall with parameters and tokens together?",
                law="chinchilla",
            ),
        ],
    )
