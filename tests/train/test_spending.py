"""The FLOPs that a plan says each run spends are those that it spends, whatever its runs share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from in_process import Here
from lawful.conduct import train_study
from lawful.observe import observations
from lawful.planning.plan import make_plan
from lawful.run import Schedule
from lawful.storage.layout import Store
from lawful.study import Rung, Study, bracket, import_file

TOY = Path(__file__).parents[1] / "toy_study.py"


def toy(held_out: dict[str, int] | None = None, steps: tuple[int, ...] = (5, 10, 20), seeds: int = 1) -> Study:
    study: Study = import_file(TOY).study(widths=(8, 12), steps=steps, seeds=seeds)
    rungs = [replace(rung, held_out=False) for rung in study.ladder]
    return replace(study, ladder=rungs, held_out={} if held_out is None else held_out)


def changed(study: Study, **fields: object) -> Study:
    rungs = [replace(rung, run=replace(rung.run, **fields)) for rung in study.ladder]  # type: ignore[arg-type]
    return replace(study, ladder=rungs)


def with_decays(study: Study) -> Study:
    """Each run of 10 steps again, with a longer and with no decay at all."""
    return replace(
        study,
        ladder=[
            *study.ladder,
            *(
                Rung(
                    at={**rung.at, "decay": share},
                    run=replace(rung.run, schedule=Schedule(warmup_steps=5, decay_fraction=share)),
                )
                for rung in study.ladder
                if rung.at["steps"] == 10
                for share in (0.5, 0.0)
            ),
        ],
    )


def with_brackets(study: Study) -> Study:
    by_label = {rung.label: rung.run for rung in study.ladder}

    def again(**at: int) -> object:
        return by_label[",".join(f"{name}={value}" for name, value in at.items())]

    more = [rung for rung in study.ladder if rung.at["width"] == 8 and rung.at["steps"] != 5]
    return replace(study, ladder=[*study.ladder, *(new for rung in more for new in bracket(again, rung.at))])  # type: ignore[arg-type]


def with_tunings(study: Study) -> Study:
    """Two of one trunk, that start from the weights of one run."""
    parent = study.ladder[0].run
    return replace(
        study,
        ladder=[
            *study.ladder,
            *(Rung(at={"tuned": n}, run=replace(parent, steps=n, data_seed=9, starts_from=parent)) for n in (5, 10)),
        ],
    )


@pytest.mark.parametrize(
    ("declare", "from_scratch_over_spent"),
    [
        (lambda: toy(), 35 / (20 + 1 + 2)),
        (lambda: toy({"width": 12}), 35 / 23),
        (lambda: toy({"steps": 20}), 35 / 23),
        (lambda: toy({"steps": 10}), 35 / 23),
        (lambda: toy({"steps": 5}), 35 / 23),
        (lambda: changed(toy(), keep_best=True), 1.0),
        (lambda: changed(toy({"steps": 20}), keep_best=True), 1.0),
        (lambda: changed(toy(), schedule=Schedule(shape="cosine", warmup_steps=2)), 1.0),
        (lambda: changed(toy(), schedule=Schedule(shape="constant", warmup_steps=2)), 1.0),
        (lambda: changed(toy(), schedule=Schedule(warmup_steps=2, decay_fraction=1.0)), 1.0),
        (lambda: with_decays(toy()), 55 / (20 + 1 + 2 + 5 + 0)),
        (lambda: with_brackets(toy()), None),
        (lambda: with_tunings(toy()), None),
    ],
    ids=(
        "plain, held out by width, by the longest, by a middle length, by the shortest, keep_best, keep_best and held "
        "out, cosine, constant, decay all along, several decays, brackets, fine-tunings"
    ).split(", "),
)
def test_what_is_planned_is_what_is_spent(
    declare: Callable[[], Study], from_scratch_over_spent: float | None, tmp_path: Path
) -> None:
    make_plan(declare(), device_name="cpu", study_file=TOY, is_timed=False).write(tmp_path)
    train_study(tmp_path, Here())
    assert_as_planned(tmp_path, from_scratch_over_spent)


def test_a_resume_for_the_held_out_runs_spends_what_is_planned(tmp_path: Path) -> None:
    make_plan(toy({"steps": 20}), device_name="cpu", study_file=TOY, is_timed=False).write(tmp_path)
    train_study(tmp_path, Here(), is_anchors_only=True)
    assert [row["status"] for row in observations(tmp_path)].count("finished") == 4
    train_study(tmp_path, Here())
    assert_as_planned(tmp_path, 35 / 23)


def assert_as_planned(folder: Path, from_scratch_over_spent: float | None = None) -> None:
    rungs = Store(folder).read_study().runs
    rows = observations(folder)
    assert [row["status"] for row in rows] == ["finished"] * len(rungs)
    planned = {rung.rung: rung.own_flops for rung in rungs}
    spent = {rung.rung: row["flops_spent"] for rung, row in zip(rungs, rows, strict=True)}
    assert planned == pytest.approx(spent)
    if from_scratch_over_spent is not None:
        of_width = [rung for rung in rungs if rung.at["width"] == 8]
        saved = sum(rung.flops for rung in of_width) / sum(planned[rung.rung] for rung in of_width)
        assert saved == pytest.approx(from_scratch_over_spent)


@pytest.mark.parametrize("held_out", [{}, {"steps": 20}, {"steps": 20, "seed": 1}])
def test_runs_of_stacked_trunks_spend_what_is_planned(held_out: dict[str, int], tmp_path: Path) -> None:
    """Seeds of one shape are trained as one model; the trunks that are held out are stacked among themselves."""
    study = toy(held_out, steps=(10, 20), seeds=3)
    make_plan(study, device_name="cpu", study_file=TOY, is_timed=False, stacked=3).write(tmp_path)
    rungs = Store(tmp_path).read_study().runs
    for rung in rungs:
        beside = [one for one in rungs if one.held_out == rung.held_out and one.stack == rung.stack]
        is_alone = rung.held_out and "seed" in held_out
        assert rung.stack == "" if is_alone else len({one.cluster for one in beside}) == 3
    train_study(tmp_path, Here())
    assert_as_planned(tmp_path)


def test_a_held_out_run_that_starts_where_the_anchors_decay_equals_one_from_scratch(tmp_path: Path) -> None:
    results = {}
    for name, held_out in (("branched", {"steps": 20}), ("scratch", {"width": 12})):
        study = toy(held_out, steps=(10, 20) if name == "branched" else (20,))
        make_plan(study, device_name="cpu", study_file=TOY, is_timed=False).write(tmp_path / name)
        train_study(tmp_path / name, Here())
        for rung, row in zip(Store(tmp_path / name).read_study().runs, observations(tmp_path / name), strict=True):
            results[name, rung.rung] = row
    for width in (8, 12):
        branched, scratch = (results[name, f"width={width},steps=20,seed=0"] for name in ("branched", "scratch"))
        assert branched["weights_sha256"] == scratch["weights_sha256"]
        assert branched["loss"] == scratch["loss"]
        assert branched["flops_spent"] == scratch["flops_spent"] * 12 / 20
