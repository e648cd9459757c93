"""Question: what the fitted law is asked, as the plan records it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lawful.checks import field_problems, refuse, shown
from lawful.schema.cells import Coordinate, Json


@dataclass(frozen=True, kw_only=True)
class LawData:
    """A formula with its settings, as the law of a question.

    formula    of the loss, in the names of columns and parameters
    bounds     parameter -> lowest and highest value
    starts     parameter -> the range in which its search begins, or one value
    """

    formula: str
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    starts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the fitted law is asked: which law, over which columns of the table, on which rows.

    law      name of a law in lawful.laws; or "paired": no law, the arms are compared run by run (fitting/paired.py); or
             a formula: its text, or LawData where it has bounds or starts of its own
    flops    the column of a law in flops, where it is not the exact count: seconds, for one
    along    paired only: the coordinate whose levels are compared one by one
    where    column -> the value rows must have, or several in a tuple; "max" and "min" mean the largest and smallest
             present
    truth    what is known beforehand, where the data were made so: parameter -> value; of arms, parameter -> difference
             from the first arm, "multiplier", "verdict", "decision". The answer says whether it was recovered
    fixed    parameters of the law that are not fitted, by name
    """

    name: str
    asks: str
    law: str | LawData
    params: str = "params_non_embedding"
    tokens: str = "tokens"
    loss: str = "loss"
    flops: str | None = None
    along: str | None = None
    where: Mapping[str, Coordinate | tuple[Coordinate, ...]] = field(default_factory=dict)
    truth: Mapping[str, float | str] = field(default_factory=dict)
    fixed: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        wrong = field_problems(self)
        problems = list(wrong.values())
        if (self.law == "paired") != (self.along is not None):
            problems.append("the law paired needs along, and along the law paired")
        refuse(f"question {shown(self.name)}", problems)

    @property
    def arm(self) -> str | None:
        """The one arm that is asked about."""
        arm = self.where.get("arm")
        return None if arm is None or isinstance(arm, tuple) else str(arm)

    @property
    def columns(self) -> dict[str, str]:
        """Role -> column: params, tokens, loss, and flops where the question names a column of it."""
        known = {"params": self.params, "tokens": self.tokens, "loss": self.loss}
        return known if self.flops is None else {**known, "flops": self.flops}

    @property
    def law_spec(self) -> str | dict[str, Json]:
        """The law's name or text; of a formula with settings the data from which `laws.stored` builds it."""
        if isinstance(self.law, str):
            return self.law
        fields: dict[str, Json] = {
            "text": self.law.formula,
            "bounds": {name: list(pair) for name, pair in self.law.bounds.items()},
            "start": {name: own[0] if len(own) == 1 else list(own) for name, own in self.law.starts.items()},
        }
        return {"class": "formula", "fields": fields}
