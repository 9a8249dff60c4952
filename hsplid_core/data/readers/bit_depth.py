"""Bit depth of pictures: those of 16 bits or of floats are scaled to 8, by what is white.

Pillow's own conversion clips: all above 255 becomes white. Cameras and scanners write 10, 12 or 14
bits into files of 16, so that the type alone does not tell what is white. It is decided by the
brightest value of all such pictures of a data set: white is the largest value of 8, 10, 12, 14 or
16 bits that holds it. Floats have white at 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from hsplid_core.data.workers import n_cores
from hsplid_core.errors import DataError
from hsplid_core.files import map_in_threads

_BITS = (8, 10, 12, 14, 16)
DEEP_COLOUR = "deep_colour"
"""Key of `Image.info` that marks colours of 16 bits, of which Pillow keeps the upper 8."""


class Depth(NamedTuple):
    """What is white in the pictures of a data set that have more than 8 bits.

    Attributes:
        white: In those of whole numbers.
        white_float: In those of floats.
    """

    white: int = 65535
    white_float: float = 1.0


FULL = Depth()
"""White as the type has it: 65535, and 1 in floats."""


def is_deep(image: Image.Image) -> bool:
    """Whether a picture is grey and has more than 8 bits."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def mark_depth(image: Image.Image) -> None:
    """Mark a picture, opened and not yet decoded, whose colours have 16 bits in the file."""
    tiles = getattr(image, "tile", ())
    if image.mode in ("RGB", "RGBA") and any(";16" in str(tile.args) for tile in tiles):
        image.info[DEEP_COLOUR] = True


def in_eight_bits(image: Image.Image, path: Path, depth: Depth) -> Image.Image:
    """Scale a decoded picture of more than 8 bits to 8; others stay as they are.

    Args:
        image: Decoded, marked by `mark_depth`.
        path: Its file, for the error's text.
        depth: What is white.

    Raises:
        DataError: A value lies outside of black and white, or colours of 16 bits use so few that
            the upper 8 tell nothing.
    """
    if image.info.get(DEEP_COLOUR) and depth.white < 65535:
        raise DataError(
            f"{path} has colours of 16 bits, and none of the data set is brighter than "
            f"{depth.white}: scale them to 65535, of which the upper 8 bits are read"
        )
    if not is_deep(image):
        return image
    values = np.asarray(image).astype(np.float64)
    white = depth.white_float if image.mode == "F" else depth.white
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= white):
        raise DataError(
            f"{path} must have values from 0 to {white:g}, got {values.min():g} to "
            f"{values.max():g}: what is white is not clear, save it with 8 bits"
        )
    return Image.fromarray(np.rint(values * (255 / white)).astype(np.uint8))


class _Brightest(NamedTuple):
    """The brightest value of a picture of more than 8 bits."""

    value: float
    is_float: bool
    has_fractions: bool


def survey_depth(paths: Iterable[Path]) -> Depth | None:
    """Look for pictures of more than 8 bits, and decide what is white in them.

    Args:
        paths: All pictures of a data set, training and test images alike. What can't be read is
            passed over: reading it tells.

    Returns:
        None where all pictures have 8 bits.
    """
    looked = map_in_threads(_brightest, paths, n_cores())
    found = [brightest for brightest in looked if brightest is not None]
    if not found:
        return None
    most = max((b.value for b in found if not b.is_float), default=65535)
    white = next((2**bits - 1 for bits in _BITS if most < 2**bits), 65535)
    floats = [b for b in found if b.is_float]
    # Programs that save 8 bits as floats keep 0 to 255, all of them whole numbers.
    eight = 1 < max((b.value for b in floats), default=0) <= 255 and not any(
        b.has_fractions for b in floats
    )
    return Depth(white, 255.0 if eight else 1.0)


def _brightest(path: Path) -> _Brightest | None:
    try:
        with path.open("rb") as handle:
            if not _may_be_deep(handle.read(32)):
                return None
        with Image.open(path) as image:
            mark_depth(image)
            if not is_deep(image) and DEEP_COLOUR not in image.info:
                return None
            image.load()
            values = np.asarray(image)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
        return None
    most = float(np.nanmax(values))
    if DEEP_COLOUR in image.info:
        upper = float(np.asarray(image.convert("RGB")).max())
        return _Brightest(256 * upper + 255, False, False)
    is_float = image.mode == "F"
    return _Brightest(most, is_float, is_float and bool((values != np.rint(values)).any()))


def _may_be_deep(start: bytes) -> bool:
    """Whether a file's first bytes leave more than 8 bits possible; spares opening all others."""
    if start.startswith(b"\x89PNG"):
        return start[24:25] == b"\x10"
    return start.startswith(
        (b"II", b"MM", b"P2", b"P5", b"P6", b"Pf", b"\0\0\0\x0cjP", b"\xff\x4f")
    )
