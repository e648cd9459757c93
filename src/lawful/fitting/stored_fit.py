"""A fit read back from its JSON, with its law checked against the losses that it recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from lawful import laws
from lawful.checks import shown
from lawful.errors import DeclarationError, StoreError
from lawful.fitting.older import from_format_2
from lawful.fitting.records import FitRecord
from lawful.laws import Axes, Law
from lawful.storage.codec import converted
from lawful.storage.json_files import Json

FORMAT = 3  # 1 held the law as text; 2 the runs left out one by one as loose objects
SAME_LOSS = 1e-6  # relative: between the losses that a fit records and those of its law, read back
StoredLaw = str | Mapping[str, Json]  # its class and fields: laws.stored builds it
FindLaw = Callable[[StoredLaw, FitRecord], Law]


def read_stored(raw: Mapping[str, Json], find: FindLaw | None = None, within: str = "") -> tuple[Law, FitRecord]:
    """What `Fit.to_json` wrote, checked. within: its place in the file, for messages.

    find    gives the law: law_of where it is None, which imports nothing
    Raises StoreError where it is no such fit, DeclarationError where its law cannot be had.
    """
    if raw.get("format") not in (1, 2, FORMAT):
        raise DeclarationError(f"expected a fit of format {FORMAT}; it was written by another version of lawful.")
    law = raw.get("law")
    if not isinstance(law, (str, Mapping)):
        raise StoreError(f"{within and f'{within}.'}law: expected a law's class and fields, got {shown(law)}.")
    rest = {name: value for name, value in raw.items() if name not in ("format", "law")}
    record = converted(rest if raw["format"] == FORMAT else from_format_2(rest), FitRecord, within)
    model = (find or law_of)(law, record)
    lengths = {len(draw) for draw in record.draws} - {len(model.parameters)}
    if lengths:
        raise StoreError(
            f"{within and f'{within}.'}draws: expected {len(model.parameters)} parameters in each, got {min(lengths)}."
        )
    return model, record


def law_of(stored: StoredLaw, record: FitRecord, law: str | Law | None = None) -> Law:
    """The law of a stored fit. Raises DeclarationError where it is not at hand (see Fit.from_json), and where it does
    not give the losses that the fit recorded: then it is another law, or has been edited since."""
    model = laws.stored(stored) if law is None else laws.rebuilt(stored, law)
    expect_same_losses(model, record)
    return model


def expect_same_losses(law: Law, record: FitRecord) -> None:
    known = [row.axes for row in record.residuals]
    if lacking := [name for name in law.parameters if name not in record.params]:
        raise DeclarationError(f"law: {law.spec} has {', '.join(lacking)}, which this fit lacks: it is of another law.")
    if any(axis not in at for axis in law.inputs for at in known):
        raise DeclarationError(f"law: {law.spec} reads {', '.join(law.inputs)}; this fit is of another law.")
    if lacking := [axis for axis in law.inputs if axis not in record.data.pivot]:
        raise DeclarationError(f"law: {law.spec} reads {', '.join(lacking)}; this fit is of another law.")
    if not known:
        return
    values = {name: record.params[name].value for name in law.parameters}
    with np.errstate(all="ignore"):
        at = Axes.of({axis: [one[axis] for one in known] for axis in law.inputs}, record.data.pivot)
        losses = law.predict(values, at)
    recorded = np.array([row.predicted for row in record.residuals])
    if not np.allclose(losses, recorded, rtol=SAME_LOSS, atol=0, equal_nan=True):
        row = int(np.argmax(~np.isclose(losses, recorded, rtol=SAME_LOSS, atol=0, equal_nan=True)))
        raise DeclarationError(
            f"law: {law.spec} gives {losses[row]:.6g} where this fit recorded {recorded[row]:.6g} (row {row + 1}): it "
            "is another law than the one that was fitted, or was changed since. Fit again."
        )
