"""ABC tunes as notes: what sounds when in one tune, by the standard 2.1 (abcnotation.com/wiki/abc:standard:v2.1).

Repeats are played once. Grace notes take no time, but their accidentals last to the end of the bar. This is our own
code because music21 reads 1 tune in 5 with other notes than abc2midi, and abc2midi crashes on damaged files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

from lawful.domains.music.abc_fields import ACCIDENTALS, key_of, length_of, meter_of, tempo_of, unit_of
from lawful.errors import DataError

STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
# (p notes in the time of q): q by p, where the tune does not say; 0: 3 in compound time, else 2
IN_TIME_OF = {2: 3, 3: 2, 4: 3, 5: 0, 6: 2, 7: 0, 8: 3, 9: 0}
MOST_EVENTS = 200_000  # notes, chords and rests of a tune; the longest of music21's has 4,000
LENGTH = r"\d{0,3}(?:/{1,6}\d{0,3})?(?!\d)"  # numbers of at most three digits: no music needs more
NOTE = rf"(?:\^\^?|__?|=)?[A-Ga-g][,']*{LENGTH}"
_TOKEN = re.compile(
    rf"""
    (?P<nothing> "[^"]*" | ![^!|\s][^!|]{{0,40}}! | \+[a-z.()<>]{{2,40}}\+ | [\s`\\$*;?@\#~.)!] | [H-WYh-w] | y\d*
      | =(?:20)?\s*$ )  # the last: what is left of mail's quoted-printable
  | (?P<inline> \[[A-Za-z]:[^\]]*\] )
  | (?P<bar> :*(?:\|+\]?|\[\|+\]?):*(?:\s*[1-9][\d,.-]*)? | :{{2,4}} | ^:+ | :\] )
  | (?P<ending> \[\s*[1-9][\d,.-]* )
  | (?P<tuplet> \([2-9](?::\d{{0,2}}){{0,2}}(?!\d) )
  | (?P<slur> \( )
  | (?P<grace> \{{[^}}]*\}} )
  | (?P<chord> \[[^]|]*\]{LENGTH} )
  | (?P<note> {NOTE} )
  | (?P<rest> [zx]{LENGTH} )
  | (?P<bars> [ZX]\d{{0,3}}(?!\d) )
  | (?P<broken> >{{1,3}} | <{{1,3}} )
  | (?P<tie> - )
  | (?P<overlay> & )
    """,
    re.VERBOSE,
)
_NOTE = re.compile(rf"(?P<sign>\^\^?|__?|=)?(?P<letter>[A-Ga-g])(?P<octave>[,']*)(?P<length>{LENGTH})(?P<tie>-?)")
_IN_CHORD = re.compile(rf"{_NOTE.pattern}|[\s`~.()]|[zx]\d*|[H-WYh-w]|\"[^\"]*\"|![^!|]*!")


@dataclass(frozen=True, kw_only=True)
class Tune:
    """Times in quarters. The tune starts at 0; `pickup` is how far into its first bar that is.

    notes        start, length, MIDI pitch
    signatures   start, beats in a bar, note value of a beat
    tempos       start, quarters a minute
    """

    notes: tuple[tuple[Fraction, Fraction, int], ...]
    signatures: tuple[tuple[Fraction, int, int], ...]
    tempos: tuple[tuple[Fraction, float], ...]
    pickup: Fraction


def read_abc(text: str) -> Tune:
    """Raises DataError that names the line where what sounds is not determined."""
    return _Reader().read(text)


@dataclass(kw_only=True)
class _Event:
    """Notes that start together, or a rest (no notes)."""

    start: Fraction
    length: Fraction
    pitches: dict[tuple[str, int], int] = field(default_factory=dict)  # (letter, octave) -> MIDI pitch
    tied: set[tuple[str, int]] = field(default_factory=set)  # the notes that a tie joins to the next event


@dataclass(kw_only=True)
class _Voice:
    """What holds at the present place of a voice. `layers`: its events, and those of overlays (&)."""

    key: Mapping[str, int] = field(default_factory=dict)
    unit: Fraction = Fraction(1, 2)  # length of a plain note, in quarters
    meter: tuple[int, int] | None = (4, 4)
    clef_shift: int = 0  # semitones from written to sounding
    midi_shift: int = 0
    is_drum: bool = False
    now: Fraction = Fraction(0)
    bar_start: Fraction = Fraction(0)
    bar_end: Fraction = Fraction(0)  # of the longest layer of this bar
    pickup: Fraction | None = None  # None before the first bar line
    accidentals: dict[str, int] = field(default_factory=dict)
    broken: str = ""
    tuplet: tuple[Fraction, int] = (Fraction(1), 0)  # factor of the lengths, number of events that it is left for
    layers: list[list[_Event]] = field(default_factory=lambda: [[]])
    layer: int = 0

    @property
    def bar(self) -> Fraction | None:
        return Fraction(4 * self.meter[0], self.meter[1]) if self.meter is not None else None

    @property
    def last(self) -> _Event | None:
        return self.layers[self.layer][-1] if self.layers[self.layer] else None


class _Reader:
    def __init__(self) -> None:
        self.voice = _Voice()  # of the header, until the body begins
        self.header = self.voice
        self.voices: dict[str, _Voice] = {}
        self.declared: dict[str, str] = {}
        self.num_events = 0
        self.has_unit = self.is_body = self.is_free_text = False
        self.signatures: dict[Fraction, tuple[int, int]] = {}
        self.tempos: dict[Fraction, float] = {}

    def read(self, text: str) -> Tune:
        for number, line in enumerate(text.splitlines(), start=1):
            if self.is_body and not line.strip():
                break  # an empty line ends a tune
            try:
                self._line(line)
            except DataError as error:
                raise DataError(f"line {number} of the tune: {error}") from None
        if not self.is_body:
            raise DataError("expected a key (K:), got a tune without one")
        voices = [voice for voice in self.voices.values() if any(voice.layers)]
        notes = [
            note for voice in voices if not voice.is_drum for events in voice.layers for note in _untied(events)
        ]  # fmt: skip
        return Tune(
            notes=tuple(sorted(notes)),
            signatures=tuple((start, *signed) for start, signed in sorted(self.signatures.items())),
            tempos=tuple(sorted(self.tempos.items())),
            pickup=(voices[0].pickup or Fraction(0)) if voices else Fraction(0),
        )

    def _line(self, line: str) -> None:
        if line.startswith("%%"):
            self._directive(line[2:].split())
        elif self.is_free_text or line.startswith("%"):
            return
        elif found := re.match(r"([A-Za-z+]):(?![:|])(.*)", line):
            self._field(found[1], found[2])
        elif self.is_body:
            self._music(re.split(r"(?<!\\)%", line)[0])

    def _directive(self, words: list[str]) -> None:
        match words:
            case ["begintext" | "beginps" | "beginsvg", *_]:
                self.is_free_text = True
            case ["endtext" | "endps" | "endsvg", *_]:
                self.is_free_text = False
            case ["MIDI", "transpose", shift, *_] if re.fullmatch(r"[+-]?\d{1,2}", shift):
                self.voice.midi_shift = int(shift)
            case ["MIDI", "channel", "10", *_]:
                self.voice.is_drum = True
            case ["propagate-accidentals", way, *_] if way != "pitch":
                raise DataError(f"expected accidentals that hold for a pitch to the end of its bar, got {way[:20]!r}")

    def _field(self, name: str, text: str) -> None:
        text = re.split(r"(?<!\\)%", text)[0].strip()
        match name:
            case "M":
                self.voice.meter = meter_of(text)
                if self.voice.meter is not None and (not self.voices or self.voice is self._first()):
                    self.signatures[self.voice.now] = self.voice.meter
            case "L":
                self.voice.unit, self.has_unit = 4 * unit_of(text), True
            case "Q":
                if speed := tempo_of(text, self.voice.unit):
                    self.tempos[self.voice.now] = speed
            case "I":
                self._directive(text.split())
            case "V":
                number, _, properties = text.partition(" ")
                if self.is_body:
                    self._switch(number, properties)
                else:
                    self.declared[number] = properties
            case "K":
                self.voice.key, self.voice.accidentals = key_of(text, self.voice.key), {}
                self._clef(text)
                if not self.is_body:
                    self._begin()
            case "m":
                raise DataError("expected notes, got a macro (m:), which is not read")

    def _begin(self) -> None:
        """End of the header: its voices start."""
        self.is_body = True
        bar = self.header.bar
        if not self.has_unit and bar is not None and bar < 3:
            self.header.unit = Fraction(1, 4)
        for number, properties in self.declared.items():
            self._switch(number, properties)
        self.voice = self._first()

    def _first(self) -> _Voice:
        if not self.voices:
            self._switch("1", "")
        return next(iter(self.voices.values()))

    def _switch(self, number: str, properties: str) -> None:
        if number not in self.voices:
            self.voices[number] = replace(self.header, accidentals={}, layers=[[]])
        self.voice = self.voices[number]
        self._clef(properties)

    def _clef(self, text: str) -> None:
        """How far the clef, octave= and transpose= move the written notes."""
        octaves = re.findall(r"(?:treble|bass|alto|tenor|clef=[^\s+-]*)([+-]1?)(?:8|5)\b", text)
        moved = [24 * int(sign[0] + "1") if sign[1:] else 12 * int(sign + "1") for sign in octaves]
        moved += [12 * int(number) for number in re.findall(r"\boctave=([+-]?\d)\b", text)]
        moved += [int(number) for number in re.findall(r"\btranspose=([+-]?\d{1,2})\b", text)]
        if moved:
            self.voice.clef_shift = sum(moved)
        if re.search(r"\bperc\b", text):
            self.voice.is_drum = True

    def _music(self, line: str) -> None:
        place = 0
        while place < len(line):
            found = _TOKEN.match(line, place)
            if found is None:
                raise DataError(f"expected music, got {line[place : place + 20]!r} at character {place + 1}")
            self._token(str(found.lastgroup), found[0])
            place = found.end()

    def _token(self, kind: str, text: str) -> None:
        voice = self.voice
        match kind:
            case "inline":
                self._field(text[1], text[3:-1])
            case "bar":
                self._bar()
            case "tuplet":
                self._tuplet(text)
            case "grace":
                for note in _NOTE.finditer(text):
                    self._pitch(note, None)
            case "note":
                single = _notes_in(text)
                self._sound(single, length_of(single[0]["length"]))
            case "chord":
                inner, length = text[1:].rsplit("]", 1)
                chord = _notes_in(inner)
                self._sound(chord, length_of(chord[0]["length"]) * length_of(length))
            case "rest":
                self._sound([], length_of(text[1:]))
            case "bars":
                if voice.bar is None:
                    raise DataError(f"expected a length, got {text}: rests of whole bars in a tune without bars (M:)")
                self._add(_Event(start=voice.now, length=voice.bar * int(text[1:] or 1)))
            case "broken":
                voice.broken = text
            case "tie" if voice.last is not None:
                voice.last.tied.update(voice.last.pitches)
            case "overlay":
                voice.bar_end = max(voice.bar_end, voice.now)
                voice.now, voice.accidentals, voice.layer = voice.bar_start, {}, voice.layer + 1
                if voice.layer == len(voice.layers):
                    voice.layers.append([])

    def _bar(self) -> None:
        voice = self.voice
        voice.now = max(voice.now, voice.bar_end)
        if voice.pickup is None and voice.now > 0:
            voice.pickup = max(Fraction(0), (voice.bar or Fraction(0)) - voice.now)
        voice.bar_start = voice.bar_end = voice.now
        voice.accidentals, voice.layer = {}, 0

    def _tuplet(self, text: str) -> None:
        p, q, r = (int(number or 0) for number in (text[1:] + "::").split(":")[:3])
        # 6/8, 9/8 and 12/8; abc2midi counts 3/4 as one, too
        # 6/8, 9/8 and 12/8; abc2midi counts 3/4 as one, too
        is_compound = self.voice.meter is not None and self.voice.meter[0] in (6, 9, 12)
        q = q or IN_TIME_OF[p] or (3 if is_compound else 2)
        self.voice.tuplet = Fraction(q, p), r or p

    def _sound(self, notes: list[re.Match[str]], length: Fraction) -> None:
        """A note, a chord or a rest. length: in units of the tune."""
        voice = self.voice
        factor, left = voice.tuplet
        event = _Event(start=voice.now, length=length * voice.unit * (factor if left else 1))
        voice.tuplet = factor, max(0, left - 1)
        for note in notes:
            name, pitch = self._pitch(note, voice.last)
            event.pitches[name] = pitch
            if note["tie"]:
                event.tied.add(name)
        self._add(event)

    def _add(self, event: _Event) -> None:
        self.num_events += 1
        if self.num_events > MOST_EVENTS:
            raise DataError(f"expected at most {MOST_EVENTS:,} notes and rests in a tune, got more")
        voice, before = self.voice, self.voice.last
        # between notes of unequal length the standard leaves > and < undefined; abc2midi ignores them there
        if voice.broken and before is not None and before.length == event.length:
            shorter = event.length / 2 ** len(voice.broken)
            longer = 2 * event.length - shorter
            before.length, event.length = (longer, shorter) if voice.broken[0] == ">" else (shorter, longer)
            event.start = before.start + before.length
        voice.broken = ""
        voice.layers[voice.layer].append(event)
        voice.now = event.start + event.length

    def _pitch(self, note: re.Match[str], before: _Event | None) -> tuple[tuple[str, int], int]:
        """The note's name and MIDI pitch. An accidental holds for its letter, in every octave, to the end of the bar,
        and for a tied note beyond it."""
        voice = self.voice
        letter = note["letter"].upper()
        name = (letter, int(note["letter"].islower()) + note["octave"].count("'") - note["octave"].count(","))
        if note["sign"]:
            voice.accidentals[letter] = ACCIDENTALS[note["sign"]]
        elif before is not None and name in before.tied:
            return name, before.pitches[name]
        sign = voice.accidentals.get(letter, voice.key.get(letter, 0))
        pitch = 60 + 12 * name[1] + STEPS[letter] + sign + voice.clef_shift + voice.midi_shift
        if not 0 <= pitch <= 127:
            raise DataError(f"expected notes that MIDI can name, got {note[0][:20]!r}")
        return name, pitch


def _untied(events: list[_Event]) -> Iterator[tuple[Fraction, Fraction, int]]:
    """Tied notes as one."""
    held: dict[int, tuple[Fraction, Fraction]] = {}  # pitch -> start and end of notes that a tie goes on from
    for event in events:
        end, going_on = event.start + event.length, {}
        for name, pitch in event.pitches.items():
            start, before = held.pop(pitch, (event.start, event.start))
            if before != event.start:
                yield start, before - start, pitch
                start = event.start
            if name in event.tied:
                going_on[pitch] = (start, end)
            else:
                yield start, end - start, pitch
        yield from ((start, before - start, pitch) for pitch, (start, before) in held.items())
        held = going_on
    yield from ((start, end - start, pitch) for pitch, (start, end) in held.items())


def _notes_in(chord: str) -> list[re.Match[str]]:
    notes, place = [], 0
    while place < len(chord):
        found = _IN_CHORD.match(chord, place)
        if found is None:
            raise DataError(f"expected a chord, got [{chord[:20]}]")
        if found["letter"]:
            notes.append(found)
        place = found.end()
    if not notes:
        raise DataError(f"expected a chord, got [{chord[:20]}]")
    return notes
