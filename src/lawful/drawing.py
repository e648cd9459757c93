"""matplotlib, which draws pictures and comes with an extra."""

from __future__ import annotations

from lawful.errors import MissingDependency


def expect_matplotlib(what: str = "a picture") -> None:
    """Raises MissingDependency where it is not installed; `what` names what is to be drawn."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingDependency.of("matplotlib", extra="report", what=what, error=error) from None
