"""Which law a table can carry: the same choice for every question, shown, and never a pool of runs in silence."""

from __future__ import annotations

import numpy as np
import pytest

import lawful
from lawful.errors import LawfulError, Refusal
from lawful.fitting.default_law import how_counts_vary, resolved
from lawful.fitting.replay import replay
from lawful.tables import read_runs

SIZES = np.repeat(np.geomspace(1e6, 1e9, 8), 2)


def ladder(tokens, *, arm="a", gain=1.0, seed=0):
    """Loss of compute, as it is where tokens follow size."""
    rng = np.random.default_rng([seed, len(arm)])
    return [
        {"arm": arm, "params": float(n), "tokens": float(d), "seed": i % 2,
         "loss": float((1.6 + 1.2 * (gain * 6 * n * d / 1e16) ** -0.15) * np.exp(0.001 * rng.standard_normal()))}
        for i, (n, d) in enumerate(zip(SIZES, tokens, strict=True))
    ]  # fmt: skip


def jitter(share):
    return np.exp(share * np.random.default_rng(2).standard_normal(len(SIZES)))


@pytest.mark.parametrize(
    ("tokens", "vary", "law"),
    [
        (20 * SIZES, "together", "power_floor:flops"),
        (20 * SIZES * jitter(0.03), "together", "power_floor:flops"),
        (3e4 * SIZES**0.7, "together", "power_floor:flops"),
        (20 * SIZES * jitter(0.7), "apart", "chinchilla"),
        (1e17 / SIZES, "apart", "chinchilla"),
        (1e9 * jitter(0.01), "params", "power_floor:params"),
    ],
)
def test_the_law_follows_from_how_params_and_tokens_vary(tokens, vary, law):
    table = read_runs(ladder(tokens))
    assert how_counts_vary(table) == vary
    choice = resolved(None, table)
    assert choice.law.spec == law
    assert f"{law} is fitted" in choice.caution.sentence


def test_other_columns_than_params_and_tokens():
    tokens_alone = [{"tokens": d, "loss": 1 + d**-0.1} for d in (1e6, 1e7, 1e8, 1e9)]
    assert resolved(None, read_runs(tokens_alone)).law.spec == "power_floor:tokens"
    assert resolved("power_floor", read_runs(tokens_alone)).law.spec == "power_floor:tokens"
    compute_alone = [{"flops": c, "loss": 1 + c**-0.1} for c in (1e16, 1e17, 1e18, 1e19)]
    assert resolved(None, read_runs(compute_alone)).law.spec == "power_floor:flops"
    curves = [{"params": n, "flops": c, "loss": 1 + n / c} for n in (1e6, 1e7, 1e8) for c in (1e16, 1e17, 1e18)]
    assert resolved(None, read_runs(curves)).law.spec == "chinchilla"


def test_every_question_takes_the_same_law_and_says_so():
    one, both = ladder(20 * SIZES), [*ladder(20 * SIZES), *ladder(20 * SIZES, arm="bb", gain=2.0)]
    found = lawful.fit(one, draws=0)
    compared, crossed = lawful.compare(both), lawful.crossover(both, draws=0)
    assert {found.law, compared.law, f"power_floor:{crossed.axis}"} == {"power_floor:flops"}
    for answer in (
        found,
        compared,
        crossed,
        found.predict(flops=1e18),
        found.holdout(),
        lawful.design(found),
        found.diminishing_returns(threshold=0.01),
        replay(both, "bb beats a above 1e16", draws=0),
    ):
        assert [w.sentence for w in answer.warnings if w.code == "law_chosen"] == [
            "No law was named; power_floor:flops is fitted, as params and tokens vary together, so that their effects "
            "cannot be told apart."
        ], type(answer)
    assert compared.multipliers[0].of == "compute"
    assert compared.multipliers[0].value == pytest.approx(0.5, rel=0.03)
    assert "law_chosen" not in {w.code for w in lawful.fit(one, "power_floor:flops", draws=0).warnings}


def test_an_exponent_is_not_held_against_a_claim_of_an_axis_that_the_claim_does_not_name():
    one = ladder(20 * SIZES)
    asked = replay(one, "alpha=0.3", draws=0)
    assert asked.verdict == "not decided"
    assert "does not say of which axis alpha is" in asked.sentence
    assert replay(one, "alpha=0.3", law="power_floor:params", draws=0).verdict == "supported"
    assert replay(one, "alpha=0.15", law="power_floor:flops", draws=0).verdict == "supported"


def test_a_law_that_does_not_read_what_varies_says_so():
    def codes(tokens, law):
        return {w.code for w in lawful.fit(ladder(tokens), law, draws=0).warnings}

    assert "unread_axis" in codes(20 * SIZES, "power_floor:params")
    assert "unread_axis" in codes(20 * SIZES * jitter(0.7), "power_floor:params")
    assert "unread_axis" in codes(20 * SIZES * jitter(0.7), "power_floor:flops")
    assert "unread_axis" not in codes(20 * SIZES, "power_floor:flops")
    assert "unread_axis" not in codes(1e9 * jitter(0.01), "power_floor:params")
    assert "unread_axis" not in codes(20 * SIZES * jitter(0.7), "chinchilla")


def test_a_question_of_one_axis_is_refused_where_two_vary_apart():
    both = [*ladder(20 * SIZES * jitter(0.7)), *ladder(20 * SIZES * jitter(0.7), arm="bb")]
    for ask in (
        lambda: lawful.crossover(both, draws=0),
        lambda: lawful.fit(both, "power_floor", draws=0),
        lambda: replay(both, "bb beats a above 1e7", draws=0),
    ):
        with pytest.raises(Refusal, match="both params and tokens vary in these rows"):
            ask()
    with pytest.raises(LawfulError, match="No law was named; power_floor:flops is fitted"):
        lawful.fit(ladder(20 * SIZES), draws=0).allocate(flops=1e18)
