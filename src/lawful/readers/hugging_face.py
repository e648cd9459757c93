"""Hugging Face Trainer: the log_history of trainer_state.json, of a run or a folder of runs and their checkpoints."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from pathlib import Path

from lawful.errors import TableError
from lawful.plugins import RawRow, Reader, Remark
from lawful.readers import (
    by_step,
    counted,
    files_below,
    held_by_run,
    holds,
    json_object,
    rows_or_refuse,
    run_name,
    step_of,
)
from lawful.storage.json_files import Json, parse_json

STATE, WEIGHTS = "trainer_state.json", "model.safetensors"
MOST_HEADER_BYTES = 10**8  # what safetensors itself allows
_CHECKPOINT = re.compile(r"checkpoint-\d+")
# what the Trainer calls its own numbers, where the name says another thing than they are
_NAMES = {"loss": "train/loss", "train_loss": "train/mean_loss"}


class HuggingFace(Reader):
    about = "Hugging Face trainer_state.json: a row for each step of each run's log_history"

    def reads(self, path: Path) -> bool:
        return path.name == STATE and path.is_file() if not path.is_dir() else holds(path, STATE)

    def rows(self, path: Path) -> Iterator[RawRow | Remark]:
        return rows_or_refuse(path, "trainer_state.json with a log_history", _rows(path))


def _rows(path: Path) -> Iterator[RawRow | Remark]:
    files = list(files_below(path, STATE)) if path.is_dir() else [path]
    root = path if path.is_dir() else path.parent
    runs: dict[Path, list[Path]] = {}
    for file in files:
        folder = file.parent
        is_of_run = _CHECKPOINT.fullmatch(folder.name) and (folder != root or len(files) == 1)
        runs.setdefault(folder.parent if is_of_run else folder, []).append(file)
    earlier, replaced, counted_in = {}, {}, 0
    for folder, own in runs.items():
        run = folder.name if not folder.is_relative_to(root) else run_name(root, folder)
        states = {file: json_object(file) for file in own}
        last = max(states, key=lambda file: (step_of(file, states[file].get("global_step", 0)), file.parent == folder))
        earlier[run] = len(own) - 1
        params = next((count for file in own if (count := _params(file.with_name(WEIGHTS))) is not None), None)
        counted_in += params is not None
        table, replaced[run] = by_step(_records(last, states[last]), restarts=False)
        for step, row in zip(table, held_by_run(list(table.values())), strict=True):
            size = {} if params is None or "params" in row else {"params": params}
            yield {"run": run, "step": step, **size, **row}
    yield from counted("earlier checkpoints, whose logs the last one of the run goes on with", earlier)
    yield from counted("values logged again at their step replace the former ones", replaced)
    if counted_in:
        yield Remark(f"params: the numbers in {WEIGHTS}, of {counted_in} runs")


def _records(file: Path, state: RawRow) -> Iterator[tuple[int, dict[str, Json]]]:
    history = state.get("log_history")
    if not isinstance(history, list):
        raise TableError(f"{file}: expected a list `log_history`, got {type(history).__name__}.")
    for number, entry in enumerate(history, start=1):
        if not isinstance(entry, dict):
            raise TableError(f"{file}: log_history, entry {number}: expected an object, got {type(entry).__name__}.")
        step = step_of(f"{file}: log_history, entry {number}", entry.get("step", ""))
        yield step, {_NAMES.get(str(name), str(name)): value for name, value in entry.items() if name != "step"}


def _params(weights: Path) -> int | None:
    """How many numbers a safetensors file holds, by its header; None where there is none."""
    if weights.is_symlink() or not weights.is_file():
        return None
    with weights.open("rb") as file:
        begin = file.read(8)
        length = struct.unpack("<Q", begin)[0] if len(begin) == 8 else MOST_HEADER_BYTES
        header = file.read(length) if length < MOST_HEADER_BYTES else b""
    refusal = TableError(f"{weights}: expected weights in safetensors, got a file that does not parse.")
    try:
        tensors = parse_json(header)
    except (ValueError, RecursionError):
        raise refusal from None
    shapes = [
        tensor.get("shape") if isinstance(tensor, dict) else None
        for name, tensor in (tensors.items() if isinstance(tensors, dict) else [("", None)])
        if name != "__metadata__"
    ]
    if not all(isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape) for shape in shapes):
        raise refusal
    return sum(math.prod(shape) for shape in shapes if shape is not None)
