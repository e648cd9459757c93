"""Write each notebook of examples/ from the script of the same name: `make pages`. The script is the original.

A line `# %% [markdown]` begins a cell of text, whose lines are comments; `# %%` begins a cell of code.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from lawful.storage.atomic import write_text

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("activation", "own_table", "own_study")


def notebook(script: str) -> str:
    """The notebook's JSON, without outputs."""
    cells = []
    for number, (kind, text) in enumerate(re.findall(r"^# %%( \[markdown\])?\n(.*?)(?=^# %%|\Z)", script, re.M | re.S)):
        if kind:
            text = re.sub(r"^# ?", "", text, flags=re.MULTILINE)
        lines = text.strip("\n").splitlines(keepends=True)
        cell = {"cell_type": "markdown" if kind else "code", "id": f"cell-{number}", "metadata": {}, "source": lines}
        cells.append(cell if kind else {**cell, "execution_count": None, "outputs": []})
    about = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return json.dumps({"cells": cells, "metadata": about, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


if __name__ == "__main__":
    for name in NAMES:
        script = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
        write_text(EXAMPLES / f"{name}.ipynb", notebook(script))
