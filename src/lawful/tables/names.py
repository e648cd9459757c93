"""Names of columns: what is left of `config.n_params (M)` when prefixes and units are taken off."""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass, replace

PF_DAY = 1e15 * 86400  # FLOPs
# what a name may say of the unit of its numbers -> how many there are in one
UNITS = {
    **dict.fromkeys(("k", "thousand", "thousands"), 1e3),
    **dict.fromkeys(("m", "mio", "mn", "million", "millions"), 1e6),
    **dict.fromkeys(("b", "bn", "billion", "billions", "g"), 1e9),
    **dict.fromkeys(("t", "tn", "trillion", "trillions"), 1e12),
    **dict.fromkeys(("pf-days", "pf-day", "pfdays", "pf_days", "pf days", "petaflop-days", "petaflop/s-days"), PF_DAY),
    **dict.fromkeys(("gflops", "gflop"), 1e9),
    **dict.fromkeys(("tflops", "tflop", "teraflops"), 1e12),
    **dict.fromkeys(("pflops", "pflop", "petaflops"), 1e15),
    **dict.fromkeys(("eflops", "eflop", "exaflops"), 1e18),
    **dict.fromkeys(("zflops", "zflop", "zettaflops"), 1e21),
}
# before a name, in the exports of trackers: where a value was logged or declared, not what it is
PREFIXES = frozenset(
    "summary metrics metric params param config hparams hparam hyperparameters args values data".split()
)
_FLAT_PREFIX = re.compile(r"^(?:params|user_attrs|values?)_(?=.)")  # as Optuna's trials_dataframe writes them
# what a name may say of the unit of a loss -> that unit
LOSS_UNITS = {
    **dict.fromkeys(("nats", "nat", "nats_token", "nats_per_token"), "nats"),
    **dict.fromkeys(("bits", "bit", "bits_token", "bits_per_token"), "bits"),
    **dict.fromkeys(("bits_byte", "bits_per_byte", "bpb"), "bits per byte"),
    **dict.fromkeys(
        ("bits_character", "bits_per_character", "bits_char", "bits_per_char", "bpc"), "bits per character"
    ),
}
# what brackets may say of a count that its name says, too; any other words there are a part of the name:
# `tokens (per second)` is no number of tokens
_NOTHING_NEW = frozenset(
    "n d c l n_d count counts number total_count 6nd c_6nd tokens token params parameters parameter flops flop".split()
)
_OF_LETTERS = frozenset(
    "non_embedding non_emb non_embedding_params non_embedding_parameters model_size training_tokens train_tokens "
    "tokens_seen compute training_compute loss val_loss validation_loss test_loss".split()
)
LOSS_WORDS = frozenset("loss losses nll ce xent entropy".split())
_LOG = re.compile(r"\s*(?P<log>(?i:log_?10|log_?2|ln|log))(?:\s*[(_\- ]\s*|(?=[A-Z]))(?P<rest>[^\s_()\-].*?)\)?\s*")
BASES = {"log10": 10.0, "log2": 2.0, "ln": math.e, "log": math.nan}  # log: of 10, or of e
_IN_BRACKETS = re.compile(r"\s*[(\[]\s*(?:in\s+)?([^()\[\]]+?)\s*[)\]]\s*$")
_POWER = re.compile(r"(?:x\s*)?(?:1e|10\^|10\*\*)(\d+)")


@dataclass(frozen=True)
class Name:
    """key        in small letters, words joined by _: val_loss of `val/loss`, `valLoss` and `Val Loss`
    path       the key without the prefixes that trackers write
    last       of a nested name a.b, the key of its last part, without the prefix of a flat name params_x
    letter     the name itself, where it is one capital letter
    unit       how many are in one of the unit that the name gives; 1 where it gives none
    unit_name  that unit, as it is written
    before     the words of the parts of the path before the last
    measure    the unit that the name gives of a loss: nats, bits, bits per byte
    base       of a name such as log10_params, the base of the logarithm, NaN where it is not known; else 0
    of         then the name of what the logarithm is taken of
    """

    key: str
    path: str
    last: str
    letter: str
    unit: float = 1.0
    unit_name: str = ""
    before: frozenset[str] = frozenset()
    measure: str = ""
    base: float = 0.0
    of: Name | None = None


@functools.lru_cache(maxsize=100_000)  # each name is looked at for each role
def name_of(column: str) -> Name:
    """The parts of a column's name."""
    if log := _LOG.fullmatch(column):
        base = BASES[log["log"].lower().replace("_", "")]
        key = _key(column)
        return Name(key, key, key, "", base=base, of=name_of(log["rest"]))
    name = _plain_name(re.sub(r"±|\+/?-", " pm ", column))
    for words, measure in LOSS_UNITS.items():
        rest = name.path.removesuffix(f"_{words}")
        if rest != name.path and LOSS_WORDS & set(rest.split("_")):
            return replace(name, path=rest, last=name.last.removesuffix(f"_{words}"), measure=measure)
    return replace(name, measure=LOSS_UNITS.get(_key(name.unit_name), ""))


def _plain_name(column: str) -> Name:
    bare, unit, unit_name = _without_unit(column.removeprefix("user_attrs_"))  # as a frame of Optuna has it
    parts = [part for part in re.split(r"[./]", bare) if part]
    own = list(parts)
    while len(own) > 1 and _key(own[0]) in PREFIXES:
        own.pop(0)
    letter = own[-1].strip() if own and len(own) == 1 and re.fullmatch("[A-Z]", own[-1].strip()) else ""
    last = _FLAT_PREFIX.sub("", _key(own[-1])) if own else ""
    before = frozenset(word for part in own[:-1] for word in _key(part).split("_"))
    return Name(_key(bare), _key("_".join(own)), last, letter, unit, unit_name, before)


def _key(text: str) -> str:
    """HeldOut, held.out (as R writes a space), HELD_OUT and Held Out are held_out."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text).lower()
    return re.sub(r"[\W_]+", "_", words).strip("_")


def _without_unit(column: str) -> tuple[str, float, str]:
    """The name, and the unit that it gives in brackets or as its last word."""
    if found := _IN_BRACKETS.search(column):
        said = found[1].strip()
        if (power := _POWER.fullmatch(said)) and len(power[1]) < 3:
            return column[: found.start()], 10.0 ** int(power[1]), said
        words = re.sub(r"\b(?:tokens?|params?|parameters|flops?)\b", "", said.lower()).strip()
        if unit := UNITS.get(words) or UNITS.get(said.lower()):
            return column[: found.start()], unit, said
        rest, words = column[: found.start()], _key(said)
        is_letter = re.fullmatch(r"\s*[A-Z]\s*", rest)
        if words in _NOTHING_NEW or words in LOSS_UNITS or (is_letter and words in _OF_LETTERS):
            return rest, 1.0, said
        return column, 1.0, ""
    for i in range(len(column) - 1, 0, -1):
        tail = column[i + 1 :]
        if (
            column[i] in " _.-"
            and (unit := UNITS.get(tail.lower()))
            and (len(tail) > 1 or (column[i] == "_" and i > 1) or re.search(r"[ _]in$", column[:i]))
        ):
            return re.sub(r"[ _]in$", "", column[:i]), unit, tail
    if (unit := UNITS.get(column.lower())) == PF_DAY:
        return "compute", unit, column
    return column, 1.0, ""
