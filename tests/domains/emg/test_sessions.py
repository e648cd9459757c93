"""Files in the layout of emg2qwerty: written exactly so, read back value for value, refused with the place named."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from lawful.domains.emg import sessions, splits
from lawful.domains.emg.sessions import RATE, Keystroke
from lawful.errors import LawfulError

START = 1_600_000_000.25


def by_hand(path: Path, *, rate: float = RATE, samples: int = 5000, **changed: Any) -> np.ndarray:
    """A session written here, without lawful: h5py alone, in the order that the real files have their fields."""
    fields = [("emg_right", "<f4", (16,)), ("time", "<f8"), ("emg_left", "<f4", (16,))]
    rows = np.zeros(samples, dtype=changed.get("fields", fields))
    numbers = np.random.Generator(np.random.PCG64(7))
    for name in rows.dtype.names:
        if name != "time":
            rows[name] = numbers.normal(size=rows[name].shape)
    rows["time"] = changed.get("time", START + np.arange(samples) / rate)
    if "nan_at" in changed:
        rows["emg_left"][changed["nan_at"], 3] = np.nan
    attributes = {
        "session_name": "s-1",
        "user": "1234",
        "condition": "on_keyboard",
        "duration_mins": samples / rate / 60,
        "keystrokes": json.dumps(
            changed.get(
                "keystrokes",
                [
                    {"key": "a", "start": START + 0.5, "end": START + 0.6},
                    {"key": "Key.space", "start": START + 1.0, "end": START + 1.1},
                ],
            )
        ),
        "prompts": json.dumps([{"name": "text_prompt", "start": START, "end": START + 2, "payload": None}]),
    }
    with h5py.File(path, "w") as file:
        group = file.create_group("emg2qwerty")
        group.create_dataset("timeseries", data=rows)
        for name, value in attributes.items():
            if name != changed.get("without"):
                group.attrs[name] = value
    return rows


def test_a_session_in_the_official_layout_is_read_back_value_for_value(tmp_path: Path) -> None:
    rows = by_hand(tmp_path / "s-1.hdf5")
    session = sessions.read_session(tmp_path / "s-1.hdf5")
    assert (session.name, session.user, session.condition) == ("s-1", "1234", "on_keyboard")
    assert (session.samples, session.start, session.seconds) == (5000, START, 2.5)
    assert session.keystrokes == (
        Keystroke(key="a", start=START + 0.5, end=START + 0.6),
        Keystroke(key="Key.space", start=START + 1.0, end=START + 1.1),
    )
    assert session.prompts[0]["name"] == "text_prompt"
    part = session.read(100, 200)
    assert part.dtype == np.float32 and part.shape == (100, 2, 16)
    assert np.array_equal(part[:, 0], rows["emg_left"][100:200])
    assert np.array_equal(part[:, 1], rows["emg_right"][100:200])
    assert np.array_equal(np.concatenate(list(session.pieces(1024))), session.read())
    sessions.check_signal(session)


def test_what_is_written_has_exactly_the_official_structure(recordings: Path) -> None:
    with h5py.File(recordings / "synthetic-000-000.hdf5") as file:
        assert list(file) == ["emg2qwerty"] and list(file["emg2qwerty"]) == ["timeseries"]
        series = file["emg2qwerty/timeseries"]
        assert series.shape == (48_000,)
        assert series.dtype == np.dtype([("emg_right", "<f4", (16,)), ("time", "<f8"), ("emg_left", "<f4", (16,))])
        steps = np.diff(series["time"])
        assert (steps >= 0).all() and np.median(steps) == pytest.approx(1 / 2000, rel=1e-3)
        attributes = dict(file["emg2qwerty"].attrs)
    assert attributes["user"] == "synthetic000" and attributes["session_name"] == "synthetic-000-000"
    assert attributes["condition"] == "on_keyboard"
    assert attributes["duration_mins"] == pytest.approx(0.4)
    assert (attributes["daq_channels"], attributes["daq_sample_rate"]) == (16, 2000.0)
    strokes = json.loads(attributes["keystrokes"])
    assert all(set(stroke) == {"key", "start", "end"} for stroke in strokes)
    assert [stroke["start"] for stroke in strokes] == sorted(stroke["start"] for stroke in strokes)
    assert all(stroke["start"] < stroke["end"] for stroke in strokes)
    assert {"Key.space", "Key.enter"} <= {stroke["key"] for stroke in strokes}
    for prompt in json.loads(attributes["prompts"]):
        assert set(prompt) == {"name", "start", "end", "payload"} and set(prompt["payload"]) == {"text"}


def test_a_long_session_keeps_more_keystrokes_than_a_fixed_length_attribute_could() -> None:
    strokes = [Keystroke(key="a", start=0.001 * n, end=0.001 * n + 0.0005) for n in range(3000)]
    content = sessions.session_bytes(
        name="s", user="u", emg=np.zeros((7000, 2, 16), np.float32), start=0.0, keystrokes=strokes, prompts=[]
    )
    with h5py.File(io.BytesIO(content)) as file:
        text = file["emg2qwerty"].attrs["keystrokes"]
    assert len(text) > 65_536 and len(json.loads(text)) == 3000


def test_metadata_lists_every_session_with_the_official_columns(recordings: Path) -> None:
    with (recordings / "metadata.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("user", "session", "condition", "duration_mins", "num_keystrokes", "num_prompts", "quality_check_tags")
    ]
    assert len(rows) == 5 and {row["user"] for row in rows} == {"synthetic000", "synthetic001", "synthetic002"}
    session = sessions.read_session(recordings / f"{rows[0]['session']}.hdf5")
    assert int(rows[0]["num_keystrokes"]) == len(session.keystrokes)


def test_an_official_split_file_parses(tmp_path: Path) -> None:
    (tmp_path / "user0.yaml").write_text(
        "# @package _global_\nuser: user0\n\ndataset:\n"
        "  train:\n  - user: 89335547\n    session: 2021-06-03-1622765527-keystrokes-dca-study@1-0efbe614\n"
        "  val:\n  - user: 89335547\n    session: 2021-06-02-1622679967-keystrokes-dca-study@1-0efbe614\n"
        "  test:\n  - user: 89335547\n    session: 2021-07-22-1627004019-keystrokes-dca-study@1-0efbe614\n"
    )
    split = splits.read_split(tmp_path / "user0.yaml")
    assert split.train == (("89335547", "2021-06-03-1622765527-keystrokes-dca-study@1-0efbe614"),)
    assert len(list(split)) == 3


def test_a_split_survives_being_written(tmp_path: Path) -> None:
    split = splits.Split(train=(("1", "a: b"), ("yes", "b")), val=(("1", "c"),), test=())
    (tmp_path / "s.yaml").write_text(splits.split_text(split))
    assert splits.read_split(tmp_path / "s.yaml") == split


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dataset: [", "does not parse"),
        ("user: x", "expected `dataset:`"),
        ("dataset:\n  train:\n  - user: 1\n", "train, entry 1: expected user and session"),
        ("dataset:\n  train:\n  - {user: 1, session: a}\n  val:\n  - {user: 1, session: a}\n", "a more than once"),
    ],
)
def test_a_bad_split_file_is_refused_with_the_place(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(LawfulError, match=said):
        splits.read_split(tmp_path / "bad.yaml")


FIELDS = [("emg_right", "<f4", (16,)), ("time", "<f8"), ("emg_left", "<f4", (16,))]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"fields": FIELDS[:2]}, "expected the field emg_left"),
        ({"fields": [*FIELDS[:2], ("emg_left", "<f4", (8,))]}, "expected 16 electrodes in emg_left"),
        ({"samples": 0}, "zero length"),
        ({"rate": 1000.0}, "expected 2000 samples a second, got 1000"),
        ({"without": "keystrokes"}, "missing: keystrokes"),
        ({"keystrokes": [{"key": "a", "start": START + 99.0, "end": START + 99.1}]}, "1 of 1 outside, the first at 99"),
        ({"keystrokes": [{"key": "a", "start": START}]}, "keystrokes, entry 1: expected key, start, end"),
    ],
)
def test_a_bad_session_is_refused_with_its_file_and_what_is_wrong(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    by_hand(tmp_path / "s-1.hdf5", **changed)
    with pytest.raises(LawfulError, match=f"s-1.hdf5.*{said}"):
        sessions.read_session(tmp_path / "s-1.hdf5")


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    by_hand(tmp_path / "s-1.hdf5")
    whole = (tmp_path / "s-1.hdf5").read_bytes()
    (tmp_path / "s-1.hdf5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LawfulError, match="s-1.hdf5.*damaged or cut short"):
        sessions.read_session(tmp_path / "s-1.hdf5")
    (tmp_path / "s-1.hdf5").write_bytes(b"no such thing")
    with pytest.raises(LawfulError, match="s-1.hdf5.*damaged or cut short"):
        sessions.read_session(tmp_path / "s-1.hdf5")


def test_a_sample_that_is_no_number_is_named(tmp_path: Path) -> None:
    by_hand(tmp_path / "s-1.hdf5", nan_at=4321)
    with pytest.raises(LawfulError, match="sample 4321"):
        sessions.check_signal(sessions.read_session(tmp_path / "s-1.hdf5"))


def test_only_the_sessions_of_a_split_are_kept_from_the_one_big_archive(tmp_path: Path, recordings: Path) -> None:
    archive, split = tmp_path / "all.tar.gz", tmp_path / "one.yaml"
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(recordings.glob("*.*")):
            tar.add(path, arcname=f"emg2qwerty-data-2021-08/{path.name}")
    wanted = splits.Split(train=(("synthetic001", "synthetic-001-000"),), val=(), test=())
    split.write_text(splits.split_text(wanted))
    kept = sessions.extract(archive, [split], tmp_path / "kept")
    assert [path.name for path in kept] == ["metadata.csv", "synthetic-001-000.hdf5"]
    assert (tmp_path / "kept" / "synthetic-001-000.hdf5").read_bytes() == (
        recordings / "synthetic-001-000.hdf5"
    ).read_bytes()
    other = tmp_path / "other.yaml"
    other.write_text(splits.split_text(splits.Split(train=(("synthetic000", "synthetic-000-000"),), val=(), test=())))
    both = sessions.extract(archive, [split, other], tmp_path / "both")
    assert [path.name for path in both] == ["metadata.csv", "synthetic-000-000.hdf5", "synthetic-001-000.hdf5"]
    split.write_text(splits.split_text(splits.Split(train=(("u", "absent"),), val=(), test=())))
    with pytest.raises(LawfulError, match="expected 1 sessions of one.yaml, got 0; missing: absent.hdf5"):
        sessions.extract(archive, [split], tmp_path / "none")


CLOCKS = {
    "exact": np.arange(9000) / 2000,
    "slow": np.arange(9000) / 1985,
    "gaps": np.arange(9000) / 2000 + 3.0 * (np.arange(9000) >= 4000) + 0.5 * (np.arange(9000) >= 7000),
    "jitter": np.sort(np.arange(9000) / 2000 + np.random.default_rng(1).normal(0, 2e-4, 9000)),
    "steps": np.arange(9000) // 10 / 200,  # ten samples with one time
}


@pytest.mark.parametrize("clock", CLOCKS)
def test_keys_are_in_the_windows_where_the_official_loader_finds_them(
    tmp_path: Path, clock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rule: those that start between the times of a window's first sample and its last."""
    monkeypatch.setattr(sessions, "TIMES_AT_ONCE", 700)
    time, draw = START + CLOCKS[clock], np.random.default_rng(2)
    at_samples = draw.choice(time, 0 if clock == "steps" else 20)  # equal times would be of two windows, officially
    starts = np.sort(np.append(draw.uniform(time[0] - 0.1, time[-1] + 0.1, 300), at_samples))
    strokes = [{"key": "a", "start": float(start), "end": float(start) + 0.1} for start in starts]
    by_hand(tmp_path / "s-1.hdf5", samples=9000, time=time, keystrokes=strokes)
    session = sessions.read_session(tmp_path / "s-1.hdf5")
    kept = np.array([stroke.start for stroke in session.keystrokes])
    positions = np.array(session.positions)
    assert (np.diff(positions) >= 0).all()
    for first, last in np.sort(draw.integers(0, 9001, (200, 2)), axis=1):
        if first < last:
            theirs = starts[(starts >= time[first]) & (starts <= time[last - 1])]
            ours = kept[(positions >= first) & (positions < last)]
            between = (ours > time[last - 1]) & (ours < time[min(last, 8999)])  # of neither window, officially
            assert np.array_equal(ours[~between], theirs)


def test_a_clock_that_drifts_gaps_and_keys_outside_are_told_and_cost_nothing_else(tmp_path: Path) -> None:
    time = START + CLOCKS["slow"] + 3.0 * (np.arange(9000) >= 4000)
    inside = [{"key": "a", "start": START + n / 10, "end": START + n / 10 + 0.05} for n in range(20)]
    outside = [{"key": "b", "start": START - 0.010, "end": START}]
    by_hand(tmp_path / "s-1.hdf5", samples=9000, time=time, keystrokes=outside + inside)
    session = sessions.read_session(tmp_path / "s-1.hdf5")
    assert [stroke.key for stroke in session.keystrokes] == ["a"] * 20
    assert session.clock.remarks() == [
        "1985.0 samples a second by its own clock (-0.75% of 2000)",
        "1 gap(s) in its time, the longest of 3.001 s at 2.015 s",
        "1 keystroke(s) outside the recording, the first at -0.010 s",
    ]
    by_hand(tmp_path / "s-1.hdf5")
    assert sessions.read_session(tmp_path / "s-1.hdf5").clock.remarks() == []


def test_times_that_go_back_are_refused_wherever_they_stand(tmp_path: Path) -> None:
    time = START + np.arange(9000) / 2000
    time[8500] -= 0.01
    by_hand(tmp_path / "s-1.hdf5", samples=9000, time=time)
    with pytest.raises(LawfulError, match="times that never decrease"):
        sessions.read_session(tmp_path / "s-1.hdf5")
