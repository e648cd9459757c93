"""Refusals of rows that are no sample of one curve: several units, schedules or corpora in one fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lawful.errors import Refusal
from lawful.tables import Observations

# columns that must agree over one fit, and what goes wrong where they do not
ONE_VALUE = {
    "loss_unit": ("mixed_loss_units", "losses in different units are not one curve"),
    "schedule": ("mixed_schedules", "schedules differ by .07 to .25 nats at equal budget, which the law would absorb"),
    "decay_fraction": ("mixed_schedules", "a longer decay ends at another loss, which the law would absorb"),
    "rate_floor": ("mixed_schedules", "a lower floor of the rate ends at another loss, which the law would absorb"),
    "data_fingerprint": ("mixed_data", "runs on different data are never pooled"),
}


def refuse_mixtures(observations: Observations) -> None:
    for name, (code, why) in ONE_VALUE.items():
        if name == "data_fingerprint" and _are_cuts_of_one_text(observations):
            continue
        if name in observations.columns:
            found = sorted({str(value) for value in observations.values(name) if value not in (None, "")})
            if len(found) > 1:
                raise Refusal(
                    code,
                    f"{name}: expected one value in one fit, got {', '.join(found)}; {why}. "
                    f"Fit them apart, or filter with where.",
                )
    if "is_decayed" in observations.columns:
        undecayed = [row for row in observations if row.get("is_decayed") is False]
        if undecayed and len(undecayed) < len(observations):
            raise Refusal(
                "undecayed_losses",
                f"{len(undecayed)} of {len(observations)} losses were taken before the "
                "learning rate had decayed; they are not final losses. Leave them out, or fit them apart.",
            )
    _refuse_seconds_of_decays(observations)
    if any(row.get("masks_padding") is False for row in observations):
        raise Refusal(
            "padding_in_loss",
            "masks_padding is no for some runs: padding counts in their loss, which then "
            "depends on the batch. Evaluate again with padding masked.",
        )


def _are_cuts_of_one_text(observations: Observations) -> bool:
    """Whether the runs have the same validation data, and either one size of text or are fitted by it."""
    for name in ("validation_fingerprint", "corpus"):
        found = {row.get(name) for row in observations}
        if len(found) != 1 or found <= {None, ""}:
            return False
    is_axis = observations.roles.get("tokens") == "unique_tokens"
    return is_axis or len({row.get("unique_tokens") for row in observations}) == 1


def _refuse_seconds_of_decays(observations: Observations) -> None:
    """Refuse tables from before 2026-11, in which `seconds` of a branch counted its decay alone (there was no
    seconds_spent). With a decay of a fifth, that is 5 times too few; it turned an exponent of .98 into 1.68."""
    is_own = {"study", "cluster", "steps", "flops"} <= set(observations.columns)
    if not is_own or "seconds" not in observations.roles.values():
        return
    longest: dict[Any, float] = {}
    for row in observations:
        longest[row.get("cluster")] = max(longest.get(row.get("cluster"), 0.0), float(row.get("steps") or 0))

    def is_of_decay(row: Mapping[str, Any]) -> bool:
        if row.get("seconds_spent") not in (None, ""):
            return False
        if row.get("flops_spent") not in (None, ""):
            return float(row["flops_spent"]) < 0.999 * float(row["flops"])  # a table may be rounded
        # the oldest tables do not say what was spent: in a cluster, all but the longest may be branches
        return float(row.get("steps") or 0) < longest[row.get("cluster")]

    if partial := sum(map(is_of_decay, observations)):
        raise Refusal(
            "seconds_of_decay",
            f"seconds: {partial} of {len(observations)} runs are branches of a trunk whose seconds are of their decay "
            "alone: an earlier version of lawful recorded them so. Train them again in a new folder, fit another "
            "column (flops), or add a column seconds_per_step x steps to the table and name that.",
        )
