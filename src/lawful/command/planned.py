"""What the plan knows of a run that is a command, and which columns of numbers such runs have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lawful.command.reads import COLUMNS
from lawful.command.record import CommandRun
from lawful.schema import Coordinate, PlannedRun

_COUNTS = frozenset(COLUMNS[name] for name in ("params", "tokens", "flops"))
# a command has none of these, or lawful does not know them
_UNKNOWN = (
    *("params_total", "params_embedding", "batch_tokens", "context", "learning_rate", "weight_decay", "schedule"),
    *("precision", "family", "decay_fraction", "rate_floor", "corpus"),
)


def planned_command(
    run: CommandRun, *, label: str, at: Mapping[str, Coordinate], held_out: bool, arm: str, seed: int
) -> PlannedRun:
    """The rung's record in the plan. A count that is known only after the run is named in `unknown`; its
    field then means nothing."""
    known = run.known
    has_both = "params" in known and "tokens" in known
    lacking = _COUNTS - {COLUMNS[name] for name in known}
    return PlannedRun(
        run=run.id,
        rung=label,
        at=dict(at),
        held_out=held_out,
        cluster=run.id,
        arm=arm,
        seed=seed,
        params_total=known.get("params", 0),
        params_embedding=0,
        params_non_embedding=known.get("params", 0),
        tokens=known.get("tokens", 1),
        flops=known.get("flops", 0),
        flops_6nd=6 * known["params"] * known["tokens"] if has_both else 0,
        steps=run.steps or 1,
        batch_tokens=max(1, known.get("tokens", 1) // (run.steps or 1)),
        context=1,
        learning_rate=0.0,
        schedule="",
        precision="",
        family="",
        corpus="",
        own_flops=known.get("flops"),
        threads=run.cores,
        gpus=run.gpus * run.gpu_share * run.nodes,
        kind="command",
        command=tuple(run.arguments("{folder}")),
        unknown=(
            *_UNKNOWN,
            *sorted(lacking),
            *(() if run.steps else ("steps",)),
            *(() if has_both else ("flops_6nd",)),
        ),
    )


def number_columns(runs: Sequence[tuple[CommandRun, bool]]) -> set[str]:
    """The columns that every command has, known before the run or read at its end. For a held-out command (the second
    of each pair is true), a count must be known before, since its forecast is written before it begins."""
    told = [{*run.known, *run.measured} for run, _ in runs]
    columns = {COLUMNS[name] for name in set.intersection(*told)} | {"seconds"}
    if all({"params", "tokens"} <= names for names in told):
        columns |= {"flops", "flops_6nd"}
    later = {COLUMNS[name] for run, held_out in runs if held_out for name in run.measured} & _COUNTS
    return columns - later
