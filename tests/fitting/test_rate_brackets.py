"""Learning-rate brackets of a study: the best rate, the cost of a miss, the rate of larger rungs, on planted runs."""

from dataclasses import replace

import numpy as np
import pytest

from lawful.fitting.rate_brackets import rate_brackets
from lawful.report.evidence import Evidence
from lawful.report.rates import rates
from lawful.schema import PlannedRun, StudyPlan

SIZES = (1e4, 3e4, 1e5, 3e5, 1e6, 3e6)
CURVE = 0.05  # of the loss, half its second derivative by the log of the rate


def best_rate(size):
    return 0.02 * (size / 1e4) ** -0.4


def planted(rng, *, off=1.0, noise=0.0005, times=(0.25, 0.5, 2.0, 4.0), bracketed=SIZES[:5], seeds=3):
    """Rungs at `off` times their best rate, with brackets on the first seed; the runs and their losses."""
    runs, losses = [], {}
    for size in SIZES:
        for seed in range(seeds):
            for factor in (None, *(times if seed == 0 and size in bracketed else ())):
                name = f"n{size:g}s{seed}x{factor or 1:g}"
                rate = off * best_rate(size) * (factor or 1)
                at = {"size": size, "seed": seed} | ({"rate": factor} if factor else {})
                own = {"learning_rate": rate, "params_non_embedding": int(size), "tokens": int(20 * size)}
                runs.append(
                    replace(
                        PlannedRun.example(), run=name, rung=name, at=at, seed=seed, bracket=factor, cluster=name, **own
                    )
                )
                rise = CURVE * np.log(rate / best_rate(size)) ** 2
                losses[name] = float(2 + 10 * size**-0.3 + rise + noise * rng.standard_normal())
    return runs, losses


def test_rungs_at_their_best_rate_are_found_to_be():
    found = rate_brackets(*planted(np.random.default_rng(0)))
    assert found is not None and len(found.brackets) == 5
    assert all(one.is_at_best for one in found.brackets)
    assert all(one.best.low < best_rate(one.rung.params_non_embedding) < one.best.high for one in found.brackets)


def test_a_ladder_at_half_its_best_rate_is_found_out_with_its_cost():
    found = rate_brackets(*planted(np.random.default_rng(1), off=0.5))
    assert not any(one.is_at_best for one in found.brackets)
    cost = CURVE * np.log(2) ** 2
    assert [one.miss[0] for one in found.brackets] == pytest.approx([cost] * 5, rel=0.2)
    assert all(one.miss[1] > one.miss[0] for one in found.brackets)


def test_the_law_of_the_best_rates_says_that_of_larger_rungs():
    found = rate_brackets(*planted(np.random.default_rng(2)))
    (ahead,) = found.ahead
    assert ahead.rung.params_non_embedding == 3_000_000
    assert ahead.best.low < best_rate(3e6) < ahead.best.high and ahead.miss < 0.005
    exponent = found.law.exponents["N"]
    assert exponent.low < -0.4 < exponent.high


def test_a_best_rate_at_the_edge_or_within_noise_is_none():
    edge = rate_brackets(*planted(np.random.default_rng(3), off=0.1))
    assert all(one.best is None and "highest rate tried" in one.why for one in edge.brackets)
    flat = rate_brackets(*planted(np.random.default_rng(4), noise=0.2, times=(0.9, 1.1)))
    assert all(one.best is None for one in flat.brackets) and flat.law is None
    assert rate_brackets(*planted(np.random.default_rng(0), bracketed=())) is None


def test_a_diverged_rate_is_left_out_and_a_rung_that_has_not_finished_is_said():
    runs, losses = planted(np.random.default_rng(5))
    losses["n10000s0x4"] = np.inf
    del losses["n30000s0x1"]
    first, second, *_ = rate_brackets(runs, losses).brackets
    assert first.best is not None and second.why == "its own run has not finished"


def test_the_page_says_it(tmp_path):
    runs, losses = planted(np.random.default_rng(0), off=0.5)
    rows = tuple({"run": run.run, "rung": run.rung, "status": "finished", "loss": losses[run.run]} for run in runs)
    study = replace(StudyPlan.example(), runs=tuple(runs))
    evidence = Evidence(
        folder=tmp_path,
        study=study,
        rows=rows,
        answers=(),
        unanswered=(),
        baselines=(),
        counts={},
        registered={},
        curves={},
    )
    sentence, (brackets, ahead) = rates(evidence)
    assert sentence.startswith("5 of 5 brackets show a best rate; 0 of these rungs sit at it. A miss costs at most 0.0")
    assert len(brackets.rows) == 5 and len(ahead.rows) == 1 and "grows as N^-0.4" in sentence
    assert rates(replace(evidence, rows=())) is None
