"""lawful plan --isoflop: curves of equal compute before anything runs."""

from __future__ import annotations

import dataclasses
import math
import re
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


def show(text: str, earlier: str | None, as_json: bool) -> None:
    """Print the plan that `text` asks for; earlier: finished runs, a table or a study's folder."""
    from lawful.fitting.isoflop_plan import isoflop_plan

    budgets, sizes = parsed(text)
    if earlier is not None and not Path(earlier).exists():
        raise DeclarationError(
            f"--isoflop: {earlier}: expected a table or a folder of finished runs, which say where the curves are "
            "centred; or none, for a published law. A study's own ladder is declared in its file."
        )
    found = isoflop_plan(budgets, sizes=sizes, earlier=earlier)
    if as_json:
        print_json(dataclasses.asdict(found))
    else:
        typer.echo(_text(found))


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
