"""Labelled pictures for stand-ins: animals in several poses, each with its mask.

A class is an animal in a pose (upright, on its side, upside down), so that its shape tells it. In
training images the background's family mostly goes with the animal; in test images it does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hsplid_core.data.demo.casting import herd, next_animal
from hsplid_core.data.demo.scene import Animal, compose
from hsplid_core.data.demo.stand_in import Parameters
from hsplid_core.data.demo.textures import BACKGROUNDS, background
from hsplid_core.data.readers.coco_annotations import CLASS_NAMES as ANIMALS

N_POSES = 3
MAX_CLASSES = N_POSES * len(ANIMALS)
_AGREEMENT = 0.9
_FAMILIES = tuple(BACKGROUNDS)


class Creature(NamedTuple):
    """One picture of an animal.

    Attributes:
        number: Its place in its split.
        label: Its class.
        pixels: uint8, [S, S, 3].
        cover: How far the animal is visible at each pixel, float32 in [0, 1], [S, S].
        other: The same animal over a background of another family, uint8, [S, S, 3].
    """

    number: int
    label: int
    pixels: NDArray[np.uint8]
    cover: NDArray[np.float32]
    other: NDArray[np.uint8]


def creatures(parameters: Parameters, n_classes: int) -> dict[str, Iterator[Creature]]:
    """Cast the pictures of both splits; they are drawn as they are asked for.

    No silhouette is in two pictures.

    Args:
        parameters: Of the stand-in.
        n_classes: At most `MAX_CLASSES`; the pictures are spread evenly over them.

    Returns:
        Pictures under `train` and `test`.
    """
    assert n_classes <= MAX_CLASSES
    animals = herd(np.random.default_rng(parameters.seed))
    splits = {}
    for split, count in (("train", parameters.n_train), ("test", parameters.n_test)):
        labels = [number % n_classes for number in range(count)]
        cast = [next_animal(animals, ANIMALS[label % len(ANIMALS)]) for label in labels]
        splits[split] = _draw(split, parameters, labels, cast)
    return splits


def unseen_creatures(parameters: Parameters, n_classes: int) -> Iterator[Creature]:
    """Cast pictures to test on, whose silhouettes `creatures` gives to no usual stand-in.

    Args:
        parameters: Of the stand-in; its number of images to test on counts.
        n_classes: At most `MAX_CLASSES`.

    Returns:
        Pictures whose background mostly goes with the animal, as in training.
    """
    animals = herd(np.random.default_rng(parameters.seed))
    for rows in animals.values():
        rows.reverse()
    labels = [number % n_classes for number in range(parameters.n_test)]
    cast = [next_animal(animals, ANIMALS[label % len(ANIMALS)]) for label in labels]
    return _draw("unseen", parameters, labels, cast)


_STREAMS = {"test": 0, "train": 1, "unseen": 2}


def _draw(
    split: str, parameters: Parameters, labels: list[int], cast: list[Animal]
) -> Iterator[Creature]:
    agreement = 1 / len(_FAMILIES) if split == "test" else _AGREEMENT
    for number, (label, animal) in enumerate(zip(labels, cast, strict=True)):
        # Its own generator, so that one picture never depends on how others are drawn.
        rng = np.random.default_rng([parameters.seed, number, _STREAMS[split]])
        own, *foreign = np.roll(_FAMILIES, -(label % len(ANIMALS)))
        family, other = rng.permutation(foreign)[:2]
        if rng.random() < agreement:
            family = own
        posed = animal._replace(alpha=np.rot90(animal.alpha, label // len(ANIMALS)))
        scene = compose(rng, str(family), [posed], parameters.image_size)
        (cover,) = scene.covers
        yield Creature(
            number=number,
            label=label,
            pixels=scene.pixels,
            cover=cover,
            other=over_background(
                scene.pixels, cover, background(rng, str(other), parameters.image_size)
            ),
        )


def over_background(
    pixels: NDArray[np.uint8], cover: NDArray[np.float32], ground: NDArray[np.float32] | np.float32
) -> NDArray[np.uint8]:
    """Put the animal of a picture elsewhere.

    Args:
        pixels: The picture, uint8, [S, S, 3].
        cover: How far the animal is visible, [S, S].
        ground: The new background, in [0, 1], [S, S, 3]; 0 for black.

    Returns:
        uint8, [S, S, 3].
    """
    animal = cover[..., None]
    return np.rint(pixels * animal + 255 * ground * (1 - animal)).astype(np.uint8)
