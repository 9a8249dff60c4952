"""Download one file: on from where it stopped, again after a failure, and verified at the end."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from hsplid_core.errors import DataError
from hsplid_core.files import sync_folder

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 2**18
_LONGEST_WAIT_S = 60.0
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which a server may do better."""
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")

BytesDone = Callable[[int, int | None], None]
"""Is told how many bytes of a file are there, and how many there will be, if that is known."""


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A file on a server.

    Attributes:
        url: Its official address.
        size: Bytes, where published.
        checksum: `md5:` or `sha256:` and hexadecimal digits, where published.
    """

    url: str
    size: int | None = None
    checksum: str | None = None

    @property
    def name(self) -> str:
        """Last part of the address."""
        return urlsplit(self.url).path.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How much a server is forgiven.

    Attributes:
        attempts: Failures in a row, without a byte gained, before it is given up.
        wait_s: Seconds before the first new attempt; twice as long before each further one.
        timeout_s: Seconds without an answer that count as a failure.
    """

    attempts: int = 6
    wait_s: float = 1.0
    timeout_s: float = 30.0


class _AttemptError(Exception):
    """An attempt failed, and another may not.

    Attributes:
        wait_s: What the server asks to wait.
        spoiled: Whether what was downloaded is wrong, so that a new attempt starts from nothing.
    """

    def __init__(self, reason: str, *, wait_s: float = 0.0, spoiled: bool = False) -> None:
        super().__init__(reason)
        self.wait_s = wait_s
        self.spoiled = spoiled


@dataclass(frozen=True)
class _Origin:
    """Where a part comes from; another address or another version does not go on with it."""

    url: str
    validator: str | None


def mirrored(url: str, mirror: str | None) -> str:
    """Put another server before an address's path.

    Args:
        url: The official address.
        mirror: For instance ``http://127.0.0.1:8000`` or ``https://proxy.org/data``; None leaves
            the address as it is.
    """
    if mirror is None:
        return url
    parts = urlsplit(url)
    return mirror.rstrip("/") + parts.path + (f"?{parts.query}" if parts.query else "")


def download(
    remote: Remote,
    target: Path,
    *,
    session: requests.Session,
    patience: Patience,
    progress: BytesDone,
    accept: Callable[[Path], None] | None = None,
) -> None:
    """Download a file, unless it is there already.

    What has come lies beside the target, ending in `.part`, until it is whole and verified; a
    later call goes on with it.

    Args:
        remote: Where it is, and what is published about it.
        target: Its name on disk; the folder must exist.
        session: Holds the connections.
        patience: What to forgive the server.
        progress: Told about every chunk.
        accept: Raises a `DataError` if a whole file is not what it should be.

    Raises:
        DataError: There is no such file, the server fails again and again or sends something
            else, or the disk is full. Nothing bears the target's name then.
    """
    if target.exists():
        return
    part = target.with_name(f"{target.name}.part")
    failures = most = 0
    while True:
        try:
            _attempt(remote, part, session, patience, progress)
            _verify(remote, part, accept)
            break
        except _AttemptError as failure:
            if failure.spoiled:
                _forget(part)
            reached = part.stat().st_size if part.exists() else 0
            # A connection that breaks every minute is fine as long as it gets somewhere.
            failures = 1 if reached > most else failures + 1
            most = max(most, reached)
            if failures >= patience.attempts:
                raise DataError(
                    f"{remote.url} must be downloaded whole, gave up after {failures} attempts "
                    f"({failure}): run the same command later, it goes on where this one stopped"
                ) from failure
            backoff = patience.wait_s * 2 ** (failures - 1)
            wait_s = min(max(backoff, failure.wait_s), _LONGEST_WAIT_S)
            logger.warning("%s: %s; trying again in %.0f s", remote.url, failure, wait_s)
            time.sleep(wait_s)
        except OSError as error:
            raise DataError(
                f"{target.parent} must be writable and have room for {target.name} "
                f"({error.strerror or error}): free space or choose another root; what has come "
                "is kept"
            ) from error
    part.replace(target)
    sync_folder(target.parent)
    _origin_file(part).unlink(missing_ok=True)


def _attempt(
    remote: Remote,
    part: Path,
    session: requests.Session,
    patience: Patience,
    progress: BytesDone,
) -> None:
    """Ask for what is missing and append it."""
    offset, headers = _where_to_go_on(remote, part)
    if remote.size is not None and offset == remote.size:
        return
    try:
        with session.get(
            remote.url,
            headers={"Accept-Encoding": "identity", **headers},
            stream=True,
            timeout=patience.timeout_s,
        ) as response:
            if _is_whole(response, offset):
                return
            start, total = _understand(remote, response, offset)
            _receive(response, part, remote, start, total, progress)
    except (requests.RequestException, HTTPError) as error:
        raise _AttemptError(_first_line(error)) from error


def _where_to_go_on(remote: Remote, part: Path) -> tuple[int, dict[str, str]]:
    """Tell how much is there, and the headers that ask for the rest."""
    offset = part.stat().st_size if part.exists() else 0
    if offset == 0:
        return 0, {}
    try:
        origin = _Origin(**json.loads(_origin_file(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        origin = _Origin("", None)
    certain = origin.validator is not None or remote.checksum is not None
    too_long = remote.size is not None and offset > remote.size
    if origin.url != remote.url or not certain or too_long:
        _forget(part)
        return 0, {}
    headers = {"Range": f"bytes={offset}-"}
    if origin.validator is not None:
        headers["If-Range"] = origin.validator
    return offset, headers


def _is_whole(response: requests.Response, offset: int) -> bool:
    """Whether the server says that nothing is missing: a stop came just before the renaming."""
    whole = response.headers.get("Content-Range") == f"bytes */{offset}"
    return response.status_code == 416 and whole


def _understand(
    remote: Remote, response: requests.Response, offset: int
) -> tuple[int, int | None]:
    """Read an answer's head.

    Returns:
        Position at which the body starts, and size of the whole file if that is known.
    """
    status = response.status_code
    if status in _PASSING:
        wait = response.headers.get("Retry-After", "")
        raise _AttemptError(
            f"the server answers {status} {response.reason}",
            wait_s=float(wait) if wait.isdecimal() else 0.0,
        )
    if status == 416:
        raise _AttemptError("the server has less than was downloaded before", spoiled=True)
    if status not in (200, 206):
        raise DataError(
            f"{remote.url} must be there to download, the server answers {status} "
            f"{response.reason}: check the address, or name another server with mirror="
        )
    start, total = 0, _length(response)
    if status == 206:
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if found is None or found[1] is None or int(found[1]) != offset:
            raise _AttemptError("the server sends another part than asked for", spoiled=True)
        start, total = offset, None if found[2] == "*" else int(found[2])
    if None not in (total, remote.size) and total != remote.size:
        raise _AttemptError(
            f"the server has {total} bytes, published are {remote.size}", spoiled=True
        )
    return start, total


def _length(response: requests.Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _receive(
    response: requests.Response,
    part: Path,
    remote: Remote,
    start: int,
    total: int | None,
    progress: BytesDone,
) -> None:
    with part.open("ab") as handle:
        handle.truncate(start)
        origin = _Origin(remote.url, _validator(response))
        _origin_file(part).write_text(json.dumps(asdict(origin)), encoding="utf-8")
        done, expected = start, total if total is not None else remote.size
        progress(done, expected)
        try:
            # Not decoded: an archive that a server marks as gzip-encoded must stay an archive.
            for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=False):
                handle.write(chunk)
                done += len(chunk)
                progress(done, expected)
                if expected is not None and done > expected:
                    raise _AttemptError(f"more than {expected} bytes come", spoiled=True)
        finally:
            _flush(handle)
    if expected is not None and done < expected:
        raise _AttemptError(f"only {done} of {expected} bytes came")


def _flush(handle: IO[bytes]) -> None:
    handle.flush()
    os.fsync(handle.fileno())


def _validator(response: requests.Response) -> str | None:
    """What identifies this version of the file, in a form that If-Range allows."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")


def _verify(remote: Remote, part: Path, accept: Callable[[Path], None] | None) -> None:
    if remote.checksum is not None:
        kind, _, published = remote.checksum.partition(":")
        with part.open("rb") as handle:
            found = hashlib.file_digest(handle, kind).hexdigest()
        if found != published:
            raise _AttemptError(f"its {kind} is {found}, published is {published}", spoiled=True)
    if accept is not None:
        try:
            accept(part)
        except DataError as error:
            raise _AttemptError(str(error), spoiled=True) from error


def _origin_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _origin_file(part).unlink(missing_ok=True)


def _first_line(error: Exception) -> str:
    """The cause in a few words: requests wraps the telling one in several others."""
    cause: BaseException = error
    while isinstance(cause, requests.RequestException | HTTPError):
        inner = next((item for item in cause.args if isinstance(item, Exception)), None)
        inner = inner or getattr(cause, "reason", None)
        if not isinstance(inner, Exception):
            break
        cause = inner
    return str(cause).splitlines()[0] if str(cause) else type(cause).__name__
