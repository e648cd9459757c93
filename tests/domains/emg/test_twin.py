"""The twin: deterministic, typed like prose, and its signal tells of the keys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lawful.domains.emg.sessions import read_session
from lawful.domains.emg.spectrogram import log_spectrogram, num_frames
from lawful.domains.emg.splits import read_metadata, read_split
from lawful.domains.emg.tokenizers.keys import typed
from lawful.domains.emg.twin import REACH, Twin, make_session, write_twin
from lawful.domains.emg.words import WORDS
from lawful.errors import LawfulError

SMALL = Twin(users=2, test_users=1, train_sessions=1, train_minutes=0.4, other_minutes=0.3)


def test_the_same_seed_gives_the_same_session_and_another_another() -> None:
    first, again = (make_session(SMALL, 1, 0, 0.3) for _ in range(2))
    other = make_session(Twin(**{**vars(SMALL), "seed": 1}), 1, 0, 0.3)
    assert np.array_equal(first.emg, again.emg) and first.keystrokes == again.keystrokes
    assert first.keystrokes != other.keystrokes and not np.array_equal(first.emg, other.emg)


def test_what_is_typed_without_its_typos_is_what_was_prompted() -> None:
    made = make_session(SMALL, 0, 0, 2.0)
    names = {"Key.space": " ", "Key.enter": "⏎", "Key.backspace": "⌫"}
    page = typed("".join(names.get(stroke.key, stroke.key) for stroke in made.keystrokes))
    lines = page.split("\n")
    assert lines[: len(made.prompts)] == [text for _, _, text in made.prompts]
    assert len(made.prompts) > 3 and any(stroke.key == "Key.backspace" for stroke in made.keystrokes)
    assert all(set(word) <= set(REACH) for word in WORDS)


def test_people_type_at_the_speed_of_people() -> None:
    for user in range(3):
        strokes = make_session(SMALL, user, 0, 0.5).keystrokes
        between = np.diff([stroke.start for stroke in strokes])
        words_a_minute = 60 / between.mean() / 5
        assert 30 < words_a_minute < 110
        assert all(0.04 <= stroke.end - stroke.start <= 0.2 for stroke in strokes)


def test_a_hand_is_silent_while_the_other_types(recordings: Path) -> None:
    """Power around the presses of left-hand keys is larger on the left than around the others, and conversely."""
    session = read_session(recordings / "synthetic-000-000.hdf5")
    emg = session.read()
    power = {(hand, band): [] for hand in (0, 1) for band in (0, 1)}  # type: dict[tuple[int, int], list[float]]
    for stroke in session.keystrokes:
        if (reach := REACH.get(stroke.key)) is None:
            continue
        at = round((stroke.start - session.start - 0.06) * 2000)
        for band in (0, 1):
            power[reach.hand, band].append(float((emg[at - 60 : at + 60, band] ** 2).mean()))
    mean = {place: np.mean(values) for place, values in power.items()}
    assert mean[0, 0] > 2 * mean[1, 0] and mean[1, 1] > 2 * mean[0, 1]


def test_the_log_spectrum_is_of_the_size_that_was_measured_on_people() -> None:
    """Real sessions: mean .51, variance 1.15 in log10 units. The twin is near, not equal."""
    found = log_spectrogram(make_session(Twin(), 0, 0, 0.5).emg)
    assert 0.1 < found.mean() < 0.9 and 0.7 < found.var() < 2.0


def test_the_spectrogram_is_torchs_own() -> None:
    torch = pytest.importorskip("torch")
    emg = np.random.Generator(np.random.PCG64(3)).normal(0, 3, (10_000, 2, 16)).astype(np.float32)
    hann = torch.hann_window(64, dtype=torch.float64)
    signal = torch.from_numpy(emg).double().permute(1, 2, 0).flatten(0, 1)
    power = torch.stft(signal, 64, 16, window=hann, center=False, return_complex=True).abs() ** 2 / hann.pow(2).sum()
    expected = torch.log10(power + 1e-6).view(2, 16, 33, -1).permute(3, 0, 1, 2).numpy()
    found = log_spectrogram(emg)
    assert found.shape == expected.shape == (622, 2, 16, 33)  # 622 frames from 10,000 samples, as published
    np.testing.assert_allclose(found, expected, atol=2e-3)
    pooled = power[:, :, :620].view(2, 16, 33, 155, 4).mean(-1)
    np.testing.assert_allclose(
        log_spectrogram(emg, 4), torch.log10(pooled + 1e-6).permute(3, 0, 1, 2).numpy(), atol=2e-3
    )
    assert num_frames(10_000) == 622 and num_frames(63) == 0


def test_test_users_may_have_sessions_of_their_own_to_train_on(tmp_path: Path) -> None:
    twin = replace(SMALL, test_users=2, train_minutes=0.2, other_minutes=0.2)
    plain, more = tmp_path / "plain", tmp_path / "more"
    write_twin(twin, plain)
    generic = read_split(write_twin(replace(twin, personal_sessions=2), more))
    assert generic == read_split(plain / "split" / "generic.yaml")  # and the same signals:
    for _, name in generic:
        assert (plain / f"{name}.hdf5").read_bytes() == (more / f"{name}.hdf5").read_bytes()
    assert not (plain / "split" / "user0.yaml").exists()
    for number, who in enumerate(("synthetic002", "synthetic003")):
        own = read_split(more / "split" / f"user{number}.yaml")
        assert {user for user, _ in own} == {who} and (len(own.train), len(own.val)) == (2, 1)
        assert own.test == tuple(pair for pair in generic.test if pair[0] == who)
        assert not {name for _, name in (*own.train, *own.val)} & {name for _, name in generic}
    assert len(read_metadata(more / "metadata.csv")) == len(list(more.glob("*.hdf5"))) == len(list(generic)) + 6


def test_an_impossible_twin_is_refused() -> None:
    with pytest.raises(
        LawfulError, match="train_minutes: expected a number of at least 0.2.*difficulty: expected a number from 0 to 3"
    ):
        Twin(train_minutes=0.1, difficulty=-1)
