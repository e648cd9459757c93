"""Run: frozen plain data that determines one trained model completely; its id is a hash of itself."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import json
import math
from dataclasses import dataclass
from typing import Any, Literal

from lawful import registry
from lawful.checks import (
    NaturalInt,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Share,
    ShareBelowOne,
    field_problems,
    refuse,
    shown,
)
from lawful.errors import DeclarationError, LawfulError

STUDY_FILE = "study_file"  # what the module of a user's own study file is called
Precision = Literal["auto", "fp32", "bf16", "fp16"]  # "auto" in a declaration; the plan settles one for the ladder


def added(default: Any) -> Any:
    """A field that came later: left out of the JSON while it has its default, so that ids from before it stand."""
    return dataclasses.field(default=default, metadata={"added": True})


@dataclass(frozen=True, kw_only=True)
class AdamW:
    """Adam with decoupled weight decay on matrices only (arXiv:1711.05101); `clip` bounds the global gradient norm.

    The Run that holds it checks its fields, as those of Schedule, so that all problems of a Run are told at once.
    """

    learning_rate: NonNegativeFloat  # 0: a control that stays as it began
    weight_decay: NonNegativeFloat = 0.1
    beta1: ShareBelowOne = 0.9
    beta2: ShareBelowOne = 0.95
    eps: PositiveFloat = 1e-8
    clip: PositiveFloat = 1.0


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The learning rate over a run, as a multiple of its peak.

    wsd: linear warmup, constant, then 1 - sqrt over the last `decay_fraction` (arXiv:2405.18392). It would reach zero
        one step after the last, so that every step trains.
    cosine: linear warmup, then a half cosine to `floor` at exactly the last step.
    constant: linear warmup, then constant; its final loss is undecayed and never fitted beside decayed ones.
    """

    shape: Literal["wsd", "cosine", "constant"] = "wsd"
    warmup_steps: NaturalInt
    decay_fraction: Share = 0.2
    floor: Share = 0.0


PARTS = {"family": "param_counts", "corpus": "prepare", "task": "loss", "rule": "gradients"}  # and what each must do


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything that determines one trained model. Device and micro-batch are not here: they belong to the executor.

    family, corpus, task, rule   values of the plug-in folders, frozen dataclasses themselves
    steps                        optimiser steps; each sees batch_size windows of `context` targets
    eval_every, eval_tokens      during training, the loss on the first eval_tokens validation targets every so many
                                 steps; after the last step, always on all of them
    keep_best                    also keep the weights of the lowest loss seen in training, and judge them at the end
    data_fingerprint             of the prepared corpus; filled in by the plan
    starts_from                  another Run of the study, whole: this one begins with its final weights (fine-tuning)
    """

    family: Any
    corpus: Any
    task: Any
    rule: Any
    optimizer: AdamW
    schedule: Schedule
    steps: PositiveInt
    batch_size: PositiveInt
    context: PositiveInt
    precision: Precision = "auto"
    init_seed: NaturalInt = 0
    data_seed: NaturalInt = 0
    eval_every: PositiveInt = 100
    eval_tokens: PositiveInt = 16_384
    keep_best: bool = False
    data_fingerprint: str = ""
    starts_from: Run | None = added(None)

    def __post_init__(self) -> None:
        wrong = field_problems(self)
        for name, method in PARTS.items():
            value = getattr(self, name)
            if not (_is_frozen_dataclass(value) and hasattr(value, method)):
                wrong[name] = f"{name}: expected plain data, a frozen dataclass with {method}(), got {shown(value)}"
        for name in ("optimizer", "schedule", *PARTS):
            if name not in wrong:
                wrong |= field_problems(getattr(self, name), f"{name}.")
        refuse("Run", list(wrong.values()) or self._misfits())

    def _misfits(self) -> list[str]:
        """Where the parts, each right by itself, do not go together."""
        problems = []
        symbols, added_symbols = getattr(self.corpus, "vocab_size", 0), getattr(self.task, "added_symbols", 0)
        if getattr(self.family, "vocab_size", math.inf) < symbols + added_symbols:
            extra = f" and {added_symbols} of the task" if added_symbols else ""
            problems.append(
                f"family: expected a vocabulary of at least {symbols + added_symbols:,}, the {symbols:,} symbols of "
                f"{self.corpus.name}{extra}; got {self.family.vocab_size:,}"
            )
        reads = {name: getattr(getattr(self, name), "reads", None) for name in ("family", "corpus", "task")}
        if len(set(reads.values()) - {None}) > 1:
            parts = ", ".join(f"{type(getattr(self, name)).__name__} {what}" for name, what in reads.items() if what)
            problems.append(f"family, corpus and task: expected three that read the same, got {parts}")
        needed = getattr(self.rule, "family_needs", None)
        if needed is not None and not hasattr(self.family, needed):
            problems.append(
                f"rule: {type(self.rule).__name__} needs {self.rule.family_kind}; got {type(self.family).__name__}"
            )
        if getattr(self.family, "context", math.inf) < self.context:
            problems.append(
                f"context: expected at most {self.family.context}, the context of the family, got {self.context}"
            )
        if self.context % (block := getattr(self.corpus, "block", 1)):
            problems.append(
                f"context: expected a multiple of {block}, the tokens of one block of {self.corpus.name}, "
                f"got {self.context}"
            )
        return problems

    @property
    def tokens(self) -> int:
        """Training targets seen, repeats counted."""
        return self.steps * self.batch_size * self.context

    @property
    def decay_start(self) -> int:
        """The first step at which the learning rate depends on the run's length."""
        if self.schedule.shape == "wsd":
            return self.steps - round(self.steps * self.schedule.decay_fraction)
        return self.steps if self.schedule.shape == "constant" else 0

    @functools.cached_property
    def id(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 of the canonical JSON: a changed field is a new run."""
        return digest_of(to_json(self))

    @functools.cached_property
    def trunk_id(self) -> str:
        """Runs that share it follow one trajectory until the shorter one's decay starts: one cluster.

        Only for schedules whose stable part does not depend on the length; otherwise the run's own id.
        """
        if self.schedule.shape != "wsd":
            return self.id
        shared = to_json(self)
        del shared["steps"]
        del shared["schedule"]["decay_fraction"]
        return digest_of(shared)


def to_json(value: Any) -> Any:
    """Plain data with each dataclass marked by its recorded module: {"is": "module:Class", field: value}."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        cls = type(value)
        fields = {
            field.name: to_json(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if not (field.metadata.get("added") and getattr(value, field.name) == field.default)
        }
        return {"is": f"{registry.recorded(cls.__module__)}:{cls.__qualname__}", **fields}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, (str, bool, int)) or value is None or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise DeclarationError(
        f"a Run holds plain data only; expected a finite number, text, tuple or frozen dataclass, got {shown(value)}."
    )


def _is_frozen_dataclass(value: Any) -> bool:
    parameters = getattr(type(value), "__dataclass_params__", None)
    return parameters is not None and bool(parameters.frozen)


def from_json(value: Any, *, also_from: str | None = None) -> Any:
    """The inverse of to_json. Builds only frozen dataclasses defined in lawful itself, in a module that an entry point
    of an installed package names, or in the module `also_from` (a user's own study file, already imported). Anything
    else is refused, so that a folder from elsewhere cannot name code to run."""
    if isinstance(value, list):
        return tuple(from_json(item, also_from=also_from) for item in value)
    if not isinstance(value, dict):
        return value
    where = str(value.get("is", ""))
    recorded, _, class_name = where.partition(":")
    is_own = also_from is not None and recorded == also_from
    module_name = recorded if is_own else registry.module_of(recorded)
    if module_name is None:
        raise DeclarationError(
            f"run.json: expected a type defined in lawful, in an installed package's entry point or in the study's own "
            f"file, got {where[:200]!r}"
            + (" (a report does not run that file; `lawful resume` does)." if recorded == STUDY_FILE else ".")
        )
    try:
        cls = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:  # the last: of a name that no file can have
        raise DeclarationError(
            f"run.json names {where[:200]!r}, which this version of lawful does not have ({error})."
        ) from None
    if not (
        isinstance(cls, type)
        and cls.__module__ == module_name  # not one that the module has from elsewhere
        and getattr(getattr(cls, "__dataclass_params__", None), "frozen", False)
    ):
        raise DeclarationError(f"run.json: expected the name of a frozen dataclass, got {where[:200]!r}.")
    given = {key: from_json(item, also_from=also_from) for key, item in value.items() if key != "is"}
    known = {field.name for field in dataclasses.fields(cls)}
    if unknown := sorted(set(given) - known):
        raise DeclarationError(
            f"run.json: {class_name} has no field {', '.join(unknown)}; it has {', '.join(sorted(known))}."
        )
    try:
        return cls(**given)
    except LawfulError as error:  # a value that the class refuses
        raise error if str(error).startswith("run.json") else DeclarationError(f"run.json: {error}") from None
    except (TypeError, ArithmeticError, AttributeError) as error:  # a field missing, or of another type
        raise DeclarationError(f"run.json: expected the fields of a {class_name}, got others ({error}).") from None


def digest_of(value: Any, digits: int = 12) -> str:
    """The beginning of the SHA-256 of plain data, as canonical JSON."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:digits]
