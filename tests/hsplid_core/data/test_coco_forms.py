"""Masks in every form that programs write into COCO files, each against the mask that it means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from hsplid_core.data.check_files import Finding, Report, check_sources
from hsplid_core.data.demo.coco_writer import run_lengths
from hsplid_core.data.readers.coco import CocoImages, coco_animals
from hsplid_core.data.readers.coco_masks import union_mask
from hsplid_core.data.source import Sample
from hsplid_core.errors import DataError
from tests.hsplid_core.data.coco_root import BEAR, CocoRoot, box

HEIGHT, WIDTH = 30, 40
QUAD = [12, 5, 28, 5, 28, 20, 12, 20]
PAIRS = [[12, 5], [28, 5], [28, 20], [12, 20]]
SQUARE = np.zeros((HEIGHT, WIDTH), np.uint8)
SQUARE[5:20, 12:28] = 1
COUNTS = run_lengths(SQUARE.astype(bool))
CODE = coco_mask.encode(np.asfortranarray(SQUARE))
SHARES = [[0.3, 5 / 30, 0.7, 5 / 30, 0.7, 20 / 30, 0.3, 20 / 30]]


def united(segmentation: object, **options: bool) -> NDArray[np.uint8]:
    annotation = {"id": 7, "segmentation": segmentation}
    return union_mask([annotation], HEIGHT, WIDTH, file_name="a.jpg", **options)


@pytest.mark.parametrize(
    "segmentation",
    [
        [QUAD],
        QUAD,
        PAIRS,
        [PAIRS],
        [tuple(QUAD)],
        [[*QUAD, 12, 5]],  # closed
        [*PAIRS, [12, 5]],
        [{"x": x, "y": y} for x, y in PAIRS],
        [str(value) for value in QUAD],
        [[f"{value}.0" for value in QUAD]],
        f"{[QUAD]}",
        [[12, 5, 28, 5, 28, 20], [12, 5, 28, 20, 12, 20]],  # two triangles
        [PAIRS, QUAD],
        [QUAD, []],
        [QUAD, [3, 3, 4, 4]],
        {"size": [HEIGHT, WIDTH], "counts": COUNTS},
        {"size": [float(HEIGHT), float(WIDTH)], "counts": [float(run) for run in COUNTS]},
        {"counts": COUNTS},
        [{"size": [HEIGHT, WIDTH], "counts": COUNTS}],
        {"size": [HEIGHT, WIDTH], "counts": CODE["counts"]},
        {"size": [HEIGHT, WIDTH], "counts": CODE["counts"].decode()},
        [{"size": [HEIGHT, WIDTH], "counts": CODE["counts"].decode()}, QUAD],
    ],
    ids=lambda value: str(value)[:40],
)
def test_every_form_of_one_square(segmentation: object) -> None:
    np.testing.assert_array_equal(united(segmentation), SQUARE)


@pytest.mark.parametrize("segmentation", [SHARES, SHARES[0], [[str(v) for v in SHARES[0]]]])
def test_shares_of_the_sides(segmentation: object) -> None:
    np.testing.assert_array_equal(united(segmentation, in_shares=True), SQUARE)


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        (COUNTS, "add up to the image's 1200 pixels, so they are run lengths"),
        ({"size": [WIDTH, HEIGHT], "counts": COUNTS}, "size [40, 30]; COCO's is the height first"),
        ({"size": [20, 60], "counts": COUNTS}, "has size [20, 60])"),
        ({"size": [HEIGHT, WIDTH]}, "its segmentation has no counts, only size"),
        ({"size": [HEIGHT, WIDTH], "counts": COUNTS[:-1]}, "its runs add up to"),
        ({"size": [HEIGHT, WIDTH], "counts": [0.5, 1199.5]}, "0.5 is no run length"),
        ({"size": [HEIGHT, WIDTH], "counts": 7}, "its counts are a int"),
        ([QUAD[:-1]], "a polygon has 7 numbers"),
        ([[12, 5, float("nan"), 5, 28, 20]], "nan is no coordinate"),
        ([[12, 5, None, 5, 28, 20]], "None is no coordinate"),
        ([[12, 5, True, 5, 28, 20]], "True is no coordinate"),
        (["12,5 28,5 28,20"], "could not convert string to float"),
        ("12 5 28 5", "its segmentation is a str"),
        (5, "its segmentation is a int"),
        (SHARES, "its outline lies within [0, 1], and others of the file do not"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_forms_that_are_refused(segmentation: object, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        united(segmentation)
    assert reason in str(caught.value)
    assert str(caught.value).startswith("image a.jpg: annotation 7 must hold a mask of 30x40")
    assert "\n" not in str(caught.value)


@pytest.fixture
def four(coco: CocoRoot) -> CocoRoot:
    """Four bears in pictures of 40x30."""
    for _ in range(4):
        coco.animal(coco.image(width=WIDTH, height=HEIGHT), BEAR, [QUAD])
    return coco


def opened(root: CocoRoot, **options: bool) -> CocoImages:
    return coco_animals(root.write(), "train", HEIGHT, **options)


def checked(source: CocoImages) -> Report:
    return check_sources([lambda: source], progress=lambda *_: None)


def masks(source: CocoImages) -> list[NDArray[np.uint8]]:
    samples = [source.sample(index) for index in range(len(source))]
    return [s.mask[0] for s in samples if isinstance(s, Sample) and s.mask is not None]


CROPPED = SQUARE[:, 5:35]


def test_annotations_that_name_no_image_are_a_finding(four: CocoRoot) -> None:
    four.annotations = []
    four.write()
    findings = checked(four.source()).findings
    assert findings == (Finding("unusable", "coco_animals-train has no image"),)


def test_a_file_in_shares_is_read_so_and_says_it(four: CocoRoot) -> None:
    for annotation in four.annotations:
        annotation["segmentation"] = SHARES
    source = opened(four)
    for mask in masks(source):
        np.testing.assert_array_equal(mask, CROPPED)
    notes = checked(source).notes
    assert any(note.endswith("they are read as shares of the image's sides") for note in notes)


def _boxes(annotations: list[dict[str, Any]]) -> None:
    for annotation in annotations:
        annotation |= {"segmentation": [], "bbox": [12, 5, 16, 15]}


def test_boxes_are_masks_only_where_that_is_said(four: CocoRoot) -> None:
    _boxes(four.annotations)
    report = checked(opened(four))
    assert [finding.kind for finding in report.findings[:1]] == ["unusable"]
    assert report.findings[0].text == (
        "coco_animals-train: 4 of 4 images are left out: an object has a box and no outline; "
        "data.boxes_as_masks=true fills the boxes"
    )
    source = opened(four, boxes_as_masks=True)
    assert checked(source).findings == ()
    for mask in masks(source):
        np.testing.assert_array_equal(mask, CROPPED)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda a: a.pop("segmentation"), "neither an outline nor a box"),
        (lambda a: a.update(segmentation=None), "neither an outline nor a box"),
        (lambda a: a.update(segmentation=[[]], bbox=[0, 0, 0, 9]), "neither an outline nor a box"),
        (lambda a: a.update(segmentation=[[1, 1, 9, 9]], bbox=[1, 1, 8, 8]), "a box and no outl"),
        (lambda a: a.update(segmentation=[[1, 1], [9, 9]]), "neither an outline nor a box"),
    ],
)
def test_what_has_no_outline_is_counted(
    four: CocoRoot, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    change(four.annotations[0])
    source = opened(four)
    assert len(source) == 3
    ((told, count),) = source.left_out().items()
    assert reason in told
    assert count == 1
    report = checked(source)
    assert report.findings == ()  # one of four is no reason to stop
    assert [note for note in report.notes if "1 of 4 images are left out" in note]
    change(four.annotations[1])
    change(four.annotations[2])
    assert [finding.kind for finding in checked(opened(four)).findings] == ["unusable"]


def test_an_object_without_outline_leaves_its_image_out(four: CocoRoot) -> None:
    """Its mask would lack the object, and an attack on the background would hit it."""
    four.annotations.append({**four.annotations[0], "segmentation": [], "bbox": [1, 1, 9, 9]})
    assert len(opened(four)) == 3
    source = opened(four, boxes_as_masks=True)
    assert len(source) == 4
    expected = SQUARE.copy()
    expected[1:10, 1:10] = 1
    np.testing.assert_array_equal(masks(source)[0], expected[:, 5:35])


def test_two_corners_are_no_box(four: CocoRoot) -> None:
    _boxes(four.annotations)
    four.annotations[0]["bbox"] = [20, 5, 39, 20]
    source = opened(four, boxes_as_masks=True)
    with pytest.raises(DataError, match=r"reaches to 59, 25 of 40x30; .* are these corners"):
        source.sample(0)


def test_crowds_are_part_of_the_mask_and_told(four: CocoRoot) -> None:
    four.animal(1, BEAR, {"size": [HEIGHT, WIDTH], "counts": [0, 30, 1170]}, crowd=True)
    source = opened(four)
    assert "1 crowds count as objects of their class" in " ".join(checked(source).notes)
    assert len(source) == 4


def test_a_share_among_pixels_is_told(four: CocoRoot) -> None:
    four.annotations[2]["segmentation"] = SHARES
    texts = [finding.text for finding in checked(opened(four)).findings]
    assert len(texts) == 1
    assert "annotation 3" in texts[0]
    four.annotations[2] |= {"segmentation": box(0, 0, 1, 1), "bbox": [0, 0, 1, 1]}
    assert masks(opened(four))[-1].any()  # a box as small says that it is one pixel


def test_the_identity_follows_the_masks(four: CocoRoot, tmp_path: Path) -> None:
    one = opened(four).identity()
    four.annotations[0]["segmentation"] = [[12, 5, 28, 5, 28, 20]]
    assert opened(four).identity() != one


@pytest.mark.parametrize(("orientation", "turn"), [(3, "ROTATE_180"), (6, "ROTATE_90")])
def test_masks_lie_on_pictures_as_they_are_shown(
    four: CocoRoot, orientation: int, turn: str
) -> None:
    """A white square where the polygon says, in the file of a phone that was held otherwise."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = next(iter(sorted((four.path / "train2017").iterdir())))
    white = Image.fromarray(SQUARE * np.uint8(255)).transpose(Image.Transpose[turn])
    white.save(path, format="PNG", exif=exif.tobytes())
    found = opened(four).sample(0)
    assert isinstance(found, Sample)
    assert found.mask is not None
    np.testing.assert_array_equal(found.image[0] > 127, found.mask[0] == 1)
    np.testing.assert_array_equal(found.mask[0], CROPPED)


def test_a_picture_annotated_as_it_is_stored_is_told(four: CocoRoot) -> None:
    four.images[0] |= {"width": HEIGHT, "height": WIDTH}
    with pytest.raises(DataError, match="without regard to its EXIF orientation"):
        opened(four).sample(0)
