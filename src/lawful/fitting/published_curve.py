"""A published law as a curve: its losses at sizes and data, and whether it can be drawn beside a fit."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from lawful.checks import nearest
from lawful.errors import DeclarationError
from lawful.fitting.published import PUBLISHED, Published
from lawful.formula import derivatives
from lawful.formula.parse import In, Name, Node, parse, replaced
from lawful.laws import Array
from lawful.response import Response, expect_loss

SAME_DATA = "same-data"
LETTERS = {"N": "params", "D": "tokens"}


def published_of(name: str) -> tuple[Published, bool]:
    """By NAME, or NAME:same-data; and whether that was said. Raises DeclarationError for an unknown name."""
    key, _, said = name.partition(":")
    if key not in PUBLISHED or said not in ("", SAME_DATA):
        known = nearest(key, list(PUBLISHED))
        raise DeclarationError(f"against: expected NAME or NAME:{SAME_DATA}, got {name!r}; NAME is one of {known}.")
    return PUBLISHED[key], said == SAME_DATA


def drawable(name: str, inputs: Collection[str], law: str, response: Response, loss_unit: str) -> Published:
    """A published law to draw beside a fit. Raises DeclarationError where it cannot be, with the reason.

    inputs, law   of the fit
    loss_unit     of its losses; empty where it is not known
    """
    one, _ = published_of(name)
    expect_loss(response, "against")
    if not one.law:
        raise DeclarationError(f"against: {one.name} gives no law of the loss, so no curve can be drawn.")
    if not set(LETTERS.values()) <= set(inputs):
        raise DeclarationError(
            f"against: the curve of {one.name} needs N and D, and {law} reads {' and '.join(inputs)}. Fit a law of "
            "both (--law chinchilla), or leave the picture or --against out."
        )
    if loss_unit not in ("", "nats per token"):
        raise DeclarationError(f"against: losses are in {loss_unit} here, and in nats per token in {one.name}.")
    return one


def curve_name(one: Published) -> str:
    """For a legend: whose curve it is, and of which data."""
    return f"{one.name}, published ({one.data})"


def losses_of(one: Published, size: Array | float, tokens: Array | float) -> Array:
    """The losses of a published law whose parameters are all known."""
    tree = replaced(parse(one.law), lambda leaf: In(LETTERS[leaf.name]) if isinstance(leaf, Name) else leaf)
    sizes, lengths = np.broadcast_arrays(np.asarray(size, dtype=float), np.asarray(tokens, dtype=float))
    return np.asarray(_value(tree, {"params": sizes, "tokens": lengths}))


def _value(tree: Node, at: dict[str, Array]) -> Array:
    logs = {axis: np.log(values) for axis, values in at.items()}
    return np.asarray(derivatives.plain(tree, derivatives.Point(logs, {}, {}, {}, has_slopes=False)).value)
