"""Each damage to a COCO root is one clear error that names what is wrong and what to do."""

from __future__ import annotations

import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hsplid_core.data.cache.build import build_or_open
from hsplid_core.data.readers.coco import coco_animals
from hsplid_core.errors import DataError
from tests.hsplid_core.data.coco_root import BEAR, CocoRoot, box


@pytest.fixture
def whole(coco: CocoRoot) -> CocoRoot:
    for _ in range(3):
        coco.animal(coco.image(), BEAR, box(4, 4, 8, 8))
    coco.write()
    return coco


def reading(coco: CocoRoot) -> str:
    """Build the cache, which must fail without leaving anything, and return the message."""
    cache = coco.path.parent / "cache"
    with pytest.raises(DataError) as caught:
        build_or_open(coco_animals(coco.path, "train", 32), cache)
    if cache.exists():
        assert [path.name for path in cache.iterdir() if path.suffix in {".arrow", ".tmp"}] == []
    return str(caught.value)


@pytest.mark.parametrize(
    "part", [".", "annotations", "annotations/instances_train2017.json", "train2017"]
)
def test_missing_part_of_the_layout(whole: CocoRoot, part: str) -> None:
    path = whole.path / part
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    message = reading(whole)
    assert str(path) in message
    assert "annotations/instances_train2017.json" in message


def test_a_file_in_place_of_the_image_folder(whole: CocoRoot) -> None:
    shutil.rmtree(whole.path / "train2017")
    (whole.path / "train2017").write_text("")
    assert "must be a folder" in reading(whole)


@pytest.mark.parametrize("keep", [0, 10, -1])
def test_half_an_annotation_file(whole: CocoRoot, keep: int) -> None:
    content = whole.json_file.read_bytes()
    whole.json_file.write_bytes(content[:keep])
    message = reading(whole)
    assert str(whole.json_file) in message
    assert "valid JSON" in message


@pytest.mark.parametrize("content", ["[]", "{}", '{"images": [], "annotations": {}}', "3"])
def test_another_kind_of_json(whole: CocoRoot, content: str) -> None:
    whole.json_file.write_text(content)
    assert "must hold a list 'images'" in reading(whole) or "'annotations'" in reading(whole)


def _no_bear(coco: CocoRoot) -> str:
    coco.categories = [entry for entry in coco.categories if entry["name"] != "bear"]
    coco.annotations = []
    return "must give category id 23 the name 'bear', got None"


def _renamed(coco: CocoRoot) -> str:
    coco.categories = [{**e, "name": "cat"} if e["id"] == 24 else e for e in coco.categories]
    return "must give category id 24 the name 'zebra', got 'cat'"


def _unlisted_category(coco: CocoRoot) -> str:
    coco.annotations[0]["category_id"] = 99
    return "annotation 1 has category_id 99, which the file's categories do not list"


def _unlisted_image(coco: CocoRoot) -> str:
    coco.annotations[0]["image_id"] = 1234
    return "annotation 1 belongs to image 1234, which the file's images do not list"


def _no_image_id(coco: CocoRoot) -> str:
    del coco.annotations[1]["image_id"]
    return "annotation 2 must have a field 'image_id'"


def _no_file_name(coco: CocoRoot) -> str:
    del coco.images[2]["file_name"]
    return "image 3 must have a field 'file_name'"


def _height_is_text(coco: CocoRoot) -> str:
    coco.images[2]["height"] = "tall"
    return "image 3 must have a positive whole number as height, got 'tall'"


def _no_animal(coco: CocoRoot) -> str:
    coco.annotations = []
    return "must have at least one usable image, got none of 0"


def _missing_images(coco: CocoRoot) -> str:
    coco.animal(coco.image(file=False), BEAR, box(0, 0, 9, 9))
    coco.animal(coco.image(file=False), BEAR, box(0, 0, 9, 9))
    return "2 of 5 are missing (first: 000000000004.jpg): finish the download"


def _other_size(coco: CocoRoot) -> str:
    coco.images[0]["height"] = 30
    return "000000000001.jpg must be 32x30 as annotated, got 32x32"


def _rle_of_other_size(coco: CocoRoot) -> str:
    coco.annotations[0]["segmentation"] = {"size": [16, 16], "counts": [0, 256]}
    return (
        "image 000000000001.jpg: annotation 1 must hold a mask of 32x32 pixels "
        "(its run-length code has size [16, 16])"
    )


def _rle_too_short(coco: CocoRoot) -> str:
    coco.annotations[0]["segmentation"] = {"size": [32, 32], "counts": [10, 20]}
    return "its runs add up to 30 pixels"


def _rle_negative(coco: CocoRoot) -> str:
    coco.annotations[0]["segmentation"] = {"size": [32, 32], "counts": [1030, -6]}
    return "its runs add up to 1024 pixels"


def _compressed_too_short(coco: CocoRoot) -> str:
    coco.annotations[0]["segmentation"] = {"size": [32, 32], "counts": "016000"}
    return "its runs add up to"


def _compressed_cut(coco: CocoRoot) -> str:
    coco.annotations[0]["segmentation"] = {"size": [32, 32], "counts": "`"}
    return "its counts end within a number"


def _compressed_garbage(coco: CocoRoot) -> str:
    coco.annotations[0]["segmentation"] = {"size": [32, 32], "counts": "01§2"}
    return "its counts hold the character '§'"


def _odd_polygon(coco: CocoRoot) -> str:
    coco.annotations[0]["segmentation"] = [[1, 2, 3, 4, 5, 6, 7]]
    return "a polygon has 7 numbers"


def _sides_swapped(coco: CocoRoot) -> str:
    coco.images[0] |= {"height": 40, "width": 32}
    path = coco.path / "train2017" / "000000000001.jpg"
    Image.fromarray(np.zeros((32, 40, 3), dtype=np.uint8)).save(path)
    return "000000000001.jpg must be 32x40 as annotated, got 40x32: are height and width mixed up"


def _all_left_out(coco: CocoRoot) -> str:
    for annotation in coco.annotations:
        annotation["segmentation"] = []
        annotation.pop("bbox", None)
    return "got none of 3 (3: an object has neither an outline nor a box): check its annotations"


def _far_polygon(coco: CocoRoot) -> str:
    coco.annotations[0]["segmentation"] = [[0, 0, 1e9, 0, 1e9, 1e9]]
    return "a polygon lies far outside the image"


def _text_as_mask(coco: CocoRoot) -> str:
    coco.annotations[0]["segmentation"] = "polygon"
    return "its segmentation is a str"


@pytest.mark.parametrize(
    "damage",
    [
        _no_bear,
        _renamed,
        _unlisted_category,
        _unlisted_image,
        _no_image_id,
        _no_file_name,
        _height_is_text,
        _no_animal,
        _missing_images,
        _other_size,
        _rle_of_other_size,
        _rle_too_short,
        _rle_negative,
        _compressed_too_short,
        _compressed_cut,
        _compressed_garbage,
        _odd_polygon,
        _sides_swapped,
        _all_left_out,
        _far_polygon,
        _text_as_mask,
    ],
)
def test_damaged_annotations(whole: CocoRoot, damage: Callable[[CocoRoot], str]) -> None:
    expected = damage(whole)
    whole.write()
    message = reading(whole)
    assert expected in message
    assert "\n" not in message


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def _no_picture(path: Path) -> None:
    path.write_text("<html>404</html>")


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _zeros(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200] + b"\0" * 500)


@pytest.mark.parametrize("damage", [_truncated, _no_picture, _empty, _zeros])
def test_broken_picture(whole: CocoRoot, damage: Callable[[Path], None]) -> None:
    path = whole.path / "train2017" / "000000000002.jpg"
    damage(path)
    message = reading(whole)
    assert str(path) in message
    assert "must be a readable picture" in message
    assert "download it again" in message


def test_png_named_jpg_is_fine(whole: CocoRoot) -> None:
    path = whole.path / "train2017" / "000000000002.jpg"
    Image.fromarray(np.zeros((32, 32, 3), dtype=np.uint8)).save(path, format="PNG")
    assert len(build_or_open(whole.source(), whole.path.parent / "cache")) == 3


def test_a_picture_too_large_to_decode_is_named(whole: CocoRoot) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))
    file = next(iter((whole.path / "train2017").iterdir()))
    file.write_bytes(content + chunk(b"IEND", b""))
    with pytest.raises(DataError, match=f"{file.name} is too large a picture .*: scale it down"):
        build_or_open(whole.source(), whole.path.parent / "cache")


@pytest.mark.parametrize("name", ["../secret.jpg", "/etc/secret.jpg", "a/../../secret.jpg", ""])
def test_a_file_name_that_leads_out_of_the_folder(tmp_path: Path, name: object) -> None:
    root = CocoRoot(tmp_path)
    root.animal(root.image(), BEAR, box(2, 2, 20, 20))
    root.images[0]["file_name"] = name
    source = root.source()
    with pytest.raises(DataError, match="must have a file_name in the image folder, got"):
        len(source)
