"""Make docs/gallery.md and its pictures from the observations that are recorded in docs/gallery, fitted anew.

python docs/make/gallery.py                    every recorded study: `make gallery`
python docs/make/gallery.py record FOLDER ...  keep a finished study's table and declaration first
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lawful.errors import StoreError
from lawful.fitting.answer import answer_study
from lawful.report import words
from lawful.report.evidence import read_evidence
from lawful.report.figures import write_figures
from lawful.report.page import all_charts
from lawful.report.rests_on import rests_on
from lawful.schema import FORMAT
from lawful.storage.atomic import write_text
from lawful.storage.codec import to_plain, with_hash
from lawful.storage.layout import Store

ROOT = Path(__file__).parents[2]
RECORDS = ROOT / "docs" / "gallery"
PAGE = ROOT / "docs" / "gallery.md"
README_PICTURE = ROOT / "docs" / "images" / "quickstart.png"
# study -> the chart that shows its answer, and what the chart shows
CHARTS = {
    "quickstart": ("size-and-data_by_size", "loss against size, a line for each budget of tokens"),
    "shakespeare": ("size-and-data_by_size", "loss against size, a line for each budget of tokens"),
    "activation": ("compute_arms", "loss against compute, GELU and SwiGLU"),
    "music": ("architecture_arms", "loss against size, transformer and LSTM"),
    "emg": ("size_by_size", "loss against size, on made-up EMG"),
    "equilibrium": ("data_arms", "loss against the size of the text, five arms"),
    "ground_truth": ("truth_recovered", "each recovered value over the planted one, with its interval"),
}
FILES = ("observations.csv", "study.json", "forecasts.json", "baselines.json")
# of a machine or of a moment, not of the evidence
LEFT_OUT = {"command", "study_file", "versions", "workers", "settings"}
RUN_LEFT_OUT = {"params_by_group", "own_flops", "seconds_estimate", "decay_start", "stack", "threads", "command"}
COLUMNS_LEFT_OUT = {"weights_sha256", "numerics", "peak_memory_bytes"}


@dataclass(frozen=True)
class Shown:
    study: str
    scale: str
    question: str
    headline: str
    basis: str
    rests_on: str
    doubt: str
    runs: int
    planned: int


def record(folder: Path) -> Path:
    """Keep what a fit and its figure need of a finished study. Raises StoreError where runs are missing."""
    declared = Store(folder).read_study()
    with (folder / "observations.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if len(rows) < len(declared.runs):
        raise StoreError(f"{folder}: expected a finished study, got {len(rows)} of {len(declared.runs)} runs.")
    into = RECORDS / declared.name
    into.mkdir(parents=True, exist_ok=True)
    kept = [name for name in rows[0] if name not in COLUMNS_LEFT_OUT and any(row[name] for row in rows)]
    with (into / "observations.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(kept)
        table.writerows([[_short(row[name]) for name in kept] for row in rows])
    small = {name: value for name, value in to_plain(declared).items() if name not in LEFT_OUT}
    small["runs"] = [{k: v for k, v in run.items() if k not in RUN_LEFT_OUT} for run in small["runs"]]
    small["corpora"] = {
        name: {k: v for k, v in corpus.items() if k != "value"} for name, corpus in small["corpora"].items()
    }
    text = json.dumps(with_hash({**small, "format": FORMAT}), separators=(",", ":"))
    (into / "study.json").write_text(text + "\n", encoding="utf-8")
    for name in FILES[2:]:
        if (folder / name).exists():
            shutil.copy(folder / name, into / name)
    return into


def show(study: str, pictures: Path | None = None) -> Shown:
    """Fit the recorded runs again, and draw the study's chart into `pictures`."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / study
        shutil.copytree(RECORDS / study, folder)
        answer_study(folder)
        return show_fitted(study, folder, pictures)


def show_fitted(study: str, folder: Path, pictures: Path | None = None) -> Shown:
    """What is shown of a study that has been fitted; its chart is drawn into `pictures`."""
    evidence = read_evidence(folder)
    if pictures is not None:
        (chart,) = [chart for chart in all_charts(evidence) if chart.name == CHARTS[study][0]]
        pictures.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as place:
            write_figures([chart], Path(place))
            shutil.copy(Path(place) / f"{chart.name}.png", pictures / f"{study}.png")
    return Shown(
        study=study,
        scale=evidence.study.scale,
        question=evidence.study.question,
        headline=words.headline(evidence),
        basis=words.basis(evidence),
        rests_on=rests_on(evidence),
        doubt=dict(words.first_facts(evidence)).get("Severest doubt", ""),
        runs=len(evidence.finished),
        planned=len(evidence.runs),
    )


def page(shown: list[Shown]) -> str:
    lines = [
        "# Gallery",
        "",
        "<!-- Made by docs/make/gallery.py: `make gallery`. -->",
        "",
        "Every study at quick scale, on two CPU cores: its figure, and its answer in its own words. Both are made "
        "again by `make gallery` from the tables of runs kept under `docs/gallery`. "
        "What a sentence means: [Reading a verdict](concepts/verdicts.md).",
        "",
    ]
    for one in shown:
        lines += [f"## {one.study}", "", f"*{one.question}*", ""]
        lines += [f"![{one.study}: {CHARTS[one.study][1]}](gallery/{one.study}.png)", ""]
        basis = f" {_plain(one.basis[:1].upper() + one.basis[1:])}." if one.basis else ""
        lines += [f"**{_plain(one.headline)}**{basis}", ""]
        lines += [_plain(one.rests_on), ""] if one.rests_on else []
        lines += [f"Severest doubt: {_plain(one.doubt)}", ""] if one.doubt else []
        left_out = "" if one.runs == one.planned else f" of {one.planned}; the others are set aside"
        link = "" if one.study == "quickstart" else f" [The study](studies/{one.study}.md)."
        lines += [f"{one.scale} scale, {one.runs} runs{left_out}.{link}", ""]
    missing = [study for study in CHARTS if study not in {one.study for one in shown}]
    if missing:
        lines += [f"Not recorded yet: {', '.join(missing)}.", ""]
    return "\n".join(lines)


def recorded() -> list[str]:
    return [study for study in CHARTS if (RECORDS / study / "study.json").exists()]


def main() -> None:
    if sys.argv[1:2] == ["record"]:
        for folder in sys.argv[2:]:
            print(record(Path(folder)))
        return
    shown = []
    for study in recorded():
        print(study, file=sys.stderr)
        shown.append(show(study, RECORDS))
    shutil.copy(RECORDS / "quickstart.png", README_PICTURE)
    write_text(PAGE, page(shown))


def _short(cell: str) -> str:
    """Seven digits of a number are more than its noise."""
    try:
        return f"{float(cell):.7g}" if "." in cell else cell
    except ValueError:
        return cell


def _plain(sentence: str) -> str:
    return sentence.replace("[", "\\[").replace("]", "\\]").replace("_", "\\_")


if __name__ == "__main__":
    main()
