"""Reading picture files: whole, or one clear error that names the file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hsplid_core.errors import DataError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".tif", ".tiff", ".webp"})
"""Names of picture files end so, in either case."""


def read_file(path: Path) -> bytes:
    """Read a file as a whole.

    Raises:
        DataError: It is missing (then with a `FileNotFoundError` as its cause) or unreadable.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing: finish the download") from error
    except OSError as error:
        raise DataError(
            f"{path} must be a readable file ({error.strerror}): check its rights, or download "
            "it again"
        ) from error


def read_picture(path: Path) -> Image.Image:
    """Decode a picture as a whole.

    Args:
        path: Its file.

    Raises:
        DataError: The file is missing (then with a `FileNotFoundError` as its cause), truncated,
            no picture, or too large to be one.
    """
    content = read_file(path)
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            return image
    except Image.DecompressionBombError as error:
        raise DataError(f"{path} is too large a picture ({error}): scale it down") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(
            f"{path} must be a readable picture ({error}): download it again"
        ) from error


def read_grey(path: Path, size: tuple[int, int], kind: str) -> NDArray[np.uint8]:
    """Decode a mask or a map that belongs to a picture.

    Args:
        path: Its file.
        size: Width and height of the picture.
        kind: What it is, for the error's text.

    Returns:
        Brightness, uint8, [H, W].

    Raises:
        DataError: The file is missing or damaged, or of another size than the picture.
    """
    image = read_picture(path)
    if image.size != size:
        raise DataError(
            f"{path} must be {size[0]}x{size[1]} as its image, got {image.width}x{image.height}: "
            f"the {kind} belongs to another picture, or was resized"
        )
    return np.asarray(image.convert("L"), dtype=np.uint8)
