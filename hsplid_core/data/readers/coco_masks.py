"""The union of an image's masks, in any of COCO's three forms.

pycocotools decodes them, but trusts its input: a run-length code that does not fill the image
comes back as random memory, and a polygon point far outside ends the process. So everything is
checked here before it is handed over.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from hsplid_core.data.readers.coco_annotations import AnimalImage, Json
from hsplid_core.errors import DataError


def union_mask(animal: AnimalImage) -> NDArray[np.uint8]:
    """Unite the masks of an image's animals.

    Args:
        animal: The image with its annotations: polygons, or compressed or uncompressed
            run-length codes.

    Returns:
        1 on the animals, else 0, uint8, [height, width].

    Raises:
        DataError: A mask is malformed or its size differs from the image's.
    """
    union = np.zeros((animal.height, animal.width), dtype=np.uint8)
    for annotation in animal.annotations:
        try:
            codes = _codes(annotation["segmentation"], animal.height, animal.width)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise DataError(
                f"image {animal.file_name}: annotation {annotation.get('id')} must hold a mask "
                f"of {animal.height}x{animal.width} pixels ({error}): download the annotations "
                "again"
            ) from error
        for code in codes:
            union |= coco_mask.decode(code)
    return union


def _codes(segmentation: object, height: int, width: int) -> list[Json]:
    """Check one annotation's segmentation and turn it into compressed run-length codes."""
    if isinstance(segmentation, dict):
        return [_run_lengths(segmentation, height, width)]
    if not isinstance(segmentation, list):
        raise ValueError(f"its segmentation is a {type(segmentation).__name__}")
    # Fewer than three points enclose nothing, and pycocotools takes four numbers for a box.
    polygons = [_polygon(points, height, width) for points in segmentation if len(points) >= 6]
    codes: list[Json] = coco_mask.frPyObjects(polygons, height, width) if polygons else []
    return codes


def _polygon(points: list[float], height: int, width: int) -> list[float]:
    if len(points) % 2:
        raise ValueError(f"a polygon has {len(points)} numbers, not pairs of x and y")
    relative = np.asarray(points, dtype=np.float64).reshape(-1, 2) / (width, height)
    # Written so that NaN fails too. A polygon may stick out, but by no more than an image.
    if not (np.abs(relative - 0.5) <= 1.5).all():
        raise ValueError("a polygon lies far outside the image")
    return points


def _run_lengths(code: Json, height: int, width: int) -> Json:
    if list(code["size"]) != [height, width]:
        raise ValueError(f"its run-length code has size {code['size']}")
    counts = code["counts"]
    runs = counts if isinstance(counts, list) else _decompressed(counts)
    if sum(runs) != height * width or min(runs) < 0:
        raise ValueError(f"its runs add up to {sum(runs)} pixels")
    if not isinstance(counts, list):
        return code
    compressed: Json = coco_mask.frPyObjects(code, height, width)
    return compressed


def _decompressed(text: str) -> list[int]:
    """Read COCO's compressed counts: 5 bits a character, each run relative to the last but one.

    Follows rleFrString in cocoapi's common/maskApi.c, with bounds.
    """
    runs: list[int] = []
    value, shift = 0, 0
    for character in text.encode("ascii"):
        bits = character - 48
        if not 0 <= bits < 64:
            raise ValueError(f"its counts hold the character {chr(character)!r}")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value, shift = 0, 0
    if shift:
        raise ValueError("its counts end within a number")
    return runs
