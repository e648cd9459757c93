"""Every code of a refusal or a warning: what was seen, what to do. docs/errors.md and `lawful explain` show it."""

from __future__ import annotations

from collections.abc import Mapping

from lawful.codes.cautions import CAUTIONS
from lawful.codes.code import Code
from lawful.codes.confounds import CONFOUNDS
from lawful.codes.refusals import REFUSALS

CODES: Mapping[str, Code] = {**REFUSALS, **CAUTIONS, **CONFOUNDS}
