"""Unpacking: whole or not at all, and nothing outside the folder."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from hsplid_core.data.fetching.archives import place, unpack
from hsplid_core.errors import DataError
from tests.hsplid_core.data.archived import FILES, contents, tar_bytes, zip_bytes

ARCHIVES = {
    "x.zip": zip_bytes(FILES),
    "x.tar": tar_bytes(FILES, "w"),
    "x.tgz": tar_bytes(FILES, "w:gz"),
    "x.tar.gz": tar_bytes(FILES, "w:gz"),
}


def unpacked(folder: Path, name: str, content: bytes, *prefixes: str) -> tuple[Path, list[int]]:
    archive, out = folder / name, folder / "out"
    archive.write_bytes(content)
    seen: list[int] = []
    unpack(archive, out, prefixes=prefixes, progress=lambda done, _: seen.append(done))
    return out, seen


@pytest.mark.parametrize("name", ARCHIVES)
def test_everything_comes_out(tmp_path: Path, name: str) -> None:
    out, seen = unpacked(tmp_path, name, ARCHIVES[name])
    assert contents(out) == FILES
    assert seen[-1] == len(FILES)


@pytest.mark.parametrize("name", ARCHIVES)
def test_only_what_is_wanted_comes_out(tmp_path: Path, name: str) -> None:
    out, _ = unpacked(tmp_path, name, ARCHIVES[name], "a/b/", "c")
    assert sorted(contents(out)) == ["a/b/2.txt", "c.txt"]


def test_names_may_begin_with_a_dot(tmp_path: Path) -> None:
    files = {f"./{name}": content for name, content in FILES.items()}
    out, _ = unpacked(tmp_path, "x.tgz", tar_bytes(files, "w:gz"), "a/")
    assert sorted(contents(out)) == ["a/1.txt", "a/3.txt", "a/b/2.txt"]


def _half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


def _login(content: bytes) -> bytes:
    return b"<html>please log in</html>" * 100


def _nothing(content: bytes) -> bytes:
    return b""


def _without_checksum(content: bytes) -> bytes:
    return content[:-8]


@pytest.mark.parametrize("name", ["x.zip", "x.tgz", "x.tar"])
@pytest.mark.parametrize("damage", [_half, _flipped, _login, _nothing, _without_checksum])
def test_a_damaged_archive(tmp_path: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    if name == "x.tar" and damage in (_flipped, _without_checksum):
        pytest.skip("a plain tar has no checksum of its contents: that is the download's")
    with pytest.raises(DataError, match=r"must be a whole archive .*fetch it again") as caught:
        unpacked(tmp_path, name, damage(ARCHIVES[name]))
    assert str(tmp_path / name) in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("n_members", [1, 2, 3])
def test_a_tar_cut_between_two_members(tmp_path: Path, n_members: int) -> None:
    """The standard library takes it for whole."""
    few = dict(list(FILES.items())[:n_members])
    cut = tar_bytes(few, "w").rstrip(b"\0")
    cut += b"\0" * (-len(cut) % 512)
    for name, content in (("x.tar", cut), ("x.tgz", gzip.compress(cut))):
        with pytest.raises(DataError, match=r"whole archive .its end mark is missing."):
            unpacked(tmp_path, name, content)


@pytest.mark.parametrize(
    "name", ["../evil.txt", "/tmp/evil.txt", "a/../../evil.txt", "..\\evil.txt", "C:\\evil.txt"]
)
@pytest.mark.parametrize("kind", ["x.zip", "x.tgz"])
def test_names_that_lead_out(tmp_path: Path, name: str, kind: str) -> None:
    files = {"a.txt": b"", name: b"evil"}
    content = zip_bytes(files) if kind == "x.zip" else tar_bytes(files, "w:gz")
    with pytest.raises(DataError, match=r"below its own folder, got .*: do not trust it"):
        unpacked(tmp_path, kind, content)
    assert [path.name for path in tmp_path.iterdir()] == [kind]


@pytest.mark.parametrize("target", ["/etc", "../.."])
def test_links_that_lead_out(tmp_path: Path, target: str) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        link = tarfile.TarInfo("a")
        link.type, link.linkname = tarfile.SYMTYPE, target
        archive.addfile(link)
        inside = tarfile.TarInfo("a/evil.txt")
        archive.addfile(inside, io.BytesIO())
    with pytest.raises(DataError, match="must be a whole archive"):
        unpacked(tmp_path, "x.tar", buffer.getvalue())
    assert not (tmp_path / "out").exists()


def test_nothing_of_it_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must hold images/ or masks/, got none"):
        unpacked(tmp_path, "x.zip", ARCHIVES["x.zip"], "images/", "masks/")


def test_what_is_there_is_replaced_file_by_file(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (root / "a" / "1.txt").write_text("damaged")
    (root / "a" / "own.txt").write_text("mine")
    out, _ = unpacked(tmp_path, "x.zip", ARCHIVES["x.zip"])
    place(out, root)
    assert contents(root) == {**FILES, "a/own.txt": b"mine"}
    assert not out.exists()


@pytest.mark.parametrize("name", ["x.zip", "x.tgz"])
def test_a_bomb_is_not_unpacked(tmp_path: Path, name: str) -> None:
    files = {"a.txt": b"", "bomb.txt": bytes(20 * 2**20)}
    content = zip_bytes(files) if name == "x.zip" else tar_bytes(files, "w:gz")
    with pytest.raises(DataError, match=r"more than 64 times its size \(20 MiB\): do not trust"):
        unpacked(tmp_path, name, content)
    assert not (tmp_path / "out").exists()


def test_an_encrypted_member(tmp_path: Path) -> None:
    content = bytearray(zip_bytes(FILES))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(signature)
        while at >= 0:
            content[at + offset] |= 1
            at = content.find(signature, at + 1)
    with pytest.raises(DataError, match="is encrypted: unpack it by hand"):
        unpacked(tmp_path, "x.zip", bytes(content))


def test_a_hard_link_to_what_is_not_there(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        link = tarfile.TarInfo("a")
        link.type, link.linkname = tarfile.LNKTYPE, "gone"
        archive.addfile(link)
    with pytest.raises(DataError, match="must be a whole archive"):
        unpacked(tmp_path, "x.tar", buffer.getvalue())
    assert not (tmp_path / "out").exists()
