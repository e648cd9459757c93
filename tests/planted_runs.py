"""An executor that trains nothing: every run ends at once with the loss of a planted law."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lawful.executors import Executor, Job
from lawful.schema import PlannedRun
from lawful.storage.atomic import write_json, write_text
from lawful.storage.layout import Store


class Planted(Executor):
    """Notes what was there when each run began.

    result    by rung, what a run ends with instead; None: as the law has it
    """

    def __init__(self, result: Callable[[PlannedRun], dict[str, Any] | None] = lambda rung: None) -> None:
        self.began: list[tuple[str, bool]] = []
        self.result = result

    def submit(self, folder: Path, groups: Sequence[Sequence[str]]) -> Job:
        store = Store(folder)
        rungs = {rung.run: rung for rung in store.read_study().runs}
        for run_id in (run_id for group in groups for run_id in group):
            rung = rungs[run_id]
            self.began.append((run_id, store.forecasts.exists()))
            loss = 0.5 + 3.0 * rung.params_non_embedding**-0.2 + 20.0 * rung.tokens**-0.4
            write_text(store.metrics(run_id), json.dumps({"step": 1, "tokens": 1, "loss": loss}) + "\n")
            noise = 1 + 0.002 * (int(run_id[:6], 16) / 16**6 - 0.5)
            ended = {"status": "finished", "loss": loss * noise, "loss_unit": "nats_per_token", "is_decayed": True}
            write_json(store.result(run_id), self.result(rung) or ended)
        return Done()


class Done(Job):
    def is_over(self) -> bool:
        return True

    def stop(self) -> None: ...
