"""The response: what a law gives a number of, on which scale its noise and its intervals are, and between which ends.

log        a loss: positive, its noise about a share of it. Residuals are of the logarithm
logit      a share of right answers (or of wrong ones). Its noise is that of counts, sqrt(y (1 - y)), so that rows at
           the chance level, and below it, count as they are; the logarithm of their odds would not exist. Intervals of
           the law are made on the logit scale between the chance level and 1, and end there
identity   any other number: Elo, a reward, a log-likelihood. Residuals are differences
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from lawful.errors import DeclarationError

Kind = Literal["log", "logit", "identity"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Array = np.ndarray
EDGE = 1e-9  # of the way between the ends of a share: nearer to one, a logit says nothing more
LEAST_NOISE = 0.005  # a share by which noise is told is taken no nearer to 0 and 1: counts of 200 items know no more


@dataclass(frozen=True, kw_only=True)
class Response:
    """low, high: of a share, the ends of what a law can be: the chance level and 1; of a share of errors (is_error) 0
    and what chance leaves."""

    kind: Kind = "log"
    low: float = 0.0
    high: float = 1.0
    is_error: bool = False

    @property
    def is_log(self) -> bool:
        return self.kind == "log"

    @property
    def is_share(self) -> bool:
        return self.kind == "logit"

    @property
    def chance(self) -> float:
        """The share of right answers that guessing gives."""
        return 1 - self.high if self.is_error else self.low

    def away(self, observed: Array, fitted: Array) -> Array:
        """Observed beyond fitted, in the unit of residuals: of log y, or of y."""
        return np.log(observed / fitted) if self.is_log else np.asarray(observed - fitted)

    def level(self, values: Any) -> Array:
        """On the scale of residuals."""
        return np.log(np.maximum(values, 1e-300)) if self.is_log else np.asarray(values, dtype=float)

    def noise(self, fitted: Array) -> Array:
        """How noisy a row is, on the scale of residuals, as far as that follows from the law's value."""
        if not self.is_share:
            return np.ones(len(fitted))
        inside = np.clip(fitted, LEAST_NOISE, 1 - LEAST_NOISE)
        return np.asarray(np.sqrt(inside * (1 - inside)))

    def relative_bars(self, bars: Array, observed: Array) -> Array:
        """Standard errors of the rows, in units of `noise`."""
        return np.asarray(bars / (observed if self.is_log else self.noise(observed)))

    def bars(self, relative: Array, observed: Array) -> Array:
        """The inverse of relative_bars."""
        return np.asarray(relative * (observed if self.is_log else self.noise(observed)))

    def share(self, values: Any) -> Array:
        """How far of the way from the low end to the high one, inside."""
        return np.clip((np.asarray(values, dtype=float) - self.low) / (self.high - self.low), EDGE, 1 - EDGE)

    def of_share(self, shares: Any) -> Array:
        return np.asarray(self.low + (self.high - self.low) * np.asarray(shares, dtype=float))

    def inside(self, values: Any) -> Array:
        """What a law can be: of a share, cut off at its ends."""
        return np.clip(values, self.low, self.high) if self.is_share else np.asarray(values, dtype=float)


LOG = Response()


def told(kind: str | None, chance: float | None, *, is_error: bool = False) -> Response | None:
    """The response that a user asks for; None where it is left to the column's name and numbers.

    is_error   of a share of wrong answers: guessing then gives 1 - chance of them
    """
    if kind is not None and kind not in KINDS:
        raise DeclarationError(f"response: expected one of {', '.join(KINDS)}, got {kind!r}.")
    if chance is not None:
        if kind not in (None, "logit"):
            raise DeclarationError(f"chance: a response of {kind} has no chance level; expected logit, or none.")
        if not 0 <= chance < 1:
            raise DeclarationError(f"chance: expected a share from 0 to 1, such as .25 for four choices; got {chance}.")
        if is_error:
            return Response(kind="logit", high=1 - chance, is_error=True)
        return Response(kind="logit", low=chance)
    return None if kind is None else Response(kind=kind, is_error=is_error and kind == "logit")


def expect_loss(response: Response, what: str) -> None:
    """Raise DeclarationError where an analysis asks for the lowest loss, and the response is another."""
    if not response.is_log:
        raise DeclarationError(
            f"{what}: it is of a loss, of which the lowest is best; the response here is {response.kind}. Do it with "
            "the loss of the same runs (--loss-column). `fit`, `predict` and `holdout` take any response."
        )
