"""A study's questions, answered from its folder: predicted before looked at, refused where that is honest."""

import json
from dataclasses import replace

import numpy as np
import pytest
from planted import chinchilla_loss
from typer.testing import CliRunner

from lawful import laws
from lawful.cli import app
from lawful.conduct import train_study
from lawful.errors import LawfulError, TableError
from lawful.fitting.answer import answer_study
from lawful.fitting.answer_records import ArmPair
from lawful.fitting.answer_words import crossings_sentence
from lawful.fitting.answers import Answer, read_answers
from lawful.fitting.asked import declared
from lawful.fitting.crossover import Crossing
from lawful.report.page import write_report
from lawful.schema import Question
from lawful.tables import read_runs, write_csv
from records import planned_run, write_plan

pytestmark = pytest.mark.usefixtures("without_figures")

SURFACE = {
    "name": "surface",
    "asks": "How does loss depend on N and D?",
    "law": "chinchilla",
    "params": "params_non_embedding",
    "tokens": "tokens",
    "loss": "loss",
    "where": {},
}


def study(folder, questions, *, sizes=6, arms=("",), gain=1.0, sigma=0.004, is_over=True, **changed):
    """A folder as training leaves it: the largest size held out, one run diverged. is_over: the held-out runs ended."""
    rng = np.random.default_rng(0)
    rows, rungs = [], []
    for arm in arms:
        for i, n in enumerate(np.geomspace(1e6, 1e9, sizes)):
            for d in (1e9, 4e9, 16e9, 64e9):
                for s in (0, 1):
                    run = f"{arm}{i}-{d:.0f}-{s}"
                    failed = (i, s, d) == (2, 1, 1e9)
                    loss = chinchilla_loss(n, d * (gain if arm == "b" else 1)) * np.exp(sigma * rng.standard_normal())
                    rows.append(
                        {
                            "study": "planted",
                            "run": run,
                            "rung": f"size={i},tokens={d:.0f},seed={s}",
                            "arm": arm,
                            "seed": s,
                            "held_out": i == sizes - 1,
                            "cluster": run,
                            "status": "diverged" if failed else "finished",
                            "reason": "loss above log vocabulary" if failed else "",
                            "params_non_embedding": int(n),
                            "tokens": int(d),
                            "loss": None if failed else float(loss),
                            "loss_unit": "nats_per_token",
                            "schedule": "wsd",
                            "is_decayed": True,
                            **changed,
                        }
                    )
                    at = {"size": i, "tokens": int(d), "seed": s}
                    counts = {"tokens": int(d), "params_non_embedding": int(n)}
                    rungs.append(planned_run(run, at=at, held_out=not is_over and i == sizes - 1, **counts))
    write_csv(folder / "observations.csv", [row for row in rows if is_over or not row["held_out"]])
    write_plan(folder, *rungs, name="planted", questions=tuple(Question(**one) for one in questions))
    return folder


def test_a_surface_is_answered_and_its_held_out_runs_predicted(tmp_path):
    (found,) = answer_study(study(tmp_path, [SURFACE]), draws=400)
    assert found.status == "answered"
    assert found.fit.goodness.n == 39
    assert len(found.held_out) == 8
    assert max(abs(row.error_relative) for row in found.held_out) < 0.02
    assert sum(row.is_inside for row in found.held_out) >= 6
    assert [row.reason for row in found.excluded] == ["diverged: loss above log vocabulary"]
    assert "N^-0.3" in found.sentence
    assert "39 runs" in found.sentence
    assert "8 held-out runs were predicted" in found.sentence
    (sister,) = found.also
    assert sister.fixed == {"E": 0.0}
    assert sister.delta_aicc > 50  # the planted law has a floor


def test_an_answer_is_written_and_read_back(tmp_path):
    answers = answer_study(study(tmp_path, [SURFACE]), draws=200)
    assert read_answers(tmp_path) == answers
    raw = json.loads((tmp_path / "fits" / "surface.json").read_text())
    assert Answer.from_json({name: value for name, value in raw.items() if name != "sha256"}) == answers[0]
    assert {"question", "status", "refusal", "sentence", "fit", "held_out", "excluded", "warnings", "also"} <= set(raw)


@pytest.mark.parametrize(
    ("where", "axis", "n"),
    [({"tokens": "max"}, "params", 10), ({"size": 4}, "tokens", 8), ({"params_non_embedding": "min"}, "tokens", 8)],
)
def test_a_power_law_takes_the_axis_that_where_leaves_open(tmp_path, where, axis, n):
    (found,) = answer_study(study(tmp_path, [{**SURFACE, "law": "power_floor", "where": where}]), draws=0)
    assert found.fit.law == f"power_floor:{axis}"
    assert found.fit.goodness.n == n


def test_held_out_runs_that_have_not_ended_are_said_to_be_still_to_come(tmp_path):
    where = {"tokens": 64_000_000_000}
    asked = {**SURFACE, "law": "power_floor:params", "where": where}
    folder = study(
        tmp_path, [asked, {**asked, "name": "small", "where": {"size": (0, 1, 2, 3), **where}}], is_over=False
    )
    large, small = answer_study(folder, draws=0)
    assert [one.sentence for one in large.warnings if "held_out" in one.code] == [
        "2 held-out runs are still to come: the law was not tested on any yet."
    ]
    assert "held-out runs are still to come" in large.headline
    assert "nothing_held_out" in {one.code for one in small.warnings}, "those to come are of another question"
    page = write_report(folder).read_text(encoding="utf-8")
    assert "The held-out runs are still to come." in page and "no held-out run has finished" in page


def test_a_power_law_with_both_axes_open_is_refused_with_the_way_out(tmp_path):
    (found,) = answer_study(study(tmp_path, [{**SURFACE, "law": "power_floor"}]), draws=0)
    assert found.status == "refused"
    assert "power_floor:tokens" in found.refusal
    (named,) = answer_study(study(tmp_path, [{**SURFACE, "law": "power_floor:flops"}]), draws=0)
    assert named.status == "answered"  # FLOPs as 6 N D, where no column of them is


@pytest.mark.parametrize(
    ("question", "changed", "sizes", "reason"),
    [
        ({}, {}, 3, "distinct values"),
        ({"law": "chinchila"}, {}, 6, "no law is called"),
        ({"where": {"width": 3}}, {}, 6, "no column 'width'"),
        ({"where": {"tokens": 17}}, {}, 6, "no finished run matches"),
        ({"loss": "wer"}, {}, 6, "no column 'wer'"),
        ({}, {"masks_padding": False}, 6, "padding counts in their loss"),
        ({}, {"status": "failed", "loss": None}, 6, "no finished run is left: of 48 that were left out, 47"),
    ],
)
def test_what_cannot_be_answered_is_refused_and_written(tmp_path, question, changed, sizes, reason):
    (found,) = answer_study(study(tmp_path, [{**SURFACE, **question}], sizes=sizes, **changed), draws=0)
    assert found.status == "refused"
    assert reason in found.refusal
    assert json.loads((tmp_path / "fits" / "surface.json").read_text())["status"] == "refused"


@pytest.mark.parametrize(
    ("where", "reason"),
    [({"tokens": "max"}, "tokens is not the largest, 64,000,000,000"), ({"size": 4}, "size is not 4")],
)
def test_rows_that_a_question_leaves_out_have_a_reason_in_words(tmp_path, where, reason):
    (found,) = answer_study(study(tmp_path, [{**SURFACE, "law": "power_floor", "where": where}]), draws=0)
    assert reason in {row.reason for row in found.excluded}


@pytest.mark.parametrize("cell", [None, 0.0])
def test_a_run_without_a_value_of_the_questions_column_is_named_and_other_questions_are_answered(tmp_path, cell):
    folder = study(tmp_path, [{**SURFACE, "loss": "accuracy"}, {**SURFACE, "name": "loss"}])
    rows = [{**row, "accuracy": row["loss"] or None} for row in read_runs(folder)]
    rows[3]["accuracy"] = cell
    write_csv(folder / "observations.csv", rows)
    refused, answered = answer_study(folder, draws=0)
    assert (refused.status, refused.code, answered.status) == ("refused", "no_value", "answered")
    assert f"none of {rows[3]['rung']}" in refused.refusal


def test_a_table_that_cannot_be_read_is_no_refusal(tmp_path):
    folder = study(tmp_path, [SURFACE, {**SURFACE, "name": "rate", "loss": "accuracy"}])
    rows = [{**row, "accuracy": row["loss"] or None} for row in read_runs(folder)]
    rows[3]["accuracy"] = "0.3 or so"
    write_csv(folder / "observations.csv", rows)
    with pytest.raises(TableError, match=r"(?s)question 'rate': .*column 'accuracy'") as error:
        answer_study(folder, draws=0)
    assert "0.3 or so" in str(error.value)
    assert not (folder / "fits").exists()


def test_a_bug_in_a_fit_is_no_refusal(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise ValueError("operands could not be broadcast together")

    monkeypatch.setattr("lawful.fitting.answer.fit", broken)
    with pytest.raises(ValueError, match="broadcast"):
        answer_study(study(tmp_path, [SURFACE]), draws=0)


def test_a_refusal_names_the_study_and_not_the_folder_it_lies_in(tmp_path):
    (found,) = answer_study(study(tmp_path, [{**SURFACE, "loss": "wer"}]), draws=0)
    assert found.refusal.startswith("planted: ")
    assert str(tmp_path) not in json.dumps(found.to_json())


def test_arms_are_answered_apart_and_compared(tmp_path):
    folder = study(tmp_path, [SURFACE], arms=("a", "b"), gain=1.5)
    whole, first, second = answer_study(folder, draws=0)
    assert [a.question.name for a in (whole, first, second)] == ["surface", "surface--a", "surface--b"]
    assert whole.fit is None
    assert whole.comparison.verdict != "no difference shown"
    assert "times the compute" in whole.sentence
    assert first.fit.goodness.n == second.fit.goodness.n == 39
    assert len(first.held_out) == 8
    assert read_answers(folder) == [whole, first, second]


def test_a_comparison_of_a_study_that_asks_about_each_arm_is_of_all_its_arms(tmp_path):
    folder = study(tmp_path, [{**SURFACE, "name": arm, "where": {"arm": arm}} for arm in ("a", "b")], arms=("a", "b"))
    alone, together = declared(folder), declared(folder, compares=True)
    assert {row["arm"] for row in alone.rows.rows} == {"a"}  # a fit is of the first question
    assert {row["arm"] for row in together.rows.rows} == {"a", "b"}
    assert declared(folder, name="b", compares=True).name == "b"


def test_pairs_that_cross_or_not_or_perhaps_are_told_apart_in_words():
    once = replace(CROSSING, at=17_234.0, better_small="a", better_large="b")
    never = replace(CROSSING, better_small="b", better_large="b", leader="b")
    text = said(replace(once, set95=((0.0, 500.0), (11e3, 29.6e3))))
    assert text == "a is ahead of b below unique tokens = 17,200 (95 % set 11,000 to 29,600) and behind above."
    text = said(replace(once, set95=((2e3, 3e3), (4e4, float("inf"))), level=1 - 0.05 / 3))
    assert "(98.3 % set 2,000 to 3,000 and 40,000 to 50,000)" in text  # a set ends where the data do
    text = crossings_sentence([pair(never), ArmPair(arms=("a", "c"), refusal="no law of c")])
    assert text == "No crossing inside the data (1,000 to 50,000): over the whole range b is ahead of a."
    unsure = replace(never, leader=None)
    assert said(unsure) == (
        "Neither a crossing nor a steady lead is established for unique tokens from 1,000 to 50,000."
    )
    assert said(never, unsure) == (
        "No crossing is established inside the data (1,000 to 50,000): over the whole range b is ahead of a; for one "
        "pair neither a crossing nor a steady lead is established."
    )
    assert said(once, unsure).endswith(
        "and behind above; for one pair neither a crossing nor a steady lead is established."
    )


CROSSING = Crossing(
    axis="tokens",
    axis_name="unique tokens",
    arms=("a", "b"),
    p=0.001,
    at=None,
    leader=None,
    set95=(),
    shared_range=(1e3, 5e4),
    better_small="a",
    better_small_probability=0.99,
    better_large="b",
    better_large_probability=0.99,
    level=0.95,
    is_paired=False,
    sentence="",
)


def pair(crossing):
    return ArmPair(arms=crossing.arms, crossing=crossing)


def said(*crossings):
    return crossings_sentence([pair(one) for one in crossings])


OWN_LAW = """
from dataclasses import dataclass
from pathlib import Path
from lawful.laws.power_floor import PowerFloor
Path(__file__).with_name("ran").touch()
@dataclass(frozen=True)
class Mine(PowerFloor):
    axis: str = "tokens"
"""


def test_a_folder_runs_no_law_of_its_own_until_the_user_names_it(tmp_path):
    law = tmp_path / "mine.py"
    law.write_text(OWN_LAW, encoding="utf-8")
    question = {**SURFACE, "name": "own", "law": f"{law}:Mine", "where": {"size": 4}}
    folder = study(tmp_path / "study", [question])
    for ask in (
        lambda: answer_study(folder, draws=0),
        lambda: train_study(folder, None),
        lambda: declared(folder),
    ):
        with pytest.raises(
            LawfulError, match=r"mine\.py:Mine' is not one of lawful's own laws.*--law '.*mine\.py:Mine'"
        ):
            ask()
    for command in ("report", "fit", "predict"):
        more = ("--tokens", "1e9") if command == "predict" else ()
        refused = CliRunner().invoke(app, [command, str(folder), *more])
        assert "is not one of lawful's own laws" in str(refused.exception), (command, refused.output)
    assert not (tmp_path / "ran").exists()
    assert not (folder / "fits").exists()
    laws.named(f"{law}:Mine")
    assert (tmp_path / "ran").exists()
    (found,) = answer_study(folder, draws=0)
    assert found.status == "answered"
    assert found.fit.model.inputs == ("tokens",)
    assert read_answers(folder) == [found]
    assert "falls as D^-0.3" in found.sentence
