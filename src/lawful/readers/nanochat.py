"""nanochat: what scripts/base_train.py prints, kept in log files. (Its results.csv is a table like any other.)

The lines follow the public source of karpathy/nanochat.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from lawful.errors import TableError
from lawful.plugins import RawRow, Reader, Remark
from lawful.readers import any_below, begin_of, counted, of_kind, rows_or_refuse, text_of

LOGS = ("*.log", "*.txt")
BEGIN_BYTES = 2**16  # within which a log says how large its model is
_NUMBER = r"([0-9][0-9,]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"
# a line of the log -> the column that it gives for the whole run
_OF_RUN = {
    "params": re.compile(rf"^(?:Number of parameters|total)\s*: {_NUMBER}\s*$", re.MULTILINE),
    "flops_per_token": re.compile(rf"^Estimated FLOPs per token: {_NUMBER}\s*$", re.MULTILINE),
    "batch_tokens": re.compile(rf"^Total batch size {_NUMBER} =>", re.MULTILINE),
}
_VALIDATION = re.compile(rf"Step (\d+) \| Validation bpb: ({_NUMBER}|nan|inf)\s*", re.IGNORECASE | re.ASCII)
# a line that looks like a validation; the log's last line repeats the lowest, and is none
_LIKE_IT = re.compile(r"Step.*bpb|.*\|.*bpb|(?!Minimum).*validation bpb", re.IGNORECASE)
_OF_STEP = re.compile(r"Step ?[^|]{1,9}\|(?! CORE metric)")


class Nanochat(Reader):
    about = "nanochat logs: a row for each validation, in bits per byte; tokens are steps times the batch"

    def reads(self, path: Path) -> bool:
        return any_below(path, _is_log, *LOGS) if path.is_dir() else path.suffix in (".log", "") and _is_log(path)

    def rows(self, path: Path) -> Iterator[RawRow | Remark]:
        return rows_or_refuse(path, "nanochat logs with a validation", _rows(path))


def _is_log(file: Path) -> bool:
    begin = begin_of(file, BEGIN_BYTES)
    return b"Estimated FLOPs per token: " in begin and b"Total batch size " in begin


def _rows(path: Path) -> Iterator[RawRow | Remark]:
    untrained: dict[str, int] = {}
    unread: dict[str, int] = {}
    again: dict[str, int] = {}
    files, others = of_kind(path, _is_log, *LOGS) if path.is_dir() else ([path], [])
    yield from others
    for file in files:
        run = (file.relative_to(path).with_suffix("").as_posix() if path.is_dir() else file.stem) or file.name
        text = text_of(file)
        known = {}
        for column, pattern in _OF_RUN.items():
            if (said := pattern.search(text)) is None:
                raise TableError(f"{file}: expected a line that gives {column}, as nanochat prints it, got none.")
            known[column] = float(said[1].replace(",", ""))
        table: dict[int, str] = {}
        unread[run] = 0
        for number, line in enumerate(text.splitlines(), start=1):
            if (found := _VALIDATION.fullmatch(line)) is None:
                if _LIKE_IT.match(line):
                    raise TableError(
                        f"{file}: line {number}: expected a validation as nanochat prints it (Step 00250 | Validation "
                        f"bpb: 1.234567), got {line[:60]!r}."
                    )
                unread[run] += _OF_STEP.match(line) is not None
                continue
            step, value = int(found[1]), found[2]
            if step == 0 and table:
                raise TableError(
                    f"{file}: line {number}: expected the log of one training, got step 0 again after step "
                    f"{max(table)}; write the log of each training (base, mid, chat) into a file of its own."
                )
            old = [old for old in table if old >= step]
            again[run] = again.get(run, 0) + len(old)
            for gone in old:
                del table[gone]
            table[step] = value
        untrained[run] = int(table.pop(0, None) is not None)
        for step, value in table.items():
            tokens = known["batch_tokens"] * step
            yield {
                "run": run,
                "step": step,
                "params": known["params"],
                "tokens": tokens,
                "flops": known["flops_per_token"] * tokens,
                "batch_tokens": known["batch_tokens"],
                "val_bpb": float(value.replace(",", "")),
            }
    yield from counted("validations before a resume, which came again, are left out", again)
    yield from counted("lines of a step that tell no validation are not read", unread)
    yield from counted("validations before the first step are left out", untrained)
