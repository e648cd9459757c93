"""Does depth or width help more, at the same number of parameters? A study of one's own, to copy from."""

from lawful import AdamW, Question, Run, Schedule, Study, grid
from lawful.corpora.python_docs import PythonDocs
from lawful.families.decoder import Decoder
from lawful.rules.backprop import Backprop
from lawful.tasks.next_token import NextToken

corpus = PythonDocs()

# shape -> (width, depth) of each size: the deep one has twice the depth at about the same parameters
SHAPES = {
    "wide": {1: (24, 1), 2: (32, 1), 3: (48, 1), 4: (64, 1), 5: (96, 1)},
    "deep": {1: (16, 2), 2: (24, 2), 3: (32, 2), 4: (48, 2), 5: (64, 2)},
}


def rung(shape: str, size: int, tokens: int, seed: int) -> Run:
    """Every hyperparameter of a run, in one visible place."""
    width, depth = SHAPES[shape][size]
    return Run(
        family=Decoder(vocab_size=corpus.vocab_size, width=width, depth=depth, heads=2, context=64),
        corpus=corpus,
        task=NextToken(),
        rule=Backprop(),
        optimizer=AdamW(learning_rate=0.384 / width),
        schedule=Schedule(shape="wsd", warmup_steps=20),
        steps=tokens // (16 * 64),
        batch_size=16,
        context=64,
        init_seed=seed,
        data_seed=seed,
    )


def study(*, tokens: tuple[int, ...] = (131_072, 262_144, 524_288), seeds: int = 2) -> Study:
    return Study(
        name="depth-or-width",
        question="Does depth or width help more, at the same number of parameters?",
        ladder=grid(rung, shape=list(SHAPES), size=[1, 2, 3, 4, 5], tokens=tokens, seed=range(seeds)),
        arm="shape",
        held_out={"size": 5},
        questions=[
            Question(
                name=shape, asks=f"How does the loss of {shape} models fall?", law="chinchilla", where={"arm": shape}
            )
            for shape in SHAPES
        ],
    )
