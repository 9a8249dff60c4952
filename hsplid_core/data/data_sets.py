"""The data sets by name: the table that sweeps look up, and the way to their rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from hsplid_core.config import DataConfig
from hsplid_core.config.analyses import PixelConfig
from hsplid_core.data.cache.build import build_or_open
from hsplid_core.data.cache.image_set import ImageSet
from hsplid_core.data.cache.node_copy import node_folder, on_node
from hsplid_core.data.demo.class_folders import (
    write_cifar10,
    write_counter_animal,
    write_folder,
    write_imagenet,
    write_imagenet9,
    write_imagenette,
    write_stanford_dogs,
)
from hsplid_core.data.demo.coco import N_TRAIN, N_VAL, demo_folder_name, write_coco_demo
from hsplid_core.data.demo.cub import write_cub
from hsplid_core.data.demo.digits import write_digits
from hsplid_core.data.demo.isic2017 import write_isic2017
from hsplid_core.data.demo.stand_in import Demo, StandIn
from hsplid_core.data.duplicates import training_without_equals
from hsplid_core.data.planted_pixel import PlantedPixels
from hsplid_core.data.readers.cifar10 import cifar10
from hsplid_core.data.readers.cmnist import concatenated_mnist
from hsplid_core.data.readers.coco import CocoImages, coco, coco_animals
from hsplid_core.data.readers.counter_animal import Group, counter_animal
from hsplid_core.data.readers.cub import Guide, cub
from hsplid_core.data.readers.folder import image_folder
from hsplid_core.data.readers.image_arrays import ArrayImages
from hsplid_core.data.readers.image_files import ListedImages
from hsplid_core.data.readers.imagenet import imagenet
from hsplid_core.data.readers.imagenet9 import Variant, imagenet9
from hsplid_core.data.readers.imagenette import imagenette
from hsplid_core.data.readers.isic2017 import isic2017
from hsplid_core.data.readers.mnist import mnist
from hsplid_core.data.readers.stanford_dogs import stanford_dogs
from hsplid_core.data.source import Source
from hsplid_core.data.splits import (
    published_coco_split,
    share_of_each_class,
    stratified_split,
)
from hsplid_core.errors import ConfigError, DataError, did_you_mean

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
Open = Callable[[Path, DataConfig], Source]
"""Opens a split from its root; of the configuration it takes how files are read."""


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """How to open one data set.

    Attributes:
        summary: One line for people.
        training: Opens the images that are split into `train` and `val`; None for a data set that
            is there to test on.
        testing: Opens the images of `test`, which no search may see.
        demo: Writes the embedded stand-in for an image size into a folder, or finds it there;
            returns its root.
        published_split: Positions in the images of `training` to train, validate and test on, from
            their number and the share to validate on, as a paper's released code has them.
    """

    summary: str
    training: Open | None
    testing: Open
    demo: Demo
    published_split: Callable[[int, float], tuple[Tensor, Tensor, Tensor]] | None = None

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that there are."""
        return SPLITS if self.training else ("test",)


def _coco_demo(
    folder: Path, image_size: int, *, n_train: int | None = None, n_test: int | None = None
) -> Path:
    # Smaller pictures are shrunk from 64 pixels, as real photographs are.
    counts = {"n_train": n_train or N_TRAIN, "n_val": n_test or N_VAL}
    size = max(64, image_size)
    return write_coco_demo(
        folder / demo_folder_name(image_size=size, **counts), image_size=size, **counts
    )


_DIGITS = StandIn(
    name="mnist", write=write_digits, n_classes=10, n_train=1400, n_test=380, sizes=(28, 28)
)
_BIRDS = StandIn(name="cub", write=write_cub, n_classes=8, n_train=480, n_test=160)
_DOGS = StandIn(
    name="stanford_dogs", write=write_stanford_dogs, n_classes=8, n_train=480, n_test=160
)
_NINE = StandIn(name="imagenet9", write=write_imagenet9, n_classes=9, n_train=0, n_test=270)
_COUNTER = StandIn(
    name="counter_animal", write=write_counter_animal, n_classes=9, n_train=0, n_test=270
)


def _nine(variant: Variant, summary: str, *, fine: bool = False) -> DataSet:
    return DataSet(
        summary=f"ImageNet-9, {summary}; to test on only",
        training=None,
        testing=lambda root, data: imagenet9(root, variant, data.image_size, fine=fine),
        demo=_NINE,
    )


def _counter(group: Group, summary: str) -> DataSet:
    return DataSet(
        summary=f"CounterAnimal, {summary}; to test on only",
        training=None,
        testing=lambda root, data: counter_animal(root, group, data.image_size),
        demo=_COUNTER,
    )


def _cub(guide: Guide, summary: str) -> DataSet:
    return DataSet(
        summary=f"CUB-200-2011: birds of 200 species, {summary}",
        training=lambda root, data: cub(root, "train", data.image_size, guide),
        testing=lambda root, data: cub(root, "test", data.image_size, guide),
        demo=_BIRDS,
    )


def _own_categories(root: Path, split: Literal["train", "test"], data: DataConfig) -> Source:
    return coco(
        root,
        split,
        data.image_size,
        classes=data.classes,
        boxes_as_masks=data.boxes_as_masks,
    )


DATA_SETS: dict[str, DataSet] = {
    "coco_animals": DataSet(
        summary="COCO 2017 images with exactly one of bear, elephant, giraffe, zebra; with masks",
        training=lambda root, data: coco_animals(
            root,
            "smaller_train" if data.split == "larger_test" else "train",
            data.image_size,
            boxes_as_masks=data.boxes_as_masks,
        ),
        testing=lambda root, data: coco_animals(
            root,
            "larger_val" if data.split == "larger_test" else "val",
            data.image_size,
            boxes_as_masks=data.boxes_as_masks,
        ),
        demo=_coco_demo,
        published_split=published_coco_split,
    ),
    "coco": DataSet(
        summary="any COCO file with categories of its own, or labelme's files; with masks",
        training=lambda root, data: _own_categories(root, "train", data),
        testing=lambda root, data: _own_categories(root, "test", data),
        demo=_coco_demo,
    ),
    "isic2017": DataSet(
        summary="ISIC 2017: nevus, melanoma and seborrheic keratosis, with masks of the lesions",
        training=lambda root, data: isic2017(root, "train", data.image_size),
        testing=lambda root, data: isic2017(root, "test", data.image_size),
        demo=StandIn(name="isic2017", write=write_isic2017, n_classes=3, n_train=480, n_test=150),
    ),
    "imagenet": DataSet(
        summary="ImageNet (ILSVRC 2012): 1,000 classes",
        training=lambda root, data: imagenet(root, "train", data.image_size),
        testing=lambda root, data: imagenet(root, "val", data.image_size),
        demo=StandIn(name="imagenet", write=write_imagenet, n_classes=9, n_train=720, n_test=180),
    ),
    "imagenet9/original": _nine("original", "images as they were; nine classes"),
    "imagenet9/mixed_rand": _nine("mixed_rand", "on backgrounds of other classes; nine classes"),
    "imagenet9/only_fg": _nine("only_fg", "the objects alone; nine classes"),
    "imagenet9/original_fine": _nine(
        "original", "images as they were; classes of ImageNet", fine=True
    ),
    "imagenet9/mixed_rand_fine": _nine(
        "mixed_rand", "on backgrounds of other classes; classes of ImageNet", fine=True
    ),
    "imagenet9/only_fg_fine": _nine(
        "only_fg", "the objects alone; classes of ImageNet", fine=True
    ),
    "counter_animal/common": _counter("common", "animals where they are common"),
    "counter_animal/counter": _counter("counter", "animals where they are not common"),
    "imagenette": DataSet(
        summary="ten easily told classes of ImageNet",
        training=lambda root, data: imagenette(root, "train", data.image_size),
        testing=lambda root, data: imagenette(root, "val", data.image_size),
        demo=StandIn(
            name="imagenette", write=write_imagenette, n_classes=10, n_train=800, n_test=200
        ),
    ),
    "cub": _cub("segmentation", "with segmentations"),
    "cub/boxes": _cub("box", "with boxes as masks"),
    "cub_gha": _cub("gaze", "with maps of human gaze (CUB-GHA)"),
    "stanford_dogs": DataSet(
        summary="Stanford Dogs: 120 breeds",
        training=lambda root, data: stanford_dogs(root, "train", data.image_size),
        testing=lambda root, data: stanford_dogs(root, "test", data.image_size),
        demo=_DOGS,
    ),
    "stanford_dogs/boxes": DataSet(
        summary="Stanford Dogs: 120 breeds, with boxes as masks",
        training=lambda root, data: stanford_dogs(root, "train", data.image_size, boxes=True),
        testing=lambda root, data: stanford_dogs(root, "test", data.image_size, boxes=True),
        demo=_DOGS,
    ),
    "cifar10": DataSet(
        summary="CIFAR-10: ten classes, 32x32",
        training=lambda root, data: cifar10(root, "train", data.image_size),
        testing=lambda root, data: cifar10(root, "test", data.image_size),
        demo=StandIn(
            name="cifar10",
            write=write_cifar10,
            n_classes=10,
            n_train=1000,
            n_test=200,
            sizes=(32, 32),
        ),
    ),
    "mnist": DataSet(
        summary="MNIST: handwritten digits, grey, 28x28",
        training=lambda root, data: mnist(root, "train", data.image_size),
        testing=lambda root, data: mnist(root, "test", data.image_size),
        demo=_DIGITS,
    ),
    "cmnist": DataSet(
        summary="concatenated MNIST: two digits, the left one is the label; grey, 64x64; masks "
        "of the left half",
        training=lambda root, data: concatenated_mnist(root, "train", data.image_size),
        testing=lambda root, data: concatenated_mnist(root, "test", data.image_size),
        demo=_DIGITS,
    ),
    "folder": DataSet(
        summary="any folder of class folders, with masks in a parallel folder or without",
        training=lambda root, data: image_folder(root, "train", data.image_size, data.mask_values),
        testing=lambda root, data: image_folder(root, "test", data.image_size, data.mask_values),
        demo=StandIn(name="folder", write=write_folder, n_classes=4, n_train=400, n_test=120),
    ),
}


def load(data: DataConfig, split: Split) -> ImageSet:
    """Open one split of a data set, through its cache.

    Args:
        data: Which data set, and what becomes of its images; its `transform` alone is the
            network's part.
        split: `train` and `val` are parts of the training images, `test` is the data set's own
            held-out part, or as ``data.split`` says.

    Returns:
        The split's rows.

    Raises:
        ConfigError: Unknown name, split or class, no folder for the caches, or a data set that is
            there to test on only.
        DataError: The data set is missing or damaged, or the cache can't be written.
    """
    entry = _entry(data.name)
    if split not in SPLITS:
        raise ConfigError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    if split not in entry.splits:
        raise ConfigError(
            f"data set {data.name} has images to test on only, there is no split {split!r}: train "
            "on another data set and evaluate on this one"
        )
    check_reading(data.name, data)
    if data.cache_dir is None:
        raise ConfigError("data.cache_dir is null: name a folder for the Arrow caches")
    root = entry.demo(data.cache_dir, data.image_size) if data.root is None else data.root
    published = entry.published_split if data.split == "published" else None
    if entry.training is None or (split == "test" and published is None):
        images = _of_classes(_cached(entry.testing(root, data), data), data.classes)
        return _planted(images, data.pixel, stream=1)
    every = _cached(entry.training(root, data), data, random_crop=data.random_crop)
    parts: tuple[Tensor, ...]
    if published is not None:
        parts = published(len(every), data.val_fraction)
    else:
        parts = stratified_split(
            every.labels, data.val_fraction, data.split_seed, every.class_names
        )
    # Split before anything is left out: what is held out from a part is held out from the whole.
    rows = parts[SPLITS.index(split)]
    if data.duplicates == "drop" and split != "test":
        test = every.select(parts[-1]) if published else _cached(entry.testing(root, data), data)
        training = torch.cat(parts[:2])
        unequal = training_without_equals(every.select(training), test, data.cache_dir)
        rows = rows[torch.isin(rows, training[unequal])]
    images = _of_classes(every.select(rows), data.classes)
    if data.share < 1 and split != "test":
        images = images.select(share_of_each_class(images.labels, data.share, data.split_seed))
    return _planted(images, data.pixel, stream=0)


def check_reading(name: str, data: DataConfig) -> None:
    """Refuse a way of reading that a data set does not know.

    Raises:
        ConfigError: `mask_values` is for another data set than a folder.
    """
    if data.mask_values is not None and name != "folder":
        raise ConfigError(
            f"data.mask_values is {list(data.mask_values)}: the masks of {name} have values of "
            "their own, only those of data.name=folder need it"
        )


def prepare(data: DataConfig) -> dict[Split, ImageSet]:
    """Build the caches of all splits, once, so that trials only open them.

    Args:
        data: Which data set; its `node_cache` is left to the machines that run trials.

    Returns:
        The splits that the data set has, for instance to record their keys.

    Raises:
        ConfigError: As in `load`.
        DataError: As in `load`.
    """
    here = dataclasses.replace(data, node_cache=None)
    splits = {split: load(here, split) for split in _entry(data.name).splits}
    for split, images in splits.items():
        coverage = images.coverage() if data.mask_values is None else None
        if coverage is not None and coverage.is_nearly_nothing:
            raise DataError(
                f"the masks of {data.name}, split {split}, must tell object from background, got "
                f"nearly all empty or full: {coverage}"
            )
    return splits


def _of_classes(images: ImageSet, classes: tuple[str, ...] | None) -> ImageSet:
    return images if classes is None else images.of_classes(classes)


def _cached(source: Source, data: DataConfig, *, random_crop: bool = False) -> ImageSet:
    assert data.cache_dir is not None
    if data.resize is not None or data.resize_size is not None:
        assert isinstance(source, CocoImages | ListedImages | ArrayImages)
        fit = data.resize or source.fit
        source = dataclasses.replace(source, fit=fit, resize_size=data.resize_size)
        if random_crop:  # from all that the resizing gives, which is kept
            assert data.resize_size is not None
            source = dataclasses.replace(source, image_size=data.resize_size, resize_size=None)
    if data.node_cache is None:
        images = build_or_open(source, data.cache_dir)
    else:
        images = build_or_open(source, data.cache_dir, to_be_copied=True)
        images = on_node(images, node_folder(data.node_cache))
    return images.cropped(data.image_size) if random_crop else images


def _planted(images: ImageSet, pixel: PixelConfig | None, *, stream: int) -> ImageSet:
    if pixel is None:
        return images
    change = PlantedPixels(
        config=pixel,
        num_classes=len(images.class_names),
        image_shape=images.image_shape,
        n_rows=images.n_underlying,
        stream=stream,
    )
    return images.changed(change)


def _entry(name: str) -> DataSet:
    if name in DATA_SETS:
        return DATA_SETS[name]
    raise ConfigError(
        f"data set is {name!r}: use one of {', '.join(DATA_SETS)}"
        f"{did_you_mean(name, DATA_SETS, cutoff=0.4)}"
    )
