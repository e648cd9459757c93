"""Arms are tuned alike where each one's learning rate was bracketed at two settings; else the headline says so."""

from __future__ import annotations

from dataclasses import replace

from lawful.fitting.headline import NOT_TUNED, not_tuned
from lawful.fitting.headline_text import WORDS, Headline
from lawful.linter.tuning import bracketed_settings, untuned
from lawful.schema import PlannedRun, Question
from lawful.studies import find
from lawful.study import declare, planned_run
from records import planned_run as made

ASKED = (Question(name="size", asks="?", law="power_floor"),)


def ladder(**brackets: tuple[int, ...]) -> list[PlannedRun]:
    """Two arms of four widths; of each arm, brackets at some of them."""
    runs = []
    for arm, widths in brackets.items():
        for width in (8, 16, 24, 32):
            for rate in (0.5, 1.0, 2.0) if width in widths else (1.0,):
                at = {"arm": arm, "width": width, "seed": 0} | ({} if rate == 1 else {"rate": rate})
                size = {"arm": arm, "params_non_embedding": width**2, "learning_rate": rate / width}
                bracket = None if rate == 1 else rate
                runs.append(made(f"{arm}{width}x{rate}", at=at, bracket=bracket, **size))
    return runs


def ended(runs: list[PlannedRun], without: str = "") -> list[dict[str, str]]:
    return [{"run": run.run, "status": "finished"} for run in runs if run.run != without]


def test_arms_with_brackets_at_two_sizes_each_are_tuned_alike() -> None:
    runs = ladder(gelu=(8, 24), swiglu=(8, 24))
    assert bracketed_settings(runs) == {"gelu": (2, 4), "swiglu": (2, 4)}
    assert untuned(runs, ASKED) == untuned(runs, ASKED, ended(runs)) == []


def test_an_arm_with_brackets_at_one_size_is_named_and_so_is_one_whose_bracket_has_not_ended() -> None:
    runs = ladder(gelu=(8, 24), swiglu=(8,))
    (warning,) = untuned(runs, ASKED)
    assert "(swiglu at 1 of 4)" in warning.sentence and warning.code == "arms-not-tuned"
    runs = ladder(gelu=(8, 24), swiglu=(8, 24))
    (warning,) = untuned(runs, ASKED, ended(runs, without="gelu24x2.0"))
    assert "(gelu at 1 of 4)" in warning.sentence


def test_a_rate_that_the_ladder_itself_sweeps_counts_as_tried() -> None:
    runs = [
        made(f"{arm}{width}{factor}", at={"arm": arm, "width": width, "lr": factor, "seed": 0}, arm=arm)
        for arm in ("adam", "lion")
        for width in (8, 16)
        for factor in (1, 2, 4)
    ]
    assert untuned(runs, ASKED)  # all have one learning rate, whatever the coordinate is called
    swept = [replace(run, learning_rate=0.01 * float(run.at["lr"])) for run in runs]
    assert untuned(swept, ASKED) == []


def test_a_rate_that_follows_the_size_is_no_bracket() -> None:
    assert bracketed_settings(ladder(gelu=(), swiglu=())) == {"gelu": (0, 4), "swiglu": (0, 4)}


def test_nothing_is_said_of_one_arm_of_commands_and_of_what_was_planted() -> None:
    assert untuned(ladder(gelu=()), ASKED) == []
    commands = [made(arm, at={"arm": arm, "seed": 0}, arm=arm, kind="command") for arm in ("a", "b")]
    assert untuned(commands, ASKED) == []
    planted = (Question(name="size", asks="?", law="power_floor:params", truth={"alpha": 0.3}),)
    assert untuned(ladder(gelu=(), swiglu=()), planted) == []


def test_every_built_in_comparison_is_tuned_at_quick_scale_and_the_plan_of_one_that_is_not_says_so() -> None:
    settings = {"emg": {"bodies": "transformer,tds"}}
    for name in ("activation", "music", "equilibrium", "emg"):
        study = declare(find(name)[0], "quick", settings.get(name))
        runs = [planned_run(rung, study.arm) for rung in study.ladder]
        assert len(bracketed_settings(runs)) > 1 and untuned(runs, study.questions) == []
    study = declare(find("equilibrium")[0], "smoke")
    assert untuned([planned_run(rung, study.arm) for rung in study.ladder], study.questions)


def test_the_doubt_stands_in_a_headline_of_any_length_and_other_clauses_give_way_to_it() -> None:
    short = not_tuned(Headline(sentence="swiglu needs 8 % less compute than gelu for the same loss."))
    assert short.sentence == f"swiglu needs 8 % less compute than gelu for the same loss; {NOT_TUNED}."
    tail = "whether the lead grows with scale is not decided by these runs"
    long = not_tuned(Headline(sentence=f"swiglu is ahead of gelu at every compute budget measured; {tail}."))
    assert long.sentence == f"swiglu is ahead of gelu at every compute budget measured; {NOT_TUNED}."
    one = not_tuned(Headline(sentence=" ".join(["word"] * WORDS) + "."))
    assert len(one.sentence.split()) == WORDS and one.sentence.endswith(f"…; {NOT_TUNED}.")
