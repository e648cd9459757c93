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
        about="the rule's gradient against implicit differentiation at its fixed point, |difference| / |exact|: the "
        "largest of the audits at each evaluation of training and at the final weights",
        header="Gradient error, worst",
    ),
    "unsettled_share": Column(
        unit="share",
        about="of the positions of an audit that gave no gradient, since a phase did not settle or the response to the "
        "smallest nudge was not linear, the largest of all audits",
    ),
    "gradient_steps": Column(
        unit="count", about="settling steps per position of one gradient of EqProp, all phases, final weights"
    ),
    "unrolled_steps": Column(
        unit="count",
        about="the fewest of some numbers of steps through which unrolled backprop has at most the same error, final "
        "weights; empty where none has",
        header="Unrolled steps for the same error",
    ),
    "gradient_flops_ratio": Column(
        unit="number",
        about="FLOPs of one gradient of EqProp to those of unrolled backprop with at most the same error, final "
        "weights",
        header="FLOPs / unrolled",
    ),
    "gradient_seconds_ratio": Column(
        unit="number",
        about="processor seconds of the same two gradients, on a few windows",
        header="Seconds / unrolled",
    ),
}
