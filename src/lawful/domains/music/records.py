"""samples.json: what the models of a study wrote, and how it compares with real pieces."""

from __future__ import annotations

from dataclasses import dataclass

from lawful.checks import AnyFloat, NaturalInt
from lawful.storage.codec import decode
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store

Note = tuple[float, float, float]  # onset and duration in seconds, and pitch


@dataclass(frozen=True, kw_only=True)
class DrawRecord:
    """How the tokens were drawn, and how many at most."""

    temperature: float
    top_p: float
    seed: int = 0
    length: NaturalInt


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A MIDI file of the folder's samples/, and its notes."""

    file: str
    notes: tuple[Note, ...]


@dataclass(frozen=True, kw_only=True)
class Written(Piece):
    """The longest piece of a run, and statistics of all that it wrote (analyses/samples.py: `statistics`, `nearness`).

    pieces      all other pieces that it wrote
    prompted    its continuations of the beginnings of validation pieces; each starts with that beginning
    """

    run: str
    label: str
    arm: str = ""
    params_non_embedding: NaturalInt | None = None
    loss: float | None
    statistics: dict[str, AnyFloat]
    pieces: tuple[Piece, ...] = ()
    prompted: tuple[Piece, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RealPieces:
    """Validation pieces, each cut to as many tokens as a sample has. Their nearness to validation pieces is
    measured on as many training pieces as a run wrote."""

    pieces: NaturalInt
    statistics: dict[str, AnyFloat]


@dataclass(frozen=True, kw_only=True)
class SamplesRecord:
    """`of`: the runs that should write. prompt_tokens: the length of each given beginning."""

    of: tuple[str, ...] = ()
    draw: DrawRecord
    samples_each: NaturalInt
    prompt_tokens: NaturalInt = 0
    real: RealPieces
    real_example: Piece | None = None
    runs: tuple[Written, ...]


def read_samples(store: Store) -> SamplesRecord | None:
    """The record of the folder; None if no model wrote."""
    return decode(read_json(store.samples), SamplesRecord, store.samples) if store.samples.exists() else None
