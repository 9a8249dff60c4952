"""Labelled pictures for stand-ins: animals in several poses, each with its mask.

A class is an animal in a pose (upright, on its side, upside down), so that its shape tells it. In
training images the background's family mostly goes with the animal; in test images it does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hsplid_core.data._coco_annotations import CLASS_NAMES as ANIMALS
from hsplid_core.data._demo_plan import herd, next_animal
from hsplid_core.data._demo_scene import Animal, compose
from hsplid_core.data._demo_textures import BACKGROUNDS, background
from hsplid_core.data.stand_in import Parameters

N_POSES = 3
MAX_CLASSES = N_POSES * len(ANIMALS)
_AGREEMENT = 0.9
_FAMILIES = tuple(BACKGROUNDS)


class Creature(NamedTuple):
    """One picture.

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


def _draw(
    split: str, parameters: Parameters, labels: list[int], cast: list[Animal]
) -> Iterator[Creature]:
    agreement = _AGREEMENT if split == "train" else 1 / len(_FAMILIES)
    for number, (label, animal) in enumerate(zip(labels, cast, strict=True)):
        # Its own generator, so that one picture never depends on how others are drawn.
        rng = np.random.default_rng([parameters.seed, number, split == "train"])
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
            other=over_background(rng, scene.pixels, cover, str(other)),
        )


def over_background(
    rng: np.random.Generator,
    pixels: NDArray[np.uint8],
    cover: NDArray[np.float32],
    family: str | None,
) -> NDArray[np.uint8]:
    """Put the animal of a picture elsewhere.

    Args:
        rng: Source of every choice.
        pixels: The picture, uint8, [S, S, 3].
        cover: How far the animal is visible, [S, S].
        family: The new background's family; None for black.

    Returns:
        uint8, [S, S, 3].
    """
    animal = cover[..., None]
    ground = 255 * background(rng, family, len(pixels)) if family is not None else 0.0
    return np.rint(pixels * animal + ground * (1 - animal)).astype(np.uint8)
