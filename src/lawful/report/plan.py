"""The dry run as a table: what would be trained, what it costs, and what is doubtful about it before it starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lawful.command.record import joined
from lawful.report import tables
from lawful.report.progress import clock_seconds
from lawful.schema import PlannedRun, StudyPlan

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table

_STYLES = ("red", "yellow", "dim")
MOST_CORPORA = 2  # no epochs are shown for more; a study of text sizes has dozens


def plan_table(plan: StudyPlan) -> Group:
    """The plan, written or not. Runs that differ only in their seed share a row."""
    tables_of = [_training(plan)] if plan.has_training else []
    return _plan_of(plan, *tables_of, *([_commands(plan)] if plan.is_of_commands else []))


def _training(plan: StudyPlan) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim", expand=False)
    table.add_column("rung", overflow="fold")
    for name in ("runs", "params", "blocks", "tokens", "FLOPs", "rate", "batch", "each"):
        table.add_column(name, justify="right", no_wrap=True)
    for group in _without_seeds([planned for planned in plan.runs if planned.kind == "training"]):
        first = group[0]
        label = _coordinates(first, plan.arm) + (" *" if first.held_out else "")
        table.add_row(
            Text(label),
            str(len(group)),
            tables.count(first.params_total),
            tables.count(first.params_non_embedding),
            tables.count(first.tokens),
            tables.flops(first.flops).removesuffix("FLOPs").replace(" ", ""),
            tables.general(first.learning_rate, 3),
            tables.count(first.batch_tokens),
            tables.seconds(_mean(group, lambda planned: planned.seconds_estimate)),
        )
    return table


def _commands(plan: StudyPlan) -> Table:
    """Each command in full, under its rung and counts; a shortened command cannot be checked."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim", expand=False)
    table.add_column("rung and command", overflow="fold")
    for name in ("params", "tokens", "FLOPs"):
        table.add_column(name, justify="right", no_wrap=True)
    for planned in plan.runs:
        if planned.kind != "command":
            continue
        columns = planned.columns()
        table.add_row(
            Text(tables.readable(planned.rung) + (" *" if planned.held_out else ""), style="bold"),
            tables.count(columns.get("params_non_embedding")),
            tables.count(columns.get("tokens")),
            tables.flops(planned.flops).removesuffix("FLOPs").replace(" ", "") if "flops" in columns else tables.DASH,
        )
        table.add_row(Text("  " + tables.printable(joined(planned.command))))
    return table


def _plan_of(plan: StudyPlan, *shown: Table) -> Group:
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [
        Text(f"{plan.name} · {plan.scale}", style="bold"),
        Text(plan.question),
        Text(""),
        *(part for table in shown for part in (table, Text(""))),
        Text(_totals(plan)),
    ]
    if any(planned.held_out for planned in plan.runs):
        parts.append(Text("* held out: forecast by the law, never fitted", style="dim"))
    if plan.faults:
        parts += [Text(""), Text("What is wrong with this as evidence", style="bold red")]
        parts += [Text(f"- {fault}") for fault in plan.faults]
    if warnings := sorted(plan.warnings, key=lambda warning: warning.rank):
        parts.append(Text(""))
        for warning in warnings:
            line = Text()
            line.append(warning.severity, style=_STYLES[warning.rank])
            line.append(f": {warning.code}: {warning.sentence}")
            parts.append(line)
    return Group(*parts)


def _without_seeds(runs: Sequence[PlannedRun]) -> list[list[PlannedRun]]:
    """Groups of runs that differ only in their seed and have equal values in every column, in the plan's order."""
    groups: dict[tuple[str | int | float, ...], list[PlannedRun]] = {}
    for one in runs:
        shown = (one.params_total, one.tokens, one.flops, one.learning_rate, one.batch_tokens)
        groups.setdefault((_coordinates(one, None), one.held_out, *shown), []).append(one)
    return list(groups.values())


def _coordinates(planned: PlannedRun, arm: str | None) -> str:
    """For example "size=64, gelu": the coordinates without seed and tokens, and the arm without its name."""
    at = {name: value for name, value in planned.at.items() if name not in ("seed", "tokens", arm)}
    named = [text for text in (tables.coordinates(at), planned.arm if arm else "") if text]
    return ", ".join(named) or planned.rung


def _totals(plan: StudyPlan) -> str:
    runs = plan.runs
    flops = float(sum(planned.flops for planned in runs))
    tokens = sum(planned.tokens for planned in runs)
    is_known = not any({"tokens", "flops"} & set(planned.unknown) for planned in runs)
    counts = [f"{tables.count(tokens)} tokens", tables.flops(flops)] if is_known else []
    parts = [f"{len(runs)} {'runs' if plan.has_training else 'commands'}", *counts, plan.precision]
    spent = float(sum(planned.own_flops or 0 for planned in runs))
    if 0 < spent < 0.999 * flops:
        parts.append(f"of which {tables.flops(spent)} are spent, {flops / spent:.2f} times fewer: budgets share trunks")
    text = ", ".join(part for part in parts if part) + "."
    if stacked := sum(bool(planned.stack) for planned in runs):
        text += f" {stacked} runs are stacked: trained as one model with others of their shape."
    if gpus := max((planned.gpus for planned in runs), default=0.0):
        price = f", at {plan.price_per_gpu_hour:g} each" if plan.price_per_gpu_hour else ""
        text += f" GPUs: {gpus:g} a run at most. `lawful status` tells the GPU hours{price}, once three have finished."
    estimates = [planned.seconds_estimate for planned in runs if planned.seconds_estimate is not None]
    if runs and len(estimates) == len(runs):
        text += f" Estimated: {tables.seconds(sum(estimates))} of training and evaluation"
        text += (
            f", about {tables.seconds(clock_seconds(runs, estimates, plan.workers))} with {plan.workers} workers."
            if plan.workers > 1
            else " with one worker."
        )
    return text + _epochs(plan)


def _epochs(plan: StudyPlan) -> str:
    """The length of an epoch of each corpus that no run repeats (the note repeated-data gives it for the others)."""
    longest: dict[str, int] = {}
    for planned in plan.runs:
        longest[planned.corpus] = max(planned.tokens, longest.get(planned.corpus, 0))
    fresh = {
        name: corpus.train_tokens
        for name, corpus in plan.corpora.items()
        if corpus.train_tokens and corpus.train_tokens >= longest.get(name, 0)
    }
    if not fresh or len(fresh) > MOST_CORPORA:
        return ""
    return f" One epoch is {', '.join(f'{tokens:,} tokens of {name}' for name, tokens in fresh.items())}."


def _mean(runs: Sequence[PlannedRun], measure: Callable[[PlannedRun], float | None]) -> float | None:
    known = [value for planned in runs if (value := measure(planned)) is not None]
    return sum(known) / len(known) if known else None
