"""The command line, and workers, in the tests' own process: starting a Python with torch costs seconds."""

from __future__ import annotations

import io
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from lawful import cli
from lawful.executors import Executor, Job
from lawful.storage.layout import Store


@dataclass(frozen=True, kw_only=True)
class Said:
    stdout: str
    stderr: str


def lawful(*words: object, expect: int = 0) -> Said:
    """What `lawful WORDS` prints, by the function that the command calls; it must end with status `expect`."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["lawful", *map(str, words)])
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # which the command sets
            patch.setenv(name, "1")
        try:
            with pytest.raises(SystemExit) as end:
                cli.main()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    said = Said(stdout=out.buffer.getvalue().decode(), stderr=err.buffer.getvalue().decode())  # type: ignore[attr-defined]
    assert (end.value.code or 0) == expect, said.stdout + said.stderr
    assert "Traceback" not in said.stderr
    return said


class Here(Executor):
    """Trains in this process, in the order that it is given, as one worker does."""

    def submit(self, folder: Path, groups: Sequence[Sequence[str]]) -> Job:
        from lawful.executors import stacks
        from lawful.train import device, worker

        store = Store(folder)
        options = worker.parse([str(folder), "-", "--device", "cpu"])
        rungs = {rung.run: rung for rung in store.read_study().runs}
        with device.flushed_denormals():
            for group in groups:
                for ids in stacks(rungs, group):
                    worker.train_runs(store, ids, options, threading.Event())
        return Over()


class Over(Job):
    def is_over(self) -> bool:
        return True

    def stop(self) -> None:
        return None
