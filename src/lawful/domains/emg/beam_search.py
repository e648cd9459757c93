"""Prefix beam search over CTC's scores (Hannun et al. 2014, arXiv:1408.2873), with a character language model."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from lawful.domains.emg.language_model import LanguageModel, State
from lawful.domains.emg.tokenizers.keys import BACKSPACE, SYMBOLS

NEVER = -math.inf
# A label less likely than this at an emission does not begin there (emg2qwerty's decoder has no such rule): nine
# emissions of ten are blanks beyond doubt, and trying ten labels of 50 prefixes at each of them is nearly all the time
LEAST_BEGUN = 1e-4


def beam_search(
    log_probs: np.ndarray,
    *,
    beam: int = 50,
    top: int = 10,
    least: float = LEAST_BEGUN,
    language_model: LanguageModel | None = None,
    weight: float = 1.0,
    bonus: float = 0.0,
) -> np.ndarray:
    """The likeliest labels that are found. log_probs: [emissions, classes], nats, the blank last.

    beam, top       prefixes kept, and classes tried (the blank is one), at each emission; 50 and 10 as the emg2qwerty
                    baseline has them
    least           the probability below which a label is not tried at an emission
    language_model  of the text as it stands on the page: a backspace takes back the character before it and what that
                    was scored
    weight, bonus   of the language model's log-probability (nats), and added for each character that it scores;
                    the baseline has 2 (of log10: 0.8686 here) and 2
    """
    blank = log_probs.shape[1] - 1
    floor = math.log(least) if least > 0 else NEVER
    root = _Prefix(-1, None, None if language_model is None else _Page(language_model.begin, 0.0, None))
    root.in_blank = 0.0
    kept = [root]
    tried_at = np.argsort(-log_probs, axis=1, kind="stable")[:, :top].tolist()
    for row, tried in zip(log_probs.astype(float).tolist(), tried_at, strict=True):
        touched: list[_Prefix] = []
        for prefix in kept:
            both = _add(prefix.in_blank, prefix.in_label)
            _reach(prefix, touched)
            for label in tried:
                if label == blank:
                    prefix.next_blank = _add(prefix.next_blank, both + row[blank])
                    continue
                if label == prefix.label:
                    prefix.next_label = _add(prefix.next_label, prefix.in_label + row[label])
                before = prefix.in_blank if label == prefix.label else both
                if before == NEVER or row[label] < floor:
                    continue
                longer = prefix.longer.get(label)
                if longer is None:
                    longer = prefix.longer[label] = _grown(prefix, label, language_model, weight, bonus)
                _reach(longer, touched)
                longer.next_label = _add(longer.next_label, before + row[label])
        for prefix in touched:
            prefix.in_blank, prefix.in_label, prefix.is_touched = prefix.next_blank, prefix.next_label, False
        if len(touched) > beam:
            touched.sort(key=_score, reverse=True)
        for place, prefix in enumerate(touched):
            prefix.is_kept = place < beam
        for prefix in touched[beam:]:
            _forget(prefix)
        kept = touched[:beam]
    return np.array(max(kept, key=_score).labels(), dtype=np.int64)


class _Page(NamedTuple):
    """The text that stands on the page: its state in the language model, what its last character added to the score,
    and the page before that character."""

    state: State
    gain: float
    before: _Page | None


class _Prefix:
    """Labels so far, as a tree; log-probabilities of having written just these, ending in a blank or in the last label.

    page: where there is a language model
    extra: what the language model adds
    """

    __slots__ = (
        "extra", "in_blank", "in_label", "is_kept", "is_touched", "label", "longer", "next_blank", "next_label",
        "page", "shorter",
    )  # fmt: skip

    def __init__(self, label: int, shorter: _Prefix | None, page: _Page | None, extra: float = 0.0) -> None:
        self.label, self.shorter, self.page, self.extra = label, shorter, page, extra
        self.longer: dict[int, _Prefix] = {}
        self.in_blank = self.in_label = self.next_blank = self.next_label = NEVER
        self.is_touched, self.is_kept = False, True

    def labels(self) -> list[int]:
        found, at = [], self
        while at.shorter is not None:
            found.append(at.label)
            at = at.shorter
        return found[::-1]


def _grown(prefix: _Prefix, label: int, model: LanguageModel | None, weight: float, bonus: float) -> _Prefix:
    symbol, page = SYMBOLS[label], prefix.page
    if model is None or page is None:
        return _Prefix(label, prefix, None)
    if symbol == BACKSPACE:
        return _Prefix(label, prefix, page.before or page, prefix.extra - page.gain)
    if not model.scores(symbol):
        return _Prefix(label, prefix, page, prefix.extra)
    log_prob, state = model.type(page.state, symbol)
    gain = weight * log_prob + bonus
    return _Prefix(label, prefix, _Page(state, gain, page), prefix.extra + gain)


def _reach(prefix: _Prefix, touched: list[_Prefix]) -> None:
    if not prefix.is_touched:
        prefix.is_touched = True
        prefix.next_blank = prefix.next_label = NEVER
        touched.append(prefix)


def _forget(prefix: _Prefix) -> None:
    """Cut off a prefix that is not kept, and what stood only for its sake: the tree stays as small as the beam."""
    at = prefix
    while not (at.is_kept or at.longer or at.shorter is None):
        shorter = at.shorter
        shorter.longer.pop(at.label, None)
        at = shorter


def _score(prefix: _Prefix) -> float:
    return _add(prefix.in_blank, prefix.in_label) + prefix.extra


def _add(first: float, second: float) -> float:
    """log(exp(first) + exp(second))."""
    if first < second:
        first, second = second, first
    return first if second == NEVER else first + math.log1p(math.exp(second - first))
