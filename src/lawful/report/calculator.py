"""The calculator of a page: what `lawful predict` says of any point, and the best use of a budget, without a server.

The page holds the law as a list of operations (fitting/traced.py), its draws or covariance, and the laws that a
forecast averages over; calculator.js does with them what fitting/predict.py does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lawful.fitting.fitted import run_spread
from lawful.fitting.frontier import Frontier
from lawful.fitting.quantiles import LEVEL, t_quantile
from lawful.fitting.result import Fit
from lawful.fitting.sisters import Growth, Sister
from lawful.fitting.traced import trace
from lawful.fitting.uncertainty import BOOTSTRAP, DECADES, widening
from lawful.laws import Law
from lawful.report import tables, words
from lawful.report.evidence import Evidence
from lawful.report.law_charts import compute_of_answer
from lawful.report.law_curve import law_curve
from lawful.report.markup import Html, data, tag
from lawful.storage.json_files import Json

LABELS = {"params": "Parameters N", "tokens": "Training tokens D", "flops": "Compute C (FLOPs)"}
TAIL = 0.5 + LEVEL / 2
NOT_OFFERED = "No calculator is offered: this law is not written in operations that a page can repeat."
NO_LOSS = "No calculator is offered: it works for losses only. `lawful predict` takes any metric."


def calculator(evidence: Evidence) -> Html | None:
    """The section of the first answer that holds a fit; None where no answer does."""
    answer = next(iter(evidence.fitted), None)
    if answer is None or answer.fit is None or not has_calculator(evidence):
        return None
    title = tag("h2", "Calculator")
    held = calculation(answer.fit)
    if held is None:
        return tag(
            "section",
            title,
            tag("p", NOT_OFFERED if answer.fit.data.response.is_log else NO_LOSS, class_="note"),
            id="calculator",
        )
    compute = compute_of_answer(evidence, answer)
    best = compute.frontier if compute else None
    held["frontier"] = _frontier(best)
    domain = answer.fit.domain
    fields = [
        _field(axis, LABELS.get(axis, axis.replace("_", " ")), _middle(domain[axis]))
        for axis in answer.fit.model.inputs
    ]
    budget = [
        _field("budget", "Budget C (FLOPs)", float(np.sqrt(best.flops[0] * best.flops[-1]))),
        _field("target", "Loss to reach", answer.fit.data.loss_range[0] or None),
        _field("rate", "FLOP/s of a GPU", 4e14),
        _field("price", "Price of a GPU hour", 2.0),
    ] if best and not best.undecided else []  # fmt: skip
    of = f" (the law of {words.arm_of(answer)} alone)" if len(evidence.fitted) > 1 else ""
    why = best.undecided if best else ""
    return tag(
        "section",
        title,
        tag(
            "p",
            f"By the fitted law and its uncertainty{of}. Numbers may be written as 70B, 1.4T or 1e21.",
            class_="lede",
        ),
        tag("form", fields, tag("output", class_="result", id="calculated-loss", aria_live="polite"), class_="fields"),
        tag("form", budget, tag("output", class_="result", id="calculated-best", aria_live="polite"), class_="fields")
        if budget
        else None,
        tag("p", f"The best use of a budget is not offered: {why}.", class_="note") if why else None,
        tag("noscript", tag("p", "The calculator needs scripts; `lawful predict` says the same.")),
        data("calculation", held),
        id="calculator",
    )


def has_calculator(evidence: Evidence) -> bool:
    """Whether the page has the section: a fit whose law is at hand, and which kept the ranges of its data."""
    answer = next(iter(evidence.fitted), None)
    return bool(answer and answer.fit and law_curve(answer) and answer.fit.domain)


def calculation(fit: Fit) -> dict[str, Json] | None:
    """The data with which a page computes the same as `Fit.predict`; None if the law cannot be written in operations,
    reads names of levels, or is of a metric that is no loss."""
    among = fit.alternatives
    if (
        not fit.data.response.is_log
        or fit.model.categories
        or (fit.domain and any(low <= 0 for low, _ in fit.domain.values()))
    ):
        return None
    own = _law(fit.model, fit.values, fit.free, np.array(fit.covariance), fit.dof, fit.data.pivot)
    sisters = [_of_sister(one) for one in (among.laws if among else ())]
    if own is None or None in sisters:
        return None
    is_drawn = fit.interval_method == BOOTSTRAP
    floorless = None if is_drawn or among else fit.floorless
    return {
        "axes": list(fit.model.inputs),
        "domain": {axis: list(ends) for axis, ends in fit.domain.items()},
        "law": own,
        "draws": [[float(f"{value:.7g}") for value in draw] for draw in fit.draws]
        if is_drawn and among is None
        else [],
        "widen": widening(fit.dof) if is_drawn else 1.0,
        "tail": t_quantile(TAIL, fit.dof),
        "floorless": None if floorless is None else _of_sister(floorless),
        "sisters": sisters,
        "weights": list(among.weights) if among else [],
        "growth": _growth(among.growth) if among and among.growth else None,
        "spread": among.spread_of_run(fit.goodness.sigma_run) if among else run_spread(fit),
        "spread_slopes": dict(fit.spread_slopes),
        "pivot": dict(fit.data.pivot),
        "decades": DECADES,
    }


def _growth(growth: Growth) -> dict[str, Json]:
    parts: list[Json] = [
        [rate, [{"powers": dict(way.powers), "low": way.low, "high": way.high} for way in ways]]
        for rate, ways in growth.parts
    ]
    return {"sigma": growth.sigma, "parts": parts, "dof": growth.dof, "tail": t_quantile(TAIL, growth.dof)}


def _of_sister(one: Sister) -> dict[str, Json] | None:
    return _law(one.law, one.values, one.free, one.covariance, one.dof, one.pivot)


def _law(
    law: Law,
    values: Mapping[str, float],
    free: Sequence[str],
    covariance: np.ndarray,
    dof: float,
    pivot: Mapping[str, float],
) -> dict[str, Json] | None:
    steps = trace(law, pivot)
    if steps is None:
        return None
    dof = min(float(dof), 1e6)
    return {
        "axes": list(law.inputs),
        "pivot": [pivot[axis] for axis in law.inputs],
        "steps": [list(step) for step in steps],
        "values": [float(values[name]) for name in law.parameters],
        "free": [law.parameters.index(name) for name in free],
        "covariance": [[float(f"{cell:.9g}") for cell in row] for row in np.atleast_2d(covariance)],
        "dof": dof,
        "tail": t_quantile(TAIL, dof),
    }


def _frontier(best: Frontier | None) -> Json:
    if best is None or best.undecided:
        return None
    rows: dict[str, Json] = {"law": best.law, "flops": list(best.flops)}
    for name in ("params", "tokens", "loss"):
        found = getattr(best, name)
        rows[name] = [[float(f"{end:.6g}") if np.isfinite(end) else None for end in (one.value, one.low, one.high)]
                      for one in found]  # fmt: skip
    return rows


def _middle(ends: Sequence[float]) -> float:
    return float(np.sqrt(ends[0] * ends[1]))


def _field(name: str, label: str, value: float | None) -> Html:
    shown = None if value is None else f"{value:.3g}" if value < 1000 else tables.general_count(float(f"{value:.2g}"))
    if value is not None and value >= 1e15:
        shown = f"{value:.2g}".replace("e+", "e")
    field = tag("input", name=name, value=shown, inputmode="text", autocomplete="off", id=f"calculator-{name}")
    return tag("label", label, " ", field)
