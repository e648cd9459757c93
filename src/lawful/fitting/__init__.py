"""Fitting and questioning: laws fitted to a table of runs, with the uncertainty a reader needs. Never torch."""

from __future__ import annotations

from lawful.errors import Refusal
from lawful.fitting.estimate import fit
from lawful.fitting.result import Caution, Fit, Parameter, Prediction

__all__ = ["Caution", "Fit", "Parameter", "Prediction", "Refusal", "fit"]
