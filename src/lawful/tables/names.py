"""Names of columns: what is left of `config.n_params (M)` when prefixes and units are taken off."""

from __future__ import annotations

import re
from dataclasses import dataclass

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
    """

    key: str
    path: str
    last: str
    letter: str
    unit: float = 1.0
    unit_name: str = ""


def name_of(column: str) -> Name:
    """The parts of a column's name."""
    bare, unit, unit_name = _without_unit(column)
    parts = [part for part in re.split(r"[./]", bare) if part]
    own = list(parts)
    while len(own) > 1 and _key(own[0]) in PREFIXES:
        own.pop(0)
    letter = own[-1].strip() if own and len(own) == 1 and re.fullmatch("[A-Z]", own[-1].strip()) else ""
    last = _FLAT_PREFIX.sub("", _key(own[-1])) if own else ""
    return Name(_key(bare), _key("_".join(own)), last, letter, unit, unit_name)


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
        return column[: found.start()], UNITS.get(words) or UNITS.get(said.lower(), 1.0), said
    for i in range(len(column) - 1, 0, -1):
        tail = column[i + 1 :]
        if column[i] in " _.-" and (unit := UNITS.get(tail.lower())) and (len(tail) > 1 or column[i] == "_"):
            return re.sub(r"[ _]in$", "", column[:i]), unit, tail
    if (unit := UNITS.get(column.lower())) == PF_DAY:
        return "compute", unit, column
    return column, 1.0, ""
