"""A study's page while it runs: refitted as runs finish, from the folder alone, and served to this machine only."""

from __future__ import annotations

import contextlib
import json
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lawful.errors import DeclarationError, LawfulError
from lawful.fitting.answer import answer_study
from lawful.observe import write_observations
from lawful.plugins import analyses
from lawful.report import words
from lawful.report.evidence import read_evidence
from lawful.report.markup import tag
from lawful.report.page import all_charts, page
from lawful.report.progress import StudyStatus, study_status
from lawful.report.status_shown import status_line
from lawful.storage.layout import Store, mirror

ADDRESS = "127.0.0.1"
OWN_NAMES = ("127.0.0.1", "localhost", "::1")  # what a browser on this machine, or at the end of a tunnel, asks for
POLL_SECONDS = 1.0
CURVES_SECONDS = 10.0  # between two pages that differ only in how far the curves have come
REQUEST_SECONDS = 10.0  # that a connection may stay silent
CONNECTION_SECONDS = 300.0  # that one may last, a byte now and then or not; a browser opens another
MOST_CONNECTIONS = 32  # at once; one more closes the oldest, so that none can keep a reader out
SHARE = 5.0  # after a refit, so many times what it took is left to the training before the next


class Watch:
    """Looks at a study's folder, which it never writes to: its own table, fits and page lie in a folder of links.

    page     the newest page
    version  how many pages there have been
    line     how far the study is, and what it waits for
    lost     a run under way that cannot win, and why
    trouble  the file that cannot be read now, such as one that is being copied, or what went wrong with the last refit
    """

    def __init__(self, folder: str | Path, workspace: str | Path) -> None:
        """Raises LawfulError where `folder` holds no study. `workspace`: an empty folder for what is derived."""
        self.folder = Path(folder)
        self.study = Store(self.folder).read_study()
        self.own = mirror(self.folder, Path(workspace) / (self.folder.resolve().name or "study"))
        self.page = ""
        self.version = 0
        self.line = ""
        self.trouble = ""
        self.headline = ""
        self.lost = ""
        self._fitted: object = None  # what of the folder the newest fits and page were made from
        self._shown: object = None
        self._refit_due = self._redraw_due = 0.0  # not before, by time.monotonic
        self._refit_trouble = ""

    def look(self) -> bool:
        """Refit where a run has ended, draw again where a curve has grown; whether there is a new page."""
        is_new = False
        try:
            self.study = Store(self.folder).read_study()
            is_new = self._refit_or_redraw()
            status = study_status(self.folder)
            done, self.lost = status_line(status), _lost(status)
            trouble = self._refit_trouble and f"not fitted again: {self._refit_trouble}"
        except (LawfulError, OSError) as error:  # a file in the middle of being copied, a folder that went away
            done, trouble = self.line.partition(" · ")[0], f"waiting: {error}"
        self.line = " · ".join(part for part in (done, self.lost, trouble) if part)
        self.trouble = trouble
        return is_new

    def _refit_or_redraw(self) -> bool:
        ended, grown = self._signature("result.json"), self._signature("metrics.jsonl")
        is_refit = ended != self._fitted
        due = 0.0 if is_refit and self._is_over() and not self._refit_trouble else self._refit_due
        began = time.monotonic()
        if began < (due if is_refit else self._redraw_due) or not (is_refit or grown != self._shown):
            return False
        try:
            if is_refit:
                write_observations(self.own.folder)
                answer_study(self.own.folder)
                for analysis in analyses():
                    analysis.after_fit(self.own.folder)
            evidence = read_evidence(self.own.folder)
            live = tag("p", "", id="live", class_="live", data_version=str(self.version + 1))
            self.page = page(evidence, all_charts(evidence), live=live)
            self.headline = words.headline(evidence)
            self._fitted, self._shown, self._refit_trouble = ended, grown, ""
            self.version += 1
        except (LawfulError, OSError) as error:  # a folder in the middle of being copied, a full disk
            self._refit_trouble = str(error)
        ended_at = time.monotonic()
        rest = SHARE * (ended_at - began)
        self._redraw_due = ended_at + max(rest, CURVES_SECONDS)
        self._refit_due = self._redraw_due if self._refit_trouble else ended_at + rest
        return not self._refit_trouble

    def _is_over(self) -> bool:
        return all(Store(self.folder).result(planned.run).exists() for planned in self.study.runs)

    def _signature(self, name: str) -> object:
        """What tells whether any run's file of this name is another than before."""
        found = []
        for planned in self.study.runs:
            try:
                facts = (Store(self.folder).run_folder(planned.run) / name).stat()
                found.append((facts.st_mtime_ns, facts.st_size))
            except OSError:
                found.append((0, 0))
        return found


def serve(
    folder: str | Path, *, port: int = 0, ready: Callable[[str], None], say: Callable[[str], None] = lambda what: None
) -> None:
    """Serve the page until KeyboardInterrupt.

    port   0: any that is free
    ready  called once with the page's address
    say    called with the answer of each new page
    Raises LawfulError where the folder holds no study or the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="lawful-watch-") as workspace:
        watch = Watch(folder, workspace)
        try:
            server = _Server((ADDRESS, port), _Handler)
        except OSError as error:
            raise DeclarationError(
                f"--port: {port} cannot be had on {ADDRESS} ({error.strerror}); name another, or leave it out."
            ) from None
        server.watch = watch
        watch.look()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            ready(f"http://{ADDRESS}:{server.server_port}/")
            said = ["", "", ""]
            while True:
                for place, text in enumerate((watch.headline, watch.lost, watch.trouble)):
                    if text and text != said[place]:
                        say(text)
                    said[place] = text
                time.sleep(POLL_SECONDS)
                watch.look()
        finally:
            server.shutdown()
            server.server_close()


def _lost(status: StudyStatus) -> str:
    """The first run that cannot win, and how many more there are."""
    found = [run.cannot_win for run in status.runs if run.state == "running" and run.cannot_win]
    more = f" (and {len(found) - 1} more that cannot win)" if len(found) > 1 else ""
    return found[0] + more if found else ""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # connections that wait to be taken; five by default
    watch: Watch

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._open: dict[socket.socket, float] = {}  # connection -> since when; the oldest first
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open[request] = time.monotonic()
            while len(self._open) > MOST_CONNECTIONS:
                self._end(next(iter(self._open)))
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Twice a second."""
        late = time.monotonic() - CONNECTION_SECONDS
        with self._lock:
            for request in [one for one, since in self._open.items() if since < late]:
                self._end(request)

    def _end(self, request: socket.socket) -> None:
        del self._open[request]
        with contextlib.suppress(OSError):  # closed by the other side
            request.shutdown(socket.SHUT_RDWR)  # its thread reads the end, and closes it

    def close_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().close_request(request)


def _waiting(line: str) -> str:
    """Before the first page."""
    again = tag("meta", http_equiv="refresh", content="2")
    return f"<!doctype html>{tag('title', 'lawful watch')}{again}{tag('p', line)}"


@dataclass(frozen=True)
class _Reply:
    kind: str
    body: str


class _Handler(BaseHTTPRequestHandler):
    """Two addresses, /, the page, and /now, its version and the study's state; no path of a request names a file."""

    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = REQUEST_SECONDS

    def do_GET(self) -> None:
        watch = self.server.watch
        if self._host() not in OWN_NAMES:  # a page elsewhere whose name was made to point here
            self.send_error(403, "This address serves its own machine only")
            return
        if self.path == "/":
            self._send(_Reply("text/html; charset=utf-8", watch.page or _waiting(watch.line)))
        elif self.path == "/now":
            self._send(_Reply("application/json", json.dumps({"version": watch.version, "line": watch.line})))
        else:
            self.send_error(404, "Only / is served")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the terminal is for the study."""

    def _host(self) -> str:
        name = self.headers.get("Host", "").lower()
        return name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]

    def _send(self, reply: _Reply) -> None:
        body = reply.body.encode()
        self.send_response(200)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)
