"""The public names are one list: what `lawful` offers, lists, and shows to type checkers is the same."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import lawful

PUBLIC = [
    "AdamW",
    "Command",
    "Fit",
    "JSONLines",
    "Law",
    "LogPattern",
    "Observations",
    "Question",
    "Range",
    "Run",
    "Rung",
    "Schedule",
    "Study",
    "TableFile",
    "__version__",
    "allocate",
    "check",
    "compare",
    "crossover",
    "design",
    "discover",
    "fit",
    "fit_metrics",
    "gate",
    "grid",
    "has_reached",
    "holdout",
    "isoflop",
    "isoflop_plan",
    "load",
    "log",
    "next_runs",
    "optimum",
    "power",
    "read_runs",
    "replay",
    "run_campaign",
    "run_study",
    "simulate_campaign",
    "transfer",
]


def test_the_public_names_are_exactly_these() -> None:
    assert lawful.__all__ == PUBLIC
    assert dir(lawful) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_can_be_had_and_has_a_docstring(name: str) -> None:
    value = getattr(lawful, name)
    if name != "__version__":
        is_module = name == "log"
        assert value.__name__ == (f"lawful.{name}" if is_module else name)
        assert is_module or value.__module__.startswith("lawful.")
        assert value.__doc__, f"{name}: a public name says what it is for"


def test_type_checkers_see_the_same_names_from_the_same_modules() -> None:
    tree = ast.parse(Path(lawful.__file__).read_text(encoding="utf-8"))
    seen = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == lawful._HOMES
    assert sorted([*seen, "__version__"]) == PUBLIC


def test_an_unknown_name_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Studie'; its public names are AdamW, "):
        _ = lawful.Studie


def test_the_version_is_that_of_the_installed_package() -> None:
    assert lawful.__version__ == metadata.version("lawful")


def test_importing_lawful_imports_nothing_else_of_it() -> None:
    code = "import sys, lawful; print([name for name in sys.modules if name.startswith('lawful.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
