"""Samples: the same for the same seed, drawn as asked, measured by numbers that can fail, and put on the page."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from lawful.domains.music import scores
from lawful.domains.music.analyses.samples import _runs_of, nearness, statistics
from lawful.domains.music.tokenizers.remi import Remi
from lawful.errors import LawfulError
from lawful.storage.layout import Store
from lawful.token_data import TokenData
from lawful.train.sample import Draw, _drawn, write_on

symusic = pytest.importorskip("symusic")
pytest.importorskip("miditok")

NOTHING = np.empty(0, dtype=np.uint64)


def tokens_of(names: str) -> np.ndarray:
    return Remi().encode(names)


def test_no_symbol_is_drawn_that_the_merges_did_not_fill() -> None:
    """The model finds an output the likelier the higher its number is."""
    remi = Remi(learned=500).trained(["Bar_None TimeSig_4/4 Position_0 Pitch_60 Duration_1.0.12"])
    assert remi.merges is not None and len(remi.merges) < 500
    writer: Any = SimpleNamespace(
        run=SimpleNamespace(context=8),
        data=TokenData(fingerprint="", arrays={}, num_bytes={}, tokenizer=remi),
        model=lambda inputs: torch.arange(remi.vocab_size + 50.0).expand(*inputs.shape, -1) / 10,
        device=torch.device("cpu"),
    )
    (tokens,) = write_on(writer, [[0]], Draw(temperature=1.0, length=200))
    assert max(tokens) < remi.vocab_size and not set(tokens) & set(remi.unused)


def bar(*notes: tuple[int, int], signature: str = "4/4") -> str:
    """A bar of quarter notes at (position, pitch)."""
    inside = " ".join(f"Position_{place} Pitch_{pitch} Duration_1.0.12" for place, pitch in notes)
    return f"Bar_None TimeSig_{signature} {inside}"


def test_a_sound_piece_is_whole_and_its_numbers_are_those_counted_by_hand() -> None:
    piece = tokens_of(f"{bar((0, 60), (12, 72))} {bar((0, 60), (12, 72))} {bar((0, 61), (36, 64))}")
    found = statistics(piece, Remi(), NOTHING)
    assert found["valid_tokens"] == found["whole_bars"] == 1.0
    assert found["pitch_range"] == 12
    assert found["notes_per_beat"] == 6 / 12
    assert found["repeated_bars"] == pytest.approx(1 / 3)
    assert found["known_runs"] == 0.0


@pytest.mark.parametrize(
    ("broken", "whole_bars"),
    [
        (bar((12, 60), (0, 72)), 0.0),  # time goes back
        (bar((0, 60), (48, 72)), 0.0),  # after the bar's end
        (bar((0, 60), (40, 72), signature="3/4"), 0.0),
        (bar((0, 60), (40, 72)), 1.0),
        ("", 0.0),
    ],
)
def test_bars_that_do_not_add_up_are_counted(broken: str, whole_bars: float) -> None:
    assert statistics(tokens_of(broken), Remi(), NOTHING)["whole_bars"] == whole_bars


def test_tokens_out_of_place_are_counted() -> None:
    sound = tokens_of(bar((0, 60), (12, 62)))
    broken = np.delete(sound, 4)  # the first Duration
    assert statistics(sound, Remi(), NOTHING)["valid_tokens"] == 1.0
    assert statistics(broken, Remi(), NOTHING)["valid_tokens"] == pytest.approx(6 / 7)


def test_how_near_pieces_are_to_real_ones_is_as_counted_by_hand() -> None:
    real = [tokens_of(bar((0, 60), (12, 62), (24, 64), (36, 65)))]
    assert set(nearness(real, real, Remi()).values()) == {1.0}
    other = [tokens_of(bar((0, 72), (12, 61))), tokens_of(bar((0, 61), (0, 48)))]  # c, c sharp, c sharp, c
    found = nearness(other, real, Remi())
    assert found["near_pitch_classes"] == 0.25  # c: a half here, a quarter there
    assert found["near_positions"] == 0.5 and found["near_durations"] == 1.0
    assert set(nearness([], real, Remi()).values()) == {0.0}


def test_what_was_learned_by_heart_is_known_and_what_is_new_is_not() -> None:
    draw = np.random.default_rng(0)
    training = draw.integers(3, 400, size=5000).astype(np.uint16)
    known = _runs_of(training)
    assert statistics(training[100:300], Remi(), known)["known_runs"] == 1.0
    assert statistics(draw.integers(3, 400, size=200).astype(np.uint16), Remi(), known)["known_runs"] == 0.0


def test_each_way_of_drawing_keeps_to_its_choice() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).repeat(4000, 1)

    def drawn(**how: object) -> Counter[int]:
        return Counter(_drawn(logits, Draw(**how), torch.Generator().manual_seed(1)).tolist())

    assert set(drawn(temperature=0)) == {0}
    assert set(drawn(temperature=1, top_k=2)) == {0, 1}
    assert set(drawn(temperature=1, top_p=0.81)) == {0, 1, 2}
    assert set(drawn(temperature=1, top_p=0.79)) == {0, 1}
    free = drawn(temperature=1)
    assert [free[token] / 4000 for token in range(4)] == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.03)
    cold = drawn(temperature=0.5)  # probabilities squared
    assert cold[0] / 4000 == pytest.approx(0.25 / 0.365, abs=0.03)
    with pytest.raises(LawfulError, match="top_p: expected a number above 0 and at most 1"):
        Draw(top_p=0)


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tiny runs of the study on thirty made-up tunes, trained for a moment, and concluded."""
    from lawful.conduct import conclude
    from lawful.domains.music.studies.music import study
    from lawful.planning.plan import make_plan
    from lawful.storage.codec import write_result
    from lawful.storage.layout import Store
    from lawful.train import loop
    from lawful.train.device import pick_device

    folder = tmp_path_factory.mktemp("music")
    (folder / "tunes").mkdir()
    draw = np.random.default_rng(0)
    for number in range(30):
        score = symusic.Score(480)
        track = symusic.Track()
        for place in range(60):
            track.notes.append(symusic.Note(place * 240, 240, 60 + int(draw.integers(12)), 64))
        score.tracks.append(track)
        (folder / "tunes" / f"{number}.mid").write_bytes(bytes(score.dumps_midi()))
    declared = study("smoke", widths=(24, 32), tokens=4096)
    plan = make_plan(declared, data=folder / "tunes", device_name="cpu", is_timed=False)
    plan.write(folder / "study")
    store = Store(folder / "study")
    for run_id, run in plan.runs.items():
        result = loop.train(
            run, run.corpus.open(run.data_fingerprint), store, loop.ExecutionConfig(device=pick_device("cpu"))
        )
        write_result(store.result(run_id), result)
    conclude(store.folder)
    return store.folder


def test_the_study_ends_with_samples_a_test_perplexity_and_memory_and_time_of_each_run(studied: Path) -> None:
    found = json.loads((studied / "samples" / "samples.json").read_text())
    assert [run["arm"] for run in found["runs"]] == ["transformer", "transformer", "lstm", "lstm"]
    for run in found["runs"]:
        assert symusic.Score.from_midi((studied / "samples" / run["file"]).read_bytes()).note_num() == len(run["notes"])
    assert found["real"]["statistics"]["valid_tokens"] == 1.0
    rows = (studied / "observations.csv").read_text().splitlines()
    for column in ("test_loss", "best_weights_loss", "best_weights_test_loss", "peak_memory_bytes", "seconds"):
        assert column in rows[0].split(",")
    page = (studied / "report.html").read_text()
    assert page.count("Piano roll of") == 5
    pieces = 1  # the real one
    for run in found["runs"]:
        assert len(run["pieces"]) == 9 and 1 <= len(run["prompted"]) <= 10
        pieces += 1 + len(run["pieces"]) + len(run["prompted"])
        for piece in (*run["pieces"], *run["prompted"]):
            assert piece["file"] in page and (studied / "samples" / piece["file"]).exists()
        assert 0 < run["statistics"]["near_pitch_classes"] <= 1
    assert page.count('class="play"') == pieces == page.count("data:audio/midi")
    assert found["real"]["statistics"]["near_durations"] == pytest.approx(1.0)  # every made-up note is an eighth
    assert "perplexity" in page and "perplexity" in (studied / "report.md").read_text()


def test_samples_of_runs_whose_weights_are_gone_stay(studied: Path, tmp_path: Path) -> None:
    from lawful.domains.music.analyses.samples import write_samples

    folder = tmp_path / "copy"
    shutil.copytree(studied, folder)
    before = (folder / "samples" / "samples.json").read_bytes()
    next(folder.glob("runs/*/model.safetensors")).unlink()
    write_samples(folder)
    assert (folder / "samples" / "samples.json").read_bytes() == before


def test_token_files_of_others_are_studied_too_but_cannot_be_heard(tmp_path: Path) -> None:
    from lawful.conduct import conclude
    from lawful.domains.music.studies.music import study
    from lawful.planning.plan import make_plan
    from lawful.storage.codec import write_result
    from lawful.storage.layout import Store
    from lawful.train import loop
    from lawful.train.device import pick_device

    draw = np.random.default_rng(0)
    rows = [json.dumps({"token_ids": draw.integers(0, 50, size=200).tolist()}) for _ in range(30)]
    (tmp_path / "pieces.jsonl").write_text("\n".join(rows))
    declared = study("smoke", widths=(24, 32), tokens=2048, vocabulary=50)
    plan = make_plan(declared, data=tmp_path / "pieces.jsonl", device_name="cpu", is_timed=False)
    plan.write(tmp_path / "study")
    store = Store(tmp_path / "study")
    run = next(iter(plan.runs.values()))
    result = loop.train(
        run, run.corpus.open(run.data_fingerprint), store, loop.ExecutionConfig(device=pick_device("cpu"))
    )
    write_result(store.result(run.id), result)
    assert 0 < result.measured["test_loss"] < 6 and result.measured["test_tokens"] > 100
    assert "What they write" not in conclude(store.folder).read_text()


def test_a_model_continues_a_file_and_the_same_seed_gives_the_same_piece(studied: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from lawful.cli import app

    given = sorted((studied.parent / "tunes").iterdir())[0]
    run = Store(studied).read_study().runs[0].run
    for name in ("first.mid", "again.mid"):
        arguments = [
            "sample",
            str(studied),
            run,
            "--prompt",
            str(given),
            "--out",
            str(tmp_path / name),
            "--length",
            "60",
        ]
        done = CliRunner().invoke(app, [*arguments, "--top-p", "0.9", "--temperature", "1"])
        assert done.exit_code == 0, done.output
    assert (tmp_path / "first.mid").read_bytes() == (tmp_path / "again.mid").read_bytes()
    before = scores.note_table(scores.read_score(given))
    after = scores.note_table(scores.read_score(tmp_path / "first.mid"))
    np.testing.assert_allclose(after[: len(before)], before)
    arguments = ["sample", str(studied), run, "--out", str(tmp_path / "new.mid"), "--length", "60"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert scores.read_score(tmp_path / "new.mid").note_num() >= 0
