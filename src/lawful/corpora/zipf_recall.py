"""zipf_recall: keys to be remembered, drawn from a Zipf law, so that the floor and both exponents are known exactly."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, final

import numpy as np

from lawful.checks import NaturalInt, NonNegativeFloat, PositiveInt, Within, field_problems, refuse
from lawful.corpora import Built, Progress, TokenCorpus
from lawful.errors import DataError
from lawful.tokenizers import Tokenizer
from lawful.tokenizers.characters import Characters

RULES = 1  # raised when the same fields give other tokens
# printable ASCII first, so that small alphabets are one byte a symbol; then letters of other scripts
SYMBOLS = [*range(ord("!"), ord("~") + 1), *range(0x100, 0xD800)]
MAX_KEYS = 2**24  # drawn from tables in memory


@final
@dataclass(frozen=True, kw_only=True)
class ZipfRecall(TokenCorpus):
    """Blocks of a key's digits and a value; only the value is to be predicted.

    The key of rank k has the probability p_k = k**-(1 + a) / sum(j**-(1 + a)), and a value of its own, drawn once. What
    stands in a block is that value, or with probability `label_noise` another one, each as likely. So, in nats:

        floor     E = -(1 - q) log(1 - q) - q log(q / (values - 1)), with q = label_noise
        size      who knows the K most frequent keys and guesses the others: E + (log(values) - E) sum(p_k, k > K),
                  an excess that falls as K**-a
        data      a key is learned once it was seen a few times: after D samples the excess falls as D**-(a / (1 + a))

    Both powers hold where K, and D**(1 / (1 + a)), are far above 1 and far below num_keys; excess_nats() is exact.

    a, num_keys              the Zipf law
    is_ranked                a key's digits say its rank, the most frequent 0; else ranks and digits are unrelated
    digits                   symbols a key is written with, in base `base`
    train_samples            blocks; a run of D samples trains on D * (digits + 1) tokens
    validation_samples       blocks; drawn in equal shares of probability, and with exactly the expected number of noisy
                             values, so that the best possible loss on them is E, up to rounding of that number
    seed                     of values, digits and samples
    """

    name: ClassVar[str] = "zipf_recall"
    licence: ClassVar[str] = "none needed: random numbers"
    source: ClassVar[str] = "drawn on this machine from the seed"

    tokenizer: Tokenizer = field(default=Characters(alphabet="!"))  # follows from the other fields
    a: Annotated[float, Within(above=0, at_most=4)] = 0.5
    num_keys: Annotated[int, Within(at_least=2, at_most=MAX_KEYS)] = 2**18
    is_ranked: bool = False
    digits: PositiveInt = 3
    values: Annotated[int, Within(at_least=2)] = 16
    label_noise: NonNegativeFloat = 0.1
    train_samples: PositiveInt = 200_000
    validation_samples: PositiveInt = 20_000
    seed: NaturalInt = 0

    def __post_init__(self) -> None:
        wrong = field_problems(self)
        problems = list(wrong.values())
        if "tokenizer" not in wrong and not isinstance(self.tokenizer, Characters):
            problems.append(f"tokenizer: expected none, since its symbols are its own, got {self.tokenizer.name}")
        if wrong.keys() & {"num_keys", "digits", "values", "label_noise"}:
            pass  # said already
        elif self.base + self.values > len(SYMBOLS):
            problems.append(
                f"expected at most {len(SYMBOLS):,} symbols, got {self.base + self.values:,}; use more digits"
            )
        elif not self.label_noise < 1 - 1 / self.values:
            problems.append(
                f"label_noise: expected 0 to below {1 - 1 / self.values:.3g}, so that a key's own value is its "
                f"likeliest, got {self.label_noise}"
            )
        refuse("ZipfRecall", problems)
        symbols = "".join(map(chr, SYMBOLS[: self.base + self.values]))
        object.__setattr__(self, "tokenizer", Characters(alphabet=symbols))

    @property
    def base(self) -> int:
        """The smallest whose `digits`-digit numbers are enough for all keys."""
        base: int = max(2, round(self.num_keys ** (1 / self.digits)))
        while base**self.digits < self.num_keys:
            base += 1
        while base > 2 and (base - 1) ** self.digits >= self.num_keys:
            base -= 1
        return base

    @property
    def counted_from(self) -> int:
        return self.base

    @property
    def block(self) -> int:
        return self.digits + 1

    @property
    def floor_nats(self) -> float:
        """The entropy of a value whose key is known: the loss of whoever knows everything."""
        q = self.label_noise
        return -(1 - q) * math.log(1 - q) - q * math.log(q / (self.values - 1)) if q else 0.0

    def excess_nats(self, keys_known: int, samples: float = math.inf) -> float:
        """What the loss is above the floor, in expectation, for who guesses all keys but those that are among the
        `keys_known` most frequent and, given `samples`, were seen at least once."""
        known = self._shares()[:keys_known]
        return float((math.log(self.values) - self.floor_nats) * (1 + (known * np.expm1(-samples * known)).sum()))

    def keys_met(self, times: float, samples: int) -> int:
        """The rank of the last key that is met so many times among the samples, in expectation; at least 1."""
        return max(1, int((self._shares() * samples >= times).sum()))

    def _shares(self) -> np.ndarray:
        """Shape (keys,): the probability of each rank."""
        weights = np.arange(1, self.num_keys + 1, dtype=float) ** -(1 + self.a)
        return np.asarray(weights / weights.sum())

    def _source_key(self, data: Path | None) -> str:
        if data is not None:
            raise DataError(f"--data {data}: zipf_recall is drawn from its seed and takes no path.")
        return repr(RULES)

    def _can_read(self, data: Path | None) -> bool:
        return True

    def _build(self, data: Path | None, progress: Progress) -> Built:
        value_of_key = _raw(self.seed, 0, self.num_keys) % np.uint64(self.values)
        code_of_key = np.arange(self.num_keys)
        if not self.is_ranked:
            code_of_key = np.argsort(_raw(self.seed, 1, self.num_keys), kind="stable")  # a permutation
        up_to = np.cumsum(self._shares())
        progress("drawing keys", 0.3)
        train = np.searchsorted(up_to, _uniform(self.seed, 2, self.train_samples))
        is_noisy = _uniform(self.seed, 3, self.train_samples) < self.label_noise

        num = self.validation_samples
        shuffled = np.argsort(_raw(self.seed, 4, num), kind="stable")
        validation = np.searchsorted(up_to, (shuffled + _uniform(self.seed, 5, num)) / num)
        is_noisy_validation = np.argsort(_raw(self.seed, 6, num), kind="stable") < round(self.label_noise * num)

        blocks = []
        for stream, keys, noisy in ((7, train, is_noisy), (8, validation, is_noisy_validation)):
            keys = np.minimum(keys, self.num_keys - 1)  # the shares may sum to a last bit below 1
            shift = 1 + _raw(self.seed, stream, len(keys)) % np.uint64(self.values - 1)
            values = (value_of_key[keys] + np.where(noisy, shift, np.uint64(0))) % np.uint64(self.values)
            blocks.append(self._written(code_of_key[keys], values))
        digest = hashlib.sha256(repr(RULES).encode())
        for tokens in blocks:
            digest.update(tokens.tobytes())
        return Built(
            train=blocks[0],
            validation=blocks[1],
            text_sha256=digest.hexdigest(),
            facts={
                "floor_nats": self.floor_nats,
                "guess_nats": math.log(self.values),
                "size_exponent": self.a,
                "data_exponent": self.a / (1 + self.a),
                "tokens_per_sample": self.block,
            },
        )

    def _written(self, codes: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Blocks of digits and value; then one digit more, so that the last value is a target of a whole window."""
        tokens = np.empty((len(codes), self.block), dtype=np.uint16)
        for place in range(self.digits):
            tokens[:, place] = codes // self.base**place % self.base
        tokens[:, -1] = self.base + values
        return np.append(tokens.ravel(), tokens[0, 0])


def _raw(seed: int, stream: int, num: int) -> np.ndarray:
    """64 random bits each; the raw bits of PCG64 are the same in every version of numpy (NEP 19)."""
    return np.asarray(np.random.PCG64(np.random.SeedSequence((seed, stream))).random_raw(num))


def _uniform(seed: int, stream: int, num: int) -> np.ndarray:
    """From 0 to below 1, in steps of 2**-53."""
    return np.asarray((_raw(seed, stream, num) >> np.uint64(11)) * 2.0**-53)
