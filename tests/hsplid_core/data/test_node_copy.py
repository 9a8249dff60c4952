from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from hsplid_core.config import DataConfig
from hsplid_core.data import load
from hsplid_core.data.cache.build import build_or_open
from hsplid_core.data.cache.image_set import ImageSet
from hsplid_core.data.cache.node_copy import node_folder, on_node
from hsplid_core.errors import ConfigError, DataError
from tests.hsplid_core.data.made_source import MadeSource
from tests.hsplid_core.data.processes import outputs

OPEN = """
import logging, sys
from pathlib import Path
from hsplid_core.data.cache.image_set import ImageSet
from hsplid_core.data.cache.node_copy import on_node
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
on_node(ImageSet.open(Path(sys.argv[1])), Path(sys.argv[2]))
"""


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    return build_or_open(MadeSource(), tmp_path / "shared")


def test_processes_that_ask_at_once_make_one_copy(images: ImageSet, tmp_path: Path) -> None:
    printed = outputs(OPEN, images.path, tmp_path / "node", count=3)
    assert sum("copying" in text for text in printed) == 1
    (copy,) = (tmp_path / "node").glob("*.arrow")
    assert copy.read_bytes() == images.path.read_bytes()
    assert not list((tmp_path / "node").glob("*.tmp"))


def test_a_copy_serves_until_it_is_damaged(images: ImageSet, tmp_path: Path) -> None:
    first = on_node(images, tmp_path / "node")
    inode = first.path.stat().st_ino
    assert on_node(images, tmp_path / "node").path.stat().st_ino == inode
    os.truncate(first.path, first.path.stat().st_size - 100)
    again = on_node(images, tmp_path / "node")
    rows = torch.arange(len(images))
    assert again.path.parent == tmp_path / "node"
    assert torch.equal(again.batch(rows).image, images.batch(rows).image)
    assert again.key == images.key


def test_a_folder_that_cannot_be_written(images: ImageSet, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="node_cache must be a folder that can be created"):
        on_node(images, tmp_path / "file")


def test_a_full_disk_leaves_no_part(
    images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: object, target: object, length: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(DataError, match=r"node_cache must have room for .* MB"):
        on_node(images, tmp_path / "node")
    assert not [file for file in (tmp_path / "node").iterdir() if file.suffix != ".lock"]


def test_a_data_set_is_read_from_the_nodes_disk(tmp_path: Path) -> None:
    def opened(node_cache: Path | None) -> ImageSet:
        return load(
            DataConfig(
                name="mnist",
                root=None,
                image_size=28,
                cache_dir=tmp_path / "shared",
                node_cache=node_cache,
            ),
            "val",
        )

    images = opened(tmp_path / "node")
    assert images.path.parent == tmp_path / "node"
    assert images.key == opened(None).key


def test_the_nodes_own_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_DISK", "/local/7")
    assert node_folder(Path("$NODE_DISK/cache")) == Path("/local/7/cache")


@pytest.mark.parametrize("given", ["$NOT_SET_HERE/cache", "cache"])
def test_a_folder_that_says_nothing_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.node_cache is .*: name an absolute path"):
        node_folder(Path(given))
