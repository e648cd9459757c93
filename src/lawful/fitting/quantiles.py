"""Student's t and Fisher's F from the incomplete beta function: scipy.special has the same but takes .3 s to import."""

from __future__ import annotations

import functools
import math
from statistics import NormalDist

TINY = 1e-300


def normal_quantile(probability: float) -> float:
    return NormalDist().inv_cdf(probability)


def t_cdf(t: float, dof: float) -> float:
    """P(T <= t) for Student's t; dof need not be whole."""
    tail = 0.5 * incomplete_beta(dof / (dof + t * t), dof / 2, 0.5)
    return tail if t < 0 else 1 - tail


@functools.cache
def t_quantile(probability: float, dof: float) -> float:
    """The t below which `probability` lies, by bisection on the upper half."""
    if probability < 0.5:
        return -t_quantile(1 - probability, dof)
    low, high = 0.0, 2.0
    while t_cdf(high, dof) < probability:
        low, high = high, 2 * high
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(middle, dof) < probability else (low, middle)
    return (low + high) / 2


def f_tail(ratio: float, dof: float, dof_error: float) -> float:
    """P(F > ratio) for Fisher's F."""
    if ratio <= 0:
        return 1.0
    return incomplete_beta(dof_error / (dof_error + dof * ratio), dof_error / 2, dof / 2)


def incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularised I_x(a, b), by its continued fraction (Lentz's method; Numerical Recipes, section 6.4)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast only below
        return 1 - incomplete_beta(1 - x, b, a)
    scale = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, 500):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            c, d = _away(1 + step / c), 1 / _away(1 + step * d)
            fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return scale * fraction / a


def _away(value: float) -> float:
    return value if abs(value) > TINY else TINY
