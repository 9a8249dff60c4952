"""Stand-ins for data sets of class folders and for CIFAR-10: silhouettes over textures."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hsplid_core.data.demo.posed_animals import (
    Creature,
    creatures,
    over_background,
    unseen_creatures,
)
from hsplid_core.data.demo.stand_in import Parameters
from hsplid_core.data.readers import cifar10, counter_animal, imagenet9, imagenette
from hsplid_core.data.readers.folder import MASKS
from hsplid_core.data.readers.imagenet_classes import NINE, wordnet_ids

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
    _write_parts(root / imagenette.FOLDERS[-1], parameters, list(imagenette.CLASS_NAMES))


def write_imagenet(root: Path, *, parameters: Parameters) -> None:
    """Write `train` and `val` with one of ImageNet's classes for each of ImageNet-9's."""
    _write_parts(root, parameters, IMAGENET_CLASSES)


def _write_parts(root: Path, parameters: Parameters, class_names: Sequence[str]) -> None:
    """Write `PART/CLASS/CLASS_NUMBER.JPEG`, as ImageNet's pictures are named."""
    splits = creatures(parameters, len(class_names))
    for part, pictures in zip(("train", "val"), splits.values(), strict=True):
        for picture in pictures:
            name = class_names[picture.label]
            save_jpeg(root / part / name / f"{name}_{picture.number}.JPEG", picture.pixels)


IMAGENET_CLASSES = (
    *("n02085936", "n01518878", "n02701002", "n01667114", "n02129165"),
    *("n02165105", "n02672831", "n02480495", "n01440764"),
)
"""The ids that the stand-in of ImageNet has, in the order of ImageNet-9's classes."""


def write_imagenet9(root: Path, *, parameters: Parameters) -> None:
    """Write the variants of `bg_challenge`: each animal at home, elsewhere, and on black."""
    folder = root / imagenet9.FOLDER
    for picture in unseen_creatures(parameters, len(IMAGENET_CLASSES)):
        class_folder = imagenet9.CLASS_FOLDERS[picture.label]
        name = f"{IMAGENET_CLASSES[picture.label]}_{picture.number}"
        foreign = IMAGENET_CLASSES[(picture.label + 1) % len(IMAGENET_CLASSES)]
        alone = over_background(picture.pixels, picture.cover, np.float32(0))
        for variant, stem, pixels in (
            ("original", name, picture.pixels),
            ("mixed_rand", f"fg_{name}_bg_{foreign}_{picture.number}", picture.other),
            ("only_fg", name, alone),
        ):
            save_jpeg(folder / variant / "val" / class_folder / f"{stem}.JPEG", pixels)


def write_counter_animal(root: Path, *, parameters: Parameters) -> None:
    """Write `LAION-final`: animals where they mostly are, and elsewhere."""
    ids = wordnet_ids()
    for picture in unseen_creatures(parameters, len(IMAGENET_CLASSES)):
        number = ids.index(IMAGENET_CLASSES[picture.label])
        folder = root / counter_animal.FOLDER / f"{number} {NINE[picture.label]}"
        save_jpeg(folder / "common-home" / f"{picture.number}.jpg", picture.pixels)
        save_jpeg(folder / "counter-away" / f"{picture.number}.jpg", picture.other)


def write_stanford_dogs(root: Path, *, parameters: Parameters) -> None:
    """Write `Images`, `Annotation` and the lists, with eight breeds."""
    from scipy.io import savemat  # a second, for one stand-in

    for split, pictures in creatures(parameters, len(_BREEDS)).items():
        names, labels = [], []
        for picture in pictures:
            breed = _BREEDS[picture.label]
            number = picture.number + (0 if split == "train" else parameters.n_train)
            name = f"{breed}/{breed.split('-')[0]}_{number}"
            save_jpeg(root / "Images" / f"{name}.jpg", picture.pixels)
            _write_annotation(root / "Annotation" / name, picture.cover)
            names.append(name)
            labels.append(picture.label + 1)
        table = {
            "file_list": _cells(f"{name}.jpg" for name in names),
            "annotation_list": _cells(names),
            "labels": np.asarray(labels, np.float64)[:, None],
        }
        savemat(root / f"{split}_list.mat", table)
        # The library stamps the time of writing into the header, 116 bytes of free text.
        _overwrite(root / f"{split}_list.mat", b"MATLAB 5.0 MAT-file".ljust(116))


_BREEDS = (
    *("n02085620-Chihuahua", "n02085782-Japanese_spaniel", "n02085936-Maltese_dog"),
    *("n02086079-Pekinese", "n02086240-Shih-Tzu", "n02086646-Blenheim_spaniel"),
    *("n02086910-papillon", "n02087046-toy_terrier"),
)


def _cells(texts: Iterable[str]) -> NDArray[np.object_]:
    values = list(texts)
    cells = np.empty((len(values), 1), dtype=object)
    cells[:, 0] = values
    return cells


def _overwrite(path: Path, beginning: bytes) -> None:
    with path.open("r+b") as handle:
        handle.write(beginning)


def _write_annotation(path: Path, cover: NDArray[np.float32]) -> None:
    left, top, width, height = bounding_box(cover)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"<annotation><object><name>{path.parent.name.partition('-')[2]}</name><bndbox>"
        f"<xmin>{left}</xmin><ymin>{top}</ymin><xmax>{left + width}</xmax>"
        f"<ymax>{top + height}</ymax></bndbox></object></annotation>\n",
        encoding="utf-8",
    )


def bounding_box(cover: NDArray[np.float32]) -> tuple[int, int, int, int]:
    """Left, top, width and height of what covers half of a pixel or more."""
    rows, columns = (np.flatnonzero((cover >= 0.5).any(axis=axis)) for axis in (1, 0))
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top


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
    names = list(cifar10.CLASS_NAMES)
    for split, pictures in creatures(parameters, len(names)).items():
        every = list(pictures)
        files = cifar10.BATCHES["train" if split == "train" else "test"]
        for number, file in enumerate(files):
            _write_batch(folder / file, every[number :: len(files)])
    _write_pickle(folder / "batches.meta", {"label_names": names}, names)


def _write_batch(path: Path, pictures: Sequence[Creature]) -> None:
    batch: dict[str, Any] = {
        "batch_label": path.name,
        "labels": [picture.label for picture in pictures],
        "data": np.stack([picture.pixels.transpose(2, 0, 1).ravel() for picture in pictures]),
        "filenames": [f"{picture.number:05d}.png" for picture in pictures],
    }
    _write_pickle(path, batch, [path.name, *batch["filenames"]])


def _write_pickle(path: Path, content: dict[str, Any], texts: Iterable[str]) -> None:
    """Write as Python 2 and its numpy did: texts are bytes, one module has another name."""
    written = pickle.dumps(content, protocol=2).replace(b"numpy._core", b"numpy.core")
    for text in {*content, *texts}:
        tail = struct.pack("<I", len(text)) + text.encode()
        written = written.replace(pickle.BINUNICODE + tail, pickle.BINSTRING + tail)
    path.write_bytes(written)
