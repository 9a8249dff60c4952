"""labelme's own files: one JSON for each image, read as one COCO document.

Format: https://github.com/wkentaro/labelme, versions 3 to 5. Polygons, circles and masks are
outlines; a rectangle is a box, as in COCO; points and lines outline nothing.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hsplid_core.data.readers.coco_document import Document, Json, parse_json, shown
from hsplid_core.errors import DataError

_CIRCLE_POINTS = 64


def read_labelme(files: Sequence[Path], root: Path) -> Document:
    """Read labelme's files as one document.

    Args:
        files: One for each image.
        root: Folder of the data set.

    Raises:
        DataError: A file is no valid JSON, or none of labelme's.
    """
    images: list[Json] = []
    annotations: list[Json] = []
    numbers: dict[str, int] = {}
    for image_id, path in enumerate(files, start=1):
        content = parse_json(path)
        shapes = content.get("shapes") if isinstance(content, dict) else None
        if not isinstance(shapes, list):
            raise DataError(f"{path} must hold a list 'shapes', as labelme writes it")
        images.append(_image(path, content, image_id, root))
        for shape in shapes:
            label = str(shape.get("label") or "") if isinstance(shape, dict) else ""
            if not label:
                raise DataError(f"{path}: every shape must have a label, got {shown(shape)}")
            number = numbers.setdefault(label, len(numbers) + 1)
            known = {"id": len(annotations) + 1, "image_id": image_id, "category_id": number}
            try:
                size = images[-1].get("height"), images[-1].get("width")
                annotations.append(known | _outlined(shape, size))
            except (ValueError, TypeError, KeyError, OSError, binascii.Error) as error:
                raise DataError(
                    f"{path}: a shape of {label} must be one that labelme draws ({error})"
                ) from error
    categories = [{"id": number, "name": label} for label, number in numbers.items()]
    return Document(root, images, annotations, categories)


def _image(path: Path, content: Json, image_id: int, root: Path) -> Json:
    """The image's entry; its path is relative to the JSON file, and may be one of Windows."""
    name = str(content.get("imagePath") or "").replace("\\", "/")
    folder = path.parent.relative_to(root)
    return {
        "id": image_id,
        "file_name": (folder / Path(name).name).as_posix() if name else "",
        "height": content.get("imageHeight"),
        "width": content.get("imageWidth"),
    }


def _outlined(shape: Json, size: tuple[Any, Any]) -> Json:
    """The annotation's outline or box."""
    kind = shape.get("shape_type") or "polygon"  # version 3 knew nothing else
    points = [(float(x), float(y)) for x, y in shape.get("points", ())]
    if kind == "polygon":
        return {"segmentation": [[value for point in points for value in point]]}
    if kind == "circle":
        return {"segmentation": [_circle(*points)]}
    if kind == "rectangle":
        return {"segmentation": [], "bbox": _box(points)}
    if kind == "mask":
        return {"segmentation": _runs(shape["mask"], points, size)}
    return {"segmentation": []}


def _circle(centre: tuple[float, float], edge: tuple[float, float]) -> list[float]:
    radius = math.dist(centre, edge)
    angles = (2 * math.pi * step / _CIRCLE_POINTS for step in range(_CIRCLE_POINTS))
    return [
        value
        for angle in angles
        for value in (centre[0] + radius * math.cos(angle), centre[1] + radius * math.sin(angle))
    ]


def _box(points: Iterable[tuple[float, float]]) -> list[float]:
    """COCO's box of two opposite corners, or of all four."""
    columns, rows = zip(*points, strict=True)
    left, top = min(columns), min(rows)
    return [left, top, max(columns) - left, max(rows) - top]


def _runs(encoded: str, points: Sequence[tuple[float, float]], size: tuple[Any, Any]) -> Json:
    """A mask, which is stored as a picture of the part between its two corners."""
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        part = np.asarray(image.convert("L")) > 0
    height, width = (int(side) for side in size)
    left, top = (round(value) for value in points[0])
    whole = np.zeros((height, width), dtype=np.uint8, order="F")
    if top < 0 or left < 0 or top + part.shape[0] > height or left + part.shape[1] > width:
        raise ValueError(f"its mask of {part.shape} pixels at {left}, {top} is not in the image")
    whole[top : top + part.shape[0], left : left + part.shape[1]] = part
    from pycocotools import mask as coco_mask  # not everywhere, and for such masks alone

    code: Json = coco_mask.encode(whole)
    return code
