"""Write annotations as COCO does: polygons, compressed and uncompressed run lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import contourpy
import numpy as np
from numpy.typing import NDArray

Json = dict[str, Any]
MaskForm = Literal["polygon", "compressed", "uncompressed"]

CATEGORIES: list[Json] = [
    {"supercategory": "person", "id": 1, "name": "person"},
    *(
        {"supercategory": "animal", "id": number, "name": name}
        for number, name in enumerate(
            (
                *("bird", "cat", "dog", "horse", "sheep"),
                *("cow", "elephant", "bear", "zebra", "giraffe"),
            ),
            start=16,
        )
    ),
]
"""COCO's own numbers and names of persons and animals."""


def segmentation(cover: NDArray[np.float32], form: MaskForm) -> Json | list[list[float]]:
    """Encode a mask.

    Args:
        cover: How far the object covers each pixel; its mask is where this is at least 0.5.
            Floats in [0, 1], [H, W].
        form: The wished form. A mask with holes can't be polygons and is compressed instead.

    Returns:
        The value of an annotation's `segmentation`.
    """
    mask = cover >= 0.5
    if form == "polygon":
        polygons = _outlines(cover)
        if polygons:
            return polygons
    if form == "uncompressed":
        return {"size": list(mask.shape), "counts": run_lengths(mask)}
    from pycocotools import mask as coco_mask  # not everywhere, and for this demo alone

    code = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": code["size"], "counts": code["counts"].decode("ascii")}


def run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """Count equal pixels down the columns, beginning with the zeros before the first one."""
    flat = np.concatenate([[False], mask.ravel(order="F")])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    bounds = np.concatenate([[0], changes, [mask.size]])
    return [int(length) for length in np.diff(bounds)]


def _outlines(cover: NDArray[np.float32]) -> list[list[float]]:
    """Closed outlines at coverage 0.5 as x, y, x, y, ...; empty if one of them is a hole."""
    lines = contourpy.contour_generator(z=np.pad(cover, 1)).lines(0.5)
    polygons = []
    for line in lines:
        points = np.asarray(line)
        x, y = points[:, 0], points[:, 1]
        # contourpy keeps the higher side on the left: holes run the other way round.
        if np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) < 0:
            return []
        # The padding moved everything by a pixel; COCO's pixels have their centre at a half.
        corners = np.clip(points[:-1] - 0.5, 0, max(cover.shape))
        if len(corners) >= 3:
            polygons.append([round(float(value), 2) for value in corners.ravel()])
    return polygons


def annotation(
    number: int,
    image_id: int,
    category_id: int,
    covers: Sequence[NDArray[np.float32]],
    form: MaskForm,
) -> Json:
    """One annotation; several covers make a crowd."""
    from pycocotools import mask as coco_mask

    crowd = len(covers) > 1
    cover = np.max(np.stack(covers), axis=0)
    value = segmentation(cover, "uncompressed" if crowd else form)
    mask = np.asfortranarray(cover >= 0.5, dtype=np.uint8)
    code = coco_mask.encode(mask)
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "iscrowd": int(crowd),
        "area": float(coco_mask.area(code)),
        "bbox": [float(value) for value in coco_mask.toBbox(code)],
        "segmentation": value,
    }
