"""What a tokenizer of music learns comes from the training pieces alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lawful.domains.music.corpora.music import Music
from lawful.domains.music.tokenizers.remi import Remi


def test_the_merges_of_music(tmp_path: Path) -> None:
    """A piece's own hash decides its side, so held-out pieces cannot be exchanged: merges are learned again by hand."""
    symusic = pytest.importorskip("symusic")
    pytest.importorskip("miditok")
    for seed in range(30):
        score, track = symusic.Score(480), symusic.Track()
        for place, pitch in enumerate(np.random.default_rng(seed).integers(40, 80, size=40)):
            track.notes.append(symusic.Note(place * 240, 240, int(pitch), 64))
        score.tracks.append(track)
        (tmp_path / f"{seed}.mid").write_bytes(bytes(score.dumps_midi()))
    declared = Remi(learned=150)
    data = Music(tokenizer=declared, validation_share=0.2, test_share=0.2).prepare(tmp_path)
    assert isinstance(data.tokenizer, Remi)

    def learned(*splits: str) -> Remi:
        return declared.trained(data.decode(piece) for split in splits for piece in data.pieces(split))

    assert data.tokenizer == learned("train")
    for held_out in ("validation", "test"):
        assert data.tokenizer != learned("train", held_out)
