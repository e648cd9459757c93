"""Wall time of `lawful fit` on 240 rows with 1,000 draws, import included: the least of several runs of the command.

LAWFUL_DATA=... OMP_NUM_THREADS=1 python benchmarks/fitting_wall_time.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPEATS = 5


def main() -> None:
    source = Path(os.environ["LAWFUL_DATA"]) / "scaling_tables" / "chinchilla_svg_extracted.csv"
    header, *lines = source.read_text().splitlines()
    kept = sorted(lines, key=lambda line: float(line.rsplit(",", 1)[1]))[:240]
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "runs.csv"
        table.write_text("\n".join([header, *kept]) + "\n")
        columns = ["--params-column", "Model Size", "--flops-column", "Training FLOP", "--loss-column", "loss"]
        command = [sys.executable, "-m", "lawful", "fit", str(table), *columns, "--draws", "1000"]
        walls, processors = zip(*(timed(command) for _ in range(REPEATS)), strict=True)
    print(
        f"lawful fit, 240 rows, 1,000 draws: {min(walls):.2f} s of wall time at best, {max(walls):.2f} at worst of "
        f"{REPEATS}; {min(processors):.2f} s of processor time"
    )


def timed(command: list[str]) -> tuple[float, float]:
    before, start = os.times(), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    wall, after = time.perf_counter() - start, os.times()
    return wall, after.children_user + after.children_system - before.children_user - before.children_system


if __name__ == "__main__":
    main()
