"""The table door beside pandas and polars: reading, reducing a history, and what `lawful fit` costs; processor time.

python benchmarks/tables.py [--rows 100000] [--points 1000000] [--rounds 3] [--only read,reduce,fit]

Each side runs in a process of its own, in turn, and counts what it takes from its start: imports too. pandas and polars
read numbers and check nothing; lawful finds the roles, what is pooled and what is left out.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from results import Row, paired, record, told

from lawful.storage.atomic import write_text

# the programs; the first word is the path of the table
READ = {
    "lawful": "from lawful import read_runs; assert len(read_runs(path)) == rows",
    "pandas": "import pandas; assert len(pandas.read_csv(path).to_dict('records')) == rows",
    "polars": "import polars; assert len(polars.read_csv(path).to_dicts()) == rows",
}
REDUCE = {
    "lawful": "from lawful import read_runs; assert len(read_runs(path, reduce='last')) == runs",
    "pandas": (
        "import pandas; table = pandas.read_csv(path).dropna(subset='val/loss');"
        "assert len(table.sort_values('_step').groupby('run').tail(1).to_dict('records')) == runs"
    ),
    "polars": (
        "import polars; table = polars.read_csv(path).drop_nulls('val/loss');"
        "assert len(table.sort('_step').group_by('run').last().to_dicts()) == runs"
    ),
}
FIT = {
    "lawful": (
        "import sys; sys.argv = ['lawful', 'fit', path];\n"
        "from lawful.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert not {'torch', 'pandas'} & set(sys.modules), 'torch or pandas was imported'"
    ),
    # what a notebook does instead: least squares of the logarithms, without intervals
    "pandas and scipy": (
        "import numpy, pandas; from scipy.optimize import curve_fit; t = pandas.read_csv(path);"
        "law = lambda x, e, a, b, alpha, beta: numpy.log("
        "numpy.exp(e) + numpy.exp(a - alpha * x[0]) + numpy.exp(b - beta * x[1]));"
        "x = numpy.log(t[['params', 'tokens']].to_numpy().T);"
        "curve_fit(law, x, numpy.log(t['loss']), p0=(.5, 6, 6, .3, .3))"
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="of the table that is read")
    parser.add_argument("--points", type=int, default=1_000_000, help="of the history that is reduced")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="read,reduce,fit")
    options = parser.parse_args()
    parts: dict[str, Callable[[Path], list[Row]]] = {
        "read": lambda folder: read(folder / "runs.csv", options.rows, options.rounds),
        "reduce": lambda folder: reduce(folder / "history.csv", options.points, options.rounds),
        "fit": lambda folder: fit(folder / "small.csv", options.rounds),
    }
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.only.split(","):
            rows += told(parts[name](Path(scratch)))
    record("tables", "What does reading a table cost?", rows)


def read(path: Path, rows: int, rounds: int) -> list[Row]:
    write_runs(path, rows)
    return beside(f"{rows:,} runs of a CSV read", READ, f"path, rows = {str(path)!r}, {rows}", rounds)


def reduce(path: Path, points: int, rounds: int) -> list[Row]:
    runs = points // 1000
    write_history(path, points, runs)
    what = f"a W&B history of {points:,} points of {runs:,} runs, the last of each taken"
    return beside(what, REDUCE, f"path, runs = {str(path)!r}, {runs}", rounds)


def fit(path: Path, rounds: int) -> list[Row]:
    write_runs(path, 40)
    return beside("`lawful fit` on 40 runs", FIT, f"path = {str(path)!r}", rounds)


def beside(what: str, programs: dict[str, str], names: str, rounds: int) -> list[Row]:
    """A row for processor time beside each peer, and one for peak memory."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            found[name].append(spent(f"{names}\n{program}"))
    rows = []
    for peer in [name for name in programs if name != "lawful"]:
        for unit, column in (("seconds of the processor", 0), ("MB at most", 1)):
            ours, theirs = column_of(found["lawful"], column), column_of(found[peer], column)
            rows.append(paired(f"{what}, beside {peer}", unit, ours, theirs))
    return rows


def column_of(pairs: Sequence[tuple[float, float]], column: int) -> list[float]:
    return [pair[column] for pair in pairs]


def spent(program: str) -> tuple[float, float]:
    """Seconds of the processor and MB at most of a process that runs the program."""
    # of the program itself: ru_maxrss would begin at the size of this process, which started it
    tail = "\nprint('\\n', next(int(l.split()[1]) / 1e3 for l in open('/proc/self/status') if l.startswith('VmHWM')))"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", program + tail], capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"tables: {program}: {done.stderr}")
    seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return seconds, float(done.stdout.split()[-1])


def write_runs(path: Path, rows: int) -> None:
    draw = np.random.default_rng(0)
    params, tokens = 10 ** draw.uniform(6, 10, rows), 10 ** draw.uniform(8, 12, rows)
    loss = (1.7 + 400 * params**-0.34 + 410 * tokens**-0.28) * np.exp(0.01 * draw.standard_normal(rows))
    lines = [f"run-{i},{n:.6g},{d:.6g},{y:.6f}" for i, (n, d, y) in enumerate(zip(params, tokens, loss, strict=True))]
    write_text(path, "run,params,tokens,loss\n" + "\n".join(lines) + "\n")


def write_history(path: Path, points: int, runs: int) -> None:
    """As a user joins what `run.history()` gives: the loss of training at each point, that of validation at a tenth."""
    draw = np.random.default_rng(0)
    each, lines = points // runs, []
    for run in range(runs):
        n, most = 10 ** draw.uniform(6, 10), 10 ** draw.uniform(9, 12)
        for step in range(1, each + 1):
            d = most * step / each
            loss = 1.7 + 400 * n**-0.34 + 410 * d**-0.28
            held = f"{loss + 0.02:.6f}" if step % 10 == 0 else ""
            lines.append(f"run-{run},{step},{step * 1.5:.1f},{n:.6g},{d:.6g},{loss:.6f},{held}")
    write_text(path, "run,_step,_runtime,n_params,tokens,train/loss,val/loss\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
