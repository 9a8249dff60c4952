"""Archives made in memory, for tests of unpacking and of downloads."""

from __future__ import annotations

import io
import random
import tarfile
import zipfile
from pathlib import Path

FILES = {
    "a/1.txt": b"one" * 500,
    "a/b/2.txt": b"two" * 700,
    "c.txt": b"",
    "a/3.txt": random.Random(0).randbytes(900),
}


def tar_bytes(files: dict[str, bytes], mode: str) -> bytes:
    """Pack a tar; `w` plain, `w:gz` compressed."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def zip_bytes(files: dict[str, bytes]) -> bytes:
    """Pack a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder, by their paths in it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
