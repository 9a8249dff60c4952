"""Downloads from servers that misbehave: whole files, or one clear error and nothing else."""

from __future__ import annotations

import errno
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from hsplid_core.data.fetching.download import Patience, Remote, download, mirrored
from hsplid_core.errors import DataError
from tests.hsplid_core.data import bad_server
from tests.hsplid_core.data.bad_server import BadServer, Fault, drops_after, served, status

CONTENT = bytes(range(256)) * 3000  # three chunks of the downloader
NAME = "data.bin"
CHECKSUM = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
PATIENCE = Patience(attempts=3, wait_s=0.0, timeout_s=5)


@pytest.fixture
def server() -> Iterator[BadServer]:
    with served(BadServer({f"/{NAME}": CONTENT})) as running:
        yield running


def get(
    server: BadServer,
    folder: Path,
    *,
    size: int | None = len(CONTENT),
    checksum: str | None = CHECKSUM,
    patience: Patience = PATIENCE,
    **arguments: Any,
) -> Path:
    seen: list[tuple[int, int | None]] = []
    with requests.Session() as session:
        download(
            Remote(url=f"{server.url}/{NAME}", size=size, checksum=checksum),
            folder / NAME,
            session=session,
            patience=patience,
            progress=lambda done, total: seen.append((done, total)),
            **arguments,
        )
    return folder / NAME


def assert_whole(folder: Path) -> None:
    assert (folder / NAME).read_bytes() == CONTENT
    assert [path.name for path in folder.iterdir()] == [NAME]


def ranges(server: BadServer) -> list[str | None]:
    return [wanted for _, wanted in server.asked]


def test_a_file_arrives(server: BadServer, tmp_path: Path) -> None:
    get(server, tmp_path)
    assert_whole(tmp_path)
    get(server, tmp_path)
    assert ranges(server) == [None]


@pytest.mark.parametrize(
    "faults",
    [
        [drops_after(300_000)],
        [drops_after(300_000), drops_after(200_000), drops_after(100_000), drops_after(1)],
        [drops_after(0), drops_after(0)],
        [status(500)],
        [status(503, Retry_After="0"), status(429)],
        [bad_server.corrupts],
        [bad_server.sends_more],
        [bad_server.sends_less],
        [drops_after(300_000), bad_server.corrupts],
        [drops_after(300_000), bad_server.lies_about_the_part],
        [drops_after(300_000), status(500)],
        [bad_server.logs_in],
        [bad_server.has_no_length],
    ],
)
@pytest.mark.parametrize("honours_range", [True, False])
def test_a_fault_that_passes(
    server: BadServer, tmp_path: Path, faults: list[Fault], honours_range: bool
) -> None:
    server.faults[f"/{NAME}"] = list(faults)
    server.honours_range = honours_range
    get(server, tmp_path, patience=Patience(attempts=5, wait_s=0.0, timeout_s=5))
    assert_whole(tmp_path)


def test_the_rest_alone_is_asked_for(server: BadServer, tmp_path: Path) -> None:
    server.faults[f"/{NAME}"] = [drops_after(300_000), drops_after(100_000)]
    get(server, tmp_path)
    assert_whole(tmp_path)
    assert ranges(server) == [None, "bytes=300000-", "bytes=400000-"]


def test_a_connection_may_break_often_if_it_gets_somewhere(
    server: BadServer, tmp_path: Path
) -> None:
    server.faults[f"/{NAME}"] = [drops_after(50_000) for _ in range(10)]
    get(server, tmp_path, patience=Patience(attempts=2, wait_s=0.0))
    assert_whole(tmp_path)
    assert len(server.asked) == 11


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (status(500), "gave up after 3 attempts .the server answers 500 Internal Server Error."),
        (drops_after(0), "gave up after 3 attempts"),
        (bad_server.corrupts, "its sha256 is [0-9a-f]{64}, published is [0-9a-f]{64}"),
        (bad_server.sends_more, "the server has 768004 bytes, published are 768000"),
        (bad_server.sends_less, "the server has 767993 bytes, published are 768000"),
        (bad_server.logs_in, "the server has 26 bytes, published are 768000"),
    ],
)
def test_a_fault_that_stays(server: BadServer, tmp_path: Path, fault: Fault, message: str) -> None:
    server.faults[f"/{NAME}"], server.for_ever = [fault], True
    with pytest.raises(DataError, match=message) as caught:
        get(server, tmp_path)
    assert f"{server.url}/{NAME} must be downloaded whole" in str(caught.value)
    assert "run the same command later" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / NAME).exists()
    server.faults.clear()
    get(server, tmp_path)
    assert_whole(tmp_path)


@pytest.mark.parametrize("code", [401, 403, 404, 410, 451])
def test_a_refusal_is_told_at_once(server: BadServer, tmp_path: Path, code: int) -> None:
    server.faults[f"/{NAME}"] = [status(code)]
    with pytest.raises(DataError, match=f"the server answers {code} .*mirror="):
        get(server, tmp_path)
    assert len(server.asked) == 1
    assert list(tmp_path.iterdir()) == []


def test_nobody_answers(server: BadServer, tmp_path: Path) -> None:
    server.url = "http://127.0.0.1:9"  # the port of "discard", closed everywhere
    with pytest.raises(DataError, match=r"gave up after 3 attempts .*refused"):
        get(server, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_later_call_goes_on(server: BadServer, tmp_path: Path) -> None:
    server.faults[f"/{NAME}"] = [drops_after(300_000)]
    with pytest.raises(DataError, match=r"gave up after 1 attempts .*300000 bytes read"):
        get(server, tmp_path, patience=Patience(attempts=1))
    assert (tmp_path / f"{NAME}.part").stat().st_size == 300_000
    get(server, tmp_path)
    assert_whole(tmp_path)
    assert ranges(server) == [None, "bytes=300000-"]


def test_another_version_is_not_patched_together(server: BadServer, tmp_path: Path) -> None:
    server.faults[f"/{NAME}"] = [drops_after(300_000)]
    with pytest.raises(DataError):
        get(server, tmp_path, size=None, checksum=None, patience=Patience(attempts=1))
    server.files[f"/{NAME}"] = new = CONTENT[::-1]
    get(server, tmp_path, size=None, checksum=None)
    assert (tmp_path / NAME).read_bytes() == new


@pytest.mark.parametrize("change", ["address", "no validator", "lost origin"])
def test_a_part_of_unknown_origin_is_not_used(
    server: BadServer, tmp_path: Path, change: str
) -> None:
    server.has_validators = change != "no validator"
    server.faults[f"/{NAME}"] = [drops_after(300_000)]
    with pytest.raises(DataError):
        get(server, tmp_path, size=None, checksum=None, patience=Patience(attempts=1))
    if change == "address":
        server.url = server.url.replace("127.0.0.1", "localhost")
    if change == "lost origin":
        (tmp_path / f"{NAME}.part.json").unlink()
    get(server, tmp_path, size=None, checksum=None)
    assert_whole(tmp_path)
    assert ranges(server) == [None, None]


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_stopped_just_before_the_end(
    server: BadServer, tmp_path: Path, size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            get(server, tmp_path, size=size)
    assert not (tmp_path / NAME).exists()
    get(server, tmp_path, size=size)
    assert_whole(tmp_path)
    assert ranges(server) == ([None] if size else [None, "bytes=768000-"])


def test_a_part_too_long_is_dropped(server: BadServer, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT + b"more")
    get(server, tmp_path)
    assert_whole(tmp_path)


def test_a_file_that_is_not_accepted(server: BadServer, tmp_path: Path) -> None:
    def refuse(path: Path) -> None:
        raise DataError("no picture")

    with pytest.raises(DataError, match=r"gave up after 3 attempts .no picture."):
        get(server, tmp_path, accept=refuse)
    assert list(tmp_path.iterdir()) == []


def test_a_gzip_encoded_archive_stays_an_archive(server: BadServer, tmp_path: Path) -> None:
    def marks(answer: bad_server.Answer) -> None:
        answer.headers["Content-Encoding"] = "gzip"

    server.faults[f"/{NAME}"] = [marks]
    get(server, tmp_path)
    assert_whole(tmp_path)


def test_a_full_disk(server: BadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def fileno(self) -> int:
            return 1

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda *_, **__: Full())
        patch.setattr("os.fsync", lambda _: None)
        with pytest.raises(DataError, match=r"have room for data.bin .No space left on device"):
            get(server, tmp_path, checksum=None)
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize(
    ("mirror", "expected"),
    [
        (None, "http://a.org/b/c.zip?dl=1"),
        ("http://127.0.0.1:80", "http://127.0.0.1:80/b/c.zip?dl=1"),
        ("https://m.org/data/", "https://m.org/data/b/c.zip?dl=1"),
    ],
)
def test_mirrors_keep_the_path(mirror: str | None, expected: str) -> None:
    assert mirrored("http://a.org/b/c.zip?dl=1", mirror) == expected
