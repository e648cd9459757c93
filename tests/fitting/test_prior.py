"""Priors: against a straight-line problem that has a closed form, what is said of them, and what is refused."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import lawful
from lawful.cli import app
from lawful.errors import DeclarationError, LawfulError
from lawful.fitting.headline_fit import of_fit
from lawful.fitting.prior import read


def line(sigma=0.01, alpha=0.35, runs=8, seed=0):
    rng = np.random.default_rng(seed)
    return [{"params": n, "loss": float(50 * n**-alpha * np.exp(sigma * rng.standard_normal()))}
            for n in np.geomspace(1e6, 1e9, runs)]  # fmt: skip


@pytest.fixture(scope="module")
def alone():
    return lawful.fit(line(), "power", objective="l2", draws=0)


def test_a_prior_on_a_straight_line_is_the_closed_form(alone):
    """log L is a straight line: the two estimates are averaged by their precisions."""
    known, error = alone.params["alpha"], alone.params["alpha"].stderr
    mean, stderr = known.value + 1.5 * error, 0.7 * error
    found = lawful.fit(line(), "power", objective="l2", draws=0, prior={"alpha": (mean, stderr)})
    weights = np.array([1 / error**2, 1 / stderr**2])
    assert found.params["alpha"].value == pytest.approx(np.average([known.value, mean], weights=weights), rel=1e-5)
    assert found.params["alpha"].stderr == pytest.approx(weights.sum() ** -0.5, rel=0.15)  # the noise is measured anew
    (used,) = found.priors
    assert used.z == pytest.approx(-1.5 / np.hypot(1, 0.7), rel=1e-3)
    assert used.alone == pytest.approx(known.value) and used.alone_ci95 == pytest.approx(known.ci95)
    low, high = found.params["alpha"].ci95
    assert used.width == pytest.approx((high - low) / np.diff(known.ci95)[0])
    assert used.width < 0.6


def test_draws_carry_the_prior(alone):
    """Of few clusters losses and the prior are drawn again; of many, rows are resampled, and the prior is drawn."""
    error = alone.params["alpha"].stderr
    for runs in (8, 24):
        free = lawful.fit(line(runs=runs), "power", draws=200)
        held = lawful.fit(line(runs=runs), "power", draws=200, prior={"alpha": (0.35, error / 100)})
        assert np.std(held.drawn["alpha"]) == pytest.approx(error / 100, rel=0.2)
        assert np.std(held.drawn["alpha"]) < np.std(free.drawn["alpha"]) / 20
        at = {"params": 1e11}
        before, after = (one.predict(**at, interval="mean") for one in (free, held))
        assert after.high - after.low < (before.high - before.low) / 2


def test_a_prior_that_decides_leaves_the_interval_of_the_prior():
    """Three sizes and three parameters leave no degree of freedom to the rows; the error of the prior is known."""
    rows = [{"params": n, "loss": 1.8 + 480 * n**-0.35 + 0.002 * (-1) ** i} for i, n in enumerate([1e6, 2e6, 4e6, 8e6])]
    found = lawful.fit(rows, "power_floor", draws=0, prior={"alpha": (0.35, 0.001)})
    low, high = found.params["alpha"].ci95
    assert (low, high) == pytest.approx((0.35 - 0.00196, 0.35 + 0.00196), abs=2e-4)


def test_a_prior_is_shown_wherever_the_result_is(alone, tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("params,loss\n" + "\n".join(f"{row['params']},{row['loss']}" for row in line()) + "\n")
    words = [str(path), "--law", "power", "--draws", "0", "--prior", "alpha=.35~.01"]

    def said(*command):
        return CliRunner().invoke(app, [*command[:1], *words, *command[1:]]).output

    assert "with a prior on alpha: 0.35 +- 0.01" in said("fit")
    assert "With a prior on alpha: 0.35 +- 0.01, stated by you" in said("fit")
    assert "With a prior on alpha" in said("predict", "--params", "1e10")
    assert json.loads(said("fit", "--json"))["priors"][0]["stderr"] == 0.01
    fit = lawful.fit(line(), "power", draws=0, prior={"alpha": (0.35, 0.01)})
    again = lawful.Fit.from_json(fit.to_json())
    assert again.priors == fit.priors
    assert again.doubt.alternatives is None and again.predict(params=1e10).low == fit.predict(params=1e10).low
    assert fit.holdout().fit.priors[0].mean == 0.35
    assert "prior" in {w.code for w in fit.warnings}
    wrong = CliRunner().invoke(app, ["replay", *words, "--claim", "alpha=0.3"])
    assert isinstance(wrong.exception, LawfulError) and "--prior" in str(wrong.exception)


def test_a_prior_that_the_rows_contradict_is_said_and_nothing_is_quoted(alone):
    error = alone.params["alpha"].stderr
    far = {"alpha": (alone.params["alpha"].value + 8 * error, error)}
    found = lawful.fit(line(), "power", draws=0, prior=far)
    (severe,) = [w for w in found.warnings if w.code == "prior_disagrees"]
    assert severe.severity == "severe" and "contradict each other (z = -" in severe.sentence
    assert "contradict each other" in of_fit(found).sentence
    near = {"alpha": (alone.params["alpha"].value + error, error)}
    assert "prior_disagrees" not in {w.code for w in lawful.fit(line(), "power", draws=0, prior=near).warnings}


@pytest.mark.parametrize(
    ("prior", "how", "says"),
    [
        ({"beta": (0.3, 0.1)}, {}, "'beta' is no parameter"),
        ({"a": (0.3, 0.1)}, {}, "a follows from a_pivot"),
        ({"alpha": (0.3, 0.0)}, {}, "standard error above 0"),
        ({"alpha": (0.3, -1.0)}, {}, "standard error above 0"),
        ({"alpha": (0.3, float("inf"))}, {}, "standard error above 0"),
        ({"alpha": (float("nan"), 0.1)}, {}, "standard error above 0"),
        ({"alpha": 0.3}, {}, r"prior: alpha: expected a tuple \(a number, a number\), got 0.3"),
        ({"alpha": (-0.3, 0.1)}, {}, "within its bounds"),
        ({"alpha": (0.3, 0.1)}, {"fixed": {"alpha": 0.35}}, "is fixed"),
    ],
)
def test_what_is_no_prior_is_refused(prior, how, says):
    with pytest.raises(DeclarationError, match=says):
        lawful.fit(line(), "power", draws=0, prior=prior, **how)


@pytest.mark.parametrize("text", ["alpha", "alpha=.3", "alpha=.3~", "alpha=~.1", "=.3~.1", "alpha=a~b", "alpha=1e~.1"])
def test_a_prior_that_cannot_be_read_is_refused(text):
    with pytest.raises(DeclarationError, match="--prior: expected NAME=MEAN~STDERR"):
        read([text])
    with pytest.raises(DeclarationError, match="twice"):
        read(["alpha=.3~.1", "alpha=.4~.1"])
