"""Connectionist temporal classification (Graves et al. 2006): the keys pressed, in order, without being told when.

The loss is in nats per character: minus the log-likelihood of a window's keys, summed over alignments, over their
number. Decoding is by its greedy path and, if wanted, by prefix beam search; the error rate is edits over characters.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lawful.checks import NaturalInt, NonNegativeFloat, check_fields
from lawful.domains.emg.beam_search import beam_search
from lawful.domains.emg.edits import Edits, aligned, commonest_cer, edits
from lawful.domains.emg.language_model import LanguageModel, open_language_model
from lawful.domains.emg.records import Decoded, DecodedSession, Example, SearchUsed, SpellingUsed, SplitDetails
from lawful.domains.emg.tokenizers.keys import SYMBOLS
from lawful.errors import DataError, DeclarationError
from lawful.run import Run, added
from lawful.storage.cache import sha256_of
from lawful.tasks import Forward, Task

IGNORED = -100  # what fills the targets after a row's last
FRAMES_PER_PASS = 16_384  # of an evaluation: 70 MB of inputs in fp32
# A trained model that does one of these has learned nothing about keys; no law goes through it
COLLAPSED_CER, COLLAPSED_SYMBOLS, COLLAPSED_BLANKS = 0.9, 3, 0.998
EXAMPLE_WINDOWS = 2
LEAST_LIKELY = 0.05  # an emission below it is not drawn


@dataclass(frozen=True, kw_only=True)
class Batch:
    """As corpora/emg.py makes it, in tensors."""

    inputs: Tensor
    targets: Tensor
    begin: Tensor
    end: Tensor
    session: Tensor
    user: Tensor


@dataclass(frozen=True, kw_only=True)
class Spelling:
    """A character language model for beam search: an ARPA file or one of KenLM's, and the SHA-256 that it must have.

    weight, bonus    of its log-probability, and added for each character; see emg/beam_search.py
    """

    path: str
    sha256: str
    weight: NonNegativeFloat = 0.5  # these two did best of six tried on the twin (LAB_NOTES, 2026-11-22)
    bonus: float = 1.0

    def open(self) -> LanguageModel:
        path = Path(self.path)
        model = open_language_model(path)
        if (got := sha256_of(path)) != self.sha256:
            raise DataError(f"{path}: expected the language model of SHA-256 {self.sha256}, got {got}.")
        return model


@dataclass(frozen=True, kw_only=True)
class Ctc(Task[Batch]):
    """The blank is the last class. Targets are [rows, most], filled with IGNORED after a row's last.

    Error rates are of greedy decoding, at every evaluation and in every law.
    beam        with 1 or more, final models are decoded by prefix beam search as well, so wide; it is told beside
    spelling    the language model that it listens to
    """

    loss_unit: ClassVar[str] = "nats_per_character"
    added_symbols: ClassVar[int] = 1  # the blank
    reads: ClassVar[str] = "frames"
    columns: ClassVar[tuple[str, ...]] = (
        "cer",
        "cer_deletions",
        "cer_insertions",
        "cer_substitutions",
        "cer_users",
        "cer_users_sd",
        "blank_share",
        "symbols_used",
        "infeasible",
    )

    beam: NaturalInt = 0
    spelling: Spelling | None = added(None)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.spelling is not None and not self.beam:
            raise DeclarationError(f"Ctc: beam: expected at least 1 with a spelling, got {self.beam}.")

    def count(self, batch: Batch) -> int:
        return int((batch.targets >= 0).sum())

    def loss(self, model: Forward, batch: Batch) -> Tensor:
        """A row that its emissions are too few for adds nothing to the loss; see `is_feasible`."""
        scores, lengths = model(batch.inputs, batch.begin, batch.end)
        return ctc_loss(scores, lengths, batch.targets).sum()

    @torch.no_grad()
    def measure(self, model: nn.Module, batch: Batch) -> Mapping[str, float]:
        """Rows of a session follow each other in time: their emissions are laid end to end, and decoded as a whole."""
        sums: dict[str, float] = {"loss": 0.0, "targets": 0.0, "infeasible": 0.0}
        for read in self.read(model, batch):
            sums["loss"] += read.loss
            sums["targets"] += read.targets
            sums["infeasible"] += read.infeasible
            for name, value in read.sums().items():
                sums[name] = sums.get(name, 0.0) + value
        return sums

    def summary(self, sums: Mapping[str, float]) -> dict[str, float]:
        characters = max(sums["characters"], 1.0)
        per_user = [
            sums[f"edits of {user}"] / max(sums[f"characters of {user}"], 1.0)
            for user in (name.removeprefix("edits of ") for name in sums if name.startswith("edits of "))
        ]
        return {
            "loss": sums["loss"] / max(sums["targets"], 1.0),
            "cer": (sums["insertions"] + sums["deletions"] + sums["substitutions"]) / characters,
            "cer_insertions": sums["insertions"] / characters,
            "cer_deletions": sums["deletions"] / characters,
            "cer_substitutions": sums["substitutions"] / characters,
            "cer_users": float(np.mean(per_user)),
            "cer_users_sd": float(np.std(per_user, ddof=1)) if len(per_user) > 1 else math.nan,
            "blank_share": sums["blanks"] / max(sums["emissions"], 1.0),
            "symbols_used": float(sum(name.startswith("used ") and value > 0 for name, value in sums.items())),
            "infeasible": sums["infeasible"],
        }

    def no_evidence(self, found: Mapping[str, float]) -> str | None:
        """The blank basin and its like."""
        signs = []
        if found["cer"] > COLLAPSED_CER:
            signs.append(f"CER {found['cer']:.1%}")
        if found["symbols_used"] < COLLAPSED_SYMBOLS:
            signs.append(f"{found['symbols_used']:.0f} distinct symbols")
        if found["blank_share"] > COLLAPSED_BLANKS:
            signs.append(f"{found['blank_share']:.2%} blanks")
        return f"collapsed: {', '.join(signs)}" if signs else None

    def probe(self, run: Run, rows: int) -> Batch:
        family = run.family
        frames = family.past + run.context + family.future
        each = torch.arange(rows)
        return Batch(
            inputs=torch.randn(rows, frames, 2, 16, 33),
            targets=torch.randint(family.classes - 1, (rows, max(1, run.context // 12))),
            begin=torch.zeros_like(each),
            end=torch.full_like(each, frames),
            session=each,
            user=each,
        )

    @torch.no_grad()
    def details(
        self, model: nn.Module, batches: Iterable[Batch], named: Callable[[int], Mapping[str, str]]
    ) -> SplitDetails:
        """For the report: each session's edits and texts, which key was taken for which, and a stretch to look at."""
        each: list[DecodedSession] = []
        confusions: dict[tuple[str, str], int] = {}
        example: Example | None = None
        searched = self._search()
        for batch in batches:
            for read in self.read(model, batch):
                by_beam = _text(searched(read.log_probs)) if searched else None
                each.append(
                    DecodedSession(
                        session=named(read.session).get("session", ""),
                        user=named(read.session).get("user", ""),
                        characters=len(read.reference),
                        **read.edits._asdict(),
                        loss=read.loss / max(read.targets, 1),
                        reference=read.reference,
                        decoded=read.decoded,
                        beam=None
                        if by_beam is None
                        else Decoded(**edits(read.reference, by_beam)._asdict(), decoded=by_beam),
                    )
                )
                for pair in aligned(read.reference, read.decoded):
                    confusions[pair] = confusions.get(pair, 0) + 1
                example = example or _example(batch, read, named(read.session))
        return SplitDetails(
            sessions=tuple(each),
            confusions=tuple((true, seen, number) for (true, seen), number in sorted(confusions.items())),
            always_commonest_cer=commonest_cer([session.reference for session in each]),
            example=example,
            search=self._search_used(),
        )

    def _search_used(self) -> SearchUsed | None:
        if not self.beam:
            return None
        if self.spelling is None:
            return SearchUsed(beam=self.beam)
        spelling = self.spelling
        return SearchUsed(
            beam=self.beam,
            spelling=SpellingUsed(
                path=spelling.path, sha256=spelling.sha256, weight=spelling.weight, bonus=spelling.bonus
            ),
        )

    def _search(self) -> Callable[[np.ndarray], np.ndarray] | None:
        if not self.beam:
            return None
        search, told = functools.partial(beam_search, beam=self.beam), self.spelling
        if told is not None:
            search = functools.partial(search, language_model=told.open(), weight=told.weight, bonus=told.bonus)
        return search

    @torch.no_grad()
    def read(self, model: nn.Module, batch: Batch) -> list[Read]:
        """Every session of a batch, decoded."""
        rows_per_pass = max(1, FRAMES_PER_PASS // batch.inputs.shape[1])
        parts = []
        for first in range(0, len(batch.inputs), rows_per_pass):
            rows = slice(first, first + rows_per_pass)
            parts.append((rows, model(batch.inputs[rows], batch.begin[rows], batch.end[rows])))
        scores = torch.cat([scores.float() for _, (scores, _) in parts])
        lengths = torch.cat([lengths for _, (_, lengths) in parts])
        losses = ctc_loss(scores, lengths, batch.targets).cpu().numpy()
        feasible = is_feasible(lengths, batch.targets).cpu().numpy()
        log_probs = scores.log_softmax(-1).cpu().numpy()
        targets, lengths_np = batch.targets.cpu().numpy(), lengths.cpu().numpy()
        sessions = batch.session.cpu().numpy()
        out = []
        for session in dict.fromkeys(sessions.tolist()):
            rows_of = np.flatnonzero(sessions == session)
            path = np.concatenate([log_probs[row, : lengths_np[row]] for row in rows_of])
            labels = [targets[row][targets[row] >= 0] for row in rows_of]
            counted = [row for row in rows_of if feasible[row]]
            out.append(
                Read(
                    session=int(session),
                    user=int(batch.user[int(rows_of[0])]),
                    reference=_text(np.concatenate(labels)),
                    decoded=_text(greedy(path.argmax(-1), path.shape[1] - 1)),
                    log_probs=path,
                    loss=float(losses[counted].sum()),
                    targets=int(sum(len(targets[row][targets[row] >= 0]) for row in counted)),
                    infeasible=int((~feasible[rows_of]).sum()),
                    row_lengths=tuple(lengths_np[rows_of].tolist()),
                )
            )
        return out


@dataclass(frozen=True, kw_only=True)
class Read:
    """A session as a model reads it. log_probs: [emissions, classes]; reference and decoded: a character a key."""

    session: int
    user: int
    reference: str
    decoded: str
    log_probs: np.ndarray
    loss: float
    targets: int
    infeasible: int
    row_lengths: tuple[int, ...]  # emissions of each window

    @property
    def edits(self) -> Edits:
        return edits(self.reference, self.decoded)

    def sums(self) -> dict[str, float]:
        made, best = self.edits, self.log_probs.argmax(-1)
        blank = self.log_probs.shape[1] - 1
        return {
            "insertions": made.insertions,
            "deletions": made.deletions,
            "substitutions": made.substitutions,
            "characters": len(self.reference),
            "blanks": float((best == blank).sum()),
            "emissions": len(best),
            f"edits of {self.user}": made.total,
            f"characters of {self.user}": len(self.reference),
            **{f"used {symbol}": 1.0 for symbol in sorted(set(self.decoded))},
        }


def ctc_loss(scores: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
    """Minus the log-likelihood of each row's targets, [rows]; 0 where there are too few emissions for them."""
    is_target = targets >= 0
    log_probs = scores.float().log_softmax(-1).transpose(0, 1)  # [emissions, rows, classes]
    return F.ctc_loss(
        log_probs,
        targets.clamp(min=0),
        lengths,
        is_target.sum(1),
        blank=scores.shape[-1] - 1,
        reduction="none",
        zero_infinity=True,
    )


def is_feasible(lengths: Tensor, targets: Tensor) -> Tensor:
    """Whether each row has an emission for every target and one blank between equal neighbours."""
    repeats = ((targets[:, 1:] == targets[:, :-1]) & (targets[:, 1:] >= 0)).sum(1)
    return (targets >= 0).sum(1) + repeats <= lengths


def greedy(best: np.ndarray, blank: int) -> np.ndarray:
    """The labels of a best path [emissions]: repeats collapsed, then blanks dropped."""
    kept = np.ones(len(best), dtype=bool)
    kept[1:] = best[1:] != best[:-1]
    labels: np.ndarray = best[kept & (best != blank)]
    return labels


def _example(batch: Batch, read: Read, named: Mapping[str, str]) -> Example:
    """A session's first windows: power per electrode over time, the likeliest keys over time, true and decoded."""
    rows = np.flatnonzero(batch.session.cpu().numpy() == read.session)
    taken = read.log_probs[: sum(read.row_lengths[:EXAMPLE_WINDOWS])]
    probs = np.exp(taken)
    likely = [label for label in range(probs.shape[1] - 1) if probs[:, label].max() > LEAST_LIKELY]
    shown = rows[:EXAMPLE_WINDOWS]
    window = batch.inputs[shown].float().mean(-1).cpu().numpy()  # [rows, frames, 2, 16]
    power = np.round(window.reshape(len(shown), window.shape[1], -1), 2)
    return Example(
        session=named.get("session", ""),
        user=named.get("user", ""),
        power=tuple(tuple(map(tuple, frames)) for frames in power.tolist()),
        past=int(batch.begin[int(rows[0])]),  # the first window of a session lacks exactly its past
        emissions=read.row_lengths[:EXAMPLE_WINDOWS],
        keys={SYMBOLS[label]: tuple(np.round(probs[:, label], 3).tolist()) for label in likely},
        blank=tuple(np.round(probs[:, -1], 3).tolist()),
        reference="".join(_text(row[row >= 0]) for row in batch.targets[shown].cpu().numpy()),
        decoded=_text(greedy(taken.argmax(-1), taken.shape[1] - 1)),
    )


def _text(labels: np.ndarray) -> str:
    return "".join(SYMBOLS[int(label)] for label in labels)
