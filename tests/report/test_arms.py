"""A study of arms: where they cross, who is ahead run by run, what others published; on the page and in report.md."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lawful.cli.announce import announce
from lawful.fitting.answer import answer_study
from lawful.fitting.answers import read_answer
from lawful.report.arms import text_table
from lawful.report.evidence import read_evidence
from lawful.report.page import all_charts, write_report
from lawful.schema import CorpusRecord, Question, Reported, Warning
from lawful.storage.atomic import write_json
from lawful.storage.layout import Store
from lawful.tables import write_csv
from records import edit_plan, planned_run, write_plan

SIZES = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000)
CROSSING = 5_000.0
SHARED = {"loss": "loss", "params": "params_non_embedding", "where": {"length": 64}}
QUESTIONS = [
    {"name": "data", "asks": "At how much text do they cross?", "law": "power_floor:tokens", "tokens": "unique_tokens"}
    | SHARED,
    {"name": "variant", "asks": "Which is best?", "law": "paired", "along": "characters", "tokens": "tokens"} | SHARED,
]


def planted(arm: str, size: float) -> float:
    """Slow and steady against quick and floored: equal at CROSSING."""
    if arm == "steady":
        return 1.2 + 1.2 * (size / CROSSING) ** -0.35
    return 2.0 + 0.4 * (size / CROSSING) ** -0.35 if arm == "floored" else 2.9 + 0.4 * (size / CROSSING) ** -0.35


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("arms") / "study")


def made(here: Path, held_out: int | None = None) -> Path:
    dice = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for arm in ("steady", "floored", "poor"):
        for size in SIZES:
            for seed in (0, 1, 2):
                run, loss = f"{arm}{size}{seed}", planted(arm, size) * np.exp(0.004 * dice.standard_normal())
                rows.append(
                    {
                        "study": "arms",
                        "run": run,
                        "rung": f"arm={arm},characters={size},length=64,seed={seed}",
                        "arm": arm,
                        "seed": seed,
                        "held_out": size == held_out,
                        "cluster": run,
                        "status": "finished",
                        "params_non_embedding": 30_000,
                        "params_total": 35_000,
                        "tokens": 200_000,
                        "unique_tokens": size,
                        "loss": float(loss),
                        "best_weights_loss": float(loss) - 0.01,
                        "loss_unit": "nats_per_token",
                        "schedule": "wsd",
                        "corpus": "text",
                        "data_fingerprint": f"{size}-{seed}",
                        "validation_fingerprint": "one",
                        "at_arm": arm,
                        "at_characters": size,
                        "at_length": 64,
                        "at_seed": seed,
                    }
                )
    rungs = [
        planned_run(
            row["run"],
            rung=row["rung"],
            held_out=row["held_out"],
            at={name: row[f"at_{name}"] for name in ("arm", "characters", "length", "seed")},
            params_non_embedding=30_000,
        )
        for row in rows
    ]
    corpora = {f"text-{size}": CorpusRecord(fingerprint="", vocabulary=65, train_tokens=size) for size in SIZES}
    counts = {name: [{"name": "bigram", "loss": 3.0 - 0.1 * i}] for i, name in enumerate(corpora)}
    reported = Reported(at={"arm": "steady", "characters": 5_000}, figures={"perplexity": 10.0, "parameters": 40_000.0})
    declared = {"name": "arms", "question": "Which?", "questions": tuple(Question(**one) for one in QUESTIONS)}
    write_csv(here / "observations.csv", rows)
    write_plan(here, *rungs, **declared, corpora=corpora, reported=(reported,), arm="arm")
    write_json(here / "baselines.json", {"by_corpus": counts})
    answer_study(here, draws=300)
    write_report(here)
    return here


def test_the_planted_crossing_lies_in_its_confidence_set_and_says_who_wins_where(folder: Path) -> None:
    found = read_answer(folder / "fits" / "data.json")
    (pair,) = [one.crossing for one in found.crossings if set(one.arms) == {"steady", "floored"}]
    assert pair is not None and pair.at == pytest.approx(CROSSING, rel=0.1)
    assert any(low <= CROSSING <= high for low, high in pair.set95)
    assert (pair.better_small, pair.better_large) == ("floored", "steady")
    sentence = found.sentence
    assert "floored is ahead of steady below unique tokens = " in sentence
    assert "; over the whole range " in sentence and "floored is ahead of poor" in sentence


def test_page_and_markdown_show_crossings_pairs_counts_and_others_figures(folder: Path) -> None:
    page, text = (folder / "report.html").read_text(), (folder / "report.md").read_text()
    for part in (
        "Where two arms cross, along unique training tokens",
        "Differences in loss over all levels of characters, and per doubling of it",
        "Beside the original",
        "Early stopped and last, seeds averaged",
        "Count models of each corpus",
    ):
        assert part in page and part in text
    assert (folder / "figures" / "data_arms.png").exists() and (folder / "figures" / "variant_levels.svg").exists()


def test_what_all_arms_show_in_one_chart_is_not_drawn_again_for_each(folder: Path) -> None:
    evidence = read_evidence(folder)
    drawn = all_charts(evidence)
    (asked,) = [one for one in evidence.answers if one.crossings]
    alone = [one for one in evidence.arms_of(asked) if one.fit]
    assert [chart.name for chart in drawn if chart.question in {one.name for one in alone}] == []
    (residuals,) = [chart for chart in drawn if chart.kind == "residuals"]
    assert {mark.name for mark in residuals.points} == {one.arm for one in alone}
    assert sum(len(mark.x) for mark in residuals.points) == sum(len(one.fit.residuals) for one in alone if one.fit)


@pytest.mark.usefixtures("without_figures")
def test_what_was_held_out_is_a_hollow_mark_of_its_arm_that_the_law_reaches(tmp_path: Path) -> None:
    from lawful.report.arms import arm_charts
    from lawful.report.evidence import read_evidence

    folder = made(tmp_path / "study", held_out=SIZES[-1])
    (chart,) = [chart for chart in arm_charts(read_evidence(folder)) if chart.name == "data_arms"]
    hollow = [marks for marks in chart.points if marks.is_open]
    assert {marks.name for marks in hollow} == {f"{arm}, held out" for arm in ("steady", "floored", "poor")}
    assert all(list(marks.x) == [SIZES[-1]] * 3 for marks in hollow)
    assert all(max(marks.x) == SIZES[-2] for marks in chart.points if not marks.is_open)
    assert all(max(line.x) == pytest.approx(SIZES[-1]) for line in chart.lines if line.name.startswith("law, "))
    assert "Hollow marks were held out" in chart.caption


@pytest.mark.usefixtures("without_figures")
def test_where_all_models_are_worse_than_counts_no_arm_is_called_ahead(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(folder, tmp_path / "study")
    with_corpora(folder)
    for below, is_learned in ((0.5, False), (50.0, True)):
        counts = {f"text-{size}": [{"name": "5-gram", "loss": below}] for size in SIZES}
        write_json(folder / "baselines.json", {"by_corpus": counts})
        announce(folder, write_report(folder))
        pages = [(folder / name).read_text() for name in ("report.html", "report.md")]
        terminal = capsys.readouterr().out
        for text in (*pages, terminal):
            assert (" is ahead " in text) == is_learned
            assert ("was not judged: every run loses to a 5-gram model" in " ".join(text.split())) != is_learned
        for text in pages:
            assert ("ahead of every other arm" in text) == is_learned
            assert ("No better than counting: each of the 54 runs has a higher loss" in text) != is_learned
            assert ("none: all worse than counts" in text) != is_learned
            assert "held-out ones too" not in text  # this study holds nothing out


@pytest.mark.usefixtures("without_figures")
def test_an_arm_that_is_worse_than_counts_at_every_size_is_named(folder: Path, tmp_path: Path) -> None:
    """Poor ends at 3.07 on the most text and begins at 3.6 on the least: worse than 2.99 there and 2.5 elsewhere."""
    folder = shutil.copytree(folder, tmp_path / "study")
    with_corpora(folder)
    counts = {f"text-{size}": [{"name": "bigram", "loss": 2.99}, {"name": "5-gram", "loss": 2.5}] for size in SIZES}
    write_json(folder / "baselines.json", {"by_corpus": counts})
    write_report(folder)
    text = (folder / "report.md").read_text()
    assert "floored is ahead of steady" in text  # these two learned somewhere
    assert "No better than counting, poor: each run has a higher loss than the strongest count model" in text


def with_corpora(folder: Path) -> None:
    """Each rung with its corpus, as a plan writes it."""
    runs = Store(folder).read_study().runs
    edit_plan(folder, runs=tuple(replace(run, corpus=f"text-{run.at['characters']}") for run in runs))


def test_ours_and_theirs_stand_in_one_row_with_their_ratio(folder: Path) -> None:
    from lawful.report.arms import reported_table
    from lawful.report.evidence import read_evidence

    ((at, theirs, ours, ratio, *_),) = reported_table(read_evidence(folder)).rows
    assert "steady" in at and theirs == "10"
    assert float(ours) == pytest.approx(np.exp(planted("steady", 5_000)), rel=0.03)
    assert float(ratio) == pytest.approx(float(ours) / 10, rel=1e-2)


def test_one_paragraph_says_what_every_question_came_to(folder: Path) -> None:
    from lawful.report.arms import in_words
    from lawful.report.evidence import read_evidence

    paragraph = " ".join(" ".join(said) for said in in_words(read_evidence(folder)))
    assert paragraph.startswith("At how much text do they cross? ")
    assert "Which is best? Over all levels of characters, " in paragraph


def test_a_coordinate_of_brackets_alone_stands_in_no_other_row_of_the_table(folder: Path) -> None:
    evidence = read_evidence(folder)
    first, *others = evidence.rows
    rows = ({**first, "at_rate": None}, *({**row, "at_rate": ""} for row in others), {**first, "at_rate": 0.5})
    said = [row[0] for row in text_table(replace(evidence, rows=rows)).rows]
    assert [at for at in said if "rate" in at] == [said[-1]] and "rate=0.5" in said[-1]


def test_what_a_comparison_says_of_an_arm_is_not_said_again_by_the_arms_own_answer(folder: Path) -> None:
    evidence = read_evidence(folder)
    of_arm = next(answer for answer in evidence.answers if evidence.parent(answer))
    parent, arm = evidence.parent(of_arm), of_arm.question.where["arm"]
    doubt = Warning(code="flat_ridge", severity="severe", sentence="A doubt.")
    both = {of_arm.name: (doubt,), getattr(parent, "name", ""): (replace(doubt, sentence=f"{arm}: A doubt."),)}
    answers = tuple(replace(answer, warnings=both.get(answer.name, ())) for answer in evidence.answers)
    said = [one.sentence for one in replace(evidence, answers=answers).severe if "A doubt." in one.sentence]
    assert said == [f"{arm}: A doubt."]
