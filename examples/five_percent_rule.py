"""Does "their exponents differ by more than 5 %, so the exponent moved" tell a better exponent from a constant gain?

Two arms that differ by a constant gain in compute and by nothing else are drawn many times with the noise of seeds. The
rule of 5 %, on exponents of laws without a floor, is asked; then `lawful.compare` is, on the same runs.
Run: python examples/five_percent_rule.py
"""

from dataclasses import dataclass

import numpy as np

import lawful
from lawful.fitting import Refusal

FLOOR, COEFFICIENT, EXPONENT = 1.5, 1.2, 0.15
SIGMA = 0.005  # of the log loss between seeds: what the study `activation` shows at quick scale
# FLOPs of the sizes, and seeds: three anchors of 3M, 10M, 30M at 20 tokens a parameter; a ladder to decide with
DESIGNS = {
    "three anchors, one seed": (tuple(6 * n * 20 * n for n in (3e6, 10e6, 30e6)), 1),
    "five sizes, three seeds": (tuple(np.geomspace(1e15, 1e18, 5)), 3),
}


@dataclass(frozen=True)
class Misfires:
    """Shares of draws in which a difference of exponents was claimed; by_test None where the comparison is refused."""

    by_rule: float
    by_test: float | None


def draw(design: str, gain: float, shift: float, random: np.random.Generator) -> list[dict[str, object]]:
    """Runs of arms a and b: b acts as if it had `gain` times the compute, with an exponent higher by `shift`."""
    compute, seeds = DESIGNS[design]
    return [
        {"arm": arm, "seed": seed, "flops": flops, "loss": float(loss * np.exp(SIGMA * random.standard_normal()))}
        for arm, factor, more in (("a", 1.0, 0.0), ("b", gain, shift))
        for flops in compute
        for loss in [FLOOR + COEFFICIENT * (factor * flops / 3e16) ** -(EXPONENT + more)]
        for seed in range(seeds)
    ]


def rule_of_five_percent(runs: list[dict[str, object]]) -> bool:
    """Fit L = A C^-alpha to each arm and call exponents different where they differ by more than 5 %."""
    slopes = []
    for arm in "ab":
        points = [(run["flops"], run["loss"]) for run in runs if run["arm"] == arm]
        slopes.append(np.polyfit(*np.log(np.array(points, dtype=float)).T, 1)[0])
    return bool(abs(slopes[1] / slopes[0] - 1) > 0.05)


def by_comparison(runs: list[dict[str, object]]) -> bool:
    return lawful.compare(runs, law="power_floor:flops").decision == "exponents differ"


def misfires(design: str, gain: float, shift: float = 0.0, draws: int = 60, seed: int = 0) -> Misfires:
    random = np.random.default_rng(seed)
    tables = [draw(design, gain, shift, random) for _ in range(draws)]
    by_rule = float(np.mean([rule_of_five_percent(runs) for runs in tables]))
    try:
        return Misfires(by_rule, float(np.mean([by_comparison(runs) for runs in tables])))
    except Refusal:
        return Misfires(by_rule, None)


def main(draws: int = 60) -> None:
    print(f"share of {draws} draws in which the exponent is said to move")
    print(f"{'runs of each arm':24} {'gain':>5} {'exponent':>9} {'5 % rule':>9} {'lawful':>8}")
    for design in DESIGNS:
        for row, (gain, shift) in enumerate(((1.0, 0.0), (1.25, 0.0), (1.5, 0.0), (2.0, 0.0), (1.0, 0.02))):
            found = misfires(design, gain, shift, draws, seed=row)
            moved = f"+{shift:g}" if shift else "the same"
            by_test = "refused" if found.by_test is None else f"{found.by_test:.0%}"
            print(f"{design:24} {gain:5g} {moved:>9} {found.by_rule:9.0%} {by_test:>8}")


if __name__ == "__main__":
    main()
