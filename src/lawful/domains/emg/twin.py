"""A synthetic twin of emg2qwerty: prose typed by made-up hands, in the same files. It says nothing about people.

Text, fingers, muscles, motor units, electrodes, in that order; each draw follows from (seed, user, session).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import scipy.signal

from lawful.checks import NaturalInt, PositiveInt, Within, check_fields
from lawful.domains.emg import sessions
from lawful.domains.emg.sessions import RATE, Keystroke
from lawful.domains.emg.splits import SPLITS, Split, metadata_text, split_text
from lawful.domains.emg.words import LINE_WORDS, WORDS, ZIPF
from lawful.run import added
from lawful.storage.atomic import write_bytes, write_text
from lawful.storage.json_files import Json

RULES = 1  # raised when the same fields give other signals
TYPO_SHARE = 0.02
# Fingers --------------------------------------------------------------------------------------------------------------
LITTLE, RING, MIDDLE, INDEX, THUMB = range(5)
_COLUMNS = {  # (hand, finger, column): keys from the top row down; inner and outer columns need the wrist
    (0, LITTLE, "own"): "qaz",
    (0, RING, "own"): "wsx",
    (0, MIDDLE, "own"): "edc",
    (0, INDEX, "own"): "rfv",
    (0, INDEX, "inner"): "tgb",
    (1, INDEX, "inner"): "yhn",
    (1, INDEX, "own"): "ujm",
    (1, MIDDLE, "own"): "ik,",
    (1, RING, "own"): "ol.",
    (1, LITTLE, "own"): "p;/",
}
ENTER, BACKSPACE, SPACE = "Key.enter", "Key.backspace", " "


class Reach(NamedTuple):
    hand: int  # 0 left, 1 right
    finger: int
    row: int  # 0 top, 1 home, 2 bottom
    column: str  # own, inner or outer


REACH = {key: Reach(h, f, row, column) for (h, f, column), keys in _COLUMNS.items() for row, key in enumerate(keys)}
REACH |= {
    SPACE: Reach(1, THUMB, 1, "own"),
    ENTER: Reach(1, LITTLE, 1, "outer"),
    BACKSPACE: Reach(1, LITTLE, 0, "outer"),
}
# Muscles --------------------------------------------------------------------------------------------------------------
# 18 a hand: for each of four fingers a superficial and a deep flexor and extensor; a thumb and a wrist muscle
FLEXOR, DEEP_FLEXOR, EXTENSOR, DEEP_EXTENSOR = 0, 4, 8, 12
THUMB_MUSCLE, WRIST_MUSCLE = 16, 17
MUSCLES = 18
_SPREAD = np.array([-60.0, -20.0, 20.0, 60.0])  # degrees, fingers side by side
ANGLES = np.deg2rad(np.concatenate([_SPREAD, _SPREAD * 0.7, 180 + _SPREAD, 180 + _SPREAD * 0.7, [85.0, -95.0]]))
DEPTHS = np.array([0.7] * 4 + [0.5] * 4 + [0.7] * 4 + [0.52] * 4 + [0.65, 0.65])  # 1: under the skin
# drive of (flexor, deep flexor, extensor) at the press, by row: reaching up extends, reaching down curls
_PRESS = {0: (0.9, 0.35, 0.5), 1: (0.8, 0.75, 0.15), 2: (0.35, 1.0, 0.05)}
_RELEASE = (0.6, 0.45)  # of extensor and deep extensor
ENSLAVED = (0.2, 0.15)  # of the neighbouring fingers' flexors and extensors
BURST_SECONDS = 0.035  # standard deviation
LEAD_SECONDS = (0.060, 0.012)  # the muscle is ahead of the key
TONIC = 0.04  # of the extensors, which hold the hand up
# Motor units (Fuglevand et al. 1993, doi:10.1152/jn.1993.70.6.2470) ---------------------------------------------------
UNITS = (6, 10)  # a muscle, both included
THRESHOLDS = (0.03, 0.6)  # of drive, spaced exponentially
AMPLITUDES = (1.0, 8.0)  # the later recruited, the larger
RATES = (8.0, 55.0)  # spikes a second, from recruitment to full drive
POTENTIAL_SECONDS = (0.0008, 0.0016)
POTENTIAL_TAPS = 29  # samples: 14 ms, beyond four widths on either side
MICROVOLTS = 1.0  # brings the log spectrum near what was measured on real sessions: mean .51, variance 1.15
DRIVE_RATE = 200  # steps a second of the drive
ELECTRODES = sessions.ELECTRODES
_PIECE_SECONDS = 30
FIRST_START = 1_700_000_000.0  # unix seconds of the first session
Minutes = Annotated[float, Within(at_least=0.2)]  # a session of less holds no prompt
Difficulty = Annotated[float, Within(at_least=0, at_most=3)]


@dataclass(frozen=True, kw_only=True)
class Twin:
    """How much is made up, and how hard it is. Plain data: it enters the Run's id.

    users, test_users                who types; test users are never trained on
    train_sessions, val_sessions     of each training user; test_sessions of each test user
    train_minutes, other_minutes     length of a session
    personal_sessions                of each test user, for training on that person alone; with one more to validate on
    difficulty                       one dial for everything that blurs or differs: anatomy between users, electrode
                                     rotation and gain between sessions, cross-talk, noise, variation of effort.
                                     0: none of it; 1: as much as the prototype's hard preset
    """

    users: PositiveInt = 4
    test_users: NaturalInt = 2
    train_sessions: PositiveInt = 2
    val_sessions: PositiveInt = 1
    test_sessions: NaturalInt = 1
    train_minutes: Minutes = 2.5
    other_minutes: Minutes = 1.0
    difficulty: Difficulty = 0.5
    seed: NaturalInt = 0
    personal_sessions: NaturalInt = added(0)

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def plan(self) -> list[tuple[str, int, int, float]]:
        """(split, user, session, minutes) of every session of the generic split."""
        made = []
        for user in range(self.users):
            made += [("train", user, number, self.train_minutes) for number in range(self.train_sessions)]
            first = self.train_sessions
            made += [("val", user, first + number, self.other_minutes) for number in range(self.val_sessions)]
        for user in range(self.users, self.users + self.test_users):
            made += [("test", user, number, self.other_minutes) for number in range(self.test_sessions)]
        return made

    def personal_plan(self, user: int) -> list[tuple[str, int, int, float]]:
        """The same of a test user's own split, whose test sessions are those of the generic one."""
        first = self.test_sessions
        own = range(first, first + self.personal_sessions)
        return [
            *(("train", user, number, self.train_minutes) for number in own),
            ("val", user, first + self.personal_sessions, self.other_minutes),
            *(("test", user, number, self.other_minutes) for number in range(first)),
        ]


def write_twin(twin: Twin, folder: Path, progress: Callable[[str, float], None] = lambda what, share: None) -> Path:
    """Sessions, metadata.csv, split/user0.yaml and on where test users have own sessions, and, last,
    split/generic.yaml in `folder`; the path of the latter.

    Sessions that are there already are kept: they are the same, bit for bit.
    """
    split_file = folder / "split" / "generic.yaml"
    rows: list[dict[str, str | float]] = []
    test_users = range(twin.users, twin.users + twin.test_users if twin.personal_sessions else twin.users)
    plans = {"generic": twin.plan, **{f"user{n}": twin.personal_plan(user) for n, user in enumerate(test_users)}}
    every = {(user, session): minutes for plan in plans.values() for _, user, session, minutes in plan}
    for number, ((user, session), minutes) in enumerate(every.items()):
        progress(f"making up EMG, session {number + 1} of {len(every)}", number / len(every))
        who, name = _names(user, session)
        path = folder / f"{name}.hdf5"
        if not path.exists():
            made = make_session(twin, user, session, minutes)
            start = FIRST_START + 86_400.0 * user + 3_600.0 * session
            shifted = [Keystroke(key=k.key, start=start + k.start, end=start + k.end) for k in made.keystrokes]
            prompts: list[Mapping[str, Json]] = [
                {"name": "text_prompt", "start": start + first, "end": start + last, "payload": {"text": text}}
                for first, last, text in made.prompts
            ]
            content = sessions.session_bytes(
                name=name, user=who, emg=made.emg, start=start, keystrokes=shifted, prompts=prompts
            )
            write_bytes(path, content)
        known = sessions.read_session(path)
        rows.append(
            {
                "user": who,
                "session": name,
                "condition": "on_keyboard",
                "duration_mins": round(known.seconds / 60, 3),
                "num_keystrokes": len(known.keystrokes),
                "num_prompts": len(known.prompts),
                "quality_check_tags": "[]",
            }
        )
    write_text(folder / "metadata.csv", metadata_text(rows))
    for user_name, plan in reversed(plans.items()):
        parts = {part: tuple(_names(user, n) for found, user, n, _ in plan if found == part) for part in SPLITS}
        write_text(split_file.with_name(f"{user_name}.yaml"), split_text(Split(**parts), user_name))
    return split_file


def _names(user: int, session: int) -> tuple[str, str]:
    return f"synthetic{user:03d}", f"synthetic-{user:03d}-{session:03d}"


@dataclass(frozen=True, kw_only=True)
class Made:
    """emg [samples, 2, 16] float32, microvolts, left first; keystrokes in seconds from its start; prompts (start, end,
    text)."""

    emg: np.ndarray
    keystrokes: list[Keystroke]
    prompts: list[tuple[float, float, str]]


def make_session(twin: Twin, user: int, session: int, minutes: float) -> Made:
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((twin.seed, 1, user, session))))
    hands = [_hand(twin, user, hand) for hand in (0, 1)]
    samples = round(minutes * 60 * RATE)
    strokes, prompts = _type(rng, minutes * 60, _speed(twin, user))
    emg = np.stack([_record(twin, rng, strokes, hand, spec, samples) for hand, spec in enumerate(hands)], axis=1)
    return Made(emg=emg.astype(np.float32), keystrokes=strokes, prompts=prompts)


def _type(rng: np.random.Generator, seconds: float, words_a_minute: float) -> tuple[list[Keystroke], list[Prompt]]:
    """Lines of words with their typos, at a typist's pace, until the time is over."""
    weights = np.arange(1, len(WORDS) + 1, dtype=float) ** -ZIPF
    order = np.random.Generator(np.random.PCG64(0)).permutation(len(WORDS))  # one language for everybody
    interval = 60 / (words_a_minute * 5)
    now, before = 1.0, ""
    strokes: list[Keystroke] = []
    prompts: list[Prompt] = []
    while True:
        chosen = rng.choice(len(WORDS), size=LINE_WORDS, p=weights / weights.sum())
        text = " ".join(WORDS[order[word]] for word in chosen)
        start = now
        for key in _with_typos(rng, [*text, ENTER]):
            now += interval * rng.lognormal(0.0, 0.25) * _pace(before, key)
            if now > seconds - 0.5:
                return strokes, prompts
            hold = float(np.clip(rng.normal(0.100, 0.020), 0.04, 0.2))
            strokes.append(Keystroke(key="Key.space" if key == SPACE else key, start=now, end=now + hold))
            before = key
        prompts.append((start, now, text))


Prompt = tuple[float, float, str]


def _with_typos(rng: np.random.Generator, keys: list[str]) -> list[str]:
    """Now and then a wrong letter first, taken back."""
    letters = [key for key in REACH if key.isalpha() and len(key) == 1]
    out: list[str] = []
    for key in keys:
        if key.isalpha() and len(key) == 1 and rng.random() < TYPO_SHARE:
            out += [letters[int(rng.integers(len(letters)))], BACKSPACE]
        out.append(key)
    return out


def _pace(before: str, key: str) -> float:
    if not before:
        return 1.0
    if before == key:
        return 0.95
    first, second = REACH[before], REACH[key]
    if first.hand != second.hand:
        return 0.85
    return 1.35 if first.finger == second.finger else 1.1


def _speed(twin: Twin, user: int) -> float:
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((twin.seed, 2, user))))
    return float(np.clip(rng.normal(60, 12), 35, 90))  # words a minute


@dataclass(frozen=True, kw_only=True)
class Hand:
    """A user's hand.

    effort       key -> [2 (press, release), 18] drive
    muscle       [units] which muscle each motor unit belongs to
    threshold    [units], in drive
    potential    [units, POTENTIAL_TAPS]
    angle, depth [units]
    """

    effort: dict[str, np.ndarray]
    muscle: np.ndarray
    threshold: np.ndarray
    potential: np.ndarray
    angle: np.ndarray
    depth: np.ndarray


def _hand(twin: Twin, user: int, hand: int) -> Hand:
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((twin.seed, 3, user, hand))))
    dial = twin.difficulty
    angles = ANGLES + np.deg2rad(rng.normal(0, 8 * dial) + rng.normal(0, 8 * dial, MUSCLES))
    depths = np.clip(DEPTHS * (1 + rng.normal(0, 0.15 * dial, MUSCLES)), 0.3, 0.8)
    effort = {
        key: _effort(reach) * rng.lognormal(0.0, 0.2 * dial, (2, MUSCLES))
        for key, reach in REACH.items()
        if reach.hand == hand
    }
    units = rng.integers(UNITS[0], UNITS[1] + 1, MUSCLES)
    muscle = np.repeat(np.arange(MUSCLES), units)
    place = np.concatenate([np.linspace(0, 1, count) for count in units])  # order of recruitment
    threshold = THRESHOLDS[0] * (THRESHOLDS[1] / THRESHOLDS[0]) ** place
    amplitude = AMPLITUDES[0] * (AMPLITUDES[1] / AMPLITUDES[0]) ** place
    width = rng.uniform(*POTENTIAL_SECONDS, len(muscle)) * RATE  # samples
    taps = np.arange(POTENTIAL_TAPS) - POTENTIAL_TAPS // 2 - rng.uniform(-0.5, 0.5, (len(muscle), 1))
    at = taps / width[:, None]
    order = rng.integers(1, 3, (len(muscle), 1))
    shape = np.where(order == 1, at, 1 - 2 * at**2) * np.exp(-(at**2))  # Hermite-Rodriguez of order 1 and 2
    shape *= MICROVOLTS * amplitude[:, None] / np.abs(shape).max(axis=1, keepdims=True)
    jitter = rng.normal(0, np.deg2rad(4), len(muscle))  # units lie side by side in their muscle
    return Hand(
        effort=effort,
        muscle=muscle,
        threshold=threshold,
        potential=shape.astype(np.float32),
        angle=angles[muscle] + jitter,
        depth=depths[muscle],
    )


def _effort(reach: Reach) -> np.ndarray:
    """[2 (press, release), 18]: what each muscle does for a key."""
    out = np.zeros((2, MUSCLES))
    if reach.finger == THUMB:
        out[0, THUMB_MUSCLE], out[1, THUMB_MUSCLE] = 1.0, 0.2
        return out
    flexor, deep, extensor = _PRESS[reach.row]
    for finger in range(4):
        distance = abs(finger - reach.finger)
        share_flexor = (1.0, ENSLAVED[0])[distance] if distance < 2 else 0.0
        share_extensor = (1.0, ENSLAVED[1])[distance] if distance < 2 else 0.0
        out[0, FLEXOR + finger] = flexor * share_flexor
        out[0, DEEP_FLEXOR + finger] = deep * share_flexor
        out[0, EXTENSOR + finger] = extensor * share_extensor
        out[1, EXTENSOR + finger] = _RELEASE[0] * share_extensor
        out[1, DEEP_EXTENSOR + finger] = _RELEASE[1] * share_extensor
    if reach.column == "inner":
        out[0, WRIST_MUSCLE] = 0.8
    if reach.column == "outer":
        out[0, WRIST_MUSCLE] = 0.4
        out[0, DEEP_EXTENSOR : DEEP_EXTENSOR + 4] += 0.5
    return out


def _drive(
    twin: Twin, rng: np.random.Generator, strokes: list[Keystroke], hand: int, spec: Hand, samples: int
) -> np.ndarray:
    """[18, steps] at DRIVE_RATE: a burst before each press, one at each release."""
    steps = -(-samples * DRIVE_RATE // RATE) + 1
    drive = np.zeros((MUSCLES, steps))
    drive[EXTENSOR:THUMB_MUSCLE] = TONIC
    spread = 0.06 + 0.09 * twin.difficulty
    reach = round(4 * BURST_SECONDS * DRIVE_RATE)
    for stroke in strokes:
        key = SPACE if stroke.key == "Key.space" else stroke.key
        lead, gains = rng.normal(*LEAD_SECONDS), rng.lognormal(0.0, spread, (2, MUSCLES))
        if REACH[key].hand != hand:
            continue
        for when, force in zip((stroke.start - lead, stroke.end), spec.effort[key] * gains, strict=True):
            middle = round(when * DRIVE_RATE)
            first, last = max(0, middle - reach), min(steps, middle + reach + 1)
            burst = np.exp(-0.5 * ((np.arange(first, last) / DRIVE_RATE - when) / BURST_SECONDS) ** 2)
            drive[:, first:last] += force[:, None] * burst
    return drive


def _record(
    twin: Twin, rng: np.random.Generator, strokes: list[Keystroke], hand: int, spec: Hand, samples: int
) -> np.ndarray:
    """[samples, 16]: spikes of the motor units, seen by a ring of electrodes through flesh, noise and filters."""
    dial = twin.difficulty
    drive = _drive(twin, rng, strokes, hand, spec, samples)
    turned = 2 * np.pi * (np.arange(ELECTRODES) + rng.normal(0, 0.3 * dial)) / ELECTRODES
    apart = 1 + spec.depth**2 - 2 * spec.depth * np.cos(turned[:, None] - spec.angle)  # squared distance [16, units]
    gain = (apart**-1.25) * rng.lognormal(0.0, 0.15 * dial, (ELECTRODES, 1))
    alone = np.eye(ELECTRODES)
    mix = alone + 0.12 * dial * (np.roll(alone, 1, axis=1) + np.roll(alone, -1, axis=1))  # cross-talk of neighbours
    gain = (mix @ gain).astype(np.float32)
    seen = np.zeros((samples + POTENTIAL_TAPS, ELECTRODES), dtype=np.float32)
    step = RATE // DRIVE_RATE
    for first in range(0, samples, _PIECE_SECONDS * RATE):
        length = min(_PIECE_SECONDS * RATE, samples - first)
        here = drive[:, first // step : first // step + -(-length // step)]
        unit, when = _spikes(rng, here, spec)
        inside = when < length
        unit, when = unit[inside], when[inside]
        trains = np.zeros((len(spec.muscle), length + POTENTIAL_TAPS), dtype=np.float32)
        for tap in range(POTENTIAL_TAPS):
            np.add.at(trains, (unit, when + tap), spec.potential[unit, tap])
        seen[first : first + length + POTENTIAL_TAPS] += (gain @ trains).T
    time = np.arange(samples) / RATE
    hum = rng.uniform(0.2, 1.0, ELECTRODES) * np.sin(2 * np.pi * 60 * time[:, None] + rng.uniform(0, 2 * np.pi))
    noise = rng.standard_normal((samples, ELECTRODES), dtype=np.float32) * (1.5 + dial)
    sections = scipy.signal.butter(2, (40, 850), btype="bandpass", fs=RATE, output="sos")
    filtered: np.ndarray = scipy.signal.sosfilt(sections, seen[:samples] + noise + hum, axis=0)
    return filtered


def _spikes(rng: np.random.Generator, drive: np.ndarray, spec: Hand) -> tuple[np.ndarray, np.ndarray]:
    """Unit and sample of every spike of a piece: Poisson, its rate rising with drive above the unit's threshold."""
    above = drive[spec.muscle] - spec.threshold[:, None]
    rate = RATES[0] + (RATES[1] - RATES[0]) * np.minimum(above / (1 - spec.threshold[:, None]), 1)
    chance = np.where(above > 0, rate, 0) / DRIVE_RATE
    unit, step = np.nonzero(rng.random(chance.shape, dtype=np.float32) < chance)
    return unit, step * (RATE // DRIVE_RATE) + rng.integers(0, RATE // DRIVE_RATE, len(step))
