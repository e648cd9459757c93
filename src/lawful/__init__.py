"""lawful: small training runs turned into a scaling law that can be trusted.

The public names are below; each is imported when it is first used, so that `import lawful` costs nothing and
the analysis never loads torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lawful import log
    from lawful.campaign import run_campaign
    from lawful.command import Command, JSONLines, LogPattern, TableFile
    from lawful.conduct import run_study
    from lawful.fitting import Fit, fit
    from lawful.fitting.allocate import allocate
    from lawful.fitting.compare import compare
    from lawful.fitting.crossover import crossover
    from lawful.fitting.design import design, power
    from lawful.fitting.discover import discover
    from lawful.fitting.gate import gate
    from lawful.fitting.holdout import holdout
    from lawful.fitting.isoflop import isoflop
    from lawful.fitting.isoflop_plan import isoflop_plan
    from lawful.fitting.metrics import fit_metrics
    from lawful.fitting.next_runs import next_runs
    from lawful.fitting.optima import optimum
    from lawful.fitting.replay import replay
    from lawful.fitting.result import load
    from lawful.fitting.simulate_campaign import simulate_campaign
    from lawful.fitting.stopping import has_reached
    from lawful.fitting.table_check import check
    from lawful.fitting.transfer import transfer
    from lawful.laws import Law
    from lawful.run import AdamW, Run, Schedule
    from lawful.study import Question, Range, Rung, Study, grid
    from lawful.tables import Observations, read_runs

__version__ = "0.2.0"

__all__ = [
    "AdamW",
    "Command",
    "Fit",
    "JSONLines",
    "Law",
    "LogPattern",
    "Observations",
    "Question",
    "Range",
    "Run",
    "Rung",
    "Schedule",
    "Study",
    "TableFile",
    "__version__",
    "allocate",
    "check",
    "compare",
    "crossover",
    "design",
    "discover",
    "fit",
    "fit_metrics",
    "gate",
    "grid",
    "has_reached",
    "holdout",
    "isoflop",
    "isoflop_plan",
    "load",
    "log",
    "next_runs",
    "optimum",
    "power",
    "read_runs",
    "replay",
    "run_campaign",
    "run_study",
    "simulate_campaign",
    "transfer",
]

_HOMES = {
    "AdamW": "lawful.run",
    "Command": "lawful.command",
    "Fit": "lawful.fitting",
    "JSONLines": "lawful.command",
    "Law": "lawful.laws",
    "LogPattern": "lawful.command",
    "Observations": "lawful.tables",
    "Question": "lawful.study",
    "Range": "lawful.study",
    "Run": "lawful.run",
    "Rung": "lawful.study",
    "Schedule": "lawful.run",
    "Study": "lawful.study",
    "TableFile": "lawful.command",
    "allocate": "lawful.fitting.allocate",
    "check": "lawful.fitting.table_check",
    "compare": "lawful.fitting.compare",
    "crossover": "lawful.fitting.crossover",
    "design": "lawful.fitting.design",
    "discover": "lawful.fitting.discover",
    "fit": "lawful.fitting",
    "fit_metrics": "lawful.fitting.metrics",
    "gate": "lawful.fitting.gate",
    "grid": "lawful.study",
    "has_reached": "lawful.fitting.stopping",
    "holdout": "lawful.fitting.holdout",
    "isoflop": "lawful.fitting.isoflop",
    "isoflop_plan": "lawful.fitting.isoflop_plan",
    "load": "lawful.fitting.result",
    "log": "lawful",
    "next_runs": "lawful.fitting.next_runs",
    "optimum": "lawful.fitting.optima",
    "power": "lawful.fitting.design",
    "read_runs": "lawful.tables",
    "replay": "lawful.fitting.replay",
    "run_campaign": "lawful.campaign",
    "run_study": "lawful.conduct",
    "simulate_campaign": "lawful.fitting.simulate_campaign",
    "transfer": "lawful.fitting.transfer",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lawful' has no attribute {name!r}; its public names are {', '.join(__all__)}.")
    home = _HOMES[name]
    value = (
        importlib.import_module(f"lawful.{name}") if home == "lawful" else getattr(importlib.import_module(home), name)
    )
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
