"""Two studies on one page: each says what its own JSON says, and a difference is claimed only where there is one."""

from __future__ import annotations

import csv
import html
import math
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lawful.errors import LawfulError
from lawful.fitting.answers import Answer, read_answer, write_answer
from lawful.fitting.records import Parameter
from lawful.laws.power_floor import PowerFloor
from lawful.report.beside import write_beside
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store
from lawful.tables import read_rows, write_csv

Make = Callable[..., Path]
PLANTED_ALPHA = 0.36
SMALL = {"widths": (16, 32, 64), "tokens": (125_000, 250_000, 500_000), "seeds": 1, "points_per_run": 8}


@pytest.fixture
def make(tmp_path: Path, fabricate: Make, planted_answer: Callable[..., Any]) -> Callable[..., Path]:
    """make(name, alpha, losses times) -> a study with a planted fit, its alpha moved; other seeds' losses."""

    def build(name: str, alpha: float = PLANTED_ALPHA, times: float = 1.0, **settings: Any) -> Path:
        folder = fabricate(tmp_path / name, **{**SMALL, **settings})
        answer = planted_answer(folder)
        found = replace(answer.fit.params["alpha"], value=alpha, ci95=(alpha - 0.01, alpha + 0.02))
        same = alpha == PLANTED_ALPHA  # a law that was moved does not give the losses of the residuals
        moved = with_fit(answer, params={"alpha": found}, **({} if same else {"residuals": ()}))
        write_answer(Store(folder).fit("loss"), moved)
        if times != 1.0:
            table = folder / "observations.csv"
            with table.open(newline="") as file:
                rows = list(csv.DictReader(file))
            for row in rows:
                row["loss"] = repr(float(row["loss"]) * times)
            write_csv(table, rows)
        return folder

    return build


def with_fit(answer: Answer, params: dict[str, Parameter] | None = None, **fields: Any) -> Answer:
    """The answer with other fields and further parameters of its fit."""
    assert answer.fit is not None
    return replace(answer, fit=replace(answer.fit, params={**answer.fit.params, **(params or {})}, **fields))


def read(page: Path) -> str:
    text = page.read_text()
    return html.unescape(re.sub(r"<[^>]+>", "", re.sub(r"<script.*?</script>|<style.*?</style>", "", text, flags=re.S)))


def heading(page: Path) -> str:
    found = re.search(r"<h1[^>]*>(.*?)</h1>", page.read_text(), re.DOTALL)
    assert found
    return html.unescape(re.sub(r"<[^>]+>", "", found[1]))


def test_exponents_that_differ_are_said_with_the_interval_of_their_difference(make: Callable[..., Path]) -> None:
    first, second = make("one"), make("two", 0.43, times=1.001)
    page = write_beside(first, second)
    assert page == first / "beside-two.html"
    low, high = 0.07 - math.hypot(0.01, 0.02), 0.07 + math.hypot(0.02, 0.01)  # by hand
    cuts = [f"{100 * (1 - 10**-alpha):.2g}" for alpha in (0.36, 0.43)]
    assert heading(page) == (
        f"Ten times the parameters cut the reducible loss by {cuts[0]} % in one and {cuts[1]} % in two; this differs."
    )
    text = read(page)
    assert f"α is 0.360 in one and 0.430 in two, a difference of 0.070 [{low:.3f}, {high:.3f}]" in text
    assert "no difference is shown in" in text
    for folder in (first, second):
        assert read_json(folder / "fits" / "loss.json")["headline"] in text
    assert "higher in two" in text and "No run is in both" in text


def test_two_states_of_one_study_say_what_moved_and_claim_no_interval(make: Callable[..., Path]) -> None:
    before = make("before")
    after = before.with_name("after")
    shutil.copytree(before, after)
    answer = read_answer(after / "fits" / "loss.json")
    assert answer.fit is not None
    moved = replace(answer.fit.params["alpha"], value=0.366)
    write_answer(after / "fits" / "loss.json", with_fit(answer, params={"alpha": moved}, residuals=()))
    table = (after / "observations.csv").read_text().splitlines()
    (after / "observations.csv").write_text("\n".join(table[:-1]) + "\n")
    page = write_beside(before, after)
    assert heading(page) == "before and after give the same answer."
    text = read(page)
    assert "The two share runs; what moved most is α, from 0.360 to 0.366: 20.0 % of the width of its interval." in text
    assert "8 runs of 9 and 8 are the same in both" in text
    assert "higher in" not in text
    assert "size=64, tokens=500k, seed=0" in text  # the run that only one of them has


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"model": PowerFloor("params"), "formula": "E + a x^-alpha", "draws": ()},
            "different laws, chinchilla and power_floor:params",
        ),
        (
            {"columns": {"params": "params_total", "tokens": "tokens", "loss": "loss"}},
            "params is counted as params_non_embedding in one and as params_total in the other",
        ),
    ],
)
def test_what_cannot_be_compared_is_not_and_says_why(
    make: Callable[..., Path], change: dict[str, Any], reason: str
) -> None:
    first, second = make("one"), make("two", 0.43, times=1.001)
    path = second / "fits" / "loss.json"
    answer = read_answer(path)
    assert answer.fit is not None
    if "columns" in change:
        changed = with_fit(answer, data=replace(answer.fit.data, **change))
    else:
        params = answer.fit.params
        changed = with_fit(answer, params={"a": params["alpha"], "a_pivot": params["E"]}, residuals=(), **change)
    write_answer(path, changed)
    page = write_beside(first, second)
    assert f"one and two cannot be compared parameter by parameter: {reason}." in read(page)
    assert "Ten times" not in heading(page)
    assert "higher in" not in read(page)


def test_charts_of_both_stand_between_the_same_limits(make: Callable[..., Path]) -> None:
    first, second = make("one"), make("two", times=1.3)
    page = write_beside(first, second).read_text()
    ends = {
        (side, axis): re.search(rf'data-chart="{side}-loss_by_size"[^>]* data-{axis}="([^"]*)"', page)[1]
        for side in ("first", "second")
        for axis in ("x", "y")
    }
    assert ends["first", "x"] == ends["second", "x"] and ends["first", "y"] == ends["second", "y"]
    losses = [float(row["loss"]) for folder in (first, second) for row in read_rows(folder / "observations.csv")]
    low, high = map(float, ends["first", "y"].split()[:2])
    assert low < min(losses) and high > 0.95 * max(losses)


def test_in_what_the_declarations_differ_is_listed(make: Callable[..., Path]) -> None:
    first, second = make("one"), make("two", times=1.001, widths=(16, 32, 64, 128))
    text = read(write_beside(first, second))
    assert "Ladder, size" in text and "16, 32, 64, 128" in text
    assert "Precision" not in text  # the same in both


def test_the_same_folder_twice_is_an_error(make: Callable[..., Path]) -> None:
    folder = make("one")
    with pytest.raises(LawfulError, match="expected two folders"):
        write_beside(folder, folder / ".." / "one")
