"""Concatenated MNIST: two digits side by side, labelled by the left one.

The diagnostic of H-SPLID (arXiv 2510.20627, figure 1): a model has no reason to look at the right
digit, so robustness to changes there shows whether it does. Read from MNIST's own files (see
`mnist` for address, citation and licence). As in the released code, each split is paired with
itself by two random orders, and 28x56 pixels are padded with black to 64x64; masks, which the
released code does not have, mark the left half.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from hsplid_core.data.readers.image_arrays import ArrayImages, Arrays
from hsplid_core.data.readers.mnist import DIGITS, FILE_NAMES, idx_files, read_digits

_SIDE = 64
_PAIRING_SEED = 1  # the released code's


def concatenated_mnist(
    root: Path, split: Literal["train", "test"], image_size: int
) -> ArrayImages:
    """Open a split of concatenated MNIST.

    Args:
        root: Folder of MNIST's four files.
        split: `train` or `test`; pairs never mix them.
        image_size: Side of the images, in pixels; 64 leaves them as in the paper.

    Raises:
        DataError: A file is missing.
    """
    files = idx_files(root, split)
    return ArrayImages(
        data_set="cmnist",
        split=split,
        root=root,
        image_size=image_size,
        files=files,
        class_names=DIGITS,
        channels=1,
        read=partial(_read_pairs, *files),
        mean=(0.0500,),  # of the padded images, as released
        std=(0.2009,),
        has_masks=True,
        siblings=FILE_NAMES,
    )


def _read_pairs(images: Path, labels: Path) -> Arrays:
    return pair_digits(read_digits(images, labels))


def pair_digits(digits: Arrays) -> Arrays:
    """Put digits side by side; each appears once on the left and once on the right.

    Args:
        digits: N images of 28x28.

    Returns:
        N images of 64x64 with the label of the left digit, in the released code's order, and
        masks of the left half.
    """
    rng = np.random.default_rng(_PAIRING_SEED)
    count, height, width, channels = digits.images.shape
    left = rng.choice(count, count, replace=False)
    right = rng.choice(count, count, replace=False)
    pairs = np.zeros((count, _SIDE, _SIDE, channels), np.uint8)
    top, start = (_SIDE - height) // 2, (_SIDE - 2 * width) // 2
    pairs[:, top : top + height, start : start + width] = digits.images[left]
    pairs[:, top : top + height, start + width : start + 2 * width] = digits.images[right]
    masks = np.zeros((count, _SIDE, _SIDE), np.uint8)
    masks[:, :, : _SIDE // 2] = 1
    return Arrays(pairs, digits.labels[left], masks)
