"""What a command imports is part of its contract: help is fast, and the analysis runs where torch is not installed."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from lawful import tables

HEAVY = ("matplotlib", "msgspec", "pandas", "scipy", "torch")
ATTEMPTS = 3  # the least of several is what the code costs; the first may also write byte code


def test_help_imports_nothing_heavy() -> None:
    assert _imported_by("--help") & set(HEAVY) == set()


def test_help_answers_in_under_half_a_second() -> None:
    seconds = [_processor_seconds("--help") for _ in range(ATTEMPTS)]
    assert min(seconds) < 0.5, f"lawful --help took {min(seconds):.2f} s at best in {ATTEMPTS} runs"


def test_fitting_a_table_imports_neither_torch_nor_a_library_of_tables_or_charts(small_table: Path) -> None:
    assert not {"torch", "pandas", "polars", "pyarrow", "matplotlib"} & _imported_by("fit", str(small_table))


def test_predicting_from_a_table_does_not_import_torch(small_table: Path) -> None:
    assert "torch" not in _imported_by("predict", str(small_table), "--params", "1e9", "--tokens", "2e10")


def test_analysis_works_where_torch_cannot_be_imported_and_needs_no_scipy_stats() -> None:
    """The latter takes a second to import; the analyses of all domains are loaded at the end of every study."""
    parts = ("fitting", "laws", "report", "study", "run", "tables", "storage", "baselines")
    code = f"""
import sys
sys.modules |= {{"torch": None, "scipy.stats": None}}
import {", ".join(f"lawful.{part}" for part in parts)}
from lawful.plugins import analyses
analyses()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def small_table(tmp_path: Path) -> Path:
    """A planted law, L = 1.7 + 400 N^-0.34 + 410 D^-0.28 (after arXiv:2203.15556), on a 4 x 4 grid."""
    rows = [
        {"params_non_embedding": n, "tokens": d, "loss": 1.7 + 400 * n**-0.34 + 410 * d**-0.28, "seed": 0}
        for n in (10**6, 3 * 10**6, 10**7, 3 * 10**7)
        for d in (10**8, 3 * 10**8, 10**9, 3 * 10**9)
    ]
    path = tmp_path / "runs.csv"
    tables.write_csv(path, rows, columns=list(rows[0]))
    return path


def _imported_by(*arguments: str) -> set[str]:
    """Top-level modules loaded when the command has ended well."""
    code = (
        "import sys\n"
        "from lawful.cli import main\n"
        f"sys.argv = {['lawful', *arguments]!r}\n"
        "status = 0\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    status = end.code or 0\n"
        "print('LOADED', *sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)\n"
        "sys.exit(status)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=_environment())
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition("LOADED")[2].split())


def _processor_seconds(*arguments: str) -> float:
    """Of the command alone: on a busy machine the clock on the wall would time the other work."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "lawful", *arguments], check=True, capture_output=True, env=_environment())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
