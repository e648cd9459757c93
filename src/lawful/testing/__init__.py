"""Contract tests for everything that the registry finds: lawful's own, and what your package brings.

Install your package, then run all of its contracts:

    python -m pytest --pyargs lawful.testing -k "NAME or OTHER"

NAME is the name of an entry point; the tests of a family have the name of its class instead. Without -k the contracts
of everything that is installed run, of lawful itself, too.
Only the test files of this package import pytest.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lawful import registry
from lawful.errors import MissingDependency
from lawful.run import Run

if TYPE_CHECKING:
    from lawful.families import Family


@functools.cache
def loaded(kind: str) -> Mapping[str, Any]:
    """Everything of a kind, imported, but for what needs a package that is not installed."""
    found = {}
    for name, entry in registry.found(kind).items():
        try:
            found[name] = entry.load()
        except MissingDependency:
            continue
    return found


@functools.cache
def study_runs() -> tuple[Run, ...]:
    """The smallest run of each combination of family, task and rule in the registered studies."""
    from lawful.study import declare, scales_of

    smallest: dict[tuple[type, ...], tuple[int, Run]] = {}
    for module in loaded("studies").values():
        for rung in declare(module, next(iter(scales_of(module)), None)).ladder:
            run = rung.training
            parts = (type(run.family), type(run.task), type(run.rule))
            size = run.family.param_counts().total
            if parts not in smallest or size < smallest[parts][0]:
                smallest[parts] = (size, run)
    return tuple(run for _, run in smallest.values())


def runs_with(part: str, cls: type) -> list[Run]:
    """The runs of the registered studies that have this family, task or rule."""
    return [run for run in study_runs() if type(getattr(run, part)) is cls]


def examples(cls: type[Family]) -> list[Family]:
    """The families to try: the class's own examples, else those of the registered studies."""
    return list(cls.examples()) or [run.family for run in runs_with("family", cls)]
