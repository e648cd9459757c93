"""The dry run as a table: what would be trained, what it costs, and what is doubtful about it before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lawful.report import tables
from lawful.report.evidence import severity
from lawful.report.progress import clock_seconds
from lawful.report.tables import number

if TYPE_CHECKING:
    from rich.console import Group

_STYLES = ("red", "yellow", "dim")


def plan_table(plan: Mapping[str, Any]) -> Group:
    """`plan` is what study.json holds, written or not. Runs that differ only in their seed share a row."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    rungs = list(plan.get("rungs") or ())
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim", expand=False)
    table.add_column("rung", overflow="fold")
    for name in ("runs", "params", "blocks", "tokens", "FLOPs", "rate", "batch", "each"):
        table.add_column(name, justify="right", no_wrap=True)
    for group in _without_seeds(rungs):
        first = group[0]
        label = _coordinates(first, plan.get("arm")) + (" *" if first.get("is_held_out") else "")
        table.add_row(
            Text(label),
            str(len(group)),
            tables.count(first.get("params_total")),
            tables.count(first.get("params_non_embedding")),
            tables.count(first.get("tokens")),
            tables.flops(first.get("flops")).removesuffix("FLOPs").replace(" ", ""),
            tables.general(first.get("learning_rate"), 3),
            tables.count(first.get("batch_tokens")),
            tables.seconds(_mean(group, "seconds_estimate")),
        )
    parts: list[Any] = [
        Text(f"{plan.get('name', '')} · {plan.get('scale', '')}", style="bold"),
        Text(str(plan.get("question", ""))),
        Text(""),
        table,
        Text(""),
        Text(_totals(plan, rungs)),
    ]
    if any(rung.get("is_held_out") for rung in rungs):
        parts.append(Text("* held out: forecast by the law, never fitted", style="dim"))
    if faults := list(plan.get("faults") or ()):
        parts += [Text(""), Text("What is wrong with this as evidence", style="bold red")]
        parts += [Text(f"- {fault}") for fault in faults]
    if warnings := sorted(plan.get("warnings") or (), key=severity):
        parts.append(Text(""))
        for warning in warnings:
            line = Text()
            line.append(f"{warning.get('severity', 'note')} ", style=_STYLES[severity(warning)])
            line.append(f"{warning.get('sentence', '')}")
            parts.append(line)
    return Group(*parts)


def _without_seeds(rungs: list[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Rungs that differ in their seed alone, in the plan's order; apart where anything shown differs."""
    groups: dict[Any, list[Mapping[str, Any]]] = {}
    for rung in rungs:
        shown = tuple(rung.get(name) for name in ("params_total", "tokens", "flops", "learning_rate", "batch_tokens"))
        key = (_coordinates(rung, None), rung.get("is_held_out"), shown)
        groups.setdefault(key, []).append(rung)
    return list(groups.values())


def _coordinates(rung: Mapping[str, Any], arm: str | None) -> str:
    """size=64, gelu: the arm by its value alone; the seed apart, and the tokens, which have a column of their own."""
    at = {name: value for name, value in (rung.get("at") or {}).items() if name not in ("seed", "tokens", arm)}
    named = [text for text in (tables.coordinates(at), str(rung.get("arm") or "") if arm else "") if text]
    return ", ".join(named) or str(rung.get("label") or rung.get("id"))


def _totals(plan: Mapping[str, Any], rungs: list[Mapping[str, Any]]) -> str:
    flops = sum(number(rung.get("flops")) or 0.0 for rung in rungs)
    parts = [f"{len(rungs)} runs", f"{tables.count(_sum(rungs, 'tokens'))} tokens", tables.flops(flops)]
    parts.append(str(plan.get("precision") or ""))
    spent = sum(number(rung.get("own_flops")) or 0.0 for rung in rungs)
    if 0 < spent < 0.999 * flops:
        parts.append(f"of which {tables.flops(spent)} are spent, {flops / spent:.2f} times fewer: budgets share trunks")
    text = ", ".join(part for part in parts if part) + "."
    if stacked := sum(bool(rung.get("stack")) for rung in rungs):
        text += f" {stacked} runs are stacked: trained as one model with others of their shape."
    estimates = [number(rung.get("seconds_estimate")) for rung in rungs]
    if rungs and all(estimate is not None for estimate in estimates):
        seconds = sum(estimate or 0.0 for estimate in estimates)
        workers = max(int(plan.get("workers") or 1), 1)
        text += f" Estimated: {tables.seconds(seconds)} of training and evaluation"
        text += (
            f", about {tables.seconds(clock_seconds(rungs, [own or 0.0 for own in estimates], workers))} with "
            f"{workers} workers."
            if workers > 1
            else " with one worker."
        )
    return text


def _sum(rungs: list[Mapping[str, Any]], column: str) -> float:
    return sum(number(rung.get(column)) or 0.0 for rung in rungs)


def _mean(rungs: list[Mapping[str, Any]], column: str) -> float | None:
    values = [number(rung.get(column)) for rung in rungs]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
