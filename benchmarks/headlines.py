"""Can one quote it? Words and numbers of every recorded headline, and of simulated answers of all kinds.

    OMP_NUM_THREADS=1 python benchmarks/headlines.py               # both; the recorded studies are fitted anew
    OMP_NUM_THREADS=1 python benchmarks/headlines.py --simulated   # seconds

A word is what stands between blanks, and holds a letter or a digit; a number is a run of digits with its sign, point
and exponent. A headline has at most 25 words and two numbers. Ends with status 1 where one has more. Simulated answers
are records filled at random, with infinities and severe doubts: what a sentence may say is decided from these alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import random
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import lawful
from lawful.codes import REFUSALS
from lawful.fitting import headline, headline_arms, headline_fit, headline_text
from lawful.fitting.allocate import Allocation, Interval
from lawful.fitting.answer_records import ArmPair
from lawful.fitting.answers import Answer
from lawful.fitting.budget_curves import Curve
from lawful.fitting.comparison import Comparison, Decision, Verdict
from lawful.fitting.crossover import Crossing
from lawful.fitting.exponents import Difference, MoreSeeds
from lawful.fitting.headline_text import Headline
from lawful.fitting.holdout import Holdout
from lawful.fitting.holdout import Verdict as HoldoutVerdict
from lawful.fitting.isoflop import IsoFlop
from lawful.fitting.multiplier import Multiplier
from lawful.fitting.paired import Gap, Paired
from lawful.fitting.records import HeldOut
from lawful.fitting.result import Fit
from lawful.report.answers_beside import Apart, what_differs
from lawful.schema import Question, Warning

NUMBER = re.compile(r"[-+−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
ARMS = ("gelu", "swiglu", "backprop-transformer", "unrolled-looped_mlp", "post norm", "pre norm", "wide", "deep")
SEVERE = (
    "misfit", "not_certified", "padding", "mixed-schedules", "undecayed", "not_identified", "ridge", "anything-else"
)  # fmt: skip
GALLERY = Path(__file__).parents[1] / "docs" / "gallery"
SIMULATED = 200


def words_of(sentence: str) -> int:
    return sum(any(letter.isalnum() for letter in word) for word in sentence.split())


def numbers_of(sentence: str) -> int:
    return len(NUMBER.findall(sentence))


def is_quotable(sentence: str) -> bool:
    return 0 < words_of(sentence) <= headline_text.WORDS and numbers_of(sentence) <= headline_text.NUMBERS


def recorded() -> Iterator[tuple[str, Headline]]:
    """Of every answer to every question of the recorded studies."""
    from lawful.fitting.answer import answer_study
    from lawful.report.evidence import read_evidence

    for study in sorted(path.parent for path in GALLERY.glob("*/study.json")):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / study.name
            shutil.copytree(study, folder)
            answer_study(folder)
            for answer in read_evidence(folder).answers:
                said = Headline(sentence=answer.headline, basis=answer.basis, next_step=answer.next_step)
                yield f"{study.name}, {answer.name}", said


def simulated(count: int = SIMULATED, seed: int = 0) -> Iterator[tuple[str, Headline]]:
    dice = random.Random(seed)
    for index in range(count):
        kind = list(KINDS)[index % len(KINDS)]
        yield kind, KINDS[kind](dice)


def _law(dice: random.Random) -> Headline:
    law = dice.choice(("power:params", "power_floor:tokens", "chinchilla", "saturating:params", "kaplan"))
    found = _fit(law)
    moved = {
        name: dataclasses.replace(p, value=(value := dice.uniform(0.01, 1.5)), ci95=_ends(dice, value))
        for name, p in found.params.items()
        if p.role == "fitted" and name in ("alpha", "beta")
    }
    said = _doubts(dice, dice.sample(SEVERE, dice.choice((0, 0, 1, 2))), list(moved))
    found = dataclasses.replace(found, params={**found.params, **moved}, warnings=said, known_doubt=None)
    return headline_fit.of_fit(found, [_held(dice) for _ in range(dice.choice((0, 1, 8)))])


@cache
def _fit(law: str) -> Fit:
    dice = random.Random(1)
    rows = [
        {"params": n, "tokens": d, "loss": (1.2 + 20 * n**-0.3 + 90 * d**-0.4) * math.exp(dice.gauss(0, 0.003))}
        for n in (1e4, 3e4, 1e5, 3e5, 1e6)
        for d in (1e6, 3e6, 1e7, 3e7)
        if law in ("chinchilla", "kaplan") or (d == 3e7 if "params" in law else n == 1e6)
    ]
    return lawful.fit(rows, law, draws=0)


def _held(dice: random.Random) -> HeldOut:
    predicted = dice.uniform(0.5, 4)
    width = dice.choice((0.01, 0.2, math.inf))
    observed = predicted * math.exp(dice.gauss(0, 0.05))
    low, high = predicted * (1 - min(width, 1)), predicted * (1 + width)
    return HeldOut(
        run="a", rung="a", params=1e6, tokens=1e7, seed=0, predicted=predicted, interval=(low, high), observed=observed,
        error_relative=predicted / observed - 1, is_inside=low <= observed <= high
    )  # fmt: skip


def _arms(dice: random.Random) -> Headline:
    arms = tuple(dice.sample(ARMS, dice.choice((2, 2, 3, 5))))
    verdicts: tuple[Verdict, ...] = (
        "not decided", "no difference shown", "coefficients differ", "the floor differs", "exponents differ",
        "the arms differ",
    )  # fmt: skip
    decisions: tuple[Decision, ...] = ("exponents differ", "exponents agree", "not decided")
    pairs = [(a, b) for i, a in enumerate(arms) for b in arms[i + 1 :]]
    found = Comparison(
        law="power_floor:flops",
        by="arm",
        arms=arms,
        floor="own",
        p=10 ** dice.uniform(-8, 0),
        explanations=(),
        verdict=dice.choice(verdicts),
        decision=dice.choice(decisions),
        exponents_p=0.2,
        matters={"alpha": 0.03},
        more_seeds=dice.choice((None, MoreSeeds(value=7, ci95=(2, 31)))),
        sentence="",
        differences=tuple(_difference(dice, *pair) for pair in pairs),
        multipliers=tuple(_multiplier(dice, *pair) for pair in pairs),
        params={},
        is_paired=False,
        n=40,
        clusters=dice.choice((40, 8)),
        warnings=_doubts(dice, dice.sample(SEVERE, dice.choice((0, 0, 1)))),
    )
    crossings = tuple(ArmPair(arms=pair, crossing=_crossing(dice, pair)) for pair in pairs)
    said = headline_arms.of_arms(found, dice.choice(((), crossings)))
    if dice.random() < 0.3:  # beside counts
        worse = dice.sample(arms, dice.randrange(1, len(arms) + 1))
        return headline.worse_than_counts(said, worse, {arm: [dice.uniform(0.1, 2)] for arm in arms})
    return said


def _difference(dice: random.Random, first: str, second: str) -> Difference:
    value = dice.gauss(0, 0.1)
    return Difference(
        parameter="alpha", first=first, second=second, value=value, ci95=_ends(dice, value), stderr=0.03,
        p=0.1, p_holm=dice.choice((0.01, 0.5)), equivalence=abs(dice.gauss(0, 0.1))
    )  # fmt: skip


def _multiplier(dice: random.Random, first: str, second: str) -> Multiplier:
    value = math.exp(dice.gauss(0, dice.choice((0.02, 0.3, 2))))
    reach = math.exp(dice.choice((0.01, 0.1, 2.0)))
    known = dice.random() < 0.8
    return Multiplier(
        first=first, second=second, of=dice.choice(("compute", "tokens", "parameters", "time")), loss=2.345, at={},
        value=value if known else math.nan, ci95=(value / reach, value * reach) if known else (math.nan, math.nan)
    )  # fmt: skip


def _crossing(dice: random.Random, arms: tuple[str, str]) -> Crossing:
    at = 10 ** dice.uniform(4, 20)
    leader = dice.choice((None, *arms))
    return Crossing(
        axis="flops",
        axis_name=dice.choice(("flops", "tokens", "params non embedding", "unique tokens", "seconds")),
        arms=arms,
        p=0.01,
        at=at if leader is None and dice.random() < 0.7 else None,
        leader=leader,
        set95=dice.choice(((), ((0.0, math.inf),), ((at / 2, at * 2),))),
        shared_range=(at / 10, at * 10),
        better_small=arms[0],
        better_small_probability=0.99,
        better_large=arms[1],
        better_large_probability=0.99,
        level=0.95,
        is_paired=False,
        sentence="",
    )


def _crossover(dice: random.Random) -> Headline:
    arms = tuple(dice.sample(ARMS, 2))
    return headline_arms.of_crossing(
        _crossing(dice, (arms[0], arms[1])), _doubts(dice, dice.sample(SEVERE, dice.choice((0, 1))))
    )


def _paired(dice: random.Random) -> Headline:
    arms = tuple(dice.sample(ARMS, dice.choice((2, 3, 4))))
    gaps = []
    for i, first in enumerate(arms):
        for second in arms[i + 1 :]:
            mean, slope = dice.gauss(0, 0.1), dice.choice((None, dice.gauss(0, 0.02)))
            gaps.append(
                Gap(first, second, 12, mean, _ends(dice, mean), 0.1, 0.2, slope, None if slope is None else (-0.1, 0.1),
                    None if slope is None else dice.choice((0.01, 0.6)), {})
            )  # fmt: skip
    found = Paired(
        "unique_tokens", arms, dict.fromkeys(arms, 2.0), arms[0], dice.random() < 0.5, tuple(gaps), 6, "", ()
    )
    return headline_arms.of_paired(found, _doubts(dice, dice.sample(SEVERE, dice.choice((0, 0, 1)))))


def _allocation(dice: random.Random) -> Headline:
    size = 10 ** dice.uniform(3, 13)
    some = Interval(size, *_ends(dice, size))
    warnings = _doubts(dice, dice.sample((*SEVERE, "allocation_disagrees"), dice.choice((0, 0, 1))))
    found = Allocation("chinchilla", 1e21, "6 N D", some, some, some, some, some, some, (some, some), (), warnings)
    return headline.of_allocation(found)


def _isoflop(dice: random.Random) -> Headline:
    exponent, width = dice.uniform(0, 1), dice.choice((0.02, 0.2, 2))
    ends = (exponent - width, exponent + width)
    curves = tuple(Curve(10**power, 6, True, 1e6, 1e8, 2.0) for power in (17, 18, 19))
    warnings = _doubts(dice, dice.sample(SEVERE, dice.choice((0, 0, 1))))
    found = IsoFlop("local", "recorded", curves, exponent, ends, 1 - exponent, ends, {}, None, None, warnings)
    return headline.of_isoflop(found)


def _holdout(dice: random.Random) -> Headline:
    verdicts: tuple[HoldoutVerdict, ...] = ("held", "no use", "missed")
    warnings = _doubts(dice, dice.sample(SEVERE, dice.choice((0, 0, 1))))
    rows = ()
    found = Holdout(
        _fit("chinchilla"), dice.choice(("6 N D", "params")), dice.choice(verdicts), rows, dice.uniform(1, 500),
        10 ** dice.uniform(-4, 0), 0.01, 0.9, 0.1, 0.1, warnings
    )  # fmt: skip
    return headline.of_holdout(found)


def _refusal(dice: random.Random) -> Headline:
    return headline.of_refusal(dice.choice((*REFUSALS, None)), "3 runs for 5 parameters.")


def _beside(dice: random.Random) -> Headline:
    asked = Question(name="loss", asks="How does the loss fall?", law="chinchilla")
    first, second = (
        Answer(
            question=asked,
            status=dice.choice(("answered", "answered", "refused")),
            sentence="",
            headline=dice.choice(("One.", "Another.")),
            warnings=_doubts(dice, dice.sample(SEVERE, dice.choice((0, 0, 1)))),
            fit=_fit("chinchilla"),
        )
        for _ in range(2)
    )
    values = dice.uniform(0.01, 2), dice.uniform(0.01, 2)
    apart = Apart(
        name=dice.choice(("alpha", "beta")), values=values, interval=dice.choice((None, (-0.1, 0.1), (0.1, 0.2)))
    )
    labels = tuple(dice.sample(("runs/quickstart-quick", "before", "after", "a study with a long name"), 2))
    return Headline(
        sentence=what_differs((first, second), (labels[0], labels[1]), dice.choice(({}, {apart.name: apart})))
    )


KINDS: dict[str, Callable[[random.Random], Headline]] = {
    "law": _law,
    "arms": _arms,
    "crossover": _crossover,
    "paired": _paired,
    "allocate": _allocation,
    "isoflop": _isoflop,
    "holdout": _holdout,
    "refusal": _refusal,
    "beside": _beside,
}


def _doubts(dice: random.Random, codes: list[str], names: list[str] | None = None) -> tuple[Warning, ...]:
    name = dice.choice(names) if names else "alpha"
    return tuple(Warning(code, "severe", f"{name} (0.3): this table does not determine it.") for code in codes)


def _ends(dice: random.Random, value: float) -> tuple[float, float]:
    reach = dice.choice((0.05, 0.5, 5.0))
    return value - reach * abs(value), dice.choice((value + reach * abs(value), math.inf))


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--simulated", action="store_true", help="not the recorded studies, whose fits take minutes")
    asked.add_argument("--tables", type=int, default=SIMULATED, help="how many answers are simulated")
    asked.add_argument("--seed", type=int, default=0)
    options = asked.parse_args()
    bad = 0
    for is_recorded, source in ((False, simulated(options.tables, options.seed)), (True, recorded())):
        if is_recorded and options.simulated:
            continue
        said = list(source)
        for name, one in said:
            if is_recorded or not is_quotable(one.sentence):
                print(f"{words_of(one.sentence):3} words {numbers_of(one.sentence)} numbers  {name}: {one.sentence}")
        beyond = [one for _, one in said if not is_quotable(one.sentence)]
        bad += len(beyond)
        print(
            f"{len(said)} {'recorded' if is_recorded else 'simulated'}: at most "
            f"{max(words_of(one.sentence) for _, one in said)} words, "
            f"{max(numbers_of(one.sentence) for _, one in said)} numbers; {len(beyond)} beyond the limits"
        )
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
