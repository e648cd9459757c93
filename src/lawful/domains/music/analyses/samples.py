"""What the models of a music study wrote, to be seen and heard, measured beside real pieces in the same way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lawful.domains.music import scores
from lawful.domains.music.records import DrawRecord, Piece, RealPieces, SamplesRecord, Written, read_samples
from lawful.domains.music.tokenizers.remi import Remi
from lawful.errors import DataError, LawfulError
from lawful.plugins import Analysis
from lawful.report.tables import number
from lawful.schema import PlannedRun, StudyPlan
from lawful.storage.atomic import write_bytes, write_json
from lawful.storage.codec import to_plain
from lawful.storage.layout import Store

SAMPLES = 10  # of each run from nothing, all of which are measured, and as many that go on from a real beginning
PROMPT = 64  # tokens of that beginning: two bars or so
SIZES = 3  # of each arm: the smallest, one in the middle, the largest
# near what is drawn by most who publish music models: neither the model's raw spread nor only its favourites
TEMPERATURE, TOP_P, SEED, LENGTH = 1.0, 0.95, 0, 320
REAL = 40  # validation pieces that are measured, each cut to as many tokens as a sample has
RUN = 12  # tokens in a row that count as taken over where a training piece has the same: four notes or so


class Samples(Analysis):
    def before_fit(self, folder: Path, say: Callable[[str], None], own: Callable[[], str | None]) -> None:
        """What the models of a music study write. Left out where the corpus, or what it is read with, is not here."""
        corpora = Store(folder).read_study().corpora.values()
        if not any(corpus.tokenizer.startswith("remi") for corpus in corpora):
            return  # before torch is imported: a report alone does without
        try:
            write_samples(folder, say, own=own())
        except (ImportError, LawfulError) as error:
            say(f"no samples ({error})")


def write_samples(folder: Path, say: Callable[[str], None] = lambda what: None, *, own: str | None = None) -> None:
    """samples/*.mid and samples.json for runs of each arm, and the same numbers of real pieces. Nothing where the study
    is not about music, or where that was done for the same runs before. own: as conduct.conclude has it"""
    from lawful.domains.music.corpora.music import MusicData
    from lawful.train.sample import open_writer

    store = Store(folder)
    study = store.read_study()
    chosen = _chosen(store, study)
    if not chosen or {one.corpus for one in chosen} != {chosen[0].corpus}:
        return
    ids = [one.run for one in chosen]
    known_samples = read_samples(store)
    former = list(known_samples.of) if known_samples else []
    planned = {one.run for one in study.runs}
    if former == ids or any(run in planned and not store.weights(run).exists() for run in former):
        return  # the latter: they hold what runs wrote whose weights are not in this folder any more
    data = open_writer(folder, ids[0], own=own).data
    if not isinstance(data, MusicData) or not isinstance(remi := data.tokenizer, Remi):
        return  # only tokens of Remi can be heard
    if not data.arrays:
        raise DataError("the corpus is not prepared on this machine, and real pieces stand beside what models write")
    real_pieces = RealTokens(
        known=_runs_of(data.train),
        validation=[piece[:LENGTH] for piece, _ in zip(data.pieces("validation"), range(REAL), strict=False)],
        training=[piece[:LENGTH] for piece, _ in zip(data.pieces("train"), range(SAMPLES), strict=False)],
    )
    written = []
    for one in chosen:
        say(f"letting {one.rung} write")
        written.append(_of_run(store, one, real_pieces, own))
    real, known = real_pieces.validation, real_pieces.known
    named = [piece for piece in real[:1] if len(piece)]
    samples = SamplesRecord(
        of=tuple(ids),
        draw=DrawRecord(temperature=TEMPERATURE, top_p=TOP_P, seed=SEED, length=LENGTH),
        samples_each=SAMPLES,
        prompt_tokens=PROMPT if any(one.prompted for one in written) else 0,
        real=RealPieces(
            pieces=len(real),
            statistics={
                **_mean([statistics(piece, remi, known) for piece in real]),
                **nearness(real_pieces.training, real, remi),
            },
        ),
        real_example=_shown(store, "real", remi, named[0]) if named else None,
        runs=tuple(written),
    )
    write_json(store.samples, to_plain(samples))


def statistics(tokens: np.ndarray, remi: Remi, known: np.ndarray) -> dict[str, float]:
    """Statistics of one piece, written by a model or real. Each of them can come out badly:

    valid_tokens      share of tokens that may stand where they stand: a Duration after its Pitch, a TimeSig after a Bar
    whole_bars        share of bars whose positions only go forward and lie inside the bar that its time signature makes
    pitch_range       semitones from the lowest to the highest note
    notes_per_beat    notes by beats of the bars begun
    repeated_bars     share of bars that are note for note like an earlier one
    known_runs        share of runs of RUN tokens that a training piece has too: learned by heart, or common idiom
    """
    names = [name.partition("_") for name in remi.names(tokens)]
    pairs = [(kind, value) for kind, _, value in names]
    bars = _bars(pairs)
    pitches = [int(value) for kind, value in pairs if kind == "Pitch"]
    beats = sum(bar.beats for bar in bars)
    contents = [bar.content for bar in bars if bar.content]
    seen = Counter(contents)
    runs = _runs_of(tokens)
    return {
        "valid_tokens": _valid_share(pairs),
        "whole_bars": sum(bar.is_whole(remi.positions) for bar in bars) / len(bars) if bars else 0.0,
        "pitch_range": float(max(pitches) - min(pitches)) if pitches else 0.0,
        "notes_per_beat": len(pitches) / beats if beats else 0.0,
        "repeated_bars": (len(contents) - len(seen)) / len(contents) if contents else 0.0,
        "known_runs": float(np.isin(runs, known).mean()) if len(runs) else 0.0,
    }


def nearness(pieces: Sequence[np.ndarray], real: Sequence[np.ndarray], remi: Remi) -> dict[str, float]:
    """How near pieces are to real ones: the overlap of two histograms, from 0 (nothing in common) to 1 (equal).

    near_pitch_classes    of the twelve pitch classes
    near_durations        of the notes' lengths
    near_positions        of the notes' places in their bars
    """
    found, wanted = (_histograms(tokens, remi) for tokens in (pieces, real))
    return {name: _overlap(found[name], wanted[name]) for name in found}


def _histograms(pieces: Sequence[np.ndarray], remi: Remi) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = {"near_pitch_classes": Counter(), "near_durations": Counter()}
    counts["near_positions"] = Counter()
    for tokens in pieces:
        place = ""
        for kind, _, value in (name.partition("_") for name in remi.names(tokens)):
            if kind == "Position":
                place = value
            elif kind == "Pitch":
                counts["near_pitch_classes"][str(int(value) % 12)] += 1
                counts["near_positions"][place] += 1
            elif kind == "Duration":
                counts["near_durations"][value] += 1
    return counts


def _overlap(first: Counter[str], second: Counter[str]) -> float:
    """0 where either is empty."""
    if not first or not second:
        return 0.0
    totals = first.total(), second.total()
    return sum(min(first[value] / totals[0], second[value] / totals[1]) for value in first)


class _Bar:
    """What stands between two bar lines."""

    def __init__(self) -> None:
        self.beats = 4
        self.places: list[int] = []
        self.notes: list[tuple[int, str]] = []

    @property
    def content(self) -> tuple[tuple[int, str], ...]:
        return tuple(self.notes)

    def is_whole(self, positions: int) -> bool:
        forward = all(first < second for first, second in zip(self.places, self.places[1:], strict=False))
        return forward and all(place < self.beats * positions for place in self.places)


def _bars(pairs: Sequence[tuple[str, str]]) -> list[_Bar]:
    bars: list[_Bar] = []
    for kind, value in pairs:
        if kind == "Bar":
            bars.append(_Bar())
        elif not bars:
            continue
        elif kind == "TimeSig":
            bars[-1].beats = int(value.partition("/")[0])
        elif kind == "Position":
            bars[-1].places.append(int(value))
        elif kind in ("Pitch", "Duration") and bars[-1].places:
            bars[-1].notes.append((bars[-1].places[-1], kind + value))
    return bars


# what may follow what; Program and Velocity stand around a Pitch where they are kept
_NOTE = {"Pitch", "Program"}
_AFTER = {
    "BOS": {"Bar"},
    "Bar": {"TimeSig"},
    "TimeSig": {"Position", "Bar"},
    "Position": {"Tempo", *_NOTE},
    "Tempo": {"Position", "Bar", *_NOTE},
    "Program": {"Pitch"},
    "Pitch": {"Velocity", "Duration"},
    "Velocity": {"Duration"},
    "Duration": {"Position", "Bar", *_NOTE},
}


def _valid_share(pairs: Sequence[tuple[str, str]]) -> float:
    kinds = ["BOS", *(kind for kind, _ in pairs if kind != "BOS")]
    allowed = [after in _AFTER.get(before, ()) for before, after in zip(kinds, kinds[1:], strict=False)]
    return sum(allowed) / len(allowed) if allowed else 0.0


def _runs_of(tokens: np.ndarray) -> np.ndarray:
    """A 64-bit hash of every RUN tokens in a row, sorted, each once; shape (different runs,)."""
    if len(tokens) < RUN:
        return np.empty(0, dtype=np.uint64)
    total = np.zeros(len(tokens) - RUN + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for place in range(RUN):
            # a multiplier of Knuth's MMIX generator: any odd number without pattern does
            total = total * np.uint64(6364136223846793005) + np.asarray(
                tokens[place : len(tokens) - RUN + 1 + place], dtype=np.uint64
            )
    return np.unique(total)


def _chosen(store: Store, study: StudyPlan) -> list[PlannedRun]:
    """The first seed's finished runs: of each arm the smallest, the largest and one between; in order of size."""
    done = [planned for planned in study.runs if store.weights(planned.run).exists()]
    chosen = []
    for arm in dict.fromkeys(planned.arm for planned in done):
        sizes: dict[int, PlannedRun] = {}
        for one in sorted((one for one in done if one.arm == arm), key=lambda one: (one.seed, -one.tokens)):
            sizes.setdefault(one.params_non_embedding, one)
        ordered = [sizes[size] for size in sorted(sizes)]
        places = sorted({round(place) for place in np.linspace(0, len(ordered) - 1, SIZES)})
        chosen += [ordered[place] for place in places]
    return chosen


@dataclass(frozen=True, kw_only=True)
class RealTokens:
    """Real pieces, cut to as many tokens as a sample has. known: hashes of the training split's runs of tokens."""

    known: np.ndarray
    validation: list[np.ndarray]
    training: list[np.ndarray]


def _of_run(store: Store, planned: PlannedRun, real: RealTokens, own: str | None) -> Written:
    from lawful.domains.music.corpora.music import MusicData
    from lawful.train.sample import Draw, open_writer, write_on

    writer = open_writer(store.folder, planned.run, own=own)
    assert isinstance(writer.data, MusicData)  # write_samples has looked
    remi = writer.data.tokenizer
    assert isinstance(remi, Remi)
    end = int(remi.end)

    def written_on(starts: list[list[int]]) -> list[np.ndarray]:
        """Each start with up to LENGTH tokens after it; the most notes first."""
        if not starts:
            return []
        draw = Draw(temperature=TEMPERATURE, top_p=TOP_P, seed=SEED, length=LENGTH)
        pieces = [np.array(tokens[1:], dtype=np.uint16) for tokens in write_on(writer, starts, draw, stop=end)]
        return sorted(pieces, key=len, reverse=True)

    written = written_on([[end]] * SAMPLES)
    begun = [[end, *piece[:PROMPT].tolist()] for piece in real.validation if len(piece) > PROMPT][:SAMPLES]
    result = store.read_result(planned.run)
    longest, *others = (
        _shown(store, planned.run if not place else f"{planned.run}-{place + 1}", remi, tokens)
        for place, tokens in enumerate(written)
    )
    return Written(
        run=planned.run,
        label=planned.rung,
        arm=planned.arm,
        params_non_embedding=planned.params_non_embedding,
        loss=None if result is None else number(result.measured.get("loss")),
        statistics={
            **_mean([statistics(tokens, remi, real.known) for tokens in written]),
            **nearness(written, real.validation, remi),
        },
        file=longest.file,
        notes=longest.notes,
        pieces=tuple(others),
        prompted=tuple(
            _shown(store, f"{planned.run}-prompted-{place}", remi, tokens)
            for place, tokens in enumerate(written_on(begun), start=1)
        ),
    )


def _shown(store: Store, name: str, remi: Remi, tokens: np.ndarray) -> Piece:
    """The piece as a MIDI file, and as notes for the page."""
    score = remi.decode_score(tokens)
    path = store.sample(f"{name}.mid")
    write_bytes(path, score.dumps_midi())
    speed = float(score.tempos[0].qpm) if len(score.tempos) else 120.0
    notes = scores.note_table(score)
    notes[:, :2] *= 60 / speed
    return Piece(file=path.name, notes=tuple(map(tuple, np.round(notes, 3).tolist())))


def _mean(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    listed = list(rows)
    return {name: float(np.mean([row[name] for row in listed])) for name in listed[0]} if listed else {}
