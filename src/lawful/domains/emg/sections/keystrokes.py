"""The part of a report about typing: errors by person, where a doubling stops paying, an example, confused keys.

Where no run of the study kept the errors of single sessions, there is no such part.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lawful.domains.emg import keystroke_pictures, keystroke_tables
from lawful.domains.emg.analyses.per_user_error import answer_people
from lawful.domains.emg.keystroke_pictures import Picture
from lawful.domains.emg.keystroke_tables import Tuned
from lawful.domains.emg.records import (
    SPLITS,
    DecodedSession,
    NearBest,
    PeopleErrors,
    SplitDetails,
    SplitErrors,
    read_costs,
    read_details,
    read_people,
)
from lawful.report import parts, tables
from lawful.report.evidence import Evidence
from lawful.report.markup import Html, tag
from lawful.report.section import Content, Section
from lawful.report.table import Table
from lawful.report.tables import number, percent
from lawful.schema import Observation, PlannedRun, RunRecord
from lawful.storage.atomic import write_json
from lawful.storage.codec import to_plain, write_result, write_study
from lawful.storage.layout import Store
from lawful.tables import is_of_ladder, write_csv

NAMED_POINTS = 2.0  # of the distances from the best, the one that is said; the table has all
MANY_USERS = 8  # with 4 an interval of 95 % holds the truth in 89 % of simulations, with 8 in 94 (fitting/people.py)


@dataclass(frozen=True, kw_only=True)
class Keystrokes:
    """What the page and report.md say of it."""

    sentences: tuple[str, ...]
    tables: tuple[Table, ...]
    pictures: tuple[Picture, ...]


class Typing(Section):
    after = "doubts"

    def content(self, evidence: Evidence) -> Content | None:
        found = keystrokes(evidence)
        if found is None:
            return None
        files = {f"{one.name}.png": one.png for one in found.pictures}
        files |= {f"{one.name}.svg": one.svg for one in found.pictures}
        return Content(html=section(found), markdown=tuple(markdown(found)), figures=files)

    def example(self, folder: Path) -> None:
        """One run that typed for two people."""
        home = Store(folder)
        planned = replace(PlannedRun.example(), params_non_embedding=10_000)
        write_study(home.study, replace(home.read_study(), runs=(planned,)))
        sessions = (
            DecodedSession(
                session=f"s{user}",
                user=user,
                characters=9,
                insertions=0,
                deletions=1,
                substitutions=1,
                reference="ab",
                decoded="a",
            )
            for user in ("u1", "u2")
        )
        confusions = (("a", "a", 9), ("b", "", 2))
        details = SplitDetails(sessions=tuple(sessions), confusions=confusions, always_commonest_cer=0.8)
        write_json(home.details(planned.run), {"validation": to_plain(details)})
        write_result(home.result(planned.run), RunRecord(status="finished"))
        rates = {"cer": 0.2, "cer_insertions": 0.0, "cer_deletions": 0.1, "cer_substitutions": 0.1, "blank_share": 0.8}
        row: Observation = {
            "run": planned.run,
            "rung": planned.rung,
            "status": "finished",
            "params_non_embedding": 10_000,
            **rates,
        }
        write_csv(home.observations, [row])
        answer_people(folder)


def keystrokes(evidence: Evidence) -> Keystrokes | None:
    """None where the study keeps no errors of single sessions, or none of its runs has ended well."""
    home = Store(evidence.folder)
    people = read_people(home)
    if people is None:
        return None
    best = min(
        (
            row
            for row in filter(is_of_ladder, evidence.finished)
            if row.get("cer") is not None and home.details(str(row["run"])).exists()
        ),
        key=lambda row: number(row["cer"]) or 0.0,
        default=None,
    )
    if best is None:
        return None
    details = (read_details(home, str(best["run"])) or {})["validation"]
    rung = tables.readable(best.get("rung"))
    personal = keystroke_tables.tuned_runs(evidence)
    pictures = [
        keystroke_pictures.errors_by_size(people),
        keystroke_pictures.example_read(details.example, rung) if details.example else None,
        keystroke_pictures.keyboard(details, rung),
    ]
    made = [
        keystroke_tables.people_table(people),
        keystroke_tables.near_best_table(people, read_costs(home)),
        keystroke_tables.rates_table(evidence),
        keystroke_tables.search_table(evidence),
        keystroke_tables.personal_table(personal),
        keystroke_tables.confusion_table(details),
    ]
    is_synthetic = any(corpus.is_synthetic for corpus in evidence.study.corpora.values())
    if not is_synthetic:
        made.append(keystroke_tables.PUBLISHED)
    return Keystrokes(
        sentences=(
            *_sentences(evidence, people, details, best, is_synthetic=is_synthetic),
            *_personal_sentences(personal),
        ),
        tables=tuple(table for table in made if table.rows),
        pictures=tuple(picture for picture in pictures if picture),
    )


def section(found: Keystrokes) -> Html:
    return tag(
        "section",
        tag("h2", "Typing"),
        [tag("p", sentence, class_="lede" if number == 0 else None) for number, sentence in enumerate(found.sentences)],
        tag("div", [_figure(picture) for picture in found.pictures], class_="charts"),
        [parts.titled(table) for table in found.tables],
        id="typing",
    )


def markdown(found: Keystrokes) -> list[str]:
    text = tables.markdown_text
    parts = ["## Typing", *(text(sentence) for sentence in found.sentences)]
    parts += [f"![{text(one.alt)}](figures/{one.name}.png)\n\n*{text(one.caption)}*" for one in found.pictures]
    for table in found.tables:
        parts += [f"### {text(table.title)}", tables.markdown_table(table.header, table.rows, right=table.right)]
    return parts


def _sentences(
    evidence: Evidence,
    people: PeopleErrors,
    details: SplitDetails,
    best: Observation,
    *,
    is_synthetic: bool,
) -> list[str]:
    out = []
    if is_synthetic:
        out.append("Synthetic EMG: says nothing about people. It shows that the method works, and nothing else.")
    else:
        out.append("emg2qwerty recordings are for non-commercial use only (CC BY-NC-SA 4.0).")
    unseen = f", and {percent(best['test_cer'])} for people it was not" if best.get("test_cer") is not None else ""
    out.append(
        f"The best model ({tables.readable(best.get('rung'))}) gets {percent(best['cer'])} of the characters wrong "
        f"for people it was trained on{unseen}. Writing nothing is 100 % wrong; the commonest keys over and over, "
        f"{percent(details.always_commonest_cer)}."
    )
    for split, who in SPLITS.items():
        if of_split := people.splits.get(split):
            out.append(_law_sentence(who, of_split, people.points))
            named = [near for near in of_split.near_best if near.points == NAMED_POINTS]
            out += [_near_best_sentence(who, near, len(of_split.users)) for near in named]
    if collapsed := [row for row in evidence.rows if str(row.get("reason") or "").startswith("collapsed")]:
        out.append(f"{len(collapsed)} runs collapsed; they are listed among the runs and are in no fit.")
    return out


def _law_sentence(who: str, errors: SplitErrors, points: float) -> str:
    law, spot = errors.law, errors.sweet_spot
    if law is None or spot is None:
        return f"For {who}: {errors.refusal}"
    low, high = law.alpha.ci95
    few = f"; with fewer than {MANY_USERS} users such intervals are too narrow" if law.users < MANY_USERS else ""
    sentence = (
        f"For {who}, the odds of an error fall as N^-{law.alpha.value:.2f} [{low:.2f}, {high:.2f}] "
        f"({law.runs} runs, 95 % interval over {law.users} users and seeds{few})."
    )
    if spot.params is None:
        return f"{sentence} No size within reach is one beyond which a doubling gains less than {points:g} point."
    within = f" [{tables.count(spot.ci95[0])}, {tables.count(spot.ci95[1])}]" if spot.ci95 else ", unbounded"
    where = "inside" if spot.is_in_range else "outside"
    return (
        f"{sentence} Beyond {tables.count(spot.params)} parameters{within} a doubling gains less than "
        f"{points:g} point of error rate; that is {where} the sizes that were trained."
    )


def _near_best_sentence(who: str, near: NearBest, users: int) -> str:
    low, high = near.ci95
    few = f" (with {users} users too narrow)" if users < MANY_USERS else ""
    return (
        f"For {who}, the smallest size within {near.points:g} points of the largest is {tables.count(near.params)} "
        f"parameters by the law [{tables.count(low)}, {tables.count(high)}]{few}. Of the trained sizes it is "
        f"{tables.count(near.trained)}: {near.gap:.1f} points above the best measured one, {tables.count(near.best)}."
    )


def _personal_sentences(tuned: Sequence[Tuned]) -> list[str]:
    if not tuned:
        return []
    people: dict[str, list[Tuned]] = {}
    for one in tuned:
        people.setdefault(one.person, []).append(one)
    rates = np.array(
        [
            np.mean([(one.before / one.characters, one.after / one.characters) for one in own], axis=0)
            for own in people.values()
        ]
    )  # [people, 2]
    spread = [f" (sd {100 * sd:.1f})" if len(people) > 1 else "" for sd in rates.std(axis=0, ddof=int(len(people) > 1))]
    before, after = (f"{percent(mean)}{sd}" for mean, sd in zip(rates.mean(axis=0), spread, strict=True))
    return [
        f"Continued on one person's own sessions, models go from {before} to {after} on that person's test sessions: "
        f"the mean over {len(people)} people, of whom {int((rates[:, 1] < rates[:, 0]).sum())} gain."
    ]


def _figure(picture: Picture) -> Html:
    source = "data:image/png;base64," + base64.b64encode(picture.png).decode()
    return tag(
        "figure",
        tag("h3", picture.title),
        tag("img", src=source, alt=picture.alt, style="max-width: 100%; height: auto"),
        tag("figcaption", picture.caption),
        class_="wide",
        id=f"chart-{picture.name}",
    )
