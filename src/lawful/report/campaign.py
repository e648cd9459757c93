"""The section on a campaign: what was spent when, how the answer narrowed, what the ladder would have cost."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from lawful.fitting.answers import Answer
from lawful.fitting.goal import fitting_goal, interval_of, read_goal, said_width
from lawful.fitting.stopping import WIDENED
from lawful.report import parts, tables
from lawful.report.charts import Axis, Chart, Line, Points, Reference
from lawful.report.evidence import Evidence
from lawful.report.markup import Html, tag
from lawful.report.table import Table
from lawful.schema.campaign import Campaign

TITLE = "Campaign"


def answer_sentence(campaign: Campaign, answers: Sequence[Answer]) -> str:
    """The interval of the goal's answer by all fitted runs, and how it is judged; empty where there is none."""
    fit = next((one.fit for one in answers if one.name == campaign.rule.question), None)
    if fit is None:
        return ""
    goal = fitting_goal(read_goal(campaign.rule.goal), fit)
    low, high = interval_of(goal, fit)
    if not math.isfinite(high - low):
        return ""
    half = (high - low) / 2
    ends = (math.exp(low), math.exp(high)) if goal.name == "loss" else (low, high)
    doubts = [one.code for one in fit.warnings if one.severity == "severe" or one.code == "lack_of_fit"]
    doubt = f" Read it with the doubts of the fit: {', '.join(doubts)}." if doubts else ""
    return (
        f"The 95 % interval of {_what(campaign)} by all fitted runs is {tables.interval(*ends)}: half-width "
        f"{said_width(goal, half)}. The goal is judged by {WIDENED:g} times as much, "
        f"{said_width(goal, WIDENED * half)}, since a campaign that looks often stops where its interval happens to be "
        f"too narrow.{doubt}"
    )


def campaign_sentences(campaign: Campaign, answers: Sequence[Answer]) -> list[str]:
    """The goal and how it ended; its answer; what was spent beside the ladder; when the rule was written."""
    rule, end = campaign.rule, campaign.end
    runs = sum(len(one.runs) for one in campaign.rounds)
    last = next((one.half_width for one in reversed(campaign.looks) if one.half_width is not None), None)
    width = "no interval yet" if last is None else f"half-width {_width(campaign, last)}, widened by the rule"
    chosen = sum(len(one.runs) for one in campaign.rounds if one.kind != "held out")
    unmet = "every run was chosen" if chosen == rule.candidates else "the budget is spent"
    state = "not decided yet" if end is None else "met" if end.ending == "met" else f"not met: {unmet}"
    spent = f"{tables.many(runs, 'run')} of {tables.flops(campaign.spent)}"
    ladder = f"The whole ladder, {tables.many(rule.grid_runs, 'run')}, takes {tables.flops(rule.grid_flops)}"
    share = tables.significant(campaign.spent / rule.grid_flops, 2)
    answer = answer_sentence(campaign, answers)
    return [
        f"The goal, {rule.goal.strip()}, is {state}: {width}; {_width(campaign, campaign.enough)} is enough.",
        *([answer] if answer else []),
        f"{spent} in {tables.many(len(campaign.rounds), 'round')}, of a budget of {tables.flops(rule.budget)}. "
        f"{ladder}, of which the campaign took {share}.",
        f"The rule was written on {campaign.created}, before the first run (SHA-256 {campaign.rule_sha256[:16]}), and "
        f"each choice before its runs. {rule.stop}",
    ]


def campaign_table(campaign: Campaign) -> Table:
    """Every round: the half-width before its runs, and the one that was expected after them."""
    rows = [
        (
            str(one.number),
            one.look.created[:16].replace("T", " "),
            one.kind,
            str(len(one.runs)),
            tables.flops(one.flops),
            tables.flops(one.look.spent) if one.look.spent else "0",
            _width(campaign, one.look.half_width),
            _width(campaign, one.expected),
            one.why,
        )
        for one in campaign.rounds
    ]
    header = ("Round", "Chosen", "Kind", "Runs", "FLOPs", "Spent before", "Half-width", "Expected", "Why")
    return Table(title="Rounds of the campaign", header=header, rows=rows, right=(0, 3, 4, 5, 6, 7))


def campaign_chart(evidence: Evidence) -> Chart | None:
    """The half-width over what was spent; None where it was seen less than twice."""
    campaign = evidence.campaign
    if campaign is None:
        return None
    goal = read_goal(campaign.rule.goal)
    is_percent = goal.name == "loss"

    def drawn(half_width: float) -> float:
        return 100 * math.expm1(half_width) if is_percent else half_width

    seen = [(one.spent, drawn(one.half_width)) for one in campaign.looks if one.half_width and one.spent]
    if len(seen) < 2:
        return None
    spent, widths = [x for x, _ in seen], [y for _, y in seen]
    unit = " %" if is_percent else ""
    return Chart(
        name="campaign",
        kind="campaign",
        title="The half-width of the answer over what was spent",
        caption=f"Each mark is the half-width of the 95 % interval of {_what(campaign)} after the runs so far, widened "
        f"by the rule. The whole ladder takes {tables.flops(campaign.rule.grid_flops)}.",
        alt=f"Half-width of the answer after each round, from {widths[0]:.3g}{unit} to {widths[-1]:.3g}{unit}; the "
        f"goal is {_width(campaign, campaign.enough)}.",
        x=Axis(title="Spent", suffix=" FLOPs", is_flops=True),
        y=Axis(title="Half-width", suffix=unit),
        lines=[Line(name="half-width", x=spent, y=widths, colour="arm0")],
        points=[
            Points(
                name="look",
                x=spent,
                y=widths,
                colour="arm0",
                hover=[f"{tables.flops(x)} spent\nhalf-width {y:.3g}{unit}" for x, y in seen],
            )
        ],
        references=[Reference(y=drawn(campaign.enough), label="enough")],
    )


def campaign_section(evidence: Evidence, drawn: Sequence[Chart]) -> Html | None:
    if evidence.campaign is None:
        return None
    lede, *others = campaign_sentences(evidence.campaign, evidence.answers)
    return tag(
        "section",
        tag("h2", TITLE),
        tag("p", lede, class_="lede"),
        [tag("p", one) for one in others],
        parts.charts([one for one in drawn if one.kind == "campaign"], heading=False),
        parts.folded(campaign_table(evidence.campaign), least=12),
        id="campaign",
    )


def _what(campaign: Campaign) -> str:
    return re.split(r"\s+within\s", campaign.rule.goal.strip(), flags=re.IGNORECASE)[0]


def _width(campaign: Campaign, half_width: float | None) -> str:
    return tables.DASH if half_width is None else said_width(read_goal(campaign.rule.goal), half_width)
