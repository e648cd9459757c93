"""How does the loss of small decoder-only transformers on tiny_shakespeare fall with parameters and tokens?"""

from __future__ import annotations

from lawful.checks import NumSeeds, PositiveInt, checked
from lawful.corpora.tiny_shakespeare import TinyShakespeare
from lawful.errors import DeclarationError
from lawful.families.decoder import Decoder
from lawful.rules.backprop import Backprop
from lawful.run import AdamW, Run, Schedule
from lawful.study import Question, Scale, Study, grid
from lawful.tasks.next_token import NextToken
from lawful.tokenizers.gpt2_bpe import GPT2

QUESTION = "How does the loss of a small transformer on tiny_shakespeare fall with its parameters and its tokens?"
CONTEXT = 128
BATCH = 8  # windows: 1,024 tokens, so that the smallest budget still makes hundreds of updates

# width -> (depth, heads). Non-embedding parameters from 3.1K to 1.0M (2.5 decades); full goes to 10.6M
SHAPES = {
    16: (1, 1),
    32: (1, 2),
    40: (2, 2),
    56: (3, 4),
    80: (3, 4),
    144: (4, 4),
    256: (4, 4),
    384: (6, 6),
}
# scale -> widths, token budgets, seeds
LADDERS = {
    "smoke": ((16, 32, 40, 56), (32_768, 65_536, 131_072), 1),
    "quick": ((16, 32, 40, 56, 80, 144), (393_216, 786_432, 1_572_864, 3_145_728), 2),
    "full": ((16, 32, 40, 56, 80, 144, 256, 384), (524_288, 1_048_576, 2_097_152, 4_194_304), 5),
}


@checked
def study(
    scale: Scale = "quick",
    *,
    seeds: NumSeeds | None = None,
    widths: tuple[PositiveInt, ...] | None = None,
    tokens: tuple[PositiveInt, ...] | None = None,
) -> Study:
    if scale == "published":
        if widths or tokens:
            raise DeclarationError("shakespeare: the published scale is fixed; only seeds can be set.")
        return published(seeds=seeds or 1)
    default_widths, default_budgets, default_seeds = LADDERS[scale]
    widths, budgets, seeds = widths or default_widths, tokens or default_budgets, seeds or default_seeds
    unknown = [width for width in widths if width not in SHAPES]
    if unknown:
        raise DeclarationError(
            f"widths: expected some of {', '.join(map(str, SHAPES))}, got {', '.join(map(str, unknown))}."
        )
    corpus = TinyShakespeare()

    def rung(width: int, tokens: int, seed: int) -> Run:
        depth, heads = SHAPES[width]
        return Run(
            family=Decoder(vocab_size=corpus.vocab_size, width=width, depth=depth, heads=heads, context=CONTEXT),
            corpus=corpus,
            task=NextToken(),
            rule=Backprop(),
            optimizer=AdamW(learning_rate=learning_rate(width)),
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
        name="shakespeare",
        question=QUESTION,
        scale=scale,
        ladder=grid(rung, width=widths, tokens=budgets, seed=range(seeds)),
        held_out={"width": max(widths)},
        questions=[
            Question(name="size-and-data", asks="How does the loss fall with parameters and tokens?", law="chinchilla"),
            Question(
                name="size",
                asks="How does the loss fall with parameters at the largest budget?",
                law="power_floor",
                where={"tokens": "max"},
            ),
        ],
    )


def learning_rate(width: int) -> float:
    """Peak, falling as 1 / width as under muP: from brackets at widths 16, 48, 96 and 128 (LAB_NOTES, 2026-11-22)."""
    return 0.384 / width


def published(*, seeds: int) -> Study:
    """The study as its author described it, and what is wrong with it as evidence."""
    corpus = TinyShakespeare(tokenizer=GPT2(), first_tokens=100_000)
    context, batch = 128, 8
    windows = (int(100_000 * corpus.train_share) - 1) // context
    shapes = {32: 2, 64: 4, 128: 6}

    def rung(width: int, seed: int) -> Run:
        return Run(
            family=Decoder(
                vocab_size=corpus.vocab_size,
                width=width,
                depth=shapes[width],
                heads=4,
                context=context,
                positions="learned",
            ),
            corpus=corpus,
            task=NextToken(),
            rule=Backprop(),
            optimizer=AdamW(learning_rate=3e-4, weight_decay=0.01, beta2=0.999),  # torch's defaults
            schedule=Schedule(shape="constant", warmup_steps=0),
            steps=-(-windows // batch),  # one epoch of disjoint windows; the last batch takes a few from the next
            batch_size=batch,
            context=context,
            precision="fp32",
            init_seed=seed,
            data_seed=seed,
            eval_every=22,
        )

    return Study(
        name="shakespeare",
        question=QUESTION,
        scale="published",
        ladder=grid(rung, width=tuple(shapes), seed=range(seeds)),
        questions=[
            Question(name="size", asks="How does the loss fall with parameters?", law="power_floor"),
        ],
        faults=[
            "88 optimiser steps: one epoch of 90,000 tokens in batches of 8 windows of 128. The models are barely "
            "trained, and how far they got depends on their learning rate more than on their size.",
            "The blocks are 1.5, 5.8 and 15.5 % of the parameters; the rest is vocabulary. What is called size is "
            "mostly the embedding of 50,257 symbols, of which the text uses a fraction.",
            f"Three sizes, {seeds} seed{'s' if seeds > 1 else ''}: a power law with a floor has three parameters, so "
            "three points fit it exactly and can contradict nothing. It is refused.",
            "One learning rate for all sizes, never decayed: the losses are not final losses.",
            "One budget of tokens: nothing can be said about data.",
        ],
    )
