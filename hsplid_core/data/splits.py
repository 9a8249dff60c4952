"""Seeded, stratified splits of a labelled set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hsplid_core.errors import ConfigError, DataError


def stratified_split(
    labels: Tensor, fraction: float, seed: int, class_names: Sequence[str] = ()
) -> tuple[Tensor, Tensor]:
    """Hold out the same fraction of every class.

    Args:
        labels: Class indices, int64, [N].
        fraction: Part of each class to hold out, in (0, 1); the papers use 0.2.
        seed: The same seed gives the same split.
        class_names: For the error's text.

    Returns:
        Positions to train on and positions held out: disjoint, together all of them, each int64
        and in ascending order.

    Raises:
        ConfigError: The fraction is out of range.
        DataError: A class would have no member in one of the parts.
    """
    if not 0 < fraction < 1:
        raise ConfigError(f"the held-out fraction must lie in (0, 1), got {fraction}: try 0.2")
    generator = np.random.default_rng(seed)
    classes = labels.numpy()
    held_out = np.zeros(len(classes), dtype=bool)
    for label in range(int(classes.max(initial=-1)) + 1):
        members = np.flatnonzero(classes == label)
        n_held_out = round(len(members) * fraction)
        if not 0 < n_held_out < len(members):
            name = f"{label} ({class_names[label]})" if class_names else str(label)
            raise DataError(
                f"every class must have members in both parts of a split, class {name} has "
                f"{len(members)} images and {n_held_out} of them held out: change the held-out "
                f"fraction {fraction}, add images, or leave the class out"
            )
        held_out[generator.permutation(members)[:n_held_out]] = True
    return torch.from_numpy(np.flatnonzero(~held_out)), torch.from_numpy(np.flatnonzero(held_out))


def published_coco_split(n_images: int, val_fraction: float) -> tuple[Tensor, Tensor, Tensor]:
    """Split as H-SPLID's released code splits COCO, whose test images lie in its training images.

    ``create_split`` of ``src/datasets/coco.py`` draws both with replacement, by generators of the
    same seed: the test images are the first that were drawn to train on. Then
    ``get_train_val_split`` of ``src/datasets/datamodule.py`` holds draws out, of images that may
    have been drawn twice. Which image is which depends on the order that the release's loader
    lists them in, which is no part of it; here that is the order of COCO's ids.

    Args:
        n_images: Images that the release draws from, train2017's.
        val_fraction: Part of the draws to validate on, in (0, 1); the release's is 0.2.

    Returns:
        Positions to train, validate and test on, int64; they repeat and overlap.
    """
    # The numbers of this generator alone make the split that it is.
    draws = np.random.RandomState(1).randint(0, n_images, size=int(0.8 * n_images))
    drawn = torch.from_numpy(draws.astype(np.int64))
    order = torch.randperm(len(drawn), generator=torch.Generator().manual_seed(1))
    n_train = len(drawn) - int(val_fraction * len(drawn))
    n_test = int((1 - 0.8) * n_images)
    return drawn[order[:n_train]], drawn[order[n_train:]], drawn[:n_test]


def share_of_each_class(labels: Tensor, share: float, seed: int) -> Tensor:
    """Choose the same share of every class, at least one of each; less of it is a part of more.

    Args:
        labels: Class indices, int64, [N].
        share: In (0, 1].
        seed: The same seed gives the same choice.

    Returns:
        The chosen positions, int64, in ascending order.
    """
    generator = np.random.default_rng(seed)
    classes = labels.numpy()
    found = []
    for label in range(int(classes.max(initial=-1)) + 1):
        members = generator.permutation(np.flatnonzero(classes == label))
        found.append(members[: max(1, round(len(members) * share))])
    return torch.from_numpy(np.sort(np.concatenate(found)))
