"""Arms compared run by run: planted gaps come back, and several comparisons do not pass for one."""

import itertools

import numpy as np
import pytest

from lawful.errors import Refusal
from lawful.fitting.paired import paired
from lawful.tables import Observations, read_runs


def runs(gaps, *, levels=(16, 32, 64, 128), seeds=3, noise=0.01, slope=0.0, seed=0):
    """Loss = 2 + what a seed shares + the arm's gap + slope for each doubling of the level + noise."""
    dice = np.random.default_rng(seed)
    shared = dice.normal(0, 0.3, size=(len(levels), seeds))
    rows = [
        {
            "arm": arm,
            "length": level,
            "seed": one,
            "loss": 2 + shared[i, one] + gap + (slope * i if arm == "b" else 0) + dice.normal(0, noise),
        }
        for (arm, gap), (i, level), one in itertools.product(gaps.items(), enumerate(levels), range(seeds))
    ]
    return Observations(tuple(rows))


def test_a_planted_gap_is_found_though_what_the_seeds_share_is_thirty_times_larger():
    found = paired(runs({"a": 0.0, "b": 0.05}), "length")
    (gap,) = found.gaps
    assert gap.ci95[0] < 0.05 < gap.ci95[1] and gap.ci95[0] > 0
    assert (found.best, found.is_decided, gap.pairs) == ("a", True, 12)
    assert 2 <= found.dof <= 8  # four levels of three seeds, whose noise may differ
    assert "a has the lowest mean loss" in found.sentence and "ahead of every other arm" in found.sentence


def test_the_intervals_hold_at_their_level():
    inside = sum(
        gap.ci95[0] < 0.02 < gap.ci95[1] and gap.slope_ci95[0] < -0.01 < gap.slope_ci95[1]
        for seed in range(300)
        for gap in paired(runs({"a": 0.0, "b": 0.035}, slope=-0.01, seed=seed), "length").gaps
    )
    assert 0.85 < inside / 300 < 0.98  # two intervals of 95 % each


def test_a_gap_that_moves_is_told_with_its_slope_per_doubling():
    found = paired(runs({"a": 0.0, "b": 0.1}, slope=0.03), "length")
    assert found.gaps[0].slope == pytest.approx(0.03, abs=0.01)
    assert f"per doubling of length the loss of b moves by {found.gaps[0].slope:+.3g}" in found.sentence


def test_equal_arms_are_rarely_called_different_though_ten_pairs_are_tested():
    wrong = sum(
        any(gap.p_holm < 0.05 for gap in paired(runs(dict.fromkeys("abcde", 0.0), seed=seed), "length").gaps)
        for seed in range(200)
    )
    assert wrong / 200 < 0.09


def test_what_is_not_decided_is_said_and_named():
    found = paired(runs({"a": 0.0, "b": 0.001, "c": 0.2}, noise=0.02), "length")
    assert not found.is_decided
    assert "is not decided" in found.sentence and "c" not in found.sentence.split("not decided")[0].split("ahead of")[1]


def test_one_seed_or_one_arm_is_refused():
    with pytest.raises(Refusal, match="at least two seeds at some level of length, got one at each of 4"):
        paired(runs({"a": 0.0, "b": 0.1}, seeds=1), "length")
    with pytest.raises(Refusal, match="at least two arms"):
        paired(runs({"a": 0.0}), "length")


def test_levels_that_are_no_numbers_have_no_slope():
    table = Observations(tuple({**row, "length": f"level{row['length']}"} for row in runs({"a": 0.0, "b": 0.1})))
    assert paired(table, "length").gaps[0].slope is None


def trunks(rng, *, name, shared=0.7, arms="ab"):
    """Three trunks of four lengths in each arm; branches of a trunk share .7 of their variance."""
    rows = []
    for arm, trunk in itertools.product(arms, range(3)):
        effect = np.sqrt(shared) * rng.standard_normal()
        for tokens in (1e6, 2e6, 4e6, 8e6):
            loss = 2 + 0.01 * (effect + np.sqrt(1 - shared) * rng.standard_normal())
            rows.append({"arm": arm, "tokens": tokens, "seed": trunk, "loss": loss, **name(arm, trunk)})
    return Observations(tuple(rows))


@pytest.mark.parametrize("name", [lambda arm, trunk: {"cluster": f"{arm}{trunk}"}, lambda arm, trunk: {}])
def test_branches_of_a_trunk_count_once_with_a_column_of_clusters_or_without(name):
    """5 of 100; 29 where every pair counts."""
    found = [paired(trunks(np.random.default_rng(seed), name=name), "tokens") for seed in range(200)]
    assert sum(one.is_decided for one in found) <= 20
    assert {one.dof for one in found} == {2}


def test_with_one_level_of_every_trunk_it_is_the_paired_t_test():
    rng = np.random.default_rng(4)
    table = trunks(rng, name=lambda arm, trunk: {"cluster": f"{arm}{trunk}"})
    (gap,) = paired(table, "tokens").gaps
    means = [
        [np.mean([r["loss"] for r in table if (r["arm"], r["seed"]) == (arm, s)]) for s in range(3)] for arm in "ab"
    ]
    d = np.subtract(means[1], means[0])
    assert gap.mean == pytest.approx(d.mean())
    reach = 4.302653 * d.std(ddof=1) / np.sqrt(3)  # Student's t at .975, 2 degrees of freedom
    assert gap.ci95 == pytest.approx((d.mean() - reach, d.mean() + reach), rel=1e-5)


def test_what_is_not_decided_stands_with_how_far_apart_it_may_be():
    found = paired(runs({"a": 0.0, "b": 0.001}, noise=0.02), "length")
    (gap,) = found.gaps
    sign = 1 if found.best == "a" else -1
    low, high = sorted(sign * end for end in gap.ci95)
    assert f"({sign * gap.mean:+.2g} [{low:.2g}, {high:.2g}]) is not decided at 5 %" in found.sentence
    assert "pairs" not in found.sentence  # there is one


def test_several_runs_of_one_level_and_seed_are_refused_not_overwritten() -> None:
    """Two sizes in one table along tokens: the runs of the last one stood for both."""
    rows = [
        {"arm": arm, "params": params, "tokens": tokens, "seed": seed, "loss": 2.0 + 0.01 * seed + 1 / tokens}
        for arm in "ab"
        for params in (1, 4)
        for tokens in (1, 2, 4)
        for seed in (0, 1)
    ]
    with pytest.raises(Refusal, match="several at tokens = 1"):
        paired(read_runs(rows, params="params"), "tokens")
    paired(read_runs([row for row in rows if row["params"] == 4], params="params"), "tokens")


def uneven(rng, *, along, levels, seeds, falls=0.0):
    """Identical arms; `seeds` names those of each level, and the noise falls with this power of the level."""
    rows = []
    for arm, (i, level) in itertools.product("ab", enumerate(levels)):
        noise = 0.03 * (level / levels[0]) ** -falls
        for seed in seeds[i]:
            rows.append({"arm": arm, along: level, "seed": seed, "loss": 3 + noise * rng.standard_normal()})
    return Observations(tuple(rows))


WIDTHS, LENGTHS = (64, 128, 256, 512, 1024), (1e6, 4e6, 16e6, 64e6)


@pytest.mark.parametrize(
    "design",
    [
        {"along": "width", "levels": WIDTHS, "seeds": [range(n) for n in (2, 2, 3, 4, 5)], "falls": 0.65},
        {"along": "tokens", "levels": LENGTHS, "seeds": [range(n) for n in (1, 1, 1, 5)]},
        {"along": "tokens", "levels": LENGTHS, "seeds": [(0, i + 1) for i in range(4)]},
    ],
    ids=["fewer seeds where it is noisier", "seeds at one length alone", "one seed at every length"],
)
def test_identical_arms_are_not_apart_where_levels_have_other_seeds_or_other_noise(design):
    """Noise pooled over levels, and levels of one seed taken to have none, named a leader in 14 to 51 of 100."""
    tables = [uneven(np.random.default_rng([9, seed]), **design) for seed in range(200)]
    assert sum(paired(one, design["along"]).is_decided for one in tables) <= 20


def test_a_gap_seldom_moves_by_chance_where_noise_falls_with_size_and_seeds_are_few():
    """With the degrees of freedom of Welch's formula, 33 of these 400 slopes were called shown."""
    tables = [
        uneven(np.random.default_rng([4, seed]), along="width", levels=WIDTHS, seeds=[range(2)] * 5, falls=0.65)
        for seed in range(400)
    ]
    assert sum((paired(one, "width").gaps[0].slope_p_holm or 0.0) < 0.05 for one in tables) <= 28


def test_noise_taken_from_another_level_is_said():
    table = uneven(np.random.default_rng(1), along="width", levels=WIDTHS, seeds=[range(n) for n in (3, 3, 2, 1, 1)])
    assert any("width = 512, 1024" in caution.sentence for caution in paired(table, "width").warnings)


def test_seeds_that_never_meet_at_a_level_tell_nothing_of_the_noise():
    """Seed 0 at the two short lengths, seed 1 at the long ones: no difference has a second of its kind."""
    table = uneven(np.random.default_rng(1), along="tokens", levels=LENGTHS, seeds=[(0,), (0,), (1,), (1,)])
    with pytest.raises(Refusal, match="at least two seeds"):
        paired(table, "tokens")


def test_differences_that_are_equal_by_their_rounding_alone_are_not_decided():
    """Arms .02 apart, losses rounded to .1: each pair differs by 0 or by .1, all alike, which gave p = 0."""
    rng = np.random.default_rng(0)
    rows = [
        {"arm": arm, "width": 64, "seed": seed, "loss": round(3.04 + 0.02 * (arm == "b") + 0.001 * noise, 1)}
        for arm in "ab"
        for seed, noise in enumerate(rng.standard_normal(3))
    ]
    (gap,) = paired(read_runs(rows), "width").gaps
    assert gap.mean == pytest.approx(0.1)
    t = 0.1 / (0.1 / np.sqrt(6))  # by hand: the error of a difference of two uniforms over a step of .1
    assert gap.p == pytest.approx(1 - t / np.sqrt(2 + t**2))  # Student's t with 2 degrees of freedom
    found = paired(read_runs(rows), "width")
    assert not found.is_decided and any("rounded to 0.1" in caution.sentence for caution in found.warnings)
    fine = paired(read_runs([{**row, "loss": row["loss"] + 0.01 * rng.standard_normal()} for row in rows]), "width")
    assert not any(caution.code == "rounded" for caution in fine.warnings)
