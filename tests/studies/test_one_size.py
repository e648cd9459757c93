"""One size of each built-in study: it is declared at any size, and its page says what a single setting cannot say."""

from __future__ import annotations

from pathlib import Path

import pytest

from lawful.errors import LawfulError
from lawful.fitting.answer import answer_study
from lawful.schema import Question
from lawful.storage.layout import Store
from lawful.studies import find
from lawful.study import Rung, Study, declare, largest
from lawful.tables import write_csv
from records import planned_run, write_plan


def declared(name: str, scale: str, **settings: str) -> Study:
    return declare(find(name)[0], scale, settings)


def sizes_of(study: Study) -> set[int]:
    return {rung.training.family.param_counts().non_embedding for rung in study.ladder}


@pytest.mark.parametrize(
    ("name", "scale", "settings", "size", "runs"),
    [
        ("activation", "quick", {"sizes": "3e6", "arms": "gelu"}, 3e6, 3),
        ("activation", "smoke", {"sizes": "1e5", "arms": "swiglu"}, 1e5, 1),
        ("shakespeare", "quick", {"sizes": "10M", "tokens": "1e6", "seeds": "1"}, 1e7, 1),
        ("music", "quick", {"sizes": "3e6", "arms": "lstm"}, 3e6, 2),
        ("emg", "smoke", {"sizes": "3e5"}, 3e5, 1),
        ("emg", "full", {"sizes": "5e6"}, 5e6, 3),
        ("emg", "full", {"widths": "384"}, 6_225_344, 3),
        ("equilibrium", "quick", {"size": "1e5", "characters": "5000", "lengths": "64", "arms": "eqprop-full"}, 1e5, 2),
    ],
)
def test_one_size_and_one_arm_of_a_study_is_a_single_setting_with_its_seeds(
    name: str, scale: str, settings: dict[str, str], size: float, runs: int
) -> None:
    study = declared(name, scale, **settings)
    assert len(study.ladder) == runs and study.arm is None and not any(rung.held_out for rung in study.ladder)
    assert [*sizes_of(study)] == [pytest.approx(size, rel=0.05)]
    assert len({tuple((k, v) for k, v in rung.at.items() if k != "seed") for rung in study.ladder}) == 1


def test_both_arms_at_one_size_are_compared_seed_by_seed() -> None:
    of_study = {
        "activation": {"sizes": "3e6"},
        "music": {"sizes": "3e6"},
        "emg": {"sizes": "1e5", "bodies": "transformer,tds"},
        "equilibrium": {"characters": "5000", "lengths": "64"},
    }
    for name, settings in of_study.items():
        study = declared(name, "quick", **settings)
        assert [question.law for question in study.questions] == ["paired"]
        assert all(rung.bracket is None for rung in study.ladder)  # a single point is not tuned


def test_a_size_that_no_model_has_is_refused_with_the_nearest_ones() -> None:
    with pytest.raises(LawfulError, match=r"sizes: no decoder .* nearest reachable sizes are .*12,384 \(32 wide"):
        declared("shakespeare", "quick", sizes="1e4")
    with pytest.raises(LawfulError, match=r"sizes: no encoder has 100,000 parameters .* nearest have 413,376"):
        declared("emg", "full", sizes="1e5")
    with pytest.raises(LawfulError, match="size: no decoder .* has 4,500 non-embedding parameters within 5%"):
        declared("equilibrium", "quick", size="4500")
    with pytest.raises(LawfulError, match="both 144 wide"):
        declared("shakespeare", "quick", sizes="990000,996624")
    for name, scale in (("activation", "quick"), ("shakespeare", "quick"), ("music", "quick"), ("music", "published")):
        with pytest.raises(LawfulError, match="batch_tokens: expected at least one window of .*, got 10"):
            declared(name, scale, batch_tokens="10")
    with pytest.raises(LawfulError, match="widths, sizes: expected one of them"):
        declared("music", "quick", sizes="3e6", widths="24")


def test_three_sizes_are_the_fewest_of_which_the_largest_is_held_out() -> None:
    assert largest("width", (16, 32)) == {} and largest("width", (16, 40, 32)) == {"width": 40}


def test_batches_and_epochs_that_the_originals_had_can_be_set() -> None:
    def first(name: str, scale: str, **settings: str) -> Rung:
        return declared(name, scale, **settings).ladder[0]

    one, four = (first("shakespeare", "quick", batch_tokens=size).training for size in ("1024", "4096"))
    assert four.batch_size == 4 * one.batch_size and four.tokens == one.tokens
    assert four.optimizer.learning_rate == pytest.approx(2 * one.optimizer.learning_rate)  # square root of the batch
    assert first("shakespeare", "published", epochs="3").training.steps == 3 * 88
    assert first("activation", "quick", batch_tokens="8192").training.batch_size == 8192 // 64
    whole, three = (first("equilibrium", "published", **more).training for more in ({}, {"epochs": "3"}))
    assert whole.steps == pytest.approx(10 * three.steps, rel=0.02)  # rounded to whole steps
    assert "15 epochs are about 300 passes" in " ".join(declared("equilibrium", "published", form="quick").faults)
    with pytest.raises(LawfulError, match="epochs: they belong to the published scale"):
        declared("shakespeare", "quick", epochs="2")


def study_of(folder: Path, arms: dict[str, tuple[float, ...]], held_out: float | None = None) -> None:
    """held_out    the loss of a larger size that is held out"""
    rungs, rows = [], []
    for arm, losses in arms.items():
        for seed, loss in enumerate(losses):
            at = {"arm": arm, "width": 16, "seed": seed}
            rungs.append(planned_run(f"{arm}{seed}", at=at, arm=arm, seed=seed, params_non_embedding=1000))
            row = {"run": f"{arm}{seed}", "status": "finished", "arm": arm, "seed": seed, "loss": loss}
            rows.append({**row, "params_non_embedding": 1000, "tokens": 1000})
    if held_out is not None:
        at, larger = {"width": 32, "seed": 0}, {"params_non_embedding": 4000, "held_out": True}
        rungs.append(planned_run("larger", at=at, **larger))
        rows.append({"run": "larger", "status": "finished", "loss": held_out, "tokens": 1000, **larger})
    question = Question(name="size", asks="How does the loss fall?", law="power_floor:params")
    write_plan(folder, *rungs, questions=(question,))
    write_csv(Store(folder).observations, rows)


def test_a_single_setting_is_told_with_its_loss_and_that_no_law_is_claimed(tmp_path: Path) -> None:
    study_of(tmp_path, {"gelu": (2.0, 2.5)})
    (answer,) = answer_study(tmp_path, draws=0)
    assert answer.status == "refused"
    assert answer.headline == "A single setting was trained, so no law is claimed; its loss is 2.25."
    assert answer.basis.startswith("Mean of 2 seeds.") and "four sizes" in answer.next_step


def test_a_held_out_size_beside_one_that_is_fitted_is_no_single_setting(tmp_path: Path) -> None:
    """The mean of both sizes was told as the loss of the setting, and the two as its seeds."""
    study_of(tmp_path, {"": (2.0,)}, held_out=1.0)
    (answer,) = answer_study(tmp_path, draws=0)
    assert answer.status == "refused" and "single setting" not in answer.headline and "seeds" not in answer.basis


def test_a_single_setting_of_two_arms_claims_no_winner(tmp_path: Path) -> None:
    study_of(tmp_path, {"gelu": (2.0,), "swiglu": (1.9,)})
    answer = answer_study(tmp_path, draws=0)[0]
    assert (
        answer.headline == "A single setting of each arm was trained: no law is claimed, and no arm is called better."
    )
    assert answer.basis.startswith("One seed: gelu 2, swiglu 1.9.")


def test_arms_of_a_single_setting_with_unlike_numbers_of_seeds_are_told_so(tmp_path: Path) -> None:
    study_of(tmp_path, {"gelu": (2.0, 2.5), "swiglu": (1.9,)})
    assert answer_study(tmp_path, draws=0)[0].basis.startswith("Means of 1 to 2 seeds: gelu 2.25, swiglu 1.9.")
