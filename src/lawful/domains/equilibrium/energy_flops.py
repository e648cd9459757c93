"""What the parts of an energy model cost: a family counts them, a rule says how often it takes each."""

from __future__ import annotations

from typing import NamedTuple


class EnergyFlops(NamedTuple):
    """FLOPs per token of clamping the memory, of dPhi/dh, of Phi, of Phi's gradient by the parameters and the clamped
    memory at a given state, of the readout, and of an accelerated step beside dPhi/dh."""

    clamp: int
    force: int
    potential: int
    potential_backward: int
    readout: int
    acceleration: int
