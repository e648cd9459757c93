"""How numbers and intervals are written in sentences."""

from __future__ import annotations

import math

from lawful.fitting.records import FitRecord


def interval(low: float, high: float, digits: str = ".3g", *, width: int = 0) -> str:
    """[0.31, 0.37]; or what of it the data determine: at least 0.31, at most 0.37, not determined.

    A positive number is at least 0 anyway: from 0 to infinity is not determined.
    """
    first, last = (f"{end:{digits}}" for end in (low, high))
    if math.isfinite(low) and math.isfinite(high):
        return f"[{first:>{width}}, {last:>{width}}]"
    if math.isfinite(high):
        return f"at most {last}"
    return f"at least {first}" if math.isfinite(low) and low != 0 else "not determined"


def rounded(value: float, low: float, high: float) -> tuple[str, str]:
    """A value and its interval, to the second digit of the half of its width."""
    half = (high - low) / 2
    if not (math.isfinite(half) and half > 0 and math.isfinite(value)):
        return f"{value:.4g}", "" if math.isnan(low) or math.isnan(high) else interval(low, high, ".3g")
    place = math.floor(math.log10(half)) - 1
    biggest = max(abs(value), abs(low), abs(high))
    if biggest >= 1e5 or biggest < 1e-3:
        digits = min(max(math.floor(math.log10(biggest)) - place + 1, 2), 6)
        return f"{value:.{digits}g}", interval(low, high, f".{digits}g")
    decimals = min(max(-place, 0), 6)
    return f"{value:.{decimals}f}", interval(low, high, f"z.{decimals}f")


def percent(share: float) -> str:
    """Two digits: 8, 0.42, 51; three near 100."""
    value = 100 * share
    if not math.isfinite(value):
        return "an unknown"
    text = f"{value:.3g}" if abs(value) >= 99 else f"{value:.2g}"
    return text if "e" not in text else f"{value:.0f}"


def percent_range(low: float, high: float) -> str:
    """51 to 57; with more digits, up to six, where two would write both ends alike: 59.9 to 60.2."""
    first, last = percent(low), percent(high)
    for digits in range(3, 7):
        if first != last or low == high:
            break
        first, last = (f"{100 * share:.{digits}g}" for share in (low, high))
    return f"{first} to {last}"


def factor(value: float) -> str:
    text = f"{value:.2g}"
    return text if "e" not in text else f"{value:.0f}"


def amount(value: float) -> str:
    """17.2k, 3.1M, 7.2B; 1.7e12 beyond."""
    if not math.isfinite(value):
        return "any number of"
    for unit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if unit * 0.9995 <= value < 1e12:
            return f"{value / unit:.3g}{letter}"
    return f"{value:.3g}".replace("e+", "e")


def amount_of(axis: str, value: float) -> str:
    """An amount of an axis with its unit: 17.2k parameters, 1.8e10 FLOPs."""
    unit = unit_of(axis)
    if unit == "FLOPs" and math.isfinite(value):
        return f"{value:.2g} FLOPs".replace("e+", "e")
    return f"{amount(value)} {unit}"


def unit_of(axis: str) -> str:
    """What an amount of an axis is counted in; axis: its name, or in words that of its column."""
    known = {"flops": "FLOPs", "unique tokens": "tokens of text", "unique_tokens": "tokens of text"}
    return "parameters" if axis.startswith("params") else known.get(axis, axis.replace("_", " "))


def symbol_of(fit: FitRecord) -> str:
    """What a formula gives: L, a loss; another metric by its column's name."""
    return "L" if fit.data.response.is_log else fit.data.columns["loss"]


def counted(fit: FitRecord) -> str:
    """What a fit rests on. The rows of a history are no runs: several are of one run."""
    n, clusters, runs = fit.goodness.n, fit.goodness.clusters, len({row.run for row in fit.residuals})
    stated = "".join(f", with a prior on {one.name}: {one.mean:.3g} +- {one.stderr:.3g}" for one in fit.priors)
    if not 0 < runs < n:
        return runs_counted(n, clusters) + stated
    within = f" in {clusters} independent groups" if clusters < runs else ""
    return f"{n} rows of {runs} run{'s' * (runs > 1)}{within}{stated}"


def runs_counted(n: int, clusters: int) -> str:
    """Clusters are called groups where no word is explained: runs of one group share noise and count once."""
    return f"{n} runs" + (f" in {clusters} independent groups" if clusters < n else "")
