"""Folders of real data in the layouts that the readers read, from small numpy archives.

    python -m tests.real_data mnist mnist_5000.npz /data/mnist
    python -m tests.real_data cifar10 cifar10_5000.npz /data/cifar10
    python -m tests.real_data folder pets3_88.npz /data/pets

The archives hold, as uint8: mnist ``images`` [N, 28, 28] and ``labels``, of which the last fifth
becomes the test split; cifar10 ``train_images`` [N, 3, 32, 32], ``train_labels`` and the same of
``test``; folder ``images`` [N, H, W, 3], ``masks`` [N, H, W / 8] packed along the last axis,
``labels`` and ``class_names``.
"""

from __future__ import annotations

import pickle
import struct
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hsplid_core.data.readers.cifar10 import BATCHES, FOLDER
from hsplid_core.data.readers.mnist import FILE_STEMS

Arrays = Mapping[str, NDArray[np.uint8]]


def write_mnist(arrays: Arrays, root: Path) -> None:
    """Write MNIST's four files."""
    images, labels = arrays["images"], arrays["labels"].astype(np.uint8)
    n_train = len(images) * 4 // 5
    for split, rows in (("train", slice(0, n_train)), ("test", slice(n_train, None))):
        stem = FILE_STEMS["train" if split == "train" else "test"]
        for name, values in (
            (f"{stem}-images-idx3", images[rows]),
            (f"{stem}-labels-idx1", labels[rows]),
        ):
            header = bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape)
            (root / f"{name}-ubyte").write_bytes(header + values.tobytes())


def write_cifar10(arrays: Arrays, root: Path) -> None:
    """Write the batches of CIFAR-10's Python version."""
    folder = root / FOLDER
    folder.mkdir(exist_ok=True)
    for split, files in BATCHES.items():
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        for name, rows in zip(
            files, np.array_split(np.arange(len(images)), len(files)), strict=True
        ):
            batch = {
                b"data": images[rows].reshape(len(rows), -1),
                b"labels": labels[rows].tolist(),
            }
            (folder / name).write_bytes(pickle.dumps(batch, protocol=2))


def write_folder(arrays: Arrays, root: Path) -> None:
    """Write class folders of PNGs, and masks beside them."""
    names = [str(name) for name in arrays["class_names"]]
    masks = np.unpackbits(arrays["masks"], axis=-1) * np.uint8(255)
    for row, (image, mask) in enumerate(zip(arrays["images"], masks, strict=True)):
        place = Path(names[int(arrays["labels"][row])]) / f"{row:05d}.png"
        for path, pixels in ((root / place, image), (root / "masks" / place, mask)):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)


WRITERS: dict[str, Callable[[Arrays, Path], None]] = {
    "mnist": write_mnist,
    "cifar10": write_cifar10,
    "folder": write_folder,
}


if __name__ == "__main__":
    layout, archive, target = sys.argv[1:]
    Path(target).mkdir(parents=True, exist_ok=True)
    with np.load(archive) as opened:
        WRITERS[layout](dict(opened), Path(target))
