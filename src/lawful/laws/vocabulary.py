"""Loss over the parameters without vocabulary, those of the vocabulary, and the data."""

from __future__ import annotations

from lawful.laws import Law

LAW = Law(
    "E + A1/`params_non_vocab`^alpha1 + A2/`params_vocab`^alpha2 + B/D^beta",
    name="vocabulary",
    source="Tao et al. 2024, arXiv:2407.13623, equation 6",
    bounds={"E": (-20, 20)},
    meaning={
        "E": "floor; below 0 for a loss relative to unigrams",
        "A1": "loss by the other parameters at 1 of them",
        "alpha1": "their exponent",
        "A2": "loss by the parameters of the vocabulary at 1 of them",
        "alpha2": "their exponent",
        "B": "loss by data at D = 1 (D in characters, or in tokens of one fixed tokenizer)",
        "beta": "its exponent",
    },
    when="Several vocabularies, and a loss that compares over them: bits per byte, or relative to unigrams.",
    when_not="Losses per token of different tokenizers: they are of different units.",
)
