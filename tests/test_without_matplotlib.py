"""`pip install lawful` brings no matplotlib: tables are fitted and pages are written all the same."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import lawful
from lawful.errors import MissingDependency
from lawful.tables import by_role


@pytest.fixture
def without_matplotlib(monkeypatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)


@pytest.fixture
def fit():
    sizes = np.repeat(np.geomspace(1e5, 1e8, 6), 2)
    noise = np.random.default_rng(5).normal(0, 0.003, len(sizes))
    losses = (1.6 + 40 * sizes**-0.3) * np.exp(noise)
    rows = [{"params": size, "loss": loss} for size, loss in zip(sizes, losses, strict=True)]
    return lawful.fit(by_role(rows), law="power_floor")


@pytest.mark.parametrize("draw", [lambda fit: fit.plot(), lambda fit: fit.plot_compute()], ids=["plot", "plot_compute"])
def test_a_picture_names_the_extra_that_draws_it(draw, fit, without_matplotlib) -> None:
    with pytest.raises(MissingDependency, match=r"matplotlib.*pip install 'lawful\[report\]'"):
        draw(fit)


def test_a_notebook_shows_the_words_without_the_picture(fit, without_matplotlib) -> None:
    shown = fit._repr_html_()
    assert "<table>" in shown and "alpha" in shown and "<img" not in shown


def test_an_option_for_a_picture_is_refused_before_the_fit(tmp_path, without_matplotlib) -> None:
    from lawful.report.figures import expect_kind

    with pytest.raises(MissingDependency, match=r"law.png needs the package matplotlib"):
        expect_kind(tmp_path / "law.png")
