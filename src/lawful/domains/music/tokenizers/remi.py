"""REMI: music as bars, positions, pitches and durations, encoded by MidiTok; the vocabulary is known without it."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, final

import numpy as np

from lawful.checks import NaturalInt, Within, check_fields
from lawful.errors import DataError, MissingDependency
from lawful.tokenizers import Tokenizer

if TYPE_CHECKING:
    import miditok

    from tokenizers import Tokenizer as Pairs

Score = Any  # symusic's
NO_NOTES = "no notes"  # why a piece is left out
FIRST = 0x4E00  # base symbols as characters for the learner of merges: any range without gaps
# time signatures with a symbol: note value of a beat -> beats in a bar; other bars are written as several of these
TIME_SIGNATURES = {2: range(1, 5), 4: range(1, 13), 8: range(1, 13), 16: range(1, 13)}
MOST_BARS = 100_000  # of one piece; some operas have 10,000
LONG_BEATS, LONGEST_BEATS, LONG_POSITIONS = 4, 16, 4  # notes beyond 4 beats: in quarters of a beat, up to 16 beats
TEMPO_RANGE = (40, 250)  # quarter notes a minute


@final
@dataclass(frozen=True, kw_only=True)
class Remi(Tokenizer):
    """Bar, TimeSig, Position, Tempo, Pitch, Duration (arXiv:2002.00212, with time signatures). Notes that sound
    together follow one Position. A beat is what the time signature counts: an eighth in 6/8. A bar that has no symbol
    is written as one of the same length, or as several that fill it: 3/1 as 12/4, 17/8 as 9/8 and 8/8.

    positions      in a beat; 12 holds sixteenths and triplets. Onsets and ends are rounded to it; a note longer than 16
                   beats is cut, and one longer than 4 is rounded to a quarter of a beat
    tempos         levels from 40 to 250 quarters a minute; 0: not kept
    velocities     levels; 0: not kept, as most notated music has none
    has_programs   a Program before each note, drums among them; without, all tracks become one and drums are left out
    learned        symbols made of frequent neighbours within a bar, learned from the training pieces (BPE)
    merges         pairs of symbols, in the order of learning; None in a declaration, as in trained_bpe

    As a text, tokens are MidiTok's names with spaces between; `encode_score` and `decode_score` deal with music.
    """

    positions: Annotated[int, Within(at_least=1, at_most=96)] = 12
    tempos: NaturalInt = 32
    velocities: Annotated[int, Within(at_least=0, at_most=127)] = 0
    has_programs: bool = False
    learned: NaturalInt = 0
    merges: tuple[tuple[int, int], ...] | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.vocab_size > 2**16:
            raise DataError(f"remi: expected at most 65,536 symbols, got {self.vocab_size:,}.")

    @property
    def name(self) -> str:
        return "remi_bpe" if self.learned else "remi"

    @property
    def base_size(self) -> int:
        """Symbols before any merge: padding, the mark between pieces, Bar, 128 pitches, ..."""
        durations = LONG_BEATS * self.positions + (LONGEST_BEATS - LONG_BEATS) * LONG_POSITIONS
        bars = sum(map(len, TIME_SIGNATURES.values()))
        longest = max(max(beats) for beats in TIME_SIGNATURES.values())
        programs = 129 if self.has_programs else 0
        return 3 + 128 + self.velocities + durations + longest * self.positions + programs + bars + self.tempos

    @property
    def vocab_size(self) -> int:
        return self.base_size + self.learned

    @property
    def end(self) -> int:
        """The mark before and after each piece."""
        return 1

    @property
    def unused(self) -> range:
        return range(self.base_size + len(self.merges or ()), self.vocab_size)

    def encode_score(self, score: Score) -> np.ndarray:
        """Shape (tokens,), uint16. LawfulError when there is no note."""
        score = self._as_kept(score)
        try:
            encoded = _library(self._base).encode(score)
        except Exception as error:  # MidiTok raises anything over odd music
            raise DataError(f"MidiTok cannot write it as tokens ({type(error).__name__}: {error})") from error
        sequence = encoded if self.has_programs else encoded[0]
        return self._merged(np.array(sequence.ids, dtype=np.uint16))

    def decode_score(self, tokens: np.ndarray) -> Score:
        """A symusic Score; what makes no music (a Pitch without its Duration) is passed over, as MidiTok does."""
        library = _library(self._base)
        ids = [int(token) for token in self.base_tokens(tokens) if token > self.end]
        try:
            return library.decode(ids if self.has_programs else [ids])
        except Exception as error:  # MidiTok raises anything over odd tokens
            raise DataError(f"MidiTok cannot read these tokens ({type(error).__name__}: {error})") from error

    def base_tokens(self, tokens: np.ndarray) -> np.ndarray:
        """Merged symbols taken apart."""
        tokens = np.asarray(tokens)
        parts = _parts(self.base_size, self.merges or ())
        if tokens.size and int(tokens.max()) >= len(parts):
            raise DataError(f"{self.name}: expected tokens below {len(parts)}, got {int(tokens.max())}.")
        if not self.merges:
            return tokens.astype(np.uint16)
        return np.array([part for token in tokens for part in parts[int(token)]], dtype=np.uint16)

    def names(self, tokens: np.ndarray) -> list[str]:
        """MidiTok's name of each base token: Pitch_60."""
        table = _names(self._base)
        return [table[int(token)] for token in self.base_tokens(tokens)]

    @property
    def is_fixed(self) -> bool:
        return not self.learned or self.merges is not None

    def trained(self, texts: Iterable[str]) -> Remi:
        if not self.learned or self.merges is not None:
            return self
        pieces = (self._base.encode(text) for text in texts)
        return replace(self, merges=_learn(pieces, self._bar, self.base_size, self.vocab_size))

    def encode(self, text: str) -> np.ndarray:
        symbols = _symbols(self._base)
        words = text.split()
        if unknown := next((word for word in words if word not in symbols), None):
            raise DataError(f"remi: expected MidiTok's names, such as Pitch_60, got {unknown!r}.")
        return self._merged(np.array([symbols[word] for word in words], dtype=np.uint16))

    def decode_bytes(self, tokens: np.ndarray) -> bytes:
        return " ".join(self.names(tokens)).encode()

    def num_bytes(self, tokens: np.ndarray) -> int:
        """None: the names are only one way to write it down, so a loss per byte would mean nothing."""
        return 0

    @property
    def _base(self) -> Remi:
        return replace(self, learned=0, merges=None)

    @property
    def _bar(self) -> int:
        return 2

    def _merged(self, tokens: np.ndarray) -> np.ndarray:
        if not self.learned:
            return tokens
        if self.merges is None:
            raise DataError(
                "remi: expected a tokenizer that has learned its merges, got a declaration; prepare the corpus and "
                "take the tokenizer of what that returns."
            )
        text = "".join(chr(FIRST + int(token)) for token in tokens)
        return np.array(_merger(self.base_size, self._bar, self.merges).encode(text).ids, dtype=np.uint16)

    def _as_kept(self, score: Score) -> Score:
        """One track of notes where programs are not kept; without drums."""
        import symusic

        score = score.copy() if score.tpq % 4 == 0 else score.resample(4 * score.tpq)  # sixteenths are whole
        if not self.has_programs:
            notes = [note for track in score.tracks if not track.is_drum for note in track.notes]
            track: Any = symusic.Track(program=0)  # whose own stub lacks its notes
            track.notes.extend(notes)
            track.notes.sort()
            score.tracks = [track]
        if not any(len(track.notes) for track in score.tracks):
            raise DataError(NO_NOTES)
        signatures = _known_signatures(score)
        score.time_signatures = [symusic.TimeSignature(tick, *signature) for tick, signature in signatures]
        score.tempos.sort()
        return score


def _known_signatures(score: Score) -> list[tuple[int, tuple[int, int]]]:
    """The score's time signatures by those with a symbol, each with its tick.

    A bar that the next signature cuts short becomes a shorter bar of its own: MidiTok counts whole bars, and would move
    all later notes. A change that is on no sixteenth moves to the next one; the notes stay where they are.
    """
    marks = {mark.time: (int(mark.numerator), int(mark.denominator)) for mark in score.time_signatures}
    starts = sorted({0: (4, 4), **marks}.items())
    ends = [*(start for start, _ in starts[1:]), score.end() + 1]
    found: list[tuple[int, tuple[int, int]]] = []
    tick = 0
    for place, ((_, (beats, value)), end) in enumerate(zip(starts, ends, strict=True)):
        if not beats or not value:
            raise DataError(f"expected a time signature of at least one beat, got {beats}/{value}")
        bar = [(beats, value)] if beats in TIME_SIGNATURES.get(value, ()) else _filled(Fraction(beats, value))
        ticks = [4 * score.tpq * part // unit for part, unit in bar]
        is_last = place == len(starts) - 1
        num_bars = max(0, -((tick - end) // sum(ticks)) if is_last else (end - tick) // sum(ticks))
        if len(found) + num_bars * len(bar) > MOST_BARS:
            raise DataError(f"expected at most {MOST_BARS:,} bars in the symbols of time signatures, got more")
        if len(set(bar)) == 1:
            found += [(tick, bar[0])] if num_bars or is_last else []
            tick += num_bars * sum(ticks)
        else:
            for part, length in zip(bar * num_bars, ticks * num_bars, strict=True):
                found.append((tick, part))
                tick += length
        if tick < end and not is_last:
            sixteenths = -((tick - end) * 4 // score.tpq)
            for part, unit in _filled(Fraction(sixteenths, 16)):
                found.append((tick, (part, unit)))
                tick += 4 * score.tpq * part // unit
    return found


def _filled(length: Fraction) -> list[tuple[int, int]]:
    """The fewest time signatures with symbols that fill a bar of this length (in whole notes), or, where that is no
    number of sixteenths, the fewest such bars that are."""
    length *= (16 * length).denominator
    options = []
    for value in (4, 8, 16):  # no halves: a beat has few positions
        if (length * value).denominator == 1:
            beats = int(length * value)
            count = -(-beats // max(TIME_SIGNATURES[value]))
            options.append([(beats // count + (place < beats % count), value) for place in range(count)])
    return min(options, key=len)


@functools.lru_cache(maxsize=8)
def _library(base: Remi) -> miditok.REMI:
    try:
        from miditok import REMI, TokenizerConfig
    except ImportError as error:
        raise MissingDependency.of("miditok", extra="music", what="turning music into tokens", error=error) from None
    return REMI(
        TokenizerConfig(
            pitch_range=(0, 127),
            beat_res={(0, LONG_BEATS): base.positions, (LONG_BEATS, LONGEST_BEATS): LONG_POSITIONS},
            special_tokens=["PAD", "BOS"],
            use_velocities=base.velocities > 0,
            num_velocities=base.velocities or 1,
            use_tempos=base.tempos > 0,
            num_tempos=base.tempos or 1,
            tempo_range=TEMPO_RANGE,
            use_time_signatures=True,
            time_signature_range={value: list(beats) for value, beats in TIME_SIGNATURES.items()},
            use_programs=base.has_programs,
            one_token_stream_for_programs=base.has_programs,
            use_pitchdrum_tokens=False,
        )
    )


@functools.lru_cache(maxsize=8)
def _symbols(base: Remi) -> dict[str, int]:
    return {str(name): int(number) for name, number in _library(base).vocab.items()}


@functools.lru_cache(maxsize=8)
def _names(base: Remi) -> list[str]:
    return sorted(_symbols(base), key=_symbols(base).__getitem__)


@functools.lru_cache(maxsize=8)
def _parts(base_size: int, merges: tuple[tuple[int, int], ...]) -> list[tuple[int, ...]]:
    """The base symbols that each symbol stands for."""
    parts: list[tuple[int, ...]] = [(symbol,) for symbol in range(base_size)]
    for first, second in merges:
        parts.append(parts[first] + parts[second])
    return parts


def _learn(pieces: Iterable[np.ndarray], bar: int, base_size: int, vocab_size: int) -> tuple[tuple[int, int], ...]:
    from tokenizers.trainers import BpeTrainer

    learner = _byte_pairs(base_size, bar, {}, [])
    alphabet = [chr(FIRST + symbol) for symbol in range(base_size)]
    learner.train_from_iterator(
        ("".join(chr(FIRST + int(token)) for token in piece) for piece in pieces),
        BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False),
    )
    numbers = learner.get_vocab()
    merged = sorted((name for name in numbers if len(name) > 1), key=numbers.__getitem__)
    return tuple(_pair(name, numbers) for name in merged)


def _pair(name: str, numbers: dict[str, int]) -> tuple[int, int]:
    """The two symbols that made this one: both older than it."""
    for cut in range(1, len(name)):
        first, second = numbers.get(name[:cut], 2**31), numbers.get(name[cut:], 2**31)
        if max(first, second) < numbers[name]:
            return first, second
    raise AssertionError(f"no two symbols give {name!r}")


@functools.lru_cache(maxsize=4)
def _merger(base_size: int, bar: int, merges: tuple[tuple[int, int], ...]) -> Pairs:
    names = ["".join(chr(FIRST + symbol) for symbol in parts) for parts in _parts(base_size, merges)]
    numbers = {name: number for number, name in enumerate(names)}
    return _byte_pairs(base_size, bar, numbers, [(names[first], names[second]) for first, second in merges])


def _byte_pairs(base_size: int, bar: int, numbers: dict[str, int], merges: Sequence[tuple[str, str]]) -> Pairs:
    """A learner of pairs, or one that applies them, in which no pair crosses the start of a bar."""
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import Split

    from tokenizers import Tokenizer as Pairs

    pairs = Pairs(BPE(numbers, list(merges)) if numbers else BPE())
    pairs.pre_tokenizer = Split(chr(FIRST + bar), "merged_with_next")
    return pairs
