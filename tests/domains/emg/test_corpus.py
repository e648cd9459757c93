"""emg: windows and their keys agree to the frame, batches follow from (seed, step), and bad folders are refused."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from lawful import corpora
from lawful.domains.emg import prepared, sessions, splits, windows
from lawful.domains.emg.corpora.emg import Emg
from lawful.domains.emg.spectrogram import log_spectrogram
from lawful.domains.emg.tokenizers.keys import Keys
from lawful.domains.emg.twin import Twin, write_twin
from lawful.domains.emg.windows import EmgData
from lawful.errors import LawfulError
from lawful.run import from_json, to_json

SMALL = Twin(users=2, test_users=1, train_sessions=1, train_minutes=0.4, other_minutes=0.3)
CONTEXT = 125


@pytest.fixture(scope="module")
def corpus() -> Emg:
    return Emg(pool=4, twin=SMALL)


@pytest.fixture(scope="module")
def data(corpus: Emg) -> EmgData:
    return corpus.prepare()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Recordings of one's own, to be damaged."""
    write_twin(replace(SMALL, train_minutes=0.2, other_minutes=0.2), tmp_path / "own")
    return tmp_path / "own"


def same(first: windows.Batch, second: windows.Batch) -> bool:
    return all(np.array_equal(getattr(first, f.name), getattr(second, f.name)) for f in fields(windows.Batch))


def test_it_is_plain_data_and_prepared_once(corpus: Emg, data: EmgData) -> None:
    assert from_json(to_json(corpus)) == corpus and corpora.known()["emg"] == Emg()
    assert corpus.prepare().fingerprint == data.fingerprint
    assert Emg(pool=4, twin=replace(SMALL, difficulty=1.0)).prepare().fingerprint != data.fingerprint
    assert data.facts()["source"] == "synthetic EMG: says nothing about people"
    assert data.splits == ("train", "validation", "test")


def test_no_user_of_the_test_split_is_trained_on(data: EmgData) -> None:
    users = {split: {known.user for known in data.sessions(split)} for split in data.splits}
    assert users["test"].isdisjoint(users["train"]) and users["validation"] == users["train"]
    names = [known.name for known in data.sessions()]
    assert len(set(names)) == len(names)


def test_every_key_of_a_session_is_a_target_of_exactly_one_window(data: EmgData) -> None:
    for split in ("validation", "test"):
        batches = list(data.evaluation_batches(split, context=CONTEXT))
        for known, batch in zip(data.sessions(split), batches, strict=True):
            targets = batch.targets[batch.targets >= 0]
            assert np.array_equal(targets, known.keys)
            assert len(batch.inputs) == -(-known.frames // CONTEXT)
            assert batch.end[-1] - data.past == known.frames - CONTEXT * (len(batch.inputs) - 1)


def test_the_windows_of_an_evaluation_show_each_frame_where_it_was(data: EmgData) -> None:
    known = data.sessions("validation")[0]
    session = sessions.read_session(known.path)
    whole = log_spectrogram(session.read(), 4).astype(np.float16)
    batch = next(data.evaluation_batches("validation", context=CONTEXT))
    laid = np.concatenate([row[data.past : data.past + CONTEXT] for row in batch.inputs])[: known.frames]
    assert np.array_equal(laid, whole)
    assert batch.begin.tolist()[:2] == [data.past, 0] and not batch.inputs[0, : data.past].any()
    assert np.array_equal(batch.inputs[1, : data.past], whole[CONTEXT - data.past : CONTEXT])


def test_with_a_number_of_targets_an_evaluation_is_a_beginning_of_the_whole(data: EmgData) -> None:
    whole = list(data.evaluation_batches("validation", context=CONTEXT))
    some = list(data.evaluation_batches("validation", context=CONTEXT, targets=30))
    assert len(some) == 1 and 30 <= (some[0].targets >= 0).sum() < 30 + 40
    assert np.array_equal(some[0].inputs, whole[0].inputs[: len(some[0].inputs)])


def test_a_batch_follows_from_seed_and_step_alone(corpus: Emg, data: EmgData) -> None:
    again = corpus.open(data.fingerprint)
    arguments = {"batch_size": 4, "context": CONTEXT}
    first = data.batch(seed=3, step=11, **arguments)
    assert same(first, again.batch(seed=3, step=11, **arguments))
    assert not same(first, data.batch(seed=3, step=12, **arguments))
    assert not same(first, data.batch(seed=4, step=11, **arguments))


def test_an_epoch_visits_every_window_of_every_session_once(data: EmgData) -> None:
    windows = sum(-(-known.frames // CONTEXT) for known in data.sessions("train"))
    seen = [int(data.batch(seed=0, step=step, batch_size=1, context=CONTEXT).session[0]) for step in range(windows)]
    expected = [known.number for known in data.sessions("train") for _ in range(-(-known.frames // CONTEXT))]
    assert sorted(seen) == sorted(expected)


def test_augmentation_turns_bands_and_hides_spans_and_nothing_else(data: EmgData) -> None:
    """Every value of a training window is 0, or that of a neighbouring electrode at a frame within the jitter."""
    batch = data.batch(seed=1, step=0, batch_size=2, context=CONTEXT)
    jitter = windows.JITTER_SAMPLES // 64
    for row, number in zip(batch.inputs, batch.session, strict=True):
        whole = data.spectrogram(data.sessions("train")[number], 0, 10**9)
        for band in (0, 1):
            part = row[:, band]  # [frames, 16, 33]
            places = [
                (np.where(part == 0, True, part == np.roll(whole[start : start + len(row), band], turn, axis=1))).mean()
                for start in range(len(whole) - len(row) + 1)
                for turn in (-1, 0, 1)
            ]
            assert max(places) == 1.0
        assert 0 < (row == 0).mean() < 0.6
    assert jitter == 1  # 120 samples in whole frames of 64


def test_labels_move_with_their_window(data: EmgData) -> None:
    """Keys and signal of a training window are of the same time: found by matching, then compared."""
    batch = data.batch(seed=5, step=2, batch_size=2, context=CONTEXT)
    for row, number, targets in zip(batch.inputs, batch.session, batch.targets, strict=True):
        known = data.sessions("train")[number]
        whole = data.spectrogram(known, 0, 10**9)
        fits = [
            max(
                (np.where(row[:, 0] == 0, True, row[:, 0] == np.roll(whole[s : s + len(row), 0], turn, axis=1))).mean()
                for turn in (-1, 0, 1)
            )
            for s in range(len(whole) - len(row) + 1)
        ]
        first = int(np.argmax(fits)) + data.past
        seconds = 64 / 2000
        within = (known.times >= first * seconds) & (known.times < (first + CONTEXT) * seconds)
        assert np.array_equal(targets[targets >= 0], known.keys[within])


def test_a_split_that_the_twin_does_not_have_is_refused_with_those_that_it_has(corpus: Emg, data: EmgData) -> None:
    with pytest.raises(LawfulError, match=r"the twin has generic\.yaml; got split/user0\.yaml"):
        replace(corpus, split="split/user0.yaml").prepare()


def test_fewer_users_train_and_the_same_are_measured(corpus: Emg, data: EmgData) -> None:
    one = replace(corpus, train_users=1).open(data.fingerprint)
    assert one.train_tokens < data.train_tokens
    assert {known.user for known in one.sessions("train")} == {"synthetic000"}
    assert one.sessions("validation") == data.sessions("validation")
    assert replace(corpus, train_users=1).prepare().fingerprint == data.fingerprint
    with pytest.raises(LawfulError, match="at most the 2 of the split, got 3"):
        replace(corpus, train_users=3).open(data.fingerprint).sessions("train")


def test_windows_made_from_the_recordings_equal_those_that_were_kept(
    corpus: Emg, data: EmgData, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the spectrograms are too many to keep, each window is read and transformed alone."""
    folder = data.sessions()[0].path.parent
    monkeypatch.setenv("LAWFUL_EMG_CACHE_GB", "0")
    lazy = corpus.prepare(folder)
    assert not lazy.is_cached and not list(lazy.folder.glob("*.spectrogram"))
    assert same(
        lazy.batch(seed=2, step=1, batch_size=3, context=CONTEXT),
        data.batch(seed=2, step=1, batch_size=3, context=CONTEXT),
    )
    reads = []
    read = sessions.read_signal
    monkeypatch.setattr(
        sessions, "read_signal", lambda path, first, last: reads.append(last - first) or read(path, first, last)
    )
    lazy.batch(seed=2, step=2, batch_size=2, context=CONTEXT)
    assert len(reads) == 2 and max(reads) < 2 * 64 * CONTEXT  # no more than the window
    monkeypatch.setattr(sessions, "read_signal", lambda path, first, last: np.full((99, 2, 16), np.nan))
    with pytest.raises(LawfulError, match=r"synthetic-000-000\.hdf5: expected numbers, got NaN or infinity near \d+ s"):
        lazy.spectrogram(lazy.sessions()[0], 10, 20)


def test_a_folder_of_recordings_is_read_and_named_as_such(corpus: Emg, folder: Path, empty_cache: Path) -> None:
    prepared = corpus.prepare(folder)
    assert not prepared.facts()["is_synthetic"] and "non-commercial" in prepared.facts()["licence"]
    assert corpus.verify(prepared.fingerprint) == []
    with pytest.raises(LawfulError, match="needs recordings"):
        Emg(twin=None).prepare()
    with pytest.raises(LawfulError, match="no such folder"):
        corpus.prepare(folder / "absent")
    with pytest.raises(LawfulError, match=r"expected the split file split/user9.yaml"):
        Emg(split="split/user9.yaml").prepare(folder)


def test_missing_and_damaged_sessions_are_listed_all_at_once(corpus: Emg, folder: Path, empty_cache: Path) -> None:
    (folder / "synthetic-000-000.hdf5").unlink()
    cut = folder / "synthetic-001-000.hdf5"
    cut.write_bytes(cut.read_bytes()[:5000])
    with pytest.raises(LawfulError, match=r"(?s)2 sessions .*synthetic-000-000.hdf5.*no such file.*synthetic-001-000"):
        corpus.prepare(folder)
    with h5py.File(folder / "synthetic-002-000.hdf5", "r+") as file:
        rows = file["emg2qwerty/timeseries"][:]
        rows["emg_right"][777, 0] = np.inf
        file["emg2qwerty/timeseries"][:] = rows
    problems = corpus.inspect(folder)
    assert len(problems) == 3 and "sample 777" in problems[2]


def test_what_metadata_says_otherwise_is_listed(corpus: Emg, folder: Path) -> None:
    assert corpus.inspect(folder) == []
    path = folder / "metadata.csv"
    lines = path.read_text().splitlines(keepends=True)
    first, second = (line.split(",") for line in lines[1:3])
    path.write_text("".join([lines[0], ",".join(["nobody", *first[1:]]), *lines[3:]]))
    assert corpus.inspect(folder) == [
        f"{path}: expected the session {first[1]} of user {first[0]}, as the split has it, got user nobody.",
        f"{path}: expected the session {second[1]} of user {second[0]}, as the split has it, got no such session.",
    ]


def test_a_session_of_another_user_than_the_split_says_is_refused(corpus: Emg, folder: Path) -> None:
    split = folder / "split" / "generic.yaml"
    split.write_text(split.read_text().replace('"synthetic002"', '"somebody"'))
    with pytest.raises(LawfulError, match="expected the user somebody, as the split says, got synthetic002"):
        corpus.prepare(folder)


def test_damage_to_what_was_prepared_is_found(corpus: Emg, folder: Path, empty_cache: Path) -> None:
    prepared = corpus.prepare(folder)
    spectrogram = prepared.folder / "synthetic-000-000.spectrogram"
    whole = spectrogram.read_bytes()
    spectrogram.write_bytes(b"\1\1" + whole[2:])
    assert "expected that of" in " ".join(corpus.verify(prepared.fingerprint))
    spectrogram.write_bytes(whole[:-2])
    with pytest.raises(LawfulError, match="expected .* bytes"):
        corpus.open(prepared.fingerprint)
    spectrogram.write_bytes(whole)
    shutil.copy(prepared.folder / "synthetic-000-000.keys", keys := prepared.folder / "synthetic-000-000.keys.old")
    (prepared.folder / "synthetic-000-000.keys").write_bytes(keys.read_bytes()[::-1])
    with pytest.raises(LawfulError, match="expected SHA-256"):
        corpus.open(prepared.fingerprint)


def test_keys_are_the_98_with_special_ones_and_folding() -> None:
    keys = Keys()
    assert keys.vocab_size == 98
    assert (
        keys.decode(keys.encode("é“x”–\n日ø½…\t\b")) == 'e"x"-⏎o⌫'
    )  # no key types ½ or …, and a tab is no key of ours
    names = ["a", "Key.f1", "Key.backspace", "Key.shift", "Key.space", "A", "Key.shift_l", "Key.shift_r", "Key.tab"]
    numbers, places = keys.encode_keys(names)
    assert keys.decode(numbers) == "a⌫⇧ A" and places.tolist() == [0, 2, 3, 4, 5]


def change(path: Path, *, rate: float = 2000.0, gap: float = 0.0, **attributes: object) -> None:
    """Another clock for a recording, with a gap in its middle; its keystrokes stay at their times."""
    with h5py.File(path, "r+") as file:
        rows = file["emg2qwerty/timeseries"][:]
        place = np.arange(len(rows))
        rows["time"] = rows["time"][0] + place / rate + gap * (place > len(rows) // 2)
        file["emg2qwerty/timeseries"][:] = rows
        for name, value in attributes.items():
            file["emg2qwerty"].attrs[name] = value


@pytest.mark.parametrize("clock", [{"rate": 1985.0}, {"gap": 1.5}, {"rate": 2010.0, "gap": 0.4}])
def test_windows_hold_the_keys_of_their_own_samples_by_the_recordings_clock(
    corpus: Emg, folder: Path, empty_cache: Path, clock: dict[str, float]
) -> None:
    path = folder / "synthetic-002-000.hdf5"  # of the test split
    change(path, **clock)
    data = corpus.prepare(folder)
    with h5py.File(path) as file:
        time = file["emg2qwerty/timeseries"]["time"]
        strokes = json.loads(file["emg2qwerty"].attrs["keystrokes"])
    (batch,) = data.evaluation_batches("test", context=CONTEXT)
    for number, row in enumerate(batch.targets[:-1]):  # the last one reaches beyond the last frame
        first, last = number * CONTEXT * 64, (number + 1) * CONTEXT * 64
        names = [stroke["key"] for stroke in strokes if time[first] <= stroke["start"] < time[last]]
        assert np.array_equal(row[row >= 0], Keys().encode_keys(names)[0])
    told = corpus.remarks(fingerprint=data.fingerprint)
    assert told == corpus.remarks(data=folder) and all(path.name in remark for remark in told)
    assert any(("samples a second" in remark) == ("rate" in clock) for remark in told)
    assert any("gap(s)" in remark for remark in told) == ("gap" in clock)
    assert data.facts()["remarks"] == len(told) and data.facts()["first_remarks"] == tuple(told[:5])


def test_recordings_away_from_a_keyboard_are_refused_as_the_official_loader_refuses_them(
    corpus: Emg, folder: Path, empty_cache: Path
) -> None:
    change(folder / "synthetic-000-000.hdf5", condition="on_table")
    with pytest.raises(LawfulError, match="expected the condition on_keyboard, got on_table"):
        corpus.prepare(folder)
    assert "on_table" in " ".join(corpus.inspect(folder))


def test_keystrokes_and_times_are_read_once_of_a_file_that_stays_the_same(
    corpus: Emg, folder: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setenv("LAWFUL_EMG_CACHE_GB", "0")
    monkeypatch.setattr(
        sessions, "read_session", lambda path, reader=sessions.read_session: read.append(path.name) or reader(path)
    )
    first = corpus.prepare(folder)
    assert len(read) == len(set(read)) == 5
    first.batch(seed=0, step=0, batch_size=4, context=32)
    assert corpus.prepare(folder).fingerprint == first.fingerprint and len(read) == 5
    change(folder / "synthetic-001-000.hdf5", rate=1985.0)
    assert corpus.prepare(folder).fingerprint != first.fingerprint and len(read) == 6


def test_spectrograms_are_kept_within_the_budget_that_is_asked_for(
    corpus: Emg, data: EmgData, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole sessions, those of validation first; a larger budget adds the others, and windows stay what they are."""
    folder = data.sessions()[0].path.parent
    bytes_of = {known.name: known.frames * 2 * 16 * 33 * 2 for known in data.sessions()}
    held_out = [known.name for known in data.sessions("validation")]
    budget = sum(bytes_of[name] for name in held_out) + 1
    monkeypatch.setenv("LAWFUL_EMG_CACHE_GB", str(budget / 1e9))
    some = corpus.prepare(folder)
    kept = {path.stem: path.stat().st_size for path in some.folder.glob("*.spectrogram")}
    assert kept == {name: bytes_of[name] for name in held_out} and sum(kept.values()) <= budget
    remark = "spectrograms of 2 of 5 sessions are kept on disk.*LAWFUL_EMG_CACHE_GB=1 "
    assert re.search(remark, str(some.facts()["first_remarks"]))
    assert same(*(one.batch(seed=2, step=1, batch_size=3, context=CONTEXT) for one in (some, data)))
    assert corpus.verify(some.fingerprint) == []
    monkeypatch.setenv("LAWFUL_EMG_CACHE_GB", "1")
    whole = corpus.prepare(folder)
    assert whole.is_cached and whole.fingerprint == some.fingerprint and corpus.verify(whole.fingerprint) == []
    assert {path.stem for path in whole.folder.glob("*.spectrogram")} == set(bytes_of)
    assert "remarks" not in whole.facts()
    monkeypatch.setenv("LAWFUL_EMG_CACHE_GB", "many")
    with pytest.raises(LawfulError, match="LAWFUL_EMG_CACHE_GB: expected a number of GB, 0 or more, got 'many'"):
        prepared.budget_bytes()


def test_a_full_disk_is_told_before_the_spectrograms_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**9))
    with pytest.raises(LawfulError, match=r"room for 2\.1 GB of spectrograms, got 1\.0 GB free"):
        prepared.within_budget({"a": 10**6}, folder=tmp_path / "absent")


def test_a_folder_without_split_files_is_split_by_its_metadata(folder: Path, corpus: Emg, empty_cache: Path) -> None:
    """The official archive has sessions and metadata.csv alone. With the code beside it, the code's split counts."""
    shutil.move(folder / "split", folder.parent / "split")
    inner = folder / "emg2qwerty-data-2021-08"
    inner.mkdir()
    for path in [*folder.glob("*.hdf5"), folder / "metadata.csv"]:
        path.rename(inner / path.name)
    rows = splits.read_metadata(inner / "metadata.csv")
    for given in (folder, inner):
        data = corpus.prepare(given)
        parts = {split: [(one.user, one.name) for one in data.sessions(split)] for split in data.splits}
        assert sorted(sum(parts.values(), [])) == sorted((row["user"], row["session"]) for row in rows)
        assert {user for user, _ in parts["train"]} & {user for user, _ in parts["test"]} == set()
        assert {user for user, _ in parts["validation"]} <= {user for user, _ in parts["train"]}
        assert "published error rates are of the official split" in str(data.facts()["first_remarks"])
    (folder / "config").mkdir()
    shutil.move(folder.parent / "split", folder / "config" / "user")
    assert "remarks" not in corpus.prepare(folder).facts()


def test_a_made_split_of_the_official_size_is_like_the_official_one() -> None:
    rows = [{"user": f"u{n % 104}", "session": f"2021-{n:04}"} for n in range(1135)]
    made = splits.made_split(rows)
    assert len({user for user, _ in made.test}) == 8 and len({user for user, _ in made.train}) == 96
    assert len(list(made)) == 1135 and made == splits.made_split(rows[::-1])
    assert 0.15 < len(made.val) / len(made.train + made.val) < 0.22  # .19 there
    last = dict(made.train)
    assert all(name > last[user] for user, name in made.val)
