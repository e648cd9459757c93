"""`make bench-gpu` without a GPU: every goal has a part and a row, and what was not run says so with the reason."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(sys, "path", [*sys.path])
    import gpu

    return gpu


def test_every_goal_has_its_part_and_its_row_and_what_was_not_run_says_why(gpu) -> None:  # type: ignore[no-untyped-def]
    assert {goal.part for goal in gpu.GOALS} == set(gpu.PARTS)
    first = gpu.row("compile", None)
    reasons = {**dict.fromkeys(gpu.PARTS, "no GPU"), "small": "time was over"}
    left = gpu.not_run([first], reasons)
    assert [row.what for row in left] == [goal.what for goal in gpu.GOALS if goal.part != "compile"]
    assert {row.note for row in left if "stacked" in row.what} == {"time was over"}
    import results

    assert results._line(left[0]).startswith(f"{left[0].what}: not run TFLOP/s")
    assert results._line(results.Row(what="a", unit="s", ours=1.25)) == "a: 1.25 s"


def test_a_part_that_fails_or_takes_too_long_leaves_its_rows_and_a_reason(
    gpu,  # type: ignore[no-untyped-def]
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lines(code: str, seconds: float) -> list[str]:
        script = tmp_path / "part.py"
        script.write_text(f"import sys, time\n{code}\n", encoding="utf-8")
        monkeypatch.setattr(gpu, "__file__", str(script))
        return list(gpu.lines_of("plan", gpu.argparse.Namespace(scratch=tmp_path), seconds))

    assert lines("print('{}')", 60) == ["{}"]
    assert lines("print('not run: no GPU'); sys.exit(1)", 60) == ["not run: no GPU"]
    assert lines("print('{}'); raise OSError('the disk is full')", 60) == ["{}", "failed: OSError: the disk is full"]
    assert lines("print('{}', flush=True); time.sleep(60)", 1) == ["{}", "ended after 1 s"]
