"""How do the best size and the best number of tokens grow with compute? Curves of equal compute, as planned."""

from __future__ import annotations

from lawful.checks import NumSeeds, checked
from lawful.corpora.python_docs import PythonDocs
from lawful.families.decoder import Decoder
from lawful.rules.backprop import Backprop
from lawful.run import AdamW, Run, Schedule
from lawful.study import Question, Rung, Study
from lawful.tasks.next_token import NextToken

CONTEXT = 128

# one run a line, made by: COMMAND
# budget (FLOPs, 6 N D), width, depth, heads, tokens, tokens of a batch, peak learning rate
POINTS = (
    # THE PLAN
)


@checked
def study(*, seeds: NumSeeds = 1) -> Study:
    corpus = PythonDocs()  # put your own corpus here: it should hold as many tokens as the longest run reads

    def run(width: int, depth: int, heads: int, tokens: int, batch_tokens: float, rate: float, seed: int) -> Run:
        batch = max(1, round(batch_tokens / CONTEXT))
        steps = max(2, round(tokens / (batch * CONTEXT)))
        return Run(
            family=Decoder(vocab_size=corpus.vocab_size, width=width, depth=depth, heads=heads, context=CONTEXT),
            corpus=corpus,
            task=NextToken(),
            rule=Backprop(),
            # rate and batch by Step Law (arXiv:2503.04715): the centre of a bracket, not the last word
            optimizer=AdamW(learning_rate=rate),
            schedule=Schedule(shape="cosine", warmup_steps=min(max(20, steps // 50), steps // 2)),
            steps=steps,
            batch_size=batch,
            context=CONTEXT,
            init_seed=seed,
            data_seed=seed,
            eval_every=steps,
            eval_tokens=32_768,
        )

    return Study(
        name="isoflop",
        question="How do the best size and the best number of tokens grow with compute?",
        ladder=[
            Rung(at={"budget": budget, "width": shape[0], "depth": shape[1], "seed": seed}, run=run(*shape, seed=seed))
            for budget, *shape in POINTS
            for seed in range(seeds)
        ],
        questions=[Question(name="size-and-data", asks="How does the loss fall with size and data?", law="chinchilla")],
    )
