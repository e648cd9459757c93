"""Fetches one pinned file, or its beginning: resumed where cut, bounded in size, whole only when its hash is right."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from lawful.errors import DataError
from lawful.storage.atomic import is_disk_full, sync_folder
from lawful.storage.cache import sha256_of
from lawful.storage.lease import Lease, LeaseLost, claimed

CHUNK_BYTES = 2**16
TIMEOUT_SECONDS = 20.0


def pinned(
    path: Path,
    *,
    url: str,
    sha256: str,
    num_bytes: int,
    flag: str,
    report: Callable[[str, float], None] | None = None,
) -> Path:
    """The file at `url`, in `path`. What came before an interruption waits in `path`.part and is not fetched again.

    flag    the command-line option that takes a file fetched by hand; named in the error
    Raises LawfulError that names the file, its size and hash, where to get it and what to pass.
    """
    if path.exists() and path.stat().st_size == num_bytes and sha256_of(path) == sha256:
        return path
    part = path.with_name(path.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    what = f"{path.name} ({num_bytes:,} bytes, SHA-256 {sha256}) from {url}"
    by_hand = f"fetch it by hand and pass it with {flag} PATH"
    with claimed(part.with_name(part.name + ".claims")) as lease:
        if lease is None:
            raise DataError(f"{what}: another process is fetching it; wait for that one, or {by_hand}.")
        for was_part_there in (part.exists(), False):
            try:
                _fetch(url, part, num_bytes, report, lease)
            except _TooLarge:
                part.unlink()
                raise DataError(
                    f"{what}: more than {num_bytes:,} bytes arrived, so it is another file; {by_hand}."
                ) from None
            except OSError as error:  # urllib's errors are OSErrors, and so are timeouts and broken connections
                if _is_of_this_machine(error):
                    raise
                raise DataError(
                    f"expected to download {what}, got: {getattr(error, 'reason', error)}. "
                    f"Try again when there is a network (what has arrived is kept), or {by_hand}."
                ) from None
            got = sha256_of(part)
            if got == sha256:
                break
            part.unlink()
            if not was_part_there:  # else the part was to blame: once more, from the start
                raise DataError(f"{what}: the file that arrived has SHA-256 {got} and was deleted; {by_hand}.")
        lease.check()
        os.replace(part, path)
        sync_folder(path.parent)
    return path


def beginning(
    path: Path, *, url: str, num_bytes: int, flag: str, report: Callable[[str, float], None] | None = None
) -> Path:
    """A file that holds at least the first `num_bytes` at `url`: `path` if it is there, else `path`.part, with which a
    longer beginning, or `pinned`, goes on. No hash can tell whether a beginning is right."""
    part = path.with_name(path.name + ".part")
    if path.exists() or (part.exists() and part.stat().st_size >= num_bytes):
        return path if path.exists() else part
    part.parent.mkdir(parents=True, exist_ok=True)
    what = f"the first {num_bytes:,} bytes of {path.name} from {url}"
    with claimed(part.with_name(part.name + ".claims")) as lease:
        if lease is None:
            raise DataError(f"{what}: another process is fetching it; wait for that one, or pass it with {flag} PATH.")
        try:
            _fetch(url, part, num_bytes, report, lease, is_all=False)
        except OSError as error:
            if _is_of_this_machine(error):
                raise
            raise DataError(
                f"expected to download {what}, got: {getattr(error, 'reason', error)}. "
                f"Try again when there is a network (what has arrived is kept), or fetch it by hand and pass it with "
                f"{flag} PATH."
            ) from None
    return part


def _is_of_this_machine(error: OSError) -> bool:
    """The connection is not to blame: a full disk, a folder that cannot be written (it has a name), a lost claim."""
    return is_disk_full(error) or error.filename is not None or isinstance(error, LeaseLost)


class _TooLarge(Exception):
    pass


def _fetch(
    url: str,
    part: Path,
    num_bytes: int,
    report: Callable[[str, float], None] | None,
    lease: Lease,
    is_all: bool = True,
) -> None:
    """Appends what is missing to `part`. Raises OSError when the connection fails or ends early.

    is_all    whether the file ends after num_bytes; else the rest of it is not asked for
    """
    import http.client
    import urllib.error
    import urllib.request

    have = part.stat().st_size if part.exists() else 0
    if have == num_bytes:
        return  # complete before: only its hash was not checked yet
    if have > num_bytes:
        part.unlink()
        have = 0
    request = urllib.request.Request(url, headers={"User-Agent": "lawful"})
    if have or not is_all:
        request.add_header("Range", f"bytes={have}-" if is_all else f"bytes={have}-{num_bytes - 1}")
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()
        raise OSError(f"the server answered {error.code} {error.reason}") from None
    with response:
        is_continued = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if not is_continued:
            have = 0  # the server sends the whole file again
        with part.open("ab" if is_continued else "wb") as file:
            try:
                while chunk := response.read(CHUNK_BYTES):
                    have += len(chunk)
                    if have > num_bytes and is_all:
                        raise _TooLarge
                    lease.check()
                    file.write(chunk)
                    if have >= num_bytes and not is_all:
                        return  # this server sends all there is
                    if report is not None:
                        report(f"downloading {part.stem}", have / num_bytes)
            except http.client.HTTPException as error:
                raise OSError(f"the connection ended after {have:,} of {num_bytes:,} bytes ({error!r})") from None
            finally:
                file.flush()
                os.fsync(file.fileno())
    if have < num_bytes:
        raise OSError(f"the connection ended after {have:,} of {num_bytes:,} bytes")
