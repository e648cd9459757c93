"""Prepared sessions as training takes them: windows of spectrograms, augmented, and the keys typed in them."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lawful.corpora import remarked
from lawful.domains.emg import sessions
from lawful.domains.emg.prepared import BUDGET, FRAME_BYTES, Known, PreparedEmg, known_sessions
from lawful.domains.emg.spectrogram import BINS, HOP, WINDOW, log_spectrogram
from lawful.domains.emg.tokenizers.keys import Keys
from lawful.errors import DataError
from lawful.schema import Fact
from lawful.token_data import IGNORED

SYNTHETIC = "synthetic EMG: says nothing about people"
SOURCE = "emg2qwerty (arXiv:2410.20081), your own download as --data; else made up on this machine"
RECORDED = "emg2qwerty recordings: non-commercial use only (CC BY-NC-SA 4.0)"

# The emg2qwerty baseline's window (arXiv:2410.20081, section 5): 8,000 samples and 1,800 before, 200 after. In frames
# of 125 Hz: 112 before (1,792 samples) and 10 after (207 samples, since a frame spans 64), 622 in all as there.
PAST_FRAMES, FUTURE_FRAMES = 112, 10
WINDOW_FRAMES = 500

# Augmentation, likewise as the baseline has it
ROTATIONS = (-1, 0, 1)  # electrodes, each band apart
JITTER_SAMPLES = 120  # the bands against each other; here in whole frames, since spectrograms are what is kept
TIME_MASKS, TIME_MASK_FRAMES = 3, 25  # 0 to 3 masks of 0 to 25 frames of 125 Hz
FREQUENCY_MASKS, FREQUENCY_MASK_BINS = 2, 4


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
class EmgData:
    """Sessions ready for training. A token is one labelled frame of signal: hours and tokens are one axis."""

    fingerprint: str
    folder: Path
    meta: PreparedEmg
    pool: int
    train_users: int | None

    @property
    def is_cached(self) -> bool:
        return self.meta.is_cached

    @property
    def is_slow_to_read(self) -> bool:
        """A GPU would wait for its batches; see train/feed.py."""
        return True

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.meta.splits)

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

    def facts(self) -> dict[str, Fact]:
        hours = {split: sum(k.samples for k in self.sessions(split)) / sessions.RATE / 3600 for split in self.splits}
        return {
            "fingerprint": self.fingerprint,
            "train_tokens": self.train_tokens,
            "vocabulary": Keys().vocab_size,
            "tokenizer": Keys().name,
            "corpus": "emg",
            "licence": "none needed: made up" if self.meta.is_synthetic else RECORDED,
            "source": SYNTHETIC if self.meta.is_synthetic else SOURCE,
            "is_synthetic": self.meta.is_synthetic,
            "train_users": len({known.user for known in self.sessions("train")}),
            **{f"{split}_hours": round(value, 4) for split, value in hours.items()},
            **{f"{split}_keys": sum(len(k.keys) for k in self.sessions(split)) for split in self.splits},
            **remarked((*self.meta.remarks, *self._kept_remark())),
            "frames_per_second": sessions.RATE / HOP / self.pool,
        }

    def _kept_remark(self) -> list[str]:
        if self.is_cached:
            return []
        every = self.meta.splits.values()
        sessions_, frames = sum(len(part.sessions) for part in every), sum(part.tokens for part in every)
        return [
            f"spectrograms of {len(self.meta.kept)} of {sessions_} sessions are kept on disk, the others are made from "
            f"the recordings again and again; {BUDGET}={math.ceil(frames * FRAME_BYTES / 1e9)} (GB) keeps all"
        ]

    def bits_per_byte(self, loss: float, split: str = "validation") -> None:
        """None: there are no bytes."""

    def sessions(self, split: str | None = None) -> tuple[Known, ...]:
        """The sessions of a split, or of all splits; of the training split only those of the chosen users."""
        return _sessions(self, split)

    def named(self, split: str, number: int) -> dict[str, str]:
        """What `Batch.session` stands for."""
        known = self.sessions(split)[number]
        return {"session": known.name, "user": known.user}

    def spectrogram(self, known: Known, first: int, last: int) -> np.ndarray:
        """Frames first to last of a session, float16 [frames, 2, 16, 33]; kept, or made from the recording now."""
        if known.is_kept:
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
        ends = np.cumsum([-(-one.frames // context) for one in known])  # of each session, in windows
        num_places = int(ends[-1]) if len(ends) else 0
        if step < 0 or batch_size < 1 or not num_places:
            raise DataError(f"batch: expected step >= 0 and batch_size >= 1, got {step} and {batch_size}.")
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, 1, step))))
        chosen = []
        for number in range(step * batch_size, (step + 1) * batch_size):
            epoch, place = divmod(number, num_places)
            window = int(_order(seed, epoch, num_places)[place])
            session = int(np.searchsorted(ends, window, side="right"))
            first = context * (window - (int(ends[session - 1]) if session else 0))
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


def _sessions(data: EmgData, split: str | None) -> tuple[Known, ...]:
    known = known_sessions(data.folder)
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
    return tuple(dict.fromkeys(one.user for part in known_sessions(data.folder).values() for one in part))


@functools.lru_cache(maxsize=2048)
def _mapped(path: Path, frames: int) -> np.ndarray:
    return np.asarray(np.memmap(path, dtype="<f2", mode="r", shape=(frames, 2, sessions.ELECTRODES, BINS)))


@functools.lru_cache(maxsize=8)
def _order(seed: int, epoch: int, length: int) -> np.ndarray:
    bits = np.random.PCG64(np.random.SeedSequence((seed, 0, epoch))).random_raw(length)
    return np.argsort(bits, kind="stable")
