"""What trained models wrote: piano rolls, a player and MIDI files in the page, and the numbers beside real pieces'."""

from __future__ import annotations

import base64
import math
import urllib.parse
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from lawful.domains.music.records import DrawRecord, Note, Piece, RealPieces, SamplesRecord, Written, read_samples
from lawful.report import parts, tables
from lawful.report.evidence import Evidence
from lawful.report.markup import Html, data, join, tag
from lawful.report.section import Content, Section
from lawful.report.table import Table
from lawful.report.tables import number
from lawful.storage.atomic import write_json
from lawful.storage.codec import to_plain
from lawful.storage.json_files import read_bytes
from lawful.storage.layout import Store

# statistic -> header, and whether it is a share
COLUMNS = {
    "valid_tokens": ("Valid tokens", True),
    "whole_bars": ("Whole bars", True),
    "pitch_range": ("Range, semitones", False),
    "notes_per_beat": ("Notes a beat", False),
    "repeated_bars": ("Repeated bars", True),
    "known_runs": ("Known runs", True),
    "near_pitch_classes": ("Near: pitch classes", True),
    "near_durations": ("Near: durations", True),
    "near_positions": ("Near: positions", True),
}
SHOWN_SECONDS = 40.0  # of a roll; the player and the MIDI file have all of it
ROLL_WIDTH, ROLL_HEIGHT = 800, 120
MOST_BYTES = 2**24  # of a MIDI file that the page holds; one of a thousand bars has some 100,000


class Listening(Section):
    after = "baselines"

    def content(self, evidence: Evidence) -> Content | None:
        samples = read_samples(Store(evidence.folder))
        if samples is None or not samples.runs:
            return None
        return Content(html=_section(evidence, samples), markdown=tuple(_lines(evidence, samples)))

    def example(self, folder: Path) -> None:
        """One run that wrote one note."""
        shares = dict.fromkeys(COLUMNS, 0.5)
        samples = SamplesRecord(
            draw=DrawRecord(temperature=1.0, top_p=0.9, length=3),
            samples_each=1,
            runs=(
                Written(
                    run="a",
                    label="width=8",
                    loss=1.0,
                    params_non_embedding=8,
                    statistics=shares,
                    file="a.mid",
                    notes=((0.0, 1.0, 60.0),),
                ),
            ),
            real=RealPieces(pieces=1, statistics=shares),
        )
        write_json(Store(folder).samples, to_plain(samples))


def _section(evidence: Evidence, samples: SamplesRecord) -> Html:
    pieces = _pieces(samples)
    more = [piece for run in samples.runs for piece in (*run.pieces, *run.prompted)]
    table = statistics_table(samples)
    return tag(
        "section",
        tag("h2", "What they write"),
        tag("p", perplexity_sentence(evidence), class_="lede"),
        tag("div", [_piece(evidence, number, *piece) for number, piece in enumerate(pieces)], class_="rolls"),
        tag("h3", "All that each run wrote") if more else None,
        _all_pieces(evidence, samples, first=len(pieces)),
        tag("h3", table.title),
        parts.table(table),
        tag("p", _explained(samples), class_="note"),
        data("pieces", [to_plain(piece.notes) for piece in (*(piece for _, piece in pieces), *more)]),
        tag("style", Html(_asset("player.css"))),
        # a page that follows a study is loaded again where it holds this: the player starts anew
        tag("script", Html(_asset("player.js")), data_starts_anew=True),
        id="listening",
    )


def _all_pieces(evidence: Evidence, samples: SamplesRecord, *, first: int) -> list[Html]:
    """A list for each run, to be opened: what it wrote from nothing, and from real beginnings. `first`: the number of
    the first of them among the page's pieces."""
    number, found = first, []
    for run in samples.runs:
        lists = []
        for what, pieces in (("from nothing", run.pieces), ("from the beginning of a real piece", run.prompted)):
            items: list[Html] = []
            for piece in pieces:
                title = f"{_title(run)}, {what}, {len(items) + 1}"
                items.append(tag("li", _play(number, title), _midi(evidence, piece), f" {len(piece.notes)} notes"))
                number += 1
            if items:
                lists += [tag("p", f"{tables.many(len(items), 'piece')} {what}:"), tag("ol", items, class_="pieces")]
        if lists:
            found.append(tag("details", tag("summary", _title(run)), lists))
    return found


def _asset(name: str) -> str:
    return (resources.files("lawful.domains.music") / name).read_text(encoding="utf-8")


def _lines(evidence: Evidence, samples: SamplesRecord) -> list[str]:
    table = statistics_table(samples)
    files = [
        f"- [{tables.markdown_text(title)}](samples/{urllib.parse.quote(piece.file)})"
        for title, piece in _pieces(samples)
    ]
    return [
        "## What they write",
        perplexity_sentence(evidence),
        "\n".join(files),
        f"### {table.title}",
        tables.markdown_table(table.header, table.rows, right=table.right),
        _explained(samples),
    ]


def statistics_table(samples: SamplesRecord) -> Table:
    """A row for each run that wrote, and one for real pieces."""
    rows = [(_title(run), tables.count(run.params_non_embedding), *_cells(run.statistics)) for run in samples.runs]
    real = samples.real
    rows.append((f"real: {tables.many(real.pieces, 'validation piece')}", "", *_cells(real.statistics)))
    header = ("Written by", "N", *(name for name, _ in COLUMNS.values()))
    return Table(title="Samples beside real pieces", header=header, rows=rows, right=tuple(range(1, len(header))))


def perplexity_sentence(evidence: Evidence) -> str:
    """The test perplexity of the model that validation chose."""
    judged = [row for row in evidence.finished if row.get("test_loss") not in (None, "") and row.get("loss")]
    if not judged:
        return "No run was judged on the test pieces."
    best = min(judged, key=lambda row: number(row["loss"]) or 0.0)
    test = number(best["test_loss"]) or 0.0
    return (
        f"Of all runs, {tables.readable(best.get('rung'))} is best on validation; on the test pieces, by which nothing "
        f"was chosen, its loss is {tables.loss(test)} nats a token: perplexity {tables.general(math.exp(test))}."
    )


def _explained(samples: SamplesRecord) -> str:
    draw = samples.draw
    return (
        f"Each run wrote {samples.samples_each} pieces of up to {draw.length} tokens at temperature "
        f"{draw.temperature:g} and top-p {draw.top_p:g}; the longest is shown, the numbers are means over all. "
        + (
            f"It also went on from the first {samples.prompt_tokens} tokens of validation pieces. "
            if samples.prompt_tokens
            else ""
        )
        + "Valid tokens may stand where they stand; a whole bar's positions go forward and lie inside it; a repeated "
        "bar is note for note an earlier one; a known run is 12 tokens in a row that a training piece has too. Near is "
        "the overlap of two histograms, over all notes written and over those of the validation pieces: 100 % where "
        "they are equal. Real pieces, cut to the same length, say what to expect; their nearness is that of as many "
        "training pieces to the validation pieces."
    )


def _pieces(samples: SamplesRecord) -> list[tuple[str, Piece]]:
    """With their titles."""
    pieces: list[tuple[str, Piece]] = [(_title(run), run) for run in samples.runs]
    if samples.real_example:
        pieces.append(("a real piece, from validation", samples.real_example))
    return pieces


def _title(run: Written) -> str:
    return f"{tables.readable(run.label)}, loss {tables.loss(run.loss)}"


def _cells(found: Mapping[str, float]) -> Sequence[str]:
    return [
        tables.percent(found.get(name)) if is_share else tables.general(found.get(name), 3)
        for name, (_, is_share) in COLUMNS.items()
    ]


def _piece(evidence: Evidence, number: int, title: str, piece: Piece) -> Html:
    return tag(
        "figure",
        tag("h3", title),
        tag("p", _play(number, title), " ", _midi(evidence, piece), class_="note"),
        piano_roll(piece.notes, title),
        class_="wide roll",
    )


def _play(number: int, title: str) -> Html:
    return tag("button", "Play", type="button", class_="play", data_piece=str(number), aria_label=f"Play {title}")


def _midi(evidence: Evidence, piece: Piece) -> Html | None:
    path = Store(evidence.folder).sample(piece.file)
    if not path.exists():
        return None
    encoded = base64.b64encode(read_bytes(path, MOST_BYTES)).decode()
    return tag("a", "MIDI", href=f"data:audio/midi;base64,{encoded}", download=path.name)


def piano_roll(notes: Sequence[Note], title: str) -> Html:
    """A picture of the notes: time to the right, pitch upwards, a line at each C."""
    shown = [note for note in notes if note[0] < SHOWN_SECONDS]
    end = min(SHOWN_SECONDS, max((note[0] + note[1] for note in shown), default=1.0))
    low = min((int(note[2]) for note in shown), default=48) - 2
    high = max((int(note[2]) for note in shown), default=72) + 2
    x, y = ROLL_WIDTH / end, ROLL_HEIGHT / (high - low + 1)

    def top(pitch: float) -> float:
        return (high - pitch) * y

    lines = [
        tag("line", x1="0", x2=str(ROLL_WIDTH), y1=f"{top(c) + y:.1f}", y2=f"{top(c) + y:.1f}", class_="octave")
        for c in range(-(-low // 12) * 12, high + 1, 12)
    ]
    bars = [
        tag(
            "rect",
            x=f"{onset * x:.1f}",
            y=f"{top(pitch):.1f}",
            width=f"{max(1.0, min(length, end - onset) * x - 0.6):.1f}",
            height=f"{max(1.0, y - 0.4):.1f}",
        )
        for onset, length, pitch in shown
    ]
    head = tag("line", x1="0", x2="0", y1="0", y2=str(ROLL_HEIGHT), class_="head", data_scale=f"{x:.4f}")
    return tag(
        "svg",
        tag("title", f"Piano roll of {title}: {len(shown)} notes in {end:.0f} seconds"),
        join(lines, bars, head),
        viewBox=f"0 0 {ROLL_WIDTH} {ROLL_HEIGHT}",
        role="img",
        preserveAspectRatio="none",
        xmlns="http://www.w3.org/2000/svg",
    )
