"""The stand-in for MNIST: scikit-learn's handwritten digits in MNIST's own files.

They are 1,797 digits of 8x8 pixels (Alpaydin and Kaynak, UCI Machine Learning Repository, CC BY
4.0), scaled up and centred in 28x28 as MNIST's are.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hsplid_core.data.demo.stand_in import Parameters
from hsplid_core.data.readers.mnist import FILE_STEMS
from hsplid_core.errors import ConfigError

_SIDE, _DIGIT_SIDE = 28, 20


def write_digits(root: Path, *, parameters: Parameters) -> None:
    """Write the four idx files.

    Raises:
        ConfigError: There are fewer digits.
    """
    images, labels = _digits(np.random.default_rng(parameters.seed))
    n_train, n_test = parameters.n_train, parameters.n_test
    if n_train + n_test > len(images):
        raise ConfigError(
            f"the demo has {len(images)} digits: lower n_train and n_test, got {n_train} and "
            f"{n_test}"
        )
    root.mkdir(parents=True)
    parts = (
        (FILE_STEMS["train"], slice(0, n_train)),
        (FILE_STEMS["test"], slice(n_train, n_train + n_test)),
    )
    for stem, rows in parts:
        _write_idx(root / f"{stem}-images-idx3-ubyte.gz", images[rows])
        _write_idx(root / f"{stem}-labels-idx1-ubyte.gz", labels[rows])


def _digits(rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """All different digits, the classes in turn: [N, 28, 28] and [N]."""
    from sklearn.datasets import load_digits  # half a second, for one stand-in

    small, labels = load_digits(return_X_y=True)
    _, first = np.unique(small, axis=0, return_index=True)
    order = rng.permutation(np.sort(first))
    # The k-th of every class stands before the next of any, so that every part of the row has
    # all classes.
    turns = np.empty(len(order), dtype=np.int64)
    for label in range(10):
        members = np.flatnonzero(labels[order] == label)
        turns[members] = np.arange(len(members))
    order = order[np.argsort(turns, kind="stable")]
    images = np.stack([_scaled(small[row].reshape(8, 8)) for row in order])
    return images, labels[order].astype(np.uint8)


def _scaled(digit: NDArray[np.float64]) -> NDArray[np.uint8]:
    bright = Image.fromarray(np.rint(digit * 255 / 16).astype(np.uint8))
    scaled = bright.resize((_DIGIT_SIDE, _DIGIT_SIDE), Image.Resampling.BICUBIC)
    image = np.zeros((_SIDE, _SIDE), np.uint8)
    margin = (_SIDE - _DIGIT_SIDE) // 2
    image[margin : margin + _DIGIT_SIDE, margin : margin + _DIGIT_SIDE] = np.asarray(scaled)
    return image


def _write_idx(path: Path, values: NDArray[np.uint8]) -> None:
    header = bytes((0, 0, 8, values.ndim)) + np.asarray(values.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + values.tobytes(), mtime=0))
