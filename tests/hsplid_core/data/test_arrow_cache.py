from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from hsplid_core.data.cache import file_format
from hsplid_core.data.cache.build import build_or_open
from hsplid_core.data.cache.file_format import open_cache
from hsplid_core.data.cache.image_set import ImageSet
from hsplid_core.data.source import Sample
from hsplid_core.errors import DataError
from tests.hsplid_core.data.made_source import MadeSource
from tests.hsplid_core.data.processes import outputs

BUILD = """
import sys
from pathlib import Path
from hsplid_core.data.cache.build import build_or_open
from tests.hsplid_core.data.made_source import MadeSource
cache, journal, wait_s = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
print(build_or_open(MadeSource(wait_s=wait_s, journal=journal), cache).key)
"""


def arrow_file(cache_dir: Path) -> Path:
    (path,) = cache_dir.glob("*.arrow")
    return path


def leftovers(cache_dir: Path) -> list[Path]:
    return [*cache_dir.glob("*.tmp"), *cache_dir.glob("*.partial"), *cache_dir.glob("*.journal")]


def assert_holds(images: ImageSet, source: MadeSource) -> None:
    batch = images.batch(torch.arange(len(images)))
    assert len(images) == source.n_rows
    for row in range(source.n_rows):
        sample = source.sample(row)
        assert isinstance(sample, Sample)
        np.testing.assert_array_equal((batch.image[row] * 255).round().byte(), sample.image)
        assert int(batch.target[row]) == sample.label
        if sample.mask is not None and batch.mask is not None:
            np.testing.assert_array_equal(batch.mask[row].byte(), sample.mask)


@pytest.mark.parametrize("has_masks", [True, False])
@pytest.mark.parametrize("batch_rows", [1, 7, 20, 512])
def test_rows_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_masks: bool, batch_rows: int
) -> None:
    monkeypatch.setattr(file_format, "MAX_BATCH_ROWS", batch_rows)
    source = MadeSource(has_masks=has_masks)
    images = build_or_open(source, tmp_path)
    assert_holds(images, source)
    assert images.has_masks == has_masks
    assert images.class_names == source.class_names
    assert (images.mean, images.std) == (source.mean, source.std)
    assert images.image_shape == source.image_shape
    assert images.ids == tuple(f"{row:06d}" for row in range(20))
    assert not images.is_demo
    assert leftovers(tmp_path) == []


def test_rows_per_batch_bound_the_memory_of_large_images() -> None:
    assert file_format.rows_per_batch((3, 64, 64)) == 512
    rows = file_format.rows_per_batch((3, 512, 512))
    assert rows * 4 * 512 * 512 <= file_format.MAX_BATCH_BYTES
    assert file_format.rows_per_batch((3, 9999, 9999)) == 1


def test_built_once(tmp_path: Path) -> None:
    source = MadeSource(journal=tmp_path / "journal")
    first = build_or_open(source, tmp_path / "cache")
    second = build_or_open(source, tmp_path / "cache")
    assert first.key == second.key
    assert len((tmp_path / "journal").read_text().splitlines()) == source.n_rows


@pytest.mark.parametrize(
    "other", [MadeSource(version=1), MadeSource(size=9), MadeSource(n_rows=19)]
)
def test_another_source_or_transform_has_another_file(tmp_path: Path, other: MadeSource) -> None:
    keys = {build_or_open(source, tmp_path).key for source in (MadeSource(), other)}
    assert len(keys) == 2
    assert len(list(tmp_path.glob("*.arrow"))) == 2


def test_new_file_times_alone_keep_the_cache(tmp_path: Path) -> None:
    source = MadeSource(journal=tmp_path / "journal")
    first = build_or_open(source, tmp_path / "cache")
    touched = build_or_open(replace(source, touched=1), tmp_path / "cache")
    assert touched.key == first.key
    assert len((tmp_path / "journal").read_text().splitlines()) == source.n_rows


def test_another_format_version_has_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_or_open(MadeSource(), tmp_path)
    for path in tmp_path.glob("*.key"):
        path.unlink()  # remembered by this version of the program
    monkeypatch.setattr("hsplid_core.data.cache.build.FORMAT_VERSION", 99)
    build_or_open(MadeSource(), tmp_path)
    assert len(list(tmp_path.glob("*.arrow"))) == 2


def _cut(path: Path, keep: float) -> None:
    content = path.read_bytes()
    path.unlink()  # a new file: the old one is still mapped by this process
    path.write_bytes(content[: int(len(content) * keep)])


def _foreign(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"PK\x03\x04 no Arrow at all" * 1000)


def _other_arrow(path: Path) -> None:
    path.unlink()
    table = pa.table({"image": [1, 2, 3]})
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table)


def _first_version(path: Path) -> None:
    table = pa.ipc.open_stream(str(path)).read_all()
    path.unlink()
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)


def _no_end(path: Path) -> None:
    _rewrite(path, lambda content: content[: -len(file_format.END_OF_STREAM)])


def _rewrite(path: Path, edit: Callable[[bytes], bytes]) -> None:
    content = edit(path.read_bytes())
    path.unlink()
    path.write_bytes(content)


def _other_version(path: Path) -> None:
    _rewrite(path, lambda content: content.replace(b'"version": 2', b'"version": 7'))


def _other_shape(path: Path) -> None:
    _rewrite(
        path,
        lambda content: content.replace(b'"image_shape": [3, 8, 8]', b'"image_shape": [3, 8, 4]'),
    )


def _unknown_header(path: Path) -> None:
    _rewrite(path, lambda content: content.replace(b'"is_demo"', b'"is_fake"'))


def _no_rows(path: Path) -> None:
    schema = pa.ipc.open_stream(str(path)).schema
    path.unlink()
    with pa.ipc.new_stream(str(path), schema):
        pass


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: _cut(path, 0.0), id="empty"),
        pytest.param(lambda path: _cut(path, 0.3), id="cut at 30%"),
        pytest.param(lambda path: _cut(path, 0.99), id="cut at 99%"),
        _foreign,
        _other_arrow,
        _first_version,
        _no_end,
        _other_version,
        _other_shape,
        _unknown_header,
        _no_rows,
    ],
)
def test_a_bad_file_is_built_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    source = MadeSource()
    key = build_or_open(source, tmp_path).key
    path = arrow_file(tmp_path)
    damage(path)
    with pytest.raises(DataError, match="made-"):
        ImageSet.open(path)
    with caplog.at_level(logging.WARNING):
        images = build_or_open(source, tmp_path)
    assert [record.getMessage()[:24] for record in caplog.records] == ["building the cache again"]
    assert images.key == key
    assert_holds(images, source)


def test_the_message_names_both_versions(tmp_path: Path) -> None:
    build_or_open(MadeSource(), tmp_path)
    path = arrow_file(tmp_path)
    _other_version(path)
    with pytest.raises(DataError, match=r"arrow has cache version 7, this program reads 2$"):
        ImageSet.open(path)


def test_labels_outside_the_classes_are_refused(tmp_path: Path) -> None:
    build_or_open(MadeSource(), tmp_path)
    path = arrow_file(tmp_path)
    table = pa.ipc.open_stream(str(path)).read_all()
    labels = pa.array([5] * len(table), type=pa.int64())
    table = table.set_column(2, table.schema.field("label"), labels)
    path.unlink()
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(DataError, match="labels outside its 2 classes"):
        ImageSet.open(path)


def test_pixels_are_views_on_the_mapped_file(tmp_path: Path) -> None:
    build_or_open(MadeSource(n_rows=600, size=16), tmp_path)
    path = arrow_file(tmp_path)
    cache = open_cache(path)
    assert cache.masks is not None
    assert len(cache.ids) > 1  # record batches
    ranges = [
        [int(bound, 16) for bound in line.split()[0].split("-")]
        for line in Path("/proc/self/maps").read_text().splitlines()
        if line.endswith(str(path))
    ]
    for column in (cache.images, cache.masks):
        begin = column.windows.data_ptr()
        assert any(low <= begin and begin + path.stat().st_size <= high for low, high in ranges)
        assert len(column.windows) + column.windows.shape[1] - 1 == path.stat().st_size


def test_two_processes_build_once(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    keys = outputs(BUILD, tmp_path / "cache", journal, 0.02, count=2)
    assert keys[0] == keys[1]
    decoders = journal.read_text().splitlines()
    assert len(decoders) == MadeSource().n_rows
    assert len(set(decoders)) == 1
    assert leftovers(tmp_path / "cache") == []


def test_cache_dir_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    for cache_dir in (tmp_path / "cache", tmp_path / "cache" / "below"):
        with pytest.raises(DataError, match="cache_dir must be a folder that can be created"):
            build_or_open(MadeSource(), cache_dir)
