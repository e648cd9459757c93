"""A fit as text: what it answers, in short; or all of it in the manner of statsmodels, warnings first."""

from __future__ import annotations

import math

from lawful.fitting.fitted import FittedLaw
from lawful.fitting.headline_fit import of_fit
from lawful.fitting.headline_text import Headline
from lawful.fitting.number_text import interval, rounded, symbol_of
from lawful.fitting.plot import as_image
from lawful.fitting.records import Parameter
from lawful.tables.roles import shell_word

DASH = "-"
SHOWN = 3  # laws of a ranking
MARK = {"severe": "!!", "warning": " !", "note": "  "}


def short(fit: FittedLaw, said: Headline | None = None) -> str:
    """The answer, the parameters with as many digits as their intervals deserve, the doubts, and what to do next.

    said   the headline, where it is not the fit's own
    """
    said = of_fit(fit) if said is None else said
    lines = [said.sentence, said.basis, ""]
    lines.append(formula_of(fit))
    lines += [fit.model.reading] if fit.model.reading else []
    rows = [
        (name, *rounded(p.value, *p.ci95), "" if p.role == "fitted" else p.role, f"at its {p.at_bound} bound")
        for name, p in fit.params.items()
    ]
    name_width, value_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    lines.append(f"{'':{name_width}}  {'value':>{max(value_width, 5)}}  95 % interval")
    for (name, value, ends, role, bound), p in zip(rows, fit.params.values(), strict=True):
        notes = "  ".join(part for part in (ends, role, bound if p.at_bound else "") if part)
        lines.append(f"{name:{name_width}}  {value:>{max(value_width, 5)}}  {notes}".rstrip())
    if fit.held_out:
        lines.append(held_out_lines(fit)[0])
    lines += ranking_lines(fit)
    if fit.warnings:
        lines += ["", "doubts:", *(f"{MARK[w.severity]} {w.code}: {w.sentence}" for w in fit.warnings)]
    if said.next_step:
        lines += ["", f"next: {said.next_step}"]
    return "\n".join(lines)


def formula_of(fit: FittedLaw) -> str:
    """The law's name, where it has one, and its formula: of L for a loss, of another metric by its column's name."""
    left = symbol_of(fit)
    return f"{fit.law}: {left} = {fit.formula}" if fit.law != fit.formula else f"{left} = {fit.formula}"


MOST_IN_BRIEF = 8  # parameters


def in_brief(fit: FittedLaw) -> str:
    """The fit in a line or two: for a prompt, a debugger, an error."""
    own = [one for one in fit.params.values() if one.role != "fixed"]
    parts = [f"{one.name} {' '.join(rounded(one.value, *one.ci95))}".rstrip() for one in own[:MOST_IN_BRIEF]]
    parts += [f"and {len(own) - MOST_IN_BRIEF} more"] * (len(own) > MOST_IN_BRIEF)
    doubts = ", ".join(dict.fromkeys(warning.code for warning in fit.warnings))
    law = fit.law if len(fit.law) <= 60 else f"{fit.law[:57]}..."
    return f"<Fit {law}, n {fit.goodness.n}: {', '.join(parts)}{f'; doubts: {doubts}' if doubts else ''}>"


def summary(fit: FittedLaw) -> str:
    g, c, o = fit.goodness, fit.convergence, fit.objective
    lines = [formula_of(fit)]
    lines += [fit.model.reading] if fit.model.reading else []
    lines += [f"{MARK[w.severity]} {w.code}: {w.sentence}" for w in fit.warnings]
    lines.append("")
    width = max(map(len, fit.params))
    lines.append(f"{'':{width}}  {'value':>12}  {'std. error':>11}  {'95 % interval':^25}")
    for name, p in fit.params.items():
        role = "" if p.role == "fitted" else f"  {p.role}"
        role += f"  at its {p.at_bound} bound" if p.at_bound else ""
        stderr = DASH if math.isnan(p.stderr) else f"{p.stderr:.3g}"
        lines.append(f"{name:{width}}  {p.value:>12.6g}  {stderr:>11}  {interval(*p.ci95, '.5g', width=11):^25}{role}")
    is_log = fit.data.response.is_log
    scale = "log loss" if is_log else fit.data.columns["loss"]
    loss = [f"{'loss' if is_log else 'metric'}: {fit.data.loss}"] if "loss" in fit.data.columns else []
    levels = fit.model.categories
    pivot = ", ".join(f"{axis} {value:.4g}" for axis, value in fit.data.pivot.items() if axis not in levels)
    delta = "" if o.delta is None else f", delta {o.delta:.3g}"
    why_not = (*c.problems, *(f"{name} is at its {fit.params[name].at_bound} bound" for name in c.at_bounds))
    certified = "certified" if c.is_certified else f"NOT CERTIFIED ({'; '.join(why_not)})"
    lines += [
        "",
        *loss,
        f"n {g.n} in {g.clusters} clusters; rmse of {scale} {g.rmse_log:.3g}, robust sigma {g.sigma_log:.3g}"
        + (f", between seeds {g.sigma_run:.3g}" if g.sigma_run is not None else ""),
        f"AICc {g.aicc:.2f}, BIC {g.bic:.2f}; intervals: {fit.interval_method}",
        f"objective {o.name}{delta}: {o.value:.10g}; {certified}: decrement {c.decrement:.1e}, smallest eigenvalue "
        f"{min(c.eigenvalues):.1e}, {c.agree} of {c.starts} starts agree",
        f"pivot: {pivot}; fitted between "
        + ", ".join(
            f"{axis} {low:.4g} and {high:.4g}" for axis, (low, high) in fit.data.domain.items() if axis not in levels
        )
        + "".join(f"; {axis} one of {', '.join(own[:20])}" for axis, own in levels.items()),
    ]
    bars, response = fit.error_bars, fit.data.response
    if response.is_share and bars is not None:
        lines.append(
            f"rows weigh by {bars.column} and the noise of counts; the scatter about the law is {bars.scatter:.3g} of "
            "that"
        )
    elif response.is_share:
        lines.append("rows weigh by the noise of counts, sqrt(p (1 - p)); how many items each has is not told")
    elif bars is not None:
        unit = "% of the loss" if is_log else "of the metric"
        short, long, extra = ((100 if is_log else 1) * one for one in (bars.shortest, bars.longest, bars.extra))
        lines.append(
            f"rows weigh by their error bars, {bars.column}: {short:.2g} to {long:.2g} {unit}; the scatter about the "
            f"law is {bars.scatter:.3g} of them" + (f", and {extra:.2g} {unit} lie beside them" if extra > 0 else "")
        )
    if fit.held_out:
        lines += held_out_lines(fit)
    lines += ranking_lines(fit)
    under = fit.sensitivity.objective
    shapes = [s.name for s in fit.model.shapes]
    if under and shapes:
        lines.append(
            "under other objectives: "
            + "; ".join(
                f"{key} " + " ".join(f"{name} {values[name]:.4f}" for name in shapes) for key, values in under.items()
            )
        )
    return "\n".join(lines)


def ranking_lines(fit: FittedLaw) -> list[str]:
    """The laws that predict runs left out best, and the fitted one, whatever its place."""
    places = list(enumerate(fit.ranking, start=1))
    own = [(place, one) for place, one in places if one.law == fit.law]
    shown = places[:SHOWN] if own[:1] and own[0][0] <= SHOWN else [*places[: SHOWN - 1], *own]
    out = [""] if shown else []
    unit = "%" if fit.data.response.is_log else "points"
    for place, one in shown:
        parts = ", ".join(f"{kind} {_hundredths(error)} {unit}" for kind, error in one.left_out.items())
        mark = " (fitted here)" if one.law == fit.law else ""
        out.append(f"{place}. {one.law}{mark}: error on runs left out {_hundredths(one.error)} {unit} ({parts})")
    if places and places[0][1].law != fit.law:
        best = places[0][1].law
        out.append(
            f"The parameters above are those of {fit.law}, not of the first; --law {shell_word(best)} gives these."
        )
    return out


def _hundredths(share: float) -> str:
    """A share in percent with two digits; no power of ten below a million."""
    return f"{float(f'{100 * share:.2g}'):.7g}"


def held_out_lines(fit: FittedLaw) -> list[str]:
    """How the fit predicted the rows that its table holds out: in all, then the ten it predicted worst."""
    rows = sorted(fit.held_out, key=lambda row: -abs(row.error_relative))
    inside = sum(row.is_inside for row in rows)
    errors = [row.error_relative for row in rows]
    rms = f"{100 * (sum(error**2 for error in errors) / len(rows)) ** 0.5:.2f} %"
    if not fit.data.response.is_log:
        rms = f"{(sum((row.prediction.value - row.observed) ** 2 for row in rows) / len(rows)) ** 0.5:.3g}"
    lines = [
        f"held out by the table: {len(rows)} run{'s' if len(rows) > 1 else ''}, {inside} inside the 95 % interval for "
        f"a new run, rms error {rms}"
    ]
    for row in rows[:10]:
        p = row.prediction
        lines.append(
            f"  {row.run}: predicted {p.value:.4f} [{p.low:.4f}, {p.high:.4f}], observed {row.observed:.4f}"
            f"{'' if row.is_inside else '  outside'}"
        )
    return [*lines, f"  and {len(rows) - 10} more"] if len(rows) > 10 else lines


def as_html(fit: FittedLaw) -> str:
    """The answer, the chart, the parameters and the doubts, for notebooks."""
    from html import escape

    said = of_fit(fit)
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{value}</td><td>{escape(ends)}</td><td>{escape(_role(p))}</td></tr>"
        for name, p in fit.params.items()
        for value, ends in [rounded(p.value, *p.ci95)]
    )
    doubts = "".join(f"<li><b>{escape(w.code)}</b> ({w.severity}): {escape(w.sentence)}</li>" for w in fit.warnings)
    formula = formula_of(fit)
    return (
        f"<p><b>{escape(said.sentence)}</b><br>{escape(said.basis)}</p>{as_image(fit)}<p>{escape(formula)}</p>"
        f"<table><tr><th></th><th>value</th><th>95 % interval</th><th></th></tr>{rows}</table>"
        + (f"<ul>{doubts}</ul>" if doubts else "")
        + (f"<p>Next: {escape(said.next_step)}</p>" if said.next_step else "")
    )


def _role(p: Parameter) -> str:
    return "  ".join([p.role] * (p.role != "fitted") + [f"at its {p.at_bound} bound"] * (p.at_bound is not None))
