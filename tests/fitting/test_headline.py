"""A headline can be quoted: short, and true to what the records beneath it hold."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

from lawful.codes import REFUSALS
from lawful.fitting import headline, headline_arms, headline_fit, headline_text, number_text
from lawful.fitting.answer_records import ArmPair
from lawful.fitting.answers import Answer
from lawful.fitting.records import HeldOut, Parameter
from lawful.fitting.truth import Recovered
from lawful.laws.chinchilla import Chinchilla
from lawful.laws.power_floor import PowerFloor
from lawful.schema import Question, Warning
from lawful.study import import_file
from records import a_fit, comparison

count = import_file(Path(__file__).parents[2] / "benchmarks" / "headlines.py")
MISFIT = Warning("misfit", "severe", "The residuals follow a trend.")


def of_tokens(alpha: float, **fields: Any) -> Any:
    found = a_fit(PowerFloor("tokens"), {"E": 1.0, "a_pivot": 2.0, "alpha": alpha}, **fields)
    return found


def held(inside: int, outside: int) -> list[HeldOut]:
    def one(observed: float) -> HeldOut:
        return HeldOut(
            run="a", rung="a", params=None, tokens=1e6, seed=0, predicted=2.0, interval=(1.9, 2.1), observed=observed,
            error_relative=2.0 / observed - 1, is_inside=observed < 2.1,
        )  # fmt: skip

    return [one(2.01)] * inside + [one(2.5)] * outside


def test_200_simulated_answers_of_all_kinds_have_at_most_25_words_and_two_numbers():
    said = list(count.simulated(200, seed=3))
    assert {name for name, _ in said} == set(count.KINDS) and len(said) == 200
    assert [one.sentence for _, one in said if not count.is_quotable(one.sentence)] == []
    assert all(one.sentence.endswith((".", "…")) and "nan" not in one.sentence for _, one in said)


@pytest.mark.parametrize(
    ("sentence", "words", "numbers"),
    [
        ("SwiGLU needs 8 % less compute; not decided.", 7, 1),
        ("From 1.5e-3 to −2.7e12 it holds.", 6, 2),
        ("17,200 is two runs of digits", 6, 2),
    ],
)
def test_words_and_numbers_are_counted_as_a_reader_counts_them(sentence, words, numbers):
    assert count.words_of(sentence) == words
    assert count.numbers_of(sentence) == numbers


def test_an_exponent_is_said_as_what_ten_times_the_amount_does():
    said = headline_fit.of_fit(of_tokens(0.5), held(4, 0))
    cut = 100 * (1 - 10**-0.5)  # 68 %, by hand
    low, high = (100 * (1 - 10 ** -(0.5 * share)) for share in (0.97, 1.03))
    wanted = f"Ten times the tokens cut the reducible loss by {cut:.0f} %; held-out forecasts held."
    assert said.sentence == wanted
    assert f"95 % interval {low:.0f} to {high:.0f} %" in said.basis


@pytest.mark.parametrize(
    ("inside", "outside", "words"),
    [(0, 0, "nothing was held out"), (7, 1, "not all held-out forecasts held"), (0, 3, "failed"), (2, 2, "failed")],
)
def test_held_out_forecasts_are_called_held_failed_or_absent(inside, outside, words):
    assert words in headline_fit.of_fit(of_tokens(0.5), held(inside, outside)).sentence


def test_a_severe_doubt_is_the_sentence_and_no_exponent_is_stated():
    said = headline_fit.of_fit(of_tokens(0.5, warnings=(MISFIT,)), held(0, 2))
    assert said.sentence.endswith("but the fitted formula (power_floor) does not fit these runs.")
    assert "68" not in said.sentence and "Ten times" not in said.sentence
    other = headline_fit.of_fit(of_tokens(0.5, warnings=(Warning("undecayed", "severe", "Some."),)))
    assert other.sentence == "No exponent is quoted: some runs ended before their learning rate had decayed."


def test_a_fall_between_two_runs_has_the_interval_that_the_noise_between_seeds_gives_it():
    rows = [{"run": name, "tokens": tokens, "loss": loss} for name, tokens, loss in (("a", 1e6, 3.0), ("b", 1e8, 2.0))]
    fit = a_fit(PowerFloor("tokens"), {"E": 1.0, "a_pivot": 2.0, "alpha": 0.5}, rows, warnings=(MISFIT,))
    tests = {"F": 1.0, "dof": 3, "dof_replicates": 8, "p": 0.5}
    noisy = dataclasses.replace(fit.goodness, sigma_run=0.01, lack_of_fit=tests)
    said = headline_fit.of_fit(dataclasses.replace(fit, goodness=noisy))
    reach = 2.306 * 2**0.5 * 0.01  # Student's t with 8 degrees of freedom, by a table
    low, high = (100 * (1 - 2 / 3 * math.exp(sign * reach)) for sign in (1, -1))
    assert said.basis.startswith(f"95 % interval {low:.2g} to {high:.2g} % by the noise between seeds; loss 3 to 2; ")
    alone = headline_fit.of_fit(dataclasses.replace(fit, goodness=dataclasses.replace(noisy, sigma_run=None)))
    assert "95 % interval" not in alone.basis


def test_an_exponent_that_is_open_is_said_as_what_ten_times_the_amount_may_do():
    open_one = Warning("not_identified", "severe", "alpha (0.5, 95 % interval [0.485, 0.515]): not determined.")
    said = headline_fit.of_fit(of_tokens(0.5, warnings=(open_one,)))
    low, high = (100 * (1 - 10 ** -(0.5 * share)) for share in (0.97, 1.03))
    assert said.basis.startswith(f"95 % interval of the cut by tenfold tokens {low:.0f} to {high:.0f} %")
    assert "alpha" not in said.basis


def test_an_exponent_that_is_not_determined_is_not_stated_and_the_other_is():
    values = {"E": 1.0, "A_pivot": 1.0, "B_pivot": 1.0, "alpha": 0.3, "beta": 0.4}
    doubt = Warning("not_identified", "severe", "beta (0.4, 95 % interval [0.1, 1.2]): not determined.")
    said = headline_fit.of_fit(a_fit(Chinchilla(), values, warnings=(doubt,)))
    assert "50 %" in said.sentence and "what more tokens bring is not determined" in said.sentence
    assert "60 %" not in said.sentence


def test_the_arm_that_needs_less_is_named_with_what_it_saves():
    found = comparison("coefficients differ", alpha=(0.0, (-0.1, 0.1)), times=(0.92, (0.871, 0.972)))
    said = headline_arms.of_arms(found)
    assert said.sentence == (
        "swiglu needs 8 % fewer tokens than gelu for the same loss; whether the gain grows with scale is not decided."
    )
    assert "2.8 to 13 %" in said.basis and "12 runs" in said.basis
    other = headline_arms.of_arms(dataclasses.replace(found, multipliers=(dataclasses.replace(
        found.multipliers[0], value=1 / 0.92, ci95=(1 / 0.972, 1 / 0.871)),)))  # fmt: skip
    assert other.sentence.startswith("gelu needs 8 % fewer tokens than swiglu")


def test_equal_is_said_only_where_a_margin_is_excluded():
    close = comparison("no difference shown", alpha=(0.0, (-0.1, 0.1)), times=(1.01, (0.97, 1.05)))
    assert headline_arms.of_arms(close).sentence == (
        "gelu and swiglu need the same tokens for the same loss, to within 5 %."
    )
    wide = comparison("no difference shown", alpha=(0.0, (-0.1, 0.1)), times=(1.05, (0.655, 1.67)))
    assert headline_arms.of_arms(wide).sentence == (
        "Which of gelu and swiglu is better is not decided: 1.7 times the tokens for the same loss is not excluded."
    )
    unknown = comparison("no difference shown", alpha=(0.0, (-0.1, 0.1)), times=(math.nan, (math.nan, math.nan)))
    assert "same" not in headline_arms.of_arms(unknown).sentence


def test_a_doubt_about_the_law_leaves_no_arm_ahead():
    found = comparison("exponents differ", alpha=(0.1, (0.05, 0.15)), times=(0.5, (0.4, 0.6)))
    said = headline_arms.of_arms(found, (), (MISFIT,))
    assert said.sentence.startswith("Which of gelu and swiglu is better is not decided")
    assert not count.numbers_of(said.sentence)


def test_of_several_pairs_of_arms_an_interval_is_wider_than_of_one():
    found = comparison("coefficients differ", alpha=(0.0, (-0.1, 0.1)), times=(0.92, (0.85, 0.995)))
    (one,) = found.multipliers
    assert headline_arms._gain(one, 1) is not None and headline_arms._gain(one, 3) is None


def test_arms_that_cross_are_said_with_where_and_the_set():
    crossing = count._crossing(count.random.Random(1), ("gelu", "swiglu"))
    crossing = dataclasses.replace(
        crossing, at=2e10, leader=None, axis_name="flops", set95=((1e10, 4e10),), shared_range=(1e9, 1e12)
    )
    said = headline_arms.of_arms(None, (ArmPair(arms=("gelu", "swiglu"), crossing=crossing),))
    assert said.sentence == "gelu is ahead below 2e10 FLOPs, swiglu above it."
    assert "1e10 FLOPs to 4e10 FLOPs" in said.basis


def test_every_refusal_has_its_own_short_reason():
    for code in REFUSALS:
        said = headline.of_refusal(code, "why")
        assert "cannot answer" not in said.sentence and count.is_quotable(said.sentence), code
        assert said.basis == "why" and said.next_step == REFUSALS[code].do


def test_worse_than_counting_takes_back_who_is_ahead():
    before = headline_text.Headline(sentence="a is ahead of b at every size measured; whether it grows is not decided.")
    both = headline.worse_than_counts(before, ["a", "b"], {"a": [0.1], "b": [0.4]}, ["5-gram"])
    assert both.sentence == "Which of a and b is better was not judged: every run loses to a 5-gram model."
    assert both.basis.startswith("the loss of each of the 2 runs is 0.1 to 0.4 nats per token")
    held_out = headline.worse_than_counts(before, ["a", "b"], {"a": [0.1], "b": [0.4]}, has_held_out=True)
    assert "each of the 2 runs, held-out ones too, is 0.1" in held_out.basis
    one = headline.worse_than_counts(before, ["b"], {"a": [-0.1], "b": [0.4]})
    assert "a is ahead of b" in one.sentence and "b does not beat an n-gram model" in one.sentence


def test_a_parameter_at_its_bound_is_not_stated():
    fit = of_tokens(0.5)
    open_one = Parameter("alpha", 10.0, math.nan, (1.0, math.inf), at_bound="high")
    said = headline_fit.of_fit(dataclasses.replace(fit, params={**fit.params, "alpha": open_one}))
    assert said.sentence.startswith("These runs do not determine how fast the loss falls with tokens")


def test_a_severe_doubt_about_the_design_is_said_in_place_of_the_law():
    found = of_tokens(0.5)
    asked = Question(name="loss", asks="How?", law="power_floor:tokens")
    answer = Answer(question=asked, status="answered", sentence="In full.", fit=found)
    assert answer.with_headline().headline.startswith("Ten times the tokens")
    mixed = Warning("mixed-schedules", "severe", "Two schedules.")
    said = answer.with_headline([mixed])
    assert said.headline == "No exponent is quoted: runs have different learning-rate schedules."
    unrelated = Warning("data-missing", "severe", "Not here.")
    assert answer.with_headline([unrelated]).headline == answer.with_headline().headline


def test_a_study_of_planted_values_says_how_many_were_recovered():
    first = headline_fit.of_fit(of_tokens(0.5))
    found = [
        Recovered(name="alpha", planted=0.5, found=0.51, interval=(0.4, 0.6), is_inside=True),
        Recovered(name="E", planted=1.0, found=1.3, interval=(1.2, 1.4), is_inside=False),
    ]
    said = headline.of_truth(first, {"size": found})
    assert said.sentence == "1 of 2 planted values and verdicts were recovered."
    assert said.basis.startswith("missed: E of question size, planted 1, found 1.3 (95 % interval 1.2 to 1.4).")
    assert "67 to 69" not in said.basis and said.next_step.startswith("Look at what was not recovered")
    assert headline.of_truth(first, {"size": found[:1]}).next_step == first.next_step


def test_of_three_arms_compared_at_one_loss_none_is_called_ahead_over_the_whole_range():
    found = comparison("exponents differ", alpha=(0.1, (0.05, 0.15)), times=(0.6, (0.55, 0.65)))
    (one,) = found.multipliers
    against = {("gelu", "relu"): (1.4, (1.3, 1.5)), ("swiglu", "relu"): (1.9, (1.8, 2.0))}
    more = [dataclasses.replace(one, first=a, second=b, value=v, ci95=ci) for (a, b), (v, ci) in against.items()]
    found = dataclasses.replace(found, arms=("gelu", "swiglu", "relu"), multipliers=(one, *more))
    said = headline_arms.of_arms(dataclasses.replace(found, decision="exponents differ"))
    assert said.sentence == (
        "swiglu needs the fewest tokens of the three variants at a middle loss; their exponents differ, so the order "
        "may change with scale."
    )
    assert "against gelu, the next," in said.basis
    assert count.is_quotable(said.sentence)


def test_the_rows_of_a_history_are_not_called_runs():
    rows = [{"run": f"{run}", "tokens": 1e6 * step, "loss": 2.0} for run in range(5) for step in range(1, 21)]
    found = a_fit(PowerFloor("tokens"), {"E": 1.0, "a_pivot": 2.0, "alpha": 0.5}, rows)
    found = dataclasses.replace(found, goodness=dataclasses.replace(found.goodness, clusters=5))
    assert headline_fit.of_fit(found).basis.endswith("100 rows of 5 runs")
    branches = [{**row, "run": f"{number}"} for number, row in enumerate(rows)]
    found = a_fit(PowerFloor("tokens"), found.values, branches, goodness=found.goodness)
    assert headline_fit.of_fit(found).basis.endswith("100 runs in 5 independent groups")


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.514, 0.572, "51 to 57"), (0.5991, 0.6018, "59.9 to 60.2"), (0.98997, 0.99002, "98.997 to 99.002")],
)
def test_the_ends_of_an_interval_in_per_cent_are_written_apart(low: float, high: float, said: str) -> None:
    assert number_text.percent_range(low, high) == said
