"""How does a model's loss on the throws of a loaded die fall with its width?"""

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

FACES = "123456"


@dataclass(frozen=True, kw_only=True)
class Dice(TokenCorpus):
    """Throws of a die that remembers: each face makes one face after it likely, another one unlikely."""

    name: ClassVar[str] = "dice"
    licence: ClassVar[str] = "none needed"
    source: ClassVar[str] = "generated"

    tokenizer: Tokenizer = field(default_factory=lambda: Characters(alphabet=FACES))
    throws: int = 20_000
    seed: int = 0

    def _source_key(self, data: Path | None) -> str:
        """What the tokens depend on: another key is another preparation."""
        return f"{self.throws}-{self.seed}"

    def _can_read(self, data: Path | None) -> bool:
        return True

    def _build(self, data: Path | None, progress: Any) -> Built:
        generator = np.random.default_rng(self.seed)
        chances = generator.dirichlet(np.full(6, 0.5), size=6)
        face, faces = 0, []
        for draw in generator.random(self.throws):
            face = int(np.searchsorted(chances[face].cumsum()[:-1], draw))
            faces.append(FACES[face])
        text = "".join(faces)
        tokens, cut = self.tokenizer.encode(text), int(0.9 * len(text))
        return Built(train=tokens[:cut], validation=tokens[cut:], text_sha256=hashlib.sha256(text.encode()).hexdigest())


CORPUS = Dice()


def study(*, widths: tuple[int, ...] = (8, 12, 16, 24, 32), steps: tuple[int, ...] = (40, 80), seeds: int = 2) -> Study:
    """The largest width is held out: its loss is forecast before it is trained."""

    def rung(width: int, steps: int, seed: int) -> Run:
        return Run(
            family=Decoder(vocab_size=CORPUS.vocab_size, width=width, depth=1, heads=2, context=16),
            corpus=CORPUS,
            task=NextToken(),
            rule=Backprop(),
            optimizer=AdamW(learning_rate=0.2 / width),
            schedule=Schedule(shape="wsd", warmup_steps=5),
            steps=steps,
            batch_size=8,
            context=16,
            init_seed=seed,
            data_seed=seed,
            eval_tokens=1024,
        )

    return Study(
        name="dice",
        question="How does a model's loss on the throws of a loaded die fall with its width?",
        ladder=grid(rung, width=widths, steps=steps, seed=range(seeds)),
        held_out={"width": max(widths)},
        questions=[Question(name="size", asks="How does the loss fall with size and data?", law="chinchilla")],
    )
