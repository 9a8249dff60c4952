"""MNIST: handwritten digits, 28x28, grey.

LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 1998, http://yann.lecun.com/exdb/mnist/ (mirrored at
https://ossci-datasets.s3.amazonaws.com/mnist/). Licensed CC BY-SA 3.0. The root holds the four
files `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
`t10k-labels-idx1-ubyte`, each as it is or with `.gz`; they may also lie in `MNIST/raw`, where
torchvision puts them.
"""

from __future__ import annotations

import gzip
import zlib
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hsplid_core.data.readers.file_lists import inner_folder
from hsplid_core.data.readers.image_arrays import ArrayImages, Arrays
from hsplid_core.errors import DataError

DIGITS = tuple(str(digit) for digit in range(10))
FILE_STEMS: dict[Literal["train", "test"], str] = {"train": "train", "test": "t10k"}
"""First part of the files' names, for each split."""

FILE_NAMES = frozenset(
    f"{stem}-{content}-ubyte{suffix}"
    for stem in FILE_STEMS.values()
    for content in ("images-idx3", "labels-idx1")
    for suffix in ("", ".gz")
)

_LAYOUT = (
    "the root must hold train-images-idx3-ubyte, train-labels-idx1-ubyte, "
    "t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, with or without .gz, from "
    "https://ossci-datasets.s3.amazonaws.com/mnist/"
)


def mnist(root: Path, split: Literal["train", "test"], image_size: int) -> ArrayImages:
    """Open a split of MNIST.

    Args:
        root: Folder of the four files.
        split: `train` has 60,000 images, `test` 10,000.
        image_size: Side of the images, in pixels; 28 leaves them as they are.

    Raises:
        DataError: A file is missing.
    """
    images, labels = idx_files(root, split)
    return ArrayImages(
        data_set="mnist",
        split=split,
        root=root,
        image_size=image_size,
        files=(images, labels),
        class_names=DIGITS,
        channels=1,
        read=partial(read_digits, images, labels),
        mean=(0.1307,),
        std=(0.3081,),
        siblings=FILE_NAMES,
    )


def idx_files(root: Path, split: Literal["train", "test"]) -> tuple[Path, Path]:
    """Find the files of images and labels.

    Raises:
        DataError: One is missing.
    """
    stem = FILE_STEMS[split]
    return (
        _present(root, f"{stem}-images-idx3-ubyte"),
        _present(root, f"{stem}-labels-idx1-ubyte"),
    )


def _present(root: Path, name: str) -> Path:
    folder = inner_folder(root, "MNIST/raw", "raw")
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    path = folder / f"{name}.gz"
    raise DataError(f"{path} must exist to read MNIST: {_LAYOUT}") from FileNotFoundError(path)


def read_digits(images: Path, labels: Path) -> Arrays:
    """Read both files.

    Args:
        images: In the idx3 format, maybe compressed.
        labels: In the idx1 format, maybe compressed.

    Raises:
        DataError: One is damaged, or they differ in length.
    """
    pixels, digits = read_idx(images, 3), read_idx(labels, 1)
    if len(pixels) != len(digits):
        raise DataError(
            f"{labels} must hold a label for each of the {len(pixels)} images, got "
            f"{len(digits)}: download both again"
        )
    return Arrays(pixels[..., None], digits.astype(np.int64))


def read_idx(path: Path, n_dimensions: int) -> NDArray[np.uint8]:
    """Read a file of unsigned bytes in MNIST's idx format.

    The format: two zero bytes, the type (8), the number of dimensions, the length of each as a
    big-endian 32-bit integer, the bytes.

    Args:
        path: The file, maybe compressed with gzip.
        n_dimensions: What it must have.

    Raises:
        DataError: It is truncated, or of another kind.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} must be a whole gzip file ({error}): download it again"
        ) from error
    header = 4 + 4 * n_dimensions
    if content[:4] != bytes((0, 0, 8, n_dimensions)) or len(content) < header:
        raise DataError(
            f"{path} must be an idx file of bytes in {n_dimensions} dimensions, got one that "
            f"begins with {content[:4].hex() or 'nothing'}: download it again"
        )
    shape = tuple(int(length) for length in np.frombuffer(content[4:header], ">u4"))
    values = np.frombuffer(content[header:], np.uint8)
    if len(values) != np.prod(shape):
        raise DataError(
            f"{path} must hold {np.prod(shape)} bytes after its header, got {len(values)}: "
            "download it again"
        )
    return values.reshape(shape)
