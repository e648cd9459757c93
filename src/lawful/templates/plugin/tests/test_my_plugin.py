"""What only this package can know. lawful's own contracts: python -m pytest --pyargs lawful.testing"""

from __future__ import annotations

import numpy as np
import pytest
from my_plugin.laws import DIMMING
from my_plugin.readers import Semicolons

import lawful
from lawful.errors import TableError


def test_planted_parameters_are_found() -> None:
    sizes = np.geomspace(1e5, 1e8, 12)
    noise = np.random.default_rng(0).normal(0, 1e-3, 12)
    losses = (1.5 + 60 * (sizes + 2e5) ** -0.3) * np.exp(noise)
    fit = lawful.fit({"params": sizes, "loss": losses}, law=DIMMING)
    low, high = fit.params["alpha"].ci95
    assert low < 0.3 < high


def test_a_table_is_read_and_a_damaged_one_is_refused_by_its_line(tmp_path) -> None:
    path = tmp_path / "runs.scsv"
    path.write_text("params;loss\n1e6;3.5\n2e6;3.1\n")
    assert list(Semicolons().rows(path)) == [{"params": 1e6, "loss": 3.5}, {"params": 2e6, "loss": 3.1}]
    path.write_text("params;loss\n1e6;3.5\n2e6\n")
    with pytest.raises(TableError, match="line 3: expected 2 cells, got 1"):
        list(Semicolons().rows(path))
