"""Stand-ins for data sets of class folders: silhouettes of animals over textures."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hsplid_core.data import cifar10, imagenette
from hsplid_core.data._creatures import Creature, creatures
from hsplid_core.data.folder import MASKS
from hsplid_core.data.stand_in import Parameters

_JPEG_QUALITY = 92


def save_jpeg(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write a picture, uint8, [H, W, 3], and the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "JPEG", quality=_JPEG_QUALITY, subsampling="4:4:4")


def save_mask(path: Path, cover: NDArray[np.float32]) -> None:
    """Write a mask, white where the object covers half of a pixel or more, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.where(cover >= 0.5, 255, 0).astype(np.uint8)).save(path, "PNG")


def write_imagenette(root: Path, *, parameters: Parameters) -> None:
    """Write `imagenette2-160` with its ten class folders in `train` and `val`."""
    _write_parts(
        root / imagenette.FOLDERS[-1], parameters, list(imagenette.CLASS_NAMES), ("train", "val")
    )


def _write_parts(
    root: Path, parameters: Parameters, class_names: Sequence[str], parts: tuple[str, str]
) -> None:
    """Write `PART/CLASS/CLASS_NUMBER.JPEG`, as ImageNet's pictures are named."""
    splits = creatures(parameters, len(class_names))
    for part, pictures in zip(parts, splits.values(), strict=True):
        for picture in pictures:
            name = class_names[picture.label]
            save_jpeg(root / part / name / f"{name}_{picture.number:05d}.JPEG", picture.pixels)


def write_folder(root: Path, *, parameters: Parameters) -> None:
    """Write `train`, `test` and `masks` with the four animals upright."""
    for part, pictures in creatures(parameters, len(_FOLDER_CLASSES)).items():
        for picture in pictures:
            place = Path(part) / _FOLDER_CLASSES[picture.label] / f"{picture.number:05d}.jpg"
            save_jpeg(root / place, picture.pixels)
            save_mask((root / MASKS / place).with_suffix(".png"), picture.cover)


_FOLDER_CLASSES = ("bear", "elephant", "giraffe", "zebra")


def write_cifar10(root: Path, *, parameters: Parameters) -> None:
    """Write the six batches of `cifar-10-batches-py` and `batches.meta`."""
    folder = root / cifar10.FOLDER
    folder.mkdir(parents=True)
    names = [name.encode() for name in cifar10.CLASS_NAMES]
    for split, pictures in creatures(parameters, len(names)).items():
        every = list(pictures)
        files = cifar10.BATCHES["train" if split == "train" else "test"]
        for number, file in enumerate(files):
            _write_batch(folder / file, every[number :: len(files)])
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": names}, protocol=2))


def _write_batch(path: Path, pictures: Sequence[Creature]) -> None:
    batch = {
        b"batch_label": path.name.encode(),
        b"labels": [picture.label for picture in pictures],
        b"data": np.stack([picture.pixels.transpose(2, 0, 1).ravel() for picture in pictures]),
        b"filenames": [f"{picture.number:05d}.png".encode() for picture in pictures],
    }
    # Numpy's own module has been renamed since the published batches were made.
    content = pickle.dumps(batch, protocol=2).replace(b"numpy._core", b"numpy.core")
    path.write_bytes(content)
