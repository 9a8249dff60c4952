from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from hsplid_core.data.cache.build import build_or_open
from hsplid_core.data.demo.coco_writer import run_lengths
from hsplid_core.data.readers.coco_masks import union_mask
from hsplid_core.data.source import Sample, Source
from tests.hsplid_core.data.coco_root import BEAR, ELEPHANT, GIRAFFE, ZEBRA, CocoRoot, box


def compressed(mask: NDArray[np.uint8]) -> dict[str, object]:
    code = coco_mask.encode(np.asfortranarray(mask))
    return {"size": code["size"], "counts": code["counts"].decode()}


def uncompressed(mask: NDArray[np.uint8]) -> dict[str, object]:
    return {"size": list(mask.shape), "counts": run_lengths(mask.astype(bool))}


def united(height: int, width: int, *segmentations: object) -> NDArray[np.uint8]:
    annotations = [{"id": i, "segmentation": s} for i, s in enumerate(segmentations)]
    return union_mask(annotations, height, width, file_name="1.jpg")


def sample(source: Source, index: int) -> Sample:
    found = source.sample(index)
    assert isinstance(found, Sample)
    return found


def test_labels_follow_the_alphabet(coco: CocoRoot) -> None:
    for category in (ZEBRA, GIRAFFE, ELEPHANT, BEAR):
        coco.animal(coco.image(), category, box(4, 4, 8, 8))
    source = coco.source()
    assert source.class_names == ("bear", "elephant", "giraffe", "zebra")
    assert [sample(source, row).label for row in range(4)] == [3, 2, 1, 0]


def test_images_with_two_kinds_or_none_are_dropped(coco: CocoRoot) -> None:
    two_kinds, twins, empty, only_person, with_person = (coco.image() for _ in range(5))
    coco.animal(two_kinds, BEAR, box(0, 0, 8, 8))
    coco.animal(two_kinds, ZEBRA, box(8, 8, 8, 8))
    coco.animal(twins, GIRAFFE, box(0, 0, 8, 8))
    coco.animal(twins, GIRAFFE, box(16, 16, 8, 8))
    coco.animal(only_person, 1, box(0, 0, 8, 8))
    coco.animal(with_person, 1, box(0, 0, 8, 8))
    coco.animal(with_person, ELEPHANT, box(8, 0, 8, 8))
    source = coco.source()
    assert [sample(source, row).id for row in range(len(source))] == [
        f"{number:012d}.jpg" for number in (twins, with_person)
    ]
    assert empty


def test_a_crowd_alone_makes_an_image_ambiguous(coco: CocoRoot) -> None:
    image, other = coco.image(), coco.image()
    coco.animal(image, BEAR, box(0, 0, 8, 8))
    coco.animal(image, ZEBRA, uncompressed(np.ones((32, 32), dtype=np.uint8)), crowd=True)
    coco.animal(other, BEAR, box(0, 0, 8, 8))
    assert len(coco.source()) == 1


def test_union_of_all_three_forms_is_exact(coco: CocoRoot) -> None:
    image = coco.image()
    expected = np.zeros((32, 32), dtype=np.uint8)
    expected[2:12, 3:11] = 1
    run = np.zeros((32, 32), dtype=np.uint8)
    run[8:20, 6:9] = 1
    crowd = np.zeros((32, 32), dtype=np.uint8)
    crowd[30:32, 0:32] = 1
    person = box(20, 2, 10, 10)
    coco.animal(image, BEAR, box(3, 2, 8, 10))
    coco.animal(image, BEAR, compressed(run))
    coco.animal(image, BEAR, uncompressed(crowd), crowd=True)
    coco.animal(image, 1, person)
    mask = sample(coco.source(), 0).mask
    assert mask is not None
    np.testing.assert_array_equal(mask[0], expected | run | crowd)
    assert int(mask.sum()) == 8 * 10 + (12 * 3 - 4 * 3) + 2 * 32


def test_several_polygons_of_one_animal_are_united() -> None:
    mask = united(10, 20, [*box(0, 0, 5, 5), *box(10, 5, 10, 5)])
    assert mask[:5, :5].all()
    assert mask[5:, 10:].all()
    assert int(mask.sum()) == 25 + 50


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_run_lengths_round_trip(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    seed, density = data.draw(st.integers(0, 999)), data.draw(st.floats(0, 1))
    mask = (np.random.default_rng(seed).random((height, width)) < density).astype(np.uint8)
    for segmentation in (compressed(mask), uncompressed(mask)):
        np.testing.assert_array_equal(united(height, width, segmentation), mask)


def test_wide_image_is_cropped_in_the_middle(coco: CocoRoot) -> None:
    image = coco.image(width=64, height=32)
    coco.animal(image, ZEBRA, box(20, 4, 60, 8))
    found = sample(coco.source(image_size=16), 0)
    assert found.image.shape == (3, 16, 16)
    assert found.mask is not None
    # The centre square spans x 16..48; halved, the box begins at (20 - 16) / 2.
    expected = np.zeros((16, 16), dtype=np.uint8)
    expected[2:6, 2:16] = 1
    np.testing.assert_array_equal(found.mask[0], expected)


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_other_colour_modes_become_rgb(coco: CocoRoot, mode: str) -> None:
    coco.animal(coco.image(mode=mode), BEAR, box(0, 0, 8, 8))
    source = coco.source()
    with Image.open(source.root / "train2017" / "000000000001.jpg") as image:
        assert image.mode == mode
        expected = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    np.testing.assert_array_equal(sample(source, 0).image, expected)


def test_empty_masks_are_counted_by_their_reasons(
    coco: CocoRoot, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for segmentation in (box(5, 5, 0.2, 0.2), [[1, 1, 2, 2]], [], box(0, 0, 8, 8)):
        coco.animal(coco.image(), BEAR, segmentation)
    coco.animal(coco.image(width=96), BEAR, box(0, 0, 8, 8))  # lies outside the centre square
    with caplog.at_level(logging.WARNING):
        images = build_or_open(coco.source(), tmp_path / "cache")
    assert images.ids == ("000000000004.jpg",)
    assert [record.getMessage() for record in caplog.records] == [
        "coco_animals-train-32: left out 2 of 5 images: an object has neither an outline nor "
        "a box",
        "coco_animals-train-32: left out 2 of 5 images: no object's pixel is left in the resized "
        "mask",
    ]


def test_pixels_and_masks_survive_the_cache(coco: CocoRoot, tmp_path: Path) -> None:
    for category in (BEAR, ELEPHANT, GIRAFFE, ZEBRA):
        coco.animal(coco.image(width=40, height=56), category, box(10, 12, 12, 16))
    source = coco.source()
    images = build_or_open(source, tmp_path / "cache")
    batch = images.batch(torch.arange(4))
    assert batch.mask is not None
    assert images.mean == (0.485, 0.456, 0.406)
    for row in range(4):
        expected = sample(source, row)
        pixels = (batch.image[row] * 255).round().byte().numpy()
        np.testing.assert_array_equal(pixels, expected.image)
        assert expected.mask is not None
        np.testing.assert_array_equal(batch.mask[row].numpy(), expected.mask == 1)
