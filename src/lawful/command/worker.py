"""A worker for commands: `python -m lawful.command.worker FOLDER -`, with ids on standard input, as train/worker.py.

Each line of standard input names a run and is answered `RUN_ID STATUS` on standard output. The line `end` lets it
leave; the input's end without it (its parent was stopped or killed) makes it end the command and leave. It imports no
torch: a command that does nothing costs little more than itself.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import math
import signal
import sys
import threading
import time
from pathlib import Path

from lawful.command import attempt
from lawful.command.code import Code
from lawful.command.record import CommandRun
from lawful.command.trusted import Commands, command_of, trusted_commands
from lawful.errors import LawfulError, StoreError
from lawful.schema import PlannedRun, RunRecord, StudyPlan
from lawful.storage.atomic import is_disk_full
from lawful.storage.codec import write_result
from lawful.storage.layout import Store
from lawful.storage.lease import Lease, LeaseLost, claimed
from lawful.storage.worker_input import ids_from_input

INTERRUPTED, DISK_FULL = 75, 74  # exit statuses, as those of train/worker.py
CODE_SECONDS = 5.0  # for which the state of a folder's code is taken to be what it was


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGUSR2):  # a scheduler's warnings
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the whole terminal group; the parent decides
    worker = _Worker(Store(options.folder), options, stop)
    lines = ids_from_input(stop) if options.run_id == "-" else iter([[options.run_id]])
    for run_id in itertools.chain.from_iterable(lines):
        status = worker.train(run_id)
        print(f"{run_id} {status}", flush=True)
        if status in ("interrupted", "disk full"):
            return INTERRUPTED if status == "interrupted" else DISK_FULL
    return INTERRUPTED if stop.is_set() else 0


class _Worker:
    def __init__(self, store: Store, options: argparse.Namespace, stop: threading.Event) -> None:
        self.store, self.stop = store, stop
        self.gpus: tuple[str, ...] = tuple(name for name in options.gpus.split(",") if name)
        self.echo = attempt.echo if options.echo else None
        self.trusted: str = options.trust
        self._codes: dict[str, tuple[float, Code]] = {}

    def train(self, run_id: str) -> str:
        """finished, diverged, failed, interrupted, busy (another is at it, or took it over) or disk full."""
        try:
            with claimed(self.store.claim(run_id), patience_seconds=math.inf, should_stop=self.stop.is_set) as lease:
                if lease is None:
                    return "interrupted" if self.stop.is_set() else "busy"
                former = self.store.read_result(run_id)
                if former is not None and former.status != "failed":
                    return former.status
                result = self._result(run_id, lease)
                write_result(self.store.result(run_id), result, lease=lease)
                return result.status
        except attempt.Stopped:
            return "interrupted"
        except LeaseLost:
            return "busy"
        except OSError as error:
            if not is_disk_full(error):
                raise
            return "disk full"

    def _result(self, run_id: str, lease: Lease) -> RunRecord:
        try:
            if run_id not in self._planned:
                raise StoreError(f"{self.store.study}: expected the run {run_id} in the plan, got a plan without it.")
            planned, run = self._planned[run_id], command_of(self._commands, run_id, self.store)
            self._expect_same_code(run)
        except LawfulError as error:
            return RunRecord(status="failed", reason=str(error))
        place = attempt.Place(
            store=self.store,
            lease=lease,
            should_stop=lambda: self.stop.is_set() or lease.lost.is_set(),
            gpus=self.gpus,
            echo=self.echo,
        )
        return attempt.train(run, planned.at, place)

    @functools.cached_property
    def _study(self) -> StudyPlan:
        return self.store.read_study()

    @functools.cached_property
    def _planned(self) -> dict[str, PlannedRun]:
        return {planned.run: planned for planned in self._study.runs}

    @functools.cached_property
    def _commands(self) -> Commands:
        return trusted_commands(self.store, self._study, trusted=self.trusted)

    def _expect_same_code(self, run: CommandRun) -> None:
        """Raises StoreError where the program is another than it was when the study was planned."""
        if not Path(run.cwd).is_dir():
            raise StoreError(f"{run.cwd}: expected the folder in which the command runs, got none of this name.")
        now = time.monotonic()
        if run.cwd not in self._codes or now - self._codes[run.cwd][0] > CODE_SECONDS:
            self._codes[run.cwd] = (now, Code(Path(run.cwd)))
        code = self._codes[run.cwd][1].of(run.words)
        if code != run.code:
            planned = run.code or "in no repository"
            raise StoreError(
                f"{run.cwd}: expected the code as it was when the study was planned ({planned}), got {code or 'none'}; "
                "plan again with `lawful run`, which keeps what is done, or take the changes back."
            )


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lawful.command.worker", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("run_id", help="or - to take ids from standard input")
    parser.add_argument("--gpus", default="", help="names for CUDA_VISIBLE_DEVICES, with commas between them")
    parser.add_argument("--trust", default="", help="SHA-256 of the study's commands, which may then run")
    parser.add_argument("--echo", action="store_true", help="copy the command's output to standard error")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
