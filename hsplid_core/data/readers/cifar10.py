"""CIFAR-10: 32x32 colour images of ten classes.

Krizhevsky, "Learning multiple layers of features from tiny images", 2009,
https://www.cs.toronto.edu/~kriz/cifar.html. No licence is stated; the author asks for the
citation. The root holds, or is, `cifar-10-batches-py` of the archive "CIFAR-10 python version":
`data_batch_1` to `data_batch_5`, `test_batch` and `batches.meta`.
"""

from __future__ import annotations

import pickle
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hsplid_core.data.readers.file_lists import inner_folder, must_exist
from hsplid_core.data.readers.image_arrays import ArrayImages, Arrays
from hsplid_core.errors import DataError

FOLDER = "cifar-10-batches-py"
CLASS_NAMES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
BATCHES: dict[Literal["train", "test"], tuple[str, ...]] = {
    "train": tuple(f"data_batch_{number}" for number in range(1, 6)),
    "test": ("test_batch",),
}
_LAYOUT = (
    f"the root must hold {FOLDER} with data_batch_1 to data_batch_5 and test_batch, from "
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
)


def cifar10(root: Path, split: Literal["train", "test"], image_size: int) -> ArrayImages:
    """Open a split of CIFAR-10.

    Args:
        root: Folder that holds, or is, `cifar-10-batches-py`.
        split: `train` has 50,000 images, `test` 10,000.
        image_size: Side of the images, in pixels; 32 leaves them as they are.

    Raises:
        DataError: A file is missing.
    """
    files = tuple(inner_folder(root, FOLDER) / name for name in BATCHES[split])
    must_exist(files, "CIFAR-10", _LAYOUT)
    return ArrayImages(
        data_set="cifar10",
        split=split,
        root=root,
        image_size=image_size,
        files=files,
        class_names=CLASS_NAMES,
        channels=3,
        read=partial(_read, files),
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        siblings=frozenset((*BATCHES["train"], *BATCHES["test"], "batches.meta", "readme.html")),
    )


def _read(files: tuple[Path, ...]) -> Arrays:
    batches = [_read_batch(path) for path in files]
    return Arrays(
        np.concatenate([batch.images for batch in batches]),
        np.concatenate([batch.labels for batch in batches]),
    )


class _PlainUnpickler(pickle.Unpickler):
    """Builds numpy arrays and nothing else: a pickle may otherwise run any program."""

    def find_class(self, module: str, name: str) -> Any:
        plain = {"_reconstruct", "ndarray", "dtype", "_frombuffer"}
        if module.partition(".")[0] == "numpy" and name in plain:
            return super().find_class(module, name)
        if (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a batch of images")


def _read_batch(path: Path) -> Arrays:
    try:
        with path.open("rb") as handle:
            batch = _PlainUnpickler(handle, encoding="bytes").load()
        pixels, labels = batch[b"data"], np.asarray(batch[b"labels"], np.int64)
        images = pixels.reshape(len(labels), 3, 32, 32).transpose(0, 2, 3, 1)
    except (pickle.UnpicklingError, OSError, EOFError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} must be a whole batch of CIFAR-10 ({error}): download it again"
        ) from error
    return Arrays(np.ascontiguousarray(images, dtype=np.uint8), labels)
