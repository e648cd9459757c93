"""What trackers and trainers wrote, with damage: refused by name, or each number is one that stands in the files.

Each example is one small record that the real package wrote (tests/readers/data), or is made here by hand. One file of
it is damaged. Whatever is read then must be a number of the whole record, or stand in the damaged file as a number of
its own, as Python reads it; and no row may be gone without a word.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import random
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lawful.errors import LawfulError
from lawful.tables import Observations, read_runs
from lawful.tables.source import read_rows

from .test_mutated_tables import FIRST, mutated

MUTATIONS = int(os.environ.get("LAWFUL_FUZZ_TRACKERS", 320))
DATA = Path(__file__).parents[1] / "readers" / "data"
NUMBER = re.compile(r"[+-]?(?:\d[\d_,]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
SPLIT = re.compile(r"[\s\"':{}\[\],;|=()]+")
ROWS = [
    {"run": f"r{i}", "params": 10**6 * 2**i, "tokens": 10**8 * 3**i, "val_loss": round(4 - 0.123 * i, 4)}
    for i in range(6)
]


def nanochat(folder: Path) -> None:
    text = "total                   : 11,000,000\nEstimated FLOPs per token: 6.600000e+07\n"
    text += "Total batch size 524,288 => gradient accumulation steps: 4\n"
    text += "".join(f"Step {step:05d} | Validation bpb: {2 - step / 1000:.6f}\n" for step in (0, 250, 500, 750))
    (folder / "d4.log").write_text(text)


def olmes(folder: Path) -> None:
    lines = [
        {
            "task_name": task,
            "metrics": {"primary_score": 0.5, "bits_per_byte_corr": 1.125},
            "model_config": {"model": "a"},
        }
        for task in ("arc_easy", "boolq")
    ]
    (folder / "metrics-all.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def open_lm(folder: Path) -> None:
    settings = {"tokens": 10**9, "params": 10**7, "lr": 0.003}
    results = [{"loss": 3.25, "tokens": 245760, "val_data": ["eval/c4_val/shard-{0..9}.tar"]}]
    model = {"name": "m", "dataset_name": "c4", "hyperparameters": settings, "results": results}
    (folder / "m.json").write_text(json.dumps(model))


def chart(folder: Path) -> None:
    text = 'Step,"a - val/loss","a - val/loss__MIN","a - val/loss__MAX"\n'
    (folder / "chart.csv").write_text(text + "".join(f'{i},"{9 / i}","{9 / i}","{9 / i}"\n' for i in range(1, 6)))


def packed(folder: Path) -> None:
    text = "\n".join([",".join(ROWS[0]), *(",".join(map(str, row.values())) for row in ROWS)])
    (folder / "runs.csv.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


def frame(write: str, name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        pandas = pytest.importorskip("pandas")
        getattr(pandas.DataFrame(ROWS), write)(folder / name, **({"index": False} if write != "to_feather" else {}))

    return make


def of_data(*parts: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for part in parts:
            for path in sorted(DATA.glob(part)):
                into = folder / path.relative_to(DATA)
                into.parent.mkdir(parents=True, exist_ok=True)
                if path.is_dir():
                    shutil.copytree(path, into)
                else:
                    shutil.copy(path, into)

    return make


# reader -> how its record is made, and what is read
RECORDS: dict[str, tuple[Callable[[Path], None], str]] = {
    "wandb": (of_data("wandb"), "wandb"),
    "tensorboard": (of_data("tensorboard/parts/run-0", "tensorboard/parts/run-1"), "tensorboard/parts"),
    "hparams": (of_data("tensorboard/hparams/run-0"), "tensorboard/hparams"),
    "mlflow": (of_data("mlflow/mlruns"), "mlflow/mlruns"),
    "mlflow-db": (of_data("mlflow/mlflow.db"), "mlflow/mlflow.db"),
    "mlflow-csv": (of_data("mlflow/search_runs.csv"), "mlflow/search_runs.csv"),
    "hugging_face": (of_data("hugging_face/run-[01]"), "hugging_face"),
    "lightning": (of_data("lightning/version_[01]"), "lightning"),
    "hydra": (of_data("hydra"), "hydra/multirun"),
    "keras": (of_data("keras/run-[01].*"), "keras"),
    "optuna-db": (of_data("optuna/study.db"), "optuna/study.db"),
    "optuna-csv": (of_data("optuna/trials.csv"), "optuna/trials.csv"),
    "lm_eval": (of_data("lm_eval"), "lm_eval"),
    "nanochat": (nanochat, ""),
    "olmes": (olmes, ""),
    "open_lm": (open_lm, ""),
    "chart": (chart, "chart.csv"),
    "gz": (packed, "runs.csv.gz"),
    "parquet": (frame("to_parquet", "runs.parquet"), "runs.parquet"),
    "feather": (frame("to_feather", "runs.feather"), "runs.feather"),
    "xlsx": (frame("to_excel", "runs.xlsx"), "runs.xlsx"),
}


def numbers_of(table: Observations) -> Iterator[float]:
    for row in table.rows:
        for cell in row.values():
            if isinstance(cell, (int, float)) and not isinstance(cell, bool):
                yield float(cell)


def stands_in(content: bytes) -> set[float]:
    """The numbers that stand in a text between the usual signs, as Python reads them."""
    text = content.decode("utf-8", errors="replace")
    words = {*SPLIT.split(text), *(word for line in text.splitlines() for word in re.split(r"[,\t]", line))}
    found = set()
    for word in words:
        word = word.strip().strip("\"'")
        if NUMBER.fullmatch(word):
            try:
                found.add(float(word.replace(",", "")))
            except ValueError:
                continue
    return found


def library_numbers(path: Path) -> set[float]:
    """What the format's own library reads, of files that hold numbers as bytes."""
    if path.suffix in (".parquet", ".feather", ".xlsx"):
        if path.suffix == ".xlsx":
            import pandas

            columns = pandas.read_excel(path).to_dict("list")
        else:  # without pandas, which reads notes of its own in the file
            import pyarrow.feather
            import pyarrow.parquet

            read = pyarrow.parquet.read_table if path.suffix == ".parquet" else pyarrow.feather.read_table
            columns = read(path).to_pydict()
        return {float(cell) for cells in columns.values() for cell in cells if isinstance(cell, (int, float))}
    if path.suffix == ".db":
        with sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True) as base:
            names = [name for (name,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            cells = [cell for name in names for row in base.execute(f'SELECT * FROM "{name}"') for cell in row]
        found = {float(cell) for cell in cells if isinstance(cell, (int, float))}
        return found | stands_in("\n".join(str(cell) for cell in cells).encode())
    if path.suffix == ".gz":
        return stands_in(gzip.decompress(path.read_bytes()))
    return stands_in(path.read_bytes())


def judged(source: Path, damaged: Path, whole: Observations) -> bool:
    """Whether the record was read; AssertionError where it was read wrong."""
    try:
        table = read_rows(source)
        read_runs(source)
    except LawfulError as error:
        assert len(str(error)) < 3000, error
        return False
    known = {*numbers_of(whole), 0.0}  # MLflow reads a metric without a step as of step 0
    known |= {*range(len(table.rows) + 1)} if damaged.name == "chart.csv" else set()  # places of points
    new = {number for number in numbers_of(table) if number not in known and math.isfinite(number)}
    if new:
        there = library_numbers(damaged)
        if damaged.suffix == ".log":  # tokens are steps times the batch, and FLOPs tokens times those of one
            there |= {float(word.replace(",", "")) for word in damaged.read_text().split() if NUMBER.fullmatch(word)}
            there |= {one * other for one in there for other in there}
            there |= {one * other for one in there for other in there} if new - there else set()
        assert new <= there, sorted(new - there)
    if damaged.suffix == ".log" and damaged.read_text(errors="replace").count("Validation bpb") < 4:
        return True  # a line of a log that is gone is not to be known of
    if len(table.rows) < len(whole.rows):
        assert table.said != whole.said or table.dropped, (len(table.rows), table.said)
    return True


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", RECORDS)
def test_a_damaged_record_is_refused_by_name_or_holds_only_numbers_that_stand_in_it(kind: str, tmp_path: Path) -> None:
    if kind in ("tensorboard", "hparams"):
        pytest.importorskip("tensorboard")
    if kind in ("lightning", "hydra", "mlflow"):
        pytest.importorskip("yaml")
    make, place = RECORDS[kind]
    make(tmp_path)
    source = tmp_path / place if place else tmp_path
    whole = read_rows(source)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".safetensors")
    read = 0
    tries = max(MUTATIONS // len(RECORDS), 1)
    for seed in range(FIRST, FIRST + tries):
        draw = random.Random(f"{kind} {seed}")
        path = draw.choice(files)
        honest = path.read_bytes()
        content = mutated(honest, draw)
        path.write_bytes(content)
        try:
            read += judged(source, path, whole)
        except Exception as error:
            raise AssertionError(f"seed {seed}, {path.relative_to(tmp_path)}: {str(error)[:500]}") from error
        finally:
            path.write_bytes(honest)
    assert read < tries or kind == "mlflow"  # some are refused
