"""Does `lawful discover` find the form that made a table? Laws drawn at random, by a generator of its own.

    OMP_NUM_THREADS=1 python benchmarks/discovery.py [--laws 20] [--plain 20] [--seed 1] [--out FILE.json]

Each law has 2 or 3 inputs and 3 to 6 parameters; its table has 40 to 80 rows with .5 % noise over three decades of each
input. The forecasts are scored on 40 further rows, in which every input goes on into its next decade. Printed a law:

- the law that made the table, and the one that was found;
- the rms log error on those rows over that of the right form, fitted to the same table (goal: at most 2);
- whether the forms are equal: the found one has as many parameters, and fits the right law's values, without noise, to
  a millionth. That holds however either is written.

Then tables of E + A N^-alpha + B D^-beta alone, where a form with more parameters is wrong. --small takes 4 of each.
The generator shares nothing with the search. --seed 1 was not looked at while the search was written.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import lawful
from lawful.fitting.data import Sample, sample
from lawful.fitting.search import Point, best_point, limits
from lawful.laws import Axes, Law
from lawful.storage.atomic import write_json
from lawful.tables import by_role

NOISE = 0.005
DECADES = 3  # of each input in the table; the next one is forecast
FORECASTS = 40
TWICE = 2.0
SAME = 1e-6  # rms log error that is rounding alone
LOWEST = {"N": 1e6, "D": 1e8, "R": 1.0}  # of each input

Array = np.ndarray
Rows = list[dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A law: its text, the values of its parameters, and the bounds that the text needs."""

    text: str
    inputs: tuple[str, ...]
    values: dict[str, float]
    bounds: dict[str, tuple[float, float]]

    @property
    def law(self) -> Law:
        columns = ["R"] if "R" in self.inputs else []
        return lawful.Law(self.text, bounds=self.bounds).for_table(columns, {})

    def loss(self, at: dict[str, Array]) -> Array:
        """By Python's own arithmetic on the text, which nobody but this file wrote."""
        text = self.text.replace("^", "**").replace("`", "")
        names = {"log": np.log, "exp": np.exp, **self.values, **at}
        return np.asarray(eval(text, {"__builtins__": {}}, names), dtype=float)


@dataclass(frozen=True, kw_only=True)
class Found:
    right: str
    found: str
    rows: int
    ratio: float
    is_equal: bool
    tried: int
    chosen: float
    seconds: float


def draw_law(rng: np.random.Generator) -> Drawn:
    """A kind of law, then its parameters: each part changes the loss by much more than the noise."""
    floor = bool(rng.random() < 0.6)
    kinds: dict[str, Callable[[], tuple[str, tuple[str, ...]]]] = {
        "product": lambda: ("c*N^-a*D^-b", ("N", "D")),
        "sum": lambda: ("A*N^-a + B*D^-b", ("N", "D")),
        "coupled": lambda: ("c*(N^-a + q*D^-b)^k", ("N", "D")),
        "crossed": lambda: ("c*N^-a*R^-b*exp(g*log(N)*log(R))", ("N", "R")),
        "broken": lambda: ("c*N^-a*D^-b*(1 + (N/h)^(1/w))^(-d*w)", ("N", "D")),
        "product of three": lambda: ("c*N^-a*D^-b*R^-e", ("N", "D", "R")),
        "sum of three": lambda: ("A*N^-a + B*D^-b + G*R^-e", ("N", "D", "R")),
        "a product and a power": lambda: ("A*N^-a*R^-e + B*D^-b", ("N", "D", "R")),
        "a factor of a sum": lambda: ("c*R^-e*(N^-a + q*D^-b)", ("N", "D", "R")),
        "coupled product": lambda: ("c*(N^-a*R^-e + q*D^-b)^k", ("N", "D", "R")),
    }
    text, inputs = kinds[str(rng.choice(sorted(kinds)))]()
    values: dict[str, float] = {}
    bounds: dict[str, tuple[float, float]] = {}
    centre = {name: LOWEST[name] * 10 ** (DECADES / 2) for name in inputs}
    exponents = {"N": "a", "D": "b", "R": "b" if "R^-b" in text else "e"}
    for name in inputs:
        values[exponents[name]] = float(rng.uniform(0.15, 0.5)) * (0.6 if "g*" in text and name == "R" else 1.0)
    if ")^k" in text:
        values["k"] = float(rng.choice([rng.uniform(0.3, 0.6), rng.uniform(1.8, 2.5)]))
        for name in inputs:
            values[exponents[name]] /= values["k"]
    if "g*" in text:
        values["g"] = float(rng.uniform(0.008, 0.02) * rng.choice([-1, 1]))
        # the mean slopes are those of the exponents at the centre of the table
        values["a"] += values["g"] * float(np.log(centre["R"]))
        values["b"] += values["g"] * float(np.log(centre["N"]))
        bounds = {"g": (-1.0, 1.0), "a": (-5.0, 5.0), "b": (-5.0, 5.0)}
    if "h" in text.split("(")[-1] or "/h" in text:
        values["h"] = centre["N"] * float(10 ** rng.uniform(-0.4, 0.4))
        values["w"], values["d"] = float(rng.uniform(0.2, 0.6)), float(rng.uniform(0.3, 0.6))

    def size(name: str) -> float:
        return centre[name] ** -values[exponents[name]]

    if "q*" in text:
        left = size("N") * (size("R") if "N^-a*R" in text else 1.0)
        values["q"] = left / size("D") * float(rng.uniform(0.6, 1.6))
    at = {name: np.array([value]) for name, value in centre.items()}
    for coefficient, names in (("A", "NR" if "N^-a*R" in text else "N"), ("B", "D"), ("G", "R")):
        if f"{coefficient}*" in text:
            values[coefficient] = float(rng.uniform(0.7, 1.5)) / float(np.prod([size(name) for name in names]))
    if "c*" in text:
        values["c"] = 1.0
        values["c"] = float(
            rng.uniform(1.0, 2.5) / Drawn(text=text, inputs=inputs, values=values, bounds={}).loss(at)[0]
        )
    if floor and len(values) < 6:
        text, values["E"] = f"E + {text}", float(rng.uniform(0.5, 1.5))
    return Drawn(text=text.replace("R", "`R`"), inputs=inputs, values=values, bounds=bounds)


def plain_law(rng: np.random.Generator) -> Drawn:
    alpha, beta = rng.uniform(0.2, 0.5, 2)
    middle = {name: LOWEST[name] * 10 ** (DECADES / 2) for name in ("N", "D")}
    values = {
        "E": float(rng.uniform(0.8, 2.0)),
        "A": float(rng.uniform(0.4, 1.5) * middle["N"] ** alpha),
        "alpha": float(alpha),
        "B": float(rng.uniform(0.4, 1.5) * middle["D"] ** beta),
        "beta": float(beta),
    }
    return Drawn(text="E + A*N^-alpha + B*D^-beta", inputs=("N", "D"), values=values, bounds={})


def draw_table(law: Drawn, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """The rows to fit, of 5 to 8 levels an input; and those of the next decade, without noise."""
    count = int(rng.integers(40, 81))
    fitted, held = {}, {}
    for name in law.inputs:
        levels = LOWEST[name] * np.geomspace(1, 10**DECADES, int(rng.integers(5, 9)))
        fitted[name] = rng.choice(levels, count)
        held[name] = levels[-1] * 10 ** rng.uniform(0, 1, FORECASTS)
    loss = law.loss(fitted) * np.exp(NOISE * rng.standard_normal(count))
    return as_rows({**fitted, "loss": loss}), as_rows({**held, "loss": law.loss(held)})


def as_rows(columns: dict[str, Array]) -> Rows:
    return [dict(zip(columns, map(float, row), strict=True)) for row in zip(*columns.values(), strict=True)]


def fitted_to(law: Law, rows: Rows) -> tuple[Sample, Point]:
    columns = dict.fromkeys(("loss", "params", "tokens")) | {"cluster": "none"}
    data = sample(by_role([{**row, "params": row["N"], "tokens": row.get("D", 1.0)} for row in rows]), law, columns)
    return data, best_point(data, law, "robust", *limits(law, {}, {}))


def error(law: Law, data: Sample, point: Point, held: Rows) -> float:
    """rms of log loss."""
    names = {"params": "N", "tokens": "D"}
    at = Axes.of({axis: [row[names.get(axis, axis)] for row in held] for axis in law.inputs}, data.x.pivot)
    said = law.predict(dict(zip(law.parameters, point.parameters, strict=True)), at)
    return float(np.sqrt(np.mean(np.log(said / np.array([row["loss"] for row in held])) ** 2)))


def measured(drawn: Drawn, rng: np.random.Generator, seed: int) -> Found:
    rows, held = draw_table(drawn, rng)
    began = time.process_time()
    found = lawful.discover(rows, drawn.inputs, seed=seed)
    seconds = time.process_time() - began
    right, own = (error(law, *fitted_to(law, rows), held) for law in (drawn.law, found.law))
    clean = [{**row, "loss": float(drawn.loss({name: np.array(row[name]) for name in drawn.inputs}))} for row in rows]
    away = error(found.law, *fitted_to(found.law, clean), clean)
    return Found(
        right=drawn.text,
        found=found.formula,
        rows=len(rows),
        ratio=own / right,
        is_equal=len(found.law.parameters) == len(drawn.values) and away < SAME,
        tried=found.tried,
        chosen=found.forms[0].chosen,
        seconds=seconds,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--laws", type=int, default=20)
    parser.add_argument("--plain", type=int, default=20)
    parser.add_argument("--small", action="store_true", help="4 of each")
    parser.add_argument("--begin", type=int, default=0, help="number of the first law and table")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    out: dict[str, list[Found]] = {"laws": [], "plain": []}
    for kind, draw, count in (("laws", draw_law, asked.laws), ("plain", plain_law, asked.plain)):
        for number in range(asked.begin, min(count, 4) if asked.small else count):
            rng = np.random.default_rng([asked.seed, number, kind == "plain"])
            one = measured(draw(rng), rng, number)
            out[kind].append(one)
            print(
                f"{one.right:42} {one.found:60} rows {one.rows} ratio {one.ratio:6.2f} "
                f"{'equal' if one.is_equal else 'OTHER'} tried {one.tried} chosen {one.chosen:.2f} {one.seconds:.1f} s",
                flush=True,
            )
    laws, plain = out["laws"], out["plain"]
    near, equal = sum(one.ratio <= TWICE for one in laws), sum(one.is_equal for one in laws)
    both = sum(one.ratio <= TWICE and one.is_equal for one in laws)
    print(f"laws: {near} of {len(laws)} within twice the right form's error, {equal} equal in form, {both} both")
    print(f"plain: {sum(not one.is_equal for one in plain)} of {len(plain)} with another form")
    if asked.out:
        write_json(asked.out, {kind: [asdict(one) for one in found] for kind, found in out.items()})


if __name__ == "__main__":
    main()
