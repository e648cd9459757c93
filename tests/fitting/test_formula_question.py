"""The law of a study's question may be a formula: declared, answered, read back, and shown on the page."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

import toy_study
from lawful.conduct import conclude, train_study
from lawful.errors import DeclarationError
from lawful.fitting.answers import read_answers
from lawful.fitting.asked import declared
from lawful.laws.formula import Formula
from lawful.schema import LawData, Question
from lawful.storage.layout import Store
from planted_runs import Planted
from records import edit_plan

pytestmark = pytest.mark.usefixtures("without_figures")

TEXT = "E + A/N^alpha + B/D^beta"


@pytest.mark.parametrize(
    "law",
    [TEXT, LawData(formula=TEXT, bounds={"alpha": (0.05, 2.0)}, starts={"beta": (0.3,)})],
    ids=["text", "with bounds"],
)
def test_a_formula_answers_a_question_and_is_on_the_page(toy_folder: Callable[..., Path], law: str | LawData) -> None:
    folder = toy_folder(widths=(8, 16, 32, 48), steps=(20, 40, 80))
    edit_plan(folder, questions=(Question(name="size", asks="How?", law=law),))
    assert Store(folder).read_study().questions[0].law == law
    train_study(folder, Planted())
    page = conclude(folder)
    (answer,) = read_answers(folder)
    assert answer.fit is not None
    own = answer.fit.model
    assert isinstance(own, Formula)
    assert own.text == TEXT
    assert own.bounds == (law.bounds if isinstance(law, LawData) else {})
    found = declared(folder)
    assert found is not None
    assert found.law == own
    assert "L = E + A/N^α + B/D^β" in (folder / "report.md").read_text()
    assert 'E + A/N<span class="caret">^</span><sup>α</sup>' in page.read_text()


@pytest.mark.parametrize(
    ("law", "says"),
    [
        ("E + A/N^alpha +", "got the end"),
        ("E + A/N^alpha + B*`sparkle`^b", "it reads 'sparkle'; no column of numbers is called so"),
        ("E + A/N^alpha[sparkle]", "the table has no column 'sparkle'"),
        (LawData(formula="E + A/N^alpha", bounds={"gamma": (0.0, 1.0)}), "no parameter gamma"),
    ],
)
def test_a_formula_that_no_run_could_answer_is_refused_where_it_is_declared(law: str | LawData, says: str) -> None:
    study = toy_study.study(widths=(8, 16, 32), steps=(20, 40, 80))
    with pytest.raises(DeclarationError, match=says):
        dataclasses.replace(study, questions=[Question(name="size", asks="How?", law=law)])


def test_a_formula_may_read_a_coordinate_of_the_study_and_its_levels() -> None:
    study = toy_study.study(widths=(8, 16, 32), steps=(20, 40, 80), seeds=2)
    for law in ("E + A/N^alpha + B*`width`^-b", "E[seed] + A/N^alpha"):
        dataclasses.replace(study, questions=[Question(name="size", asks="How?", law=law)])


def test_a_question_fixes_a_parameter_in_the_units_of_the_formula() -> None:
    study = toy_study.study(widths=(8, 16, 32), steps=(20, 40, 80))
    law = "E + A/N^alpha + B/D^beta"
    dataclasses.replace(study, questions=[Question(name="size", asks="How?", law=law, fixed={"A": 400.0})])
    with pytest.raises(DeclarationError, match="fixed: A: expected a number from 0 to inf, got -1"):
        dataclasses.replace(study, questions=[Question(name="size", asks="How?", law=law, fixed={"A": -1.0})])
