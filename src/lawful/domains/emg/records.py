"""What a study of typing keeps beside the table: the errors of each session, and the law of the errors over people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lawful.checks import AnyFloat, NaturalInt
from lawful.plugins import Details
from lawful.storage.codec import decode
from lawful.storage.json_files import Json, read_json
from lawful.storage.layout import Store

SPLITS = {"validation": "people that were trained on", "test": "people that were not"}


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A text that was decoded, and its edits against the true one."""

    insertions: NaturalInt
    deletions: NaturalInt
    substitutions: NaturalInt
    decoded: str = ""

    @property
    def edits(self) -> int:
        return self.insertions + self.deletions + self.substitutions


@dataclass(frozen=True, kw_only=True)
class DecodedSession(Decoded):
    """A session as a final model reads it, greedily. loss: nats per character. beam: by beam search, where asked."""

    session: str = ""
    user: str = ""
    characters: NaturalInt
    loss: AnyFloat | None = None
    reference: str = ""
    beam: Decoded | None = None


@dataclass(frozen=True, kw_only=True)
class Example:
    """The first windows of a session.

    power        mean log power, [windows, frames, electrodes]; the first `past` frames of a window are no part of it
    emissions    of each window
    keys, blank  key -> its probability at each emission; that of the blank
    """

    session: str = ""
    user: str = ""
    power: tuple[tuple[tuple[AnyFloat, ...], ...], ...]
    past: NaturalInt
    emissions: tuple[NaturalInt, ...]
    keys: dict[str, tuple[AnyFloat, ...]]
    blank: tuple[AnyFloat, ...]
    reference: str
    decoded: str


@dataclass(frozen=True, kw_only=True)
class SpellingUsed:
    """Spelling of tasks/ctc.py, as it was."""

    path: str
    sha256: str
    weight: float
    bonus: float


@dataclass(frozen=True, kw_only=True)
class SearchUsed:
    beam: NaturalInt
    spelling: SpellingUsed | None = None


@dataclass(frozen=True, kw_only=True)
class SplitDetails(Details):
    """What is known of one split. confusions: (true, decoded, times) of each pair of keys; "" stands for nothing."""

    sessions: tuple[DecodedSession, ...]
    confusions: tuple[tuple[str, str, NaturalInt], ...] = ()
    always_commonest_cer: AnyFloat = math.nan
    example: Example | None = None
    search: SearchUsed | None = None


def read_details(home: Store, run: str) -> dict[str, SplitDetails] | None:
    """The details of a finished run, by split; None if it kept none."""
    path = home.details(run)
    if not path.exists():
        return None
    return {split: decode(_as_now(raw), SplitDetails, path) for split, raw in read_json(path).items()}


def _as_now(raw: Mapping[str, Json]) -> Mapping[str, Json]:
    """Older versions named classes in `search`, under "is"."""
    return {name: _without_classes(value) if name == "search" else value for name, value in raw.items()}


def _without_classes(value: Json) -> Json:
    if not isinstance(value, Mapping):
        return value
    return {name: _without_classes(item) for name, item in value.items() if name != "is"}


@dataclass(frozen=True, kw_only=True)
class SizeErrors:
    """Error rates at one size: of all characters, their spread over seeds and users, each user's mean over seeds."""

    params: float
    is_held_out: bool
    cer: float
    seeds: int
    sd_seeds: float | None
    sd_users: float | None
    by_user: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Exponent:
    value: float
    ci95: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class ErrorLaw:
    """falls: the share of draws in which errors fall with size."""

    formula: str
    alpha: Exponent
    log_half: AnyFloat
    runs: int
    users: int
    falls: float


@dataclass(frozen=True, kw_only=True)
class ErrorCurve:
    """The law and its 95 % band, by size."""

    params: tuple[float, ...]
    cer: tuple[AnyFloat, ...]
    low: tuple[AnyFloat, ...]
    high: tuple[AnyFloat, ...]


@dataclass(frozen=True, kw_only=True)
class SweetSpot:
    """The size beyond which a doubling gains less than asked. ci95: None where it is unbounded."""

    params: float | None
    ci95: tuple[float, float] | None
    is_in_range: bool
    range: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class NearBest:
    """The smallest size whose error is within `points` per cent of the best's.

    params     by the law, of what it says of the largest size that was trained; not below the smallest. ci95: over
               users and seeds
    best       the trained size with the lowest measured error
    trained    the smallest trained size whose measured error is within; gap: by how many points it is above the best's,
               with its 95 % interval over users and seeds
    """

    points: float
    params: float
    ci95: tuple[AnyFloat, AnyFloat]
    best: float
    trained: float
    gap: float
    gap_ci95: tuple[AnyFloat, AnyFloat]


@dataclass(frozen=True, kw_only=True)
class SplitErrors:
    """The people of one split. Either law, curve and sweet_spot, or the reason why there are none. near_best: of
    several distances from the best; empty where errors do not fall with size."""

    users: tuple[str, ...]
    sizes: tuple[SizeErrors, ...]
    refusal: str = ""
    law: ErrorLaw | None = None
    curve: ErrorCurve | None = None
    sweet_spot: SweetSpot | None = None
    near_best: tuple[NearBest, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PeopleErrors:
    """fits/by-user.json. points: of the error rate, in per cent, that a doubling must gain. runs: what it rests on."""

    points: float
    draws: int
    runs: tuple[str, ...] = ()
    validation: SplitErrors
    test: SplitErrors | None = None

    @property
    def splits(self) -> dict[str, SplitErrors]:
        return {"validation": self.validation} | ({"test": self.test} if self.test else {})


def read_people(home: Store) -> PeopleErrors | None:
    path = home.fit("by-user")
    return decode(read_json(path), PeopleErrors, path) if path.exists() else None


@dataclass(frozen=True, kw_only=True)
class EncoderCost:
    """The cost of one size: the seconds to read one window on one thread, and the bytes of the trained weights."""

    params: int
    seconds: float
    bytes: int


@dataclass(frozen=True, kw_only=True)
class EncoderCosts:
    """fits/latency.json: every size of the study."""

    encoders: tuple[EncoderCost, ...]


def read_costs(home: Store) -> EncoderCosts | None:
    path = home.fit("latency")
    return decode(read_json(path), EncoderCosts, path) if path.exists() else None
