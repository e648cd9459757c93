"""How far does `lawful discover` extrapolate on public tables, beside the laws that people wrote for them?

    OMP_NUM_THREADS=1 python benchmarks/discovery_public.py --data FOLDER [NAME ...]

The tables are the public sources of four tasks of SLDBench (arXiv:2507.21184); FOLDER as for published_laws.py. The
largest quarter of the sizes of each is held out. Printed for the discovered form, the law of the table's paper and
chinchilla or a plain product of powers: R2 of the losses held out, 1 - sum (loss - forecast)^2 / sum (loss - mean)^2.
R2 below 0 is worse than the mean of the rows held out.

Not among them: the tasks whose tables are in no public repository (parallel scaling, fine-tuning, domain mixtures, the
U-shaped score), and the loss over learning rate and batch, which has a lowest point: the grammar has no such form.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from published_laws import Rows, read, repeated_rows, routing_rows, vocabulary_rows

import lawful
from lawful.fitting.data import sample
from lawful.fitting.search import best_point, limits
from lawful.laws import Axes, Law, named
from lawful.tables import by_role

QUARTER = 0.25


def best_rows(data: Path) -> Rows:
    """Step Law: the lowest loss at each size and number of tokens."""
    best: dict[tuple[str, str], float] = {}
    for row in read(data / "steplaw/data/dense_lr_bs_loss.csv"):
        cell = (row["N"], row["D"])
        best[cell] = min(best.get(cell, np.inf), float(row["smooth loss"]))
    return [{"params": float(n), "tokens": float(d), "loss": loss} for (n, d), loss in best.items()]


# name -> rows, size, inputs, the laws that people wrote
TABLES: dict[str, tuple[Callable[[Path], Rows], str, list[str], list[str]]] = {
    "routing": (routing_rows, "params", ["params", "experts"], ["mixture_of_experts", "c*N^-a*`experts`^-b"]),
    "repeated data": (
        repeated_rows,
        "params",
        ["params", "tokens", "unique_tokens"],
        ["data_constrained_full", "data_constrained", "chinchilla"],
    ),
    "vocabulary": (
        vocabulary_rows,
        "params_non_vocab",
        ["params_non_vocab", "params_vocab", "tokens"],
        ["vocabulary"],
    ),
    "step law": (best_rows, "params", ["params", "tokens"], ["chinchilla", "coupled"]),
}


def forecast(law: Law, fitted: Rows, held: Rows) -> np.ndarray:
    columns = dict.fromkeys(("loss", "params", "tokens", "unique_tokens")) | {"cluster": "none"}
    data = sample(by_role(fitted), law, columns)
    point = best_point(data, law, "robust", *limits(law, {}, {}))
    at = Axes.of({axis: [row[axis] for row in held] for axis in law.inputs}, data.x.pivot)
    return law.predict(dict(zip(law.parameters, point.parameters, strict=True)), at)


def measured(name: str, data: Path) -> None:
    rows_of, size, inputs, laws = TABLES[name]
    rows = rows_of(data)
    levels = np.unique([row[size] for row in rows])
    limit = levels[-max(1, round(QUARTER * len(levels)))]
    fitted, held = ([row for row in rows if (row[size] >= limit) == side] for side in (False, True))
    observed = np.array([row["loss"] for row in held])
    began = time.process_time()
    found = lawful.discover(fitted, inputs, cluster="none")
    print(f"  {len(fitted)} rows fitted, {len(held)} held out; {found.tried} forms tried", end="")
    print(f", {time.process_time() - began:.0f} processor seconds")
    tried = [("discovered", found.law)]
    tried += [(text, named(text).for_table(list(rows[0]), {})) for text in laws]
    for label, law in tried:
        away = forecast(law, fitted, held) - observed
        r2 = 1 - (away**2).sum() / ((observed - observed.mean()) ** 2).sum()
        print(f"  R2 {r2:7.4f}  rms error {np.sqrt((away**2).mean()):.4f}  {label}", end="")
        print(f": {found.formula}, chosen in {100 * found.forms[0].chosen:.0f} %" if label == "discovered" else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(TABLES))
    asked = parser.parse_args()
    for name in asked.names or TABLES:
        print(f"## {name}")
        try:
            measured(name, asked.data)
        except FileNotFoundError as error:
            print(f"  not run: {error.filename} is not there")


if __name__ == "__main__":
    main()
