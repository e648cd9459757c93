"""emg: surface EMG of both wrists while typing, from emg2qwerty recordings or from their synthetic twin."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np

from lawful.checks import PositiveInt, check_fields
from lawful.corpora import IGNORED, Corpus, Progress, prepared_folder, remarked
from lawful.domains.emg import sessions
from lawful.domains.emg.spectrogram import BINS, HOP, WINDOW, log_spectrogram, num_frames
from lawful.domains.emg.tokenizers.keys import Keys
from lawful.domains.emg.twin import RULES, Twin, write_twin
from lawful.errors import DataError, StoreError
from lawful.run import to_json
from lawful.storage.atomic import write_bytes, write_json, write_whole
from lawful.storage.cache import cache_folder
from lawful.storage.json_files import read_json

FORMAT = 2  # raised when prepared files change their meaning
SYNTHETIC = "synthetic EMG: says nothing about people"
RECORDED = "emg2qwerty recordings: non-commercial use only (CC BY-NC-SA 4.0)"
SPLITS = {"train": "train", "validation": "val", "test": "test"}  # ours: the files'

# The emg2qwerty baseline's window (arXiv:2410.20081, section 5): 8,000 samples and 1,800 before, 200 after. In frames
# of 125 Hz: 112 before (1,792 samples) and 10 after (207 samples, since a frame spans 64), 622 in all as there.
PAST_FRAMES, FUTURE_FRAMES = 112, 10
WINDOW_FRAMES = 500

# Augmentation, likewise as the baseline has it
ROTATIONS = (-1, 0, 1)  # electrodes, each band apart
JITTER_SAMPLES = 120  # the bands against each other; here in whole frames, since spectrograms are what is kept
TIME_MASKS, TIME_MASK_FRAMES = 3, 25  # 0 to 3 masks of 0 to 25 frames of 125 Hz
FREQUENCY_MASKS, FREQUENCY_MASK_BINS = 2, 4

CACHED_BYTES = 24e9  # spectrograms of smaller data are kept on disk; above, they are made from the recordings as needed
CONDITION = "on_keyboard"  # of the recordings that are used
LISTED = 8  # problems that one message names


@final
@dataclass(frozen=True, kw_only=True)
class Emg(Corpus):
    """`--data FOLDER` names recordings in the layout of emg2qwerty; without it the twin is made up and read.

    split          file with the lists train, val and test: a path, or a place below the folder
    train_users    train on the first so many users of the split only; None: on all. Evaluation stays the same, and so
                   does the fingerprint: which is of what is measured
    pool           frames of 125 Hz whose power is averaged into one: 4 gives 31 Hz
    twin           what is made up where no recordings are given; None: recordings are a must
    """

    name: ClassVar[str] = "emg"
    licence: ClassVar[str] = "recordings: CC BY-NC-SA 4.0, for non-commercial use only; the twin: none needed"
    source: ClassVar[str] = "emg2qwerty (arXiv:2410.20081), your own download as --data; else made up on this machine"
    reads: ClassVar[str] = "frames"

    split: str = "split/generic.yaml"
    train_users: PositiveInt | None = None
    pool: PositiveInt = 1
    twin: Twin | None = field(default=Twin())

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def vocab_size(self) -> int:
        return Keys().vocab_size

    def known_facts(self) -> dict[str, Any]:
        return {**super().known_facts(), "tokenizer": Keys().name}

    def is_available(self, data: Path | None = None) -> bool:
        return data is not None or self.twin is not None

    def prepare(self, data: Path | None = None, progress: Progress | None = None) -> EmgData:
        """Keys of all sessions, and spectrograms where they are not too many, in CACHE/corpora/emg/FINGERPRINT."""
        progress = progress or (lambda what, share: None)
        folder, split_file = self._recordings(data, progress)
        split = sessions.read_split(split_file)
        found, problems = _read_all(folder, split, progress)
        if problems:
            raise DataError(_listed(problems))
        content = [
            (part, name, found[name].samples, _sha256(*found[name].arrays), found[name].glance)
            for part in sessions.SPLITS
            for _, name in getattr(split, part)
        ]
        fingerprint = self._fingerprint(content)
        target = self._folder(fingerprint)
        if not (target / "meta.json").exists():
            self._write(target, fingerprint, folder, split, found, progress, is_synthetic=data is None)
        return self.open(fingerprint)

    def open(self, fingerprint: str) -> EmgData:
        folder = self._folder(fingerprint)
        if not (folder / "meta.json").exists():
            raise DataError(
                f"emg: expected prepared data {fingerprint} in {folder}, got none; `lawful plan STUDY`, with the "
                "options of the study's own command, makes it (--data FOLDER where it comes from recordings)."
            )
        meta = read_json(folder / "meta.json")
        if damaged := _damaged(folder, meta):
            raise DataError(f"emg: prepared data is damaged: {damaged}; delete {folder} and prepare it again.")
        return EmgData(fingerprint=fingerprint, folder=folder, meta=meta, pool=self.pool, train_users=self.train_users)

    def verify(self, fingerprint: str, data: Path | None = None, progress: Progress | None = None) -> list[str]:
        """Every session's file, every sample of it, the keystrokes kept of it, and its spectrogram."""
        folder = self._folder(fingerprint)
        try:
            opened = self.open(fingerprint)
        except (DataError, StoreError) as error:
            return [str(error)]
        progress = progress or (lambda what, share: None)
        problems = []
        every = opened.sessions()
        for number, known in enumerate(every):
            progress(f"checking {known.name}", number / len(every))
            path = known.path if data is None or opened.meta["is_synthetic"] else _find(data, known.name)
            try:
                session = sessions.read_session(path)
                sessions.check_signal(session)
            except (DataError, StoreError) as error:
                problems.append(str(error))
                continue
            keys, times = _Read.of(session).arrays
            if session.samples != known.samples or not (
                np.array_equal(keys, known.keys) and np.array_equal(times, known.times)
            ):
                problems.append(f"{path}: expected the recording that {folder} was prepared from, got another one.")
            elif opened.is_cached:
                last = min(session.samples, known.samples)
                again = log_spectrogram(session.read(0, min(last, sessions.RATE)), self.pool).astype(np.float16)
                if not np.array_equal(again, opened.spectrogram(known, 0, len(again))):
                    problems.append(f"{folder / known.name}.spectrogram: expected that of {path}, got another one.")
        return problems

    def inspect(self, data: Path, progress: Progress | None = None) -> list[str]:
        """Of a folder of recordings: every missing or damaged session of the split, whether prepared before or not."""
        progress = progress or (lambda what, share: None)
        folder, split_file = self._recordings(data, progress)
        split = sessions.read_split(split_file)
        _, problems = _read_all(folder, split, progress)
        problems += _unlike_metadata(folder, split)
        for number, (_, name) in enumerate(pairs := list(split)):
            progress(f"looking through {name}", number / len(pairs))
            try:
                sessions.check_signal(sessions.read_session(_find(folder, name)))
            except (DataError, StoreError) as error:
                if str(error) not in problems:
                    problems.append(str(error))
        return problems

    def remarks(self, *, fingerprint: str | None = None, data: Path | None = None) -> list[str]:
        """Of each recording: a clock that drifts, gaps in its time, keystrokes outside of it."""
        if fingerprint is not None:
            meta = read_json(self._folder(fingerprint) / "meta.json")
            return [str(remark) for remark in meta.get("remarks", ())]
        folder, split_file = self._recordings(data, lambda what, share: None)
        found, _ = _read_all(folder, sessions.read_split(split_file), lambda what, share: None)
        return [remark for read in found.values() for remark in read.remarks]

    def _recordings(self, data: Path | None, progress: Progress) -> tuple[Path, Path]:
        """The folder of the sessions and the split file, made up first where no recordings are given."""
        if data is None:
            if self.twin is None:
                raise DataError(
                    "emg: this study needs recordings; download emg2qwerty (non-commercial use only) and give its "
                    "folder as --data."
                )
            folder = cache_folder() / "corpora" / self.name / "twins" / _digest([RULES, to_json(self.twin)])
            if not (folder / "split" / "generic.yaml").exists():
                write_twin(self.twin, folder, progress)
            split_file = folder / "split" / Path(self.split).name
            if not split_file.is_file():
                there = ", ".join(sorted(path.name for path in split_file.parent.iterdir()))
                raise DataError(f"emg: split: the twin has {there}; got {self.split}.")
            return folder, split_file
        if not data.is_dir():
            raise DataError(f"--data {data}: expected a folder of emg2qwerty sessions, got no such folder.")
        for candidate in (Path(self.split), data / self.split, data / Path(self.split).name):
            if candidate.is_file():
                return data, candidate
        raise DataError(
            f"--data {data}: expected the split file {self.split} there; the official ones come with emg2qwerty's code "
            "(config/user/generic.yaml and user0.yaml to user7.yaml; in a study, --set split=PATH names one)."
        )

    def _folder(self, fingerprint: str) -> Path:
        return prepared_folder(self.name, fingerprint)

    def _fingerprint(self, content: Any) -> str:
        return _digest({"format": FORMAT, "pool": self.pool, "sessions": content})

    def _write(
        self,
        target: Path,
        fingerprint: str,
        folder: Path,
        split: sessions.Split,
        found: Mapping[str, _Read],
        progress: Progress,
        *,
        is_synthetic: bool,
    ) -> None:
        frame_bytes = 2 * sessions.ELECTRODES * BINS * 2
        total = sum(num_frames(session.samples, self.pool) for session in found.values())
        is_cached = total * frame_bytes <= CACHED_BYTES
        splits: dict[str, Any] = {}
        done = 0
        for ours, theirs in SPLITS.items():
            listed = []
            for user, name in getattr(split, theirs):
                session = found[name]
                keys, times = session.arrays
                write_bytes(target / f"{name}.keys", keys.astype("<u2").tobytes())
                write_bytes(target / f"{name}.times", times.astype("<f8").tobytes())
                frames = num_frames(session.samples, self.pool)
                if is_cached:
                    progress(f"spectrogram of {name}", done / total)
                    write_whole(target / f"{name}.spectrogram", functools.partial(_spectrogram, session, self.pool))
                done += frames
                listed.append(
                    {
                        "user": user,
                        "session": name,
                        "path": session.path,
                        "samples": session.samples,
                        "frames": frames,
                        "keys": len(keys),
                        "sha256": _sha256(keys, times),
                    }
                )
            if listed:
                frames = sum(item["frames"] for item in listed)
                splits[ours] = {"tokens": frames, "keys": sum(item["keys"] for item in listed), "sessions": listed}
        if "validation" not in splits:
            raise DataError(f"emg: expected sessions in the list val of {self.split}, got none.")
        write_json(
            target / "meta.json",
            {
                "format": FORMAT,
                "fingerprint": fingerprint,
                "corpus": to_json(replace(self, train_users=None)),
                "is_synthetic": is_synthetic,
                "is_cached": is_cached,
                "splits": splits,
                "remarks": [remark for session in found.values() for remark in session.remarks],
            },
        )


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Windows of spectrograms and what was typed in them; rows first.

    inputs        float16 [rows, frames, 2 (left, right), 16, 33]: past, labelled window, future
    targets       int64 [rows, most keys]: the keys pressed in the labelled window, IGNORED after the last
    begin, end    int64 [rows]: which frames are real; others are fill, before the session's first and after its last
    session       int64 [rows]: number within the split; consecutive rows of one session follow each other in time
    user          int64 [rows]
    """

    inputs: np.ndarray
    targets: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    session: np.ndarray
    user: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Known:
    """A prepared session: where it lies, and its keys with their times in seconds from its start."""

    number: int
    name: str
    user: str
    user_number: int
    path: Path
    samples: int
    frames: int
    keys: np.ndarray
    times: np.ndarray


@dataclass(frozen=True, kw_only=True)
class EmgData:
    """Sessions ready for training. A token is one labelled frame of signal: hours and tokens are one axis."""

    fingerprint: str
    folder: Path
    meta: Mapping[str, Any]
    pool: int
    train_users: int | None

    @property
    def is_cached(self) -> bool:
        return bool(self.meta["is_cached"])

    @property
    def is_slow_to_read(self) -> bool:
        """A GPU would wait for its batches; see train/feed.py."""
        return True

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.meta["splits"])

    @property
    def past(self) -> int:
        """Frames before the labelled window."""
        return PAST_FRAMES // self.pool

    @property
    def future(self) -> int:
        return FUTURE_FRAMES // self.pool

    @property
    def train_tokens(self) -> int:
        return sum(known.frames for known in self.sessions("train"))

    @property
    def users(self) -> tuple[str, ...]:
        """Every user of any split, in order of first appearance; `Batch.user` counts in it."""
        return _users(self)

    def facts(self) -> dict[str, Any]:
        hours = {split: sum(k.samples for k in self.sessions(split)) / sessions.RATE / 3600 for split in self.splits}
        return {
            "fingerprint": self.fingerprint,
            "train_tokens": self.train_tokens,
            "vocabulary": Keys().vocab_size,
            "tokenizer": Keys().name,
            "corpus": Emg.name,
            "licence": "none needed: made up" if self.meta["is_synthetic"] else RECORDED,
            "source": SYNTHETIC if self.meta["is_synthetic"] else Emg.source,
            "is_synthetic": bool(self.meta["is_synthetic"]),
            "train_users": len({known.user for known in self.sessions("train")}),
            **{f"{split}_hours": round(value, 4) for split, value in hours.items()},
            **{f"{split}_keys": sum(len(k.keys) for k in self.sessions(split)) for split in self.splits},
            **remarked(self.meta.get("remarks", ())),
            "frames_per_second": sessions.RATE / HOP / self.pool,
        }

    def bits_per_byte(self, loss: float, split: str = "validation") -> None:
        """None: there are no bytes."""

    def sessions(self, split: str | None = None) -> tuple[Known, ...]:
        """Of a split, or of all; of the training split only those of the chosen users."""
        return _sessions(self, split)

    def named(self, split: str, number: int) -> dict[str, str]:
        """What `Batch.session` stands for."""
        known = self.sessions(split)[number]
        return {"session": known.name, "user": known.user}

    def spectrogram(self, known: Known, first: int, last: int) -> np.ndarray:
        """Frames first to last of a session, float16 [frames, 2, 16, 33]; kept, or made from the recording now."""
        if self.is_cached:
            return _mapped(self.folder / f"{known.name}.spectrogram", known.frames)[first:last]
        span = self.pool * HOP
        samples = sessions.read_signal(known.path, first * span, (last - 1) * span + (self.pool - 1) * HOP + WINDOW)
        if not np.isfinite(samples).all():  # 300 GB are not looked through beforehand, save by `lawful data verify emg`
            raise DataError(
                f"{known.path}: expected numbers, got NaN or infinity near {first * span / sessions.RATE:.0f} s."
            )
        return log_spectrogram(samples, self.pool).astype(np.float16)

    def misfit(self, context: int) -> str | None:
        """Why windows of so many frames cannot be taken from each session that is trained on; None where they can."""
        least = self.past + context + self.future
        if short := [known for known in self.sessions("train") if known.frames < least]:
            return f"{short[0].name} has {short[0].frames} frames; expected at least {least} for a window of {context}"
        return None

    def batch(self, split: str = "train", *, seed: int, step: int, batch_size: int, context: int) -> Batch:
        """Augmented windows: a pure function of its arguments.

        An epoch cuts every session into windows of `context` labelled frames, moves each by up to half a window, and
        visits them in an order drawn from (seed, epoch). A window that would lack some of its past or future is moved
        to where both are whole.
        """
        known = self.sessions(split)
        places = [(number, first) for number, one in enumerate(known) for first in range(0, one.frames, context)]
        if step < 0 or batch_size < 1 or not places:
            raise DataError(f"batch: expected step >= 0 and batch_size >= 1, got {step} and {batch_size}.")
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, 1, step))))
        chosen = []
        for number in range(step * batch_size, (step + 1) * batch_size):
            epoch, place = divmod(number, len(places))
            session, first = places[_order(seed, epoch, len(places))[place]]
            least, most = self.past, known[session].frames - self.future - context
            if most < least:
                raise DataError(f"batch: {self.misfit(context)}.")
            moved = first + int(rng.integers(-(context // 2), context // 2 + 1))
            chosen.append((known[session], int(np.clip(moved, least, most))))
        inputs = np.empty(
            (batch_size, self.past + context + self.future, 2, sessions.ELECTRODES, BINS), dtype=np.float16
        )
        for row, (one, first) in zip(inputs, chosen, strict=True):
            self._fill(row, one, first - self.past, rng)
        _mask(inputs, rng, self.pool)
        return self._batch(chosen, inputs, context)

    def evaluation_batches(
        self, split: str = "validation", *, context: int, batch_size: int = 0, targets: int | None = None
    ) -> Iterator[Batch]:
        """One batch a session, its windows in order and without overlap of their labelled parts, so that emissions
        can be laid end to end; with `targets`, as many windows as hold so many keys. Nothing is augmented.

        batch_size    not used: a session stays whole, and the task takes its rows in parts
        """
        left = targets
        for known in self.sessions(split):
            if left is not None and left <= 0:
                return
            chosen = [(known, first) for first in range(0, known.frames, context)]
            if left is not None:
                held = np.cumsum([len(self._keys_within(known, first, context)) for _, first in chosen])
                chosen = chosen[: int(np.searchsorted(held, left)) + 1]
                left -= int(held[len(chosen) - 1])
            inputs = np.zeros(
                (len(chosen), self.past + context + self.future, 2, sessions.ELECTRODES, BINS), dtype=np.float16
            )
            for row, (_, first) in enumerate(chosen):
                low, high = max(0, first - self.past), min(known.frames, first + context + self.future)
                start = self.past - (first - low)
                inputs[row, start : start + high - low] = self.spectrogram(known, low, high)
            yield self._batch(chosen, inputs, context)

    def _fill(self, row: np.ndarray, known: Known, first: int, rng: np.random.Generator) -> None:
        """A training window in place: each band turned by up to one electrode, and the right moved against the left."""
        frames = len(row)
        jitter = JITTER_SAMPLES // (HOP * self.pool)
        low, high = max(0, first - jitter), min(known.frames, first + frames + jitter)
        whole = self.spectrogram(known, low, high)
        for band in (0, 1):
            turn = ROTATIONS[int(rng.integers(len(ROTATIONS)))]
            moved = first + (int(rng.integers(-jitter, jitter + 1)) if band else 0)
            start = min(max(moved, 0), known.frames - frames) - low
            source = whole[start : start + frames, band]
            row[:, band, : turn or None] = source[:, -turn:]  # as np.roll over the electrodes
            row[:, band, turn:] = source[:, : -turn or None]

    def _batch(self, chosen: Sequence[tuple[Known, int]], inputs: np.ndarray, context: int) -> Batch:
        labels = [self._keys_within(known, first, context) for known, first in chosen]
        targets = np.full((len(chosen), max(1, *(len(keys) for keys in labels))), IGNORED, dtype=np.int64)
        for row, keys in enumerate(labels):
            targets[row, : len(keys)] = keys
        return Batch(
            inputs=inputs,
            targets=targets,
            begin=np.array([max(0, self.past - first) for _, first in chosen]),
            end=np.array([min(inputs.shape[1], self.past + known.frames - first) for known, first in chosen]),
            session=np.array([known.number for known, _ in chosen]),
            user=np.array([known.user_number for known, _ in chosen]),
        )

    def _keys_within(self, known: Known, first: int, context: int) -> np.ndarray:
        """The keys pressed while the labelled window lasts; in a session's last window, to the session's end."""
        span = self.pool * HOP
        until = np.inf if first + context >= known.frames else (first + context) * span / sessions.RATE
        low, high = np.searchsorted(known.times, (first * span / sessions.RATE, until))
        return known.keys[low:high]


def _mask(inputs: np.ndarray, rng: np.random.Generator, pool: int) -> None:
    """SpecAugment (arXiv:1904.08779) in place, drawn for each electrode apart."""
    rows, frames, bands, electrodes, bins = inputs.shape
    channels = (rows, bands, electrodes)
    longest = max(1, TIME_MASK_FRAMES // pool)
    hidden_frames = _spans(rng, channels, TIME_MASKS, longest, frames)  # [rows, 2, 16, frames]
    hidden_bins = _spans(rng, channels, FREQUENCY_MASKS, FREQUENCY_MASK_BINS, bins)  # [rows, 2, 16, 33]
    bits = inputs.view(np.uint16)  # hidden is 0 log10 units, whose bits are 0: far faster than arithmetic on halves
    bits &= np.where(np.moveaxis(hidden_frames, 3, 1), np.uint16(0), np.uint16(0xFFFF))[..., None]
    bits &= np.where(hidden_bins, np.uint16(0), np.uint16(0xFFFF))[:, None]


def _spans(rng: np.random.Generator, shape: tuple[int, ...], most: int, longest: int, length: int) -> np.ndarray:
    """True inside 0 to `most` spans of 0 to `longest`, drawn for each channel. Shape (*shape, length)."""
    wanted = rng.integers(0, most + 1, shape)
    hidden = np.zeros((*shape, length), dtype=bool)
    at = np.arange(length)
    for number in range(most):
        span = np.where(number < wanted, rng.integers(0, longest + 1, shape), 0)
        start = (rng.random(shape) * (length - span + 1)).astype(np.int64)
        hidden |= (at >= start[..., None]) & (at < (start + span)[..., None])
    return hidden


@dataclass(frozen=True, kw_only=True)
class _Read:
    """What is kept of a recording's metadata, plain data. times: seconds of signal before each key was pressed."""

    path: str
    user: str
    condition: str
    samples: int
    keys: tuple[int, ...]
    times: tuple[float, ...]
    glance: str  # a hash of the first second of signal: 300 GB are not read through to tell two data sets apart
    remarks: tuple[str, ...]

    @classmethod
    def of(cls, session: sessions.Session) -> _Read:
        keys, places = Keys().encode_keys([stroke.key for stroke in session.keystrokes])
        return cls(
            path=str(session.path.resolve()),
            user=session.user,
            condition=session.condition,
            samples=session.samples,
            keys=tuple(map(int, keys)),
            times=tuple(session.positions[place] / sessions.RATE for place in places),
            glance=hashlib.sha256(session.read(0, sessions.RATE).tobytes()).hexdigest(),
            remarks=tuple(f"{session.path.name}: {remark}" for remark in session.clock.remarks()),
        )

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.keys, dtype=np.uint16), np.array(self.times, dtype=float)


def _read_all(folder: Path, split: sessions.Split, progress: Progress) -> tuple[dict[str, _Read], list[str]]:
    """Every session of the split but for its signal, and what is wrong with the others. A file is read once, as long
    as its size and date stay the same."""
    found: dict[str, _Read] = {}
    problems = []
    pairs = list(split)
    for number, (user, name) in enumerate(pairs):
        progress(f"reading the times and keystrokes of {name}", number / len(pairs))
        try:
            read = _read_once(_find(folder, name))
        except (DataError, StoreError) as error:
            problems.append(str(error))
            continue
        if read.user != user:
            problems.append(f"{read.path}: expected the user {user}, as the split says, got {read.user}.")
        elif read.condition != CONDITION:  # the official loader refuses it, too: its keystrokes are not those typed
            problems.append(f"{read.path}: expected the condition {CONDITION}, got {read.condition}.")
        else:
            found[name] = read
    return found, problems


def _read_once(path: Path) -> _Read:
    if not path.is_file():
        return _Read.of(sessions.read_session(path))  # which says what is wrong
    state = path.stat()
    key = _digest([FORMAT, str(path.resolve()), state.st_size, state.st_mtime_ns])
    kept = cache_folder() / "corpora" / Emg.name / "read" / f"{key}.json"
    if kept.exists():
        try:
            row: dict[str, Any] = read_json(kept)
            row = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
            return _Read(**row)
        except (StoreError, TypeError):
            pass  # damaged: read again
    read = _Read.of(sessions.read_session(path))
    write_json(kept, vars(read))
    return read


def _unlike_metadata(folder: Path, split: sessions.Split) -> list[str]:
    """What metadata.csv, where there is one, says otherwise about the split's sessions."""
    path = next((one for one in (folder / "metadata.csv", *folder.glob("*/metadata.csv")) if one.exists()), None)
    if path is None:
        return []
    users = {row["session"]: row["user"] for row in sessions.read_metadata(path)}
    return [
        f"{path}: expected the session {name} of user {user}, as the split has it, got "
        + (f"user {users[name]}." if name in users else "no such session.")
        for user, name in split
        if users.get(name) != user
    ]


def _find(folder: Path, name: str) -> Path:
    """NAME.hdf5 in the folder itself, or in the folder that the official archive unpacks into."""
    inner = folder / "emg2qwerty-data-2021-08" / f"{name}.hdf5"
    return inner if inner.exists() else folder / f"{name}.hdf5"


def _listed(problems: Sequence[str]) -> str:
    more = f"\n  and {len(problems) - LISTED} more" if len(problems) > LISTED else ""
    return (
        f"emg: {len(problems)} sessions of the split cannot be used; `lawful data verify emg --data FOLDER` lists all. "
        "Fetch them again, or take them out of the split file.\n  " + "\n  ".join(problems[:LISTED]) + more
    )


def _spectrogram(session: _Read, pool: int, file: Any) -> None:
    """A piece at a time: memory does not grow with the session."""
    frames, span = num_frames(session.samples, pool), pool * HOP
    step = max(1, 2**15 // pool)
    for first in range(0, frames, step):
        last = min(first + step, frames)
        samples = sessions.read_signal(Path(session.path), first * span, (last - 1) * span + (pool - 1) * HOP + WINDOW)
        if not np.isfinite(samples).all():
            row = int(np.flatnonzero(~np.isfinite(samples).all(axis=(1, 2)))[0]) + first * span
            raise DataError(f"{session.path}: expected numbers, got NaN or infinity at sample {row}.")
        file.write(log_spectrogram(samples, pool).astype("<f2").tobytes())


def _damaged(folder: Path, meta: Mapping[str, Any]) -> str:
    """The first file that is missing or has another size or content than it had."""
    frame_bytes = 2 * sessions.ELECTRODES * BINS * 2
    for part in meta["splits"].values():
        for item in part["sessions"]:
            expected = {"keys": item["keys"] * 2, "times": item["keys"] * 8}
            if meta["is_cached"]:
                expected["spectrogram"] = item["frames"] * frame_bytes
            for suffix, size in expected.items():
                path = folder / f"{item['session']}.{suffix}"
                got = path.stat().st_size if path.exists() else None
                if got != size:
                    return f"{path}: expected {size:,} bytes, got {'no file' if got is None else f'{got:,}'}"
            digest = hashlib.sha256()
            for suffix in ("keys", "times"):
                digest.update((folder / f"{item['session']}.{suffix}").read_bytes())
            if digest.hexdigest() != item["sha256"]:
                return f"{folder / item['session']}.keys: expected SHA-256 {item['sha256']}, got {digest.hexdigest()}"
    return ""


@functools.lru_cache(maxsize=8)
def _known(folder: Path) -> dict[str, tuple[Known, ...]]:
    meta = read_json(folder / "meta.json")
    users: dict[str, int] = {}
    found = {}
    for split, part in meta["splits"].items():
        listed = []
        for number, item in enumerate(part["sessions"]):
            path = folder / item["session"]
            listed.append(
                Known(
                    number=number,
                    name=item["session"],
                    user=item["user"],
                    user_number=users.setdefault(item["user"], len(users)),
                    path=Path(item["path"]),
                    samples=int(item["samples"]),
                    frames=int(item["frames"]),
                    keys=np.fromfile(path.with_name(f"{path.name}.keys"), dtype="<u2"),
                    times=np.fromfile(path.with_name(f"{path.name}.times"), dtype="<f8"),
                )
            )
        found[split] = tuple(listed)
    return found


def _sessions(data: EmgData, split: str | None) -> tuple[Known, ...]:
    known = _known(data.folder)
    if split is None:
        return tuple(one for part in known.values() for one in part)
    if split not in known:
        raise DataError(f"split: expected one of {', '.join(known)}, got {split!r}.")
    if split != "train" or data.train_users is None:
        return known[split]
    users = list(dict.fromkeys(one.user for one in known["train"]))
    if data.train_users > len(users):
        raise DataError(
            f"train_users: expected at most the {len(users)} of the split, got {data.train_users}; a study counts them "
            "where its setting names the split file itself (--set split=PATH)."
        )
    chosen = set(users[: data.train_users])
    return tuple(one for one in known["train"] if one.user in chosen)


def _users(data: EmgData) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.user for part in _known(data.folder).values() for one in part))


@functools.lru_cache(maxsize=2048)
def _mapped(path: Path, frames: int) -> np.ndarray:
    return np.asarray(np.memmap(path, dtype="<f2", mode="r", shape=(frames, 2, sessions.ELECTRODES, BINS)))


@functools.lru_cache(maxsize=8)
def _order(seed: int, epoch: int, length: int) -> np.ndarray:
    bits = np.random.PCG64(np.random.SeedSequence((seed, 0, epoch))).random_raw(length)
    return np.argsort(bits, kind="stable")


def _sha256(keys: np.ndarray, times: np.ndarray) -> str:
    return hashlib.sha256(keys.astype("<u2").tobytes() + times.astype("<f8").tobytes()).hexdigest()


def _digest(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
