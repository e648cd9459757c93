"""A folder of runs as a trainer left them, a folder each: their numbers by the study's `reads`, coordinates by name."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from lawful import plugins
from lawful.checks import refuse_lines
from lawful.command import CommandRun, LogPattern
from lawful.command.numbers import plain_text
from lawful.command.reads import Reads
from lawful.command.sources import finished_run
from lawful.errors import DeclarationError, LawfulError
from lawful.planning.written import Plan
from lawful.schema import Cell, PlannedRun
from lawful.storage.json_files import read_json
from lawful.tables import Observations, by_role

LOGS = (".log", ".out", ".txt")  # how the output of a program that ran without lawful is usually called
CONFIG = "config.json"
_COORDINATE = re.compile(r"(?:^|[,_ ])([A-Za-z]\w*?)=([^,_ ]+)")


def is_folder_of_runs(path: Path) -> bool:
    """Whether no reader of tables knows it, and it has folders in it."""
    if not path.is_dir() or (path / "observations.csv").exists() or plugins.readers_of(path):
        return False
    return bool(_folders(path))


def read_folders(path: Path, plan: Plan) -> Observations:
    """A row for each folder: the coordinates that its name (width=64,seed=0) or its config.json says, and what the
    study's `reads` find in it; a pattern is looked for in its one log (.log, .out or .txt).

    Raises DeclarationError that lists the folders of rungs in which a number is not found.
    """
    names = list(plan.study.axes)
    rows: list[dict[str, Cell]] = []
    problems = []
    for folder in _folders(path):
        row: dict[str, Cell] = {"run": folder.name, **_coordinates(folder, names)}
        for planned in plan.study.runs:
            run = plan.runs[planned.run]
            if isinstance(run, CommandRun) and _is_of(row, planned):
                try:
                    row |= _numbers(run, folder)
                except LawfulError as error:
                    problems.append(f"{folder.name}: {str(error).removesuffix('.')}.")
        rows.append(row)
    refuse_lines(f"{path}: the folders do not tell what the study reads", problems)
    return replace(by_role(rows), source=str(path))


def _folders(path: Path) -> list[Path]:
    return [one for one in sorted(path.iterdir()) if one.is_dir() and not one.is_symlink()]


def _coordinates(folder: Path, names: list[str]) -> dict[str, Cell]:
    found: dict[str, Cell] = dict(_COORDINATE.findall(folder.name))
    if (config := folder / CONFIG).is_file():
        told = read_json(config)
        if isinstance(told, dict):
            found |= {name: cell for name in names if isinstance(cell := told.get(name), str | int | float | bool)}
    return {name: found[name] for name in names if name in found}


def _is_of(row: dict[str, Cell], planned: PlannedRun) -> bool:
    return all(_as_number(row.get(name)) == _as_number(value) for name, value in planned.at.items())


def _as_number(cell: Cell) -> float | str:
    try:
        return float(str(cell))
    except ValueError:
        return str(cell)


def _numbers(run: CommandRun, folder: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    looked = []
    for source in run.reads:
        own, place = _last(source, folder)
        found = {**own, **found}
        looked.append(place)
    if missing := [name for name in run.measured if name not in found]:
        raise DeclarationError(f"no {' and '.join(missing)} was found in {' and '.join(looked)}")
    return {name: value for name, value in found.items() if name != "step"}


def _last(source: Reads, folder: Path) -> tuple[dict[str, float], str]:
    """The last of each number, and where it was looked for."""
    made = finished_run(source, folder)
    values = made.poll(is_over=True)
    place = made.place
    if isinstance(source, LogPattern):
        logs = [one for one in sorted(folder.iterdir()) if one.suffix in LOGS and one.is_file()]
        if len(logs) != 1:
            told = ", ".join(one.name for one in logs) or "none"
            raise DeclarationError(f"expected one log ({', '.join(LOGS)}) for {source.looked_for}, got {told}")
        with logs[0].open(encoding="utf-8", errors="replace") as file:
            values = [found for line in file for found in made.line(plain_text(line))]
        place = logs[0].name
    last: dict[str, float] = {}
    for one in values:
        last.update(one)
    return last, place
