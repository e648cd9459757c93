"""The part of a report about typing: errors by person, where a doubling stops paying, an example, confused keys.

Where no run of the study kept the errors of single sessions, there is no such part.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lawful.domains.emg.analyses.per_user_error import answer_people
from lawful.domains.emg.tokenizers.keys import BACKSPACE, ENTER, SHIFT, SPACE
from lawful.report import parts, tables
from lawful.report.charts import LIGHT
from lawful.report.evidence import Evidence
from lawful.report.markup import Html, tag
from lawful.report.section import Content, Section
from lawful.report.table import Table
from lawful.report.tables import number
from lawful.schema import PlannedRun, RunRecord
from lawful.storage.atomic import write_json
from lawful.storage.codec import write_result, write_study
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store
from lawful.tables import is_of_ladder, write_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS_PER_INCH = 160
SPLITS = {"validation": "people that were trained on", "test": "people that were not"}
LISTED_CONFUSIONS = 10
LISTED_USERS = 12
MANY_USERS = 8  # with 4 an interval of 95 % holds the truth in 89 % of simulations, with 8 in 94 (fitting/people.py)
# Rows of a US keyboard, the first key of each and how far it is moved to the right of the row above, in keys
ROWS = (("1234567890-=", 0.0), ("qwertyuiop[]", 0.5), ("asdfghjkl;'", 0.75), ("zxcvbnm,./", 1.25))
NAMES = {SPACE: "space", ENTER: "enter", BACKSPACE: "backspace", SHIFT: "shift", "": "nothing"}
# Test CER in per cent, mean and sd over 8 users, of the public baseline (arXiv:2410.20081, table 2): without and with
# its language model; and of later work, whose models are named by their size (arXiv:2507.22094; arXiv:2506.12356)
PUBLISHED = (
    ("generic, convolutions of 5.3M", "55.4 (sd 4.1)", "51.8"),
    ("one person from scratch, 5.3M", "15.4 (sd 5.9)", "9.6"),
    ("one person from the generic model, 5.3M", "11.3 (sd 4.5)", "7.0"),
    ("generic, transformers of 2.2M, 5.4M, 109M", "35.9, 35.2, 30.5", ""),
    ("one person, transformers of 2.2M, 5.4M, 109M", "9.7, 7.9, 6.8", ""),
    ("generic; one person (SplashNet)", "35.7; 5.5", ""),
)


@dataclass(frozen=True, kw_only=True)
class Picture:
    name: str
    title: str
    caption: str
    alt: str
    png: bytes
    svg: bytes


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
        wrong = {
            "characters": 9,
            "insertions": 0,
            "deletions": 1,
            "substitutions": 1,
            "reference": "ab",
            "decoded": "a",
        }
        sessions = [{"session": f"s{user}", "user": user, **wrong} for user in ("u1", "u2")]
        confusions = [["a", "a", 9], ["b", "", 2]]
        typed = {"sessions": sessions, "confusions": confusions, "always_commonest_cer": 0.8}
        write_json(home.details(planned.run), {"validation": typed})
        write_result(home.result(planned.run), RunRecord(status="finished"))
        rates = {"cer": 0.2, "cer_insertions": 0.0, "cer_deletions": 0.1, "cer_substitutions": 0.1, "blank_share": 0.8}
        row = {"run": planned.run, "rung": planned.rung, "status": "finished", "params_non_embedding": 10_000, **rates}
        write_csv(home.observations, [row])
        answer_people(folder)


def keystrokes(evidence: Evidence) -> Keystrokes | None:
    """None where the study keeps no errors of single sessions, or none of its runs has ended well."""
    home = Store(evidence.folder)
    if not home.fit("by-user").exists():
        return None
    people = read_json(home.fit("by-user"))
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
    details = read_json(home.details(str(best["run"])))
    personal = _tuned(evidence)
    pictures = [_errors_by_size(people), _example(details["validation"], best), _keyboard(details["validation"], best)]
    made = [
        _people_table(people),
        _rates_table(evidence),
        _search_table(evidence),
        _personal_table(personal),
        _confusion_table(details["validation"]),
    ]
    is_synthetic = any(corpus.is_synthetic for corpus in evidence.study.corpora.values())
    if not is_synthetic:
        made.append(
            Table(
                title="Published test error rates to stand beside (emg2qwerty), %",
                header=("Model", "Without language model", "With"),
                rows=PUBLISHED,
                right=(),
            )
        )
    return Keystrokes(
        sentences=(
            *_sentences(evidence, people, details["validation"], best, is_synthetic=is_synthetic),
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
    people: Mapping[str, Any],
    details: Mapping[str, Any],
    best: Mapping[str, Any],
    *,
    is_synthetic: bool,
) -> list[str]:
    out = []
    if is_synthetic:
        out.append("Synthetic EMG: says nothing about people. It shows that the method works, and nothing else.")
    else:
        out.append("emg2qwerty recordings are for non-commercial use only (CC BY-NC-SA 4.0).")
    unseen = f", and {_percent(best['test_cer'])} for people it was not" if best.get("test_cer") is not None else ""
    out.append(
        f"The best model ({tables.readable(best.get('rung'))}) gets {_percent(best['cer'])} of the characters wrong "
        f"for people it was trained on{unseen}. Writing nothing is 100 % wrong; the commonest keys over and over, "
        f"{_percent(details['always_commonest_cer'])}."
    )
    for split, who in SPLITS.items():
        of_split = people.get(split) or {}
        if "law" not in of_split:
            if of_split.get("refusal"):
                out.append(f"For {who}: {of_split['refusal']}")
            continue
        law, spot = of_split["law"], of_split["sweet_spot"]
        low, high = law["alpha"]["ci95"]
        sentence = (
            f"For {who}, the odds of an error fall as N^-{law['alpha']['value']:.2f} [{low:.2f}, {high:.2f}] "
            f"({law['runs']} runs, 95 % interval over {law['users']} users and seeds; with fewer than {MANY_USERS} "
            "users such intervals are too narrow)."
            if law["users"] < MANY_USERS
            else f"For {who}, the odds of an error fall as N^-{law['alpha']['value']:.2f} [{low:.2f}, {high:.2f}] "
            f"({law['runs']} runs, 95 % interval over {law['users']} users and seeds)."
        )
        if spot["params"] is None:
            sentence += (
                f" No size within reach is one beyond which a doubling gains less than {people['points']:g} point."
            )
        else:
            within = (
                f" [{tables.count(spot['ci95'][0])}, {tables.count(spot['ci95'][1])}]"
                if spot["ci95"]
                else ", unbounded"
            )
            where = "inside" if spot["is_in_range"] else "outside"
            sentence += (
                f" Beyond {tables.count(spot['params'])} parameters{within} a doubling gains less than "
                f"{people['points']:g} point of error rate; that is {where} the sizes that were trained."
            )
        out.append(sentence)
    if collapsed := [row for row in evidence.rows if str(row.get("reason") or "").startswith("collapsed")]:
        out.append(f"{len(collapsed)} runs collapsed; they are listed among the runs and are in no fit.")
    return out


def _people_table(people: Mapping[str, Any]) -> Table:
    rows = []
    for split, who in SPLITS.items():
        for size in (people.get(split) or {}).get("sizes", ()):
            by_user = list(size["by_user"].items())
            shown = ", ".join(f"{user} {100 * rate:.1f}" for user, rate in by_user[:LISTED_USERS])
            more = f" and {len(by_user) - LISTED_USERS} more" if len(by_user) > LISTED_USERS else ""
            rows.append(
                (
                    who,
                    tables.count(size["params"]) + (" (held out)" if size["is_held_out"] else ""),
                    f"{100 * size['cer']:.1f}",
                    "" if size["sd_seeds"] is None else f"{100 * size['sd_seeds']:.1f}",
                    "" if size["sd_users"] is None else f"{100 * size['sd_users']:.1f}",
                    shown + more,
                )
            )
    header = ("Of", "N", "CER %", "sd over seeds", "sd over users", "By user")
    return Table(title="Error rates by size and person", header=header, rows=rows, right=(2, 3, 4))


def _rates_table(evidence: Evidence) -> Table:
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
                _percent(row["blank_share"]),
            )
        )
    return Table(
        title="Errors apart, % of characters (missed: a deletion, and in emg2qwerty's own code an insertion)",
        header=("Run", "CER", "Missed", "Made up", "Mistaken", "Blanks"),
        rows=rows,
        right=(1, 2, 3, 4, 5),
    )


def _search_table(evidence: Evidence) -> Table:
    """Greedy decoding beside beam search, where the study asked for it."""
    rows, how = [], ""
    for row in filter(is_of_ladder, evidence.finished):
        path = Store(evidence.folder).details(str(row["run"]))
        for split, found in read_json(path).items() if path.exists() else ():
            if not found.get("search"):
                continue
            spelling = found["search"].get("spelling")
            how = f"beam {found['search']['beam']}" + (
                f", with {Path(spelling['path']).name} at weight {spelling['weight']:g} and {spelling['bonus']:g} a "
                "character"
                if spelling
                else ", without a language model"
            )
            characters = max(sum(session["characters"] for session in found["sessions"]), 1)
            greedy, searched = (sum(map(_edits, some)) for some in zip(*map(_both, found["sessions"]), strict=True))
            rates = (f"{100 * greedy / characters:.1f}", f"{100 * searched / characters:.1f}")
            rows.append((tables.readable(row.get("rung")), SPLITS.get(split, split), *rates))
    header = ("Run", "Of", "Greedy", "Beam search")
    return Table(title=f"Error rates by beam search, % ({how})", header=header, rows=rows, right=(2, 3))


def _both(session: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    return session, session["beam"]


def _edits(made: Mapping[str, Any]) -> int:
    return int(made["insertions"] + made["deletions"] + made["substitutions"])


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """A model continued on one person's own sessions: edits and characters of that person's test sessions."""

    rung: str
    person: str
    before: int
    after: int
    characters: int


def _tuned(evidence: Evidence) -> list[Tuned]:
    """Beside the model that it began with, on the same sessions."""
    home, out = Store(evidence.folder), []
    for row in evidence.finished:
        if not row.get("starts_from"):
            continue
        own, start = home.details(str(row["run"])), home.details(str(row["starts_from"]))
        if not (own.exists() and start.exists()):
            continue
        before = {one["session"]: one for one in read_json(start).get("test", {}).get("sessions", ())}
        shared = [one for one in read_json(own).get("test", {}).get("sessions", ()) if one["session"] in before]
        if shared:
            out.append(
                Tuned(
                    rung=tables.readable(row.get("rung")),
                    person=shared[0]["user"],
                    before=sum(_edits(before[one["session"]]) for one in shared),
                    after=sum(map(_edits, shared)),
                    characters=max(1, sum(one["characters"] for one in shared)),
                )
            )
    return out


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
    before, after = (f"{_percent(mean)}{sd}" for mean, sd in zip(rates.mean(axis=0), spread, strict=True))
    return [
        f"Continued on one person's own sessions, models go from {before} to {after} on that person's test sessions: "
        f"the mean over {len(people)} people, of whom {int((rates[:, 1] < rates[:, 0]).sum())} gain."
    ]


def _personal_table(tuned: Sequence[Tuned]) -> Table:
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


def _confusion_table(details: Mapping[str, Any]) -> Table:
    wrong = sorted((item for item in details["confusions"] if item[0] != item[1]), key=lambda item: -item[2])
    rows = [(_named(true), _named(seen), str(number)) for true, seen, number in wrong[:LISTED_CONFUSIONS]]
    return Table(
        title="Most frequent mistakes of the best model", header=("Key", "Read as", "Times"), rows=rows, right=(2,)
    )


def _errors_by_size(people: Mapping[str, Any]) -> Picture:
    figure, axes = _canvas(7.2, 4.2)
    for (split, who), colour in zip(SPLITS.items(), (LIGHT["arm0"], LIGHT["arm1"]), strict=True):
        found = people.get(split)
        if not found:
            continue
        if curve := found.get("curve"):
            axes.fill_between(
                curve["params"], _hundred(curve["low"]), _hundred(curve["high"]), color=colour, alpha=0.14, linewidth=0
            )
            axes.plot(curve["params"], _hundred(curve["cer"]), color=colour, linewidth=1.4)
        for size in found["sizes"]:
            rates = _hundred(list(size["by_user"].values()))
            axes.scatter([size["params"]] * len(rates), rates, s=9, color=colour, alpha=0.45, linewidths=0)
        axes.scatter(
            [size["params"] for size in found["sizes"]],
            [100 * size["cer"] for size in found["sizes"]],
            s=34,
            facecolors=[LIGHT["paper"] if size["is_held_out"] else colour for size in found["sizes"]],
            edgecolors=colour,
            label=who,
            zorder=3,
        )
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("Parameters of front end and body")
    axes.set_ylabel("Character error rate, %")
    axes.legend(frameon=False, fontsize=8)
    return _picture(
        figure,
        "typing-errors",
        "Error against size, by person",
        "Large marks: all people of a split, the mean over seeds (open: held out). Small marks: one person each. "
        "Lines: the bounded law and its 95 % band over users and seeds.",
    )


def _example(details: Mapping[str, Any], best: Mapping[str, Any]) -> Picture | None:
    example = details.get("example")
    if not example:
        return None
    from matplotlib.figure import Figure

    # [rows, frames, 32] -> the labelled windows laid end to end: what lies before and after each is cut off
    power = np.array(example["power"])
    emissions = len(example["blank"])
    first = example["past"]
    laid = np.concatenate([row[first : first + own] for row, own in zip(power, example["emissions"], strict=True)]).T
    figure = Figure(figsize=(9.0, 4.6), layout="constrained", dpi=DOTS_PER_INCH)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1.1, 1.0])
    upper.imshow(laid, aspect="auto", cmap="viridis", interpolation="nearest", origin="lower")
    upper.axhline(15.5, color=LIGHT["paper"], linewidth=1)
    upper.set_yticks([7.5, 23.5], ["left wrist", "right wrist"])
    upper.set_title("Mean log power of each electrode", loc="left", fontsize=9)
    lower.fill_between(range(emissions), example["blank"], color=LIGHT["grid"], linewidth=0, label="blank")
    for key, probability in sorted(example["keys"].items()):
        (line,) = lower.plot(probability, linewidth=1)
        peaks = [at for at, p in enumerate(probability) if p > 0.4 and p == max(probability[max(0, at - 3) : at + 4])]
        for at in peaks:
            lower.annotate(
                {SPACE: "␣"}.get(key, key) if key not in (ENTER, BACKSPACE, SHIFT) else _named(key),
                (at, probability[at]),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=7,
                color=line.get_color(),
            )
    lower.set_ylim(0, 1.15)
    lower.set_ylabel("Probability")
    lower.set_xlabel("Emission")
    shown = {ENTER: "/", BACKSPACE: "<", SHIFT: "^"}
    true, seen = ("".join(shown.get(key, key) for key in example[name]) for name in ("reference", "decoded"))
    lower.set_title(f"true  {true}\nread {seen}", loc="left", fontsize=9, family="monospace")
    return _picture(
        figure,
        "typing-example",
        "What the best model reads",
        f"The first seconds of {example['session']} (validation): signal, emissions, and the text as typed and as read "
        f"by {tables.readable(best.get('rung'))}. < is a backspace, / enter.",
    )


def _keyboard(details: Mapping[str, Any], best: Mapping[str, Any]) -> Picture | None:
    totals: dict[str, list[int]] = {}
    worst: dict[str, tuple[int, str]] = {}
    for true, seen, times in details["confusions"]:
        if not true:
            continue
        total = totals.setdefault(true, [0, 0])
        total[1] += times
        if true != seen:
            total[0] += times
            worst[true] = max(worst.get(true, (0, "")), (times, seen))
    if not totals:
        return None
    figure, axes = _canvas(8.6, 3.6)
    axes.set_axis_off()
    places: dict[str, tuple[float, float]] = {
        key: (shift + column, -row) for row, (keys, shift) in enumerate(ROWS) for column, key in enumerate(keys)
    }
    places |= {SPACE: (5.0, -4.0), ENTER: (12.2, -2.0), BACKSPACE: (12.4, 0.0), SHIFT: (0.0, -3.0)}
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    for key, (x, y) in places.items():
        wide = {SPACE: 5.0, ENTER: 1.6, BACKSPACE: 1.6, SHIFT: 1.1}.get(key, 0.92)
        wrong, times = totals.get(key, [0, 0])
        share = wrong / times if times else 0.0
        colour = colormaps["OrRd"](min(share, 1.0)) if times else LIGHT["paper"]
        axes.add_patch(Rectangle((x, y), wide, 0.92, facecolor=colour, edgecolor=LIGHT["reference"], linewidth=0.8))
        ink = LIGHT["paper"] if share > 0.6 else LIGHT["ink"] if times else LIGHT["reference"]
        label = _named(key) if key in NAMES else key
        axes.text(x + 0.08, y + 0.86, label, ha="left", va="top", fontsize=8, color=ink)
        if times:
            taken = f"\n→ {_named(worst[key][1])}" if key in worst else ""
            axes.text(x + wide / 2, y + 0.08, f"{100 * share:.0f} %{taken}", ha="center", fontsize=5.5, color=ink)
    axes.set_xlim(-0.2, 14.3)
    axes.set_ylim(-4.2, 1.2)
    axes.set_aspect("equal")
    return _picture(
        figure,
        "typing-keys",
        "Which keys are misread",
        f"Share of each key's presses that {tables.readable(best.get('rung'))} misread in the validation sessions, and "
        "what it most often read instead. White: never typed there.",
    )


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=DOTS_PER_INCH)
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _picture(figure: Figure, name: str, title: str, caption: str) -> Picture:
    """The same data gives the same bytes."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    as_png: Any = FigureCanvasAgg  # their stubs leave print_png and print_svg untyped
    as_svg: Any = FigureCanvasSVG
    png, svg = io.BytesIO(), io.BytesIO()
    with rc_context({"svg.hashsalt": "lawful", "svg.fonttype": "none", "font.size": 9}):
        as_png(figure).print_png(png, metadata={"Software": None})
        as_svg(figure).print_svg(svg, metadata={"Date": None, "Creator": None})
    return Picture(
        name=name, title=title, caption=caption, alt=f"{title}. {caption}", png=png.getvalue(), svg=svg.getvalue()
    )


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


def _named(key: str) -> str:
    return NAMES.get(key, key)


def _percent(share: Any) -> str:
    return f"{100 * float(share):.1f} %"


def _hundred(values: Any) -> list[float]:
    return [100 * float(value) for value in values]
