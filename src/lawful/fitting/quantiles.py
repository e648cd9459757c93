"""Student's t and Fisher's F from the incomplete beta function: scipy.special has the same but takes .3 s to import."""

from __future__ import annotations

import functools
import math
from statistics import NormalDist

TINY = 1e-300
NORMAL_DOF = 1e7  # from which on Student's t is the normal to 1e-7, and its constants would cancel to rounding
LEVEL = 0.95  # of every interval that asks for no other


def normal_quantile(probability: float) -> float:
    return NormalDist().inv_cdf(probability)


def t_cdf(t: float, dof: float) -> float:
    """P(T <= t) for Student's t; dof need not be whole."""
    if dof > NORMAL_DOF:
        return 0.5 * math.erfc(-t / math.sqrt(2))
    tail = 0.5 * incomplete_beta(dof / (dof + t * t), dof / 2, 0.5)
    return tail if t < 0 else 1 - tail


@functools.cache
def t_quantile(probability: float, dof: float) -> float:
    """The t below which `probability` lies. Newton's method from the normal's quantile: above the median the
    distribution is concave and its tails are longer than the normal's, so the steps only go up, and never too far."""
    if probability < 0.5:
        return -t_quantile(1 - probability, dof)
    t = normal_quantile(probability)
    if dof > NORMAL_DOF:
        return t
    for _ in range(200):
        step = (probability - t_cdf(t, dof)) / t_density(t, dof)
        t += step
        if step <= 1e-13 * t:
            break
    return t


def t_density(t: float, dof: float) -> float:
    constant = math.lgamma((dof + 1) / 2) - math.lgamma(dof / 2) - 0.5 * math.log(dof * math.pi)
    return math.exp(constant - (dof + 1) / 2 * math.log1p(t * t / dof))


def chi_squared_quantile(probability: float, dof: float) -> float:
    """The chi-squared below which `probability` lies, by bisection around Wilson & Hilferty's value (1931)."""
    part = 2 / (9 * dof)
    near = dof * max(1 - part + normal_quantile(probability) * math.sqrt(part), 1e-3) ** 3
    low, high = 0.0, 2 * near + 10
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if chi_squared_cdf(middle, dof) < probability else (low, middle)
    return (low + high) / 2


def chi_squared_cdf(value: float, dof: float) -> float:
    """The regularised incomplete gamma function of (dof / 2, value / 2), by its series."""
    a, x = dof / 2, value / 2
    if x <= 0:
        return 0.0
    term = total = 1 / a
    for n in range(1, 10_000):
        term *= x / (a + n)
        total += term
        if term < 1e-16 * total:
            break
    return math.exp(a * math.log(x) - x - math.lgamma(a)) * total


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
