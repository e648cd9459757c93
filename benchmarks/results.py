"""What a benchmark found, as benchmarks/results/NAME.json, and docs/benchmarks.md made from all of them.

python benchmarks/results.py        writes the page again
"""

from __future__ import annotations

import datetime
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lawful.storage.atomic import write_json, write_text
from lawful.storage.json_files import read_json

ROOT = Path(__file__).resolve().parent
PAGE = ROOT.parent / "docs" / "benchmarks.md"
ORDER = (
    "throughput",
    "losses",
    "quickstart",
    "attained",
    "data_parallel",
    "kernels",
    "gpu",
    "overheads",
    "tables",
    "ray",
    "default_law",
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """ours, theirs    in `unit`; theirs is a peer, a limit, or what is allowed; ours is None where it was not run
    ratio           ours to theirs, as `unit` says which way is good; low and high are the extremes of the pairs
    """

    what: str
    unit: str
    ours: float | None
    theirs: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    goal: str = ""
    note: str = ""


def paired(what: str, unit: str, ours: Sequence[float], theirs: Sequence[float], **more: Any) -> Row:
    """The median of each side, and of the ratios of what was measured in turn."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return Row(
        what=what,
        unit=unit,
        ours=statistics.median(ours),
        theirs=statistics.median(theirs),
        ratio=statistics.median(ratios),
        low=min(ratios),
        high=max(ratios),
        **more,
    )


def told(rows: Sequence[Row]) -> Sequence[Row]:
    """The rows, printed as soon as they are there."""
    for row in rows:
        print(_line(row), flush=True)
    return rows


def record(name: str, asks: str, rows: Sequence[Row], says: str = "") -> None:
    """Keep, and write the page. says: what the rows mean."""
    write_json(
        ROOT / "results" / f"{name}.json",
        {
            "name": name,
            "asks": asks,
            "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *_shown(sys.argv[1:])]),
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "machine": machine(),
            "rows": [asdict(row) for row in rows],
            "says": says,
        },
    )
    write_page()


def machine() -> dict[str, Any]:
    import torch

    model = "CPU"
    if (info := Path("/proc/cpuinfo")).exists():
        named = (line.partition(":")[2].strip() for line in info.read_text().splitlines() if line[:10] == "model name")
        model = next(named, model)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return {
        "cores": os.cpu_count(),
        "processor": model,
        "python": platform.python_version(),
        "torch": torch.__version__.split("+")[0],
        "load_at_the_end": round(load, 1),
    }


def write_page() -> None:
    """docs/benchmarks.md from the results that are there."""
    found = {path.stem: read_json(path) for path in sorted((ROOT / "results").glob("*.json"))}
    found = {name: result for name, result in found.items() if "machine" in result}  # coverage has a page of its own
    parts = [
        "# Benchmarks",
        "",
        "Made by `make bench`; do not edit. Each row is what lawful does beside a peer or a limit that was measured in",
        "the same run, in turn; the ratio is the median of the pairs, with the smallest and the largest. The load is",
        "the machine's at the end: one busy core for each worker is lawful's own.",
    ]
    for name in sorted(found, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER)):
        result, about = found[name], found[name]["machine"]
        parts += ["", f"## {result['asks']}", ""]
        parts += [
            f"{result['date']}, {about['cores']} cores ({about['processor']}), Python {about['python']}, "
            f"torch {about['torch']}, load {about['load_at_the_end']}.",
            f"`{result['command']}`",
            "",
            *([result["says"], ""] if result.get("says") else []),
            "| what | ours | peer or limit | unit | ratio | goal |",
            "|---|---|---|---|---|---|",
        ]
        notes = []
        for values in result["rows"]:
            row = Row(**values)
            theirs = "" if row.theirs is None else f"{row.theirs:.4g}"
            parts.append(f"| {row.what} | {_ours(row)} | {theirs} | {row.unit} | {_ratio(row)} | {row.goal} |")
            notes += [f"- {row.what}: {row.note}"] if row.note else []
        parts += ["", *notes] if notes else []
    write_text(PAGE, "\n".join(parts) + "\n")


def _ours(row: Row) -> str:
    return "not run" if row.ours is None else f"{row.ours:.4g}"


def _ratio(row: Row) -> str:
    if row.ratio is None:
        return ""
    return f"{row.ratio:.2f}" if row.low is None else f"{row.ratio:.2f} [{row.low:.2f}, {row.high:.2f}]"


def _line(row: Row) -> str:
    theirs = "" if row.theirs is None else f" against {row.theirs:.4g}"
    ratio = f", ratio {_ratio(row)}" if row.ratio is not None else ""
    goal = f" (goal {row.goal})" if row.goal else ""
    return f"{row.what}: {_ours(row)}{theirs} {row.unit}{ratio}{goal}{'; ' + row.note if row.note else ''}"


def _shown(words: Sequence[str]) -> list[str]:
    """The arguments without this machine's folders."""
    return ["FOLDER" if "/" in word else word for word in words]


if __name__ == "__main__":
    write_page()
