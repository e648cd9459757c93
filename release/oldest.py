"""Prints the oldest versions that pyproject.toml allows for what the table half needs, a requirement a line."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
for requirement in [*project["dependencies"], *project["optional-dependencies"]["report"]]:
    print(re.sub(r">=", "==", requirement))
