"""lawful plan --isoflop: curves of equal compute before anything runs."""

from __future__ import annotations

import dataclasses
import math
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import typer

from lawful.cli.results import caution_lines, print_json
from lawful.errors import DeclarationError

if TYPE_CHECKING:
    from lawful.fitting.isoflop_plan import IsoFlopPlan

EXPECTED = "expected 'budgets=1e15..1e18x4 sizes=7' (from, to, how many; or 1e15,1e16,1e17)"
MOST_BUDGETS, MOST_SIZES = 50, 200


def show(text: str, earlier: str | None, as_json: bool, write: Path | None) -> None:
    """Print the plan that `text` asks for; earlier: finished runs, a table or a study's folder; write: also a study
    file of exactly these runs."""
    from lawful.fitting.isoflop_plan import isoflop_plan

    budgets, sizes = parsed(text)
    if write is not None:
        _expect_new(write)
    if earlier is not None and not Path(earlier).exists():
        raise DeclarationError(
            f"--isoflop: {earlier}: expected a table or a folder of finished runs, which say where the curves are "
            "centred; or none, for a published law. A study's own ladder is declared in its file."
        )
    found = isoflop_plan(budgets, sizes=sizes, earlier=earlier)
    if write is not None:
        write_study(found, write, text, earlier)
    if as_json:
        print_json(dataclasses.asdict(found))
    else:
        typer.echo(_text(found))
        if write is not None:
            typer.echo(f"\n{write}: a study of these runs; next: lawful plan {write}, then lawful run {write}")


def _expect_new(file: Path) -> None:
    if file.suffix != ".py" or not file.stem.isidentifier():
        raise DeclarationError(f"--write: expected the name of a Python file, such as curves.py, got {str(file)!r}.")
    if file.exists():
        raise DeclarationError(f"--write: {file}: expected a new file, got one that is there; choose another name.")


def write_study(found: IsoFlopPlan, file: Path, text: str, earlier: str | None) -> None:
    """Write a study file whose ladder is the plan. Raises DeclarationError where a size has no decoder."""
    from importlib import resources

    from lawful.storage.atomic import write_text

    points = []
    for one in found.points:
        if one.shape is None:
            raise DeclarationError(
                f"--write: expected sizes that a decoder has, got {one.params:,} parameters at {one.budget:.3g} FLOPs: "
                "take larger budgets, or declare the ladder yourself (--json prints the plan)."
            )
        shape = (one.shape.width, one.shape.depth, one.shape.heads)
        points.append((one.budget, *shape, one.tokens, round(one.batch_tokens), float(f"{one.learning_rate:.4g}")))
    template = resources.files("lawful") / "templates" / "isoflop" / "isoflop_study.py"
    command = shlex.join(["lawful", "plan", *([earlier] if earlier else []), "--isoflop", " ".join(text.split())])
    study = template.read_text(encoding="utf-8").replace("COMMAND", command.replace("\n", " "))
    write_text(file, study.replace("    # THE PLAN", "\n".join(f"    {point!r}," for point in points)))


def parsed(text: str) -> tuple[list[float], int]:
    """budgets=LOW..HIGHxCOUNT or a list, and sizes=COUNT."""
    told: dict[str, str] = {}
    for part in re.split(r"[\s,]+(?=[A-Za-z_]+=)", text.strip()):
        name, sign, value = part.partition("=")
        if not sign or name not in ("budgets", "sizes") or name in told:
            raise DeclarationError(f"--isoflop: {EXPECTED}, got {text!r}.")
        told[name] = value.strip()
    if "budgets" not in told:
        raise DeclarationError(f"--isoflop: {EXPECTED}, got {text!r}.")
    if span := re.fullmatch(r"(.+)\.\.(.+)x(\d{1,4})", told["budgets"]):
        ends, count = _positive([span[1], span[2]]), int(span[3])
        is_range = bool(ends) and ends[0] < ends[-1] and 2 <= count <= MOST_BUDGETS
        budgets = np.geomspace(ends[0], ends[-1], count).tolist() if is_range else []
    else:
        budgets = _positive(told["budgets"].split(","))
    sizes = _positive([told.get("sizes", "7")])
    if not budgets or len(budgets) > MOST_BUDGETS or not sizes or sizes[0] > MOST_SIZES or sizes[0] % 1:
        raise DeclarationError(f"--isoflop: {EXPECTED}, got {text!r}.")
    return budgets, int(sizes[0])


def _positive(parts: Sequence[str]) -> list[float]:
    """The numbers; none where one of them is not positive and finite."""
    out = []
    for part in parts:
        try:
            number = float(part)
        except ValueError:
            return []
        out.append(number)
    return out if all(0 < one < math.inf for one in out) else []


def _text(found: IsoFlopPlan) -> str:
    lines = [
        f"{len(found.points)} runs on {len(found.centres)} curves of equal compute, {found.flops:.3g} FLOPs in all; "
        f"centred by {found.source}, with noise of {100 * found.noise:.2g} % between runs",
        "",
        f"{'FLOPs':>9} {'N':>10} {'D':>10} {'D/N':>6} {'width':>6} {'depth':>6} {'heads':>6} {'batch':>9} {'rate':>9}",
    ]
    for one in found.points:
        shape = ("", "", "") if one.shape is None else (one.shape.width, one.shape.depth, one.shape.heads)
        lines.append(
            f"{one.budget:9.3g} {one.params:10.4g} {one.tokens:10.4g} {one.tokens / one.params:6.3g} {shape[0]:>6} "
            f"{shape[1]:>6} {shape[2]:>6} {one.batch_tokens:9.3g} {one.learning_rate:9.2e}"
        )
    lines.append("")
    for what, name in (("params", "N*"), ("tokens", "D*")):
        one_of = found.expected[what]
        lines.append(
            f"{name} ~ C^{one_of.truth:.3f} is expected to be read with a bias of {one_of.bias:+.4f} and to "
            f"{one_of.spread:.3f} (95 %); its interval will be about +-{one_of.half_width:.3f}, and hold in "
            f"{100 * one_of.coverage:.0f} of 100"
        )
    lines.append(f"{found.unread:.2g} of 100 curves are expected to have their lowest run at an end")
    lines += caution_lines(found.warnings)
    return "\n".join(lines)
