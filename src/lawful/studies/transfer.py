"""Does the best learning rate of a small model serve larger ones, under each parametrisation of the decoder?

Two kinds of runs. `check` runs are a few steps long at one rate; they record by how much activations have changed,
at several widths. `sweep` runs are trained at several rates, at several widths and depths. `lawful transfer DIR` judges
both. The rates are multiples of one that is right at the base width; where it is standard, they are as declared at all
widths: that the best one falls there is what the other parametrisations mend.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lawful.checks import NumSeeds, checked
from lawful.corpora.python_docs import PythonDocs
from lawful.families.decoder import Decoder
from lawful.plugins import Batch
from lawful.rules import Rule
from lawful.rules.backprop import Backprop
from lawful.rules.coordinate_check import CoordinateCheck
from lawful.run import AdamW, Run, Schedule
from lawful.schema import LawData
from lawful.study import Question, Study, grid
from lawful.tasks.next_token import NextToken

Parametrisation = Literal["standard", "mup", "completep"]
ARMS: tuple[Parametrisation, ...] = ("standard", "mup", "completep")
CONTEXT = 32
HEADS = 2  # at all widths: the head size then grows with the width, and the attention's scale is checked, too
BASE_WIDTH, BASE_DEPTH = 16, 2
RATE = 0.024  # .384 / width at the base width, as in the study quickstart
# the log loss is a parabola of the log rate; its lowest point moves by -drift for each e-fold of the width
DRIFT = LawData(
    formula=f"A*`width`^-a*exp(h*(log(`factor`) - place + drift*log(`width`/{BASE_WIDTH}))^2)",
    bounds={"a": (-1.0, 1.0), "place": (-4.0, 4.0), "drift": (-3.0, 3.0)},
)


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """shapes    (width, depth) of the sweep; one depth at several widths, and one width at several depths
    factors     of the rate
    steps       of a run of the sweep
    """

    check_widths: tuple[int, ...]
    check_steps: int
    check_seeds: int
    shapes: tuple[tuple[int, int], ...]
    factors: tuple[float, ...]
    steps: int
    batch: int
    seeds: int


LADDERS = {
    "smoke": Ladder(
        check_widths=(16, 32, 64, 128),
        check_steps=8,
        check_seeds=2,
        shapes=((16, 2), (32, 2), (64, 2), (16, 6)),
        factors=(0.125, 0.25, 0.5, 1.0, 2.0, 4.0),
        steps=48,
        batch=16,
        seeds=1,
    ),
    "quick": Ladder(
        check_widths=(16, 32, 64, 128, 256),
        check_steps=8,
        check_seeds=3,
        shapes=((16, 2), (32, 2), (64, 2), (128, 2), (16, 4), (16, 8), (16, 16)),
        factors=(0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0),
        steps=256,
        batch=16,
        seeds=3,
    ),
}


@checked
def study(scale: Literal["smoke", "quick"] = "quick", *, seeds: NumSeeds | None = None) -> Study:
    ladder = LADDERS[scale]
    corpus = PythonDocs()

    def run(
        parametrisation: Parametrisation,
        width: int,
        depth: int,
        factor: float,
        seed: int,
        steps: int,
        rule: Rule[Batch],
    ) -> Run:
        is_standard = parametrisation == "standard"
        return Run(
            family=Decoder(
                vocab_size=corpus.vocab_size,
                width=width,
                depth=depth,
                heads=HEADS,
                context=CONTEXT,
                parametrisation=parametrisation,
                base_width=None if is_standard else BASE_WIDTH,
                base_depth=None if is_standard else BASE_DEPTH,
            ),
            corpus=corpus,
            task=NextToken(),
            rule=rule,
            optimizer=AdamW(learning_rate=RATE * factor, weight_decay=0.0),
            schedule=Schedule(shape="constant", warmup_steps=min(8, steps // 8)),
            steps=steps,
            batch_size=ladder.batch,
            context=CONTEXT,
            precision="fp32",
            init_seed=seed,
            data_seed=seed,
            eval_every=steps,
            eval_tokens=8192,
        )

    def check(part: str, parametrisation: Parametrisation, width: int, seed: int) -> Run:
        rule = CoordinateCheck(init_seed=seed)
        return run(parametrisation, width, BASE_DEPTH, 1.0, seed, ladder.check_steps, rule)

    rungs = grid(
        check, part=["check"], parametrisation=ARMS, width=ladder.check_widths, seed=range(seeds or ladder.check_seeds)
    )
    for width, depth in ladder.shapes:

        def sweep(part: str, parametrisation: Parametrisation, width: int, depth: int, factor: float, seed: int) -> Run:
            return run(parametrisation, width, depth, factor, seed, ladder.steps, Backprop())

        rungs += grid(
            sweep,
            part=["sweep"],
            parametrisation=ARMS,
            width=[width],
            depth=[depth],
            factor=ladder.factors,
            seed=range(seeds or ladder.seeds),
        )
    return Study(
        name="transfer",
        question="Does the best learning rate of a small model serve larger ones?",
        scale=scale,
        ladder=rungs,
        questions=[
            Question(
                name=parametrisation,
                asks=f"By which power of the width does the best learning rate fall (drift) under {parametrisation}?",
                law=DRIFT,
                where={"part": "sweep", "parametrisation": parametrisation, "depth": BASE_DEPTH},
            )
            for parametrisation in ARMS
        ],
    )
