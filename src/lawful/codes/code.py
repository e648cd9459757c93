"""What is said of a code of a refusal or a warning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["refusal of a fit", "warning of a fit", "warning of a plan or of its runs"]


@dataclass(frozen=True)
class Code:
    """means: what was seen. do: the next step."""

    kind: Kind
    means: str
    do: str


def explained(kind: Kind, rows: Mapping[str, tuple[str, str]]) -> dict[str, Code]:
    return {name: Code(kind, means, do) for name, (means, do) in rows.items()}
