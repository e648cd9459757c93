"""How does the loss of small decoder-only transformers on tiny_shakespeare fall with parameters and tokens?"""

from __future__ import annotations

from lawful.checks import NumSeeds, PositiveInt, checked
from lawful.corpora.tiny_shakespeare import TinyShakespeare
from lawful.errors import DeclarationError
from lawful.families.decoder import Decoder
from lawful.recipes import decoder_shapes, rate_for_batch
from lawful.rules.backprop import Backprop
from lawful.run import AdamW, Run, Schedule
from lawful.study import Question, Scale, Study, grid, largest
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
    "smoke": ((16, 32, 40, 56, 80), (32_768, 65_536, 131_072), 1),
    "quick": ((16, 32, 40, 56, 80, 144), (393_216, 786_432, 1_572_864, 3_145_728), 2),
    "full": ((16, 32, 40, 56, 80, 144, 256, 384), (524_288, 1_048_576, 2_097_152, 4_194_304), 5),
}


@checked
def study(
    scale: Scale = "quick",
    *,
    seeds: NumSeeds | None = None,
    widths: tuple[PositiveInt, ...] | None = None,
    sizes: tuple[PositiveInt, ...] | None = None,
    tokens: tuple[PositiveInt, ...] | None = None,
    batch_tokens: PositiveInt = BATCH * CONTEXT,
    epochs: PositiveInt = 1,
) -> Study:
    """sizes        in non-embedding parameters, instead of widths; one is a single point, without a law
    epochs       of the published scale, which is stated in passes over its text
    """
    if scale == "published":
        if widths or sizes or tokens or batch_tokens != BATCH * CONTEXT:
            raise DeclarationError(
                "shakespeare: the published scale is fixed; only seeds and epochs can be set. One size of it: "
                "--only 'width=64,*'."
            )
        return published(seeds=seeds or 1, epochs=epochs)
    if epochs != 1:
        raise DeclarationError(f"epochs: they belong to the published scale; scale {scale} takes tokens.")
    if widths and sizes:
        raise DeclarationError("widths, sizes: expected one of them, got both.")
    if batch_tokens < CONTEXT:
        raise DeclarationError(f"batch_tokens: expected at least one window of {CONTEXT}, got {batch_tokens}.")
    batch = batch_tokens // CONTEXT
    default_widths, default_budgets, default_seeds = LADDERS[scale]
    shapes = decoder_shapes(sizes) if sizes else SHAPES
    widths = tuple(shapes) if sizes else widths or default_widths
    budgets, seeds = tokens or default_budgets, seeds or default_seeds
    unknown = [width for width in widths if width not in shapes]
    if unknown:
        raise DeclarationError(
            f"widths: expected some of {', '.join(map(str, SHAPES))}, got {', '.join(map(str, unknown))}; "
            "sizes takes any number of parameters."
        )
    corpus = TinyShakespeare()

    def rung(width: int, tokens: int, seed: int) -> Run:
        depth, heads = shapes[width]
        return Run(
            family=Decoder(vocab_size=corpus.vocab_size, width=width, depth=depth, heads=heads, context=CONTEXT),
            corpus=corpus,
            task=NextToken(),
            rule=Backprop(),
            optimizer=AdamW(
                learning_rate=rate_for_batch(
                    learning_rate(width), batch_tokens=batch * CONTEXT, tuned_batch_tokens=BATCH * CONTEXT
                )
            ),
            schedule=Schedule(shape="wsd", warmup_steps=20),
            steps=tokens // (CONTEXT * batch),
            batch_size=batch,
            context=CONTEXT,
            init_seed=seed,
            data_seed=seed,
            eval_every=max(1, min(budgets) // (CONTEXT * batch)),
            eval_tokens=8192,
        )

    return Study(
        name="shakespeare",
        question=QUESTION,
        scale=scale,
        ladder=grid(rung, width=widths, tokens=budgets, seed=range(seeds)),
        held_out=largest("width", widths),
        questions=_questions(is_one_size=len(widths) == 1),
    )


def _questions(*, is_one_size: bool) -> list[Question]:
    if is_one_size:
        asks = "How does the loss of this one size fall with tokens?"
        return [Question(name="data", asks=asks, law="power_floor:tokens")]
    return [
        Question(name="size-and-data", asks="How does the loss fall with parameters and tokens?", law="chinchilla"),
        Question(
            name="size",
            asks="How does the loss fall with parameters at the largest budget?",
            law="power_floor",
            where={"tokens": "max"},
        ),
    ]


def learning_rate(width: int) -> float:
    """Peak, falling as 1 / width as under muP: from brackets at widths 16, 48, 96 and 128 (LAB_NOTES, 2026-11-22)."""
    return 0.384 / width


def published(*, seeds: int, epochs: int) -> Study:
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
            steps=epochs * -(-windows // batch),  # of disjoint windows; the last batch takes a few from the next
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
            f"{88 * epochs} optimiser steps: {'one epoch' if epochs == 1 else f'{epochs} epochs'} of 90,000 tokens in "
            "batches of 8 windows of 128. "
            + ("The models are barely trained, and how far they got" if epochs == 1 else "How far the models got")
            + " depends on their learning rate more than on their size.",
            "The blocks are 1.5, 5.8 and 15.5 % of the parameters; the rest is vocabulary. What is called size is "
            "mostly the embedding of 50,257 symbols, of which the text uses a fraction.",
            f"Three sizes, {seeds} seed{'s' if seeds > 1 else ''}: a power law with a floor has three parameters, so "
            "three points fit it exactly and can contradict nothing. It is refused.",
            "One learning rate for all sizes, never decayed: the losses are not final losses.",
            "One budget of tokens: nothing can be said about data.",
        ],
    )
