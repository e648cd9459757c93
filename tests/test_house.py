"""The house stays in order: types to the end, no overfull file, options declared once."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path

import typer

import lawful
from lawful.cli import app
from lawful.cli.training_options import TrainingOptions

SOURCE = Path(lawful.__file__).parent
MOST_LOOSE_MAPS = 40
MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 80  # without its docstring: numpydoc of a public function takes forty lines


def test_few_mappings_hold_values_of_any_type() -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{number}"
        for path in sorted(SOURCE.rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        for _ in re.findall(r"(?:Mapping|dict)\[str, Any\]", line)
    ]
    assert len(found) <= MOST_LOOSE_MAPS, f"give one of these a type: {', '.join(found)}"


def test_no_file_is_overfull() -> None:
    lines = {
        str(path.relative_to(SOURCE)): path.read_text(encoding="utf-8").count("\n") for path in SOURCE.rglob("*.py")
    }
    overfull = {name: count for name, count in lines.items() if count > MOST_LINES}
    assert not overfull, f"split these by reason to change: {overfull}"


def test_no_function_is_overlong_but_declarations_of_studies() -> None:
    overlong = {
        f"{path.relative_to(SOURCE)}: {node.name}": count
        for path in sorted(SOURCE.rglob("*.py"))
        if path.parent.name != "studies"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        if (count := lines_of(node)) > MOST_LINES_OF_A_FUNCTION
    }
    assert not overlong, f"split these at their seams: {overlong}"


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first, last = function.body[0], function.end_lineno or 0
    is_told = ast.get_docstring(function) is not None
    return last - function.lineno + 1 - ((first.end_lineno or 0) - first.lineno + 1 if is_told else 0)


def test_the_lines_of_a_function_are_counted_without_its_docstring() -> None:
    (told,) = ast.parse('def f(a):\n    """One\n\n    two."""\n    return a\n').body
    (bare,) = ast.parse("def f(a):\n    return a\n").body
    assert isinstance(told, ast.FunctionDef) and isinstance(bare, ast.FunctionDef)
    assert lines_of(told) == lines_of(bare) == 2


def test_run_and_resume_have_the_same_options_for_how_runs_are_executed() -> None:
    group = typer.main.get_command(app)
    commands = group.commands  # type: ignore[attr-defined]
    run, resume = (
        {option.name: option for option in commands[name].params if option.name in names()}
        for name in ("run", "resume")
    )
    assert set(run) == set(resume) == names()
    for name, option in run.items():
        other = resume[name]
        assert (option.opts, option.default, option.help) == (other.opts, other.default, other.help)


def names() -> set[str]:
    return {field.name for field in fields(TrainingOptions)}
