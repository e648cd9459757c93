"""A stand-in for your trainer, so that the study runs as it is: a step function is fitted to a curve."""

import math
import random
import sys

bins, seed = int(sys.argv[1]), int(sys.argv[2])


def sample(random: random.Random, count: int) -> list[tuple[float, float]]:
    points = [random.random() for _ in range(count)]
    return [(x, math.sin(6 * x) + random.gauss(0, 0.1)) for x in points]


train, validation = sample(random.Random(seed), 20_000), sample(random.Random(10**6), 20_000)
sums, counts = [0.0] * bins, [0] * bins
for step, (x, y) in enumerate(train, start=1):
    sums[int(x * bins)] += y
    counts[int(x * bins)] += 1
    if step % 5_000 == 0:
        means = [total / count if count else 0.0 for total, count in zip(sums, counts, strict=True)]
        loss = sum((y - means[int(x * bins)]) ** 2 for x, y in validation) / len(validation)
        print(f"step {step}: val loss {loss:.6f}", flush=True)
