"""REMI: what the grid can hold comes back as it was, what lies beside it is moved by half a step at most."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lawful.domains.music.tokenizers.remi import TIME_SIGNATURES, Remi
from lawful.errors import LawfulError
from lawful.run import from_json, to_json

symusic = pytest.importorskip("symusic")
pytest.importorskip("miditok")

TICKS = 960  # in a quarter: sixteenths, triplets and 1/12 of a half, quarter, eighth and sixteenth are whole
signatures = st.sampled_from([(beats, value) for value, some in TIME_SIGNATURES.items() for beats in some])


def score_of(notes: list[tuple[int, int, int]], signature: tuple[int, int] = (4, 4), program: int = 0) -> object:
    """Notes as (pitch, onset, duration) in ticks."""
    score = symusic.Score(TICKS)
    track = symusic.Track(program=program)
    track.notes.extend([symusic.Note(onset, duration, pitch, 64) for pitch, onset, duration in notes])
    score.tracks.append(track)
    score.time_signatures.append(symusic.TimeSignature(0, *signature))
    return score


def notes_of(score: object) -> list[tuple[int, float, float]]:
    """(pitch, onset, duration) in quarters, sorted."""
    found = [(n.pitch, n.time / score.tpq, n.duration / score.tpq) for track in score.tracks for n in track.notes]
    return sorted((pitch, round(onset, 6), round(duration, 6)) for pitch, onset, duration in found)


def step_of(signature: tuple[int, int], positions: int = 12) -> int:
    """Ticks from one position to the next."""
    return TICKS * 4 // signature[1] // positions


@given(
    signature=signatures,
    notes=st.lists(st.tuples(st.integers(0, 127), st.integers(0, 600), st.integers(1, 48)), min_size=1, max_size=40),
)
@settings(max_examples=40, deadline=None)
def test_notes_on_the_grid_come_back_exactly(signature: tuple[int, int], notes: list[tuple[int, int, int]]) -> None:
    step = step_of(signature)
    score = score_of([(pitch, onset * step, length * step) for pitch, onset, length in notes], signature)
    remi = Remi()
    back = remi.decode_score(remi.encode_score(score))
    assert Counter(notes_of(back)) == Counter(notes_of(score))
    assert [(s.numerator, s.denominator) for s in back.time_signatures] == [signature]


@given(
    signature=signatures,
    notes=st.lists(
        st.tuples(st.integers(0, 127), st.integers(0, 20_000), st.integers(1, 15_000)), min_size=1, max_size=40
    ),
)
@settings(max_examples=40, deadline=None)
def test_notes_beside_the_grid_move_by_half_a_step_at_most(
    signature: tuple[int, int], notes: list[tuple[int, int, int]]
) -> None:
    """Long notes have a coarser grid of lengths, a quarter of a beat; a note never vanishes by being too short."""
    step, beat = step_of(signature) / TICKS, 4 / signature[1]
    notes = [(pitch, onset, min(length, 16 * TICKS * 4 // signature[1])) for pitch, onset, length in notes]
    score = score_of(notes, signature)
    remi = Remi()
    back = notes_of(remi.decode_score(remi.encode_score(score)))
    assert Counter(pitch for pitch, _, _ in back) == Counter(pitch for pitch, _, _ in notes)
    for pitch in {pitch for pitch, _, _ in notes}:
        before = sorted(onset for p, onset, _ in notes_of(score) if p == pitch)
        after = sorted(onset for p, onset, _ in back if p == pitch)
        assert np.abs(np.array(before) - after).max() <= step / 2 + 1e-6
    total_before, total_after = (sum(length for _, _, length in some) for some in (notes_of(score), back))
    assert abs(total_before - total_after) <= len(notes) * max(step, beat / 8 + step)


@pytest.mark.parametrize("remi", [Remi(), Remi(velocities=8, has_programs=True), Remi(positions=24, tempos=0)])
def test_the_vocabulary_is_known_without_the_library_and_is_the_librarys(remi: Remi) -> None:
    names = remi.names(np.arange(remi.base_size))
    assert len(set(names)) == remi.base_size == remi.vocab_size
    with pytest.raises(LawfulError, match=f"below {remi.base_size}"):
        remi.names(np.array([remi.base_size]))
    assert names[remi.end] == "BOS_None"
    assert names[2] == "Bar_None"


def test_a_chord_shares_one_position_and_a_voice_is_not_lost_in_it() -> None:
    names = Remi(tempos=0).names(Remi(tempos=0).encode_score(score_of([(60, 0, TICKS), (64, 0, TICKS), (60, 0, 480)])))
    assert [name.partition("_")[0] for name in names] == ["Bar", "TimeSig", "Position"] + ["Pitch", "Duration"] * 3


def test_the_names_are_a_text_that_encodes_to_the_same_tokens() -> None:
    remi = Remi()
    tokens = remi.encode_score(score_of([(60, 0, TICKS), (64, 5 * TICKS, TICKS)]))
    assert (remi.encode(remi.decode(tokens)) == tokens).all()
    with pytest.raises(LawfulError, match="Pitch_999"):
        remi.encode("Pitch_999")


def test_a_bar_without_a_beat_is_refused_and_so_is_a_piece_without_notes() -> None:
    with pytest.raises(LawfulError, match="0/8"):
        Remi().encode_score(score_of([(60, 0, TICKS)], (0, 8)))
    with pytest.raises(LawfulError, match="no notes"):
        Remi().encode_score(score_of([]))


@pytest.mark.parametrize(
    ("signature", "written"),
    [((17, 8), [(9, 8), (8, 8)]), ((3, 1), [(12, 4)]), ((9, 2), [(9, 4)]), ((5, 32), [(5, 16)]), ((33, 4), [(11, 4)])],
)
def test_bars_of_any_size_are_filled_by_bars_with_symbols_and_no_note_moves(
    signature: tuple[int, int], written: list[tuple[int, int]]
) -> None:
    step = TICKS // 4
    score = score_of([(60 + place % 24, place * step, step) for place in range(0, 400, 3)], signature)
    back = Remi().decode_score(Remi().encode_score(score))
    assert notes_of(back) == notes_of(score)
    found = [(mark.numerator, mark.denominator) for mark in back.time_signatures]
    assert list(dict.fromkeys(found)) == written
    bar = 4 * back.tpq * signature[0] // signature[1]
    assert len(written) == 1 or {mark.time % bar for mark in back.time_signatures[::2]} == {0}


@given(
    marks=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 20), st.sampled_from([4, 8, 16])), max_size=4),
    onsets=st.sets(st.integers(0, 200), min_size=1, max_size=30),
)
@settings(max_examples=40, deadline=None)
def test_a_signature_that_changes_inside_a_bar_moves_no_note(
    marks: list[tuple[int, int, int]], onsets: set[int]
) -> None:
    step = TICKS // 4
    score = score_of([(60, onset * step, step) for onset in onsets])
    tick = 0
    for wait, beats, value in marks:
        tick += wait * step
        score.time_signatures.append(symusic.TimeSignature(tick, beats, value))
    assert notes_of(Remi().decode_score(Remi().encode_score(score))) == notes_of(score)


def test_programs_and_drums_come_back_where_they_are_kept_and_drums_are_left_out_where_not() -> None:
    score = score_of([(60, 0, TICKS)], program=40)
    drums = symusic.Track(is_drum=True)
    drums.notes.append(symusic.Note(0, 480, 36, 64))
    score.tracks.append(drums)
    kept, merged = Remi(has_programs=True), Remi()
    back = kept.decode_score(kept.encode_score(score))
    assert sorted((track.program, track.is_drum) for track in back.tracks) == [(0, True), (40, False)]
    assert [n.pitch for t in merged.decode_score(merged.encode_score(score)).tracks for n in t.notes] == [60]


def test_learned_symbols_shorten_pieces_and_give_them_back_within_their_bars() -> None:
    base = Remi()
    scores = [score_of([(60 + n % 5, n * TICKS // 2, TICKS // 2) for n in range(start, 64)]) for start in range(8)]
    plain = [base.encode_score(score) for score in scores]
    learned = Remi(learned=20).trained([base.decode(tokens) for tokens in plain])
    assert learned.vocab_size == base.vocab_size + 20 and learned.merges is not None
    assert from_json(to_json(learned)) == learned
    for score, tokens in zip(scores, plain, strict=True):
        short = learned.encode_score(score)
        assert len(short) < 0.8 * len(tokens)
        assert (learned.base_tokens(short) == tokens).all()
        assert int(short.max()) < learned.vocab_size
    bar = 2
    for symbol in range(base.base_size, base.base_size + len(learned.merges)):
        assert bar not in learned.base_tokens(np.array([symbol]))[1:].tolist()
    with pytest.raises(LawfulError, match="declaration"):
        replace(learned, merges=None).encode_score(scores[0])
