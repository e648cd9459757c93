"""music: every file is a piece or a listed reason, no piece is in two splits, and a row's layout changes no loss."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
import torch

from lawful.domains.music import reading, scores, sources
from lawful.domains.music.corpora import music
from lawful.domains.music.corpora.music import Music, MusicData, padded
from lawful.domains.music.pieces import Piece
from lawful.domains.music.reading import ReadPiece
from lawful.domains.music.tokenizers.remi import Remi
from lawful.errors import LawfulError
from lawful.families import Family
from lawful.families.decoder import Decoder
from lawful.families.lstm import LSTM
from lawful.tasks.next_token import IGNORED, NextToken
from lawful.token_data import Batch
from lawful.tokenizers import Tokenizer
from lawful.tokenizers.given import Given

symusic = pytest.importorskip("symusic")
pytest.importorskip("miditok")


def tune(seed: int, *, key: int = 60, speed: int = 1, notes: int = 40) -> bytes:
    """A random walk of eighths as a MIDI file."""
    steps = np.random.default_rng(seed).integers(-4, 5, size=notes)
    score = symusic.Score(480)
    track = symusic.Track()
    pitch = key
    for number, step in enumerate(steps):
        pitch = min(100, max(20, pitch + int(step)))
        track.notes.append(symusic.Note(number * 240 * speed, 240 * speed, pitch, 64))
    score.tracks.append(track)
    return bytes(score.dumps_midi())


@pytest.fixture
def tunes(tmp_path: Path) -> Path:
    folder = tmp_path / "tunes"
    folder.mkdir()
    for seed in range(30):
        (folder / f"tune{seed:02}.mid").write_bytes(tune(seed))
    return folder


def left_out(corpus: Music, data: MusicData) -> dict[str, str]:
    lines = corpus.left_out_file(data.fingerprint).read_text().splitlines()
    return {row["piece"]: row["reason"] for row in map(json.loads, lines)}


def test_a_folder_of_thirty_midi_files_becomes_three_splits_and_nothing_is_lost(tunes: Path) -> None:
    data = Music().prepare(tunes)
    assert data.facts()["pieces"] == {"train": 28, "validation": 1, "test": 1}
    notes = sorted(tuple(scores.note_table(scores.read_score(file))[:, 2]) for file in tunes.iterdir())
    back = [Remi().decode_score(piece) for split in data.splits for piece in data.pieces(split)]
    assert sorted(tuple(scores.note_table(score)[:, 2]) for score in back) == notes
    assert all(data.arrays[split][0] == data.arrays[split][-1] == Remi().end for split in data.splits)


def test_a_piece_is_in_the_same_split_whatever_lies_beside_it(tunes: Path) -> None:
    corpus = Music(validation_share=0.2, test_share=0.2)
    before = corpus.prepare(tunes)
    where = {piece.tobytes(): split for split in before.splits for piece in before.pieces(split)}
    for seed in range(100, 120):
        (tunes / f"more{seed}.mid").write_bytes(tune(seed))
    after = corpus.prepare(tunes)
    now = {piece.tobytes(): split for split in after.splits for piece in after.pieces(split)}
    assert len(now) == 50 and where.items() <= now.items()
    assert {split: sum(place == split for place in now.values()) for split in now.values()}.keys() == set(after.splits)


def test_the_same_tune_in_another_key_speed_or_file_is_in_one_split_only(tunes: Path) -> None:
    for name, content in (
        ("copy.mid", tune(3)),
        ("higher.mid", tune(4, key=65)),
        ("slower.mid", tune(5, speed=2)),
        ("longer.mid", tune(6, notes=50)),
    ):
        (tunes / name).write_bytes(content)
    corpus = Music(validation_share=0.3, test_share=0.3)
    data = corpus.prepare(tunes)
    # the first of two in the order of names stays: copy before tune03
    assert left_out(corpus, data) == {
        "tune03.mid": "the same piece as copy.mid",
        "tune04.mid": "the same piece as higher.mid",
        "tune05.mid": "the same piece as slower.mid",
        "tune06.mid": "the same piece as longer.mid",
    }
    contours = [
        tuple(scores.contour(scores.note_table(Remi().decode_score(piece)))[:30])
        for split in data.splits
        for piece in data.pieces(split)
    ]
    assert len(contours) == len(set(contours)) == 30


def test_a_shared_title_makes_kin_of_tunes_that_share_a_quarter() -> None:

    def shared(number: int) -> tuple[int, ...]:
        """24 hashes over the same range, `number` of them those of the first, evenly spread."""
        common = [2 * (24 * place // number) for place in range(number)]
        others = [2 * (24 * place // (24 - number)) + 1 for place in range(24 - number)]
        return tuple(sorted(common + others))

    first = ReadPiece(name="a", title="The Old Reel, No. 2", sketch=tuple(range(0, 48, 2)))
    for title, share, is_twin in (
        ("The old reel no 2", 12, True),
        ("The old reel no 2", 2, False),
        ("Another one entirely", 12, False),
        ("Another one entirely", 20, True),
    ):
        other = ReadPiece(name="b", title=title, sketch=shared(share))
        known = {value: [0] for value in first.sketch}
        assert (music._twin(other, [first], known) is first) == is_twin, (title, share)


def test_what_cannot_be_read_is_listed_with_its_reason_and_loses_nothing_else(tunes: Path) -> None:
    (tunes / "noise.mid").write_bytes(b"MThd" + bytes(range(200)))
    (tunes / "text.mid").write_text("not MIDI at all")
    (tunes / "empty.mid").write_bytes(b"")
    (tunes / "short.mid").write_bytes(tune(99, notes=5))
    (tunes / "readme.txt").write_text("no music")
    odd = symusic.Score.from_midi(tune(98))
    odd.time_signatures.append(symusic.TimeSignature(0, 0, 8))
    (tunes / "odd.mid").write_bytes(bytes(odd.dumps_midi()))
    with zipfile.ZipFile(tunes / "more.zip", "w") as archive:
        archive.writestr("../../outside.mid", tune(90))
        archive.writestr("inside/good.mid", tune(91))
        archive.writestr("inside/bad.mid", b"MThd")
    (tunes / "broken.zip").write_bytes((tunes / "more.zip").read_bytes()[:200])
    corpus = Music()
    data = corpus.prepare(tunes)
    reasons = left_out(corpus, data)
    assert set(reasons) == {
        *("noise.mid", "text.mid", "empty.mid", "short.mid", "odd.mid", "broken.zip"),
        *("more.zip/../../outside.mid", "more.zip/inside/bad.mid"),
    }
    assert "outside the archive" in reasons["more.zip/../../outside.mid"]
    assert "MThd" in reasons["text.mid"] and "0/8" in reasons["odd.mid"] and "fewer than 16" in reasons["short.mid"]
    assert sum(data.facts()["pieces"].values()) == 31
    assert sum(data.facts()["left_out"].values()) == len(reasons)
    assert not (tunes.parent.parent / "outside.mid").exists() and not (tunes.parent / "outside.mid").exists()


def test_an_archive_gives_what_its_folder_gives(tunes: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive, tarfile.open(tmp_path / "all.tar.gz", "w:gz") as tar:
        for file in sorted(tunes.iterdir()):
            archive.writestr(file.name, file.read_bytes())
            entry = tarfile.TarInfo(file.name)
            entry.size = file.stat().st_size
            tar.addfile(entry, io.BytesIO(file.read_bytes()))
    expected = Music().prepare(tunes)
    for name in ("all.zip", "all.tar.gz"):
        assert (Music().prepare(tmp_path / name).train == expected.train).all()


def test_folders_without_music_are_refused_with_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(LawfulError, match=r"expected music \(\.mid.*a folder without any"):
        Music().prepare(tmp_path / "empty")
    with pytest.raises(LawfulError, match="no such file or folder"):
        Music().prepare(tmp_path / "nowhere")
    (tmp_path / "empty" / "bad.mid").write_bytes(b"x")
    with pytest.raises(LawfulError, match=r"at least 3 pieces.*bad\.mid: expected MIDI"):
        Music().prepare(tmp_path / "empty")


def test_token_files_of_others_are_read_and_a_token_above_the_vocabulary_is_listed(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    rows = [{"token_ids": draw.integers(0, 50, size=60).tolist()} for _ in range(20)]
    rows += [{"tokens": [1, 2, 51]}, {"notes": []}, {"tokens": []}, {"tokens": [1, "a"]}]
    (tmp_path / "pieces.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "{torn")
    corpus = Music(tokenizer=Given(symbols=50))
    data = corpus.prepare(tmp_path / "pieces.jsonl")
    assert data.vocab_size == 51 and sum(data.facts()["pieces"].values()) == 20
    kept = {tuple(piece.tolist()) for split in data.splits for piece in data.pieces(split)}
    assert kept == {tuple(row["token_ids"]) for row in rows[:20]}
    reasons = left_out(corpus, data)
    assert set(reasons) == {f"pieces.jsonl, line {number}" for number in range(21, 26)}
    assert "token 51 at place 2 is above the vocabulary" in reasons["pieces.jsonl, line 21"]
    assert "expected `tokens` or `token_ids`, got notes" in reasons["pieces.jsonl, line 22"]


def test_names_of_tokens_are_read_as_the_music_they_name(tunes: Path, tmp_path: Path) -> None:
    named = [Remi().names(Remi().encode_score(scores.read_score(file))) for file in sorted(tunes.iterdir())]
    (tmp_path / "pieces.json").write_text(json.dumps([{"tokens": names} for names in named]))
    assert (Music().prepare(tmp_path / "pieces.json").train == Music().prepare(tunes).train).all()


def test_learned_symbols_are_kept_with_the_tokens_and_shorten_them(tunes: Path) -> None:
    plain = Music().prepare(tunes)
    corpus = Music(tokenizer=Remi(learned=40))
    data = corpus.open(corpus.prepare(tunes).fingerprint)
    assert data.vocab_size == corpus.vocab_size == plain.vocab_size + 40
    assert data.train_tokens < 0.8 * plain.train_tokens
    for split in data.splits:
        assert (data.tokenizer.base_tokens(data.arrays[split]) == plain.arrays[split]).all()


def test_an_abc_book_gives_all_its_tunes_and_a_pickup_ends_its_bar(tmp_path: Path) -> None:
    pytest.importorskip("music21")
    book = "".join(
        f"X:{number}\nT:Tune {number}\nM:4/4\nL:1/4\nK:C\n{'CDEFGABc'[number]} | C D E F | {'GAFE' * 5} |]\n\n"
        for number in range(4)
    )
    (tmp_path / "book.abc").write_text(book)
    pieces = [piece for source in sources.sources_in(tmp_path / "book.abc") for piece in scores.pieces_in(source)]
    assert [piece.title for piece in pieces] == [f"Tune {number}" for number in range(4)]
    notes = scores.note_table(pieces[2].score)
    assert notes[0].tolist() == [3.0, 1.0, 64.0]  # the fourth beat of the bar before
    assert notes[1].tolist() == [4.0, 1.0, 60.0]


def test_a_stopped_preparation_goes_on_with_what_was_read(tunes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "CHUNK_BYTES", 2000)
    read: list[str] = []
    read_piece = reading.read_piece

    def stopped_after_twelve(piece: Piece, tokenizer: Tokenizer) -> ReadPiece:
        read.append(piece.name)
        if len(read) == 13:
            raise KeyboardInterrupt
        return read_piece(piece, tokenizer)

    monkeypatch.setattr(reading, "read_piece", stopped_after_twelve)
    monkeypatch.setattr(reading.os, "sched_getaffinity", lambda _: {0}, raising=False)
    with pytest.raises(KeyboardInterrupt):
        Music(min_notes=3).prepare(tunes)
    first = list(read)
    data = Music(min_notes=3).prepare(tunes)
    assert sum(data.facts()["pieces"].values()) == 30
    assert len(set(first) & set(read[len(first) :])) < 8  # only the chunk that was cut short is read twice


def test_progress_grows_to_the_end(tunes: Path) -> None:
    seen: list[tuple[str, float]] = []
    Music(min_notes=2).prepare(tunes, lambda what, share: seen.append((what, share)))
    shares = [share for _, share in seen]
    assert shares == sorted(shares) and shares[-1] == 1.0 and "30 pieces" in seen[-2][0]


def test_a_chunk_that_takes_long_is_named_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "WAIT_SECONDS", 0.01)
    chunk = reading.Chunk(sources=(sources.Source(name="slow.krn"), sources.Source(name="last.krn")), size=1)
    future: Future[list[ReadPiece]] = Future()
    told: list[str] = []

    def wait(found: reading.Chunk) -> None:
        told.append(found.title)
        if len(told) == 3:
            future.set_result([])

    assert reading._finished(chunk, tmp_path / "a.json", future, Remi(), wait) == (chunk, [])
    assert told == ["slow.krn to last.krn"] * 3


FAMILIES = [
    Decoder(vocab_size=Remi().vocab_size, width=16, depth=2, heads=2, context=32, separator=Remi().end),
    LSTM(vocab_size=Remi().vocab_size, width=16, hidden=12, depth=2, separator=Remi().end),
]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: type(family).__name__)
def test_packed_and_padded_windows_have_the_same_targets_and_the_same_loss(tunes: Path, family: Family) -> None:
    model = family.build(torch.Generator().manual_seed(0)).double().eval()
    sums = {}
    for layout in ("packed", "padded"):
        data = Music(layout=layout, validation_share=0.2).prepare(tunes)
        batches = [data.batch(seed=1, step=step, batch_size=8, context=32) for step in range(3)]
        batches += list(data.evaluation_batches("validation", context=32, batch_size=4))
        tensors = [Batch(inputs=torch.tensor(b.inputs), targets=torch.tensor(b.targets)) for b in batches]
        with torch.no_grad():
            sums[layout] = [NextToken().measure(model, batch) for batch in tensors]
    for packed, filled in zip(sums["packed"], sums["padded"], strict=True):
        assert packed["targets"] == filled["targets"]
        assert packed["loss"] == pytest.approx(filled["loss"], rel=1e-5)  # the task sums in fp32


def test_padding_adds_rows_and_no_targets() -> None:
    end = 1
    batch = Batch(inputs=np.array([[1, 5, 6, 1, 7, 8]]), targets=np.array([[5, 6, 1, 7, 8, 9]]))
    filled = padded(batch, end)
    assert filled.inputs.tolist() == [[1, 5, 6], [1, 7, 8]]
    assert filled.targets.tolist() == [[5, 6, 1], [7, 8, 9]]
    batch = Batch(inputs=np.array([[4, 1, 5, 6]]), targets=np.array([[1, 5, 6, 7]]))
    filled = padded(batch, end)
    assert filled.inputs.tolist() == [[4, 1, 1], [1, 5, 6]]
    assert filled.targets.tolist() == [[1, IGNORED, IGNORED], [5, 6, 7]]


def test_rights_that_a_file_reserves_are_respected() -> None:
    for text, is_reserved in (
        ("!!!YEM: Rights to all derivative electronic formats reserved.", True),
        ("<rights>All Rights Reserved</rights>", True),
        ("% in the public domain", False),
        ("unreserved seats, birthrights", False),
    ):
        assert sources.reserves_rights(sources.Source(name="x", content=text.encode())) == is_reserved, text


def test_collections_that_are_not_there_are_named() -> None:
    if sources.corpus_folder() is None:
        pytest.skip("music21 is not on this machine")
    with pytest.raises(LawfulError, match=r"got nowhere; there are .*bach"):
        Music(collections=("nowhere",)).prepare()


@pytest.mark.slow  # two processes import the libraries: seconds each
def test_several_processes_read_what_one_reads(tunes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAWFUL_CACHE", str(tmp_path / "one"))
    monkeypatch.setattr(reading.os, "sched_getaffinity", lambda _: {0}, raising=False)
    alone = Music().prepare(tunes)
    monkeypatch.setenv("LAWFUL_CACHE", str(tmp_path / "several"))
    monkeypatch.setattr(reading, "CHUNK_BYTES", 2000)
    monkeypatch.setattr(reading.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(reading, "read_piece", _never_here)  # in this process; those started anew have their own
    together = Music().prepare(tunes)
    assert together.fingerprint == alone.fingerprint
    assert all((together.arrays[split] == alone.arrays[split]).all() for split in alone.splits)


def _never_here(*_: object) -> ReadPiece:
    raise AssertionError("read in this process")
