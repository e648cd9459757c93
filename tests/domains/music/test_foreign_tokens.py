"""Token files of others: music where MidiTok's tokenizer.json says what they mean, else plain symbols or a reason."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lawful.domains.music import scores, sources, token_files
from lawful.domains.music.corpora.music import Music, MusicData
from lawful.domains.music.scores import pieces_in
from lawful.domains.music.sources import Source
from lawful.domains.music.tokenizers.remi import Remi
from lawful.errors import LawfulError
from lawful.tokenizers.given import Given

symusic = pytest.importorskip("symusic")
miditok = pytest.importorskip("miditok")


def tune(seed: int, tracks: int = 1) -> Any:
    """Notes on the grid of every tokenizer here: eighths."""
    score = symusic.Score(480)
    for program in range(tracks):
        draw = np.random.default_rng([seed, program])
        track = symusic.Track(program=program)
        track.notes.extend(symusic.Note(240 * place, 240, int(draw.integers(40, 80)), 64) for place in range(40))
        score.tracks.append(track)
    score.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    return score


def notes_of(score: Any) -> list[tuple[float, int]]:
    return [(float(onset), int(pitch)) for onset, _, pitch in scores.note_table(score)]


def left_out(corpus: Music, data: MusicData) -> dict[str, str]:
    lines = corpus.left_out_file(data.fingerprint).read_text().splitlines()
    return {row["piece"]: row["reason"] for row in map(json.loads, lines)}


OTHERS = {
    "its REMI": lambda: miditok.REMI(miditok.TokenizerConfig()),
    "TSD": lambda: miditok.TSD(miditok.TokenizerConfig()),
    "MIDILike": lambda: miditok.MIDILike(miditok.TokenizerConfig()),
    "one stream": lambda: miditok.REMI(
        miditok.TokenizerConfig(use_programs=True, one_token_stream_for_programs=True, use_time_signatures=True)
    ),
    "Octuple": lambda: miditok.Octuple(miditok.TokenizerConfig(use_programs=True)),
    "Octuple by track": lambda: miditok.Octuple(miditok.TokenizerConfig()),
    "CPWord": lambda: miditok.CPWord(miditok.TokenizerConfig()),
}


@pytest.mark.parametrize("name", OTHERS)
def test_tokens_are_the_music_that_miditok_makes_of_them(tmp_path: Path, name: str) -> None:
    other = OTHERS[name]()
    other.save(tmp_path / "tokenizer.json")
    expected = []
    for seed in range(5):
        tokens = other(tune(seed, tracks=2))
        other.save_tokens(tokens, tmp_path / f"{seed}.json")
        expected.append(notes_of(other.decode(json.loads((tmp_path / f"{seed}.json").read_text())["ids"])))
    data = Music().prepare(tmp_path)
    remi = Remi()
    found = [notes_of(remi.decode_score(piece)) for split in data.splits for piece in data.pieces(split)]
    assert sorted(found) == sorted(expected) and len(expected[0]) == 80
    assert scores.note_table(scores.read_score(tmp_path / "0.json")).shape == (80, 3)


def test_numbers_without_a_vocabulary_are_never_read_as_music(tmp_path: Path) -> None:
    """They all are numbers of Remi's vocabulary too."""
    draw = np.random.default_rng(0)
    rows = [{"token_ids": draw.integers(0, 130, 60).tolist()} for _ in range(6)]
    path = tmp_path / "pieces.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(LawfulError, match=r"expected the vocabulary of these token numbers; put MidiTok's tokenizer"):
        Music().prepare(path)
    with pytest.raises(LawfulError, match=r"pieces\.jsonl: expected the vocabulary"):
        scores.read_score(path)
    plain = Music(tokenizer=Given(symbols=130)).prepare(path)
    assert plain.sample_suffix == "" and plain.vocab_size == 131
    kept = {tuple(piece.tolist()) for split in plain.splits for piece in plain.pieces(split)}
    assert kept == {tuple(row["token_ids"]) for row in rows}


def test_a_vocabulary_that_changes_is_another_corpus(tmp_path: Path) -> None:
    other = miditok.REMI(miditok.TokenizerConfig())
    for seed in range(5):
        other.save_tokens(other(tune(seed)), tmp_path / f"{seed}.json")
    with pytest.raises(LawfulError, match="expected the vocabulary"):
        Music().prepare(tmp_path)
    other.save(tmp_path / "tokenizer.json")
    first = Music().prepare(tmp_path).fingerprint
    miditok.REMI(miditok.TokenizerConfig(pitch_range=(20, 108))).save(tmp_path / "tokenizer.json")
    assert Music().prepare(tmp_path).fingerprint != first


@pytest.mark.parametrize(
    ("vocabulary", "told"),
    [
        ("{torn", "expected JSON"),
        ("[1]", "expected a tokenizer.json of MidiTok"),
        ('{"tokenization": "TokenizerConfig"}', "expected a tokenizer.json of MidiTok"),
        ('{"tokenization": "os.system"}', "expected a tokenizer.json of MidiTok"),
        ('{"tokenization": "REMI", "config": {"beat_res": {"0_999999999": 8}}}', "numbers of at most 100,000"),
        ('{"tokenization": "REMI", "config": {"pitch_range": [1, 1e9]}}', "numbers of at most 100,000"),
        ('{"tokenization": "REMI", "config": {"pitch_range": "x"}}', "that MidiTok reads"),
    ],
)
def test_a_bad_vocabulary_is_told(vocabulary: str, told: str) -> None:
    (piece,) = pieces_in(Source(name="a.json", content=b"[1, 2, 3]", vocabulary=vocabulary.encode()))
    with pytest.raises(LawfulError, match=told):
        token_files.decoded(piece)


def test_tokens_outside_of_the_vocabulary_are_told(tmp_path: Path) -> None:
    miditok.REMI(miditok.TokenizerConfig()).save(tmp_path / "tokenizer.json")
    vocabulary = (tmp_path / "tokenizer.json").read_bytes()
    for content in (b"[4, 99999]", b'{"ids": [[4], "x"]}', b'{"ids": [[[4]]]}', b"[-3]"):
        (piece,) = pieces_in(Source(name="a.json", content=content, vocabulary=vocabulary))
        if not piece.problem:
            with pytest.raises(LawfulError, match=r"expected tokens of the tokenizer\.json beside them"):
                token_files.decoded(piece)


def folders(root: Path, **some: range) -> Path:
    for name, seeds in some.items():
        (root / name).mkdir(parents=True)
        for seed in seeds:
            (root / name / f"{seed}.mid").write_bytes(bytes(tune(seed).dumps_midi()))
    return root


def pitches(data: MusicData, split: str) -> list[tuple[float, int]]:
    return sorted(notes_of(Remi().decode_score(piece))[0] for piece in data.pieces(split))


def test_folders_train_val_and_test_are_the_splits(tmp_path: Path) -> None:
    data = Music().prepare(folders(tmp_path / "own", train=range(3), val=range(3, 8), test=range(8, 10)))
    assert data.facts()["pieces"] == {"train": 3, "validation": 5, "test": 2}
    for split, seeds in (("train", range(3)), ("validation", range(3, 8)), ("test", range(8, 10))):
        assert pitches(data, split) == sorted(notes_of(tune(seed))[0] for seed in seeds)
    two = Music().prepare(folders(tmp_path / "two", train=range(3), valid=range(3, 5)))
    assert two.splits == ("train", "validation")


def test_a_piece_of_train_that_is_held_out_too_is_left_out_of_train_and_so_are_files_beside(tmp_path: Path) -> None:
    root = folders(tmp_path, train=range(4), val=range(3, 6), test=range(5, 7))
    (root / "beside.mid").write_bytes(bytes(tune(99).dumps_midi()))
    corpus = Music()
    data = corpus.prepare(root)
    assert data.facts()["pieces"] == {"train": 3, "validation": 2, "test": 2}
    assert left_out(corpus, data) == {
        "train/3.mid": "the same piece as validation/3.mid",
        "validation/5.mid": "the same piece as test/5.mid",
        "outside/beside.mid": "in none of the folders train, val and test",
    }


def test_a_folder_of_a_split_without_a_piece_is_refused_by_its_name(tmp_path: Path) -> None:
    root = folders(tmp_path, train=range(4), val=range(4))
    with pytest.raises(LawfulError, match=r"train: expected at least one piece that can be kept, got none"):
        Music().prepare(root)


def test_a_model_of_a_fixed_vocabulary_needs_no_corpus_to_write(tmp_path: Path) -> None:
    data = Music().without_tokens()
    assert data is not None and data.sample_start(None) == [Remi().end]
    tokens = Remi().encode_score(tune(1))
    assert data.write_sample(tokens, tmp_path / "a.mid") == "40 notes"
    assert notes_of(scores.read_score(tmp_path / "a.mid")) == notes_of(tune(1))
    assert Music(tokenizer=Remi(learned=10)).without_tokens() is None


def test_the_case_that_was_found() -> None:
    named = os.environ.get("LAWFUL_DATA")
    case = Path(named).parent / "cases" / "seeds" / "foreign_token_ids.jsonl" if named else Path()
    if not case.is_file():
        pytest.skip("needs LAWFUL_DATA, and the cases beside it")
    with pytest.raises(LawfulError, match="expected the vocabulary"):
        Music().prepare(case)


def test_deep_nests_are_told(tmp_path: Path) -> None:
    miditok.REMI(miditok.TokenizerConfig()).save(tmp_path / "tokenizer.json")
    vocabulary = (tmp_path / "tokenizer.json").read_bytes()
    for depth in (5, 200, 900, 5000):
        for nest in ("[" * depth + "1" + "]" * depth, "[[1, " + "[" * depth + "1" + "]" * depth + "]]"):
            source = Source(name="a.json", content=f'{{"ids": {nest}}}'.encode(), vocabulary=vocabulary)
            for piece in pieces_in(source):
                if not piece.problem:
                    with pytest.raises(LawfulError):
                        token_files.decoded(piece)


def test_json_lines_are_read_a_part_at_a_time_and_named_by_their_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A corpus of 100 million tokens is one file of half a gigabyte."""
    path = tmp_path / "pieces.jsonl"
    rows = [json.dumps({"tokens": list(range(number, number + 20))}) for number in range(30)]
    rows[7] = "no JSON"
    path.write_text("\n".join(rows))
    monkeypatch.setattr(sources, "PART_BYTES", 300)
    parts = list(sources.sources_in(path))
    assert len(parts) > 5 and all(len(part.content) < 400 for part in parts)
    assert b"".join(part.content for part in parts) == path.read_bytes()
    pieces = [piece for part in parts for piece in scores.pieces_in(part)]
    assert [piece.name for piece in pieces] == [f"pieces.jsonl, line {number}" for number in range(1, 31)]
    assert "expected JSON" in pieces[7].problem and pieces[29].tokens == tuple(range(29, 49))
    monkeypatch.setattr(sources, "MOST_BYTES", 50)
    *_, last = sources.sources_in(path)
    assert "line 1: expected at most 50 bytes" in last.problem
