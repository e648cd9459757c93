"""The line under the headline counts every run of a study or table once, and says why one is left out."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import lawful
from lawful.fitting.answer_table import answer_table, with_run_names
from lawful.report.rests_on import _span, rests_on
from lawful.report.table_page import evidence_of_table
from lawful.tables import by_role


def counted(rows: list[dict[str, object]], *, law: str = "power_floor:params", is_short: bool = False) -> str:
    table = with_run_names(by_role(rows))
    answers = answer_table(table, law=law, draws=0)
    return rests_on(evidence_of_table(table, answers, Path()), is_short=is_short)


def rows_of(sizes: int, seeds: int) -> list[dict[str, object]]:
    return [
        {"run": f"{size}-{seed}", "params": 1e4 * 2**size, "loss": 1 + 30 * (1e4 * 2**size) ** -0.4 + 0.002 * seed}
        | {"seed": seed, "status": "finished", "held_out": False}
        for size in range(sizes)
        for seed in range(seeds)
    ]


def test_fitted_held_out_and_diverged_runs_add_up_to_all_runs_of_the_table():
    rows = rows_of(7, 2)
    for row in rows[-2:]:
        row["held_out"] = True
    rows[3] |= {"status": "diverged", "loss": None}
    said = counted(rows)
    assert said.startswith("14 runs: 11 fitted (6 sizes from 10.0k to 320k parameters, 2 seeds), ")
    assert "2 held out at 640k parameters" in said and "1 diverged" in said
    short = counted(rows, is_short=True)
    assert short == "14 runs: 11 fitted (6 sizes, 2 seeds), 2 held out at 640k parameters and 1 diverged."
    total, *parts = (int(one) for one in re.findall(r"(\d+) (?:runs:|fitted|held out|diverged)", said))
    assert total == sum(parts) == len(rows)


def test_runs_that_only_try_another_rate_are_said_to_be_at_other_learning_rates():
    rows = rows_of(6, 2)
    for row in rows:
        row["bracket"] = None
    tried = {**rows[0], "run": "tried", "bracket": 0.5}
    assert counted([*rows, tried]).endswith(") and 1 at other learning rates.")


def test_of_unique_tokens_the_amounts_of_text_are_counted_and_not_training_lengths():
    rows = [{**row, "params_total": row["params"], "unique_tokens": row["params"]} for row in rows_of(6, 2)]
    answer = replace(answer_table(with_run_names(by_role(rows_of(6, 2))), draws=0)[0], fit=None)
    asked = replace(answer, question=replace(answer.question, params="params_total", tokens="unique_tokens"))
    said = _span(rows, asked, is_short=False)
    assert said == "6 sizes from 10.0k to 320k parameters, 6 amounts of text from 10.0k to 320k tokens, 2 seeds"


def test_nothing_is_said_of_runs_where_no_law_is_claimed():
    assert counted(rows_of(2, 1)) == ""


def test_without_seeds_or_held_out_runs_only_what_is_there_is_said():
    rows = [{key: value for key, value in row.items() if key in ("params", "loss")} for row in rows_of(8, 1)]
    assert counted(rows) == "8 runs: 8 fitted (8 sizes from 10.0k to 1.28M parameters)."
    assert lawful.fit(rows, "power_floor:params", draws=0).goodness.n == 8


def test_of_a_table_with_compute_alone_the_amounts_of_compute_are_counted():
    rows = [{"flops": 1e17 * 3**size, "loss": 1.7 + 100 * (1e17 * 3**size) ** -0.15, "seed": 0} for size in range(7)]
    assert counted(rows, law="power_floor:flops", is_short=True) == "7 runs: 7 fitted (7 amounts of compute)."
