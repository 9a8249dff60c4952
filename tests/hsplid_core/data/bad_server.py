"""An HTTP server on the loopback that misbehaves as real ones do."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock

Fault = Callable[["Answer"], None]


@dataclass
class Answer:
    """What the server is about to send; a fault changes it.

    Attributes:
        content: The whole file.
        start: Where the body begins; above zero after a Range that was honoured.
        status: Of HTTP.
        headers: Sent as they are.
        body: Sent after them.
        drops: Whether the connection is cut after the body.
    """

    content: bytes
    start: int
    status: int
    headers: dict[str, str]
    body: bytes
    drops: bool = False


@dataclass
class BadServer:
    """Serves `files`; each fault spoils one answer, the last one all that follow if `for_ever`.

    Attributes:
        files: Contents by path.
        faults: For a path, what happens to its answers, one after the other.
        for_ever: Whether the last fault stays.
        asked: Path and Range header of every request.
        honours_range: Whether a Range is answered with 206.
        has_validators: Whether ETag is sent.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    for_ever: bool = False
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    honours_range: bool = True
    has_validators: bool = True
    url: str = ""

    def respond(self, path: str, headers: dict[str, str]) -> Answer:
        wanted = headers.get("Range")
        self.asked.append((path, wanted))
        content = self.files.get(path)
        if content is None:
            return Answer(b"", 0, 404, {"Content-Length": "9"}, b"not found")
        answer = self._regular(content, wanted, headers.get("If-Range"))
        faults = self.faults.get(path, [])
        if faults:
            fault = faults[0] if self.for_ever and len(faults) == 1 else faults.pop(0)
            fault(answer)
        return answer

    def _regular(self, content: bytes, wanted: str | None, if_range: str | None) -> Answer:
        tag = f'"{hashlib.md5(content).hexdigest()}"'
        headers = {"ETag": tag} if self.has_validators else {}
        found = re.fullmatch(r"bytes=(\d+)-", wanted or "")
        start = int(found[1]) if found and self.honours_range and if_range in (None, tag) else 0
        if start and start >= len(content):
            headers |= {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"}
            return Answer(content, start, 416, headers, b"")
        body = content[start:]
        headers["Content-Length"] = str(len(body))
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return Answer(content, start, 206 if start else 200, headers, body)


@contextlib.contextmanager
def served(server: BadServer) -> Iterator[BadServer]:
    """Start it on a free port of the loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer = server.respond(self.path, dict(self.headers.items()))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):  # the client may have had enough
                self.wfile.write(answer.body)
            self.close_connection |= answer.drops

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    try:
        with mock.patch.dict(os.environ, NO_PROXY="127.0.0.1,localhost"):
            yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


def drops_after(n_bytes: int) -> Fault:
    """Cut the connection in the middle of the body."""

    def fault(answer: Answer) -> None:
        answer.body, answer.drops = answer.body[:n_bytes], True

    return fault


def status(code: int, **headers: str) -> Fault:
    """Answer with an error."""

    def fault(answer: Answer) -> None:
        answer.status, answer.body = code, b"<html>sorry</html>"
        answer.headers = {
            "Content-Length": str(len(answer.body)),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }

    return fault


def corrupts(answer: Answer) -> None:
    """Send bytes that are not the file's, as many as there should be."""
    answer.body = bytes(byte ^ 0x55 for byte in answer.body)


def sends_more(answer: Answer) -> None:
    """Send more than the file, and say so."""
    answer.body += b"more"
    answer.headers["Content-Length"] = str(len(answer.body))


def sends_less(answer: Answer) -> None:
    """Send less than the file, and say so."""
    answer.body = answer.body[:-7]
    answer.headers["Content-Length"] = str(len(answer.body))


def lies_about_the_part(answer: Answer) -> None:
    """Send the right part under a wrong label."""
    if answer.start:
        answer.headers["Content-Range"] = f"bytes 0-5/{len(answer.content)}"


def logs_in(answer: Answer) -> None:
    """Send the page of a hotel's network."""
    answer.body = b"<html>please log in</html>"
    answer.headers = {"Content-Length": str(len(answer.body)), "Content-Type": "text/html"}


def has_no_length(answer: Answer) -> None:
    """Leave the end open: the connection's end is the body's."""
    del answer.headers["Content-Length"]
    answer.headers["Connection"] = "close"
    answer.drops = True
