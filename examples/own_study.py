"""A study of one's own from Python: declare, plan, train, read the answer. Minutes on two cores.

The notebook of the same name is made from this file: `make pages`.
"""

# %% [markdown]
# # Your own study
#
# Does depth or width help more, at the same number of parameters? A study is a function that makes one run, a grid,
# and questions. On the command line the same is `lawful run examples/my_study.py`.

# %%
import lawful
from lawful.corpora.python_docs import PythonDocs
from lawful.families.decoder import Decoder
from lawful.rules.backprop import Backprop
from lawful.tasks.next_token import NextToken

corpus = PythonDocs()  # text that every Python carries: nothing to download
SHAPES = {
    "wide": {1: (16, 1), 2: (24, 1), 3: (32, 1), 4: (48, 1), 5: (64, 1)},
    "deep": {1: (12, 2), 2: (16, 2), 3: (24, 2), 4: (32, 2), 5: (48, 2)},
}


def rung(shape: str, size: int, tokens: int, seed: int) -> lawful.Run:
    """Every hyperparameter of a run, in one visible place."""
    width, depth = SHAPES[shape][size]
    return lawful.Run(
        family=Decoder(vocab_size=corpus.vocab_size, width=width, depth=depth, heads=2, context=32),
        corpus=corpus,
        task=NextToken(),
        rule=Backprop(),
        optimizer=lawful.AdamW(learning_rate=0.384 / width),
        schedule=lawful.Schedule(shape="wsd", warmup_steps=10),
        steps=tokens // (8 * 32),
        batch_size=8,
        context=32,
        init_seed=seed,
        data_seed=seed,
    )


# %% [markdown]
# One size is held out: predicted before it is trained, and never fitted. Budgets of one size and seed share a trunk,
# so that three cost little more than one.

# %%
study = lawful.Study(
    name="depth-or-width",
    question="Does depth or width help more, at the same number of parameters?",
    ladder=lawful.grid(rung, shape=list(SHAPES), size=[1, 2, 3, 4, 5], tokens=(8_192, 16_384, 32_768), seed=[0]),
    arm="shape",
    held_out={"size": 5},
    questions=[
        lawful.Question(
            name=shape, asks=f"How does the loss of {shape} models fall?", law="chinchilla", where={"arm": shape}
        )
        for shape in SHAPES
    ],
)
print(len(study.ladder), "runs, held out:", dict(study.held_out))

# %% [markdown]
# ## Train, fit, report
#
# Interrupt it and run the cell again: what is done is not done again.

# %%
page = lawful.run_study(study, "depth-or-width")
print(page)

# %% [markdown]
# ## The answer
#
# With one seed and 32 to 128 steps a run, expect doubts. They are the tool's work, too: `lawful explain CODE`.

# %%
from lawful.fitting.answers import read_answers

for answer in read_answers("depth-or-width"):
    print(answer.question.name, answer.status)
    print("  ", answer.sentence)
    for warning in answer.warnings:
        print("  ", warning.severity, warning.code)
