"""How does a toy model's loss fall on invented words? A user's own study file, with a corpus of its own, for tests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lawful.corpora import Built, TokenCorpus
from lawful.families.decoder import Decoder
from lawful.rules.backprop import Backprop
from lawful.run import AdamW, Run, Schedule
from lawful.study import Question, Study, grid
from lawful.tasks.next_token import NextToken
from lawful.tokenizers import Tokenizer
from lawful.tokenizers.characters import Characters


@dataclass(frozen=True, kw_only=True)
class InventedWords(TokenCorpus):
    """Words drawn from a Zipf law over 200 invented ones; the same text for the same seed."""

    name: ClassVar[str] = "invented_words"
    licence: ClassVar[str] = "none needed"
    source: ClassVar[str] = "generated"

    tokenizer: Tokenizer = field(default_factory=lambda: Characters(alphabet=" abcdefghij"))
    seed: int = 0

    def _source_key(self, data: Path | None) -> str:
        return str(self.seed)

    def _can_read(self, data: Path | None) -> bool:
        return True

    def _build(self, data: Path | None, progress: Any) -> Built:
        generator = np.random.Generator(np.random.PCG64(self.seed))
        words = ["".join(generator.choice(list("abcdefghij"), size=generator.integers(2, 7))) for _ in range(200)]
        shares = 1 / np.arange(1, 201)
        text = " ".join(words[i] for i in generator.choice(200, size=12_000, p=shares / shares.sum()))
        tokens, cut = self.tokenizer.encode(text), int(0.9 * len(text))
        return Built(train=tokens[:cut], validation=tokens[cut:], text_sha256=hashlib.sha256(text.encode()).hexdigest())


CORPUS = InventedWords()


def study(
    *,
    widths: tuple[int, ...] = (8, 16, 24, 32),
    steps: tuple[int, ...] = (20, 40, 80),
    seeds: int = 1,
    dropout: float = 0.0,
    learning_rate: float = 0.01,
) -> Study:
    def rung(width: int, steps: int, seed: int) -> Run:
        return Run(
            family=Decoder(vocab_size=CORPUS.vocab_size, width=width, depth=1, heads=2, context=16, dropout=dropout),
            corpus=CORPUS,
            task=NextToken(),
            rule=Backprop(),
            optimizer=AdamW(learning_rate=learning_rate),
            schedule=Schedule(shape="wsd", warmup_steps=5),
            steps=steps,
            batch_size=8,
            context=16,
            init_seed=seed,
            data_seed=seed,
            eval_every=10,
            eval_tokens=512,
        )

    return Study(
        name="toy",
        question="How does a toy model's loss fall on invented words?",
        ladder=grid(rung, width=widths, steps=steps, seed=range(seeds)),
        held_out={"width": max(widths)},
        questions=[Question(name="size", asks="How does the loss fall with size and data?", law="chinchilla")],
    )
