"""Runs `lawful gate` as GATE_RUNS, GATE_REFERENCE and the others ask; writes gate/comment.md and gate/law.png.

Ends with status 1 where the answer fails the job. An error of lawful's is printed and ends with its own status.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

ANSWERS = {0: "yes", 5: "no", 6: "not-decided"}
FAILS = {"no": {"no"}, "not-decided": {"no", "not-decided"}}


def main() -> int:
    asked = os.environ
    if (fail_on := asked.get("GATE_FAIL_ON", "no")) not in FAILS:
        print(f"fail-on: expected {' or '.join(FAILS)}, got {fail_on!r}", file=sys.stderr)
        return 2
    words = ["gate", asked["GATE_RUNS"], "--reference", asked["GATE_REFERENCE"], "--markdown"]
    words += ["--at-least", asked.get("GATE_AT_LEAST") or "1.0", *shlex.split(asked.get("GATE_OPTIONS", ""))]
    ended = subprocess.run([sys.executable, "-m", "lawful", *words], capture_output=True, text=True)
    print(ended.stdout + ended.stderr)
    answer = ANSWERS.get(ended.returncode)
    if answer is None:
        return ended.returncode
    place = Path("gate")
    place.mkdir(exist_ok=True)
    (place / "comment.md").write_text(ended.stdout, encoding="utf-8")
    draw(Path(asked["GATE_REFERENCE"]), asked["GATE_RUNS"], place / "law.png")
    return int(answer in FAILS[fail_on])


def draw(reference: Path, runs: str, out: Path) -> None:
    """The reference law with its runs, and the table's runs beside it; no picture where they have no axis in common."""
    from matplotlib.figure import Figure

    import lawful
    from lawful.errors import LawfulError

    fit = lawful.load(reference)
    axis = fit.model.inputs[0]
    try:
        rows = lawful.read_runs(runs).rows
        points = [(row[axis], row["loss"]) for row in rows]
    except (LawfulError, KeyError) as error:
        print(f"no picture: {error}", file=sys.stderr)
        return
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    fit.plot(ax=axes)
    axes.scatter(*zip(*points, strict=True), marker="x", color="black", label="these runs", zorder=5)
    axes.legend(fontsize=7, frameon=False)
    figure.savefig(out, dpi=150)


if __name__ == "__main__":
    sys.exit(main())
