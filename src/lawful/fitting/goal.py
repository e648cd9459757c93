"""What a campaign of runs should find out, and how well: a goal written as text, and its answer under any law."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lawful.checks import nearest, shown
from lawful.errors import DeclarationError, Refusal
from lawful.fitting import predict
from lawful.fitting.allocate import allocate, loss_at_best
from lawful.fitting.cost import cost_of
from lawful.fitting.fitted import FittedLaw
from lawful.fitting.optimum import Spending, Surface, as_draw, best_size, growth, optimum
from lawful.fitting.sisters import Sister
from lawful.laws import Array

SHARES = ("N_exponent", "D_exponent")  # in the order of `growth`
EXPECTED = (
    "expected 'NAME within HALF-WIDTH' (a parameter, N_exponent or D_exponent), 'L at 1e20 within 1 %' (the lowest "
    "loss of a compute in FLOPs) or 'L at params=7e9,tokens=1.4e11 within 1 %'"
)
NUMBER = r"(\d+\.?\d*(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?)"
PATTERN = re.compile(rf"\s*(.+?)\s+within\s+{NUMBER}\s*(%?)\s*", re.IGNORECASE)
OF_ARMS = re.compile(r"\barms?\b|\bcrossing\b", re.IGNORECASE)
LARGEST_LOG = 700.0  # of which the exponential is a number
STEP = 1e-3  # of differences, relative: the best size is found to 1e-8, so that its slopes are right to 1e-5


@dataclass(frozen=True, kw_only=True)
class Goal:
    """An answer and the half-width of its 95 % interval that is enough.

    text         as it was written
    name         a parameter; N_exponent or D_exponent; "loss"
    flops        of a loss: the compute whose lowest loss is meant
    at           of a loss: the point, by axis
    half_width   of a loss: of its logarithm
    """

    text: str
    name: str
    half_width: float
    flops: float | None = None
    at: Mapping[str, float] | None = None

    @property
    def is_of_any_law(self) -> bool:
        """The answer means the same under every law of these axes; a parameter is its own law's."""
        return self.name in (*SHARES, "loss")


def read_goal(text: str) -> Goal:
    """The goal that a text states. Raises DeclarationError with what was expected."""
    if OF_ARMS.search(text):
        raise DeclarationError(f"goal: goals of two arms ({shown(text)}) are not there yet; {EXPECTED}.")
    found = PATTERN.fullmatch(text)
    if found is None:
        raise DeclarationError(f"goal: {EXPECTED}; got {shown(text)}.")
    what, width, is_percent = found[1], float(found[2]), bool(found[3])
    if not 0 < width < math.inf:
        raise DeclarationError(f"goal: expected a half-width above 0, got {width:g}.")
    loss = re.fullmatch(r"(?:L|loss)\s+at\s+(.+)", what, re.IGNORECASE)
    if loss is None:
        if is_percent or not re.fullmatch(r"\w+", what):
            raise DeclarationError(f"goal: {EXPECTED}; got {shown(text)}.")
        return Goal(text=text, name=what, half_width=width)
    if not is_percent or width >= 100:
        raise DeclarationError(f"goal: expected the half-width of a loss in percent, below 100; got {shown(text)}.")
    half_width = math.log1p(width / 100)
    if "=" not in loss[1]:
        return Goal(text=text, name="loss", half_width=half_width, flops=_positive(loss[1], text))
    at = {}
    for part in loss[1].split(","):
        axis, _, number = part.partition("=")
        if axis.strip() in at:
            raise DeclarationError(f"goal: expected each axis once, got {shown(axis.strip())} twice in {shown(text)}.")
        at[axis.strip()] = _positive(number, text)
    return Goal(text=text, name="loss", half_width=half_width, at=at)


def _positive(text: str, goal: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise DeclarationError(f"goal: expected a positive number, got {shown(text.strip())} in {shown(goal)}.")
    return number


def fitting_goal(goal: Goal, fit: FittedLaw) -> Goal:
    """The same, checked against a fit: its law has this parameter, or reads these axes."""
    if goal.at is not None:
        at = predict.checked(fit, goal.at)
        return Goal(text=goal.text, name="loss", half_width=goal.half_width, at=at)
    is_surface = set(fit.model.inputs) == {"params", "tokens"}
    if goal.flops is not None and not is_surface:
        raise DeclarationError(
            f"goal: {goal.text!r} asks for the lowest loss of a compute, which a law of params and tokens gives; "
            f"{fit.law} reads {', '.join(fit.model.inputs)}. Name the point: L at {fit.model.inputs[0]}=..."
        )
    if goal.name != "loss" and not (goal.name in SHARES and is_surface) and goal.name not in fit.params:
        known = list(dict.fromkeys([*fit.free, *(SHARES if is_surface else ()), *fit.derived]))
        raise DeclarationError(
            f"goal: {fit.law} has no parameter {shown(goal.name)}; it has {nearest(goal.name, known)}."
        )
    if goal.name in fit.params and fit.params[goal.name].role == "fixed":
        raise DeclarationError(f"goal: {goal.name} is fixed, and no run narrows it. Name a parameter that is fitted.")
    return goal


def said_width(goal: Goal, half_width: float) -> str:
    """A half-width as the goal states its own: of a loss in percent."""
    if goal.name != "loss":
        return f"{half_width:.3g}"
    return f"{100 * math.expm1(half_width):.3g} %" if half_width < LARGEST_LOG else "more than any number"


def half_width_of(goal: Goal, fit: FittedLaw) -> float:
    """Half the width of the 95 % interval that the fit gives now; infinite if it gives none."""
    low, high = interval_of(goal, fit)
    return (high - low) / 2 if math.isfinite(high - low) else math.inf


def interval_of(goal: Goal, fit: FittedLaw) -> tuple[float, float]:
    """The 95 % interval of the answer that the fit gives today; of a loss, of its logarithm. No numbers where it gives
    none."""
    if goal.name in fit.params:
        return fit.params[goal.name].ci95
    if goal.at is not None:
        found = predict.predict_one(fit, goal.at, "mean", 0.95)
        low, high = found.low, found.high
    elif goal.flops is not None:
        low, high = _lowest_loss(fit, goal.flops)
    else:
        try:
            best = getattr(allocate(fit, flops=largest_compute(fit)), goal.name)
        except Refusal:  # the law that these runs give has no best size: more runs may change that
            return -math.inf, math.inf
        return float(best.low), float(best.high)  # a fit without draws gives no interval here
    return (math.log(low), math.log(high)) if 0 < low <= high < math.inf else (-math.inf, math.inf)


def _lowest_loss(fit: FittedLaw, flops: float) -> tuple[float, float]:
    """The interval that `allocate` gives of the loss, without what else it finds; none where there is no best size."""
    among = fit.alternatives
    best: Surface = fit if among is None else among.best
    point = optimum(best, as_draw(best.values), flops, Spending(cost_of(None, 0.0, {})))
    if point.edge[0]:
        return 0.0, math.inf
    found = loss_at_best(fit, point, {})
    return found.low, found.high


def largest_compute(fit: FittedLaw) -> float:
    """6 N D of the fitted run that has most of it: where the exponents of a law without one exponent are read."""
    return max(6 * row.axes["params"] * row.axes["tokens"] for row in fit.residuals)


def answers(goal: Goal, law: Sister, values: Mapping[str, Array], flops: float) -> Array:
    """The goal's answer of each draw, shape (draws,): of a loss its logarithm.

    flops   where exponents of the best size are read
    """
    if goal.at is not None:
        return np.asarray(np.log(law.loss(values, {axis: np.array([v]) for axis, v in goal.at.items()})[:, 0]))
    spending = Spending(cost_of(None, 0.0, {}))
    if goal.flops is not None:
        size, _ = best_size(law, values, goal.flops, spending)
        return np.asarray(np.log(spending.at_own(law, values, size, spending.cost.tokens(size, goal.flops))))
    if goal.name in values:
        return np.asarray(values[goal.name])
    derived = law.law.derived(dict(values), law.pivot)
    if goal.name in derived:
        return np.asarray(derived[goal.name])
    return np.asarray(growth(law, values, flops, spending)[SHARES.index(goal.name)])


def gradients(goal: Goal, law: Sister, values: Mapping[str, Array], free: tuple[str, ...], flops: float) -> Array:
    """The derivative of the answer by each free parameter at each draw, shape (draws, free), by central differences."""
    draws = len(next(iter(values.values())))
    steps = {name: STEP * np.maximum(np.abs(values[name]), STEP) for name in free}
    moved = {name: np.tile(value, 2 * len(free)) for name, value in values.items()}
    for j, name in enumerate(free):
        moved[name][2 * j * draws : (2 * j + 1) * draws] += steps[name]
        moved[name][(2 * j + 1) * draws : (2 * j + 2) * draws] -= steps[name]
    found = answers(goal, law, moved, flops).reshape(len(free), 2, draws)
    size = np.array([steps[name] for name in free])
    return np.asarray(np.nan_to_num((found[:, 0] - found[:, 1]) / (2 * size)).T)
