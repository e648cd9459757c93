"""What an executor writes to a worker's standard input: ids of runs, a line at a time, and "end"."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterator


def ids_from_input(stop: threading.Event) -> Iterator[list[str]]:
    """The ids of each line as it arrives; a reader thread notices the end of the input even while a run goes on, and
    sets `stop`."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line.strip())
            if line.strip() == "end":
                return
        stop.set()
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while (line := lines.get()) is not None and line != "end":
        yield line.split()
