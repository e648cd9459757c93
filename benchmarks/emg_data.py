"""How much of a training process's time on `emg` goes to making its batches: in the real loop, at quick scale.

OMP_NUM_THREADS=1 python benchmarks/emg_data.py [STEPS]

Makes up the quick twin where it is not prepared yet. Of every run the time from the first batch on, evaluations left
out; by the clock and by processor time, which other work on the machine does not lengthen.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lawful.domains.emg.studies.emg import study
from lawful.storage.layout import Store
from lawful.train import loop

STEPS = 60
WIDTHS = (24, 64, 128)


class Timed:
    """Prepared data that adds up the seconds of its batches."""

    def __init__(self, data: Any) -> None:
        self._data = data
        self.batches = (0.0, 0.0)
        self.first: tuple[float, float] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._data, name)

    def batch(self, *args: Any, **options: Any) -> Any:
        before = now()
        self.first = self.first or before
        made = self._data.batch(*args, **options)
        self.batches = more(self.batches, before)
        return made


def main(steps: int = STEPS) -> None:
    torch.set_num_threads(1)
    runs = {rung.at["width"]: rung.run for rung in study("quick", seeds=1).ladder}
    data = runs[WIDTHS[0]].corpus.prepare()
    for width in WIDTHS:
        run = replace(
            runs[width], steps=steps, eval_every=steps + 1, precision="fp32", data_fingerprint=data.fingerprint
        )
        timed = Timed(run.corpus.open(data.fingerprint))
        ended: list[tuple[float, float]] = []
        evaluate = loop.evaluate

        def after_training(*args: Any, ended: Any = ended, evaluate: Any = evaluate, **options: Any) -> Any:
            ended.append(now())
            return evaluate(*args, **options)

        loop.evaluate = after_training  # the first evaluation is the end of training
        try:
            with tempfile.TemporaryDirectory() as folder:
                loop.train(run, timed, Store(Path(folder)), loop.ExecutionConfig(device=torch.device("cpu")))
        finally:
            loop.evaluate = evaluate
        assert timed.first is not None
        clock, processor = (ended[0][kind] - timed.first[kind] for kind in (0, 1))
        share = [1 - made / whole for made, whole in zip(timed.batches, (clock, processor), strict=True)]
        print(
            f"width {width}: {1e3 * processor / steps:.0f} ms of processor time a step, of which "
            f"{1e3 * timed.batches[1] / steps:.1f} for its batch; training has {share[1]:.1%} of the processor time, "
            f"{share[0]:.1%} by the clock"
        )


def now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def more(total: tuple[float, float], before: tuple[float, float]) -> tuple[float, float]:
    clock, processor = now()
    return total[0] + clock - before[0], total[1] + processor - before[1]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
