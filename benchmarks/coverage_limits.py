"""What the best method could reach in cells of coverage.py that miss their goal: calculated on the linearised planted
law, without lawful.

    OMP_NUM_THREADS=1 python benchmarks/coverage_limits.py

Prints the numbers of coverage_notes.py, in half a minute.
"""

from __future__ import annotations

import math

import coverage
import numpy as np
from scipy import integrate, stats

Array = np.ndarray
SEED, DRAWS = 20, 20_000


def powers() -> None:
    """Of the test at 5 % that is best on average over the two planted alternatives, which it knows with their sizes;
    it knows that the noise is the same everywhere, not how large it is (invariant under its scale)."""
    size = np.repeat(coverage.sizes(8), 3)

    def both(t: Array) -> Array:
        E, A, alpha, floor, gain, change = t
        first = coverage.line(size, E, A, alpha)
        return np.log(np.concatenate([first, coverage.line(size * math.exp(gain), E + floor, A, alpha + change)]))

    slopes = coverage.gradient(both, np.array([*coverage.LINE, 0.0, 0.0, 0.0])) / coverage.SIGMA
    common = np.linalg.qr(slopes[:, :3])[0]
    apart = slopes[:, 3:] - common @ (common.T @ slopes[:, 3:])
    basis = np.linalg.qr(apart)[0]
    means = [basis.T @ apart[:, 2] * -0.006, basis.T @ apart[:, 1] * math.log(1.02)]
    dof, rng = len(slopes) - 6, np.random.default_rng(SEED)
    reach = np.linspace(1e-3, 20, 400)
    base = (dof + 2) * np.log(reach) - reach**2 / 2
    ratios = []
    for mean in [np.zeros(3), *means]:
        z = rng.standard_normal((DRAWS, 3)) + mean
        length = np.sqrt((z**2).sum(1) + rng.chisquare(dof, DRAWS))
        own = []
        for one in means:
            at = np.abs(z @ one / length)[:, None] * reach
            top = (base + at).max(1, keepdims=True)
            own.append(np.log(np.exp(base + at - top).sum(1) + np.exp(base - at - top).sum(1)) + top[:, 0])
            own[-1] -= one @ one / 2
        ratios.append(np.array(own))
    print("exponents .006 apart, gain of 1.02: powers of the best test of both, by its weight of the second")
    for weight in (0.4, 0.5, 0.6, 0.7, 0.8):
        null, *found = (np.logaddexp(math.log(1 - weight) + r[0], math.log(weight) + r[1]) for r in ratios)
        cut = np.quantile(null, 0.95)
        print(f"  {weight}: " + " and ".join(f"{(one > cut).mean():.3f}" for one in found))


def top_rung() -> None:
    """Of a t test of the top rung's level, one-sided, which knows the slopes of the law."""
    at = coverage.sizes(8)
    size = np.repeat(at, 2)
    slopes = coverage.gradient(lambda t: np.log(coverage.line(size, *t)), np.array(coverage.LINE))
    basis = np.linalg.qr(slopes)[0]
    top = (size == at[-1]).astype(float)
    top -= basis @ (basis.T @ top)
    away, dof = math.log(1.02) * float(np.linalg.norm(top)) / coverage.SIGMA, len(size) - 4
    for level in (0.01, 0.015, 0.02):
        power = stats.nct.sf(stats.t.ppf(1 - level, dof), dof, away)
        print(f"an undertrained top rung, at a level of {level}: {power:.3f}")


def no_floor() -> None:
    """The least mean half-width at 10 times the size of an interval that holds the truth in 95 % of tables for every
    floor, where there is none: over all values, the chance that the best test of each does not exclude it (Pratt
    1961). Noise unknown."""
    size, far, floorless = np.repeat(coverage.sizes(8), 2), np.array(1e8), (3.0, 0.08)
    pure = coverage.half_width(
        lambda t: float(coverage.pure(far, *t)), floorless, lambda t: np.log(coverage.pure(size, *t)), coverage.SIGMA
    )
    floored = coverage.half_width(
        lambda t: float(coverage.line(far, *t)),
        (0.0, *floorless),
        lambda t: np.log(coverage.line(size, *t)),
        coverage.SIGMA,
    )
    dof = len(size) - 3
    cut = stats.t.ppf(0.95, dof)
    each = integrate.quad(lambda away: stats.nct.sf(-cut, dof, -away), 0, 12)[0]
    print(f"power without floor: {each * (1 + floored / pure) / 2 / 1.96:.2f} (a floor sought: {floored / pure:.2f})")


def shrinking_noise() -> None:
    """Half-width over that of known noise, of an interval of 95 % by generalised least squares whose variance is
    log-linear in size, its slope and level by restricted likelihood; the law's form is known."""
    size = np.repeat(coverage.sizes(8), 3)
    spread = coverage.shrinking(size)
    slopes = coverage.gradient(lambda t: np.log(coverage.line(size, *t)), np.array(coverage.LINE))
    lever = coverage.gradient(lambda t: np.log(coverage.line(np.array([1e8]), *t)), np.array(coverage.LINE))[0]
    x = np.log(size / 1e6)
    noise = np.random.default_rng(SEED).standard_normal((4000, len(size))) * spread
    best = np.full(len(noise), -np.inf)
    error, stderr = np.zeros(len(noise)), np.zeros(len(noise))
    for slope in np.linspace(-1.0, 0.3, 66):
        weight = np.exp(-slope * x)
        own = slopes * weight[:, None]
        inverse = np.linalg.inv(own.T @ own)
        found = (noise * weight) @ own @ inverse
        squares = ((noise * weight - found @ own.T) ** 2).sum(1)
        likely = -(len(x) - 3) / 2 * np.log(squares) + np.log(weight).sum() + np.linalg.slogdet(inverse)[1] / 2
        is_best = likely > best
        best = np.where(is_best, likely, best)
        error = np.where(is_best, found @ lever, error)
        stderr = np.where(is_best, np.sqrt(squares / (len(x) - 3) * (lever @ inverse @ lever)), stderr)
    known = slopes / spread[:, None]
    least = 1.96 * math.sqrt(lever @ np.linalg.inv(known.T @ known) @ lever)
    widen = np.quantile(np.abs(error) / stderr, 0.95)
    print(f"noise shrinks: {widen * np.median(stderr) / least:.2f} (errors times {widen:.2f})")


if __name__ == "__main__":
    for limit in (powers, top_rung, no_floor, shrinking_noise):
        limit()
