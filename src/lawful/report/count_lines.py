"""The loss of count models against the size of the text that they counted, as lines of a chart."""

from __future__ import annotations

import numpy as np

from lawful.report.charts import Line
from lawful.report.evidence import Evidence
from lawful.report.tables import number


def count_lines(evidence: Evidence, loss: str) -> list[Line]:
    """Loss of each count model against the size of the text it counted."""
    if loss not in ("loss", "best_weights_loss"):
        return []
    by_name: dict[str, dict[float, list[float]]] = {}
    for corpus, entries in evidence.counts.items():
        known = evidence.study.corpora.get(corpus)
        size = known.train_tokens if known else None
        for entry in entries:
            value = number(entry.get("loss"))
            if size and value:
                by_name.setdefault(str(entry.get("name")), {}).setdefault(size, []).append(value)
    return [
        Line(
            name="n-gram models",
            x=sorted(found),
            y=[float(np.mean(found[size])) for size in sorted(found)],
            colour="reference",
            dash="dot",
            is_thin=True,
            is_named=True,
            legend="counts",
            hover=f"{name} model",
            is_reference=True,
        )
        for name, found in by_name.items()
        if len(found) > 1
    ]
