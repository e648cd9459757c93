"""emg: surface EMG of both wrists while typing, from emg2qwerty recordings or from their synthetic twin."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, final

import numpy as np

from lawful.checks import PositiveInt, check_fields
from lawful.corpora import DIGITS, Corpus, Progress, prepared_folder
from lawful.domains.emg import sessions, splits
from lawful.domains.emg.prepared import (
    PreparedEmg,
    SessionFile,
    SplitFiles,
    damaged,
    known_sessions,
    within_budget,
)
from lawful.domains.emg.recordings import (
    FORMAT,
    Given,
    Recording,
    find_recording,
    given,
    listed,
    read_recordings,
    sha256_of_keys,
    unlike_metadata,
    write_spectrogram,
)
from lawful.domains.emg.spectrogram import log_spectrogram, num_frames
from lawful.domains.emg.tokenizers.keys import Keys
from lawful.domains.emg.twin import RULES, Twin, write_twin
from lawful.domains.emg.windows import SOURCE, EmgData
from lawful.errors import DataError, StoreError
from lawful.run import digest_of, to_json
from lawful.schema import Fact
from lawful.storage.atomic import write_bytes, write_json, write_whole
from lawful.storage.cache import cache_folder
from lawful.storage.codec import to_plain
from lawful.storage.json_files import Json

SPLITS = {"train": "train", "validation": "val", "test": "test"}  # ours: the files'
KEPT_FIRST = ("validation", "train", "test")  # spectrograms: validation is read at every evaluation, test once


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
    source: ClassVar[str] = SOURCE
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

    def known_facts(self) -> dict[str, Fact]:
        return {**super().known_facts(), "tokenizer": Keys().name}

    def is_available(self, data: Path | None = None) -> bool:
        return data is not None or self.twin is not None

    def prepare(self, data: Path | None = None, progress: Progress | None = None) -> EmgData:
        """Keys of all sessions, and spectrograms where they are not too many, in CACHE/corpora/emg/FINGERPRINT."""
        progress = progress or (lambda what, share: None)
        recordings = self._recordings(data, progress)
        folder, split = recordings.folder, recordings.split
        found, problems = read_recordings(folder, split, progress)
        if problems:
            raise DataError(listed(problems))
        content = [
            (part, name, found[name].samples, sha256_of_keys(*found[name].arrays), found[name].glance)
            for part in splits.SPLITS
            for _, name in getattr(split, part)
        ]
        fingerprint = self._fingerprint(content)
        target = self._folder(fingerprint)
        if not (target / "meta.json").exists():
            self._write(target, fingerprint, recordings, found, progress, is_synthetic=data is None)
        elif not (meta := PreparedEmg.read(target)).is_cached:
            self._keep_more(target, meta, found, progress)
        return self.open(fingerprint)

    def open(self, fingerprint: str) -> EmgData:
        folder = self._folder(fingerprint)
        if not (folder / "meta.json").exists():
            raise DataError(
                f"emg: expected prepared data {fingerprint} in {folder}, got none; `lawful plan STUDY`, with the "
                "options of the study's own command, makes it (--data FOLDER where it comes from recordings)."
            )
        meta = PreparedEmg.read(folder)
        if problem := damaged(folder, meta):
            raise DataError(f"emg: prepared data is damaged: {problem}; delete {folder} and prepare it again.")
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
            path = known.path if data is None or opened.meta.is_synthetic else find_recording(data, known.name)
            try:
                session = sessions.read_session(path)
                sessions.check_signal(session)
            except (DataError, StoreError) as error:
                problems.append(str(error))
                continue
            keys, times = Recording.of(session).arrays
            if session.samples != known.samples or not (
                np.array_equal(keys, known.keys) and np.array_equal(times, known.times)
            ):
                problems.append(f"{path}: expected the recording that {folder} was prepared from, got another one.")
            elif known.is_kept:
                last = min(session.samples, known.samples)
                again = log_spectrogram(session.read(0, min(last, sessions.RATE)), self.pool).astype(np.float16)
                if not np.array_equal(again, opened.spectrogram(known, 0, len(again))):
                    problems.append(f"{folder / known.name}.spectrogram: expected that of {path}, got another one.")
        return problems

    def inspect(self, data: Path, progress: Progress | None = None) -> list[str]:
        """Every missing or damaged session of the split in a folder of recordings, whether prepared before or not."""
        progress = progress or (lambda what, share: None)
        recordings = self._recordings(data, progress)
        folder, split = recordings.folder, recordings.split
        _, problems = read_recordings(folder, split, progress)
        problems += unlike_metadata(folder, split)
        for number, (_, name) in enumerate(pairs := list(split)):
            progress(f"looking through {name}", number / len(pairs))
            try:
                sessions.check_signal(sessions.read_session(find_recording(folder, name)))
            except (DataError, StoreError) as error:
                if str(error) not in problems:
                    problems.append(str(error))
        return problems

    def remarks(self, *, fingerprint: str | None = None, data: Path | None = None) -> list[str]:
        """What is odd about recordings: a clock that drifts, gaps in time, keystrokes outside of the recording."""
        if fingerprint is not None:
            return list(PreparedEmg.read(self._folder(fingerprint)).remarks)
        recordings = self._recordings(data, lambda what, share: None)
        found, _ = read_recordings(recordings.folder, recordings.split, lambda what, share: None)
        return _remarks(recordings, found)

    def _recordings(self, data: Path | None, progress: Progress) -> Given:
        """The folder of the sessions and their split, made up first where no recordings are given."""
        if data is None:
            if self.twin is None:
                raise DataError(
                    "emg: this study needs recordings; download emg2qwerty (non-commercial use only) and give its "
                    "folder as --data."
                )
            folder = cache_folder() / "corpora" / self.name / "twins" / digest_of([RULES, to_json(self.twin)], DIGITS)
            if not (folder / "split" / "generic.yaml").exists():
                write_twin(self.twin, folder, progress)
            split_file = folder / "split" / Path(self.split).name
            if not split_file.is_file():
                there = ", ".join(sorted(path.name for path in split_file.parent.iterdir()))
                raise DataError(f"emg: split: the twin has {there}; got {self.split}.")
            return Given(folder=folder, split=splits.read_split(split_file))
        return given(data, self.split, is_default=self.split == Emg.split)

    def _folder(self, fingerprint: str) -> Path:
        return prepared_folder(self.name, fingerprint)

    def _fingerprint(self, content: Json) -> str:
        return digest_of({"format": FORMAT, "pool": self.pool, "sessions": content}, DIGITS)

    def _write(
        self,
        target: Path,
        fingerprint: str,
        recordings: Given,
        found: Mapping[str, Recording],
        progress: Progress,
        *,
        is_synthetic: bool,
    ) -> None:
        every = (name for part in KEPT_FIRST for _, name in getattr(recordings.split, SPLITS[part]))
        frames_of = {name: num_frames(found[name].samples, self.pool) for name in every}
        kept = within_budget(frames_of, folder=target)
        self._write_spectrograms(target, kept, found, progress)
        splits: dict[str, SplitFiles] = {}
        for ours, theirs in SPLITS.items():
            files = []
            for user, name in getattr(recordings.split, theirs):
                session = found[name]
                keys, times = session.arrays
                write_bytes(target / f"{name}.keys", keys.astype("<u2").tobytes())
                write_bytes(target / f"{name}.times", times.astype("<f8").tobytes())
                files.append(
                    SessionFile(
                        user=user,
                        session=name,
                        path=session.path,
                        samples=session.samples,
                        frames=frames_of[name],
                        keys=len(keys),
                        sha256=sha256_of_keys(keys, times),
                    )
                )
            if files:
                tokens, keys_typed = sum(file.frames for file in files), sum(file.keys for file in files)
                splits[ours] = SplitFiles(tokens=tokens, keys=keys_typed, sessions=tuple(files))
        if "validation" not in splits:
            raise DataError(f"emg: expected sessions in the list val of {self.split}, got none.")
        meta = PreparedEmg(
            format=FORMAT,
            fingerprint=fingerprint,
            corpus=to_json(replace(self, train_users=None)),
            is_synthetic=is_synthetic,
            is_cached=len(kept) == len(frames_of),
            splits=splits,
            remarks=tuple(_remarks(recordings, found)),
            kept=() if len(kept) == len(frames_of) else kept,
        )
        write_json(target / "meta.json", to_plain(meta))

    def _keep_more(self, target: Path, meta: PreparedEmg, found: Mapping[str, Recording], progress: Progress) -> None:
        """The spectrograms that a larger budget than the former one allows."""
        parts = [meta.splits[part] for part in KEPT_FIRST if part in meta.splits]
        frames_of = {item.session: item.frames for part in parts for item in part.sessions}
        kept = within_budget(frames_of, folder=target)
        if len(kept) <= len(meta.kept):
            return
        self._write_spectrograms(target, kept[len(meta.kept) :], found, progress)
        is_all = len(kept) == len(frames_of)
        write_json(target / "meta.json", to_plain(replace(meta, is_cached=is_all, kept=() if is_all else kept)))
        known_sessions.cache_clear()

    def _write_spectrograms(
        self, target: Path, names: Sequence[str], found: Mapping[str, Recording], progress: Progress
    ) -> None:
        for number, name in enumerate(names):
            progress(f"spectrogram of {name}", number / len(names))
            write = functools.partial(write_spectrogram, found[name], self.pool)
            write_whole(target / f"{name}.spectrogram", write)


def _remarks(recordings: Given, found: Mapping[str, Recording]) -> list[str]:
    of_split = [recordings.remark] if recordings.remark else []
    return of_split + [remark for session in found.values() for remark in session.remarks]
