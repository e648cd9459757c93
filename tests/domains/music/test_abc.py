"""ABC: what sounds in a tune, in planted cases by hand and in random tunes by abc2midi (symusic brings it along)."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lawful.domains.music import scores
from lawful.domains.music.abc import read_abc
from lawful.domains.music.scores import pieces_in
from lawful.domains.music.sources import Source
from lawful.errors import DataError

HEAD = "X:1\nT:t\nM:4/4\nL:1/4\nK:C\n"


def sounding(body: str, head: str = HEAD) -> list[tuple[float, float, int]]:
    return [(float(start), float(length), pitch) for start, length, pitch in read_abc(head + body).notes]


def pitches(body: str, head: str = HEAD) -> list[int]:
    return [pitch for _, _, pitch in sounding(body, head)]


def onsets(body: str, head: str = HEAD) -> list[float]:
    return [start for start, _, _ in sounding(body, head)]


def test_an_accidental_holds_for_its_letter_in_every_octave_to_the_end_of_its_bar() -> None:
    assert pitches("^F F f F,|F _B b =B|B") == [66, 66, 78, 54, 65, 70, 82, 71, 71]
    assert pitches("^F\nF|^F\\\nF:|F|[1 ^F|[2 F") == [66, 66, 66, 66, 65, 66, 65]
    assert pitches("{^f}g4 f|f") == [79, 78, 77]  # a grace note takes no time; its accidental holds
    assert pitches("^^C __D") == [62, 60]


def test_a_tie_joins_notes_and_carries_an_accidental_over_the_bar_line_and_no_farther() -> None:
    assert sounding("^c2-|c c") == [(0, 3, 73), (3, 1, 72)]
    assert sounding("F-^F- F") == [(0, 1, 65), (1, 2, 66)]
    assert sounding("[CE]-[C-G]C2") == [(0, 1, 64), (0, 4, 60), (1, 1, 67)]
    assert sounding("C-D C") == [(0, 1, 60), (1, 1, 62), (2, 1, 60)]


def test_inline_fields_change_key_unit_and_time_from_there_on() -> None:
    assert pitches("F [K:G]F ^c [K:C]c F") == [65, 66, 73, 72, 65]
    assert onsets("C [L:1/8]D E [M:3/4]Z F\nM:2/4\nZ G") == [0, 1, 1.5, 5, 7.5]
    tune = read_abc(HEAD + "C D E F|[M:3/4][Q:1/8=120]C D E|\nM:C|\nC")
    assert tune.signatures == ((0, 4, 4), (4, 3, 4), (7, 2, 2)) and tune.tempos == ((4, 60.0),)


def test_x_is_a_rest_y_is_none_and_capitals_last_whole_bars() -> None:
    assert onsets("C x2 D y3 E z/ F Z2 G X A") == [0, 3, 4, 5.5, 14.5, 19.5]
    with pytest.raises(DataError, match="line 6.*rests of whole bars in a tune without bars"):
        read_abc(HEAD.replace("4/4", "none") + "Z2 C")


def test_decorations_and_texts_sound_as_nothing() -> None:
    plain = sounding("C D E F|G A B c|")
    assert sounding('"Am".C ~D HE !trill!TF|+trill+uG v!D.C.!A "^=b [K:D] |"B !crescendo(!Jc|') == plain
    assert sounding("(C` D) (EF)|$G !A B* c % ^F and more\n|") == plain


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("C>D E<F C>>D E<<F", [0, 1.5, 2, 2.5, 4, 5.75, 6, 6.25]),
        ('C"a"> D {g}C>{g}D z<E', [0, 1.5, 2, 3.5, 4.5]),
        ("C2>D E>F>G", [0, 2, 3, 4.5, 5]),  # undefined between unequal lengths: left alone
        ("(3CDE F", [0, 2 / 3, 4 / 3, 2]),
        ("(3:2:4CDEF G", [0, 2 / 3, 4 / 3, 2, 8 / 3]),
        ("(2CD (5CDEFG A", [0, 1.5, 3, 3.4, 3.8, 4.2, 4.6, 5]),
        ("C3/2 D/ E// F/4 G3/ A", [0, 1.5, 2, 2.25, 2.5, 4]),
        ("[CE]2 [C2E2]/ F", [0, 0, 2, 2, 3]),
        ("C D & E2 | F", [0, 0, 1, 2]),
    ],
)
def test_lengths_are_as_the_standard_has_them(body: str, expected: list[float]) -> None:
    assert onsets(body) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("C", [65, 60, 71]),
        ("G major", [66, 60, 71]),
        ("Eb", [65, 60, 70]),
        ("F# dorian", [66, 61, 71]),
        ("Dmix", [66, 60, 71]),
        ("Am clef=bass", [65, 60, 71]),
        ("A minor", [65, 60, 71]),
        ("Cb", [64, 59, 70]),
        ("HP", [66, 61, 71]),
        ("D =c", [66, 60, 71]),
        ("D exp _b^f", [66, 60, 70]),
        ("none", [65, 60, 71]),
        ("", [65, 60, 71]),
        ("C treble-8", [53, 48, 59]),
        ("C octave=1 transpose=-2", [75, 70, 81]),
    ],
)
def test_keys_modes_and_clefs(key: str, expected: list[int]) -> None:
    assert pitches("F C B", f"X:1\nL:1/4\nK:{key}\n") == expected


def test_voices_keep_their_own_time_key_and_octave() -> None:
    head = "X:1\nM:4/4\nL:1/4\nV:1\nV:2 octave=-1\nK:C\n"
    assert sounding("V:1\n^F F\nV:2\n[K:G]F C|\n[V:1]F|F\n[V:2]F", head) == [
        *((0, 1, 54), (0, 1, 66), (1, 1, 48), (1, 1, 66), (2, 1, 54), (2, 1, 66), (3, 1, 65)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("meter", "expected"),
    [("C", (4, 4)), ("C|", (2, 2)), ("(2+3)/8", (5, 8)), ("2+2+3/16", (7, 16)), ("17/8", (17, 8)), ("3/1", (3, 1))],
)
def test_time_signatures_of_any_size(meter: str, expected: tuple[int, int]) -> None:
    assert read_abc(f"X:1\nM:{meter}\nL:1/8\nK:C\nC").signatures == ((0, *expected),)


def test_a_pickup_is_the_first_bar_where_it_is_shorter_than_the_others() -> None:
    assert read_abc(HEAD + "|:C|D E F G|").pickup == 3
    assert read_abc(HEAD + "C D E F|G").pickup == 0
    assert read_abc(HEAD.replace("4/4", "none") + "C|D E").pickup == 0


def test_a_tune_ends_at_an_empty_line_and_free_text_is_no_music() -> None:
    assert pitches("%%begintext\nA bad egg\n%%endtext\nw: la la\nC D|\n\nA bad egg") == [60, 62]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("C ^|", "line 6 of the tune: expected music, got '\\^|' at character 3"),
        ("C C1234 D", "expected music, got 'C1234 D'"),
        ("[CE D|", "expected music, got '\\[CE D|'"),
        ("[CE>]", "expected a chord"),
        ("C D0", "expected a length above 0"),
        ("C/0", "expected a length above 0"),
        ("c'''''''", "expected notes that MIDI can name"),
        ("+CE+G", "expected music, got '\\+CE\\+G'"),
        ("^/C", "expected music"),
        ("[K:H]C", "expected a key"),
        ("[M:4/3]C", "expected a time signature"),
        ("[M:0/4]C", "expected a time signature"),
        ("[L:1/0]C", "expected a length"),
        ('C "D E', "expected music, got '\"D E'"),
    ],
)
def test_what_is_not_determined_is_refused_with_its_line(body: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        read_abc(HEAD + body)


def test_a_macro_and_another_rule_for_accidentals_are_refused() -> None:
    for line in ("m: ~n3 = n{o}n{m}n", "%%propagate-accidentals not", "I:propagate-accidentals octave"):
        with pytest.raises(DataError, match="line 2"):
            read_abc(f"X:1\n{line}\nK:C\nC")
    with pytest.raises(DataError, match="expected a key"):
        read_abc("X:1\nT:none\n")


def test_the_case_that_was_found() -> None:
    named = os.environ.get("LAWFUL_DATA")
    if named is None or not (case := Path(named).parent / "cases" / "seeds" / "abc_accidentals.abc").exists():
        pytest.skip("needs LAWFUL_DATA, and the cases beside it")
    notes = read_abc(case.read_text()).notes
    assert [pitch for _, _, pitch in notes[:6]] == [66] * 6 and notes[6][0] == 18


def abc2midi() -> str:
    found = importlib.util.find_spec("symusic")
    beside = Path(str(found.origin)).parent / "bin" / "abc2midi" if found is not None else None
    program = str(beside) if beside is not None and beside.exists() else shutil.which("abc2midi")
    if program is None:
        pytest.skip("needs abc2midi (it comes with symusic, or with Debian's abcmidi)")
    return program


def random_tune(number: int) -> str:
    """Bars of notes, chords, rests, tuplets, ties and dotted pairs, with accidentals and fields between them. Without
    what abc2midi plays by rules of its own: fermatas, staccato, ties that lead nowhere, (5 in 3/4 in the time of 3."""
    draw = np.random.default_rng([22, number])

    def one(*options: str) -> str:
        return str(options[draw.integers(len(options))])

    def name() -> str:
        return one(*"ABCDEFG") + one("", ",") if draw.integers(2) else one(*"abcdefg") + one("", "'")

    def note() -> str:
        return one("", "", "", "^", "_", "=") + name()

    def event() -> str:
        size, plain = int(draw.integers(2, 6)), name()
        return one(
            f"{note()}{one('', '2', '/', '3/2', '3')} ",
            f"[{one('^', '=', '')}{one('C', 'D', 'E')}{one('_', '')}{one('f', 'g', 'a')}]{one('', '2')} ",
            f"{one('z', 'x')}{one('', '2')} ",
            f"({size}{''.join(note() for _ in range(size))} ",
            f"{one('', 'u', '!mf!', chr(34) + '^A' + chr(34))}{note()}{one('<', '>', '>>')}{note()} ",
            f"{one('', '^', '_')}{plain}2-{one('', '|', ' ')}{plain} ",
            "y ",
        )

    lines = []
    for _ in range(int(draw.integers(3, 8))):
        inline = one("", "", "[K:Ebm]", "[K:A]", "[L:1/16]", "Z2 ", "K:Dmix\n", "M:3/4\n")
        lines.append(inline + "".join(event() for _ in range(int(draw.integers(2, 7)))) + "|\n")
    key, meter = one("C", "Gm", "F#m", "Bb", "Edor"), one("4/4", "C|", "2/4")
    return f"X:{number}\nM:{meter}\nL:1/8\n%%MIDI chordattack 0\nK:{key}\n{''.join(lines)}\n"


def test_random_tunes_sound_as_abc2midi_plays_them(tmp_path: Path) -> None:
    import symusic

    tunes = {number: random_tune(number) for number in range(1, 201)}
    (tmp_path / "a.abc").write_text("".join(tunes.values()))
    subprocess.run([abc2midi(), "a.abc"], cwd=tmp_path, capture_output=True, check=False)
    different = []
    for number, text in tunes.items():
        score = symusic.Score.from_midi((tmp_path / f"a{number}.mid").read_bytes())
        theirs = sorted((note.time / score.tpq, note.pitch) for track in score.tracks for note in track.notes)
        ours = [(float(start), pitch) for start, _, pitch in read_abc(text).notes]
        ours.sort(key=lambda note: (round(note[0] * score.tpq), note[1]))
        is_same = [pitch for _, pitch in ours] == [pitch for _, pitch in theirs]
        if not is_same or np.abs(np.subtract(ours, theirs)[:, 0]).max() > 0.02:
            different.append(text)
    assert not different, f"{len(different)}: {different[0]}"


def test_a_book_without_numbers_is_read_and_one_without_a_key_is_listed() -> None:
    (tune,) = pieces_in(Source(name="a.abc", content=b"T:x\nM:4/4\nL:1/4\nK:C\nC D E F|"))
    assert scores.note_table(tune.score)[:, 2].tolist() == [60, 62, 64, 65]
    (none,) = pieces_in(Source(name="a.abc", content=b"a text without music"))
    assert "expected a tune" in none.problem


def test_times_are_exact() -> None:
    notes = read_abc(HEAD + "(3CDE (7CDEFGAB C").notes
    assert notes[-1][0] == 4 and notes[4][0] == 2 + Fraction(2, 7)


def test_a_tune_of_more_notes_than_any_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lawful.domains.music.abc.MOST_EVENTS", 10)
    assert len(pitches("CDEF GABc zz")) == 8
    with pytest.raises(DataError, match="expected at most 10 notes and rests in a tune"):
        read_abc(HEAD + "CDEF GABc zzz")
