"""Fitting and questioning: laws fitted to a table of runs, with the uncertainty a reader needs. Never torch."""

from __future__ import annotations

from lawful.errors import Refusal
from lawful.fitting.estimate import fit
from lawful.fitting.records import Parameter, Prediction
from lawful.fitting.result import Fit
from lawful.schema import Warning

__all__ = ["Warning", "Fit", "Parameter", "Prediction", "Refusal", "fit"]
