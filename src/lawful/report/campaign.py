"""The section on a campaign: what was spent when, how the answer narrowed, what the ladder would have cost."""

from __future__ import annotations

from collections.abc import Sequence

from lawful.report import parts, tables
from lawful.report.charts import Axis, Chart, Line, Points, Reference
from lawful.report.evidence import Evidence
from lawful.report.markup import Html, tag
from lawful.report.table import Table
from lawful.schema.campaign import Campaign

TITLE = "Campaign"


def campaign_sentences(campaign: Campaign) -> list[str]:
    """The goal and how it ended; what was spent beside the ladder; when the rule was written."""
    rule, end = campaign.rule, campaign.end
    runs = sum(len(one.runs) for one in campaign.rounds)
    last = next((one.half_width for one in reversed(campaign.looks) if one.half_width is not None), None)
    width = "no interval yet" if last is None else f"half-width {tables.significant(last)}"
    if end is None or end.ending == "met":
        state = f"{'met' if end else 'not decided yet'}: {width}, {tables.significant(campaign.enough)} is enough"
    else:
        state = f"not met: {end.why}"
    spent = f"{tables.many(runs, 'run')} of {tables.flops(campaign.spent)}"
    ladder = f"The whole ladder, {tables.many(rule.grid_runs, 'run')}, takes {tables.flops(rule.grid_flops)}"
    share = tables.significant(campaign.spent / rule.grid_flops, 2)
    return [
        f"The goal, {rule.goal}, is {state}.",
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
            _width(one.look.half_width),
            _width(one.expected),
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
    seen = [(one.spent, one.half_width) for one in campaign.looks if one.half_width and one.spent]
    if len(seen) < 2:
        return None
    spent, widths = [x for x, _ in seen], [y for _, y in seen]
    what = campaign.rule.goal.partition(" within")[0]
    return Chart(
        name="campaign",
        kind="campaign",
        title="The half-width of the answer over what was spent",
        caption=f"Each mark is the half-width of the 95 % interval of {what} after the runs so far, widened by the "
        f"rule. The whole ladder takes {tables.flops(campaign.rule.grid_flops)}.",
        alt=f"Half-width of the answer after each round, from {widths[0]:.3g} to {widths[-1]:.3g}; the goal is "
        f"{campaign.enough:.3g}.",
        x=Axis(title="Spent", suffix=" FLOPs", is_flops=True),
        y=Axis(title="Half-width"),
        lines=[Line(name="half-width", x=spent, y=widths, colour="arm0")],
        points=[
            Points(
                name="look",
                x=spent,
                y=widths,
                colour="arm0",
                hover=[f"{tables.flops(x)} spent\nhalf-width {y:.3g}" for x, y in seen],
            )
        ],
        references=[Reference(y=campaign.enough, label="enough")],
    )


def campaign_section(evidence: Evidence, drawn: Sequence[Chart]) -> Html | None:
    if evidence.campaign is None:
        return None
    lede, *others = campaign_sentences(evidence.campaign)
    return tag(
        "section",
        tag("h2", TITLE),
        tag("p", lede, class_="lede"),
        [tag("p", one) for one in others],
        parts.charts([one for one in drawn if one.kind == "campaign"], heading=False),
        parts.folded(campaign_table(evidence.campaign), least=12),
        id="campaign",
    )


def _width(half_width: float | None) -> str:
    return tables.DASH if half_width is None else tables.significant(half_width)
