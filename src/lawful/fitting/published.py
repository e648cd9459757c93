"""Published fits as data: values, what was counted, and where each number stands. The only place that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Published:
    """A fit as its paper gives it.

    law         the formula with its numbers, in N, D and U; empty where the paper gives exponents alone
    family      the laws of the catalogue whose exponents mean the same; none: exponents of the best size alone
    exponents   parameter -> value; stderr: parameter -> its standard error, where the paper gives one
    params      what N counts; tokenizer, data: of the training and of the loss
    where       the place in the paper
    """

    name: str
    source: str
    where: str
    law: str
    family: tuple[str, ...]
    exponents: Mapping[str, float]
    stderr: Mapping[str, float] = field(default_factory=dict)
    params: str
    tokenizer: str
    data: str
    note: str = ""


SEPARABLE = ("chinchilla", "data_constrained", "data_constrained_full", "data_limited")

PUBLISHED = {
    one.name: one
    for one in (
        Published(
            name="hoffmann",
            source="Hoffmann et al. 2022, arXiv:2203.15556",
            where="section 3.3 and appendix D.3, approach 3, as printed",
            law="1.69 + 406.4/N^0.34 + 410.7/D^0.28",
            family=SEPARABLE,
            exponents={"alpha": 0.34, "beta": 0.28, "N_exponent": 0.46, "D_exponent": 0.54},
            params="all, with embeddings",
            tokenizer="SentencePiece, 32,000",
            data="MassiveText",
            note="Exponents are rounded in print; besiroglu is a refit of the paper's own points.",
        ),
        Published(
            name="besiroglu",
            source="Besiroglu et al. 2024, arXiv:2404.10102",
            where="equation 4 and table 1; standard errors by their bootstrap",
            law="1.8172 + 482.01/N^0.3478 + 2085.43/D^0.3658",
            family=SEPARABLE,
            exponents={"alpha": 0.3478, "beta": 0.3658},
            stderr={"alpha": 0.02, "beta": 0.02},
            params="all, with embeddings",
            tokenizer="SentencePiece, 32,000",
            data="MassiveText",
            note="A refit of points read off figure 4 of hoffmann.",
        ),
        Published(
            name="kaplan",
            source="Kaplan et al. 2020, arXiv:2001.08361",
            where="table 2, the joint fit of L(N, D)",
            law="((6.4e13/N)^(0.076/0.103) + 1.8e13/D)^0.103",
            family=("kaplan",),
            exponents={"alpha_N": 0.076, "alpha_D": 0.103},
            params="without embeddings",
            tokenizer="byte pairs, 50,257",
            data="WebText2",
            note="Learning rates were not decayed to the end of each run, which lowers the exponents (hoffmann).",
        ),
        Published(
            name="muennighoff",
            source="Muennighoff et al. 2023, arXiv:2305.16264",
            where="appendix A, with alpha = beta",
            law="1.87 + 521/N^0.353 + 1488/D^0.353",
            family=SEPARABLE,
            exponents={"alpha": 0.353, "beta": 0.353, "R_D": 15.39, "R_N": 5.31},
            params="not said",
            tokenizer="byte pairs of GPT-2, 50,257",
            data="C4",
            note="The law is that of data that do not repeat. Repeats: R_D* = 15.39 for tokens, R_N* = 5.31 for size.",
        ),
        Published(
            name="llama3",
            source="Grattafiori et al. 2024 (Llama 3), arXiv:2407.21783",
            where="section 3.2.1: tokens 0.29 C^0.53 at the optimum",
            law="",
            family=(),
            exponents={"D_exponent": 0.53, "N_exponent": 0.47},
            params="not said",
            tokenizer="tiktoken, 128,000",
            data="their own",
            note="Printed with two digits; 16.55 T tokens at 3.8e25 FLOPs, as they extrapolate, would need 0.537.",
        ),
        Published(
            name="steplaw",
            source="Li et al. 2025 (Step Law), arXiv:2503.04715",
            where="equation 1: best rate 1.79 N^-0.713 D^0.307, best batch 0.58 D^0.571 (tokens)",
            law="",
            family=("learning_rate_batch",),
            exponents={"a": 0.713, "b": 0.307, "e": 0.571},
            params="without embeddings",
            tokenizer="their own, 65,536",
            data="their own",
        ),
    )
}
