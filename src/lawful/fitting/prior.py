"""Priors on parameters: pseudo-observations of a known error that a user states, and what they do to a fit."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lawful.checks import AnyFloat, shown
from lawful.errors import DeclarationError
from lawful.fitting import solver
from lawful.fitting.noise import Noise
from lawful.fitting.number_text import interval
from lawful.fitting.problem import Prior
from lawful.fitting.records import Parameter, PriorUsed
from lawful.fitting.search import Point, as_point
from lawful.fitting.starts import grid_starts
from lawful.laws import Array, Law
from lawful.schema import Warning

Priors = Mapping[str, tuple[AnyFloat, AnyFloat]]  # parameter -> mean and standard error
DISAGREES = 3.0  # standard errors between the prior and the rows, from which on they contradict each other
TEXT = re.compile(r"\s*([^=\s]+)\s*=\s*([-+0-9.eE]+)\s*~\s*([-+0-9.eE]+)\s*")


def read(parts: Sequence[str]) -> dict[str, tuple[float, float]]:
    """NAME=MEAN~STDERR, any number of times."""
    out: dict[str, tuple[float, float]] = {}
    for part in parts:
        found = TEXT.fullmatch(part)
        try:
            pair = None if found is None else (float(found[2]), float(found[3]))
        except ValueError:
            pair = None
        if found is None or pair is None:
            raise DeclarationError(f"--prior: expected NAME=MEAN~STDERR, such as alpha=.34~.05; got {part!r}.")
        if found[1] in out:
            raise DeclarationError(f"--prior: expected each parameter once, got {found[1]} twice.")
        out[found[1]] = pair
    return out


def checked(given: Priors, law: Law, low: Array, high: Array) -> Priors:
    """Raises DeclarationError for what is no prior on a free parameter of the law."""
    known = ", ".join(law.parameters)
    for name, pair in given.items():
        if name not in law.parameters:
            fitted = next((own for own in law.parameters if own in (f"{name}_pivot", f"log_{name}")), None)
            way = f" {name} follows from {fitted}, which is fitted in its place." if fitted else ""
            raise DeclarationError(f"prior: {name!r} is no parameter that {law.spec} fits; it fits {known}.{way}")
        if not math.isfinite(pair[0]) or not 0 < pair[1] < math.inf:
            raise DeclarationError(f"prior: {name}: expected a mean and a standard error above 0, got {shown(pair)}.")
        i = law.parameters.index(name)
        if low[i] == high[i]:
            raise DeclarationError(f"prior: {name} is fixed; expected a prior or a value, got both.")
        if not low[i] <= pair[0] <= high[i]:
            raise DeclarationError(
                f"prior: {name}: expected a mean within its bounds, {low[i]:g} to {high[i]:g}, got {pair[0]:g}."
            )
    return {name: (float(mean), float(stderr)) for name, (mean, stderr) in given.items()}


def with_prior(point: Point, around: Noise, given: Priors) -> Point:
    """The best point with the priors beside the rows, from the best one without.

    A squared z of a prior weighs as much as a squared t of the rows: the misfit's steepness is measured at the point
    without priors, so that rows which contradict them are not taken for noise.
    """
    problem, names = point.problem, point.problem.law.parameters
    mean, stderr, precision = point.parameters.copy(), np.full(len(names), np.inf), np.zeros(len(names))
    for name, (centre, error) in given.items():
        i = names.index(name)
        mean[i], stderr[i] = centre, error
        precision[i] = _widening(point, around, i) / (around.steepness * error**2)
    problem = replace(problem, prior=Prior(mean, stderr, precision))
    moved = np.where(precision > 0, mean, point.parameters)
    grid = grid_starts(problem, keep=8)[0]
    pulled = np.where(precision > 0, mean, grid)
    starts = np.concatenate([point.parameters[None], moved[None], grid, pulled])
    found = solver.solve(problem, np.clip(starts, problem.low, problem.high))
    return as_point(problem, found, point.delta)


def _widening(point: Point, around: Noise, i: int) -> float:
    """The variance of a parameter with clusters, over that of independent rows."""
    j = int(point.is_free[:i].sum())
    plain = float(around.plain[j, j])
    return max(float(around.covariance[j, j]) / plain, 1e-300) if plain > 0 else 1.0


def used(
    alone: Point, around: Noise, given: Priors, before: Mapping[str, Parameter], after: Mapping[str, Parameter]
) -> tuple[PriorUsed, ...]:
    """What each prior did. z by the likelihood ratio: the root of how much the misfit rises where it alone is heeded.

    before, after   the parameters without and with all priors
    """
    out = []
    for name, (mean, stderr) in given.items():
        i = alone.problem.law.parameters.index(name)
        rise = with_prior(alone, around, {name: (mean, stderr)}).misfit - alone.misfit
        z = math.sqrt(max(2 * rise * around.steepness / _widening(alone, around, i), 0.0))
        (low, high), (least, most) = before[name].ci95, after[name].ci95
        narrower = (most - least) / (high - low) if math.isfinite(high - low) and high > low else 0.0
        out.append(
            PriorUsed(
                name=name,
                mean=mean,
                stderr=stderr,
                z=math.copysign(z, alone.parameters[i] - mean),
                alone=float(alone.parameters[i]),
                alone_ci95=(low, high),
                width=narrower,
            )
        )
    return tuple(out)


def about_priors(found: Sequence[PriorUsed]) -> list[Warning]:
    """A note on each, and a severe warning where the rows contradict one."""
    out = []
    for one in found:
        stated = f"{one.name}: {one.mean:.3g} +- {one.stderr:.3g}, stated by you"
        rows = f"{one.alone:.3g} {interval(*one.alone_ci95)}"
        narrower = f"its interval is {one.width:.2g} times as wide as without" if one.width else "without it, no end"
        sentence = f"With a prior on {stated}; {narrower}. The runs alone give {rows}."
        out.append(Warning("prior", "note", sentence))
        if abs(one.z) > DISAGREES:
            sentence = (
                f"The prior on {stated}, and these runs, {rows}, contradict each other (z = {one.z:.2g}): the result "
                "is that of neither. Leave the prior out, or find what differs."
            )
            out.append(Warning("prior_disagrees", "severe", sentence))
    return out
