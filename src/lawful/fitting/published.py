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

    Every number was compared with a text of its paper, and where that was not at hand with two others that quote it.
    What could not be confirmed says "not checked".
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
            where="section 3.3, table 2 and appendix D.2 (equation 10), approach 3, as printed",
            law="1.69 + 406.4/N^0.34 + 410.7/D^0.28",
            family=SEPARABLE,
            exponents={"alpha": 0.34, "beta": 0.28, "N_exponent": 0.46, "D_exponent": 0.54},
            params="all, with embeddings",
            tokenizer="SentencePiece (size of the vocabulary not checked)",
            data="MassiveText",
            note="Rounded in print: besiroglu found alpha 0.3392 and beta 0.2849 in its source, and refit its points.",
        ),
        Published(
            name="besiroglu",
            source="Besiroglu et al. 2024, arXiv:2404.10102",
            where="equation 3; standard errors by their bootstrap, as printed with two digits",
            law="1.8172 + 482.01/N^0.3478 + 2085.43/D^0.3658",
            family=SEPARABLE,
            exponents={"alpha": 0.3478, "beta": 0.3658},
            stderr={"alpha": 0.02, "beta": 0.02},
            params="all, with embeddings",
            tokenizer="SentencePiece (size of the vocabulary not checked)",
            data="MassiveText",
            note="A refit of points read off figure 4 of hoffmann.",
        ),
        Published(
            name="kaplan",
            source="Kaplan et al. 2020, arXiv:2001.08361",
            where="section 4.2, table 2: the joint fit of L(N, D), with dropout and early stopping",
            law="((6.4e13/N)^(0.076/0.103) + 1.8e13/D)^0.103",
            family=("kaplan",),
            exponents={"alpha_N": 0.076, "alpha_D": 0.103},
            params="without embeddings",
            tokenizer="byte pairs, 50,257",
            data="WebText2",
            note="One learning rate schedule for all runs: losses of shorter ones come out high (hoffmann, section 2).",
        ),
        Published(
            name="muennighoff",
            source="Muennighoff et al. 2023, arXiv:2305.16264",
            where="appendix A, fitted on C4 with alpha = beta",
            law="1.87 + 521/N^0.353 + 1488/D^0.353",
            family=SEPARABLE,
            exponents={"alpha": 0.353, "beta": 0.353, "R_D": 15.39, "R_N": 5.31},
            params="not checked",
            tokenizer="byte pairs of GPT-2, 50,257",
            data="C4",
            note="The law is that of data that do not repeat. Repeats: R_D* = 15.39 for tokens, R_N* = 5.31 for size.",
        ),
        Published(
            name="llama3",
            source="Grattafiori et al. 2024 (Llama 3), arXiv:2407.21783",
            where="section 3.2.1: tokens 0.29 C^0.53 at the optimum; N_exponent is what 6 N D leaves",
            law="",
            family=(),
            exponents={"D_exponent": 0.53, "N_exponent": 0.47},
            params="not said",
            tokenizer="tiktoken and 28,000 more, 128,000",
            data="their own",
            note="Two digits in the text; figure 3 has 0.537 and 0.299, near their 16.55 T tokens for 3.8e25 FLOPs.",
        ),
        Published(
            name="steplaw",
            source="Li et al. 2025 (Step Law), arXiv:2503.04715",
            where="best rate 1.79 N^-0.713 D^0.307, best batch 0.58 D^0.571 (tokens)",
            law="",
            family=("learning_rate_batch",),
            exponents={"a": 0.713, "b": 0.307, "e": 0.571},
            params="without the vocabulary's",
            tokenizer="not checked",
            data="their own",
        ),
    )
}
