"""The small picture of a fit in a terminal, and the words of check, isoflop and a table's answer."""

import numpy as np
import pytest

import lawful
from lawful.errors import DeclarationError, Refusal
from lawful.fitting.answer_table import answer_table, with_arms
from lawful.fitting.headline_fit import thing_of
from lawful.fitting.sketch import sketch
from lawful.tables import read_runs

SIZES, TOKENS = (1e6, 3e6, 1e7, 3e7, 1e8), (1e8, 4e8, 1.6e9, 6.4e9)


def grid() -> list[dict[str, object]]:
    return [
        {"N": n, "D": d, "loss": 1.7 + 400 * n**-0.34 + 410 * d**-0.28 + 0.002 * ((i + j) % 3)}
        for i, n in enumerate(SIZES)
        for j, d in enumerate(TOKENS)
    ]


def test_a_fit_is_drawn_in_twelve_lines_of_eighty_letters() -> None:
    fit = lawful.fit(grid(), "chinchilla", draws=0)
    lines = sketch(fit).splitlines()
    assert len(lines) <= 12 and max(map(len, lines)) <= 80
    assert all(line.isascii() for line in lines)
    plot = [line.partition("|")[2] for line in lines[:9]]
    assert [sum(line.count(mark) for line in plot) for mark in "ox+*"] == pytest.approx([5, 5, 5, 5], abs=1)
    assert plot[0].startswith("o") and plot[-1].rstrip().endswith("*"), "the loss falls with size and with data"
    assert lines[-1].split()[:3] == ["D:", "o", "1e+08"]


def test_the_legend_never_ends_within_a_number() -> None:
    many = [{"N": n, "D": d, "loss": 1.7 + 400 * n**-0.34 + 410 * d**-0.28} for n in SIZES for d in
            (1.39e9, 7.34e9, 1.37e10, 2.28e10, 4.38e10, 3.18e11)]  # fmt: skip
    fit = lawful.fit(many, "chinchilla", draws=0)
    for width in (80, 60, 40):
        last = sketch(fit, width).splitlines()[-1]
        assert len(last) <= width and last.endswith("@ 3.18e+11"), last


def test_one_axis_is_drawn_with_one_mark() -> None:
    fit = lawful.fit([{"N": n, "loss": 1.7 + 400 * n**-0.34} for n in (*SIZES, 3e8)], "power_floor", draws=0)
    lines = sketch(fit, 60).splitlines()
    assert len(lines) == 11 and max(map(len, lines)) <= 60
    assert "".join(lines[:9]).count("o") == 6


def test_what_is_told_as_tokens_is_called_what_it_is() -> None:
    assert thing_of("tokens", "step") == "steps"
    assert thing_of("tokens", "trainer/epochs") == "epochs"
    assert thing_of("tokens", "D") == thing_of("tokens", "train_tokens") == "tokens"


def test_check_says_each_reason_once_and_offers_no_law_of_a_metric_for_a_loss() -> None:
    found = lawful.check(grid())
    reasons = [line.partition(": ")[2] for line in found.summary().splitlines() if line.startswith("  not ")]
    assert len(reasons) == len(set(reasons)) > 0
    assert "chinchilla" in found.carried
    assert {"downstream", "sigmoid"} & set(found.carried) == set()


def test_isoflop_without_a_budget_says_what_is_missing() -> None:
    rows = [{"N": n, "D": 20 * n, "loss": 1.7 + 400 * n**-0.34} for n in SIZES]
    with pytest.raises(Refusal, match="No 4 runs have the same compute"):
        lawful.isoflop(rows)


def test_arms_of_a_page_may_be_in_any_column_and_known_values_are_of_one_arm() -> None:
    rows = [{**row, "optimizer": name} for name in ("adam", "muon") for row in grid()]
    table = with_arms(read_runs(rows), "optimizer")
    assert [row["arm"] for row in table][:: len(rows) // 2] == ["adam", "muon"]
    with pytest.raises(DeclarationError, match="fixed: expected a table of one arm, got 2"):
        answer_table(table, fixed={"E": 1.7})
    (one,) = answer_table(read_runs(grid()), law="chinchilla", fixed={"E": 1.7}, draws=0)
    assert one.fit is not None and one.fit["E"].value == 1.7 and one.fit["E"].role == "fixed"
    assert np.isfinite(float(one.fit["alpha"]))
