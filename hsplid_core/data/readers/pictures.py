"""Pictures: files decoded as a whole, upright, in 8 bits; or one clear error with the name.

Photographs and masks alike are turned as their EXIF orientation says, here and nowhere else, so
that a mask stays on its picture.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from hsplid_core.data.readers.bit_depth import FULL, Depth, in_eight_bits, mark_depth
from hsplid_core.data.readers.spelling import other_spelling
from hsplid_core.errors import DataError

# Of damaged EXIF and the like Pillow warns without the file's name; what cannot be read raises.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".gif", ".bmp", ".dib"),
        *(".tif", ".tiff", ".webp", ".avif", ".jp2", ".j2k", ".j2c", ".jpx", ".jpf", ".jpc"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".qoi"),
    }
)
"""Names of picture files end so, in either case."""

# By content, whatever the name says. Others would run programs (EPS) or take any bytes (TGA).
_FORMATS = (
    *("JPEG", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "AVIF", "JPEG2000"),
    *("PPM", "QOI"),
)
_NOT_READ = frozenset(
    {
        *(".heic", ".heif", ".svg", ".psd", ".eps", ".pdf", ".exr", ".hdr", ".tga", ".ico"),
        *(".raw", ".dng", ".nef", ".cr2", ".cr3", ".arw", ".orf", ".rw2", ".raf"),
        *(".dcm", ".dicom", ".nii", ".npy", ".npz", ".mat", ".jxl"),
    }
)
# As Pillow counts: above it, a small file is more likely made to fill the memory than a picture.
MOST_PIXELS = 2 * 89_478_485
_WHOLE_BEGINNINGS = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"BM", b"RIFF")
_ORIENTATION = 0x0112


def read_file(path: Path) -> bytes:
    """Read a file as a whole.

    Raises:
        DataError: It is missing (then with a `FileNotFoundError` as its cause) or unreadable.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(_missing(path)) from error
    except OSError as error:
        if path.is_symlink() and not path.exists():  # a link to itself
            raise DataError(_missing(path)) from FileNotFoundError(path)
        raise DataError(
            f"{path} must be a readable file ({error.strerror}): check its rights and the disk"
        ) from error


def open_picture(path: Path, *, upright: bool = True) -> Image.Image:
    """Decode a picture in the mode that it is stored in; of several frames, the first.

    Args:
        path: Its file.
        upright: Turn it as its EXIF orientation says.

    Raises:
        DataError: The file is missing (then with a `FileNotFoundError` as its cause), truncated,
            no picture, or too large to be one.
    """
    content = read_file(path)
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise DataError(_too_large(path, f"{image.width}x{image.height}"))
            mark_depth(image)
            image.load()
            if upright:
                turn_upright(image)
            return image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(_too_large(path, str(error))) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise DataError(_unreadable(path, content, error)) from error


def read_picture(path: Path, *, depth: Depth = FULL, upright: bool = True) -> Image.Image:
    """Decode a picture as a whole, with 8 bits a channel.

    Args:
        path: Its file.
        depth: What is white in pictures of more than 8 bits.
        upright: Turn it as its EXIF orientation says.

    Raises:
        DataError: As in `open_picture`, or its values can't be told in 8 bits.
    """
    return in_eight_bits(open_picture(path, upright=upright), path, depth)


def turn_upright(image: Image.Image) -> None:
    """Turn a decoded picture as its EXIF orientation says."""
    if orientation_of(image) != 1:
        ImageOps.exif_transpose(image, in_place=True)


def orientation_of(image: Image.Image) -> int:
    """A picture's EXIF orientation, 1 to 8; 1 without any."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # what damaged EXIF raises is not documented, and the pixels are fine
        return 1
    return value if value in range(1, 9) else 1


def is_turned(content: bytes) -> bool:
    """Whether a file's picture is turned on being read; TIFF always was, so that it isn't asked.

    Args:
        content: The whole file.
    """
    # Opening costs more than this search, and most pictures have no EXIF.
    if not any(mark in content for mark in (b"Exif", b"EXIF", b"eXIf", b"tiff:Orientation")):
        return False
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            return image.format != "TIFF" and orientation_of(image) != 1
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
        return False


def read_grey(path: Path, size: tuple[int, int], kind: str) -> NDArray[np.uint8]:
    """Decode a map that belongs to a picture.

    Args:
        path: Its file.
        size: Width and height of the picture, upright.
        kind: What it is, for the error's text.

    Returns:
        Brightness, uint8, [H, W].

    Raises:
        DataError: The file is missing or damaged, or of another size than the picture.
    """
    image = read_picture(path)
    must_fit(image, path, size, kind)
    return np.asarray(image.convert("L"), dtype=np.uint8)


def must_fit(image: Image.Image, path: Path, size: tuple[int, int], kind: str) -> None:
    """Refuse a mask or a map of another size than its picture.

    Raises:
        DataError: The sizes differ.
    """
    if image.size == size:
        return
    turned = image.size == (size[1], size[0])
    raise DataError(
        f"{path} must be {size[0]}x{size[1]} as its image, got {image.width}x{image.height}: "
        + (
            f"the {kind} lies on its side; is the image turned by its EXIF orientation, which the "
            f"{kind} lacks? turn the {kind}"
            if turned
            else f"the {kind} belongs to another picture, or was resized"
        )
    )


def stranger(path: Path) -> str:
    """Say what a file is that no data set names: a picture by its content, or one to convert."""
    if path.suffix.lower() in SUFFIXES:
        return "no image or mask has that name; is one missing, or named otherwise?"
    if path.suffix.lower() in _NOT_READ:
        return f"{path.suffix} is not read; convert it to PNG or JPEG"
    try:
        with Image.open(path, formats=_FORMATS) as image:
            return f"it holds a {image.format} picture, and is read once its name says so"
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
        return "it is not read"


def _missing(path: Path) -> str:
    if path.is_symlink():
        return (
            f"{path} is missing: it is a link to {path.readlink()}, which leads nowhere; mend it"
        )
    other = other_spelling(path)
    if other is not None:
        return f"{path} is missing, but {other.name} lies there: if that is it, give it this name"
    if path.with_suffix(".json").is_file():
        return (
            f"{path} is missing, and {path.stem}.json lies there: if labelme kept the picture in "
            "it (imageData), write it out with labelme_export_json; else finish the download"
        )
    return f"{path} is missing: finish the download"


def _too_large(path: Path, what: str) -> str:
    return (
        f"{path} is too large a picture ({what}, more than {MOST_PIXELS // 1_000_000} "
        "megapixels): scale it down"
    )


def _unreadable(path: Path, content: bytes, error: Exception) -> str:
    if not content:
        return (
            f"{path} must be a readable picture, but is empty (0 bytes): copy or download it again"
        )
    if content.startswith(_WHOLE_BEGINNINGS):
        return (
            f"{path} must be a readable picture ({error}): it is cut off or damaged, copy or "
            "download it again"
        )
    start = content[:256].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<?xml", b"<svg", b"{")):
        instead = "text, such as a server's answer: download it again"
        if b"<svg" in content[:2048]:
            instead = "SVG: convert it to PNG or JPEG"
        return f"{path} must be a readable picture, but holds {instead}"
    return (
        f"{path} must be a readable picture ({error}): if other programs open it, convert it to "
        "PNG or JPEG"
    )
