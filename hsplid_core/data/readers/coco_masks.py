"""Masks of COCO's annotations: outlines in any of the forms that programs write, and their union.

What an outline is, is told by its type: an object with `counts` is a run-length code, a list of
numbers a polygon, a list of pairs one too, and a list of any of these several parts. Numbers may
be written as text.

pycocotools decodes them, but trusts its input: a run-length code that does not fill the image
comes back as random memory, and a polygon point far outside ends the process. So everything is
checked here before it is handed over.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hsplid_core.data.readers.coco_document import Json, shown
from hsplid_core.errors import DataError

# A box may stick out by what rounding and a hand's tremor make, as a share of the image's side.
_SLACK = 0.02


class Outlines(NamedTuple):
    """The parts of one annotation's segmentation.

    Attributes:
        polygons: Each x and y in turns, of three points or more.
        runs: Run-length codes.
        n_points: Points of all polygons, of those too that enclose nothing.
    """

    polygons: list[list[float]]
    runs: list[Json]
    n_points: int

    @property
    def found(self) -> bool:
        """Whether there is anything that could cover a pixel."""
        return bool(self.polygons or self.runs)


def outlines(segmentation: object) -> Outlines:
    """Take a segmentation apart, by the types of what it holds.

    Args:
        segmentation: As json reads it.

    Raises:
        ValueError: It is in none of the known forms.
    """
    if isinstance(segmentation, str) and segmentation.lstrip()[:1] in ("[", "{"):
        segmentation = json.loads(segmentation)  # of a table, where such a cell is text
    if segmentation is None or segmentation == [] or segmentation == {}:
        return Outlines([], [], 0)
    if isinstance(segmentation, dict):
        if "counts" not in segmentation:
            raise ValueError(f"its segmentation has no counts, only {', '.join(segmentation)}")
        return Outlines([], [segmentation], 0)
    if not isinstance(segmentation, list | tuple):
        raise ValueError(f"its segmentation is a {type(segmentation).__name__}")
    if not any(isinstance(part, list | tuple | dict) for part in segmentation):
        return _polygon([_number(value) for value in segmentation])
    points = [_point(part) for part in segmentation]
    if all(point is not None for point in points):
        return _polygon([value for point in points if point is not None for value in point])
    parts = [outlines(part) for part in segmentation]
    return Outlines(
        [polygon for part in parts for polygon in part.polygons],
        [code for part in parts for code in part.runs],
        sum(part.n_points for part in parts),
    )


def box_of(annotation: Json) -> tuple[float, float, float, float] | None:
    """An annotation's box: x, y, width and height; None where it has none that covers anything."""
    box = annotation.get("bbox")
    if not isinstance(box, list | tuple) or len(box) != 4:
        return None
    try:
        x, y, width, height = map(_number, box)
    except ValueError:
        return None
    return (x, y, width, height) if width > 0 and height > 0 else None


def union_mask(
    annotations: Sequence[Json],
    height: int,
    width: int,
    *,
    file_name: str,
    in_shares: bool = False,
    boxes_as_masks: bool = False,
) -> NDArray[np.uint8]:
    """Unite the masks of an image's objects.

    Args:
        annotations: Of the objects.
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        file_name: Of the image, for the error's text.
        in_shares: Whether coordinates are shares of the image's sides.
        boxes_as_masks: Whether the box of an object without an outline is filled.

    Returns:
        1 on the objects, else 0, uint8, [height, width].

    Raises:
        DataError: A mask is malformed or its size differs from the image's.
    """
    from pycocotools import mask as coco_mask  # not everywhere, and for these files alone

    union = np.zeros((height, width), dtype=np.uint8)
    for annotation in annotations:
        try:
            codes = _codes(annotation, height, width, in_shares, boxes_as_masks)
        except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
            raise DataError(
                f"image {file_name}: annotation {shown(annotation.get('id'))} must hold a mask of "
                f"{height}x{width} pixels ({error}): correct it, or export the annotations again"
            ) from error
        for code in codes:
            union |= coco_mask.decode(code)
    return union


def _codes(
    annotation: Json, height: int, width: int, in_shares: bool, boxes_as_masks: bool
) -> list[Json]:
    """Check one annotation's outlines and turn them into compressed run-length codes."""
    from pycocotools import mask as coco_mask

    segmentation = annotation.get("segmentation")
    _refuse_bare_runs(segmentation, height * width)
    polygons, runs, _ = outlines(segmentation)
    sides = (width, height) if in_shares else (1, 1)
    if not polygons and not runs and boxes_as_masks:
        polygons = [_corners(annotation, (width, height), sides)]
    elif not in_shares:
        _refuse_a_share(polygons, annotation)
    codes = [_run_lengths(code, height, width) for code in runs]
    scaled = [_scaled(polygon, (width, height), sides) for polygon in polygons]
    return [*codes, *(coco_mask.frPyObjects(scaled, height, width) if scaled else [])]


def _number(value: object) -> float:
    if isinstance(value, str):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{shown(value)} is no coordinate")
    return value


def _point(part: object) -> tuple[float, float] | None:
    """A pair of numbers, in a list or as x and y; None for anything else."""
    if isinstance(part, dict) and {"x", "y"} <= set(part):
        return _number(part["x"]), _number(part["y"])
    if not isinstance(part, list | tuple) or len(part) != 2:
        return None
    if any(isinstance(value, list | tuple | dict) for value in part):
        return None
    return _number(part[0]), _number(part[1])


def _polygon(values: list[float]) -> Outlines:
    if len(values) % 2:
        raise ValueError(f"a polygon has {len(values)} numbers, not pairs of x and y")
    # Fewer than three points enclose nothing, and pycocotools takes four numbers for a box.
    return Outlines([values] if len(values) >= 6 else [], [], len(values) // 2)


def _refuse_bare_runs(segmentation: object, n_pixels: int) -> None:
    """Refuse run lengths that have lost their size: as numbers, they could be a polygon."""
    if not isinstance(segmentation, list) or not segmentation:
        return
    if all(type(value) is int and value >= 0 for value in segmentation) and (
        sum(segmentation) == n_pixels
    ):
        raise ValueError(
            f"its numbers add up to the image's {n_pixels} pixels, so they are run lengths rather "
            'than a polygon; write them as {"size": [height, width], "counts": [...]}'
        )


def _refuse_a_share(polygons: list[list[float]], annotation: Json) -> None:
    """Refuse an outline within one pixel, unless the annotation's box is as small."""
    if not polygons or not all(0 <= value <= 1 for polygon in polygons for value in polygon):
        return
    box = box_of(annotation)
    if box is None or max(box) > 1:
        raise ValueError(
            "its outline lies within [0, 1], and others of the file do not; are these shares of "
            "the sides among pixels?"
        )


def _corners(annotation: Json, size: tuple[int, int], sides: tuple[int, int]) -> list[float]:
    box = box_of(annotation)
    if box is None:
        raise ValueError("it has neither an outline nor a box")
    x, y, width, height = box
    reach = (x + width) * sides[0], (y + height) * sides[1]
    for end, side in zip(reach, size, strict=True):
        if end > side * (1 + _SLACK) + 1:
            raise ValueError(
                f"its box {shown(annotation['bbox'])} reaches to {reach[0]:g}, {reach[1]:g} of "
                f"{size[0]}x{size[1]}; COCO's boxes are x, y, width, height, are these corners?"
            )
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def _scaled(polygon: list[float], size: tuple[int, int], sides: tuple[int, int]) -> list[float]:
    points = np.asarray(polygon, dtype=np.float64).reshape(-1, 2) * sides
    # A polygon may stick out, but by no more than an image.
    if not (np.abs(points / size - 0.5) <= 1.5).all():
        raise ValueError("a polygon lies far outside the image")
    flat: list[float] = points.ravel().tolist()
    return flat


def _run_lengths(code: Json, height: int, width: int) -> Json:
    size = code.get("size", [height, width])
    if [_number(side) for side in size] != [height, width]:
        turned = [_number(side) for side in size] == [width, height]
        hint = "; COCO's is the height first" if turned else ""
        raise ValueError(f"its run-length code has size {shown(size)}{hint}")
    counts = code["counts"]
    if isinstance(counts, list):
        runs = [_run(value) for value in counts]
    elif isinstance(counts, str | bytes):
        runs = _decompressed(map(ord, counts) if isinstance(counts, str) else counts)
    else:
        raise ValueError(f"its counts are a {type(counts).__name__}")
    if sum(runs) != height * width or min(runs) < 0:
        raise ValueError(f"its runs add up to {sum(runs)} pixels")
    if not isinstance(counts, list):
        return {"size": [height, width], "counts": counts}
    from pycocotools import mask as coco_mask

    plain = {"size": [height, width], "counts": runs}
    compressed: Json = coco_mask.frPyObjects(plain, height, width)
    return compressed


def _run(value: object) -> int:
    number = _number(value)
    if number != int(number):
        raise ValueError(f"{shown(value)} is no run length")
    return int(number)


def _decompressed(characters: Iterable[int]) -> list[int]:
    """Read COCO's compressed counts: 5 bits a character, each run relative to the last but one.

    Follows rleFrString in cocoapi's common/maskApi.c, with bounds.
    """
    runs: list[int] = []
    value, shift = 0, 0
    for character in characters:
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
