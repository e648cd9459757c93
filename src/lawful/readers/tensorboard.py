"""TensorBoard: folders of event files, one run a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lawful.errors import MissingDependency, TableError
from lawful.plugins import Reader
from lawful.storage.json_files import reading

EVENTS = "events.out.tfevents.*"


class TensorBoard(Reader):
    about = "TensorBoard logs: the last value of each scalar of a run"

    def reads(self, path: Path) -> bool:
        return path.is_dir() and next(path.rglob(EVENTS), None) is not None

    def rows(self, path: Path) -> Iterator[Mapping[str, Any]]:
        files = list(path.rglob(EVENTS))
        for file in files:
            if not file.is_file():  # whoever reads a pipe waits until somebody writes, perhaps for ever
                raise TableError(f"{file}: expected a file, got a pipe, socket or device.")
        for log in sorted({file.parent for file in files}):
            yield _row(log, path)


def _row(log: Path, root: Path) -> dict[str, Any]:
    """One run: the last value of each scalar it logged, under the scalar's tag."""
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError as error:
        what = f"{root}: reading TensorBoard logs"
        raise MissingDependency.of("tensorboard", extra="tensorboard", what=what, error=error) from None
    events = EventAccumulator(str(log), size_guidance={"scalars": 0})
    row: dict[str, Any] = {"run": str(log.relative_to(root)) if log != root else log.name}
    with reading(log, "TensorBoard logs", TableError):
        events.Reload()
        for tag in events.Tags()["scalars"]:
            row[tag] = float(events.Scalars(tag)[-1].value)
    return row
