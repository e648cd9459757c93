"""Does the whole tool, from the first batch to the verdict, find a floor, exponents and arms that were planted?

The corpus zipf_recall has a floor E and exponents that are known. The learner (families/recall.py) holds one key per
slot in the order of their frequency, and learns a key by gradients once it has met it a few times. So

    data grow, slots ample       L = E + B D^-(a / (1 + a))
    size grows, data to match    L = E + A N^-a, where D grows as N^(1 + a), so that the rarest key that has a slot is
                                 met equally often in every run

In between the loss above E is nearer to the larger of the two terms than to their sum: who has no slot for a key loses
nothing by not having met it. On a full grid of sizes and budgets a law that adds them, E + A N^-alpha + B D^-beta, is
wrong however well one trains: fitted to the exact losses of who knows each key it met, it says alpha 1.10 and beta .80
where .80 and .44 were planted (LAB_NOTES.md). So the rungs lie on these two lines alone, where both forms agree.

The arms share corpus, validation set, seeds, model and schedule. `coefficient` heeds one sample in `multiplier`, so
that D tokens are worth D / multiplier: the law with another coefficient. `exponent` heeds fewer the more there are,
(1.5 D / least D)^-slowing of them: the law with its exponent times 1 - slowing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from lawful.checks import NumSeeds, Within, checked
from lawful.corpora.zipf_recall import ZipfRecall
from lawful.families.recall import Recall
from lawful.rules.backprop import Backprop
from lawful.run import AdamW, Run, Schedule
from lawful.study import Question, Study, grid
from lawful.tasks.next_token import NextToken

BLOCKS = 4  # samples in a window
REACH = 2.5  # what one meeting moves a logit, about: the best guess after one noisy meeting is the value met, at .81
MEETINGS = 4  # of the rarest key with a slot, where size and data grow together


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """powers    budgets of samples, as powers of 2; the last is held out
    steps     of every run: the batch grows with the data, so that who is met n times in a run is learned alike in all
    ample     slots; of the keys beyond, fewer than one in fifty is met at all with the most data
    """

    powers: range
    seeds: int
    steps: int
    ample: int
    num_keys: int
    validation_samples: int


LADDERS = {
    "smoke": Ladder(powers=range(9, 15), seeds=2, steps=128, ample=2**12, num_keys=2**16, validation_samples=10_000),
    "quick": Ladder(powers=range(13, 21), seeds=3, steps=256, ample=2**14, num_keys=2**20, validation_samples=200_000),
}


@checked
def study(
    scale: Literal["smoke", "quick"] = "quick",
    *,
    seeds: NumSeeds | None = None,
    a: Annotated[float, Within(above=0, at_most=4)] = 0.8,
    multiplier: Annotated[float, Within(above=1)] = 2.0,
    slowing: Annotated[float, Within(above=0, below=1)] = 0.2,
) -> Study:
    shape = LADDERS[scale]
    seeds = seeds or shape.seeds
    budgets = [2**power for power in shape.powers]
    corpus = ZipfRecall(
        a=a,
        num_keys=shape.num_keys,
        is_ranked=True,
        digits=4,
        train_samples=max(budgets) + BLOCKS,
        validation_samples=shape.validation_samples,
    )

    def rung(grows: str, arm: str, samples: int, seed: int) -> Run:
        # from 1.5, so that no run of one arm is a run of another
        slowed = (1.5 * samples / min(budgets)) ** -slowing
        heeds = {"base": 1.0, "coefficient": 1 / multiplier, "exponent": slowed}[arm]
        slots = shape.ample if grows == "data" else corpus.keys_met(MEETINGS, samples)
        return Run(
            family=Recall(base=corpus.base, digits=corpus.digits, values=corpus.values, slots=slots, heeds=heeds),
            corpus=corpus,
            task=NextToken(),
            rule=Backprop(),
            # With so long a memory Adam's denominator is the root of the mean squared gradient so far (as Adagrad's,
            # JMLR 12:2121): a row moves by about rate x sqrt(steps) when its key is first met, by less each time after.
            optimizer=AdamW(
                learning_rate=REACH / shape.steps**0.5, weight_decay=0.0, beta1=0.0, beta2=0.99999, eps=1e-12, clip=10.0
            ),
            schedule=Schedule(shape="wsd", warmup_steps=0, decay_fraction=0.8),
            steps=shape.steps,
            batch_size=samples // (shape.steps * BLOCKS),
            context=BLOCKS * corpus.block,
            precision="fp32",
            init_seed=seed,
            data_seed=seed,
            eval_every=shape.steps // 4,
            eval_tokens=20_000,
        )

    ladder = [
        *grid(rung, grows=["data"], arm=["base", "coefficient", "exponent"], samples=budgets, seed=range(seeds)),
        *grid(rung, grows=["size and data"], arm=["base"], samples=budgets, seed=range(seeds)),
    ]
    beta = corpus.a / (1 + corpus.a)
    return Study(
        name="ground_truth",
        question="Does the tool find the floor, the exponents and the arms that were planted?",
        scale=scale,
        arm="arm",
        ladder=ladder,
        held_out={"samples": max(budgets)},
        questions=[
            Question(
                name="data",
                asks="How does the loss fall with data, where size is ample?",
                law="power_floor:tokens",
                where={"grows": "data", "arm": "base"},
                truth={"E": corpus.floor_nats, "alpha": beta},
            ),
            Question(
                name="size",
                asks="How does the loss fall with size, where data grow to match?",
                law="power_floor:params",
                where={"grows": "size and data", "arm": "base"},
                truth={"E": corpus.floor_nats, "alpha": corpus.a},
            ),
            Question(
                name="both",
                asks="And both at once, on these runs?",
                law="chinchilla",
                where={"arm": "base"},
                truth={"E": corpus.floor_nats, "alpha": corpus.a, "beta": beta},
            ),
            Question(
                name="coefficient",
                asks=f"What is found of an arm whose data are worth {1 / multiplier:.3g} of the base's?",
                law="power_floor:tokens",
                where={"grows": "data", "arm": ("base", "coefficient")},
                truth={
                    "verdict": "coefficients differ",
                    "decision": "exponents agree",
                    "multiplier": multiplier,
                    "alpha": 0.0,
                },
            ),
            Question(
                name="exponent",
                asks=f"What is found of an arm whose exponent is {1 - slowing:.3g} times the base's?",
                law="power_floor:tokens",
                where={"grows": "data", "arm": ("base", "exponent")},
                truth={"verdict": "exponents differ", "alpha": -slowing * beta},
            ),
        ],
    )
