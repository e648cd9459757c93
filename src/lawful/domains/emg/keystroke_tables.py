"""The tables of the report's part about typing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lawful.domains.emg.keystroke_pictures import named
from lawful.domains.emg.records import (
    SPLITS,
    DecodedSession,
    EncoderCosts,
    PeopleErrors,
    SplitDetails,
    read_details,
)
from lawful.report import tables
from lawful.report.evidence import Evidence
from lawful.report.table import Table
from lawful.report.tables import number, percent
from lawful.storage.layout import Store
from lawful.tables import is_of_ladder

LISTED_CONFUSIONS = 10
LISTED_USERS = 12
# Test CER in per cent, mean and sd over 8 users, of the public baseline (arXiv:2410.20081, table 2): without and with
# its language model; and of later work, whose models are named by their size (arXiv:2507.22094; arXiv:2506.12356)
PUBLISHED = Table(
    title="Published test error rates to stand beside (emg2qwerty), %",
    header=("Model", "Without language model", "With"),
    rows=(
        ("generic, convolutions of 5.3M", "55.4 (sd 4.1)", "51.8"),
        ("one person from scratch, 5.3M", "15.4 (sd 5.9)", "9.6"),
        ("one person from the generic model, 5.3M", "11.3 (sd 4.5)", "7.0"),
        ("generic, transformers of 2.2M, 5.4M, 109M", "35.9, 35.2, 30.5", ""),
        ("one person, transformers of 2.2M, 5.4M, 109M", "9.7, 7.9, 6.8", ""),
        ("generic; one person (SplashNet)", "35.7; 5.5", ""),
    ),
    right=(),
)


def people_table(people: PeopleErrors) -> Table:
    rows = []
    for split, who in SPLITS.items():
        for size in people.splits[split].sizes if split in people.splits else ():
            by_user = list(size.by_user.items())
            shown = ", ".join(f"{user} {100 * rate:.1f}" for user, rate in by_user[:LISTED_USERS])
            more = f" and {len(by_user) - LISTED_USERS} more" if len(by_user) > LISTED_USERS else ""
            rows.append(
                (
                    who,
                    tables.count(size.params) + (" (held out)" if size.is_held_out else ""),
                    f"{100 * size.cer:.1f}",
                    "" if size.sd_seeds is None else f"{100 * size.sd_seeds:.1f}",
                    "" if size.sd_users is None else f"{100 * size.sd_users:.1f}",
                    shown + more,
                )
            )
    header = ("Of", "N", "CER %", "sd over seeds", "sd over users", "By user")
    return Table(title="Error rates by size and person", header=header, rows=rows, right=(2, 3, 4))


def near_best_table(people: PeopleErrors, costs: EncoderCosts | None) -> Table:
    """The smallest size that is nearly as good as the best, and what it costs where it is used."""
    known = {float(one.params): one for one in costs.encoders} if costs else {}
    rows = []
    for split, who in SPLITS.items():
        for one in people.splits[split].near_best if split in people.splits else ():
            low, high = one.gap_ci95
            cost = known.get(one.trained)
            rows.append(
                (
                    who,
                    f"{one.points:g}",
                    f"{tables.count(one.params)} [{tables.count(one.ci95[0])}, {tables.count(one.ci95[1])}]",
                    tables.count(one.trained),
                    f"{one.gap:.1f} [{low:.1f}, {high:.1f}]",
                    f"{1000 * cost.seconds:.3g} ms" if cost else tables.DASH,
                    f"{tables.count(cost.bytes)}B" if cost else tables.DASH,
                )
            )
    header = (
        *(
            "Of",
            "Within, points",
            "N by the law (95 %)",
            "Smallest trained, measured",
            "Its error above the best's (95 %)",
        ),
        *("Time for a window", "Weights"),
    )
    title = "Sweet spot: the smallest size whose error is within so many points of the best trained size's"
    return Table(title=title, header=header, rows=rows, right=(1, 3, 5, 6))


def rates_table(evidence: Evidence) -> Table:
    """Both conventions by name: what one calls a deletion the other calls an insertion."""
    rows = []
    for row in evidence.finished:
        if row.get("cer") is None:
            continue
        missed, extra, wrong = (
            100 * (number(row[f"cer_{kind}"]) or 0.0) for kind in ("deletions", "insertions", "substitutions")
        )
        rows.append(
            (
                tables.readable(row.get("rung")),
                f"{100 * (number(row['cer']) or 0.0):.1f}",
                f"{missed:.1f}",
                f"{extra:.1f}",
                f"{wrong:.1f}",
                percent(row["blank_share"]),
            )
        )
    return Table(
        title="Errors apart, % of characters (missed: a deletion, and in emg2qwerty's own code an insertion)",
        header=("Run", "CER", "Missed", "Made up", "Mistaken", "Blanks"),
        rows=rows,
        right=(1, 2, 3, 4, 5),
    )


def search_table(evidence: Evidence) -> Table:
    """Greedy decoding beside beam search, where the study asked for it."""
    rows, how = [], ""
    for row in filter(is_of_ladder, evidence.finished):
        for split, found in (read_details(Store(evidence.folder), str(row["run"])) or {}).items():
            if not found.search:
                continue
            spelling = found.search.spelling
            how = f"beam {found.search.beam}" + (
                f", with {Path(spelling.path).name} at weight {spelling.weight:g} and {spelling.bonus:g} a character"
                if spelling
                else ", without a language model"
            )
            characters = max(sum(session.characters for session in found.sessions), 1)
            greedy = sum(session.edits for session in found.sessions)
            searched = sum(session.beam.edits for session in found.sessions if session.beam)
            rates = (f"{100 * greedy / characters:.1f}", f"{100 * searched / characters:.1f}")
            rows.append((tables.readable(row.get("rung")), SPLITS.get(split, split), *rates))
    header = ("Run", "Of", "Greedy", "Beam search")
    return Table(title=f"Error rates by beam search, % ({how})", header=header, rows=rows, right=(2, 3))


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """A model continued on one person's own sessions: edits and characters of that person's test sessions."""

    rung: str
    person: str
    before: int
    after: int
    characters: int


def tuned_runs(evidence: Evidence) -> list[Tuned]:
    """Each tuned run beside the model that it started from, on the same sessions."""
    home, out = Store(evidence.folder), []
    for row in evidence.finished:
        if not row.get("starts_from"):
            continue
        before, after = (_test_sessions(home, str(row[column])) for column in ("starts_from", "run"))
        shared = [session for session in after if session in before]
        if shared:
            out.append(
                Tuned(
                    rung=tables.readable(row.get("rung")),
                    person=after[shared[0]].user,
                    before=sum(before[session].edits for session in shared),
                    after=sum(after[session].edits for session in shared),
                    characters=max(1, sum(after[session].characters for session in shared)),
                )
            )
    return out


def _test_sessions(home: Store, run: str) -> dict[str, DecodedSession]:
    """The decoded test sessions of a run, by name."""
    found = (read_details(home, run) or {}).get("test")
    return {session.session: session for session in found.sessions} if found else {}


def personal_table(tuned: Sequence[Tuned]) -> Table:
    rows = [
        (
            one.person,
            one.rung,
            f"{100 * one.before / one.characters:.1f}",
            f"{100 * one.after / one.characters:.1f}",
            str(one.characters),
        )
        for one in tuned
    ]
    header = ("Person", "Run", "Before, CER %", "After", "Characters")
    title = "Fine-tuned on one person: error rates on that person's test sessions"
    return Table(title=title, header=header, rows=rows, right=(2, 3, 4))


def confusion_table(details: SplitDetails) -> Table:
    wrong = sorted((item for item in details.confusions if item[0] != item[1]), key=lambda item: -item[2])
    rows = [(named(true), named(seen), str(number)) for true, seen, number in wrong[:LISTED_CONFUSIONS]]
    return Table(
        title="Most frequent mistakes of the best model", header=("Key", "Read as", "Times"), rows=rows, right=(2,)
    )
