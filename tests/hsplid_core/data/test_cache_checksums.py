"""Checksums of a cache: what byte flips, another machine and an earlier version's file lead to."""

from __future__ import annotations

import json
import logging
import os
import pickle
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from hsplid_core.data.cache.build import build_or_open
from hsplid_core.data.cache.checksums import checksums_file
from hsplid_core.data.cache.image_set import ImageSet
from hsplid_core.data.cache.node_copy import on_node
from hsplid_core.data.workers import Workers
from hsplid_core.errors import DataError
from tests.hsplid_core.data.made_source import MadeSource
from tests.hsplid_core.data.processes import outputs
from tests.hsplid_core.data.test_arrow_cache import arrow_file, assert_holds

SOURCE = MadeSource(n_rows=90)

OPEN = """
import logging, sys, tempfile
from pathlib import Path
from hsplid_core.data.cache.image_set import ImageSet
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
tempfile.tempdir = sys.argv[2]
ImageSet.open(Path(sys.argv[1]))
"""


@pytest.fixture
def another_machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Go on as on a machine with this temporary folder, which nothing was verified on."""

    def go(folder: Path) -> None:
        folder.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder))

    return go


def built(folder: Path) -> Path:
    build_or_open(SOURCE, folder, workers=Workers(count=1))
    return arrow_file(folder)


def rewritten(path: Path, content: bytes) -> None:
    path.unlink()  # a new file: the old one is still mapped by this process
    path.write_bytes(content)


def flip(path: Path, *positions: int) -> None:
    content = bytearray(path.read_bytes())
    for position in positions:
        content[position] ^= 1
    rewritten(path, bytes(content))


def pixel_and_label(path: Path) -> tuple[int, int]:
    """Find a byte of an image of the first record batch, and one of a label of the last."""
    buffer = pa.memory_map(str(path)).read_buffer()
    batches = list(pa.ipc.open_stream(pa.BufferReader(buffer)))
    assert len(batches) == 4
    image, label = batches[0].column("image"), batches[-1].column("label")
    pixel = image.buffers()[1].address - buffer.address + 100
    return pixel, label.buffers()[1].address - buffer.address


def test_checksums_cover_the_whole_file_batch_by_batch(tmp_path: Path) -> None:
    path = built(tmp_path)
    parts = json.loads(checksums_file(path).read_text())
    assert len(parts) == 1 + 4 + 1  # schema, record batches, end
    content = path.read_bytes()
    for n_bytes, checksum in parts:
        assert zlib.crc32(content[:n_bytes]) == checksum
        content = content[n_bytes:]
    assert content == b""


def test_flipped_bytes_are_found_and_the_cache_is_built_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = built(tmp_path)
    key = ImageSet.open(path).key
    flip(path, *pixel_and_label(path))
    with pytest.raises(DataError) as caught:
        ImageSet.open(path)
    says = f"{path} is damaged: 2 of its 6 parts differ from their checksums"
    assert str(caught.value) == says
    with caplog.at_level(logging.WARNING):
        again = build_or_open(SOURCE, tmp_path)
    told = [record.getMessage() for record in caplog.records]
    assert told == [f"building the cache again: {says}"]
    assert again.key == key
    assert_holds(again, SOURCE)


@pytest.mark.parametrize("content", [b"", b"no json", b"[1, 2]", b"[[5, 1]]"])
def test_a_cache_with_damaged_checksums_is_built_again(tmp_path: Path, content: bytes) -> None:
    path = built(tmp_path)
    rewritten(checksums_file(path), content)
    with pytest.raises(DataError, match=r"is damaged"):
        ImageSet.open(path)
    assert_holds(build_or_open(SOURCE, tmp_path), SOURCE)


def test_a_machine_verifies_once(
    tmp_path: Path, another_machine: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def verified() -> int:
        return sum("verifying" in record.getMessage() for record in caplog.records)

    path = built(tmp_path / "cache")
    ImageSet.open(path)
    assert verified() == 0  # this one has written it
    another_machine(tmp_path / "other")
    for _ in range(2):
        ImageSet.open(path)
    assert verified() == 1
    os.utime(path, ns=(1, 1))
    ImageSet.open(path)
    assert verified() == 2
    another_machine(tmp_path / "third")
    (tmp_path / "third").rmdir()  # nothing can be remembered there
    for _ in range(2):
        ImageSet.open(path)
    assert verified() == 4
    another_machine(tmp_path / "fourth")
    (tmp_path / "led_elsewhere").mkdir()
    notes = tmp_path / "fourth" / f"saliency-sweeps-{os.getuid()}"
    notes.symlink_to(tmp_path / "led_elsewhere")
    for _ in range(2):
        ImageSet.open(path)
    assert verified() == 6
    assert list((tmp_path / "led_elsewhere").iterdir()) == []


def test_processes_of_a_machine_that_open_at_once_verify_once(tmp_path: Path) -> None:
    path = built(tmp_path / "cache")
    (tmp_path / "other").mkdir()
    printed = outputs(OPEN, path, tmp_path / "other", count=3)
    assert sum("verifying" in text for text in printed) == 1


def test_an_earlier_versions_cache_stays_and_gets_checksums(
    tmp_path: Path, another_machine: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    path = built(tmp_path / "cache")
    checksums_file(path).unlink()
    inode = path.stat().st_ino
    with caplog.at_level(logging.WARNING):
        assert_holds(build_or_open(SOURCE, tmp_path / "cache"), SOURCE)
    assert "has no checksums, which earlier versions did not write" in caplog.text
    assert path.stat().st_ino == inode
    another_machine(tmp_path / "other")
    assert_holds(ImageSet.open(path), SOURCE)
    flip(path, 5000)
    with pytest.raises(DataError, match="1 of its 1 parts differ"):
        ImageSet.open(path)


def test_a_pickled_set_is_not_opened_on_a_damaged_file(tmp_path: Path) -> None:
    images = build_or_open(SOURCE, tmp_path)
    content = pickle.dumps(images)
    flip(images.path, 5000)
    with pytest.raises(DataError, match=r"is damaged: .*: the same command builds it again"):
        pickle.loads(content)


def test_a_nodes_copy_is_verified_by_the_sums_of_what_was_built(
    tmp_path: Path, another_machine: Callable[[Path], None]
) -> None:
    images = build_or_open(SOURCE, tmp_path / "shared")
    another_machine(tmp_path / "other")
    copy = on_node(images, tmp_path / "node")
    rows = torch.arange(len(images))
    assert checksums_file(copy.path).read_bytes() == checksums_file(images.path).read_bytes()
    flip(copy.path, 5000)
    again = on_node(images, tmp_path / "node")
    assert torch.equal(again.batch(rows).image, images.batch(rows).image)
    # What is damaged where all nodes copy from is told with its own name.
    flip(images.path, 5000)
    again.path.unlink()
    source = build_or_open(SOURCE, tmp_path / "shared", to_be_copied=True)
    with pytest.raises(DataError, match=rf"^{images.path} is damaged, for its copy is"):
        on_node(source, tmp_path / "node")
    assert_holds(build_or_open(SOURCE, tmp_path / "shared"), SOURCE)
    assert_holds(on_node(source, tmp_path / "node"), SOURCE)
