"""A download is resumed where it was cut, never larger than announced, and in place only when its hash is right."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lawful import download
from lawful.errors import LawfulError

CONTENT = b"".join(b"line %d\n" % number for number in range(40_000))
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """What it serves, and what it was asked for."""

    url: str = ""
    content: bytes = CONTENT
    cut_after: int | None = None  # closes the connection after so many bytes
    honours_range: bool = True
    status: int | None = None
    ranges: list[str | None] = field(default_factory=list)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    told = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            told.ranges.append(asked)
            if told.status is not None:
                self.send_error(told.status)
                return
            first = int(asked.removeprefix("bytes=").rstrip("-")) if asked and told.honours_range else 0
            body = told.content[first:]
            self.send_response(206 if first else 200)
            if first:
                self.send_header("Content-Range", f"bytes {first}-{len(told.content) - 1}/{len(told.content)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError):  # a client that has had enough closes
                self.wfile.write(body if told.cut_after is None else body[: told.cut_after])

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        told.url = f"http://127.0.0.1:{http.server_address[1]}/file.txt"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield told
        http.shutdown()
        thread.join()


def fetch(path: Path, server: Server) -> Path:
    return download.pinned(path, url=server.url, sha256=SHA256, num_bytes=len(CONTENT), flag="--data")


def test_a_file_is_fetched_whole_and_only_once(tmp_path: Path, server: Server) -> None:
    path = tmp_path / "below" / "file.txt"
    assert fetch(path, server).read_bytes() == CONTENT
    assert fetch(path, server) == path
    assert server.ranges == [None]
    assert not path.with_name("file.txt.part").exists()


def test_an_interrupted_download_goes_on_where_it_was_cut(tmp_path: Path, server: Server) -> None:
    path = tmp_path / "file.txt"
    server.cut_after = 100_000
    with pytest.raises(LawfulError, match=r"ended after 100,000 of .* bytes.*what has arrived is kept.*--data PATH"):
        fetch(path, server)
    assert not path.exists() and path.with_name("file.txt.part").read_bytes() == CONTENT[:100_000]
    server.cut_after = None
    assert fetch(path, server).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-"]


def test_a_server_that_cannot_resume_sends_the_file_again(tmp_path: Path, server: Server) -> None:
    path = tmp_path / "file.txt"
    path.with_name("file.txt.part").write_bytes(CONTENT[:5])
    server.honours_range = False
    assert fetch(path, server).read_bytes() == CONTENT


def test_a_wrong_file_is_deleted_and_its_hash_told(tmp_path: Path, server: Server) -> None:
    path = tmp_path / "file.txt"
    server.content = CONTENT[:-1] + b"!"
    with pytest.raises(LawfulError, match=f"{SHA256}.*has SHA-256 {hashlib.sha256(server.content).hexdigest()}"):
        fetch(path, server)
    assert [file.name for file in tmp_path.iterdir()] == ["file.txt.part.claims"]


def test_a_damaged_beginning_is_fetched_again_in_the_same_call(tmp_path: Path, server: Server) -> None:
    path = tmp_path / "file.txt"
    for damaged in (b"?" * 1000, b"?" * len(CONTENT), b"?" * (len(CONTENT) + 1)):
        path.unlink(missing_ok=True)
        path.with_name("file.txt.part").write_bytes(damaged)
        assert fetch(path, server).read_bytes() == CONTENT


def test_more_than_was_announced_is_never_stored(tmp_path: Path, server: Server) -> None:
    path = tmp_path / "file.txt"
    server.content = CONTENT * 20
    with pytest.raises(LawfulError, match="more than .* bytes arrived"):
        fetch(path, server)
    assert [file.name for file in tmp_path.iterdir()] == ["file.txt.part.claims"]


def test_a_damaged_file_in_place_is_replaced(tmp_path: Path, server: Server) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(b"?" * len(CONTENT))
    assert fetch(path, server).read_bytes() == CONTENT


@pytest.mark.parametrize("status", [404, 416, 503])
def test_a_refusal_of_the_server_is_told(status: int, tmp_path: Path, server: Server) -> None:
    server.status = status
    path = tmp_path / "file.txt"
    path.with_name("file.txt.part").write_bytes(CONTENT[:10])
    with pytest.raises(LawfulError, match=f"the server answered {status}.*--data PATH"):
        fetch(path, server)


def test_two_processes_do_not_write_one_file(tmp_path: Path, server: Server) -> None:
    from lawful.storage.lease import claimed

    path = tmp_path / "file.txt"
    with claimed(tmp_path / "file.txt.part.claims") as is_ours:
        assert is_ours
        with pytest.raises(LawfulError, match="another process is fetching it"):
            fetch(path, server)
    assert fetch(path, server).read_bytes() == CONTENT


def test_progress_ends_at_one(tmp_path: Path, server: Server) -> None:
    shares: list[float] = []
    download.pinned(
        tmp_path / "file.txt",
        url=server.url,
        sha256=SHA256,
        num_bytes=len(CONTENT),
        flag="--data",
        report=lambda _, share: shares.append(share),
    )
    assert shares == sorted(shares) and shares[-1] == 1.0


def test_a_place_that_cannot_be_written_is_not_blamed_on_the_network(tmp_path: Path, server: Server) -> None:
    (tmp_path / "file.txt.part").mkdir()
    with pytest.raises(IsADirectoryError, match=r"file\.txt\.part"):
        fetch(tmp_path / "file.txt", server)
