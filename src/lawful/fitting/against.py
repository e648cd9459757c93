"""A fit held against a published one: exponents by a test, losses only where data and tokenizer are the same."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lawful.errors import DeclarationError, Refusal
from lawful.fitting.fitted import FittedLaw
from lawful.fitting.published import Published
from lawful.fitting.published_curve import LETTERS, SAME_DATA, losses_of, published_of
from lawful.fitting.quantiles import t_cdf
from lawful.formula.parse import Name, leaves, parse
from lawful.response import expect_loss

FORM = "E + A/N^alpha + B/D^beta"
AGREES = 1e-6  # relative: a formula whose losses differ by less is of that form
DIFFERS = 0.05


@dataclass(frozen=True)
class ExponentTest:
    """p that the fit's exponent is one that prints as the published one; None where the fit does not determine it."""

    name: str
    fitted: float
    ci95: tuple[float, float]
    published: float
    published_stderr: float
    p: float | None


@dataclass(frozen=True)
class Against:
    """exponents: each that both have. why_no_ratio: why losses are not compared; else ratio is the fitted law's loss
    over the published one at the rows that were fitted: its smallest, median and largest."""

    published: Published
    exponents: tuple[ExponentTest, ...]
    ratio: tuple[float, float, float] | None
    why_no_ratio: str
    counted: str

    @property
    def lines(self) -> list[str]:
        one = self.published
        out = [f"against {one.name} ({one.source}; {one.where}):"]
        for test in self.exponents:
            theirs = f"{test.published:g}" + (f" +- {test.published_stderr:g}" if test.published_stderr else "")
            low, high = test.ci95
            verdict = "not determined here"
            if test.p is not None:
                differs = "differs" if test.p < DIFFERS else "a difference is not shown"
                verdict = f"{differs} (p {'< 0.0001' if test.p < 1e-4 else f'= {test.p:.2g}'})"
            out.append(f"  {test.name}: {test.fitted:.4g} [{low:.3g}, {high:.3g}], published {theirs}: {verdict}")
        if self.ratio is not None:
            low, middle, high = self.ratio
            out.append(f"  loss over the published law's: {middle:.4g} in the median row, {low:.4g} to {high:.4g}")
        else:
            out.append(f"  losses are not compared: {self.why_no_ratio}")
        out.append(f"  {self.counted}")
        return [*out, f"  {one.note}"] if one.note else out


def against(fit: FittedLaw, name: str) -> Against:
    """Hold a fit against a published one, NAME, or NAME:same-data where data, tokenizer and counts are theirs.

    Raises DeclarationError for an unknown name, and for a fit with a prior, Refusal where nothing can be compared.
    """
    one, is_same = published_of(name)
    expect_loss(fit.data.response, "against")
    if fit.priors:
        named = " and ".join(prior.name for prior in fit.priors)
        raise DeclarationError(
            f"against: whether a fit differs from {one.name} is for its runs alone to say, and this one has a prior on "
            f"{named}. Leave the prior out."
        )
    tests = tuple(_test(fit, one, own) for own in _in_common(fit, one))
    ratio, why = None, _why_no_ratio(fit, one, is_same=is_same)
    if not why:
        ours = fit.loss(fit.values, {axis: [row.axes[axis] for row in fit.residuals] for axis in fit.model.inputs})
        theirs = losses_of(one, *(np.array([row.axes[axis] for row in fit.residuals]) for axis in LETTERS.values()))
        low, middle, high = np.quantile(ours / theirs, [0, 0.5, 1])
        ratio = (float(low), float(middle), float(high))
    if not tests and ratio is None:
        raise Refusal(
            "nothing_in_common",
            f"against {one.name}: {fit.law} has none of its exponents ({', '.join(one.exponents)}), or they mean "
            f"another thing there, and {why}",
        )
    column = fit.data.columns.get("params", "")
    counted = f"N is {one.params} there, and the column {column!r} here: an exponent of N depends on what is counted."
    return Against(one, tests, ratio, why, counted if column else "")


def _in_common(fit: FittedLaw, one: Published) -> list[str]:
    """The exponents that mean the same in both. Those of the best size and data mean the same under any law."""
    is_family = fit.model.name in one.family or ("chinchilla" in one.family and _is_separable(fit))
    own = [name for name in one.exponents if name in fit.params]
    return [name for name in own if is_family or name in ("N_exponent", "D_exponent")]


def _is_separable(fit: FittedLaw) -> bool:
    """Whether a formula of the user's is E + A/N^alpha + B/D^beta in these names."""
    names = {leaf.name for leaf in leaves(parse(FORM)) if isinstance(leaf, Name)} - {"N", "D"}
    if set(fit.model.inputs) != set(LETTERS.values()) or not names <= set(fit.params):
        return False
    at = {axis: np.array([row.axes[axis] for row in fit.residuals]) for axis in LETTERS.values()}
    v = {name: fit.params[name].value for name in names}
    by_form = v["E"] + v["A"] * at["params"] ** -v["alpha"] + v["B"] * at["tokens"] ** -v["beta"]
    return bool(np.allclose(fit.loss(fit.values, at), by_form, rtol=AGREES))


def _test(fit: FittedLaw, one: Published, name: str) -> ExponentTest:
    own, value = fit.params[name], one.exponents[name]
    theirs = one.stderr.get(name, 0.0)
    error = math.hypot(own.stderr, theirs)
    is_known = own.role != "fixed" and not own.at_bound and math.isfinite(error) and error > 0
    beyond = max(abs(own.value - value) - _rounding(value), 0.0)
    p = min(2 * t_cdf(-beyond / error, fit.dof), 1.0) if is_known else None
    return ExponentTest(name, own.value, own.ci95, value, theirs, p)


def _rounding(printed: float) -> float:
    """Half a unit of its last digit: what the paper's number may be off by print alone."""
    return 0.5 * 10.0 ** -len(f"{printed:.10g}".partition(".")[2])


def _why_no_ratio(fit: FittedLaw, one: Published, *, is_same: bool) -> str:
    if not one.law:
        return "the paper gives no law of the loss."
    if set(fit.model.inputs) != set(LETTERS.values()):
        return f"{fit.law} reads {' and '.join(fit.model.inputs)}, and the published law N and D."
    if not is_same:
        return (
            f"theirs are of {one.data} under {one.tokenizer}, and a table does not say that its own are. Where they "
            f"are, with the same counts: --against {one.name}:{SAME_DATA}."
        )
    unit = fit.data.loss_unit
    return f"losses are in {unit} here, and in nats per token there." if unit not in ("", "nats per token") else ""
