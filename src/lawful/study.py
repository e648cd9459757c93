"""Study: a question, its ladder of rungs, and how it will be answered; declared before any training."""

from __future__ import annotations

import hashlib
import inspect
import math
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

from lawful import trust
from lawful.errors import DeclarationError, LawfulError, StoreError
from lawful.run import STUDY_FILE, Run

Coordinate = str | int | float
Coordinates = Mapping[str, Coordinate]
SCALES = ("smoke", "quick", "full", "published")


@dataclass(frozen=True, kw_only=True)
class Rung:
    """A run at named coordinates: fitted, held out, or part of a learning-rate bracket.

    bracket     how many times the rate of the rung whose other coordinates it shares; never fitted, only looked at for
                whether the ladder's own rate is the best of those tried. Its coordinate is called `rate`
    """

    at: Coordinates
    run: Run
    is_held_out: bool = False
    bracket: float | None = None

    @property
    def label(self) -> str:
        return ",".join(f"{name}={value}" for name, value in self.at.items())

    @property
    def seed(self) -> int:
        return int(self.at.get("seed", self.run.init_seed))


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the fitted law is asked: which law, over which columns of the table, on which rows.

    law      name of a law in lawful.laws; or "paired": no law, the arms are compared run by run (fitting/paired.py)
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
    law: str
    params: str = "params_non_embedding"
    tokens: str = "tokens"
    loss: str = "loss"
    flops: str | None = None
    along: str | None = None
    where: Mapping[str, Coordinate | tuple[Coordinate, ...]] = field(default_factory=dict)
    truth: Mapping[str, float | str] = field(default_factory=dict)
    fixed: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.law == "paired") != (self.along is not None):
            raise DeclarationError(f"question {self.name!r}: the law paired needs along, and along the law paired.")


@dataclass(frozen=True, kw_only=True)
class Study:
    """A declaration; all its problems are reported at once, before the first second of training.

    held_out    column of `at` -> value: those rungs are never fitted, only predicted
    arm         the coordinate that names the arms, if the study compares any
    faults      what is known to be wrong with this design as evidence; the plan and the report print it
    reported    figures that others published for rungs of this ladder, laid beside ours: each {"at": coordinates,
                name: value, ...}
    """

    name: str
    question: str
    ladder: Sequence[Rung]
    questions: Sequence[Question]
    held_out: Mapping[str, Coordinate] = field(default_factory=dict)
    arm: str | None = None
    scale: str = "quick"
    faults: Sequence[str] = ()
    reported: Sequence[Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        problems: list[str] = []
        if not self.ladder:
            problems.append("ladder: expected at least one rung, got none.")
        axes = {
            name: sorted({rung.at[name] for rung in self.ladder if name in rung.at}, key=_order)
            for name in dict.fromkeys(name for rung in self.ladder for name in rung.at)
        }
        for name, value in self.held_out.items():
            levels = ", ".join(str(level) for level in axes.get(name, []))
            if value not in axes.get(name, []):
                problems.append(f"held_out: no rung has {name}={value}; {name}s are {levels or 'not an axis here'}.")
        if self.arm is not None and self.arm not in axes:
            problems.append(f"arm: no axis is called {self.arm!r}; the axes are {', '.join(axes)}.")
        runs = {rung.run for rung in self.ladder}
        for rung in self.ladder:
            if (parent := rung.run.starts_from) is None:
                continue
            if parent not in runs:
                problems.append(f"ladder: {rung.label} starts from a run that is not in this ladder.")
            if parent.starts_from is not None or parent.family != rung.run.family:
                problems.append(
                    f"ladder: {rung.label} must start from a run of the same family that started from nothing itself."
                )
        labels: dict[str, str] = {}
        for rung in self.ladder:
            first = labels.setdefault(rung.run.id, rung.label)
            if first != rung.label:
                problems.append(f"ladder: {first} and {rung.label} are the same run; some coordinate is not used.")
        names = [question.name for question in self.questions]
        for name in sorted({name for name in names if names.count(name) > 1}):
            problems.append(f"questions: two are called {name!r}; each needs its own name.")
        if self.ladder and self.held_out and not problems:
            if all(self._matches_held_out(rung) for rung in self.ladder):
                problems.append("held_out: every rung is held out; nothing is left to fit.")
        if problems:
            raise DeclarationError(f"study {self.name!r} cannot be planned:\n  " + "\n  ".join(problems))
        marked = [replace(rung, is_held_out=rung.is_held_out or self._matches_held_out(rung)) for rung in self.ladder]
        object.__setattr__(self, "ladder", tuple(marked))

    def _matches_held_out(self, rung: Rung) -> bool:
        if not self.held_out or rung.run.starts_from is not None:  # a fine-tuning is never fitted, nor forecast
            return False
        return all(rung.at.get(name) == value for name, value in self.held_out.items())


def grid(rung: Callable[..., Run], **axes: Sequence[Coordinate]) -> list[Rung]:
    """Every combination of the axes' values, as rungs of the run that `rung(**coordinates)` returns."""
    empty = [name for name, values in axes.items() if len(values) == 0]
    if empty:
        raise DeclarationError(f"grid: expected values on every axis, got none for {', '.join(empty)}.")
    points = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    return [Rung(at=at, run=rung(**at)) for at in points]


def bracket(rung: Callable[..., Run], at: Coordinates, times: Sequence[float] = (0.5, 2.0)) -> list[Rung]:
    """The run at `at` again, at multiples of its learning rate and nothing else changed."""
    run = rung(**at)
    return [
        Rung(
            at={**at, "rate": factor},
            run=replace(run, optimizer=replace(run.optimizer, learning_rate=factor * run.optimizer.learning_rate)),
            bracket=factor,
        )
        for factor in times
    ]


def count(text: str | int | float) -> int:
    """1e6, 10M, 1_000_000, 4k, 2B are all counts. Raises LawfulError with what was expected."""
    if isinstance(text, (int, float)):
        number = float(text)
    else:
        cleaned = text.strip().replace("_", "")
        scale = {"k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}.get(cleaned[-1:].lower(), 1.0)
        try:
            number = float(cleaned[:-1] if scale != 1.0 else cleaned) * scale
        except ValueError:
            raise DeclarationError(f"expected a count such as 1e6, 10M or 1_000_000, got {text!r}.") from None
    if not (0 <= number < math.inf and number == round(number)):
        raise DeclarationError(f"expected a whole number of at least 0, got {text!r}.")
    return round(number)


def declare(module: ModuleType, scale: str | None = None, settings: Mapping[str, str] | None = None) -> Study:
    """The Study that a study file declares: its value `study`, or what its function `study(scale, **settings)` gives.

    settings    the texts of --set NAME=VALUE, converted by the function's annotations; an unknown name is an error
                that lists the known ones
    """
    settings = dict(settings or {})
    found = getattr(module, "study", None)
    if isinstance(found, Study):
        if settings or scale not in (None, found.scale):
            raise DeclarationError(
                f"{module.__name__}: its study is a fixed value and takes neither --scale nor --set; "
                "make `study` a function of scale and typed settings to allow them."
            )
        return found
    if not callable(found):
        raise DeclarationError(
            f"{module.__name__}: expected a Study or a function that returns one, called `study`; got none."
        )
    hints = typing.get_type_hints(found)
    known = {name: hints.get(name, str) for name in inspect.signature(found).parameters}
    given: dict[str, Any] = {}
    if "scale" in known and scale is not None:
        if scale not in SCALES:
            raise DeclarationError(f"--scale: expected one of {', '.join(SCALES)}, got {scale!r}.")
        given["scale"] = scale
    elif scale is not None:
        raise DeclarationError(f"{module.__name__}: this study has no scales; leave --scale out.")
    for name, text in settings.items():
        if name not in known or name == "scale":
            names = ", ".join(sorted(set(known) - {"scale"})) or "none"
            raise DeclarationError(f"--set: this study has no setting {name!r}; it has {names}.")
        try:
            given[name] = convert(text, known[name])
        except LawfulError as error:
            raise DeclarationError(f"--set {name}: {error}") from None
    study = found(**given)
    if not isinstance(study, Study):
        raise DeclarationError(f"{module.__name__}: expected study() to return a Study, got {type(study).__name__}.")
    return study


def settings_of(module: ModuleType) -> dict[str, str]:
    """The typed settings that a study file takes: name -> "type, default"."""
    found = getattr(module, "study", None)
    if isinstance(found, Study) or not callable(found):
        return {}
    parameters = inspect.signature(found).parameters.values()
    return {p.name: f"{p.annotation}, default {p.default}" for p in parameters if p.name != "scale"}


def convert(text: str, kind: Any) -> Any:
    """A setting's text as its annotated type; None beside a type (`int | None`) is for leaving it out."""
    options = [option for option in typing.get_args(kind) if option is not type(None)]
    origin = typing.get_origin(kind)
    if origin is tuple:
        return tuple(convert(part, options[0]) for part in text.split(",") if part.strip())
    if type(None) in typing.get_args(kind):
        return convert(text, options[0])
    if origin is typing.Literal:
        if text not in options:
            raise DeclarationError(f"expected one of {', '.join(map(str, options))}, got {text!r}.")
        return text
    if kind is int:
        return count(text)
    if kind is float:
        try:
            return float(text)
        except ValueError:
            raise DeclarationError(f"expected a number, got {text!r}.") from None
    if kind is bool:
        if text.lower() not in ("yes", "no", "true", "false"):
            raise DeclarationError(f"expected yes or no, got {text!r}.")
        return text.lower() in ("yes", "true")
    return text


def import_file(path: Path, *, sha256: str | None = None) -> ModuleType:
    """Import a user's own study file under the name `study_file`. This runs it, as `python FILE` would.

    sha256      what the file had when the study was planned; a changed file is refused
    """
    if not path.is_file():
        raise DeclarationError(f"{path}: expected a study's Python file, got no such file.")
    text = path.read_bytes()
    digest = hashlib.sha256(text).hexdigest()
    if sha256 is not None and digest != sha256:
        raise DeclarationError(
            f"{path}: expected the study file as it was planned (SHA-256 {sha256[:12]}), got a changed one "
            f"({digest[:12]}); `lawful run {path} --out DIR` plans it again and keeps the runs that are unchanged."
        )
    try:
        return trust.run_file(path, STUDY_FILE, text)
    except Exception as error:
        raise DeclarationError(f"{path}: the study file does not import: {type(error).__name__}: {error}") from error


def own_file(study: Mapping[str, Any], folder: Path) -> tuple[Path, str] | None:
    """The study's own Python file and its SHA-256 when it was planned, as study.json names them; None without one.

    study       what study.json holds
    """
    known = study.get("study_file")
    if known is None:
        return None
    path, sha256 = (known.get("path"), known.get("sha256")) if isinstance(known, dict) else (None, None)
    if not isinstance(path, str) or not re.fullmatch("[0-9a-f]{64}", str(sha256)):
        raise StoreError(f"{folder / 'study.json'}: study_file: expected a path and a SHA-256, got {str(known)[:80]}.")
    return Path(path), str(sha256)


def trusted_file(study: Mapping[str, Any], folder: Path, *, trusted: str = "") -> tuple[Path, str] | None:
    """As own_file; raises StoreError where it may not run: neither has this user run a file of that SHA-256, nor is it
    `trusted`, the one that whoever started this process allowed."""
    known = own_file(study, folder)
    if known is not None and known[1] != trusted and not trust.is_trusted(known[1]):
        what, allow = f"the study file {known[0]} (SHA-256 {known[1]})", f"--trust {known[1][: trust.FEWEST_DIGITS]}"
        raise trust.refusal(folder / "study.json", what, allow)
    return known


def own_module(study: Mapping[str, Any], folder: Path, *, trusted: str = "") -> str | None:
    """Run the study's own file, if it has one and it may run, as it was planned; the module's name, for from_json."""
    known = trusted_file(study, folder, trusted=trusted)
    return import_file(known[0], sha256=known[1]).__name__ if known else None


def _order(value: Any) -> tuple[bool, Any]:
    return isinstance(value, str), value
