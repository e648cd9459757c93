"""The notebooks in examples/ run from top to bottom, and say what they are there to say."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[1] / "examples"


def executed(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> nbformat.NotebookNode:
    """With this Python as its kernel, whatever kernels are installed, and `folder` as its working directory."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(folder / "jupyter"))
    kernel = folder / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(
        json.dumps(
            {
                "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                "display_name": "Python 3",
                "language": "python",
            }
        )
    )
    notebook = nbformat.read(EXAMPLES / name, as_version=4)
    NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


def printed(notebook: nbformat.NotebookNode) -> str:
    return "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ()) if "text" in output
    )


@pytest.mark.parametrize("name", ["activation", "own_table", "own_study"])
def test_a_notebook_is_its_script(name: str) -> None:
    spec = importlib.util.spec_from_file_location("make_notebooks", EXAMPLES.parent / "docs" / "make" / "notebooks.py")
    assert spec is not None and spec.loader is not None
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    script = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    text = (EXAMPLES / f"{name}.ipynb").read_text(encoding="utf-8")
    assert text == make.notebook(script), f"examples/{name}.ipynb is behind its script: make pages"
    nbformat.validate(nbformat.reads(text, as_version=4))


def test_the_notebook_of_ones_own_table_finds_what_it_planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = executed("own_table.ipynb", tmp_path, monkeypatch)
    said = printed(notebook)
    assert "80 runs" in said
    assert "exponents agree" in said
    assert "times outside the data" in said
    assert "True" in said  # of the fit that was saved and read
    sources = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert set(re.findall(r"^import (\w+)", sources, re.M)) == {"random", "matplotlib", "pandas", "lawful"}
    shown = "".join(
        output.get("data", {}).get("text/html", "") for cell in notebook.cells for output in cell.get("outputs", ())
    )
    assert "<td>alpha</td>" in shown and '<img alt="Loss against parameters N (N): 40 runs' in shown
    assert any("image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", ()))


@pytest.mark.slow
def test_the_notebook_of_ones_own_study_trains_and_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = printed(executed("own_study.ipynb", tmp_path, monkeypatch))
    assert "30 runs, held out: {'size': 5}" in said
    assert "wide answered" in said and "deep answered" in said
    assert (tmp_path / "depth-or-width" / "report.html").exists()


@pytest.mark.slow
def test_the_activation_notebook_runs_and_tells_a_constant_gain_from_a_better_exponent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = executed("activation.ipynb", tmp_path, monkeypatch)
    said = printed(notebook)
    assert "{'gain': 1.25} -> exponents agree" in said
    assert "{'shift': 0.02} -> exponents differ" in said
    assert "held out" in said
    assert (tmp_path / "activation-notebook" / "report.html").exists()
    assert any("image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", ()))
