"""The columns of models that settle."""

from __future__ import annotations

from lawful.plugins import Column

COLUMNS = {
    "settling_steps": Column(
        unit="count", about="of an energy model on validation: steps taken, a mean over the positions", header="Steps"
    ),
    "settling_residual": Column(
        unit="number", about="what a state was still from its fixed point, a mean over the positions"
    ),
    "settled_share": Column(unit="share", about="of the positions that settled to the tolerance", header="Settled"),
    "gradient_error": Column(
        unit="ratio",
        about="of a rule that does not differentiate: its gradient against backprop through settled states, "
        "final weights",
        header="Gradient error",
    ),
}
