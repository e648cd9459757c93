"""What several processes inside one run are worth: the same run on one core, and on all of them in three ways.

OMP_NUM_THREADS=1 python benchmarks/data_parallel.py [--rounds 3] [--only 10M]

One after the other, in turn, so the machine must be idle. A study of many runs is faster with a process for each run;
this is for the run that is left alone, or does not fit.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from results import Row, paired, record, told
from throughput import SHAPES, Shape, our_speed

from lawful.executors.local import Local, available_cores


def ways(cores: int) -> dict[str, Local]:
    def local(**options: int | bool) -> Local:
        return Local(device="cpu", workers=1, **options)  # type: ignore[arg-type]

    return {
        f"{cores} processes": local(processes_per_run=cores),
        f"{cores} processes that shard the model": local(processes_per_run=cores, is_sharded=True),
        f"{cores} threads": local(threads=cores),
    }


def compare(shape: Shape, steps: int, rounds: int, scratch: Path) -> list[Row]:
    cores = available_cores()
    alone: list[float] = []
    together: dict[str, list[float]] = {name: [] for name in ways(cores)}
    for number in range(rounds):
        folder = scratch / f"{shape.name}-{number}"
        planned, speed = our_speed(shape, steps, folder / "alone", "auto", Local(device="cpu", workers=1), seeds=1)
        alone.append(speed)
        for name, executor in ways(cores).items():
            together[name].append(our_speed(shape, steps, folder / name, "auto", executor, seeds=1)[1])
    rows = []
    for name, speeds in together.items():
        row = paired(f"{shape.name} parameters, {planned}, {name}", "tokens/s", speeds, alone)
        rows.append(Row(**{**vars(row), "note": f"efficiency {row.ratio / cores:.0%} of {cores} cores"}))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0, help="of the run alone, at 100 GFLOP/s")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        for shape in SHAPES[-2:]:
            if options.only in ("", shape.name):
                steps = max(12, round(options.seconds * 1e11 / shape.flops_per_step()))
                rows += told(compare(shape, steps, options.rounds, Path(scratch)))
    record("data_parallel", "What are several processes inside one run worth?", rows, "Beside one process on one core.")


if __name__ == "__main__":
    main()
