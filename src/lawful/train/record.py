"""metrics.jsonl: the record of a run's training, a line at a time; a resume cuts it back to the checkpoint's step."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lawful import store as files
from lawful.run import Run
from lawful.store import Store
from lawful.train import checkpoint, parallel
from lawful.train.state import ExecutionConfig


class Record:
    def __init__(self, store: Store, run: Run, saved: checkpoint.Checkpoint | None, config: ExecutionConfig) -> None:
        path = store.metrics(run.id)
        source = store.metrics(str(saved.state["run"])) if saved else None
        step = saved.step if saved else 0
        past = [line for line in files.read_jsonl(source) if line["step"] <= step] if source else []
        # a new file: a worker that slept, and still holds the old one open, adds its lines to that
        files.write_text(path, "".join(_line(values) for values in past), lease=config.lease)
        if parallel.rank():
            path = Path(os.devnull)  # the first process keeps the record
        self.file = path.open("a", encoding="utf-8")
        self.sinks = config.sinks

    def write(self, **values: float) -> None:
        self.file.write(_line(values))
        self.file.flush()
        for sink in self.sinks:
            sink.write(values)

    def sync(self) -> None:
        """Before a checkpoint, which must never have more steps than the record."""
        if parallel.rank():
            return
        self.file.flush()
        files.sync_file(self.file)

    def close(self) -> None:
        self.file.close()
        for sink in self.sinks:
            sink.close()


def _line(values: Mapping[str, Any]) -> str:
    return json.dumps(files.plain(values)) + "\n"
